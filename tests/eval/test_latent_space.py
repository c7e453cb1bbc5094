"""The latent space: neighbours and chance by hand, the same map for the same seed, sounds that the generator made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invertone.audio.clip import decode, to_float
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval import figures
from invertone.eval.config import CATALOGUE
from invertone.eval.figures import Images, Scatter
from invertone.eval.job import plan, run
from invertone.eval.latents.features import Features
from invertone.eval.latents.latent_sounds import Sounds, Way, between, pairs_by_label, way_between
from invertone.eval.tables.latent_space import agreement, nearest_neighbours, tsne
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.generator import Generator, generator_digest, load_generator
from invertone.models.guests.guest import Description, Guest
from invertone.models.prior import Prior, seeded
from tests.eval.planted import noise_of, planted_run
from tests.made import LABELS, made_clips, made_shards, train_tiny

SIZE = 8
LATENT = {"wavegan": "wavegan-debug", "gaae": "gaae-debug"}


def near_its_label(clip: Clip) -> dict[str, np.ndarray]:
    latent = noise_of(clip, SIZE) / 4
    assert clip.info.label is not None
    latent[clip.info.label] += 1
    return {"latent": latent.clip(-1, 1)}


def with_probabilities(clip: Clip) -> dict[str, np.ndarray]:
    assert clip.info.label is not None
    return near_its_label(clip) | {"class_probabilities": np.eye(3, dtype=np.float32)[clip.info.label]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A WaveGAN and a GAAE after one update each; runs with planted latents that name them."""
    folder = Folder.at(str(tmp_path_factory.mktemp("space")))
    made_shards(folder / "shards", train=(7, 5), validation=0)
    clips = made_clips(24, "test")
    for name, config in LATENT.items():
        train_tiny(config, folder / "shards", folder / name, steps=1, checkpoint_every=1)
        uri = (folder / name).uri
        vectors = with_probabilities if name == "gaae" else near_its_label
        planted_run(folder, f"of-{name}", [clips[:15], clips[15:]], vectors, generator=(uri, generator_digest(uri)))
    uri = (folder / "wavegan").uri
    known = (uri, generator_digest(uri))
    planted_run(folder, "fake", [clips[:10]], lambda c: {"latent": -near_its_label(c)["latent"]}, generator=known)
    planted_run(folder, "gone", [clips], near_its_label, generator=("/nowhere/generator", "x"))
    planted_run(folder, "guest", [clips], near_its_label, generator=("os:abort", "x"))
    return folder


def config(out: Path | str, latents: str, **values: Any) -> Any:
    given = {"latents": latents, "out": out, "device": "cpu", "neighbours": 3, "examples": 2, "steps": 3}
    given |= {"workers": 1, **values}
    return load(CATALOGUE, "latent-space", [f"{key}={value}" for key, value in given.items()])


def table(out: Path, latents: str, **values: Any) -> Mapping[str, Any]:
    run("latent-space", config(out, latents, **values))
    return json.loads((out / "table.json").read_text())


def cells(figure: figures.Figure) -> list[list[str]]:
    assert isinstance(figure, Images)
    return [[cell.title for cell in row] for row in figure.rows]


