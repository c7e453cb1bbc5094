"""Inversion of pictures as a job: rows by contract, whatever comes beside them, whatever is damaged, whatever stops it."""

from __future__ import annotations

import dataclasses
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from invertone.cluster.config.loading import load
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.latents import COMPARED_PICTURES, HEARD, HUGGING_FACE, committed_parts, read_part
from invertone.cluster.formats.shards import Clip, ShardManifest, load_manifest
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.images.reading import decode
from invertone.infer.config import CATALOGUE
from invertone.infer.job import plan, run
from invertone.infer.rows import ShardInverter
from invertone.infer.stage import InversionStage
from invertone.models.generator import load_generator
from tests.made import write_shards
from tests.pictures import LATENT, SMALL, made_pictures, picture_models, picture_shards

PICTURES = 11  # a tile and a part of one
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder": ("encoder", {}),
    "adam": ("gradient-pictures", {"evaluations": 12}),
    "stochastic": ("gradient-pictures-stochastic", {"evaluations": 12, "learning_rate": 0.3}),
    "lbfgs": ("gradient-pictures-lbfgs", {"evaluations": 9, "starts": 2}),
    "hybrid": ("hybrid-pictures", {"evaluations": 8, "weights.perceptual": 0.1, "weights.structural": 0.1}),
}


@pytest.fixture(autouse=True)
def torch_s_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pictures")
    picture_models(Folder.at(str(found)))
    picture_shards(Folder.at(str(found / "shards")), train=(PICTURES, 4), validation=0)
    return found


def asked(place: Path, method: str, **more: Any) -> Any:
    name, values = METHODS[method]
    given: dict[str, Any] = {"shards": place / "shards", "out": place / "out", "device": "cpu", "workers": 1}
    given |= {role: place / role for role in ("generator", "classifier")}
    given |= {"mapper": place / "mapper"} if method in ("encoder", "hybrid") else {}
    return load(CATALOGUE, name, [f"{key}={value}" for key, value in (given | values | more).items()])


