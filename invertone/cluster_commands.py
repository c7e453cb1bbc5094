"""Commands for jobs on a Ray cluster: what each is called, and what it does."""

from __future__ import annotations

import importlib.metadata
import shlex
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invertone.cluster.config.files import files
from invertone.cluster.errors import UserError
from invertone.cluster.progress import duration
from invertone.stages import stage_named
from invertone.words import HELP, parsed

if TYPE_CHECKING:  # the command's own help loads neither Ray nor a storage library
    from invertone.cluster.submit.working_directory import Contents


@dataclass(frozen=True)
class JobCommand:
    """options: those without a value, and by `--name VALUE` those with one."""

    name: str
    summary: str
    operand: str
    options: tuple[str, ...]
    explained: tuple[str, ...]

    def help(self) -> str:
        usage = " ".join([f"invertone {self.name}", *(f"[{option}]" for option in self.options), self.operand]).strip()
        paragraphs = [textwrap.fill(each, 110) if "\n" not in each else each for each in self.explained]
        wrapped = textwrap.fill(usage, 110, subsequent_indent="    ", break_on_hyphens=False)
        return "\n\n".join([wrapped, f"{self.summary[0].upper()}{self.summary[1:]}.", *paragraphs])


_ADDRESS = (
    "The cluster is --address, else RAY_API_SERVER_ADDRESS, else RAY_ADDRESS if that is http(s)://…, else "
    "http://127.0.0.1:8265, where a head on this machine and a tunnel to another one answer. It must ask for a token "
    "(RAY_AUTH_MODE=token); yours is read from RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."
)
COMMANDS = (
    JobCommand(
        "submit",
        "run a stage on the cluster: the same command line, with `submit` before it",
        "STAGE NAME|FILE.yaml key=value …",
        ("--address URL", "--shared PATH", "--detach", "--install", "--dry-run"),
        (
            "Example:\n  invertone submit infer encoder shards=s3://me/sc09 generator=s3://me/wavegan "
            "mapper=s3://me/mapper out=s3://me/latents",
            "The config is checked here, first. Then this folder travels (for a FILE.yaml and a generator class of yours), "
            "and the code of invertone that runs here: 512 MiB at most, without what .gitignore and .rayignore name, "
            "environments, runs, caches and what may hold credentials. The job's log is shown; the exit code is the job's own. "
            "Ctrl-C leaves the job running.",
            "Paths are addresses that the cluster reaches (s3://…). A path of this machine is refused, unless the head runs "
            "here too, or --shared PATH says that the cluster sees the same files below PATH (may be repeated).",
            "--detach returns when the job is sent. --install installs the pinned versions for this job by pip; without it "
            "the job ends at once if the cluster has others. --dry-run sends nothing and shows what would be sent.",
            "No credential travels: of the environment only AWS_ENDPOINT_URL, AWS_REGION and AWS_DEFAULT_REGION.",
            _ADDRESS,
        ),
    ),
    JobCommand(
        "jobs",
        "list the cluster's jobs: id, state, when, how long, command",
        "",
        ("--address URL", "--json"),
        (_ADDRESS,),
    ),
    JobCommand(
        "logs",
        "show a job's log, and follow it while the job runs",
        "ID",
        ("--address URL", "--no-follow", "--follow"),
        (
            "Ends when the job ends, with its exit code. --no-follow prints what there is and ends; --follow is the rule.",
            _ADDRESS,
        ),
    ),
    JobCommand(
        "stop",
        "stop a job and wait until it has",
        "ID",
        ("--address URL",),
        ("The job ends as by Ctrl-C, with exit code 143; submitting the same command again continues it.", _ADDRESS),
    ),
)


def command_named(name: str) -> JobCommand | None:
    """The command of that name, if there is one."""
    return next((each for each in COMMANDS if each.name == name), None)


def use(command: JobCommand, words: Sequence[str]) -> int:
    """Does what the command line says and returns the exit code."""
    if set(HELP) & set(words):
        print(command.help())
        return 0
    options, rest = parsed(command.name, words, command.options, settings=command.name == "submit")
    if command.name == "submit":
        return _submit(options, rest)
    from invertone.cluster.submit import job_api as submission

    address = submission.address_of((options.get("--address") or [""])[-1])
    if command.name == "jobs":
        if rest:
            raise UserError(f"jobs takes no {rest[0]!r}", fix="for one job's log: invertone logs ID")
        found = submission.jobs(submission.connect(address))
        print(submission.as_json(found) if "--json" in options else "\n".join(_table(found)))
        return 0
    if len(rest) != 1:
        raise UserError(f"{command.name} takes one ID", fix="`invertone jobs` lists them")
    cluster = submission.connect(address)
    if command.name == "stop":
        print(f"{rest[0]}: {submission.stop(cluster, rest[0])}")
        return 0
    if "--no-follow" in options:
        submission.last_lines(cluster, rest[0])
        return 0
    submission.job_info(cluster, rest[0])
    return _followed(cluster, rest[0], _suffix(options))


@dataclass(frozen=True)
class Order:
    """A checked command line of a stage. words: as typed; files: the user's YAML files it is made of, its own first."""

    stage: str
    name: str
    words: tuple[str, ...]
    config: Any
    files: tuple[str, ...]


