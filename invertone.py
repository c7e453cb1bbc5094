"""The front door: `invertone STAGE NAME|FILE.yaml [key=value …]`, one command per stage; `invertone TOOL RUN` for runs.

Heavy imports happen only inside the stage that needs them, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cluster.config import (
    REQUIRED,
    Catalogue,
    as_yaml,
    build,
    describe,
    did_you_mean,
    files,
    from_words,
    key,
    load,
    names,
    schema_of,
)
from cluster.engine_config import FAILED, MISSING, BulkConfig
from cluster.errors import UserError, as_user_error
from cluster.job_commands import COMMANDS, Order
from cluster.job_commands import use as use_on_cluster
from cluster.limits import refuse_low_limits
from cluster.secrets import without_secrets
from cluster.stopping import LINE, STOPPED, Stop, Stopped, end_children, stoppable
from cluster.tools import AT_ONCE, TOOLS, Tool, print_what


@dataclass(frozen=True)
class Stage:
    """A subcommand. `config` holds its CATALOGUE, `job` its `plan(config)` and `run(name, config)`."""

    name: str
    summary: str
    config: str
    job: str
    example: str


STAGES = (
    Stage(
        "corpus",
        "make a spoken-digit corpus offline, or fetch a public one",
        "ingest.corpus_config",
        "ingest.corpus_job",
        "invertone corpus digits out=runs/digits",
    ),
    Stage(
        "ingest",
        "turn a corpus (a folder or its archive) into WebDataset shards",
        "ingest.config",
        "ingest.job",
        "invertone ingest sc09 source=speech_commands_v0.01.tar.gz out=runs/sc09",
    ),
    Stage(
        "train",
        "train a classifier, a WaveGAN, an inverse mapper or a GAAE on shards",
        "train.config",
        "train.job",
        "invertone train wavegan-debug shards=runs/sc09 out=runs/wavegan",
    ),
    Stage(
        "tune",
        "sweep a training's keys (loss weights, rates) towards goals, many trainings side by side",
        "train.tune_config",
        "train.tune_job",
        "invertone tune gaae-weights given.shards=runs/sc09 given.classifier=runs/classifier out=runs/sweep",
    ),
    Stage(
        "import",
        "take over a published model: WaveGAN from a checkpoint of TensorFlow",
        "train.import_config",
        "train.import_job",
        "invertone import wavegan model.ckpt-103005 out=runs/published",
    ),
    Stage(
        "generate",
        "make clips by a generator: with known latents, or by label and style",
        "infer.generate_config",
        "infer.generate_job",
        "invertone generate clips generator=runs/wavegan count=64 out=runs/synthesised",
    ),
    Stage(
        "infer",
        "recover the latent vector and the reconstruction of every clip",
        "infer.config",
        "infer.job",
        "invertone infer hybrid shards=runs/sc09 generator=runs/wavegan mapper=runs/mapper out=runs/latents",
    ),
    Stage(
        "eval",
        "judge latents, reconstructions and generated clips in a table, beside the papers'",
        "eval.config",
        "eval.job",
        "invertone eval reconstruction latents=runs/latents classifier=runs/classifier out=runs/table",
    ),
    Stage(
        "demo",
        "the whole road on an embedded default, in a few minutes",
        "invertone",
        "invertone",
        "invertone demo",
    ),
)


PIPELINES = ("spoken-digits", "shipped-models")


@dataclass(frozen=True)
class DemoConfig:
    """A pipeline: the same commands a user would type, one after the other."""

    pipeline: str = key("spoken-digits", "which pipeline this is", choices=PIPELINES)
    out: str = key("runs/demo", "folder that takes every step's run folder", path=True)
    steps: list[str] = key(REQUIRED, "the commands, `{out}` standing for the folder above")
    ending: str = key("", "what is said at the end, `{out}` as above")


CATALOGUE = Catalogue(stage="demo", selector="pipeline", schemas=dict.fromkeys(PIPELINES, DemoConfig))
DEFAULT_NAMES = {"demo": "digits"}


def plan(config: DemoConfig) -> list[str]:
    """What `demo --dry-run` prints."""
    return [f"would run: invertone {step}" for step in _steps(config)]


def run(name: str, config: DemoConfig) -> None:
    """Runs the pipeline's commands in one Ray session; each continues what an earlier, interrupted demo left."""
    from cluster.session import session

    steps = _steps(config)
    with session():
        for number, step in enumerate(steps, 1):
            print(f"\n[{number}/{len(steps)}] invertone {step}", flush=True)
            execute(step.split())
    print(_placed(config, config.ending).rstrip())


