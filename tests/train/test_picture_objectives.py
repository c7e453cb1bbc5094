"""Objectives on pictures: terms and metrics by hand, growth, turns, what checkpoints hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CHECKPOINTS
from invertone.cluster.formats.shards import ShardEntry
from invertone.cluster.formats.signals import PictureFormat
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_network
from invertone.models.frechet import frechet_distance
from invertone.models.networks.dcgan import DcganGenerator
from invertone.models.networks.perceptual import perceptual_distance
from invertone.models.networks.progan import ProganGenerator
from invertone.models.networks.recogniser import Recogniser
from invertone.models.prior import seeded
from invertone.train.data.augmentation import mirrored
from invertone.train.data.clips import Clips, Part
from invertone.train.loop.record import read_metrics
from invertone.train.loop.state import TrainingState
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Batch, Draw, Objective, Phase, World
from invertone.train.objectives.picture_gan import DcganObjective, ProganObjective
from invertone.train.objectives.picture_mapper import PictureMapperObjective
from invertone.train.objectives.recogniser import RecogniserObjective, nearest_are_alike
from invertone.train.schemas.pictures import DcganConfig, PictureMapperConfig, ProganConfig, RecogniserConfig
from invertone.train.schemas.shared import TrainConfig

IDENTITIES = 4


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Pictures(Clips):
    """Made pictures as the loop reads clips: an identity is a colour, a picture of it has that colour and noise."""

    def __init__(self, size: int) -> None:
        self.size, self.count, self.resident = size, 24, True
        self.offsets = np.array([0, self.count])
        self.parts = [Part(ShardEntry("made", "train", self.count, 0, ""), 0, self.count)]

    def read(self, numbers: np.ndarray) -> Batch:  # type: ignore[type-arg]
        rows = []
        for number in numbers.tolist():
            rng = torch.Generator().manual_seed(number)
            colour = torch.randn(3, generator=torch.Generator().manual_seed(1_000 + number % IDENTITIES)).tanh()
            noise = 0.2 * torch.randn(3, self.size, self.size, generator=rng)
            rows.append((colour[:, None, None] + noise).clamp(-1, 1))
        given = torch.from_numpy(np.asarray(numbers))
        return Batch(torch.stack(rows), given % IDENTITIES, given)


def keys(out: Folder, steps: int, **values: Any) -> dict[str, Any]:
    fixed = {"objective": "pictures", "shards": "", "out": out.uri, "steps": steps, "batch": 8, "samples": 0}
    return {**fixed, "log_every": 1, "checkpoint_every": 2, "validation_clips": 8, **values}


def dcgan(out: Folder, steps: int) -> tuple[TrainConfig, Objective, int]:
    config = DcganConfig(**keys(out, steps, learning_rate=2e-4, width=2, latent_size=5))
    return config, DcganObjective(config, 32), 32


def progan(out: Folder, steps: int) -> tuple[TrainConfig, Objective, int]:
    values = keys(out, steps, width=6, latent_size=5, fade_steps=2, stable_steps=1)
    config = ProganConfig(**values)
    return config, ProganObjective(config, 16), 16


def recogniser(out: Folder, steps: int, loss: str = "cross-entropy") -> tuple[TrainConfig, Objective, int]:
    values = keys(out, steps, schedule="constant", loss=loss, width=16, blocks=[1, 1, 1], size=75, embedding=6)
    config = RecogniserConfig(**values)
    return config, RecogniserObjective(config, IDENTITIES), 32


def picture_mapper(
    out: Folder, steps: int, seen: bool = True, **values: Any
) -> tuple[TrainConfig, PictureMapperObjective, int]:
    config = PictureMapperConfig(
        **keys(out, steps, generator="", width=2, hidden=[6], size=32, learning_rate=2e-4, **values)
    )
    generator = DcganGenerator(2, 5, 32).requires_grad_(False).eval()
    judge = Recogniser(6, 0, 16, (1, 1, 1), 75).requires_grad_(False).eval() if seen else None
    return config, PictureMapperObjective(config, generator, judge), 32


def trained(
    made: Callable[[Folder, int], tuple[TrainConfig, Objective, int]], out: Folder, steps: int
) -> tuple[Objective, dict[str, list[float]]]:
    """By the one loop: the objective, and its terms by step."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config, objective, size = made(out, steps)
    pictures = Pictures(size)
    state = TrainingState(out, objective, PictureFormat(size, size), "untouched", (), {}, {})
    cpu = torch.device("cpu")
    Trainer(objective, config, state, pictures, pictures, None, World(), cpu, lambda step, values: None).run()
    series: dict[str, list[float]] = {}
    for line in read_metrics(out):
        for term, value in line.items():
            series.setdefault(term, []).append(value)
    return objective, series


