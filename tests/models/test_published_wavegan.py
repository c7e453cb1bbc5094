"""The published WaveGAN in our networks: by hand, against TensorFlow's definitions in numpy, and every other kind refused."""

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
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.models.published.tensorflow_checkpoint import TensorflowCheckpoint, Variable, open_checkpoint
from invertone.models.published.variables import FLOAT32
from invertone.models.published.wavegan import PublishedWavegan, inspect
from tests.bundles import Array, wavegan_shapes, wavegan_variables, write_checkpoint

Floats = npt.NDArray[np.float64]


def published(place: Path, variables: dict[str, Array], clip_samples: int | None = None) -> PublishedWavegan:
    return inspect(open_checkpoint(str(write_checkpoint(place / "model.ckpt-103005", variables))), clip_samples)


def generated(found: PublishedWavegan, latent: Array) -> Array:
    with torch.no_grad():
        return found.networks()["generator"](torch.from_numpy(np.asarray(latent, np.float32))).numpy()


def silent_variables(taps: int = 0) -> dict[str, Array]:
    """Width 1, latent size 1, everything zero."""
    made = wavegan_variables(1, 1, taps, critic=False)
    return {name: values if name == "global_step" else np.zeros_like(values) for name, values in made.items()}


def one_path(taps: int = 0) -> dict[str, Array]:
    """One way through the network. z = 0.5 is doubled into time 3 of channel 5; each layer moves it by its one tap:
    a sample at t goes to 4 t + tap - 10, so 3 → 12 → 49 → 195 → 782 → 3128. The value is 1 → 2 → 1 → 3 → 1.5 → 0.75."""
    variables = silent_variables(taps)
    variables["G/z_project/dense/kernel"][0, 3 * 16 + 5] = 2.0
    channels = (5, 7, 2, 1, 0, 0)
    for layer, (tap, factor) in enumerate(zip((10, 11, 9, 12, 10), (2.0, 0.5, 3.0, 0.5, 0.5), strict=True)):
        kernel = variables[f"G/upconv_{layer}/conv2d_transpose/kernel"]
        kernel[0, tap, channels[layer + 1], channels[layer]] = factor
    return variables


def test_a_path_computed_by_hand(tmp_path: Path) -> None:
    expected = np.zeros((2, 16_384))
    expected[0, 3_128] = np.tanh(0.75)  # a negative latent ends at the first ReLU
    assert np.allclose(generated(published(tmp_path, one_path()), np.asarray([[0.5], [-0.5]])), expected, atol=1e-7)


def test_the_last_layer_s_bias_is_everywhere(tmp_path: Path) -> None:
    variables = silent_variables()
    variables["G/upconv_4/conv2d_transpose/bias"][0] = -0.3
    assert np.allclose(generated(published(tmp_path, variables), np.ones((1, 1))), np.tanh(-0.3), atol=1e-7)


@pytest.mark.parametrize(("taps", "first"), [(4, -2), (5, -2), (1, 0)])
def test_a_filter_computed_by_hand(taps: int, first: int, tmp_path: Path) -> None:
    """Sample n is the sum of x[n + j - (taps - 1) // 2] · filter[j], so a click at 3128 becomes the filter backwards, which
    begins `first` samples from it: taps // 2 before."""
    variables = one_path(taps)
    variables["G/pp_filt/conv1d/kernel"][:, 0, 0] = np.arange(1, taps + 1)
    expected = np.zeros(16_384)
    expected[3_128 + first : 3_128 + first + taps] = np.tanh(0.75) * np.arange(taps, 0, -1)
    found = published(tmp_path, variables)
    assert found.post_filter == taps
    assert np.allclose(generated(found, np.asarray([[0.5]]))[0], expected, atol=1e-6)


def transposed(x: Floats, kernel: Floats, bias: Floats, stride: int) -> Floats:
    """tf.nn.conv2d_transpose, SAME: the gradient of a convolution that at stride 4 pads 10 left and 11 right, at stride 2 11
    and 12. [b, t, in]."""
    batch, length, _ = x.shape
    full = np.zeros((batch, stride * length + 25, kernel.shape[2]))
    for tap in range(25):
        full[:, tap : tap + stride * length : stride] += x @ kernel[0, tap].T
    left = (25 - stride) // 2
    return full[:, left : left + stride * length] + bias


