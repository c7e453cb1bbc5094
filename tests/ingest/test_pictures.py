"""Pictures as a source: all formats, damage, names, crops; the shards that come of them."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import tarfile
import threading
import uuid
import zipfile
import zlib
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import load_manifest, read_warnings
from invertone.cluster.formats.signals import PictureFormat
from invertone.cluster.storage.folder import Folder
from invertone.images.picture import Box, crop, encode, fit, resize
from invertone.images.reading import MOST_PIXELS, BadPictureError, decode, read_picture
from invertone.ingest import job, pictures
from invertone.ingest.corpora.keys import PictureConfig
from invertone.ingest.plan.entries import ShardWork
from tests.ingest.layouts import CONTAINERS, clips_of, configured, files_of, ingested, packed, rejects_of, splits_of
from tests.ingest.picture_layouts import file_of, portrait, put

SMALL = ("height=16", "width=16")


def warned(out: Path) -> dict[str, tuple[str, float]]:
    """By key: the warning and how much."""
    return {each.key: (each.warning, each.amount) for each in read_warnings(Folder.at(str(out)))}


def reasons(out: Path) -> dict[str, str]:
    """By the file's name."""
    return {each["source_uri"].rpartition("/")[2]: each["reason"] for each in rejects_of(out)}


def test_every_format_becomes_a_png_and_a_manifest_says_pictures(tmp_path: Path) -> None:
    seen = portrait(40, 60)
    forms = {"PNG": "png", "JPEG": "JPG", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "TIFF": "tif", "PPM": "ppm"}
    forms |= {"AVIF": "avif"} if features.check("avif") else {}
    for form, ending in forms.items():
        put(tmp_path / f"c/ann/{form}.{ending}", file_of(seen, form))
    clips = ingested("pictures", tmp_path / "c", tmp_path / "out", "height=32", "width=24", "split=within")
    manifest = load_manifest(Folder.at(str(tmp_path / "out")))
    assert manifest.format == PictureFormat(32, 24) and manifest.label_names == ("ann",) and manifest.rejects == 0
    said = json.loads((tmp_path / "out/manifest.json").read_bytes())
    assert said["signal"] == "picture" and "sample_rate" not in said
    assert {clip.info.key for clip in clips} == {f"ann/{form}" for form in forms}
    wanted = fit(seen, 32, 24)
    for clip in clips:
        info, found = clip.info, decode(clip.data)
        assert clip.format == "png" and found.shape == (32, 24, 3)
        assert (info.source_height, info.source_width, info.box) == (40, 60, (15, 0, 30, 40))
        assert (info.label, info.label_name, info.speaker) == (0, "ann", "ann")
        lossless = info.key.rpartition("/")[2] in ("PNG", "BMP", "TIFF", "PPM")
        assert np.abs(found.astype(int) - wanted).max() <= (0 if lossless else 24)


