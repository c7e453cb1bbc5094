"""Ten seeded steps of every objective in double precision: losses and gradients, the same on every processor."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from invertone.cluster.storage.folder import Folder
from tests.train.golden import GOLDEN, NAMES, differing, golden, material, steps_of, train_in_double


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("golden")))
    material(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_golden_losses_and_gradients(name: str, place: Folder, tmp_path: Path) -> None:
    found = train_in_double(name, place, Folder.at(str(tmp_path)), steps_of(name))
    if os.environ.get("INVERTONE_WRITE_GOLDEN"):
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        GOLDEN.write_text(json.dumps(known | {name: found}, indent=1, sort_keys=True) + "\n")
    assert not differing(found, golden(name))
    assert {len(series) for series in found.values()} >= {steps_of(name)}
