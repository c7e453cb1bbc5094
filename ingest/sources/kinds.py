"""Kinds of archives, by their names."""

from __future__ import annotations

import functools
import re

TAR, TAR_GZ, ZIP = (".tar",), (".tar.gz", ".tgz"), (".zip",)
TAR_XZ, TAR_BZ2 = (".tar.xz", ".txz"), (".tar.bz2", ".tbz2", ".tbz")
ARCHIVES = TAR + TAR_GZ + TAR_XZ + TAR_BZ2 + ZIP
_SPLIT = re.compile(
    r"\.(zip|7z|rar|tar|tgz|tar\.[a-z0-9]{2,3})\.([0-9]{2,4}|part[0-9]+|[a-z]{2})$|\.z[0-9]{2}$", re.IGNORECASE
)
UNREAD = (".rar", ".7z", ".tar.zst", ".tzst", ".tar.lz4", ".tar.lz", ".tar.z", ".gz", ".bz2", ".xz", ".zst")
"""Archives and packed files that are not read, wherever they lie."""


@functools.lru_cache(maxsize=1_024)
def _may_be(ending: str) -> bool:
    """Whether a name that ends so, behind its last dot, may be an archive's or a part's. A source's names have few endings."""
    packed = any(each.endswith(f".{ending.lower()}") for each in ARCHIVES + UNREAD)
    return packed or _SPLIT.search(f".zip.{ending}") is not None or _SPLIT.search(f".{ending}") is not None


def index_name(archive: str) -> str:
    return f"{archive.rsplit('/', 1)[-1]}.index"


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def stem(name: str) -> str:
    """An archive's name without its ending."""
    ending = max((each for each in ARCHIVES if name.lower().endswith(each)), key=len, default="")
    return name[: len(name) - len(ending)]


def unread(name: str) -> str:
    """Why an archive with this name is not read where it lies inside a source; "" if it is none."""
    if not _may_be(name[name.rfind(".") + 1 :]):
        return ""
    if _SPLIT.search(name):
        return "a part of an archive that was split: join its parts"
    if name.lower().endswith(ARCHIVES + UNREAD):
        if "/" in name and is_archive(name):
            return "an archive in a folder of the source, which is not read: give that folder as source, or unpack it"
        return "an archive of a kind that is not read: unpack it"
    return ""
