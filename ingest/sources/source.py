"""Where a corpus lies: a folder, an archive, or a folder of archives. Surveyed at every start, listed once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from invertone.audio.recording.recording import EXTENSIONS
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Reject
from invertone.cluster.storage.addresses import absolute, filesystem, is_remote
from invertone.cluster.storage.folder import Folder, sha256
from invertone.ingest.sources.archives import list_archive
from invertone.ingest.sources.kinds import ARCHIVES, is_archive
from invertone.ingest.sources.members import Listing, Member
from invertone.ingest.sources.stamps import size_and_stamp
from invertone.ingest.sources.walk import walk


@dataclass(frozen=True)
class Survey:
    """What a source holds, without a look into its files: `files` by name, `archives` by address, size and stamp of each.
    `rejects`: what cannot be listed."""

    files: Mapping[str, tuple[int, str]]
    archives: Mapping[str, tuple[int, str]]
    rejects: tuple[Reject, ...] = ()

    @property
    def identity(self) -> str:
        """A digest that changes when the source's files do: names and sizes; of archives their time of change as well."""
        plain = [f"{name} {size}" for name, (size, _) in self.files.items()]
        archives = [f"{uri.rsplit('/', 1)[-1]} {size} {stamp}" for uri, (size, stamp) in self.archives.items()]
        return sha256("\n".join(sorted(plain) + archives).encode())


def survey(uri: str, endings: Collection[str] = frozenset(EXTENSIONS)) -> Survey:
    """As it is now. endings: of file names that promise what is looked for. Raises UserError where the source
    does not exist."""
    filesystem(uri)[0].invalidate_cache()
    fs, path = _existing(uri)
    listing = Listing(endings=endings)
    if fs.isdir(path):
        files = {member.name: (member.size, member.stamp) for member in walk(uri, listing)}
        archives = _archives_in(uri)
    else:
        files, archives = {}, [absolute(uri)]
    return Survey(files, {each: size_and_stamp(each) for each in archives}, tuple(listing.rejects))


def list_source(uri: str, now: Survey | None = None, endings: Collection[str] = frozenset(EXTENSIONS)) -> Listing:
    """Every file of the source. endings: of file names that promise what is looked for. Raises UserError where it
    does not exist or is an archive that cannot be opened.

    now: what a survey has just found, so that folders are not walked once more.
    """
    fs, path = _existing(uri)
    listing = Listing(endings=endings)
    if fs.isdir(path):
        if now is None:
            listing.members.extend(walk(uri, listing))
        else:
            listing.members.extend(Member(name, size, stamp=stamp) for name, (size, stamp) in now.files.items())
            listing.rejects.extend(now.rejects)
        for archive in _archives_in(uri):
            try:
                _list_stamped(archive, listing)
            except UserError as error:
                listing.rejects.append(Reject(archive, "", error.what))
    elif is_archive(path):
        _list_stamped(absolute(uri), listing)
    else:
        raise UserError(
            "source is neither a folder nor an archive", where=uri, fix=f"give one of {', '.join(ARCHIVES)} or a folder"
        )
    listing.members.sort(key=lambda member: (member.name, member.archive))
    return listing


def _list_stamped(archive: str, listing: Listing) -> None:
    """Its members have the stamp that it had before it was read."""
    _, stamp = size_and_stamp(archive)
    first = len(listing.members)
    list_archive(archive, listing)
    listing.members[first:] = [each._replace(stamp=stamp) for each in listing.members[first:]]


def _existing(uri: str) -> tuple[Any, str]:
    """The file system and path of a source that is there, and can be read at any place."""
    fs, path = filesystem(uri)
    if not fs.exists(path):
        what = "nothing is there, or its server does not answer" if is_remote(uri) else "source does not exist"
        raise UserError(what, where=uri, fix="check the path, or fetch one with `invertone corpus fetch`")
    if uri.startswith(("http://", "https://")):
        _refuse_without_ranges(fs, path, uri)
    return fs, path


def _refuse_without_ranges(fs: Any, path: str, uri: str) -> None:
    """Workers begin in the middle of an archive. A web server may only send files whole, or no list of a folder."""
    if fs.isdir(path):
        raise UserError("is a web page, no folder", where=uri, fix="give an archive, or download the folder first")
    size = fs.info(path).get("size")
    try:
        with fs.open(path, "rb", cache_type="none") as file:
            file.seek((size or 0) // 2)
            file.read(1)
    except (ValueError, TypeError):  # how fsspec says so
        what = "its server sends files whole only (it does not take range requests)"
        raise UserError(what, where=uri, fix="download it first") from None


def _archives_in(uri: str) -> list[str]:
    folder = Folder.at(uri)
    return [folder.path_of(name) for name in folder.names() if is_archive(name) and name.isprintable()]
