"""What every network has in common that classifies or maps signals, whatever it is made of: its numbers, and what they were
made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invertone.audio.front_end import FrontEnd, of_magnitude


def by_channel(spectrogram: Float[Tensor, "b *c f t"]) -> Float[Tensor, "b d f t"]:
    """Spectrograms as convolutions take them: those of one channel with a dimension for it."""
    return spectrogram[:, None] if spectrogram.ndim == 3 else spectrogram


def makes_of(own: FrontEnd | None, other: FrontEnd) -> bool:
    """Whether spectrograms of the front end `own` can be made of another's magnitudes: of the same FFT, at some of its
    frames. Windows may differ: two clips that are heard through the same one are compared."""
    return own is not None and own.n_fft == other.n_fft and own.hop_length % other.hop_length == 0 and not other.mels


class SignalClassifier(nn.Module):
    """Signals → logits, what they were made of, and feature maps. Whatever takes a classifier takes any of its subclasses that
    is for its signals. An inverse mapper is one whose numbers are a latent.

    outputs: how many numbers it gives; 0 of one that tells signals apart and knows no labels.
    """

    outputs: int

    def architecture(self) -> dict[str, Any]:
        """What its constructor was given, for a checkpoint's manifest."""
        raise NotImplementedError

    def forward(self, signal: Float[Tensor, "b ..."]) -> Float[Tensor, "b o"]:
        return self.with_features(signal)[0]

    def with_features(self, signal: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "b o"], list[Tensor]]:
        """The outputs, and the feature maps [b, c, i, j] of every block, which feature distances compare."""
        raise NotImplementedError

    def seen(self, signal: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "b o"], Float[Tensor, "b d"], list[Tensor]]:
        """In one pass the outputs, the penultimate activations, by which distributions are compared, and the feature maps."""
        raise NotImplementedError


class ClipClassifier(SignalClassifier):
    """Waveforms → spectrograms → logits and feature maps.

    silence: what a spectrogram of its own shows where nothing sounds. front_end: what makes
    its spectrograms, where that is one of ours.
    """

    silence: float = -1.0
    front_end: FrontEnd | None = None

    def spectrogram(self, waveform: Float[Tensor, "b *c n"]) -> Float[Tensor, "b *c f t"]:
        raise NotImplementedError

    def of_spectrogram(self, spectrogram: Float[Tensor, "b c f t"]) -> tuple[Float[Tensor, "b o"], list[Tensor]]:
        """The outputs, and feature maps [b, c, i, j] from the first block to the last."""
        raise NotImplementedError

    def with_features(self, signal: Float[Tensor, "b *c n"]) -> tuple[Float[Tensor, "b o"], list[Tensor]]:
        return self.of_spectrogram(by_channel(self.spectrogram(signal)))

    def seen(self, signal: Float[Tensor, "b *c n"]) -> tuple[Float[Tensor, "b o"], Float[Tensor, "b c"], list[Tensor]]:
        outputs, blocks = self.with_features(signal)
        return outputs, self.penultimate(blocks), blocks

    def features_of_magnitude(
        self, magnitude: Float[Tensor, "b g t"], sizes: FrontEnd
    ) -> list[Float[Tensor, "b c i j"]]:
        """The feature maps of what has these magnitudes, re full scale and by the sizes of another front end, of which
        `makes_of` must be true."""
        own = self.front_end
        assert own is not None and makes_of(own, sizes), "checked by who calls"
        step = own.hop_length // sizes.hop_length
        frames = magnitude[..., ::step][..., : magnitude.shape[-1] // step]
        return self.of_spectrogram(by_channel(of_magnitude(frames, own)))[1]

    def penultimate(self, features: Sequence[Tensor]) -> Float[Tensor, "b c"]:
        """The mean over places of the last feature map: what ResNet-18's dense layer sees. Networks whose dense layer sees
        every place apart (8,192 numbers, 32,768) have no other vector that a covariance can be taken of."""
        return features[-1].mean((2, 3))

    def compile(self, *options: Any, **named: Any) -> None:
        """As nn.Module's, of what comes after the spectrogram: compilers make no code for its complex numbers."""
        self.of_spectrogram = torch.compile(self.of_spectrogram, *options, **named)  # type: ignore[method-assign]
