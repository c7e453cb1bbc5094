"""What a source of pictures holds, from the headers of some of its files: formats, sizes, and what a config makes of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from invertone.images.reading import BadPictureError, Header, read_header
from invertone.ingest.corpora.keys import PictureConfig
from invertone.ingest.plan.entries import Sample
from invertone.ingest.plan.headers import all_read, drawn, shares
from invertone.ingest.sources.members import Listing

MUCH_LARGER = 2.0
"""The median file's shorter side, in those of the pictures: from there on a larger format would show more."""


def sample_lines(config: PictureConfig, listing: Listing, sample: Sample) -> list[str]:
    """What the headers of `sample` say, in lines: an estimate, and said to be one, unless it is the whole source."""
    read = list(all_read(config.source, listing, sample.members, read_header, BadPictureError))
    headers = [each for each in read if isinstance(each, Header)]
    reasons = [each for each in read if isinstance(each, str)]
    lines = []
    if headers:
        lines += [
            f"by their headers ({drawn(len(read), sample.of)}): {described(headers)}",
            as_pictures(headers, config),
        ]
    if reasons:
        lines.append(f"{len(reasons):,} of {len(read):,} headers cannot be read: {shares(reasons)}")
    return lines


def described(headers: Sequence[Header]) -> str:
    """Formats, colours and sizes.

    >>> described([Header("JPEG", 250, 250, "RGB"), Header("JPEG", 218, 178, "L")])
    'JPEG; RGB 50 %, grey 50 %; 250 × 250 50 %, 218 × 178 50 %'
    """
    colours = {"L": "grey", "1": "black and white", "P": "palette", "I;16": "16-bit grey", "RGBA": "with transparency"}
    sizes = [f"{each.height:,} × {each.width:,}" for each in headers]
    said = shares(sizes)
    if len(set(sizes)) > 1 and len(set(sizes)) > len(headers) // 2:
        heights, widths = [each.height for each in headers], [each.width for each in headers]
        middle = f"{statistics.median_low(heights):,} × {statistics.median_low(widths):,}"
        said = f"{min(heights):,} × {min(widths):,} to {max(heights):,} × {max(widths):,}, {middle} in the middle"
    return "; ".join(
        [shares([each.form for each in headers]), shares([colours.get(each.mode, each.mode) for each in headers]), said]
    )


def as_pictures(headers: Sequence[Header], config: PictureConfig) -> str:
    """What becomes of files with such headers, where it follows from them: not of boxes, which differ from file to file.

    >>> config = PictureConfig(corpus="pictures")
    >>> as_pictures([Header("JPEG", 218, 178, "RGB"), Header("PNG", 64, 64, "RGB"), Header("PNG", 32, 40, "RGB")], config)
    'as pictures of 64 × 64 pixels: 33 % reduced, 33 % as they are, 33 % enlarged; the centre crop leaves out 13 % of the area'
    """
    line = f"as {config.pictures}"
    if config.crop not in ("centre", "none"):
        return f"{line}: cut out by boxes, margin {config.margin:g}"
    sides, left = [], list[float]()
    for each in headers:
        height, width = float(each.height), float(each.width)
        if config.crop == "centre":
            width = min(width, height * config.width / config.height) * config.share
            height = width * config.height / config.width
        left.append(1 - width * height / (each.height * each.width))
        sides.append((height / config.height, width / config.width))
    kinds = {
        "reduced": [min(each) >= 1 and max(each) > 1 for each in sides],
        "as they are": [each == (1, 1) for each in sides],
        "enlarged": [min(each) < 1 for each in sides],
    }
    parts = [f"{100 * statistics.fmean(of):.0f} % {kind}" for kind, of in kinds.items() if any(of)]
    line += f": {', '.join(parts)}"
    if config.crop == "centre":
        line += f"; the centre crop leaves out {100 * statistics.fmean(left):.0f} % of the area"
    else:
        stretched = statistics.fmean(abs(high / wide - 1) > 0.01 for high, wide in sides)
        line += f"; {100 * stretched:.0f} % stretched, for their shape is another"
    median = statistics.median(min(each) for each in sides)
    if median >= MUCH_LARGER:
        side = 1 << (int(median * min(config.height, config.width)).bit_length() - 1)
        line += f"; half are {median:.1f} times as large or larger, and height={side} width={side} would keep more"
    return line
