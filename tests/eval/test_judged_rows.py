"""The reconstruction table from inference's rows: the numbers that sound gives, without hearing anything but the baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from invertone.cluster.config.loading import load
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.latents import METADATA_KEY, committed_parts, described, read_part, table_bytes
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.storage.folder import Folder, sha256
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.measures.columns import column_names
from invertone.eval.measures.draws import key_digests, sampled
from invertone.eval.schemas import measures
from invertone.eval.tables import judge
from invertone.models import scores
from tests.infer.test_job import infer
from tests.infer.test_job import place as place  # the same models serve here
from tests.inside import inside
from tests.made import train_tiny

EVERYTHING = f"[{','.join(column_names()[1:])}]"
BARE = "table: reconstruction\n"
"""A config with every column that there is."""


@pytest.fixture(scope="module")
def runs(place: Folder, tmp_path_factory: pytest.TempPathFactory) -> list[Folder]:
    """Two inferences of clips that their generator made: with scores, and with sound as well."""
    from invertone.infer.generate.config import CATALOGUE
    from invertone.infer.generate.job import run

    folder = tmp_path_factory.mktemp("rows")
    given = {"generator": (place / "wavegan").uri, "classifier": (place / "classifier").uri, "out": folder / "shards"}
    with inside():
        words = [f"{key}={value}" for key, value in given.items()]
        run("clips", load(CATALOGUE, "clips", [*words, "count=20", "clips_per_shard=8", "device=cpu"]))
        shards = str(folder / "shards")
        encoder = infer(place, "encoder", folder / "encoder", shards=shards, rows="scores")
        return [encoder, infer(place, "hybrid", folder / "hybrid", shards=shards, evaluations=2)]


@pytest.fixture
def ask(tmp_path: Path, in_process: None) -> Callable[..., Any]:
    """A config of the table with every column."""
    (tmp_path / "bare.yaml").write_text(BARE)

    def asked(out: str, runs: list[Folder], **values: Any) -> Any:
        latents = f"[{','.join(folder.uri for folder in runs)}]"
        given = {"out": tmp_path / out, "latents": latents, "device": "cpu", "workers": 1, **values}
        return load(CATALOGUE, str(tmp_path / "bare.yaml"), [f"{key}={value}" for key, value in given.items()])

    return asked


def table(config: Any) -> dict[str, Any]:
    run("reconstruction", config)
    return dict(Folder.at(config.out).read_json("table.json"))


def by_row(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["row"]: row for row in made["rows"]}


def how(config: Any) -> str:
    """By what --dry-run says that clips would be judged."""
    (line,) = plan(config)
    return line.rpartition("by their ")[2]


def test_rows_of_recordings_and_their_sound_give_the_same_table(
    ask: Callable[..., Any], place: Folder, tmp_path: Path
) -> None:
    """Labels are the corpus's own, of which the classifier hears some as others."""
    run = [infer(place, "encoder", tmp_path / "encoder", rows="scores")]
    one, other = table(ask("rows", run)), table(ask("sound", run, columns=EVERYTHING))
    for read, heard in zip(one["rows"], other["rows"], strict=True):
        for name, value in read.items():
            wanted = heard[name]
            assert value == (pytest.approx(wanted, rel=2e-5, abs=1e-6) if isinstance(wanted, float) else wanted), name
    assert 0 < by_row(one)["real"]["accuracy"] < 1 and "latent_error" not in by_row(one)["encoder"]


