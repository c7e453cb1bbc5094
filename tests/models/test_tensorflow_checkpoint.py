"""TensorFlow's checkpoints: read exactly, found however they are named, refused in one line whatever is wrong with them."""

from __future__ import annotations

import base64
import struct
import uuid
from pathlib import Path

import fsspec
import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.models.published import leveldb_table
from invertone.models.published.leveldb_table import LONGEST_KEY, DamagedError, entries, masked_crc32c, varint
from invertone.models.published.tensorflow_checkpoint import open_checkpoint
from tests.bundles import Array, block, crc32c, entry, field, header, index_of, masked, number, table, write_checkpoint

VARIABLES: dict[str, Array] = {
    "G/dense/bias": np.asarray([0.25, -0.5], np.float32),
    "G/dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "G/dense/kernel/Adam": np.zeros((2, 3), np.float32),
    "double": np.asarray([np.pi], np.float64),
    "empty": np.zeros((0, 4), np.float32),
    "global_step": np.asarray(103_005, np.int64),
    "small": np.asarray([[-1], [2**31 - 1]], np.int32),
}
# What TensorFlow 2.15.1's tf.compat.v1.train.Saver wrote of `G/layer/kernel` [[1.5, -2, 3], [4, 5, -6.25]] and step 7.
INDEX_BY_TENSORFLOW = (
    "000IE0U81b0RRpYM=xw)d1Z1hYh`k7Wo!rm5(p9k2m%rU2m>e>HSjYAlK=}1XKZg`VQgP>bY*Y|2@(Jx7$^ueyVsu)000000RR9106hcK7ytkO0"
    "0961006-9p|Ah}0%!nG000000RR910QpzVmsJR24gdfE000000000000000000000000000000000000000009X5fizIbN+W"
)
DATA_BY_TENSORFLOW = "006*00002M002Nh004kM005vs0079q2LJ#700000"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model.ckpt-7", VARIABLES)


def everything(uri: Path | str) -> dict[str, Array]:
    checkpoint = open_checkpoint(str(uri))
    return {name: checkpoint.read(name) for name in checkpoint.variables}


def equal(found: dict[str, Array], expected: dict[str, Array] = VARIABLES) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == each.dtype and found[name].shape == each.shape and np.array_equal(found[name], each)
        for name, each in expected.items()
    )


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_every_variable_reads_back_to_the_bit(shards: int, tmp_path: Path) -> None:
    assert equal(everything(write_checkpoint(tmp_path / "m", VARIABLES, shards)))


def test_what_tensorflow_wrote_reads_as_what_it_held(tmp_path: Path) -> None:
    (tmp_path / "tiny.ckpt-7.index").write_bytes(base64.b85decode(INDEX_BY_TENSORFLOW))
    (tmp_path / "tiny.ckpt-7.data-00000-of-00001").write_bytes(base64.b85decode(DATA_BY_TENSORFLOW))
    found = everything(tmp_path)
    assert found["G/layer/kernel"].tolist() == [[1.5, -2, 3], [4, 5, -6.25]] and found["global_step"] == 7
    assert len(found) == 2


def test_the_writer_of_the_tests_writes_what_tensorflow_wrote(tmp_path: Path) -> None:
    """Else writer and reader could share a misunderstanding. Blocks are as large as TensorFlow makes them."""
    kernel = np.asarray([[1.5, -2, 3], [4, 5, -6.25]], np.float32)
    data = kernel.tobytes(), np.int64(7).tobytes()
    pairs = [
        (b"", header()),
        (b"G/layer/kernel", entry(1, (2, 3), 0, 0, 24, masked(data[0]))),
        (b"global_step", entry(9, (), 0, 24, 8, masked(data[1]))),
    ]
    # A table's index may name any key between one block's last and the next; TensorFlow's takes the shortest: "h".
    assert table([block(pairs, 16)], [b"h"]) == base64.b85decode(INDEX_BY_TENSORFLOW)
    assert b"".join(data) == base64.b85decode(DATA_BY_TENSORFLOW)


@given(st.binary(max_size=200))
def test_the_checksum_is_castagnoli_s(data: bytes) -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial, its usual check value
    assert google_crc32c.value(data) == crc32c(data)
    assert struct.pack("<I", masked_crc32c(data)) == masked(data)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_numbers_read_back(value: int, after: bytes) -> None:
    assert varint(number(value) + after, 0) == (value, len(number(value)))


