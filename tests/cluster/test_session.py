"""The Ray session: one at a time, private to this user, and no thief of signals."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from invertone.cluster.ray.resources import Capacity
from invertone.cluster.ray.session import _start, _submitted_with, protect_token, session, token_file, token_place
from invertone.cluster.stopping import below
from invertone.cluster.storage.s3 import ENDPOINT


def test_a_session_that_is_open_is_used_and_left_open(ray_session: Capacity) -> None:
    import ray

    with session() as inner:
        assert inner == ray_session
    assert ray.is_initialized()
    assert ray_session.cpus >= 1


def test_the_token_is_readable_by_its_owner_alone(ray_session: Capacity) -> None:
    token = Path.home() / ".ray" / "auth_token"
    assert token.is_file()
    assert token.stat().st_mode & 0o777 == 0o600
    assert os.environ["RAY_AUTH_MODE"] == "token"


def listening(process: int) -> set[str]:
    """Local addresses (hexadecimal) on which a process and all below it listen."""
    sockets = set()
    for each in {process, *below(process)}:
        for handle in Path(f"/proc/{each}/fd").glob("*"):
            with contextlib.suppress(OSError):
                sockets.add(str(handle.readlink()).removeprefix("socket:[").removesuffix("]"))
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {fields[1].split(":")[0] for fields in lines if fields[3] == "0A" and fields[9] in sockets}


@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="sockets are looked up in Linux's /proc")
def test_a_local_session_listens_on_loopback_only(ray_session: Capacity) -> None:
    found = listening(os.getpid())
    assert found
    assert found <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def test_the_tests_leave_the_user_s_home_alone() -> None:
    assert "invertone-home-" in str(Path.home())


def test_python_s_handler_of_interrupts_stays(ray_session: Capacity) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_session_that_does_not_come_up_in_time_is_tried_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    tried: list[str] = []

    def init(**options: str) -> None:
        tried.append(options["address"])
        if len(tried) % 2:
            raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr(ray, "init", init)
    _start({"address": "local"})
    assert tried == ["local", "local"]
    with pytest.raises(Exception, match="timed out"):
        _start({"address": "head:6379"})
    assert tried == ["local", "local", "head:6379"], "a cluster's head is not started by us"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in Linux's /proc")
def test_a_signal_to_our_group_does_not_reach_ray_s_own_processes(ray_session: Capacity) -> None:
    family = [process for process in below(os.getpid()) if b"raylet" in Path(f"/proc/{process}/cmdline").read_bytes()]
    assert family and os.getpgrp() not in {os.getpgid(process) for process in family}


def test_a_variable_that_a_job_was_sent_with_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for sent, told in (
        ("", False),
        ("{}", False),
        ('{"runtime_env": {"env_vars": {"AWS_ENDPOINT_URL": "http://s"}}}', True),
    ):
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", sent)
        assert _submitted_with(ENDPOINT) is told


def test_a_token_is_found_where_ray_looks_for_it_and_made_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert (token_file(), token_place()) == (tmp_path / "token", "")
    (tmp_path / "token").write_text("abc")
    (tmp_path / "token").chmod(0o644)
    protect_token()
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert token_place() == str(tmp_path / "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    assert token_place() == "RAY_AUTH_TOKEN"
