"""Jobs for a Ray cluster, against a real head on loopback that asks for a token."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.submit import job_api as submission
from invertone.cluster.submit.job_api import address_of, entrypoint, environment, new_id
from invertone.cluster.submit.job_logs import exit_code, tail
from tests.made import common_names
from tests.servers import Head, ray_head
from tests.sounds import speechlike, write_sound

SECRET = "planted/Secret+Value-0123456789"


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head() as started:
        yield started


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A user's own folder, outside the checkout, with names in it that would hide ours and Python's."""
    folder = tmp_path / "user"
    (folder / "invertone").mkdir(parents=True)
    (folder / "invertone/__init__.py").write_text("raise AssertionError('the user\\'s folder hides ours')")
    (folder / "queue.py").write_text("raise AssertionError('the user\\'s folder hides Python\\'s')")
    for number in range(8):
        write_sound(folder.parent / f"corpus/{'ab'[number % 2]}/{number:02d}.wav", speechlike(0.3, number))
    return folder


def run(head: Head, folder: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The command with the head's address, in `folder`."""
    variables = head.environment | {"RAY_API_SERVER_ADDRESS": head.address, "PYTHONSAFEPATH": "1"} | changes
    command = [sys.executable, "-m", "invertone", *words]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=180)


def job_of(printed: str) -> str:
    found = re.search(r"^job (\S+) at ", printed, re.MULTILINE)
    assert found, printed
    return found[1]


@pytest.mark.timeout(300)
def test_a_job_runs_there_as_it_would_here_and_nothing_secret_travels(head: Head, user: Path) -> None:
    corpus, out = user.parent / "corpus", user.parent / "out"
    words = ["ingest", "folder", f"source={corpus}", f"out={out}", "clips_per_shard=4"]
    planted = {"AWS_SECRET_ACCESS_KEY": SECRET, "MY_TOKEN": SECRET, "AWS_REGION": "eu-north-1"}
    (user / ".env").write_text(f"KEY={SECRET}")
    done = run(head, user, "submit", *words, **planted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("sending the code of invertone: "), "the command names nothing of this folder"
    assert lines[1] == f"job {job_of(done.stdout)} at {head.address}"
    assert lines[2].startswith("invertone ") and lines[-2].startswith("8 clips (") and lines[-2].endswith(f": {out}")
    assert lines[-1].startswith("of 8 recordings ")
    assert (out / "manifest.json").is_file()

    listed = run(head, user, "jobs", "--json")
    (job,) = [each for each in json.loads(listed.stdout) if each["id"] == job_of(done.stdout)]
    assert (job["state"], job["exit_code"]) == ("done", 0)
    assert job["command"] == "invertone " + " ".join(words)
    token = (Path(head.environment["HOME"]) / ".ray/auth_token").read_text()
    stored = b"".join(path.read_bytes() for place in (head.session, out) for path in place.rglob("*") if path.is_file())
    assert b"eu-north-1" in stored and job["id"].encode() in stored, "the search looks where Ray writes"
    for secret in (SECRET, token):
        assert secret.encode() not in stored
        assert secret not in listed.stdout + done.stdout

    table = run(head, user, "jobs").stdout.splitlines()
    assert table[0].split() == ["ID", "STATE", "STARTED", "TOOK", "COMMAND"]
    again = run(head, user, "logs", job["id"])
    assert (again.returncode, again.stdout.splitlines()) == (0, lines[2:])


@pytest.mark.timeout(300)
def test_a_mistake_found_there_is_the_same_line_and_exit_code_as_here(head: Head, user: Path) -> None:
    strange = user.parent / "no'where; exit 7 $(exit 8)"
    done = run(head, user, "submit", "ingest", "folder", f"source={strange}", f"out={user.parent}/out")
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1].startswith(f"invertone: {strange}: source does not exist; check the path")
    assert "Traceback" not in done.stdout + done.stderr
    refused = run(head, user, "submit", "ingest", "folder", "source=corpus", f"out={user.parent}/out")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("invertone: source=corpus: is a folder or file of this machine")
    assert not (user.parent / "out").exists()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_generator_of_the_user_s_own_travels_with_the_folder(head: Head, user: Path) -> None:
    (user / "tiny.py").write_text(common_names(user))
    (user / ".env").write_text("KEY=1")
    words = ["submit", "generate", "clips", "generator=tiny:Net", "count=2", f"out={user.parent}/clips"]
    done = run(head, user, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"sending {user} (11 files, 0.0 MB) and the code of invertone: ")
    assert lines[1] == "left out (may hold credentials): .env"
    assert json.loads((user.parent / "clips/manifest.json").read_text())["shards"][0]["count"] == 2
    (user / ".rayignore").write_text("tiny.py\n")
    refused = run(head, user, *words)
    assert refused.returncode == 2
    assert "generator=tiny:…: module tiny would not travel: tiny.py is left out (.rayignore)" in refused.stderr


