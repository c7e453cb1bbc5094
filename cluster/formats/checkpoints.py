"""Contract 2: a checkpoint is a folder of safetensors files and `checkpoint.json`, which is published last.

Loading verifies every file's sha256 and never executes code. Tensors themselves are read by `invertone.models.checkpoint`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.formats.signals import ClipFormat, SignalFormat, clips_of, kind_of, refuse_others, take_format
from invertone.cluster.storage.folder import Folder, sha256

VERSION = 1
MANIFEST, WEIGHTS = "checkpoint.json", "model.safetensors"
CHECKPOINTS, BEST_POINTER = "checkpoints", "checkpoints/best.json"


@dataclass(frozen=True)
class CheckpointManifest:
    """What a checkpoint is.

    kind: the model (`wavegan`, `classifier`, `mapper`). networks: architecture by network name. step: updates done.
    format: of what it takes or makes. levels: how the training data's levels were handled. front_end: how its audio becomes a
    spectrogram. data: digest and counts of the training shards. inputs: digests of the checkpoints it was trained with, by
    role. metrics: of the last validation. files: sha256 by file name.
    """

    kind: str
    networks: dict[str, dict[str, Any]]
    step: int
    format: SignalFormat
    levels: str
    label_names: tuple[str, ...] = ()
    front_end: dict[str, Any] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    version: int = VERSION

    @property
    def clips(self) -> ClipFormat:
        """Of the clips that the model takes or makes. Raises UserError where these are pictures."""
        return clips_of(self.format, f"{self.kind} checkpoint")

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        del values["format"]
        return values | self.format.to_json()

    @property
    def digest(self) -> str:
        """Identifies what the model computes: architecture, front end and weights."""
        identity = {k: v for k, v in self.to_json().items() if k not in ("files", "metrics", "data", "inputs")}
        weights = {name: digest for name, digest in self.files.items() if name.startswith("model")}
        return sha256(json.dumps([identity, weights], sort_keys=True).encode())


RESIZING = ("recogniser", "picture-mapper")
"""Kinds of models that resize what they are given: they take pictures of any size."""


def refuse_unlike(found: CheckpointManifest, role: str, wanted: SignalFormat, whose: str, where: str) -> None:
    """As `refuse_others`, of the model `role` that lies at `where`; one that resizes is for all signals of its kind."""
    if found.kind not in RESIZING or kind_of(found.format) != kind_of(wanted):
        refuse_others(found.format, role, wanted, whose, where)


def publish(folder: Folder, manifest: CheckpointManifest, files: Mapping[str, bytes]) -> CheckpointManifest:
    """Writes `files`, then the manifest that vouches for them. A folder without its manifest is no checkpoint."""
    complete = replace(manifest, files={name: sha256(data) for name, data in files.items()})
    folder.remove(MANIFEST)
    for name, data in files.items():
        folder.publish_bytes(name, data)
    folder.publish_json(MANIFEST, complete.to_json())
    return complete


def resolve(uri: str, role: str, kind: str | tuple[str, ...] | None = None) -> tuple[Folder, CheckpointManifest]:
    """The checkpoint that `uri` means: a checkpoint's folder, a training run's (its best, else its newest), or that of a
    family of models, a folder that holds a checkpoint per role or kind (`generator/`, `mapper/`, `restyle/`), or a single one.

    `role` is the config key the user typed, for the message. kind: one, or several that do. Raises UserError where there is
    none, it is damaged or of another `kind`.
    """
    root, kinds = Folder.at(uri), (kind,) if isinstance(kind, str) else kind or ()
    named = " or ".join(kinds)
    for candidate in _candidates(root, role, kinds):
        manifest = read_manifest(candidate)
        if manifest is None:
            continue
        if kinds and manifest.kind not in kinds:
            raise UserError(
                f"{role} is a {manifest.kind} checkpoint, not a {named}", where=candidate.uri, fix=f"give a {named}"
            )
        return candidate, manifest
    raise UserError(
        f"{role} has no checkpoint here",
        where=root.uri,
        fix=f"train one with `invertone train {kinds[0] if kinds else '…'}`",
    )


def step_folder(step: int) -> str:
    """The name of the checkpoint after `step` updates; names sort as steps do."""
    return f"step-{step:08d}"


def _candidates(root: Folder, role: str, kinds: tuple[str, ...]) -> Iterator[Folder]:
    """`root` itself, its best checkpoint, its others from the newest to the oldest, what it holds for the kinds and role; the
    model of a family that has one only."""
    yield root
    if root.exists(BEST_POINTER):
        yield root / f"{CHECKPOINTS}/{step_folder(root.read_json(BEST_POINTER)['step'])}"
    for name in reversed(root.folders(CHECKPOINTS)):
        yield root / f"{CHECKPOINTS}/{name}"
    for held in (*kinds, role):
        if held:
            yield root / held
    models = [name for name in root.folders() if (root / name).exists(MANIFEST)]
    if len(models) == 1:
        yield root / models[0]


def read_manifest(folder: Folder) -> CheckpointManifest | None:
    """The manifest of a checkpoint's folder, None where there is none. Raises UserError where it is damaged."""
    try:
        values = folder.read_json(MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(
            f"checkpoint.json is damaged: {error}", where=folder.uri, fix="use another checkpoint"
        ) from None
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise UserError(f"checkpoint.json is not of version {VERSION}", where=folder.uri, fix="train with this version")
    try:
        values["label_names"] = tuple(values["label_names"])
        found, others = take_format(values)
        return CheckpointManifest(format=found, **others)
    except (TypeError, KeyError) as error:
        raise UserError(
            f"checkpoint.json is damaged: {error}", where=folder.uri, fix="use another checkpoint"
        ) from None


def read_file(folder: Folder, manifest: CheckpointManifest, name: str) -> bytes:
    """One file of a checkpoint, its sha256 verified."""
    try:
        data = folder.read_bytes(name)
    except FileNotFoundError:
        raise UserError(f"{name} is missing", where=folder.uri, fix="use another checkpoint") from None
    if sha256(data) != manifest.files.get(name):
        raise UserError(f"{name} differs from its manifest (sha256)", where=folder.uri, fix="use another checkpoint")
    return data
