"""What the reconstruction table says of latents that are known, by numbers one can work out by hand, and end to end."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.clip import Samples, decode, encode, to_float
from invertone.cluster.config.loading import load
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.formats.shards import Clip, ClipInfo, load_manifest, read_shard
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.columns import estimates
from invertone.eval.measures.estimates import Sums, add
from invertone.eval.measures.listener import Sampling
from invertone.eval.tables.judge import Judge, Run
from invertone.eval.tables.reconstruction import _seconds_per_clip
from invertone.eval.tables.row_sums import Counted, latent_sums
from invertone.models.prior import Prior
from tests.eval.test_reconstruction import table
from tests.infer.test_job import infer, rows
from tests.infer.test_job import place as place  # the same models serve here
from tests.made import made_shards, train_tiny

WAVE = np.tile(np.array([8_000, -8_000], np.int16), USUAL.samples // 2)
"""Explained variance of `WAVE * gain` against WAVE is 1 - (1 - gain)²."""


@dataclasses.dataclass
class Constant:
    """A generator that is never right: silence of any latent."""

    latent_size: int = 2
    clip_samples: int = USUAL.samples
    prior: Prior = dataclasses.field(default_factory=Prior)

    def __call__(self, latent: Float[Tensor, "b z"], label: None = None) -> Float[Tensor, "b n"]:
        return torch.zeros(len(latent), USUAL.samples)


def clip(key: str, samples: Samples, latent: tuple[float, ...] | None) -> Clip:
    info = ClipInfo(key, "test", "made://", 0, USUAL.samples, USUAL.sample_rate, latent=latent)
    return Clip(info, encode(samples, "flac", 16_000), "flac")


def row(key: str, samples: Samples, latent: Sequence[float], **more: Any) -> dict[str, Any]:
    heard = {"bytes": encode(samples, "flac", 16_000), "path": f"{key}.flac"}
    return {"key": key, "status": "ok", "latent": list(latent), "reconstruction": heard, **more}


CLIPS = {
    "a": clip("a", WAVE, (0.5, -0.5)),
    "b": clip("b", WAVE, (0.25, 1.0)),
    "c": clip("c", WAVE, None),
    "d": clip("d", 0 * WAVE, (0.0, 0.0)),
}
ROWS = [
    row("a", WAVE, (0.5, -0.25), evaluations=10),
    row("b", (WAVE * 0.925).astype(np.int16), (-0.75, 1.0), evaluations=31),  # explains 1 - 0.075² = 0.9944
    row("c", (WAVE * 0.85).astype(np.int16), (9.0, 9.0), evaluations=None),  # 1 - 0.15² = 0.9775
    row("d", 0 * WAVE, (0.0, 0.0)),  # silence, recovered by silence
]


SAMPLING = Sampling(0, 20, 10)


def judged(rows: Sequence[dict[str, Any]], *, known: bool = True, at_once: int = 64) -> dict[str, dict[str, Any]]:
    judge = Judge(Constant(), USUAL, None, torch.device("cpu"), SAMPLING, known)
    run = Run("gradient", "made://", known, "gradient")
    total: dict[str, Sums] = {}
    for first in range(0, len(rows), at_once):
        batch = rows[first : first + at_once]
        for name, sums in judge.judged([CLIPS[row["key"]] for row in batch], {run: batch}):
            add(total.setdefault(name, {}), sums)
    found = {name: {key: each.value for key, each in estimates(sums, None).items()} for name, sums in total.items()}
    empty = {"latent_error": None, "evaluations": None}
    return {name: empty | {"clips": total[name]["clips"][0]} | found[name] for name in total}


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_numbers_worked_out_by_hand(at_once: int) -> None:
    found = judged(ROWS, at_once=at_once)
    gradient = found["gradient"]
    assert gradient["clips"] == 4
    assert gradient["recovered"] == 3 / 4
    # a: (0² + 0.25²) / 2, b: (1² + 0²) / 2, d: 0; c has no known latent
    assert gradient["latent_error"] == pytest.approx(math.sqrt((0.03125 + 0.5 + 0.0) / 3), rel=1e-12)
    assert gradient["evaluations"] == (10 + 31) / 2
    assert (found["real"]["recovered"], found["real"]["latent_error"], found["real"]["evaluations"]) == (1.0, 0.0, None)
    silence = found["silence"]
    assert (silence["recovered"], silence["latent_error"], silence["evaluations"]) == (1 / 4, None, None)


def test_the_random_latent_s_error_is_that_of_the_latents_it_was_made_from() -> None:
    judge = Judge(Constant(), USUAL, None, torch.device("cpu"), SAMPLING, True)
    draws = {key: judge.random_latents([key])[0].tolist() for key in CLIPS}
    squares = [(k - r) ** 2 for key in "abd" for k, r in zip(CLIPS[key].info.latent or (), draws[key], strict=True)]
    found = judged(ROWS)["random latent"]["latent_error"]
    assert found == pytest.approx(math.sqrt(sum(squares) / 6), rel=1e-12) and found > 0.3


def test_what_has_to_be_made_again_is_made_with_the_label_that_won() -> None:
    class Told(Constant):
        def __call__(self, latent: Float[Tensor, "b z"], label: Tensor | None = None) -> Float[Tensor, "b n"]:
            return torch.zeros(len(latent), USUAL.samples) + (0.5 if label is None else label[:, None] / 8)

    judge = Judge(Told(), USUAL, None, torch.device("cpu"), SAMPLING, True)
    batch = judge.batch([CLIPS["a"], CLIPS["b"]])
    rows = [{"latent": [0.0, 0.0], "reconstruction": None, "generator_label": label} for label in (2, 3)]
    assert judge.reconstructed(rows, batch)[:, 0].tolist() == [0.25, 0.375]
    unlabelled = [{"latent": each["latent"], "reconstruction": None} for each in rows]
    assert judge.reconstructed(unlabelled, batch)[:, 0].tolist() == [0.5, 0.5]


def test_latents_of_another_generator_are_not_compared() -> None:
    found = judged(ROWS, known=False)
    assert {name: values["latent_error"] for name, values in found.items()} == dict.fromkeys(found)


def test_rows_written_before_evaluations_were_counted_leave_the_cell_empty() -> None:
    old = [{name: value for name, value in each.items() if name != "evaluations"} for each in ROWS]
    assert judged(old)["gradient"]["evaluations"] is None and judged(ROWS[:1])["gradient"]["evaluations"] == 10


def test_a_recovered_latent_of_another_size_is_a_fault_and_no_number() -> None:
    for recovered in ([[1.0, 2.0, 3.0]], [[1.0]]):
        with pytest.raises(ValueError, match="known latents are"):
            latent_sums([CLIPS["a"].info.latent], np.array(recovered), Counted(np.zeros(1, np.uint64), np.ones((1, 1))))


@pytest.mark.parametrize(
    ("summary", "seconds"),
    [({"seconds": 6.0, "clips": 4}, 1.5), ({"clips": 4}, None), ({"seconds": 0.0, "clips": 0}, None)],
)
def test_seconds_per_clip_are_read_from_the_run_s_summary(
    tmp_path: Path, summary: dict[str, float], seconds: float | None
) -> None:
    folder = Folder.at(str(tmp_path))
    assert _seconds_per_clip(folder) is None
    folder.publish_json("__invertone/summary.json", summary)
    assert _seconds_per_clip(folder) == seconds


@pytest.mark.long
def test_generate_infer_and_judge(ray_session: Capacity, place: Folder, tmp_path: Path) -> None:
    """The road of synthesised clips; an oracle in numpy from shards and Parquet alone."""
    from invertone.infer.generate.config import CATALOGUE
    from invertone.infer.generate.job import run

    models = {"generator": (place / "wavegan").uri, "classifier": (place / "classifier").uri}
    given = {**models, "out": tmp_path / "synthesised", "count": 10, "clips_per_shard": 6, "device": "cpu"}
    run("clips", load(CATALOGUE, "clips", [f"{key}={value}" for key, value in given.items()]))
    shards = Folder.at(str(tmp_path / "synthesised"))
    clips = {clip.info.key: clip for entry in load_manifest(shards).shards for clip in read_shard(shards, entry)}
    encoder = infer(place, "encoder", tmp_path / "encoder", shards=shards.uri)
    gradient = infer(place, "gradient", tmp_path / "gradient", shards=shards.uri, evaluations=3)
    spent = gradient.read_json("__invertone/summary.json")["seconds"] / 10

    found = table(tmp_path / "table", latents=f"[{encoder.uri},{gradient.uri}]")
    assert list(found) == ["encoder", "gradient", "real", "silence", "random latent"]
    for folder in (encoder, gradient):
        recovered = rows(folder)
        assert list(recovered) == list(clips) and {each["label"] for each in recovered.values()} <= {0, 1, 2}
        known = np.array([clips[key].info.latent for key in recovered])
        error = np.sqrt(np.mean((known - np.array([each["latent"] for each in recovered.values()])) ** 2))
        name = str(folder.uri).rpartition("/")[2]
        assert found[name]["latent_error"] == pytest.approx(error, rel=1e-9) and error > 0.05
        target = np.stack([to_float(decode(clips[key].data)).astype(float) for key in recovered])
        heard = np.stack([to_float(decode(each["reconstruction"]["bytes"])) for each in recovered.values()])
        explained = 1 - np.var(target - heard, axis=1) / np.var(target, axis=1)
        assert found[name]["recovered"] == np.mean(explained >= 0.99)
    assert (found["encoder"]["evaluations"], found["gradient"]["evaluations"]) == (0, 12)
    assert 0 < found["gradient"]["seconds"] == spent and found["real"]["seconds"] is None
    assert found["real"]["latent_error"] == 0 and found["real"]["recovered"] == 1 == found["real"]["accuracy"]
    assert found["random latent"]["latent_error"] == pytest.approx(math.sqrt(2 / 3), abs=0.1)
    assert found["silence"]["latent_error"] is None
    about = json.loads((tmp_path / "table/table.json").read_text())
    assert all(set(each) == {column["name"] for column in about["columns"]} for each in about["rows"])
    assert len(about["intervals"]) == 5 and all(
        low <= found[row["row"]][name] <= high
        for row, within in zip(about["rows"], about["intervals"], strict=True)
        for name, (low, high) in within.items()
        if name in ("spectrogram_mae", "inception_score") and row["row"] != "real"
    )

    # the same Parquet as one made before the column was there, and of clips of which nothing says who made them
    without_column(gradient)
    shards.publish_json("manifest.json", shards.read_json("manifest.json") | {"extra": {}})
    bare = table(tmp_path / "old", latents=gradient.uri)
    assert bare["gradient"].get("evaluations") is None
    assert all(each.get("latent_error") is None for each in bare.values())
    assert bare["gradient"]["ssim"] == found["gradient"]["ssim"]


def without_column(folder: Folder) -> None:
    """Writes a run's Parquet again without `evaluations`, with commits that vouch for it."""
    assert folder.local is not None
    ledger = Ledger(folder, "test")
    commits = list(ledger.commits())
    ledger.withdraw({commit.unit for commit in commits})
    for commit in commits:
        (output,) = commit.outputs
        parquet = pq.read_table(folder.local / output.name).drop_columns(["evaluations"])
        buffer = pa.BufferOutputStream()
        pq.write_table(parquet, buffer)
        data = buffer.getvalue().to_pybytes()
        folder.publish_bytes(output.name, data)
        ledger.commit(dataclasses.replace(commit, outputs=(described(output, data),)))


