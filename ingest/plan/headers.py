"""What a source holds, from the headers of some of its recordings: formats, rates, channels, seconds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from invertone.audio.recording.headers import Header, read_header
from invertone.audio.recording.mpeg4 import MISSING
from invertone.audio.recording.recording import BadAudioError
from invertone.ingest.corpora.keys import IngestConfig
from invertone.ingest.plan.entries import Sample
from invertone.ingest.plan.natural import as_clips, natural_keys
from invertone.ingest.plan.side_files import in_memory
from invertone.ingest.sources.members import Listing, Member
from invertone.ingest.sources.opener import Opener
from invertone.ingest.sources.remote import READ_ERRORS

READ = 200
"""Recordings whose headers are read: shares are then known to a few percent, in seconds, however many there are."""
AT_ONCE = 16
Found = TypeVar("Found")
"""A header, of a recording or of a picture."""
SHOWN = 5
"""Formats, rates and reasons that are shown each; the others are counted."""


def sample_lines(config: IngestConfig, listing: Listing, sample: Sample) -> list[str]:
    """What the headers of `sample` say, in lines: an estimate, and said to be one, unless it is the whole source; what `config`
    would do to the sound, and which keys would do less."""
    read = list(all_read(config.source, listing, sample.members, read_header, BadAudioError))
    headers = [each for each in read if isinstance(each, Header)]
    reasons = [each for each in read if isinstance(each, str)]
    whole = len(read) == sample.of
    lines = []
    if headers:
        forms = shares([each.form for each in headers])
        rates = shares([f"{each.rate:,} Hz" for each in headers])
        channels = shares(
            [{1: "mono", 2: "stereo"}.get(each.channels, f"{each.channels} channels") for each in headers]
        )
        lines.append(f"by their headers ({drawn(len(read), sample.of)}): {forms}; {rates}; {channels}")
    seconds = [each.seconds for each in headers if each.seconds is not None]
    if seconds:
        lines.append(
            _durations(
                seconds, round(sample.of * len(headers) / len(read)), exact=whole and len(seconds) == len(headers)
            )
        )
    if headers:
        lines.append(as_clips(headers, config.clips, config.window))
        lines += filter(None, [natural_keys(headers, config.clips, config.window)])
    if reasons:
        lines.append(f"{len(reasons):,} of {len(read):,} headers cannot be read: {shares(reasons)}")
    return lines


def drawn(read: int, of: int) -> str:
    """How many headers were read of how many files, in words."""
    return "all" if read == of else f"an estimate, of {read:,} of {of:,}"


def all_read(
    source: str,
    listing: Listing,
    members: Iterable[Member],
    read_header: Callable[[Any], Found],
    bad: type[Exception],
) -> Iterator[Found | str]:
    """Headers, or reasons where `read_header` raised `bad` or storage failed; those of one archive by one
    thread and in its order, for going back in it may cost."""
    places: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda each: (each.archive, each.offset, each.name)):
        places.setdefault(member.archive or member.name, []).append(member)
    opener = Opener(source, in_memory(listing))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(
            lambda group: [_read(opener, member, read_header, bad) for member in group], places.values()
        ):
            yield from found


def _read(opener: Opener, member: Member, read_header: Callable[[Any], Found], bad: type[Exception]) -> Found | str:
    try:
        with opener.peek(member) as file:
            return read_header(file)
    except bad as error:
        return MISSING if str(error) == MISSING else str(error).partition(":")[0]
    except READ_ERRORS as error:
        return f"cannot be read: {error}"


def _durations(seconds: Sequence[float], recordings: int, *, exact: bool) -> str:
    """How much sound `recordings` are, by the lengths of some of them; with the 95 % interval of an estimate."""
    mean = statistics.fmean(seconds)
    total = _duration(mean * recordings)
    if not exact and len(seconds) > 1:
        margin = 1.96 * statistics.stdev(seconds) / math.sqrt(len(seconds)) / mean if mean else 0.0
        total = f"about {total} ± {math.ceil(100 * margin)} %"
    elif not exact:
        total = f"about {total}"
    return f"sound: {total}; {min(seconds):.1f} to {max(seconds):.1f} s each, {mean:.1f} s on average"


def _duration(seconds: float) -> str:
    """
    >>> [_duration(each) for each in (3.21, 1_000, 100_000)]
    ['3.2 s', '16.7 min', '27.8 h']
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7_200 else f"{seconds / 3_600:,.1f} h"


def shares(values: Sequence[str]) -> str:
    """The commonest first."""
    counts = Counter(values).most_common()
    shown = [
        value if len(counts) == 1 else f"{value} {100 * count / len(values):.0f} %" for value, count in counts[:SHOWN]
    ]
    return ", ".join(shown) + (f", and {len(counts) - SHOWN} others" if len(counts) > SHOWN else "")
