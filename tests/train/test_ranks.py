"""Two ranks with half a batch each compute what one process computes with all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from invertone.cluster.storage.folder import Folder
from invertone.train.objective import World
from tests.train.golden import NAMES, differing, material, train_in_double

STEPS = 2


def _rank(rank: int, place: str, out: str, rendezvous: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    for name in NAMES:
        found = train_in_double(name, Folder.at(place), Folder.at(out) / name, STEPS, world=World(rank, 2), workers=2)
        Path(f"{out}/{name}-{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("ranks")))
    material(folder)
    return folder


@pytest.fixture(scope="module")
def two_ranks(place: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every objective trained on two ranks, one after the other in one pair of processes."""
    out = tmp_path_factory.mktemp("two")
    mp.spawn(_rank, args=(place.uri, str(out), str(out / "rendezvous")), nprocs=2)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_with_half_the_batch_equal_one_with_all_of_it(
    name: str, place: Folder, two_ranks: Path, tmp_path: Path
) -> None:
    """In double precision, so that nothing hides behind rounding: losses, and gradients after they were averaged."""
    one = train_in_double(name, place, Folder.at(str(tmp_path)), STEPS)
    first = json.loads((two_ranks / f"{name}-0.json").read_text())
    assert not differing(first, one)
    other = json.loads((two_ranks / f"{name}-1.json").read_text())
    assert {term: values for term, values in other.items() if term.startswith("gradient")} == {
        term: values for term, values in first.items() if term.startswith("gradient")
    }
