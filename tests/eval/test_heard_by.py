"""Tables say which classifier heard, and mark a paper's figures that another one made."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, publish
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.storage.folder import Folder
from invertone.eval.job import run
from invertone.eval.measures.heard_by import HEARD, UNHEARD, with_judge
from invertone.eval.report.chapters.evaluation import blocks_of
from invertone.eval.schemas.measures import MEASURES
from invertone.eval.schemas.shared import PUBLISHED_JUDGES, JudgedConfig
from invertone.eval.table import Column, Table
from invertone.models.checkpoint import describe, weights_bytes
from invertone.models.judges import PAPER_JUDGES
from invertone.models.networks.listening import ClipClassifier
from invertone.models.networks.resnet import ResNet18
from tests.eval.test_generation import config
from tests.eval.test_generation import place as place  # the same clips and models serve here
from tests.eval.test_reconstruction import table as reconstruction
from tests.made import LABELS, train_tiny

TABLE = Table(
    "T",
    [
        Column("row", "Row"),
        Column("inception_score", "IS", ".2f", "↑"),
        Column("inception_score_published", "paper", ".2f"),
        Column("ssim_published", "SSIM paper", ".4f"),
        Column("frechet_logits_published", "FD logits paper", ".3f"),
    ],
    [{"row": "a", "inception_score": 2.0, "inception_score_published": 7.28}],
    ["a note"],
    {"corpus": "c"},
)
HEARD_BY = "Heard by: ResNet-18, width 64, 64 x 64 mel bands, trained on unknown clips for 3 updates, not validated."


def published(place: Path, network: ClipClassifier) -> str:
    folder, networks = Folder.at(str(place)), {"classifier": network}
    bare = CheckpointManifest("classifier", describe(networks), 3, USUAL, "untouched", LABELS)
    publish(folder, bare, {WEIGHTS: weights_bytes(networks)})
    return folder.uri


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> str:
    front_end = {"mels": 64, "hop_length": 256}
    return published(tmp_path_factory.mktemp("judge"), ResNet18(3, 64, front_end))


def settings(judge: str) -> JudgedConfig:
    return JudgedConfig(table="generation", out="x", published_judge=judge)


def test_a_paper_s_figures_by_another_judge_are_marked_and_no_others(resnet: str) -> None:
    found = with_judge(TABLE, settings("wavegan-inception"), resnet)
    assert [each.title for each in found.columns] == ["Row", "IS", "paper †", "SSIM paper", "FD logits paper †"]
    assert list(found.notes) == [
        HEARD_BY,
        "† measured by the classifier of WaveGAN's authors, not by this table's: another scale.",
        "a note",
    ]
    assert found.about == {"corpus": "c", "judge": HEARD_BY.removeprefix("Heard by: ").removesuffix(".")}
    assert "| paper † |" in found.markdown() and [dict(row) for row in found.rows] == [dict(row) for row in TABLE.rows]


@pytest.mark.parametrize("judge", ["resnet18", ""])
def test_nothing_is_marked_where_the_judge_is_the_paper_s_or_unknown(judge: str, resnet: str) -> None:
    found = with_judge(TABLE, settings(judge), resnet)
    assert found.columns == TABLE.columns and list(found.notes) == [HEARD_BY, "a note"]


def test_nothing_is_marked_where_no_figure_rests_on_a_judge(resnet: str) -> None:
    plain = dataclasses.replace(TABLE, columns=[TABLE.columns[0], TABLE.columns[3]])
    found = with_judge(plain, settings("cnn-xxiv"), resnet)
    assert found.columns == plain.columns and list(found.notes) == [HEARD_BY, "a note"]


def test_without_a_classifier_it_is_said_that_none_heard_the_clips() -> None:
    """Unless nothing is asked for that rests on one."""
    found = with_judge(TABLE, settings("cnn-xxiv"), None)
    assert found == dataclasses.replace(TABLE, notes=[UNHEARD["clip"], *TABLE.notes])
    quiet = dataclasses.replace(settings("cnn-xxiv"), columns=["ssim", "psnr"])
    assert with_judge(TABLE, quiet, None) == TABLE


def test_the_choices_are_the_judges_that_are_known() -> None:
    assert set(PUBLISHED_JUDGES) == {"", *PAPER_JUDGES}
    assert set(HEARD) <= {each.name for each in MEASURES}


def written(out: Path) -> tuple[dict[str, Any], str]:
    return json.loads((out / "table.json").read_text()), (out / "table.md").read_text()


@pytest.mark.parametrize("network", ["cnn-debug", "cnn-simple-digits", "classifier-wavegan-debug"])
def test_any_classifier_judges_generated_clips(in_process: None, network: str, place: Folder, tmp_path: Path) -> None:
    """Every column that rests on a classifier is there, whichever it is, and the page shows the paper's marked."""
    judge = train_tiny(network, place / "real", Folder.at(str(tmp_path / "judge")), steps=2, checkpoint_every=2)
    out = tmp_path / "out"
    figures = {"published.made": "{inception_score: 7.28}", "published_judge": "wavegan-inception"}
    asked = {"classifier": judge.uri, "columns": "[]", **figures}
    run("generation", config("generation", place, out, **{"generated.made": (place / "few").uri, **asked}))
    table, markdown = written(out)
    made = table["rows"][0]
    for name in ("accuracy", "inception_score", "frechet_logits", "frechet_penultimate"):
        assert made[name] is not None, name
    assert table["about"]["judge"] in markdown and "† measured by the classifier of WaveGAN's authors" in markdown
    (shown, *_) = blocks_of(Folder.at(str(out)))
    assert [head.published for head in shown.heads if head.published] == ["paper †"]  # type: ignore[attr-defined]
    assert any("Heard by: " in note for note in shown.notes)  # type: ignore[attr-defined]


def test_the_classifier_table_names_its_classifier(in_process: None, place: Folder, tmp_path: Path) -> None:
    judge = (place / "cnn-0").uri
    reconstruction(tmp_path / "out", "classifier", shards=(place / "real").uri, classifier=judge)
    table, markdown = written(tmp_path / "out")
    assert table["about"]["judge"].startswith("CNN with batch norm, width 2, 64 x 64 mel bands, trained on made")
    assert "- Heard by: CNN with batch norm, width 2" in markdown