def test_it_is_found_by_prefix_by_index_by_folder_and_by_the_folder_s_own_word(prefix: Path) -> None:
    for uri in (prefix, f"{prefix}.index", prefix.parent):
        assert equal(everything(uri))
    write_checkpoint(prefix.with_name("model.ckpt-9"), {"other": np.zeros(1, np.float32)})
    with pytest.raises(UserError, match=r"holds 2 checkpoints: model\.ckpt-7, model\.ckpt-9; give one of them"):
        open_checkpoint(str(prefix.parent))
    state = prefix.parent / "checkpoint"
    for named in ("model.ckpt-7", "/home/elsewhere/train/model.ckpt-7", r"C:\\train\\model.ckpt-7"):
        state.write_text(f'model_checkpoint_path: "{named}"\nall_model_checkpoint_paths: "model.ckpt-9"\n')
        assert equal(everything(prefix.parent))
    for text, said in (
        ('model_checkpoint_path: "model.ckpt-5"', r"checkpoint: names 'model\.ckpt-5', which is not here"),
        ("\xff\x00", "names no checkpoint"),
        ('model_checkpoint_path: "../"', "names no checkpoint"),
    ):
        state.write_text(text)
        with pytest.raises(UserError, match=said):
            open_checkpoint(str(prefix.parent))


def test_it_is_read_from_s3(prefix: Path, s3: str) -> None:
    place, served = f"{s3}/{uuid.uuid4().hex}", fsspec.filesystem("s3")
    for file in prefix.parent.iterdir():
        served.put_file(str(file), f"{place}/{file.name}")
    for uri in (f"{place}/model.ckpt-7", place):
        assert equal(everything(uri))
    assert open_checkpoint(place).digest() == open_checkpoint(str(prefix)).digest()
    served.rm_file(f"{place}/model.ckpt-7.data-00000-of-00001")
    with pytest.raises(UserError, match="data file is missing"):
        open_checkpoint(place)


def test_its_digest_is_that_of_its_content_wherever_it_lies(prefix: Path, tmp_path: Path) -> None:
    before = open_checkpoint(str(prefix)).digest()
    moved = write_checkpoint(tmp_path / "elsewhere/renamed", VARIABLES)
    assert open_checkpoint(str(moved)).digest() == before
    changed = write_checkpoint(tmp_path / "changed", {**VARIABLES, "double": np.asarray([3.0])})
    assert open_checkpoint(str(changed)).digest() != before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.ckpt-7.meta", r"model\.ckpt-7\.meta: holds a graph, not weights; give the checkpoint: model\.ckpt-7$"),
        ("lost.ckpt-1.data-00000-of-00001", "its .index file is missing"),
        ("lost.ckpt-1", "its .index file is missing"),
        ("old.ckpt", "format V1, which is not read here"),
        ("notes.txt", "no checkpoint of TensorFlow; give the part of the name before .index"),
        ("nowhere", "no checkpoint of TensorFlow here"),
        ("nowhere/at/all", "no checkpoint of TensorFlow here"),
        ("folder", "no checkpoint of TensorFlow in this folder"),
        ("model.ckpt-8.index", "no checkpoint of TensorFlow here"),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(name: str, said: str, prefix: Path) -> None:
    for extra in ("model.ckpt-7.meta", "lost.ckpt-1.data-00000-of-00001", "notes.txt", "folder/a.txt"):
        (prefix.parent / extra).parent.mkdir(exist_ok=True)
        (prefix.parent / extra).write_text("words")
    (prefix.parent / "old.ckpt").write_bytes(index_of([(b"", b"\x0a\x00"), (b"v", b"\x12\x00")]))
    with pytest.raises(UserError, match=said):
        open_checkpoint(str(prefix.parent / name))


def test_a_state_file_that_names_a_checkpoint_of_format_v1_is_understood(tmp_path: Path) -> None:
    (tmp_path / "old.ckpt").write_bytes(index_of([(b"", b"\x0a\x00")]))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/train/old.ckpt"\n')
    with pytest.raises(UserError, match="format V1"):
        open_checkpoint(str(tmp_path))


def test_damaged_and_missing_files_are_named(prefix: Path) -> None:
    data = Path(f"{prefix}.data-00000-of-00001")
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"data-00000-of-00001: .*cut short"):
        open_checkpoint(str(prefix))
    data.write_bytes(whole[:3] + bytes([whole[3] ^ 1]) + whole[4:])
    with pytest.raises(UserError, match=r"data-00000-of-00001: .*G/dense/bias differs from its checksum"):
        everything(prefix)
    data.unlink()
    with pytest.raises(UserError, match=r"data-00000-of-00001: data file is missing"):
        open_checkpoint(str(prefix))
    data.mkdir()
    with pytest.raises(UserError, match=r"data-00000-of-00001: data file is missing"):
        open_checkpoint(str(prefix))
    index = Path(f"{prefix}.index")
    for text, said in ((b"", "does not end as a table"), (b"words " * 20, "does not end as a table")):
        index.write_bytes(text)
        with pytest.raises(UserError, match=rf"index: not readable as a checkpoint of TensorFlow: {said}"):
            open_checkpoint(str(prefix))


