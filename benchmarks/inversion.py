"""Batched L-BFGS against SciPy's L-BFGS-B and torch's L-BFGS, both clip by clip, on one objective and from the same starts.

First the oracle: as many evaluations for both, how low they come. Then speed: clips per second until SciPy's final loss of
that clip is reached (a clip that never does uses its whole budget), and evaluations per clip.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.clip import decode, to_float
from invertone.cluster.formats.shards import load_manifest, read_shard
from invertone.cluster.storage.folder import Folder
from invertone.infer.methods.gradient import box, start
from invertone.infer.solvers.lbfgs import BatchedLbfgs, Stopping
from invertone.infer.solvers.losses import LatentObjective, Wanted, build_terms
from invertone.infer.solvers.scipy_solver import ScipySolver
from invertone.infer.solvers.solve import Solution, Solver
from invertone.infer.tiles import tile_size
from invertone.models.generator import load_generator
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.models.prior import seeded

CLIPS, EVALUATIONS = 64, 100
LOSS = "multi_resolution_stft"


def run(clips: int = CLIPS, **given: str) -> None:
    """`generator=…` and `shards=…` take a trained generator and real clips; without them an untrained generator of width 8
    inverts clips that another one made. `evaluations=`, `loss=`, `split=` as they say."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    evaluations, loss = int(given.get("evaluations", EVALUATIONS)), given.get("loss", LOSS)
    generator = load_generator(given["generator"], device)[0] if "generator" in given else _untrained(0).to(device)
    if "shards" in given:
        target, _ = labelled_clips(given["shards"], clips, given.get("split", "test"))
    else:
        with torch.no_grad():
            target = _untrained(1)(generator.prior.sample(clips, 100, seeded(0, "targets")))
    bench = Bench(generator, target.to(device), loss, evaluations)
    scipy = bench.scipy()
    ours = bench.batched()
    reached = bench.batched(targets=scipy.loss)
    torchs = bench.torch_lbfgs(scipy.loss)
    print(
        f"\n{len(target)} clips, {loss}, at most {evaluations} evaluations, {device}, {torch.get_num_threads()} threads"
    )
    print(f"{'final loss':28} {'mean':>10} {'median':>10} {'90 %':>10}")
    for name, found in (("SciPy L-BFGS-B", scipy), ("batched L-BFGS", ours)):
        print(f"{name:28} {_three(found.loss)}")
    print(f"{'ratio':28} {'  '.join(f'{a / b:9.4f}' for a, b in zip(_numbers(ours), _numbers(scipy), strict=True))}")
    print(f"\n{'to SciPy its final loss':28} {'clips/s':>10} {'ratio':>10} {'evaluations':>12} {'reached':>9}")
    for name, found in (
        ("SciPy, clip by clip", scipy),
        ("torch LBFGS, clip by clip", torchs),
        ("batched L-BFGS", reached),
    ):
        share = float((found.loss <= scipy.loss * (1 + 1e-6)).double().mean())
        ratio = scipy.seconds / found.seconds
        print(
            f"{name:28} {clips / found.seconds:10.3f} {ratio:10.2f} {found.evaluations.double().mean():12.1f} {share:9.1%}"
        )


@dataclass(frozen=True)
class Found:
    """loss, evaluations [b] and the whole time in seconds."""

    loss: Float[Tensor, " b"]
    evaluations: Tensor
    seconds: float


class Bench:
    """The same clips, objective and starts for everyone."""

    def __init__(self, generator: Any, target: Float[Tensor, "b n"], loss: str, evaluations: int) -> None:
        self.generator, self.target = generator, target
        self.objective = LatentObjective(generator, build_terms({loss: 1.0}, generator, None, None), {loss: 1.0})
        self.stopping = Stopping(evaluations=evaluations)
        self.low, self.high = box(generator.prior)
        keys = range(len(target))
        self.starts = torch.cat([start(0, f"clip {key}", generator) for key in keys]).to(target.device)
        self.wanted: dict[str, Wanted] = self.objective.wanted(target)

    def scipy(self) -> Found:
        return self._timed(ScipySolver(self.objective, self.low, self.high, self.stopping))

    def batched(self, targets: Float[Tensor, " b"] | None = None) -> Found:
        """`targets`: each clip ends where it reaches its own."""
        slots = tile_size(self.target.device)
        solver = Solver(
            self.objective, lambda begun, seeds: BatchedLbfgs(begun, self.low, self.high, self.stopping), slots
        )
        return self._timed(lambda *given: solver(*given, targets=targets))

    def _timed(self, solve: Any) -> Found:
        self.objective.evaluate(self.starts[:1], self._own(0))  # what happens once does not count
        since = time.monotonic()
        solution: Solution = solve(self.wanted, range(len(self.target)), self.starts, [0] * len(self.target))
        return Found(solution.value.cpu(), solution.evaluations, time.monotonic() - since)

    def torch_lbfgs(self, targets: Float[Tensor, " b"]) -> Found:
        """torch.optim.LBFGS with its strong-Wolfe search knows no bounds: the objective is taken at the nearest point of
        the box, as its users do."""
        losses, evaluations, since = [], [], time.monotonic()
        for clip in range(len(self.target)):
            best, used = self._torch_one(clip, float(targets[clip]))
            losses.append(best)
            evaluations.append(used)
        return Found(torch.tensor(losses, dtype=torch.float64), torch.tensor(evaluations), time.monotonic() - since)

    def _torch_one(self, clip: int, target: float) -> tuple[float, int]:
        latent, own = self.starts[clip : clip + 1].clone().requires_grad_(), self._own(clip)
        best, used, budget = float("inf"), 0, self.stopping.evaluations
        optimiser = torch.optim.LBFGS(
            [latent], max_iter=budget, max_eval=budget, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure() -> float:
            nonlocal best, used
            inside = latent.detach().clamp(self.low, self.high)
            found = self.objective.evaluate(inside, own)
            outward = (latent.detach() - inside) * found.gradient < 0
            latent.grad = torch.where(outward & (latent.detach() != inside), 0.0, found.gradient)
            used, best = used + 1, min(best, float(found.value))
            if best <= target or used >= budget:
                raise StopIteration
            return float(found.value)

        with suppress(StopIteration):
            optimiser.step(closure)
        return best, used

    def _own(self, clip: int) -> dict[str, Wanted]:
        return {name: tuple(each[clip : clip + 1] for each in tensors) for name, tensors in self.wanted.items()}


def labelled_clips(shards: str, count: int, split: str) -> tuple[Float[Tensor, "b n"], Tensor]:
    """`count` clips of a split, evenly spread over it, and their labels (-1 where there is none)."""
    folder = Folder.at(shards)
    clips = [clip for entry in load_manifest(folder).of_splits([split]) for clip in read_shard(folder, entry)]
    chosen = clips[:: max(1, len(clips) // count)][:count]
    labels = [-1 if clip.info.label is None else clip.info.label for clip in chosen]
    return torch.from_numpy(np.stack([to_float(decode(clip.data)) for clip in chosen])), torch.tensor(labels)


def _untrained(seed: int) -> WaveganGenerator:
    torch.manual_seed(seed)
    return WaveganGenerator(8).requires_grad_(False).eval()


def _numbers(found: Found) -> Sequence[float]:
    losses = found.loss.double()
    return float(losses.mean()), float(losses.median()), float(losses.quantile(0.9))


def _three(losses: Float[Tensor, " b"]) -> str:
    return " ".join(f"{each:10.5f}" for each in (losses.mean(), losses.median(), losses.double().quantile(0.9)))
