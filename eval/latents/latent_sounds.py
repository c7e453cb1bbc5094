"""Sounds or pictures of a latent space: clips beside their nearest neighbours, ways from one latent to another, one style with
every label, attributes added to latents.

Only sounds and pictures are written; who shows sounds draws their spectrograms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.cluster.formats.latents import CLASS_PROBABILITIES, GENERATOR_LABEL
from invertone.cluster.formats.shards import read_shard
from invertone.cluster.formats.signals import ClipFormat, SignalFormat
from invertone.cluster.storage.folder import Folder
from invertone.eval.figures import Cell, Images
from invertone.eval.latents.features import UNKNOWN_LABEL, Features, attribute_column
from invertone.eval.latents.inference_runs import InferenceRun
from invertone.models.generator import Generator, SpectrogramGenerator
from invertone.models.prior import seeded
from invertone.models.signals import signal_of

SHOWN_NEIGHBOURS = 5
MOST_PAIRED = 1_000
"""Clips, the first ones, among which pairs are looked for."""


@dataclass
class Sounds:
    """Figures, and the files that they name, of sounds or pictures. format: of what a generator makes."""

    format: SignalFormat
    figures: list[Images] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def extension(self) -> str:
        """Of what is made."""
        return "flac" if isinstance(self.format, ClipFormat) else "png"

    @property
    def what(self) -> str:
        """What one calls a signal."""
        return "clip" if isinstance(self.format, ClipFormat) else "picture"

    def cell(self, name: str, data: bytes, extension: str, title: str) -> Cell:
        """Keeps a file and gives its place in a figure."""
        if isinstance(self.format, ClipFormat):
            path = f"sounds/{name}.{extension}"
            self.files[path] = data
            return Cell(title, audio=path)
        path = f"pictures/{name}.{extension}"
        self.files[path] = data
        return Cell(title, image=path)

    def made(self, signal: Float[Tensor, ...]) -> bytes:
        """A file of what a generator made, without its batch."""
        own = signal_of(self.format)
        (values,) = own.quantised(signal[None].float().cpu()).numpy()
        return own.encode(values, self.extension, self.format)


def neighbours_to_hear(
    sounds: Sounds, runs: Sequence[InferenceRun], clips: Features, nearest: np.ndarray, examples: int
) -> None:
    """Rows: a clip, then its nearest ones, as they lie in the shards."""
    chosen = [
        [at, *(each for each in nearest[at, :SHOWN_NEIGHBOURS].tolist() if each >= 0)]
        for at in range(min(examples, len(clips)))
    ]
    audio = _audio_of(runs, clips, sorted({each for row in chosen for each in row}))
    rows = []
    for number, row in enumerate(chosen):
        titles = [_title(clips, at) if place == 0 else f"{place}. {_title(clips, at)}" for place, at in enumerate(row)]
        cells = [
            sounds.cell(f"neighbours-{number:02d}-{place}", *audio[at], title)
            for place, (at, title) in enumerate(zip(row, titles, strict=True))
        ]
        rows.append(cells)
    of = "of other recordings" if sounds.what == "clip" else "of other files"
    note = f"First the {sounds.what}, then its nearest neighbours by cosine, {of}."
    sounds.figures.append(Images("Nearest neighbours", rows, note))


@dataclass(frozen=True)
class Way:
    """How one goes from latent to latent: in how many steps, both ends among them; along the great circle or straight; what the
    generator is told of labels, where it takes any, from the first clip's to the last one's (mixed), or the first one's all
    along."""

    steps: int
    circle: bool
    mixed: bool


def pairs_by_label(clips: Features, examples: int) -> dict[str, list[tuple[int, int]]]:
    """Pairs of clips by the title of their figure: `examples` of the same label, labels in turn, and as many of different ones.
    Clips lie in the order of their hashes, which the seed decides; the two of a pair are of different recordings."""
    labels = [str(each) for each in clips["label_name"]]
    known = [at for at, label in enumerate(labels) if label != ""][:MOST_PAIRED]
    if not known:
        pairs = list(zip(range(0, len(clips), 2), range(1, len(clips), 2), strict=False))[:examples]
        return {"From one latent to another": pairs}
    same = _in_turn(_paired(known, clips, lambda a, b: labels[a] == labels[b]), labels)
    different = _paired(known, clips, lambda a, b: labels[a] != labels[b])
    found = {"the same label": same[:examples], "different labels": different[:examples]}
    return {f"From one latent to another, of {which}": pairs for which, pairs in found.items() if pairs}


def _paired(among: Sequence[int], clips: Features, fits: Callable[[int, int], bool]) -> list[tuple[int, int]]:
    """Each clip with the next one that fits and is of another recording; none is in two pairs."""
    pairs, free = [], list(among)
    while free:
        first = free.pop(0)
        last = next((b for b in free if fits(first, b) and clips["recording"][b] != clips["recording"][first]), None)
        if last is not None:
            free.remove(last)
            pairs.append((first, last))
    return pairs


def _in_turn(pairs: Sequence[tuple[int, int]], labels: Sequence[str]) -> list[tuple[int, int]]:
    """A pair of every label before the second one of any."""
    turns: Counter[str] = Counter()
    dealt = []
    for place, pair in enumerate(pairs):
        dealt.append((turns[labels[pair[0]]], place, pair))
        turns[labels[pair[0]]] += 1
    return [pair for _, _, pair in sorted(dealt)]


@torch.no_grad()
def between(
    sounds: Sounds, generator: Generator, clips: Features, title: str, pairs: Sequence[tuple[int, int]], way: Way
) -> None:
    """Rows: what the generator makes on the way from one clip's latent to another's."""
    rows = []
    labels = ""
    figure = len(sounds.figures)
    for number, (first, last) in enumerate(pairs):
        cells = []
        for step in range(way.steps):
            share = step / (way.steps - 1)
            latent = way_between(_latent(clips, first), _latent(clips, last), share, way.circle)
            told = None
            a, b = (_told(generator, clips, at) for at in (first, last))
            if a is not None and b is not None:
                told = (1 - share) * a + share * b if way.mixed else a
                labels = _on_the_way(generator, way)
            kept = "style of " if told is not None and not way.mixed else ""
            ends = {0: _title(clips, first), way.steps - 1: f"{kept}{_title(clips, last)}"}
            made = sounds.made(_made(generator, latent, told))
            name = f"between-{figure}-{number:02d}-{step:02d}"
            cells.append(sounds.cell(name, made, sounds.extension, ends.get(step, f"{share:.0%}")))
        rows.append(cells)
    if rows:
        path = "along the great circle" if way.circle else "linearly"
        both = f"the ends from the latents of two {sounds.what}s"
        note = f"Made by the generator: {both}, the others from between them, {path}{labels}."
        sounds.figures.append(Images(title, rows, note))


def _told(generator: Generator, clips: Features, at: int) -> Float[Tensor, " k"] | None:
    """What was said of labels beside a clip's latent, as the share of each; None where nothing was."""
    if CLASS_PROBABILITIES in clips:
        return torch.from_numpy(clips[CLASS_PROBABILITIES][at])
    names, label = _labels_of(generator), int(clips[GENERATOR_LABEL][at]) if GENERATOR_LABEL in clips else UNKNOWN_LABEL
    return None if not names or label == UNKNOWN_LABEL else F.one_hot(torch.tensor(label), len(names)).float()


