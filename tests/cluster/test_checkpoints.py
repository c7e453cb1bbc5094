"""Checkpoints: a digest of what the model computes, every file verified, found by folder or by run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import (
    BEST_POINTER,
    MANIFEST,
    CheckpointManifest,
    publish,
    read_file,
    resolve,
    step_folder,
)
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder

BARE = CheckpointManifest(
    kind="classifier",
    networks={"classifier": {"width": 64, "classes": 10}},
    step=100,
    format=USUAL,
    levels="untouched",
    label_names=("zero", "one"),
    front_end={"n_fft": 512},
    metrics={"accuracy": 0.5},
)
FILES = {"model.safetensors": b"weights", "training.safetensors": b"moments"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.at(str(tmp_path / "checkpoint"))


def test_a_checkpoint_reads_back_equal(folder: Folder) -> None:
    published = publish(folder, BARE, FILES)
    found, manifest = resolve(folder.uri, "classifier", "classifier")
    assert (found, manifest) == (folder, published)
    assert {name: read_file(found, manifest, name) for name in FILES} == FILES


def digest_of(folder: Folder, manifest: CheckpointManifest, **files: bytes) -> str:
    return publish(folder, manifest, {**FILES, **{f"{k}.safetensors": v for k, v in files.items()}}).digest


def test_the_digest_follows_weights_architecture_and_front_end(folder: Folder) -> None:
    before = digest_of(folder, BARE)
    assert digest_of(folder, BARE, model=b"Weights") != before
    assert digest_of(folder, replace(BARE, networks={"classifier": {"width": 32, "classes": 10}})) != before
    assert digest_of(folder, replace(BARE, front_end={"n_fft": 1024})) != before
    assert digest_of(folder, replace(BARE, kind="mapper")) != before


def test_the_digest_ignores_metrics_training_data_and_the_optimiser(folder: Folder) -> None:
    before = digest_of(folder, BARE)
    assert digest_of(folder, replace(BARE, metrics={"accuracy": 0.9}, data={"digest": "d"})) == before
    assert digest_of(folder, BARE, training=b"other") == before
    assert resolve(folder.uri, "classifier")[1].digest == before


def test_a_damaged_file_is_named(folder: Folder) -> None:
    manifest = publish(folder, BARE, FILES)
    folder.publish_bytes("model.safetensors", b"weightz")
    with pytest.raises(UserError, match=r"model\.safetensors differs from its manifest \(sha256\)"):
        read_file(folder, manifest, "model.safetensors")
    folder.remove("model.safetensors")
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        read_file(folder, manifest, "model.safetensors")


def test_a_file_that_the_manifest_does_not_vouch_for_is_refused(folder: Folder) -> None:
    manifest = publish(folder, BARE, FILES)
    folder.publish_bytes("other.safetensors", b"planted")
    with pytest.raises(UserError, match=r"other\.safetensors differs"):
        read_file(folder, manifest, "other.safetensors")


def test_without_its_manifest_a_folder_is_no_checkpoint(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, BARE, FILES)
    real = Folder.publish_bytes

    def fail_at_weights(self: Folder, name: str, data: bytes) -> None:
        if name == "training.safetensors":
            raise OSError("disk full")
        real(self, name, data)

    monkeypatch.setattr(Folder, "publish_bytes", fail_at_weights)
    with pytest.raises(OSError, match="disk full"):
        publish(folder, BARE, {**FILES, "model.safetensors": b"new"})
    with pytest.raises(UserError, match="classifier has no checkpoint here"):
        resolve(folder.uri, "classifier")


def test_a_run_gives_its_best_checkpoint_else_its_newest(folder: Folder) -> None:
    for step in (100, 1_000, 200):
        publish(folder / f"checkpoints/{step_folder(step)}", replace(BARE, step=step), FILES)
    assert resolve(folder.uri, "classifier")[1].step == 1_000
    folder.publish_json(BEST_POINTER, {"step": 200})
    assert resolve(folder.uri, "classifier")[1].step == 200


def test_a_checkpoint_of_another_kind_is_refused_by_role(folder: Folder) -> None:
    publish(folder, BARE, FILES)
    with pytest.raises(UserError, match="generator is a classifier checkpoint, not a wavegan"):
        resolve(folder.uri, "generator", "wavegan")


def test_no_checkpoint_says_how_to_train_one(folder: Folder) -> None:
    with pytest.raises(UserError, match="mapper has no checkpoint here; train one with `invertone train mapper`"):
        resolve(folder.uri, "mapper", "mapper")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xff{", b'{"version": 7}', b'{"version": 1}', b"null"])
def test_a_damaged_manifest_is_named(folder: Folder, damage: bytes) -> None:
    publish(folder, BARE, FILES)
    folder.publish_bytes(MANIFEST, damage)
    with pytest.raises(UserError, match=r"checkpoint\.json is (damaged|not of version 1)"):
        resolve(folder.uri, "classifier")
