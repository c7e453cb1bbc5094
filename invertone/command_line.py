"""The command line: `invertone STAGE NAME|FILE.yaml [key=value …]`, one command per stage, and tools beside them.

Heavy imports happen only inside the stage that needs them, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from invertone import cluster_commands, help
from invertone.cluster import user_folder
from invertone.cluster.config.schema import as_yaml
from invertone.cluster.errors import UserError, as_user_error
from invertone.cluster.limits import refuse_low_limits
from invertone.cluster.secrets import without_secrets
from invertone.cluster.stopping import LINE, STOPPED, Stop, Stopped, end_children, stoppable
from invertone.completion import completion
from invertone.stages import Stage, stage_named
from invertone.tools import AT_ONCE, TOOLS, Tool, tool_named
from invertone.words import HELP, parsed


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
        user_folder.use(str(Path.cwd()))
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


def execute(words: Sequence[str]) -> int | None:
    """Runs one command line; raises UserError for what the user can mend. Returns the exit code of a job elsewhere."""
    if not words or words[0] in HELP or list(words) == ["help"]:
        print(help.overview())
        return None
    name, *rest = words
    if name == "help":
        name, rest = rest[0], [*rest[1:], "--help"]
    if name in ("--version", "-V"):
        print(importlib.metadata.version("invertone"))
        return None
    command = cluster_commands.command_named(name)
    if command is not None:
        return cluster_commands.use(command, rest)
    if name == "completion":
        completion(rest)
        return None
    tool = tool_named(name)
    if tool is not None:
        _use(tool, rest)
    else:
        others = [each.name for each in (*TOOLS, *AT_ONCE, *cluster_commands.COMMANDS)]
        _do(stage_named(name, [*others, "completion", "help"]), rest)
    return None


def _do(stage: Stage, words: Sequence[str]) -> None:
    options, rest = parsed(stage.name, words, ("--dry-run",), settings=True)
    if "--help" in options:
        print(help.of_config(stage, rest[0]) if rest and not stage.usual else help.of_stage(stage))
        return
    name, config = stage.load(rest)
    if "--dry-run" in options:
        print(as_yaml(config) + "\n".join(stage.plan(config)))
        return
    refuse_low_limits()
    stage.run(name, config)


def _use(tool: Tool, words: Sequence[str]) -> None:
    options, rest = parsed(tool.name, words, tool.options)
    if "--help" in options:
        print(help.of_tool(tool))
        return
    if tool in AT_ONCE:
        refuse_low_limits()
    tool.use(rest, set(options))
