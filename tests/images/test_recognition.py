"""Recognition of probes in a gallery, against a plain count, closed forms and chance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from invertone.images import recognition
from invertone.images.picture import fit, views
from invertone.images.reading import read_picture
from invertone.images.recognition import Match, cosine_distances, cumulative_match, matches


def embeddings(count: int, size: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def test_cosine_distances_are_those_of_scipy() -> None:
    probes, gallery = embeddings(20, seed=1), embeddings(30, seed=2)
    assert cosine_distances(probes, gallery) == pytest.approx(cdist(probes, gallery, "cosine"), abs=1e-6)
    exact = cdist(probes.astype(np.float64), gallery.astype(np.float64), "cosine")
    assert cosine_distances(probes, gallery) == pytest.approx(exact, abs=1e-12)


def test_cosine_distances_know_no_length() -> None:
    one = np.array([[3.0, 4.0]])
    others = np.array([[3e300, 4e300], [-3e-300, -4e-300], [4.0, -3.0], [0.0, 0.0]])
    assert cosine_distances(one, others)[0] == pytest.approx([0, 2, 1, 1], abs=1e-12)


def test_matches_are_counted_by_hand() -> None:
    """Angles of 0, 10, 20, 40 degrees; a probe at 8 degrees is closest to the second."""

    def at(*degrees: float) -> np.ndarray:
        return np.array([[math.cos(math.radians(each)), math.sin(math.radians(each))] for each in degrees])

    gallery, names = at(0, 10, 20, 40), ["a", "b", "c", "d"]
    found = matches(at(8, 8, 8, 8), names, gallery, names)
    assert found == [Match(1, 0), Match(0, 0), Match(2, 0), Match(3, 0)]
    assert cumulative_match(found, [1, 2, 3, 4, 100]).tolist() == [0.25, 0.5, 0.75, 1, 1]
    assert matches(at(5), ["a"], gallery, names) == [Match(0, 1)]  # as far from both
    assert cumulative_match(matches(at(5), ["a"], gallery, names), [1, 2]).tolist() == [0.5, 1]


def test_an_identity_is_as_close_as_its_closest_picture() -> None:
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.05], [-1.0, 0.0]])
    names = ["a", "b", "b", "c"]
    assert matches(np.array([[1.0, 0.06]]), ["b"], gallery, names) == [Match(0, 0)]
    assert matches(np.array([[1.0, 0.06]]), ["c"], gallery, names) == [Match(2, 0)]  # identities, not pictures


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**31), st.integers(1, 40))
def test_a_recogniser_that_sees_no_difference_scores_chance(people: int, pictures: int, seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    names = [str(each) for each in rng.integers(people, size=pictures)]
    same = np.tile(rng.normal(size=5), (pictures, 1))
    found = matches(same, names, same, names)
    chance = min(1.0, rank / len(set(names)))
    assert cumulative_match(found, [rank])[0] == pytest.approx(chance)


@given(st.integers(2, 25), st.integers(1, 3), st.integers(0, 2**31))
def test_the_curve_is_a_plain_count_where_nothing_ties(people: int, each: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"p{number}" for number in range(people) for _ in range(each)]
    gallery, probes = rng.normal(size=(len(names), 8)), rng.normal(size=(people, 8))
    asked = [f"p{number}" for number in range(people)]
    curve = cumulative_match(matches(probes, asked, gallery, names), range(1, people + 1))
    expected = np.zeros(people)
    for probe, name in zip(probes, asked, strict=True):
        order = [names[number] for number in np.argsort(cdist(probe[None], gallery, "cosine")[0])]
        expected[list(dict.fromkeys(order)).index(name) :] += 1 / people
    assert curve == pytest.approx(expected)
    assert (np.diff(curve) >= 0).all() and curve[-1] == pytest.approx(1)


def test_targets_are_found_among_themselves_and_order_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = embeddings(50)
    names = [f"p{number}" for number in range(50)]
    assert cumulative_match(matches(gallery, names, gallery, names), [1]).tolist() == [1.0]
    probes, mixed = embeddings(50, seed=3), np.random.default_rng(0).permutation(50)
    whole = matches(probes, names, gallery, names)
    monkeypatch.setattr(recognition, "AT_ONCE", 7)
    parts = matches(probes, names, gallery[mixed], [names[number] for number in mixed])
    assert parts == whole


def test_a_probe_without_an_embedding_is_a_miss_at_every_rank() -> None:
    gallery, names = embeddings(4), list("abcd")
    probes = gallery.copy()
    probes[2] = np.nan
    found = matches(probes, names, gallery, names)
    assert found[2].missed and cumulative_match(found, [1, 4, 100]).tolist() == [0.75, 0.75, 0.75]


def test_what_cannot_be_counted_is_refused() -> None:
    gallery, names = embeddings(3), list("abc")
    with pytest.raises(ValueError, match="'x' is not in the gallery"):
        matches(gallery, ["a", "x", "c"], gallery, names)
    with pytest.raises(ValueError, match="the gallery is empty"):
        matches(gallery[:0], [], gallery[:0], [])
    gallery[1] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        matches(embeddings(3), names, gallery, names)
    assert np.isnan(cumulative_match([], [1, 5])).all()


def test_real_portraits_serve_as_gallery_and_probes(corpora: Path) -> None:
    """One picture per identity, as in the thesis: coarse copies are found by their pixels, a mean face by chance."""
    paths = [
        path for folder in ("neutral_front", "canada") for path in sorted((corpora / "faces" / folder).glob("*.png"))
    ]
    pictures = [read_picture(path.read_bytes()).pixels for path in paths]
    names = [path.stem + path.parent.name for path in paths]
    gallery = views([fit(each, 32, 32) for each in pictures]).reshape(len(names), -1)
    coarse = views([fit(fit(each, 8, 8), 32, 32) for each in pictures]).reshape(len(names), -1)
    mean = np.tile(gallery.mean(0), (len(names), 1))
    assert len(names) == 142
    assert cumulative_match(matches(coarse, names, gallery, names), [1])[0] > 0.7
    ranks = [1, 5, 20, 142]
    chance = cumulative_match(matches(mean, names, gallery, names), ranks)
    assert chance == pytest.approx([rank / 142 for rank in ranks])
