"""The front door: exit codes, one-line errors, help that answers at once, dry runs that write nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from invertone import command_line
from invertone.cluster.config.files import names
from invertone.cluster.config.loading import load
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.ledger import Failure, Ledger
from invertone.cluster.storage.folder import Folder
from invertone.cluster_commands import COMMANDS
from invertone.demo import CATALOGUE
from invertone.stages import stage_named
from invertone.tools import TOOLS, tool_named
from tests.ingest.layouts import clips_of, speech_commands
from tests.inside import inside
from tests.sounds import speechlike, write_sound

ROOT = Path(__file__).parents[1]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "invertone", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["ingst"],
            "no stage named 'ingst'; choose one of corpus, ingest, train, tune, import, generate, infer, join, eval, demo, "
            "status, failed, "
            "retry, verify, report, invert, decode, models, submit, jobs, logs, stop, completion, help; did you mean 'ingest'",
        ),
        (["ingest"], "ingest what?; choose one of "),
        (["ingest", "source=x"], "ingest what?"),
        (["ingest", "sc9"], "no config named 'sc9' for ingest; choose one of "),
        (["ingest", "sc09"], "configs/ingest/sc09.yaml: out, source not given; add out=… source=…"),
        (
            ["ingest", "sc09", "sorce=x", "out=y"],
            "command line: unknown key 'sorce'; see --help for the keys; did you mean",
        ),
        (["ingest", "sc09", "source"], "command line: 'source' is not of the form key=value"),
        (["ingest", "sc09", "--dryrun"], "unknown option '--dryrun'"),
        (["ingest", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["ingest", "sc09", "--help", "--verbose"], "unknown option '--verbose'"),
        (["ingest", "sc9", "--help"], "no config named 'sc9'"),
    ],
)
def test_a_mistake_in_the_command_is_one_line_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"invertone: {said}")
    assert captured.err.count("\n") == 1


def test_a_mistake_in_the_inputs_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run("ingest", "sc09", f"source={tmp_path}/nowhere", f"out={tmp_path}/out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"invertone: {tmp_path}/nowhere: source does not exist; "
        "check the path, or fetch one with `invertone corpus fetch`\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("it is so", where="here", fix="do that"), 2, "invertone: here: it is so; do that\n"),
        (JobIncompleteError("1 of 2 units were not done"), 3, "invertone: 1 of 2 units were not done\n"),
        (KeyboardInterrupt(), 130, "\ninvertone: stopped; the same command continues from here\n"),
    ],
)
def test_every_way_to_end_has_its_exit_code(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: list[str]) -> None:
        raise error

    monkeypatch.setattr(command_line, "execute", fail)
    assert command_line.main(["ingest"]) == code
    assert capsys.readouterr().err == said


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: list[str]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "execute", fail)
    with pytest.raises(ZeroDivisionError):
        command_line.main(["ingest"])


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], []])
def test_help_names_every_stage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(words) == 0
    printed = capsys.readouterr().out
    for stage in ("corpus", "ingest", "train", "import", "generate", "infer", "join", "eval", "demo"):
        assert f"\n  {stage} " in printed
    assert max(map(len, printed.splitlines())) <= 120


def test_a_stage_s_help_names_its_configs_and_a_config_s_help_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["ingest", "--help"]) == 0
    listed = capsys.readouterr().out
    for name in ("sc09", "librispeech", "folder", "debug"):
        assert f"\n  {name} " in listed
    assert command_line.main(["ingest", "nsynth", "--help"]) == 0
    keys = capsys.readouterr().out
    for key in ("source", "families", "pitch_max", "clips_per_shard"):
        assert f"\n  {key} " in keys
    assert max(map(len, keys.splitlines())) <= 120


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


def test_help_answers_within_half_a_second_and_loads_nothing_heavy() -> None:
    program = (
        "import sys; from invertone import command_line; command_line.main(['--help']); "
        "print(','.join(sorted({'torch', 'ray', 'omegaconf', 'numpy', 'pyarrow', 'fsspec'} & set(sys.modules))), 'loaded')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == " loaded"
    spent = []
    for _ in range(4):  # processor time: another job on the machine is no fault of ours
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(tmp_path: Path) -> None:
    source = speech_commands(tmp_path / "c")
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "invertone", "ingest", "sc09", f"source={source}", "out=out", "seed=3", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "seed: 3\n" in done.stdout
    assert f"out: {tmp_path}/out\n" in done.stdout
    assert "would read: 10 recordings (7 train, 1 validation, 2 test)" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reader_that_has_gone_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "invertone", "--help"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 0


@pytest.mark.timeout(240)
def test_a_job_that_is_told_to_stop_says_so_and_continues_when_typed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(16):
        write_sound(tmp_path / f"c/a/{number:02d}.wav", speechlike(0.3, number))
    command = ["ingest", "folder", f"source={tmp_path}/c", f"out={tmp_path}/out", "clips_per_shard=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "invertone", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ledger = Folder.at(str(tmp_path / "out/__invertone/ledger/commits"))
    until = time.monotonic() + 90
    while not ledger.names() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert errors.rstrip().endswith("invertone: stopped; the same command continues from here")
    before = set(ledger.names())
    assert 0 < len(before) < 16
    stopped = run("status", f"{tmp_path}/out")
    assert "ingest folder: stopped" in stopped.stdout and "the command that started it continues" in stopped.stdout
    stamps = {name: (tmp_path / "out/__invertone/ledger/commits" / name).stat().st_mtime_ns for name in before}

    again = run(*command)
    assert again.returncode == 0, again.stderr
    assert "Traceback" not in again.stderr
    assert "16 clips" in again.stdout
    assert len(clips_of(tmp_path / "out")) == 16
    assert {name: (tmp_path / "out/__invertone/ledger/commits" / name).stat().st_mtime_ns for name in before} == stamps
    with inside():
        tools_tell_and_mend(tmp_path / "out", capsys)


def tools_tell_and_mend(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the tools say of a finished run, of one with a quarantined unit, and of one with a damaged file."""

    def told(*words: str, code: int = 0) -> str:
        assert command_line.main([words[0], f"{out}", *words[1:]]) == code
        return "".join(capsys.readouterr())

    assert json.loads(told("status", "--json"))["units"]["done"] == 16
    assert told("failed") == told("retry") == "nothing failed\n"
    assert "16 files" in told("verify")

    unit = sorted(path.stem for path in out.glob("*.tar"))[3]
    whole = (out / f"{unit}.tar").read_bytes()
    Ledger(Folder.at(str(out))).withdraw({unit})
    (out / f"{unit}.tar").unlink()
    Ledger(Folder.at(str(out))).fail(Failure(unit, "quarantined", "its worker was killed by SIGSEGV", "stack", 3, 1))
    assert "1 quarantined" in told("status")
    assert f"{unit}: quarantined after 3 attempts (1 items): its worker was killed" in told("failed")
    assert told("verify", code=3).startswith(f"{out}/{unit}.tar: file is missing\n")
    assert "would try again" in told("retry", "--dry-run")
    told("retry")
    assert (out / f"{unit}.tar").read_bytes() == whole
    (out / f"{unit}.tar").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"`invertone retry {out} --damaged` makes them again" in told("verify", code=3)
    told("retry", "--damaged")
    assert (out / f"{unit}.tar").read_bytes() == whole
    assert "16 files" in told("verify") and ": done" in told("status")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "status takes one RUN; for example invertone status runs/latents"),
        (["status", "a", "b"], "status takes one RUN"),
        (["retry", "a", "--json"], "unknown option '--json'; the options are --dry-run, --damaged and --help"),
        (["failed", "nowhere"], f"{ROOT}/nowhere: no run here (no run.json); give the out of a job"),
        (["verify", "nowhere"], f"{ROOT}/nowhere: nothing to verify"),
        (["report"], "report of what?; give run folders, for example invertone report runs/table runs/latents"),
        (["report", "nowhere"], f"{ROOT}/nowhere: no such folder; give the out of a job"),
        (
            ["report", "nowhere", "clip=3"],
            "command line: unknown key 'clip'; see --help for the keys; did you mean 'clips'?",
        ),
        (["report", "nowhere", "clips=many"], "command line, key clips: "),
        (["report", "nowhere", "--json"], "unknown option '--json'; the options are --dry-run and --help"),
    ],
)
def test_a_mistake_with_a_tool_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert command_line.main(words) == 2
    assert capsys.readouterr().err.startswith(f"invertone: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit"], "submit what?; give a stage's command line"),
        (["submit", "demo"], "demo is for one machine; submit its steps one by one"),
        (["submit", "ingest"], "ingest what?; choose one of "),
        (["submit", "ingst", "sc09"], "no stage named 'ingst'; "),
        (["submit", "ingest", "sc09", "sorce=x"], "command line: unknown key 'sorce'; "),
        (["submit", "ingest", "sc09", "source=x", "out=s3://b/x"], "source=x: is a folder or file of this machine"),
        (
            ["submit", "ingest", "sc09", "source=https://a:bcd@h/x", "out=s3://b/x"],
            "source=…: looks like a user and password",
        ),
        (["submit", "ingest", "sc09", "token=abc"], "token=…: looks like a credential, which would end up in the "),
        (
            ["submit", "ingest", "sc09", "source=s3://b/c", "out=s3://b/x", "--address", "x"],
            "x: is no address of a job API",
        ),
        (
            ["submit", "ingest", "sc09", "source=s3://b/c", "out=s3://b/x", "--shared", "x"],
            "--shared x: is not an absolute",
        ),
        (["submit", "--adress", "x"], "unknown option '--adress'; the options are --address URL, --shared PATH, "),
        (["submit", "--address"], "--address needs a value; see invertone submit --help"),
        (["jobs", "x"], "jobs takes no 'x'; for one job's log: invertone logs ID"),
        (["logs"], "logs takes one ID; `invertone jobs` lists them"),
        (["stop", "a", "b"], "stop takes one ID; `invertone jobs` lists them"),
    ],
)
def test_a_mistake_with_a_job_of_a_cluster_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"invertone: {said}")
    assert captured.err.count("\n") == 1 and "bcd" not in captured.err and "abc" not in captured.err