@pytest.mark.parametrize("sample", [1_000, 9])
def test_rows_and_sound_give_the_same_table(ask: Callable[..., Any], runs: list[Folder], sample: int) -> None:
    rows, sound = ask("rows", runs, sample=sample), ask("sound", runs, sample=sample, columns=EVERYTHING)
    assert (how(rows), how(sound)) == ("rows", "sound")
    one, other = table(rows), table(sound)
    assert list(by_row(one)) == ["encoder", "hybrid", "real", "silence", "random latent"] == list(by_row(other))
    for read, heard in zip(one["rows"], other["rows"], strict=True):
        assert set(heard) - set(read) == {"frechet_penultimate"}
        for name, value in read.items():
            wanted = heard[name]
            assert value == (pytest.approx(wanted, rel=2e-5, abs=1e-6) if isinstance(wanted, float) else wanted), name
    for read, heard in zip(one["intervals"], other["intervals"], strict=True):
        assert read.keys() == heard.keys()
        for name, ends in read.items():
            assert ends == pytest.approx(heard[name], rel=2e-5, abs=1e-5), name
    real, random = by_row(one)["real"], by_row(one)["random latent"]
    assert real["latent_error"] == 0 < by_row(one)["encoder"]["latent_error"] < 2 and real["accuracy"] == 1
    assert real["ssim"] == 1 and real["feature_distance"] == 0 and real["frechet_logits"] == pytest.approx(0, abs=1e-9)
    clips = 20 if sample > 20 else sum(sampled(key_digests(keys(runs[0])), 0, sample / 20))
    assert real["clips"] == 20 and random["clips"] == by_row(one)["silence"]["clips"] == clips
    said = f"silence and random latent are judged on {clips} of the 20 clips"
    assert any(said in note for note in one["notes"]) == (clips < 20) == any(said in note for note in other["notes"])


def keys(folder: Folder) -> list[str]:
    return [key for part in committed_parts(folder) for key in read_part(folder, part)["key"].to_pylist()]


