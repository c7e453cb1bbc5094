"""Made people and pictures of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invertone.ingest.obtain.faces import SIZES, make_face
from invertone.ingest.obtain.people import BEARDS, STYLES, Person, Sitting, draw_person, draw_sitting, latent_names

PEOPLE = [draw_person(0, number) for number in range(12)]
FRONT = dataclasses.replace(
    draw_sitting(0, 0, 0),
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    right=0.0,
    glasses=0,
    mouth=0.0,
    smile=0.2,
    eyes=1.0,
    light_x=0.3,
)
"""A passport's."""


def digest(pictures: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(each.tobytes() for each in pictures)).hexdigest()[:16]


@pytest.mark.parametrize(
    ("size", "golden"), [(32, "28901443bb5be7b8"), (64, "bc312185a82c553b"), (128, "36c4cd780ef50f9f")]
)
def test_faces_have_the_same_bytes_on_every_processor(size: int, golden: str) -> None:
    made = [make_face(person, draw_sitting(0, number, number), size) for number, person in enumerate(PEOPLE)]
    assert {each.shape for each in made} == {(size, size, 3)} and {each.dtype for each in made} == {np.dtype(np.uint8)}
    assert digest(made) == golden


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(SIZES[:2]))
def test_a_picture_is_a_function_of_its_numbers(seed: int, number: int, picture: int, size: int) -> None:
    person, sitting = draw_person(seed, number), draw_sitting(seed, number, picture)
    made = make_face(person, sitting, size)
    draw_person(seed, number + 1)
    make_face(draw_person(seed, number + 2), draw_sitting(seed, number, picture + 1), size)
    assert draw_person(seed, number) == person and draw_sitting(seed, number, picture) == sitting
    assert (make_face(person, sitting, size) == made).all()
    assert made.std() > 15  # something is seen


@pytest.mark.parametrize("size", [20, 48, 100, 130])
def test_a_picture_has_the_size_that_is_asked_for(size: int) -> None:
    assert make_face(PEOPLE[0], FRONT, size).shape == (size, size, 3)


def test_people_and_sittings_are_different_and_of_all_kinds() -> None:
    people = [draw_person(7, number) for number in range(400)]
    assert len({person.name for person in people}) == 400
    assert {person.style for person in people} == set(range(len(STYLES)))
    assert {person.beard for person in people} == set(range(len(BEARDS)))
    for names, each in (
        (latent_names(Person), people),
        (latent_names(Sitting), [draw_sitting(7, 0, n) for n in range(400)]),
    ):
        values = np.array([one.latent() for one in each])
        assert values.shape == (400, len(names)) and np.isfinite(values).all()
        assert (values.std(0) > 0).all()
    glasses = Counter(draw_sitting(7, 0, number).glasses for number in range(400))
    assert 40 < glasses[1] < 120


@pytest.mark.parametrize("name", latent_names(Person) + latent_names(Sitting))
def test_every_latent_is_seen(name: str) -> None:
    """In the pictures of some people: a parting is seen where the style has one."""
    changed = 0
    for number, person in enumerate(PEOPLE[:8]):
        sitting = dataclasses.replace(draw_sitting(1, number, 0), mouth=0.5)
        seen = make_face(person, sitting, 32)
        of: Person | Sitting = person if name in latent_names(Person) else sitting
        value = getattr(of, name)
        other = 1 - value if name == "glasses" else (value + 1) % 3 if isinstance(value, int) else 0.8 * value + 0.03
        moved = dataclasses.replace(of, **{name: other})
        again = make_face(moved, sitting, 32) if isinstance(moved, Person) else make_face(person, moved, 32)
        changed += bool((again != seen).any())
    assert changed >= 1


def test_pictures_of_one_person_are_more_alike_than_those_of_others() -> None:
    """At one pose and light, whatever the expression, clothes and wall: by the nearest of the pictures' middles."""
    pictures = []
    for number, person in enumerate(PEOPLE):
        for picture in range(4):
            other = draw_sitting(3, number, picture)
            light = dataclasses.replace(
                other, **{name: getattr(FRONT, name) for name in ("yaw", "pitch", "roll", "right")}
            )
            light = dataclasses.replace(light, down=0.0, size=1.0, glasses=0, light_x=0.0, light_y=-0.2, shadow=0.3)
            pictures.append(make_face(person, light, 32)[4:28, 6:26].astype(float).ravel())
    apart = np.linalg.norm(np.array(pictures)[:, None] - np.array(pictures), axis=2)
    same = np.arange(len(pictures)) // 4
    apart[np.arange(len(pictures)), np.arange(len(pictures))] = np.inf
    assert (same[apart.argmin(1)] == same).mean() > 0.6  # by chance 0.06


def test_a_small_picture_is_the_mean_of_a_large_one() -> None:
    large, small = (make_face(PEOPLE[0], FRONT, size).astype(float) for size in (64, 32))
    assert (
        np.abs(large.reshape(32, 2, 32, 2, 3).mean((1, 3)) - small).max() <= 1
    )  # both are means of what is drawn at 128


def test_a_passport_picture_is_nearly_symmetric_and_turning_is_not() -> None:
    person = dataclasses.replace(PEOPLE[1], part=0.0, style=STYLES.index("short"), beard=0)
    front = dataclasses.replace(FRONT, light_x=0.0, gaze=0.0)
    shares = []
    for yaw in (0.0, 0.4):
        seen = make_face(person, dataclasses.replace(front, yaw=yaw), 64).astype(float)
        shares.append(np.abs(seen - seen[:, ::-1]).mean())
    assert shares[0] < 3 < shares[1]
