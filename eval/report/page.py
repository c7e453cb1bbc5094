"""From sections to one HTML file. Everything that comes from data is escaped by the template; nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Mapping, Sequence

import jinja2
from markupsafe import Markup

from invertone.eval.report.blocks import Section, clip_count, picture_count

MARK = "invertone report"
"""Content of the `generator` element by which a report is known as one of ours."""
HEAD_BYTES = 2_000


def rendered(
    title: str, sections: Sequence[Section], runs: Sequence[Mapping[str, str]], versions: Mapping[str, str], date: str
) -> str:
    """The page. runs: what its head says of each run folder, in the order of the page."""
    script = _text("page.js").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        mark=MARK,
        policy=policy,
        title=title,
        sections=sections,
        runs=runs,
        versions=versions,
        date=date,
        sounds=sum(clip_count(section.blocks) for section in sections),
        pictures=sum(picture_count(section.blocks) for section in sections),
        style=Markup(_text("page.css")),  # noqa: S704 — our own files
        script=Markup(script),  # noqa: S704
    )


def is_report(beginning: bytes) -> bool:
    """Whether a file that begins so is a report of ours."""
    return f'<meta name="generator" content="{MARK}">'.encode() in beginning[:HEAD_BYTES]


def _text(name: str) -> str:
    return importlib.resources.files("invertone.eval.report").joinpath(name).read_text(encoding="utf-8")
