"""What the tools for run folders do: status, failed, retry, verify, report."""

from __future__ import annotations

import json as text
from dataclasses import asdict
from typing import Any

from invertone.cluster.config.loading import build
from invertone.cluster.config.shared import FAILED, MISSING
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.storage.folder import Folder
from invertone.stages import STAGES


def status(run: str, json: bool) -> None:
    """Prints how far a run is."""
    from invertone.cluster.jobs import status as reading

    found = reading.status(Folder.at(run))
    print(_as_json(found.to_json()) if json else "\n".join(found.lines()))


def failed(run: str, json: bool) -> None:
    """Prints which units and items of a run failed, and why."""
    from invertone.cluster.jobs import status as reading

    failures = reading.failed(Folder.at(run))
    print(_as_json([asdict(each) for each in failures]) if json else "\n".join(reading.failure_lines(failures)))


def verify(path: str, json: bool) -> None:
    """Reads every file below `path` and compares it with what was recorded. Raises JobIncompleteError, after listing them,
    where files are damaged or missing."""
    from invertone.cluster.jobs import verify as reading

    folder = Folder.at(path)
    checked = []
    for each in reading.verify(folder):
        checked.append(each)
        if each.problem and not json:
            print(f"{each.name}: {each.problem}")
    bad = [each for each in checked if each.problem]
    missing = reading.unfinished_run(folder)
    if json:
        files = [asdict(each) for each in checked]
        print(_as_json({"files": files, "damaged": len(bad), "unfinished": missing}))
    if bad:
        again = any(each.unit for each in bad)
        raise JobIncompleteError(
            f"{len(bad):,} of {len(checked):,} files are damaged or missing",
            where=folder.uri,
            fix=f"`invertone retry {folder.uri} --damaged` makes them again" if again else "they are listed above",
        )
    if not json:
        size = sum(each.bytes for each in checked)
        print(f"{len(checked):,} files, {size / 1e6:,.1f} MB: all as recorded{f'; {missing}' if missing else ''}")


def retry(run: str, dry_run: bool, damaged: bool) -> None:
    """Runs a bulk job again as it was recorded, for the units that failed; or, `damaged`, for those of damaged files."""
    from invertone.cluster.formats.runs import RUN, recorded
    from invertone.cluster.jobs import status as reading
    from invertone.cluster.jobs.verify import remove_damaged
    from invertone.cluster.jobs.verify import verify as checks
    from invertone.cluster.storage.layout import laid_out
    from invertone.cluster.storage.s3 import use_endpoint

    folder = laid_out(Folder.at(run))
    record = recorded(folder)
    stage = next(each for each in STAGES if each.name == record["stage"])
    schema: Any = stage.catalogue.schemas[record["config"][stage.catalogue.selector]]
    if "units" not in schema.__dataclass_fields__:
        raise UserError(
            f"runs of {stage.name} have no units", where=folder.uri, fix="type its command again to continue"
        )
    units = MISSING if damaged else FAILED
    config: Any = build(schema, record["config"] | {"out": folder.uri, "units": units}, {}, folder.path_of(RUN))
    if config.endpoint:
        use_endpoint(config.endpoint)
    if damaged:
        checked = [each for each in checks(folder) if each.problem]
        print("\n".join(f"{each.name}: {each.problem}" for each in checked) or "no file is damaged")
        if dry_run or not remove_damaged(folder, checked):
            return
    else:
        failures = reading.failed(folder)
        if dry_run or not failures:
            print("\n".join(["would try again:"[: 16 * bool(failures)], *reading.failure_lines(failures)]).strip())
            return
    stage.run(record["name"], config)


def report(config: Any, dry_run: bool) -> None:
    """Makes one HTML file of run folders."""
    from invertone.eval.report import job

    if dry_run:
        print("\n".join(job.plan(config)))
        return
    job.run(config)


def _as_json(found: object) -> str:
    return text.dumps(found, indent=2)
