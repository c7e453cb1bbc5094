"""Names that several archives of a source share."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from invertone.ingest.plan.side_files import SideFiles
from invertone.ingest.plan.told_apart import told_apart
from invertone.ingest.sources.members import Listing, Member
from invertone.ingest.sources.source import list_source
from tests.ingest.test_source import put, tar_bytes, zip_bytes

DRAW = np.random.default_rng(3)


def paths(source: Path) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Where each path lies, the reasons by place, the notes."""
    found, rejects, notes = told_apart(str(source), list_source(str(source)))
    return (
        {path: member.archive.rpartition("/")[2] or "loose" for path, member in found.items()},
        {each.source_uri.removeprefix(f"{source}/"): each.reason for each in rejects},
        notes,
    )


def test_names_that_restart_in_each_archive_are_other_samples(tmp_path: Path) -> None:
    """As in a WebDataset, whose sounds may well be of one size."""
    for number in range(3):
        files = [(f"{n:03d}.{kind}", DRAW.bytes(64)) for n in range(2) for kind in ("wav", "json")]
        put(tmp_path / f"c/{number:06d}.tar", tar_bytes(files))
    put(tmp_path / "c/other.zip", zip_bytes([("x/1.wav", b"1"), ("README", b"")]))
    found, rejects, notes = paths(tmp_path / "c")
    assert found == {
        "x/1.wav": "other.zip",
        "README": "other.zip",
        **{f"{a:06d}.tar!/{n:03d}.{k}": f"{a:06d}.tar" for a in range(3) for n in range(2) for k in ("json", "wav")},
    }
    assert rejects == {} and notes == ["3 archives are told apart by name, for their paths or splits would be mixed"]


def test_an_archive_that_holds_what_another_holds_counts_once(tmp_path: Path) -> None:
    tar = tar_bytes([(f"yes/{n}.wav", DRAW.bytes(64)) for n in range(5)])
    put(tmp_path / "c/corpus.tar", tar)
    put(tmp_path / "c/corpus.tar.gz", gzip.compress(tar))
    found, rejects, notes = paths(tmp_path / "c")
    assert found == {f"yes/{n}.wav": "corpus.tar" for n in range(5)} and notes == []
    assert rejects == {"corpus.tar.gz": f"holds 5 recordings of {tmp_path}/c/corpus.tar once more"}


def test_what_lies_unpacked_beside_its_archive_counts_once(tmp_path: Path) -> None:
    put(tmp_path / "c/corpus.tar", tar_bytes([(f"yes/{n}.wav", b"x") for n in range(2)]))
    put(tmp_path / "c/yes/0.wav", b"x")
    found, rejects, _ = paths(tmp_path / "c")
    assert found == {"yes/0.wav": "loose", "yes/1.wav": "corpus.tar"}
    assert rejects == {"corpus.tar!/yes/0.wav": "duplicate: another entry has the same name"}


def test_documents_that_every_archive_holds_are_no_recordings(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / f"c/{name}.tar", tar_bytes([("LICENSE", b"free"), (f"{name}/1.wav", b"x")]))
    found, rejects, notes = paths(tmp_path / "c")
    assert set(found) == {"LICENSE", "a/1.wav", "b/1.wav"} and notes == []
    assert list(rejects) == ["b.tar!/LICENSE"]


def test_archives_named_as_splits_are_the_corpus_s_own(tmp_path: Path) -> None:
    for split in ("Train", "val", "other"):
        put(tmp_path / f"c/{split}.tar.gz", tar_bytes([(f"{split}-{n}.wav", b"x") for n in range(2)], "w:gz"))
    found, _, _ = paths(tmp_path / "c")
    assert set(found) == {
        *(f"{split}.tar.gz!/{split}-{n}.wav" for split in ("Train", "val") for n in range(2)),
        *(f"other-{n}.wav" for n in range(2)),
    }


def test_thousands_of_archives_are_each_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebDataset's shards, sounds of one size: what is read of them grows with their number, not with its square."""
    reads: list[str] = []
    monkeypatch.setattr(SideFiles, "read", lambda self, member: reads.append(member.name) or member.archive.encode())
    members = [Member(f"{n}.wav", 10, f"/c/{a:06d}.tar", 512 * n) for a in range(2_000) for n in range(5)]
    found, rejects, _ = told_apart("/c", Listing(members))
    assert len(found) == 10_000 and rejects == [] and len(reads) <= 2_001


def test_of_a_corpus_whose_archives_are_all_told_apart_every_path_begins_with_its_archive(tmp_path: Path) -> None:
    sound = DRAW.bytes(64)
    put(tmp_path / "c/0.tar", tar_bytes([("1.wav", sound), ("1.json", b"{}")]))
    put(tmp_path / "c/1.tar", tar_bytes([("2.wav", DRAW.bytes(64)), ("2.json", b"{}"), ("info.json", b"")]))
    put(tmp_path / "c/2.tar", tar_bytes([("1.wav", sound), ("1.json", b"{}")]))
    put(tmp_path / "c/README", b"x")
    found, rejects, notes = told_apart(str(tmp_path / "c"), list_source(str(tmp_path / "c")), all_apart=True)
    assert sorted(found) == [
        "0.tar!/1.json",
        "0.tar!/1.wav",
        "1.tar!/2.json",
        "1.tar!/2.wav",
        "1.tar!/info.json",
        "README",
    ]
    (reject,) = rejects  # what stands beside a copy's recordings is not told again
    assert reject.reason.startswith("holds 1 recordings of ") and notes == []
