"""The state of a sweep in its run folder: what each trial tries, how it ended, the table of all, the best as a config.

points/0007.json      what trial 7 tries, written before it starts
trials/0007/          its training, a run folder like any other
ledger/               trials that ended (commits) and failed (failures), as of every job
trials.parquet        one row per trial;  best.yaml: the best one's training config
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from invertone.cluster.config.loading import load_with
from invertone.cluster.config.schema import as_yaml
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import METADATA_KEY
from invertone.cluster.formats.ledger import FAILED, Commit, Failure, Ledger
from invertone.cluster.formats.sweeps import BEST, METRIC, RUNS, TRIALS, VERSION, front_of, point_file, signed, unit_of
from invertone.cluster.storage.folder import Folder
from invertone.train.config import CATALOGUE
from invertone.train.schemas.shared import TrainConfig
from invertone.train.tune.config import TuneConfig
from invertone.train.tune.search import Asked, Search


@dataclass(frozen=True)
class Ended:
    """A trial that is over. metrics: of the checkpoint that counts (the best, else the newest)."""

    number: int
    asked: Asked
    state: str
    steps: int = 0
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass
class Sweep:
    """`share`: CPUs of one worker of a trial."""

    config: TuneConfig
    ledger: Ledger
    search: Search
    trials: int
    share: int = 0
    ended: dict[int, Ended] = field(default_factory=dict)

    @property
    def folder(self) -> Folder:
        return self.ledger.folder

    def recall(self) -> list[int]:
        """Takes over what earlier runs left, and returns the numbers of the trials still to do."""
        for commit in sorted(self.ledger.commits(), key=lambda commit: commit.unit):
            number = int(commit.unit)
            asked = self._recorded(number)
            assert asked is not None, f"trial {number} is done and was never asked for"
            self.ended[number] = Ended(number, asked, **commit.statistics)
            self.search.tell(number, asked, self.goals(self.ended[number]))
        self.ledger.forgive([each for each in self.ledger.failures() if int(each.unit) not in self.ended])
        return [number for number in range(self.trials) if number not in self.ended]

    def training(self, number: int) -> TrainConfig:
        """The config of trial `number`, asking the search where it is new."""
        asked = self._recorded(number)
        if asked is None:
            asked = self.search.ask(number)
            self.folder.publish_json(point_file(number), dataclasses.asdict(asked))
        else:
            self.search.again(number, asked)
        return trial_config(self.config, asked.values, self.folder.path_of(f"{RUNS}/{unit_of(number)}"), self.share)

    def end(self, ended: Ended) -> None:
        """A trial is over: recorded, and told to the search."""
        self.ended[ended.number] = ended
        if ended.state == FAILED:
            self.ledger.fail(Failure(unit_of(ended.number), FAILED, ended.error, attempts=1, items=1))
        else:
            about = {
                "state": ended.state,
                "steps": ended.steps,
                "seconds": ended.seconds,
                "metrics": dict(ended.metrics),
            }
            self.ledger.commit(Commit(unit_of(ended.number), 1, (), about))
        self.search.tell(ended.number, ended.asked, self.goals(ended))

    def asked(self, number: int) -> Asked:
        found = self._recorded(number)
        assert found is not None
        return found

    def goals(self, ended: Ended) -> list[float] | None:
        """The values of the goals; None where there are none to learn from."""
        if ended.state == FAILED:
            return None
        values = [ended.metrics.get(name, math.nan) for name in self.config.goals]
        return values if all(map(math.isfinite, values)) else None

    def front(self) -> list[Ended]:
        """The trials that no other beats in every goal; the best of the first goal comes first.

        Trials that went to the end; those that were stopped early only where there are no others.
        """
        able = {
            each.number: (each.state, signed(each.metrics, self.config.goals))
            for each in self.ended.values()
            if each.state != FAILED
        }
        return [self.ended[number] for number in front_of(able)]

    def publish(self) -> None:
        """The table of trials, and the best one's config."""
        front = self.front()
        buffer = io.BytesIO()
        pq.write_table(self._table(front), buffer, compression="zstd")
        self.folder.publish_bytes(TRIALS, buffer.getvalue())
        if front:
            best = front[0]
            config = trial_config(self.config, best.asked.values, self.folder.path_of("best"), self.share)
            goals = ", ".join(f"{name} {best.metrics[name]:.6g}" for name in self.config.goals)
            head = f"# Trial {best.number} of {self.trials}: {goals}. `invertone train` takes this file as it is.\n"
            self.folder.publish_bytes(BEST, (head + as_yaml(config)).encode())

    def _table(self, front: Sequence[Ended]) -> pa.Table:
        rows = [self.ended[number] for number in sorted(self.ended)]
        keys = sorted({key for row in rows for key in row.asked.values})
        metrics = sorted({name for row in rows for name in row.metrics})
        columns: dict[str, Any] = {
            "trial": pa.array([row.number for row in rows], pa.int32()),
            "state": pa.array([row.state for row in rows], pa.string()),
            "best": pa.array([bool(front) and row.number == front[0].number for row in rows], pa.bool_()),
            "on_front": pa.array([any(row.number == each.number for each in front) for row in rows], pa.bool_()),
            "steps": pa.array([row.steps for row in rows], pa.int64()),
            "seconds": pa.array([row.seconds for row in rows], pa.float64()),
            "run": pa.array([f"{RUNS}/{unit_of(row.number)}" for row in rows], pa.string()),
            "error": pa.array([row.error or None for row in rows], pa.string()),
        }
        columns |= {key: _column([row.asked.values.get(key) for row in rows]) for key in keys}
        columns |= {
            f"{METRIC}{name}": pa.array([row.metrics.get(name) for row in rows], pa.float64()) for name in metrics
        }
        about = {
            "version": VERSION,
            "training": self.config.training,
            "goals": self.config.goals,
            "space": self.config.space,
            "keys": keys,
            "search": self.config.search,
            "scheduler": self.config.scheduler,
            "seed": self.config.seed,
            "trials": self.trials,
        }
        return pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(about)})

    def _recorded(self, number: int) -> Asked | None:
        try:
            return Asked(**self.folder.read_json(point_file(number)))
        except FileNotFoundError:
            return None


