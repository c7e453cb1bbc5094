"""A command that is told to stop: by which signal, in what state, with which exit code and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from invertone.cluster import stopping
from invertone.cluster.jobs.driver import _born
from invertone.cluster.stopping import LINE, SIGNALS, end_children, handlers_kept, stoppable, uninterrupted
from tests.signals import started

COMMANDS = {
    "asleep": "time.sleep(60)",
    "in foreign code that heeds no signal": "hashlib.pbkdf2_hmac('sha512', b'', b'', 2**31 - 1)",
    "where the exception is swallowed": """
        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                pass
    """,
    "with a handler of somebody else's": """
        with handlers_kept():
            signal.signal(signal.SIGINT, lambda *_: None)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            time.sleep(60)
    """,
}


def command(work: str, before: str = "") -> subprocess.Popen[str]:
    """A process whose command is `work`, once it is at it. A child of it sleeps."""
    program = f"""
import hashlib, signal, subprocess, sys, time
from invertone import command_line
from invertone.cluster import stopping
from invertone.cluster.stopping import handlers_kept
stopping.GRACE_S = 1.0
{textwrap.dedent(before)}
def work(words):
    child = subprocess.Popen(["sleep", "20"], process_group=0, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(child.pid, flush=True)
{textwrap.indent(textwrap.dedent(work), "    ")}
command_line.execute = work
sys.exit(command_line.main())
"""
    return started([sys.executable, "-c", program], subprocess.PIPE)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("state", COMMANDS)
def test_every_signal_ends_a_command_with_its_word_and_its_code(state: str, number: signal.Signals) -> None:
    process = command(COMMANDS[state])
    assert process.stdout is not None
    child = int(process.stdout.readline())
    born = _born(child)
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors.count(LINE.strip())) == (128 + number, 1), errors
    assert "Traceback" not in errors
    until = time.monotonic() + 10
    while _born(child) == born and time.monotonic() < until:
        time.sleep(0.05)
    assert _born(child) != born, "a child of the command goes on"


def test_what_the_caller_ignores_stays_ignored() -> None:
    """As under `nohup`: a terminal that closes does not end the command."""
    process = command("time.sleep(1)", before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_a_second_signal_does_not_disturb_the_tidying_up() -> None:
    process = command(
        """
        try:
            time.sleep(60)
        finally:
            print("tidying", flush=True)
            time.sleep(0.5)
            print("tidied", flush=True)
        """,
        before="stopping.GRACE_S = 20.0",
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "tidying\n"
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate(timeout=30)
    assert (process.returncode, printed, errors.strip()) == (130, "tidied\n", LINE.strip())


def test_a_caller_s_handlers_are_given_back() -> None:
    # started by `nohup` or in the background the tests inherit ignored signals, which stay so
    inherited = {each: signal.signal(each, signal.SIG_DFL) for each in SIGNALS}
    before = dict.fromkeys(SIGNALS, signal.SIG_DFL)
    with stoppable(last=False) as stop:
        assert all(signal.getsignal(each) == stop.heard for each in SIGNALS)
        with handlers_kept():
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            assert signal.getsignal(signal.SIGINT) == stop.heard
            other = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            assert signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN, "no signal of ours"
            signal.signal(signal.SIGUSR2, other)
    assert {each: signal.getsignal(each) for each in SIGNALS} == before
    for each, handler in inherited.items():
        signal.signal(each, handler)


def test_what_must_not_be_cut_short_is_done_first() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        done = True
    assert done


def test_children_of_children_are_ended() -> None:
    """Also where a group of their own hides them from a terminal's signal."""
    child = "import time; print(1, flush=True); time.sleep(60)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, process_group=0)
    assert process.stdout is not None and process.stdout.readline() == b"1\n"
    family = stopping.below(process.pid)
    assert len(family) == 1
    end_children(process.pid)
    process.wait(timeout=30)
    assert not any(map(_born, family))
