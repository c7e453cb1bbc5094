"""What became of recordings' sound on its way to clips: how many were mixed to mono, resampled from which rates, and the band
that is lost by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def converted(channels: int, source_rate: int, sample_rate: int) -> dict[str, Any]:
    """One recording as counts, which add up (`cluster.jobs.sums`); rates in Hz."""
    resampled = {} if source_rate == sample_rate else {str(source_rate): 1}
    return {"recordings": 1, "mixed": int(channels > 1), "resampled": resampled}


def conversion_line(counts: Mapping[str, Any], sample_rate: int) -> str:
    """The sum of such counts in words; "" of nothing.

    >>> conversion_line({"recordings": 9, "mixed": 2, "resampled": {"8000": 1, "44100": 3}}, 16_000)
    'of 9 recordings 2 were mixed to mono and 4 resampled to 16,000 Hz: 3 from 44,100 Hz, which lose what lies above 8,000 Hz; \
1 from 8,000 Hz, which hold nothing above 4,000 Hz'
    """
    count = counts.get("recordings", 0)
    if not count:
        return ""
    rates = {int(rate): number for rate, number in counts["resampled"].items()}
    mixed, resampled = counts["mixed"], sum(rates.values())
    if not mixed and not resampled:
        return f"of {count:,} recordings none had to be mixed or resampled: mono, {sample_rate:,} Hz"
    line = f"of {count:,} recordings {mixed:,} were mixed to mono and {resampled:,} resampled to {sample_rate:,} Hz"
    higher = {rate: number for rate, number in rates.items() if rate > sample_rate}
    parts = []
    if higher:
        parts.append(f"{_from(higher)}, which lose what lies above {sample_rate // 2:,} Hz")
    parts += [
        f"{_from({rate: number})}, which hold nothing above {rate // 2:,} Hz"
        for rate, number in sorted(rates.items(), reverse=True)
        if rate < sample_rate
    ]
    return f"{line}: {'; '.join(parts)}" if parts else line


def _from(rates: Mapping[int, int]) -> str:
    """The commonest first."""
    ordered = sorted(rates.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{number:,} from {rate:,} Hz" for rate, number in ordered)
