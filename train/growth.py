"""How a progressive GAN grows (Karras et al. 2018, section 2 and appendix A): a function of the step, so that a training
resumes anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Stage:
    """resolution: of the newest level. alpha: its share in the picture, in (0, 1]."""

    resolution: int
    alpha: float


@dataclass(frozen=True)
class Growth:
    """From `first` x `first` to `size` x `size`, powers of two: `stable` steps at the first resolution; at each further one
    `fade` steps in which it is faded in and `stable` steps more. The last one stays. The paper shows 600,000 pictures in
    each: steps are these by the batch.
    """

    size: int
    fade: int
    stable: int
    first: int = 4

    def __post_init__(self) -> None:
        assert all(each.bit_count() == 1 for each in (self.size, self.first)) and self.first <= self.size
        assert self.fade >= 0 and self.stable >= 0

    @property
    def steps(self) -> int:
        """After so many steps nothing grows any more."""
        return self.doublings * (self.stable + self.fade)

    @property
    def doublings(self) -> int:
        return self.size.bit_length() - self.first.bit_length()

    def at(self, step: int) -> Stage:
        """Of step `step`, counted from 1."""
        assert step >= 1
        if step > self.steps:
            return Stage(self.size, 1.0)
        if step <= self.stable:
            return Stage(self.first, 1.0)
        done, within = divmod(step - 1 - self.stable, self.fade + self.stable)
        return Stage(self.first << (done + 1), min(1.0, (within + 1) / self.fade) if self.fade else 1.0)

    def begins(self, resolution: int) -> int:
        """The last step before the one at which `resolution` first takes part: `since` of a phase."""
        level = resolution.bit_length() - self.first.bit_length()
        return 0 if level == 0 else self.stable + (level - 1) * (self.stable + self.fade)


def reals_at(picture: Float[Tensor, "b c h w"], stage: Stage) -> Float[Tensor, "b c r r"]:
    """Real pictures as a critic sees them at a stage: means over pixels that fall together, and while a level is faded in as
    much of the level below as the generator shows."""
    assert picture.shape[-1] % stage.resolution == 0
    shrunk = F.avg_pool2d(picture, picture.shape[-1] // stage.resolution)
    if stage.alpha == 1.0:
        return shrunk
    below = F.interpolate(F.avg_pool2d(shrunk, 2), scale_factor=2.0)
    return torch.lerp(below, shrunk, stage.alpha)