def _steps(config: DemoConfig) -> list[str]:
    return [_placed(config, step) for step in config.steps]


def _placed(config: DemoConfig, text: str) -> str:
    here = os.path.relpath(config.out)
    return text.replace("{out}", config.out if here.startswith("..") else here)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code: 0 done, 2 the user's mistake, 3 ended incomplete, 128 and the number
    of the signal that stopped it. Without `arguments` it is the process's own command line, and its last act."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        _print_anything()
    try:
        with stoppable(last=arguments is None) as stop:
            return _ended(words, stop)
    except Stopped as told:  # before the command began, or after it was done
        print(LINE, file=sys.stderr)
        return told.code


def _ended(words: list[str], stop: Stop) -> int:
    """The exit code of a command, however it ends."""
    try:
        _import_from_here()
        code = _answered(words)
    except BaseException as error:
        if not stop.arrived and not isinstance(error, KeyboardInterrupt):
            raise
        stop.say()
        code = STOPPED
    if code and stop.arrived:
        if code != STOPPED:  # who ended in order has said what is to be said
            stop.say()
        end_children(os.getpid())
        code = stop.code
    return code


def _print_anything() -> None:
    """Output that is no UTF-8 (a pipe's locale, PYTHONIOENCODING) shows what it lacks as `?`, and output that is closed
    (`>&-`) goes nowhere; neither fails a command."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 (for as long as the process lives)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _answered(words: list[str]) -> int:
    """The exit code of a command that ends by itself; what a user can mend is said in one line."""
    try:
        code = execute(words)
        sys.stdout.flush()
    except UserError as error:
        print(without_secrets(f"invertone: {error}"), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing is wrong, and Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        mendable = as_user_error(error)
        if mendable is None:
            raise
        print(without_secrets(f"invertone: {mendable}"), file=sys.stderr)
        return mendable.exit_code
    return code or 0


def execute(words: list[str]) -> int | None:
    """Runs one command line; raises UserError for what the user can mend. Returns the exit code of a job elsewhere."""
    if not words or words[0] in ("--help", "-h", "help"):
        print(_help())
        return None
    if words[0] == "--version":
        print(importlib.metadata.version("invertone"))
        return None
    command = next((each for each in COMMANDS if each.name == words[0]), None)
    if command is not None:
        return use_on_cluster(command, words[1:], _order, importlib.metadata.version("invertone"))
    tool = next((each for each in (*TOOLS, *AT_ONCE) if each.name == words[0]), None)
    if tool is not None:
        _use(tool, words[1:])
        return None
    stage = _stage(words[0])
    flags = [word for word in words[1:] if word.startswith("-")]
    rest = [word for word in words[1:] if not word.startswith("-")]
    for flag in flags:
        if flag not in ("--help", "-h", "--dry-run"):
            raise UserError(
                f"unknown option {flag!r}", fix="the options are --dry-run and --help; settings are key=value"
            )
    if (not rest or "=" in rest[0]) and stage.name in DEFAULT_NAMES:
        rest = [DEFAULT_NAMES[stage.name], *rest]
    if "--help" in flags or "-h" in flags:
        print(_config_help(stage, rest[0]) if rest and stage.name not in DEFAULT_NAMES else _stage_help(stage))
        return None
    if not rest or "=" in rest[0]:
        raise UserError(f"{stage.name} what?", fix=f"choose one of {', '.join(names(stage.name))} or give a .yaml file")
    config = load(_catalogue(stage), rest[0], rest[1:])
    if getattr(config, "endpoint", ""):
        from cluster.s3 import use_endpoint

        use_endpoint(config.endpoint)
    if "--dry-run" not in flags:
        refuse_low_limits()
    job: Any = sys.modules[__name__] if stage.job == "invertone" else importlib.import_module(stage.job)
    if "--dry-run" in flags:
        print(as_yaml(config) + "\n".join(job.plan(config)))
        return None
    job.run(_job_name(rest[0]), config)
    return None


def _stage(name: str) -> Stage:
    stage = next((each for each in STAGES if each.name == name), None)
    if stage is None:
        known = [each.name for each in (*STAGES, *TOOLS, *AT_ONCE, *COMMANDS)]
        raise UserError(f"no stage named {name!r}", fix=f"choose one of {', '.join(known)}{did_you_mean(name, known)}")
    return stage


def _job_name(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".yaml")


def _order(words: list[str]) -> Order:
    """The command line of a stage that the cluster shall run, checked as if it ran here; its paths as they were written."""
    if not words:
        raise UserError("submit what?", fix="give a stage's command line: invertone submit ingest sc09 source=… out=…")
    stage = _stage(words[0])
    if stage.name in DEFAULT_NAMES:
        raise UserError(f"{stage.name} is for one machine", fix="submit its steps one by one")
    if len(words) < 2 or "=" in words[1]:
        raise UserError(f"{stage.name} what?", fix=f"choose one of {', '.join(names(stage.name))} or give a .yaml file")
    catalogue = _catalogue(stage)
    config = load(catalogue, words[1], words[2:], paths_as_written=True)
    if getattr(config, "endpoint", ""):
        from cluster.s3 import use_endpoint

        use_endpoint(config.endpoint)
    return Order(stage.name, _job_name(words[1]), tuple(words), config, tuple(files(catalogue, words[1])))


def _use(tool: Tool, words: Sequence[str]) -> None:
    flags = {word for word in words if word.startswith("-")}
    rest = [word for word in words if not word.startswith("-")]
    if flags & {"--help", "-h"}:
        print("\n\n".join([tool.help(), *_tool_keys(tool)]))
        return
    for flag in flags - set(tool.options):
        raise UserError(f"unknown option {flag!r}", fix=f"the options are {', '.join(tool.options)} and --help")
    if tool.job:
        _do_at_once(tool, rest)
        return
    if tool.name == "report":
        _report(tool, rest, dry="--dry-run" in flags)
        return
    if len(rest) != 1:
        raise UserError(f"{tool.name} takes one {tool.operand}", fix=f"for example invertone {tool.name} runs/latents")
    from cluster.storage import Folder

    folder = Folder.at(rest[0])
    if tool.name == "retry":
        _retry(folder, dry="--dry-run" in flags, damaged="--damaged" in flags)
    else:
        print_what(tool.name, folder, as_json="--json" in flags)


def _do_at_once(tool: Tool, words: Sequence[str]) -> None:
    config = _configured(tool, words)
    refuse_low_limits()
    print("\n".join(importlib.import_module(tool.job).run(config)))


def _configured(tool: Tool, words: Sequence[str]) -> Any:
    """Words without `=`, and names of files, are values of the tool's operands, in their order; the others are settings."""
    given = [word for word in words if "=" not in word or Path(word).exists()]
    if len(given) > len(tool.operands):
        raise UserError(
            f"{tool.name} takes {tool.operand}, and {given[len(tool.operands)]!r} is too much", fix="see --help"
        )
    schema: Any = getattr(importlib.import_module(tool.config), tool.schema)
    settings = [word for word in words if word not in given]
    return from_words(schema, settings, dict(zip(tool.operands, given, strict=False)))


