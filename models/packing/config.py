"""Keys of `invertone models`. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import key

ACTIONS = ("list", "show", "copy", "pack")


@dataclass(frozen=True)
class ModelsConfig:
    """What is done with which model."""

    action: str = key("list", "list all, show a card, copy a model, pack a trained one", choices=ACTIONS)
    model: str = key(
        "",
        "for example shipped:digits/mapper, or a family, shipped:digits; for pack and copy any checkpoint",
        path=True,
    )
    out: str = key("", "folder that takes the checkpoint", path=True)
    notes: str = key("", "pack: a Markdown file that the card ends with", path=True)


CONFIG = ModelsConfig
