"""What a table says of the classifier that it was made with, and of a paper's figures that another one made."""

from __future__ import annotations

import dataclasses

from invertone.eval.measures.columns import PUBLISHED
from invertone.eval.schemas.measures import CLIP, PICTURE
from invertone.eval.schemas.shared import JudgedConfig
from invertone.eval.table import Table, literal
from invertone.models.checkpoint import folder_of
from invertone.models.judges import PAPER_JUDGES, described, is_judge

HEARD = (
    "accuracy",
    "inception_score",
    "inception_spread",
    "frechet_logits",
    "frechet_penultimate",
    "feature_distance",
    "cosine_distance",
)
"""Measures that rest on a classifier."""
UNHEARD = {
    CLIP: "Heard by no classifier: accuracy and all else that rests on one are left out (classifier=).",
    PICTURE: "Seen by no recogniser: all that rests on one is left out (classifier=).",
}
MARK = "†"


def with_judge(table: Table, config: JudgedConfig, classifier: str | None, signal: str = CLIP) -> Table:
    """The table, saying which classifier heard its clips or saw its pictures (`signal`), or that none did where `config` does
    not leave out all that rests on one; a paper's columns that do are marked where the config says that theirs was another
    (`published_judge`)."""
    if not classifier:
        silent = config.columns and not set(config.columns) & set(HEARD)
        return table if silent else dataclasses.replace(table, notes=[UNHEARD[signal], *table.notes])
    manifest = folder_of(classifier, "classifier", "classifier")[1]
    judge = described(manifest)
    notes, columns = [f"{'Heard' if signal == CLIP else 'Seen'} by: {literal(judge)}."], list(table.columns)
    theirs = {f"{name}{PUBLISHED}" for name in HEARD}
    if config.published_judge and not is_judge(manifest, config.published_judge):
        columns = [
            dataclasses.replace(each, title=f"{each.title} {MARK}") if each.name in theirs else each for each in columns
        ]
        if columns != list(table.columns):
            paper = PAPER_JUDGES[config.published_judge].title
            notes.append(f"{MARK} measured by {paper}, not by this table's: another scale.")
    return dataclasses.replace(
        table, columns=columns, notes=[*notes, *table.notes], about={**table.about, "judge": judge}
    )
