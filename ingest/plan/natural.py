"""What an ingest would do to the sound that a source holds, and which keys would keep more of it: information, for clips are as
they are asked for."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from invertone.audio.recording.headers import Header
from invertone.cluster.formats.signals import CHANNELS, ClipFormat
from invertone.cluster.jobs.sums import merge
from invertone.ingest.conversions import changes, converted

NEARLY_ALL = 0.9
"""The share of recordings from which on a rate or a number of channels is called the source's own."""
MUCH_LONGER, MUCH_SHORTER = 2.0, 0.5
"""Of the median recording, in clips: beyond them most of a recording is left out, or most of a clip is padding."""


def as_clips(headers: Sequence[Header], clips: ClipFormat, window: str) -> str:
    """What becomes of recordings with such headers.

    >>> as_clips([Header("WAV", 44_100, 2, 5.0)], ClipFormat(), "first")
    'as clips (16,384 mono samples at 16,000 Hz, 1.024 s): 100 % mixed to mono; 100 % resampled to 16,000 Hz: 100 % from \
44,100 Hz, which lose what lies above 8,000 Hz; they hold 20 % of the sound'
    """
    counts = merge(converted(each.channels, each.rate, clips) for each in headers)
    line = f"as clips ({clips}, {clips.seconds:.4g} s): "
    line += changes(counts, clips, lambda number: f"{100 * number / len(headers):.0f} %")
    seconds = [each.seconds for each in headers if each.seconds]
    shorter = sum(each < clips.seconds for each in seconds)
    if shorter:
        line += f"; {100 * shorter / len(seconds):.0f} % shorter than a clip, and padded"
    if seconds and window != "all":
        taken = sum(min(each, clips.seconds) for each in seconds) / sum(seconds)
        line += f"; they hold {100 * taken:.0f} % of the sound"
    return line


def natural_keys(headers: Sequence[Header], clips: ClipFormat, window: str) -> str:
    """The keys that suit recordings with such headers better than those of `clips`; "" where these suit them.

    >>> natural_keys([Header("WAV", 44_100, 2, 1.5)], ClipFormat(), "first")
    'to know: 100 % are 44,100 Hz and 100 % stereo, which sample_rate=44100 channels=2 would keep; clip_samples=65536 are \
1.486 s of that'
    """
    keys, said, rate = list[str](), list[str](), clips.sample_rate
    common, share = _commonest([each.rate for each in headers])
    if common != rate and share >= NEARLY_ALL:
        rate = common
        said.append(f"{100 * share:.0f} % are {rate:,} Hz")
        keys.append(f"sample_rate={rate}")
    channels, share = _commonest([each.channels for each in headers])
    if channels != clips.channels and channels in CHANNELS and share >= NEARLY_ALL:
        said.append(f"{100 * share:.0f} % {CHANNELS[channels]}")
        keys.append(f"channels={channels}")
    parts = [f"{' and '.join(said)}, which {' '.join(keys)} would keep"] if said else []
    samples = clips.samples
    if rate != clips.sample_rate:
        samples = _power_of_two(clips.seconds * rate)
        parts.append(f"clip_samples={samples} are {samples / rate:.4g} s of that")
    seconds = [each.seconds for each in headers if each.seconds]
    median = statistics.median(seconds) if seconds else samples / rate
    if median > MUCH_LONGER * samples / rate and window != "all":
        parts.append(f"half last {median:.1f} s or more, which window=all would take whole")
    elif median < MUCH_SHORTER * samples / rate:
        parts.append(
            f"half last {median:.2g} s or less, which clip_samples={_power_of_two(median * rate)} would pad less"
        )
    return f"to know: {'; '.join(parts)}" if parts else ""


def _commonest(values: Sequence[int]) -> tuple[int, float]:
    """And its share."""
    ((value, count),) = Counter(values).most_common(1)
    return value, count / len(values)


def _power_of_two(samples: float) -> int:
    """The smallest that is not below; of samples, for generators have such lengths.

    >>> _power_of_two(45_158.4)
    65536
    """
    return 1 << max(0, round(samples) - 1).bit_length()
