"""Networks from and to checkpoints: equal outputs, clear refusals, nothing executed."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, publish, read_manifest
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import describe, folder_of, weights_bytes
from invertone.models.generator import generator_digest, load_generator
from invertone.models.networks.wavegan import WaveganGenerator


def published(place: Path, **changes: object) -> tuple[Folder, WaveganGenerator]:
    generator = WaveganGenerator(2, latent_size=6)
    manifest = CheckpointManifest("wavegan", describe({"generator": generator}), 5, USUAL, "untouched")
    folder = Folder.at(str(place))
    publish(folder, dataclasses.replace(manifest, **changes), {WEIGHTS: weights_bytes({"generator": generator})})  # type: ignore[arg-type]
    return folder, generator


def test_a_loaded_generator_makes_the_same_sound_and_is_frozen(tmp_path: Path) -> None:
    folder, generator = published(tmp_path)
    loaded, digest = load_generator(folder.uri)
    latent = torch.rand(3, 6) * 2 - 1
    assert torch.equal(loaded(latent), generator(latent)) and digest == generator_digest(folder.uri)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())  # type: ignore[attr-defined]


def test_a_pickle_in_place_of_weights_is_refused_and_not_executed(tmp_path: Path) -> None:
    folder, _ = published(tmp_path)
    trace = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (trace,)  # type: ignore[return-value]

    manifest = read_manifest(folder)
    assert manifest is not None
    publish(folder, manifest, {WEIGHTS: pickle.dumps(Evil())})
    with pytest.raises(UserError, match="weights do not fit"):
        load_generator(folder.uri)
    assert not trace.exists()


def test_an_unknown_network_and_a_strange_architecture_are_refused(tmp_path: Path) -> None:
    folder, _ = published(tmp_path / "a", networks={"generator": {"network": "os.system", "width": 2}})
    with pytest.raises(UserError, match="no network 'generator' of a kind known"):
        load_generator(folder.uri)
    folder, _ = published(tmp_path / "b", networks={"generator": {"network": "wavegan_generator", "depth": 9}})
    with pytest.raises(UserError, match="not understood"):
        load_generator(folder.uri)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    folder, _ = published(
        tmp_path, networks={"generator": {"network": "wavegan_generator", "width": 3, "latent_size": 6}}
    )
    with pytest.raises(UserError, match="weights do not fit"):
        load_generator(folder.uri)


def test_a_checkpoint_says_what_clips_it_is_for(tmp_path: Path) -> None:
    folder, _ = published(tmp_path, format=ClipFormat(8_000, 16_384, 1))
    assert folder_of(folder.uri, "generator", "wavegan")[1].clips == ClipFormat(8_000, 16_384, 1)
