"""Tables as people keep them: whatever writes them, every value is read as the text that it is."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.ingest.corpora.columns import found_column, path_column
from invertone.ingest.corpora.tables import read_table

FMA = (
    ",album,album,set,set,track,track\r\n,id,title,split,subset,genre_top,title\r\ntrack_id,,,,,,\r\n"
    '2,1,"A, B",training,small,Hip-Hop,Food\r\n10,1,C,test,large,,"Two\r\nlines"\r\n'
)


def rows(name: str, data: bytes) -> list[list[str | None]]:
    """The columns' names and all rows; of one that is not read, why."""
    table = read_table(name, data)
    lines = table.lines(range(len(table.columns)))
    return [list(table.columns), *(each.values or [f"{each.number}: {each.wrong}"] for each in lines)]


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


TOO_MANY = "4: has 3 fields where the header has 2 (a delimiter that is not quoted?)"
PLAIN = [["file_name", "label"], ["a.wav", "007"], ["b.wav", "1,5"]]


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("m.csv", b'file_name,label\na.wav,007\nb.wav,"1,5"\n', PLAIN),
        ("m.csv", b'\xef\xbb\xbffile_name,label\r\na.wav,007\r\n\r\nb.wav,"1,5"\r\n', PLAIN),
        ("M.CSV", 'file_name,label\na.wav,007\nb.wav,"1,5"\n'.encode("utf-16"), PLAIN),
        ("m.csv", b"file_name;label\na.wav;007\nb.wav;1,5", PLAIN),
        ("m.csv", b"file_name|label\na.wav|007\nb.wav|1,5", PLAIN),
        ("m.csv", b"file_name\tlabel\na.wav\t007\nb.wav\t1,5\n", PLAIN),
        ("m.csv", b'file_name, label\r\na.wav, 007,,\r\nb.wav , "1,5"\r\n', PLAIN),
        ("m.tsv", b"file_name\tlabel\na.wav\t007\nb.wav\t1,5\n", PLAIN),
        ("m.tsv", b'x\ty\n"a"\t"say ""b"""\n"open\tz\n', [["x", "y"], ["a", 'say "b"'], ['"open', "z"]]),
        ("m.csv", b"x,y\na\n,b\nc,d,e\n", [["x", "y"], ["a", None], [None, "b"], [TOO_MANY]]),
        ("m.csv", "x\nStraße\n".encode("cp1252"), [["x"], ["Straße"]]),
        (
            "tracks.csv",
            FMA.encode(),
            [
                ["track_id", "album.id", "album.title", "set.split", "set.subset", "track.genre_top", "track.title"],
                ["2", "1", "A, B", "training", "small", "Hip-Hop", "Food"],
                ["10", "1", "C", "test", "large", None, "Two\r\nlines"],
            ],
        ),
        (",x.csv", b",file,label\n0,a,b\n", [["", "file", "label"], ["0", "a", "b"]]),
        (
            "m.jsonl",
            b'\xef\xbb\xbf{"file_name": "a", "who": {"id": 7}}\r\n\r\n{"file_name": "b", "ok": true}\n'
            b'not\n[1]\n{"file_name": [1]}\n',
            [
                ["file_name", "who.id", "ok"],
                ["a", "7", None],
                ["b", None, "true"],
                ["4: is no JSON object"],
                ["5: is no JSON object"],
                ["6: a list stands where one value should"],
            ],
        ),
        (
            "m.json",
            b'[{"f": "a", "n": 1.0}, {"f": "b", "n": null}, 3]',
            [["f", "n"], ["a", "1"], ["b", None], ["3: is no JSON object"]],
        ),
        (
            "m.parquet",
            parquet(f=["a", "b", None], n=[1.0, float("nan"), 2.5]),
            [["f", "n"], ["a", "1"], ["b", None], [None, "2.5"]],
        ),
    ],
)  # fmt: skip
def test_a_table_is_read_as_whoever_wrote_it_meant_it(name: str, data: bytes, found: list[list[str | None]]) -> None:
    assert rows(name, data) == found


def test_a_table_that_is_no_utf_8_is_said_to_be_none() -> None:
    assert "Windows-1252" in read_table("m.csv", "x\nStraße\n".encode("cp1252")).note
    assert read_table("m.csv", "x\nStraße\n".encode()).note == ""


@pytest.mark.parametrize(
    ("name", "data"),
    [("m.txt", b"x"), ("m.csv", b""), ("m.csv", b"\n\n"), ("m.jsonl", b""), ("m.jsonl", b"x\n"), ("m.json", b"{"),
     ("m.json", b'{"a": 1}'), ("m.parquet", b"PAR1"), ("m.parquet", b"")],
)  # fmt: skip
def test_what_is_no_table_is_a_user_error_that_names_it(name: str, data: bytes) -> None:
    with pytest.raises(UserError, match=name):
        rows(name, data)


CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\x85"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6), st.sampled_from([",", ";", "\t"]))
def test_what_pythons_writer_has_written_comes_back(written: list[tuple[str, str, str]], delimiter: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("one", "two", "three"), *written])
    found = rows("m.csv", file.getvalue().encode())[1:]
    assert found == [[each.strip() or None for each in row] for row in written if any(row)]


def test_columns_are_found_by_their_usual_names() -> None:
    columns = ["track_id", "album.id", "set.split", "set.subset", "track.genre_top"]
    assert path_column("", columns, "t") == 0
    assert found_column("label", "", columns, "t") == 4
    assert found_column("split", "", columns, "t") == 2
    assert found_column("speaker", "", columns, "t") is None
    assert found_column("label", "none", columns, "t") is None
    assert found_column("label", "subset", columns, "t") == 3
    assert path_column("", ["Label", "File Name"], "t") == 1
    assert found_column("label", "", ["filename", "fold", "target", "category"], "t") == 3


def test_a_column_that_is_not_there_is_answered_by_those_that_are() -> None:
    with pytest.raises(UserError) as caught:
        found_column("label", "catgory", ["filename", "category"], "meta.csv")
    told = str(caught.value)
    assert told == (
        "meta.csv: has no column 'catgory', but filename, category; "
        "give one of them as label_column; did you mean 'category'?"
    )
    with pytest.raises(UserError, match=r"m\.csv: none of its columns .*: a, b; name .* path_column="):
        path_column("", ["a", "b"], "m.csv")


def test_a_name_that_two_groups_of_columns_share_must_be_whole() -> None:
    columns = ["album.title", "track.title"]
    with pytest.raises(UserError, match=r"has no column 'title', but album\.title, track\.title"):
        found_column("label", "title", columns, "t")
    assert found_column("label", "track.title", columns, "t") == 1


def test_jsonl_with_a_field_that_only_a_late_line_has(tmp_path: Path) -> None:
    lines = [json.dumps({"file_name": f"{n}.wav"} | ({"late": n} if n == 2_000 else {})) for n in range(2_001)]
    found = rows("m.jsonl", "\n".join(lines).encode())
    assert found[0] == ["file_name", "late"] and found[-1] == ["2000.wav", "2000"]
