"""Pictures as tensors, against those of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invertone.images.picture import to_uint8, views
from invertone.images.tensors import quantised, view

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_a_view_is_that_of_numpy_to_the_bit(device: str) -> None:
    pixels = np.arange(2 * 16 * 24 * 3).reshape(2, 16, 24, 3).astype(np.uint8)
    found = view(torch.from_numpy(pixels).to(device))
    assert found.dtype == torch.float32 and found.is_contiguous()
    assert (found.cpu().numpy() == views(list(pixels))).all()
    assert torch.equal(quantised(found).cpu(), torch.from_numpy(pixels))


@given(st.integers(0, 2**31), st.floats(0.1, 3.0))
def test_what_is_quantised_is_what_numpy_rounds(seed: int, loud: float) -> None:
    seen = loud * torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(seed))
    seen[0, 0, 0, :4] = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0])
    for device in DEVICES:
        found = quantised(seen.to(device)).cpu().numpy()
        assert (found == np.stack([to_uint8(each)[0] for each in seen.numpy()])).all()
        assert found[0, 0, :4, 0].tolist() == [128, 255, 0, 128]