def described(output: Any, data: bytes) -> Any:
    from invertone.cluster.storage.folder import sha256

    return dataclasses.replace(output, bytes=len(data), sha256=sha256(data))


def test_spectrograms_are_judged_as_inference_made_their_sound(in_process: None, tmp_path: Path) -> None:
    """At the clip's level, with its phases and all that the decoder was told: a table of latents is that of reconstructions."""
    from invertone.infer.config import CATALOGUE
    from invertone.infer.job import run as infer_here

    shards = Folder.at(str(tmp_path / "shards"))
    made_shards(shards, train=(5,), validation=0)
    train_tiny("gaae-debug", shards, Folder.at(str(tmp_path / "gaae")), steps=1, checkpoint_every=1)
    searched = ["evaluations=3", "label=search"]
    for name, given in (("gaae", list[str]()), ("hybrid-spectrogram", searched)):
        found = []
        for rows_hold in ("reconstructions", "latents"):
            out = tmp_path / f"{name}-{rows_hold}"
            words = [f"shards={shards.uri}", f"out={out}", f"generator={tmp_path / 'gaae'}", f"rows={rows_hold}"]
            infer_here(name, load(CATALOGUE, name, [*words, "device=cpu", "workers=1", *given]))
            found.append(table(tmp_path / f"of-{name}-{rows_hold}", latents=out)[name])
        measures = ("ssim", "spectrogram_mae", "explained_variance")
        assert [found[1][each] for each in measures] == pytest.approx([found[0][each] for each in measures], rel=1e-4)
