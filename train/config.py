"""What can be trained: a line for each objective. Imports neither torch nor Ray, so that --help answers at once."""

from __future__ import annotations

from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import Catalogue

_SCHEMAS, _OBJECTIVES = "invertone.train.schemas", "invertone.train.objectives"
OBJECTIVES = Registry(
    Entry("classifier", f"{_SCHEMAS}.classifier:ClassifierConfig", f"{_OBJECTIVES}.classifier:RECIPE"),
    Entry("wavegan", f"{_SCHEMAS}.wavegan:WaveganConfig", f"{_OBJECTIVES}.wavegan:RECIPE"),
    Entry("wae", f"{_SCHEMAS}.wae:WaeConfig", f"{_OBJECTIVES}.wae:RECIPE"),
    Entry("mapper", f"{_SCHEMAS}.mapper:MapperConfig", f"{_OBJECTIVES}.mapper:RECIPE"),
    Entry("restyle", f"{_SCHEMAS}.mapper:RestyleConfig", f"{_OBJECTIVES}.restyle:RECIPE"),
    Entry("gaae", f"{_SCHEMAS}.gaae:GaaeConfig", f"{_OBJECTIVES}.gaae:RECIPE"),
    Entry("ggan", f"{_SCHEMAS}.bigan:GganConfig", f"{_OBJECTIVES}.bigan:GGAN"),
    Entry("biggan", f"{_SCHEMAS}.biggan:BigganConfig", f"{_OBJECTIVES}.biggan:RECIPE"),
    Entry("bigan", f"{_SCHEMAS}.bigan:BiganConfig", f"{_OBJECTIVES}.bigan:RECIPE"),
    Entry("bigan-classifier", f"{_SCHEMAS}.bigan:BiganClassifierConfig", f"{_OBJECTIVES}.bigan_classifier:RECIPE"),
    Entry("cnn", f"{_SCHEMAS}.cnn:CnnConfig", f"{_OBJECTIVES}.cnn:RECIPE"),
    Entry("dcgan", f"{_SCHEMAS}.pictures:DcganConfig", f"{_OBJECTIVES}.picture_gan:DCGAN"),
    Entry("progan", f"{_SCHEMAS}.pictures:ProganConfig", f"{_OBJECTIVES}.picture_gan:PROGAN"),
    Entry("recogniser", f"{_SCHEMAS}.pictures:RecogniserConfig", f"{_OBJECTIVES}.recogniser:RECIPE"),
    Entry("picture-mapper", f"{_SCHEMAS}.pictures:PictureMapperConfig", f"{_OBJECTIVES}.picture_mapper:RECIPE"),
)
"""Schemas by objective; each implementation is a `train.objective.Recipe`."""
CATALOGUE = Catalogue(stage="train", selector="objective", schemas=OBJECTIVES)
