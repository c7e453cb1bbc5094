"""Pictures of invented people (people.py), each a function of the person, the sitting and the size alone.

Drawn as flat shapes with soft edges and one light, of which every pixel is computed by itself in double precision
from +, -, ×, ÷, square roots and comparisons, which IEEE 754 rounds alike everywhere: the same bytes on every processor.
Nothing is summed in an order that a library chooses, and no function is called whose last bit it chooses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from invertone.ingest.obtain.people import BEARDS, STYLES, Person, Sitting
from invertone.ingest.obtain.shapes import Colour, Paper, between, curve, ellipse, lens, mixed, oval

Pixels = npt.NDArray[np.uint8]
SIZES = (32, 64, 128)
DRAWN = 128
"""The least side of what is drawn, at twice the size of the picture at least, whose pixels are means."""

SKIN: tuple[Colour, ...] = (
    (255, 224, 203), (244, 204, 175), (228, 180, 143), (201, 145, 106), (157, 104, 70), (106, 68, 47),
)  # fmt: skip
HAIR: tuple[Colour, ...] = (
    (28, 24, 26), (58, 38, 28), (100, 66, 40), (150, 74, 38), (196, 150, 86), (228, 202, 146), (176, 172, 168),
)  # fmt: skip
IRIS: tuple[Colour, ...] = ((74, 46, 26), (122, 86, 44), (92, 122, 72), (72, 118, 164), (126, 142, 154))
WHITE, BLACK, LENS = (248.0, 246.0, 242.0), (22.0, 18.0, 18.0), (200.0, 220.0, 235.0)


def make_face(person: Person, sitting: Sitting, size: int) -> Pixels:
    """uint8 [size, size, 3]: the person at that sitting. A function of the three alone."""
    finer = max(2, -(-DRAWN // size))
    return _Portrait(person, sitting, finer * size).drawn().pixels(finer)


@dataclass
class _Portrait:
    person: Person
    sitting: Sitting
    side: int

    def __post_init__(self) -> None:
        sitting = self.sitting
        self.paper = Paper.blank(self.side)
        self.head = self.paper.turned(sitting.right, 0.06 + sitting.down, sitting.size * 0.98, sitting.roll)
        person = self.person
        red, green, blue = mixed(SKIN, person.skin)
        self.skin = (red + 5 * person.warmth, green, blue - 8 * person.warmth)
        self.hair = mixed(HAIR, person.hair)
        self.lit = math.sqrt(1 - sitting.light_x * sitting.light_x - sitting.light_y * sitting.light_y)
        self.narrow = 1 - 0.45 * sitting.yaw * sitting.yaw

    def at(self, x: float, y: float, depth: float) -> tuple[float, float]:
        """Where a point of the face is seen that lies `depth` in front of the head's axis."""
        return x * self.narrow + self.sitting.yaw * depth, y + self.sitting.pitch * depth * 0.55

    def drawn(self) -> Paper:
        self.background()
        self.hair_behind()
        self.body()
        self.ears()
        self.face()
        self.cheeks()
        self.beard()
        self.mouth()
        self.nose()
        for side in (-1, 1):
            self.eye(side)
        self.hair_in_front()
        for side in (-1, 1):
            self.brow(side)
        if self.sitting.glasses:
            self.glasses()
        return self.paper

    def background(self) -> None:
        sitting, paper = self.sitting, self.paper
        wall = (255 * sitting.wall_red, 255 * sitting.wall_green, 255 * sitting.wall_blue)
        light = 1.0 - 0.18 * (paper.y + 1) / 2 + 0.12 * sitting.light_x * paper.x
        paper.fill(wall, light)

    def shade(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """How bright an egg is whose surface turns to the side with x and y, both 1 at its rim."""
        sitting = self.sitting
        front = np.sqrt(np.maximum(0.0, 1 - 0.85 * (x * x + y * y)))
        lit = np.maximum(0.0, 0.92 * (x * sitting.light_x + y * sitting.light_y) + front * self.lit)
        return (1 - sitting.shadow) + sitting.shadow * np.minimum(1.25, 1.1 * lit)

    def body(self) -> None:
        person, sitting, paper = self.person, self.sitting, self.head
        neck = np.maximum(np.abs(paper.x) - 0.55 * person.width, np.abs(paper.y - 0.75) - 0.45)
        paper.paint(neck, self.skin, brightness=0.80 * self.shade(1.2 * paper.x, 0.2 * paper.y))
        flat = self.paper
        clothes = (255 * sitting.clothes_red, 255 * sitting.clothes_green, 255 * sitting.clothes_blue)
        shoulders = ellipse(flat.x, flat.y, 0.4 * sitting.right, 1.30, 0.98, 0.50)
        collar = ellipse(flat.x, flat.y, sitting.right, 0.74 + sitting.down, 0.30, 0.20)
        flat.paint(np.maximum(shoulders, -collar), clothes, brightness=self.shade(0.9 * flat.x, 0.4 * (flat.y - 1)))

    def ears(self) -> None:
        person, paper = self.person, self.head
        for side in (-1, 1):
            x = side * person.width * (1.0 - 0.02) - 0.10 * self.sitting.yaw
            y = 0.06 - 0.10 * self.sitting.pitch
            part = paper.around(x, y, 0.25)
            part.paint(
                ellipse(part.x, part.y, x, y, person.ears * 0.75, person.ears * 1.45),
                self.skin,
                brightness=0.92 * self.shade(0.8 * side + 0 * part.x, 0 * part.y),
            )
            part.paint(
                ellipse(part.x, part.y, x + side * 0.01, y, person.ears * 0.38, person.ears * 0.9),
                self.skin,
                brightness=0.72 * self.shade(0.8 * side + 0 * part.x, 0 * part.y),
            )

    def outline(self, paper: Paper, grown: float = 0.0) -> npt.NDArray[np.float64]:
        person = self.person
        return oval(paper.x, paper.y, person.width + grown, person.height + grown, person.jaw, person.square)

    def face(self) -> None:
        person, paper = self.person, self.head
        x = paper.x / person.width - 0.35 * self.sitting.yaw
        y = paper.y / person.height - 0.25 * self.sitting.pitch
        paper.paint(self.outline(paper), self.skin, brightness=self.shade(x, y))

    def darker(self, share: float) -> Colour:
        red, green, blue = self.skin
        return (red * share, green * share * 0.93, blue * share * 0.92)

    def cheeks(self) -> None:
        red, green, blue = self.skin
        for side in (-1, 1):
            x, y = self.at(side * 0.30, 0.18, 0.22)
            part = self.head.around(x, y, 0.3)
            colour = (min(255.0, red * 1.02), green * 0.84, blue * 0.82)
            inside = np.maximum(ellipse(part.x, part.y, x, y, 0.13, 0.10), self.outline(part) + 0.05)
            part.paint(inside, colour, opacity=0.35, soft=0.16, brightness=self.shade(part.x / 0.6, part.y / 0.8))

    def beard(self) -> None:
        person, sitting, paper = self.person, self.sitting, self.head
        if BEARDS[person.beard] == "none":
            return
        colour = between(self.hair, self.skin, 0.12)
        x, y = self.at(0.0, person.mouth_low, 0.26)
        if BEARDS[person.beard] == "full":
            upper = curve(paper.x, paper.y, 0.6 * x, y - 0.17, -0.9)
            hollow = ellipse(paper.x, paper.y, x, y + 0.005, person.mouth_wide * 1.08, 0.07)
            low = np.maximum(np.maximum(self.outline(paper, 0.012), -upper), -hollow)
            paper.paint(low, colour, opacity=0.93, soft=0.03, brightness=self.shade(paper.x / 0.6, paper.y / 0.9))
        part = paper.around(x, y, 0.4)
        lip = lens(part.x, part.y, x, y - 0.075, person.mouth_wide * 1.12, 0.055 - 0.03 * sitting.smile, 0.034, 0.030)
        part.paint(lip, colour, opacity=0.95, soft=0.01, brightness=self.shade(part.x / 0.6, part.y / 0.9))

    def mouth(self) -> None:
        person, sitting = self.person, self.sitting
        x, y = self.at(0.0, person.mouth_low, 0.26)
        part = self.head.around(x, y, 0.4)
        wide = person.mouth_wide * (1 + 0.18 * sitting.smile) * self.narrow
        bend = -0.065 * sitting.smile  # the corners are above the middle of a mouth that smiles
        opened = 0.075 * sitting.mouth
        middle = y + 0.03 * sitting.smile - 0.25 * opened
        red, green, blue = self.skin
        rose = (red * 0.80 + 12, green * 0.52 + 6, blue * 0.52 + 8)
        deep = (rose[0] * 0.86, rose[1] * 0.80, rose[2] * 0.80)
        light = 0.35 + 0.65 * float(self.shade(np.array(x), np.array(0.4)))
        part.paint(
            lens(part.x, part.y, x, middle + opened / 2, wide * 0.94, bend, 0.0, person.lips * 1.5 + opened / 2),
            rose,
            brightness=light,
        )
        part.paint(
            lens(part.x, part.y, x, middle - opened / 2, wide, bend, person.lips + opened / 4, 0.0),
            deep,
            brightness=light,
        )
        gap = lens(part.x, part.y, x, middle, wide * 0.93, bend, opened / 2 + 0.006, opened / 2 + 0.008)
        part.paint(gap, (70, 22, 26))
        if sitting.mouth > 0.2:
            teeth = lens(part.x, part.y, x, middle, wide * 0.80, bend, opened / 2 - 0.004, -opened * 0.02)
            part.paint(np.maximum(teeth, gap), WHITE, brightness=0.95)
        part.paint(
            lens(part.x, part.y, x, middle + opened + person.lips * 1.7 + 0.035, wide * 0.5, 0.0, 0.012, 0.012),
            self.darker(0.75),
            opacity=0.45,
            soft=0.03,
        )

    def nose(self) -> None:
        person, sitting = self.person, self.sitting
        top = self.at(0.0, person.eye_high + 0.02, 0.26)
        x, y = self.at(0.0, person.eye_high + person.nose_long, 0.44)
        part = self.head.around(x, (y + top[1]) / 2, 0.4)
        wide = person.nose_wide
        dark = -1.0 if sitting.light_x > 0 else 1.0
        if abs(sitting.yaw) > 0.2:
            dark = -1.0 if sitting.yaw < 0 else 1.0
        share = np.clip((part.y - top[1]) / max(0.05, y - top[1]), 0.0, 1.0)
        ridge = top[0] + (x - top[0]) * share
        beyond = np.maximum(part.y - y, top[1] - part.y)
        shadow = np.abs(part.x - ridge - dark * (0.018 + 0.45 * wide * share)) - (0.010 + 0.22 * wide * share)
        part.paint(np.maximum(shadow, beyond), self.darker(0.66), opacity=0.50, soft=0.025)
        bright = np.abs(part.x - ridge + dark * 0.012) - 0.012
        part.paint(
            np.maximum(bright, beyond + 0.03), tuple(min(255.0, 1.10 * each + 8) for each in self.skin), 0.35, soft=0.03
        )
        tip = (0.95 * self.skin[0], 0.83 * self.skin[1], 0.80 * self.skin[2])
        part.paint(ellipse(part.x, part.y, x, y - 0.005, wide, wide * 0.62), tip, opacity=0.55, soft=0.02)
        part.paint(
            lens(part.x, part.y, x, y + wide * 0.50, wide * 1.15, -0.012, 0.012, 0.012),
            self.darker(0.55),
            0.75,
            soft=0.012,
        )
        for side in (-1, 1):
            part.paint(
                ellipse(part.x, part.y, x + side * wide * 0.52, y + wide * 0.42, wide * 0.24, wide * 0.16),
                self.darker(0.36),
                opacity=0.85,
                soft=0.006,
            )

    def eye(self, side: int) -> None:
        person, sitting = self.person, self.sitting
        x, y = self.at(side * person.eye_apart, person.eye_high, 0.27)
        long = person.eye_size * (self.narrow - 0.10 * side * sitting.yaw)
        part = self.head.around(x, y, 0.3)
        # the outer corner of a slanting eye is higher
        slanted = part.y - y + side * person.eye_slant * (part.x - x) + y
        high = 0.62 * person.eye_size * sitting.eyes
        squint = 0.75 - 0.25 * max(0.0, sitting.smile)
        part.paint(
            ellipse(part.x, slanted, x, y - 0.01, long * 1.35, person.eye_size), self.darker(0.80), 0.45, soft=0.05
        )
        opening = lens(part.x, slanted, x, y, long, 0.0, high, high * squint)
        part.paint(opening, WHITE, brightness=0.94 - 0.10 * sitting.shadow)
        across = x + 0.30 * long * sitting.gaze
        radius = 0.60 * person.eye_size
        iris = mixed(IRIS, person.iris)
        part.paint(
            np.maximum(opening, ellipse(part.x, part.y, across, y, radius, radius)), tuple(0.55 * each for each in iris)
        )
        part.paint(np.maximum(opening, ellipse(part.x, part.y, across, y, 0.82 * radius, 0.82 * radius)), iris)
        part.paint(np.maximum(opening, ellipse(part.x, part.y, across, y, 0.42 * radius, 0.42 * radius)), BLACK)
        glint = ellipse(
            part.x, part.y, across + 0.3 * radius * (1 if sitting.light_x > 0 else -1), y - 0.35 * radius, 0.016, 0.016
        )
        part.paint(np.maximum(opening, glint), WHITE, 0.9)
        part.paint(
            np.maximum(opening, lens(part.x, slanted, x, y - high, long * 1.1, high, 0.0, 0.035)),
            BLACK,
            0.30,
            soft=0.01,
        )
        lash = np.abs(slanted - (y - high * (1 - np.square((part.x - x) / long)))) - 0.012
        part.paint(np.maximum(lash, np.abs(part.x - x) - long * 1.08), BLACK, 0.85)
        fold = np.abs(slanted - (y - 0.035 - high * (1.05 - np.square((part.x - x) / long)))) - 0.005
        part.paint(np.maximum(fold, np.abs(part.x - x) - long), self.darker(0.55), 0.55, soft=0.006)
        low = np.abs(slanted - (y + high * squint * (1 - np.square((part.x - x) / long)))) - 0.004
        part.paint(np.maximum(low, np.abs(part.x - x) - long * 0.95), self.darker(0.45), 0.6, soft=0.006)

    def brow(self, side: int) -> None:
        person, sitting = self.person, self.sitting
        x, y = self.at(side * person.eye_apart * 1.06, person.eye_high - person.brow_high - 0.03 * sitting.brows, 0.27)
        part = self.head.around(x, y, 0.3)
        slanted = part.y + side * person.brow_slope * (part.x - x)
        colour = between(self.hair, BLACK, 0.35)
        thick = person.brow_thick
        shape = lens(part.x, slanted, x, y, person.eye_size * 1.45 * self.narrow, 0.045, thick, thick * 0.55)
        part.paint(shape, colour, opacity=0.92, soft=0.006)

    def glasses(self) -> None:
        person, frame = self.person, (40.0, 34.0, 38.0)
        places = [self.at(side * (person.eye_apart + 0.005), person.eye_high + 0.015, 0.30) for side in (-1, 1)]
        radius = min(0.165, person.eye_apart - 0.025)
        for x, y in places:
            part = self.head.around(x, y, 0.3)
            round_ = ellipse(part.x, part.y, x, y, radius * self.narrow, radius * 0.85)
            part.paint(round_, LENS, opacity=0.12)
            part.paint(np.abs(round_) - 0.013, frame, opacity=0.95)
        (left, y), (right, _) = places
        part = self.head.around((left + right) / 2, y, 0.2)
        bridge = np.abs(part.y - (y - 0.03)) - 0.012
        gap = (right - left) / 2 - radius * self.narrow + 0.01
        part.paint(np.maximum(bridge, np.abs(part.x - (left + right) / 2) - gap), frame, opacity=0.95)
        for side, (x, _) in zip((-1, 1), places, strict=True):
            ends = (x + side * radius * self.narrow, side * person.width)
            part = self.head.around((ends[0] + ends[1]) / 2, y, 0.3)
            arm = np.maximum(np.abs(part.y - (y - 0.02)) - 0.011, np.maximum(min(ends) - part.x, part.x - max(ends)))
            part.paint(arm, frame, opacity=0.9)

    def hair_light(self, paper: Paper) -> npt.NDArray[np.float64]:
        """Strands: bands across the hair, as bright as the light that they turn to."""
        wave = np.abs((paper.x * 9 + paper.y * 2.5) % 1.0 - 0.5) * 2
        return 0.52 + 0.08 * wave + 0.42 * self.shade(paper.x / 0.8, (paper.y + 0.1) / 0.9)

    def hair_behind(self) -> None:
        person, paper = self.person, self.head
        style, wide = STYLES[person.style], person.width
        if style == "long":
            shape = np.maximum(oval(paper.x, paper.y - 0.12, wide * 1.30, 1.0, -0.12, 0.4), paper.y - 0.98)
        elif style == "bob":
            shape = np.maximum(oval(paper.x, paper.y + 0.05, wide * 1.30, 0.80, -0.15, 0.5), paper.y - 0.44)
        elif style == "curly":
            shape = ellipse(paper.x, paper.y, 0.0, -0.22, wide * 1.25, 0.62)
            for number in range(12):
                # points of a circle, of whole-number sides
                x, y = (
                    (5, 0),
                    (4, 3),
                    (3, 4),
                    (0, 5),
                    (-3, 4),
                    (-4, 3),
                    (-5, 0),
                    (-4, -3),
                    (-3, -4),
                    (0, -5),
                    (3, -4),
                    (4, -3),
                )[number]
                lump = ellipse(paper.x, paper.y, x * 0.2 * wide * 1.22, -0.22 + y * 0.2 * 0.58, 0.17, 0.17)
                shape = np.minimum(shape, lump)
        else:
            return
        paper.paint(shape, self.hair, brightness=0.80 * self.hair_light(paper))

    def hair_in_front(self) -> None:
        person, sitting, paper = self.person, self.sitting, self.head
        style, line = STYLES[person.style], person.hairline + 0.06 * sitting.pitch
        cap = {"shaven": 0.012, "short": 0.07, "parted": 0.10, "bob": 0.10, "long": 0.09, "curly": 0.10}[style]
        outside = oval(
            paper.x, paper.y + 0.02, person.width + cap, person.height + cap, person.jaw, person.square * 0.6
        )
        middle = 0.22 * sitting.yaw
        if style in ("parted", "long"):
            middle += person.part * 0.8
            edge = curve(paper.x, paper.y, middle, line - 0.08, 0.9 if style == "long" else 0.7)
            steep = 2.6
        elif style == "bob":
            edge = curve(paper.x, paper.y, middle, person.eye_high - 0.20, 0.55)
            steep = 3.2
        else:
            edge = curve(paper.x, paper.y, middle, line, 0.55)
            steep = 3.4
        temples = curve(paper.x, paper.y, 0.12 * sitting.yaw, line - 0.06, steep)
        lowest = (
            paper.y - {"shaven": 0.0, "short": 0.06, "parted": 0.10, "bob": 0.44, "long": 0.80, "curly": 0.05}[style]
        )
        shape = np.maximum(np.maximum(outside, np.minimum(edge, temples)), lowest)
        opacity = 0.55 if style == "shaven" else 1.0
        shadow = np.maximum(np.maximum(self.outline(paper), shape - 0.03), lowest)
        if style != "shaven":
            paper.paint(shadow, self.darker(0.62), opacity=0.30, soft=0.03)
        paper.paint(
            shape,
            self.hair,
            opacity=opacity,
            soft=0.02 if style == "shaven" else 0.0,
            brightness=self.hair_light(paper),
        )
