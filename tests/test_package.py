"""What is installed under the name invertone: its metadata, its files, and the pages that tell of it."""

from __future__ import annotations

import glob
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api_page import page
from tests.test_floors import FLOORS, ROOT, module_of, modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
INSTALLED = next(each for each in importlib.metadata.distributions(name="invertone") if each.read_text("RECORD"))
"""As the installer recorded it; a checkout also holds what its last build left (`invertone.egg-info`)."""
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("cluster/**/*.md")} - {ROOT / "CHANGELOG.md"})
"""Those that tell how things are, not how they became so."""
ABOUT = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "cluster/deploy/README.md")]


# ---------------------------------------------------------------------- metadata


def test_the_package_installs_one_name() -> None:
    assert INSTALLED.read_text("top_level.txt") == "invertone\n"
    assert [each.name for each in INSTALLED.entry_points] == ["invertone"]


def test_licence_author_and_classifiers_are_installed_as_they_are_written() -> None:
    """A checkout that was installed before they changed is installed again by `make setup`."""
    metadata, project = INSTALLED.metadata, PROJECT["project"]
    assert metadata["License-Expression"] == project["license"]
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert INSTALLED.read_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert metadata["Author"] == project["authors"][0]["name"]
    assert metadata.get_all("Classifier") == project["classifiers"]
    assert metadata["Requires-Python"] == project["requires-python"]


def test_the_classifiers_name_the_pythons_that_are_tested() -> None:
    tested = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]["tests"]["strategy"]["matrix"]
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.MULTILINE)
    assert named == tested["python"] and PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_the_version_has_one_source() -> None:
    version = PROJECT["project"]["version"]
    assert INSTALLED.version == citation()["version"] == version
    assert f"## {version}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    said = [path for path in modules().values() if re.search(r"__version__\s*=", path.read_text(encoding="utf-8"))]
    assert said == []


def test_what_only_tests_import_is_no_dependency_of_users() -> None:
    development = [re.split(r"[\[<>=]", each)[0] for each in PROJECT["project"]["optional-dependencies"]["dev"]]
    needed = [re.split(r"[\[<>=]", each)[0] for each in PROJECT["project"]["dependencies"]]
    assert "beartype" in development and not set(development) & set(needed)


# ---------------------------------------------------------------------- files


def folder_of(package: str) -> Path:
    """Where a package lies in a checkout."""
    room, _, rest = package.removeprefix("invertone").lstrip(".").partition(".")
    return ROOT / (room or "invertone") / rest.replace(".", "/")


def test_whatever_lies_in_a_package_beside_python_is_installed_with_it() -> None:
    tool = PROJECT["tool"]["setuptools"]
    folders = {folder_of(package) for package in tool["packages"]}
    beside = {
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    named = {
        folder_of(package) / name
        for package, patterns in tool["package-data"].items()
        for pattern in patterns
        for name in glob.glob(pattern, root_dir=folder_of(package), recursive=True)  # noqa: PTH207 (as setuptools)
    }
    assert beside and sorted(beside - named) == []


def test_types_are_shipped() -> None:
    assert (Path(sys.modules["invertone"].__file__ or "").parent / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["invertone"]


# ---------------------------------------------------------------------- pages


def citation() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def test_the_citation_names_the_authors_and_the_papers() -> None:
    project = PROJECT["project"]
    assert citation()["authors"] == project["authors"] and citation()["license"] == project["license"].split(" AND ")[0]
    by = {each["authors"][0]["family-names"]: each["year"] for each in citation()["references"]}
    assert by == {"Donahue": 2018, "Keyes": 2020, "Haque": 2020, "Průša": 2017, "Alaluf": 2021, "Tolstikhin": 2018} | {
        **{"Bayat": 2020, "Radford": 2016, "Karras": 2018, "Schroff": 2015},
    }


def test_the_licence_names_the_models_weights_and_theirs() -> None:
    said = (ROOT / "LICENSE").read_text(encoding="utf-8")
    cards = sorted((ROOT / "models" / "shipped").glob("*/README.md"))
    assert cards
    for card in cards:
        assert card.relative_to(ROOT).as_posix() in said
        licence = re.search(r"^## Licence\n\n(CC0 1\.0|CC BY-SA 4\.0)", card.read_text(encoding="utf-8"), re.MULTILINE)
        assert licence and licence[1] in said


def test_contributing_tells_the_rooms_as_the_floors_hold_them() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE))
    others = set(FLOORS) - {"invertone", "configs"}
    told = {room: others if what == "all of them" else set(re.findall(r"`(\w+)`", what)) for room, what in rows.items()}
    assert told == FLOORS


