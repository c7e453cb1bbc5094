"""Generators of pictures and those who judge them: DCGAN (Radford, Metz & Chintala 2016), and the progressive GAN with WGAN-GP
(Karras, Aila, Laine & Lehtinen 2018)."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.formats.signals import PictureFormat
from invertone.models.checkpoint import load_classifier
from invertone.models.networks.dcgan import SIZES, DcganDiscriminator, DcganGenerator
from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.progan import FIRST, GROUP, ProganDiscriminator, ProganGenerator
from invertone.models.prior import seeded
from invertone.train.adversarial import drift, gradient_penalty, log_fake, log_real
from invertone.train.data.augmentation import mirrored
from invertone.train.growth import Growth, Stage, reals_at
from invertone.train.inception import frechet, moment_sums
from invertone.train.objective import Average, Batch, Draw, Phase
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.pictures import DcganConfig, ProganConfig

AVERAGE = "_average"
SHOWN_SEED = "shown"


class PictureGanObjective:
    """Base of both. Best by the Fréchet distance of the given recogniser's embeddings of real and generated validation
    pictures; without one there is no best generator, only a newest."""

    kind: str
    averages: Sequence[Average] = ()
    phases: Sequence[Phase]
    config: DcganConfig | ProganConfig
    generator: DcganGenerator | ProganGenerator
    discriminator: DcganDiscriminator | ProganDiscriminator

    def __init__(
        self,
        config: DcganConfig | ProganConfig,
        generator: DcganGenerator | ProganGenerator,
        discriminator: DcganDiscriminator | ProganDiscriminator,
        judge: SignalClassifier | None,
        betas: tuple[float, float],
    ) -> None:
        """judge: whose penultimate activations are compared."""
        self.config, self.generator, self.discriminator = config, generator, discriminator
        self.frozen: Mapping[str, nn.Module] = {} if judge is None else {"classifier": judge}
        self.better = None if judge is None else ("frechet_distance", -1)
        self.networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate, betas=betas)
            for name, network in self.networks.items()
        }

    @property
    def final(self) -> nn.Module:
        """The generator that is used in the end."""
        return self.networks.get("generator" + AVERAGE, self.generator)

    def learning_rate(self, step: int) -> float:
        return 1.0

    def settle(self, draw: Draw) -> None:
        """Averaged networks have no batch norm here."""

    def score(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """What the discriminator says of pictures of full size."""
        return self.discriminator(picture)

    def real(self, draw: Draw) -> Float[Tensor, "b 3 h w"]:
        """The next batch of real pictures."""
        picture = draw.real().signal
        return mirrored(picture, draw) if self.config.mirror else picture

    def latents(self, draw: Draw) -> Float[Tensor, "b z"]:
        return draw.latents(self.generator.prior, self.generator.latent_size)

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """One generated picture per validation picture, from a latent that depends on the picture's number alone."""
        draws = [
            self.generator.prior.sample(1, self.generator.latent_size, seeded(self.config.seed, "validation", number))
            for number in batch.number.tolist()
        ]
        fake = self.final(torch.cat(draws).to(batch.signal.device, batch.signal.dtype))
        sums = {"critic_gap": (self.score(batch.signal) - self.score(fake)).sum()}
        if "classifier" in self.frozen:
            judge = cast(SignalClassifier, self.frozen["classifier"])
            sums |= moment_sums(*(judge.seen(each)[1] for each in (batch.signal, fake)))
        return sums

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        metrics = {"critic_gap": float(totals["critic_gap"]) / count}
        return metrics | ({"frechet_distance": frechet(totals, count)} if "real_sum" in totals else {})

    def samples(self, real: Batch) -> dict[str, Tensor]:
        """The same latents at every checkpoint, so that one sees the training."""
        rng = seeded(self.config.seed, SHOWN_SEED)
        latents = self.generator.prior.sample(len(real.signal), self.generator.latent_size, rng)
        self.final.eval()
        made = self.final(latents.to(real.signal.device, real.signal.dtype))
        return {f"generated-{i}": picture for i, picture in enumerate(made)}

    def manifest(self) -> dict[str, Any]:
        return {"prior": dataclasses.asdict(self.generator.prior)}


class DcganObjective(PictureGanObjective):
    """Adam with betas (0.5, 0.999), learning rate 2e-4 in the paper. Real and generated pictures are normalised apart."""

    kind = "dcgan"
    config: DcganConfig
    generator: DcganGenerator
    discriminator: DcganDiscriminator

    def __init__(self, config: DcganConfig, size: int, judge: SignalClassifier | None = None) -> None:
        generator = DcganGenerator(config.width, config.latent_size, size, config.prior)
        super().__init__(config, generator, DcganDiscriminator(config.width, size), judge, betas=(0.5, 0.999))
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                real_batches=1,
                batch_statistics=("generator",),
            ),
            Phase("generator", ("generator",), self.generator_losses, batch_statistics=("discriminator",)),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        real = self.real(draw)
        with torch.no_grad():
            fake = self.generator(self.latents(draw).to(real.dtype))
        return {"real": log_real(self.discriminator(real)), "fake": log_fake(self.discriminator(fake))}

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        latent = self.latents(draw).to(self.generator.dense.weight.dtype)
        return {"score": log_real(self.discriminator(self.generator(latent)))}


