"""Keys of ingest: those of recordings are what runs of older versions recorded, whatever pictures have beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invertone.cluster.config import loading
from invertone.cluster.config.schema import as_dict, decisive, describe
from invertone.cluster.errors import UserError
from invertone.cluster.storage.folder import json_bytes, sha256
from invertone.ingest.config import CATALOGUE, CORPORA
from invertone.ingest.corpora.keys import IngestConfig, PictureConfig, check_boxes

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/ingest_configs.json").read_bytes())
"""Digests of the configs that there were before pictures: what decides, and all that is recorded."""


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_configs_of_recordings_are_what_they_were(name: str) -> None:
    config = loading.load(CATALOGUE, name, ["source=/corpus", "out=/shards"])
    found = {
        "decisive": sha256(json_bytes(decisive(config)))[:16],
        "recorded": sha256(json_bytes(as_dict(config)))[:16],
    }
    assert found == GOLDEN[name]


@pytest.mark.parametrize("corpus", sorted(CORPORA))
def test_a_corpus_is_of_recordings_or_of_pictures(corpus: str) -> None:
    """Its schema, its reader and the keys that --help shows agree."""
    schema, inputs = CORPORA[corpus], CORPORA.implementation(corpus).inputs
    keys = {row[0] for row in describe(schema)}
    if issubclass(schema, PictureConfig):
        assert inputs.one == "picture" and "png" in inputs.endings and "wav" not in inputs.endings
        assert {"height", "width", "crop"} <= keys and not {"sample_rate", "window", "levels"} & keys
    else:
        assert issubclass(schema, IngestConfig) and inputs.one == "recording"
        assert "wav" in inputs.endings and "png" not in inputs.endings and not {"height", "crop"} & keys


def _config(**keys: str) -> PictureConfig:
    return PictureConfig(corpus="pictures", source="/c", out="/out", **keys)  # type: ignore[arg-type]


def test_boxes_and_crops_fit_each_other() -> None:
    with pytest.raises(UserError, match="crop=box without boxes"):
        check_boxes(_config(crop="box"))
    with pytest.raises(UserError, match="boxes are given, and crop=centre uses none"):
        check_boxes(_config(boxes="b.csv"))
    check_boxes(_config(crop="box"), own="its list")
    check_boxes(_config(crop="box", boxes="b.csv"))
