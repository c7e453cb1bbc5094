"""`invertone models`: what comes with the package, and what can be given away."""

from __future__ import annotations

from invertone.cluster.errors import UserError
from invertone.cluster.storage import shipped
from invertone.cluster.storage.folder import Folder
from invertone.models.packing.config import ModelsConfig
from invertone.models.packing.pack import card_of, copy, pack, shipped_models


def run(config: ModelsConfig) -> list[str]:
    """Does it and returns what is to be said. Raises UserError where the model is not there."""
    if config.action == "list":
        return _listed()
    if not config.model:
        raise UserError(
            f"models {config.action} what?", fix="name a model; `invertone models` lists those that are here"
        )
    if config.action == "show":
        card = card_of(config.model)
        if not card:
            raise UserError("has no card", where=config.model, fix="cards come with shipped and packed models")
        return [card]
    if not config.out:
        raise UserError("out not given", fix="add out=FOLDER")
    if config.action == "copy":
        made = copy(config.model, config.out)
    else:
        made = pack(config.model, config.out, config.notes)
    size = sum(Folder.at(config.out).size(name) for name in made.files)
    return [f"{made.kind}, {size / 1e6:.1f} MB, digest {made.digest[:16]}: {config.out}"]


def _listed() -> list[str]:
    models = shipped_models()
    if not models:
        return ["no models come with this installation"]
    width = max(len(each.uri) for each in models)
    lines = [
        f"{each.uri:{width}}  {each.manifest.kind:10}  {each.bytes / 1e6:5.1f} MB  digest {each.manifest.digest[:12]}"
        for each in models
    ]
    families = ", ".join(shipped.PREFIX + name for name in shipped.families())
    return [*lines, "", f"A family's name ({families}) stands for the model of it that a key needs.",
            "`invertone models show MODEL` prints a card."]  # fmt: skip
