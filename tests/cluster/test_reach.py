"""What a cluster sees of the places in a config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.config.loading import load
from invertone.cluster.config.schema import REQUIRED, Catalogue, key
from invertone.cluster.errors import UserError
from invertone.cluster.submit.reach import checked_shared, classes, places, refuse_relative, refuse_unseen

NAMES = st.text("abc.-_ é", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))


@dataclass(frozen=True)
class Inner:
    mapper: str = key("", "a path in a group", path=True)


@dataclass(frozen=True)
class Job:
    out: str = key(REQUIRED, "a path", path=True)
    runs: list[str] = key([], "paths", path=True)
    named: dict[str, str] = key({}, "paths by name", path=True)
    inner: Inner = Inner()
    label: str = key("a/b", "no path")


def job(out: str = "s3://b/x", **values: object) -> Job:
    return Job(out=out, **values)  # type: ignore[arg-type]


def test_every_path_of_a_config_is_found_by_its_key() -> None:
    config = job("o", runs=["a", "b"], named={"GAAE": "c"}, inner=Inner("d"))
    assert list(places(config)) == [
        ("out", "o"), ("runs", "a"), ("runs", "b"), ("named.GAAE", "c"), ("inner.mapper", "d"),
    ]  # fmt: skip


def test_paths_stay_as_they_were_written_only_where_asked(tmp_path: object) -> None:
    from invertone.ingest.config import CATALOGUE

    words = ["source=a/b", "out=c"]
    assert load(CATALOGUE, "folder", words, paths_as_written=True).source == "a/b"
    assert load(CATALOGUE, "folder", words).source.endswith("/a/b")
    assert isinstance(CATALOGUE, Catalogue)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_relative_path_is_always_refused(parts: list[str]) -> None:
    for place in ("/".join(parts), "./" + "/".join(parts), "~/" + "/".join(parts), "file://" + "/".join(parts)):
        with pytest.raises(UserError, match="of this machine"):
            refuse_relative(job(place))


def test_memory_is_refused_and_addresses_and_classes_are_not() -> None:
    with pytest.raises(UserError, match="memory"):
        refuse_relative(job("memory://x"))
    config = job("s3://b/x", runs=["mygan:Net", "https://h/x", "/abs", "file:///abs"])
    refuse_relative(config)
    assert classes(config) == [("runs", "mygan")]


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, max_size=3))
def test_an_absolute_path_is_seen_below_a_shared_folder_only(folder: list[str], below: list[str]) -> None:
    shared = "/" + "/".join(folder)
    refuse_unseen(job(str(PurePosixPath(shared, *below))), [shared], same_machine=False)
    refuse_unseen(job("/elsewhere"), [], same_machine=True)
    for place in (shared + "x", f"{shared}/../y", "/"):
        with pytest.raises(UserError, match="--shared"):
            refuse_unseen(job(place), [shared], same_machine=False)


def test_what_is_shared_is_named_absolutely() -> None:
    assert checked_shared("/mnt/data") == "/mnt/data"
    with pytest.raises(UserError, match="is not an absolute path"):
        checked_shared("mnt")
