"""Latent vectors of GANs of sound and of faces, recovered in bulk: the Python door.

    import invertone

    inverter = invertone.Inverter("hybrid")           # with the models that come with the package
    inversion = inverter("seven.wav")                 # or an array and its rate
    again = inverter.decode(inversion.latent)         # float32, 16 kHz

    invertone.run("infer", "encoder", shards="runs/shards", out="runs/latents", ...)   # what the command does
    for row in invertone.latents("runs/latents"): ...
    for key, starts, latents in invertone.recordings("runs/latents"): ...   # windows of long ones, in the order of time

Nothing heavy is loaded before it is used. The command line is `invertone --help`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invertone.cluster.errors import JobIncompleteError, UserError
    from invertone.cluster.formats.recordings import Recording
    from invertone.infer.files.inverter import Inversion, Inverter
    from invertone.infer.solvers.minimise import Minimum, minimise
    from invertone.reading import Latents, Recordings, latents, recordings
    from invertone.running import plan, run

__all__ = [
    "Inversion",
    "Inverter",
    "JobIncompleteError",
    "Latents",
    "Minimum",
    "Recording",
    "Recordings",
    "UserError",
    "latents",
    "minimise",
    "plan",
    "recordings",
    "run",
]

_PLACES = {
    "invertone.cluster.errors": ("JobIncompleteError", "UserError"),
    "invertone.infer.files.inverter": ("Inversion", "Inverter"),
    "invertone.infer.solvers.minimise": ("Minimum", "minimise"),
    "invertone.cluster.formats.recordings": ("Recording",),
    "invertone.reading": ("Latents", "Recordings", "latents", "recordings"),
    "invertone.running": ("plan", "run"),
}
"""Where the names above are made."""


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            import importlib

            found = getattr(importlib.import_module(module), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'invertone' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
