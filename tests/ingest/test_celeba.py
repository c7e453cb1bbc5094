"""CelebA in its own layout and in that of its copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from invertone.cluster.errors import UserError
from invertone.images.picture import Box, crop, resize
from invertone.images.reading import decode, read_picture
from invertone.ingest import job
from tests.ingest.layouts import configured, ingested, packed, rejects_of
from tests.ingest.picture_layouts import ATTRIBUTES, celeba, file_of, portrait, put

SMALL = ("height=16", "width=16")


def reasons(out: Path) -> list[str]:
    return sorted(each["reason"] for each in rejects_of(out))


def test_lists_give_splits_identities_and_attributes(tmp_path: Path) -> None:
    source = celeba(tmp_path / "celeba")
    found = {each.info.key: each for each in ingested("celeba", source, tmp_path / "out", *SMALL)}
    assert sorted(found) == [f"{number:06d}" for number in range(1, 7)]
    splits = [found[f"{number:06d}"].info.split for number in range(1, 6)]
    assert splits == ["train", "validation", "test", "train", "validation"]
    for number in range(1, 7):
        info = found[f"{number:06d}"].info
        identity = "2880" if number % 2 else "17"
        assert (info.label, info.label_name, info.speaker) == (int(number % 2), identity, identity)
        assert info.gender == ("M" if number % 2 else "F")
        wanted = dict(zip(ATTRIBUTES, (float(not number % 2), float(number % 2), 0.0), strict=True))
        assert info.attributes == wanted and info.box == (25, 57, 128, 128)
    whole = read_picture((source / "img_align_celeba/000003.jpg").read_bytes()).pixels
    assert (decode(found["000003"].data) == resize(crop(whole, Box(25, 57, 128, 128)), 16, 16)).all()
    assert reasons(tmp_path / "out") == [
        "a row that is not read: row 7 says '7', which is none of 0, 1, 2",
        "a row that is not read: row 9 has 2 values of 1 or -1 where there are 3 attributes",
        "described by CelebA's lists, but not there",
    ]
    notes = job.plan(configured("celeba", source, tmp_path / "dry", *SMALL))
    assert "1 pictures have no row in the list of splits: split by hash" in notes
    assert any(
        each.startswith("labels by identity; lists that are there: attributes, identities, splits") for each in notes
    )


def test_packed_beside_its_lists_and_labelled_by_an_attribute(tmp_path: Path) -> None:
    source = celeba(tmp_path / "celeba")
    packed(source / "img_align_celeba", ".zip")
    for each in (source / "img_align_celeba").iterdir():
        each.unlink()
    found = {
        each.info.key: each.info for each in ingested("celeba", source, tmp_path / "out", *SMALL, "label_from=Male")
    }
    assert {key: (each.label, each.label_name) for key, each in found.items()} == {
        f"{number:06d}": (1, "Male") if number % 2 else (0, "not_Male") for number in range(1, 7)
    }


def test_pictures_in_the_wild_have_boxes_of_their_own(tmp_path: Path) -> None:
    source = celeba(tmp_path / "celeba")
    (source / "img_align_celeba").rename(source / "img_celeba")
    with pytest.raises(UserError, match="these are not aligned; give crop=box"):
        ingested("celeba", source, tmp_path / "aligned", *SMALL)
    found = {each.info.key: each for each in ingested("celeba", source, tmp_path / "out", *SMALL, "crop=box")}
    assert found["000002"].info.box == (12, 30, 100, 100) and len(found) == 5
    assert "no box: no row of list_bbox_celeba names it" in reasons(tmp_path / "out")


def test_copies_as_tables_have_no_identities(tmp_path: Path) -> None:
    """Kaggle's: a folder in a folder, and tables with commas."""
    for number in (1, 2):
        put(tmp_path / f"c/img_align_celeba/img_align_celeba/{number:06d}.jpg", file_of(portrait(218, 178, number)))
    put(tmp_path / "c/list_eval_partition.csv", b"image_id,partition\n000001.jpg,2\n000002.jpg,0\n")
    put(tmp_path / "c/list_attr_celeba.csv", b"image_id,Male,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n")
    found = {each.info.key: each.info for each in ingested("celeba", tmp_path / "c", tmp_path / "out", *SMALL)}
    assert {key: (each.split, each.label, each.attributes) for key, each in found.items()} == {
        "000001": ("test", None, {"Male": 0.0, "Smiling": 1.0}),
        "000002": ("train", None, {"Male": 1.0, "Smiling": 0.0}),
    }
    with pytest.raises(UserError, match=r"label_from=identity without identity_CelebA\.txt"):
        ingested("celeba", tmp_path / "c", tmp_path / "2", "label_from=identity")
    with pytest.raises(UserError, match=r"label_from=Smilling is none .* did you mean 'Smiling'"):
        ingested("celeba", tmp_path / "c", tmp_path / "3", "label_from=Smilling")


def test_splits_by_hash_keep_people_apart(tmp_path: Path) -> None:
    source = celeba(tmp_path / "celeba", pictures=12)
    found: dict[str | None, set[str]] = {}
    for each in ingested("celeba", source, tmp_path / "out", *SMALL, "split=hash"):
        found.setdefault(each.info.speaker, set()).add(each.info.split)
    assert found.keys() == {"17", "2880"} and all(len(each) == 1 for each in found.values())
    within = {each.info.split for each in ingested("celeba", source, tmp_path / "2", *SMALL, "split=within")}
    assert len(within) > 1
