"""Flat shapes with soft edges, painted on each other: what made faces are drawn of.

Shapes are distances [h, w], negative inside, nearly those of geometry close to the edge. Every pixel is computed by itself,
from +, -, ×, ÷, square roots and comparisons alone (see faces.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]
Colour = tuple[float, ...]
"""Red, green and blue between 0 and 255."""


@dataclass(frozen=True)
class Paper:
    """colours: [h, w, 3] between 0 and 255, which `paint` changes; x and y: [h, w], where its pixels are, to the right and
    down, -1 to 1 on a paper that is not turned; pixel: the side of one, in those units."""

    colours: Field
    x: Field
    y: Field
    pixel: float

    @staticmethod
    def blank(side: int) -> Paper:
        """A black square of `side` pixels."""
        places = (2 * np.arange(side) + 1 - side) / side
        x, y = np.broadcast_to(places, (side, side)), np.broadcast_to(places[:, None], (side, side))
        return Paper(np.zeros((side, side, 3)), x, y, 2 / side)

    def turned(self, right: float, down: float, size: float, sine: float) -> Paper:
        """The same paper in the units of something whose middle is there, that is `size` as large and turned by the angle of
        that sine."""
        cosine = math.sqrt(1 - sine * sine)
        x, y = (self.x - right) / size, (self.y - down) / size
        return Paper(self.colours, x * cosine + y * sine, y * cosine - x * sine, self.pixel / size)

    def around(self, x: float, y: float, radius: float) -> Paper:
        """The part of the paper within `radius` of a point, at least: what is painted there costs less."""
        near = (np.abs(self.x - x) <= radius) & (np.abs(self.y - y) <= radius)
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not len(rows):
            return Paper(self.colours[:0], self.x[:0], self.y[:0], self.pixel)
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Paper(self.colours[part], self.x[part], self.y[part], self.pixel)

    def paint(
        self, shape: Field, colour: Colour, opacity: float = 1.0, soft: float = 0.0, brightness: Field | float = 1.0
    ) -> None:
        """Covers what lies in `shape`, its edge a pixel wide, or `soft` wider. brightness: a factor."""
        covered = opacity * np.clip(0.5 - shape / (self.pixel + soft), 0.0, 1.0)
        for channel, level in enumerate(colour):
            under = self.colours[..., channel]
            under += covered * (np.minimum(255.0, level * brightness) - under)

    def fill(self, colour: Colour, brightness: Field) -> None:
        """All of it."""
        for channel, level in enumerate(colour):
            self.colours[..., channel] = np.minimum(255.0, level * brightness)

    def pixels(self, share: int) -> npt.NDArray[np.uint8]:
        """uint8 [h / share, w / share, 3]: means over squares of `share` pixels, in whole numbers."""
        levels = np.rint(np.clip(self.colours, 0.0, 255.0)).astype(np.int64)
        side = len(levels) // share
        total = levels.reshape(side, share, side, share, 3).sum(axis=(1, 3))
        return ((2 * total + share * share) // (2 * share * share)).astype(np.uint8)


def ellipse(x: Field, y: Field, middle_x: float, middle_y: float, wide: float, high: float) -> Field:
    """With the half axes `wide` and `high`."""
    u, v = (x - middle_x) / wide, (y - middle_y) / high
    length = np.sqrt(u * u + v * v)
    slope = np.sqrt((u / wide) * (u / wide) + (v / high) * (v / high))
    return length * (length - 1) / np.maximum(slope, 1e-9)


def oval(x: Field, y: Field, wide: float, high: float, narrow: float, square: float) -> Field:
    """An ellipse around 0 that is by `narrow` of itself narrower at its lower end, and by `square` between an ellipse (0) and
    one of fourth powers (1)."""
    down = np.clip(y / high, 0.0, 1.0)
    u, v = x / (wide * (1 - narrow * down * down)), y / high
    u, v = u * u, v * v
    length = (1 - square) * np.sqrt(u + v) + square * np.sqrt(np.sqrt(u * u + v * v))
    slope = np.sqrt(u / (wide * wide) + v / (high * high))
    return length * (length - 1) / np.maximum(slope, 1e-9)


def lens(
    x: Field, y: Field, middle_x: float, middle_y: float, half: float, bend: float, above: float, below: float
) -> Field:
    """Between two parabolas that meet at its corners, `half` to either side of the middle and `bend` below it; in the middle
    it reaches `above` and `below` it."""
    share = (x - middle_x) / half
    share = share * share
    axis, open_ = middle_y + bend * share, 1 - share
    distance = np.maximum(axis - above * open_ - y, y - axis - below * open_)
    tallest = max(abs(above), abs(below), abs(bend), 1e-6)
    steep = 2 * tallest / half * np.minimum(1.0, np.abs(x - middle_x) / half)
    return np.maximum(distance / np.sqrt(1 + steep * steep), np.abs(x - middle_x) - half)


def curve(x: Field, y: Field, middle_x: float, top: float, bend: float) -> Field:
    """What lies above a parabola with that apex, which falls to both sides by `bend` times the square of the distance."""
    away = x - middle_x
    slope = 2 * bend * away
    return (y - top - bend * away * away) / np.sqrt(1 + slope * slope)


def mixed(colours: Sequence[Colour], place: float) -> Colour:
    """The colour at a place between 0 and 1 along `colours`."""
    along = place * (len(colours) - 1)
    first = min(int(along), len(colours) - 2)
    return between(colours[first], colours[first + 1], along - first)


def between(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the way from one colour to another."""
    return tuple(a + share * (b - a) for a, b in zip(one, other, strict=True))
