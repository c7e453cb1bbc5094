"""Addresses of storage: local paths, `s3://…` and the like, and models that come with the package."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import fsspec
from fsspec.registry import known_implementations, registry
from fsspec.spec import AbstractFileSystem

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.storage import s3
from invertone.cluster.storage.shipped import is_shipped, shipped_folder

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_remote(uri: str) -> bool:
    """True for `s3://bucket/x` and the like; `file://` and plain paths are local."""
    return bool(_SCHEME.match(uri)) and not uri.startswith("file://")


def absolute(uri: str) -> str:
    """Local paths made absolute, so that they mean the same to a worker with another working directory.

    Raises UserError for credentials written into an address, without repeating them, and for a model that does not come
    with the package.
    """
    if is_shipped(uri):
        return shipped_folder(uri)
    if is_remote(uri):
        _refuse_credentials(uri)
        return uri.rstrip("/")
    return str(Path(uri.removeprefix("file://")).expanduser().absolute())


def filesystem(uri: str) -> tuple[AbstractFileSystem, str]:
    """The fsspec filesystem that serves `uri`, and the path inside it.

    Raises UserError for a scheme that nothing serves and for credentials written into the address.
    """
    if not is_remote(uri):  # not by url_to_fs: a local name may hold `::`, with which fsspec chains addresses
        return fsspec.filesystem("file"), absolute(uri)
    if uri.startswith(("s3://", "s3a://")):
        s3.be_patient()
    try:
        return fsspec.core.url_to_fs(absolute(uri))
    except (ValueError, ImportError) as error:
        raise UserError(
            f"cannot be reached: {error}", where=uri, fix="use a local path or an address fsspec knows"
        ) from error


READ_ONLY = ("http", "https", "data", "github", "zip", "tar", "libarchive", "reference")
"""Schemes that fsspec reads and does not write."""


def refuse_unserved(uri: str, *, to_write: bool = False) -> None:
    """Raises UserError for an address whose scheme nothing here serves, or nothing writes, without asking anybody."""
    if not is_remote(uri):
        return
    scheme = uri.partition("://")[0].lower()
    known = known_implementations.get(scheme)
    where = f"{scheme}://…"
    if known is None and scheme not in registry:
        near = did_you_mean(scheme, list(known_implementations))
        fix = f"use a local path, or an address such as s3://bucket/folder{near}"
        raise UserError(f"no storage is called {scheme}", where=where, fix=fix)
    if known is not None and importlib.util.find_spec(known["class"].partition(".")[0]) is None:
        raise UserError(f"cannot be reached: {known.get('err', 'its library is not installed')}", where=where,
                        fix="install it, or use a local path or s3://")  # fmt: skip
    if to_write and scheme in READ_ONLY:
        raise UserError("can be read and not written", where=where, fix="use a local path or s3:// as out")


def _refuse_credentials(uri: str) -> None:
    """`s3://key:secret@bucket`; a secret may hold a slash, so that its `@` comes later than the first one."""
    scheme, _, rest = uri.partition("://")
    authority = rest.split("/", 1)[0]
    after = authority.rpartition(":")[2] if ":" in authority else "0"
    if "@" in authority or ("@" in rest and not after.isdigit()):
        raise UserError(
            "credentials do not belong in an address, they would end up in logs and run folders",
            where=f"{scheme}://…",
            fix="give them by environment, profile or role",
        )