def test_a_config_of_the_user_s_travels_with_what_it_extends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user/runs").mkdir(parents=True)
    (tmp_path / "user/my.yaml").write_text("extends: runs/base.yaml\n")
    (tmp_path / "user/runs/base.yaml").write_text("extends: sc09\nseed: 3\n")
    monkeypatch.chdir(tmp_path / "user")
    assert command_line.main(["submit", "ingest", "my.yaml", "source=s3://b/c", "out=s3://b/x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("invertone: runs/base.yaml: would not travel: runs/base.yaml is left out (never sent); ")


def test_help_of_the_commands_for_clusters_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--help"]) == 0
    assert "\nOn a Ray cluster:\n  submit " in capsys.readouterr().out
    for command in COMMANDS:
        assert command_line.main([command.name, "--help"]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"invertone {command.name} [--address URL]")
        assert "~/.ray/auth_token" in printed
        assert max(map(len, printed.splitlines())) <= 120


def test_a_tool_s_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for tool in TOOLS:
        assert command_line.main([tool.name, "--help"]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"invertone {tool.name} {tool.operand} [")
        assert max(map(len, printed.splitlines())) <= 120


@pytest.mark.parametrize("endpoint", ["http://key:secret@host:1", "host:9000", "http://host/bucket"])
def test_an_endpoint_is_an_address_without_credentials(
    endpoint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert (
        command_line.main(
            ["infer", "encoder", "shards=a", "generator=b", "mapper=c", f"out={tmp_path}", f"endpoint={endpoint}"]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert "is no address of a server" in said and "secret" not in said


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_output_that_is_closed_fails_no_command(closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m invertone --help {closed}"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_output_that_is_no_utf_8_shows_what_it_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "invertone", "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"") and b"[key=value ?]" in done.stdout


@pytest.mark.parametrize("name", names("demo"))
def test_every_step_of_a_pipeline_is_a_command_that_is_understood(name: str) -> None:
    """A step whose key has another name by now would be found after the hours of those before it."""
    for step in load(CATALOGUE, name, ["out=/tmp/pipeline"]).steps:
        stage, *words = step.replace("{out}", "/tmp/pipeline").split()
        tool = tool_named(stage)
        if tool is None:
            stage_named(stage).load(words)
        else:
            assert tool.schema and tool.config(words)
