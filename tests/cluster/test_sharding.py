"""What jobs that make shards have in common: a unit's clips, kept in memory or in a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.formats.shards import Clip, ClipInfo
from invertone.cluster.jobs import sharding
from invertone.cluster.jobs.sharding import Spill

UNITS = st.dictionaries(st.integers(0, 50), st.tuples(st.lists(st.binary(max_size=40), max_size=6), st.booleans()))


@given(UNITS, st.integers(0, 200))
def test_clips_come_in_the_order_of_their_numbers_wherever_they_lie(
    units: dict[int, tuple[list[bytes], bool]], most: int
) -> None:
    def clips(number: int, audio: list[bytes], fails: bool) -> Iterator[Clip]:
        for at, each in enumerate(audio):
            yield Clip(ClipInfo(f"{number}-{at}", "train", "made", at, 1, 16_000), each, "flac")
        if fails:
            raise ValueError

    made = Spill()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SPILL_BYTES", most)
        for number, (audio, fails) in units.items():
            if fails:
                with pytest.raises(ValueError):
                    made.add(number, clips(number, audio, fails))
            else:
                made.add(number, clips(number, audio, fails))
    expected = [
        clip for number, (audio, fails) in sorted(units.items()) if not fails for clip in clips(number, audio, fails)
    ]
    assert list(made.clips()) == expected
    assert made.count == len(expected)
    assert list(made.clips()) == expected
