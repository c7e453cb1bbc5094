"""What is refused before a training on pictures starts, in one line; and what its checkpoints are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from invertone.cluster.config.files import names
from invertone.cluster.config.loading import load, schema_of
from invertone.cluster.config.schema import all_keys
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import BEST_POINTER, resolve
from invertone.cluster.formats.shards import MANIFEST
from invertone.cluster.formats.signals import PictureFormat
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_classifier, load_mapper, load_network
from invertone.models.generator import load_generator, traits
from invertone.models.networks.picture_mapper import PictureMapper
from invertone.train.build import check
from invertone.train.config import CATALOGUE, OBJECTIVES
from invertone.train.recipe import Recipe
from tests.made import made_clips, tiny_config, train_tiny, write_shards
from tests.pictures import made_pictures, picture_models, picture_shards
from tests.train.golden import PICTURES, READS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Shards of clips and of pictures, and models of pictures."""
    folder = Folder.at(str(tmp_path_factory.mktemp("pictures")))
    write_shards(folder / "clips", [made_clips(6, "train"), made_clips(3, "validation")])
    picture_shards(folder / "pictures")
    picture_models(folder)
    return folder


def given(name: str, place: Folder) -> dict[str, str]:
    return {role: (place / role).uri for role in READS.get(name, ())}


@pytest.mark.parametrize("name", names("train"))
def test_the_other_kind_of_signal_is_refused_before_anything_else(name: str, place: Folder, tmp_path: Path) -> None:
    """Of every config, whatever else is wrong: models are not there, and none is asked for."""
    required = ("generator", "classifier", "encoder")
    models = [f"{role}=/nowhere" for role in required if role in all_keys(schema_of(CATALOGUE, name))]

    def given(shards: str) -> Any:
        return load(CATALOGUE, name, [f"shards={(place / shards).uri}", f"out={tmp_path}", "steps=1", *models])

    recipe: Recipe = OBJECTIVES.implementation(given("clips").objective)
    other = "pictures" if recipe.signal == "clip" else "clips"
    config = given(other)
    with pytest.raises(UserError, match=rf"shards hold .*, and {config.objective} learns from ") as refused:
        check(config)
    assert "\n" not in str(refused.value) and refused.value.where == (place / other).uri
    assert ("dcgan" in refused.value.fix) == (recipe.signal == "clip")


def refused(name: str, place: Folder, tmp_path: Path, format: PictureFormat | None = None, **values: Any) -> UserError:
    shards = place / "pictures"
    if format is not None:
        shards = Folder.at(str(tmp_path / "shards"))
        picture_shards(shards, format=format)
    config = tiny_config(name, shards, Folder.at(str(tmp_path / "out")), **{"steps": 1, **given(name, place), **values})
    with pytest.raises(UserError) as caught:
        check(config)
    assert "\n" not in str(caught.value) and caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_right_is_not_refused(name: str, place: Folder, tmp_path: Path) -> None:
    config = tiny_config(name, place / "pictures", Folder.at(str(tmp_path)), steps=1, **given(name, place))
    assert check(config).format == PictureFormat(32, 32)


@pytest.mark.parametrize(
    ("name", "format", "fix"),
    [
        ("dcgan-debug", PictureFormat(48, 48), "ingest with height=32 width=32"),
        ("dcgan-debug", PictureFormat(64, 32), "ingest with height=32 width=32"),
        ("dcgan-debug", PictureFormat(120, 130), "ingest with height=128 width=128"),
        ("progan-debug", PictureFormat(48, 48), "ingest with height=64 width=64"),
        ("progan-debug", PictureFormat(32, 16), "ingest with height=16 width=16"),
        ("progan-debug", PictureFormat(4, 4), "ingest with height=8 width=8"),
    ],
)
def test_sizes_that_no_network_has(name: str, format: PictureFormat, fix: str, place: Folder, tmp_path: Path) -> None:
    error = refused(name, place, tmp_path, format)
    assert str(format) in str(error) and error.fix == fix


def test_groups_of_the_minibatch_deviation_are_whole_on_every_worker(place: Folder, tmp_path: Path) -> None:
    error = refused("progan-debug", place, tmp_path, batch=12, workers="{min: 1, max: 3}")
    assert "batch=12 gives each of 2 workers 6 pictures" in str(error) and error.fix == "choose a multiple of 24"
    good = tiny_config(
        "progan-debug", place / "pictures", Folder.at(str(tmp_path)), steps=1, batch=6, **given("progan-debug", place)
    )
    check(good)  # one worker's groups are always the same


def test_recognisers_need_identities_and_networks_have_rules(place: Folder, tmp_path: Path) -> None:
    name = "recogniser-debug"
    assert "blocks=[1, 2]" in str(refused(name, place, tmp_path, blocks="[1, 2]"))
    assert "the last has one" in str(refused(name, place, tmp_path, blocks="[1, 1, 0]"))
    assert refused(name, place, tmp_path, width=44).fix == "use width=48"
    error = refused("recogniser-triplet-faces", place, tmp_path, batch=2)
    assert "holds 0.33 pairs of one identity on average" in str(error) and "use batch=4 or more" in error.fix
    nobody = made_pictures(4, "train")
    shards = Folder.at(str(tmp_path / "nobody"))
    manifest = write_shards(shards, [nobody], PictureFormat(32, 32))
    shards.publish_json(MANIFEST, {**manifest.to_json(), "label_names": []})
    config = tiny_config(name, shards, Folder.at(str(tmp_path / "out")), steps=1)
    with pytest.raises(UserError, match="shards have no identities"):
        check(config)
    shards.publish_json(MANIFEST, {**manifest.to_json(), "label_names": ["Ann"]})
    with pytest.raises(UserError, match="shards have one identity, Ann"):
        check(config)


