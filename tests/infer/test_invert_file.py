"""One recording and back, without Ray: what bulk inference would have found, and files that can be edited."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from invertone import command_line
from invertone.audio.clip import decode
from invertone.cluster.config.loading import load
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.infer.config import CATALOGUE
from invertone.infer.job import run as infer
from tests.inside import inside
from tests.made import made_shards, tiny_models, tone, train_tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("invert")
    shards = Folder.at(str(place / "shards"))
    made_shards(shards, train=(6,), validation=0)
    tiny_models(shards, place)
    return place


@pytest.fixture
def given(place: Path) -> list[str]:
    """The models of these tests."""
    roles = {"generator": "wavegan", "mapper": "mapper", "classifier": "classifier"}
    return [f"{role}={place / folder}" for role, folder in roles.items()] + ["device=cpu", "threads=1"]


def write(path: Path, seconds: float = 1.024, rate: int = USUAL.sample_rate) -> Path:
    sound = np.tile(tone(1, np.random.default_rng(1)), 8)[: round(seconds * rate)]
    soundfile.write(path, sound, rate)
    return path


@pytest.mark.parametrize("method", ["encoder", "hybrid"])
def test_a_file_s_latent_is_the_one_that_bulk_inference_finds(
    place: Path, tmp_path: Path, given: list[str], method: str
) -> None:
    from invertone.cluster.formats.shards import load_manifest, read_shard

    (entry,) = load_manifest(Folder.at(str(place / "shards"))).shards
    clip = next(iter(read_shard(Folder.at(str(place / "shards")), entry)))
    soundfile.write(tmp_path / "one.wav", decode(clip.data), USUAL.sample_rate)
    more = ["evaluations=4"] if method == "hybrid" else []
    assert (
        command_line.main(
            ["invert", str(tmp_path / "one.wav"), str(tmp_path / "a.wav"), f"method={method}", *given, *more]
        )
        == 0
    )
    words = [*given[:4], f"shards={place / 'shards'}", f"out={tmp_path / 'bulk'}", "workers=1", *more]
    with inside():
        infer(method, load(CATALOGUE, method, words))
    import pandas

    bulk = pandas.read_parquet(tmp_path / "bulk").set_index("key").loc[clip.info.key]
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.stack([bulk.latent]))
    found = json.loads((tmp_path / "a.json").read_text())["clips"][0]
    assert found["ssim"] == bulk.ssim and found["predicted_label_name"] == bulk.predicted_label_name
    made, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == USUAL.sample_rate and np.array_equal(made, decode(bulk.reconstruction["bytes"]))


def test_what_was_inverted_is_decoded_to_the_same_sound(tmp_path: Path, given: list[str]) -> None:
    write(tmp_path / "long.wav", 2.5)
    words = ["invert", str(tmp_path / "long.wav"), str(tmp_path / "r.wav"), "stretch=all", "method=encoder", *given]
    assert command_line.main(words) == 0
    latents = np.load(tmp_path / "r.npy")
    assert latents.shape == (3, 8) and latents.dtype == np.float32
    made, _ = soundfile.read(tmp_path / "r.wav", dtype="int16")
    assert len(made) == round(2.5 * USUAL.sample_rate)
    for kind in ("npy", "json"):
        words = ["decode", str(tmp_path / f"r.{kind}"), f"out={tmp_path / 'back.wav'}", given[0], "device=cpu"]
        assert command_line.main(words) == 0
        back, _ = soundfile.read(tmp_path / "back.wav", dtype="int16")
        assert len(back) == 3 * USUAL.samples and np.array_equal(back[: len(made)], made)


def test_the_loudest_second_is_taken(tmp_path: Path, given: list[str]) -> None:
    sound = np.zeros(4 * USUAL.sample_rate, np.int16)
    sound[40_000 : 40_000 + USUAL.samples] = tone(0, np.random.default_rng(2))
    soundfile.write(tmp_path / "s.flac", sound, USUAL.sample_rate)
    assert (
        command_line.main(["invert", str(tmp_path / "s.flac"), str(tmp_path / "r.flac"), "method=encoder", *given]) == 0
    )
    assert abs(json.loads((tmp_path / "r.json").read_text())["clips"][0]["start"] - 40_000) < 50
    assert len(soundfile.read(tmp_path / "r.flac")[0]) == USUAL.samples


def test_a_short_recording_of_another_rate_is_taken_whole(
    tmp_path: Path, given: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "short.wav", 0.5, 8_000)
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["invert", "short.wav", "method=encoder", *given]) == 0
    said = capsys.readouterr().out
    assert "0.50 s at 8,000 Hz, whole" in said and "silence" in said and "random latents" in said
    assert len(soundfile.read("short-inverted.wav")[0]) == 8_000
    clip = json.loads(Path("short-inverted.json").read_text())["clips"][0]
    assert clip["length"] == 8_000 and len(clip["latent"]) == 8


def test_mistakes_are_one_line_and_nothing_is_written(
    place: Path, tmp_path: Path, given: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "good.wav")
    (tmp_path / "text.wav").write_text("no sound at all")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for words, said in [
        (["nowhere.wav"], "no such file"),
        (["text.wav"], "not audio"),
        (["empty.wav"], "empty file"),
        (["in"], "is a folder"),
        (["good.wav", "out.mp3"], "out has no ending of wav, flac"),
        (["good.wav", "nowhere/out.wav"], "the folder of out is not there"),
        (["good.wav", "good.wav"], "out is the recording itself"),
        (["good.wav", "a.wav", "b.wav"], "'b.wav' is too much"),
        (["good.wav", "method=magic"], "no config named 'magic' for infer"),
        (["good.wav", "method=encoder", "evaluations=3"], "has no evaluations"),
        (["good.wav", f"mapper={place / 'classifier'}"], "mapper is a classifier checkpoint, not a mapper"),
        ([], "file not given"),
    ]:
        assert (
            command_line.main(["invert", *words, *(each for each in given if each.split("=")[0] not in str(words))])
            == 2
        )
        captured = capsys.readouterr()
        assert said in captured.err and captured.err.count("\n") == 1, captured.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_guided_autoencoder_inverts_a_file_by_its_own_encoder(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tiny("gaae-debug", Folder.at(str(place / "shards")), Folder.at(str(place / "gaae")), steps=1)
    models = [f"generator={place / 'gaae'}", f"classifier={place / 'classifier'}", "device=cpu"]
    words = ["invert", str(write(tmp_path / "a.wav")), str(tmp_path / "b.wav"), "method=gaae", *models]
    assert command_line.main(words) == 0
    assert np.load(tmp_path / "b.npy").shape == (1, 8)
    assert f"generator={place / 'gaae'}" in capsys.readouterr().out
    assert command_line.main(["decode", str(tmp_path / "b.npy"), f"out={tmp_path / 'c.wav'}", models[0]]) == 0
    assert len(soundfile.read(tmp_path / "c.wav")[0]) == USUAL.samples
