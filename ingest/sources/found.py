"""What a listing has found so far: members by name, and entries that are none."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

from invertone.audio.recording.recording import extension
from invertone.cluster.formats.shards import Reject
from invertone.ingest.sources.members import Listing, Member


class Found:
    """The entries of one archive, as its own tools would unpack them: of two with one name the later is left."""

    def __init__(self, archive: str, listing: Listing) -> None:
        self._archive, self._listing, self._files = archive, listing, dict[str, Member]()

    def file(self, name: str, size: int, offset: int) -> None:
        place = self._place(name)
        if place is None or is_hidden(place, self._listing.endings):
            return
        if place in self._files:
            self.refuse(place, "overwritten: a later entry of the archive has the same name")
            del self._files[place]
        self._files[place] = Member(place, size, self._archive, offset)

    def link(self, name: str, target: str) -> None:
        there = self._files.get(plain(target))
        if there is None:
            self.refuse(name, "a link to what is not in the archive before it")
        else:
            self.file(name, there.size, there.offset)

    def folder(self, name: str) -> None:
        """A folder is nothing to report, unless its name promises what is looked for."""
        if extension(name) in self._listing.endings:
            self.refuse(name, "a folder, not a file")

    def refuse(self, name: str, reason: str) -> None:
        self._listing.rejects.append(Reject(_printable(f"{self._archive}!/{name}"), "", reason))

    def listed(self) -> None:
        self._listing.members.extend(self._files.values())

    def _place(self, name: str) -> str | None:
        """The path inside a folder, unless it could climb out of one. `./a` and `a` are the same place."""
        parts = name.replace("\\", "/").split("/")
        place = plain(name)
        if name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
            self.refuse(name, "path climbs out of the archive")
        elif not place.isprintable() or "\ufffd" in name or not _encodable(place):
            self.refuse(name, "file name is not printable UTF-8")
        else:
            return place
        return None


def plain(name: str) -> str:
    """The path as tools show it: `./a//b` is a/b."""
    if "//" not in name and "./" not in name and not name.startswith(("/", ".")) and not name.endswith(("/", ".")):
        return name
    return "/".join(part for part in name.split("/") if part not in ("", "."))


_NEVER = re.compile(r"^(\.git|\.svn|\.hg|\.dvc|\.Trash.*|\.Trashes|\.AppleDouble|\.ipynb_checkpoints|__MACOSX)$")
"""Folders of other programs: what lies in them is nobody's recording or picture."""


def is_hidden(name: str, endings: Collection[str]) -> bool:
    """Whether a file is passed over without a word: other programs' files, and those whose name begins with a dot unless
    it has one of the `endings` of what is looked for (`._x` is what macOS keeps beside a file x)."""
    folders, _, file = name.rpartition("/")
    if _never(folders):
        return True
    if not name.startswith(".") and "/." not in name:
        return False
    return file.startswith("._") or extension(file) not in endings


@functools.lru_cache(maxsize=1_024)
def _never(folders: str) -> bool:
    return any(_NEVER.match(each) for each in folders.split("/"))


def _printable(text: str) -> str:
    """Names from a tar may hold lone surrogates, which no table takes."""
    return text.encode("utf-8", "replace").decode()


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
