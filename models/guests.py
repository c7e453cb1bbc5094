"""Generators of others behind the protocol of ours: a class on the path, a `torch.export` program, a TorchScript file.

What a guest says of itself (latent size, prior) is checked here, what it does in `models.trial`.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.export import ExportedProgram

from audio.clip import CLIP_SAMPLES, SAMPLE_RATE
from cluster.config import did_you_mean
from cluster.errors import UserError
from cluster.storage import Folder, absolute, sha256
from models.prior import KINDS, Prior
from models.programs import (
    DESCRIPTION,
    EXPORTED,
    SCRIPTED,
    Archive,
    first_line,
    load_exported,
    load_scripted,
    moved,
    parsed_json,
)

_KEYS = ("latent_size", "prior", "sample_rate")


@dataclass(frozen=True)
class Description:
    """What inversion must know of a guest and cannot see."""

    latent_size: int
    prior: Prior

    def as_dict(self) -> dict[str, Any]:
        return {"latent_size": self.latent_size, "prior": self.prior.kind, "sample_rate": SAMPLE_RATE}


class Guest(nn.Module):
    """A generator of others, frozen: latent [b, latent_size] → waveform [b, 16384]. `call` is a Module or any callable."""

    keeps_state = True
    """Whether a call may leave something behind that a call at the same time would find."""

    def __init__(self, description: Description, call: Callable[..., Any]) -> None:
        super().__init__()
        self.latent_size, self.prior, self.clip_samples = description.latent_size, description.prior, CLIP_SAMPLES
        self.call = call  # a Module becomes a part of this one, and moves with it
        self.requires_grad_(False).eval()

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b n"]:
        return self.made(latent, label)

    def made(self, latent: Tensor, label: Tensor | None = None) -> Any:
        """What the guest gives, whatever it is: `models.trial` examines it."""
        return self.call(latent) if label is None else self.call(latent, label)


class _Object(Guest):
    """An object that is no Module: it moves by its own `to(device)`, if it has one."""

    def to(self, *place: Any, **options: Any) -> Any:
        move = getattr(self.call, "to", None)
        if callable(move):
            changed = move(*place, **options)
            self.call = self.call if changed is None else changed
        return self


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
    module = program.module(check_guards=False)  # guards are Python text from the file; `models.trial` looks instead
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
    shape = _latent_shape(program, uri)
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


def _latent_shape(program: ExportedProgram, uri: str) -> list[Any]:
    """The sizes of a program's one input: numbers where the export fixed them."""
    first, *others = program.graph_signature.user_inputs or [None]
    value = next((node.meta.get("val") for node in program.graph.nodes if node.name == first), None)
    if not isinstance(value, Tensor) or value.ndim != 2 or any(other is not None for other in others):
        raise UserError(
            f"its inputs are {', '.join(map(str, program.graph_signature.user_inputs)) or 'none'}, not one tensor of latents",
            where=uri,
            fix="export a module whose forward takes [b, latent_size] and chooses a label, if it needs one, by itself",
        )
    return [int(size) if isinstance(size, int) else size for size in value.shape]


def load_class(name: str) -> tuple[Guest, str]:
    """An instance of the class `package.module:Class`, on the CPU, and its digest: name, source file, weights."""
    made = _constructed(name)
    values = {key: getattr(made, key) for key in _KEYS if hasattr(made, key)}
    description = described(values, name, "attribute")
    samples = getattr(made, "clip_samples", CLIP_SAMPLES)
    if samples != CLIP_SAMPLES:
        raise UserError(
            f"clip_samples is {samples!r}, clips have {CLIP_SAMPLES}", where=name, fix=f"make clips of {CLIP_SAMPLES}"
        )
    if not callable(made):
        raise UserError("its instances cannot be called", where=name, fix="give it forward(latent) or __call__(latent)")
    digest = hashlib.sha256(json.dumps([name, sha256(_source(type(made))), description.as_dict()]).encode())
    if isinstance(made, nn.Module):
        for key, value in sorted(made.state_dict().items()):
            digest.update(f"{key} {_identity(value)}".encode())
        return Guest(description, made), digest.hexdigest()
    return _Object(description, made), digest.hexdigest()


