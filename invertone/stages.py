"""The stages: what each is called, and where its configs and its job are. Nothing of them is loaded before it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from invertone.cluster.config.files import names
from invertone.cluster.config.loading import load, load_with
from invertone.cluster.config.schema import Catalogue
from invertone.cluster.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Stage:
    """A subcommand. `config` holds its CATALOGUE, `job` its `plan(config)` and `run(name, config)`."""

    name: str
    summary: str
    config: str
    job: str
    example: str
    usual: str = ""
    """The named config of a command that names none."""
    worker: str = ""
    """What its worker processes import, where that takes seconds."""

    @property
    def catalogue(self) -> Catalogue:
        """The schemas of its configs."""
        found: Catalogue = importlib.import_module(self.config).CATALOGUE
        return found

    def load(self, words: Sequence[str], *, paths_as_written: bool = False) -> tuple[str, Any]:
        """The name of the job, and the config that `NAME|FILE.yaml key=value …` describes. Raises UserError for a mistake."""
        rest = list(words)
        if self.usual and (not rest or "=" in rest[0]):
            rest = [self.usual, *rest]
        if not rest or "=" in rest[0]:
            known = ", ".join(names(self.name))
            raise UserError(f"{self.name} what?", fix=f"choose one of {known} or give a .yaml file")
        config = load(self.catalogue, rest[0], rest[1:], paths_as_written=paths_as_written)
        return _ready(rest[0], config)

    def configured(self, name: str, values: Mapping[str, Any]) -> tuple[str, Any]:
        """As `load`, with values in place of words."""
        return _ready(name, load_with(self.catalogue, name, values))

    def plan(self, config: Any) -> list[str]:
        """What a run with `config` would do, in lines. Raises UserError for what can be refused before it starts."""
        return list(importlib.import_module(self.job).plan(config))

    def run(self, name: str, config: Any) -> None:
        """Does it. Raises UserError for a mistake, JobIncompleteError where some of it stayed undone."""
        with self._early_worker():
            importlib.import_module(self.job).run(name, config)

    def _early_worker(self) -> AbstractContextManager[None]:
        """One that gets ready while the job is planned; on a cluster they are elsewhere."""
        if not self.worker:
            return nullcontext()
        from invertone.cluster.jobs.here import on_cluster
        from invertone.cluster.jobs.worker_process import early_worker

        return nullcontext() if on_cluster() else early_worker(self.worker)


def _ready(name: str, config: Any) -> tuple[str, Any]:
    """The job's name and its config, whose storage is from now on asked where it says."""
    if getattr(config, "endpoint", ""):
        from invertone.cluster.storage.s3 import use_endpoint

        use_endpoint(config.endpoint)
    return name.rpartition("/")[2].removesuffix(".yaml"), config


STAGES = (
    Stage(
        "corpus",
        "make a spoken-digit corpus offline, or fetch a public one",
        "invertone.ingest.obtain.config",
        "invertone.ingest.obtain.job",
        "invertone corpus digits out=runs/digits",
    ),
    Stage(
        "ingest",
        "turn a corpus (a folder or its archive) into WebDataset shards",
        "invertone.ingest.config",
        "invertone.ingest.job",
        "invertone ingest sc09 source=speech_commands_v0.01.tar.gz out=runs/sc09",
    ),
    Stage(
        "train",
        "train a classifier, a WaveGAN, an inverse mapper or a GAAE on shards",
        "invertone.train.config",
        "invertone.train.job",
        "invertone train wavegan-debug shards=runs/sc09 out=runs/wavegan",
    ),
    Stage(
        "tune",
        "sweep a training's keys (loss weights, rates) towards goals, many trainings side by side",
        "invertone.train.tune.config",
        "invertone.train.tune.job",
        "invertone tune gaae-weights given.shards=runs/sc09 given.classifier=runs/classifier out=runs/sweep",
    ),
    Stage(
        "import",
        "take over a published model: WaveGAN from a checkpoint of TensorFlow",
        "invertone.train.imports.config",
        "invertone.train.imports.job",
        "invertone import wavegan model.ckpt-103005 out=runs/published",
    ),
    Stage(
        "generate",
        "make clips by a generator: with known latents, or by label and style",
        "invertone.infer.generate.config",
        "invertone.infer.generate.job",
        "invertone generate clips generator=runs/wavegan count=64 out=runs/synthesised",
        worker="invertone.infer.generate.clips_stage",
    ),
    Stage(
        "infer",
        "recover the latent vector and the reconstruction of every clip",
        "invertone.infer.config",
        "invertone.infer.job",
        "invertone infer hybrid shards=runs/sc09 generator=runs/wavegan mapper=runs/mapper out=runs/latents",
        worker="invertone.infer.stage",
    ),
    Stage(
        "join",
        "put windows of long recordings together: their latents in order, and one sound each",
        "invertone.infer.join.config",
        "invertone.infer.join.job",
        "invertone join recordings latents=runs/latents sounds=true out=runs/recordings",
        worker="invertone.infer.join.stage",
    ),
    Stage(
        "eval",
        "judge latents, reconstructions and generated clips in a table, beside the papers'",
        "invertone.eval.config",
        "invertone.eval.job",
        "invertone eval reconstruction latents=runs/latents classifier=runs/classifier out=runs/table",
        worker="invertone.eval.tables.judge_stage",
    ),
    Stage(
        "demo",
        "the whole road on an embedded default, in a few minutes",
        "invertone.demo",
        "invertone.demo",
        "invertone demo",
        "digits",
    ),
)


def stage_named(name: str, others: Sequence[str] = ()) -> Stage:
    """The stage of that name. Raises UserError, naming what there is (and `others`), where there is none."""
    for each in STAGES:
        if each.name == name:
            return each
    known = [*(each.name for each in STAGES), *others]
    raise UserError(f"no stage named {name!r}", fix=f"choose one of {', '.join(known)}{did_you_mean(name, known)}")