def test_progan_grows_and_its_checkpoints_say_how_far(tmp_path: Path) -> None:
    """4 x 4 for a step, then two steps of fading in and one more."""
    out = Folder.at(str(tmp_path))
    objective, _ = trained(progan, out, 2)
    folder = out / f"{CHECKPOINTS}/step-00000002"
    network, manifest = load_network(folder.uri, "generator", "progan", "generator_average")
    assert isinstance(network, ProganGenerator) and (network.grown, network.alpha) == (8, 0.5)
    latent = torch.randn(2, 5)
    assert torch.equal(network(latent), objective.networks["generator_average"](latent))
    assert network(latent).shape == (2, 3, 16, 16) and manifest.prior == {"kind": "normal"}
    objective, _ = trained(progan, out, 8)
    network, manifest = load_network(out.uri, "generator", "progan", "generator_average")
    assert isinstance(network, ProganGenerator) and (network.grown, network.alpha) == (16, 1.0)
    assert manifest.networks["generator_average"] == {
        "network": "progan_generator", "size": 16, "latent_size": 5, "width": 6
    }  # fmt: skip


def test_progans_average_follows_and_differs(tmp_path: Path) -> None:
    objective, _ = trained(progan, Folder.at(str(tmp_path)), 4)
    newest, average = (objective.networks[name].state_dict() for name in ("generator", "generator_average"))
    assert not torch.equal(newest["dense.weight"], average["dense.weight"])
    assert torch.allclose(newest["dense.weight"], average["dense.weight"], atol=0.05)


def test_the_recogniser_learns_to_tell_made_identities(tmp_path: Path) -> None:
    _, series = trained(recogniser, Folder.at(str(tmp_path)), 40)
    terms = series["recogniser/cross_entropy"]
    assert sum(terms[-5:]) / 5 < 0.7 * terms[0]


def test_rank_1_by_hand_however_pictures_are_cut_into_batches() -> None:
    _, objective, _ = recogniser(Folder.at("/nowhere"), 1)
    assert isinstance(objective, RecogniserObjective)
    pictures = Pictures(32)
    objective.recogniser.eval()
    batch = pictures.read(np.arange(7))
    # the sixth is of nobody known, the fourth of somebody who is there once
    batch = dataclasses.replace(batch, label=torch.tensor([0, 1, 0, 2, 1, -1, 0]))
    with torch.no_grad():
        embedding = objective.recogniser.embed(batch.signal).numpy()
        whole = objective.validate(batch)
        cut = [Batch(batch.signal[part], batch.label[part], batch.number[part]) for part in (slice(3), slice(3, 7))]
        first, second = map(objective.validate, cut)
    label, alike = batch.label.numpy(), []
    for one in (0, 1, 2, 4, 6):
        others = [each for each in range(7) if each != one and label[each] >= 0]
        nearest = min(others, key=lambda each: float(np.linalg.norm(embedding[each] - embedding[one])))
        alike.append(label[nearest] == label[one])
    for totals in (whole, {name: first[name] + second[name] for name in whole}):
        found = objective.finish({name: value.double() for name, value in totals.items()}, 7)
        assert found["rank_1"] == pytest.approx(np.mean(alike)) and 0 <= found["accuracy"] <= 1


