"""An archive without a label anywhere, from a folder of recordings to its table: the commands that the guide gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invertone.cluster.formats.checkpoints import resolve
from invertone.cluster.formats.shards import load_manifest
from invertone.cluster.storage.folder import Folder
from tests.e2e.test_road import invertone
from tests.sounds import speechlike, write_sound

TINY = "batch=8 log_every=2 samples=0 steps=4 checkpoint_every=4"
FRONT_END = "front_end.mels=32 front_end.hop_length=256"


@pytest.mark.timeout(900)
def test_recordings_without_labels_become_latents_and_a_table(tmp_path: Path) -> None:
    for number in range(24):
        write_sound(tmp_path / "recordings" / f"{number // 6}" / f"{number}.wav", speechlike(1.1, number))
    invertone("ingest folder source=recordings label_from=none clips_per_shard=8 out=shards", tmp_path)
    manifest = load_manifest(Folder.at(str(tmp_path / "shards")))
    assert manifest.label_names == () and sum(entry.count for entry in manifest.shards) == 24

    small = "width=2 encoder_width=4 latent_size=8 front_end.mels=32 front_end.hop_length=256"
    invertone(f"train wae-digits shards=shards {small} {TINY} out=generator", tmp_path)
    given, mine = "shards=shards generator=generator", f"width=4 {FRONT_END} {TINY}"
    invertone(f"train mapper-unlabelled-debug {given} {mine} out=mapper", tmp_path)
    invertone(f"train restyle-unlabelled-debug {given} {mine} passes=2 out=restyle", tmp_path)
    for folder, kind in (("mapper", "mapper"), ("restyle", "restyle")):
        trained = resolve(str(tmp_path / folder), kind)[1]
        assert trained.metrics.keys() == {"multi_scale_mel", "spectrogram_mae"}

    invertone(f"infer hybrid-unlabelled {given} mapper=mapper evaluations=3 workers=1 out=hybrid", tmp_path)
    invertone(f"infer restyle {given} mapper=restyle passes=2 workers=1 out=passes", tmp_path)
    said = invertone("eval reconstruction latents=[hybrid,passes] workers=1 out=table", tmp_path)
    assert "Heard by no classifier" in said and "Accuracy ↑" not in said
    table = json.loads((tmp_path / "table/table.json").read_text())
    rows = {row["row"]: row for row in table["rows"]}
    assert rows["hybrid-unlabelled"]["clips"] == rows["restyle"]["clips"] == 24
    assert rows["real"]["waveform_mse"] == 0 < rows["hybrid-unlabelled"]["spectrogram_mae"]
    assert not {"accuracy", "feature_distance", "inception_score"} & {column["name"] for column in table["columns"]}
