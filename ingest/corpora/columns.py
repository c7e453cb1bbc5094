"""Which column of a table says what: the one that the config names, else the first that is called as such columns usually are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from invertone.cluster.errors import UserError, did_you_mean

NONE = "none"
USUAL = {
    "path": (
        "file_name filename file_path filepath file path audio_path audio_file audio_filename audio wav_path wav slice_file_name "
        "fname track_id clip_id recording_id utterance_id id key name"
    ).split(),
    "label": (
        "label_name label class_name classname class category genre_top genre word keyword command emotion digit labels target "
        "class_id classid label_id"
    ).split(),
    "speaker": (
        "speaker_id speaker speakerid spk_id spk client_id reader_id reader singer_id singer voice_id actor user_id"
    ).split(),
    "split": "split set subset partition data_split usage".split(),
}
"""What columns are called, the likeliest first, in small letters and with _ for what stands between words."""


class Columns(NamedTuple):
    """Numbers of a table's columns; None for what it does not say."""

    path: int
    label: int | None
    speaker: int | None
    split: int | None


def found_column(what: str, asked: str, columns: Sequence[str], table: str) -> int | None:
    """The number of the column that says `what` (a key of USUAL): `asked`, of which the last part of a dotted name is enough;
    if that is "" a usual one; None for "none", and where no column has a usual name. Raises UserError for one that is not there."""
    if asked == NONE and NONE not in columns:
        return None
    plain = [_plain(each) for each in columns]
    for name in [asked] if asked else USUAL[what]:
        if asked and name in columns:
            return columns.index(name)
        for known in (plain, [each.rpartition(".")[2] for each in plain]):
            if known.count(_plain(name)) == 1 or (not asked and _plain(name) in known):
                return known.index(_plain(name))
    if asked:
        near = did_you_mean(asked, [*columns, *(each.rpartition(".")[2] for each in columns)])
        fix = f"give one of them as {what}_column{near}"
        raise UserError(f"has no column {asked!r}, but {', '.join(columns)}", where=table, fix=fix)
    return None


def path_column(asked: str, columns: Sequence[str], table: str) -> int:
    """As `found_column`, of the one that names files, which must be there."""
    found = found_column("path", asked, columns, table)
    if found is None:
        problem = f"none of its columns is called as those of files usually are: {', '.join(columns)}"
        raise UserError(problem, where=table, fix="name the one that names files with path_column=…")
    return found


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
