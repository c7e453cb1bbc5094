"""The reconstruction table: baselines that are known, sums that do not depend on how rows are cut, an independent oracle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from invertone.audio.clip import decode, to_float
from invertone.cluster.config.loading import load
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import CATALOGUE
from invertone.eval.job import run
from tests.infer.test_job import infer
from tests.infer.test_job import place as place  # the same models serve here
from tests.inside import inside
from tests.made import made_clips, train_tiny, write_shards


@pytest.fixture(scope="module")
def latents(place: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    with inside():
        return infer(place, "hybrid", tmp_path_factory.mktemp("latents") / "hybrid", evaluations=2)


def table(out: Path, name: str = "reconstruction", **values: Any) -> dict[str, dict[str, Any]]:
    run(
        name,
        load(
            CATALOGUE,
            name,
            [f"{key}={value}" for key, value in {"out": str(out), "device": "cpu", "workers": 1, **values}.items()],
        ),
    )
    key = "label" if name == "classifier" else "row"
    return {row[key]: row for row in json.loads((out / "table.json").read_text())["rows"]}


def test_real_clips_score_perfectly_and_silence_explains_nothing(
    in_process: None, latents: Folder, tmp_path: Path
) -> None:
    rows = table(tmp_path / "out", latents=latents.uri)
    assert list(rows) == ["hybrid", "real", "silence", "random latent"]
    real, silence = rows["real"], rows["silence"]
    assert real["waveform_mse"] == 0 and real["ssim"] == pytest.approx(1) and real["explained_variance"] == 1
    assert real["feature_distance"] == 0 and silence["explained_variance"] == pytest.approx(0, abs=1e-12)
    assert all(row["clips"] == 17 and row["failed"] == 0 for row in rows.values())
    power = np.mean([np.mean(to_float(decode(c.data)).astype(float) ** 2) for c in _clips()])
    assert silence["waveform_mse"] == pytest.approx(power, rel=1e-5)
    assert "| silence" in (tmp_path / "out/table.md").read_text()


def test_the_methods_row_is_what_the_parquet_says(in_process: None, latents: Folder, tmp_path: Path) -> None:
    """An oracle in numpy from the Parquet alone and the clips."""
    found = table(tmp_path / "out", latents=latents.uri)["hybrid"]
    assert latents.local is not None
    rows = [row for part in latents.local.glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    clips = {clip.info.key: to_float(decode(clip.data)).astype(np.float64) for clip in _clips()}
    heard = {row["key"]: to_float(decode(row["reconstruction"]["bytes"])).astype(np.float64) for row in rows}
    residual = sum(np.var(clips[key] - heard[key]) for key in clips)
    assert found["explained_variance"] == pytest.approx(
        1 - residual / sum(np.var(clip) for clip in clips.values()), abs=1e-6
    )
    for name in ("waveform_mse", "ssim", "spectrogram_mae", "feature_distance"):
        assert found[name] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-4)
    assert found["accuracy"] == pytest.approx(np.mean([row["predicted_label"] == row["label"] for row in rows]))


def test_batches_and_workers_do_not_change_the_numbers(ray_session: Capacity, latents: Folder, tmp_path: Path) -> None:
    one = table(tmp_path / "a", latents=latents.uri, batch=1, workers=1)
    many = table(tmp_path / "b", latents=latents.uri, batch=64, workers=2)
    for row, values in many.items():
        for name, value in values.items():
            assert one[row][name] == (
                value if not isinstance(value, float) else pytest.approx(value, rel=1e-4, abs=1e-6)
            )


def test_reconstructions_left_out_are_made_again_from_latents(
    in_process: None, place: Folder, latents: Folder, tmp_path: Path
) -> None:
    bare = infer(place, "hybrid", tmp_path / "bare", evaluations=2, rows="scores")
    again, kept = table(tmp_path / "a", latents=bare.uri), table(tmp_path / "b", latents=latents.uri)
    assert again["hybrid"]["ssim"] == pytest.approx(kept["hybrid"]["ssim"], abs=1e-4)


def test_several_runs_stand_in_one_table(in_process: None, place: Folder, latents: Folder, tmp_path: Path) -> None:
    encoder = infer(place, "encoder", tmp_path / "encoder")
    rows = table(tmp_path / "out", latents=f"[{encoder.uri},{latents.uri}]")
    assert list(rows) == ["encoder", "hybrid", "real", "silence", "random latent"]
    assert rows["real"]["clips"] == 17


@pytest.fixture(scope="module")
def others(place: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    """Latents of two generators over the same clips, with sound and without."""
    base = tmp_path_factory.mktemp("generators")
    second = train_tiny(
        "wavegan-debug",
        place / "shards",
        Folder.at(str(base / "second-generator")),
        steps=1,
        checkpoint_every=1,
        seed=9,
    )
    with inside():
        return {
            f"{name}/{rows}": infer(
                place,
                "gradient",
                base / name / rows,
                generator=generator.uri,
                evaluations=2,
                starts=1,
                rows=rows,
            )
            for name, generator in (("first", place / "wavegan"), ("second", second))
            for rows in ("reconstructions", "scores", "latents")
        }


@pytest.mark.parametrize("rows", ["reconstructions", "scores"])
def test_generators_are_compared_by_how_well_clips_are_recovered(
    rows: str, in_process: None, others: dict[str, Folder], tmp_path: Path
) -> None:
    uris = [others[f"{name}/{rows}"].uri for name in ("first", "second")]
    found = table(tmp_path / "out", "compare-generators", latents=f"[{','.join(uris)}]", splits="[]")
    labels = [f"gradient (first/{rows})", f"gradient (second/{rows})"]
    assert list(found) == [*labels, "real", "silence", "random latent"]
    for number, (uri, label) in enumerate(zip(uris, labels, strict=True)):
        alone = table(tmp_path / str(number), "reconstruction", latents=uri)["gradient"]
        assert found[label]["ssim"] == pytest.approx(alone["ssim"], abs=1e-6)
        assert found[label]["feature_distance"] == pytest.approx(alone["feature_distance"], rel=1e-4)
    assert found[labels[0]]["ssim"] != found[labels[1]]["ssim"]
    said = (tmp_path / "out/table.md").read_text()
    assert "Runs are of several generators" in said and "random latent is of" in said
    assert "several generators" not in (tmp_path / "0/table.md").read_text()


def test_latents_alone_are_not_made_sound_of_by_a_foreign_generator(
    in_process: None, others: dict[str, Folder], tmp_path: Path
) -> None:
    given = f"[{others['first/latents'].uri},{others['second/latents'].uri}]"
    with pytest.raises(
        UserError, match="not the generator of these latents; infer with rows=reconstructions"
    ) as caught:
        table(tmp_path / "out", latents=given)
    assert others["second/latents"].uri in str(caught.value)
    assert table(tmp_path / "one", latents=others["second/latents"].uri)["gradient"]["clips"] == 17


def test_rows_of_one_table_are_over_the_same_clips(
    in_process: None, place: Folder, latents: Folder, tmp_path: Path
) -> None:
    few = infer(place, "encoder", tmp_path / "few", splits="[validation]")
    rows = table(tmp_path / "out", latents=f"[{few.uri},{latents.uri}]")
    assert {name: row["clips"] for name, row in rows.items()} == dict.fromkeys(rows, 3)
    alone = table(tmp_path / "alone", latents=latents.uri, splits="[validation]")
    assert all(rows[name] == alone[name] for name in ("hybrid", "real", "silence", "random latent"))
    said = (tmp_path / "out/table.md").read_text()
    assert (
        "- All rows are over the same 3 clips, those that every run has a result for; rows there are: encoder 3, hybrid 17."
        in said
    )
    assert "All rows are over" not in (tmp_path / "alone/table.md").read_text()
    with pytest.raises(UserError, match="no shard is in all runs of these splits"):
        table(tmp_path / "none", latents=f"[{few.uri},{latents.uri}]", splits="[train]")


def test_a_clip_that_cannot_be_decoded_is_in_no_row_and_ends_nothing(
    in_process: None, place: Folder, tmp_path: Path
) -> None:
    shards = Folder.at(str(tmp_path / "shards"))
    clips = made_clips(6, "train")
    clips[2] = dataclasses.replace(clips[2], data=b"no sound")
    write_shards(shards, [clips])
    with pytest.raises(JobIncompleteError, match="1 of 6 items have an error in place of a result"):
        infer(place, "encoder", tmp_path / "latents", shards=shards.uri)
    rows = table(tmp_path / "out", latents=f"{tmp_path}/latents", shards=shards.uri)
    assert {name: row["clips"] for name, row in rows.items()} == dict.fromkeys(rows, 5)
    assert (rows["encoder"]["failed"], rows["real"]["failed"]) == (1, 0)


def test_latents_of_other_shards_and_unfinished_runs_are_refused(
    in_process: None, place: Folder, latents: Folder, tmp_path: Path
) -> None:
    from tests.made import made_shards

    made_shards(Folder.at(str(tmp_path / "other")), train=(3,), validation=0)
    with pytest.raises(UserError, match="made from other shards"):
        table(tmp_path / "out", latents=latents.uri, shards=tmp_path / "other")
    half = infer(place, "encoder", tmp_path / "half")
    (tmp_path / "half/__invertone/ledger/commits/train-000000.json").unlink()
    with pytest.raises(UserError, match="only 2 of 3 units"):
        table(tmp_path / "out", latents=half.uri)


def test_the_classifier_table_counts_its_confusions(in_process: None, place: Folder, tmp_path: Path) -> None:
    given = {"shards": (place / "shards").uri, "classifier": (place / "classifier").uri, "splits": "train"}
    rows = table(tmp_path / "out", "classifier", **given)
    assert rows["all"]["clips"] == 14 and [rows[name]["clips"] for name in ("low", "middle", "high")] == [5, 5, 4]
    confusion = np.array(json.loads((tmp_path / "out/table.json").read_text())["about"]["confusion"])
    assert confusion.sum(1).tolist() == [5, 5, 4]
    assert rows["all"]["accuracy"] == pytest.approx(np.trace(confusion) / 14)


def _clips() -> list[Any]:
    return made_clips(14, "train") + made_clips(3, "validation")