def _report(tool: Tool, words: Sequence[str], dry: bool) -> None:
    """Operands are run folders, words with `=` are settings, unless a folder has that name."""
    runs = [word for word in words if "=" not in word or Path(word).is_dir()]
    if not runs:
        raise UserError(
            f"{tool.name} of what?", fix="give run folders, for example invertone report runs/table runs/latents"
        )
    schema: Any = importlib.import_module(tool.config).CONFIG
    config = from_words(schema, [word for word in words if word not in runs], {"runs": runs})
    job = importlib.import_module("eval.report.job")
    if dry:
        print("\n".join(job.plan(config)))
        return
    job.run(config)


def _tool_keys(tool: Tool) -> list[str]:
    """What a tool's settings are, if it has any; its operands are no keys."""
    if not tool.config:
        return []
    schema = getattr(importlib.import_module(tool.config), tool.schema)
    rows = [row for row in describe(schema) if row[2] != "required" or row[0] not in tool.operands]
    if not tool.job:
        rows = [row for row in rows if row[2] != "required"]
    return ["\n".join(["Keys, with type and default:", *_key_lines(rows)])]


def _retry(folder: Any, dry: bool, damaged: bool) -> None:
    """Runs a bulk job again as it was recorded, for the units that failed; or, `damaged`, for those of damaged files."""
    from cluster.layout import laid_out
    from cluster.runs import RUN, recorded
    from cluster.s3 import use_endpoint
    from cluster.status import failed, failure_lines
    from cluster.verify import remove_damaged, verify

    folder = laid_out(folder)
    record = recorded(folder)
    stage = next(each for each in STAGES if each.name == record["stage"])
    catalogue = _catalogue(stage)
    schema: Any = catalogue.schemas[record["config"][catalogue.selector]]
    if "units" not in schema.__dataclass_fields__:
        raise UserError(
            f"runs of {stage.name} have no units", where=folder.uri, fix="type its command again to continue"
        )
    config: Any = build(
        schema, record["config"] | {"out": folder.uri, "units": MISSING if damaged else FAILED}, {}, folder.path_of(RUN)
    )
    if config.endpoint:
        use_endpoint(config.endpoint)
    if damaged:
        checked = [each for each in verify(folder) if each.problem]
        print("\n".join(f"{each.name}: {each.problem}" for each in checked) or "no file is damaged")
        if dry or not remove_damaged(folder, checked):
            return
    else:
        failures = failed(folder)
        if dry or not failures:
            print("\n".join(["would try again:"[: 16 * bool(failures)], *failure_lines(failures)]).strip())
            return
    importlib.import_module(stage.job).run(record["name"], config)


