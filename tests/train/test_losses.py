"""A run that diverges stops, says where it did, and saves nothing; no update waits for the device to know."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from invertone.cluster.formats.checkpoints import CHECKPOINTS
from invertone.cluster.storage.folder import Folder
from invertone.train.build import build_trainer
from invertone.train.loop import losses as losses_module
from invertone.train.loop.losses import Losses, NonFiniteLossError
from invertone.train.loop.record import read_metrics
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Draw, World
from tests.made import tiny_config
from tests.train.golden import NAMES, material, material_of

CPU = torch.device("cpu")
ASKS = ("item", "tolist", "numpy", "cpu", "nonzero", "masked_select", "__bool__", "__float__", "__int__", "__index__")
"""What makes the host wait for a GPU, besides an index of booleans."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("losses")))
    material(folder)
    return folder


def trainer_of(name: str, place: Folder, out: Path, **values: Any) -> Trainer:
    given = material_of(name, place)
    shards = Folder.at(given.pop("shards"))
    config = tiny_config(name, shards, Folder.at(str(out)), **{"samples": 0, **given, **values})
    return build_trainer(config, World(), CPU, lambda step, values: None)


def altered(trainer: Trainer, change: Callable[[int, dict[str, Tensor]], dict[str, Tensor]]) -> list[int]:
    """Has `change` make other terms of those of the first phase, by step; returns the steps as they are done."""
    phase, *others = trainer.objective.phases
    done: list[int] = []

    def losses(draw: Draw) -> Mapping[str, Tensor]:
        done.append(draw.step)
        return change(draw.step, dict(phase.losses(draw)))

    trainer.objective.phases = (dataclasses.replace(phase, losses=losses), *others)  # type: ignore[misc]
    return done


def spoilt_at(step: int, *terms: str) -> Callable[[int, dict[str, Tensor]], dict[str, Tensor]]:
    def change(now: int, found: dict[str, Tensor]) -> dict[str, Tensor]:
        return found | {name: found[name] * math.nan for name in terms if now == step}

    return change


@pytest.mark.parametrize("terms", [("cross_entropy",), ("error",), ("error", "cross_entropy")])
def test_a_run_that_diverged_is_told_of_its_first_bad_term_at_the_next_line(
    terms: tuple[str, ...], place: Folder, tmp_path: Path
) -> None:
    """Also where every later step is finite, as `error` is, which moves nothing."""
    trainer = trainer_of("classifier-debug", place, tmp_path, steps=20, log_every=4, checkpoint_every=20)
    done = altered(trainer, spoilt_at(6, *terms))
    first = "cross_entropy" if "cross_entropy" in terms else "error"
    with pytest.raises(NonFiniteLossError, match=rf"^loss term classifier/{first} became nan at step 6$"):
        trainer.run()
    assert done == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [line["step"] for line in read_metrics(Folder.at(str(tmp_path)))] == [4]
    assert not Folder.at(str(tmp_path)).folders(CHECKPOINTS)


def test_no_checkpoint_holds_weights_of_a_run_that_diverged(place: Folder, tmp_path: Path) -> None:
    """Though the next line of metrics is far: losses are read before anything is saved."""
    trainer = trainer_of("classifier-debug", place, tmp_path, steps=20, log_every=20, checkpoint_every=4)
    done = altered(trainer, spoilt_at(5, "cross_entropy"))
    with pytest.raises(NonFiniteLossError, match=r"became nan at step 5$"):
        trainer.run()
    assert done[-1] == 8
    assert Folder.at(str(tmp_path)).folders(CHECKPOINTS) == ["step-00000004"]


