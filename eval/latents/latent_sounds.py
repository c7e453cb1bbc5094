"""Sounds of a latent space: clips beside their nearest neighbours, ways from one latent to another, one style with every label.

Only the sounds are written; who shows them draws their spectrograms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.audio.clip import encode, to_int16
from invertone.cluster.formats.shards import read_shard
from invertone.cluster.storage.folder import Folder
from invertone.eval.figures import Cell, Images
from invertone.eval.latents.features import Features
from invertone.eval.latents.inference_runs import InferenceRun
from invertone.models.autoencoder import SpectrogramAutoencoder, family_manifest
from invertone.models.generator import Generator
from invertone.models.prior import seeded

FORMAT = "flac"
SHOWN_NEIGHBOURS = 5


@dataclass
class Sounds:
    """Figures, and the files that they name."""

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


@torch.no_grad()
def between(sounds: Sounds, generator: Generator, clips: Features, examples: int, steps: int) -> None:
    """Rows: what the generator makes on the way from one clip's latent to another's. Straight inside a box, along the
    great circle where the prior is normal, so that lengths stay likely; class probabilities, where there are any, straight.
    """
    pairs = list(zip(range(0, len(clips), 2), range(1, len(clips), 2), strict=False))[:examples]
    rows = []
    for number, (first, last) in enumerate(pairs):
        cells = []
        for step in range(steps):
            share = step / (steps - 1)
            ends = (_latent(clips, first), _latent(clips, last))
            latent = way_between(*ends, share, circle=generator.prior.kind == "normal")
            probabilities = None
            if "class_probabilities" in clips:
                a, b = (torch.from_numpy(clips["class_probabilities"][at]) for at in (first, last))
                probabilities = (1 - share) * a + share * b
            title = _title(clips, first) if step == 0 else _title(clips, last) if step == steps - 1 else f"{share:.0%}"
            cells.append(
                sounds.cell(f"between-{number:02d}-{step:02d}", _made(generator, latent, probabilities), FORMAT, title)
            )
        rows.append(cells)
    if rows:
        note = "Made by the generator: the ends from the latents of two clips, the others from between them."
        sounds.figures.append(Images("From one latent to another", rows, note))


@torch.no_grad()
def by_label(sounds: Sounds, generator: Generator, uri: str, clips: Features, examples: int) -> None:
    """Rows: one clip's style with every label, of generators that take both; of others nothing."""
    if not isinstance(generator, SpectrogramAutoencoder) or not generator.decoder.classes:
        return
    names = family_manifest(uri, "generator")[1].label_names
    rows = []
    for number in range(min(examples, len(clips))):
        style = _latent(clips, number)
        cells = []
        for label, name in enumerate(names):
            one_hot = F.one_hot(torch.tensor(label), len(names)).float()
            title = f"style of {_title(clips, number)}: {name}" if label == 0 else name
            cells.append(
                sounds.cell(f"style-{number:02d}-{label:02d}", _made(generator, style, one_hot), FORMAT, title)
            )
        rows.append(cells)
    sounds.figures.append(Images("One style, every label", rows, "Each row keeps the style latent of one clip."))


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
                found[keys[clip.info.key]] = (clip.audio, clip.format)
    return found


def _made(generator: Generator, latent: Float[Tensor, " z"], probabilities: Float[Tensor, " k"] | None) -> bytes:
    """One sound, alone in its batch."""
    if isinstance(generator, SpectrogramAutoencoder) and probabilities is not None:
        spectrogram = generator.spectrogram(latent[None], probabilities[None])
        waveform = generator.sound(spectrogram, [seeded("phase").initial_seed()])
    else:
        waveform = generator(latent[None])
    return encode(to_int16(np.nan_to_num(waveform[0].float().numpy()))[0], FORMAT)


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
