"""The chapters: a line for each, in the order in which they are asked whether a folder without run.json is theirs."""

from __future__ import annotations

from invertone.cluster.config.registry import Entry, Registry

_HERE = "invertone.eval.report.chapters"
CHAPTERS = Registry(
    Entry("shards", "", f"{_HERE}.material:SHARDS"),
    Entry("eval", "", f"{_HERE}.evaluation:CHAPTER"),
    Entry("tune", "", f"{_HERE}.tuning:CHAPTER"),
    Entry("train", "", f"{_HERE}.training:CHAPTER"),
    Entry("infer", "", f"{_HERE}.inference:CHAPTER"),
    Entry("generate", "", f"{_HERE}.material:GENERATED"),
)
"""Each implementation is a `eval.report.chapter.Chapter`."""