def test_a_mapper_needs_what_its_losses_look_at(place: Folder, tmp_path: Path) -> None:
    name = "picture-mapper-debug"
    error = refused(name, place, tmp_path, perceptual_layers="[block35-1, block17-2]")
    assert "no layer 'block17-2'" in str(error) and error.fix.endswith("did you mean 'block17-1'?")
    error = refused(name, place, tmp_path, classifier="null")
    assert "weights.perceptual and weights.real_perceptual need a recogniser" in str(error)
    assert error.fix.endswith("or weights.perceptual=0 weights.real_perceptual=0")
    error = refused(name, place, tmp_path, classifier="null", real=False)
    assert "weights.perceptual needs a recogniser" in str(error)
    nothing = "{perceptual: 0, real_perceptual: 0}"
    error = refused(name, place, tmp_path, classifier="null", weights=nothing, perceptual_layers="[block35-1]")
    assert "perceptual_layers" in str(error)
    assert "has a layer without units" in str(refused(name, place, tmp_path, hidden="[8, 0]"))
    error = refused(name, place, tmp_path, PictureFormat(64, 64))
    assert "generator is for pictures of 32 × 32 pixels, not pictures of 64 × 64 pixels as the shards" in str(error)
    config = tiny_config(
        name,
        place / "pictures",
        Folder.at(str(tmp_path)),
        steps=1,
        weights=nothing,
        generator=(place / "generator").uri,
    )
    check(config)


def test_models_of_clips_are_not_for_pictures_nor_the_other_way_round(place: Folder, tmp_path: Path) -> None:
    train_tiny("classifier-debug", place / "clips", Folder.at(str(tmp_path / "heard")), steps=1, checkpoint_every=1)
    error = refused("dcgan-debug", place, tmp_path, classifier=str(tmp_path / "heard"))
    assert "classifier is for 16,384 mono samples at 16,000 Hz, not pictures of 32 × 32 pixels" in str(error)
    config = tiny_config(
        "wavegan-debug",
        place / "clips",
        Folder.at(str(tmp_path / "out")),
        steps=1,
        classifier=(place / "classifier").uri,
    )
    with pytest.raises(UserError, match="classifier is for pictures of 32 × 32 pixels, not 16,384 mono samples"):
        check(config)


def test_a_recogniser_of_other_sizes_and_identities_is_taken(place: Folder, tmp_path: Path) -> None:
    """It resizes, and what it is asked for is not who that is."""
    shards = Folder.at(str(tmp_path / "shards"))
    manifest = picture_shards(shards, format=PictureFormat(64, 64))
    shards.publish_json(MANIFEST, {**manifest.to_json(), "label_names": ["x", "y", "z"]})
    check(tiny_config("dcgan-debug", shards, Folder.at(str(tmp_path)), steps=1, classifier=(place / "classifier").uri))


def test_checkpoints_of_trainings_are_read_by_those_who_need_them(place: Folder, tmp_path: Path) -> None:
    """Generator, recogniser and mapper of a family trained here; a judge leaves a best generator."""
    family, once = Folder.at(str(tmp_path)), {"steps": 1, "checkpoint_every": 1, "validation_clips": 6}
    shards = place / "pictures"
    train_tiny("recogniser-debug", shards, family / "classifier", **once)
    for name in ("dcgan", "progan"):
        train_tiny(f"{name}-debug", shards, family / name, classifier=(family / "classifier").uri, **once)
        assert (family / name).exists(BEST_POINTER)
        made, _ = load_generator((family / name).uri)
        assert made(torch.zeros(2, 8)).shape == (2, 3, 32, 32)
        assert (traits((family / name).uri).kind, traits((family / name).uri).signal) == (name, "picture")
        _, manifest = resolve((family / name).uri, "generator")
        assert manifest.metrics["frechet_distance"] > 0 and manifest.format == PictureFormat(32, 32)
    made, _ = load_generator((family / "progan").uri)
    average, _ = load_network((family / "progan").uri, "generator", "progan", "generator_average")
    latent = torch.randn(2, 8)
    assert torch.equal(made(latent), average(latent))
    models = {"generator": (family / "progan").uri, "classifier": (family / "classifier").uri}
    train_tiny("picture-mapper-debug", shards, family / "mapper", **models, **once)
    mapper, manifest = load_mapper((family / "mapper").uri)
    assert isinstance(mapper, PictureMapper) and manifest.inputs.keys() == {"generator", "classifier"}
    assert mapper(torch.zeros(2, 3, 32, 32)).shape == (2, 8)
    classifier, found = load_classifier((family / "classifier").uri)
    assert found.label_names and classifier.outputs == len(found.label_names)
    assert sorted((family / "mapper").names("samples/step-00000001"))[0] == "0-reconstruction.png"
