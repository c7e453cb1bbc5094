"""Sounds of a latent space: clips beside their nearest neighbours, ways from one latent to another, one style with every label.

Only the sounds are written; who shows them draws their spectrograms.
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

from invertone.audio.clip import encode, to_int16
from invertone.cluster.formats.latents import CLASS_PROBABILITIES, GENERATOR_LABEL
from invertone.cluster.formats.shards import read_shard
from invertone.cluster.storage.folder import Folder
from invertone.eval.figures import Cell, Images
from invertone.eval.latents.features import UNKNOWN_LABEL, Features
from invertone.eval.latents.inference_runs import InferenceRun
from invertone.models.generator import Generator, SpectrogramGenerator
from invertone.models.prior import seeded

FORMAT = "flac"
SHOWN_NEIGHBOURS = 5
MOST_PAIRED = 1_000
"""Clips, the first ones, among which pairs are looked for."""


@dataclass
class Sounds:
    """Figures, and the files that they name. sample_rate: of what a generator makes."""

    sample_rate: int
    figures: list[Images] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def cell(self, name: str, audio: bytes, extension: str, title: str) -> Cell:
        """Keeps a file and gives its place in a figure."""
        path = f"sounds/{name}.{extension}"
        self.files[path] = audio
        return Cell(title, audio=path)


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
    note = "First the clip, then its nearest neighbours by cosine, of other recordings."
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
            made = _made(generator, latent, told, sounds.sample_rate)
            name = f"between-{figure}-{number:02d}-{step:02d}"
            cells.append(sounds.cell(name, made, FORMAT, ends.get(step, f"{share:.0%}")))
        rows.append(cells)
    if rows:
        path = "along the great circle" if way.circle else "linearly"
        note = f"Made by the generator: the ends from the latents of two clips, the others from between them, {path}{labels}."
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
        cells = [sounds.cell(f"style-{number:02d}-clip", *audio[number], f"clip: {_title(clips, number)}")]
        for label, name in enumerate(names):
            one_hot = F.one_hot(torch.tensor(label), len(names)).float()
            made = _made(generator, style, one_hot, sounds.sample_rate)
            cells.append(sounds.cell(f"style-{number:02d}-{label:02d}", made, FORMAT, name))
        rows.append(cells)
    note = "First the clip itself, then what is made of its style latent with each label."
    sounds.figures.append(Images("One style, every label", rows, note))


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


def _made(
    generator: Generator, latent: Float[Tensor, " z"], told: Float[Tensor, " k"] | None, sample_rate: int
) -> bytes:
    """One sound, alone in its batch. told: the share of each label; of these who takes one label is told the largest."""
    if told is None:
        waveform = generator(latent[None])
    elif isinstance(generator, SpectrogramGenerator):
        spectrogram = generator.spectrogram(latent[None], told[None])
        waveform = generator.sound(spectrogram, [seeded("phase").initial_seed()])
    else:
        waveform = generator(latent[None], told.argmax()[None])
    return encode(to_int16(np.nan_to_num(waveform[0].float().numpy().T))[0], FORMAT, sample_rate)


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
