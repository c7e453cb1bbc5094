"""One of each kind is added from a package of somebody else's by a line, used, and taken back: a corpus, an objective, an
inversion method, a loss term, a table, a measure, a chapter of the report."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from invertone import command_line
from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import TABLES
from invertone.infer.config import METHODS
from invertone.infer.solvers.losses import TERMS, Maker, TargetTerm
from invertone.ingest.config import CORPORA
from invertone.train.config import OBJECTIVES
from tests.inside import inside
from tests.made import made_shards, tiny_models
from tests.sounds import tone, write_sound

Package = Callable[[str, str], str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Writes a module of a package `toys`, and gives its whole name."""
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    (tmp_path / "lib/toys").mkdir(parents=True)
    (tmp_path / "lib/toys/__init__.py").write_text("")
    for name in [name for name in sys.modules if name.partition(".")[0] == "toys"]:
        monkeypatch.delitem(sys.modules, name)

    def write(name: str, text: str) -> str:
        (tmp_path / f"lib/toys/{name}.py").write_text(textwrap.dedent(text))
        return f"toys.{name}"

    return write


@pytest.fixture
def added() -> Iterator[Callable[[Registry, Entry], None]]:
    """Adds an entry, and takes it back at the end."""
    there: list[tuple[Registry, str]] = []

    def add(registry: Registry, entry: Entry) -> None:
        registry.add(entry)
        there.append((registry, entry.name))

    yield add
    for registry, name in there:
        registry.remove(name)
        assert name not in registry


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, and tiny models trained on them."""
    folder = tmp_path_factory.mktemp("registries")
    shards = Folder.at(str(folder / "shards"))
    made_shards(shards, train=(5,), validation=2)
    tiny_models(shards, folder)
    return folder


def typed(words: str) -> None:
    with inside():
        assert command_line.main(words.split()) == 0


@pytest.mark.parametrize("registry", [CORPORA, OBJECTIVES, METHODS, TABLES], ids=["corpora", "train", "infer", "eval"])
def test_every_entry_names_a_schema_and_an_implementation(registry: Registry) -> None:
    for name in registry:
        assert registry[name].__dataclass_fields__ and registry.implementation(name) is not None


def test_a_corpus(package: Package, added: Callable[..., None], tmp_path: Path) -> None:
    toy = package(
        "corpus",
        """
        from dataclasses import dataclass
        from invertone.cluster.config.schema import key
        from invertone.ingest.corpora.entry import Entry, Passed, Reader
        from invertone.ingest.corpora.keys import IngestConfig

        @dataclass(frozen=True)
        class ToyConfig(IngestConfig):
            word: str = key("oh", "the only label")

        def read(names, open_file, config):
            for name in names:
                yield Entry(name, name, "train", 0, config.word) if name.endswith(".wav") else Passed(name)

        READER = Reader(read)
        """,
    )
    added(CORPORA, Entry("toy", f"{toy}:ToyConfig", f"{toy}:READER"))
    (tmp_path / "toy.yaml").write_text("corpus: toy\nword: ah\n")
    for number in range(3):
        write_sound(tmp_path / f"c/{number}.wav", tone(0.2))
    typed(f"ingest {tmp_path}/toy.yaml source={tmp_path}/c out={tmp_path}/out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["label_names"] == ["ah"] and manifest["shards"][0]["count"] == 3


def test_an_objective(package: Package, added: Callable[..., None], place: Path, tmp_path: Path) -> None:
    from invertone.cluster.config.loading import load
    from invertone.train.build import build_trainer, check
    from invertone.train.config import CATALOGUE
    from invertone.train.objective import World

    schema = package(
        "schema",
        """
        from dataclasses import dataclass
        from invertone.cluster.config.schema import key
        from invertone.train.schemas.classifier import ClassifierConfig

        @dataclass(frozen=True)
        class ToyConfig(ClassifierConfig):
            sharpness: float = key(2.0, "what the logits are multiplied by")
        """,
    )
    toy = package(
        "objective",
        """
        from invertone.train.objectives.classifier import ClassifierObjective
        from invertone.train.recipe import Recipe

        class ToyObjective(ClassifierObjective):
            def manifest(self):
                return super().manifest() | {"front_end": super().manifest()["front_end"]}

        RECIPE = Recipe(lambda config, setting: ToyObjective(config, setting))
        """,
    )
    added(OBJECTIVES, Entry("toy", f"{schema}:ToyConfig", f"{toy}:RECIPE"))
    (tmp_path / "toy.yaml").write_text("extends: classifier-debug\nobjective: toy\nsharpness: 3\n")
    given = ["width=2", "batch=4", "steps=2", "checkpoint_every=2", "log_every=1", "samples=0", "device=cpu"]
    config = load(CATALOGUE, f"{tmp_path}/toy.yaml", [f"shards={place}/shards", f"out={tmp_path}/out", *given])
    check(config)
    build_trainer(config, World(), torch.device("cpu"), lambda step, values: None).run()
    assert (tmp_path / "out/checkpoints/step-00000002/checkpoint.json").is_file()


def test_a_method_and_a_loss_term(
    package: Package, added: Callable[..., None], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = package(
        "schema",
        """
        from dataclasses import dataclass, field
        from invertone.cluster.config.schema import key
        from invertone.infer.schemas.gradient import GradientConfig, LossWeights
        from invertone.infer.schemas.shared import InferConfig

        @dataclass(frozen=True)
        class CentreConfig(InferConfig):
            shift: float = key(0.5, "where every coordinate lies")

        @dataclass(frozen=True)
        class Weights(LossWeights):
            loudness: float = key(1.0, "mean absolute difference of squares", minimum=0.0)

        @dataclass(frozen=True)
        class LoudConfig(GradientConfig):
            weights: Weights = field(default_factory=Weights)
        """,
    )
    toy = package(
        "method",
        """
        from dataclasses import dataclass
        from invertone.infer.methods.method import Method, encoded

        @dataclass(frozen=True)
        class Centre:
            generator: object
            shift: float

            def __call__(self, target, keys):
                latent = target.new_full((len(target), self.generator.latent_size), self.shift)
                return encoded(self.generator, target, latent, 1)

        METHOD = Method(lambda config, given: Centre(given.generator, config.shift))
        """,
    )
    added(METHODS, Entry("centre", f"{schema}:CentreConfig", f"{toy}:METHOD"))
    added(METHODS, Entry("loud", f"{schema}:LoudConfig", "invertone.infer.methods.gradient:METHOD"))
    monkeypatch.setitem(TERMS, "loudness", Maker(lambda given: TargetTerm(lambda waveform: waveform.square())))
    given = f"shards={place}/shards generator={place}/wavegan device=cpu"
    for name in ("centre", "loud"):
        (tmp_path / f"{name}.yaml").write_text(f"method: {name}\n")
        more = "shift=0.25" if name == "centre" else "evaluations=3"
        typed(f"infer {tmp_path}/{name}.yaml {given} {more} out={tmp_path}/{name}")
    rows = [row for part in (tmp_path / "centre").glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    assert len(rows) == 7 and all(set(row["latent"]) == {0.25} and row["method"] == "centre" for row in rows)
    rows = [row for part in (tmp_path / "loud").glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    assert all(row["losses"].keys() == {"loudness"} and row["losses"]["loudness"] > 0 for row in rows)


def test_a_table(
    package: Package, added: Callable[..., None], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = package(
        "schema",
        """
        from dataclasses import dataclass
        from invertone.cluster.config.schema import REQUIRED, key
        from invertone.eval.schemas.shared import EvalConfig

        @dataclass(frozen=True)
        class CountConfig(EvalConfig):
            shards: str = key(REQUIRED, "what is counted", path=True, neutral=True)
        """,
    )
    toy = package(
        "table",
        """
        from invertone.cluster.formats.shards import load_manifest
        from invertone.cluster.jobs.engine import Outcome
        from invertone.cluster.storage.folder import Folder
        from invertone.eval.table import Column, Table
        from invertone.eval.tabulate import tabulate

        def plan(config):
            return ["would count"]

        def run(name, config):
            manifest = load_manifest(Folder.at(config.shards))

            def make(driver):
                rows = [{"split": each.split, "clips": each.count} for each in manifest.shards]
                columns = [Column("split", "Split"), Column("clips", "Clips", ",")]
                return Table("Counts", columns, rows, [], {}), Outcome(0, 0, {})

            tabulate(name, config, {"shards": manifest.digest}, make)
        """,
    )
    added(TABLES, Entry("count", f"{schema}:CountConfig", toy))
    (tmp_path / "count.yaml").write_text("table: count\n")
    typed(f"eval {tmp_path}/count.yaml shards={place}/shards out={tmp_path}/out")
    assert "| validation |     2 |" in capsys.readouterr().out
    assert [row["clips"] for row in json.loads((tmp_path / "out/table.json").read_text())["rows"]] == [5, 2]


def test_a_measure_and_a_chapter(package: Package, added: Callable[..., None], place: Path, tmp_path: Path) -> None:
    from invertone.eval.report.chapters.registry import CHAPTERS
    from invertone.eval.schemas import measures

    toy = package("measure", "def peak_error(wanted, found):\n    return (wanted - found).abs().amax(1).double()\n")
    mine = measures.Measure(
        "peak_error", "Peak error", ".3f", "↓", "Of samples.", mean=True, per_clip=f"{toy}:peak_error"
    )
    measures.MEASURES.append(mine)
    try:
        models = f"generator={place}/wavegan mapper={place}/mapper device=cpu"
        typed(f"infer encoder shards={place}/shards {models} out={tmp_path}/latents")
        (tmp_path / "all.yaml").write_text("table: reconstruction\n")  # with every column that there is
        typed(f"eval {tmp_path}/all.yaml latents={tmp_path}/latents bootstrap=20 device=cpu out={tmp_path}/table")
    finally:
        measures.MEASURES.remove(mine)
    rows = {row["row"]: row for row in json.loads((tmp_path / "table/table.json").read_text())["rows"]}
    assert rows["real"]["peak_error"] == 0 < rows["encoder"]["peak_error"] <= 2
    assert "Peak error ↓" in (tmp_path / "table/table.md").read_text()

    chapter = package(
        "chapter",
        """
        from invertone.eval.report.blocks import Message
        from invertone.eval.report.chapter import Chapter

        CHAPTER = Chapter(
            lambda run: "Notes",
            lambda run: "what was noted",
            lambda runs, labels, clips, seed: [Message(runs[0].folder.read_bytes("notes.txt").decode())],
            told_by=lambda run: run.folder.exists("notes.txt"),
        )
        """,
    )
    added(CHAPTERS, Entry("notes", "", f"{chapter}:CHAPTER"))
    (tmp_path / "noted").mkdir()
    (tmp_path / "noted/notes.txt").write_text("heard on a Friday")
    typed(f"report {tmp_path}/noted out={tmp_path}/report.html")
    assert "heard on a Friday" in (tmp_path / "report.html").read_text()
