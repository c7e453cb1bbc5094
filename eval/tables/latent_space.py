"""The table of a latent space: whether clips that lie near each other sound alike; with figures to look at and listen to.

Figures: the space in two dimensions by t-SNE, coloured by what is known of the clips; clips and their nearest neighbours;
and, if the generator is at hand, what lies between two latents (eval/latents/latent_sounds.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from invertone.cluster.config.checks import is_class
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import CLASS_PROBABILITIES
from invertone.cluster.formats.signals import refuse_others
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome
from invertone.eval import figures
from invertone.eval.figures import Figure, Scatter
from invertone.eval.latents.features import Features, Request, Source, gather, joined
from invertone.eval.latents.inference_runs import InferenceRun, open_inference_runs
from invertone.eval.latents.latent_sounds import (
    Sounds,
    Way,
    between,
    by_label,
    neighbours_to_hear,
    pairs_by_label,
    with_attribute,
)
from invertone.eval.schemas.latent_space import AUTO, CIRCLE, MIXED, LatentSpaceConfig
from invertone.eval.table import Cell, Column, Table
from invertone.eval.tabulate import tabulate
from invertone.models.generator import generator_digest, generator_format, load_generator

LATENT = "latent"
PRINCIPAL = 50
FEWEST = 5
BLOCK = 512
ATTRIBUTES = {"label": "label_name", "speaker": "speaker", "gender": "gender"}
COLOURS = {**ATTRIBUTES, "split": "split", "run": "run"}
COLUMNS = (
    Column("row", "Run"),
    Column("attribute", "Attribute"),
    Column("n", "n", ","),
    Column("values", "Values", ","),
    Column("neighbours", "Neighbours", ","),
    Column("same", "Same", ".1%"),
    Column("chance", "Chance", ".1%"),
)


def plan(config: LatentSpaceConfig) -> list[str]:
    """What --dry-run prints."""
    sources = _sources(config)
    rows = sum(part.rows for source in sources for part in source.parts)
    generator, reason = _generator(config, [source.run for source in sources])
    return [
        f"would look at: at most {config.clips:,} of {rows:,} clips of {', '.join(source.run.label for source in sources)}",
        f"would make sounds by {generator}" if generator else f"would make no sounds: {reason}",
    ]


def run(name: str, config: LatentSpaceConfig) -> None:
    """Gathers latents, prints the table of neighbours, writes the figures."""
    sources = _sources(config)
    runs = [source.run for source in sources]
    generator, reason = _generator(config, runs)
    digests = {f"latents.{number}": each.digest for number, each in enumerate(runs)}
    digests["generator"] = str(runs[0].about["digests"]["generator"])
    shares = [CLASS_PROBABILITIES] if all(CLASS_PROBABILITIES in each.vector_columns() for each in runs) else []
    vectors = tuple(dict.fromkeys([config.column, LATENT, *shares]))
    told = tuple(config.attributes)
    request = Request(config.seed, vectors, False, "untouched", config.batch, config.device, attributes=told)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        gathered, outcome = gather(driver, f"eval {name}", sources, request, config)
        clips = labelled(gathered, runs)
        if len(clips) < FEWEST:
            raise UserError(f"has {len(clips)} latents, too few for a map", where=runs[0].uri, fix="infer more clips")
        nearest = nearest_neighbours(clips[config.column], clips["recording"], config.neighbours)
        table = _table(config, runs, clips, nearest, reason)
        shown = _maps(clips, config)
        sounds = _sounds(config, runs, clips, nearest, generator)
        folder = driver.term.folder
        figures.publish(folder, [*shown, *sounds.figures], sounds.files)
        kind = "sounds" if sounds.what == "clip" else "pictures"
        drawn = len(shown) + len(sounds.figures)
        print(f"{drawn} figures, {len(sounds.files)} {kind}: {folder.path_of(figures.FIGURES)}")
        return table, outcome

    tabulate(name, config, digests, make)


def _sources(config: LatentSpaceConfig) -> list[Source]:
    runs = open_inference_runs(config.latents, config.shards)
    sources = []
    for each in runs:
        each.check_columns([config.column])
        first = runs[0]
        refuse_others(
            each.manifest.format, each.label, first.manifest.format, f"clips of {first.label}", each.uri, "is of"
        )
        if each.about["digests"]["generator"] != runs[0].about["digests"]["generator"]:
            raise UserError(
                "latents are of different generators, and so of different spaces",
                where=each.uri,
                fix="give runs of one generator, or make a table of each",
            )
        parts = each.of_splits(config.splits)
        if not sum(part.rows for part in parts):
            raise UserError("no latents of these splits", where=each.uri, fix="choose other splits")
        sources.append(Source(each, parts, max(1, config.clips // len(runs))))
    return sources


def _generator(config: LatentSpaceConfig, runs: Sequence[InferenceRun]) -> tuple[str | None, str]:
    """Where the generator is, or None and why there is none. Code of others is loaded only where this command names it."""
    if not config.examples:
        return None, "examples=0"
    uri = config.generator or str(runs[0].about["inputs"]["generator"])
    if config.generator is None and is_class(uri):
        return None, f"the generator is a class, {uri}; give it as generator= to hear it"
    try:
        found = generator_digest(uri)
        if config.generator is not None:
            refuse_others(generator_format(uri), "generator", runs[0].manifest.format, "shards", uri)
    except UserError as error:
        if config.generator is not None:
            raise
        return None, f"the generator is not at hand ({error.what})"
    if found != runs[0].about["digests"]["generator"]:
        if config.generator is not None:
            raise UserError(
                "is not the generator whose latents these are", where=uri, fix="give the one that was inverted"
            )
        return None, "the generator that was inverted is no longer there, another one is"
    return uri, ""


def labelled(gathered: Sequence[Features], runs: Sequence[InferenceRun]) -> Features:
    """All clips, with the column `run` (its label) and `at` (its number)."""
    parts = []
    for number, (each, of) in enumerate(zip(gathered, runs, strict=True)):
        more = {"run": np.array([of.label] * len(each)), "at": np.full(len(each), number)}
        parts.append(Features({**each.columns, **more}) if len(each) else each)
    return joined(parts)


def tsne(latents: np.ndarray, perplexity: float, seed: int, components: int = PRINCIPAL) -> np.ndarray:
    """[n, z] → [n, 2]. t-SNE (van der Maaten & Hinton 2008) of at most `components` principal components (0: of the latents
    themselves), on one thread, so that the same seed gives the same map."""
    wide = latents.astype(np.float64)
    with threadpool_limits(1):
        if 0 < components < wide.shape[1]:
            wide = PCA(min(components, len(wide) - 1), svd_solver="full").fit_transform(wide)
        near = min(perplexity, (len(wide) - 1) / 3)
        init = "pca" if wide.shape[1] > 1 else "random"
        return TSNE(2, perplexity=near, init=init, random_state=seed).fit_transform(wide)


def nearest_neighbours(latents: np.ndarray, recordings: np.ndarray, count: int) -> np.ndarray:
    """[n, k]: which clips of other recordings are nearest by cosine, the nearest first; -1 where there are no more. k is
    `count`, or fewer if there are fewer clips."""
    wide = latents.astype(np.float64)
    unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    _, group = np.unique(recordings, return_inverse=True)
    count = min(count, len(unit) - 1)
    found = np.empty((len(unit), count), np.int64)
    for first in range(0, len(unit), BLOCK):
        rows = slice(first, first + BLOCK)
        cosine = unit[rows] @ unit.T
        cosine[group[rows, None] == group[None, :]] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
        reached = np.isfinite(np.take_along_axis(cosine, order, axis=1))
        found[rows] = np.where(reached, order, -1)
    return found


def agreement(values: np.ndarray, recordings: np.ndarray, nearest: np.ndarray) -> tuple[float, float] | None:
    """The share of neighbours with a clip's own value, and the share of all clips of other recordings that have it: what chance
    gives. Neighbours whose value is unknown do not count. None where nothing can be said."""
    known = values != ""
    _, value = np.unique(values, return_inverse=True)
    _, group = np.unique(recordings, return_inverse=True)
    counted = (nearest >= 0) & known[nearest] & known[:, None]
    same = (value[nearest] == value[:, None]) & counted
    alike = possible = 0
    for first in range(0, len(values), BLOCK):
        rows = slice(first, first + BLOCK)
        other = (group[rows, None] != group[None, :]) & known[rows, None] & known[None, :]
        possible += int(other.sum())
        alike += int(((value[rows, None] == value[None, :]) & other).sum())
    if not counted.any() or not possible:
        return None
    return float(same.sum() / counted.sum()), alike / possible


def _table(
    config: LatentSpaceConfig, runs: Sequence[InferenceRun], clips: Features, nearest: np.ndarray, no_sounds: str
) -> Table:
    rows: list[dict[str, Cell]] = []
    for number, each in enumerate(runs):
        own = clips.take(clips["at"] == number)
        if len(own) > 1:
            found = (
                nearest
                if len(runs) == 1
                else nearest_neighbours(own[config.column], own["recording"], config.neighbours)
            )
            rows += [_row(each.label, name, own, field, found) for name, field in ATTRIBUTES.items()]
    if len(runs) > 1:
        rows.append(_row("all", "run", clips, "run", nearest))
    about = {
        "latents": [each.uri for each in runs],
        "generator": runs[0].about["inputs"]["generator"],
        "column": config.column,
        "seed": config.seed,
        "n": len(clips),
    }
    notes = [
        f"Same: of a clip's {nearest.shape[1]} nearest by cosine in `{config.column}`, among the clips of its run, the share "
        "with its own label (speaker, gender); clips of the same recording do not count. Chance: the share of all other clips "
        "that have it. Run: of several runs in one space, the share of neighbours from a clip's own run.",
        f"{len(clips):,} clips, chosen by seed {config.seed} and key. t-SNE keeps neighbourhoods; distances between clusters "
        "and their sizes mean nothing.",
    ]
    if no_sounds:
        notes.append(f"No sounds between latents: {no_sounds}.")
    title = f"Latent space of {', '.join(each.label for each in runs)} on {runs[0].manifest.corpus}"
    return Table(title, COLUMNS, [row for row in rows if row["same"] is not None], notes, about)


def _row(label: str, attribute: str, clips: Features, field: str, nearest: np.ndarray) -> dict[str, Cell]:
    values = clips[field]
    found = agreement(values, clips["recording"], nearest)
    return {
        "row": label,
        "attribute": attribute,
        "n": int((values != "").sum()),
        "values": len(np.unique(values[values != ""])),
        "neighbours": nearest.shape[1],
        "same": found[0] if found else None,
        "chance": found[1] if found else None,
    }


def _maps(clips: Features, config: LatentSpaceConfig) -> list[Figure]:
    """Of the latents, once for each thing known of the clips."""
    title = "Latent space" if config.column == LATENT else config.column.replace("_", " ").capitalize()
    points = tsne(clips[config.column], config.perplexity, config.seed, config.components)
    return scatters(clips, points, config, title, config.column)


def scatters(clips: Features, points: np.ndarray, config: LatentSpaceConfig, title: str, column: str) -> list[Figure]:
    """The same map once for each thing known of the clips that is not the same for all, or for each that was asked for."""
    size = clips[column].shape[1]
    kept = min(config.components, len(clips) - 1)
    given = f"{kept} principal components" if 0 < config.components < size else f"{size} values as they are"
    note = f"t-SNE of {column} ({given}), {len(clips):,} clips, seed {config.seed}"
    x, y = (np.round(each, 4).tolist() for each in points.T)
    shown: list[Figure] = []
    for name in config.colours or COLOURS:
        groups = ["unknown" if each == "" else str(each) for each in clips[COLOURS[name]]]
        if config.colours or len(set(groups)) > 1:
            order = _in_order(clips) if name == "label" else []
            told = note if len(set(groups)) > 1 else f"{note}; {name} of every clip: {groups[0]}"
            shown.append(Scatter(f"{title} by {name}", x, y, groups, clips["key"].tolist(), note=told, order=order))
    return shown or [Scatter(title, x, y, (), clips["key"].tolist(), note=note)]


def _in_order(clips: Features) -> list[str]:
    """Names of labels as their numbers follow."""
    known = {(int(number), str(name)) for number, name in zip(clips["label"], clips["label_name"], strict=True)}
    return list(dict.fromkeys(name for _, name in sorted(known) if name))


def _sounds(
    config: LatentSpaceConfig, runs: Sequence[InferenceRun], clips: Features, nearest: np.ndarray, generator: str | None
) -> Sounds:
    sounds = Sounds(runs[0].manifest.format)
    if config.examples:
        neighbours_to_hear(sounds, runs, clips, nearest, config.examples)
    if generator is not None:
        loaded, _ = load_generator(generator)
        circle = config.path == CIRCLE or (config.path == AUTO and loaded.prior.kind == "normal")
        way = Way(config.steps, circle, config.labels_between == MIXED)
        for title, pairs in pairs_by_label(clips, config.examples).items():
            between(sounds, loaded, clips, title, pairs, way)
        by_label(sounds, loaded, runs, clips, config.examples)
        for name in config.attributes:
            if reason := with_attribute(sounds, loaded, runs, clips, name, max(1, config.examples // 2)):
                print(f"left out: {reason}")
    return sounds
