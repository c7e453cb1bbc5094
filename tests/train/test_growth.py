"""How a progressive GAN grows: in order, through every level, the same wherever a run resumes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invertone.train.growth import Growth, Stage, reals_at

GROWTHS = st.builds(
    lambda first, doublings, fade, stable: Growth(first << doublings, fade, stable, first),
    st.sampled_from([4, 8]),
    st.integers(0, 4),
    st.integers(0, 6),
    st.integers(0, 6),
)


def walked(growth: Growth) -> list[Stage]:
    """Step by step: what `Growth.at` gives in closed form."""
    found = [Stage(growth.first, 1.0)] * growth.stable
    resolution = growth.first
    while resolution < growth.size:
        resolution *= 2
        found += [Stage(resolution, share / growth.fade) for share in range(1, growth.fade + 1)]
        found += [Stage(resolution, 1.0)] * growth.stable
    return found + [Stage(growth.size, 1.0)] * 3


@given(GROWTHS)
def test_any_step_is_what_a_walk_from_the_beginning_gives(growth: Growth) -> None:
    assert [growth.at(step + 1) for step in range(len(walked(growth)))] == walked(growth)


@given(GROWTHS, st.integers(1, 100), st.integers(1, 100))
def test_it_never_shrinks_and_ends_at_full_size(growth: Growth, one: int, other: int) -> None:
    first, later = (growth.at(step) for step in sorted((one, other)))
    assert (first.resolution, first.alpha) <= (later.resolution, later.alpha)
    assert 0 < first.alpha <= 1 and growth.first <= first.resolution <= growth.size
    assert growth.at(growth.steps + 1) == growth.at(10**9) == Stage(growth.size, 1.0)


@given(GROWTHS)
def test_a_level_begins_where_it_says(growth: Growth) -> None:
    seen = {growth.at(step).resolution for step in range(1, growth.steps + 2)}
    for resolution in seen:
        begun = growth.begins(resolution)
        assert growth.at(begun + 1).resolution == resolution
        assert begun == 0 or growth.at(begun).resolution < resolution
    if growth.fade + growth.stable:
        every = {growth.first << doubling for doubling in range(growth.doublings + 1)}
        assert seen == (every if growth.stable else every - ({growth.first} if growth.doublings else set()))


def test_sizes_that_do_not_double_are_refused() -> None:
    for size, first in ((48, 4), (64, 5), (4, 8)):
        with pytest.raises(AssertionError):
            Growth(size, 1, 1, first)


def test_real_pictures_are_seen_as_the_generator_shows_its_own() -> None:
    picture = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert torch.equal(reals_at(picture, Stage(16, 1.0)), picture)
    eighth = picture.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean((3, 5))
    quarter = picture.unflatten(3, (4, 4)).unflatten(2, (4, 4)).mean((3, 5))
    assert torch.allclose(reals_at(picture, Stage(8, 1.0)), eighth)
    blurred = quarter.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(reals_at(picture, Stage(8, 0.25)), 0.25 * eighth + 0.75 * blurred)
