"""What inversion minimises: named terms, each one number per clip or picture, and their weighted sum with its gradient.

A term splits into what depends on the target alone (`wanted`, computed once per clip) and what is compared with it at every
evaluation. Nothing here mixes clips, and nothing waits for the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.audio.distances import SPECTRAL_LOSSES, SpectralLoss
from invertone.audio.front_end import magnitude
from invertone.cluster.formats.signals import SIGNALS, USUAL, ClipFormat, SignalFormat
from invertone.images.distances import picture_ssim, pixel_mse
from invertone.infer.solvers.shapes import Numbers
from invertone.infer.solvers.spectrogram_terms import (
    HeardSpectrogram,
    MadeMagnitudes,
    MadeSpectrogram,
    difference,
    one_resolution,
)
from invertone.models.generator import Generator, SpectrogramGenerator
from invertone.models.networks.features import feature_distance
from invertone.models.networks.listening import ClipClassifier, SignalClassifier
from invertone.models.networks.perceptual import chosen, perceptual_distance
from invertone.models.networks.recogniser import Recogniser
from invertone.models.prior import Prior

CODE_FFT, CODE_HOP = 256, 128
"""Of the code of the inverse-mapper papers, which name no sizes themselves."""

CLIP, PICTURE = SIGNALS
Wanted = tuple[Tensor, ...]
_Part = TypeVar("_Part")


@runtime_checkable
class Term(Protocol):
    """wanted: what `target` (a waveform [b, n], of two channels [b, 2, n]; a picture [b, 3, h, w]) should give, rows first.
    compare: one number per clip or picture for `latent` [b, z] and what the generator's network makes of it: a signal like
    the target, or a spectrogram [b, f, t] of a `SpectrogramGenerator`."""

    def wanted(self, target: Float[Tensor, "b ..."]) -> Wanted: ...

    def compare(self, latent: Float[Tensor, "b z"], made: Float[Tensor, "b ..."], wanted: Wanted, /) -> Numbers: ...


@dataclass(frozen=True)
class TargetTerm:
    """Mean absolute difference of one view of the signal, or another distance [b, ...] × [b, ...] → [b]."""

    view: Callable[[Float[Tensor, "b ..."]], Tensor]
    distance: Callable[[Tensor, Tensor], Numbers] = difference

    def wanted(self, target: Float[Tensor, "b ..."]) -> Wanted:
        return (self.view(target),)

    def compare(self, latent: Float[Tensor, "b z"], made: Float[Tensor, "b ..."], wanted: Wanted) -> Numbers:
        return self.distance(self.view(made), wanted[0])


def code_magnitude(waveform: Float[Tensor, "b *c n"]) -> Float[Tensor, "b *c f t"]:
    """The magnitude of what `real_stft` takes the real part of, for equation 1 of the inverse-mapper papers (Keyes et al.):
    window 256, hop 128, a full-scale sine reads 1. The papers say "spectrogram" and give neither sizes nor scale; the sizes
    are those of their code, whose STFT is not scaled: 64 times ours."""
    return magnitude(waveform, CODE_FFT, CODE_HOP)


def real_stft(waveform: Float[Tensor, "b *c n"]) -> Float[Tensor, "b *c f t"]:
    """What the papers' code calls a spectrogram: the real part of the STFT 256/128, for a cast drops the imaginary one."""
    window = torch.hann_window(CODE_FFT, device=waveform.device, dtype=waveform.dtype)
    spectrum = torch.stft(
        waveform.flatten(0, -2),
        CODE_FFT,
        CODE_HOP,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return (spectrum.real * (2.0 / CODE_FFT / 0.5)).unflatten(0, waveform.shape[:-1])


@dataclass(frozen=True)
class SpectralTerm:
    """One of `invertone.audio.distances.SPECTRAL_LOSSES`, of clips at `sample_rate` Hz."""

    loss: SpectralLoss
    sample_rate: int

    def wanted(self, target: Float[Tensor, "b *c n"]) -> Wanted:
        return self.loss.view(target, self.sample_rate)

    def compare(self, latent: Float[Tensor, "b z"], waveform: Float[Tensor, "b *c n"], wanted: Wanted) -> Numbers:
        return self.loss.compare(wanted, self.loss.view(waveform, self.sample_rate))


@dataclass(frozen=True)
class Features:
    """Feature distance of a frozen classifier, or of the mapper as such a network (models/networks/features.py)."""

    classifier: SignalClassifier
    loss: str = "mse"

    def wanted(self, target: Float[Tensor, "b ..."]) -> Wanted:
        return tuple(self.classifier.with_features(target)[1])

    def compare(self, latent: Float[Tensor, "b z"], made: Float[Tensor, "b ..."], wanted: Wanted) -> Numbers:
        return feature_distance(wanted, self.classifier.with_features(made)[1], self.loss)


@dataclass(frozen=True)
class Perceptual:
    """Perceptual distance of a frozen recogniser (`invertone.models.networks.perceptual`), at the layers named or at all."""

    recogniser: Recogniser
    layers: Sequence[str] = ()

    def wanted(self, target: Float[Tensor, "b 3 h w"]) -> Wanted:
        return tuple(self._seen(target))

    def compare(self, latent: Float[Tensor, "b z"], made: Float[Tensor, "b 3 h w"], wanted: Wanted) -> Numbers:
        return perceptual_distance(self._seen(made), wanted)

    def _seen(self, picture: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        return chosen(self.recogniser, self.recogniser.with_features(picture)[1], self.layers)


@dataclass(frozen=True)
class Consistency:
    """Mean squared difference of z and E(G(z)) (Zhu, Shen, Zhao & Zhou 2020, in-domain inversion): keeps the latent where
    the mapper knows its way."""

    mapper: SignalClassifier

    def wanted(self, target: Float[Tensor, "b ..."]) -> Wanted:
        return ()

    def compare(self, latent: Float[Tensor, "b z"], made: Float[Tensor, "b ..."], wanted: Wanted) -> Numbers:
        return (latent - self.mapper(made)).square().mean(1)


@dataclass(frozen=True)
class PriorPenalty:
    """Half the mean square of the latent under a normal prior: minus its log density per coordinate, but for a constant.
    Nothing under a uniform prior, whose box the optimiser keeps."""

    prior: Prior

    def wanted(self, target: Float[Tensor, "b ..."]) -> Wanted:
        return ()

    def compare(self, latent: Float[Tensor, "b z"], made: Float[Tensor, "b ..."], wanted: Wanted) -> Numbers:
        size = latent.square().mean(1) / 2
        return size if self.prior.kind == "normal" else torch.zeros_like(size)


@dataclass(frozen=True)
class Networks:
    """What terms are made of. feature_loss: mse or mae. format: of the signals. layers: of the recogniser's, that are compared;
    none for all."""

    generator: Generator
    mapper: SignalClassifier | None
    classifier: SignalClassifier | None
    feature_loss: str = "mse"
    format: SignalFormat = USUAL
    layers: Sequence[str] = ()


@dataclass(frozen=True)
class Maker:
    """Makes a term. needs: the key of the config that names the network it needs, if it needs one. only_under: the kind of
    prior under which it counts, if not under all; such a term alone is nothing to minimise. of_spectrogram: makes its
    counterpart for generators of spectrograms (`SpectrogramGenerator`; `spectrogram_terms.py`), for which a term without one,
    as of what looks at phases, is refused. signal: the kind that it is of, `clip` or `picture`, if not of both."""

    make: Callable[[Networks], Term]
    needs: str = ""
    only_under: str = ""
    of_spectrogram: Callable[[Networks], Term] | None = None
    signal: str = ""


def _spectral(name: str) -> Callable[[Networks], Term]:
    def make(given: Networks) -> Term:
        assert isinstance(given.format, ClipFormat), "checked when the job was planned"
        return SpectralTerm(SPECTRAL_LOSSES[name], given.format.sample_rate)

    return make


def _itself(signal: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    return signal


def dissimilarity(made: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]) -> Numbers:
    """1 - SSIM, the mean over colours (`invertone.images.distances.picture_ssim`): 0 for equal pictures, at most 2."""
    return 1 - picture_ssim(target, made)


def _of_spectrograms(given: Networks) -> SpectrogramGenerator:
    assert isinstance(given.generator, SpectrogramGenerator), "asked of no other"
    return given.generator


TERMS = {
    "waveform": Maker(lambda given: TargetTerm(_itself), signal=CLIP),
    "spectrogram": Maker(
        lambda given: TargetTerm(code_magnitude),
        of_spectrogram=lambda given: MadeMagnitudes(_of_spectrograms(given), difference),
        signal=CLIP,
    ),
    "real_stft": Maker(lambda given: TargetTerm(real_stft), signal=CLIP),
    "log_magnitude": Maker(
        _spectral("log_magnitude"),
        of_spectrogram=lambda given: MadeSpectrogram(_of_spectrograms(given)),
        signal=CLIP,
    ),
    "log_magnitude_squared": Maker(
        _spectral("log_magnitude_squared"),
        of_spectrogram=lambda given: MadeSpectrogram(_of_spectrograms(given), squared=True),
        signal=CLIP,
    ),
    "multi_resolution_stft": Maker(
        _spectral("multi_resolution_stft"),
        of_spectrogram=lambda given: MadeMagnitudes(_of_spectrograms(given), one_resolution),
        signal=CLIP,
    ),
    "multi_scale_mel": Maker(_spectral("multi_scale_mel"), signal=CLIP),
    "pixel_mae": Maker(lambda given: TargetTerm(_itself), signal=PICTURE),
    "pixel_mse": Maker(lambda given: TargetTerm(_itself, pixel_mse), signal=PICTURE),
    "structural": Maker(lambda given: TargetTerm(_itself, dissimilarity), signal=PICTURE),
    "perceptual": Maker(
        lambda given: Perceptual(_recogniser(given.classifier), given.layers), needs="classifier", signal=PICTURE
    ),
    "features": Maker(
        lambda given: Features(_present(given.classifier), given.feature_loss),
        needs="classifier",
        of_spectrogram=lambda given: HeardSpectrogram(
            _of_spectrograms(given), _hears(given.classifier), given.feature_loss
        ),
    ),
    "mapper_features": Maker(lambda given: Features(_present(given.mapper), given.feature_loss), needs="mapper"),
    "consistency": Maker(lambda given: Consistency(_present(given.mapper)), needs="mapper"),
    "prior": Maker(
        lambda given: PriorPenalty(given.generator.prior),
        only_under="normal",
        of_spectrogram=lambda given: PriorPenalty(given.generator.prior),
    ),
}
"""A line for each term; its weight is a key of `infer.schemas.gradient.LossWeights`."""


def build_terms(
    weights: Mapping[str, float],
    generator: Generator,
    mapper: SignalClassifier | None,
    classifier: SignalClassifier | None,
    feature_loss: str = "mse",
    format: SignalFormat = USUAL,
    layers: Sequence[str] = (),
) -> dict[str, Term]:
    """The terms of `weights` that count, by name: of what the generator's network makes, signals of this format or
    spectrograms of them. layers: those that `perceptual` compares, none for all. A term whose network is missing, that is of
    another kind of signal, or that does not look at spectrograms, is the caller's mistake."""
    given = Networks(generator, mapper, classifier, feature_loss, format, layers)
    names = [name for name, weight in weights.items() if weight > 0]
    if isinstance(generator, SpectrogramGenerator):
        return {name: _present(TERMS[name].of_spectrogram)(given) for name in names}
    return {name: TERMS[name].make(given) for name in names}


def terms_for(kind: str) -> list[str]:
    """Names of the terms that there are of this kind of signal and that count under any prior."""
    return [name for name, each in TERMS.items() if each.signal in ("", kind) and not each.only_under]


def _recogniser(classifier: SignalClassifier | None) -> Recogniser:
    assert isinstance(classifier, Recogniser), "checked when the job was planned"
    return classifier


def _hears(classifier: SignalClassifier | None) -> ClipClassifier:
    assert isinstance(classifier, ClipClassifier), "checked by who builds"
    return classifier


def _present(part: _Part | None) -> _Part:
    assert part is not None, "checked when the job was planned"
    return part


@dataclass(frozen=True)
class Evaluation:
    """value [b], gradient [b, z] with respect to the latent, terms [b, k] unweighted in the objective's order."""

    value: Numbers
    gradient: Float[Tensor, "b z"]
    terms: Float[Tensor, "b k"]


@dataclass(frozen=True)
class LatentObjective:
    """Weighted sum of terms as a function of the latent. `generator` gives what the terms look at: signals, or the
    spectrograms of a `SpectrogramGenerator` (`methods/spectral.py`). `precision` wraps the networks (autocast) where that is
    asked."""

    generator: Generator
    terms: Mapping[str, Term]
    weights: Mapping[str, float]
    precision: Callable[[], AbstractContextManager[object]] = nullcontext

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.terms)

    @torch.no_grad()
    def wanted(self, target: Float[Tensor, "b ..."]) -> dict[str, Wanted]:
        """What evaluations need of the targets, by term: tensors whose first dimension is the clip."""
        return {name: term.wanted(target) for name, term in self.terms.items()}

    def evaluate(
        self, latent: Float[Tensor, "b z"], wanted: Mapping[str, Wanted], label: Int[Tensor, " b"] | None = None
    ) -> Evaluation:
        """Values and gradient at `latent`, which may be float64: the networks see float32. label: what the generator is told
        besides; none: nothing."""
        with torch.enable_grad():
            at = latent.detach().float().requires_grad_()
            with self.precision():
                made = self.generator(at) if label is None else self.generator(at, label)
            terms = self.compare(at, made.float(), wanted)
            value = torch.stack([self.weights[name] * each for name, each in terms.items()]).sum(0)
            (gradient,) = torch.autograd.grad(value.sum(), at)
        return Evaluation(value.detach(), gradient, torch.stack(list(terms.values()), 1).detach())

    def compare(
        self, latent: Float[Tensor, "b z"], made: Float[Tensor, "b ..."], wanted: Mapping[str, Wanted]
    ) -> dict[str, Numbers]:
        """Every term, unweighted, by name, of what the generator made."""
        return {name: term.compare(latent, made, wanted[name]) for name, term in self.terms.items()}
