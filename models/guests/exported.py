"""A generator that is a file: a `torch.export` program or TorchScript."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import absolute
from invertone.cluster.storage.folder import Folder, sha256
from invertone.models.guests.guest import Description, Guest, described
from invertone.models.guests.programs import (
    DESCRIPTION,
    EXPORTED,
    SCRIPTED,
    Archive,
    load_exported,
    load_scripted,
    moved,
    parsed_json,
)


class _Exported(Guest):
    """A `torch.export` program. Its weights and the devices in its graph move together, by rewriting it."""

    keeps_state = False

    def __init__(self, description: Description, program: ExportedProgram) -> None:
        super().__init__(description, _callable(program))
        self._program = program

    def to(self, *place: Any, **options: Any) -> Any:
        self.call = _callable(moved(self._program, torch.empty(0).to(*place, **options).device))
        return self


def _callable(program: ExportedProgram) -> Callable[..., Any]:
    """The program's module, frozen, as a function: as a part of another Module it would refuse eval() and move in part."""
    module = program.module(
        check_guards=False
    )  # guards are Python text from the file; `invertone.models.guests.trial` looks instead
    module.requires_grad_(False)
    count = program.call_spec.in_spec.child(0).num_children
    # exported with (latent, None) it always takes two
    return lambda *inputs: module(*inputs, *[None] * (count - len(inputs)))


class _Scripted(Guest):
    """A TorchScript module, run without the optimising executor: its first calls would take other paths than later ones."""

    keeps_state = False

    def made(self, latent: Tensor, label: Tensor | None = None) -> Any:
        with torch.jit.optimized_execution(False):
            return super().made(latent, label)


def is_program(uri: str) -> bool:
    return uri.lower().endswith((*EXPORTED, *SCRIPTED))


def read_program(uri: str) -> tuple[Archive, Description, str]:
    """The file of a program, what it says of itself, and the digest of both. Nothing of the program is run."""
    folder, _, name = absolute(uri).rpartition("/")
    try:
        data = Folder(folder or "/").read_bytes(name)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise UserError("no such file", where=uri, fix="check the path of generator") from None
    archive = Archive(data, uri)
    beside = name.rpartition(".")[0] + ".json"
    inside = archive.description()
    try:
        outside = parsed_json(Folder(folder or "/").read_bytes(beside), f"{folder}/{beside}")
    except FileNotFoundError:
        outside = None
    if inside is not None and outside is not None and inside != outside:
        raise UserError(
            f"{beside} says {json.dumps(outside)}, {DESCRIPTION} inside the file {json.dumps(inside)}",
            where=uri,
            fix=f"remove {beside} or correct it",
        )
    given = inside if outside is None else outside
    if given is None:
        raise UserError(
            "nothing says which latents it takes",
            where=uri,
            fix=f'write {{"latent_size": 100, "prior": "uniform"}} into {beside} beside it, or save it with save_program',
        )
    description = described(given, uri if outside is None else f"{folder}/{beside}")
    return archive, description, sha256(json.dumps([sha256(data), description.as_dict()]).encode())


def load_program(uri: str) -> tuple[Guest, str]:
    """A program, where it was exported, and its digest."""
    archive, description, digest = read_program(uri)
    if not uri.lower().endswith(EXPORTED):
        return _Scripted(description, load_scripted(archive)), digest
    program = load_exported(archive)
    shape = _latent_shape(program, uri, bool(description.label_names))
    if isinstance(shape[0], int):
        raise UserError(
            f"was exported for batches of {shape[0]} alone",
            where=uri,
            fix="export it with a dynamic batch (dynamic_shapes=[{0: torch.export.Dim.DYNAMIC}]) and without len() of a "
            "tensor in forward, or save it with save_program",
        )
    if isinstance(shape[1], int) and shape[1] != description.latent_size:
        raise UserError(
            f"takes latents of {shape[1]}, latent_size says {description.latent_size}",
            where=uri,
            fix="correct latent_size",
        )
    return _Exported(description, program), digest


def _latent_shape(program: ExportedProgram, uri: str, labelled: bool) -> list[Any]:
    """The sizes of a program's latents: numbers where the export fixed them. They are its one input, or its first of two."""
    first, *others = program.graph_signature.user_inputs or [None]
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    value = values.get(str(first))
    if labelled:
        label = values.get(str(others[0])) if others else None
        if not isinstance(label, Tensor) or label.ndim != 1 or label.dtype != torch.int64:
            raise UserError(
                "has label_names, and its second input is no tensor of labels, int64 [b]",
                where=uri,
                fix="export it with a latent and a label, as save_program does, or leave label_names out",
            )
        others = others[1:]
    if not isinstance(value, Tensor) or value.ndim != 2 or any(other is not None for other in others):
        raise UserError(
            f"its inputs are {', '.join(map(str, program.graph_signature.user_inputs)) or 'none'}, not one tensor of latents",
            where=uri,
            fix="export a module whose forward takes [b, latent_size], and name the labels in label_names if it takes one "
            "beside them",
        )
    return [int(size) if isinstance(size, int) else size for size in value.shape]
