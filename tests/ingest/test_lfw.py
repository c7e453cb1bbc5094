"""LFW in its own layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from invertone.images.picture import Box, crop, resize
from invertone.images.reading import decode, read_picture
from invertone.ingest import job
from tests.ingest.layouts import configured, ingested, packed, rejects_of
from tests.ingest.picture_layouts import PEOPLE, lfw, put

SMALL = ("height=16", "width=16")


@pytest.mark.parametrize("container", ["folder", ".tar.gz"])
def test_people_are_labels_and_splits_are_its_authors(tmp_path: Path, container: str) -> None:
    root = lfw(tmp_path / "lfw")
    put(root / "Zhang_Ziyi/cover.jpg", b"")
    found = {each.info.key: each for each in ingested("lfw", packed(root, container), tmp_path / "out", *SMALL)}
    assert len(found) == 6
    people = sorted(PEOPLE)
    for key, each in found.items():
        name = key.partition("/")[0]
        assert (each.info.label, each.info.label_name, each.info.speaker) == (people.index(name), name, name)
        assert each.info.box == (50, 50, 150, 150)  # the config's share of 0.6
        wanted = {"Aaron_Eckhart": "train", "Zhang_Ziyi": "test"}.get(name)
        assert wanted in (None, each.info.split)
    whole = read_picture((root / "Aaron_Eckhart/Aaron_Eckhart_0002.jpg").read_bytes()).pixels
    cut = resize(crop(whole, Box(50, 50, 150, 150)), 16, 16)
    assert (decode(found["Aaron_Eckhart/Aaron_Eckhart_0002"].data) == cut).all()
    assert [each["reason"] for each in rejects_of(tmp_path / "out")] == ["not named NAME/NAME_0001.jpg"]
    notes = job.plan(configured("lfw", root, tmp_path / "dry", *SMALL))
    assert "1 people of the lists have no picture here: Nobody_Here" in notes
    assert "1 pictures of people whom no list names are split by hash" in notes


def test_people_of_few_pictures_are_left_out_and_splits_by_hash_are_of_people(tmp_path: Path) -> None:
    source = lfw(tmp_path / "lfw")
    kept = [each.info for each in ingested("lfw", source, tmp_path / "out", *SMALL, "fewest=2", "split=hash")]
    assert {each.label_name for each in kept} == {"Aaron_Eckhart", "Zhang_Ziyi"} and {each.label for each in kept} == {
        0,
        1,
    }
    assert all(len({each.split for each in kept if each.speaker == name}) == 1 for name in PEOPLE if PEOPLE[name] > 1)
    assert rejects_of(tmp_path / "out") == []
