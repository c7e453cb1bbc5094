"""The tables: a line for each. Imports neither torch nor Ray."""

from __future__ import annotations

from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import Catalogue

_SCHEMAS, _TABLES = "invertone.eval.schemas", "invertone.eval.tables"
TABLES = Registry(
    Entry("reconstruction", f"{_SCHEMAS}.reconstruction:ReconstructionConfig", f"{_TABLES}.reconstruction"),
    Entry("generation", f"{_SCHEMAS}.generation:GenerationConfig", f"{_TABLES}.generation"),
    Entry("accuracy", f"{_SCHEMAS}.accuracy:AccuracyConfig", f"{_TABLES}.accuracy"),
    Entry("classifier", f"{_SCHEMAS}.classifier:ClassifierTableConfig", f"{_TABLES}.classifier"),
    Entry("deepfake", f"{_SCHEMAS}.deepfake:DeepfakeConfig", f"{_TABLES}.deepfake"),
    Entry("detect", f"{_SCHEMAS}.detect:DetectConfig", f"{_TABLES}.detect"),
    Entry("probes", f"{_SCHEMAS}.probes:ProbesConfig", f"{_TABLES}.probes"),
    Entry("latent-space", f"{_SCHEMAS}.latent_space:LatentSpaceConfig", f"{_TABLES}.latent_space"),
)
"""Schemas by table; each implementation has `plan(config)` and `run(name, config)`."""
CATALOGUE = Catalogue(stage="eval", selector="table", schemas=TABLES)