def trial_config(config: TuneConfig, values: Mapping[str, Any], out: str, share: int = 0) -> TrainConfig:
    """The training of a trial, or of the best one. Raises UserError for keys and values that the training does not have."""
    given = {**_flat(config.given), **values, "out": out}
    if share and not given.get("cpus_per_worker"):
        given["cpus_per_worker"] = share
    try:
        training: TrainConfig = load_with(CATALOGUE, config.training, given)
    except UserError as error:  # what is typed for a sweep stands under `given`
        if not error.fix.startswith("add "):
            raise
        raise UserError(error.what, where=error.where, fix=error.fix.replace(" ", " given.")) from None
    return training


def check_goals(config: TuneConfig) -> None:
    if not config.goals:
        raise UserError("no goal is named", fix="add goals.METRIC=max or goals.METRIC=min")
    for name, way in config.goals.items():
        if way not in ("max", "min"):
            raise UserError(f"goals.{name}={way} is not one of max, min", fix="choose one")
    if config.scheduler == "asha" and len(config.goals) > 1:
        raise UserError("scheduler=asha knows one goal", fix="name one goal, or use scheduler=none")


def _column(values: Sequence[Any]) -> pa.Array:
    """Numbers as float64 (whole ones as int64), anything else as text."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return pa.array(values, pa.bool_())
    if all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return pa.array(values, pa.int64())
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones."""

    def pairs() -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, Mapping):
                yield from _flat(value, f"{prefix}{name}.").items()
            else:
                yield f"{prefix}{name}", value

    return dict(pairs())