@pytest.mark.timeout(300)
def test_a_job_goes_on_without_us_and_stops_when_told(head: Head, user: Path) -> None:
    write_sound(user.parent / "many/a/0000.wav", speechlike(0.3, 0))
    for number in range(1, 1_000):
        (user.parent / f"many/a/{number:04d}.wav").hardlink_to(user.parent / "many/a/0000.wav")
    out = user.parent / "out"
    words = ["submit", "ingest", "folder", f"source={user.parent}/many", f"out={out}", "clips_per_shard=1", "workers=1"]
    following = subprocess.Popen(
        [sys.executable, "-m", "invertone", *words],
        cwd=user,
        env=head.environment | {"RAY_API_SERVER_ADDRESS": head.address, "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not list(out.glob("__invertone/ledger/commits/*")) and time.monotonic() < until and following.poll() is None:
        time.sleep(0.02)
    following.send_signal(signal.SIGINT)
    printed, errors = following.communicate(timeout=60)
    assert (following.returncode, errors) == (130, "")
    job = job_of(printed)
    assert printed.endswith(f"follow it with: invertone logs {job}\nstop it with:   invertone stop {job}\n")
    stopped = run(head, user, "stop", job)
    assert (stopped.returncode, stopped.stdout) == (0, f"{job}: stopped\n"), stopped.stderr
    log = run(head, user, "logs", job)
    assert log.returncode == 143
    assert log.stdout.rstrip().endswith("invertone: stopped; the same command continues from here")
    assert 0 < len(list(out.glob("__invertone/ledger/commits/*"))) < 1_000
    assert list(out.glob("__invertone/ledger/drivers/*.done.json")), "its lease is given back"


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        (
            ["jobs"],
            {"RAY_AUTH_TOKEN": "0" * 64},
            "the cluster refuses the token of RAY_AUTH_TOKEN; put the head's token",
        ),
        (["jobs"], {"HOME": "/nonexistent"}, "the cluster asks for a token, and there is none; put the head's token"),
        (
            ["jobs", "--address", "http://127.0.0.1:1"],
            {},
            "http://127.0.0.1:1: nothing answers there (Connection refused)",
        ),
        (["logs", "nobody"], {}, "no job 'nobody' on this cluster; `invertone jobs` lists them"),
        (["stop", "../x?y"], {}, "no job '../x?y' on this cluster"),
    ],
)
def test_what_can_go_wrong_with_a_cluster_is_one_line(
    head: Head, tmp_path: Path, words: list[str], changes: dict[str, str], said: str
) -> None:
    done = run(head, tmp_path, *words, **changes)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RAY_AUTH_TOKEN": "0" * 64}, "the cluster refuses the token of RAY_AUTH_TOKEN"),
        ({"HOME": "/nonexistent"}, "a token is needed to join a cluster, and there is none"),
        ({"RAY_ADDRESS": "127.0.0.1:1"}, "nothing answers there (Connection refused)"),
        ({"RAY_ADDRESS": "http://127.0.0.1:1"}, "is the address of a job API"),
    ],
)
def test_joining_a_cluster_by_its_address_fails_in_one_line(
    head: Head, user: Path, changes: dict[str, str], said: str
) -> None:
    words = ["ingest", "folder", f"source={user.parent}/corpus", f"out={user.parent}/out"]
    done = run(head, user, *words, **({"RAY_ADDRESS": head.gcs} | changes))
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_address_is_the_option_s_then_the_environment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    assert address_of("") == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address_of("") == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "https://ray.example/")
    assert address_of("") == "https://ray.example"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://a:1")
    assert address_of("") == "http://a:1"
    assert address_of("http://b:2") == "http://b:2"


@pytest.mark.parametrize("address", ["ray://host:10001", "host:8265", "http://", "http://h:99999", "http://h/path"])
def test_what_is_no_address_of_a_job_api_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="is no address of a job API"):
        address_of(address)


def test_a_token_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError) as refused:
        address_of("http://user:verysecret@host:8265")
    assert "verysecret" not in str(refused.value)


class _Starting:
    """A head whose nodes report at the third question, or never."""

    def __init__(self, ready: int) -> None:
        self.asked, self.ready = 0, ready

    def submit_job(self, **job: Any) -> None:
        self.asked += 1
        if self.asked < self.ready:
            raise RuntimeError("Request failed with status code 500: No available agent to submit job.")


def test_a_head_that_has_just_started_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(submission.time, "sleep", lambda seconds: None)
    client = _Starting(ready=3)
    submission.submit(submission.Cluster("http://a", client, True), "job", ["ingest"], tmp_path, [], "1")
    assert client.asked == 3
    monkeypatch.setattr(submission, "READY_S", 0.0)
    with pytest.raises(UserError, match="the head takes no jobs yet"):
        submission.submit(submission.Cluster("http://a", _Starting(99), True), "job", ["ingest"], tmp_path, [], "1")


def test_an_id_says_what_when_and_differs() -> None:
    first, second = new_id("infer", "My Config!"), new_id("infer", "My Config!")
    assert re.fullmatch(r"infer-my-config-\d{8}-\d{6}-[0-9a-f]{4}", first)
    assert first[:-4] != second or first != second


def test_of_the_environment_only_what_is_listed_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in submission.TRAVELLING:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN", "ANYTHING"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3:9000")
    assert environment() == {"AWS_ENDPOINT_URL": "http://s3:9000", "RAY_JOB_STOP_WAIT_TIME_S": "60"}


@pytest.mark.parametrize(
    "word", ["a=$(touch x)", "a=`touch x`", "a='; touch x; '", 'a="b c"', "a=b\ntouch x", "a=\\", "é=ü"]
)
def test_the_shell_sees_every_word_as_it_was_typed(word: str, tmp_path: Path) -> None:
    shown = entrypoint([word]).replace(
        "-m invertone.cluster.submit.job_main", '-c "import sys; print(repr(sys.argv[1]))"'
    )
    done = subprocess.run(["sh", "-c", shown], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout == f"{word!r}\n", done.stderr
    assert not list(tmp_path.iterdir())


class _Log:
    """A log in pieces, as Ray's client hands it over."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        for piece in self.pieces:
            yield piece


def test_a_log_that_broke_off_goes_on_where_it_was_without_ray_s_remarks(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = ("2026 INFO Runtime env is setting up.\nRunning entrypoint for job a: b\nfir", "st\nsec", "ond")
    shown = asyncio.run(tail(_Log(*pieces[:2]), "job", 0))
    assert (shown, capsys.readouterr().out) == (len("".join(pieces[:2])), "first\nsec\n")
    assert asyncio.run(tail(_Log("".join(pieces)), "job", shown)) == len("".join(pieces))
    assert capsys.readouterr().out == "ond\n"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("FAILED", 2, 2), ("FAILED", -15, 241), ("STOPPED", None, 143), ("SUCCEEDED", None, 0), ("STOPPED", 130, 130)],
)
def test_a_job_s_end_is_the_exit_code_that_it_would_have_had_here(status: str, code: int | None, expected: int) -> None:
    assert exit_code(SimpleNamespace(status=status, driver_exit_code=code)) == expected


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Traceback\nOSError: no room\nsee the log", "did not run: OSError: no room"),
        ("one\n\n two \n", "did not run: two"),
        (None, "did not run: no reason is known"),
    ],
)
def test_a_job_that_never_ran_says_why_in_one_line(message: str | None, said: str) -> None:
    info = SimpleNamespace(status="FAILED", driver_exit_code=None, message=message, submission_id="job-1")
    with pytest.raises(UserError, match=re.escape(said)):
        exit_code(info)