def test_nothing_is_heard_but_the_sample(
    ask: Callable[..., Any], runs: list[Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = list[int]()
    hear = scores.hear

    def counted(classifier: Any, waveform: Any) -> Any:
        heard.append(len(waveform))
        return hear(classifier, waveform)

    monkeypatch.setattr(scores, "hear", counted)
    found = by_row(table(ask("out", runs, sample=5)))
    # each clip of the sample and its random latent; silence once
    assert sum(heard) == 2 * found["silence"]["clips"] + 1 and 0 < found["silence"]["clips"] < 12


def test_what_rows_do_not_hold_is_said_in_one_line_and_only_where_it_was_asked_for(
    ask: Callable[..., Any], runs: list[Folder]
) -> None:
    said = "Made of the rows of inference, which do not hold FD penultimate: name it in columns"
    assert sum(said in note for note in table(ask("a", runs))["notes"]) == 1
    assert not any(said in note for note in table(ask("b", runs, columns="[ssim]"))["notes"])


@pytest.fixture
def extra() -> Iterator[None]:
    """A measure that somebody added, of waveforms."""
    mine = measures.Measure("peak", "Peak", mean=True, per_clip="nowhere:peak")
    measures.MEASURES.append(mine)
    yield
    measures.MEASURES.remove(mine)


def test_sound_is_judged_where_rows_do_not_do(
    ask: Callable[..., Any], runs: list[Folder], place: Folder, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert how(ask("out", runs)) == how(ask("out", runs, columns="[ssim,accuracy,seconds]")) == "rows"
    assert how(ask("out", runs, columns="[frechet_penultimate]")) == "sound"
    shards = f"{Path(runs[0].uri).parent}/shards"
    bare = infer(place, "encoder", tmp_path / "bare", shards=shards, rows="latents")
    assert how(ask("out", [bare])) == how(ask("out", [*runs, bare])) == "sound"
    unheard = infer(place, "encoder", tmp_path / "unheard", shards=shards, rows="scores", classifier="")
    assert how(ask("out", [unheard])) == "rows", "no classifier, nothing to hear"
    assert (
        how(ask("out", [runs[0], unheard]))
        == how(ask("out", [unheard], classifier=(place / "classifier").uri))
        == "sound"
    )
    train_tiny("classifier-debug", place / "shards", Folder.at(str(tmp_path / "other")), steps=1, checkpoint_every=1)
    assert how(ask("out", runs, classifier=tmp_path / "other")) == "sound"
    old = copied(runs[0], tmp_path / "old", lambda rows: rows.drop_columns(["waveform_mae"]))
    assert how(ask("out", [old])) == how(ask("out", [runs[1], old])) == "sound"
    request.getfixturevalue("extra")
    assert (how(ask("out", runs)), how(ask("out", runs, columns="[ssim]"))) == ("sound", "rows")


def test_without_a_classifier_rows_say_the_rest(
    ask: Callable[..., Any], runs: list[Folder], place: Folder, tmp_path: Path
) -> None:
    shards = f"{Path(runs[0].uri).parent}/shards"
    unheard = infer(place, "encoder", tmp_path / "unheard", shards=shards, rows="scores", classifier="")
    made = table(ask("out", [unheard]))
    heard = by_row(table(ask("heard", runs[:1])))["encoder"]
    found = by_row(made)["encoder"]
    assert found == {
        name: pytest.approx(heard[name]) if name not in ("row", "seconds") else found[name] for name in found
    }
    assert (
        "accuracy" not in found and "ssim" in found and not any("rows of inference" in note for note in made["notes"])
    )


def copied(source: Folder, to: Path, change: Callable[[pa.Table], pa.Table]) -> Folder:
    """The same run with other rows, as committed as before. The change is made to each file."""
    folder, ledger = Folder.at(str(to)), Ledger(Folder.at(str(to)), "test")
    for name in ("run.json", "summary.json", "ledger/plan.json", "ledger/units.pq"):
        folder.publish_bytes(f"__invertone/{name}", source.read_bytes(f"__invertone/{name}"))
    for commit in Ledger(source).commits():
        (output,) = commit.outputs
        rows = read_part(source, output)
        data = table_bytes(change(rows).replace_schema_metadata({METADATA_KEY: rows.schema.metadata[METADATA_KEY]}))
        folder.publish_bytes(output.name, data)
        output = dataclasses.replace(output, bytes=len(data), sha256=sha256(data))
        ledger.commit(dataclasses.replace(commit, outputs=(output,)))
    assert described(folder) == described(source)
    return folder


def with_column(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)


def failing(rows: pa.Table) -> pa.Table:
    """The second row of each file failed, and holds nothing that was computed."""
    there = np.arange(len(rows)) != 1
    for name in rows.column_names:
        if name not in ("key", "label", "label_name", "split", "source_uri", "start", "length", "method"):
            at = pa.array([each if good else None for each, good in enumerate(there)])
            rows = with_column(rows, name, rows[name].take(at).combine_chunks())
    return with_column(rows, "status", pa.array(["ok" if good else "error" for good in there]))


def test_a_clip_that_failed_in_one_run_is_in_no_row(
    ask: Callable[..., Any], runs: list[Folder], tmp_path: Path
) -> None:
    some = copied(runs[0], tmp_path / "some", failing)
    made = by_row(table(ask("rows", [some, runs[1]])))
    heard = by_row(table(ask("sound", [some, runs[1]], columns=EVERYTHING)))
    assert {name: (row["clips"], row["failed"]) for name, row in made.items()} == {
        "encoder": (17, 3), "hybrid": (17, 0), "real": (17, 0), "silence": (17, 0), "random latent": (17, 0),
    }  # fmt: skip
    for name, row in made.items():
        assert row["ssim"] == pytest.approx(heard[name]["ssim"], rel=1e-5)
        if name != "silence":
            assert row["latent_error"] == pytest.approx(heard[name]["latent_error"], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.take(pa.array(range(len(rows) - 1, -1, -1))), "rows are not of the same clips as those of hybrid"),
        (lambda rows: with_column(rows, "ssim", pa.nulls(len(rows), pa.float64())), "rows with a result have no ssim"),
        (lambda rows: pa.concat_tables([rows, rows]), "rows, .* has . clips"),
    ],
    ids=["order", "null", "twice"],
)  # fmt: skip
def test_rows_that_are_not_what_they_should_be_are_no_numbers(
    ask: Callable[..., Any], runs: list[Folder], tmp_path: Path, change: Any, said: str
) -> None:
    odd = copied(runs[0], tmp_path / "odd", change)
    with pytest.raises(JobIncompleteError, match=said):
        table(ask("out", [runs[1], odd]))


def test_a_run_of_the_first_clips_is_compared_with_one_of_all(
    ask: Callable[..., Any], runs: list[Folder], place: Folder, tmp_path: Path
) -> None:
    shards = f"{Path(runs[0].uri).parent}/shards"
    few = infer(place, "encoder", tmp_path / "few", shards=shards, rows="scores", limit=11)
    both, one = table(ask("both", [few, runs[1]])), table(ask("alone", [runs[1]], limit=11))
    made, alone = by_row(both), by_row(one)
    shared = "those that every run has a result for; rows there are: encoder 11, hybrid 20."
    assert any(note.endswith(shared) for note in both["notes"])
    assert "Of the first 11 clips alone (limit)." in one["notes"]
    assert {name: row["clips"] for name, row in made.items()} == dict.fromkeys(made, 11)
    assert alone["real"] == made["real"] and alone["hybrid"]["clips"] == 11
    heard = by_row(table(ask("heard", [runs[1]], limit=11, columns=EVERYTHING)))
    assert heard["hybrid"]["clips"] == 11 and heard["hybrid"]["ssim"] == pytest.approx(
        alone["hybrid"]["ssim"], rel=1e-5
    )


def test_sums_of_sound_serve_any_column_and_those_of_rows_what_rows_hold(
    ask: Callable[..., Any], runs: list[Folder]
) -> None:
    sound = ask("sound", runs, columns="[frechet_penultimate,ssim]")
    table(sound)
    again = ask("sound", runs)
    assert how(again) == "sound" and "frechet_penultimate" in by_row(table(again))["encoder"]
    summary = Folder.at(again.out).read_json("__invertone/summary.json")
    assert summary["units_of_last_run"] == 0, "the clips were heard again"
    table(ask("rows", runs))
    with pytest.raises(UserError, match=r"out holds a run that differs in input\.judged"):
        table(ask("rows", runs, columns="[frechet_penultimate]"))


def test_many_shards_are_one_unit(ask: Callable[..., Any], runs: list[Folder], monkeypatch: pytest.MonkeyPatch) -> None:
    from invertone.eval.tables import reconstruction

    together = table(ask("together", runs))
    monkeypatch.setattr(reconstruction, "ROWS_PER_UNIT", 9)
    apart = table(ask("apart", runs))
    for folder, units in (("together", 1), ("apart", 2)):
        out = Folder.at(ask(folder, runs).out)
        assert len(out.names("sums")) == units
    for one, other in zip(together["rows"], apart["rows"], strict=True):
        assert one == {
            name: pytest.approx(each, rel=1e-6, abs=1e-9) if isinstance(each, float) else each
            for name, each in other.items()
        }


def test_a_clip_that_kills_the_judge_is_in_no_row(runs: list[Folder]) -> None:
    from invertone.cluster.formats.shards import load_manifest
    from invertone.eval.measures.comparing import CLIPS
    from invertone.eval.tables.judged_rows import read_rows

    entry = load_manifest(Folder.at(described(runs[0])["inputs"]["shards"])).shards[0]
    work = {"shard": dataclasses.asdict(entry), "parts": {"encoder": dataclasses.asdict(committed_parts(runs[0])[0])}}
    rows = read_rows([judge.Run("encoder", runs[0].uri, False, "encoder")], work, True, CLIPS)
    left, lost = rows.without({rows.keys[2], "another shard's"})
    assert lost == 1 and not left.shared[2] and left.shared.sum() == entry.count - 1 and rows.shared.all()
