"""The Python door: what `import invertone` offers, and that it costs nothing before it is used."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import invertone
from invertone.audio.windows import starts
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from tests.identity import identity_run, latent
from tests.inside import inside
from tests.made import made_shards, tiny_models
from tests.sounds import speechlike, write_sound


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, and tiny models trained on them: classifier, generator, mapper."""
    folder = tmp_path_factory.mktemp("door")
    shards = Folder.at(str(folder / "shards"))
    made_shards(shards, train=(5,), validation=2)
    tiny_models(shards, folder)
    return folder


@pytest.fixture(scope="module")
def given(place: Path) -> dict[str, Any]:
    folders = {"generator": "wavegan", "mapper": "mapper", "classifier": "classifier"}
    return {role: str(place / folder) for role, folder in folders.items()} | {"device": "cpu"}


@pytest.fixture(scope="module")
def inverter(given: dict[str, Any]) -> invertone.Inverter:
    return invertone.Inverter("hybrid", **given, evaluations=3, starts=1)


@pytest.fixture(scope="module")
def run(place: Path, given: dict[str, Any]) -> str:
    """The out of an inference."""
    with inside():
        return invertone.run("infer", "encoder", shards=str(place / "shards"), out=str(place / "latents"), **given)


def test_importing_it_loads_nothing_heavy_and_every_name_is_there() -> None:
    program = (
        "import sys, time; since = time.perf_counter(); import invertone; took = time.perf_counter() - since;"
        "print(','.join(sorted({'torch', 'ray', 'omegaconf', 'numpy', 'pyarrow', 'fsspec'} & set(sys.modules))), took < 0.3)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (" True\n", "")
    for name in invertone.__all__:
        assert getattr(invertone, name).__doc__
    assert set(invertone.__all__) <= set(dir(invertone))
    with pytest.raises(AttributeError, match="no attribute 'Inverted'"):
        _ = invertone.Inverted  # type: ignore[attr-defined]


def test_an_array_becomes_latent_reconstruction_and_scores(inverter: invertone.Inverter) -> None:
    wave = speechlike(0.8, 1)
    found = inverter(wave, rate=16_000)
    assert isinstance(found, invertone.Inversion)
    assert found.latent.shape == (inverter.latent_size,) and found.latent.dtype == np.float32
    assert found.reconstruction.shape == found.clip.shape == (USUAL.samples,)
    assert np.abs(found.clip[: len(wave)] - wave).max() < 1e-4 and not found.clip[len(wave) :].any()
    assert set(found.scores) == {"feature_distance", "ssim", "spectrogram_mae", "waveform_mse", "loss"}
    assert found.scores["waveform_mse"] == pytest.approx(np.mean((found.clip - found.reconstruction) ** 2), rel=1e-3)
    assert found.heard in inverter.labels and found.heard_again in inverter.labels
    assert np.abs(inverter.decode(found.latent) - found.reconstruction).max() <= 1 / 2**14
    both = inverter.decode(np.stack([found.latent, 0 * found.latent]))
    assert both.shape == (2, USUAL.samples) and np.array_equal(both[0], inverter.decode(found.latent))
    floors = inverter.floors([found])
    assert floors["silence"]["waveform_mse"] == pytest.approx(float(np.mean(found.clip**2)), rel=1e-5)


def test_what_a_recording_may_be_makes_no_difference(inverter: invertone.Inverter, tmp_path: Path) -> None:
    wave = np.round(speechlike(0.8, 2) * 2**15).clip(-(2**15), 2**15 - 1) / 2**15
    soundfile.write(tmp_path / "a.wav", wave, 16_000, "PCM_16")
    forms: list[Any] = [
        wave,
        wave.astype(np.float32),
        torch.from_numpy(wave),
        torch.from_numpy(np.stack([wave, wave])),
        np.stack([wave, wave], axis=1),
        (wave * 2**15).astype(np.int16),
        wave.tolist(),
        tmp_path / "a.wav",
        str(tmp_path / "a.wav"),
    ]
    alone = [inverter(form) for form in forms]
    together = inverter(forms)
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.clip, alone[0].clip)
        assert np.array_equal(one.latent, alone[0].latent) and np.array_equal(one.latent, other.latent)