def test_a_wavegan_s_space(ray_session: Capacity, place: Folder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = table(out, f"[{(place / 'of-wavegan').uri},{(place / 'fake').uri}]")
    rows = {(row["row"], row["attribute"]): row for row in whole["rows"]}
    mine = rows["encoder (of-wavegan)", "label"]
    assert mine["same"] > 0.8 and mine["chance"] == pytest.approx(7 / 23) and mine["n"] == 24
    assert rows["encoder (of-wavegan)", "speaker"]["same"] < 0.5
    assert rows["all", "run"]["same"] > 0.9 > rows["all", "run"]["chance"]
    assert not any(attribute == "gender" for _, attribute in rows)
    shown, problems = figures.read(Folder.at(str(out)))
    assert not problems and [figure.kind for figure in shown] == ["scatter"] * 3 + ["images"] * 3
    points = shown[0]
    assert isinstance(points, Scatter) and set(points.group) == set(LABELS) and len(points.x) == 34
    assert list(points.order) == list(LABELS)
    neighbours, between, apart = shown[3:6]
    assert isinstance(neighbours, Images) and [len(row) for row in neighbours.rows] == [4, 4]
    assert isinstance(between, Images) and [len(row) for row in between.rows] == [3, 3]
    assert isinstance(apart, Images) and [len(row) for row in apart.rows] == [3, 3]
    assert all(row[0].title.split(",")[0] == row[-1].title.split(",")[0] for row in between.rows)
    assert all(row[0].title.split(",")[0] != row[-1].title.split(",")[0] for row in apart.rows)
    for row in (*neighbours.rows, *between.rows, *apart.rows):
        for cell in row:
            assert cell.audio and decode((out / cell.audio).read_bytes()).shape == (USUAL.samples,)
    _heard_is_made(place, out, points, between)


def _heard_is_made(place: Folder, out: Path, points: Scatter, between: Images) -> None:
    """The first sound of a row is the generator's of the first clip's latent, and the one in the middle of their mean."""
    keys = {clip.info.key: clip for clip in made_clips(24, "test")}
    generator, _ = load_generator((place / "wavegan").uri)
    names = np.array(points.label)
    chosen = pairs_by_label(Features({"label_name": np.array(points.group), "recording": names}), 2)
    pair = chosen["From one latent to another, of the same label"][0]
    assert max(pair) < 24  # of the run whose latents are near their labels
    first, last = (torch.from_numpy(near_its_label(keys[str(names[at])])["latent"]) for at in pair)
    for cell, latent in zip(between.rows[0], (first, (first + last) / 2, last), strict=True):
        with torch.no_grad():
            wanted = generator(latent[None])[0].numpy()
        assert cell.audio
        assert np.allclose(to_float(decode((out / cell.audio).read_bytes())), wanted, atol=1.1 / 32_768)


def test_a_guided_autoencoder_s_space_has_every_label_in_one_style(
    in_process: None, place: Folder, tmp_path: Path
) -> None:
    table(tmp_path / "out", (place / "of-gaae").uri)
    shown, problems = figures.read(Folder.at(str(tmp_path / "out")))
    assert not problems and [figure.title for figure in shown[-4:]] == [
        "Nearest neighbours",
        "From one latent to another, of the same label",
        "From one latent to another, of different labels",
        "One style, every label",
    ]
    grid = cells(shown[-1])
    assert [len(row) for row in grid] == [4, 4] and grid[0][1:] == list(LABELS) and grid[0][0].startswith("clip: ")
    assert "along the great circle, class probabilities as well" in shown[-2].note
    _the_clip_comes_first(tmp_path / "out", shown)


def _the_clip_comes_first(out: Path, shown: list[figures.Figure]) -> None:
    """The first sound of a style's row is the clip whose latent it is."""
    points, grid = next(figure for figure in shown if isinstance(figure, Scatter)), shown[-1]
    clips = {clip.info.key: clip for clip in made_clips(24, "test")}
    assert isinstance(grid, Images)
    for at, row in enumerate(grid.rows):
        assert row[0].audio and (out / row[0].audio).read_bytes() == clips[str(points.label[at])].data


def test_the_paper_s_ways_are_straight_and_keep_the_label(in_process: None, place: Folder, tmp_path: Path) -> None:
    table(tmp_path / "out", (place / "of-gaae").uri, path="linear", labels_between="first", examples=1)
    shown, _ = figures.read(Folder.at(str(tmp_path / "out")))
    points, ways = next(each for each in shown if isinstance(each, Scatter)), shown[-2]
    assert isinstance(ways, Images) and "linearly, with the class probabilities of the first clip" in ways.note
    keys = {clip.info.key: clip for clip in made_clips(24, "test")}
    names = np.array(points.label)
    chosen = pairs_by_label(Features({"label_name": np.array(points.group), "recording": names}), 1)
    ends = [with_probabilities(keys[str(names[at])]) for at in chosen[ways.title][0]]
    generator, _ = load_generator((place / "gaae").uri)
    assert isinstance(generator, SpectrogramAutoencoder)
    middle = torch.from_numpy((ends[0]["latent"] + ends[1]["latent"]) / 2)
    with torch.no_grad():
        spectrogram = generator.spectrogram(middle[None], torch.from_numpy(ends[0]["class_probabilities"])[None])
    wanted = generator.sound(spectrogram, [seeded("phase").initial_seed()])[0].numpy()
    heard = ways.rows[0][1].audio
    assert heard and np.allclose(to_float(decode((tmp_path / "out" / heard).read_bytes())), wanted, atol=1.1 / 32_768)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_generator_is_told_the_labels_that_rows_say(place: Folder, mixed: bool) -> None:
    """A decoder of spectrograms shares of both, a guest one of them."""
    latents = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(0))
    clips = Features(
        {"latent": latents.numpy(), "label_name": np.array(["a", "b"]), "speaker": np.array(["", ""])}
        | {"key": np.array(["c0", "c1"]), "generator_label": np.array([2, 1])}
    )
    middle, first, last = latents.mean(0, keepdim=True), torch.eye(3)[[2]], torch.eye(3)[[1]]
    decoder = load_generator((place / "gaae").uri)[0]
    assert isinstance(decoder, SpectrogramAutoencoder)
    with torch.no_grad():
        spectrogram = decoder.spectrogram(middle, (first + last) / 2 if mixed else first)
    wanted = decoder.sound(spectrogram, [seeded("phase").initial_seed()])

    def call(latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return (latent[:, :1] * 0.1 + label[:, None] / 8).expand(-1, USUAL.samples)

    guest = Guest(Description(SIZE, Prior("normal"), label_names=LABELS), call)
    # halfway both are as near, and the first of the generator's labels is taken
    told = call(middle, torch.tensor([1 if mixed else 2]))
    for generator, heard, said in (
        (decoder, wanted, "class probabilities" if mixed else "class probabilities of the first clip"),
        (guest, told, "each with the label of the nearer clip" if mixed else "with the label of the first clip"),
    ):
        sounds = Sounds(USUAL)
        between(sounds, cast(Generator, generator), clips, "ways", [(0, 1)], Way(3, False, mixed))
        made = to_float(decode(sounds.files[sounds.figures[0].rows[0][1].audio or ""]))
        assert np.allclose(made, heard[0].numpy().clip(-1, 1), atol=1.1 / 32_768) and said in sounds.figures[0].note


def test_pairs_are_of_other_recordings_and_of_every_label_in_turn() -> None:
    labels = np.array(["a", "a", "a", "b", "b", "a", "", "c"])
    recordings = np.array(["1", "1", "2", "3", "4", "5", "6", "7"])
    same, different = pairs_by_label(Features({"label_name": labels, "recording": recordings}), 9).values()
    assert same == [(0, 2), (3, 4), (1, 5)] and different == [(0, 3), (1, 4), (2, 7)]
    unknown = Features({"label_name": np.array([""] * 5), "recording": recordings[:5]})
    assert pairs_by_label(unknown, 9) == {"From one latent to another": [(0, 1), (2, 3)]}
    alone = Features({"label_name": np.array(["a"] * 4), "recording": np.array(list("1234"))})
    assert list(pairs_by_label(alone, 1).values()) == [[(0, 1)]]


def test_methods_that_say_more_share_a_space_with_those_that_say_less(
    in_process: None, place: Folder, tmp_path: Path
) -> None:
    """Of one generator, whatever columns each has besides."""
    uri = (place / "gaae").uri
    planted_run(place, "bare", [made_clips(6, "other")], near_its_label, generator=(uri, generator_digest(uri)))
    whole = table(tmp_path / "out", f"[{(place / 'of-gaae').uri},{(place / 'bare').uri}]", examples=0)
    assert {row["row"] for row in whole["rows"]} == {"encoder (of-gaae)", "encoder (bare)", "all"}


def test_maps_of_what_is_asked_for(in_process: None, place: Folder, tmp_path: Path) -> None:
    both = f"[{(place / 'of-wavegan').uri},{(place / 'fake').uri}]"
    table(tmp_path / "out", both, colours="[run,gender]", components=0, examples=0, clips=20)
    shown, problems = figures.read(Folder.at(str(tmp_path / "out")))
    assert not problems and [figure.title for figure in shown] == ["Latent space by run", "Latent space by gender"]
    first, unknown = shown
    assert isinstance(first, Scatter) and isinstance(unknown, Scatter)
    assert "t-SNE of latent (8 values as they are), 20 clips" in first.note
    assert unknown.note.endswith("seed 0; gender of every clip: unknown") and "every clip" not in first.note
    assert set(unknown.group) == {"unknown"} and len(set(first.group)) == 2


def test_raw_latents_and_principal_components_give_different_maps() -> None:
    wide = np.random.default_rng(0).standard_normal((40, 60)).astype(np.float32)
    raw, few = tsne(wide, 10.0, 0, components=0), tsne(wide, 10.0, 0, components=3)
    assert raw.shape == few.shape == (40, 2) and not np.allclose(raw, few)
    assert np.array_equal(raw, tsne(wide, 10.0, 0, components=60))


@pytest.mark.parametrize("name", ["guided-latent-map", "style-latent-map", "style-latent-sounds"])
def test_a_figure_of_the_papers_says_what_it_needs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    *lines, last = plan(load(CATALOGUE, name, ["out=runs/figure"]))
    assert lines and all(line.startswith("missing:") and " ← invertone " in line for line in lines)
    assert not any("{name}" in line for line in lines) and last.startswith(f"{len(lines)} missing")


def test_generators_that_are_not_at_hand_leave_the_rest(in_process: None, place: Folder, tmp_path: Path) -> None:
    whole = table(tmp_path / "out", (place / "gone").uri)
    assert any("No sounds between latents: the generator is not at hand" in note for note in whole["notes"])
    shown, _ = figures.read(Folder.at(str(tmp_path / "out")))
    assert shown[-1].title == "Nearest neighbours" and whole["rows"]


def test_code_that_only_a_parquet_names_is_never_loaded(place: Folder, tmp_path: Path) -> None:
    assert "give it as generator= to hear it" in plan(config(tmp_path / "out", (place / "guest").uri))[1]


def test_spaces_that_are_not_one_are_refused(place: Folder, tmp_path: Path) -> None:
    both = f"[{(place / 'of-wavegan').uri},{(place / 'of-gaae').uri}]"
    refused = [
        (both, {}, "of different generators"),
        ((place / "of-wavegan").uri, {"generator": (place / "gaae").uri}, "not the generator whose latents these are"),
        ((place / "of-wavegan").uri, {"column": "guided_latent"}, "no column guided_latent"),
        ((place / "gone").uri, {"generator": "/nowhere/generator"}, "generator: nothing is there"),
    ]
    for latents, values, said in refused:
        for task in (plan, lambda given: run("latent-space", given)):
            with pytest.raises(UserError, match=said):
                task(config(tmp_path / "out", latents, **values))
    assert not (tmp_path / "out").exists()


def test_the_same_seed_gives_the_same_map() -> None:
    rng = np.random.default_rng(0)
    clusters = np.repeat(5 * rng.standard_normal((2, 60)), 20, axis=0) + rng.standard_normal((40, 60))
    one, two = tsne(clusters.astype(np.float32), 10.0, 1), tsne(clusters.astype(np.float32), 10.0, 1)
    assert np.array_equal(one, two) and one.shape == (40, 2)
    within = np.linalg.norm(one[:20] - one[:20].mean(0), axis=1).mean()
    assert np.linalg.norm(one[:20].mean(0) - one[20:].mean(0)) > 2 * within
    assert tsne(clusters[:5].astype(np.float32), 30.0, 0).shape == (5, 2)


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 99))
def test_neighbours_are_those_of_a_search_by_hand(count: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((count, 3)).astype(np.float32)
    recordings = np.array([f"r{number}" for number in rng.integers(0, 4, count)])
    found = nearest_neighbours(latents, recordings, k)
    assert found.shape == (count, min(k, count - 1))
    for at in range(count):
        cosine = latents @ latents[at] / np.linalg.norm(latents, axis=1)
        others = [int(each) for each in np.argsort(-cosine) if recordings[each] != recordings[at]]
        assert [each for each in found[at].tolist() if each >= 0] == others[: found.shape[1]]


def test_agreement_and_chance_by_hand() -> None:
    values = np.array(["a", "a", "b", "b", ""])
    recordings = np.array(["1", "2", "3", "4", "5"])
    nearest = np.array([[1, 2], [0, 4], [3, 0], [0, -1], [0, 1]])
    # a: same, other · same, unknown · same, other · other, none · of unknown value
    assert agreement(values, recordings, nearest) == (3 / 6, 4 / 12)
    together = np.array(["1", "1", "3", "4", "5"])
    assert agreement(values, together, nearest) == (3 / 6, 2 / 10)
    assert agreement(np.array([""] * 5), recordings, nearest) is None


@given(st.floats(0, 1), st.integers(0, 99))
def test_the_way_between_latents(share: float, seed: int) -> None:
    first, last = torch.randn(2, 6, generator=torch.Generator().manual_seed(seed))
    for circle in (True, False):
        assert torch.allclose(way_between(first, last, 0.0, circle), first, atol=1e-5)
        assert torch.allclose(way_between(first, last, 1.0, circle), last, atol=1e-5)
    length = float(way_between(first, last, share, True).norm())
    assert length == pytest.approx((1 - share) * float(first.norm()) + share * float(last.norm()), rel=1e-4)
    assert torch.allclose(way_between(first, last, share, False), first + share * (last - first), atol=1e-5)
    assert torch.isfinite(way_between(first, -first, share, True)).all()
