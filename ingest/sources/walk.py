"""The plain files of a folder, here or in remote storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from invertone.audio.recording.recording import extension
from invertone.cluster.formats.shards import Reject
from invertone.cluster.storage.addresses import absolute, filesystem, is_remote
from invertone.ingest.sources.found import is_hidden
from invertone.ingest.sources.kinds import is_archive
from invertone.ingest.sources.members import Listing, Member
from invertone.ingest.sources.stamps import stamp_of


def walk(uri: str, listing: Listing) -> Iterator[Member]:
    """Plain files below a folder, hidden ones and top-level archives left out; what cannot be listed is a reject."""
    return _walk_remote(uri, listing) if is_remote(uri) else _walk_local(uri, listing)


def _walk_remote(uri: str, listing: Listing) -> Iterator[Member]:
    fs, path = filesystem(uri)
    for found, info in fs.find(path, detail=True).items():
        name = found[len(path.rstrip("/")) + 1 :]
        if not name or is_hidden(name, listing.endings):
            continue
        if name.endswith("/") and not info["size"]:  # an object store's mark of a folder
            if extension(name.rstrip("/")) in listing.endings:
                listing.rejects.append(Reject(f"{uri}/{name}", "", "a folder, not a file"))
            continue
        if not name.isprintable():
            listing.rejects.append(Reject(f"{uri}/{name}", "", "file name is not printable UTF-8"))
        elif "/" in name or not is_archive(name):
            yield Member(name, int(info["size"]), stamp=stamp_of(info))


def _walk_local(uri: str, listing: Listing) -> Iterator[Member]:
    root = absolute(uri)
    above = len(root.rstrip("/")) + 1
    seen: set[Path] = set()
    stack, links = [root], list[str]()  # links last: a folder is listed under its own name
    while stack or links:
        folder = stack.pop() if stack else links.pop(0)
        real = Path(folder).resolve()
        if real in seen:  # a link that leads back would never end
            listing.rejects.append(Reject(_text(folder), "", "link to a folder that is listed already"))
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda each: each.name)
        except OSError as error:
            listing.rejects.append(Reject(_text(folder), "", f"folder cannot be listed: {error.strerror}"))
            continue
        for entry in entries:
            name = entry.path[above:]
            try:
                if entry.is_dir():
                    if is_hidden(f"{name}/x", listing.endings):
                        continue
                    if extension(name) in listing.endings:
                        listing.rejects.append(Reject(_text(entry.path), "", "a folder, not a file"))
                    (links if entry.is_symlink() else stack).append(entry.path)
                    continue
                if is_hidden(name, listing.endings):
                    continue
                member = _plain_file(entry, name, listing)
            except OSError as error:
                listing.rejects.append(Reject(_text(entry.path), "", f"cannot be read: {error.strerror}"))
                continue
            if member is not None:
                yield member


def _plain_file(entry: os.DirEntry[str], name: str, listing: Listing) -> Member | None:
    if not name.isprintable() or not (entry.path.isascii() or _text(entry.path) == entry.path):
        listing.rejects.append(Reject(_text(entry.path), "", "file name is not printable UTF-8"))
        return None
    if not entry.is_file():
        reason = "dangling link" if entry.is_symlink() else "not a regular file"
        listing.rejects.append(Reject(_text(entry.path), "", reason))
        return None
    if "/" not in name and is_archive(name):
        return None
    status = entry.stat()
    return Member(name, status.st_size, stamp=str(status.st_mtime))


def _text(path: str) -> str:
    """The path as printable text even where the file name is no UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")
