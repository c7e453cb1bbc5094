"""The models that come with the package: whole, small, made for each other, and good at what their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from invertone.audio.clip import fit, to_float
from invertone.cluster.formats.checkpoints import read_file, read_manifest, resolve
from invertone.cluster.storage import shipped
from invertone.cluster.storage.folder import Folder
from invertone.ingest.obtain.espeak import Espeak
from invertone.ingest.obtain.speech import WORDS, draw_speakers, make_clip, take
from invertone.models.autoencoder import family_manifest, load_autoencoder
from invertone.models.checkpoint import load_classifier, load_mapper, load_restyle_mapper
from invertone.models.generator import load_generator
from invertone.models.packing.pack import CARD, shipped_models
from invertone.models.prior import seeded

DIGITS, RECORDED = "shipped:digits", "shipped:fsdd"
ROLES = {"classifier": "classifier", "generator": "wavegan", "mapper": "mapper", "restyle": "restyle"}
MOST_BYTES = 20_000_000


def test_all_of_a_family_are_there_whole_and_with_a_card() -> None:
    assert shipped.models() == [*(f"{DIGITS}/{role}" for role in ROLES), f"{RECORDED}/gaae"]
    for each in shipped_models():
        folder = Folder.at(each.uri)
        assert {**ROLES, "gaae": "gaae"}[each.uri.rpartition("/")[2]] == each.manifest.kind
        for name in each.manifest.files:
            read_file(folder, each.manifest, name)  # raises for another digest
        assert each.manifest.digest in folder.read_bytes(CARD).decode(), "the card is of another model"
    for family in (DIGITS, RECORDED):
        card = Folder.at(family).read_bytes(CARD).decode()
        digests = (each.manifest.digest[:16] for each in shipped_models() if each.uri.startswith(family + "/"))
        for said in ("Licence", "Limits", "held out", *digests):
            assert said in card


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in shipped.root().rglob("*") if path.is_file()) <= MOST_BYTES


def test_they_were_made_for_each_other() -> None:
    digests = {role: resolve(f"{DIGITS}/{role}", role)[1] for role in ROLES}
    for role in ("mapper", "restyle"):
        assert digests[role].inputs["generator"] == digests["generator"].digest
        assert digests[role].inputs["classifier"] == digests["classifier"].digest
    assert digests["generator"].inputs["classifier"] == digests["classifier"].digest
    assert read_manifest(Folder.at(f"{DIGITS}/classifier")).label_names == WORDS  # type: ignore[union-attr]


def test_they_come_with_the_package() -> None:
    import tomllib

    tool = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "shipped/**" in tool["package-data"]["invertone.models"]


@pytest.fixture(scope="module")
def spoken() -> tuple[torch.Tensor, torch.Tensor]:
    """Forty digits by four speakers whose timbres no shipped model was trained on, and what was said."""
    speakers = draw_speakers(4, 99, "held_out")
    takes = [take(number, speakers) for number in range(40)]
    with Espeak() as espeak:
        clips = np.stack([to_float(fit(make_clip(espeak, each, 99), 16_384)) for each in takes])
    return torch.from_numpy(clips), torch.tensor([WORDS.index(each.word) for each in takes])


@torch.no_grad()
def test_voices_that_they_never_heard_are_understood_after_inversion(spoken: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Of 40 digits guessing hears 4; the cards promise more than 95 %, of which chance may leave 34 here."""
    clips, said = spoken
    generator, _ = load_generator(DIGITS)
    classifier, _ = load_classifier(DIGITS)
    mapper, _ = load_mapper(DIGITS)
    restyle, _ = load_restyle_mapper(DIGITS)
    assert int((classifier(clips).argmax(1) == said).sum()) >= 34
    one = generator.prior.project(mapper(clips))
    latent = clips.new_zeros(len(clips), generator.latent_size)
    for _ in range(3):
        latent = generator.prior.project(latent + restyle(clips, generator(latent)))
    for found in (one, latent):
        assert int((classifier(generator(found)).argmax(1) == said).sum()) >= 34


@torch.no_grad()
def test_an_autoencoder_that_learned_from_people_says_what_it_is_asked() -> None:
    """The judge learned from synthesised speech alone: it hears nearly half of the clips as asked; guessing hears 4 of 40."""
    autoencoder = load_autoencoder(*family_manifest(RECORDED, "checkpoint"))
    judge, _ = load_classifier(DIGITS)
    label = torch.arange(40) % len(WORDS)
    style = autoencoder.prior.sample(40, autoencoder.latent_size, seeded("styles"))
    spectrogram = autoencoder.spectrogram(style, torch.eye(len(WORDS))[label])
    clips = autoencoder.sound(spectrogram, range(40))
    assert int((judge(clips).argmax(1) == label).sum()) >= 11
    assert int((autoencoder.encode(clips).probabilities.argmax(1) == label).sum()) >= 28