def _on_the_way(generator: Generator, way: Way) -> str:
    """In words, what the generator is told of labels."""
    if isinstance(generator, SpectrogramGenerator):
        return ", class probabilities as well" if way.mixed else ", with the class probabilities of the first clip"
    return ", each with the label of the nearer clip" if way.mixed else ", with the label of the first clip"


def _labels_of(generator: Generator) -> tuple[str, ...]:
    return tuple(getattr(generator, "label_names", ()))


@torch.no_grad()
def by_label(
    sounds: Sounds, generator: Generator, runs: Sequence[InferenceRun], clips: Features, examples: int
) -> None:
    """Rows: a clip, then its style with every label, of generators that take both; of others nothing."""
    names = _labels_of(generator)
    if not names:
        return
    shown = range(min(examples, len(clips)))
    audio = _audio_of(runs, clips, list(shown))
    rows = []
    for number in shown:
        style = _latent(clips, number)
        cells = [sounds.cell(f"style-{number:02d}-clip", *audio[number], f"{sounds.what}: {_title(clips, number)}")]
        for label, name in enumerate(names):
            one_hot = F.one_hot(torch.tensor(label), len(names)).float()
            made = sounds.made(_made(generator, style, one_hot))
            cells.append(sounds.cell(f"style-{number:02d}-{label:02d}", made, sounds.extension, name))
        rows.append(cells)
    note = f"First the {sounds.what} itself, then what is made of its style latent with each label."
    sounds.figures.append(Images("One style, every label", rows, note))


STEPS = (0.5, 1.0, 1.5)
"""How often the direction of an attribute is added."""
FEWEST_WITH = 3
"""Examples with, and without, an attribute, from which on there is a direction (Bayat 2020, 1.5)."""