def rows(place: Path, method: str, threads: int = 1, at: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Every column of every picture of one shard, by a worker with so many threads."""
    config = asked(place, method, **more)
    entry = load_manifest(Folder.at(config.shards)).shards[at]
    result = InversionStage(config, {}).open(threads, Watch())(dataclasses.asdict(entry))
    (data,) = result.outputs.values()
    return pq.read_table(io.BytesIO(data)).to_pylist()


def of_run(out: Path | str) -> list[dict[str, Any]]:
    folder = Folder.at(str(out))
    return [row for part in committed_parts(folder) for row in read_part(folder, part).to_pylist()]


@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_the_same_to_the_bit_whatever_comes_with_it(method: str, place: Path) -> None:
    """On any number of threads, in batches of any size, among other neighbours."""
    alone = rows(place, method)
    assert len(alone) == PICTURES and {row["status"] for row in alone} == {"ok"}
    assert rows(place, method, threads=4) == alone
    assert rows(place, method, threads=2, batch=3) == alone
    clips = made_pictures(PICTURES + 4, "train")
    write_shards(Folder.at(str(place / f"other-{method}")), [clips[::-1]], SMALL)
    others = {row["key"]: row for row in rows(place, method, 2, shards=place / f"other-{method}")}
    assert [others[row["key"]] for row in alone] == alone


def test_a_row_says_what_the_contract_says(place: Path) -> None:
    generator, _ = load_generator(str(place / "generator"))
    source = {clip.info.key: clip for clip in made_pictures(PICTURES + 4, "train")}
    for row in rows(place, "hybrid"):
        assert not {"start", "length", "waveform_mse", "spectrogram_mae"} & row.keys()
        assert {*COMPARED_PICTURES, *HEARD, "predicted_label", "logits"} <= row.keys()
        made, target = decode(row["reconstruction"]["bytes"]), decode(source[row["key"]].data)
        assert made.shape == SMALL.shape and row["reconstruction"]["path"] == f"{row['key']}.png"
        with torch.no_grad():
            seen = generator(torch.tensor([row["latent"]]))[0].numpy().transpose(1, 2, 0)
        assert np.abs((seen + 1) * 127.5 - made).max() <= 0.5 + 1e-3
        a, b = (each.astype(np.float64) / 127.5 - 1 for each in (target, made))
        mse = ((a - b) ** 2).mean()
        assert row["pixel_mse"] == pytest.approx(mse, rel=1e-4) and row["pixel_mae"] == pytest.approx(
            np.abs(a - b).mean()
        )
        assert row["psnr"] == pytest.approx(20 * np.log10(2 / mse**0.5), rel=1e-4)
        assert row["residual_variance"] == pytest.approx((a - b).var(), rel=1e-4)
        assert row["clip_variance"] == pytest.approx(a.var(), rel=1e-4) and -1 <= row["ssim"] <= 1
        assert row["losses"].keys() == {"pixel_mae", "perceptual", "structural"}
        assert 0 <= row["predicted_label"] < 3 and len(row["logits"]) == 3 and row["cosine_distance"] >= 0
        assert row["label_name"] == row["speaker"] == source[row["key"]].info.speaker


def test_an_encoder_is_measured_by_pixels_and_a_judge_without_labels_gives_none(place: Path) -> None:
    for row in rows(place, "encoder", classifier=place / "judge"):
        assert row["losses"] == {"pixel_mae": row["loss"]} and row["loss"] == pytest.approx(row["pixel_mae"], abs=5e-3)
        assert row["predicted_label"] is None and "logits" not in row and row["feature_distance"] > 0


def test_pictures_that_the_generator_made_are_recovered(in_process: None, place: Path, tmp_path: Path) -> None:
    """Equal evaluations: by L-BFGS on squares better than by Adam on absolute differences."""
    from invertone.infer.generate.config import CATALOGUE as GENERATE
    from invertone.infer.generate.job import run as generate

    words = [f"generator={place / 'generator'}", f"out={tmp_path / 'made'}", "count=6", "device=cpu", "workers=1"]
    generate("clips", load(GENERATE, "clips", words))
    given = {"shards": tmp_path / "made", "evaluations": 80, "starts": 2}
    found = {each: rows(place, each, **given) for each in ("lbfgs", "adam")}
    explained = {
        each: [1 - row["residual_variance"] / row["clip_variance"] for row in of] for each, of in found.items()
    }
    assert sum(each > 0.99 for each in explained["lbfgs"]) >= 4
    assert np.mean(explained["lbfgs"]) > np.mean(explained["adam"])


def test_hugging_face_sees_pictures(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = asked(place, "encoder")
    (entry, _) = load_manifest(Folder.at(config.shards)).shards
    (data,) = InversionStage(config, {}).open(1, Watch())(dataclasses.asdict(entry)).outputs.values()
    told = json.loads(pq.read_schema(io.BytesIO(data)).metadata[HUGGING_FACE])
    assert told == {"info": {"features": {"reconstruction": {"_type": "Image"}}}}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    (tmp_path / "rows.parquet").write_bytes(data)
    found = datasets.Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache"))
    assert found.features["reconstruction"] == datasets.Image()
    first = pq.read_table(io.BytesIO(data)).to_pylist()[0]
    assert np.array_equal(np.asarray(found[0]["reconstruction"]), decode(first["reconstruction"]["bytes"]))
    assert found[0]["latent"] == first["latent"] and len(first["latent"]) == LATENT


def test_rows_hold_what_was_asked_for(place: Path) -> None:
    whole = rows(place, "encoder")
    for kind, without in (("scores", {"reconstruction"}), ("latents", {"reconstruction", "psnr", "loss", "logits"})):
        held = rows(place, "encoder", rows=kind)
        assert not without & held[0].keys()
        assert held == [{name: row[name] for name in held[0]} for row in whole]


@pytest.mark.parametrize(
    "wrong",
    [lambda data: data[: len(data) // 2], lambda data: b"not a picture", lambda data: data[:60] + b"\0" + data[61:]],
    ids=["cut short", "text", "a byte changed"],
)
def test_a_picture_that_cannot_be_decoded_is_a_row_with_its_error(
    wrong: Any, in_process: None, place: Path, tmp_path: Path
) -> None:
    clips = made_pictures(PICTURES, "train")
    clips[2] = Clip(clips[2].info, wrong(clips[2].data), "png")
    write_shards(Folder.at(str(tmp_path / "shards")), [clips], SMALL)
    config = asked(place, "encoder", shards=tmp_path / "shards", out=tmp_path / "out", batch=4)
    with pytest.raises(JobIncompleteError, match="1 of 11 items have an error in place of a result"):
        run("encoder", config)
    found = of_run(tmp_path / "out")
    bad = found.pop(2)
    assert bad["status"] == "error" and bad["error"].startswith("cannot be decoded") and bad["latent"] is None
    assert [row["key"] for row in found] == [clip.info.key for clip in clips if clip is not clips[2]]
    whole = rows(place, "encoder")
    assert found == [row for row in whole if row["key"] != bad["key"]]  # the good ones are what they are without it


def test_a_picture_of_another_size_fails_alone(in_process: None, place: Path, tmp_path: Path) -> None:
    clips = made_pictures(5, "train")
    clips[1] = dataclasses.replace(
        clips[1], data=made_pictures(1, "x", format=dataclasses.replace(SMALL, width=30))[0].data
    )
    write_shards(Folder.at(str(tmp_path / "shards")), [clips], SMALL)
    with pytest.raises(JobIncompleteError):
        run("encoder", asked(place, "encoder", shards=tmp_path / "shards", out=tmp_path / "out"))
    found = of_run(tmp_path / "out")
    assert [row["status"] for row in found] == ["ok", "error", "ok", "ok", "ok"] and "has shape" in found[1]["error"]


def test_a_run_that_is_stopped_in_the_middle_goes_on_and_every_picture_is_one_row(
    in_process: None, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = asked(place, "hybrid", out=tmp_path / "out")
    table, calls = ShardInverter.table, list[int]()

    def killed(self: ShardInverter, clips: Any, watch: Any = None) -> Any:
        calls.append(len(clips))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return table(self, clips, watch)

    with monkeypatch.context() as patch:
        patch.setattr(ShardInverter, "table", killed)
        with pytest.raises(KeyboardInterrupt):
            run("hybrid-pictures", config)
    before = of_run(tmp_path / "out")
    assert len(before) == calls[0] == PICTURES
    run("hybrid-pictures", config)
    whole = of_run(tmp_path / "out")
    assert len({row["key"] for row in whole}) == len(whole) == PICTURES + 4
    assert whole == rows(place, "hybrid") + rows(place, "hybrid", at=1)


def test_every_folder_may_be_on_s3(in_process: None, place: Path, s3: str) -> None:
    bucket = Folder.at(f"{s3}/{uuid.uuid4().hex}")
    picture_models(bucket)
    picture_shards(bucket / "shards", train=(PICTURES, 4), validation=0)
    places = {role: f"{bucket.uri}/{role}" for role in ("shards", "generator", "mapper", "classifier", "out")}
    run("encoder", asked(place, "encoder", **places))
    local = rows(place, "encoder") + rows(place, "encoder", at=1)
    assert of_run(places["out"]) == local


def test_what_is_said_of_pictures_says_pictures(
    in_process: None, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = asked(place, "encoder", out=tmp_path / "out")
    assert plan(config)[0].startswith("would invert: 15 pictures in 2 shards")
    run("encoder", config)
    assert "15 pictures, 0 of them failed, in 2 Parquet files" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["flac", "wav"])
def test_an_audio_format_is_refused_where_it_was_given(format: str, place: Path) -> None:
    with pytest.raises(
        UserError, match=f"reconstruction_format={format} is for clips.*leave reconstruction_format out"
    ):
        plan(asked(place, "encoder", reconstruction_format=format))


def test_shards_of_another_size_are_refused_in_one_line(place: Path, tmp_path: Path) -> None:
    larger = dataclasses.replace(SMALL, height=64)
    manifest: ShardManifest = write_shards(Folder.at(str(tmp_path)), [made_pictures(2, "test", format=larger)], larger)
    assert manifest.format == larger
    with pytest.raises(
        UserError, match="generator is for pictures of 32 × 32 pixels, not pictures of 64 × 32"
    ) as caught:
        plan(asked(place, "encoder", shards=tmp_path))
    assert "\n" not in str(caught.value)


class Guest(nn.Module):
    """A generator of others, of pictures that are wider than high."""

    latent_size, prior, picture_height, picture_width = 3, "normal", 16, 24

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(4)) / 2)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.einsum("bz,zchw->bchw", latent, self.basis))


def test_a_guest_of_pictures_is_inverted(in_process: None, tmp_path: Path) -> None:
    generator = f"{__name__}:Guest"
    latent = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    from invertone.cluster.formats.shards import ClipInfo
    from invertone.cluster.formats.signals import PictureFormat
    from invertone.images.picture import encode, to_uint8

    format = PictureFormat(16, 24)
    made = [to_uint8(each.numpy())[0] for each in Guest()(latent)]
    clips = [
        Clip(ClipInfo(f"c{at}", "test", "made://", source_height=16, source_width=24), encode(each), "png")
        for at, each in enumerate(made)
    ]
    write_shards(Folder.at(str(tmp_path / "shards")), [clips], format)
    words = [
        f"shards={tmp_path / 'shards'}",
        f"generator={generator}",
        f"out={tmp_path / 'out'}",
        "device=cpu",
        "workers=1",
    ]
    run("gradient", load(CATALOGUE, "gradient-pictures-lbfgs", [*words, "evaluations=60", "starts=3"]))
    found = of_run(tmp_path / "out")
    assert np.allclose([row["latent"] for row in found], latent, atol=0.02)