def test_no_recordings_are_no_inversions(inverter: invertone.Inverter) -> None:
    assert inverter([]) == []


def test_the_example_of_the_docstring_is_true() -> None:
    from invertone.infer.files import inverter as module

    told = doctest.testmod(module)
    assert told.attempted >= 3 and told.failed == 0


def test_files_of_one_name_are_two_recordings(inverter: invertone.Inverter, tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "take.wav", speechlike(0.8, number), 16_000)
    files = [tmp_path / folder / "take.wav" for folder in ("a", "b", "a")]
    first, second, again = inverter(files)
    assert not np.array_equal(first.clip, second.clip) and np.array_equal(first.latent, again.latent)
    assert np.array_equal(second.latent, inverter(files[1]).latent)


def test_longer_recordings_and_other_rates(inverter: invertone.Inverter) -> None:
    loud = np.concatenate([np.zeros(40_000), speechlike(1.0, 3)])
    assert inverter(loud).start > 20_000 and inverter(loud, stretch="first").start == 0
    whole = inverter(loud, stretch="all")
    assert [each.start for each in whole] == [0, 16_384, 32_768, 49_152]
    assert [each.length for each in whole] == [16_384, 16_384, 16_384, len(loud) - 49_152]
    assert [len(each) for each in inverter([loud, loud[:100]], stretch="all")] == [4, 1]
    assert inverter(speechlike(0.5, 3)[::2], rate=8_000).length == 8_000


@pytest.mark.parametrize(
    ("wave", "options", "said"),
    [
        (np.zeros((5, 2, 1)), {}, "wave: is an array of float64 with the shape (5, 2, 1)"),
        (np.zeros(0), {}, "wave: is an array of float64 with the shape (0,)"),
        (np.zeros(5, np.uint8), {}, "wave: holds uint8"),
        (np.array(["a"]), {}, "wave: is an array of <U1"),
        (np.zeros(5), {"rate": 0}, "rate=0 is no sample rate"),
        (np.zeros(5), {"stretch": "last"}, "stretch=last is not one of loudest, first, all"),
        ("nowhere.wav", {}, "nowhere.wav: no such file"),
    ],
)
def test_what_is_no_recording_is_said(inverter: invertone.Inverter, wave: Any, options: Any, said: str) -> None:
    with pytest.raises(invertone.UserError) as refused:
        inverter(wave, **options)
    assert str(refused.value).startswith(said)


def test_what_does_not_fit_the_method_or_the_generator_is_said(
    inverter: invertone.Inverter, given: dict[str, Any]
) -> None:
    with pytest.raises(invertone.UserError, match="method=encoder has no evaluations"):
        invertone.Inverter("encoder", **given, evaluations=3)
    with pytest.raises(invertone.UserError, match="no config named 'hybird' for infer"):
        invertone.Inverter("hybird", **given)
    with pytest.raises(invertone.UserError, match=r"latent: has the shape \(3,\)"):
        inverter.decode(np.zeros(3))


def test_a_stage_runs_as_its_command_does(place: Path, given: dict[str, Any], run: str) -> None:
    assert run == f"{place}/latents" and sorted(Folder.at(run).names())[0].endswith(".parquet")
    shards = str(place / "shards")
    assert invertone.plan("infer", "encoder", shards=shards, out=run, **given)[0].startswith(
        "would invert: 7 clips in 2"
    )
    with pytest.raises(invertone.UserError, match="no stage named 'infr'"):
        invertone.run("infr", "encoder")
    with pytest.raises(invertone.UserError, match="unknown key 'shard'"):
        invertone.run("infer", "encoder", shard=shards, out=run, **given)
    with pytest.raises(invertone.UserError, match=r"weights\.features=-1"):
        invertone.plan("infer", "hybrid", shards=shards, out=run, **given, weights={"features": -1.0})


