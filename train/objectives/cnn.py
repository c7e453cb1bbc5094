"""The simple CNN: cross-entropy on guided clips alone, augmented as the ResNet-18 classifier's are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from invertone.audio.front_end import FrontEnd
from invertone.models.networks.cnn import SimpleCnn
from invertone.models.networks.resnet import ResNet18
from invertone.train.config import ClassifierConfig
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.objectives.classifier import ClassifierObjective


class CnnObjective(ClassifierObjective):
    """The newest checkpoint counts: to choose the best one would take labels of other clips than the guided."""

    kind = "cnn"
    better = None

    def _network(self, config: ClassifierConfig, labels: int, front_end: FrontEnd) -> ResNet18 | SimpleCnn:
        return SimpleCnn(labels, config.width, front_end)

    def _phase(self) -> Phase:
        return Phase("classifier", moves=("classifier",), losses=self.losses, guided_batches=1, monitors=("error",))

    def _batch(self, draw: Draw) -> Batch:
        assert draw.guided is not None
        return draw.guided()

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        return {}

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        return {}
