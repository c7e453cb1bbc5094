"""What becomes of recordings' sound on its way to clips: how many are mixed, put into both channels or resampled from which
rates, and the band that is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from invertone.cluster.formats.signals import CHANNELS, ClipFormat


def converted(channels: int, source_rate: int, clips: ClipFormat) -> dict[str, Any]:
    """One recording of `channels` at `source_rate` Hz as counts, which add up (`cluster.jobs.sums`).

    mixed: it has more channels than clips have. repeated: it has one, and clips have two. Counts of older versions, whose clips
    were all mono, lack `repeated`.
    """
    return {
        "recordings": 1,
        "mixed": int(channels > clips.channels),
        "repeated": int(channels < clips.channels),
        "resampled": {} if source_rate == clips.sample_rate else {str(source_rate): 1},
    }


def conversion_line(counts: Mapping[str, Any], clips: ClipFormat, units: int) -> str:
    """The sum of such counts in words; "" of nothing. units: of work that were done; those that `counts` has no part of are an
    older version's.

    >>> sound = {"units": 1, "recordings": 9, "mixed": 2, "resampled": {"8000": 1, "44100": 3}}
    >>> conversion_line(sound, ClipFormat(16_000), units=1)
    'of 9 recordings 2 mixed to mono; 4 resampled to 16,000 Hz: 3 from 44,100 Hz, which lose what lies above 8,000 Hz, 1 from \
8,000 Hz, which hold nothing above 4,000 Hz'
    """
    count = counts.get("recordings", 0)
    if not count:
        return ""
    line = f"of {count:,} recordings {changes(counts, clips, lambda number: f'{number:,}')}"
    uncounted = units - counts.get("units", 0)
    rest = f"; {uncounted:,} of {units:,} units of work are of an earlier version, which did not count"
    return line + rest * (uncounted > 0)


def changes(counts: Mapping[str, Any], clips: ClipFormat, shown: Callable[[int], str]) -> str:
    """What is done to those of `counts` that are not left as they are, each number as `shown` writes it."""
    rates = {int(rate): number for rate, number in counts["resampled"].items()}
    mixed, repeated, parts = counts["mixed"], counts.get("repeated", 0), list[str]()
    if mixed:
        into = "mixed to mono" if clips.channels == 1 else "with more than two channels mixed, the mix put into both"
        parts.append(f"{shown(mixed)} {into}")
    if repeated:
        parts.append(f"{shown(repeated)} mono put into both channels")
    if rates:
        bands = ", ".join(_bands(rates, clips.sample_rate, shown))
        parts.append(f"{shown(sum(rates.values()))} resampled to {clips.sample_rate:,} Hz: {bands}")
    return "; ".join(parts) or f"none changed: all {CHANNELS[clips.channels]} at {clips.sample_rate:,} Hz"


def _bands(rates: Mapping[int, int], sample_rate: int, shown: Callable[[int], str]) -> list[str]:
    """What is lost or was never there, by the rates, in Hz, that recordings have, the commonest of higher ones first."""
    ordered = sorted(rates.items(), key=lambda each: (-each[1], each[0]))
    higher = [f"{shown(number)} from {rate:,} Hz" for rate, number in ordered if rate > sample_rate]
    bands = [f"{', '.join(higher)}, which lose what lies above {sample_rate // 2:,} Hz"] if higher else []
    return bands + [
        f"{shown(number)} from {rate:,} Hz, which hold nothing above {rate // 2:,} Hz"
        for rate, number in sorted(rates.items(), reverse=True)
        if rate < sample_rate
    ]