def test_nor_where_the_last_update_spoilt_the_weights_of_losses_that_are_finite(place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of("classifier-debug", place, tmp_path, steps=4, log_every=1, checkpoint_every=2)
    network = trainer.objective.networks["classifier"]

    def spoil(*_: Any) -> None:
        if spoil.calls == 4:  # type: ignore[attr-defined]
            with torch.no_grad():
                next(network.parameters()).view(-1)[0] = math.inf
        spoil.calls += 1  # type: ignore[attr-defined]

    spoil.calls = 1  # type: ignore[attr-defined]
    trainer.objective.optimisers["classifier"].register_step_post_hook(spoil)
    with pytest.raises(NonFiniteLossError, match=r"^weights of classifier became NaN or infinite by step 4$"):
        trainer.run()
    assert Folder.at(str(tmp_path)).folders(CHECKPOINTS) == ["step-00000002"]


def test_it_is_not_told_hours_later(place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither a line nor a checkpoint comes for long."""
    monkeypatch.setattr(losses_module, "READ_AT_MOST", 3)
    trainer = trainer_of("classifier-debug", place, tmp_path, steps=100, log_every=100, checkpoint_every=100)
    done = altered(trainer, spoilt_at(5, "cross_entropy"))
    with pytest.raises(NonFiniteLossError, match=r"became nan at step 5$"):
        trainer.run()
    assert done[-1] == 6


def test_means_are_of_all_updates_since_they_were_taken() -> None:
    losses = Losses()
    for step, value in enumerate((1.0, 2.0, 6.0), 1):
        losses.add(step, "a", {"x": torch.tensor(value), "y": torch.tensor(-value)})
        if step == 2:
            losses.read()  # read twice, taken once
    losses.add(3, "b", {"x": torch.tensor(0.5)})
    assert losses.take() == {"a/x": 3.0, "a/y": -3.0, "b/x": 0.5}
    assert losses.take() == {}


def test_a_loss_is_kept_as_it_was_though_its_tensor_changes() -> None:
    losses, term = Losses(), torch.tensor(1.0)
    losses.add(1, "a", {"x": term})
    term.fill_(math.nan)
    assert losses.take() == {"a/x": 1.0}


class Reads(TorchFunctionMode):
    """Notes where the host asks for a number of a tensor: file and function. Of numbers that were drawn on the host, and the
    optimisers' own counters, which lie there, it may ask."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        masked = name == "__getitem__" and isinstance(args[1], Tensor) and args[1].dtype == torch.bool
        if name in ASKS or masked:
            frames = list(_callers())
            if not any("torch/optim" in frame or frame.endswith("draw_shifts") for frame in frames):
                self.places.append(f"{name} in {frames[0]}")
        return func(*args, **(kwargs or {}))


def _callers() -> Iterator[str]:
    frame = sys._getframe(2)
    while frame is not None:
        yield f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]


@pytest.mark.parametrize("name", NAMES)
def test_no_update_asks_the_device_for_a_number(name: str, place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of(name, place, tmp_path, steps=3)
    sources, losses = trainer._sources(0), Losses()
    trainer.step(1, sources, losses)  # makes what is made once, such as filters
    with Reads() as reads:
        for step in (2, 3):
            trainer.step(step, sources, losses)
    sources.close()
    assert reads.places == []
    with Reads() as reads:
        assert losses.take()
    assert len(reads.places) == 1 and "tolist" in reads.places[0]


def test_a_run_asks_once_for_each_line_and_before_each_checkpoint(place: Folder, tmp_path: Path) -> None:
    trainer = trainer_of("classifier-debug", place, tmp_path, steps=12, log_every=4, checkpoint_every=6)
    trainer._checkpoint = lambda step, record: None  # type: ignore[method-assign]
    done = altered(trainer, lambda step, found: found)
    asked: list[int] = []
    plain = Losses.read

    def read(self: Losses) -> None:
        with Reads() as reads:
            plain(self)
        asked.extend(done[-1:] * len(reads.places))

    with pytest.MonkeyPatch.context() as patch, Reads() as reads:
        patch.setattr(Losses, "read", read)
        trainer.run()
    assert asked == [4, 6, 8, 12]
    assert not [place for place in reads.places if "losses.py" not in place]


def test_the_counter_sees_what_asks() -> None:
    value = torch.ones(3)
    with Reads() as reads:
        float(value[0])
        bool(value.sum() > 0)
        value[value > 0]
        value.tolist()
        value.sum().item()
        value[1:]
        torch.where(value > 0, value, 0.0)
    assert [place.split(" in ")[0] for place in reads.places] == [
        "__float__",
        "__bool__",
        "__getitem__",
        "tolist",
        "item",
    ]
