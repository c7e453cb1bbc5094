"""Clips with known latents: each its own whatever is made beside it, written exactly, sharded by contract 1."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.clip import decode, to_float
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import REJECTS, Clip, load_manifest, parse_shard, read_rejects, read_shard
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.infer.generate.clips_stage import ClipMaker, drawn
from invertone.infer.generate.config import CATALOGUE, ClipsConfig
from invertone.infer.generate.job import plan, run
from invertone.infer.generate.maker import Maker
from invertone.models.checkpoint import load_classifier
from invertone.models.generator import load_generator
from invertone.models.prior import Prior
from tests.infer.test_job import place as place  # the same models serve here


def config(out: Path | str, place: Folder, **values: Any) -> ClipsConfig:
    given = {
        "generator": (place / "wavegan").uri,
        "out": str(out),
        "count": 11,
        "device": "cpu",
        "workers": 1,
        **values,
    }
    return load(CATALOGUE, "clips", [f"{key}={value}" for key, value in given.items()])


def made(place: Folder, out: Path, **values: Any) -> list[Clip]:
    """Generates into `out` on Ray and reads the shards back."""
    run("clips", config(out, place, **values))
    folder = Folder.at(str(out))
    return [clip for entry in load_manifest(folder).shards for clip in read_shard(folder, entry)]


def shard(maker: ClipMaker, numbers: range, watch: Watch | None = None) -> tuple[list[Clip], dict[str, Any]]:
    """One shard, without Ray: its clips and the unit's statistics."""
    with ThreadPoolExecutor(2) as pool:
        result = maker.shard("test-000000", numbers, watch or Watch(), pool)
    return list(parse_shard(result.outputs["test-000000.tar"])), result.statistics


@pytest.fixture
def maker(place: Folder) -> ClipMaker:
    classifier, about = load_classifier((place / "classifier").uri)
    generator, _ = load_generator((place / "wavegan").uri)
    make = Maker(generator, USUAL, torch.device("cpu"), classifier=classifier)
    return ClipMaker(config("out", place), about.label_names, make)


@dataclasses.dataclass
class Made:
    """A generator of one's own: a constant of the latent's first coordinate, times full scale."""

    latent_size: int = 2
    clip_samples: int = 16_384
    prior: Prior = dataclasses.field(default_factory=Prior)

    def __call__(self, latent: Float[Tensor, "b z"], label: None = None) -> Float[Tensor, "b n"]:
        return latent[:, :1].expand(-1, self.clip_samples).clone()


def test_a_clip_is_what_the_generator_makes_of_the_latent_that_it_tells(maker: ClipMaker) -> None:
    clips, statistics = shard(maker, range(3, 14))
    assert [clip.info.key for clip in clips] == [f"generated-0-{number:08d}" for number in range(3, 14)]
    told = torch.tensor([clip.info.latent for clip in clips])
    assert torch.equal(told, torch.cat([drawn(maker.make.generator, 0, number) for number in range(3, 14)]))
    assert told.abs().max() <= 1 and told.std() == pytest.approx(3**-0.5, abs=0.1) and len(told.unique()) == 11 * 8
    with torch.no_grad():
        waveform = maker.make.generator(told).numpy()
    heard = np.stack([to_float(decode(clip.data)) for clip in clips])
    assert np.abs(heard - waveform).max() <= 0.5 / 32_768 + 1e-6  # quantised, and nothing else: no gain
    assert maker.make.classifier is not None
    labels = maker.make.classifier(torch.from_numpy(heard)).argmax(1).tolist()
    assert [clip.info.label for clip in clips] == labels
    assert [clip.info.label_name for clip in clips] == [("low", "middle", "high")[label] for label in labels]
    assert {(clip.info.split, clip.info.source_uri, clip.info.length) for clip in clips} == {
        ("test", maker.config.generator, 16_384)
    }
    assert statistics == {"clips": 11, "rejects": 0, "clipped_samples": 0}


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_and_shards_do_not_change_a_bit_of_a_clip(maker: ClipMaker, batch: int) -> None:
    whole, _ = shard(maker, range(20))
    cut = dataclasses.replace(maker, config=dataclasses.replace(maker.config, batch=batch))
    assert shard(cut, range(7))[0] + shard(cut, range(7, 20))[0] == whole


def test_another_seed_gives_other_latents_and_other_keys(maker: ClipMaker) -> None:
    other = dataclasses.replace(maker, config=dataclasses.replace(maker.config, seed=1))
    one, two = (shard(each, range(2))[0] for each in (maker, other))
    assert not {clip.info.key for clip in one} & {clip.info.key for clip in two}
    assert not {clip.info.latent for clip in one} & {clip.info.latent for clip in two}


def test_sound_past_full_scale_is_clipped_and_counted_and_levels_are_kept(maker: ClipMaker) -> None:
    loud = dataclasses.replace(maker, make=Maker(Made(), USUAL, torch.device("cpu")))
    clips, statistics = shard(loud, range(40))
    for clip in clips:
        assert clip.info.latent is not None and clip.info.label is None and clip.info.label_name is None
        assert set(decode(clip.data)) == {round(clip.info.latent[0] * 32_768)}
    assert statistics["clipped_samples"] == 0

    class Louder(Made):
        def __call__(self, latent: Float[Tensor, "b z"], label: None = None) -> Float[Tensor, "b n"]:
            return 2 * super().__call__(latent)

    clips, statistics = shard(dataclasses.replace(loud, make=Maker(Louder(), USUAL, torch.device("cpu"))), range(40))
    past = [clip for clip in clips if abs((clip.info.latent or (0,))[0]) > 0.5]
    assert past and statistics["clipped_samples"] == 16_384 * len(past)
    assert {abs(int(decode(clip.data)[0])) for clip in past} <= {32_767, 32_768}


