"""`python -m tests.oracles.measures`: how far the tables' measures lie from independent implementations on the same clips.

One made archive is judged as `eval` judges it: clips one at a time, their sums packed, unpacked and merged. The oracles
(scikit-learn, SciPy, scikit-image, torchmetrics) get the same waveforms, spectrograms and activations whole. The same
sums cut into UNITS units instead of one must give the same table. Exit code 1 if any of it is beyond its limit.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.spatial.distance
import scipy.stats
import skimage.metrics
import sklearn.metrics
import torch
import torchmetrics
from numpy.typing import NDArray
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance

from invertone.audio.clip import decode, encode, to_float, to_int16
from invertone.audio.distances import MEASURE
from invertone.audio.front_end import log_magnitude
from invertone.cluster.formats.shards import Clip
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.columns import estimates
from invertone.eval.measures.estimates import Estimate, Sums, add
from invertone.eval.measures.labels import label_numbers
from invertone.eval.measures.listener import Sampling
from invertone.eval.measures.sums import packed, unpacked
from invertone.eval.tables.judge import Judge, Run
from invertone.models.checkpoint import load_classifier
from invertone.models.generator import load_generator
from invertone.models.networks.resnet import ResNet18
from tests.made import made_clips, made_shards, tiny_models

Array = NDArray[np.float64]
CLIPS, UNITS, LATENT = 150, 50, 8
SINGLE, DOUBLE = 5e-6, 1e-9
"""Relative limits, of what is computed in single precision clip by clip and of what is summed and derived from that."""


@dataclass(frozen=True)
class Found:
    """Our value of a measure and an oracle's."""

    measure: str
    oracle: str
    ours: float
    theirs: float
    limit: float

    @property
    def disagreement(self) -> float:
        """Relative to the oracle's value."""
        return abs(self.ours - self.theirs) / abs(self.theirs)


@dataclass(frozen=True)
class Sound:
    """What oracles get: waveforms [b, n], images [b, f, t], logits [b, k], penultimate [b, d], activations of blocks [b, …]."""

    waveform: Array
    images: Array
    logits: Array
    penultimate: Array
    blocks: list[Array]


@dataclass(frozen=True)
class Archive:
    """Clips, what a method made of them, our estimates from one unit and from UNITS."""

    clips: list[Clip]
    recovered: Array
    target: Sound
    reconstruction: Sound
    one: dict[str, Estimate]
    many: dict[str, Estimate]


def archive(place: Path) -> Archive:
    """Made clips and copies of them that are louder or fainter and noisy, heard by an untrained classifier."""
    made_shards(Folder.at(str(place / "shards")))
    tiny_models(Folder.at(str(place / "shards")), place)
    classifier, checkpoint = load_classifier(str(place / "classifier"))
    with torch.no_grad():
        classifier.head.weight *= 40.0  # posteriors worth the name
    rng = np.random.default_rng(0)
    latents, noise = rng.standard_normal((2, CLIPS, LATENT)).astype(np.float32)
    clips, rows = [], []
    for number, made in enumerate(made_clips(CLIPS, "test")):
        clip = Clip(dataclasses.replace(made.info, latent=tuple(latents[number].tolist())), made.data, made.format)
        wave = to_float(decode(clip.data))
        other = to_int16(rng.uniform(0.5, 1.2) * wave + rng.uniform(0.001, 0.1) * rng.standard_normal(len(wave)))[0]
        recovered = (latents[number] + 0.3 * noise[number]).tolist()
        file = {"bytes": encode(other, "wav", 16_000)}
        rows.append({"key": clip.info.key, "status": "ok", "latent": recovered, "reconstruction": file})
        clips.append(clip)
    generator = load_generator(str(place / "wavegan"))[0]
    labels = label_numbers(checkpoint.label_names)
    judge = Judge(generator, USUAL, classifier, torch.device("cpu"), Sampling(0, 4, 1), True, labels)
    run = Run("method", str(place), True, "method")
    parts = [list(judge.judged([clip], {run: [row]})) for clip, row in zip(clips, rows, strict=True)]
    found = [to_float(decode(row["reconstruction"]["bytes"])) for row in rows]
    return Archive(
        clips,
        np.array([row["latent"] for row in rows]),
        _sound(classifier, [to_float(decode(clip.data)) for clip in clips]),
        _sound(classifier, found),
        _merged(parts, 1),
        _merged(parts, UNITS),
    )