def test_rank_1_needs_two_pictures_of_somebody() -> None:
    embedding = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0.6, 0, 0.8]])
    with pytest.raises(UserError, match="no two of the 3 validation pictures are of one identity"):
        nearest_are_alike(embedding, torch.arange(3.0))
    assert nearest_are_alike(embedding[[0, 1, 0, 2]], torch.tensor([1.0, 2, 1, 2])) == 0.5
    assert nearest_are_alike(embedding[[0, 1, 0, 2]], torch.tensor([1.0, 2, 1, 3])) == 1.0


def judge_of() -> Recogniser:
    return Recogniser(6, 0, 16, (1, 1, 1), 75).requires_grad_(False).eval()


def test_a_judge_picks_the_generator_by_embeddings_of_real_and_generated_pictures() -> None:
    """The Fréchet distance of the pictures themselves, however they are cut into batches; without a judge there is none."""
    pictures, judge = Pictures(32), judge_of()
    config, _, _ = dcgan(Folder.at("/nowhere"), 1)
    assert isinstance(config, DcganConfig)
    objective = DcganObjective(config, 32, judge)
    assert objective.better == ("frechet_distance", -1) and objective.frozen == {"classifier": judge}
    objective.generator.eval()
    objective.discriminator.eval()
    with torch.no_grad():
        whole = objective.validate(pictures.read(np.arange(12)))
        parts = [objective.validate(pictures.read(part)) for part in np.split(np.arange(12), 3)]
        seeds = [seeded(config.seed, "validation", number) for number in range(12)]
        latents = torch.cat([objective.generator.prior.sample(1, 5, seed) for seed in seeds])
        both = pictures.read(np.arange(12)).signal, objective.generator(latents)
        seen = [judge.embed(each).double().numpy() for each in both]
    wanted = frechet_distance(*[part for each in seen for part in (each.mean(0), np.cov(each.T))])
    for totals in (whole, {name: torch.stack([part[name] for part in parts]).sum(0) for name in whole}):
        found = objective.finish(totals, 12)["frechet_distance"]
        assert found == pytest.approx(wanted, rel=1e-3) and wanted > 1e-6
    without = DcganObjective(config, 32)
    assert without.better is None and "real_sum" not in without.validate(pictures.read(np.arange(2)))


def test_the_real_pictures_of_a_gan_are_mirrored_if_that_is_asked() -> None:
    """The generated ones are not: of a critic that says how bright the left half is."""
    config, objective, _ = dcgan(Folder.at("/nowhere"), 1)
    assert isinstance(objective, DcganObjective) and isinstance(config, DcganConfig)
    pictures = Pictures(32)
    plain = pictures.read(np.arange(8)).signal
    assert torch.equal(objective.real(draw_of(pictures)), plain)
    objective.config = dataclasses.replace(config, mirror=True)
    assert torch.equal(objective.real(draw_of(pictures)), mirrored(plain, draw_of(pictures)))


def draw_of(pictures: Pictures, step: int = 1, batch: int = 8) -> Draw:
    rng = torch.Generator().manual_seed(step)
    return Draw(lambda: pictures.read(np.arange(batch)), batch, World(), torch.device("cpu"), rng, step)


def test_pictures_are_mirrored_each_by_its_own_chance() -> None:
    pictures = Pictures(8)
    plain = pictures.read(np.arange(8)).signal
    found = mirrored(plain, draw_of(pictures))
    same = [torch.equal(a, b) for a, b in zip(found, plain, strict=True)]
    assert 0 < sum(same) < 8
    assert all(kept or torch.equal(a, b.flip(2)) for kept, a, b in zip(same, found, plain, strict=True))


