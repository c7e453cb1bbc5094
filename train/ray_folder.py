"""Where Ray Train and Ray Tune keep their own bookkeeping during a job, and what a killed driver left of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from invertone.cluster.storage.addresses import filesystem, is_remote
from invertone.cluster.storage.folder import Folder

RAY = ".ray"
RESERVED = f"{RAY}/reserved.json"
RELEASE_S = 10.0


@dataclass
class RayFolder:
    """Where Ray Train keeps its own bookkeeping; ours is in the run folder. Must be visible to all nodes, hence inside it
    if the session spans machines, and a temporary folder otherwise."""

    folder: Folder

    def __post_init__(self) -> None:
        self.filesystem: Any = None
        if is_remote(self.folder.uri):
            import pyarrow.fs

            served, path = filesystem(self.folder.path_of(RAY))
            self.filesystem, self.path = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(served)), path
        elif os.environ.get("RAY_ADDRESS"):
            self.path = self.folder.path_of(RAY)
        else:
            self.path = tempfile.mkdtemp(prefix="invertone-train-")

    @property
    def shared(self) -> bool:
        """Whether the session, and what is reserved in it, may outlive its driver."""
        return bool(os.environ.get("RAY_ADDRESS"))

    def reserve(self, requester: str) -> None:
        """Notes under what name Ray reserves resources for the run."""
        if self.shared:
            self.folder.publish_json(RESERVED, {"requester": requester})

    def release(self) -> None:
        """Gives back what is still reserved for a driver that was killed. An elastic run would wait until it expires, in
        three minutes: Ray counts for it only what no other run has reserved."""
        import ray

        try:
            requester = self.folder.read_json(RESERVED)["requester"]
        except (FileNotFoundError, ValueError):
            return
        with suppress(ValueError, ray.exceptions.RayError):  # no such actor: nothing is reserved
            coordinator = ray.get_actor("AutoscalingCoordinator", namespace="AutoscalingCoordinator")
            ray.get(coordinator.cancel_request.remote(requester), timeout=RELEASE_S)

    def remove(self) -> None:
        if self.filesystem is not None:
            self.folder.remove(RAY)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
