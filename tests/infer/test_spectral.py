"""Generators of spectrograms inverted by gradient before phases are recovered, and the labels that generators are told."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from invertone import command_line
from invertone.audio.clip import decode, encode, to_float, to_int16
from invertone.audio.front_end import log_magnitude, magnitude
from invertone.cluster.config.loading import load
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.shards import Clip, ClipInfo
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.infer.build import build_inverter, method_of
from invertone.infer.config import CATALOGUE
from invertone.infer.files.inverter import Inverter
from invertone.infer.generate.maker import Maker
from invertone.infer.job import check_models, plan
from invertone.infer.job import run as infer
from invertone.infer.methods.gradient import GradientInverter
from invertone.infer.methods.spectral import EXPLAINED, BeforePhases, explained_variance
from invertone.infer.solvers.losses import TERMS, LatentObjective, build_terms
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.checkpoint import load_classifier
from invertone.models.generator import Generator, SpectrogramGenerator, Traits, load_generator, traits
from invertone.models.guests.guest import Description, Guest
from invertone.models.networks.features import feature_distance
from invertone.models.networks.phase import loudest_bins
from invertone.models.prior import Prior
from tests.made import LABELS, made_clips, made_shards, tiny_models, train_tiny, write_shards

CPU = torch.device("cpu")
KEYS = [f"clip/{number}" for number in range(6)]
FAMILY = ("gaae", "ggan", "biggan", "biggan-unsupervised", "bigan")
HEARING = ("gaae", "ggan", "bigan")
"""Those with an encoder and a classifier of their own."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, the family after one update each, a WaveGAN with classifier and mapper, and clips of which some have no label."""
    found = tmp_path_factory.mktemp("spectral")
    shards = Folder.at(str(found / "shards"))
    made_shards(shards, train=(6,), validation=3)
    for name in FAMILY:
        train_tiny(f"{name}-debug", shards, Folder.at(str(found / name)), steps=1, checkpoint_every=1)
    tiny_models(shards, found)
    sizes = {"mels": 32, "n_fft": 1024, "hop_length": 256}
    train_tiny(
        "classifier-debug", shards, Folder.at(str(found / "other-sizes")), steps=1, checkpoint_every=1, front_end=sizes
    )
    clips = made_clips(4, "test")
    strange = [(None, None), (7, "whistle")]
    for at, (number, name) in enumerate(strange, 1):
        clips[at] = dataclasses.replace(
            clips[at], info=dataclasses.replace(clips[at].info, label=number, label_name=name)
        )
    write_shards(Folder.at(str(found / "partly")), [clips])
    return found


@pytest.fixture(scope="module")
def autoencoder(place: Path) -> SpectrogramAutoencoder:
    found = load_generator(str(place / "gaae"))[0]
    assert isinstance(found, SpectrogramAutoencoder) and isinstance(found, SpectrogramGenerator)
    return found


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    return torch.from_numpy(np.stack([to_float(decode(each.data)) for each in made_clips(6, "test")]))


def asked(name: str, place: Path, out: Path, generator: str = "gaae", **values: Any) -> Any:
    given = {"shards": place / "shards", "out": out, "device": "cpu", "workers": 1}
    given |= {} if name in ("encoder", "restyle", "gaae") else {"evaluations": 4}
    given |= {"generator": generator if ":" in generator else place / generator, **values}
    return load(CATALOGUE, name, [f"{key}={value}" for key, value in given.items()])


