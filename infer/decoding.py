"""The clips of a shard, decoded while the batch before them is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import soundfile

from invertone.audio.clip import CLIP_SAMPLES, Samples, decode
from invertone.cluster.formats.shards import Clip
from invertone.cluster.jobs.watch import Watch

Decoded = list[Samples | str]
"""The samples of each clip, or why it has none."""


def key_of(clip: Clip) -> str:
    return clip.info.key


def keys_of(clips: Sequence[Clip]) -> list[str]:
    return [key_of(clip) for clip in clips]


def ahead(
    reader: ThreadPoolExecutor, batches: Sequence[Sequence[Clip]], watch: Watch
) -> Iterator[tuple[Sequence[Clip], Decoded]]:
    """Each batch with its decoded clips; the next batch is decoded meanwhile, unless it is a suspect, which is alone."""
    coming: Future[Decoded] | None = None
    for number, batch in enumerate(batches):
        decoded = (coming or reader.submit(_decoded, batch, watch)).result()
        following = batches[number + 1 : number + 2]
        alone = not following or key_of(following[0][0]) in watch.suspects
        coming = None if alone else reader.submit(_decoded, following[0], watch)
        yield batch, decoded


def _decoded(clips: Sequence[Clip], watch: Watch) -> Decoded:
    with watch.on(keys_of(clips)):
        return [_samples(clip) for clip in clips]


def _samples(clip: Clip) -> Samples | str:
    try:
        samples = decode(clip.audio)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        return f"cannot be decoded: {error}"
    return samples if samples.shape == (CLIP_SAMPLES,) else f"has shape {samples.shape}, not ({CLIP_SAMPLES},)"
