"""A mapper's training that begins with weights which are there already."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import MANIFEST, resolve
from invertone.cluster.formats.shards import load_manifest
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import build, load_mapper, load_networks
from invertone.train.build import build_objective, check, inputs
from tests.made import made_shards, tiny_config, train_tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    place = Folder.at(str(tmp_path_factory.mktemp("initial")))
    made_shards(place / "shards")
    train_tiny("classifier-debug", place / "shards", place / "classifier", steps=1)
    train_tiny("wae-digits", place / "shards", place / "wae", steps=1)
    return place


def mapper_config(place: Folder, out: str, name: str = "mapper-debug", **values: Any) -> Any:
    given = {"generator": (place / "wae").uri, "classifier": (place / "classifier").uri, "steps": 1}
    return tiny_config(name, place / "shards", place / out, **given, **values)


def weights(config: Any, place: Folder) -> dict[str, torch.Tensor]:
    objective = build_objective(config, load_manifest(place / "shards"), torch.device("cpu"))
    return dict(objective.networks["mapper"].state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_mapper_begins_as_the_autoencoder_s_encoder(place: Folder) -> None:
    front_end = {"mels": 32, "hop_length": 256, "reference": "full_scale"}
    config = mapper_config(place, "m", initial=(place / "wae").uri, front_end=front_end)
    folder, manifest = resolve((place / "wae").uri, "generator")
    encoder = load_networks(folder, manifest, ("encoder",))["encoder"].state_dict()
    untrained = build(manifest, "encoder", "here").state_dict()
    check(config)
    begun = weights(config, place)
    assert same(begun, dict(encoder)) and not same(begun, dict(untrained))
    assert inputs(config)["initial"] == manifest.digest


def test_a_mapper_begins_as_another_and_a_run_of_other_initial_weights_is_another(place: Folder) -> None:
    first = train_tiny(
        "mapper-debug",
        place / "shards",
        place / "first",
        steps=1,
        generator=(place / "wae").uri,
        classifier=(place / "classifier").uri,
    )
    config = mapper_config(place, "second", initial=first.uri)
    assert same(weights(config, place), dict(load_mapper(first.uri)[0].state_dict()))
    assert inputs(config) != inputs(mapper_config(place, "third"))


@pytest.mark.parametrize(
    ("values", "initial", "said"),
    [
        ({"width": 6}, "wae", "initial is of another shape: width 4 → 6"),
        ({"front_end": {"mels": 16}}, "wae", "initial is of another shape: front_end "),
        ({}, "classifier", "initial has neither a mapper nor an encoder"),
        ({}, "shards", "initial has no checkpoint here"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(
    place: Folder, values: dict[str, Any], initial: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check(mapper_config(place, "refused", initial=(place / initial).uri, **values))


def test_an_iterative_mapper_s_first_pass_is_the_encoder_s(place: Folder) -> None:
    front_end = {"mels": 32, "hop_length": 256, "reference": "full_scale"}
    config = mapper_config(place, "r", "restyle-debug", initial=(place / "wae").uri, front_end=front_end)
    check(config)
    objective = build_objective(config, load_manifest(place / "shards"), torch.device("cpu"))
    folder, manifest = resolve((place / "wae").uri, "generator")
    encoder = load_networks(folder, manifest, ("encoder",))["encoder"]
    target, found = torch.rand(2, 3, 16_384, generator=torch.Generator().manual_seed(3)) - 0.5
    mapper = objective.networks["mapper"].eval()
    with torch.no_grad():
        assert torch.allclose(mapper(target, found), encoder(target), atol=1e-5)
    assert all(each.requires_grad for each in mapper.parameters())


def test_an_older_version_s_weights_begin_a_mapper_too(place: Folder) -> None:
    """Its front end knew fewer keys: what it could not say is what is usual."""
    first = train_tiny(
        "mapper-debug",
        place / "shards",
        place / "older",
        steps=1,
        generator=(place / "wae").uri,
        classifier=(place / "classifier").uri,
    )
    folder, _ = resolve(first.uri, "initial")
    record = folder.read_json(MANIFEST)
    for name in ("window", "mean", "deviation"):
        del record["networks"]["mapper"]["front_end"][name], record["front_end"][name]
    folder.publish_json(MANIFEST, record)
    config = mapper_config(place, "from older", initial=first.uri)
    check(config)
    assert same(weights(config, place), dict(load_mapper(first.uri)[0].state_dict()))


@pytest.mark.parametrize(
    ("front_end", "nats"),
    [({"dynamic_range": 90}, "90"), ({"mean": 12}, "-2"), ({"mean": -7, "deviation": 8}, "87")],
)
def test_a_floor_that_is_none_is_refused(place: Folder, front_end: dict[str, int], nats: str) -> None:
    with pytest.raises(UserError, match=f"lies {nats} nats below the reference"):
        check(mapper_config(place, "refused", front_end={"mels": 32, "hop_length": 256, **front_end}))
