"""`invertone import`: a published model becomes a checkpoint that every stage takes, once, or nothing is written."""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from collections.abc import Sequence
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from invertone import command_line
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import MANIFEST, WEIGHTS, resolve
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_classifier, load_network
from invertone.models.generator import load_generator
from invertone.models.published import wavegan_inception
from invertone.models.published.tensorflow_checkpoint import open_checkpoint
from invertone.models.published.wavegan import inspect
from invertone.models.published.wavegan_inception import LABELS
from tests.bundles import inception_variables, wavegan_variables, write_checkpoint
from tests.made import made_shards, train_tiny


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "published/model.ckpt-103005", wavegan_variables(2, 8, 16))


def imported(source: Path | str, out: Path | str, *words: str) -> str:
    """What the command printed; it ends well."""
    code, said = typed("import", "wavegan", str(source), f"out={out}", *words)
    assert code == 0, said
    return said


def typed(*words: str) -> tuple[int, str]:
    """Exit code, and what was printed on either stream."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = command_line.main(words)
    return code, printed.getvalue()


def files_of(place: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(place.rglob("*"))}


def test_the_checkpoint_says_what_it_is_and_computes_what_was_published(prefix: Path, tmp_path: Path) -> None:
    said = imported(prefix, tmp_path / "out")
    generator_size = 9 * 512 + 25 * (32 * 16 + 16 * 8 + 8 * 4 + 4 * 2 + 2) + 31 + 16
    critic_size = 25 * (2 + 2 * 4 + 4 * 8 + 8 * 16 + 16 * 32) + 62 + 513
    assert said.splitlines() == [
        "WaveGAN of width 2 and latent size 8 for 16,384 mono samples, at step 103,005, post filter of 16 taps, "
        f"generator with {generator_size:,} parameters, critic of width 2 with {critic_size:,}",
        "left out: 54 variables of the optimisers",
        str(tmp_path / "out"),
    ]
    folder, manifest = resolve(str(tmp_path / "out"), "generator", "wavegan")
    assert folder.uri == str(tmp_path / "out") and set(manifest.files) == {WEIGHTS}
    assert (manifest.step, manifest.levels, manifest.metrics, manifest.prior) == (
        103_005,
        "untouched",
        {},
        {"kind": "uniform"},
    )
    assert manifest.format == USUAL
    checkpoint = open_checkpoint(str(prefix))
    assert manifest.data == {"imported_from": "TensorFlow", "digest": checkpoint.digest()}

    networks, latent = inspect(checkpoint).networks(), torch.rand(3, 8) * 2 - 1
    generator, _ = load_generator(folder.uri)
    critic, _ = load_network(folder.uri, "generator", "wavegan", "critic")
    with torch.no_grad():
        waveform = generator(latent)
        assert torch.equal(waveform, networks["generator"](latent))
        assert torch.equal(critic(waveform), networks["critic"](waveform)) and waveform.std() > 0.01


def test_a_dry_run_says_what_would_be_imported_and_writes_nothing(prefix: Path, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    said = imported(prefix, tmp_path / "out", "levels=peak", "--dry-run")
    for part in (
        "would import: WaveGAN of width 2 and latent size 8 for 16,384 mono samples, at step 103,005, "
        "post filter of 16 taps, generator with ",
        f" {inspect(open_checkpoint(str(prefix))).parameters['generator']:,} parameters, critic of width 2 with ",
        "would leave out: 54 variables of the optimisers",
        f"would write: a checkpoint with levels peak into {tmp_path}/out",
    ):
        assert part in said
    assert files_of(tmp_path) == before


def test_typed_again_it_changes_nothing_and_mends_what_is_damaged(prefix: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = imported(prefix, out)
    before, weights = files_of(out), (out / WEIGHTS).read_bytes()
    assert imported(prefix.parent, out) == first  # the same checkpoint by another of its names
    after = files_of(out)
    assert after[str(out / WEIGHTS)] == before[str(out / WEIGHTS)]
    assert after[str(out / MANIFEST)] == before[str(out / MANIFEST)]
    (out / WEIGHTS).write_bytes(weights[:-1])
    imported(prefix, out)
    assert (out / WEIGHTS).read_bytes() == weights
    (out / MANIFEST).unlink()  # as a driver leaves it that was killed before its end
    imported(prefix, out)
    assert resolve(str(out), "generator", "wavegan")[1].step == 103_005


def test_another_checkpoint_or_other_levels_are_another_run(prefix: Path, tmp_path: Path) -> None:
    imported(prefix, tmp_path / "out")
    code, said = typed("import", "wavegan", str(prefix), f"out={tmp_path}/out", "levels=peak")
    assert code == 2 and "out holds a run that differs in levels: 'untouched' → 'peak'" in said
    other = write_checkpoint(tmp_path / "other", wavegan_variables(2, 8, 16, seed=1))
    code, said = typed("import", "wavegan", str(other), f"out={tmp_path}/out")
    assert code == 2 and "out holds a run that differs in input.checkpoint" in said


@pytest.mark.parametrize(
    "words", [["nowhere"], ["published/model.ckpt-103005.meta"], ["empty"], ["damaged"], ["foreign"]]
)
def test_what_cannot_be_imported_is_one_line_and_leaves_nothing(
    words: Sequence[str], prefix: Path, tmp_path: Path
) -> None:
    Path(f"{prefix}.meta").write_text("graph")
    (tmp_path / "empty").mkdir()
    write_checkpoint(tmp_path / "foreign", {"w": np.zeros(3, np.float32)})
    damaged = Path(f"{write_checkpoint(tmp_path / 'damaged', wavegan_variables())}.index")
    damaged.write_bytes(damaged.read_bytes()[:-60] + bytes(60))
    code, said = typed("import", "wavegan", str(tmp_path / words[0]), f"out={tmp_path}/out")
    assert code == 2 and said.startswith("invertone: ") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_weights_that_turn_out_damaged_leave_no_checkpoint(prefix: Path, tmp_path: Path) -> None:
    data = Path(f"{prefix}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:5_000] + b"?" + data.read_bytes()[5_001:])
    code, said = typed("import", "wavegan", str(prefix), f"out={tmp_path}/out")
    assert code == 2 and "differs from its checksum" in said and said.count("\n") == 1
    assert not (tmp_path / "out" / MANIFEST).exists() and not (tmp_path / "out" / WEIGHTS).exists()
    with pytest.raises(UserError, match="no checkpoint here"):
        resolve(str(tmp_path / "out"), "generator", "wavegan")


def test_the_tools_know_the_run(prefix: Path, tmp_path: Path) -> None:
    imported(prefix, tmp_path / "out")
    assert json.loads(typed("status", "--json", f"{tmp_path}/out")[1])["state"] == "done"
    assert typed("verify", f"{tmp_path}/out")[0] == 0
    code, said = typed("retry", f"{tmp_path}/out")
    assert code == 2 and "runs of import have no units; type its command again to continue" in said


def test_from_s3_to_s3(prefix: Path, tmp_path: Path, s3: str) -> None:
    place, served = f"{s3}/{uuid.uuid4().hex}", fsspec.filesystem("s3")
    for file in prefix.parent.iterdir():
        served.put_file(str(file), f"{place}/published/{file.name}")
    imported(f"{place}/published", f"{place}/out")
    imported(prefix, tmp_path / "out")
    assert resolve(f"{place}/out", "generator")[1] == resolve(str(tmp_path / "out"), "generator")[1]


@pytest.mark.timeout(300)
def test_a_mapper_is_trained_for_it_and_its_latents_are_recovered(
    ray_session: Capacity, prefix: Path, tmp_path: Path
) -> None:
    place = Folder.at(str(tmp_path))
    made_shards(place / "shards", train=(6,), validation=3)
    imported(prefix, tmp_path / "generator")
    train_tiny("classifier-debug", place / "shards", place / "classifier", steps=1, checkpoint_every=1)
    given = {"generator": str(tmp_path / "generator"), "classifier": str(tmp_path / "classifier")}
    train_tiny("mapper-debug", place / "shards", place / "mapper", steps=1, checkpoint_every=1, **given)
    words = [
        f"shards={tmp_path}/shards",
        f"mapper={tmp_path}/mapper",
        f"out={tmp_path}/latents",
        f"classifier={tmp_path}/classifier",
        "evaluations=2",
        "device=cpu",
    ]
    code, said = typed("infer", "hybrid", f"generator={tmp_path}/generator", *words)
    assert code == 0, said
    rows = [row for part in (tmp_path / "latents").glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    assert len(rows) == 9 and all(row["status"] == "ok" and len(row["latent"]) == 8 for row in rows)


def test_the_classifier_of_inception_scores_becomes_a_judge(tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "published/best_acc-103005", inception_variables(2))
    code, said = typed("import", "classifier", str(prefix), f"out={tmp_path}/out", "--dry-run")
    what = "classifier of WaveGAN's inception scores, of width 2, at step 103,005, with 2,172 parameters, for the labels zero,"
    assert code == 0 and f"would import: {what}" in said and f"would write: a checkpoint into {tmp_path}/out" in said
    assert not (tmp_path / "out").exists()
    code, said = typed("import", "classifier", str(prefix), f"out={tmp_path}/out")
    assert code == 0 and said.startswith(what)
    classifier, manifest = load_classifier(f"{tmp_path}/out")
    assert (manifest.kind, manifest.step, manifest.label_names) == ("classifier", 103_005, LABELS)
    waveform = torch.randn(2, USUAL.samples, generator=torch.Generator().manual_seed(0)) * 0.1
    network = wavegan_inception.inspect(open_checkpoint(str(prefix))).networks()["classifier"].eval()
    assert torch.equal(classifier(waveform), network(waveform))
    assert json.loads(typed("status", "--json", f"{tmp_path}/out")[1])["state"] == "done"
    code, said = typed("import", "wavegan", str(prefix), f"out={tmp_path}/other")
    assert code == 2 and "holds no WaveGAN" in said
