"""What tests of this room share: a folder on each kind of storage."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from invertone.cluster.storage.folder import Folder


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """Empty; a room's file that wants one kind only has a fixture of the same name."""
    if request.param == "local":
        return Folder.at(str(tmp_path / "runs/x"))
    if request.param == "memory":
        return Folder.at(f"memory://{uuid.uuid4().hex}/x")
    return Folder.at(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}/x")
