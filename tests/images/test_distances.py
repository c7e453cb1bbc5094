"""Distances of pictures against scikit-image and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

from invertone.images.distances import picture_ssim, pixel_mae, pixel_mse, psnr
from invertone.images.picture import to_uint8, views

DISTANCES = (pixel_mae, pixel_mse, psnr, picture_ssim)


def pictures(count: int = 4, size: int = 24, seed: int = 0) -> list[np.ndarray]:
    """Smooth colours with noise, uint8."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, size)
    smooth = [ramp[:, None, None] * rng.random(3) + ramp[None, :, None] * rng.random(3) / 4 for _ in range(count)]
    return [np.clip(each + rng.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8) for each in smooth]


A, B = pictures(seed=1), pictures(seed=2)


def both(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(views(A)).to(dtype), torch.from_numpy(views(B)).to(dtype)


def test_psnr_is_that_of_the_files_pixels() -> None:
    """In 8 bits as in the view of networks: range and error are scaled alike."""
    found = psnr(*both(torch.float64))
    for one, a, b in zip(found, A, B, strict=True):
        assert one.item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-5)
    a, b = both()
    for one, x, y in zip(psnr(a, b), a, b, strict=True):
        assert one.item() == pytest.approx(torchmetrics_psnr(y, x, data_range=2.0).item(), abs=1e-4)


def test_pixel_errors_are_those_of_numpy_and_scikit_image() -> None:
    a, b = both(torch.float64)
    for at, (x, y) in enumerate(zip(A, B, strict=True)):
        difference = x.astype(float) - y
        assert pixel_mse(a, b)[at].item() == pytest.approx(mean_squared_error(x, y) / 127.5**2, rel=1e-5)
        assert pixel_mae(a, b)[at].item() == pytest.approx(np.abs(difference).mean() / 127.5, rel=1e-5)


def test_ssim_is_scikit_images_mean_over_channels() -> None:
    found = picture_ssim(*both())
    for one, a, b in zip(found, A, B, strict=True):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
        _, score = structural_similarity(a.astype(float), b.astype(float), channel_axis=2, data_range=255, **options)
        assert one.item() == pytest.approx(score[5:-5, 5:-5].mean(), abs=1e-5)


def test_an_equal_picture_is_at_no_distance_and_its_ratio_is_finite() -> None:
    a, _ = both()
    assert pixel_mae(a, a).tolist() == pixel_mse(a, a).tolist() == [0.0] * 4
    assert psnr(a, a).numpy() == pytest.approx(106.02, abs=0.01)
    assert picture_ssim(a, a).numpy() == pytest.approx(1, abs=1e-5)
    nearest = A[0].copy()
    nearest[0, 0, 0] ^= 1
    one = psnr(a[:1], torch.from_numpy(views([nearest])))
    assert one.item() == pytest.approx(20 * np.log10(255 * np.sqrt(nearest.size)), abs=0.01) and one.item() < 106


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_symmetric_one_number_per_picture_and_blind_to_neighbours(distance: type) -> None:
    a, b = both()
    assert distance(a, b).shape == (4,)
    assert torch.allclose(distance(a, b), distance(b, a), atol=1e-5)
    alone = torch.cat([distance(x[None], y[None]) for x, y in zip(a, b, strict=True)])
    assert torch.allclose(distance(a, b), alone, atol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_are_finite_also_where_pictures_are_equal_or_flat(distance: type) -> None:
    a, b = both()
    b[0] = a[0]
    a[1], b[1] = -1.0, 1.0
    a[2], b[2] = 0.0, 0.0
    b.requires_grad_()
    distance(a, b).sum().backward()
    assert b.grad is not None and torch.isfinite(b.grad).all() and b.grad[3].abs().max() > 0


@given(st.floats(0.01, 1.0), st.integers(0, 2**31))
def test_more_noise_is_further_away(share: float, seed: int) -> None:
    a, b = both()
    nearer = a + 0.5 * share * (b - a)
    further = a + share * (b - a)
    assert (pixel_mae(a, nearer) < pixel_mae(a, further)).all() and (pixel_mse(a, nearer) < pixel_mse(a, further)).all()
    assert (psnr(a, nearer) - psnr(a, further)).numpy() == pytest.approx(20 * np.log10(2), abs=1e-2)
    assert (picture_ssim(a, nearer) > picture_ssim(a, further)).all()
    assert to_uint8(nearer[0].numpy())[1] == 0
