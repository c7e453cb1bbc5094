"""What README and docs tell people to type is understood, and their tables are tables."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from invertone.cluster_commands import COMMANDS
from invertone.stages import stage_named
from invertone.tools import tool_named

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]


def commands(page: Path) -> list[str]:
    """The lines of a page's blocks that begin with `invertone`, continued lines joined, without comments."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("invertone ")]


def understood(words: list[str]) -> None:
    """Raises for what `invertone` would refuse before it looks at any file."""
    name, *rest = words
    if name in {each.name for each in COMMANDS}:
        if name == "submit":
            while rest[0].startswith("--"):
                rest = rest[1 if rest[0] in ("--detach", "--install", "--dry-run") else 2 :]
            understood(rest)
        return
    rest = [word for word in rest if not word.startswith("--")]
    tool = tool_named(name)
    if tool is not None and tool.schema:
        tool.config(rest)
    elif tool is not None:
        assert len(rest) == 1, rest
    elif rest and not rest[0].endswith(".yaml"):
        stage_named(name).load(rest)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for line in commands(page):
        # `…` and a single capital stand for something of the reader's
        words = shlex.split(re.sub(r"=[A-Z]\b", "=1", line.replace("…", "x")), comments=True)[1:]
        if words[0] != "STAGE" and not words[0][0].isdigit():
            understood(words)


def test_the_pages_have_commands() -> None:
    assert len(commands(ROOT / "README.md")) > 20 < len(commands(ROOT / "docs" / "guide.md"))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_table_is_torn_and_every_row_has_its_columns(page: Path) -> None:
    width, before = 0, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("|"):
            columns = len(re.findall(r"(?<!\\)\|", line)) - 1
            assert before.startswith("|") or before == "", f"{page.name}:{number} begins a table within a paragraph"
            width = width or columns
            assert columns == width, f"{page.name}:{number} has {columns} columns, not {width}"
        else:
            width = 0
        before = line
    text = page.read_text(encoding="utf-8")
    torn = re.search(r"^\|.*\n\n\|.*\n(?!\|[-: |]+\|\n)", text, re.MULTILINE)
    assert not torn, f"{page.name}: a table is torn at {torn[0][:60]!r}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, heading = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{page.name} links to {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}
            assert heading in slugs, f"{page.name} links to {target}"