def test_what_went_wrong_for_others(tmp_path: Path) -> None:
    """EXIF's rotation and damaged EXIF, CMYK, 16 bits, palettes with transparency, animations, wrong endings."""
    seen, place = portrait(20, 20), tmp_path / "c/x"
    exif = Image.Exif()
    exif[0x0112] = 6
    put(place / "turned.jpg", file_of(portrait(20, 30), exif=exif, quality=100, subsampling=0))
    put(place / "exif.jpg", file_of(seen, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xee" * 9))
    put(place / "cmyk.jpg", file_of(Image.fromarray(seen).convert("CMYK")))
    deep = np.linspace(0, 65_535, 400).astype(np.uint16).reshape(20, 20)
    put(place / "deep.png", file_of(Image.fromarray(deep), "PNG"))
    palette = Image.fromarray(seen).quantize(8)
    put(place / "palette.png", file_of(palette, "PNG", transparency=0))
    put(place / "key.png", file_of(Image.fromarray(seen), "PNG", transparency=tuple(int(v) for v in seen[0, 0])))
    put(
        place / "moving.webp",
        file_of(seen, "WEBP", save_all=True, append_images=[Image.fromarray(portrait(20, 20, 1))]),
    )
    put(place / "webp.jpg", file_of(seen, "WEBP", lossless=True))
    put(place / "grey.jpg", file_of(Image.fromarray(seen).convert("L")))
    found = {each.info.key[2:]: each for each in ingested("pictures", tmp_path / "c", tmp_path / "out", *SMALL)}
    assert set(found) == {"turned", "exif", "cmyk", "deep", "palette", "key", "moving", "webp", "grey"}
    assert (found["turned"].info.source_height, found["turned"].info.source_width) == (30, 20)
    upright = fit(np.rot90(portrait(20, 30), -1), 16, 16)
    assert np.abs(decode(found["turned"].data).astype(int) - upright).max() < 12
    assert (decode(found["webp"].data) == fit(seen, 16, 16)).all()
    grey = decode(found["deep"].data)[..., 0]
    assert grey[0, 0] < 10 and grey[-1, -1] > 245 and (np.diff(grey.mean(1)) > 0).all()  # not clipped to white
    what = warned(tmp_path / "out")
    assert what["x/cmyk"][0] == "CMYK: converted without its profile"
    assert what["x/moving"] == ("frames of which the first is taken", 2.0)
    for each in ("x/palette", "x/key"):
        assert what[each][0] == "share of pixels that are transparent: laid on white" and 0 < what[each][1] < 1
    assert what.keys() - {"x/exif"} == {"x/cmyk", "x/moving", "x/palette", "x/key"}


def png_that_says(height: int, width: int) -> bytes:
    """A PNG of a few bytes whose header promises so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_damage_is_listed_with_its_reason_and_takes_nothing_else_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = file_of(portrait(), "JPEG")
    for number in range(3):
        put(tmp_path / f"c/a/{number}.png", file_of(portrait(seed=number), "PNG"))
    put(tmp_path / "c/a/cut.jpg", whole[: len(whole) // 2])
    put(tmp_path / "c/a/empty.jpg", b"")
    put(tmp_path / "c/a/page.jpg", b"<!DOCTYPE html><title>404 Not Found</title>")
    put(tmp_path / "c/a/bomb.png", png_that_says(60_000, 60_000))
    put(tmp_path / "c/a/no-pixels.png", png_that_says(80, 80))
    put(tmp_path / "c/a/notes.txt", b"notes")
    put(tmp_path / "c/a/sound.wav", b"RIFF")
    put(tmp_path / "c/a/long.png", file_of(portrait(), "PNG") + bytes(40_000))
    (tmp_path / "c/a/folder.jpg").mkdir()
    put(tmp_path / "c/a/._0.png", b"what macOS keeps beside a file")
    put(tmp_path / "c/.DS_Store", b"\0")
    put(tmp_path / "c/__MACOSX/a/._1.png", b"\0")
    monkeypatch.setattr(pictures, "MOST_BYTES", 30_000)
    clips = ingested("pictures", tmp_path / "c", tmp_path / "out", *SMALL)
    assert {clip.info.key for clip in clips} == {"a/0", "a/1", "a/2"}
    found = reasons(tmp_path / "out")
    assert found["empty.jpg"] == "empty file (0 bytes)"
    assert found["page.jpg"] == "not a picture of a format that is read"
    assert "more than" in found["bomb.png"] and "pixels in its header" in found["bomb.png"]
    assert "truncated" in found["cut.jpg"].lower() and found["no-pixels.png"]
    assert found["long.png"].startswith("too large: 4") and found["long.png"].endswith("bytes, more than 30,000")
    assert found["notes.txt"] == "wrong extension: .txt is no picture format known here"
    assert found["sound.wav"] == "wrong extension: .wav is no picture format known here"
    assert found["folder.jpg"] == "a folder, not a file"
    assert len(found) == 9
    said = capsys.readouterr().out
    assert "3 pictures (" in said and "9 inputs did not become pictures, listed" in said and "clips" not in said
    assert said.splitlines()[-1] == "of 3 pictures none had to be enlarged; files: 3 PNG"


@pytest.mark.parametrize("container", [*CONTAINERS, "nested"])
def test_a_tree_or_an_archive_gives_the_same_pictures(tmp_path: Path, container: str) -> None:
    """Names with spaces, dots, small and large letters, in any script."""
    root = tmp_path / "faces"
    for number, name in enumerate(
        ("Åsa Öberg/Bild 1.v2.PNG", "Åsa Öberg/bild.Jpeg", "李/写真.webp", "b.c/x.png", "b.c/.y.png")
    ):
        form = {"g": "PNG", "p": "WEBP"}.get(name.lower()[-1], "PNG") if not name.endswith("Jpeg") else "JPEG"
        put(root / name, file_of(portrait(seed=number), form))
    plain = ingested("pictures", root, tmp_path / "plain", *SMALL, "split=within")
    assert len(plain) == 5 and {each.info.label_name for each in plain} == {"Åsa Öberg", "李", "b.c"}
    assert sorted(each.info.label for each in plain if each.info.label is not None) == [0, 0, 1, 1, 2]
    source = packed(root, ".zip" if container == "nested" else container)
    if container == "nested":
        source = put(tmp_path / "n/part.zip", source.read_bytes()).parent
        put(tmp_path / "n/deep/other.zip", b"PK")
    found = ingested("pictures", source, tmp_path / "out", *SMALL, "split=within")
    pixels = {each.info.key.removeprefix("faces/"): decode(each.data).tobytes() for each in found}
    assert pixels == {each.info.key: decode(each.data).tobytes() for each in plain}
    if container == "nested":
        assert reasons(tmp_path / "out")["other.zip"].startswith("an archive in a folder of the source")


def test_two_files_of_one_name_in_a_zip_and_two_with_one_key(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "c.zip", "w") as zipped:
        for seed in (1, 2):
            zipped.writestr("a/1.png", file_of(portrait(seed=seed), "PNG"))
        zipped.writestr("a/2.png", b"damaged")
        zipped.writestr("a/2.jpg", file_of(portrait(seed=3)))
        zipped.writestr("__MACOSX/a/._1.png", b"fork")
    clips = {each.info.key: each for each in ingested("pictures", tmp_path / "c.zip", tmp_path / "out", *SMALL)}
    assert clips.keys() == {"a/1", "a/2"}
    assert (decode(clips["a/1"].data) == fit(portrait(seed=2), 16, 16)).all()  # as unzip would leave it
    assert sorted(each["reason"].partition(":")[0] for each in rejects_of(tmp_path / "out")) in (
        ["not a picture of a format that is read", "overwritten"],
        ["duplicate key", "overwritten"],
    )


def test_what_is_too_small_is_enlarged_and_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "c/a/small.png", file_of(portrait(8, 12), "PNG"))
    put(tmp_path / "c/a/exact.png", file_of(portrait(16, 16), "PNG"))
    source, out = tmp_path / "c", tmp_path / "out"
    lines = job.plan(configured("pictures", source, out, *SMALL))
    assert "50 % as they are, 50 % enlarged" in lines[-2] + lines[-1]
    clips = {each.info.key: each for each in ingested("pictures", source, out, *SMALL)}
    assert warned(out) == {"a/small": (pictures.ENLARGED, 2.0)}
    assert clips["a/small"].info.box == (2, 0, 8, 8) and decode(clips["a/small"].data).shape == (16, 16, 3)
    assert capsys.readouterr().out.splitlines()[-1].startswith("of 2 pictures 1 were smaller than 16 × 16 pixels")


def test_a_dry_run_says_what_lies_there_and_what_becomes_of_it(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"c/a/{number}.jpg", file_of(portrait(218, 178, number)))
    put(tmp_path / "c/a/cut.png", b"nothing")
    lines = job.plan(configured("pictures", tmp_path / "c", tmp_path / "out"))
    assert lines[0].startswith("would read: 4 pictures (")
    assert lines[1] == "would list: 0 files that are no pictures; 0 are none of this config's"
    assert lines[3] == "by their headers (all): JPEG; RGB; 218 × 178"
    assert lines[4].startswith(
        "as pictures of 64 × 64 pixels: 100 % reduced; the centre crop leaves out 18 % of the area; half"
    )
    assert lines[4].endswith("height=128 width=128 would keep more")
    assert lines[5] == "1 of 4 headers cannot be read: not a picture of a format that is read"
    assert not (tmp_path / "out").exists()
    whole = job.plan(configured("pictures", tmp_path / "c", tmp_path / "out", "crop=none"))
    assert "100 % stretched" in whole[4]


def test_crops(tmp_path: Path) -> None:
    seen = portrait(60, 100)
    put(tmp_path / "c/a/1.png", file_of(seen, "PNG"))
    parts = {
        "crop=none": Box(0, 0, 100, 60),
        "crop=centre": Box(20, 0, 60, 60),
        "share=0.5": Box(35, 15, 30, 30),
    }
    for number, (word, box) in enumerate(parts.items()):
        (clip,) = ingested("pictures", tmp_path / "c", tmp_path / f"{number}", *SMALL, word)
        assert clip.info.box == (box.left, box.top, box.width, box.height)
        assert (decode(clip.data) == resize(crop(seen, box), 16, 16)).all()


def test_boxes_of_a_table(tmp_path: Path) -> None:
    seen = portrait(60, 100)
    for name in ("1.png", "2.png", "3.png", "none.png"):
        put(tmp_path / f"c/a/{name}", file_of(seen, "PNG"))
    rows = (
        "image_id;left;top;width;height",
        "a/1.png;10;20;20;30",
        "2.png;5;5;0;9",
        "3.png;90;50;40;40",
        "x.png;1;1;2;2",
        "",
    )
    put(tmp_path / "c/boxes.csv", "\r\n".join(rows).encode("utf-8-sig"))
    words = ("pictures", tmp_path / "c", tmp_path / "out", *SMALL, "crop=box", "boxes=boxes.csv", "margin=0.1")
    (clip,) = ingested(*words)
    # 20 × 30, a tenth more at each side (8, 17, 24 × 36), then as wide as high
    assert clip.info.box == (2, 17, 36, 36)
    assert (decode(clip.data) == resize(crop(seen, Box(2, 17, 36, 36)), 16, 16)).all()
    found = reasons(tmp_path / "out")
    assert found["none.png"] == "no box: no row of boxes.csv names it"
    assert found["x.png"].startswith("described, but not there") and found["2.png"] == "box of 0 × 9 pixels"
    assert found["3.png"].startswith("box lies outside the picture") and len(found) == 4
    shares = put(tmp_path / "shares.jsonl", b'{"image": "1.png", "x1": 0.1, "y1": 0.5, "x2": 0.4, "y2": 1.0}\n')
    words = ("pictures", tmp_path / "c", tmp_path / "2", *SMALL, "crop=box", f"boxes={shares}")
    assert [each.info.box for each in ingested(*words)] == [(10, 30, 30, 30)]
    with pytest.raises(UserError, match="no columns of boxes among a, image"):
        put(tmp_path / "bad.csv", b"a,image\n1,1.png\n")
        ingested("pictures", tmp_path / "c", tmp_path / "3", "crop=box", f"boxes={tmp_path}/bad.csv")


@given(
    st.tuples(*[st.floats(-50, 150)] * 2, *[st.floats(0.6, 200)] * 2),
    st.floats(-0.4, 2),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_a_box_keeps_its_middle_and_gets_the_shape_that_is_asked_for(
    box: tuple[float, float, float, float], margin: float, shape: tuple[int, int]
) -> None:
    config = PictureConfig(height=shape[0], width=shape[1], crop="box", margin=margin)
    found = pictures.boxed(*box, config)
    left, top, width, height = box
    grown = 1 + 2 * margin
    assert found.width >= width * grown - 2 and found.height >= height * grown - 2
    assert abs(found.left + found.width / 2 - (left + width / 2)) <= 2
    assert abs(found.top + found.height / 2 - (top + height / 2)) <= 2
    assert abs(found.width * shape[0] - found.height * shape[1]) <= shape[0] + shape[1]


def test_split_rules_keep_people_apart_or_together(tmp_path: Path) -> None:
    for person in range(12):
        for number in range(8):
            put(
                tmp_path / f"c/p{person}/{number}.png",
                file_of(np.full((4, 4, 3), 8 * person + number, np.uint8), "PNG"),
            )
    words = ("height=4", "width=4")
    splits: dict[str, dict[str, set[str]]] = {}
    for rule in ("official", "hash", "within"):
        found = splits[rule] = {}
        for each in ingested("pictures", tmp_path / "c", tmp_path / rule, *words, f"split={rule}"):
            found.setdefault(each.info.speaker or "", set()).add(each.info.split)
    assert all(len(each) == 1 for each in splits["hash"].values())
    assert len({next(iter(each)) for each in splits["hash"].values()}) > 1
    assert sum(len(each) > 1 for each in splits["within"].values()) > 8 and splits["official"] == splits["within"]


def test_tables_give_labels_identities_splits_and_numbers(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path / f"c/img/{number}.png", file_of(portrait(seed=number), "PNG"))
    rows = [
        {"image": "img/0.png", "identity": "ann", "split": "train", "age": 31.5, "smiles": True, "note": "x"},
        {"image": "img/1.png", "identity": "bob", "split": "test", "age": 40.0, "smiles": False, "note": "y"},
        {"image": "img/2.png", "identity": "ann", "split": "test", "age": None, "smiles": True, "note": "z"},
        {"image": "img/9.png", "identity": "eve", "split": "test", "age": 1.0, "smiles": True, "note": ""},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c/faces.parquet")
    words = ("pictures", tmp_path / "c", tmp_path / "out", *SMALL, "labels=[faces.parquet]", "attribute_columns=[all]")
    found = {each.info.key: each.info for each in ingested(*words)}
    assert {key: (each.label_name, each.speaker, each.split) for key, each in found.items()} == {
        "img/0": ("ann", "ann", "train"),
        "img/1": ("bob", "bob", "test"),
        "img/2": ("ann", "ann", "test"),
    }
    assert [each.attributes for _, each in sorted(found.items())] == [
        {"age": 31.5, "smiles": 1.0},
        {"age": 40.0, "smiles": 0.0},
        {"smiles": 1.0},
    ]
    assert len(reasons(tmp_path / "out")) == 2  # a row without a file, a file without a row
    words = ("pictures", tmp_path / "c", tmp_path / "no", "labels=[faces.parquet]", "attribute_columns=[agge]")
    with pytest.raises(UserError, match="no column 'agge'"):
        ingested(*words)


def test_a_pattern_gives_identity_and_gender(tmp_path: Path) -> None:
    for name in ("003f_03", "095m_08"):
        put(tmp_path / f"c/{name}.png", file_of(portrait(), "PNG"))
    pattern = r"pattern='(?P<identity>[0-9]+)(?P<gender>[fm])'"
    words = ("pictures", tmp_path / "c", tmp_path / "out", *SMALL, "label_from=none", pattern.replace("'", ""))
    found = {each.info.speaker: (each.info.gender, each.info.label) for each in ingested(*words)}
    assert found == {"003": ("F", None), "095": ("M", None)}


def test_shards_of_others(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for split, labels in (("train", "01"), ("valid", "1")):
        with tarfile.open(tmp_path / f"c/{split}-0.tar", "w") as tar:
            for number, label in enumerate(labels):
                files = {
                    "jpg": file_of(portrait(seed=number + 10 * (split == "valid"))),
                    "cls": label.encode(),
                    "json": b'{"person_id": "p%d"}' % number,
                }
                for ending, data in files.items():
                    info = tarfile.TarInfo(f"{number:04d}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    clips = ingested("webdataset-pictures", tmp_path / "c", tmp_path / "out", *SMALL)
    assert sorted((each.info.key, each.info.split, each.info.label_name, each.info.speaker) for each in clips) == [
        ("train-0/0000", "train", "0", "p0"),
        ("train-0/0001", "train", "1", "p1"),
        ("valid-0/0000", "validation", "1", "p0"),
    ]


def test_a_job_that_was_stopped_goes_on_and_threads_make_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        put(tmp_path / f"c/a/{number}.png", file_of(portrait(seed=number), "PNG"))
    put(tmp_path / "c/a/bad.png", b"bad")
    words = ("pictures", tmp_path / "c", tmp_path / "out", *SMALL, "clips_per_shard=3")
    ingested("pictures", tmp_path / "c", tmp_path / "whole", *words[3:])
    real, done = job.ShardStage._shard, list[str]()

    def stop_at_the_third(self: job.ShardStage, work: ShardWork, *rest: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(work.name)
        return real(self, work, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(job.ShardStage, "_shard", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ingested(*words)
    begun = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    assert len(begun) == 2 and not (tmp_path / "out/manifest.json").exists()
    monkeypatch.setattr(job.ShardStage, "_shard", real)
    assert len(ingested(*words)) == 12
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in begun} == begun


def test_from_s3_and_back(in_process: None, tmp_path: Path, s3: str) -> None:
    fs, place = fsspec.filesystem("s3"), f"{s3}/{uuid.uuid4().hex}"
    for number in range(3):
        data = file_of(portrait(seed=number), "PNG")
        put(tmp_path / f"c/a/{number}.png", data)
        fs.pipe_file(f"{place}/c/a/{number}.png", data)
    fs.pipe_file(f"{place}/c/a/cut.png", b"cut")
    fs.pipe_file(f"{place}/c/.hidden.txt", b"")
    job.run("pictures", configured("pictures", f"{place}/c", f"{place}/out", *SMALL))
    here = ingested("pictures", tmp_path / "c", tmp_path / "out", *SMALL)
    assert {each.info.key: each.data for each in clips_of(f"{place}/out")} == {
        each.info.key: each.data for each in here
    }
    assert splits_of(here) == splits_of(clips_of(f"{place}/out"))


def test_room_is_for_so_many_pixels_or_for_one_picture_that_is_larger() -> None:
    room, order = pictures.Room(10), list[str]()
    with room.of(6):
        small = threading.Thread(target=lambda: _within(room, 4, order, "small"))
        large = threading.Thread(target=lambda: _within(room, 50, order, "large"))
        small.start()
        small.join(30)
        large.start()
        large.join(0.05)
        assert order == ["small"] and large.is_alive()
    large.join(30)
    assert order == ["small", "large"]


def _within(room: pictures.Room, pixels: int, order: list[str], name: str) -> None:
    with room.of(pixels):
        order.append(name)


def test_what_is_decoded_fits_into_the_room() -> None:
    assert pictures.Pictures(PictureConfig()).room._pixels == MOST_PIXELS
    with pytest.raises(BadPictureError, match="more than"):
        read_picture(png_that_says(MOST_PIXELS // 1_000, 1_001))


def test_an_entry_of_the_plan_keeps_everything(tmp_path: Path) -> None:
    """What a worker reads is what the reader said."""
    put(tmp_path / "c/a/1.png", file_of(portrait(), "PNG"))
    (clip,) = ingested("pictures", tmp_path / "c", tmp_path / "out", *SMALL)
    assert clip.info.attributes is None and clip.info.gender is None and clip.info.source_uri.endswith("/c/a/1.png")
    assert encode(decode(clip.data)) == clip.data
    assert dataclasses.replace(clip.info, key="b").key == "b"