def _catalogue(stage: Stage) -> Catalogue:
    return CATALOGUE if stage.config == "invertone" else importlib.import_module(stage.config).CATALOGUE


def _help() -> str:
    lines = [
        "invertone STAGE NAME|FILE.yaml [key=value …] [--dry-run]",
        "",
        "Recovers the latent vectors of audio GANs in bulk: archives → shards → models → Parquet → tables.",
        "",
        "Stages, in the order of the road:",
        *(f"  {each.name:8} {each.summary}" for each in STAGES),
        "",
        "One file at a time, at once:",
        *(f"  {each.name:8} {each.summary}" for each in AT_ONCE),
        "",
        "Tools for the run folders of jobs:",
        *(f"  {each.name:8} {each.summary}" for each in TOOLS),
        "",
        "On a Ray cluster:",
        *(f"  {each.name:8} {each.summary}" for each in COMMANDS),
        "",
        "Start with `invertone demo`. Each stage on its own:",
        *(f"  {each.example}" for each in STAGES if each.name != "demo"),
        "",
        "`invertone STAGE --help` lists the stage's named configs, `invertone STAGE NAME --help` every key of one.",
        "--dry-run prints the resolved config and what would be done. A job that was stopped continues when the same",
        "command is typed again. Jobs run on this machine, or on the Ray cluster that RAY_ADDRESS names.",
        "Exit codes: 0 done, 2 a mistake in the command or its inputs, 3 ended with some work undone, 130 stopped",
        "by Ctrl-C, 143 by SIGTERM, 129 because the terminal closed.",
    ]
    return "\n".join(lines)


def _stage_help(stage: Stage) -> str:
    listed = names(stage.name)
    width = max(map(len, listed))
    lines = [
        f"invertone {stage.name} NAME|FILE.yaml [key=value …] [--dry-run]",
        "",
        f"{stage.summary[0].upper()}{stage.summary[1:]}.",
        "",
        "Named configs:",
        *(f"  {name:{width}}  {_first_comment(stage.name, name)}" for name in listed),
        "",
        f"Example: {stage.example}",
    ]
    if stage.name not in DEFAULT_NAMES:
        lines.append(f"`invertone {stage.name} NAME --help` explains every key.")
    return "\n".join(lines)


def _config_help(stage: Stage, name: str) -> str:
    shared = {each.name for each in fields(BulkConfig)}
    rows = describe(schema_of(_catalogue(stage), name))
    rows.sort(key=lambda row: (row[2] != "required", row[0] in shared))  # what a job is comes before how it is run
    lines = [f"invertone {stage.name} {name} [key=value …] [--dry-run]", "", _first_comment(stage.name, name), ""]
    lines.append("Keys, with type and default (the named config may set others: see --dry-run):")
    return "\n".join(lines + _key_lines(rows))


def _key_lines(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    width, lines = max(len(row[0]) for row in rows), []
    for keyed, kind, default, text in rows:
        head = f"  {keyed:{width}}  "
        body = f"{text} [{kind}, {default}]"
        lines.append(textwrap.fill(body, 118, initial_indent=head, subsequent_indent=" " * len(head)))
    return lines


def _first_comment(stage: str, name: str) -> str:
    if name.endswith((".yaml", ".yml")):
        return ""
    text = importlib.resources.files("configs").joinpath(stage, f"{name}.yaml").read_text(encoding="utf-8")
    first = text.splitlines()[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def _import_from_here() -> None:
    """`generator=mygan:Net` means the mygan.py beside the user, also for the installed script. Last on the path, so that
    nothing there hides a module of ours; Ray and the engine hand this path on to every worker."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


if __name__ == "__main__":
    sys.exit(main())
