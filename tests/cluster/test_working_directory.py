"""What travels with a job, and what stays."""

from __future__ import annotations

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.cluster.submit import working_directory
from invertone.cluster.submit.working_directory import (
    ROOMS,
    code,
    contents,
    pack,
    refuse_missing_file,
    refuse_missing_module,
    refuse_too_large,
)
from tests.test_floors import FLOORS, ROOT


def written(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_every_room_of_ours_travels_whatever_is_ignored() -> None:
    assert {"invertone", *ROOMS} == set(FLOORS)
    files = code()
    tracked = subprocess.run(
        ["git", "ls-files", "invertone", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name if name.startswith("invertone/") else f"invertone/{name}" for name in tracked} <= set(files)
    assert {"invertone/command_line.py", "invertone/configs/constraints.txt", "invertone/models/checkpoint.py"} <= set(
        files
    )
    assert not [name for name in files if "__pycache__" in name]


def test_an_installation_with_a_part_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_directory, "ROOMS", (*ROOMS, "cellar"))
    with pytest.raises(UserError, match="cellar is missing"):
        code()


def test_environments_runs_caches_and_credentials_stay(tmp_path: Path) -> None:
    stay = (".git/config", ".venv/x.py", "runs/a", "a/__pycache__/b.pyc", "x.egg-info/y", ".env", ".env.local")
    stay = (*stay, ".aws/config", "keys/id_rsa", "a/auth_token", "server.pem", ".cache/x")
    go = ("mygan.py", "mygan.safetensors", "conf/my.yaml", "a/runs/b", "a/b.py", ".hidden")
    found = contents(written(tmp_path, *stay, *go))
    assert set(found.files) == set(go)
    assert found.bytes == sum(map(len, go))
    assert set(found.left_out) == {"never sent", "may hold credentials"}
    assert "runs/" in found.left_out["never sent"]


def test_what_jobs_made_stays(tmp_path: Path) -> None:
    made = (
        "out/__invertone/run.json",
        "out/a.parquet",
        "old/run.json",
        "old/ledger/plan.json",
        "model/checkpoint.json",
    )
    made = (*made, "shards/manifest.json", "shards/train-000000.tar", "deep/er/__invertone/run.json")
    go = ("mygan.py", "pack/manifest.json", "data/run.json", "deep/other.py")
    found = contents(written(tmp_path, *made, *go))
    assert set(found.files) == set(go)
    assert found.left_out == {
        "made by a job, lies in storage of its own": ("deep/er/", "model/", "old/", "out/", "shards/")
    }


def test_credentials_stay_by_their_name_and_by_the_variable_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("credentials.json", "my-credentials-1.json", "service_account.json", "credentials.csv", "x.ppk")
    named = {"RAY_AUTH_TOKEN_PATH": "mine.txt", "KUBECONFIG": "conf/cluster.yaml", "MY_TOKEN_FILE": "t"}
    written(tmp_path, "credentials.py", "secrets.py", *names, *named.values())
    for variable, name in named.items():
        monkeypatch.setenv(variable, str(tmp_path / name))
    found = contents(tmp_path)
    assert set(found.files) == {"credentials.py", "secrets.py"}
    assert set(found.left_out["an environment variable says that it holds credentials"]) == set(named.values())


def test_links_out_of_the_folder_and_in_a_circle_stay(tmp_path: Path) -> None:
    root = written(tmp_path / "user", "a/b.py")
    written(tmp_path, "outside/secret")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "a/circle").symlink_to(root)
    (root / "c.py").symlink_to("a/b.py")
    found = contents(root)
    assert set(found.files) == {"a/b.py", "c.py"}
    assert found.left_out == {"a link that leads out of the folder": ("out/",)}


PATTERN = st.sampled_from(
    ["a", "/a", "a/", "*.py", "!keep.py", "b/**", "a/b", "**/c", "# x", "", "!a/keep.py", "[ab]", "keep.*"]
)


