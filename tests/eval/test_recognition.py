"""The recognition table: the cumulative match characteristic by brute force, planted reconstructions, what is refused."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import MANIFEST as CHECKPOINT
from invertone.cluster.formats.shards import Clip
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.measures.estimates import Sums, add
from invertone.eval.measures.recognised import MOST, cumulative, match_sums
from invertone.images.picture import Pixels, views
from invertone.images.reading import decode
from invertone.images.recognition import Match, cumulative_match
from invertone.models.checkpoint import folder_of, load_classifier
from tests.eval.planted_pictures import picture_run
from tests.pictures import made_pictures, picture_models

GROUPS = [made_pictures(12, "train"), made_pictures(9, "test")]
ALL = [clip for group in GROUPS for clip in group]
MATCHES = st.lists(
    st.builds(Match, st.integers(0, 130), st.integers(0, 4), st.booleans()), min_size=1, max_size=40
)  # fmt: skip


@given(MATCHES, st.integers(1, 5))
def test_sums_of_any_units_give_the_characteristic_of_all(found: list[Match], size: int) -> None:
    total: Sums = {}
    for first in range(0, len(found), size):
        part = found[first : first + size]
        add(total, match_sums(part, np.ones((len(part), 1))))
    whole = match_sums(found, np.ones((len(found), 1)))
    assert set(total) == set(whole) and all((total[name] == whole[name]).all() for name in whole)
    ranks = list(range(1, MOST + 1))
    assert cumulative(total, ranks)[0] == pytest.approx(cumulative_match(found, ranks), abs=1e-12)


@given(MATCHES)
def test_a_probe_that_counts_twice_counts_as_two(found: list[Match]) -> None:
    twice = cumulative(match_sums(found, np.full((len(found), 1), 2.0)), [1, 5, 100])
    assert twice == pytest.approx(cumulative(match_sums([*found, *found], np.ones((2 * len(found), 1))), [1, 5, 100]))


def darker(clip: Clip) -> Pixels | None:
    return None if clip.info.key == "test/0004" else (decode(clip.data) // 3).astype(np.uint8)


def swapped(clip: Clip) -> Pixels:
    """The next picture in place of each."""
    keys = [each.info.key for each in ALL]
    return decode(ALL[(keys.index(clip.info.key) + 1) % len(ALL)].data)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    place = Folder.at(str(tmp_path_factory.mktemp("recognition")))
    picture_models(place)
    generator = (place / "generator").uri, "g"
    picture_run(place, "exact", GROUPS, lambda clip: decode(clip.data), generator=generator)
    picture_run(place, "darker", GROUPS, darker, generator=generator)
    picture_run(place, "swapped", GROUPS, swapped, generator=generator)
    return place


def keys(place: Folder, out: Path, runs: str = "exact,darker,swapped", **values: Any) -> list[str]:
    latents = ",".join((place / each).uri for each in runs.split(","))
    told = {"out": out, "device": "cpu", "workers": 1, "latents": f"[{latents}]", "classifier": (place / "judge").uri}
    return [f"{key}={value}" for key, value in (told | values).items()]


def table(place: Folder, out: Path, runs: str = "exact,darker,swapped", **values: Any) -> dict[str, dict[str, Any]]:
    run("recognition", load(CATALOGUE, "recognition", keys(place, out, runs, **values)))
    return {row["row"]: row for row in json.loads((out / "table.json").read_text())["rows"]}


MARGIN = 1e-5
"""What embeddings of other batches may differ by."""


def by_brute_force(place: Folder, made: list[Pixels | None], identities: list[str], rank: int) -> tuple[float, float]:
    """Of all pairs, one by one: the least and the most that it can be."""
    network = load_classifier((place / "judge").uri, torch.device("cpu"))[0]

    @functools.cache
    def _embedding(key: bytes) -> np.ndarray:
        pixels = np.frombuffer(key, np.uint8).reshape(32, 32, 3)
        with torch.no_grad():
            found = network.seen(torch.from_numpy(views([pixels])))[1][0].double().numpy()
        return np.asarray(found / np.linalg.norm(found))

    def embedding(pixels: Pixels) -> np.ndarray:
        return _embedding(pixels.tobytes())

    gallery = [embedding(decode(clip.data)) for clip in ALL]
    hits = [0, 0]
    for pixels, own in zip(made, identities, strict=True):
        if pixels is not None:
            similar: dict[str, float] = {}
            for other, name in zip(gallery, identities, strict=True):
                similar[name] = max(similar.get(name, -2), float(embedding(pixels) @ other))
            for at, margin in enumerate((-MARGIN, MARGIN)):
                closer = sum(each > similar[own] + margin for name, each in similar.items() if name != own)
                hits[at] += closer < rank
    return hits[0] / len(made), hits[1] / len(made)


@pytest.mark.parametrize("identity", ["key", "speaker"])
def test_ranks_are_those_of_all_pairs(in_process: None, place: Folder, tmp_path: Path, identity: str) -> None:
    found = table(place, tmp_path / "out", identity=identity, batch=5)
    assert list(found) == ["real", "exact", "darker", "swapped", "mean face", "random latent", "chance"]
    names = [clip.info.key if identity == "key" else str(clip.info.speaker) for clip in ALL]
    for row, made in (("darker", darker), ("swapped", swapped)):
        for rank in (1, 5, 10, 20):
            if rank > len(set(names)):  # beyond the gallery a rank says nothing
                assert f"rank_{rank}" not in found[row]
                continue
            least, most = by_brute_force(place, [made(clip) for clip in ALL], names, rank)
            assert least - 1e-12 <= found[row][f"rank_{rank}"] <= most + 1e-12 and most - least < 0.2, (row, rank)
    assert found["real"]["rank_1"] == 1 == found["exact"]["rank_1"]
    assert (found["darker"]["clips"], found["darker"]["failed"]) == (21, 1)
    people = len(set(names))
    assert found["chance"]["rank_1"] == 1 / people
    (curve,) = json.loads((tmp_path / "out/figures.json").read_text())["figures"]
    assert [each["name"] for each in curve["series"]] == list(found) and curve["kind"] == "lines"
    assert curve["series"][2]["y"][0] == pytest.approx(found["darker"]["rank_1"], abs=1e-6)
    assert len(curve["series"][0]["x"]) == people
    assert "| rank" not in (tmp_path / "out/table.md").read_text()  # a curve is a figure, not a column
    told = (tmp_path / "out/table.md").read_text()
    assert f"Gallery: 21 pictures of {people} people" in told


def test_a_mean_face_is_as_good_as_chance_among_people_of_one_picture_each(
    in_process: None, place: Folder, tmp_path: Path
) -> None:
    """One embedding for all: exactly one probe has its own first, two its own among the first two, and so on."""
    found = table(place, tmp_path / "out", "exact", identity="key")
    assert found["mean face"]["rank_1"] == pytest.approx(1 / 21) and found["mean face"]["rank_10"] == pytest.approx(
        10 / 21
    )


def test_another_gallery_of_the_same_people(in_process: None, place: Folder, tmp_path: Path) -> None:
    from tests.made import LABELS, write_shards
    from tests.pictures import SMALL

    others = [clip for clip in made_pictures(12, "train", seed=3) if clip.info.speaker != LABELS[1]]
    write_shards(place / "others", [others], SMALL)
    found = table(place, tmp_path / "out", "exact", gallery=(place / "others").uri, splits="[test]")
    told = (tmp_path / "out/table.md").read_text()
    known = {clip.info.speaker for clip in others}
    there = sum(clip.info.speaker in known for clip in GROUPS[1])
    assert found["exact"]["clips"] == there and f"{9 - there:,} pictures of people who are not in the gallery" in told
    config = load(CATALOGUE, "recognition", keys(place, tmp_path / "dry", "exact", gallery=(place / "others").uri))
    assert plan(config) == [f"would look up: exact on 21 pictures, in a gallery of {len(others)}"]


def test_the_recogniser_of_the_loss_may_not_judge(place: Folder, tmp_path: Path) -> None:
    mapper = folder_of((place / "mapper").uri, "mapper")[1]
    picture_run(
        place, "pleased", GROUPS, swapped, generator=((place / "generator").uri, "g"), inputs={"mapper": mapper.digest},
        places={"mapper": (place / "mapper").uri},
    )  # fmt: skip
    given = keys(place, tmp_path / "out", "pleased", classifier=(place / "classifier").uri)
    with pytest.raises(
        UserError, match=r"the recogniser that judges is the one that pleased was made to please \(its mapper"
    ):
        plan(load(CATALOGUE, "recognition", given))
    assert plan(load(CATALOGUE, "recognition", keys(place, tmp_path / "out", "pleased")))
    raised = place / "raised"
    for name in (place / "judge").names():
        raised.publish_bytes(name, (place / "judge").read_bytes(name))
    raised.publish_json(
        CHECKPOINT, (place / "judge").read_json(CHECKPOINT) | {"inputs": {"initial": mapper.inputs["classifier"]}}
    )
    with pytest.raises(UserError, match="an input of the recogniser"):
        plan(load(CATALOGUE, "recognition", keys(place, tmp_path / "out", "pleased", classifier=raised.uri)))


def test_where_the_mapper_is_gone_the_table_says_so(in_process: None, place: Folder, tmp_path: Path) -> None:
    picture_run(
        place, "orphan", GROUPS, swapped, generator=((place / "generator").uri, "g"), inputs={"mapper": "gone"},
        places={"mapper": "/nowhere"},
    )  # fmt: skip
    table(place, tmp_path / "out", "orphan")
    assert (
        "Whether the mapper of orphan was trained with this recogniser cannot be told"
        in (tmp_path / "out/table.md").read_text()
    )


def test_clips_of_sound_are_refused(tmp_path: Path) -> None:
    from tests.eval.planted import noise_of, planted_run
    from tests.made import made_clips

    sounds = planted_run(
        Folder.at(str(tmp_path)), "sounds", [made_clips(3, "test")], lambda clip: {"latent": noise_of(clip, 4)}
    )
    given = [f"latents=[{sounds.uri}]", f"out={tmp_path}/out", "classifier=x"]
    with pytest.raises(UserError, match="this is for pictures"):
        plan(load(CATALOGUE, "recognition", given))
