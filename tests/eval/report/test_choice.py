"""Which clips are shown, and what all rows add up to: against what sorting and NumPy say of the whole at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.formats.latents import committed_parts
from invertone.cluster.storage.folder import Folder
from invertone.eval.report.chapters.inference import blocks_of
from invertone.eval.report.chapters.methods import Method
from invertone.eval.report.choice import ROLES, Pools, Scored, chosen, shares
from invertone.eval.report.tally import FINE_BINS, fine_counts, tallied
from tests.eval.report.runs import inferred
from tests.made import made_shards


def pools(errors: list[float], count: int, cut: int, seed: int = 0) -> Pools:
    """Offered `cut` rows at a time, as parts come."""
    made = Pools(count, seed, float(np.median(errors)) if errors else 0.0)
    for part, first in enumerate(range(0, len(errors), cut)):
        rows = errors[first : first + cut]
        made.offer(Scored([f"k{first + i:04d}" for i in range(len(rows))], np.array(rows, float), part))
    return made


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.integers(0, 16), st.integers(1, 60))
def test_the_choice_is_that_of_the_whole_however_it_is_cut(errors: list[float], count: int, cut: int) -> None:
    found = chosen(pools(errors, count, cut), count)
    whole = chosen(pools(errors, count, len(errors)), count)
    assert [(role, each.key, each.error) for role, each in found] == [
        (role, each.key, each.error) for role, each in whole
    ]
    assert len(found) == min(count, len(errors)) and len({each.key for _, each in found}) == len(found)
    assert all(errors[int(each.key[1:])] == each.error and int(each.key[1:]) // cut == each.part for _, each in found)


def test_each_role_gets_what_its_name_says() -> None:
    errors = [abs(50 - i) / 50 for i in range(101)]  # k0050 is the best, k0000 and k0100 are the worst
    found = chosen(pools(errors, 8, 10), 8)
    by_role = {role: [each.error for name, each in found if name == role] for role in ROLES}
    assert by_role["best"] == [0.0, 0.02] and by_role["worst"] == [1.0, 1.0]
    assert all(abs(error - np.median(errors)) < 0.02 for error in by_role["median"])
    assert [role for role, _ in found] == ["best"] * 2 + ["median"] * 2 + ["worst"] * 2 + ["by chance"] * 2


def test_chance_follows_the_seed_alone() -> None:
    errors = np.linspace(0, 1, 100).tolist()
    first, again, other = (
        [each.key for role, each in chosen(pools(errors, 20, 7, seed), 20) if role == "by chance"] for seed in (0, 0, 1)
    )
    assert first == again != other


def test_chance_takes_labels_in_turn_however_rare_they_are() -> None:
    labels = ["common"] * 95 + ["rare"] * 4 + ["single"]
    keys = [f"k{number:04d}" for number in range(100)]
    for cut in (100, 7):
        made = Pools(12, 0, 0.5)
        for first in range(0, 100, cut):
            part = slice(first, first + cut)
            made.offer(Scored(keys[part], np.linspace(0, 1, 100)[part], first, labels[part]))
        found = [labels[int(each.key[1:])] for each in made.ordered("by chance")]
        assert sorted(found[:3]) == ["common", "rare", "single"] and sorted(found[3:5]) == ["common", "rare"]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [0, 0, 0, 0]), (1, [1, 0, 0, 0]), (2, [1, 1, 0, 0]), (12, [3] * 4)]
)
def test_clips_are_dealt_to_the_roles_in_turn(count: int, expected: list[int]) -> None:
    assert list(shares(count).values()) == expected


@pytest.fixture
def shards(tmp_path: Path) -> Folder:
    folder = Folder.at(str(tmp_path / "shards"))
    made_shards(folder, train=(8, 6), validation=4)
    return folder


def parts(folder: Folder) -> list[str]:
    return [part.name for part in committed_parts(folder)]


def test_sums_over_parts_are_those_of_all_rows(shards: Folder, tmp_path: Path) -> None:
    run = inferred(Folder.at(str(tmp_path / "run")), shards, failed=["train/0003"])
    tally, good, problems = tallied(run, parts(run))
    errors = np.array([0.01 * at for at in range(1, 19) if at != 4])
    spread = tally.spreads["spectrogram_mae"]
    assert (tally.rows, tally.failed, len(good), problems) == (18, 1, 3, [])
    assert (spread.count, spread.low, spread.high) == (17, errors.min(), errors.max())
    assert spread.mean == pytest.approx(errors.mean())
    assert tally.accuracy == pytest.approx(14 / 17)
    assert sum(count for count, _ in tally.heard.values()) == 17
    assert len(tally.errors) == 1 and tally.errors[0].startswith("train/0003: no <script>")
    counts = fine_counts(run, good, {"spectrogram_mae": (0.0, 0.2)})["spectrogram_mae"]
    assert len(counts) == FINE_BINS and (counts == np.histogram(errors, FINE_BINS, (0.0, 0.2))[0]).all()


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_damaged_part_is_a_line_and_counts_for_nothing(damage: str, shards: Folder, tmp_path: Path) -> None:
    run = inferred(Folder.at(str(tmp_path / "run")), shards)
    named = parts(run)
    path = tmp_path / "run" / named[0]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if damage == "cut" else b"no Parquet")
    tally, good, problems = tallied(run, named)
    assert good == named[1:] and tally.rows == 10
    assert len(problems) == 1 and named[0] in problems[0] and "\n" not in problems[0]


def test_columns_of_older_parquet_may_be_missing(shards: Folder, tmp_path: Path) -> None:
    run = inferred(Folder.at(str(tmp_path / "run")), shards, feature_distance=None, predicted_label=None, ssim=None)
    blocks = blocks_of([Method("encoder", run, parts(run), {"inputs": {"shards": shards.uri}})], 2, 0)
    (table,) = [block for block in blocks if block.kind == "table"]
    assert [head.text.partition("\N{NO-BREAK SPACE}")[0] for head in table.heads] == [  # type: ignore[attr-defined]
        "Method", "Clips", "Failed", "Spectrogram MAE", "Waveform MSE", "Median MAE",
    ]  # fmt: skip
