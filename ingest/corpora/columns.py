"""Which column of a table says what: the one that the config names, else one that is called as such columns usually are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from invertone.cluster.errors import UserError, did_you_mean

NONE = "none"
USUAL = {
    "path": (
        "file_name", "filename", "file_path", "filepath", "file", "path", "audio_path", "audio_file", "audio_filename",
        "audio_file_name",
        "audio", "wav_path", "wav", "slice_file_name", "fname", "track_id", "clip_id", "recording_id", "utterance_id", "id",
        "key", "name",
    ),
    "label": (
        "label_name", "label", "class_name", "classname", "class", "category", "genre_top", "genre", "word", "keyword",
        "command", "emotion", "digit", "instrument", "scene_label", "labels", "target", "class_id", "classid", "label_id",
    ),
    "speaker": (
        "speaker_id", "speaker", "speakerid", "spk_id", "spk", "client_id", "reader_id", "reader", "singer_id", "singer",
        "voice_id", "actor", "user_id",
    ),
    "split": ("split", "set", "subset", "partition", "data_split", "usage"),
}  # fmt: skip
"""What columns are called, the likeliest first, in small letters and with _ for what stands between words."""


class Columns(NamedTuple):
    """Numbers of a table's columns; None for what it does not say."""

    path: int
    label: int | None
    speaker: int | None
    split: int | None


def found_column(
    what: str,
    asked: str,
    columns: Sequence[str],
    table: str,
    key: str = "",
    usual: Mapping[str, Sequence[str]] = USUAL,
) -> int | None:
    """The number of the column that says `what` (a key of USUAL): `asked`, of which the last part of a dotted name is enough;
    if that is "" one with a usual name; None for "none", and where no column has such a name.

    key: what the config calls `asked`. usual: what columns are called, USUAL or a table like it. Raises
    UserError for a column that is not there.
    """
    if asked == NONE and NONE not in columns:
        return None
    if asked in columns:
        return columns.index(asked)
    plain = [_plain(each) for each in columns]
    last = [each.rpartition(".")[2] for each in plain]
    for name in [_plain(asked)] if asked else usual[what]:
        for known in (plain, last):
            if name in known and (known.count(name) == 1 or not asked):
                return known.index(name)
    if asked:
        near = did_you_mean(asked, [*columns, *(each.rpartition(".")[2] for each in columns)])
        fix = f"give one of them as {key or f'{what}_column'}{near}"
        raise UserError(f"has no column {asked!r}, but {', '.join(columns)}", where=table, fix=fix)
    return None


def path_column(asked: str, columns: Sequence[str], table: str, usual: Mapping[str, Sequence[str]] = USUAL) -> int:
    """As `found_column`, of the one that names files, which must be there."""
    found = found_column("path", asked, columns, table, usual=usual)
    if found is None:
        problem = f"none of its columns is called as those of files usually are: {', '.join(columns)}"
        raise UserError(problem, where=table, fix="name the one that names files with path_column=…")
    return found


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
