"""The published classifier of inception scores in our network: by TensorFlow's definitions in numpy, and others refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import describe
from invertone.models.networks.wavegan_inception import WaveganInception
from invertone.models.published.tensorflow_checkpoint import TensorflowCheckpoint, Variable, open_checkpoint
from invertone.models.published.variables import FLOAT32
from invertone.models.published.wavegan_inception import LABELS, PublishedInception, inspect
from tests.bundles import Array, inception_shapes, inception_variables, write_checkpoint

Floats = npt.NDArray[np.float64]


def published(place: Path, variables: dict[str, Array]) -> PublishedInception:
    return inspect(open_checkpoint(str(write_checkpoint(place / "best_acc-103005", variables))))


def log_mel(waveform: Floats) -> Floats:
    """tf.signal.stft with pad_end, tf.signal.linear_to_mel_weight_matrix: [b, time, band]."""
    padded = np.pad(waveform, ((0, 0), (0, 1_024)))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1_024) / 1_024)
    frames = np.stack([padded[:, at : at + 1_024] for at in range(0, 16_384, 128)], 1)
    mel = 1_127.0 * np.log1p(np.linspace(0, 8_000, 513)[1:] / 700.0)
    edges = np.linspace(1_127.0 * np.log1p(40 / 700), 1_127.0 * np.log1p(7_800 / 700), 130)
    rising = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    weights = np.concatenate([np.zeros((1, 128)), np.clip(np.minimum(rising, falling), 0, None)])
    return np.asarray(np.log(np.abs(np.fft.rfft(frames * window)) @ weights + 1e-6))


def convolved(x: Floats, kernel: Floats, bias: Floats) -> Floats:
    """tf.nn.conv2d, SAME: [b, h, w, in], kernel [5, 5, in, out]."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    made = bias + np.zeros((*x.shape[:3], kernel.shape[3]))
    for down in range(5):
        for across in range(5):
            made += padded[:, down : down + height, across : across + width] @ kernel[down, across]
    return made


def expected_logits(v: dict[str, Any], waveform: Floats) -> Floats:
    def normed(x: Floats, number: int) -> Floats:
        scope = "classifier/batch_normalization" + (f"_{number}" if number else "")
        gamma, beta, mean, variance = (
            v[f"{scope}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return np.asarray((x - mean) / np.sqrt(variance + 0.001) * gamma + beta)

    hidden = normed(log_mel(waveform), 0)[..., None]
    for layer in range(4):
        scope = "classifier/conv2d" + (f"_{layer}" if layer else "")
        if layer:
            hidden = normed(hidden, layer)
        hidden = np.maximum(convolved(hidden, v[f"{scope}/kernel"], v[f"{scope}/bias"]), 0)
        b, h, w, c = hidden.shape
        hidden = hidden.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))
    hidden = normed(hidden.reshape(len(hidden), -1), 4)
    return np.asarray(hidden @ v["classifier/dense/kernel"] + v["classifier/dense/bias"])


@pytest.mark.parametrize("width", [1, 3])
def test_logits_are_tensorflow_s_by_definition(width: int, tmp_path: Path) -> None:
    variables = inception_variables(width, seed=width)
    doubles = {name: values.astype(np.float64) for name, values in variables.items()}
    waveform = np.random.default_rng(0).uniform(-1, 1, (3, 16_384)) * np.array([[1.0], [0.03], [0.0]])
    waveform[0, 5_000:] = 0.0  # the tenth of a second at which frames end in silence
    expected = expected_logits(doubles, waveform)
    network = published(tmp_path, variables).networks()["classifier"].eval().double()
    with torch.no_grad():
        found = network(torch.from_numpy(waveform)).numpy()
    assert np.ptp(expected, axis=0).min() > 1e-2, "too much alike to tell"
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()  # mel weights are of single precision


def test_what_a_checkpoint_says_of_itself(tmp_path: Path) -> None:
    variables = {
        **inception_variables(2),
        "eval_loader/cursor": np.zeros(1, np.int32),
        "classifier/dense/kernel/Adam": np.zeros(1, np.float32),
    }
    found = published(tmp_path, variables)
    assert (found.width, found.outputs, found.step, found.optimiser, found.others) == (
        2,
        10,
        103_005,
        1,
        ("eval_loader/cursor",),
    )
    networks = found.networks()
    assert found.parameters == {"classifier": sum(each.numel() for each in networks["classifier"].parameters())}
    assert describe(networks) == {"classifier": {"network": "wavegan_inception", "outputs": 10, "width": 2}}
    assert len(LABELS) == 10 and LABELS[0] == "zero" and LABELS[9] == "nine"


def test_the_published_size_is_told_from_shapes(tmp_path: Path) -> None:
    variables = {name: Variable(name, FLOAT32, shape, 0, 0, 0, 0) for name, shape in inception_shapes(128).items()}
    found = inspect(TensorflowCheckpoint(Folder.at(str(tmp_path)), "best_acc-1", 1, variables))
    assert (found.width, found.step) == (128, 0)
    assert found.parameters == {"classifier": sum(each.numel() for each in WaveganInception(10).parameters())}


def changed(**changes: tuple[int, ...] | None) -> dict[str, Array]:
    """The variables with others below `classifier/` under these names (`__` for `/`) and shapes; None takes one away."""
    variables = inception_variables(1)
    for name, shape in changes.items():
        name = f"classifier/{name.replace('__', '/')}"
        variables.pop(name, None)
        if shape is not None:
            variables[name] = np.zeros(shape, np.float32)
    return variables


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"G/a": np.zeros(1, np.float32)},
            "holds no classifier of WaveGAN's inception scores: no variable is named cl",
        ),
        (changed(conv2d__kernel=None), "lacks classifier/conv2d/kernel"),
        (changed(conv2d__kernel=(5, 5, 1)), r"classifier/conv2d/kernel has the shape \[5, 5, 1\]"),
        (changed(conv2d_3__bias=None), "lacks classifier/conv2d_3/bias"),
        (changed(batch_normalization_4__moving_mean=None), "lacks classifier/batch_normalization_4/moving_mean"),
        (changed(conv2d_4__kernel=(5, 5, 1, 1)), "has also classifier/conv2d_4/kernel"),
        (changed(batch_normalization__gamma=(64,)), r"batch_normalization/gamma has the shape \[64\], not \[128\]"),
        (changed(conv2d_1__kernel=(3, 3, 1, 1)), r"conv2d_1/kernel has the shape \[3, 3, 1, 1\], not \[5, 5, 1, 1\]"),
        (changed(dense__kernel=(64, 3), dense__bias=(3,)), "hears 3 labels, not the ten digits"),
        (
            {**inception_variables(1), "classifier/dense/bias": np.zeros(10, np.float64)},
            "classifier/dense/bias does not hold float32",
        ),
        ({**inception_variables(1), "global_step": np.int64(-3)}, "global_step is no count"),
    ],
)
def test_every_other_model_is_refused_by_name(variables: dict[str, Array], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as caught:
        published(tmp_path, variables)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("conv2d_2/kernel", np.nan, "values that are not finite"), ("batch_normalization/moving_variance", -1, "below 0")],
)
def test_damaged_weights_are_refused(name: str, value: float, said: str, tmp_path: Path) -> None:
    variables = inception_variables(1)
    variables[f"classifier/{name}"].flat[0] = value
    with pytest.raises(UserError, match=f"classifier/{name} holds .*{said}"):
        published(tmp_path, variables).networks()
