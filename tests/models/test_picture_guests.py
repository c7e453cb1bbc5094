"""Generators of pictures by others: taken as they are, and what people's are like that are not, refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from invertone.cluster.errors import UserError
from invertone.cluster.formats.signals import PictureFormat
from invertone.models.generator import check_generator, generator_format, load_generator, traits
from invertone.models.guests.export import save_program
from invertone.models.guests.guest import Guest, described
from invertone.models.guests.trial import check
from invertone.models.networks.dcgan import DcganGenerator
from invertone.models.networks.progan import ProganGenerator

CPU = torch.device("cpu")


class Painted(nn.Module):
    """4 normal numbers → pictures [b, 3, 8, 10], whose values are within ±1."""

    latent_size, prior, picture_height, picture_width = 4, "normal", 8, 10

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 240)

    def forward(self, latent: Tensor) -> Any:
        return torch.tanh(self.dense(latent)).unflatten(1, (3, 8, 10))


def guest(change: Callable[[Tensor], Any], **said: Any) -> Guest:
    class Changed(Painted):
        def forward(self, latent: Tensor) -> Any:
            return change(super().forward(latent))

    torch.manual_seed(0)
    size = {"picture_height": 8, "picture_width": 10}
    return Guest(described({"latent_size": 4, "prior": "normal"} | (said or size), "painted"), Changed())


def test_a_picture_may_go_a_little_beyond_full_scale() -> None:
    """As those of progressive GANs, whose last layer is linear."""
    check(guest(lambda picture: picture), "painted", CPU)
    check(guest(lambda picture: 1.7 * picture), "painted", CPU)
    check(guest(lambda picture: picture / 2 - 0.4), "painted", CPU)


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "in [0, 1]": (lambda picture: (picture + 1) / 2, "2 * picture - 1 of pictures in [0, 1]"),
    "in [0, 255]": (lambda picture: (picture + 1) * 127.5, "picture / 127.5 - 1"),
    "of 8 bits": (lambda picture: ((picture + 1) * 127.5).to(torch.uint8), "picture.float() / 127.5 - 1"),
    "standardised": (lambda picture: picture * 2.6, "undo its normalisation"),
    "colours last": (lambda picture: picture.permute(0, 2, 3, 1), "picture.permute(0, 3, 1, 2)"),
    "grey": (lambda picture: picture.mean(1, keepdim=True), "picture.expand(-1, 3, -1, -1)"),
    "grey without a dimension": (lambda picture: picture.mean(1), "picture[:, None].expand(-1, 3, -1, -1)"),
    "of another size": (lambda picture: picture[..., :9], "say picture_height and picture_width as they are"),
    "NaN": (lambda picture: picture / 0 * 0, "check its weights"),
    "noisy": (lambda picture: nn.functional.dropout(picture) / 2, "switch off dropout"),
    "double": (lambda picture: picture.double(), "picture.float()"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_is_wrong_with_pictures_is_one_line_that_says_what_to_do(wrong: str) -> None:
    change, fix = REFUSED[wrong]
    with pytest.raises(UserError) as caught:
        check(guest(change), "painted", CPU)
    assert fix in caught.value.fix and caught.value.where == "painted" and "\n" not in str(caught.value)
    assert "sound" not in str(caught.value) and "waveform" not in str(caught.value)


@pytest.mark.parametrize("last", [False, True])
def test_pictures_of_a_guest_that_says_no_size_are_recognised(last: bool) -> None:
    made = guest(lambda picture: picture.permute(0, 2, 3, 1) if last else picture, clip_samples=240)
    with pytest.raises(UserError) as caught:
        check(made, "painted", CPU)
    assert caught.value.fix == "of pictures say picture_height=8 and picture_width=10"


def test_a_class_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "guest_of_pictures.py").write_text(
        "import torch\nfrom invertone.models.networks.dcgan import DcganGenerator\n\n\n"
        "class Net(torch.nn.Module):\n"
        "    latent_size, prior, picture_height, picture_width = 5, 'uniform', 32, 32\n\n"
        "    def __init__(self):\n        super().__init__()\n        torch.manual_seed(0)\n"
        "        self.net = DcganGenerator(2, 5, 32).eval()\n\n"
        "    def forward(self, latent):\n        return self.net(latent)\n"
    )
    name = "guest_of_pictures:Net"
    assert generator_format(name) == PictureFormat(32, 32) and traits(name).signal == "picture"
    made, digest = load_generator(name)
    assert digest == check_generator(name) and made(torch.zeros(2, 5)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", ["gan.pt2", "gan.pt"])
@pytest.mark.parametrize("network", [DcganGenerator(2, 5, 32), ProganGenerator(16, 5, 6)], ids=["dcgan", "progan"])
def test_programs_of_our_own_generators_make_the_same_pictures(name: str, network: Any, tmp_path: Path) -> None:
    """They say themselves how large their pictures are. A progressive GAN's go beyond full scale by more than its trained
    weights would: they are made smaller here."""
    network.eval().requires_grad_(False)
    if isinstance(network, ProganGenerator):
        for layer in network.to_rgb:
            layer.weight.data.mul_(0.2)  # type: ignore[operator, union-attr]
    path = str(tmp_path / name)
    digest = save_program(network, path)
    made, found = load_generator(path)
    assert found == digest and generator_format(path) == PictureFormat(network.size, network.size)
    for count in (1, 4):
        latent = network.prior.sample(count, 5, torch.Generator().manual_seed(count))
        assert torch.allclose(made(latent), network(latent), atol=1e-5)
