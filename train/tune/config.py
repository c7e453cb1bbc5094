"""Keys of `invertone tune`. Imports neither torch, Ray nor Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invertone.cluster.config.schema import REQUIRED, Catalogue, key, path_keys
from invertone.cluster.config.shared import StorageConfig
from invertone.train.config import CATALOGUE as TRAININGS

SEARCHES = ("random", "grid", "optuna")
SCHEDULERS = ("none", "asha")
_TRAINING_PATHS = sorted({name for schema in TRAININGS.schemas.values() for name in path_keys(schema)})


@dataclass(frozen=True)
class TuneConfig(StorageConfig):
    """A sweep: one training, the keys that vary, the goals, and how they are searched."""

    sweep: str = key("training", "what is swept", choices=("training",))
    training: str = key(REQUIRED, "the training: a name of `invertone train`, or a YAML file of one")
    given: dict[str, Any] = key(
        {},
        "keys of the training that all trials share, such as given.shards=runs/sc09 given.steps=400",
        paths_within=_TRAINING_PATHS,
    )
    space: dict[str, Any] = key(
        {},
        "what varies: {learning_rate: {loguniform: [1e-4, 1e-2]}, batch: {choice: [16, 32]}, width: {integer: [4, 16]}, "
        "weights.latent: {uniform: [0, 1]}, balance: {simplex: [weights.a, weights.b], total: 1, least: 0.1}}",
    )
    goals: dict[str, str] = key({}, "metrics of the training's validation: {accuracy: max}; the first decides the best")
    published: dict[str, Any] = key(
        {}, "what a paper found best, by key that varies, for the report: {weights.generation: 0.6}", neutral=True
    )
    out: str = key(REQUIRED, "run folder that takes trials, their table and best.yaml", path=True, neutral=True)
    search: str = key("optuna", "which points are tried", choices=SEARCHES)
    trials: int = key(
        16,
        "how many; a larger number continues a finished sweep, a grid has as many as it has points",
        minimum=1,
        maximum=100_000,
        neutral=True,
    )
    grid: int = key(5, "search=grid: points of a range, and of a simplex's edge", minimum=1)
    seed: int = key(0, "decides the points; trials have the training's own seed")
    scheduler: str = key("none", "asha stops trials early that are behind", choices=SCHEDULERS)
    least_steps: int = key(0, "scheduler=asha: no trial stops before; 0 means its first checkpoint", minimum=0)
    reduction: int = key(3, "scheduler=asha: one of so many goes on from each rung to the next", minimum=2)
    concurrent: int = key(0, "trials at a time; 0 means as many as the cluster has room for", minimum=0, neutral=True)


CATALOGUE = Catalogue(stage="tune", selector="sweep", schemas={"training": TuneConfig})