def _merged(parts: Sequence[Sequence[tuple[str, Sums]]], units: int) -> dict[str, Estimate]:
    """The row of the method from sums that went through `units` files."""
    total: dict[str, Sums] = {}
    for chosen in np.array_split(np.arange(len(parts)), units):
        unit: dict[str, Sums] = {}
        for at in chosen:
            for row, sums in parts[at]:
                add(unit.setdefault(row, {}), sums)
        for row, sums in unpacked(packed(unit)).items():
            add(total.setdefault(row, {}), sums)
    return estimates(total["method"], total["real"])


@torch.no_grad()
def _sound(classifier: ResNet18, waveforms: Sequence[NDArray[np.float32]]) -> Sound:
    """Activations by hooks, clip by clip: not the way the judge takes them."""
    blocks: list[list[Array]] = [[] for _ in classifier.blocks]
    heads: list[tuple[Array, Array]] = []

    def keep(seen: list[Array]) -> Any:
        return lambda module, inputs, output: seen.append(output[0].double().numpy())

    hooks = [block.register_forward_hook(keep(seen)) for block, seen in zip(classifier.blocks, blocks, strict=True)]
    hooks.append(
        classifier.head.register_forward_hook(
            lambda module, inputs, output: heads.append((inputs[0][0].double().numpy(), output[0].double().numpy()))
        )
    )
    images = []
    for wave in waveforms:
        classifier(torch.from_numpy(wave[None]))
        images.append(log_magnitude(torch.from_numpy(wave[None]), MEASURE)[0].double().numpy())
    for hook in hooks:
        hook.remove()
    penultimate, logits = (np.stack(each) for each in zip(*heads, strict=True))
    wide = np.stack(waveforms).astype(np.float64)
    return Sound(wide, np.stack(images), logits, penultimate, [np.stack(each) for each in blocks])


def comparisons(made: Archive) -> list[Found]:
    """Every measure of the tables beside every independent implementation of it that there is."""
    a, b = made.target, made.reconstruction
    flat = [each.reshape(len(each), -1) for each in (a.images, b.images)]
    labels = np.array([clip.info.label for clip in made.clips])
    truth = np.array([clip.info.latent for clip in made.clips])
    posterior = scipy.special.softmax(b.logits, axis=1)
    divergence = scipy.stats.entropy(posterior.T, posterior.mean(0)[:, None])
    latent_mse = sklearn.metrics.mean_squared_error(truth, made.recovered)
    theirs: list[tuple[str, str, float, float]] = [
        ("waveform_mse", "scikit-learn", sklearn.metrics.mean_squared_error(a.waveform, b.waveform), SINGLE),
        ("waveform_mae", "scikit-learn", sklearn.metrics.mean_absolute_error(a.waveform, b.waveform), SINGLE),
        ("spectrogram_mse", "scikit-learn", sklearn.metrics.mean_squared_error(*flat), SINGLE),
        ("spectrogram_mae", "scikit-learn", sklearn.metrics.mean_absolute_error(*flat), SINGLE),
        ("psnr", "scikit-image", _psnr(a.waveform, b.waveform), SINGLE),
        ("psnr", "torchmetrics", _torch_psnr(a.waveform, b.waveform), SINGLE),
        ("ssim", "scikit-image", _ssim(a.images, b.images), SINGLE),
        ("ssim", "torchmetrics", _torch_ssim(a.images, b.images), SINGLE),
        ("explained_variance", "scikit-learn", _explained(a.waveform, b.waveform), SINGLE),
        ("recovered", "scikit-learn", _recovered(a.waveform, b.waveform), DOUBLE),
        ("accuracy", "scikit-learn", sklearn.metrics.accuracy_score(labels, b.logits.argmax(1)), DOUBLE),
        ("cosine_distance", "SciPy", _cosine(a.penultimate, b.penultimate), SINGLE),
        ("feature_distance", "scikit-learn", _features(a.blocks, b.blocks), SINGLE),
        ("latent_error", "scikit-learn", float(np.sqrt(latent_mse)), DOUBLE),
        ("inception_score", "SciPy", float(np.exp(divergence.mean())), SINGLE),
        ("frechet_logits", "SciPy", _frechet(b.logits, a.logits), SINGLE),
        ("frechet_logits", "torchmetrics", _torch_frechet(b.logits, a.logits), SINGLE),
        ("frechet_penultimate", "SciPy", _frechet(b.penultimate, a.penultimate), SINGLE),
        ("frechet_penultimate", "torchmetrics", _torch_frechet(b.penultimate, a.penultimate), SINGLE),
    ]
    return [Found(name, oracle, made.one[name].value, value, limit) for name, oracle, value, limit in theirs]


