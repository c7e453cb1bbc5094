"""Training clips: permutations, ranks' parts, resuming in the middle, resident and streaming alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import invertone.train.data.clips
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.storage.folder import Folder
from invertone.train.data.clips import Batches, Clips, Order, split_parts
from invertone.train.objective import World
from tests.made import made_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, ShardManifest]:
    folder = Folder.at(str(tmp_path_factory.mktemp("shards")))
    return folder, made_shards(folder, train=(7, 7, 7, 7, 4), validation=0)


def clips_of(shards: tuple[Folder, ShardManifest], resident: str) -> Clips:
    folder, manifest = shards
    return Clips(folder, split_parts(manifest, ["train"])[0], resident)


def test_an_epoch_is_a_permutation_and_the_next_one_another(shards: tuple[Folder, ShardManifest]) -> None:
    clips = clips_of(shards, "yes")
    order = Order(clips, 3)
    first, second = order.numbers(0, clips.count), order.numbers(clips.count, 2 * clips.count)
    assert sorted(first) == sorted(second) == list(range(clips.count))
    assert list(first) != list(second)


def test_any_stretch_of_the_order_is_the_same_however_it_is_asked_for(shards: tuple[Folder, ShardManifest]) -> None:
    clips = clips_of(shards, "yes")
    whole = Order(clips, 3).numbers(0, 80)
    assert list(Order(clips, 3).numbers(33, 61)) == list(whole[33:61])


def test_streaming_shuffles_across_the_shards_of_a_block(
    shards: tuple[Folder, ShardManifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invertone.train.data.clips, "SHARDS_PER_BLOCK", 2)
    clips = clips_of(shards, "no")
    numbers = Order(clips, 0).numbers(0, clips.count)
    assert sorted(numbers) == list(range(clips.count))
    of_shard = np.searchsorted(clips.offsets, numbers, side="right") - 1
    assert len(set(of_shard[:8])) == 2 and list(of_shard[:8]) != sorted(of_shard[:8])


def test_streaming_reads_the_same_clips_as_resident_and_holds_few_shards(
    shards: tuple[Folder, ShardManifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invertone.train.data.clips, "SHARDS_PER_BLOCK", 1)
    resident, streaming = clips_of(shards, "yes"), clips_of(shards, "no")
    for numbers in (np.array([0, 9, 27]), np.array([28, 3, 14])):
        a, b = resident.read(numbers), streaming.read(numbers)
        assert torch.equal(a.signal, b.signal) and torch.equal(a.label, b.label)
        assert a.label.tolist() == [number % 3 for number in numbers]
    assert len(streaming._held) <= 2 < len(resident.parts)


def test_ranks_parts_together_are_the_global_batch(shards: tuple[Folder, ShardManifest]) -> None:
    clips = clips_of(shards, "yes")
    whole = Batches(clips, 8, (1,), World(), first=2).take()
    parts = [Batches(clips, 8, (1,), World(rank, 2), first=2).take() for rank in range(2)]
    assert torch.equal(torch.cat([part.signal for part in parts]), whole.signal)
    assert torch.equal(torch.cat([part.number for part in parts]), whole.number)


def test_a_resumed_run_takes_the_batches_that_an_undisturbed_one_takes(shards: tuple[Folder, ShardManifest]) -> None:
    clips = clips_of(shards, "yes")
    undisturbed = Batches(clips, 5, (1,), World(), first=0)
    for _ in range(9):
        undisturbed.take()
    assert torch.equal(Batches(clips, 5, (1,), World(), first=9).take().number, undisturbed.take().number)


def test_validation_clips_are_held_out_where_the_corpus_has_none(shards: tuple[Folder, ShardManifest]) -> None:
    training, validation, source = split_parts(shards[1], ["train"])
    assert sum(part.count for part in training) == 29 and sum(part.count for part in validation) == 3
    assert source == "held out of the training split"
    folder = shards[0]
    keys = set(Clips(folder, training).read(np.arange(29)).signal[:, 0].tolist())
    assert keys.isdisjoint(Clips(folder, validation).read(np.arange(3)).signal[:, 0].tolist())


def test_the_official_validation_split_is_used_where_there_is_one(tmp_path: Path) -> None:
    manifest = made_shards(Folder.at(str(tmp_path)), train=(6,), validation=4)
    training, validation, source = split_parts(manifest, ["train"])
    assert [part.count for part in training] == [6] and [part.count for part in validation] == [4]
    assert source == "validation split"


def test_a_split_without_clips_is_refused(shards: tuple[Folder, ShardManifest]) -> None:
    with pytest.raises(UserError, match="no clips of split test"):
        split_parts(shards[1], ["test"])
