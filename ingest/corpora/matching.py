"""Which file of the source a table means by a path, a name without its ending, or a number."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from invertone.audio.recording.recording import EXTENSIONS, extension


class Files:
    """The recordings (or pictures) of a source, found by what tables call them. endings: that their names may have."""

    def __init__(self, names: Iterable[str], endings: Collection[str] = frozenset(EXTENSIONS)) -> None:
        self._endings = endings
        self._by_path: dict[str, str] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        for name in names:
            path = _composed(name)
            self._by_path[path] = name
            stem = self._stem(posixpath.basename(path))
            self._by_stem.setdefault(stem, []).append(path)
            if _is_number(stem):
                self._by_number.setdefault(int(stem), []).append(path)

    def find(self, said: str, folder: str) -> list[str]:
        """The names of the files that a table in `folder` may mean by `said`: one; none; several, if nothing tells them apart.

        In this order: the path from the table's folder on, or from the source's; the one file whose path ends so, with any
        ending where `said` has none or where no file has its ending (a corpus that was converted), case aside; of a number
        the file that is called by it (2 is 000002.mp3). An absolute path is somebody else's: it is held against the ends of
        paths.
        """
        path = _composed(said.strip().removeprefix("file://").replace("\\", "/"))
        absolute = path.startswith("/") or path[1:3] == ":/"
        if not absolute:
            for whole in (posixpath.normpath(posixpath.join(folder, path)), posixpath.normpath(path)):
                if whole in self._by_path:
                    return [self._by_path[whole]]
        above = [part for part in posixpath.dirname(path).split("/") if part not in ("", ".", "..")]
        stem = self._stem(posixpath.basename(path))
        near = [each for each in self._by_stem.get(stem, []) if _fits(each, above, absolute)]
        if not near and not above and _is_number(stem):
            near = self._by_number.get(int(stem), [])
        if absolute:
            near = _best(near, [_in_common(each, above) for each in near])
        ending = extension(path)
        near = _best(near, [extension(each) == ending for each in near])
        near = _best(near, [_shared(each, folder) for each in near])
        return [self._by_path[each] for each in near]

    def same_ending(self, said: str, name: str) -> bool:
        """Whether a file has the ending that a table says, or the table says none."""
        return extension(said) not in self._endings or extension(said) == extension(name)

    def _stem(self, name: str) -> str:
        return name.rpartition(".")[0] if extension(name) in self._endings else name


def _fits(path: str, above: Sequence[str], absolute: bool) -> bool:
    """Whether the folders above a file end with those `above`; of an absolute path, whether any is the same."""
    common = _in_common(path, above)
    return common > 0 or "/" not in path if absolute else common == len(above)


def _in_common(path: str, above: Sequence[str]) -> int:
    folders, count = path.split("/")[:-1], 0
    while count < min(len(folders), len(above)) and folders[-1 - count] == above[-1 - count]:
        count += 1
    return count


def _shared(path: str, folder: str) -> int:
    """How many folders from the source's top on a file and a folder share."""
    count = 0
    for one, other in zip(path.split("/")[:-1], folder.split("/"), strict=False):
        if one != other:
            break
        count += 1
    return count


def _best(paths: list[str], scores: Sequence[float]) -> list[str]:
    return [path for path, score in zip(paths, scores, strict=True) if score == max(scores)]


def _composed(path: str) -> str:
    """macOS writes an é in file names as two characters, tables as one."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _is_number(stem: str) -> bool:
    return stem.isascii() and stem.isdigit() and len(stem) <= 18
