"""Whatever hears labels enters by one door: alone, or by way of an encoder; averaged weights count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_network
from invertone.models.labeller import labeller_manifest, load_labeller
from tests.made import LABELS, made_shards, train_tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("labellers")))
    made_shards(folder / "shards", train=(8,), validation=0)
    for name in ("gaae", "ggan", "bigan", "cnn", "classifier", "biggan"):
        train_tiny(f"{name}-debug", folder / "shards", folder / name, steps=1, checkpoint_every=1, batch=4)
    return folder


@pytest.mark.parametrize("kind", ["classifier", "cnn", "gaae", "ggan", "bigan"])
def test_logits_of_every_kind(place: Folder, kind: str) -> None:
    labeller, manifest = load_labeller((place / kind).uri, "classifier")
    waveform = torch.randn(3, 16_384, generator=torch.Generator().manual_seed(0)) * 0.1
    logits = labeller(waveform)
    assert logits.shape == (3, 3) and manifest.label_names == LABELS and manifest.kind == kind
    if kind in ("gaae", "ggan", "bigan"):
        encoder, classifier = (
            load_network((place / kind).uri, "", kind, f"{name}_average")[0] for name in ("encoder", "classifier")
        )
        wanted = classifier(encoder(log_magnitude(waveform, FrontEnd(**manifest.front_end)))[0])
        assert torch.allclose(logits.softmax(1), wanted.softmax(1), atol=1e-6)


def test_what_hears_no_labels_is_named(place: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="classifier is a biggan checkpoint, which hears no labels"):
        labeller_manifest((place / "biggan").uri, "classifier")
    with pytest.raises(UserError, match="has no checkpoint here"):
        load_labeller(str(tmp_path), "classifier")
