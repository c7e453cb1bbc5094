"""What CONTRIBUTING promises: an inversion method, a loss term or a kind of generated clips is one file and one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from invertone.cluster.config.loading import load
from invertone.cluster.config.registry import Entry, Registry, resolved
from invertone.cluster.config.schema import Catalogue
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.latents import described
from invertone.cluster.formats.runs import recorded
from invertone.cluster.storage.folder import Folder
from invertone.infer.config import CATALOGUE, METHODS
from invertone.infer.generate import config as generated
from invertone.infer.generate import job as generate
from invertone.infer.job import run
from invertone.infer.solvers.losses import TERMS
from tests.made import made_shards, tiny_models

SCHEMAS = '''
from dataclasses import dataclass, field

from invertone.cluster.config.schema import REQUIRED, key
from invertone.infer.generate.config import GenerateConfig
from invertone.infer.schemas.gradient import GradientConfig, LossWeights
from invertone.infer.schemas.shared import InferConfig


@dataclass(frozen=True)
class BesideConfig(InferConfig):
    """A mapper's latent, moved."""

    guide: str = key(REQUIRED, "checkpoint of a mapper", checkpoint="mapper", neutral=True)
    by: float = key(0.25, "how far")


@dataclass(frozen=True)
class Weights(LossWeights):
    power: float = key(0.0, "difference of mean squares; needs classifier", minimum=0.0)


@dataclass(frozen=True)
class PowerConfig(GradientConfig):
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True)
class TalkConfig(GenerateConfig):
    word: str = key("seven", "what is said")
