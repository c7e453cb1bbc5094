"""The road with every folder on S3: shards, checkpoints, metrics, Parquet, table. Commands run in processes of their own."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import fsspec
import pytest
import soundfile

from invertone.cluster.formats.latents import committed_parts, read_part
from invertone.cluster.storage.folder import Folder
from invertone.train.loop.record import read_metrics
from tests.e2e.test_road import TINY, invertone
from tests.made import made_shards, train_tiny


@pytest.mark.long
@pytest.mark.timeout(600)
def test_train_infer_and_eval_with_every_folder_on_s3(tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    place = Folder.at(f"{s3}/{uuid.uuid4().hex}")
    made_shards(place / "shards", train=(8, 6), validation=4)
    train = (
        f"train classifier-debug shards={place.uri}/shards out={place.uri}/classifier checkpoint_every=4 {TINY} batch=6"
    )
    invertone(f"{train} schedule=constant steps=4", tmp_path)
    invertone(f"{train} schedule=constant steps=8", tmp_path)
    steps = [line["step"] for line in read_metrics(place / "classifier") if "classifier/error" in line]
    assert steps == [2, 4, 6, 8] and (place / "classifier").names("tensorboard")
    assert not (place / "classifier").exists(".ray")

    train_tiny("wavegan-debug", place / "shards", place / "wavegan", steps=1, checkpoint_every=1)
    samples, _ = soundfile.read(io.BytesIO((place / "wavegan").read_bytes("samples/step-00000001/generated-0.wav")))
    assert len(samples) == 16_384
    models = {"generator": f"{place.uri}/wavegan", "classifier": f"{place.uri}/classifier"}
    train_tiny("mapper-debug", place / "shards", place / "mapper", steps=1, checkpoint_every=1, **models)

    given = " ".join(f"{role}={uri}" for role, uri in models.items())
    infer = f"infer encoder shards={place.uri}/shards mapper={place.uri}/mapper {given} out={place.uri}/latents"
    invertone(infer, tmp_path)
    rows = [
        row for part in committed_parts(place / "latents") for row in read_part(place / "latents", part).to_pylist()
    ]
    assert len(rows) == len({row["key"] for row in rows}) == 18 and all(row["status"] == "ok" for row in rows)
    table = invertone(f"eval reconstruction latents={place.uri}/latents out={place.uri}/table", tmp_path)
    assert "random latent" in table and (place / "table").exists("table.json")
    told = invertone(f"status {place.uri}/latents", tmp_path) + invertone(f"verify {place.uri}/latents", tmp_path)
    assert "18 of 18 (100.0%)" in told and "all as recorded" in told

    served = fsspec.filesystem("s3")
    written = served.cat(served.find(place.uri))
    assert len(written) > 30 and not any(b"planted-secret" in data for data in written.values())
    assert "planted-secret" not in table + told