def test_rows_are_read_as_dicts_frames_tensors_and_sound(run: str, place: Path, given: dict[str, Any]) -> None:
    found = invertone.latents(run)
    rows = list(found)
    assert len(found) == len(rows) == 7 and "method='encoder'" in repr(found)
    assert found.about["digests"].keys() >= {"generator", "mapper"}
    keys, tensor = found.to_torch()
    assert keys == [row["key"] for row in rows] and np.array_equal(tensor[3], np.float32(rows[3]["latent"]))
    frame = found.to_pandas()
    assert list(frame["key"]) == keys and "reconstruction" not in frame and "ssim" in frame
    assert list(found.to_pandas(["key", "ssim"]).columns) == ["key", "ssim"]
    sound = found.audio(rows[0])
    assert sound.shape == (USUAL.samples,) and sound.dtype == np.float32
    inverter = invertone.Inverter("encoder", **given)
    assert np.abs(inverter.decode(rows[0]["latent"]) - sound).max() <= 1 / 2**14
    with pytest.raises(invertone.UserError, match="this row holds no sound"):
        found.audio({"key": "a", "reconstruction": None})
    with pytest.raises(invertone.UserError, match="no run here"):
        invertone.latents(f"{place}/nowhere")
    assert USUAL.sample_rate == 16_000


def test_recordings_are_windows_together_in_the_order_of_time(tmp_path: Path) -> None:
    lengths = (100, 30_000, 150_000)
    for length in lengths:
        write_sound(tmp_path / f"source/seven/{length}.wav", speechlike(length / USUAL.sample_rate, length))
    given = {"source": str(tmp_path / "source"), "out": str(tmp_path / "shards")}
    with inside():
        shards = invertone.run("ingest", "folder", **given, window="all", hop=5_000, clips_per_shard=12)
    gone = "seven/150000@0000010000"
    run = identity_run(Folder.at(shards), Folder.at(str(tmp_path / "run")), failed={gone: "not finite"})
    found = invertone.recordings(run.uri)
    assert found.about["method"] == "identity" and "method='identity', files=" in repr(found)
    seen = {}
    for key, at, latents in found:
        wanted = [
            start
            for start in starts(int(key.split("/")[1]), "all", 5_000, 0, "", USUAL.samples)
            if f"{key}@{start:010d}" != gone
        ]
        assert at.tolist() == wanted and at.dtype == np.int64
        assert latents.dtype == np.float32 and latents.shape == (len(at), 3)
        assert latents.tolist() == [latent(f"{key}@{start:010d}", start) for start in wanted]
        seen[key] = len(at)
    assert seen.keys() == {f"seven/{length}" for length in lengths}
    again = {each.key: each for each in found}  # it can be read again
    whole = again["seven/150000"]
    assert isinstance(whole, invertone.Recording) and [each.key for each in whole.missing] == [gone]
    assert (whole.samples, whole.label_name, whole.lengths[-1]) == (150_000, "seven", 150_000 - whole.starts[-1])
    whole.latents[0] = 0  # as arrays of one's own


def test_clips_that_are_no_windows_are_recordings_of_one(run: str, place: Path) -> None:
    rows = {row["key"]: row for row in invertone.latents(run)}
    found = list(invertone.recordings(run))
    assert [each.key for each in found] == list(rows)
    for each in found:
        assert each.starts.tolist() == [0] and each.latents.tolist() == [rows[each.key]["latent"]]
        assert each.speaker == rows[each.key]["speaker"] and each.samples == USUAL.samples
    for wrong, said in ((place / "shards", "no run here"), (place / "wavegan", "no run here")):
        with pytest.raises(invertone.UserError, match=said):
            invertone.recordings(str(wrong))
