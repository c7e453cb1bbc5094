"""Completion in a shell: what may come next, from the tables that the commands are made of; and in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from invertone import command_line
from invertone.cluster.config.files import names
from invertone.completion import SCRIPTS, candidates


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("invertone ing", ["ingest"]),
        ("invertone help dem", ["demo"]),
        ("invertone completion ", list(SCRIPTS)),
        ("invertone ingest sc", ["sc09"]),
        ("invertone ingest sc09 lev", ["levels="]),
        ("invertone ingest sc09 levels=", ["levels=untouched", "levels=peak"]),
        ("invertone ingest sc09 levels=peak lev", []),
        ("invertone train gaae-debug front_end.ref", ["front_end.reference="]),
        ("invertone train gaae-debug front_end.reference=f", ["front_end.reference=full_scale"]),
        ("invertone infer encoder autoscaling=t", ["autoscaling=true"]),
        ("invertone ingest sc09 --d", ["--dry-run"]),
        ("invertone ingest nothing l", []),
        ("invertone status --", ["--json", "--help"]),
        ("invertone report runs/x ti", ["title="]),
        ("invertone submit --a", ["--address"]),
        ("invertone submit --address http://h:1 ing", ["ingest"]),
        ("invertone submit --detach ingest sc09 form", ["format="]),
        ("invertone submit ingest sc09 format=f", ["format=flac"]),
    ],
)
def test_what_may_come_next(line: str, found: list[str]) -> None:
    assert list(candidates(line)) == found


def test_every_stage_s_configs_come_next_and_files_of_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: sc09\n")
    assert list(candidates("invertone ingest ")) == [*names("ingest"), "mine.yaml"]
    assert list(candidates("invertone ingest mine.yaml lev")) == ["levels="]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert "completion words" in printed and "\\\n" not in printed[:2]


def test_another_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["completion", "csh"]) == 2
    assert capsys.readouterr().err == "invertone: completion of which shell?; give one of bash, zsh, fish\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("invertone ing", ["ingest"]),
        ("invertone ingest sc09 lev", ["levels="]),
        ("invertone ingest sc09 levels=", ["untouched", "peak"]),
        ("invertone ingest sc09 levels=p", ["peak"]),
        ("invertone ingest sc09 source=cor", ["corpus"]),
        ("invertone status cor", ["corpus"]),
    ],
)
def test_bash_completes(line: str, found: list[str], tmp_path: Path) -> None:
    """As readline calls it: words are broken at blanks and at `=`."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/invertone"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m invertone "$@"\n')
    program.chmod(0o755)
    words = [part for word in line.split(" ") for part in word.replace("=", " = ").split(" ")]
    words = [word for at, word in enumerate(words) if word or at == len(words) - 1]
    script = f"""
eval "$(invertone completion bash)"
compopt() {{ :; }}
COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=({" ".join(f"'{word}'" for word in words)}) COMP_CWORD={len(words) - 1}
_invertone invertone '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (found, "")
