"""The versions that a job is sent with, and whether the machine that runs it has them."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from invertone.cluster.errors import UserError

CONSTRAINTS = "invertone/configs/constraints.txt"
"""Of the package, and of the checkout (a link to constraints.txt there)."""
FIX = "use the image that was built of this version, or submit with --install"


def pins() -> dict[str, str]:
    """What the code itself needs, by name, with the pinned version; without development tools and without what those
    packages need in turn. Raises UserError for one that has no pin.
    """
    from packaging.utils import canonicalize_name

    text = importlib.resources.files("invertone.configs").joinpath("constraints.txt").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    versions = {
        str(canonicalize_name(name)): version
        for name, equals, version in (line.partition("==") for line in lines)
        if equals
    }
    missing = [name for name in _requirements() if name not in versions]
    if missing:
        raise UserError(f"{', '.join(missing)} not pinned", where="constraints.txt", fix="add name==version")
    return {name: versions[name] for name in _requirements()}


def _requirements() -> list[str]:
    """Names of what invertone depends on: by pyproject.toml in a checkout, else by what pip recorded."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    file = Path(__file__).parents[2] / "pyproject.toml"
    if file.is_file():
        import tomllib

        written = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        written = importlib.metadata.requires("invertone") or []
    needed = [Requirement(each) for each in written]
    return [str(canonicalize_name(each.name)) for each in needed if each.marker is None or each.marker.evaluate()]


def python() -> str:
    """`3.11`."""
    return ".".join(platform.python_version_tuple()[:2])


def disagreement(sent_python: str, sent: Mapping[str, str]) -> str:
    """Where this interpreter and its packages differ from what was sent, as one line; empty where they agree.

    Of a version only the public part counts: torch 2.11.0+cu130 is 2.11.0.
    """
    if python() != sent_python:
        return (
            f"the cluster runs Python {python()} ({sys.executable}), and the job was sent by Python {sent_python}; "
            "use the same on both sides"
        )
    found = {name: _installed(name) for name in sent}
    wrong = [
        f"{name} {found[name] or 'is missing'} (pinned {sent[name]})" for name in sent if found[name] != sent[name]
    ]
    if not wrong:
        return ""
    shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    if len(wrong) == len(sent):
        shown = f"none of the packages that are needed, starting with {wrong[0]}"
    return f"the cluster's Python ({sys.executable}) has {shown}; {FIX}"


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""
