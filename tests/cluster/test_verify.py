"""Integrity: a file cut short, swapped, flipped or gone is found and named; a sound folder is said to be sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, publish
from invertone.cluster.formats.latents import latents_schema, parquet_bytes
from invertone.cluster.formats.ledger import Commit, Ledger, Output, Unit
from invertone.cluster.formats.runs import RUN
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.jobs.verify import Checked, remove_damaged, unfinished_run, verify
from invertone.cluster.storage.folder import Folder, sha256
from tests.made import made_shards

SCHEMA = latents_schema(2, ["log_magnitude"], {"method": "encoder"})


def bad(folder: Folder) -> dict[str, str]:
    return {each.name.rsplit("/", 1)[-1]: each.problem for each in verify(folder) if each.problem}


@pytest.fixture
def shards(tmp_path: Path) -> Folder:
    folder = Folder.at(str(tmp_path / "shards"))
    made_shards(folder, train=(3, 3), validation=2)
    return folder


@pytest.fixture
def latents(tmp_path: Path) -> Folder:
    folder = Folder.at(str(tmp_path / "latents"))
    ledger = Ledger(folder, "s")
    ledger.fix_plan([Unit("a", {}, 2), Unit("b", {}, 3)], {})
    for unit, items in (("a", 2), ("b", 3)):
        data = parquet_bytes([{"key": f"{unit}{number}", "status": "ok"} for number in range(items)], SCHEMA)
        folder.publish_bytes(f"{unit}.parquet", data)
        ledger.commit(Commit(unit, items, (Output(f"{unit}.parquet", len(data), sha256(data)),), {}))
    folder.publish_json(RUN, {})
    return folder


@pytest.fixture
def checkpoints(tmp_path: Path) -> Folder:
    folder = Folder.at(str(tmp_path / "model"))
    manifest = CheckpointManifest("wavegan", {}, 1, USUAL, "untouched")
    for step in (1, 2):
        files = {"model.safetensors": b"weights" * step, "optimisers.safetensors": b"moments"}
        publish(folder / f"checkpoints/step-{step:08d}", manifest, files)
    return folder


def test_sound_folders_are_sound_to_the_last_byte(shards: Folder, latents: Folder, checkpoints: Folder) -> None:
    for folder, files in ((shards, 3), (latents, 2), (checkpoints, 4), (checkpoints / "checkpoints/step-00000002", 2)):
        found = list(verify(folder))
        assert len(found) == files and not bad(folder)
        assert all(isinstance(each, Checked) and each.bytes == Path(each.name).stat().st_size for each in found)
    assert unfinished_run(latents) == "" and unfinished_run(shards) == ""


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("harm", "said"),
    [(cut, "has"), (flip, "content differs"), (Path.unlink, "is missing")],
    ids=["cut", "flip", "gone"],
)
def test_a_damaged_file_is_named_and_the_others_are_not(
    shards: Folder, latents: Folder, checkpoints: Folder, harm: Callable[[Path], None], said: str
) -> None:
    for folder, name in (
        (shards, "train-000001.tar"),
        (latents, "b.parquet"),
        (checkpoints, "checkpoints/step-00000002/model.safetensors"),
    ):
        harm(Path(folder.path_of(name)))
        found = bad(folder)
        assert list(found) == [name.rsplit("/", 1)[-1]]
        assert said in next(iter(found.values())) or "differs from its manifest" in next(iter(found.values()))


def test_two_files_swapped_are_both_named(shards: Folder) -> None:
    one, other = (Path(shards.path_of(f"train-00000{number}.tar")) for number in (0, 1))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert set(bad(shards)) == {"train-000000.tar", "train-000001.tar"}


def test_fewer_rows_than_items_are_found_even_with_a_fitting_digest(latents: Folder) -> None:
    data = parquet_bytes([{"key": "c0", "status": "ok"}], SCHEMA)
    latents.publish_bytes("c.parquet", data)
    Ledger(latents, "s").commit(Commit("c", 2, (Output("c.parquet", len(data), sha256(data)),), {}))
    assert bad(latents) == {"c.parquet": "holds 1 rows, its unit has 2"}


def test_what_is_no_parquet_is_named(latents: Folder) -> None:
    latents.publish_bytes("d.parquet", b"text")
    Ledger(latents, "s").commit(Commit("d", 2, (Output("d.parquet", 4, sha256(b"text")),), {}))
    assert "cannot be read" in bad(latents)["d.parquet"]
    assert issubclass(pa.ArrowInvalid, pa.ArrowException)


def test_a_run_that_is_not_finished_is_said_to_be_so(latents: Folder) -> None:
    latents.remove("__invertone/ledger/commits/b.json")
    assert bad(latents) == {} and unfinished_run(latents) == "1 of 2 units are not done"


def test_damaged_files_that_a_unit_made_are_removed_and_no_others(latents: Folder, checkpoints: Folder) -> None:
    latents.publish_bytes("b.parquet", latents.read_bytes("b.parquet")[::-1])
    assert remove_damaged(latents, verify(latents)) == {"b"}
    assert latents.names() == ["a.parquet"]
    lost = latents.folders()
    checkpoints.publish_bytes("checkpoints/step-00000001/model.safetensors", b"-")
    assert remove_damaged(checkpoints, verify(checkpoints)) == set(), "no unit makes a checkpoint again"
    assert "model.safetensors" in checkpoints.names("checkpoints/step-00000001") and latents.folders() == lost


def test_a_folder_without_anything_to_verify_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to verify"):
        list(verify(Folder.at(str(tmp_path))))
