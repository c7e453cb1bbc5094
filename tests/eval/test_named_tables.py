"""The papers' tables by name: each says what it needs before anything is there, and how to make it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from invertone import command_line
from invertone.cluster.config.files import names
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.completion import candidates
from invertone.eval.config import CATALOGUE, FORMER
from invertone.eval.job import TABLES, plan, run
from invertone.eval.measures.columns import column_names, column_of, notes_for
from invertone.eval.schemas.deepfake import DeepfakeConfig
from invertone.eval.schemas.generation import GenerationConfig
from invertone.eval.schemas.shared import EvalConfig, JudgedConfig
from invertone.stages import stage_named

NAMED = [name for name in names("eval") if "table" in name]


def needed(config: EvalConfig) -> list[str]:
    """The commands that a table's needs consist of, one by one."""
    return [part for command in config.needs.values() for part in re.findall(r"invertone [^,]*", command)]


def test_every_table_of_the_papers_has_its_name() -> None:
    wanted = [f"haque-table{number}" for number in range(1, 9)] + ["haque-table3-nsynth"]
    wanted += [f"keyes-table{number}" for number in range(1, 4)] + ["bayat-table3.1", "bayat-table3.2"]
    wanted += [f"thesis-table2.{number}" for number in range(1, 4)]
    assert sorted(wanted) == NAMED and set(TABLES) == set(CATALOGUE.schemas)


@pytest.mark.parametrize("words", [[], ["--help"], ["--dry-run"], ["shards=x"]])
@pytest.mark.parametrize("name", FORMER)
def test_a_name_of_older_versions_answers_with_the_new_one(
    name: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["eval", name, "out=runs/x", *words]) == 2
    printed, told = capsys.readouterr()
    now = FORMER[name].partition(" ")[0]
    assert printed == "" and told.startswith(f"invertone: {name} is now {now} (") and told.count("\n") == 1
    assert now in names("eval") and name not in names("eval")
    assert list(candidates(f"invertone eval {name}")) == []


def test_a_file_that_extends_an_older_name_is_told_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: keys-table1\n")
    with pytest.raises(UserError, match=r"^keys-table1 is now keyes-table2 \(real audio is table 2 of the paper\)$"):
        load(CATALOGUE, str(tmp_path / "mine.yaml"), ["out=runs/table"])


@pytest.mark.parametrize("name", NAMED)
def test_the_commands_that_make_it_name_configs_that_there_are(name: str) -> None:
    commands = needed(load(CATALOGUE, name, ["out=runs/table"]))
    called = {(stage, config) for _, stage, config in (command.split()[:3] for command in commands)}
    methods = {("infer", method) for method in ("gradient-text", "encoder", "hybrid-text", "gradient", "hybrid")}
    called = (called - {("infer", "{name}")}) | (methods if ("infer", "{name}") in called else set())
    assert called and {stage for stage, _ in called} <= {"ingest", "train", "import", "generate", "infer"}
    lacking = {f"{stage} {config}" for stage, config in called if config not in names(stage)}
    assert not lacking, lacking
    for command in {command.replace("{number}", "1") for command in commands}:
        _, stage, *words = command.split()
        for word in sorted(config for found, config in called if found == stage) if words[0] == "{name}" else words[:1]:
            if word in names(stage):
                stage_named(stage).load([word, *words[1:]])  # nothing that it needs is left out, nothing is misspelt


@pytest.mark.parametrize("name", [name for name in NAMED if name.startswith("haque")])
def test_every_trained_row_of_haque_et_al_is_of_three_trainings_with_a_draw_each(name: str) -> None:
    config = load(CATALOGUE, name, ["out=runs/table"])
    key = "generated" if isinstance(config, GenerationConfig) else "classifiers"
    rows = getattr(config, key)
    assert rows and set(rows) == set(config.published) - {"real (train)", "real (test)", "TiFGAN", "WaveGAN", "SpecGAN"}
    for row, places in rows.items():
        assert [place[-2:] for place in places] == ["-0", "-1", "-2"]
        command = config.needs[f"{key}.{row}"]
        assert " seed={number} " in command and ("guidance.seed={number}" in command or "BigGAN" in row)


@pytest.mark.parametrize("name", NAMED)
def test_it_says_what_it_needs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(CATALOGUE, name, ["out=runs/table"])
    assert not config.partial
    *lines, last = plan(config)
    assert lines and all(line.startswith("missing:") and " ← invertone " in line for line in lines), lines
    assert all("{n" not in line and f" = {tmp_path}/runs/" in line for line in lines)
    made = [re.search(r" = (\S+) ← ", line).group(1) for line in lines]  # type: ignore[union-attr]
    assert len(set(made)) == len(made)
    for at, line in enumerate(lines):  # whatever a command reads is made by one above it, or by itself before
        given = re.findall(r" (\w[\w.]*)=(runs/[\w/.-]+)", line.partition(" ← ")[2])
        written = {place for key, place in given if key == "out"}
        read = {place for key, place in given if key != "out"}
        assert f"{tmp_path}/{max(written, key=len)}" and {f"{tmp_path}/{place}" for place in read - written} <= set(
            made[:at]
        )
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


def test_what_others_are_made_of_is_not_asked_for_once_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(CATALOGUE, "latent-probes", ["out=runs/table"])
    assert [line.split()[1] for line in plan(config)[:-1]] == ["runs/sc09", "runs/gaae", "latents"]
    (tmp_path / "runs/sc09").mkdir(parents=True)
    assert [line.split()[0] for line in plan(config)[:-1]] == ["there:", "missing:", "missing:"]
    (tmp_path / "runs/gaae-latents").mkdir()
    monkeypatch.setattr(TABLES, "implementation", lambda table: SimpleNamespace(plan=lambda config: ["its turn"]))
    assert plan(config) == [f"there:    latents = {tmp_path}/runs/gaae-latents", "its turn"]


def test_needs_of_what_is_no_key_are_refused() -> None:
    config = load(CATALOGUE, "generation", ["shards=a", "classifier=b", "out=c", "needs={shard: make it}"])
    with pytest.raises(UserError, match=r"needs\.shard is no key of the table"):
        plan(config)


@pytest.mark.parametrize("given", ["[]", "[1, 2, 3]"])
def test_a_published_figure_is_a_number_or_one_with_its_spread(given: str) -> None:
    words = ["latents=a", "out=b", f"published={{Ours: {{accuracy: {given}}}}}"]
    with pytest.raises(
        UserError, match=r"published\.Ours\.accuracy is no figure; write a number, or \[number, its spread\]"
    ):
        plan(load(CATALOGUE, "reconstruction", words))


def test_a_published_figure_without_a_column_is_refused_before_any_work() -> None:
    given = ["latents=a", "out=b", "published={Ours: {accurcy: 0.5}}"]
    config = load(CATALOGUE, "reconstruction", given)
    for ask in (plan, lambda config: run("reconstruction", config)):
        with pytest.raises(UserError, match=r"published\.Ours\.accurcy is no column; .*did you mean 'accuracy'"):
            ask(config)


def test_what_is_to_be_said_with_caution_comes_last() -> None:
    notes = notes_for([column_of(name) for name in column_names()])
    assert notes[-1].startswith("Waveform measures reward silence") and len(notes) == len(set(notes))
