"""Which loss and how many evaluations make hybrid inversion better than its mapper without destroying what is said.

For every loss and budget: accuracy, feature distance and SSIM of the reconstructions of real clips, beside the mapper's own.
A judge that no loss has seen listens: a second classifier. Pure torch, one process. `docs/study.md` holds its table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.inversion import labelled_clips
from invertone.cluster.config.loading import load
from invertone.infer.build import build_inverter
from invertone.infer.config import CATALOGUE
from invertone.infer.methods.method import Inverter
from invertone.models.checkpoint import load_classifier
from invertone.models.generator import load_generator
from invertone.models.networks.listening import ClipClassifier
from invertone.models.scores import score

LOSSES: dict[str, dict[str, float]] = {
    "published": {"spectrogram": 1.0, "waveform": 1.0, "features": 0.002},
    "waveform": {"waveform": 1.0},
    "log_magnitude": {"log_magnitude": 1.0},
    "multi_resolution_stft": {"multi_resolution_stft": 1.0},
    "features": {"features": 1.0},
    "log_magnitude + features": {"log_magnitude": 1.0, "features": 1.0},
    "5 log_magnitude + features": {"log_magnitude": 5.0, "features": 1.0},
    "stft + features": {"multi_resolution_stft": 1.0, "features": 1.0},
    "stft + consistency": {"multi_resolution_stft": 1.0, "consistency": 1.0},
    "stft + features + consistency": {"multi_resolution_stft": 1.0, "features": 1.0, "consistency": 1.0},
}
BUDGETS = (10, 30, 100)


def run(clips: int = 100, **given: str) -> None:
    """Needs `generator= mapper= classifier= judge= shards=`; `losses=a,b` and `budgets=10,30` choose, `json=` writes rows."""
    cpu = torch.device("cpu")
    generator, classifier = load_generator(given["generator"], cpu)[0], load_classifier(given["classifier"], cpu)[0]
    judge_network = load_classifier(given["judge"], cpu)[0]
    target, labels = labelled_clips(given["shards"], clips, given.get("split", "test"))
    rows = []
    names = given["losses"].split(",") if "losses" in given else list(LOSSES)
    budgets = [int(each) for each in given["budgets"].split(",")] if "budgets" in given else list(BUDGETS)
    print(f"{'loss':32} {'evaluations':>11} {'accuracy':>9} {'features':>9} {'SSIM':>7} {'MAE':>7} {'s/clip':>7}")

    def judge(name: str, inverter: Inverter, evaluations: int) -> None:
        since = time.monotonic()
        found = inverter(target, [f"clip {number}" for number in range(len(target))])
        row = _judged(target, found.signal, labels, judge_network)
        row |= {"loss": name, "evaluations": evaluations, "seconds": (time.monotonic() - since) / len(target)}
        rows.append(row)
        print(
            f"{name:32} {evaluations:11} {row['accuracy']:9.1%} {row['feature_distance']:9.4f} {row['ssim']:7.4f} "
            f"{row['spectrogram_mae']:7.4f} {row['seconds']:7.2f}",
            flush=True,
        )

    judge("mapper", _inverter("encoder", given, generator, classifier), 0)
    for name in names:
        for budget in budgets:
            judge(name, _inverter("hybrid", given, generator, classifier, LOSSES[name], budget), budget)
    if "json" in given:
        Path(given["json"]).write_text(json.dumps(rows, indent=1))


def _inverter(
    method: str,
    given: Mapping[str, str],
    generator: Any,
    classifier: ClipClassifier,
    weights: Mapping[str, float] | None = None,
    evaluations: int = 0,
) -> Inverter:
    words = [f"{role}={given[role]}" for role in ("shards", "generator", "mapper", "classifier")] + ["out=unused"]
    if weights is not None:
        every = {"log_magnitude": 0.0, "features": 0.0, **weights}
        words += [f"weights.{name}={weight}" for name, weight in every.items()] + [f"evaluations={evaluations}"]
        words += ["feature_loss=mae"] if weights == LOSSES["published"] else []
    config = load(CATALOGUE, method, words)
    return build_inverter(config, generator, classifier, torch.device("cpu"))


def _judged(
    target: Float[Tensor, "b n"], found: Float[Tensor, "b n"], labels: Tensor, classifier: ClipClassifier
) -> dict[str, Any]:
    scores = score(target, found, classifier)
    assert scores.predicted_label is not None and scores.feature_distance is not None
    return {
        "accuracy": float((scores.predicted_label == labels).double().mean()),
        "feature_distance": float(scores.feature_distance.mean()),
        "ssim": float(scores.ssim.mean()),
        "spectrogram_mae": float(scores.spectrogram_mae.mean()),
    }
