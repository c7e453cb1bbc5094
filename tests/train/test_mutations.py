"""What the golden numbers are worth: an objective that is changed a little is told from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from invertone.cluster.storage.folder import Folder
from invertone.train.loop.trainer import Sources, Trainer
from tests.train.golden import NAMES, differing, golden, material, train_in_double


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("mutations")))
    material(folder)
    return folder


def weighted(phase: str, term: str, factor: float) -> Callable[[Trainer], None]:
    """Counts one loss term otherwise: not at all (0), with the wrong sign (-1), with a weight a little off (1.1)."""

    def alter(trainer: Trainer) -> None:
        phases = tuple(
            dataclasses.replace(each, weights={**each.weights, term: each.weights.get(term, 1.0) * factor})
            if each.name == phase
            else each
            for each in trainer.objective.phases
        )
        assert phases != trainer.objective.phases
        trainer.objective.phases = phases  # type: ignore[misc]

    return alter


def shifted(trainer: Trainer) -> None:
    """Every batch is the one that would come next."""
    made = trainer._sources

    def later(first: int) -> Sources:
        sources = made(first)
        for each in (sources.real, sources.guided):
            if each is not None:
                each.next += 1
        return sources

    trainer._sources = later  # type: ignore[method-assign]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_changed_objective_is_told(name: str, place: Folder, tmp_path: Path) -> None:
    """By the first step alone: each term that moves something left out, turned round or weighted a little more, and other
    batches. What is not changed is not told from it."""
    monitors: set[str] = set()

    def note(trainer: Trainer) -> None:
        monitors.update(f"{phase.name}/{term}" for phase in trainer.objective.phases for term in phase.monitors)

    def seen(at: str, alter: Callable[[Trainer], None]) -> set[str]:
        found = train_in_double(name, place, Folder.at(str(tmp_path / at)), 1, alter)
        return differing(found, golden(name))

    assert not seen("unchanged", note)
    terms = [term for term in golden(name) if not term.startswith("gradient") and term not in monitors]
    assert terms
    mutations = {
        f"{term} x {factor}": weighted(*term.split("/"), factor) for term in terms for factor in (0.0, -1.0, 1.1)
    }
    unseen = [
        what for what, alter in {**mutations, "shifted": shifted}.items() if not seen(what.replace("/", "-"), alter)
    ]
    assert not unseen
