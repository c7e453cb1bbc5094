"""The tuning job: Ray Tune over ordinary trainings. A killed sweep goes on where it was when its command is typed again."""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import Mapping
from typing import Any

from invertone.cluster.errors import JobIncompleteError, without_addresses
from invertone.cluster.formats.ledger import FAILED, Ledger, Unit
from invertone.cluster.formats.runs import SUMMARY, open_run
from invertone.cluster.formats.sweeps import BEST, DONE, STOPPED, TRIALS, marked, ranked, unit_of
from invertone.cluster.jobs.driver import Driver, driving
from invertone.cluster.progress import Progress
from invertone.cluster.ray.resources import Capacity, Need, places, refuse_unless
from invertone.cluster.ray.session import session
from invertone.cluster.ray.staffing import need_of, staffed
from invertone.cluster.stopping import handlers_kept
from invertone.train import job
from invertone.train.build import check, inputs
from invertone.train.ray_folder import RayFolder
from invertone.train.schemas.shared import TrainConfig
from invertone.train.tune.config import TuneConfig
from invertone.train.tune.search import GridSearch, search_of
from invertone.train.tune.search_space import Space, parse
from invertone.train.tune.sweep import Sweep, check_goals, check_published, trial_config

DRIVER_BYTES = 300e6
"""Memory of a trial's process. Where its training has workers of their own it claims this instead of a CPU, which they need."""


def plan(config: TuneConfig) -> list[str]:
    """What --dry-run prints."""
    space, training, trials = _checked(config)
    return [
        f"would train: {trials:,} trials of {config.training} ({training.objective}), {training.steps:,} updates each",
        f"would vary: {', '.join(space.keys)} by {config.search} search"
        + (", stopping those that are behind (ASHA)" if config.scheduler == "asha" else ""),
        f"goals: {', '.join(f'{name} ({way})' for name, way in config.goals.items())}",
        f"would write: {TRIALS} and {BEST} into {config.out}",
    ]


def run(name: str, config: TuneConfig) -> None:
    """Runs every trial that has not ended, then prints the best."""
    space, training, trials = _checked(config)
    digests = inputs(training) | {"shards": check(training).digest}
    folder = open_run("tune", name, config, digests)
    with driving(folder) as driver:
        ledger = Ledger(folder, driver.term.session)
        trials = max([trials, *(int(name) + 1 for name in ledger.done())])  # those that have ended stay
        ledger.fix_plan([Unit(unit_of(number), {}) for number in range(trials)], {}, anew=True)
        search = search_of(config.search, space, config.grid, config.goals, config.seed)
        sweep = Sweep(config, ledger, search, trials)
        todo = sweep.recall()
        if todo:
            with session() as capacity:
                _fit(name, sweep, todo, training, driver, capacity)
        sweep.publish()
        folder.publish_json(SUMMARY, _summary(sweep))
    print("\n".join(_lines(sweep)))
    failed = [each for each in sweep.ended.values() if each.state == FAILED]
    if failed:
        raise JobIncompleteError(
            f"{len(failed)} of {trials} trials failed, {failed[0].number} of them first: {failed[0].error}",
            where=folder.uri,
            fix="all others ended; `invertone failed` lists them, the same command tries them again",
        )


def _checked(config: TuneConfig) -> tuple[Space, TrainConfig, int]:
    """The space, the training at its middle, the number of trials: all that can be refused before anything starts."""
    check_goals(config)
    space = parse(config.space)
    check_published(config, space.keys)
    middle = space.values(dict.fromkeys(space.coordinates, 0.5))
    training = trial_config(config, middle, config.out)
    check(training)
    trials = len(GridSearch.of(space, config.grid).combinations) if config.search == "grid" else config.trials
    return space, training, trials


