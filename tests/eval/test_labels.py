"""Labels of two sets meet by name."""

from __future__ import annotations

import dataclasses

import pytest

from invertone.eval.measures.labels import UNKNOWN, label_numbers, unshared_labels, wanted_labels
from tests.made import made_clips

DIGITS, WORDS = ("zero", "one", "two"), ("bed", "two", "one", "cat")


def test_a_clip_s_label_is_the_classifier_s_number_of_its_name() -> None:
    clips = [
        dataclasses.replace(clip, info=dataclasses.replace(clip.info, label=number, label_name=name))
        for clip, (number, name) in zip(
            made_clips(4, "train"), [(0, "zero"), (1, "one"), (2, "two"), (None, None)], strict=True
        )
    ]
    assert wanted_labels(clips, label_numbers(WORDS)).tolist() == [UNKNOWN, 2, 1, UNKNOWN]


@pytest.mark.parametrize(
    ("corpus", "classifier", "said"),
    [
        (DIGITS, DIGITS[::-1], []),
        ((), DIGITS, []),
        (DIGITS, ("bed", "cat"), ["none, for clips and classifier have no label in common (zero, one, two; bed, cat)"]),
        (
            DIGITS,
            WORDS,
            ["It does not know zero: such clips count in every other column", "also knows bed, cat, which no"],
        ),
        (("a|b",), ("c",), ["(a\\|b; c)"]),
        (tuple("abcdefghij"), ("z",), ["a, b, c, d, e, f, g, h and 2 more"]),
    ],
)
def test_what_only_one_set_has_is_said(corpus: tuple[str, ...], classifier: tuple[str, ...], said: list[str]) -> None:
    told = " ".join(unshared_labels(corpus, classifier))
    assert bool(told) == bool(said) and all(each in told for each in said)
