"""What a shard's worker has in hand at every moment: a crash must be blamed on the clip that caused it."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from invertone.cluster.config.loading import load
from invertone.cluster.formats.latents import latents_schema
from invertone.cluster.jobs.watch import Recorder, Watch
from invertone.infer.config import CATALOGUE
from invertone.infer.methods.method import Inversion
from invertone.infer.rows import ShardInverter
from invertone.models import signals
from tests.made import made_clips


class Echo:
    """An inverter that answers at once."""

    def __init__(self, seen: Any) -> None:
        self.seen = seen

    def __call__(self, target: torch.Tensor, keys: Any) -> Inversion:
        self.seen("invert", list(keys))
        count = len(target)
        none, steps = torch.zeros(count), torch.zeros(count, dtype=torch.int64)
        return Inversion(torch.zeros(count, 4), target.clone(), none, {}, steps, steps, ["encoded"] * count)


def test_clips_are_in_hand_while_decoded_inverted_and_encoded_and_suspects_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = made_clips(7, "train")
    key_of = {clip.data: clip.info.key for clip in clips}
    recorder, lock = Recorder((tmp_path / "recorder").open("w+b"), create=True), threading.Lock()
    in_hand: list[tuple[str, set[str], set[str]]] = []

    def seen(what: str, keys: list[str]) -> None:
        with lock:
            in_hand.append((what, set(keys), set(recorder.read())))

    usual, encoded = signals.CLIPS, ShardInverter._encoded
    decoding = dataclasses.replace(usual, decode=lambda data: (seen("decode", [key_of[data]]), usual.decode(data))[1])
    monkeypatch.setattr(signals, "CLIPS", decoding)

    def encoding(self: Any, keys: Any, *others: Any) -> Any:
        seen("encode", list(keys))
        return encoded(self, keys, *others)

    monkeypatch.setattr(ShardInverter, "_encoded", encoding)
    words = ["shards=a", "generator=b", "mapper=c", f"out={tmp_path}", "batch=2"]
    config = load(CATALOGUE, "encoder", words)
    suspects = frozenset({clips[1].info.key, clips[4].info.key})
    watch = Watch(recorder)
    watch.start({clips[6].info.key: "killed its worker"}, suspects)
    schema = latents_schema(4, [], {})
    rows = ShardInverter(config, Echo(seen), None, torch.device("cpu"), schema).rows(clips, watch)

    assert [row["key"] for row in rows] == [clip.info.key for clip in clips]
    assert [row["status"] for row in rows] == ["ok"] * 6 + ["error"] and rows[6]["error"] == "killed its worker"
    assert {what for what, _, _ in in_hand} == {"decode", "invert", "encode"}
    for what, keys, held in in_hand:
        assert keys <= held, f"{what} of {keys} with {held} in hand"
        if keys & suspects and what != "decode":
            assert held & suspects == keys
    last = clips[4].info.key
    assert all(held == {last} for _, keys, held in in_hand if keys == {last}), "the last suspect has no company at all"
    assert recorder.read() == []
