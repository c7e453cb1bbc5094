"""The iterative mapper (Alaluf, Patashnik & Cohen-Or 2021): trained as the inverse mapper is, over several passes."""

from __future__ import annotations

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from invertone.models.networks.restyle import RestyleMapper
from invertone.train.objectives.mapper import MapperObjective, Pass, build_mapping, check_mapping
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.mapper import MapperConfig, RestyleConfig


class RestyleObjective(MapperObjective):
    """Losses are means over the passes; each pass takes latent and reconstruction of the one before as given."""

    kind = "restyle"

    def _network(self, config: MapperConfig, setting: Setting, latent_size: int) -> nn.Module:
        return RestyleMapper(latent_size, config.width, setting.front_end(config.front_end), setting.clips.channels)

    def passes(self, target: Float[Tensor, "b *c n"]) -> list[Pass]:
        assert isinstance(self.config, RestyleConfig)
        made = [self._pass(target.new_zeros(len(target), self.generator.latent_size))]
        for _ in range(self.config.passes):
            before = self.generator.prior.project(made[-1].latent.detach())
            change = self.mapper(target, made[-1].reconstruction.detach())
            made.append(self._pass(before + change))
        return made[1:]

    def latents(self, target: Float[Tensor, "b *c n"]) -> list[Float[Tensor, "b z"]]:
        return [each.latent for each in self.passes(target)]


RECIPE = Recipe(partial(build_mapping, RestyleObjective), partial(check_mapping, RestyleObjective), any_labels=True)
