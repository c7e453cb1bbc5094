"""What a page says of each kind of run, and of runs that are damaged, old, unfinished or not told by a run.json."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.blocks import Block, Charts, Clips, Facts, Message, Section, Table
from invertone.eval.report.chapters import evaluation, material, training
from invertone.eval.report.sources import found, sections_of
from tests.eval.report.runs import COLUMNS, ROWS, evaluated, generated, inferred, sound, trained
from tests.made import LABELS, made_shards


def at(path: Path) -> Folder:
    return Folder.at(str(path))


def of(kind: type[Any], blocks: Sequence[Block]) -> list[Any]:
    return [block for block in blocks if isinstance(block, kind)]


def problems(blocks: Sequence[Block]) -> list[str]:
    return [block.text for block in of(Message, blocks) if block.problem]


def sections(*folders: Folder, clips: int = 4) -> list[Section]:
    return sections_of([found(folder.uri) for folder in folders], clips, 0)


@pytest.fixture
def shards(tmp_path: Path) -> Folder:
    made_shards(at(tmp_path / "shards"), train=(8, 6), validation=4)
    return at(tmp_path / "shards")


# ---------------------------------------------------------------------------------------------------- evaluations


def test_a_table_marks_the_best_method_and_neither_baselines_nor_published_figures(tmp_path: Path) -> None:
    (table, *_) = of(Table, evaluation.blocks_of(evaluated(at(tmp_path))))
    shown = {row.cells[0].text: row for row in table.rows}
    best = {name: [COLUMNS[i].name for i, cell in enumerate(row.cells) if cell.best] for name, row in shown.items()}
    assert best == {"encoder": ["fid"], "hybrid": ["accuracy"], "real": [], "silence": []}
    assert [name for name, row in shown.items() if row.baseline] == ["real", "silence"]
    assert [head.published for head in table.heads] == ["", "", "", "", "published"]
    assert (shown["encoder"].cells[2].text, shown["encoder"].cells[2].interval) == ("50.0%", "45.0% – 55.0%")
    assert shown["real"].cells[4].text == "–"


def test_the_best_is_among_rows_about_the_same_thing(tmp_path: Path) -> None:
    columns = [{"name": "row"}, {"name": "target"}, {"name": "accuracy", "title": "Accuracy", "arrow": "↑"}]
    found = [
        ("latent", "label", 0.5),
        ("latent", "speaker", 0.9),
        ("spectrogram", "label", 0.4),
        ("spectrogram", "speaker", 0.8),
    ]
    rows = [{"row": row, "target": target, "accuracy": value} for row, target, value in found]
    at(tmp_path).publish_json("table.json", {"rows": rows, "columns": columns})
    (table, *_) = of(Table, evaluation.blocks_of(at(tmp_path)))
    assert [row.cells[2].best for row in table.rows] == [True, True, False, False]


def test_a_published_column_with_a_name_of_its_own_keeps_it_below_ours(tmp_path: Path) -> None:
    columns = [{"name": "row"}, {"name": "fid", "title": "FID"}, {"name": "fid_published", "title": "paper"}]
    at(tmp_path).publish_json("table.json", {"rows": list(ROWS), "columns": columns})
    (table,) = of(Table, evaluation.blocks_of(at(tmp_path)))
    assert [(head.text, head.published) for head in table.heads[1:]] == [("FID", ""), ("FID", "paper")]


def test_a_spread_follows_its_figure_and_rows_of_real_clips_are_no_method(tmp_path: Path) -> None:
    columns = [{"name": "row"}, {"name": "is", "title": "IS", "format": ".2f", "arrow": "↑"}]
    columns.append({"name": "is_published", "title": "paper", "format": ".2f"})
    rows = [
        {"row": "GAAE", "is": 7.0, "is_published": 7.28},
        {"row": "GGAN", "is": 6.0},
        {"row": "real (test)", "is": 8.0},
    ]
    spreads = [{"is": 0.123, "is_published": 0.003}, {"is": None}, {"is": "0.1", "gone": 1}]
    at(tmp_path).publish_json("table.json", {"rows": rows, "columns": columns, "spreads": spreads})
    (table,) = of(Table, evaluation.blocks_of(at(tmp_path)))
    assert [[cell.text for cell in row.cells[1:]] for row in table.rows] == [
        ["7.00 ± 0.12", "7.28 ± 0.003"],
        ["6.00", "–"],
        ["8.00", "–"],
    ]
    assert [row.baseline for row in table.rows] == [False, False, True] and table.rows[0].cells[1].best
    at(tmp_path).publish_json("table.json", {"rows": rows, "columns": columns, "spreads": spreads[:1]})
    (table,) = of(Table, evaluation.blocks_of(at(tmp_path)))
    assert table.rows[0].cells[1].text == "7.00"


def test_a_table_from_before_columns_were_recorded_is_shown_as_its_kind(tmp_path: Path) -> None:
    row = {"ssim": 0.5, "row": "encoder", "accuracy": 0.25, "unheard_of": 3.0, "clips": 1000}
    at(tmp_path).publish_json("table.json", {"title": "Old", "rows": [row, row | {"row": "hybrid", "ssim": 0.75}]})
    (table,) = of(Table, evaluation.blocks_of(at(tmp_path)))
    assert [head.text for head in table.heads] == ["Row", "Clips", "Accuracy\xa0↑", "SSIM\xa0↑", "Unheard of"]
    assert [cell.text for cell in table.rows[1].cells] == ["hybrid", "1,000", "25.0%", "0.7500", "3"]
    assert [cell.best for cell in table.rows[1].cells] == [False, False, False, True, False]


def test_a_classifiers_table_shows_its_confusions(tmp_path: Path) -> None:
    rows = [{"label": "low", "clips": 4, "accuracy": 0.75}, {"label": "high", "clips": 2, "accuracy": 1.0}]
    whole = {"title": "t", "rows": [*rows, {"label": "all", "clips": 6}], "about": {"confusion": [[3, 1], [0, 2]]}}
    at(tmp_path).publish_json("table.json", whole)
    _, confusions = of(Table, evaluation.blocks_of(at(tmp_path)))
    assert [[cell.text for cell in row.cells] for row in confusions.rows] == [["low", "3", "1"], ["high", "·", "2"]]
    assert [cell.heat for cell in confusions.rows[0].cells] == [None, 0.75, 0.25]


@pytest.mark.parametrize("specification", [".999999999f", "99999999999d", "{0.__class__}", ">10", ".3f\n", "n" * 50])
def test_a_format_that_no_table_of_ours_has_is_not_followed(specification: str) -> None:
    assert evaluation.formatted(1234.5678, specification) == "1,235"


@pytest.mark.parametrize(
    ("value", "specification", "shown"),
    [
        (None, ".2f", "–"),
        (float("nan"), ".2f", "–"),
        (0.5, ".1%", "50.0%"),
        (2.5, "d", "2.5"),
        (True, "", "True"),
        ("a", ",", "a"),
    ],
)
def test_cells_are_shown_whatever_the_file_holds(value: Any, specification: str, shown: str) -> None:
    assert evaluation.formatted(value, specification) == shown


@pytest.mark.parametrize("written", ["{", "[]", "{}", '{"rows": 5}', '{"rows": [1]}', '{"rows": []}'])
def test_a_damaged_table_is_one_line(written: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(written)
    (block,) = evaluation.blocks_of(at(tmp_path))
    assert isinstance(block, Message)


def test_odd_extras_of_a_table_do_no_harm(tmp_path: Path) -> None:
    whole = {
        "rows": list(ROWS),
        "columns": [{"name": "row"}, {"name": "fid", "title": "FID", "arrow": "<b>"}],
        "intervals": 3,
    }
    at(tmp_path).publish_json("table.json", whole | {"notes": [5, "fine"], "about": [], "title": None})
    (table,) = evaluation.blocks_of(at(tmp_path))
    assert isinstance(table, Table) and table.notes == ["fine"] and len(table.rows) == 4


# ----------------------------------------------------------------------------------------------------- inferences


def test_runs_over_the_same_shards_are_compared_clip_by_clip(shards: Folder, tmp_path: Path) -> None:
    encoder, hybrid = inferred(at(tmp_path / "e"), shards), inferred(at(tmp_path / "h"), shards, "hybrid", 0.005)
    made_shards(at(tmp_path / "others"), train=(5,), validation=0)
    apart = inferred(at(tmp_path / "o"), at(tmp_path / "others"))
    first, second = sections(encoder, apart, hybrid)
    assert (first.title, second.title) == ("Inference: encoder (e), hybrid", "Inference: encoder (o)")
    summary, accuracies = of(Table, first.blocks)
    assert [row.cells[0].text for row in summary.rows] == ["encoder (e)", "hybrid"]
    assert [cell.best for cell in summary.rows[1].cells[4:7]] == [True, True, True]
    assert [head.text for head in accuracies.heads] == ["Method", *LABELS]
    (charts,) = of(Charts, first.blocks)
    assert [chart.title for chart in charts.charts] == ["Spectrogram MAE", "SSIM", "Feature distance"]
    assert [row[:2] for row in charts.charts[0].numbers.rows] == [("encoder (e)", "18"), ("hybrid", "18")]
    (clips,) = of(Clips, first.blocks)
    assert [name for name, _, _ in clips.rows] == ["best", "median", "worst", "by chance"]
    assert all([tile.title for tile in tiles] == ["clip", "encoder (e)", "hybrid"] for _, _, tiles in clips.rows)
    assert all(tile.player is not None for _, _, tiles in clips.rows for tile in tiles)
    waves = [[tile.player.wave for tile in tiles] for _, _, tiles in clips.rows]
    assert all(len({wave.top for wave in row}) == 1 for row in waves)  # every row on its clip's scale
    assert all(row[0].peak == row[0].top for row in waves)
    best = clips.rows[0][2][1]
    assert [(score.name, score.text) for score in best.scores][:2] == [("MAE", "0.0100"), ("SSIM", "0.9900")]
    assert best.scores[-1].name == "heard" and best.scores[-1].good is True


def test_what_a_run_lacks_is_said_and_the_rest_is_shown(shards: Folder, tmp_path: Path) -> None:
    failing = [f"train/{number:04d}" for number in range(14)]
    whole, broken = inferred(at(tmp_path / "a"), shards), inferred(at(tmp_path / "b"), shards, "hybrid", failed=failing)
    bare = inferred(at(tmp_path / "c"), shards, "restyle", reconstruction=None)
    (tmp_path / "b/train-000001.parquet").write_bytes(b"damaged")
    (tmp_path / "c/__invertone/ledger/commits/validation-000002.json").unlink()
    (section,) = sections(whole, broken, bare, clips=18)
    told = problems(section.blocks)
    assert any("b/train-000001.parquet cannot be read" in line for line in told)
    assert any("restyle: only 2 of 3 units" in line for line in told)
    (clips,) = of(Clips, section.blocks)
    texts = {tile.text for _, _, tiles in clips.rows for tile in tiles if tile.player is None}
    assert {"no reconstruction was kept", "no row"} <= texts and any(
        text.startswith("failed: no <script>") for text in texts
    )


@pytest.mark.parametrize("how", ["gone", "others", "damaged"])
def test_reconstructions_are_shown_without_their_clips(how: str, shards: Folder, tmp_path: Path) -> None:
    run = inferred(at(tmp_path / "run"), shards)
    if how == "gone":
        shutil.rmtree(tmp_path / "shards")
    elif how == "others":
        made_shards(shards, train=(3,), validation=0)
    else:
        for shard in (tmp_path / "shards").glob("*.tar"):
            shard.write_bytes(b"damaged")
    (section,) = sections(run)
    assert problems(section.blocks)
    (clips,) = of(Clips, section.blocks)
    assert all(tiles[0].text == "not at hand" and tiles[1].player is not None for _, _, tiles in clips.rows)


def test_an_inference_without_its_ledger_is_told_by_its_parquet(shards: Folder, tmp_path: Path) -> None:
    run = inferred(at(tmp_path / "run"), shards)
    shutil.rmtree(tmp_path / "run/__invertone/ledger")
    (tmp_path / "run/__invertone/run.json").unlink()
    (section,) = sections(run)
    assert section.title == "Inference: encoder" and of(Clips, section.blocks)
    assert any("run.json is missing" in line for line in problems(section.blocks))


# --------------------------------------------------------------------------------------- trainings, shards, clips


def test_a_training_shows_curves_facts_and_its_newest_samples(tmp_path: Path) -> None:
    (section,) = sections(trained(at(tmp_path)))
    validation, updates = of(Charts, section.blocks)
    assert (validation.title, [chart.title for chart in validation.charts]) == ("Validation", ["STFT distance"])
    assert [chart.title for chart in updates.charts] == ["Reconstruction", "Prior"]
    assert "best" in str(validation.charts[0].svg) and "best" not in str(updates.charts[0].svg)
    facts = dict(of(Facts, section.blocks)[0].pairs)
    assert facts == {
        "Updates": "30", "Best checkpoint": "step 20", "STFT distance": "0.1", "Speed": "2.9 updates/s",
        "Waiting for data": "1 % of the time",
    }  # fmt: skip
    (clips,) = of(Clips, section.blocks)
    assert [name for name, _, _ in clips.rows] == ["clip 0", "clip 1"] and clips.note == "After update 30."
    assert [tile.title for tile in clips.rows[0][2]] == ["target", "reconstruction"]


def test_samples_of_one_role_follow_each_other(tmp_path: Path) -> None:
    for number in range(3):
        at(tmp_path).publish_bytes(f"samples/step-00000004/{number}-generated.wav", sound(seed=number))
    at(tmp_path).publish_bytes("metrics.jsonl", b"")
    (section,) = sections(at(tmp_path))
    (clips,) = of(Clips, section.blocks)
    assert clips.columns == 0 and [tile.title for tile in clips.rows[0][2]] == ["clip 0", "clip 1", "clip 2"]


def test_lines_that_are_none_are_counted_and_left_out(tmp_path: Path) -> None:
    curves, damaged = training.metrics(
        trained(at(tmp_path), 30, '{"step": 31, "autoen\n[1]\n{"loss": 3}\n{"step": 40, "a": NaN}\n')
    )
    assert damaged == 3 and len(curves["autoencoder/prior"]) == 30 and curves["a"] == [(40.0, None)]


@pytest.mark.parametrize("name", ["speed.json", "checkpoints/best.json", "guidance.json"])
def test_small_files_of_a_training_may_be_damaged(name: str, tmp_path: Path) -> None:
    trained(at(tmp_path)).publish_bytes(name, b"{")
    (section,) = sections(at(tmp_path))
    assert len(of(Charts, section.blocks)) == 2


def test_a_training_without_run_json_is_told_by_its_files(tmp_path: Path) -> None:
    trained(at(tmp_path))
    (tmp_path / "__invertone/run.json").unlink()
    (section,) = sections(at(tmp_path))
    assert section.title.startswith("Training: ") and problems(section.blocks) and of(Charts, section.blocks)


def test_shards_show_counts_and_clips_of_every_label(shards: Folder) -> None:
    blocks = material.shards_blocks(shards, 6, 0)
    assert dict(of(Facts, blocks)[0].pairs)["Splits"] == "train 14, validation 4"
    (clips,) = of(Clips, blocks)
    assert sorted(tile.title for tile in clips.rows[0][2]) == sorted([*LABELS] * 2)


@pytest.mark.parametrize("output", ["wav", "parquet"])
def test_generated_clips_stand_by_label(output: str, tmp_path: Path) -> None:
    (section,) = sections(generated(at(tmp_path), output), clips=6)
    (clips,) = of(Clips, section.blocks)
    expected = ["clip 1", "clip 2"] if output == "wav" else ["style 1", "style 2"]
    assert [name for name, _, _ in clips.rows] == expected
    assert all([tile.title for tile in tiles] == list(LABELS) for _, _, tiles in clips.rows)


def test_one_style_for_all_is_one_row(tmp_path: Path) -> None:
    (section,) = sections(generated(at(tmp_path), "parquet", "fixed", 3))
    (clips,) = of(Clips, section.blocks)
    assert [name for name, _, _ in clips.rows] == ["style 1"] and len(clips.rows[0][2]) == 3


@pytest.mark.parametrize("output", ["wav", "parquet"])
def test_a_grid_has_a_row_for_each_style_and_a_column_for_each_label(output: str, tmp_path: Path) -> None:
    folder = generated(at(tmp_path), output, "grid", 9)
    (clips,) = of(Clips, sections(folder)[0].blocks)
    assert [name for name, _, _ in clips.rows] == ["style 1", "style 2", "style 3"] and clips.columns == 3
    assert all([tile.title for tile in tiles] == list(LABELS) for _, _, tiles in clips.rows)
    assert len({tile.player.audio for _, _, tiles in clips.rows for tile in tiles}) == 9
    assert len(of(Clips, sections(folder, clips=2)[0].blocks)[0].rows) == 2
    folder.publish_json("styles.json", [{"style": at, "key": f"clip-{at}"} for at in range(3)])
    (clips,) = of(Clips, sections(folder)[0].blocks)
    assert [about for _, about, _ in clips.rows] == ["clip-0", "clip-1", "clip-2"]


@pytest.mark.parametrize("output", ["wav", "parquet"])
def test_ways_have_a_row_each(output: str, tmp_path: Path) -> None:
    folder = generated(at(tmp_path), output, "interpolated", 10, steps=5, path="linear")
    blocks = sections(folder)[0].blocks
    (clips,) = of(Clips, blocks)
    assert [(name, about) for name, about, _ in clips.rows] == [("way 1", "low"), ("way 2", "middle")]
    assert all([tile.title for tile in tiles] == ["0%", "25%", "50%", "75%", "100%"] for _, _, tiles in clips.rows)
    facts = dict(of(Facts, blocks)[0].pairs)
    assert (facts["Path"], facts["Steps"]) == ("linear", "5")


def test_a_long_way_is_shown_from_end_to_end_with_the_label_of_each_clip(tmp_path: Path) -> None:
    (clips,) = of(Clips, sections(generated(at(tmp_path), "wav", "interpolated", 35))[0].blocks)
    ((_, _, tiles),) = clips.rows
    assert [tile.title for tile in tiles][:2] == ["0% low", "9% low"] and tiles[-1].title == "100% middle"
    assert len(tiles) == 12


def test_clips_of_a_grid_that_are_not_there_are_gaps(tmp_path: Path) -> None:
    folder = generated(at(tmp_path), "wav", "grid", 6)
    (tmp_path / "wav/00000004-middle.wav").unlink()
    (clips,) = of(Clips, sections(folder)[0].blocks)
    assert [tile.text for tile in clips.rows[1][2]] == ["", "–", ""]


# ---------------------------------------------------------------------------------------------------- other folders


@pytest.mark.parametrize("prepared", ["nothing", "a file", "something else"])
def test_a_folder_that_is_no_run_is_refused(prepared: str, tmp_path: Path) -> None:
    if prepared == "a file":
        (tmp_path / "run").write_text("no folder")
    elif prepared == "something else":
        (tmp_path / "run").mkdir()
        (tmp_path / "run/letter.txt").write_text("dear")
    with pytest.raises(UserError, match=r"no such folder|neither a run of ours nor shards"):
        found(str(tmp_path / "run"))


def test_a_run_of_another_stage_says_what_made_it(tmp_path: Path) -> None:
    at(tmp_path).publish_json("__invertone/run.json", {"stage": "corpus", "name": "digits", "config": {"clips": 5}})
    (section,) = sections(at(tmp_path))
    assert [block.text for block in of(Message, section.blocks)] == [
        "A run of corpus has nothing to look at or listen to."
    ]
    assert ("clips", "5") in of(Facts, section.blocks)[0].pairs


@pytest.mark.parametrize("written", ["{", "[]", '"text"'])
def test_a_damaged_run_json_is_said_and_the_files_are_shown(written: str, tmp_path: Path) -> None:
    evaluated(at(tmp_path))
    (tmp_path / "__invertone/run.json").write_text(written)
    run = found(str(tmp_path))
    assert run.kind == "eval" and run.state == "no run.json" and "damaged" in run.problems[0]
    json.dumps([section.title for section in sections_of([run], 2, 0)])
