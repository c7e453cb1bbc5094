"""The state of a sweep: what is remembered, which trial is best, the table and the config it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import FAILED, Ledger, Unit
from invertone.cluster.formats.sweeps import BEST, DONE, STOPPED, TRIALS, Design, Proposal, Trial, marked, unit_of
from invertone.cluster.formats.trials_table import read_trials
from invertone.cluster.storage.folder import Folder
from invertone.cluster.submit.reach import refuse_relative
from invertone.train.config import CATALOGUE as TRAININGS
from invertone.train.tune.config import CATALOGUE, TuneConfig
from invertone.train.tune.search import RandomSearch
from invertone.train.tune.search_space import parse
from invertone.train.tune.sweep import Sweep, check_goals, check_published, trial_config
from tests.made import made_shards

SPACE = {
    "balance": {"simplex": ["weights.reconstruction", "weights.prior"]},
    "learning_rate": {"loguniform": [1e-4, 1e-2]},
}


def config(place: Path, **values: Any) -> TuneConfig:
    given = {
        "training": "wae-digits",
        "given.steps": 2,
        "given.shards": place / "shards",
        "out": place / "sweep",
        **values,
    }
    words = [f"{key}={value}" for key, value in given.items()]
    found: TuneConfig = load(CATALOGUE, "debug", [*words, "search=random", "goals={distance: min}"])
    return found


def sweep(place: Path, trials: int = 4, **goals: str) -> Sweep:
    whole = config(place)
    object.__setattr__(whole, "space", SPACE)
    object.__setattr__(whole, "goals", goals or {"distance": "min"})
    ledger = Ledger(Folder.at(whole.out), "s")
    ledger.fix_plan([Unit(unit_of(number), {}) for number in range(trials)], {})
    return Sweep(whole, ledger, RandomSearch(parse(SPACE), 0), trials)


def ended(one: Sweep, number: int, state: str = DONE, **metrics: float) -> None:
    one.training(number)
    one.end(Trial(number, one.proposal(number), state, 2, 1.5, metrics, "it broke" if state == FAILED else ""))


def test_a_restarted_sweep_does_what_is_left_with_the_points_it_had(tmp_path: Path) -> None:
    one = sweep(tmp_path)
    ended(one, 0, distance=0.5)
    ended(one, 1, FAILED)
    begun = one.training(2)
    again = sweep(tmp_path)
    assert again.recall() == [1, 2, 3] and again.ended == {0: one.ended[0]}
    assert again.training(2) == begun and again.ledger.failures() == []


def test_the_best_trial_went_to_the_end_unless_none_did(tmp_path: Path) -> None:
    one = sweep(tmp_path)
    ended(one, 0, STOPPED, distance=0.1)
    assert [each.number for each in one.front()] == [0]
    ended(one, 1, distance=0.5)
    ended(one, 2, FAILED)
    ended(one, 3, distance=0.4)
    assert [each.number for each in one.front()] == [3]


def test_with_several_goals_nothing_on_the_front_is_beaten(tmp_path: Path) -> None:
    one = sweep(tmp_path, 5, score="max", distance="min")
    for number, (score, distance) in enumerate([(1, 1), (2, 2), (3, 1.5), (3, 3), (0.5, 0.9)]):
        ended(one, number, score=float(score), distance=float(distance))
    assert [each.number for each in one.front()] == [2, 0, 4]  # the best by the first goal comes first


def test_what_a_paper_found_best_goes_with_the_table(tmp_path: Path) -> None:
    made_shards(Folder.at(str(tmp_path / "shards")))
    one = sweep(tmp_path)
    object.__setattr__(one.config, "published", {"weights": {"prior": 0.4}})
    ended(one, 0, distance=0.5)
    one.publish()
    assert Design.readable(read_trials(one.folder)[1]).published == {"weights.prior": 0.4}
    check_published(one.config, parse(SPACE).keys)
    with pytest.raises(UserError, match=r"published\.weights\.prior is no key of the space"):
        check_published(one.config, ["learning_rate"])
    assert Design.readable({}).published == {} and Design.readable({"published": 3}).published == {}


def test_the_table_and_the_best_config(tmp_path: Path) -> None:
    made_shards(Folder.at(str(tmp_path / "shards")))
    one = sweep(tmp_path)
    one.share = 1
    ended(one, 0, distance=0.5)
    ended(one, 1, FAILED)
    ended(one, 2, STOPPED, distance=0.1)
    ended(one, 3, distance=0.2)
    one.publish()
    table = pd.read_parquet(tmp_path / "sweep" / TRIALS)
    assert table.trial.tolist() == [0, 1, 2, 3] and table.state.tolist() == [DONE, FAILED, STOPPED, DONE]
    assert table.best.tolist() == [False, False, False, True] and table["metric.distance"].tolist()[3] == 0.2
    assert (table["weights.reconstruction"] + table["weights.prior"]).tolist() == pytest.approx([1.0] * 4)
    assert table.error.tolist()[1] == "it broke" and pd.isna(table.error[0])
    trials, about = read_trials(one.folder)
    plain = [replace(each, proposal=Proposal(each.proposal.values)) for each in one.ended.values()]
    assert trials == marked(plain, one.config.goals) and Design.readable(about).space == SPACE
    best = load(TRAININGS, str(tmp_path / "sweep" / BEST))
    assert best.learning_rate == table.learning_rate[3] and best.weights.prior == table["weights.prior"][3]
    assert (best.out, best.steps, best.cpus_per_worker) == (str(tmp_path / "sweep/best"), 2, 1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"weights.priro": 1.0}, "unknown key 'weights.priro'.*did you mean 'weights.prior'"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0 is below"),
        ({"batch.size": 3}, "batch"),
    ],
)
def test_keys_and_values_that_the_training_does_not_have_are_named(
    tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        trial_config(config(tmp_path), values, str(tmp_path / "out"))


def test_paths_of_the_training_are_paths_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, so that a sweep is continued from anywhere; and what no cluster sees is refused before it is sent."""
    monkeypatch.chdir(tmp_path)
    words = ["out=s3://b/sweep", "given.shards=runs/a", "given.classifier=s3://b/c", "given.guidance.shards=runs/g"]
    found = load(CATALOGUE, "gaae-weights", [*words, "given.seed=3"])
    assert found.given["shards"] == str(tmp_path / "runs/a") and found.given["classifier"] == "s3://b/c"
    assert found.given["guidance"]["shards"] == str(tmp_path / "runs/g") and found.given["seed"] == 3
    written = load(CATALOGUE, "gaae-weights", words, paths_as_written=True)
    with pytest.raises(UserError, match=r"given.shards=runs/a: is a folder or file of this machine"):
        refuse_relative(written)


def test_keys_that_all_trials_need_are_asked_for_under_given(tmp_path: Path) -> None:
    bare = load(CATALOGUE, "mapper-weights", [f"out={tmp_path}", "given.shards=x"])
    with pytest.raises(UserError, match=r"generator not given; add given\.generator=…"):
        trial_config(bare, {}, str(tmp_path))


def test_goals_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"goals\.loss=least is not one of max, min"):
        check_goals(config(tmp_path, **{"goals.loss": "least"}))
    two = config(tmp_path, scheduler="asha")
    object.__setattr__(two, "goals", {"a": "max", "b": "min"})
    with pytest.raises(UserError, match="asha knows one goal"):
        check_goals(two)
    object.__setattr__(two, "goals", {})
    with pytest.raises(UserError, match="no goal is named"):
        check_goals(two)