def test_a_data_file_that_shrinks_after_it_was_opened_is_refused(prefix: Path) -> None:
    checkpoint = open_checkpoint(str(prefix))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(b"short")
    with pytest.raises(UserError, match="G/dense/bias ends beyond it"):
        checkpoint.read("G/dense/bias")


FLOAT = entry(1, (1,), 0, 0, 4, masked(b"\0\0\0\0"))


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(b"v", FLOAT)], "says nothing of its data files"),
        ([(b"", header(0)), (b"v", FLOAT)], "0 data files"),
        ([(b"", header(2**40)), (b"v", FLOAT)], "1,099,511,627,776 data files"),
        ([(b"", header(1, 1)), (b"v", FLOAT)], "big-endian"),
        ([(b"", header()), (b"v", entry(1, (1,), 1, 0, 4, b"abcd"))], "v lies outside its data files"),
        ([(b"", header()), (b"v", entry(1, (1,), 0, 2**63, 4, b"abcd"))], "v lies outside its data files"),
        ([(b"", header()), (b"v", entry(1, (1,), 0, 2**40, 4, b"abcd"))], "cut short"),
        ([(b"", header()), (b"v", entry(1, (1,) * 9, 0, 0, 4, b"abcd"))], "v has an impossible shape"),
        ([(b"", header()), (b"v", entry(1, (2**63 - 1,) * 2, 0, 0, 4, b"abcd"))], "v has an impossible shape"),
        ([(b"", header()), (b"v", entry(1, (0, 2**62), 0, 0, 0, masked(b"")))], "v has an impossible shape"),
        ([(b"", header()), (b"v", entry(1, (2,), 0, 0, 4, b"abcd"))], "v has 4 bytes, its shape needs 8"),
        ([(b"", header()), (b"v", entry(1, (1,), 0, 0, 4, b"abcd"))], "v differs from its checksum"),
        ([(b"", header()), (b"v", entry(19, (2,), 0, 0, 4, b"abcd"))], "v holds float16, not plain numbers"),
        ([(b"", header()), (b"v", entry(7, (1,), 0, 0, 4, b"abcd"))], "v holds string, not plain numbers"),
        ([(b"", header()), (b"v", entry(99, (1,), 0, 0, 4, b"abcd"))], "v holds type 99, not plain numbers"),
        ([(b"", header()), (b"v", b"")], "v holds no type, not plain numbers"),
        ([(b"", header()), (b"\0v", b"?"), (b"v", FLOAT + field(7, b""))], "v is cut into slices"),
        ([(b"", header()), (b"v", field(2, field(3, 1)))], "v has no known shape"),
        ([(b"", header()), (b"v", field(2, 4))], "a number stands where a message belongs"),
        ([(b"", header()), (b"v", field(2, field(2, 4)))], "a number stands where a message belongs"),
        ([(b"", header()), (b"v", b"\x0b")], "a field of unknown kind"),
        ([(b"", header()), (b"v", b"\x35abc")], "a field is cut short"),
        ([(b"", header()), (b"v", b"\x12\x05abcd")], "a field is cut short"),
        ([(b"", header()), (b"v", b"\x08\x80")], "a number is cut short"),
        ([(b"", header()), (b"v", b"\x08" + b"\xff" * 10 + b"\1")], "more than 64 bits"),
        ([(b"", header()), (b"v", b"\x08" + b"\xff" * 9 + b"\2")], "more than 64 bits"),
        ([(b"", header()), (b"\xff", FLOAT)], "a variable's name is no text"),
        ([(b"", header()), (b"\x1b[2J", FLOAT)], "a variable's name is no text"),
        ([(b"", header()), (b"w", FLOAT), (b"v", FLOAT)], "keys are out of order"),
        ([(b"", header()), (b"v", FLOAT), (b"v", FLOAT)], "keys are out of order"),
        ([(b"", header()), (b"v" * (LONGEST_KEY + 1), FLOAT)], "a key has more than 1,024 bytes"),
    ],
)
def test_an_index_that_cannot_be_is_refused_in_words(
    pairs: list[tuple[bytes, bytes]], said: str, tmp_path: Path
) -> None:
    (tmp_path / "m.index").write_bytes(index_of(pairs))
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(4))
    with pytest.raises(UserError, match=said) as caught:
        everything(tmp_path / "m")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


