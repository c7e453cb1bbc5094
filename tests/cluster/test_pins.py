"""The versions a job is sent with, and what is said where the cluster has others."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from invertone.cluster.submit import pins as module
from invertone.cluster.submit.pins import disagreement, pins, python
from invertone.cluster.submit.working_directory import code
from tests.test_floors import ROOT


def test_every_package_that_the_code_needs_is_pinned_to_a_version_that_it_takes() -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = {str(canonicalize_name(each.name)): each.specifier for each in map(Requirement, written)}
    assert set(pins()) == set(needed)
    assert [name for name, version in pins().items() if version not in needed[name]] == []
    assert pins()["torch"] == "2.11.0" and "2.10.0" not in needed["torch"] and "2.62.0" not in needed["ray"]


def test_what_is_installed_here_agrees_with_the_pins() -> None:
    assert disagreement(python(), pins()) == ""


def test_where_versions_differ_each_is_named_with_the_way_out() -> None:
    sent = pins() | {"numpy": "1.0", "scipy": "2.0"}
    assert disagreement(python(), sent) == (
        f"the cluster's Python ({sys.executable}) has numpy {importlib.metadata.version('numpy')} (pinned 1.0), "
        f"scipy {importlib.metadata.version('scipy')} (pinned 2.0); "
        "use the image that was built of this version, or submit with --install"
    )
    assert "no-such-package is missing (pinned 1)" in disagreement(python(), pins() | {"no-such-package": "1"})
    assert "none of the packages that are needed" in disagreement(python(), {"no-such-package": "1"})
    assert disagreement("3.99", pins()).startswith(f"the cluster runs Python {python()} (")


def test_a_build_s_own_suffix_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.11.0+cu130")
    assert disagreement(python(), {"torch": "2.11.0"}) == ""
    assert module._installed("torch") == "2.11.0"


def test_a_job_with_other_versions_ends_with_one_line_and_runs_nothing(tmp_path: Path) -> None:
    for name, path in code().items():
        if name.startswith(("invertone/__init__", "invertone/cluster/")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(path.read_bytes())
    (tmp_path / "sent.json").write_text(json.dumps({"invertone": "0", "python": python(), "pins": {"numpy": "1.0"}}))
    command = [sys.executable, "-m", "invertone.cluster.submit.job_main", "ingest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("invertone: the cluster's Python (") and done.stderr.count("\n") == 1


def test_the_constraints_are_those_of_the_checkout() -> None:
    assert (ROOT / "configs/constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()
