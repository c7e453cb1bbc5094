"""The run folder: continued as what it was, refused as anything else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.config.schema import key
from invertone.cluster.errors import UserError
from invertone.cluster.formats.runs import FORMATS, RUN, open_run, versions


@dataclass(frozen=True)
class Inner:
    rate: float = key(0.1, "decides")


@dataclass(frozen=True)
class Config:
    out: str = key("", "where", path=True, neutral=True)
    seed: int = key(0, "decides")
    words: list[str] = key(["a"], "decide")
    workers: int = key(1, "how fast", neutral=True)
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(out=str(tmp_path / "run"))


def test_a_new_run_says_what_it_is(config: Config) -> None:
    folder = open_run("ingest", "sc09", config, {"source": "d1"})
    run = folder.read_json(RUN)
    assert (run["stage"], run["name"], run["config"]["inner"]["rate"]) == ("ingest", "sc09", 0.1)
    assert run["versions"] == versions()
    assert run["versions"]["numpy"][0].isdigit()
    assert run["fingerprint"] == {
        "seed": 0,
        "words": ["a"],
        "inner.rate": 0.1,
        "input.source": "d1",
        "stage": "ingest",
        "formats": FORMATS,
    }


def test_the_same_run_is_continued_and_its_record_stays(config: Config) -> None:
    before = open_run("ingest", "sc09", config, {"source": "d1"}).read_bytes(RUN)
    again = open_run("ingest", "sc09", replace(config, workers=8), {"source": "d1"})
    assert again.read_bytes(RUN) == before


def test_a_key_that_decided_for_an_older_version_and_does_no_more_is_no_difference(config: Config) -> None:
    folder = open_run("ingest", "sc09", config, {})
    record = folder.read_json(RUN)
    folder.publish_json(RUN, record | {"fingerprint": record["fingerprint"] | {"workers": 7}})
    assert open_run("ingest", "sc09", config, {}) == folder


def test_a_key_that_an_older_version_did_not_have_is_no_difference_at_its_usual_value(config: Config) -> None:
    folder = open_run("ingest", "sc09", config, {})
    record = folder.read_json(RUN)
    older = {
        name: value for name, value in record["fingerprint"].items() if name not in ("seed", "inner.rate", "words")
    }
    folder.publish_json(RUN, record | {"fingerprint": older})
    assert open_run("ingest", "sc09", config, {}) == folder
    for change in ({"seed": 1}, {"inner": Inner(0.2)}, {"words": []}):
        with pytest.raises(UserError, match="differs in"):
            open_run("ingest", "sc09", replace(config, **change), {})  # type: ignore[arg-type]


def test_why_another_value_is_another_run_is_said(config: Config) -> None:
    open_run("train", "mapper", config, {"steps": "10"}, {"steps": "its rate depends on them"})
    with pytest.raises(UserError, match=r"input.steps: '10' → '20' \(its rate depends on them\); give another out"):
        open_run("train", "mapper", config, {"steps": "20"}, {"steps": "its rate depends on them"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed: 0 → 1"),
        ({"words": ["a", "b"]}, "words: ['a'] → ['a', 'b']"),
        ({"inner": Inner(0.2)}, "inner.rate: 0.1 → 0.2"),
    ],
)
def test_another_decisive_value_is_refused_by_name(config: Config, change: dict[str, object], said: str) -> None:
    open_run("ingest", "sc09", config, {"source": "d1"})
    with pytest.raises(UserError) as caught:
        open_run("ingest", "sc09", replace(config, **change), {"source": "d1"})
    assert said in str(caught.value)
    assert config.out in str(caught.value)


def test_other_inputs_or_another_stage_are_refused(config: Config) -> None:
    open_run("ingest", "sc09", config, {"source": "d1"})
    with pytest.raises(UserError, match=r"input\.source: 'd1' → 'd2'"):
        open_run("ingest", "sc09", config, {"source": "d2"})
    with pytest.raises(UserError, match="stage: 'ingest' → 'infer'"):
        open_run("infer", "sc09", config, {"source": "d1"})


def test_the_fingerprint_follows_what_decides_and_nothing_else(config: Config, tmp_path: Path) -> None:
    def fingerprint(name: str, **changes: Any) -> Any:
        return open_run("ingest", name, replace(config, **changes), {"source": "d1"}).read_json(RUN)["fingerprint"]

    one = fingerprint("a")
    same = fingerprint("b", out=f"{tmp_path}/2", workers=5)
    other = fingerprint("a", out=f"{tmp_path}/3", seed=5)
    assert one == same != other


@pytest.mark.parametrize("content", ["somebody's.txt", "folder/x.txt"])
def test_a_folder_that_is_not_ours_is_left_alone(config: Config, content: str) -> None:
    path = Path(config.out) / content
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(UserError, match="out is neither empty nor a run of ours"):
        open_run("ingest", "sc09", config, {})
    assert not (Path(config.out) / RUN).exists()


def test_an_out_that_is_a_file_is_refused(config: Config) -> None:
    Path(config.out).write_text("precious")
    with pytest.raises(UserError, match="out is a file"):
        open_run("ingest", "sc09", config, {})


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"fingerprint": 3}'])
def test_a_damaged_record_is_refused(config: Config, damage: bytes) -> None:
    folder = open_run("ingest", "sc09", config, {})
    folder.publish_bytes(RUN, damage)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        open_run("ingest", "sc09", config, {})


def test_an_out_that_cannot_be_made_is_a_user_error() -> None:
    with pytest.raises(UserError, match="/proc/nowhere/run: cannot be written"):
        open_run("ingest", "sc09", Config(out="/proc/nowhere/run"), {})