class ProganObjective(PictureGanObjective):
    """It grows with the step (`Growth`), and nothing else knows how far it has grown. Adam with betas (0, 0.99), learning rate
    1e-3 in the paper; averages of the generator's weights are what is used in the end. Optimisers go on where the paper's
    authors begin them anew at every level.
    """

    kind = "progan"
    config: ProganConfig
    generator: ProganGenerator
    discriminator: ProganDiscriminator

    def __init__(self, config: ProganConfig, size: int, judge: SignalClassifier | None = None) -> None:
        generator = ProganGenerator(size, config.latent_size, config.width)
        super().__init__(config, generator, ProganDiscriminator(size, config.width), judge, betas=(0.0, 0.99))
        self.average = copy.deepcopy(generator)
        self.networks["generator" + AVERAGE] = self.average
        self.averages = (Average(generator, self.average, config.average),)
        self.growth = Growth(size, config.fade_steps, config.stable_steps)
        self.stage = Stage(size, 1.0)
        """Of the step that was last; it is a function of that step alone."""
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                dataclasses.asdict(config.weights),
                repeats=config.critic_updates,
                real_batches=1,
            ),
            Phase("generator", ("generator",), self.generator_losses),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        stage = self._grown(draw.step)
        real = reals_at(self.real(draw), stage)
        with torch.no_grad():
            fake = self.generator.at(self.latents(draw).to(real.dtype), stage.resolution, stage.alpha)
        on_real, share = self.discriminator(real, stage.alpha), draw.uniform(1, 1, 1).to(real.dtype)
        penalty = gradient_penalty(lambda between: self.discriminator(between, stage.alpha), real, fake, share)
        return {
            "wasserstein": self.discriminator(fake, stage.alpha).mean() - on_real.mean(),
            "gradient_penalty": penalty,
            "drift": drift(on_real),
        }

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        stage, latent = self._grown(draw.step), self.latents(draw).to(self.generator.dense.weight.dtype)
        made = self.generator.at(latent, stage.resolution, stage.alpha)
        return {"score": -self.discriminator(made, stage.alpha).mean()}

    def score(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        return self.discriminator(reals_at(picture, self.stage), self.stage.alpha)

    def _grown(self, step: int) -> Stage:
        """The stage of a step, which both generators then say of themselves in checkpoints."""
        self.stage = self.growth.at(step)
        for generator in (self.generator, self.average):
            generator.grown, generator.alpha = self.stage.resolution, self.stage.alpha
        return self.stage


def _judge(config: DcganConfig | ProganConfig) -> SignalClassifier | None:
    return load_classifier(config.classifier)[0] if config.classifier else None


def _build_dcgan(config: DcganConfig, setting: Setting) -> DcganObjective:
    return DcganObjective(config, setting.pictures.height, _judge(config))


def _build_progan(config: ProganConfig, setting: Setting) -> ProganObjective:
    return ProganObjective(config, setting.pictures.height, _judge(config))


def check_dcgan(config: DcganConfig, manifest: ShardManifest) -> None:
    """DCGAN's networks make squares of some sizes only."""
    made = manifest.format
    assert isinstance(made, PictureFormat), "checked for every objective"
    if made.height != made.width or made.height not in SIZES:
        nearest = min(SIZES, key=lambda size: abs(size - math.sqrt(made.height * made.width)))
        raise UserError(
            f"shards hold {made}, DCGAN makes squares of {', '.join(map(str, SIZES))}",
            where=config.shards,
            fix=f"ingest with height={nearest} width={nearest}",
        )


def check_progan(config: ProganConfig, manifest: ShardManifest) -> None:
    """A progressive GAN doubles; and its discriminator looks at groups of pictures, which must be the same however many workers
    there are."""
    made = manifest.format
    assert isinstance(made, PictureFormat), "checked for every objective"
    side = made.height
    if side != made.width or side.bit_count() != 1 or side <= FIRST:
        nearest = max(2 * FIRST, 1 << round(math.log2(math.sqrt(made.height * made.width))))
        raise UserError(
            f"shards hold {made}, a progressive GAN makes squares of a power of two from {2 * FIRST} on",
            where=config.shards,
            fix=f"ingest with height={nearest} width={nearest}",
        )
    for count in range(max(2, config.workers.min), config.workers.max + 1):
        if config.batch // count % GROUP:
            multiple = GROUP * math.lcm(*range(config.workers.min, config.workers.max + 1))
            raise UserError(
                f"batch={config.batch} gives each of {count} workers {config.batch // count} pictures, no multiple of the "
                f"{GROUP} whose deviation the discriminator sees",
                fix=f"choose a multiple of {multiple}",
            )


DCGAN = Recipe(_build_dcgan, check_dcgan, any_labels=True, signal="picture")
PROGAN = Recipe(_build_progan, check_progan, any_labels=True, signal="picture")
