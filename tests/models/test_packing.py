"""Models to give away: smaller, and the same to whoever uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from invertone import command_line
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import publish, read_manifest, resolve
from invertone.cluster.storage import shipped
from invertone.cluster.storage.folder import Folder
from invertone.models.autoencoder import family_manifest, load_autoencoder
from invertone.models.checkpoint import load_classifier, load_mapper, load_network
from invertone.models.generator import load_generator, traits
from invertone.models.packing.pack import copy, pack
from tests.made import made_shards, tiny_models, train_tiny
from tests.pictures import picture_models, picture_shards


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("packing")
    made_shards(Folder.at(str(place / "shards")))
    tiny_models(Folder.at(str(place / "shards")), place)
    train_tiny("wae-digits", Folder.at(str(place / "shards")), Folder.at(str(place / "wae")), steps=1)
    for role, run in (("classifier", "classifier"), ("generator", "wavegan"), ("mapper", "mapper")):
        pack(str(place / run), str(place / "shelf" / "family" / role))
    return place


def test_what_is_packed_is_half_the_size_and_computes_the_same(place: Path) -> None:
    whole, _ = load_classifier(str(place / "classifier"))
    packed, manifest = load_classifier(str(place / "shelf" / "family" / "classifier"))
    folder, before = resolve(str(place / "classifier"), "classifier")
    assert Folder.at(str(place / "shelf" / "family" / "classifier")).size("model.safetensors") < 0.6 * folder.size(
        "model.safetensors"
    )
    assert (manifest.label_names, manifest.step, manifest.data) == (before.label_names, before.step, before.data)
    sound = torch.rand(3, 16_384, generator=torch.Generator().manual_seed(1)) - 0.5
    assert torch.allclose(whole(sound), packed(sound), atol=5e-3)
    assert all(each.dtype == torch.float32 for each in packed.parameters())


def test_of_an_autoencoder_the_averaged_networks_are_packed(place: Path, tmp_path: Path) -> None:
    """Discriminators and what training moves are of no use to anyone who generates or hears with it."""
    train_tiny("gaae-debug", Folder.at(str(place / "shards")), Folder.at(str(tmp_path / "gaae")), steps=1)
    made = pack(str(tmp_path / "gaae"), str(tmp_path / "out"))
    assert set(made.networks) == {"encoder_average", "decoder_average", "classifier_average"}
    whole, packed = (load_autoencoder(*family_manifest(str(tmp_path / each), "it")) for each in ("gaae", "out"))
    sound = torch.rand(3, 16_384, generator=torch.Generator().manual_seed(1)) - 0.5
    with torch.no_grad():
        before, after = (each.encode(sound) for each in (whole, packed))
        assert torch.allclose(before.probabilities, after.probabilities, atol=5e-3)
        pictures = [each.spectrogram(before.style, before.probabilities) for each in (whole, packed)]
    assert torch.allclose(*pictures, atol=2e-2)


def test_a_family_of_one_stands_for_it_whatever_the_key(place: Path, tmp_path: Path) -> None:
    pack(str(place / "wavegan"), str(tmp_path / "family" / "mine"))
    assert resolve(str(tmp_path / "family"), "checkpoint")[0].uri == str(tmp_path / "family" / "mine")
    pack(str(place / "classifier"), str(tmp_path / "family" / "other"))
    with pytest.raises(UserError, match="checkpoint has no checkpoint here"):
        resolve(str(tmp_path / "family"), "checkpoint")


def test_vectors_keep_their_precision(place: Path) -> None:
    tensors = safetensors.torch.load((place / "shelf" / "family" / "classifier" / "model.safetensors").read_bytes())
    dtypes = {each.ndim >= 2: each.dtype for each in tensors.values() if each.is_floating_point()}
    assert dtypes == {True: torch.float16, False: torch.float32}


@pytest.mark.parametrize("run", ["wavegan", "wae"])
def test_of_a_generator_s_training_only_the_generator_is_packed(place: Path, tmp_path: Path, run: str) -> None:
    made = pack(str(place / run), str(tmp_path / "out"))
    assert set(made.networks) == {"generator"}
    assert set(made.files) == {"model.safetensors"}
    generator, digest = load_generator(str(tmp_path / "out"))
    assert digest == made.digest
    whole, _ = load_generator(str(place / run))
    latent = generator.prior.sample(2, generator.latent_size, torch.Generator().manual_seed(0))
    assert torch.allclose(generator(latent), whole(latent), atol=5e-3)


def test_a_family_stands_for_the_model_that_a_key_needs(place: Path) -> None:
    family = str(place / "shelf" / "family")
    assert resolve(family, "generator")[1].kind == "wavegan"
    assert resolve(family, "mapper", "mapper")[1].kind == "mapper"
    assert resolve(family, "classifier", "classifier")[1].kind == "classifier"
    with pytest.raises(UserError, match="not a restyle"):
        resolve(family, "mapper", "restyle")


def test_a_family_of_pictures(tmp_path: Path) -> None:
    """Generator, mapper and recogniser, packed into one folder, which then stands for whichever a key needs."""
    models, family = Folder.at(str(tmp_path / "models")), str(tmp_path / "family")
    picture_models(models)
    for role in ("generator", "mapper", "classifier"):
        pack((models / role).uri, f"{family}/{role}")
    card = (tmp_path / "family" / "mapper" / "README.md").read_text()
    assert "| pictures | pictures of 32 × 32 pixels |" in card and "clip" not in card
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for load in (load_mapper, load_classifier):
        whole, packed = (load(uri)[0].seen(picture) for uri in ((models / load.__name__[5:]).uri, family))
        assert all(torch.allclose(a, b, atol=2e-2) for a, b in zip(whole[:2], packed[:2], strict=True))
    whole, packed = (load_generator(uri)[0] for uri in ((models / "generator").uri, family))
    latent = packed.prior.sample(2, packed.latent_size, torch.Generator().manual_seed(0))
    assert torch.allclose(whole(latent), packed(latent), atol=2e-2) and traits(family).signal == "picture"


@pytest.mark.parametrize(("name", "kept"), [("dcgan", "generator"), ("progan", "generator_average")])
def test_of_a_gan_of_pictures_what_generates_is_packed(name: str, kept: str, tmp_path: Path) -> None:
    picture_shards(Folder.at(str(tmp_path / "shards")))
    train_tiny(f"{name}-debug", Folder.at(str(tmp_path / "shards")), Folder.at(str(tmp_path / "run")), steps=1, batch=4)
    assert set(pack(str(tmp_path / "run"), str(tmp_path / "out")).networks) == {kept}
    whole, packed = (load_generator(str(tmp_path / each))[0] for each in ("run", "out"))
    latent = packed.prior.sample(2, packed.latent_size, torch.Generator().manual_seed(0))
    assert torch.allclose(whole(latent), packed(latent), atol=2e-2)


def test_a_weight_beyond_float16_is_refused(place: Path, tmp_path: Path) -> None:
    network, manifest = load_network(str(place / "classifier"), "classifier", "classifier", "classifier")
    network.stem[0].weight.data[0] = 1e6  # type: ignore[index]
    tensors = {f"classifier.{name}": each for name, each in network.state_dict().items()}
    publish(Folder.at(str(tmp_path / "run")), manifest, {"model.safetensors": safetensors.torch.save(tensors)})
    with pytest.raises(UserError, match="beyond float16"):
        pack(str(tmp_path / "run"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_it_is_and_ends_with_the_notes(place: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("## Licence\n\nMine.\n")
    made = pack(str(place / "mapper"), str(tmp_path / "out"), str(tmp_path / "notes.md"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert made.digest in card and "trained with generator" in card and "resnet18" in card
    assert card.endswith("## Licence\n\nMine.\n")


def test_a_copy_is_the_same_checkpoint(place: Path, tmp_path: Path) -> None:
    made = copy(str(place / "shelf" / "family" / "mapper"), str(tmp_path / "out"))
    assert made == read_manifest(Folder.at(str(place / "shelf" / "family" / "mapper")))
    assert copy(str(place / "shelf" / "family" / "mapper"), str(tmp_path / "out")) == made  # again: the same
    for take in (copy, pack):
        with pytest.raises(UserError, match="out holds another mapper checkpoint"):
            take(str(place / "classifier"), str(tmp_path / "out"))
    assert read_manifest(Folder.at(str(tmp_path / "out"))) == made
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match="neither empty nor a checkpoint"):
        copy(str(place / "shelf" / "family" / "mapper"), str(tmp_path / "full"))


def test_the_command_lists_shows_and_copies(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shipped, "root", lambda: place / "shelf")
    monkeypatch.chdir(tmp_path)
    (place / "shelf" / "family" / "README.md").write_text("# the family\n")
    assert command_line.main(["models"]) == 0
    assert "shipped:family/mapper " in capsys.readouterr().out
    assert command_line.main(["models", "show", "shipped:family/mapper"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# mapper\n") and "\n\n# the family\n" in shown
    assert command_line.main(["models", "copy", "shipped:family/mapper", "out=mine"]) == 0
    assert json.loads((tmp_path / "mine" / "checkpoint.json").read_text())["kind"] == "mapper"
    assert (tmp_path / "mine" / "README.md").read_text() == shown.removesuffix("\n")
    capsys.readouterr()
    for words, said in [
        (["models", "show"], "models show what?"),
        (
            ["models", "pack", str(place / "mapper"), "out=new", "notes=nowhere.md"],
            "nowhere.md: notes cannot be read: No such",
        ),
        (["models", "copy", "shipped:family/mapper"], "out not given"),
        (["models", "show", "shipped:nothing"], "no such model comes with the package; choose one of shipped:family,"),
        (["models", "sell"], "action=sell is not one of list, show, copy, pack"),
        (["models", "show", "shipped:family", "this"], "'this' is too much"),
    ]:
        assert command_line.main(words) == 2
        captured = capsys.readouterr()
        assert said in captured.err and captured.err.count("\n") == 1, captured.err