def inverter(name: str, place: Path, generator: Any, **values: Any) -> GradientInverter:
    made = build_inverter(asked(name, place, place / "out", **values), generator, None, CPU)
    assert isinstance(made, GradientInverter)
    return made


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(out.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_the_objective_is_the_spectrograms_difference_and_its_gradient_that_of_the_value(
    autoencoder: SpectrogramAutoencoder, clips: torch.Tensor
) -> None:
    weights = {"log_magnitude": 2.0, "log_magnitude_squared": 3.0, "prior": 0.5}
    objective = LatentObjective(BeforePhases(autoencoder), build_terms(weights, autoencoder, None, None), weights)
    latent = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label, wanted = torch.tensor([2, 0, 1]), objective.wanted(clips[:3])
    found = objective.evaluate(latent, wanted, label)
    made = autoencoder.decoder(latent.float(), F.one_hot(label, 3).float())
    difference = made - log_magnitude(clips[:3], autoencoder.front_end)
    expected = [difference.abs().mean((1, 2)), difference.square().mean((1, 2)), latent.square().mean(1).float() / 2]
    assert torch.allclose(found.terms, torch.stack(expected, 1), rtol=1e-5)
    assert torch.allclose(found.value, 2 * expected[0] + 3 * expected[1] + 0.5 * expected[2], rtol=1e-5)
    direction = F.normalize(found.gradient.double(), dim=1)
    step = 1e-2
    ends = [objective.evaluate(latent + sign * step * direction, wanted, label).value.double() for sign in (1, -1)]
    assert torch.allclose((ends[0] - ends[1]) / (2 * step), found.gradient.double().norm(dim=1), rtol=0.1, atol=1e-3)


def test_what_the_decoder_made_is_found_again(place: Path, autoencoder: SpectrogramAutoencoder) -> None:
    """From its spectrogram, without phases in between, from its neighbourhood."""
    search = inverter("gradient-spectrogram", place, autoencoder, evaluations=150, **{"weights.prior": 0})
    latent = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    label = torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        made = autoencoder.spectrogram(latent, F.one_hot(label, 3).float())
    begun = latent + 0.1 * torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    found = search.solve({"log_magnitude_squared": (made,)}, range(4), begun, range(4), labels=label)
    with torch.no_grad():
        again = autoencoder.spectrogram(found.point.float(), F.one_hot(label, 3).float())
    assert (explained_variance(made, again) > 0.99).all()


def test_a_hybrid_starts_at_the_encoders_style_with_the_label_that_it_hears(
    place: Path, autoencoder: SpectrogramAutoencoder, clips: torch.Tensor
) -> None:
    encoded = autoencoder.encode(clips)
    begun = inverter("hybrid-spectrogram", place, autoencoder, evaluations=1)(clips, KEYS)
    assert torch.allclose(begun.latent, encoded.style, atol=1e-4)
    assert torch.equal(begun.numbers["generator_label"], encoded.probabilities.argmax(1))
    further = inverter("hybrid-spectrogram", place, autoencoder, evaluations=12)(clips, KEYS)
    assert (further.loss <= begun.loss).all() and (further.loss < begun.loss).any()
    made = autoencoder.spectrogram(further.latent, F.one_hot(further.numbers["generator_label"], 3).float())
    wanted = log_magnitude(clips, autoencoder.front_end)
    assert torch.allclose(further.terms["log_magnitude_squared"], (made - wanted).square().mean((1, 2)), atol=1e-5)
    assert torch.allclose(further.numbers[EXPLAINED], explained_variance(wanted, made), atol=1e-4)


def test_every_label_is_tried_and_the_best_is_kept(
    place: Path, autoencoder: SpectrogramAutoencoder, clips: torch.Tensor
) -> None:
    """To the bit what a search with each label alone gives."""
    given = {"evaluations": 5, "starts": 2}
    best = inverter("gradient-spectrogram", place, autoencoder, label="search", **given)(clips, KEYS)
    told = inverter("gradient-spectrogram", place, autoencoder, label="clip", **given)
    alone = [told(clips, KEYS, torch.full((6,), label)) for label in range(3)]
    losses = torch.stack([each.loss for each in alone])
    assert torch.equal(best.loss, losses.min(0).values)
    assert torch.equal(best.numbers["generator_label"], losses.argmin(0))
    assert torch.equal(best.evaluations, sum(each.evaluations for each in alone))
    for at, label in enumerate(losses.argmin(0).tolist()):
        assert torch.equal(best.latent[at], alone[label].latent[at])
        assert torch.equal(best.signal[at], alone[label].signal[at])


def test_a_reconstruction_is_the_decoders_sound_at_the_clips_level(
    place: Path, autoencoder: SpectrogramAutoencoder, clips: torch.Tensor
) -> None:
    search = inverter("hybrid-spectrogram", place, autoencoder)
    loud, faint = search(clips[:2], KEYS[:2]), search(clips[:2] / 8, KEYS[:2])
    assert torch.allclose(loud.latent, faint.latent, atol=1e-2), "spectrograms are relative to the clip"
    front_end = autoencoder.front_end
    levels = [loudest_bins(each.signal, front_end) / loudest_bins(clips[:2], front_end) for each in (loud, faint)]
    assert torch.allclose(levels[0] / levels[1], torch.tensor(8.0), rtol=0.05)
    assert loud.signal.shape == (2, 16_384) and loud.signal.abs().max() <= 1.0


def test_a_clip_does_not_depend_on_its_neighbours(
    place: Path, autoencoder: SpectrogramAutoencoder, clips: torch.Tensor
) -> None:
    search = inverter("gradient-spectrogram", place, autoencoder, label="search", starts=1)
    together, alone = search(clips, KEYS), search(clips[4:5], KEYS[4:5])
    assert torch.equal(together.latent[4], alone.latent[0]) and torch.equal(together.signal[4], alone.signal[0])
    assert torch.equal(together.numbers[EXPLAINED][4], alone.numbers[EXPLAINED][0])


def test_a_guest_that_takes_labels_is_searched_with_every_one(place: Path, tmp_path: Path) -> None:
    network = load_generator(str(place / "wavegan"))[0]

    def call(latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return network(latent) * (0.1 + 0.4 * label)[:, None]

    guest = Guest(Description(8, Prior("uniform"), label_names=("faint", "middle", "loud")), call)
    latent = torch.rand(3, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    target = call(latent, torch.tensor([2, 0, 1]))
    config = asked("gradient", place, tmp_path, evaluations=8, starts=1)
    search = build_inverter(config, cast(Generator, guest), None, CPU)
    found = search(target, KEYS[:3])
    assert found.numbers["generator_label"].tolist() == [2, 0, 1] and EXPLAINED not in found.numbers
    assert torch.allclose(found.signal, call(found.latent, torch.tensor([2, 0, 1])), atol=1e-6)
    method = method_of(config)
    assert list(method.columns(config, cast(Generator, guest))) == ["generator_label", "generator_label_name"]
    assert not method.columns(config, network)


@pytest.mark.parametrize("generator", FAMILY)
def test_the_whole_family_is_inverted_to_rows(in_process: None, place: Path, tmp_path: Path, generator: str) -> None:
    """By gradient all of them, by hybrid those that have an encoder of their own."""
    about = traits(str(place / generator))
    assert about.spectrograms and about.encodes is (generator in HEARING)
    assert about.label_names == (() if generator in ("biggan-unsupervised", "bigan") else LABELS)
    for name in ("gradient-spectrogram", "hybrid-spectrogram")[: 1 + about.encodes]:
        out = tmp_path / name
        infer(name, asked(name, place, out, generator, starts=1, classifier=place / "classifier"))
        rows = rows_of(out)
        assert len(rows) == 9 and {row["status"] for row in rows} == {"ok"}
        for row in rows:
            assert ("generator_label" in row) is bool(about.label_names)
            assert {"log_magnitude_squared"} <= row["losses"].keys() <= {"log_magnitude_squared", "prior"}
            assert row[EXPLAINED] <= 1 and row["spectrogram_mae"] > 0 and row["predicted_label_name"] in LABELS
            assert np.abs(decode(row["reconstruction"]["bytes"])).max() > 0
            if about.label_names:
                assert row["generator_label_name"] == LABELS[row["generator_label"]]


@pytest.mark.parametrize(("name", "starts"), [("gradient", 2), ("hybrid", 1), ("hybrid-text", 1)])
def test_the_methods_for_waveforms_take_generators_of_spectrograms(
    in_process: None, place: Path, tmp_path: Path, name: str, starts: int
) -> None:
    """By their own losses, of what the network makes; the best of more evaluations is no worse."""
    losses = {"gradient": {"multi_resolution_stft"}, "hybrid": {"log_magnitude", "features"}}.get(name, {"spectrogram"})
    found = {}
    for evaluations in (1, 6):
        out = tmp_path / str(evaluations)
        given = {"starts": starts, "classifier": place / "classifier", "evaluations": evaluations}
        infer(name, asked(name, place, out, **given))
        found[evaluations] = rows_of(out)
    for first, last in zip(found[1], found[6], strict=True):
        assert last["key"] == first["key"] and last["loss"] <= first["loss"] and last["status"] == "ok"
        assert losses <= last["losses"].keys() <= losses | {"prior"} and EXPLAINED in last
    assert any(last["loss"] < first["loss"] for first, last in zip(found[1], found[6], strict=True))


def test_latents_alone_need_no_phases(
    in_process: None, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer("hybrid-spectrogram", asked("hybrid-spectrogram", place, tmp_path / "whole"))

    def sound(*_: Any) -> None:
        raise AssertionError("phases were recovered")

    monkeypatch.setattr(SpectrogramAutoencoder, "sound", sound)
    infer("hybrid-spectrogram", asked("hybrid-spectrogram", place, tmp_path / "bare", rows="latents"))
    whole, bare = rows_of(tmp_path / "whole"), rows_of(tmp_path / "bare")
    assert [row["latent"] for row in bare] == [row["latent"] for row in whole] and "reconstruction" not in bare[0]
    assert [row["generator_label_name"] for row in bare] == [row["generator_label_name"] for row in whole]


def test_clips_tell_their_labels_by_name_and_one_without_is_a_listed_row(
    in_process: None, place: Path, tmp_path: Path
) -> None:
    config = asked("hybrid-spectrogram", place, tmp_path / "out", label="clip", shards=place / "partly", batch=2)
    with pytest.raises(JobIncompleteError, match="2 of 4 items have an error in place of a result"):
        infer("hybrid-spectrogram", config)
    rows = rows_of(tmp_path / "out")
    assert [row["status"] for row in rows] == ["ok", "error", "error", "ok"]
    assert [row["generator_label_name"] for row in rows] == ["low", None, None, "low"]
    assert rows[1]["error"] == "label=clip, and it has none"
    assert rows[2]["error"] == "label=clip, and the generator takes no 'whistle'"


def test_what_cannot_be_is_refused_in_one_line(place: Path, tmp_path: Path) -> None:
    nothing = Folder.at(str(tmp_path / "unlabelled"))
    made = [
        dataclasses.replace(each, info=dataclasses.replace(each.info, label=None, label_name=None))
        for each in made_clips(2, "test")
    ]
    manifest = write_shards(nothing, [made])
    nothing.publish_json("manifest.json", dataclasses.replace(manifest, label_names=("a", "b")).to_json())
    for name, values, said in (
        ("gradient-code", {}, "weights.waveform looks at waveforms, and generator is a gaae .*use `invertone infer "
         "gradient` or gradient-spectrogram, or weights.waveform=0 weights.real_stft=0 weights.log_magnitude=1"),
        ("hybrid", {}, "weights.features needs a classifier; add classifier=…, or weights.features=0"),
        ("hybrid", {"classifier": place / "other-sizes"}, "the classifier hears spectrograms 1024/256, and the generator makes "
         "512/128; give one trained with front_end.n_fft=512 and a hop_length of 128 or a multiple, or weights.features=0"),
        ("encoder", {"mapper": place / "mapper"}, "it needs no mapper: use `invertone infer gaae`, hybrid or gradient"),
        ("restyle", {"generator": "biggan", "mapper": place / "mapper"}, "it needs no mapper: use `invertone infer gradient`"),
        ("gradient-spectrogram", {"weights.consistency": 1}, "weights.consistency looks at waveforms"),
        ("gradient-spectrogram", {"weights.log_magnitude_squared": 0}, "every weight is 0"),
        ("gradient-spectrogram", {"generator": "biggan", "label": "heard"}, "no classifier of its own; use label=search"),
        ("gradient-spectrogram", {"generator": "biggan-unsupervised", "label": "clip"}, "the generator takes no labels"),
        ("hybrid-spectrogram", {"generator": "biggan"}, "mapper not given, and the generator has no encoder of its own"),
        ("hybrid-spectrogram", {"generator": "wavegan"}, "mapper not given"),
        ("hybrid-spectrogram", {"mapper": place / "mapper"}, "mapper was trained for another generator"),
        ("gradient-spectrogram", {"label": "clip", "shards": nothing.uri}, "no clip here has a label of the generator's: low"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said) as caught:
            plan(asked(name, place, tmp_path / "out", **values))
        assert "\n" not in str(caught.value)


def test_a_mapper_that_was_trained_for_it_gives_the_start(
    place: Path, tmp_path: Path, autoencoder: SpectrogramAutoencoder, clips: torch.Tensor
) -> None:
    folder, _ = resolve(str(place / "mapper"), "mapper")
    shutil.copytree(folder.local, tmp_path / "mapper")  # type: ignore[arg-type]
    file = tmp_path / "mapper/checkpoint.json"
    digest = resolve(str(place / "gaae"), "generator")[1].digest
    file.write_text(json.dumps(json.loads(file.read_text()) | {"inputs": {"generator": digest}}))
    config = asked("hybrid-spectrogram", place, tmp_path, mapper=tmp_path / "mapper", evaluations=1)
    assert check_models(config)["generator"] == digest
    made = build_inverter(config, autoencoder, None, CPU)
    assert isinstance(made, GradientInverter) and made.mapper is not None
    assert torch.allclose(made(clips, KEYS).latent, made.mapper(clips), atol=1e-5)


def test_single_recordings_and_back(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command and from Python; the label that won goes along."""
    samples = decode(made_clips(3, "test")[2].data)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    given = [f"generator={place / 'gaae'}", "device=cpu"]
    words = ["invert", str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "method=hybrid-spectrogram", "evaluations=3"]
    assert command_line.main([*words, f"classifier={place / 'classifier'}", *given]) == 0
    assert "invertone decode b.json" in capsys.readouterr().out
    assert command_line.main(["decode", str(tmp_path / "b.json"), f"out={tmp_path / 'c.wav'}", *given]) == 0
    (clip,) = json.loads((tmp_path / "b.json").read_text())["clips"]
    inverter = Inverter(
        "hybrid-spectrogram", generator=str(place / "gaae"), classifier=None, device="cpu", evaluations=3
    )
    inversion = inverter(str(tmp_path / "a.wav"))
    label = inversion.row["generator_label_name"]
    assert label == clip["generator_label_name"] in LABELS and np.allclose(inversion.latent, clip["latent"], atol=1e-6)
    again, other = (inverter.decode(inversion.latent, each) for each in (label, LABELS[LABELS.index(label) - 1]))
    assert np.array_equal(soundfile.read(tmp_path / "c.wav", dtype="float32")[0], again)
    assert not np.array_equal(again, other)
    with pytest.raises(UserError, match="takes no label 'hihg'; name one of low, middle, high; did you mean 'high'"):
        inverter.decode(inversion.latent, "hihg")


def test_latents_of_an_archive_are_decoded_with_their_labels(in_process: None, place: Path, tmp_path: Path) -> None:
    values = {"label": "search", "starts": 1, "shards": place / "partly"}
    infer("gradient-spectrogram", asked("gradient-spectrogram", place, tmp_path / "run", **values))
    rows, generator = rows_of(tmp_path / "run"), load_generator(str(place / "gaae"))[0]
    command = ["decode", str(tmp_path / "run"), f"out={tmp_path / 'all.wav'}", f"generator={place / 'gaae'}"]
    assert command_line.main([*command, "device=cpu"]) == 0
    made = soundfile.read(tmp_path / "all.wav", dtype="int16")[0].reshape(-1, 16_384)
    make = Maker(generator, USUAL, CPU)
    latents = torch.tensor([row["latent"] for row in rows])
    wanted = make(latents, torch.tensor([row["generator_label"] for row in rows]))
    assert np.array_equal(made, np.stack([each.values for each in wanted]))
    assert command_line.main([*command, "device=cpu", "label=low"]) == 0
    low = soundfile.read(tmp_path / "all.wav", dtype="int16")[0].reshape(-1, 16_384)
    assert np.array_equal(low[0], make(latents[:1], torch.tensor([0]))[0].values)


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(0.01, 2), st.integers(0, 2**31))
def test_explained_variance_is_numpys(offset: float, scale: float, seed: int) -> None:
    """A constant that is off costs nothing: it is variance that is explained."""
    rng = np.random.default_rng(seed)
    wanted, found = rng.standard_normal((2, 3, 4, 5))
    found = wanted * scale + found * 0.1 + offset
    expected = [1 - np.var(a - b) / np.var(a) for a, b in zip(wanted, found, strict=True)]
    got = explained_variance(torch.from_numpy(wanted), torch.from_numpy(found))
    assert got.numpy() == pytest.approx(np.array(expected), rel=1e-9, abs=1e-9)


def test_of_silence_all_is_explained_or_nothing() -> None:
    silence = torch.full((2, 4, 4), -1.0)
    found = torch.stack([silence[0], torch.linspace(-1, 1, 16).view(4, 4)])
    assert explained_variance(silence, found).tolist() == [1.0, 0.0]


def test_what_is_known_of_a_generator_before_it_is_loaded(place: Path) -> None:
    assert traits(str(place / "wavegan")) == Traits("wavegan")
    assert traits(str(place / "gaae")) == Traits("gaae", LABELS, True, True)
    assert traits(str(place / "biggan")) == Traits("biggan", LABELS, True, False)
    shipped = traits("shipped:fsdd")
    assert shipped.spectrograms and shipped.encodes and shipped.label_names[:2] == ("zero", "one")


def test_methods_that_need_no_label_are_told_none(place: Path, tmp_path: Path) -> None:
    for label, told in (("auto", ()), ("heard", ()), ("search", ()), ("clip", LABELS)):
        config = asked("hybrid-spectrogram", place, tmp_path, label=label)
        assert method_of(config).told(config) == told


def test_a_clip_s_own_spectrogram_costs_nothing_by_any_loss(
    place: Path, autoencoder: SpectrogramAutoencoder, clips: torch.Tensor
) -> None:
    """And every loss is what its waveform counterpart says, where the sizes are the same."""
    classifier = load_classifier(str(place / "classifier"))[0]
    assert classifier.front_end is not None
    classifier.front_end = dataclasses.replace(classifier.front_end, window=autoencoder.front_end.window)
    names = [name for name, maker in TERMS.items() if maker.of_spectrogram is not None and name != "prior"]
    terms = build_terms(dict.fromkeys(names, 1.0), autoencoder, None, classifier)
    latent, other = torch.zeros(3, 8), clips[3:]
    made = [log_magnitude(each, autoencoder.front_end) for each in (clips[:3], other)]
    for name, term in terms.items():
        wanted = term.wanted(clips[:3])
        assert term.compare(latent, made[0], wanted).abs().max() < 1e-5, name
        assert (term.compare(latent, made[1], wanted) > 1e-4).all(), name
    # at the level of the clip that is wanted
    level = autoencoder.level(clips[:3]) / autoencoder.level(other)
    sizes = 512, 128, autoencoder.front_end.window
    apart = magnitude(clips[:3], *sizes) - magnitude(other, *sizes) * level[:, None, None]
    found = terms["spectrogram"].compare(latent, made[1], terms["spectrogram"].wanted(clips[:3]))
    assert torch.allclose(found, apart[:, :-1].abs().mean((1, 2)) * 256 / 257, rtol=0.01)
    heard = [classifier.with_features(each)[1] for each in (clips[:3], other * level[:, None])]
    found = terms["features"].compare(latent, made[1], terms["features"].wanted(clips[:3]))
    assert torch.allclose(found, feature_distance(*heard), rtol=0.02)


def test_what_gaae_s_rows_say_is_told_again(in_process: None, place: Path, tmp_path: Path) -> None:
    """The most probable label goes along to decode; a table of latents alone hears what was written with them."""
    for rows in ("latents", "reconstructions"):
        infer("gaae", asked("gaae", place, tmp_path / rows, rows=rows))
    for row in rows_of(tmp_path / "latents"):
        assert row["generator_label"] == int(np.argmax(row["class_probabilities"]))
        assert row["generator_label_name"] == LABELS[row["generator_label"]]
    command = ["decode", str(tmp_path / "latents"), f"out={tmp_path / 'all.wav'}", f"generator={place / 'gaae'}"]
    assert command_line.main([*command, "device=cpu"]) == 0
    made = soundfile.read(tmp_path / "all.wav", dtype="int16")[0].reshape(-1, 16_384)
    rows = rows_of(tmp_path / "latents")
    make = Maker(load_generator(str(place / "gaae"))[0], USUAL, CPU)
    told = torch.tensor([row["generator_label"] for row in rows])
    wanted = make(torch.tensor([row["latent"] for row in rows]), told)
    assert np.array_equal(made, np.stack([each.values for each in wanted]))


class Stereo(torch.nn.Module):
    """A guest of two channels and a rate of its own; its label says in which channel it sounds."""

    latent_size, prior, label_names = 3, "uniform", ("left", "right")
    sample_rate, clip_samples, channels = 8_000, 4_096, 2

    def forward(self, latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        at = torch.arange(4_096) / 8_000
        tones = torch.stack([torch.sin(2 * torch.pi * pitch * at) for pitch in (300, 700, 1_500)])
        sound = (latent[:, :, None] * tones).sum(1) / 4
        sides = torch.nn.functional.one_hot(label, 2).to(sound.dtype)
        return sound[:, None] * sides[:, :, None]


STEREO = f"{__name__}:Stereo"


def stereo_shards(place: Path, **replaced: Any) -> tuple[Path, torch.Tensor]:
    """Clips that it made, of each label in turn, the last one without a label; and their latents."""
    latent = torch.tensor([[0.9, -0.3, 0.5], [-0.5, 0.8, 0.2], [0.3, 0.6, -0.9], [0.7, 0.7, 0.1]])
    sound = Stereo()(latent, torch.tensor([0, 1, 1, 0]))
    clips = []
    for at, each in enumerate(sound):
        label = None if at == 3 else (0, 1, 1)[at]
        info = ClipInfo(
            f"c{at}",
            "test",
            f"made://{at}",
            0,
            4_096,
            8_000,
            label,
            None if label is None else Stereo.label_names[label],
        )
        clips.append(Clip(info, encode(to_int16(each.numpy().T)[0], "flac", 8_000), "flac"))
    manifest = write_shards(Folder.at(str(place)), [clips])
    given: dict[str, Any] = {"format": ClipFormat(8_000, 4_096, 2), "label_names": Stereo.label_names}
    given |= replaced
    Folder.at(str(place)).publish_json("manifest.json", dataclasses.replace(manifest, **given).to_json())
    return place, latent


def test_a_stereo_guest_is_told_the_clips_labels(in_process: None, place: Path, tmp_path: Path) -> None:
    """At a rate of its own; each channel is compared, so that a search tells the labels apart too."""
    shards, latent = stereo_shards(tmp_path / "shards")
    found = {}
    for label in ("clip", "search"):
        given = {"shards": shards, "label": label, "starts": 1, "evaluations": 60}
        given |= {
            "weights.waveform": 1,
            "weights.multi_resolution_stft": 0,
        }  # no other minimum: samples are linear in the latent
        config = asked("gradient", place, tmp_path / label, **given | {"generator": STEREO})
        try:
            infer("gradient", config)
        except JobIncompleteError:
            assert label == "clip"
        found[label] = rows_of(tmp_path / label)
    assert [row["error"] for row in found["clip"]] == [None, None, None, "label=clip, and it has none"]
    assert [row["generator_label_name"] for row in found["search"]] == ["left", "right", "right", "left"]
    for rows in found.values():
        for row, wanted in zip(rows[:3], latent, strict=False):
            assert (
                np.allclose(row["latent"], wanted, atol=0.02) and row["residual_variance"] < 0.01 * row["clip_variance"]
            )
            assert decode(row["reconstruction"]["bytes"]).shape == (4_096, 2)


def test_a_guest_of_other_clips_than_the_shards_is_refused_in_one_line(place: Path, tmp_path: Path) -> None:
    for at, (replaced, said) in enumerate(
        (
            ({"format": ClipFormat(16_000, 4_096, 2)},
             "generator is for 4,096 stereo samples at 8,000 Hz, not 4,096 stereo .* at 16,000 Hz"),
            ({"format": ClipFormat(8_000, 4_096, 1)}, "not 4,096 mono samples at 8,000 Hz as the shards"),
        )
    ):  # fmt: skip
        shards, _ = stereo_shards(tmp_path / str(at), **replaced)
        with pytest.raises(UserError, match=said) as caught:
            plan(asked("gradient", place, tmp_path / "out", shards=shards, label="clip", **{"generator": STEREO}))
        assert "\n" not in str(caught.value)
