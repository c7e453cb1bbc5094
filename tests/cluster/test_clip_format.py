"""What clips are: said in one line, the usual where nothing is said, and compared where models and shards meet."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, publish, read_manifest
from invertone.cluster.formats.shards import MANIFEST, ShardManifest, load_manifest
from invertone.cluster.formats.signals import USUAL, ClipFormat, refuse_others
from invertone.cluster.storage.folder import Folder

STEREO = ClipFormat(44_100, 65_536, 2)


def test_it_is_said_in_one_line_with_what_an_ingest_must_be_told() -> None:
    refuse_others(STEREO, "generator", ClipFormat(44_100, 65_536, 2), "shards", "here")
    with pytest.raises(UserError) as caught:
        refuse_others(STEREO, "generator", USUAL, "shards", "runs/gan")
    assert str(caught.value) == (
        "runs/gan: generator is for 65,536 stereo samples at 44,100 Hz, not 16,384 mono samples at 16,000 Hz as the shards; "
        "give another, or clips of an ingest with sample_rate=44100 clip_samples=65536 channels=2"
    )


def test_shapes_are_those_of_files_and_of_networks() -> None:
    assert (USUAL.shape, USUAL.view, USUAL.seconds) == ((16_384,), (16_384,), 1.024)
    assert (STEREO.shape, STEREO.view) == ((65_536, 2), (2, 65_536))


def test_manifests_of_one_channel_are_what_they_were_before_there_could_be_more(tmp_path: Path) -> None:
    """Digests of checkpoints that exist rest on this."""
    folder = Folder.at(str(tmp_path))
    for clips in (USUAL, STEREO):
        made = ShardManifest("made", clips, "untouched", (), ())
        folder.publish_json(MANIFEST, made.to_json())
        assert load_manifest(folder) == made and made.clips == clips
        assert ("channels" in made.to_json()) == (clips.channels == 2)
    mono = CheckpointManifest("wavegan", {}, 1, USUAL, "untouched")
    stereo = dataclasses.replace(mono, format=dataclasses.replace(USUAL, channels=2))
    assert mono.digest != stereo.digest
    for each in (mono, stereo):
        place = folder / f"checkpoint-{each.clips.channels}"
        publish(place, each, {})
        found = read_manifest(place)
        assert found is not None and found.clips == each.clips and found.digest == each.digest
    written = json.loads((tmp_path / "checkpoint-1" / "checkpoint.json").read_text())
    assert "channels" not in written


def test_no_length_and_no_rate_is_written_anywhere_else() -> None:
    """Of the package: a format is a manifest's, a config's or USUAL. Where else a number is one of them, it says why here."""
    root = Path(__file__).parents[2]
    allowed = {
        "cluster/formats/signals.py": "what is usual",
        "ingest/corpora/keys.py": "defaults of an ingest, and of older ones",
        "train/imports/config.py": "the default of an import",
        "audio/front_end.py": "the default of a front end, and its documentation",
        "eval/tables/reconstruction.py": "rows to a unit, which has nothing to do with clips",
        "models/networks/wavegan.py": "the lengths that WaveGAN makes",
        "models/published/wavegan.py": "the same in messages",
        "train/objectives/spectrogram_gan.py": "a message: what GAAE's networks were made for",
    }
    number = re.compile(r"(?<![\w.])(16_?384|16_?000|16,384|16,000)(?![\w%])")
    found = set()
    for room in ("audio", "cluster", "eval", "infer", "ingest", "models", "train"):
        for path in (root / room).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            documentation = {
                id(node.value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            }
            constants = (
                each for each in ast.walk(tree) if isinstance(each, ast.Constant) and id(each) not in documentation
            )
            if any(number.search(repr(each.value)) for each in constants):
                found.add(path.relative_to(root).as_posix())
    assert found <= allowed.keys()
