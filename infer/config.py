"""How latents are recovered: a line for each inversion method. Imports neither torch nor Ray."""

from __future__ import annotations

from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import Catalogue

_SCHEMAS, _METHODS = "invertone.infer.schemas", "invertone.infer.methods"
METHODS = Registry(
    Entry("encoder", f"{_SCHEMAS}.encoder:EncoderConfig", f"{_METHODS}.encoder:METHOD"),
    Entry("gradient", f"{_SCHEMAS}.gradient:GradientConfig", f"{_METHODS}.gradient:METHOD"),
    Entry("hybrid", f"{_SCHEMAS}.gradient:HybridConfig", f"{_METHODS}.gradient:HYBRID"),
    Entry("restyle", f"{_SCHEMAS}.restyle:RestyleConfig", f"{_METHODS}.restyle:METHOD"),
    Entry("gaae", f"{_SCHEMAS}.autoencoder:GaaeInferConfig", f"{_METHODS}.autoencoder:METHOD"),
)
"""Schemas by method; each implementation is a `infer.methods.method.Method`."""
_GRADIENT = "gradient-text (what the papers write) or gradient-code (what their authors programmed)"
FORMER = {
    "gradient-published": _GRADIENT,
    "gradient-scipy": _GRADIENT,
    "hybrid-published": "hybrid-text (what the papers write) or hybrid-code (what their authors programmed)",
}
"""Configs that older versions shipped under another name, with the name they have now."""
CATALOGUE = Catalogue(stage="infer", selector="method", schemas=METHODS, former=FORMER)