def convolved(x: Floats, kernel: Floats, stride: int) -> Floats:
    """tf.nn.conv1d, SAME: [b, t, in], kernel [k, in, out]."""
    taps, out = len(kernel), -(-x.shape[1] // stride)
    total = max((out - 1) * stride + taps - x.shape[1], 0)
    padded = np.pad(x, ((0, 0), (total // 2, total - total // 2), (0, 0)))
    return sum(padded[:, tap : tap + (out - 1) * stride + 1 : stride] @ kernel[tap] for tap in range(taps))  # type: ignore[return-value]


STRIDES = {16_384: (4, 4, 4, 4, 4), 32_768: (4, 4, 4, 4, 4, 2), 65_536: (4, 4, 4, 4, 4, 4)}


def expected_waveform(v: dict[str, Any], latent: Floats, clip_samples: int = 16_384) -> Floats:
    hidden = latent @ v["G/z_project/dense/kernel"] + v["G/z_project/dense/bias"]
    hidden = hidden.reshape(len(latent), 16, -1)
    for layer, stride in enumerate(STRIDES[clip_samples]):
        name = f"G/upconv_{layer}/conv2d_transpose"
        hidden = transposed(np.maximum(hidden, 0), v[f"{name}/kernel"], v[f"{name}/bias"], stride)
    hidden = np.tanh(hidden)
    if "G/pp_filt/conv1d/kernel" in v:
        hidden = convolved(hidden, v["G/pp_filt/conv1d/kernel"], 1)
    return hidden[..., 0] if hidden.shape[2] == 1 else hidden.swapaxes(1, 2)


def expected_score(v: dict[str, Any], waveform: Floats, clip_samples: int = 16_384) -> Floats:
    hidden = waveform[..., None] if waveform.ndim == 2 else waveform.swapaxes(1, 2)
    for layer, stride in enumerate(STRIDES[clip_samples]):
        name = f"D/downconv_{layer}/conv1d"
        hidden = convolved(hidden, v[f"{name}/kernel"], stride) + v[f"{name}/bias"]
        hidden = np.maximum(hidden, 0.2 * hidden)
    return (hidden.reshape(len(waveform), -1) @ v["D/output/dense/kernel"] + v["D/output/dense/bias"])[:, 0]


@pytest.mark.parametrize(("width", "taps"), [(1, 0), (2, 0), (2, 32), (3, 7)])
def test_generator_and_critic_are_tensorflow_s_by_definition(width: int, taps: int, tmp_path: Path) -> None:
    variables = wavegan_variables(width, 6, taps, seed=width)
    found = published(tmp_path, variables)
    doubles = {name: values.astype(np.float64) for name, values in variables.items()}
    rng = np.random.default_rng(taps)
    latent, noise = rng.uniform(-1, 1, (3, 6)), rng.uniform(-1, 1, (3, 16_384))
    waveform = expected_waveform(doubles, latent)
    assert np.abs(waveform).max() > 0.3 and waveform.std() > 0.05, "too quiet to tell"
    networks = found.networks()
    with torch.no_grad():
        assert np.abs(networks["generator"].double()(torch.from_numpy(latent)).numpy() - waveform).max() < 1e-10
        score = networks["critic"].double()(torch.from_numpy(noise)).numpy()
    assert np.abs(score - expected_score(doubles, noise)).max() < 1e-10 and np.ptp(score) > 1e-3


@pytest.mark.parametrize(("clip_samples", "channels"), [(16_384, 2), (32_768, 1), (65_536, 1), (32_768, 2)])
def test_longer_clips_and_stereo_are_tensorflow_s_by_definition(
    clip_samples: int, channels: int, tmp_path: Path
) -> None:
    layers = len(STRIDES[clip_samples])
    variables = wavegan_variables(1, 6, seed=layers, layers=layers, channels=channels)
    found = published(tmp_path, variables, clip_samples)
    assert (found.width, found.clip_samples, found.channels, found.critic_width) == (1, clip_samples, channels, 1)
    doubles = {name: values.astype(np.float64) for name, values in variables.items()}
    rng = np.random.default_rng(1)
    shape = (2, clip_samples) if channels == 1 else (2, channels, clip_samples)
    latent, noise = rng.uniform(-1, 1, (2, 6)), rng.uniform(-1, 1, shape)
    waveform = expected_waveform(doubles, latent, clip_samples)
    assert waveform.shape == shape and waveform.std() > 0.05, "too quiet to tell"
    networks = found.networks()
    with torch.no_grad():
        assert np.abs(networks["generator"].double()(torch.from_numpy(latent)).numpy() - waveform).max() < 1e-10
        score = networks["critic"].double()(torch.from_numpy(noise)).numpy()
    assert np.abs(score - expected_score(doubles, noise, clip_samples)).max() < 1e-10
    assert describe(networks)["generator"].get("channels", 1) == channels


def test_lengths_that_nothing_tells_apart_must_be_said(tmp_path: Path) -> None:
    longer, usual = wavegan_variables(1, 3, layers=6), wavegan_variables(1, 3)
    with pytest.raises(
        UserError, match=r"is for 32,768 or 65,536 samples, which nothing .* clip_samples=32768 or 65536"
    ):
        published(tmp_path / "a", longer)
    with pytest.raises(UserError, match="is for 32,768 or 65,536 samples, not for clip_samples=16384"):
        published(tmp_path / "b", longer, 16_384)
    with pytest.raises(UserError, match="is for 16,384 samples, not for clip_samples=65536"):
        published(tmp_path / "c", usual, 65_536)


def test_what_a_checkpoint_says_of_itself(tmp_path: Path) -> None:
    variables = {**wavegan_variables(2, 5, 32), "loader/cursor": np.zeros(1, np.int32)}
    found = published(tmp_path, variables)
    assert (found.width, found.latent_size, found.post_filter, found.critic_width) == (2, 5, 32, 2)
    assert (found.step, found.others) == (103_005, ("loader/cursor",))
    assert found.optimiser == 4 + 2 * (12 + 1 + 12)
    networks = found.networks()
    assert found.parameters == {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
    assert describe(networks) == {
        "generator": {"network": "wavegan_generator", "width": 2, "latent_size": 5, "post_filter": 32},
        "critic": {"network": "wavegan_critic", "width": 2, "phase_shuffle": 2},
    }


def test_a_generator_alone_and_without_a_step_is_enough(tmp_path: Path) -> None:
    variables = {name: each for name, each in wavegan_variables(critic=False).items() if name != "global_step"}
    found = published(tmp_path, variables)
    assert found.networks().keys() == {"generator"} and found.critic_width is None and found.step == 0


def test_the_paper_s_size_is_told_from_shapes(tmp_path: Path) -> None:
    variables = {
        name: Variable(name, FLOAT32, shape, 0, 0, 0, 0)
        for name, shape in wavegan_shapes(64, 100, 512, critic=True).items()
    }
    found = inspect(TensorflowCheckpoint(Folder.at(str(tmp_path)), "model.ckpt-1", 1, variables))
    assert (found.width, found.latent_size, found.post_filter, found.critic_width) == (64, 100, 512, 64)
    assert found.parameters == {"generator": 19_065_345 + 512, "critic": 17_409_600 + 1_984 + 16_385}


def test_a_generator_without_a_filter_is_described_as_before_there_were_filters() -> None:
    """Digests of checkpoints that exist rest on this."""
    assert WaveganGenerator(2, 6).architecture() == {"width": 2, "latent_size": 6}
    names = {"dense.weight", "dense.bias"} | {f"upconvs.{n}.{part}" for n in range(5) for part in ("weight", "bias")}
    assert WaveganGenerator(2, 6).state_dict().keys() == names


def changed(**changes: tuple[int, ...] | None) -> dict[str, Array]:
    """The variables with others under these names (`__` for `/`) and shapes; None takes one away."""
    variables = wavegan_variables(1, 3)
    for name, shape in changes.items():
        name = name.replace("__", "/")
        variables.pop(name, None)
        if shape is not None:
            variables[name] = np.zeros(shape, np.float32)
    return variables


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"a": np.zeros(1, np.float32)}, "holds no WaveGAN: no variable is named G/"),
        (changed(G__upconv_5__conv2d_transpose__kernel=(1, 25, 1, 1)), "is for 32,768 or 65,536 samples"),
        (changed(D__downconv_5__conv1d__bias=(32,)), "has also D/downconv_5/conv1d/bias"),
        (changed(G__upconv_0__batch_normalization__gamma=(8,)), r"has batch norm \(G/upconv_0/batch_norm"),
        (changed(D__downconv_1__batch_normalization__beta=(2,)), r"has batch norm \(D/downconv_1/batch_norm"),
        (changed(G__upconv_0__conv1d__kernel=(25, 16, 8)), r"repeats samples before convolving \(G/upconv_0/conv1d/"),
        (changed(G__upconv_2__conv2d_transpose__kernel=(1, 24, 2, 4)), r"has kernels of 24 \(G/upconv_2/"),
        (changed(D__downconv_3__conv1d__kernel=(9, 4, 8)), r"has kernels of 9 \(D/downconv_3/"),
        (changed(G__upconv_4__conv2d_transpose__kernel=(1, 25, 3, 1)), r"has 3 channels of sound \(G/upconv_4/"),
        (changed(D__downconv_0__conv1d__kernel=(25, 3, 1)), r"has 3 channels of sound \(D/downconv_0/"),
        (
            changed(
                G__pp_filt__conv1d__kernel=(4, 1, 1),
                G__upconv_4__conv2d_transpose__kernel=(1, 25, 2, 1),
                G__upconv_4__conv2d_transpose__bias=(2,),
            ),
            "has 2 channels of sound and a filter",
        ),
        (changed(G__upconv_4__conv2d_transpose__kernel=None), "lacks G/upconv_4/conv2d_transpose/kernel"),
        (changed(G__z_project__dense__kernel=None), "lacks G/z_project/dense/kernel"),
        (changed(G__upconv_1__conv2d_transpose__bias=None), "lacks G/upconv_1/conv2d_transpose/bias"),
        (changed(D__output__dense__bias=None), "lacks D/output/dense/bias"),
        (changed(D__downconv_0__conv1d__kernel=None), "lacks D/downconv_0/conv1d/kernel"),
        (changed(G__extra=(1,)), "has also G/extra"),
        (changed(D__a=(1,), D__b=(1,), D__c=(1,), D__d=(1,)), "has also D/a, D/b, D/c, …"),
        (changed(G__pp_filt__conv1d__bias=(1,)), "has also G/pp_filt/conv1d/bias"),
        (
            changed(G__pp_filt__conv1d__kernel=(512, 1, 2)),
            r"pp_filt/conv1d/kernel has the shape \[512, 1, 2\], not \[512",
        ),
        (changed(G__pp_filt__conv1d__kernel=(0, 1, 1)), r"pp_filt/conv1d/kernel has the shape \[0, 1, 1\]"),
        (changed(G__z_project__dense__kernel=(3,)), r"G/z_project/dense/kernel has the shape \[3\]"),
        (
            changed(G__upconv_3__conv2d_transpose__bias=(3,)),
            r"upconv_3/conv2d_transpose/bias has the shape \[3\], not \[1",
        ),
        (changed(D__output__dense__kernel=(256, 2)), r"D/output/dense/kernel has the shape \[256, 2\], not \[256, 1\]"),
        (
            {**changed(), "G/z_project/dense/bias": np.zeros(256, np.float64)},
            "G/z_project/dense/bias does not hold float32",
        ),
        ({**changed(), "global_step": np.zeros(2, np.int64)}, "global_step is no count"),
        ({**changed(), "global_step": np.float32(3)}, "global_step is no count"),
        ({**changed(), "global_step": np.int64(-3)}, "global_step is no count"),
    ],
)
def test_every_other_kind_of_model_is_refused_by_name(variables: dict[str, Array], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as caught:
        published(tmp_path, variables)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    variables = wavegan_variables()
    variables["D/downconv_2/conv1d/kernel"][3, 1, 2] = value
    with pytest.raises(UserError, match="D/downconv_2/conv1d/kernel holds values that are not finite"):
        published(tmp_path, variables).networks()