def test_files_and_folders_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/[a-z_/]+(?:\.[a-z]+)?)`", text)
    assert len(named) > 20 and [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", ABOUT, ids=lambda path: path.name)
def test_every_link_of_a_page_about_the_project_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_that_a_page_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"python -m\s+((?:invertone|tests|benchmarks)[\w.]*)", text):
        assert importlib.util.find_spec(name), name
    for name in re.findall(r"(?<![\w./~-])invertone(?!\.py\b)(?:\.(?![A-Z]+\b)[A-Za-z_]\w*)+", text):
        owner: Any = importlib.import_module(module_of(name))
        for attribute in name.removeprefix(module_of(name)).strip(".").split("."):
            owner = getattr(owner, attribute) if attribute else owner
    for module, named in re.findall(r"^from (invertone[\w.]*) import (.*)$", text, re.MULTILINE):
        for attribute in re.findall(r"\w+", named):
            assert hasattr(importlib.import_module(module), attribute), f"{module} has no {attribute}"
    rooms = "|".join(set(FLOORS) - {"invertone"})
    assert re.findall(rf"^(?:from|import) (?:{rooms})\b.*|python -m (?:{rooms})\b", text, re.MULTILINE) == []


def test_the_page_of_python_names_is_up_to_date() -> None:
    """In a process of its own: checks of shapes, which tests install, change signatures."""
    done = subprocess.run([sys.executable, "-m", "tests.api_page", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), "python -m tests.api_page"


def test_a_page_of_names_tells_functions_classes_and_what_is_loaded_when_asked_for() -> None:
    class Tone:
        """A sound.

        >>> Tone(440.0).pitch
        440.0
        """

        def __init__(self, pitch: float = 440.0) -> None:
            """pitch: in Hz."""

        def __call__(self, seconds: float, *, loud: bool = False) -> list[float]:
            """Samples."""
            return []

        def undocumented(self) -> None: ...

        def _own(self) -> None:
            """Nobody's business."""

        @property
        def pitch(self) -> float:
            """In Hz."""
            return 0.0

    def hear(tone: Tone, *more: Tone) -> str:
        """What is heard."""
        return ""

    package = types.ModuleType("package", "All about sounds.\n\n    hear(Tone())\n\nNo more.")
    package.__all__ = ["Tone", "hear"]  # type: ignore[attr-defined]
    package.__getattr__ = {"Tone": Tone, "hear": hear}.__getitem__  # type: ignore[method-assign]
    head, *told = page(package).split("\n\n## ")
    assert head.endswith("\n\nAll about sounds.\n\n```python\nhear(Tone())\n```\n\nNo more.") and len(told) == 2
    assert told[0] == (
        "Tone\n\n```python\nTone(pitch: float = 440.0)\n```\n\nA sound.\n\n```python\n>>> Tone(440.0).pitch\n440.0\n```\n\n"
        "pitch: in Hz.\n\n"
        "```python\n__call__(seconds: float, *, loud: bool = False) -> list[float]\n```\n\nSamples.\n\n"
        "```python\npitch: float\n```\n\nIn Hz."
    )
    assert told[1] == "hear\n\n```python\nhear(tone: Tone, *more: Tone) -> str\n```\n\nWhat is heard.\n"
    assert page(types.ModuleType("empty", "Without names.")).count("\n\n") == 1
