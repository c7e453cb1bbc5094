"""Keys of the classifier table."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.eval.schemas.shared import EvalConfig


@dataclass(frozen=True)
class ClassifierTableConfig(EvalConfig):
    """A classifier's accuracy and confusions on the clips themselves."""

    shards: str = key(REQUIRED, "run folder of an ingest", path=True, neutral=True)
    classifier: str = key(
        REQUIRED, "checkpoint to judge: classifier, cnn, gaae, ggan or bigan", checkpoint="any", neutral=True
    )
