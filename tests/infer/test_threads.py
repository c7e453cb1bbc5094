"""A clip's result does not depend on how many threads its worker has."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import load_manifest
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.infer.config import CATALOGUE
from invertone.infer.stage import InversionStage
from invertone.infer.threads import Threads, worker_threads
from invertone.models.guest_copies import for_threads
from invertone.models.guests.guest import Description, Guest
from invertone.models.prior import Prior
from tests.made import made_shards, tiny_models, train_tiny

CLIPS = 21  # two tiles and a part of one


@pytest.fixture(autouse=True)
def torch_s_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards and tiny models of them."""
    found = tmp_path_factory.mktemp("threads")
    shards = Folder.at(str(found / "shards"))
    made_shards(shards, (CLIPS,), 6)
    tiny_models(shards, found)
    train_tiny("gaae-debug", shards, Folder.at(str(found / "gaae")), steps=1, checkpoint_every=1)
    return found


METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder": ("encoder", {}),
    "hybrid": ("hybrid", {"evaluations": 3, "starts": 4}),  # more searches than are under way at once
    "gradient": ("gradient", {"evaluations": 7, "starts": 1, "stop.patience": 3, "stop.improvement": 0.02}),
    "adam": ("gradient-adam", {"evaluations": 7, "starts": 1}),
    "scipy": ("gradient", {"optimiser": "scipy", "evaluations": 4, "starts": 1}),
    "gaae": ("gaae", {}),
    "spectrogram": ("hybrid-spectrogram", {"evaluations": 3, "starts": 2}),
    "labels": ("gradient-spectrogram", {"evaluations": 3, "starts": 2, "label": "search"}),
    "spectrogram-scipy": ("hybrid-spectrogram", {"evaluations": 2, "optimiser": "scipy", "label": "clip"}),
}


def rows(place: Path, method: str, threads: int, **more: Any) -> list[dict[str, Any]]:
    """Every column of every clip, by a worker with so many threads."""
    name, values = METHODS[method]
    given = {"shards": place / "shards", "out": place / "out", "classifier": place / "classifier", "device": "cpu"}
    given |= {"generator": place / ("gaae" if name == "gaae" or "spectrogram" in name else "wavegan")}
    given |= {"mapper": place / "mapper"} if name in ("encoder", "hybrid") else {}
    config = load(CATALOGUE, name, [f"{key}={value}" for key, value in (given | values | more).items()])
    (entry,) = load_manifest(Folder.at(config.shards)).of_splits(["train"])
    result = InversionStage(config, {}).open(threads, Watch())(dataclasses.asdict(entry))
    (data,) = result.outputs.values()
    return pq.read_table(io.BytesIO(data)).to_pylist()


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_the_same_to_the_bit_on_any_number_of_threads(method: str, place: Path) -> None:
    """Latents, reconstructions, losses, scores, steps and reasons to stop."""
    alone = rows(place, method, 1)
    assert len(alone) == CLIPS and {row["status"] for row in alone} == {"ok"}
    for threads in (2, 4):
        assert rows(place, method, threads) == alone


@pytest.mark.parametrize("method", ["encoder", "hybrid", "gaae", "spectrogram", "labels"])
def test_rows_are_the_same_to_the_bit_in_batches_of_any_size(method: str, place: Path) -> None:
    one = rows(place, method, 2, batch=1)
    assert rows(place, method, 2, batch=5) == one and rows(place, method, 1, batch=1_000) == one


@pytest.mark.parametrize("batch", [1, 64])
def test_tiles_of_another_size_are_another_run_with_the_same_latents_but_for_rounding(batch: int, place: Path) -> None:
    usual, other = rows(place, "encoder", 1), rows(place, "encoder", 2, tile=3, batch=batch)
    for mine, theirs in zip(usual, other, strict=True):
        assert np.allclose(mine["latent"], theirs["latent"], atol=1e-5)
        assert theirs["ssim"] == pytest.approx(mine["ssim"], abs=1e-4)


@pytest.mark.parametrize("method", ["encoder", "gaae"])
def test_bf16_is_near_and_tf32_is_for_gpus(method: str, place: Path) -> None:
    exact, rough = (
        np.array([row["latent"] for row in rows(place, method, 1, precision=each)]) for each in ("float32", "bf16")
    )
    assert not np.array_equal(exact, rough)
    assert np.abs(exact - rough).max() < 0.05 * np.abs(exact).max()
    with pytest.raises(UserError, match="tf32 exists on GPUs only"):
        rows(place, method, 1, precision="tf32")


def test_networks_are_compiled_where_that_is_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the spectrogram before them is not. What a compiler makes of them is its own affair (it cannot trace what is
    checked for shapes, as all is under test)."""
    compiled: list[str] = []

    def compile_(what: Any, *_: Any) -> Any:
        compiled.append(getattr(what, "__name__", type(what).__name__))
        return what

    usual = rows(place, "encoder", 2)
    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(nn.Module, "compile", compile_)
    assert rows(place, "encoder", 2, compile="true") == usual
    assert compiled == ["of_spectrogram", "WaveganGenerator"]
    rows(place, "gaae", 2, compile="true")
    assert compiled[2:] == ["Encoder", "Head", "Decoder"]


def test_pieces_are_computed_by_single_threads_with_the_caller_s_gradients() -> None:
    threads = Threads(3)
    with torch.no_grad():
        found = threads.map(lambda at: (at, torch.get_num_threads(), torch.is_grad_enabled()), range(7))
    assert found == [(at, 1, False) for at in range(7)]
    assert Threads(0).map(lambda a, b: a + b, [1, 2], [3, 4]) == [4, 6]


def test_what_fails_is_raised_when_all_threads_rest() -> None:
    working: set[int] = set()

    def piece(at: int) -> None:
        working.add(at)
        time.sleep(0.02)
        working.discard(at)
        if at in (1, 2):
            raise ValueError(str(at))

    with pytest.raises(ValueError, match="1"):
        Threads(4).map(piece, range(40))
    assert not working


def test_a_gpu_s_worker_computes_in_the_calling_thread() -> None:
    before = torch.get_num_threads()
    assert worker_threads(torch.device("cuda"), 4).count == 0 and torch.get_num_threads() == before
    assert worker_threads(torch.device("cpu"), 4).count == 4 and torch.get_num_threads() == 1


class Forgetful(torch.nn.Module):
    """Keeps what it computes in itself, as code of one thread may."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, latent: Tensor) -> Tensor:
        self.kept = latent * self.weight
        time.sleep(0.02)
        return self.kept


class Uncopied(Forgetful):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot be copied")


@pytest.mark.parametrize("kind", [Forgetful, Uncopied])
def test_a_class_that_keeps_things_in_itself_is_no_danger(kind: type[Forgetful]) -> None:
    made = kind()
    guest: Any = for_threads(Guest(Description(2, Prior("normal")), made))  # type: ignore[arg-type]
    latents = [torch.full((1, 2), float(at)) for at in range(8)]
    assert all(torch.equal(*pair) for pair in zip(Threads(4).map(guest, latents), latents, strict=True))
    assert guest.latent_size == 2