'''
METHOD = """
from dataclasses import dataclass, replace

from invertone.cluster.errors import UserError
from invertone.infer.methods.method import Method, encoded
from invertone.infer.methods.tiled import Tiled
from invertone.infer.tiles import tile_size
from invertone.models.checkpoint import load_mapper


@dataclass(frozen=True)
class Beside:
    generator: object
    mapper: object
    by: float

    def __call__(self, target, keys):
        latent = self.generator.prior.project(self.mapper(target).detach() + self.by)
        return replace(encoded(self.generator, target, latent, 2), vectors={"moved": latent[:, :2]})


def build(config, given):
    return Tiled(Beside(given.generator, load_mapper(config.guide)[0], config.by), tile_size(given.device), given.threads)


def check(config):
    if config.by > 1:
        raise UserError(f"by={config.by} leaves the box")


METHOD = Method(build, check, vectors=lambda config, generator: {"moved": 2})
"""
TERM = """
from invertone.infer.solvers.losses import Maker


class Power:
    def wanted(self, target):
        return (target.square().mean(1),)

    def compare(self, latent, waveform, wanted):
        return (waveform.square().mean(1) - wanted[0]).abs()


MAKER = Maker(lambda given: Power(), needs="classifier")
"""
KIND = """
def plan(config):
    return [f"would say {config.word} {config.count} times"]


def run(name, config):
    print(name, *[config.word] * config.count)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("registry")
    made_shards(Folder.at(str(place / "shards")), train=(3,))
    tiny_models(Folder.at(str(place / "shards")), place)
    return place


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that is not ours, with the four files above."""
    package = tmp_path / "package/toys"
    package.mkdir(parents=True)
    for name, text in (("__init__", ""), ("schemas", SCHEMAS), ("beside", METHOD), ("power", TERM), ("talk", KIND)):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(package.parent)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "toys"]:
        del sys.modules[name]


def configured(catalogue: Catalogue, selected: str, folder: Path, **values: Any) -> Any:
    file = folder / f"{selected}.yaml"
    file.write_text(f"{catalogue.selector}: {selected}\n")
    return load(catalogue, str(file), [f"{key}={value}" for key, value in values.items()])


def infer(place: Path, out: Path, method: str, **values: Any) -> list[dict[str, Any]]:
    given = {name: place / folder for name, folder in (("shards", "shards"), ("generator", "wavegan"))}
    given |= {"classifier": place / "classifier", "out": out / "run", "device": "cpu"} | values
    run(method, configured(CATALOGUE, method, out, **given))
    return pq.read_table(out / "run/train-000000.parquet").to_pylist()


def test_a_method_is_a_schema_an_implementation_and_a_line(
    in_process: None, toys: None, place: Path, tmp_path: Path
) -> None:
    METHODS.add(Entry("beside", "toys.schemas:BesideConfig", "toys.beside:METHOD"))
    try:
        rows = infer(place, tmp_path, "beside", guide=place / "mapper")
        (tmp_path / "refused").mkdir()
        for values, said in (
            ({"guide": place / "mapper", "by": 2}, "by=2.0 leaves the box"),
            ({"guide": place / "classifier"}, "guide is a classifier checkpoint, not a mapper"),
            ({}, "guide not given"),
        ):
            with pytest.raises(UserError, match=said):
                infer(place, tmp_path / "refused", "beside", **values)
        assert not (tmp_path / "refused/run").exists()
    finally:
        METHODS.remove("beside")
    assert len(rows) == 3
    for row in rows:
        assert (row["method"], row["status"], row["steps"], row["losses"].keys()) == (
            "beside",
            "ok",
            2,
            {"log_magnitude"},
        )
        assert row["moved"] == row["latent"][:2] and np.abs(row["latent"]).max() <= 1
    out, mapper = Folder.at(str(tmp_path / "run")), resolve(str(place / "mapper"), "mapper")[1]
    about = described(out)
    assert (about["inputs"]["guide"], about["digests"]["guide"]) == (str(place / "mapper"), mapper.digest)
    assert recorded(out)["fingerprint"]["input.guide"] == mapper.digest
    with pytest.raises(UserError, match="method is 'beside', not one of encoder"):
        infer(place, tmp_path, "beside", guide=place / "mapper")


def test_a_loss_term_is_a_class_a_weight_and_a_line(
    in_process: None, toys: None, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TERMS, "power", resolved("toys.power:MAKER"))
    METHODS.add(Entry("power", "toys.schemas:PowerConfig", "invertone.infer.methods.gradient:METHOD"))
    given = {"evaluations": 6, "weights.waveform": 0.5}
    try:
        rows = infer(place, tmp_path, "power", **given, **{"weights.power": 2})
        (tmp_path / "refused").mkdir()
        with pytest.raises(UserError, match=r"weights.power needs a classifier; add classifier=…, or weights.power=0"):
            infer(place, tmp_path / "refused", "power", classifier="null", **{"weights.power": 2})
        with pytest.raises(UserError, match="every weight is 0"):
            infer(place, tmp_path / "refused", "power")
    finally:
        METHODS.remove("power")
    assert len(rows) == 3
    for row in rows:
        assert row["losses"].keys() == {"waveform", "power"} and row["losses"]["power"] > 0
        assert row["loss"] == pytest.approx(row["losses"]["waveform"] / 2 + 2 * row["losses"]["power"], rel=1e-4)


def test_a_kind_of_generated_clips_plans_and_runs(
    toys: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generated.KINDS.add(Entry("talk", "toys.schemas:TalkConfig", "toys.talk"))
    try:
        config = configured(generated.CATALOGUE, "talk", tmp_path, out=tmp_path / "out", count=2, word="nine")
        assert generate.plan(config) == ["would say nine 2 times"]
        generate.run("talk", config)
    finally:
        generated.KINDS.remove("talk")
    assert capsys.readouterr().out == "talk nine nine\n"


@pytest.mark.parametrize("registry", [METHODS, generated.KINDS], ids=["methods", "kinds"])
def test_every_line_names_what_there_is(registry: Registry) -> None:
    for name in registry:
        schema, implementation = registry[name], registry.implementation(name)
        assert schema.__dataclass_params__.frozen and schema.__doc__
        wanted = ("build", "check", "terms", "vectors", "columns", "told") if registry is METHODS else ("plan", "run")
        assert all(callable(getattr(implementation, each)) for each in wanted)


def test_every_term_has_a_weight() -> None:
    from invertone.infer.schemas.gradient import LossWeights

    assert list(TERMS) == list(LossWeights.__dataclass_fields__)
