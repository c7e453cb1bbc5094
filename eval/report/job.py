"""The report: run folders in, one HTML file out, whole or not at all, and never over a file that is no report."""

from __future__ import annotations

import datetime

from invertone.cluster.errors import UserError
from invertone.cluster.formats.runs import versions
from invertone.cluster.secrets import without_secrets
from invertone.cluster.storage.folder import Folder
from invertone.eval.report import sources
from invertone.eval.report.blocks import Section
from invertone.eval.report.chapter import Run
from invertone.eval.report.config import ReportConfig
from invertone.eval.report.page import HEAD_BYTES, is_report, rendered

SHOWN_VERSIONS = ("invertone", "python", "torch", "numpy", "pyarrow")


def plan(config: ReportConfig) -> list[str]:
    """What --dry-run prints."""
    runs = [sources.found(uri) for uri in config.runs]
    _place(config.out)
    return [*(f"would show: {sources.described(run)}" for run in runs), f"would write: {config.out}"]


def run(config: ReportConfig) -> None:
    """Writes the page and says where it lies."""
    folder, name = _place(config.out)
    runs = [sources.found(uri) for uri in dict.fromkeys(config.runs)]
    sections = sources.sections_of(runs, config.clips, config.seed)
    now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
    listed = [
        {
            "name": run.name,
            "uri": run.folder.uri,
            "stage": str(run.record.get("stage", "–")),
            "job": str(run.record.get("name", "–")),
            "state": run.state,
            "started": str(run.record.get("started", "–")).replace("T", " ").removesuffix("+00:00"),
            "digest": run.digest or "–",
            "section": _section_of(run, sections),
        }
        for run in runs
    ]
    title = config.title or f"Report of {', '.join(run.name for run in runs[:4])}{' …' if len(runs) > 4 else ''}"
    mine = versions()
    shown = {package: mine[package] for package in SHOWN_VERSIONS if package in mine}
    page = without_secrets(rendered(title, sections, listed, shown, f"{now} UTC")).encode()
    folder.publish_bytes(name, page)
    print(f"{len(runs)} run{'s' * (len(runs) != 1)}, {len(page) / 1e6:,.1f} MB: {config.out}")


def _section_of(run: Run, sections: list[Section]) -> str:
    return next((each.id for each in sections if run.folder.uri in each.about.split(" · ")), "")


def _place(out: str) -> tuple[Folder, str]:
    """The folder and the name of the file to write. Raises UserError where something else lies there."""
    parent, _, name = out.rpartition("/")
    folder = Folder.at(parent or "/")
    if not name.endswith((".html", ".htm")):
        raise UserError("out is not named *.html", where=out, fix="for example out=report.html")
    if not folder.exists(name):
        return folder, name
    if name in folder.folders():
        raise UserError("out is a folder", where=out, fix="give the name of a file, for example out=report.html")
    with folder.open(name) as file:
        beginning = file.read(HEAD_BYTES)
    if not is_report(beginning):
        raise UserError(
            "out is a file that is no report of ours", where=out, fix="give another out, or remove it yourself"
        )
    return folder, name
