"""Which package may import which: one table."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("cluster", "audio", "models", "ingest", "train", "infer", "eval", "invertone", "configs", "tests", "benchmarks")
FLOORS: dict[str, set[str]] = {
    "cluster": set(),
    "audio": set(),
    "models": {"cluster", "audio"},
    "ingest": {"cluster", "audio"},
    "train": {"cluster", "audio", "models"},
    "infer": {"cluster", "audio", "models"},
    "eval": {"cluster", "audio", "models"},
    "invertone": {"cluster", "audio", "models", "ingest", "train", "infer", "eval"},
    "configs": set(),
}
TORCH = {"torch", "torchaudio", "torchvision"}
TORCH_FREE = {"cluster", "ingest", "invertone", "configs"}
TORCH_IN_AUDIO = {"audio/front_end.py", "audio/distances.py"}
"""Rooms without torch: a laptop's planning, a dry run and every ingest worker start without loading it."""


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level packages that a file imports anywhere in it, with the line; a relative import counts as `.`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0] if node.level == 0 else ".", node.lineno


def files_of(room: str) -> list[Path]:
    return [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").is_file() else sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    allowed = FLOORS[room] | {room}
    assert files_of(room), f"{room} has no files"
    for path in files_of(room):
        for package, line in imports(path):
            where = f"{path.relative_to(ROOT)}:{line}"
            assert package != ".", f"{where} imports relatively; write the whole name"
            assert package not in OURS or package in allowed, f"{where} imports {package}, {room} may not"


@pytest.mark.parametrize("room", sorted(TORCH_FREE))
def test_rooms_of_the_driver_do_without_torch(room: str) -> None:
    for path in files_of(room):
        found = [f"{path.relative_to(ROOT)}:{line}" for package, line in imports(path) if package in TORCH]
        assert not found


def test_in_the_audio_room_only_what_computes_gradients_imports_torch() -> None:
    for path in files_of("audio"):
        name = path.relative_to(ROOT).as_posix()
        assert name in TORCH_IN_AUDIO or not any(package in TORCH for package, _ in imports(path)), name


def test_an_ingest_worker_loads_no_torch() -> None:
    """Not by way of another package either: it would cost every worker seconds and hundreds of megabytes."""
    program = "import sys, ingest.job; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_every_package_of_ours_stands_in_the_table() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages | {path.stem for path in ROOT.glob("*.py")} == set(FLOORS)


def test_no_module_hides_one_of_the_standard_library() -> None:
    rooms = [path for room in FLOORS for path in files_of(room)]
    hidden = {path.stem for path in rooms if path.parent == ROOT} & set(sys.stdlib_module_names)
    assert not hidden


def test_the_check_sees_a_forbidden_import(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("import os\ndef f():\n    from train.loop import x\n    import torch.nn as nn\nfrom . import y\n")
    assert list(imports(file)) == [("os", 1), (".", 5), ("train", 3), ("torch", 4)]