PAIRS = [(b"", header()), (b"v", FLOAT)]


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (table([block(PAIRS)], [b"v"], compression=1), "a block is compressed \\(snappy\\), which is not read here"),
        (table([block(PAIRS)], [b"v"], compression=7), "a block is compressed \\(7\\), which is not read here"),
        (table([b"abc"], [b"v"]), "a block is cut short"),
        (table([b"\xff\xff\xff\xff"], [b"v"]), "more restart points than room"),
        (table([b"\1\1\0a" + struct.pack("<2I", 0, 1)], [b"v"]), "an entry reaches beyond its block"),
        (table([b"\0\2\0a" + struct.pack("<2I", 0, 1)], [b"v"]), "an entry reaches beyond its block"),
        (table([b"\0\1\x80" + struct.pack("<2I", 0, 1)], [b"v"]), "an entry reaches beyond its block"),
        (table([block(PAIRS)], [b"v"])[:-48] + bytes(40) + bytes.fromhex("57fb808b247547db"), "block"),
        (table([block(PAIRS)], [b"v"])[:-48] + b"\xff" * 40 + bytes.fromhex("57fb808b247547db"), "64 bits"),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_words(index: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "m.index").write_bytes(index)
    with pytest.raises(UserError, match=said):
        open_checkpoint(str(tmp_path / "m"))


def test_a_small_table_cannot_cost_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks named again and again, and keys by the million, out of a few bytes each."""
    inside = block([(bytes([each]), b"") for each in range(1, 9)])
    again = table([inside], [b"z"])
    place = number(0) + number(len(inside))
    top = block([(b"%06d" % each, place) for each in range(1_000)], 1)
    start = len(again) - 48
    data = again[:start] + top + b"\0" + masked(top + b"\0")
    data += (number(0) * 2 + number(start) + number(len(top))).ljust(40, b"\0") + again[-8:]
    with pytest.raises(DamagedError, match="blocks overlap"):
        list(entries(data))
    monkeypatch.setattr(leveldb_table, "MOST_KEYS", 50)
    many = block([(b"%08d" % each, b"") for each in range(51)], 1)
    with pytest.raises(DamagedError, match="more than 50 keys"):
        list(entries(table([many], [b"9"])))


def test_an_index_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "m.index").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(UserError, match="larger than 16 MB"):
        open_checkpoint(str(tmp_path / "m"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    prefix = write_checkpoint(tmp_path_factory.mktemp("whole") / "m", VARIABLES, shards=2)
    return prefix, {file.name: file.read_bytes() for file in prefix.parent.iterdir()}


def read_after(prefix: Path, files: dict[str, bytes]) -> dict[str, Array] | None:
    """What is read of these files, None where they are refused as they ought to be."""
    for name, data in files.items():
        (prefix.parent / name).write_bytes(data)
    try:
        return everything(prefix)
    except UserError as error:
        assert "\n" not in str(error)
        return None


@given(st.data())
def test_flipped_bytes_and_cut_files_are_refused_or_do_not_matter(
    whole: tuple[Path, dict[str, bytes]], data: st.DataObject
) -> None:
    prefix, files = whole
    name = data.draw(st.sampled_from(sorted(files)))
    damaged = bytearray(files[name])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    found = read_after(prefix, {**files, name: bytes(damaged[:cut])})
    assert found is None or equal(found)


@given(st.data())
def test_an_index_whose_checksums_hold_but_whose_content_lies_raises_nothing_but_a_refusal(
    whole: tuple[Path, dict[str, bytes]], data: st.DataObject
) -> None:
    """As one made by hand to break a reader: every length, offset and kind may be anything."""
    prefix, files = whole
    pairs = list(entries(files["m.index"]))
    contents = bytearray(block(pairs))
    for at in data.draw(st.lists(st.integers(0, len(contents) - 1), min_size=1, max_size=6)):
        contents[at] = data.draw(st.integers(0, 255))
    inserted = data.draw(st.binary(max_size=12))
    place = data.draw(st.integers(0, len(contents)))
    lying = table([bytes(contents[:place]) + inserted + bytes(contents[place:])], [b"z"])
    found = read_after(prefix, {**files, "m.index": lying})
    available = sum(len(each) for name, each in files.items() if name != "m.index")
    assert found is None or all(each.nbytes <= available for each in found.values())


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=40)), max_size=5))
def test_messages_of_any_bytes_raise_nothing_but_a_refusal(
    whole: tuple[Path, dict[str, bytes]], pairs: list[tuple[bytes, bytes]]
) -> None:
    prefix, files = whole
    unique = sorted({b"": header(2), **dict(pairs)}.items())
    read_after(prefix, {**files, "m.index": index_of(unique)})