def ordered(words: Sequence[str]) -> Order:
    """The command line of a stage that the cluster shall run, checked as if it ran here; its paths as they were written."""
    if not words:
        raise UserError("submit what?", fix="give a stage's command line: invertone submit ingest sc09 source=… out=…")
    stage = stage_named(words[0])
    if stage.usual:
        raise UserError(f"{stage.name} is for one machine", fix="submit its steps one by one")
    name, config = stage.load(words[1:], paths_as_written=True)
    return Order(stage.name, name, tuple(words), config, tuple(files(stage.catalogue, words[1])))


def _submit(options: Mapping[str, list[str]], rest: list[str]) -> int:
    import tempfile

    from invertone.cluster.secrets import refuse_secret
    from invertone.cluster.submit import job_api as submission
    from invertone.cluster.submit.pins import CONSTRAINTS, pins
    from invertone.cluster.submit.reach import checked_shared, refuse_relative, refuse_unseen
    from invertone.cluster.submit.working_directory import pack

    for word in rest:
        refuse_secret(word)
    asked = ordered(rest)
    refuse_relative(asked.config)
    shared = [checked_shared(folder) for folder in options.get("--shared", [])]
    users, words = _travelling(asked)
    address = submission.address_of((options.get("--address") or [""])[-1])
    cluster = submission.connect(address)
    refuse_unseen(asked.config, shared, cluster.here)
    wanted, version = pins(), importlib.metadata.version("invertone")
    install = _install(wanted, CONSTRAINTS) if "--install" in options else []
    with tempfile.TemporaryDirectory(prefix="invertone-") as place:
        package = Path(place) / "package.zip"
        size = _pack(package, users, wanted, version, pack)
        for line in _said(users, size):
            print(line)
        if "--dry-run" in options:
            print(f"would run at {address}: {shlex.join(['invertone', *words])}")
            print("\n".join(f"with {name}={value}" for name, value in submission.environment().items()))
            print("\n".join(f"by pip: {line}" for line in install) or "with the packages that the cluster has")
            return 0
        job = submission.new_id(asked.stage, asked.name)
        submission.submit(cluster, job, words, package, install, version)
    suffix = _suffix(options)
    print(f"job {job} at {address}", flush=True)
    if options.get("--detach"):
        print(f"follow it with: invertone logs {job}{suffix}\nstop it with:   invertone stop {job}{suffix}")
        return 0
    return _followed(cluster, job, suffix)


def _travelling(asked: Order) -> tuple[Contents, list[str]]:
    """What of this folder travels, and the words with a FILE.yaml named as it is called there. A module of the user's may need
    whatever lies beside it; without one, only the files that the command names are needed."""
    from invertone.cluster.submit.reach import classes
    from invertone.cluster.submit.working_directory import (
        contents,
        refuse_missing_file,
        refuse_missing_module,
        refuse_too_large,
    )

    users = contents(Path.cwd())
    words = list(asked.words)
    named = [refuse_missing_file(users, file) for file in asked.files]
    words[1:2] = named[:1] or words[1:2]
    modules = classes(asked.config)
    for key, module in modules:
        refuse_missing_module(users, key, module)
    if not modules:
        users = users.only(named)
    refuse_too_large(users)
    return users, words


def _pack(package: Any, users: Contents, wanted: Mapping[str, str], version: str, pack: Callable[..., int]) -> int:
    import json

    from invertone.cluster.submit.job_main import SENT
    from invertone.cluster.submit.pins import python
    from invertone.cluster.submit.working_directory import code

    notes = {SENT: json.dumps({"invertone": version, "python": python(), "pins": dict(wanted)}, indent=2)}
    return pack(package, code(), users, notes)


def _install(wanted: Mapping[str, str], constraints: str) -> list[str]:
    """Lines for pip: what is needed, everything else by the constraints in the package. Ray itself is the cluster's."""
    lines = [f"{name}=={version}" for name, version in wanted.items() if name != "ray"]
    return [f"--constraint ${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{constraints}", *lines]


def _said(users: Contents, size: int) -> list[str]:
    theirs = f"{users.folder} ({len(users.files):,} files, {users.bytes / 1e6:,.1f} MB) and " if users.files else ""
    lines = [f"sending {theirs}the code of invertone: {size / 1e6:,.1f} MB packed"]
    for reason, names in users.left_out.items():
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6:,} more" if len(names) > 6 else "")
        lines.append(f"left out ({reason}): {shown}")
    return lines


def _followed(cluster: Any, job: str, suffix: str) -> int:
    from invertone.cluster.submit import job_api as submission

    try:
        return submission.follow(cluster, job)
    except KeyboardInterrupt:
        print(
            f"\nthe job goes on\nfollow it with: invertone logs {job}{suffix}\nstop it with:   invertone stop {job}{suffix}",
            flush=True,
        )
        return 130


def _suffix(options: Mapping[str, list[str]]) -> str:
    """So that a suggested command goes to the same cluster."""
    return f" --address {options['--address'][-1]}" if "--address" in options else ""


def _table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    if not found:
        return ["no jobs yet"]
    rows = [("ID", "STATE", "STARTED", "TOOK", "COMMAND")]
    for each in found:
        state = each["state"] + (f" ({each['exit_code']})" if each["exit_code"] else "")
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each["started"])) if each["started"] else "-"
        took = duration(each["took"]) if each["took"] is not None else "-"
        rows.append((each["id"], state, started, took, each["command"]))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join([*(f"{row[at]:{widths[at]}}" for at in range(4)), row[4]]) for row in rows]
