"""How training clips are varied: what each variation does, by hand, and that it is drawn from the run's own numbers."""

from __future__ import annotations

import pytest
import torch

from invertone.train.data.augmentation import masked, rotated, with_zero_patches
from invertone.train.objective import Batch, Draw, World


def draw(batch: int, seed: int = 0, world: World | None = None) -> Draw:
    def nothing() -> Batch:
        raise AssertionError("no clips are drawn here")

    return Draw(nothing, batch, world or World(), torch.device("cpu"), torch.Generator().manual_seed(seed), 1)


class Turned(Draw):
    """Draws the largest number each time: a turn by all of the degrees."""

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.ones(self.batch, *shape)


def turned(batch: int) -> Draw:
    given = draw(batch)
    return Turned(given.real, given.batch, given.world, given.device, given.rng, given.step)


def test_a_quarter_turn_by_hand() -> None:
    """Of a square, about its middle: what was a row is a column; nothing comes in."""
    square = torch.arange(16.0).view(1, 4, 4) / 16
    found = rotated(square, turned(1), 90.0)
    assert torch.allclose(found, square.rot90(1, (1, 2)), atol=1e-6)


def test_silence_comes_in_from_outside_and_places_are_square() -> None:
    """A quarter turn of 8 x 4: its upper and lower quarters lie outside, the middle shows the middle turned."""
    tall = torch.arange(32.0).view(1, 8, 4) / 32
    found = rotated(tall, turned(1), 90.0, -13.8)
    assert torch.allclose(found[:, 2:6], tall[:, 2:6].rot90(1, (1, 2)), atol=1e-5)
    assert torch.allclose(found[:, :2], torch.tensor(-13.8)) and torch.allclose(found[:, 6:], torch.tensor(-13.8))


def test_each_clip_turns_by_its_own_angle_within_the_limit() -> None:
    """A lone bright row through the middle: its ends lie as high as the angle says, at most so many degrees."""
    columns, limit = 129, 10.0
    line = -torch.ones(64, 129, columns)
    line[:, 64] = 1.0
    found = rotated(line, draw(64), limit)
    heights = found[:, :, -5].argmax(1) - 64.0
    degrees = torch.rad2deg(torch.atan(heights / (columns // 2 - 4)))
    assert degrees.abs().max() <= limit + 1.0 and degrees.max() > 5 and degrees.min() < -5
    assert len(heights.unique()) > 8 and torch.equal(found, rotated(line, draw(64), limit))
    assert not torch.equal(found, rotated(line, draw(64, seed=1), limit))


def test_no_turn_is_nothing() -> None:
    spectrogram = torch.rand(3, 16, 8) * 2 - 1
    assert torch.allclose(rotated(spectrogram, draw(3), 0.0), spectrogram, atol=1e-6)


@pytest.mark.parametrize("number", [1, 3])
def test_patches_are_rectangles_of_zeros(number: int) -> None:
    spectrogram = torch.full((40, 32, 16), -1.0)
    found = with_zero_patches(spectrogram, draw(40), number, 0.5)
    assert found.unique().tolist() == [-1.0, 0.0]
    assert torch.equal(found, with_zero_patches(spectrogram, draw(40), number, 0.5))
    hidden = found == 0
    if number == 1:
        for each in hidden:
            rows, columns = each.any(1), each.any(0)
            assert torch.equal(each, rows[:, None] & columns[None])
            assert rows.sum() <= 17 and columns.sum() <= 9
        assert len(hidden.flatten(1).sum(1).unique()) > 10
    share = hidden.float().mean()
    assert 0.03 * number < share < 0.0625 * 1.5 * number  # a quarter of each side, on average


def test_every_rank_draws_its_part_of_the_same_numbers() -> None:
    spectrogram = torch.rand(4, 32, 16)
    whole = with_zero_patches(rotated(spectrogram, draw(4), 20.0), draw(4, 1), 2, 0.5)
    parts = []
    for rank in range(2):
        world = World(rank, 2)
        part = rotated(world.part(spectrogram), draw(4, 0, world), 20.0)
        parts.append(with_zero_patches(part, draw(4, 1, world), 2, 0.5))
    assert torch.equal(torch.cat(parts), whole)


def test_bands_are_set_to_the_network_s_own_silence() -> None:
    found = masked(torch.zeros(8, 32, 16), draw(8), 0.5, -13.8)
    assert torch.equal(found.unique(), torch.tensor([-13.8, 0.0]))
