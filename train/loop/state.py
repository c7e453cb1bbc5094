"""Checkpoints of a training run: networks and optimisers in, networks and optimisers out, safetensors only.

checkpoints/step-00000500/ is complete once its checkpoint.json is there; checkpoints/best.json names the best one.
"""

from __future__ import annotations

import json
from typing import Any

import safetensors.torch
import torch

from invertone.cluster.formats.checkpoints import (
    CHECKPOINTS,
    WEIGHTS,
    CheckpointManifest,
    publish,
    read_file,
    read_manifest,
    step_folder,
)
from invertone.cluster.formats.signals import SignalFormat
from invertone.cluster.formats.trainings import Best, read_best
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import describe, load_weights, weights_bytes
from invertone.train.objective import Objective

OPTIMISERS = "optimisers.safetensors"


def newest(run: Folder) -> tuple[int, CheckpointManifest, Folder] | None:
    """The newest complete checkpoint of a training's run folder."""
    for name in reversed(run.folders(CHECKPOINTS)):
        folder = run / f"{CHECKPOINTS}/{name}"
        manifest = read_manifest(folder)
        if manifest is not None:
            return manifest.step, manifest, folder
    return None


class TrainingState:
    """Saves and restores one objective in the run folder `folder`."""

    def __init__(
        self,
        folder: Folder,
        objective: Objective,
        format: SignalFormat,
        levels: str,
        labels: tuple[str, ...],
        data: dict[str, Any],
        inputs: dict[str, str],
    ) -> None:
        self.folder, self.objective, self.format = folder, objective, format
        self.levels, self.labels, self.data, self.inputs = levels, labels, data, inputs

    def restore(self, device: torch.device) -> int:
        """Loads the newest checkpoint and returns its step; 0 where there is none."""
        latest = newest(self.folder)
        if latest is None:
            return 0
        step, manifest, folder = latest
        load_weights(self.objective.networks, read_file(folder, manifest, WEIGHTS), folder.uri)
        tensors = safetensors.torch.load(read_file(folder, manifest, OPTIMISERS))
        for name, optimiser in self.objective.optimisers.items():
            _load_optimiser(optimiser, name, tensors, device)
        return step

    def save(self, step: int, metrics: dict[str, float], keep: int) -> None:
        """Publishes a checkpoint, points to it if it is the best so far, and removes what is neither recent nor best."""
        named = step_folder(step)
        manifest = CheckpointManifest(
            kind=self.objective.kind,
            networks=describe(self.objective.networks),
            step=step,
            format=self.format,
            levels=self.levels,
            label_names=self.labels,
            data=self.data,
            inputs=self.inputs,
            metrics=metrics,
            **self.objective.manifest(),
        )
        files = {WEIGHTS: weights_bytes(self.objective.networks), OPTIMISERS: self._optimisers_bytes()}
        publish(self.folder / f"{CHECKPOINTS}/{named}", manifest, files)
        self._point_to_best(step, metrics)
        best = read_best(self.folder)
        for old in self.folder.folders(CHECKPOINTS)[:-keep]:
            if best is None or old != step_folder(best.step):
                self.folder.remove(f"{CHECKPOINTS}/{old}")

    def _point_to_best(self, step: int, metrics: dict[str, float]) -> None:
        if self.objective.better is None:
            return
        name, sign = self.objective.better
        best = read_best(self.folder)
        # A pointer to a later step is left over from a run that was killed and resumed before it: it may be gone by now.
        if best is None or best.step > step or sign * metrics[name] > sign * best.score:
            Best(step, name, metrics[name]).publish(self.folder)

    def _optimisers_bytes(self) -> bytes:
        tensors = {}
        for name, optimiser in self.objective.optimisers.items():
            for index, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"{name}.{index}.{key}"] = torch.as_tensor(value).contiguous().cpu()
        return safetensors.torch.save(tensors, metadata={"optimisers": json.dumps(sorted(self.objective.optimisers))})


def _load_optimiser(
    optimiser: torch.optim.Optimizer, name: str, tensors: dict[str, torch.Tensor], device: torch.device
) -> None:
    whole = optimiser.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        owner, index, field = key.split(".", 2)
        if owner == name:
            state.setdefault(int(index), {})[field] = value if field == "step" else value.to(device)
    optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
