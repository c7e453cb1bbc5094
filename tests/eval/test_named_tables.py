"""The papers' tables by name: each says what it needs before anything is there, and how to make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from invertone.cluster.config.files import names
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.eval.config import CATALOGUE
from invertone.eval.job import TABLES, plan, run
from invertone.eval.measures.columns import column_names, column_of, notes_for
from invertone.eval.schemas.deepfake import DeepfakeConfig
from invertone.eval.schemas.shared import JudgedConfig

NAMED = [name for name in names("eval") if "table" in name]


def test_every_table_of_the_papers_has_its_name() -> None:
    wanted = [f"gaae-table{number}" for number in range(1, 9)] + [f"keys-table{number}" for number in range(1, 4)]
    assert sorted(wanted) == NAMED and set(TABLES) == set(CATALOGUE.schemas)


@pytest.mark.parametrize("name", NAMED)
def test_it_says_what_it_needs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(CATALOGUE, name, ["out=runs/table"])
    *lines, last = plan(config)
    assert lines and all(line.startswith("missing:") and " ← invertone " in line for line in lines), lines
    assert all("{name}" not in line and f" = {tmp_path}/runs/" in line for line in lines)
    assert last.startswith(f"{len(lines)} missing")
    with pytest.raises(UserError, match=r"is not there yet.*make it by `invertone "):
        run(name, config)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", NAMED)
def test_published_figures_are_of_columns_that_there_are(name: str) -> None:
    config = load(CATALOGUE, name, ["out=runs/table"])
    if isinstance(config, JudgedConfig):
        given = {column for figures in config.published.values() for column in figures}
        assert given <= set(column_names()) and given
    else:
        assert not isinstance(config, DeepfakeConfig) or config.published


def test_a_published_figure_without_a_column_is_refused_before_any_work() -> None:
    given = ["latents=a", "out=b", "published={Ours: {accurcy: 0.5}}"]
    config = load(CATALOGUE, "reconstruction", given)
    for ask in (plan, lambda config: run("reconstruction", config)):
        with pytest.raises(UserError, match=r"published\.Ours\.accurcy is no column; .*did you mean 'accuracy'"):
            ask(config)


def test_what_is_to_be_said_with_caution_comes_last() -> None:
    notes = notes_for([column_of(name) for name in column_names()])
    assert notes[-1].startswith("Waveform measures reward silence") and len(notes) == len(set(notes))
