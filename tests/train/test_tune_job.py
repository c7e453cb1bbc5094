"""Sweeps on a real Ray session: ordinary trainings side by side, failures listed, the best trained again to the same end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from invertone.cluster.config.loading import load
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.ledger import FAILED, Ledger
from invertone.cluster.formats.sweeps import BEST, DONE, STOPPED, TRIALS
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.train import job
from invertone.train.config import CATALOGUE as TRAININGS
from invertone.train.tune.config import CATALOGUE
from invertone.train.tune.job import plan, run
from tests.made import TINY, made_shards

GOAL = "stft_distance"

SHIPPED = [
    f"{name}{twin}"
    for name in ("mapper-weights", "gaae-weights", "gaae-generation-weight", "gaae-alpha")
    for twin in ("", "-debug")
] + ["debug"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("tune")))
    made_shards(folder)
    return folder


def sweep(shards: Folder, out: Path, space: dict[str, Any], **values: Any) -> Any:
    """A config file as a user writes one, and how `tune` loads it."""
    given = {**TINY["wae-digits"], "shards": shards.uri, "batch": 6, "steps": 4, "checkpoint_every": 2, "samples": 0}
    whole = {"sweep": "training", "training": "wae-digits", "given": given, "space": space, "goals": {GOAL: "min"}}
    file = out.with_suffix(".yaml")
    file.write_text(json.dumps({**whole, **values, "out": str(out)}))
    return load(CATALOGUE, str(file))


def table(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / TRIALS)


@pytest.mark.long
def test_a_sweep_over_a_simplex(ray_session: Capacity, shards: Folder, tmp_path: Path, capsys: Any) -> None:
    """One of three trials breaks; a lost commit is done again from its checkpoint; the best is trained again."""
    out = tmp_path / "sweep"
    space = {
        "balance": {"simplex": ["weights.reconstruction", "weights.prior"]},
        "learning_rate": {"choice": [0.001, 1e30, 0.002]},
    }
    config = sweep(shards, out, space, search="random", trials=3, seed=1)
    with pytest.raises(JobIncompleteError, match=r"of 3 trials failed.*became (nan|inf)"):
        run("made", config)
    found = table(out)
    broken = found.learning_rate == 1e30
    assert 1 <= broken.sum() < 3 and (found.state[broken] == FAILED).all() and (found.state[~broken] == DONE).all()
    assert found.error[broken].str.contains("loss term").all() and (found.steps[~broken] == 4).all()
    assert (found["weights.reconstruction"] + found["weights.prior"]).tolist() == pytest.approx([1.0] * 3)
    best = found[found.best].iloc[0]
    assert best[f"metric.{GOAL}"] == found[f"metric.{GOAL}"].min()
    # every trial is a run folder like any other
    folder = out / str(best.run)
    assert json.loads((folder / "__invertone/run.json").read_text())["stage"] == "train"
    curve = (folder / "metrics.jsonl").read_text()
    # lost: the commit of the best trial. Its training is finished, and is not done again
    (out / f"__invertone/ledger/commits/{best.trial:06d}.json").unlink()
    with pytest.raises(JobIncompleteError):
        run("made", config)
    assert (folder / "metrics.jsonl").read_text() == curve
    again = table(out)
    assert again[f"metric.{GOAL}"].tolist() == pytest.approx(
        found[f"metric.{GOAL}"].tolist(), nan_ok=True, rel=0, abs=0
    )
    assert [each.unit for each in Ledger(Folder.at(str(out))).failures()] == [f"{n:06d}" for n in found.trial[broken]]
    # the winner, by the ordinary training
    job.run("best", load(TRAININGS, str(out / BEST)))
    summary = json.loads((out / "best/__invertone/summary.json").read_text())
    assert summary["metrics"][GOAL] == best[f"metric.{GOAL}"]
    # a finished sweep is given more trials, and keeps those it has
    with pytest.raises(JobIncompleteError):
        run("made", sweep(shards, out, space, search="random", trials=4, seed=1))
    more = table(out)
    assert more.trial.tolist() == [0, 1, 2, 3] and more.learning_rate[:3].tolist() == found.learning_rate.tolist()
    assert (out / best.run / "metrics.jsonl").read_text() == curve


@pytest.mark.long
def test_asha_stops_what_is_behind(ray_session: Capacity, shards: Folder, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    space = {"learning_rate": {"choice": [1e-3, 1e-9]}}
    given = {"search": "grid", "scheduler": "asha", "reduction": 2, "concurrent": 1}
    config = sweep(shards, out, space, **given)
    run("made", config)
    found = table(out)
    assert set(found.state) <= {DONE, STOPPED} and (found.steps[found.state == STOPPED] < 4).all()
    assert found.state[found.best].tolist() == [DONE]


def test_a_goal_that_is_no_metric_ends_the_sweep_with_those_there_are(
    ray_session: Capacity, shards: Folder, tmp_path: Path
) -> None:
    config = sweep(shards, tmp_path / "sweep", {"learning_rate": {"uniform": [1e-4, 1e-3]}}, goals={"accuracy": "max"})
    with pytest.raises(UserError, match=f"no such metric; choose among .*{GOAL}"):
        run("made", config)


def test_what_would_be_done_and_what_is_refused(shards: Folder, tmp_path: Path) -> None:
    space = {"w": {"simplex": ["weights.reconstruction", "weights.features", "weights.prior"]}}
    lines = plan(sweep(shards, tmp_path / "a", space, search="grid", grid=4))
    assert lines[0].startswith("would train: 10 trials of wae-digits (wae), 4 updates each")
    with pytest.raises(UserError, match=r"unknown key 'weights\.priro'"):
        plan(sweep(shards, tmp_path / "b", {"weights.priro": {"uniform": [0, 1]}}))
    with pytest.raises(UserError, match="space is empty"):
        plan(sweep(shards, tmp_path / "c", {}))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sweeps_name_keys_that_their_training_has(name: str, tmp_path: Path) -> None:
    from invertone.train.tune.search_space import parse
    from invertone.train.tune.sweep import trial_config

    config = load(CATALOGUE, name, [f"out={tmp_path}"])
    space = parse(config.space)
    assert config.published.keys() <= {*space.keys}
    values = space.values(dict.fromkeys(space.coordinates, 0.3)) | dict.fromkeys(
        ("shards", "generator", "classifier"), "x"
    )
    known = load(TRAININGS, config.training, [f"{key}=x" for key in ("shards", "out")] + _needed(config.training))
    values = {key: value for key, value in values.items() if hasattr(known, key.split(".")[0])}
    assert trial_config(config, values, str(tmp_path / "trial")).out == str(tmp_path / "trial")


def _needed(training: str) -> list[str]:
    return ["generator=x", "classifier=x"] if training.startswith("mapper") else []


@pytest.mark.parametrize(
    ("name", "keys", "best"),
    [
        ("gaae-generation-weight", ("weights.generation", "weights.reconstruction"), 0.6),
        ("gaae-alpha", ("weights.alpha", "weights.beta"), 0.5),
    ],
)
def test_the_papers_sweeps_try_a_weight_against_what_it_leaves_of_one(
    name: str, keys: tuple[str, str], best: float, tmp_path: Path
) -> None:
    from invertone.train.tune.search import GridSearch
    from invertone.train.tune.search_space import parse

    config = load(CATALOGUE, name, [f"out={tmp_path}"])
    tried = GridSearch.of(parse(config.space), config.grid).combinations
    assert [each[keys[0]] for each in tried] == pytest.approx([n / 10 for n in range(1, 10)])
    assert [sum(map(float, each.values())) for each in tried] == pytest.approx([1.0] * 9)
    assert config.published == {keys[0]: best} and any(each[keys[0]] == pytest.approx(best) for each in tried)
    assert config.goals == {"inception_score": "max", "frechet_distance": "min", "accuracy": "max"}
    assert config.given == {"validate_labels": True}