def test_a_latent_of_which_no_sound_comes_is_a_reject_and_so_is_one_that_kills(maker: ClipMaker) -> None:
    class Broken(Made):
        def __call__(self, latent: Float[Tensor, "b z"], label: None = None) -> Float[Tensor, "b n"]:
            return super().__call__(latent) / (latent[:, :1] > 0)

    watch = Watch()
    watch.start({"generated-0-00000007": "its worker was killed"}, frozenset({"generated-0-00000003"}))
    broken = dataclasses.replace(maker, make=Maker(Broken(), USUAL, torch.device("cpu")))
    with ThreadPoolExecutor(2) as pool:
        result = broken.shard("test-000000", range(12), watch, pool)
    whole = {f"generated-0-{number:08d}" for number in range(12) if drawn(broken.make.generator, 0, number)[0, 0] > 0}
    assert 0 < len(whole) < 12 and "generated-0-00000007" in whole  # or the test would show nothing
    clips = list(parse_shard(result.outputs["test-000000.tar"]))
    assert [clip.info.key for clip in clips] == sorted(whole - {"generated-0-00000007"})
    folder = Folder("memory://rejects")
    folder.publish_bytes("x", result.outputs["__invertone/rejects/test-000000.pq"])
    reasons = {each.key: each.reason for each in read_rejects(folder, "x")}
    assert reasons.pop("generated-0-00000007") == "its worker was killed"
    assert set(reasons.values()) == {"the generator's samples are not finite"}
    assert len(clips) + len(reasons) + 1 == 12 == result.statistics["clips"] + result.statistics["rejects"]


def test_shards_by_contract_and_a_rerun_makes_what_is_missing(
    ray_session: Capacity, place: Folder, tmp_path: Path
) -> None:
    classifier = (place / "classifier").uri
    clips = made(place, tmp_path / "a", clips_per_shard=4, classifier=classifier)
    folder, manifest = Folder.at(str(tmp_path / "a")), load_manifest(Folder.at(str(tmp_path / "a")))
    assert [(each.name, each.count) for each in manifest.shards] == [
        (f"test-00000{n}.tar", c) for n, c in enumerate((4, 4, 3))
    ]
    assert [clip.info.key for clip in clips] == [f"generated-0-{number:08d}" for number in range(11)]
    assert (manifest.corpus, manifest.label_names, manifest.rejects) == (
        "synthesised clips",
        ("low", "middle", "high"),
        0,
    )
    assert manifest.extra["seed"] == 0 and set(manifest.extra["digests"]) == {"generator", "classifier"}
    assert folder.read_json("__invertone/summary.json")["clips"] == 11 and folder.exists(REJECTS)

    digests = digests_of(tmp_path / "a")
    (tmp_path / "a/__invertone/ledger/commits/test-000001.json").unlink()
    (tmp_path / "a/manifest.json").unlink()
    assert made(place, tmp_path / "a", clips_per_shard=4, classifier=classifier, batch=2, workers=2) == clips
    assert digests_of(tmp_path / "a") == digests
    with pytest.raises(UserError, match="out holds a run that differs in count: 11 → 12"):
        made(place, tmp_path / "a", clips_per_shard=4, classifier=classifier, count=12)


def digests_of(out: Path) -> dict[str, str]:
    files = [*out.glob("*.tar"), out / "manifest.json", out / "rejects.parquet"]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_dry_run_says_what_would_be_made(place: Folder, tmp_path: Path) -> None:
    assert plan(config(tmp_path / "out", place, count=1_000, split="train")) == [
        f"would make: 1,000 clips of split train by {(place / 'wavegan').uri}, without labels",
        f"would write: 2 shards into {tmp_path / 'out'}",
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"count": 0}, "count=0 is below 1"),
        ({"count": 10**9}, "count=1000000000 is above 100000000"),
        ({"seed": -1}, "seed=-1 is below 0"),
        ({"split": "tset"}, "did you mean 'test'"),
        ({"generator": "nowhere"}, "generator: nothing is there"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(
    place: Folder, tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run("clips", config(tmp_path / "out", place, **values))
    assert not (tmp_path / "out").exists()


def test_a_classifier_is_no_generator(place: Folder, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="generator is a classifier checkpoint, not one of wavegan, dcgan, progan, gaae"
    ):
        run("clips", config(tmp_path / "out", place, generator=(place / "classifier").uri))


def test_a_limit_makes_the_first_clips(in_process: None, place: Folder, tmp_path: Path) -> None:
    whole, first = made(place, tmp_path / "whole"), made(place, tmp_path / "first", limit=4, clips_per_shard=3)
    assert first == whole[:4]
    assert plan(config(tmp_path / "dry", place, limit=4))[0].startswith("would make: 4 clips")
