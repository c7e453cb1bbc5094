"""`python -m tests.api_page` writes docs/api.md: the names that `import invertone` offers, from signatures and docstrings.

With `--check` it writes nothing, and exits with 1 where the page is another than it would write.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import invertone

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
HEAD = """\
# Python names

What `import invertone` offers. `python -m tests.api_page` writes this page from the docstrings."""
WIDTH = 110
TOGETHER = "\0"
"""In place of a space where no line may end: a parameter stays on one."""
DIRECTIVE = re.compile(r"(?:\n\.\.\.)?[ ]*# doctest:.*")
SPECIAL = ("__call__", "__len__", "__iter__", "__getitem__", "__enter__")
"""Methods that are used without being named."""


def page(package: types.ModuleType = invertone) -> str:
    """The whole page: what the package says of itself, then its `__all__` in that order. Without one, the head alone."""
    names = getattr(package, "__all__", ())
    parts = [HEAD, text(package.__doc__)] if names else [HEAD]
    for name in names:
        parts += section(name, getattr(package, name))
    return "\n\n".join(part for part in parts if part) + "\n"


def section(name: str, thing: Any) -> Iterator[str]:
    """A function, or a class with what is explained of it, in blocks of Markdown."""
    yield f"## {name}"
    if not callable(thing):
        yield block(f"{name} = {thing!r}")
        return
    yield block(signature(name, thing))
    yield text(thing.__doc__)
    if inspect.isclass(thing):
        yield text(vars(thing)["__init__"].__doc__) if "__init__" in vars(thing) else ""
        for member, made in members(thing):
            yield block(signature(member, made))
            yield text(made.__doc__)


def members(thing: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties with a docstring, in the order of their definition: the class's, then those of bases beside it."""
    seen = set[str]()
    for owner in thing.__mro__:
        if owner.__module__.partition(".")[0] != thing.__module__.partition(".")[0]:
            continue
        for name, found in vars(owner).items():
            made = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
            if name in seen or not isinstance(made, (types.FunctionType, property)):
                continue
            seen.add(name)
            if made.__doc__ and (name in SPECIAL or not name.startswith("_")):
                yield name, made


@dataclass(frozen=True)
class Written:
    """An annotation as it is written in the source, where `from __future__ import annotations` leaves a string."""

    source: str

    def __repr__(self) -> str:
        return self.source


def signature(name: str, thing: Any) -> str:
    """As one would write it: without `self`, annotations without quotes; of a property its type."""
    if isinstance(thing, property):
        return f"{name}: {_written(inspect.signature(thing.fget).return_annotation)}"  # type: ignore[arg-type]
    found = inspect.signature(thing)
    kept = [
        each.replace(annotation=_written(each.annotation))
        for each in found.parameters.values()
        if each.name not in ("self", "cls")
    ]
    returned = inspect.Signature.empty if inspect.isclass(thing) else _written(found.return_annotation)
    line = f"{name}{found.replace(parameters=kept, return_annotation=returned)}"
    for each in map(str, kept):
        line = line.replace(each, each.replace(" ", TOGETHER))
    filled = textwrap.fill(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return filled.replace(TOGETHER, " ")


def _written(annotation: Any) -> Any:
    return Written(annotation) if isinstance(annotation, str) else annotation


def block(code: str) -> str:
    return f"```python\n{code}\n```"


def text(doc: str | None) -> str:
    """A docstring as Markdown: paragraphs that are indented or begin with `>>>` become code, one block where they follow."""
    parts: list[tuple[bool, str]] = []
    for part in re.split(r"\n[ ]*\n", inspect.cleandoc(doc or "")):
        code = part.startswith(("    ", ">>> "))
        said = DIRECTIVE.sub("", textwrap.dedent(part)) if code else part
        if code and parts and parts[-1][0]:
            parts[-1] = (True, f"{parts[-1][1]}\n\n{said}")
        else:
            parts.append((code, said))
    return "\n\n".join(block(said) if code else said for code, said in parts)


def main(words: list[str]) -> int:
    made = page()
    if words == ["--check"]:
        return int(PAGE.read_text(encoding="utf-8") != made)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
