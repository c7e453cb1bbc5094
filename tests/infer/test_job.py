"""Bulk inversion on real Ray: one row per clip, whatever happens; the rows are what the contract says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from invertone.audio.clip import decode
from invertone.cluster.config.loading import load
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.latents import ROWS, described
from invertone.cluster.formats.shards import MANIFEST, Clip
from invertone.cluster.jobs.status import failed, status
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.infer.config import CATALOGUE
from invertone.infer.job import plan, run
from invertone.infer.schemas.shared import InferConfig
from invertone.models.networks.wavegan import WaveganGenerator
from tests.made import made_clips, made_shards, train_tiny, write_shards


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("infer")))
    made_shards(folder / "shards", train=(9, 5), validation=3)
    train_tiny("classifier-debug", folder / "shards", folder / "classifier", steps=3, checkpoint_every=3)
    train_tiny("wavegan-debug", folder / "shards", folder / "wavegan", steps=1, checkpoint_every=1)
    given = {"generator": (folder / "wavegan").uri, "classifier": (folder / "classifier").uri}
    train_tiny("mapper-debug", folder / "shards", folder / "mapper", steps=2, checkpoint_every=2, **given)
    return folder


def dry(place: Folder, name: str, **values: Any) -> list[str]:
    return plan(asked(place, name, Path("/out"), **values))


def infer(place: Folder, name: str, out: Path, **values: Any) -> Folder:
    run(name, asked(place, name, out, **values))
    return Folder.at(str(out))


def asked(place: Folder, name: str, out: Path, **values: Any) -> InferConfig:
    given: dict[str, Any] = {
        "shards": (place / "shards").uri,
        "generator": (place / "wavegan").uri,
        "classifier": (place / "classifier").uri,
        "out": str(out),
        "device": "cpu",
        "workers": 1,  # a second one costs seconds to start
        **values,
    }
    if name != "gradient":
        given.setdefault("mapper", (place / "mapper").uri)
    config: InferConfig = load(CATALOGUE, name, [f"{key}={value}" for key, value in given.items()])
    return config


def rows(folder: Folder) -> dict[str, dict[str, Any]]:
    assert folder.local is not None
    listed = [row for part in sorted(folder.local.glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    assert len({row["key"] for row in listed}) == len(listed), "a key stands twice"
    return {row["key"]: row for row in listed}


def test_every_clip_is_one_row_as_the_contract_says(ray_session: Capacity, place: Folder, tmp_path: Path) -> None:
    out = infer(place, "hybrid", tmp_path / "out", evaluations=2)
    found = rows(out)
    keys = {clip.info.key for clip in made_clips(14, "train") + made_clips(3, "validation")}
    assert found.keys() == keys
    for row in found.values():
        assert row["status"] == "ok" and row["error"] is None and row["method"] == "hybrid"
        assert row["evaluations"] == 2 and row["stopped"] == "evaluations" and row["trajectory"] is None
        assert len(row["latent"]) == 8 and np.abs(row["latent"]).max() <= 1
        heard = decode(row["reconstruction"]["bytes"])
        assert heard.shape == (16_384,) and row["reconstruction"]["path"] == f"{row['key']}.flac"
        assert 0 <= row["predicted_label"] < 3 and row["feature_distance"] > 0 and -1 <= row["ssim"] <= 1
        assert row["losses"].keys() == {"log_magnitude", "features"}
        assert row["loss"] == pytest.approx(5 * row["losses"]["log_magnitude"] + row["losses"]["features"], rel=1e-4)
        assert row["losses"]["log_magnitude"] == pytest.approx(row["spectrogram_mae"], abs=5e-3)
    about = described(out)
    assert about["method"] == "hybrid" and about["inputs"]["generator"] == (place / "wavegan").uri


@pytest.mark.long
def test_batch_size_and_shards_do_not_change_a_row(ray_session: Capacity, place: Folder, tmp_path: Path) -> None:
    other = Folder.at(str(tmp_path / "shards"))
    clips = made_clips(14, "train")
    write_shards(other, [clips[::-1][:3], clips[:11]])
    one = rows(infer(place, "hybrid", tmp_path / "a", evaluations=3, batch=1, splits="[train]"))
    many = rows(infer(place, "hybrid", tmp_path / "b", evaluations=3, batch=64, splits="[train]", workers=2))
    resharded = rows(infer(place, "hybrid", tmp_path / "c", evaluations=3, batch=4, shards=other.uri))
    assert one.keys() == many.keys() == resharded.keys()
    for key, row in many.items():
        for twin in (one[key], resharded[key]):
            assert np.allclose(row["latent"], twin["latent"], atol=1e-4) and row["ssim"] == pytest.approx(
                twin["ssim"], abs=1e-3
            )


def test_a_clip_that_cannot_be_decoded_is_a_row_with_its_error(in_process: None, place: Folder, tmp_path: Path) -> None:
    clips = made_clips(6, "train")
    clips[2] = Clip(clips[2].info, b"fLaC and then nothing", "flac")
    shards = Folder.at(str(tmp_path / "shards"))
    write_shards(shards, [clips])
    with pytest.raises(JobIncompleteError, match="1 of 6 items have an error in place of a result"):
        infer(place, "encoder", tmp_path / "out", shards=shards.uri, batch=4)
    out = Folder.at(str(tmp_path / "out"))
    found = rows(out)
    bad = found.pop(clips[2].info.key)
    assert bad["status"] == "error" and bad["error"].startswith("cannot be decoded") and bad["latent"] is None
    assert len(found) == 5 and all(row["status"] == "ok" for row in found.values())
    (listed,) = failed(out)
    assert dict(listed.excluded) == {bad["key"]: bad["error"]}
    told = status(out)
    assert (told.state, told.items_excluded, told.items) == ("done, with failed items", 1, {"done": 6, "total": 6})
    assert "  failed    1 clips have an error in place of a result" in told.lines()


def test_a_clip_of_another_length_fails_alone(in_process: None, place: Folder, tmp_path: Path) -> None:
    from invertone.audio.clip import encode

    clips = made_clips(5, "train")
    clips[1] = Clip(clips[1].info, encode(np.zeros(100, np.int16), "flac", 16_000), "flac")
    shards = Folder.at(str(tmp_path / "shards"))
    write_shards(shards, [clips])
    with pytest.raises(JobIncompleteError):
        infer(place, "encoder", tmp_path / "out", shards=shards.uri)
    found = rows(Folder.at(str(tmp_path / "out")))
    assert [row["status"] for row in found.values()] == ["ok", "error", "ok", "ok", "ok"]


def test_rows_hold_what_was_asked_for_and_latents_are_the_same(in_process: None, place: Folder, tmp_path: Path) -> None:
    found = {kind: rows(infer(place, "encoder", tmp_path / kind, rows=kind, splits="[validation]")) for kind in ROWS}
    assert [len(each) for each in found.values()] == [3, 3, 3, 3]
    held = {kind: set(next(iter(each.values()))) for kind, each in found.items()}
    assert held["reconstructions"] - held["scores"] == {"reconstruction"}
    assert held["sounds"] - held["latents"] == {"reconstruction"}
    assert {"ssim", "loss", "losses", "logits", "clip_logits", "predicted_label"} <= held["scores"] - held["latents"]
    assert {"key", "label", "latent", "steps", "evaluations", "stopped", "status", "error"} <= held["latents"]
    for key, row in found["reconstructions"].items():
        assert row["ssim"] is not None and len(row["logits"]) == len(row["clip_logits"]) > 1
        assert found["scores"][key] == {name: value for name, value in row.items() if name != "reconstruction"}
        for kind in ("latents", "sounds"):
            assert found[kind][key] == {name: row[name] for name in held[kind]}


@pytest.mark.parametrize("kind", ROWS)
def test_the_mappers_own_latents_stand_beside_the_projected_ones_where_asked(
    kind: str, in_process: None, place: Folder, tmp_path: Path
) -> None:
    given = {"splits": "[validation]", "rows": kind}
    plain = rows(infer(place, "encoder", tmp_path / "plain", **given))
    found = rows(infer(place, "encoder", tmp_path / "both", unprojected="true", **given))
    for key, row in found.items():
        said = row.pop("unprojected_latent")
        assert row == plain[key] and row["latent"] == np.clip(said, -1, 1).tolist()


def test_what_rows_do_not_hold_is_not_computed(
    in_process: None, place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    forward = WaveganGenerator.forward

    def counted(self: Any, latent: Any) -> Any:
        made.append(len(latent))
        return forward(self, latent)

    monkeypatch.setattr(WaveganGenerator, "forward", counted)
    infer(place, "encoder", tmp_path / "latents", rows="latents")
    tried = len(made)  # when it was loaded
    infer(place, "encoder", tmp_path / "scores", rows="scores")
    assert len(made) > 2 * tried
    monkeypatch.setattr("invertone.audio.clip.encode", None)
    infer(place, "encoder", tmp_path / "again", rows="scores")


def test_the_first_clips_of_the_plan_are_a_run_of_their_own(in_process: None, place: Folder, tmp_path: Path) -> None:
    whole, first = infer(place, "encoder", tmp_path / "whole"), infer(place, "encoder", tmp_path / "first", limit=11)
    assert list(rows(first).items()) == list(rows(whole).items())[:11]
    with pytest.raises(UserError, match="limit: 11 → 0"):
        infer(place, "encoder", tmp_path / "first")
    assert [line.split(": ")[1] for line in dry(place, "encoder", limit=11)[:1]] == ["11 clips in 2 shards, 0.3 MB"]


def test_a_rerun_adds_nothing_and_a_lost_commit_is_done_again(
    ray_session: Capacity, place: Folder, tmp_path: Path
) -> None:
    out = infer(place, "encoder", tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    infer(place, "encoder", tmp_path / "out")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == before
    (tmp_path / "out/__invertone/ledger/commits/train-000001.json").unlink()
    infer(place, "encoder", tmp_path / "out")
    assert len(rows(out)) == 17
    changed = {
        path.name for path in (tmp_path / "out").glob("*.parquet") if path.stat().st_mtime_ns != before[path.name]
    }
    assert changed == {"train-000001.parquet"}


def test_a_mapper_of_another_generator_is_refused(place: Folder, tmp_path: Path) -> None:
    other = train_tiny(
        "wavegan-debug", place / "shards", Folder.at(str(tmp_path / "g")), steps=1, checkpoint_every=1, seed=9
    )
    with pytest.raises(UserError, match="trained for another generator"):
        infer(place, "encoder", tmp_path / "out", generator=other.uri)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_the_wrong_kind_is_refused(place: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="generator is a classifier checkpoint"):
        infer(place, "encoder", tmp_path / "out", generator=(place / "classifier").uri)


def test_a_damaged_shard_fails_alone_and_is_named(in_process: None, place: Folder, tmp_path: Path) -> None:
    shards = Folder.at(str(tmp_path / "shards"))
    manifest = write_shards(shards, [made_clips(4, "train"), made_clips(3, "test")])
    data = bytearray(shards.read_bytes(manifest.shards[0].name))
    data[700] ^= 1
    shards.publish_bytes(manifest.shards[0].name, bytes(data))
    with pytest.raises(UserError, match=r"1 of 2 units were not done.*train-000000.*sha256") as caught:
        infer(place, "encoder", tmp_path / "out", shards=shards.uri)
    assert caught.value.exit_code == 3
    assert len(rows(Folder.at(str(tmp_path / "out")))) == 3
    assert manifest.to_json()["shards"] and shards.exists(MANIFEST)


def test_the_digest_of_a_checkpoint_guards_the_run(in_process: None, place: Folder, tmp_path: Path) -> None:
    infer(place, "encoder", tmp_path / "out")
    assert resolve((place / "mapper").uri, "mapper")[1].kind == "mapper"
    with pytest.raises(UserError, match="rows"):
        infer(place, "encoder", tmp_path / "out", rows="scores")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("gradient", {"weights.features": 1, "classifier": "null"}, "weights.features needs a classifier"),
        ("gradient", {"weights.consistency": 1}, "weights.consistency needs a mapper"),
        ("gradient", {"weights.multi_resolution_stft": 0}, "every weight is 0"),
        ("gradient", {"weights.loudness": 1}, "unknown key 'weights.loudness'"),
        ("gradient", {"optimiser": "lbfg"}, "did you mean 'lbfgs'"),
        ("restyle", {}, "mapper is a mapper checkpoint, not a restyle"),
    ],
)
def test_a_mistake_in_the_method_is_named_before_anything_starts(
    name: str, values: dict[str, Any], said: str, place: Folder, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        infer(place, name, tmp_path / "out", **values)
    assert not (tmp_path / "out").exists()


def test_restyle_is_a_method_like_the_others(in_process: None, place: Folder, tmp_path: Path) -> None:
    given = {"generator": (place / "wavegan").uri, "classifier": (place / "classifier").uri}
    trained = train_tiny(
        "restyle-debug", place / "shards", Folder.at(str(tmp_path / "r")), steps=2, checkpoint_every=2, **given
    )
    found = rows(infer(place, "restyle", tmp_path / "out", mapper=trained.uri, splits="[validation]", passes=2))
    assert len(found) == 3
    for row in found.values():
        assert (row["method"], row["steps"], row["evaluations"], row["stopped"]) == ("restyle", 2, 0, "encoded")


def test_a_trajectory_is_written_if_asked_for(in_process: None, place: Folder, tmp_path: Path) -> None:
    out = infer(place, "gradient", tmp_path / "out", evaluations=5, starts=2, trajectory=True, splits="[validation]")
    for row in rows(out).values():
        assert 1 <= len(row["trajectory"]) <= 5 and row["trajectory"][-1] == pytest.approx(row["loss"])
        assert row["evaluations"] > len(row["trajectory"])