def invariance(made: Archive) -> list[Found]:
    """Every number of the table from one unit beside the same from UNITS, ends of intervals too."""
    found = []
    for name, estimate in made.one.items():
        other = made.many[name]
        pairs = [(estimate.value, other.value), *zip(estimate.interval or (), other.interval or (), strict=True)]
        for one, many in pairs:
            if one or many:
                found.append(Found(name, f"1 unit against {UNITS}", one, many, DOUBLE))
    return found


def _psnr(a: Array, b: Array) -> float:
    return float(skimage.metrics.peak_signal_noise_ratio(a, b, data_range=2.0))


def _torch_psnr(a: Array, b: Array) -> float:
    oracle = torchmetrics.image.PeakSignalNoiseRatio(data_range=2.0).set_dtype(torch.float64)
    return float(oracle(torch.from_numpy(a), torch.from_numpy(b)))


def _ssim(a: Array, b: Array) -> float:
    given: dict[str, Any] = {"data_range": 2.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    maps = [skimage.metrics.structural_similarity(x, y, full=True, **given)[1] for x, y in zip(a, b, strict=True)]
    return float(np.mean([each[5:-5, 5:-5].mean() for each in maps]))  # where the window lies inside


def _torch_ssim(a: Array, b: Array) -> float:
    means = []
    for x, y in zip(torch.from_numpy(a), torch.from_numpy(b), strict=True):  # whole it takes 20 GB
        full = structural_similarity_index_measure(
            x[None, None], y[None, None], data_range=2.0, sigma=1.5, return_full_image=True
        )[1]
        means.append(float(full[..., 5:-5, 5:-5].mean()))  # its own mean includes a mirrored border
    return float(np.mean(means))


def _explained(a: Array, b: Array) -> float:
    return float(sklearn.metrics.explained_variance_score(a.T, b.T, multioutput="variance_weighted"))


def _recovered(a: Array, b: Array) -> float:
    return float(np.mean(sklearn.metrics.explained_variance_score(a.T, b.T, multioutput="raw_values") >= 0.99))


def _cosine(a: Array, b: Array) -> float:
    return float(np.mean([scipy.spatial.distance.cosine(x, y) for x, y in zip(a, b, strict=True)]))


def _features(a: Sequence[Array], b: Sequence[Array]) -> float:
    pairs = [[each.reshape(len(each), -1) for each in pair] for pair in zip(a, b, strict=True)]
    return float(np.mean([sklearn.metrics.mean_squared_error(*pair) for pair in pairs]))


def _frechet(a: Array, b: Array) -> float:
    cross = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * cross))


def _torch_frechet(a: Array, b: Array) -> float:
    class Same(torch.nn.Module):
        num_features = a.shape[1]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    oracle: Any = FrechetInceptionDistance(feature=Same(), normalize=True).set_dtype(torch.float64)
    oracle.orig_real = oracle.orig_fake = None
    oracle.update(torch.from_numpy(a), real=True)
    oracle.update(torch.from_numpy(b), real=False)
    return float(oracle.compute())


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="invertone-oracle-") as place:
        made = archive(Path(place))
    found = comparisons(made)
    print(f"{CLIPS} clips of {made.target.waveform.shape[1] / USUAL.sample_rate:.3f} s\n")
    print(f"{'measure':<20} {'oracle':<14} {'ours':>16} {'theirs':>16} {'relative':>9} {'limit':>7}")
    for each in found:
        print(
            f"{each.measure:<20} {each.oracle:<14} {each.ours:16.10g} {each.theirs:16.10g} {each.disagreement:9.1e} "
            f"{each.limit:7.0e}"
        )
    cut = invariance(made)
    largest = max(cut, key=lambda each: each.disagreement)
    print(
        f"\n1 unit against {UNITS}: {len(cut)} numbers, largest difference {largest.disagreement:.1e} ({largest.measure})"
    )
    return 0 if all(each.disagreement <= each.limit for each in found + cut) else 1


if __name__ == "__main__":
    sys.exit(main())
