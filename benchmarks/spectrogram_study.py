"""Whether a generator of spectrograms is inverted by gradient: spectrograms that it made of known latents and labels are
searched for from starts of its prior, with the label known or with all labels tried.

A spectrogram counts as recovered where 0.99 of its variance is explained. Pure torch, one process. `docs/study.md` holds its
table.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor
from torch.nn import functional as F

from invertone.cluster.config.loading import load
from invertone.infer.build import build_inverter
from invertone.infer.config import CATALOGUE
from invertone.infer.methods.gradient import GradientInverter, seed_of, start
from invertone.infer.methods.spectral import explained_variance
from invertone.infer.threads import Threads
from invertone.models.generator import SpectrogramGenerator, load_generator
from invertone.models.prior import seeded

RECOVERED = 0.99
TERM = "log_magnitude_squared"


def run(clips: int = 40, **given: str) -> None:
    """`generator=` (shipped:fsdd), `starts=4`, `evaluations=150`, `labels=known` or `search`, `threads=2`; what is searched for
    is decided by `seed=0`."""
    generator, _ = load_generator(given.get("generator", "shipped:fsdd"))
    assert isinstance(generator, SpectrogramGenerator) and generator.label_names, (
        "give a GAAE, GGAN or BigGAN with labels"
    )
    starts, threads = int(given.get("starts", "4")), Threads(int(given.get("threads", "2")))
    seed, labels = int(given.get("seed", "0")), len(generator.label_names)
    words = [
        "shards=unused",
        "out=unused",
        "generator=unused",
        f"evaluations={given.get('evaluations', '150')}",
        "label=search",
    ]
    config = load(CATALOGUE, "gradient-spectrogram", words)
    inverter = build_inverter(config, generator, None, torch.device("cpu"), threads=threads)
    assert isinstance(inverter, GradientInverter)
    latent = torch.cat(
        [generator.prior.sample(1, generator.latent_size, seeded(seed, "known", at)) for at in range(clips)]
    )
    label = torch.arange(clips) % labels
    made = _made(generator, latent, label)
    tried = torch.arange(labels).expand(clips, -1) if given.get("labels") == "search" else label[:, None]
    each = tried.shape[1]
    clip = [at for at in range(clips) for _ in range(each * starts)]
    number = [at % starts for at in range(clips * each * starts)]
    begun = torch.cat([start(seed, str(at), generator, which) for at, which in zip(clip, number, strict=True)])
    seeds = [seed_of(seed, str(at), which) for at, which in zip(clip, number, strict=True)]
    told = tried[:, :, None].expand(-1, -1, starts).flatten()
    since = time.monotonic()
    wanted = dict.fromkeys(inverter.objective.names, ()) | {TERM: (made,)}
    found = inverter.solve(wanted, clip, begun, seeds, labels=told)
    seconds = time.monotonic() - since
    value, evaluations = (part.view(clips, each, starts) for part in (found.value, found.evaluations))
    print(
        f"{'starts':>6} {'recovered':>9} {'median':>8} {'label':>6} {'latent error':>12} {'evaluations':>11} {'s/clip':>7}"
    )
    for count in [2**power for power in range(starts.bit_length()) if 2**power <= starts]:
        best = value[:, :, :count].flatten(1).argmin(1)
        rows = (torch.arange(clips) * each + best // count) * starts + best % count
        point, won = found.point[rows].float(), told[rows]
        explained = explained_variance(made, _made(generator, point, won))
        used = float(evaluations[:, :, :count].sum((1, 2)).double().mean())
        share = seconds * used / float(evaluations.sum((1, 2)).double().mean()) / clips
        print(
            f"{count:6} {(explained >= RECOVERED).double().mean():9.1%} {explained.median():8.4f} "
            f"{(won == label).double().mean():6.0%} {(point - latent).square().mean().sqrt():12.3f} {used:11.0f} {share:7.2f}",
            flush=True,
        )


@torch.no_grad()
def _made(generator: SpectrogramGenerator, latent: Tensor, label: Tensor) -> Tensor:
    one_hot = F.one_hot(label, len(generator.label_names)).float()
    return torch.cat([generator.spectrogram(*pair) for pair in zip(latent.split(1), one_hot.split(1), strict=True)])
