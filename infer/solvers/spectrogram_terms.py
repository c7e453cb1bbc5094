"""What inversion minimises where a generator's network makes spectrograms: the terms of waveforms that need no phase.

Both sides are heard through the generator's own front end: the clip's waveform, and what the network makes before any phase is
recovered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from invertone.audio.distances import multi_resolution_stft
from invertone.audio.front_end import as_magnitude, log_magnitude
from invertone.infer.solvers.shapes import Numbers
from invertone.models.generator import SpectrogramGenerator
from invertone.models.networks.features import feature_distance
from invertone.models.networks.listening import ClipClassifier

_Wanted = tuple[Tensor, ...]


def difference(found: Float[Tensor, "b ..."], wanted: Float[Tensor, "b ..."], squared: bool = False) -> Numbers:
    """Mean absolute or squared difference of each."""
    apart = found - wanted
    return (apart.square() if squared else apart.abs()).flatten(1).mean(1)


def one_resolution(found: Float[Tensor, "b g t"], wanted: Float[Tensor, "b g t"]) -> Numbers:
    """`invertone.audio.distances.multi_resolution_stft` at the one resolution that there is."""
    return multi_resolution_stft([wanted], [found])


@dataclass(frozen=True)
class MadeSpectrogram:
    """Mean absolute or squared difference of log-magnitude spectrograms, in [-1, 1]: 0.1 is 4.3 dB at 10 nats range."""

    generator: SpectrogramGenerator
    squared: bool = False

    def wanted(self, target: Float[Tensor, "b n"]) -> _Wanted:
        return (log_magnitude(target, self.generator.front_end),)

    def compare(self, latent: Float[Tensor, "b z"], spectrogram: Float[Tensor, "b f t"], wanted: _Wanted) -> Numbers:
        return difference(spectrogram, wanted[0], self.squared)


@dataclass(frozen=True)
class MadeMagnitudes:
    """A distance of magnitudes re full scale, those of the network at the clip's level, which their sound has in the end."""

    generator: SpectrogramGenerator
    distance: Callable[[Float[Tensor, "b g t"], Float[Tensor, "b g t"]], Numbers]

    def wanted(self, target: Float[Tensor, "b n"]) -> _Wanted:
        level = self.generator.level(target)
        return at_level(log_magnitude(target, self.generator.front_end), level, self.generator), level

    def compare(self, latent: Float[Tensor, "b z"], spectrogram: Float[Tensor, "b f t"], wanted: _Wanted) -> Numbers:
        magnitude, level = wanted
        return self.distance(at_level(spectrogram, level, self.generator), magnitude)


@dataclass(frozen=True)
class HeardSpectrogram:
    """Feature distance of a frozen classifier whose spectrograms can be made of the generator's
    (`invertone.models.networks.listening.makes_of`)."""

    generator: SpectrogramGenerator
    classifier: ClipClassifier
    loss: str = "mse"

    def wanted(self, target: Float[Tensor, "b n"]) -> _Wanted:
        level = self.generator.level(target)
        return level, *self._features(log_magnitude(target, self.generator.front_end), level)

    def compare(self, latent: Float[Tensor, "b z"], spectrogram: Float[Tensor, "b f t"], wanted: _Wanted) -> Numbers:
        level, *features = wanted
        return feature_distance(features, self._features(spectrogram, level), self.loss)

    def _features(self, spectrogram: Float[Tensor, "b f t"], level: Float[Tensor, " b"]) -> list[Tensor]:
        magnitude = at_level(spectrogram, level, self.generator)
        return self.classifier.features_of_magnitude(magnitude, self.generator.front_end)


def at_level(
    spectrogram: Float[Tensor, "b f t"], level: Float[Tensor, " b"], generator: SpectrogramGenerator
) -> Float[Tensor, "b g t"]:
    """Magnitudes re full scale of log-magnitude spectrograms, at the level that their sound shall have."""
    return as_magnitude(spectrogram, generator.front_end) * level[:, None, None]
