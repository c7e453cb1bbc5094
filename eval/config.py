"""The tables: a line for each. Imports neither torch nor Ray."""

from __future__ import annotations

from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import Catalogue

_SCHEMAS, _TABLES = "invertone.eval.schemas", "invertone.eval.tables"
TABLES = Registry(
    Entry("reconstruction", f"{_SCHEMAS}.reconstruction:ReconstructionConfig", f"{_TABLES}.reconstruction"),
    Entry("recognition", f"{_SCHEMAS}.recognition:RecognitionConfig", f"{_TABLES}.recognition"),
    Entry("generation", f"{_SCHEMAS}.generation:GenerationConfig", f"{_TABLES}.generation"),
    Entry("accuracy", f"{_SCHEMAS}.accuracy:AccuracyConfig", f"{_TABLES}.accuracy"),
    Entry("classifier", f"{_SCHEMAS}.classifier:ClassifierTableConfig", f"{_TABLES}.classifier"),
    Entry("deepfake", f"{_SCHEMAS}.deepfake:DeepfakeConfig", f"{_TABLES}.deepfake"),
    Entry("detect", f"{_SCHEMAS}.detect:DetectConfig", f"{_TABLES}.detect"),
    Entry("probes", f"{_SCHEMAS}.probes:ProbesConfig", f"{_TABLES}.probes"),
    Entry("latent-space", f"{_SCHEMAS}.latent_space:LatentSpaceConfig", f"{_TABLES}.latent_space"),
)
"""Schemas by table; each implementation has `plan(config)` and `run(name, config)`."""
FORMER = {
    "keys-table1": "keyes-table2 (real audio is table 2 of the paper)",
    "keys-table2": "keyes-table1 (synthesised audio is table 1 of the paper)",
    "keys-table3": "keyes-table3 (the first author's name is Keyes)",
    "gaae-table1": "haque-table1 (the paper's table I)",
    "gaae-table2": "haque-table3 (shares of labels, SC09: the paper's table III)",
    "gaae-table3": "haque-table2 (NSynth notes: the paper's table II)",
    "gaae-table4": "haque-table7 (accuracy by share of labels: the paper's table VII)",
    "gaae-table5": "haque-table8 (the same on NSynth: the paper's table VIII)",
    "gaae-table6": "haque-table4 (classification accuracy score: the paper's table IV)",
    "gaae-table7": "haque-table6 (guided by gender: the paper's table VI)",
    "gaae-table8": "latent-probes (the paper has no such table)",
}
"""Configs that older versions shipped under another name, with the name they have now and why."""
CATALOGUE = Catalogue(stage="eval", selector="table", schemas=TABLES, former=FORMER)
