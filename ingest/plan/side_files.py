"""Files read while planning, when gzip indices exist in memory only."""

from __future__ import annotations

from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import filesystem
from invertone.cluster.storage.folder import Folder
from invertone.ingest.sources.members import Listing, Member
from invertone.ingest.sources.opener import Opener
from invertone.ingest.sources.remote import READ_ERRORS


class SideFiles:
    """Reads lists and tables of a corpus, and whatever else decides the plan."""

    def __init__(self, source: str, listing: Listing) -> None:
        self._opener = Opener(source, in_memory(listing))

    def read(self, member: Member) -> bytes:
        """The whole file. Raises UserError where it cannot be read."""
        try:
            with self._opener.open(member) as file:
                return file.read()
        except READ_ERRORS as error:
            raise UserError(f"cannot be read: {error}", where=member.name, fix="the corpus needs this file") from None


def outside(address: str) -> bytes:
    """A file that a config names and the source does not hold. Raises UserError where it cannot be read."""
    try:
        fs, path = filesystem(address)
        return fs.cat_file(path)
    except FileNotFoundError:
        fix = "check its name: it is a path inside the source, or one from here"
        raise UserError("no such file, neither in the source nor elsewhere", where=address, fix=fix) from None
    except READ_ERRORS as error:
        raise UserError(f"cannot be read: {error}", where=address, fix="check its permissions") from None


def in_memory(listing: Listing) -> Folder:
    """The indices of a listing, as much of a folder as an Opener needs."""
    return _InMemory(listing.indices)  # type: ignore[return-value]


class _InMemory:
    """Just as much of a Folder as an Opener needs."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def read_bytes(self, name: str) -> bytes:
        return self._files[name]
