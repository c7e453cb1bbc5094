"""What tells that a file of a source is still as it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from invertone.cluster.storage.addresses import absolute, filesystem, is_remote


def stamp_of(info: Mapping[str, Any]) -> str:
    """What a file system says of a file that changes with its content: a digest, or a time of change."""
    for name in ("mtime", "ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated"):
        if info.get(name):
            return str(info[name])
    return ""


def size_and_stamp(uri: str) -> tuple[int, str]:
    if not is_remote(uri):
        status = os.stat(uri if uri.startswith("/") else absolute(uri))  # noqa: PTH116 (of thousands; a Path costs more)
        return status.st_size, str(status.st_mtime)
    fs, path = filesystem(uri)
    fs.invalidate_cache()  # another command, or another worker, may have seen it as it was
    info = fs.info(path)
    return int(info["size"]), stamp_of(info)
