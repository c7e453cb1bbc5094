"""Invented people and how they sit for a picture: what made faces are drawn of, all of it known numbers.

A person is what stays from picture to picture, a sitting what changes; each is a function of the seed and its numbers alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STYLES = ("shaven", "short", "parted", "bob", "long", "curly")
BEARDS = ("none", "moustache", "full")


@dataclass(frozen=True)
class Person:
    """What all pictures of one person have in common. Lengths are in units of half a picture; tones are places along
    the colours of skin, hair and eyes between 0 and 1; style and beard count STYLES and BEARDS."""

    name: str
    skin: float
    warmth: float
    hair: float
    style: int
    hairline: float
    part: float
    iris: float
    width: float
    height: float
    jaw: float
    square: float
    eye_apart: float
    eye_high: float
    eye_size: float
    eye_slant: float
    brow_thick: float
    brow_high: float
    brow_slope: float
    nose_long: float
    nose_wide: float
    mouth_low: float
    mouth_wide: float
    lips: float
    ears: float
    beard: int

    def latent(self) -> list[float]:
        """All numbers that make this person, in the order of `latent_names(Person)`."""
        return _numbers(self)


@dataclass(frozen=True)
class Sitting:
    """What is of one picture only. yaw, pitch and roll: sines of the head's angles; right, down and size: where it is; smile:
    -1 to 1; mouth, eyes: how far they are open; gaze; brows: how far raised; light_x, light_y: where it comes from, and how
    dark shadows are; colours of clothes and wall (red, green, blue between 0 and 1); glasses: 0 or 1."""

    yaw: float
    pitch: float
    roll: float
    right: float
    down: float
    size: float
    smile: float
    mouth: float
    eyes: float
    gaze: float
    brows: float
    light_x: float
    light_y: float
    shadow: float
    clothes_red: float
    clothes_green: float
    clothes_blue: float
    wall_red: float
    wall_green: float
    wall_blue: float
    glasses: int

    def latent(self) -> list[float]:
        """All numbers that make this sitting, in the order of `latent_names(Sitting)`."""
        return _numbers(self)


def latent_names(of: type[Person] | type[Sitting]) -> list[str]:
    """What the numbers of a latent are."""
    return [each.name for each in dataclasses.fields(of) if each.name != "name"]


def _numbers(of: Person | Sitting) -> list[float]:
    return [float(getattr(of, name)) for name in latent_names(type(of))]


class _Drawn:
    """Numbers at random, of an even distribution: others take logarithms."""

    def __init__(self, place: Sequence[int]) -> None:
        self.rng = np.random.default_rng(place)

    def __call__(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def middling(self, low: float, high: float) -> float:
        """More often in the middle: the mean of two."""
        return (self(low, high) + self(low, high)) / 2

    def one_of(self, shares: Sequence[int]) -> int:
        """A number with the probability of its share."""
        at = int(self.rng.integers(sum(shares)))
        return next(number for number in range(len(shares)) if at < sum(shares[: number + 1]))


def draw_person(seed: int, number: int) -> Person:
    """The `number`-th person of a seed, whoever else is drawn."""
    drawn = _Drawn([seed, 0, number])
    name = f"{int(drawn.rng.integers(2**32)):08x}"
    skin = drawn(0, 1)
    beardless = drawn(0, 1) < 0.5
    style = drawn.one_of((0, 2, 3, 4, 6, 2) if beardless else (2, 6, 5, 1, 1, 3))
    return Person(
        name=name,
        skin=skin,
        warmth=drawn(-1, 1),
        hair=drawn(0, 1 if skin < 0.55 else 0.35),
        style=style,
        hairline=drawn(-0.46, -0.30),
        part=drawn(-0.30, 0.30),
        iris=drawn(0, 1 if skin < 0.5 else 0.3),
        width=drawn.middling(0.43, 0.57),
        height=drawn.middling(0.60, 0.72),
        jaw=drawn(0.08, 0.34),
        square=drawn(0.0, 0.7),
        eye_apart=drawn.middling(0.17, 0.25),
        eye_high=drawn.middling(-0.13, -0.02),
        eye_size=drawn.middling(0.085, 0.125),
        eye_slant=drawn.middling(-0.20, 0.20),
        brow_thick=drawn(0.012, 0.040),
        brow_high=drawn.middling(0.12, 0.19),
        brow_slope=drawn.middling(-0.25, 0.25),
        nose_long=drawn.middling(0.18, 0.32),
        nose_wide=drawn.middling(0.055, 0.115),
        mouth_low=drawn.middling(0.31, 0.41),
        mouth_wide=drawn.middling(0.13, 0.23),
        lips=drawn(0.020, 0.055),
        ears=drawn(0.07, 0.12),
        beard=0 if beardless else drawn.one_of((5, 2, 3)),
    )


def draw_sitting(seed: int, person: int, number: int) -> Sitting:
    """The `number`-th sitting of the seed's person of that number."""
    drawn = _Drawn([seed, 1, person, number])
    wall = drawn(0.30, 0.88)
    return Sitting(
        yaw=drawn.middling(-0.5, 0.5),
        pitch=drawn.middling(-0.35, 0.35),
        roll=drawn.middling(-0.16, 0.16),
        right=drawn(-0.06, 0.06),
        down=drawn(-0.03, 0.07),
        size=drawn(0.92, 1.08),
        smile=drawn(-0.5, 1),
        mouth=max(0.0, drawn(-1, 1)),
        eyes=drawn(0.55, 1.1),
        gaze=drawn.middling(-1, 1),
        brows=drawn.middling(-1, 1),
        light_x=drawn(-0.7, 0.7),
        light_y=drawn(-0.6, 0.1),
        shadow=drawn(0.25, 0.6),
        clothes_red=drawn(0.1, 0.9),
        clothes_green=drawn(0.1, 0.9),
        clothes_blue=drawn(0.1, 0.9),
        wall_red=wall + drawn(-0.12, 0.12),
        wall_green=wall + drawn(-0.12, 0.12),
        wall_blue=wall + drawn(-0.12, 0.12),
        glasses=int(drawn(0, 1) < 0.2),
    )
