"""`invertone corpus faces`: files, table, splits; taken up where it was stopped; and the shards that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from invertone.cluster.errors import UserError
from invertone.images.picture import encode
from invertone.images.reading import decode
from invertone.ingest.corpora.entry import hash_split
from invertone.ingest.obtain import made_faces
from invertone.ingest.obtain.config import FacesConfig
from invertone.ingest.obtain.faces import make_face
from invertone.ingest.obtain.people import Person, Sitting, draw_person, draw_sitting, latent_names
from tests.ingest.layouts import ingested, rejects_of


def config(out: Path, **keys: Any) -> FacesConfig:
    return FacesConfig(**{"out": str(out), "people": 4, "pictures": 3, "size": 32, "workers": 1, "seed": 5} | keys)


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_any_number_of_processes_draws_the_same_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_faces.run(config(tmp_path / "a"))
    assert "12 pictures of 4 people (2 train, 1 validation, 1 test)" in capsys.readouterr().out
    made_faces.run(config(tmp_path / "b", workers=2, pictures=3))
    found = files(tmp_path / "a")
    assert len(found) == 12 + 2 and found == files(tmp_path / "b")
    for person, name in made_faces.people_of(config(tmp_path / "a")):
        seen = make_face(draw_person(5, person), draw_sitting(5, person, 2), 32)
        assert found[f"{name}/{name}_0002.png"] == encode(seen)


def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_faces.run(config(tmp_path / "whole"))
    real, count = made_faces.make_face, [0]

    def stopped(*words: Any) -> Any:
        count[0] += 1
        if count[0] == 6:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(made_faces, "make_face", stopped)
    with pytest.raises(KeyboardInterrupt):
        made_faces.run(config(tmp_path / "out"))
    monkeypatch.setattr(made_faces, "make_face", real)
    begun = sorted((tmp_path / "out").rglob("*.png"))
    assert len(begun) == 5 and not (tmp_path / "out" / made_faces.TABLE).exists()
    begun[0].write_bytes(b"")  # as a power cut may leave it
    times = {path: path.stat().st_mtime_ns for path in begun[1:]}
    assert made_faces.plan(config(tmp_path / "out"))[0].startswith("would draw 8 of 12 pictures of 4 people")
    made_faces.run(config(tmp_path / "out"))
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_another_corpus_is_not_mixed_in(tmp_path: Path) -> None:
    made_faces.run(config(tmp_path / "out", people=1, pictures=1))
    with pytest.raises(UserError, match="out holds a corpus of faces that differs in seed: 5 → 6"):
        made_faces.plan(config(tmp_path / "out", people=1, pictures=1, seed=6))
    (tmp_path / "x").mkdir()
    (tmp_path / "x/y").write_text("z")
    with pytest.raises(UserError, match="out is neither empty nor a corpus of faces"):
        made_faces.run(config(tmp_path / "x"))
    with pytest.raises(UserError, match="a corpus of faces is written to local disk only"):
        made_faces.run(FacesConfig(out="s3://bucket/x"))


@pytest.mark.parametrize(("people", "shares"), [(1, (1, 0, 0)), (3, (1, 1, 1)), (100, (80, 10, 10))])
def test_every_split_has_its_share_of_people_and_no_name_comes_twice(people: int, shares: tuple[int, int, int]) -> None:
    found = made_faces.people_of(FacesConfig(out="/x", people=people))
    names = [name for _, name in found]
    assert len(set(names)) == people and [draw_person(0, number).name for number, _ in found] == names
    splits = [hash_split(name) for name in names]
    assert tuple(splits.count(each) for each in ("train", "validation", "test")) == shares or people == 1


def test_shards_of_them_know_who_it_is_and_what_they_were_drawn_of(tmp_path: Path) -> None:
    made = config(tmp_path / "faces")
    made_faces.run(made)
    clips = ingested("made-faces", tmp_path / "faces", tmp_path / "out", "height=32", "width=32")
    assert rejects_of(tmp_path / "out") == [] and len(clips) == 12
    numbers = {name: number for number, name in made_faces.people_of(made)}
    for each in clips:
        name, _, picture = each.info.key.partition("/")
        number = int(picture.rpartition("_")[2])
        person, sitting = draw_person(5, numbers[name]), draw_sitting(5, numbers[name], number)
        assert (each.info.label_name, each.info.speaker, each.info.split) == (name, name, hash_split(name))
        names, values = latent_names(Person) + latent_names(Sitting), person.latent() + sitting.latent()
        assert each.info.attributes == dict(zip(names, values, strict=True))
        assert (decode(each.data) == make_face(person, sitting, 32)).all()
    assert pq.read_schema(tmp_path / "faces" / made_faces.TABLE).names[:3] == ["file_name", "label", "split"]
    within = ingested("made-faces", tmp_path / "faces", tmp_path / "2", "height=32", "width=32", "split=within")
    assert len({each.info.split for each in within if each.info.speaker == clips[0].info.speaker}) > 0