def test_the_mappers_terms_by_hand() -> None:
    _, objective, size = picture_mapper(Folder.at("/nowhere"), 1)
    objective.mapper.eval()
    pictures = Pictures(size)
    real = pictures.read(np.arange(8)).signal
    losses = objective.real_losses(draw_of(pictures))
    made = objective.generator(objective.mapper(real).clamp(-1, 1))
    assert objective.classifier is not None
    seen = [objective.classifier.with_features(each)[1] for each in (real, made)]
    assert torch.allclose(losses["pixels"], (made - real).abs().mean())
    assert torch.allclose(losses["perceptual"], perceptual_distance(*seen).mean())
    latent = objective.generator.prior.sample(8, 5, draw_of(pictures, 3).rng)
    losses = objective.generated_losses(draw_of(pictures, 3))
    found = objective.mapper(objective.generator(latent))
    assert torch.allclose(losses["latent"], (found - latent).abs().mean()) and "perceptual" in losses


def test_without_a_recogniser_pixels_judge_and_nothing_perceives(tmp_path: Path) -> None:
    _, objective, size = picture_mapper(Folder.at(str(tmp_path)), 1, seen=False)
    assert objective.better == ("pixels", -1) and objective.frozen.keys() == {"generator"}
    pictures = Pictures(size)
    assert objective.real_losses(draw_of(pictures)).keys() == {"pixels"}
    assert objective.generated_losses(draw_of(pictures)).keys() == {"latent"}
    assert objective.validate(pictures.read(np.arange(3))).keys() == {"pixels"}


def phase(**values: Any) -> Phase:
    return Phase("one", (), lambda draw: {}, **values)


@given(
    st.integers(0, 5),
    st.one_of(st.none(), st.integers(0, 30)),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 40),
)
def test_phases_that_take_turns_share_the_steps(
    since: int, until: int | None, turns: int, each: int, steps: int
) -> None:
    """Every step between `since` and `until` is of one of them, in stretches; counting is in closed form."""
    phases = [phase(since=since, until=until, turns=turns, turn=turn, turn_steps=each) for turn in range(turns)]
    whole = phase(since=since, until=until)
    for step in range(1, steps + 1):
        active = [one.active(step) for one in phases]
        assert sum(active) == whole.active(step)
        if whole.active(step):
            assert active.index(True) == (step - 1 - since) // each % turns
    for one in phases:
        assert one.steps_within(steps) == sum(one.active(step) for step in range(1, steps + 1))


def test_turns_are_stretches_of_steps() -> None:
    _, objective, _ = picture_mapper(Folder.at("/nowhere"), 1, turn_steps=3)
    active = [[each.name for each in objective.phases if each.active(step)] for step in range(1, 9)]
    assert active == [["generated"]] * 3 + [["real"]] * 3 + [["generated"]] * 2


def test_a_generator_learns_though_its_discriminator_is_sure(tmp_path: Path) -> None:
    """The loss that does not saturate: its gradient is that of the score itself."""
    _, objective, size = dcgan(Folder.at(str(tmp_path)), 1)
    assert isinstance(objective, DcganObjective)
    weight = objective.discriminator.dense.weight
    torch.nn.init.constant_(weight, -10.0)
    objective.discriminator.eval()
    for downconv in objective.discriminator.downconvs:
        torch.nn.init.constant_(downconv.weight, 0.1)  # type: ignore[arg-type]
    with torch.no_grad():
        for norm in objective.discriminator.norms:
            norm.bias.fill_(1.0)  # type: ignore[operator, union-attr]
    (loss,) = objective.generator_losses(draw_of(Pictures(size))).values()
    loss.backward()
    gradient = objective.generator.dense.weight.grad
    assert float(loss.detach()) > 50 and gradient is not None and gradient.abs().max() > 0


def test_samples_are_pictures_of_the_final_generator(tmp_path: Path) -> None:
    for made in (dcgan, progan):
        _, objective, size = made(Folder.at(str(tmp_path)), 1)
        with torch.no_grad():
            shown = objective.samples(Pictures(size).read(np.arange(3)))
            again: Mapping[str, torch.Tensor] = objective.samples(Pictures(size).read(np.arange(2)))
        assert list(shown) == ["generated-0", "generated-1", "generated-2"]
        assert all(each.shape == (3, size, size) for each in shown.values())
        assert torch.allclose(shown["generated-1"], again["generated-1"], atol=1e-5)
