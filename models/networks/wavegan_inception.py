"""The classifier behind WaveGAN's inception scores (Donahue, McAuley & Puckette 2018), on whose posteriors and logits TiFGAN,
GGAN and GAAE are measured as well.

Its details are those of the graph that its authors publish with their checkpoint.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.cluster.formats.signals import USUAL
from invertone.models.networks.batch_norm import BatchNorm2d
from invertone.models.networks.listening import ClipClassifier

N_FFT, HOP, MELS = 1_024, 128, 128
LOWEST, HIGHEST = 40.0, 7_800.0
OFFSET = 1e-6
LAYERS, KERNEL = 4, 5
EPSILON, MOMENTUM = 1e-3, 0.01
"""Of the batch norms: TensorFlow's own, where a momentum of 0.99 is what stays."""
CLIPS = USUAL
"""Its dense layer sees every place of clips of this length, and its bands are of this rate."""
PLACES = (CLIPS.samples // HOP // 2**LAYERS) * (MELS // 2**LAYERS)


class WaveganInception(ClipClassifier):
    """Waveforms → `outputs` numbers: log mel spectrogram 128 x 128; batch norm of each band; four times convolution 5x5, ReLU,
    2x2 maximum, batch norm; dense. The last of the batch norms is of each of the 8 x 8 x 128 numbers that the dense layer sees.

    width: channels of every convolution; 128 is the original, with ten outputs 1,331,850 parameters. Feature maps are what
    each maximum hands on. Torch's batch norm keeps the unbiased variance, TensorFlow's the biased one of the first and the
    last: with 64 clips the last differ by 1.6 % while it trains; published weights compute alike.
    """

    silence = math.log(OFFSET)

    def __init__(self, outputs: int, width: int = 128) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        self.register_buffer("mel", mel_matrix(), persistent=False)
        self.bands = BatchNorm2d(MELS, EPSILON, MOMENTUM)
        widths = [1, *[width] * LAYERS]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inside, outside, KERNEL, padding=KERNEL // 2) for inside, outside in pairwise(widths)
        )
        self.norms = nn.ModuleList(BatchNorm2d(width, EPSILON, MOMENTUM) for _ in range(LAYERS - 1))
        self.last = BatchNorm2d(PLACES * width, EPSILON, MOMENTUM)
        self.dense = nn.Linear(PLACES * width, outputs)
        self.apply(_glorot)

    def architecture(self) -> dict[str, Any]:
        return {"outputs": self.outputs, "width": self.width}

    def spectrogram(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f t"]:
        """Logarithms of mel bands of |STFT| 1,024/128, plus 1e-6. Frames begin at multiples of the hop, the last ones end in
        zeros (tf.signal.stft with pad_end): 16,384 samples have 128."""
        window = torch.hann_window(N_FFT, periodic=True, device=waveform.device, dtype=waveform.dtype)
        padded = F.pad(waveform, (0, N_FFT - HOP))
        spectrum = torch.stft(padded, N_FFT, HOP, window=window, center=False, return_complex=True)
        if spectrum.requires_grad:  # what is too faint to have a direction would be divided by its magnitude, 0
            loudest = torch.view_as_real(spectrum.detach()).abs().amax(-1)
            spectrum = spectrum.masked_fill(loudest < 10 * math.sqrt(torch.finfo(loudest.dtype).tiny), 0.0)
        mel: Tensor = self.mel  # type: ignore[assignment]
        return (torch.einsum("bft,fm->bmt", spectrum.abs(), mel) + OFFSET).log()

    def of_spectrogram(self, spectrogram: Float[Tensor, "b 1 f t"]) -> tuple[Float[Tensor, "b o"], list[Tensor]]:
        """Logits, and what each of the four maxima hands on."""
        hidden = self.bands(spectrogram.transpose(1, 2)).transpose(1, 2)  # bands stand where channels do
        features = []
        for layer, convolution in enumerate(self.convolutions):
            hidden = F.max_pool2d(F.relu(convolution(hidden)), 2)
            features.append(hidden)
            if layer < LAYERS - 1:
                hidden = self.norms[layer](hidden)
        # TensorFlow's order of places and channels: time, band, channel
        numbers = hidden.permute(0, 3, 2, 1).flatten(1)
        return self.dense(self.last(numbers[:, :, None, None]).flatten(1)), features


def mel_matrix() -> Float[Tensor, "f m"]:
    """What tf.signal.linear_to_mel_weight_matrix gives: triangles that are linear in mel (HTK's scale), not in Hertz; the
    row of 0 Hz is empty. In single precision as there, whose rounding moves weights by up to 2e-5."""
    single = np.float32

    def mel(hertz: Any) -> Any:
        ratio = single(1.0) + np.asarray(hertz, single) / single(700.0)
        return single(1_127.0) * np.log(ratio.astype(np.float64)).astype(single)

    step = single(CLIPS.sample_rate / 2) / single(N_FFT // 2)
    rows = mel(step * np.arange(1, N_FFT // 2 + 1, dtype=single))[:, None]
    lowest, highest = mel(LOWEST), mel(HIGHEST)
    edges = lowest + (highest - lowest) / single(MELS + 1) * np.arange(MELS + 2, dtype=single)
    edges[-1] = highest
    lower, centre, upper = edges[None, :-2], edges[None, 1:-1], edges[None, 2:]
    triangles = np.maximum(
        single(0.0), np.minimum((rows - lower) / (centre - lower), (upper - rows) / (upper - centre))
    )
    return torch.from_numpy(np.pad(triangles, ((1, 0), (0, 0)))).to(torch.get_default_dtype())


def _glorot(module: nn.Module) -> None:
    """Initial weights as TensorFlow's layers draw them."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