@torch.no_grad()
def with_attribute(
    sounds: Sounds, generator: Generator, runs: Sequence[InferenceRun], clips: Features, name: str, examples: int
) -> str:
    """Rows: signals without an attribute to whose latents its direction is added, and some with it from whose latents it is
    taken away: the mean latent of those that have it minus that of those that have not. What has more of it than all have in
    the mean has it. Returns why there is no figure, or nothing."""
    values = clips[attribute_column(name)]
    known = np.isfinite(values)
    has = known & (values > values[known].mean()) if known.any() else known
    lacks = known & ~has
    if min(has.sum(), lacks.sum()) < FEWEST_WITH:
        return f"{name}: {has.sum()} with it and {lacks.sum()} without, {FEWEST_WITH} of either are needed"
    latents = clips["latent"].astype(np.float64)
    direction = torch.from_numpy(latents[has].mean(0) - latents[lacks].mean(0)).float()
    figure, rows = len(sounds.figures), []
    for sign, among in ((1, lacks), (-1, has)):
        chosen = np.flatnonzero(among)[:examples].tolist()
        found = _audio_of(runs, clips, chosen)
        for number, at in enumerate(chosen):
            kept = f"attribute-{figure}-{'with' if sign > 0 else 'without'}-{number:02d}"
            cells = [sounds.cell(f"{kept}-{sounds.what}", *found[at], f"{sounds.what}: {_title(clips, at)}")]
            for step in (0.0, *STEPS):
                made = sounds.made(_made(generator, _latent(clips, at) + sign * step * direction, None))
                title = f"{'+' if sign > 0 else '−'} {step:g} × {name}" if step else "its latent"
                cells.append(sounds.cell(f"{kept}-{step:g}", made, sounds.extension, title))
            rows.append(cells)
    note = (
        f"First the {sounds.what}, then what is made of its latent, then of that plus or minus the direction of {name}: the "
        f"mean latent of {has.sum():,} with it minus that of {lacks.sum():,} without."
    )
    sounds.figures.append(Images(f"{name} added and taken away", rows, note))
    return ""


def _audio_of(runs: Sequence[InferenceRun], clips: Features, chosen: Sequence[int]) -> dict[int, tuple[bytes, str]]:
    """Encoded sound and format of some clips, each shard being read once."""
    by_shard: dict[tuple[int, str], list[int]] = {}
    for at in chosen:
        by_shard.setdefault((int(clips["at"][at]), str(clips["shard"][at])), []).append(at)
    found = {}
    for (run, shard), wanted in by_shard.items():
        entry = next(each for each in runs[run].manifest.shards if each.name == shard)
        keys = {str(clips["key"][at]): at for at in wanted}
        for clip in read_shard(Folder.at(runs[run].shards), entry):
            if clip.info.key in keys:
                found[keys[clip.info.key]] = (clip.data, clip.format)
    return found


def _made(generator: Generator, latent: Float[Tensor, " z"], told: Float[Tensor, " k"] | None) -> Float[Tensor, ...]:
    """One sound or picture, alone in its batch. told: the share of each label; of these who takes one label is told the
    largest."""
    if told is None:
        return generator(latent[None])[0]
    if isinstance(generator, SpectrogramGenerator):
        spectrogram = generator.spectrogram(latent[None], told[None])
        return generator.sound(spectrogram, [seeded("phase").initial_seed()])[0]
    return generator(latent[None], told.argmax()[None])[0]


def way_between(
    first: Float[Tensor, " z"], last: Float[Tensor, " z"], share: float, circle: bool
) -> Float[Tensor, " z"]:
    """`share` of the way. On the circle lengths change evenly too; opposite or equal directions go straight."""
    straight = (1 - share) * first + share * last
    lengths = first.norm(), last.norm()
    angle = torch.arccos(F.cosine_similarity(first, last, dim=0).clamp(-1, 1))
    if not circle or torch.sin(angle) < 1e-4:
        return straight
    direction = torch.sin((1 - share) * angle) * first / lengths[0] + torch.sin(share * angle) * last / lengths[1]
    return direction / torch.sin(angle) * ((1 - share) * lengths[0] + share * lengths[1])


def _latent(clips: Features, at: int) -> Float[Tensor, " z"]:
    return torch.from_numpy(clips["latent"][at])


def _title(clips: Features, at: int) -> str:
    """What is known of a clip, in a few words; else its key."""
    words = [str(clips[name][at]) for name in ("label_name", "speaker") if clips[name][at] != ""]
    return ", ".join(words) or str(clips["key"][at])
