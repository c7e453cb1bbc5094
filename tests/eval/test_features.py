"""The sample of clips that tables look at: decided by seed and key alone, gathered on real Ray."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from invertone.audio.clip import decode, to_float
from invertone.audio.front_end import log_magnitude
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.jobs.driver import driving
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval.latents.features import (
    FRONT_END,
    Features,
    Request,
    Source,
    clip_hash,
    gather,
    joined,
    pooled_spectrogram,
)
from invertone.eval.latents.inference_runs import open_inference_runs
from invertone.eval.measures.loudness import levelled
from tests.eval.planted import noise_of, planted_run
from tests.made import made_clips

REQUEST = Request(seed=3, vectors=("latent",), sound=True, level="rms", batch=64, device="cpu")
FAILED = "train/0007"


def latent(clip: Clip) -> dict[str, np.ndarray]:
    return {"latent": noise_of(clip, 4)}


def gathered(place: Folder, run: Folder, wanted: int, batch: int, workers: int, limit: int = 0) -> Features:
    (inferred,) = open_inference_runs([run.uri])
    out = place / f"out-{wanted}-{batch}"
    out.publish_json("__invertone/run.json", {})
    request = Request(**{**vars(REQUEST), "batch": batch})
    source = Source(inferred, inferred.of_splits([]), wanted)
    with driving(out) as driver:
        (found,), _ = gather(driver, "features", [source], request, BulkConfig(workers=workers, limit=limit))
    return found


def test_neither_shards_nor_batches_nor_workers_change_a_bit(ray_session: Capacity, tmp_path: Path) -> None:
    place, clips = Folder.at(str(tmp_path)), made_clips(60, "train")
    whole = planted_run(place, "whole", [clips], latent, failed=[FAILED])
    cut = planted_run(place, "cut", [clips[40:][::-1], clips[:40]], latent, failed=[FAILED])
    one, many = gathered(place, whole, 12, 64, 1), gathered(place, cut, 12, 5, 2)
    expected = sorted((c.info.key for c in clips if c.info.key != FAILED), key=lambda key: clip_hash(3, key))[:12]
    assert one["key"].tolist() == many["key"].tolist() == expected
    assert one.columns.keys() == many.columns.keys() >= {"latent", "spectrogram", "loudness_seen", "loudness_levelled"}
    for name in set(one.columns) - {"shard"}:
        assert np.array_equal(one[name], many[name], equal_nan=one[name].dtype.kind == "f"), name
    known = {clip.info.key: clip for clip in clips}
    for at, key in enumerate(expected):
        info = known[key].info
        assert (one["label"][at], one["speaker"][at], one["recording"][at]) == (
            info.label,
            info.speaker,
            info.source_uri,
        )
        assert np.array_equal(one["latent"][at], latent(known[key])["latent"]) and one["gender"][at] == ""
    rms = one["loudness_levelled"][:, 0]
    assert np.ptp(rms) < 1e-3 and np.ptp(one["loudness_seen"][:, 0]) > 1
    files = list((tmp_path / "out-12-64/features").iterdir())
    rows = Features.from_bytes(files[0].read_bytes())
    assert 12 < len(rows) < 59, "a unit writes about what is wanted, not everything"


def test_a_limit_looks_at_the_first_rows(in_process: None, tmp_path: Path) -> None:
    place, clips = Folder.at(str(tmp_path)), made_clips(30, "train")
    run = planted_run(place, "run", [clips[:10], clips[10:]], latent)
    found = gathered(place, run, 30, 64, 1, limit=14)
    assert sorted(found["key"].tolist()) == sorted(clip.info.key for clip in clips[:14])


def test_the_threshold_is_far_above_what_is_wanted(tmp_path: Path) -> None:
    clips = made_clips(3, "train")
    (run,) = open_inference_runs([planted_run(Folder.at(str(tmp_path)), "run", [clips], latent).uri])
    part = run.parts[0]
    many = (type(part)(part.output, part.shard, 1_000),) * 20
    below = Source(run, many, 400).below(0)
    taken = sum(clip_hash(0, str(number)) < below for number in range(20_000))
    assert 450 < taken < 630
    assert Source(run, (part,), 400).below(0) == 2**64


def test_a_spectrogram_s_cells_are_means() -> None:
    wave = torch.from_numpy(to_float(decode(made_clips(1, "train")[0].data)))
    whole = log_magnitude(wave[None], FRONT_END)[0].numpy()
    cells = whole.reshape(128, 2, 32, 4).mean(axis=(1, 3))
    assert np.allclose(pooled_spectrogram(wave).numpy(), cells.ravel(), atol=1e-6)


def test_of_stereo_every_channel_is_looked_at_and_no_batch_matters(in_process: None, tmp_path: Path) -> None:
    stereo = ClipFormat(44_100, 65_536, 2)
    place, clips = Folder.at(str(tmp_path)), made_clips(4, "train", clips=stereo)
    run = planted_run(place, "run", [clips], latent, clips=stereo)
    one, many = gathered(place, run, 4, 1, 1), gathered(place, run, 4, 64, 1)
    assert np.array_equal(one["spectrogram"], many["spectrogram"])
    known = {clip.info.key: to_float(decode(clip.data)) for clip in clips}
    for key, found in zip(one["key"], one["spectrogram"], strict=True):
        sides = [levelled(known[key], "rms")[:, side] for side in (0, 1)]
        wanted = [pooled_spectrogram(torch.from_numpy(np.ascontiguousarray(each))).numpy() for each in sides]
        assert np.allclose(found, np.concatenate(wanted), atol=1e-6) and not np.allclose(*wanted, atol=0.05)


def test_files_of_features_are_the_same_bytes_and_no_pickles() -> None:
    features = Features({"key": np.array(["a", "b"]), "latent": np.eye(2, dtype=np.float32)})
    assert features.to_bytes() == features.to_bytes()
    again = Features.from_bytes(features.to_bytes())
    assert again["key"].tolist() == ["a", "b"] and np.array_equal(again["latent"], np.eye(2))
    buffer = io.BytesIO()
    np.savez(buffer, key=np.array([{"code": print}], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Features.from_bytes(buffer.getvalue())
    assert len(joined([])) == 0 and len(joined([Features({}), features])) == 2


def test_runs_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    place = Folder.at(str(tmp_path))
    clips = made_clips(6, "train")
    run = planted_run(place, "run", [clips[:3], clips[3:]], latent)
    with pytest.raises(UserError, match=r"no column style; choose of latent$"):
        open_inference_runs([run.uri])[0].check_columns(["style"])
    with pytest.raises(UserError, match="1 folders of shards for 2 runs"):
        open_inference_runs([run.uri, run.uri], ["somewhere"])
    other = planted_run(place, "other", [clips[1:]], latent)
    with pytest.raises(UserError, match="made from other shards"):
        open_inference_runs([run.uri], [open_inference_runs([other.uri])[0].shards])
    run.remove("__invertone/ledger/commits/train-000001.tar.json")
    with pytest.raises(UserError, match="only 1 of 2 units"):
        open_inference_runs([run.uri])
