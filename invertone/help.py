"""What `--help` says, of everything, from the tables that the commands are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from invertone.cluster.config.files import first_comment, names, read_with_bases
from invertone.cluster.config.loading import schema_of
from invertone.cluster.config.schema import describe
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster_commands import COMMANDS
from invertone.stages import STAGES, Stage
from invertone.tools import AT_ONCE, TOOLS, Tool


def overview() -> str:
    """Every command, and how they are used."""
    lines = [
        "invertone STAGE NAME|FILE.yaml [key=value …] [--dry-run]",
        "",
        "Recovers the latent vectors of GANs of sound and of faces in bulk: archives → shards → models → Parquet → tables.",
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
        "`invertone completion bash|zsh|fish` prints what completes all of this in a shell.",
        "Exit codes: 0 done, 2 a mistake in the command or its inputs, 3 ended with some work undone, 130 stopped",
        "by Ctrl-C, 143 by SIGTERM, 129 because the terminal closed.",
    ]
    return "\n".join(lines)


def of_stage(stage: Stage) -> str:
    """A stage's named configs."""
    listed = names(stage.name)
    width = max(map(len, listed))
    lines = [
        f"invertone {stage.name} NAME|FILE.yaml [key=value …] [--dry-run]",
        "",
        f"{stage.summary[0].upper()}{stage.summary[1:]}.",
        "",
        "Named configs:",
        *(f"  {name:{width}}  {first_comment(stage.name, name)}" for name in listed),
        "",
        f"Example: {stage.example}",
    ]
    if not stage.usual:
        lines.append(f"`invertone {stage.name} NAME --help` explains every key.")
    return "\n".join(lines)


def of_config(stage: Stage, name: str) -> str:
    """Every key of a named config, with the values that it sets."""
    shared = {each.name for each in fields(BulkConfig)}
    own = _flat(read_with_bases(stage.catalogue, name, ())[0])
    rows = [
        (key, kind, _shown(own[key]) if key in own else default, text)
        for key, kind, default, text in describe(schema_of(stage.catalogue, name))
    ]
    rows.sort(key=lambda row: (row[2] != "required", row[0] in shared))  # what a job is comes before how it is run
    lines = [f"invertone {stage.name} {name} [key=value …] [--dry-run]", "", first_comment(stage.name, name), ""]
    lines.append("Keys, with type and the value that this config gives them:")
    return "\n".join(lines + _key_lines(rows))


def of_tool(tool: Tool) -> str:
    """A tool's usage, and its settings if it has any; its operands are no keys."""
    schema = tool.settings()
    if schema is None:
        return tool.help()
    rows = [row for row in describe(schema) if row[2] != "required" or row[0] not in tool.operands]
    return "\n".join([tool.help(), "", "Keys, with type and default:", *_key_lines(rows)])


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        found[prefix + name] = value
    return found


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _key_lines(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    width, lines = max(len(row[0]) for row in rows), []
    for keyed, kind, default, text in rows:
        head = f"  {keyed:{width}}  "
        body = f"{text} [{kind}, {default}]"
        lines.append(textwrap.fill(body, 118, initial_indent=head, subsequent_indent=" " * len(head)))
    return lines
