"""Latents as people keep them, edited perhaps → sound."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from invertone import command_line
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.infer.generate.maker import Maker
from invertone.models.generator import load_generator
from tests.made import made_shards, train_tiny


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("decode")
    made_shards(Folder.at(str(place / "shards")), train=(6,), validation=0)
    return train_tiny("wavegan-debug", Folder.at(str(place / "shards")), Folder.at(str(place / "g")), steps=1).uri


def latents(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, 8)).astype(np.float32)


def decoded(generator: str, source: Path, out: Path, *more: str) -> int:
    return command_line.main(["decode", str(source), f"out={out}", f"generator={generator}", "device=cpu", *more])


def test_every_form_of_the_same_latents_makes_the_same_sound(generator: str, tmp_path: Path) -> None:
    given = latents(70)
    np.save(tmp_path / "a.npy", given)
    np.save(tmp_path / "b.npy", given.astype(np.float64))
    (tmp_path / "c.json").write_text(json.dumps(given.tolist()))
    table = pa.table({"key": [f"k{i}" for i in range(70)], "latent": list(given)})
    (tmp_path / "run").mkdir()
    pq.write_table(table.slice(0, 30), tmp_path / "run" / "0.parquet")
    pq.write_table(table.slice(30), tmp_path / "run" / "1.parquet")
    pq.write_table(table, tmp_path / "d.parquet")
    sounds = []
    for number, source in enumerate(("a.npy", "b.npy", "c.json", "run", "d.parquet")):
        assert decoded(generator, tmp_path / source, tmp_path / f"{number}.wav", f"batch={8 * number + 1}") == 0
        sounds.append(soundfile.read(tmp_path / f"{number}.wav", dtype="int16")[0])
    assert len(sounds[0]) == 70 * USUAL.samples and np.abs(sounds[0]).max() > 0
    assert all(np.array_equal(each, sounds[0]) for each in sounds)


def test_a_folder_takes_a_file_per_clip_by_its_key(generator: str, tmp_path: Path) -> None:
    given = latents(3)
    keys = ["nine/a", "../out", "ö b"]
    pq.write_table(pa.table({"key": keys, "latent": list(given)}), tmp_path / "d.parquet")
    assert decoded(generator, tmp_path / "d.parquet", tmp_path / "clips", "format=flac") == 0
    assert (
        sorted(each.name for each in (tmp_path / "clips").iterdir())
        == [
            "..%2Fout.flac",
            "nine%2Fa.flac",
            "%C3%B6 b.flac",
        ]
        or len(list((tmp_path / "clips").iterdir())) == 3
    )
    assert not (tmp_path / "out.flac").exists(), "a key climbed out of the folder"
    np.save(tmp_path / "one.npy", given[0])
    assert decoded(generator, tmp_path / "one.npy", tmp_path / "ones") == 0
    assert [each.name for each in (tmp_path / "ones").iterdir()] == ["0.wav"]


def test_latents_beyond_the_prior_are_made_and_said(
    generator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", latents(4) * np.array([[1], [1], [3], [3]], np.float32))
    assert decoded(generator, tmp_path / "a.npy", tmp_path / "a.wav") == 0
    assert "2 of the latents lie outside the prior's box" in capsys.readouterr().out


def test_what_are_no_latents_is_one_line_and_nothing_is_written(
    generator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((2, 9), np.float32))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "nan.npy", np.full((1, 8), np.nan))
    np.save(tmp_path / "code.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "bad.npy").write_bytes(b"no array")
    (tmp_path / "bad.json").write_text('{"clips": [{}]}')
    (tmp_path / "uneven.json").write_text("[[1, 2], [1]]")
    (tmp_path / "latents.csv").write_text("1,2")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.parquet").write_bytes(b"no table at all")
    pq.write_table(pa.table({"key": ["a"], "z": [[1.0] * 8]}), tmp_path / "z.parquet")
    before = sorted(tmp_path.iterdir())
    for source, said in [
        ("wide.npy", "has the shape (2, 9); latents of this generator are [n, 8]"),
        ("text.npy", "no numbers"),
        ("nan.npy", "not finite"),
        ("code.npy", "is no .npy file"),
        ("bad.npy", "is no .npy file"),
        ("bad.json", "holds no latents"),
        ("uneven.json", "holds no latents"),
        ("latents.csv", "holds no latents by its name"),
        ("nowhere.npy", "no such file"),
        ("empty", "no Parquet file here"),
        ("no.parquet", "is no Parquet"),
        ("nowhere.parquet", "no such file"),
        ("z.parquet", "has no column 'latent'"),
    ]:
        assert decoded(generator, tmp_path / source, tmp_path / "o.wav") == 2, source
        captured = capsys.readouterr()
        assert said in captured.err and captured.err.count("\n") == 1, captured.err
    assert sorted(tmp_path.iterdir()) == before
    assert decoded(generator, tmp_path / "z.parquet", tmp_path / "o.wav", "column=z") == 0


def test_latents_lie_where_bulk_jobs_write_them(generator: str, tmp_path: Path) -> None:
    given, remote = latents(3), Folder("memory://decode")
    table, array = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.table({"key": ["a", "b", "c"], "latent": list(given)}), table)
    np.save(array, given)
    remote.publish_bytes("run/part.parquet", table.getvalue())
    remote.publish_bytes("a.npy", array.getvalue())
    sounds = []
    for source in ("run", "run/part.parquet", "a.npy"):
        words = [
            "decode",
            f"memory://decode/{source}",
            f"out={tmp_path / 'o.wav'}",
            f"generator={generator}",
            "device=cpu",
        ]
        assert command_line.main(words) == 0
        sounds.append((tmp_path / "o.wav").read_bytes())
    assert sounds[0] == sounds[1] == sounds[2]
    assert (
        command_line.main(["decode", "memory://decode/a.npy", "out=memory://decode/clips", f"generator={generator}"])
        == 0
    )
    assert remote.names("clips") == ["0.wav", "1.wav", "2.wav"]


def test_of_two_clips_with_one_key_none_is_lost_in_silence(
    generator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"key": ["a", "b", "a"], "latent": list(latents(3))}), tmp_path / "d.parquet")
    assert decoded(generator, tmp_path / "d.parquet", tmp_path / "clips") == 2
    assert "the key 'a' comes twice" in capsys.readouterr().err
    assert decoded(generator, tmp_path / "d.parquet", tmp_path / "all.wav") == 0
    assert len(soundfile.read(tmp_path / "all.wav")[0]) == 3 * USUAL.samples


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_a_sample(
    generator: str, tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bulk generation makes of a latent is what it is decoded to."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    made = Maker(load_generator(generator)[0], USUAL, torch.device("cpu"))(torch.from_numpy(latents(20)))
    np.save(tmp_path / "a.npy", latents(20))
    assert decoded(generator, tmp_path / "a.npy", tmp_path / "a.wav") == 0
    sound = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    assert np.array_equal(sound, np.concatenate([each.values for each in made]))
