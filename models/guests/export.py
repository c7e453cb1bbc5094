"""A generator of one's own as a program file that inversion takes."""

from __future__ import annotations

import io
import json

import torch
from torch import nn

from invertone.cluster.errors import UserError
from invertone.cluster.storage.addresses import absolute
from invertone.cluster.storage.folder import Folder
from invertone.models.guests.exported import is_program, load_program
from invertone.models.guests.guest import KEYS, described
from invertone.models.guests.programs import DESCRIPTION, EXPORTED
from invertone.models.guests.trial import check


def save_program(generator: nn.Module, path: str) -> str:
    """Saves a generator with `latent_size` and `prior` (and `label_names`, if it takes labels) as a program, checks that it
    loads, and returns its digest.

    path: FILE.pt2 for `torch.export` with a dynamic batch (forward must not ask `len(latent)`, which fixes the batch;
    `latent.shape[0]` does not), FILE.pt for a TorchScript trace. Local or s3://.
    """
    where = type(generator).__name__
    description = described(
        {key: getattr(generator, key) for key in KEYS if hasattr(generator, key)}, where, "attribute"
    )
    if not is_program(path):
        raise UserError(f"{path!r} ends in no program's name", where="save_program", fix="give FILE.pt2 or FILE.pt")
    generator = generator.eval()
    place = next(iter(generator.parameters()), torch.empty(0)).device
    example: tuple[torch.Tensor, ...] = (torch.zeros(2, description.latent_size, device=place),)
    if description.label_names:
        example = (*example, torch.zeros(2, dtype=torch.int64, device=place))
    buffer, extra = io.BytesIO(), {DESCRIPTION: json.dumps(description.as_dict())}
    if path.lower().endswith(EXPORTED):
        any_batch = [{0: torch.export.Dim.DYNAMIC} for _ in example]
        program = torch.export.export(generator, example, dynamic_shapes=any_batch)
        torch.export.save(program, buffer, extra_files=extra)
    else:
        torch.jit.save(torch.jit.trace(generator, example), buffer, _extra_files=extra)
    folder, _, name = absolute(path).rpartition("/")
    Folder(folder or "/").publish_bytes(name, buffer.getvalue())
    guest, digest = load_program(path)
    check(guest.to("cpu"), path, torch.device("cpu"))
    return digest