@given(st.lists(PATTERN, max_size=4), st.lists(PATTERN, max_size=3), st.sampled_from([".gitignore", ".rayignore"]))
@example(["a/", "!a/keep.py"], [], ".gitignore")
def test_ignore_files_are_read_as_ray_reads_them(
    tmp_path_factory: pytest.TempPathFactory, top: list[str], below: list[str], name: str
) -> None:
    """Ray's own traversal is the oracle."""
    from ray._private.runtime_env.packaging import _dir_travel

    root = tmp_path_factory.mktemp("user")
    written(root, "a/keep.py", "a/b/c", "a/b/x.py", "b/c/d.py", "b/keep.py", "keep.py", "c", "d/a/e")
    (root / name).write_text("\n".join(top))
    (root / "a" / name).write_text("\n".join(below))
    theirs: set[str] = set()

    def take(path: Path) -> None:
        if path.is_file():
            theirs.add(path.relative_to(root).as_posix())

    _dir_travel(root, [], take, include_gitignore=True, logger=logging.getLogger("quiet"))
    assert set(contents(root).files) == theirs


def test_too_much_is_refused_with_the_largest_named(tmp_path: Path) -> None:
    written(tmp_path, "a.py", "big/small")
    with (tmp_path / "big/one").open("wb") as file:
        file.truncate(working_directory.LIMIT_BYTES)
    with pytest.raises(
        UserError, match=r"holds 512 MiB, and Ray takes 512 MiB; largest: big/ 512 MiB, a.py 0 MiB; name"
    ):
        refuse_too_large(contents(tmp_path))
    (tmp_path / ".rayignore").write_text("/big/")
    refuse_too_large(contents(tmp_path))


def test_a_module_of_the_user_s_must_be_among_what_travels(tmp_path: Path) -> None:
    found = contents(written(tmp_path, "mygan.py", "pack/__init__.py", "pack/deep.py", "runs/old.py", ".git/x"))
    for module in ("mygan", "pack", "pack.deep"):
        refuse_missing_module(found, "generator", module)
    with pytest.raises(UserError, match=f"there is no other.py in {tmp_path}"):
        refuse_missing_module(found, "generator", "other")
    with pytest.raises(UserError, match=r"runs/old.py is left out \(never sent\)"):
        refuse_missing_module(found, "generator", "runs.old")


def test_a_config_of_the_user_s_must_be_among_what_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = written(tmp_path / "user", "conf/my.yaml", "runs/my.yaml")
    written(tmp_path, "other.yaml")
    monkeypatch.chdir(root)
    found = contents(root)
    assert refuse_missing_file(found, "./conf/../conf/my.yaml") == refuse_missing_file(found, f"{root}/conf/my.yaml")
    for file, why in (("runs/my.yaml", "never sent"), ("../other.yaml", "does not lie in")):
        with pytest.raises(UserError, match=why):
            refuse_missing_file(found, file)


def test_the_same_files_give_the_same_package(tmp_path: Path) -> None:
    users = contents(written(tmp_path / "user", "a.py", "b/c.py"))
    pack(tmp_path / "1.zip", code(), users, {"sent.json": "{}"})
    (tmp_path / "user/a.py").touch()
    size = pack(tmp_path / "2.zip", code(), users, {"sent.json": "{}"})
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert size == (tmp_path / "2.zip").stat().st_size
    with zipfile.ZipFile(tmp_path / "1.zip") as package:
        names = set(package.namelist())
        assert names == {*code(), "work/", "work/a.py", "work/b/c.py", "sent.json"}
        package.extractall(tmp_path / "there")
    program = "import sys; from invertone import command_line; sys.exit(command_line.main(['ingest', '--help']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path / "there", capture_output=True, env={})
    assert done.returncode == 0, done.stderr


def test_a_file_with_a_credential_of_this_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted/secret+value")
    written(tmp_path / "user", "a.py")
    (tmp_path / "user/notes.txt").write_text("key: planted/secret+value\n")
    with pytest.raises(UserError, match=r"notes.txt: holds the value of AWS_SECRET_ACCESS_KEY") as refused:
        pack(tmp_path / "x.zip", code(), contents(tmp_path / "user"), {})
    assert "planted" not in str(refused.value)
