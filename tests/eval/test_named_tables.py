"""The papers' tables by name: each says what it needs before anything is there, and how to make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from invertone.cluster.config.files import names
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.eval.config import CATALOGUE
from invertone.eval.job import TABLES, plan, run
from invertone.eval.measures.columns import column_names
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
