"""Addresses of models that come with the package: the same everywhere, and never taken for something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from invertone.cluster.config.checks import is_class
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.storage import shipped
from invertone.cluster.storage.folder import Folder
from invertone.cluster.submit.reach import places, refuse_relative, refuse_unseen
from invertone.infer.config import CATALOGUE


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("digits/generator", "digits/mapper", "birds/generator"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "checkpoint.json").write_text("{}")
    (tmp_path / "digits" / "notes").mkdir()
    monkeypatch.setattr(shipped, "root", lambda: tmp_path)
    return tmp_path


def test_a_family_and_its_models_have_addresses(shelf: Path) -> None:
    assert shipped.families() == ["birds", "digits"]
    assert shipped.models() == ["shipped:birds/generator", "shipped:digits/generator", "shipped:digits/mapper"]
    assert Folder.at("shipped:digits").uri == str(shelf / "digits")
    assert Folder.at("shipped:digits/mapper/").uri == str(shelf / "digits" / "mapper")


@pytest.mark.parametrize(
    "name", ["", "digits/notes", "digits/nothing", "../outside", "digits/../../etc", "/etc", "Digits"]
)
def test_nothing_else_is_reached_by_such_an_address(shelf: Path, name: str) -> None:
    with pytest.raises(
        UserError, match="no such model comes with the package; choose one of shipped:birds, shipped:birds/gen"
    ):
        Folder.at(f"shipped:{name}")


def test_a_config_keeps_the_address_and_a_cluster_takes_it(shelf: Path) -> None:
    words = ["shards=s3://b/x", "out=s3://b/y", "generator=shipped:digits", "mapper=shipped:digits/mapper"]
    config = load(CATALOGUE, "encoder", words)
    assert (config.generator, config.mapper) == ("shipped:digits", "shipped:digits/mapper")
    assert not is_class("shipped:digits") and is_class("mygan:Net")
    refuse_relative(config)
    refuse_unseen(config, [], same_machine=False)
    assert ("generator", "shipped:digits") in list(places(config))
