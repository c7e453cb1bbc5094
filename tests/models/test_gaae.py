"""GAAE's family: shapes, parameters counted on paper, attention by hand, spectral norm, conditional batch norm."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.models.networks.biggan import (
    ConditionalBatchNorm2d,
    DownBlock,
    LastBlock,
    NonLocalBlock,
    UpBlock,
    spectral,
)
from invertone.models.networks.cnn import MULTIPLES, SimpleCnn
from invertone.models.networks.gaae import (
    DOWN,
    PAPERS_DOWN,
    PAPERS_UP,
    UP,
    Decoder,
    Encoder,
    Head,
    SampleDiscriminator,
)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolution(inside: int, outside: int, kernel: int) -> int:
    return inside * outside * kernel * kernel + outside


def attention(channels: int) -> int:
    """Query and key of an eighth, value of a half, out; no biases; one gain."""
    narrow, wide = max(1, channels // 8), max(1, channels // 2)
    return 2 * channels * narrow + channels * wide + wide * channels + 1


def downwards(ch: int, multiples: tuple[int, ...] = DOWN) -> int:
    widths = [1, *(ch * each for each in multiples)]
    blocks = sum(convolution(a, b, 3) + convolution(b, b, 3) + convolution(a, b, 1) for a, b in pairwise(widths))
    return blocks + attention(widths[1])


def last(ch: int) -> int:
    """Two convolutions, no shortcut."""
    return 2 * convolution(16 * ch, 16 * ch, 3)


def upwards(ch: int, latent: int, classes: int, multiples: tuple[int, ...] = UP) -> int:
    widths = [ch * each for each in multiples]
    blocks = sum(convolution(a, b, 3) + convolution(b, b, 3) + convolution(a, b, 1) for a, b in pairwise(widths))
    norms = sum(2 * classes * (a + b) if classes else 2 * (a + b) for a, b in pairwise(widths))
    dense = (latent + 1) * widths[0] * 4 * 2
    return dense + blocks + norms + attention(widths[5]) + 2 * widths[-1] + convolution(widths[-1], 1, 3)


@pytest.mark.parametrize("ch", [2, 16])
def test_parameters_as_counted_on_paper(ch: int) -> None:
    assert count(Encoder(ch)) == downwards(ch) + 2 * (16 * ch + 1) * 128
    assert count(Decoder(ch)) == upwards(ch, 128, 10)
    assert count(Decoder(ch, 128, 0)) == upwards(ch, 128, 0)
    assert count(SampleDiscriminator(ch)) == downwards(ch) + 16 * ch + 1 + 10 * 16 * ch
    assert count(SampleDiscriminator(ch, 0)) == downwards(ch) + 16 * ch + 1
    size = 16 * ch
    joint = (128 + 1) * size + (size + 1) * size + (2 * size + 1) * size
    assert count(SampleDiscriminator(ch, 10, 128)) == downwards(ch) + joint + size + 1 + 10 * size


def test_the_papers_stacks_have_a_block_more_and_its_decoder_is_wide() -> None:
    """Tables XII, XIII and XVI to XXI: two blocks of one channel, a last block without a shortcut; 16 ch up to 128 x 64."""
    assert count(Encoder(16, multiples=PAPERS_DOWN)) == downwards(16, PAPERS_DOWN[:-1]) + last(16) + 2 * 257 * 128
    judge = downwards(16, PAPERS_DOWN[:-1]) + last(16)
    assert count(SampleDiscriminator(16, multiples=PAPERS_DOWN)) == judge + 257 + 10 * 256
    assert count(SampleDiscriminator(16, 0, multiples=PAPERS_DOWN)) == judge + 257
    assert count(Decoder(16, multiples=PAPERS_UP)) == upwards(16, 128, 10, PAPERS_UP) == 6_676_002
    # XIX: 256 features and the latent of 128 themselves → 128 → 1
    bigan = SampleDiscriminator(16, 0, 128, PAPERS_DOWN, joint=128)
    assert count(bigan) == judge + (256 + 128 + 1) * 128 + 128 + 1


def test_sizes_along_the_papers_stack() -> None:
    """Table XX, column "Output Size"."""
    sizes = []
    encoder = Encoder(2, multiples=PAPERS_DOWN)
    for block in encoder.down.blocks:
        block.register_forward_hook(lambda module, given, made: sizes.append(tuple(made.shape[1:])))
    encoder(torch.zeros(1, 256, 128))
    printed = [(1, 128, 64), (1, 128, 64), (1, 64, 32), (2, 32, 16), (4, 16, 8), (8, 8, 4), (16, 4, 2), (16, 4, 2)]
    assert sizes == [(2 * width, *place) for width, *place in printed]


def test_the_last_block_adds_nothing_to_what_it_makes() -> None:
    """Nothing passes its first ReLU, and its biases are 0: a shortcut would let the input through."""
    assert not LastBlock(3).eval()(-torch.rand(2, 3, 4, 2)).any()


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_patches_are_a_rearrangement_of_points(patch: int) -> None:
    """Sizes stay; a network that gets by with fewer blocks sees every point."""
    down, up = DOWN[-_blocks(patch) :], UP[-_blocks(patch) - 1 :]
    encoder = Encoder(2, 8, 2, down, 0, patch=patch, style_size=3)
    guided, style = encoder(torch.rand(2, 256, 128))
    assert guided.shape == (2, 8) and style.shape == (2, 3)
    decoder = Decoder(2, 3, 4, up, 0, patch)
    made = decoder(style, torch.eye(4)[:2])
    assert made.shape == (2, 256, 128)
    # Each point of a patch is a channel of its own: a change of one changes the features.
    picture = torch.rand(1, 256, 128)
    features = SampleDiscriminator(2, 0, 0, down, 0, patch).eval().down
    for row, column in ((0, 0), (patch - 1, patch - 1), (255, 127)):
        other = picture.clone()
        other[0, row, column] += 1
        assert not torch.allclose(features(picture), features(other))


def test_frequencies_above_are_silence_and_are_not_seen() -> None:
    encoder, decoder = Encoder(2, 8, 2, DOWN[1:], 0, rows=128).eval(), Decoder(2, 8, 3, UP[1:], 0, rows=128)
    picture = torch.rand(2, 256, 128)
    above = torch.cat([picture[:, :128], torch.rand(2, 128, 128)], 1)
    assert torch.equal(encoder(picture)[0], encoder(above)[0])
    made = decoder(torch.randn(2, 8), torch.eye(3)[:2])
    assert made.shape == picture.shape and (made[:, 128:] == -1).all() and (made[:, :128] != -1).any()
    assert not torch.equal(encoder(picture)[0], encoder(picture.flip(1))[0])


def _blocks(patch: int) -> int:
    return {1: 6, 2: 5, 4: 4, 8: 3}[patch]


def test_heads_as_the_paper_prints_them() -> None:
    assert count(Head(128, (128,), 10)) == 129 * 128 + 129 * 10  # 128-128-10
    assert count(Head(128, (128, 128), 1, normed=True)) == 129 * 128 + 129 * 128 + 129  # 128-128-128-1


def test_the_cnn_on_paper() -> None:
    widths = [1, *(4 * each for each in MULTIPLES)]
    expected = sum(9 * a * b + 2 * b for a, b in pairwise(widths)) + (widths[-1] + 1) * 7
    cnn = SimpleCnn(7, width=4)
    assert count(cnn) == expected and cnn(torch.randn(2, 16_384)).shape == (2, 7)


def test_shapes() -> None:
    encoder, decoder = Encoder(2, 16), Decoder(2, 16, 3)
    spectrogram = torch.rand(2, 256, 128) * 2 - 1
    guided, style = encoder(spectrogram)
    assert guided.shape == style.shape == (2, 16)
    made = decoder(style, torch.eye(3)[:2])
    assert made.shape == spectrogram.shape and made.abs().max() <= 1
    assert SampleDiscriminator(2, 3)(made, torch.eye(3)[:2]).shape == (2,)
    assert SampleDiscriminator(2, 0, 16)(made, None, style).shape == (2,)
    assert Decoder(2, 16, 0)(style).shape == spectrogram.shape


def test_every_parameter_learns() -> None:
    encoder, decoder, judge = Encoder(2, 16), Decoder(2, 16, 3), SampleDiscriminator(2, 3)
    for network in (encoder, decoder, judge):  # at 0 the gains of attention let nothing through to what they scale
        for module in network.modules():
            if isinstance(module, NonLocalBlock):
                nn.init.ones_(module.gain)
    guided, style = encoder(torch.rand(4, 256, 128) * 2 - 1)
    label = torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    made = decoder(style + guided, label)
    (judge(made, label).square().sum() + made.square().sum()).backward()
    for network in (encoder, decoder, judge):
        idle = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
        assert not idle


def test_attention_is_softmax_of_products_without_a_scale() -> None:
    torch.manual_seed(0)
    block, x = NonLocalBlock(16).eval(), torch.randn(2, 16, 8, 4)
    nn.init.constant_(block.gain, 0.7)
    query = block.query(x).flatten(2)
    key, value = (F.max_pool2d(each(x), 2).flatten(2) for each in (block.key, block.value))
    weights = torch.einsum("bcq,bck->bqk", query, key).softmax(2)
    expected = x + 0.7 * block.out(torch.einsum("bqk,bck->bcq", weights, value).unflatten(2, (8, 4)))
    assert torch.allclose(block(x), expected, atol=1e-5)
    nn.init.zeros_(block.gain)
    assert torch.equal(block(x), x)


def test_shortcuts_commute_with_pooling_and_upsampling() -> None:
    """The blocks do them in the cheaper order; BigGAN's is the other one."""
    torch.manual_seed(0)
    up, down, x = UpBlock(3, 5, 0).eval(), DownBlock(3, 5).eval(), torch.randn(2, 3, 4, 6)
    cheap = F.interpolate(up.shortcut(x), scale_factor=2)
    assert torch.allclose(cheap, up.shortcut(F.interpolate(x, scale_factor=2)), atol=1e-6)
    assert torch.allclose(down.shortcut(F.avg_pool2d(x, 2)), F.avg_pool2d(down.shortcut(x), 2), atol=1e-6)


def test_weights_are_divided_by_their_largest_singular_value() -> None:
    layer = spectral(nn.Conv2d(4, 6, 3))
    original = layer.parametrizations.weight.original  # type: ignore[union-attr]
    with torch.no_grad():
        original.copy_(torch.randn_like(original))
    for _ in range(60):
        weight = layer.weight
    assert isinstance(weight, Tensor)
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1.0, abs=1e-3)


def test_a_soft_label_is_the_mean_of_hard_ones_in_gain_and_bias() -> None:
    torch.manual_seed(0)
    norm, x = ConditionalBatchNorm2d(3, 2).eval(), torch.randn(1, 3, 4, 4)
    hard = [norm(x, torch.eye(2)[each : each + 1]) for each in (0, 1)]
    assert torch.allclose(norm(x, torch.tensor([[0.25, 0.75]])), 0.25 * hard[0] + 0.75 * hard[1], atol=1e-6)
    assert not torch.allclose(hard[0], hard[1])
