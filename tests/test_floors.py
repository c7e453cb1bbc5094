"""Which room may import which: one table; and no circle, neither among files nor among the rooms within a room."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS: dict[str, set[str]] = {
    "cluster": set(),
    "images": set(),
    "audio": {"images"},
    "models": {"cluster", "audio", "images"},
    "ingest": {"cluster", "audio", "images"},
    "train": {"cluster", "audio", "images", "models"},
    "infer": {"cluster", "audio", "images", "models"},
    "eval": {"cluster", "audio", "images", "models"},
    "invertone": {"cluster", "audio", "images", "models", "ingest", "train", "infer", "eval"},
    "configs": set(),
}
"""Rooms and those below them that they may import; `invertone` is the front, which every room lies behind."""
TORCH = {"torch", "torchaudio", "torchvision"}
TORCH_FREE = {"cluster", "ingest", "invertone", "configs"}
TORCH_WHEN_ASKED = {"invertone/reading.py"}
"""Gives tensors to who asks for tensors, and loads torch then."""
TORCH_IN_SIGNALS = {
    "audio/front_end.py",
    "audio/distances.py",
    "images/distances.py",
    "images/structural.py",
    "images/tensors.py",
}
"""Rooms without torch: a laptop's planning, a dry run and every ingest worker start without loading it."""


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Whole names that a file imports anywhere in it, with the line; a relative import counts as `.`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield ".", node.lineno
            else:
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def room_of(name: str) -> str:
    """The room of a whole name of ours; empty for what is not ours."""
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    return "" if first != "invertone" else second if second in FLOORS else "invertone"


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its whole name."""
    found = {}
    for room in FLOORS:
        for path in files_of(room):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts if room == "invertone" else ("invertone", *parts))
            found[name.removesuffix(".__init__")] = path
    return found


def module_of(name: str) -> str:
    """The module that holds `name`, or is it."""
    while name not in modules():
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    assert files_of(room), f"{room} has no files"
    for path in files_of(room):
        for name, line in imported(path):
            where = f"{path.relative_to(ROOT)}:{line}"
            assert name != ".", f"{where} imports relatively; write the whole name"
            assert name.partition(".")[0] not in {*FLOORS, "tests", "benchmarks"} - {"invertone"}, f"{where}: {name}"
            front_alone = name in ("invertone", "invertone.__file__")
            assert front_alone or room_of(name) in {"", room, *FLOORS[room]}, f"{where} imports {name}, {room} may not"


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = {
        module: {module_of(name) for name, _ in imported(path) if name.startswith("invertone.")}
        for module, path in modules().items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("room", sorted(set(FLOORS) - {"invertone", "configs"}))
def test_the_rooms_within_a_room_form_no_circle(room: str) -> None:
    """A folder counts as one; files that lie in the room itself count each."""
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        if room_of(module) != room or module.count(".") < 2:
            continue
        here = module.split(".")[2]
        there = {module_of(name) for name, _ in imported(path) if room_of(name) == room}
        graph.setdefault(here, set()).update({name.split(".")[2] for name in there if name.count(".") > 1} - {here})
    list(graphlib.TopologicalSorter(graph).static_order())


def test_names_of_modules_in_strings_are_those_of_modules() -> None:
    """Commands, entries and hooks name modules as `invertone.room.module` or `invertone.room.module:Name`."""
    named = re.compile(r"""(?<![\w.])invertone(?:\.[a-z_]\w*)+(?:[:.][A-Za-z_]\w*)*""")
    seen = 0
    for path in (*modules().values(), *files_of("benchmarks")):
        for found in named.findall(path.read_text(encoding="utf-8")):
            module, _, attribute = found.partition(":")
            held = module_of(module)
            if room_of(module) == "invertone" and held == "invertone":
                continue  # a name that the Python door has, or a file's
            seen += 1
            owner = importlib.import_module(held)
            for name in [*module.removeprefix(held).strip(".").split("."), attribute]:
                if name:
                    assert hasattr(owner, name), f"{path.relative_to(ROOT)} names {found}"
                    owner = getattr(owner, name)
    assert seen > 500


@pytest.mark.parametrize("room", sorted(TORCH_FREE))
def test_rooms_of_the_driver_do_without_torch(room: str) -> None:
    for path in files_of(room):
        place = path.relative_to(ROOT).as_posix()
        found = [f"{place}:{line}" for name, line in imported(path) if name.partition(".")[0] in TORCH]
        assert not found or place in TORCH_WHEN_ASKED


def test_in_the_rooms_of_signals_only_what_computes_gradients_imports_torch() -> None:
    for path in (*files_of("audio"), *files_of("images")):
        name = path.relative_to(ROOT).as_posix()
        assert name in TORCH_IN_SIGNALS or not any(each.partition(".")[0] in TORCH for each, _ in imported(path)), name


def test_an_ingest_worker_loads_no_torch() -> None:
    """Not by way of another package either: it would cost every worker seconds and hundreds of megabytes."""
    program = "import sys, invertone.ingest.job; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_every_package_of_ours_stands_in_the_table_and_is_installed() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages == set(FLOORS) and not list(ROOT.glob("*.py"))
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(tool["packages"]) == {name for name, path in modules().items() if path.name == "__init__.py"}
    assert tool["package-dir"] == {f"invertone.{room}": room for room in FLOORS if room != "invertone"}


def test_the_check_sees_a_forbidden_import(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "import os\ndef f():\n    from invertone.train.loop import x\n    import torch.nn as nn\nfrom . import y\n"
    )
    assert sorted(imported(file)) == [
        (".", 5),
        ("invertone.train.loop.x", 3),
        ("os", 1),
        ("torch.nn", 4),
    ]
    assert [room_of(name) for name, _ in sorted(imported(file))] == ["", "train", "", ""]
