"""Labels of two sets meet by name: corpora and classifiers number them as they please."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from invertone.cluster.formats.shards import Clip
from invertone.eval.table import literal

UNKNOWN = -1
MOST_NAMED = 8


def label_numbers(label_names: Sequence[str]) -> dict[str, int]:
    """A classifier's number of each label that it knows, by name."""
    return {name: number for number, name in enumerate(label_names)}


def wanted_labels(clips: Sequence[Clip], numbers: Mapping[str, int]) -> np.ndarray:
    """The classifier's number of each clip's label, int64 [b]; UNKNOWN for a clip without one that the classifier knows."""
    return np.array([numbers.get(clip.info.label_name or "", UNKNOWN) for clip in clips], dtype=np.int64)


def unshared_labels(corpus: Sequence[str], classifier: Sequence[str], signal: str = "clip") -> list[str]:
    """What a table says of labels that only clips or pictures (`signal`) or only their classifier have; nothing where the sets
    are the same."""
    if not corpus or set(corpus) == set(classifier):
        return []
    if not set(corpus) & set(classifier):
        return [
            f"Accuracy: none, for {signal}s and classifier have no label in common ({_named(corpus)}; {_named(classifier)})."
        ]
    notes = [f"Accuracy counts the {signal}s whose label the classifier knows by name."]
    unheard = [name for name in corpus if name not in classifier]
    if unheard:
        notes.append(f"It does not know {_named(unheard)}: such {signal}s count in every other column.")
    beyond = [name for name in classifier if name not in corpus]
    if beyond:
        notes.append(f"It also knows {_named(beyond)}, which no {signal} is.")
    return [" ".join(notes)]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(literal, names[:MOST_NAMED])) + more