def _fit(name: str, sweep: Sweep, todo: list[int], training: TrainConfig, driver: Driver, capacity: Capacity) -> None:
    """Ray Tune asks for trials and runs them; every end is recorded as it comes."""
    for variable, value in _TUNE.items():
        os.environ.setdefault(variable, value)
    from ray import tune
    from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

    from invertone.train.tune.asker import Asker

    at_once, claim = _room(sweep.config, training, len(todo), capacity)
    sweep.share = int(claim.cpus)
    alone = training.workers.max == 1  # then the trial's process is its worker
    bundle = claim.for_ray() if alone else {}
    bundle["memory"] = max(bundle.get("memory", 0.0), DRIVER_BYTES)
    goal, way = next(iter(sweep.config.goals.items()))
    scratch = RayFolder(sweep.folder)
    asha = AsyncHyperBandScheduler(
        time_attr="step",
        max_t=training.steps,
        grace_period=sweep.config.least_steps or training.checkpoint_every,
        reduction_factor=sweep.config.reduction,
    )
    with Progress(f"tune {name}", sweep.trials, "trials", start=sweep.trials - len(todo)) as progress:
        asker = Asker(sweep, todo, driver, progress)
        tuner = tune.Tuner(
            tune.with_resources(_trial, tune.PlacementGroupFactory([bundle])),
            tune_config=tune.TuneConfig(
                metric=goal,
                mode=way,
                search_alg=asker,
                scheduler=asha if sweep.config.scheduler == "asha" else FIFOScheduler(),
                num_samples=len(todo),
                max_concurrent_trials=at_once,
            ),
            run_config=tune.RunConfig(
                name=uuid.uuid4().hex[:12],
                storage_path=scratch.path,
                storage_filesystem=scratch.filesystem,
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        )
        try:
            with handlers_kept():
                tuner.fit()
        finally:
            scratch.remove()
            sweep.publish()
    if asker.refused is not None:
        raise asker.refused


_TUNE = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: the sweep is continued by typing it again
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def _room(config: TuneConfig, training: TrainConfig, trials: int, capacity: Capacity) -> tuple[int, Need]:
    """How many trials at a time, and what one worker needs then. Never more than can run: trials that hold their place
    while they wait for each other's would wait for ever."""
    workers = training.workers.max
    gpu = training.device == "cuda" or (training.device == "auto" and capacity.gpus > 0)
    smallest = need_of(training, 1, gpu)
    if training.autoscaling:
        at_once = config.concurrent or trials
        return min(at_once, trials), smallest
    refuse_unless(capacity.nodes, smallest, workers)
    at_once = min(trials, max(1, places(capacity.nodes, smallest) // workers), config.concurrent or trials)
    return at_once, staffed(training, at_once * workers, at_once * workers, training.device, capacity)[1]


def _trial(settings: dict[str, Any]) -> None:
    """One trial in its own process: the ordinary training, whose validations Ray Tune hears of."""
    from ray import tune

    from invertone.cluster.formats.checkpoints import resolve

    if settings["cluster"]:  # a worker does not inherit it, and where Ray keeps its books depends on it
        os.environ.setdefault("RAY_ADDRESS", "auto")
    config: TrainConfig = settings["training"]
    last: dict[str, Any] = {"step": 0}

    def told(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal last
        last = {**metrics, "metrics": dict(metrics), "step": step}
        if step < config.steps:
            tune.report(dict(last))

    try:
        job.run(f"trial {settings['number']}", config, told, here=config.workers.max == 1)
    except Exception as error:
        traceback.print_exc()
        tune.report({**last, "error": without_addresses(str(error)) or type(error).__name__})
        return
    found = resolve(config.out, "out")[1]
    tune.report({**found.metrics, "metrics": found.metrics, "step": config.steps, "ended": True})


def _summary(sweep: Sweep) -> dict[str, Any]:
    states = [each.state for each in sweep.ended.values()]
    front = sweep.front()
    return {
        "trials": sweep.trials,
        **{state: states.count(state) for state in (DONE, STOPPED, FAILED)},
        "best": front[0].number if front else None,
        "metrics": dict(front[0].metrics) if front else {},
    }


def _lines(sweep: Sweep) -> list[str]:
    """The best trials, and where everything is."""
    front, goals = sweep.front(), sweep.config.goals
    shown, what = front, "not beaten in every goal"
    if len(goals) == 1:
        what = "the best"
        shown = [
            each for each in ranked(marked(list(sweep.ended.values()), goals), goals) if each.state == DONE
        ] or front
    lines = [f"{len(sweep.ended):,} trials; {what}:"]
    for each in shown[:5]:
        reached = ", ".join(f"{name} {each.metrics[name]:.4g}" for name in goals)
        values = ", ".join(f"{key}={_short(value)}" for key, value in each.values.items())
        lines.append(f"  trial {each.number}: {reached}  {values}")
    lines.append(f"all: {sweep.folder.path_of(TRIALS)}")
    if front:
        lines.append(f"train the best again: invertone train {sweep.folder.path_of(BEST)}")
    return lines


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