def _constructed(name: str) -> Any:
    module_name, _, class_name = name.partition(":")
    here = Path.cwd()
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f"no module named {error.name!r}"
        if error.name and not (module_name + ".").startswith(error.name + "."):
            raise UserError(f"{module_name} needs {error.name!r}, which is not installed", where=name,
                            fix=f"install it where the job runs, or mend the import in {module_name}") from None  # fmt: skip
        package = sys.modules.get(module_name.partition(".")[0])
        if package is not None:  # a folder of the user's may be called as a package of ours
            missing += f" in {getattr(package, '__file__', None)}"
        raise UserError(
            missing,
            where=name,
            fix=f"type the command in the folder that holds it (now {here}), install it, or set PYTHONPATH",
        ) from None
    except Exception as error:
        raise UserError(
            f"importing {module_name} raised {first_line(error)}", where=name, fix="mend the module"
        ) from None
    made_by = getattr(module, class_name, None)
    if made_by is None:
        known = [each for each, value in vars(module).items() if inspect.isclass(value)]
        raise UserError(
            f"{module_name} ({getattr(module, '__file__', None)}) has no {class_name!r}",
            where=name,
            fix=f"name a class that it has{did_you_mean(class_name, known)}",
        )
    if not inspect.isclass(made_by):
        raise UserError(f"{class_name} is a {type(made_by).__name__}, not a class", where=name, fix="name a class")
    try:
        with torch.random.fork_rng(devices=[]):  # what it seeds or draws is not for the networks that come after it
            return made_by()
    except Exception as error:
        raise UserError(
            f"constructing it without arguments raised {first_line(error)}", where=name, fix="mend its __init__"
        ) from None


def _source(kind: type) -> bytes:
    """The file a class is written in; of a class without one, nothing."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    return Path(file).read_bytes() if file and Path(file).is_file() else b""


def _identity(value: Any) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return f"{value.dtype} {list(value.shape)} {sha256(raw)}"


def described(values: Any, where: str, part: str = "key") -> Description:
    """What a guest says of itself, checked. `part` is what a value is called in messages."""
    if not isinstance(values, Mapping):
        raise UserError("is no JSON object", where=where, fix='write {"latent_size": 100, "prior": "uniform"}')
    for key in values:
        if key not in _KEYS:
            raise UserError(
                f"unknown key {key!r}", where=where, fix=f"use {', '.join(_KEYS)}{did_you_mean(key, _KEYS)}"
            )
    size, prior = values.get("latent_size"), values.get("prior")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        said = "is missing" if size is None else f"is {size!r}, not a positive whole number"
        raise UserError(f"{part} latent_size {said}", where=where, fix="give the length of a latent vector")
    kind = prior.kind if isinstance(prior, Prior) else prior
    if kind not in KINDS:
        said = "is missing" if prior is None else f"is {kind!r}"
        raise UserError(
            f"{part} prior {said}, not {' or '.join(KINDS)}",
            where=where,
            fix="uniform is each coordinate in [-1, 1], normal is standard normal: take the one it was trained with",
        )
    rate = values.get("sample_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise UserError(
            f"{part} sample_rate is {rate!r}, clips have {SAMPLE_RATE} Hz",
            where=where,
            fix=f"let forward end with a conversion to {SAMPLE_RATE} Hz",
        )
    return Description(size, Prior(kind))


def save_program(generator: nn.Module, path: str) -> str:
    """Saves a generator with `latent_size` and `prior` as a program, checks that it loads, and returns its digest.

    path: FILE.pt2 for `torch.export` with a dynamic batch (forward must not ask `len(latent)`, which fixes the batch;
    `latent.shape[0]` does not), FILE.pt for a TorchScript trace. Local or s3://.
    """
    from models.trial import check

    where = type(generator).__name__
    description = described(
        {key: getattr(generator, key) for key in _KEYS if hasattr(generator, key)}, where, "attribute"
    )
    if not is_program(path):
        raise UserError(f"{path!r} ends in no program's name", where="save_program", fix="give FILE.pt2 or FILE.pt")
    generator = generator.eval()
    example = torch.zeros(2, description.latent_size, device=next(iter(generator.parameters()), torch.empty(0)).device)
    buffer, extra = io.BytesIO(), {DESCRIPTION: json.dumps(description.as_dict())}
    if path.lower().endswith(EXPORTED):
        program = torch.export.export(generator, (example,), dynamic_shapes=[{0: torch.export.Dim.DYNAMIC}])
        torch.export.save(program, buffer, extra_files=extra)
    else:
        torch.jit.save(torch.jit.trace(generator, (example,)), buffer, _extra_files=extra)
    folder, _, name = absolute(path).rpartition("/")
    Folder(folder or "/").publish_bytes(name, buffer.getvalue())
    guest, digest = load_program(path)
    check(guest.to("cpu"), path, torch.device("cpu"))
    return digest
