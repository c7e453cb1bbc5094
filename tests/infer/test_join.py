"""Windows of recordings, inverted and joined: each recording is itself again, to the bit; what is missing is told."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import invertone
from invertone import command_line
from invertone.audio.clip import Samples, encode
from invertone.audio.windows import starts
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.formats.recordings import Recording
from invertone.cluster.formats.shards import MANIFEST, load_manifest, read_shard, write_shard
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.cluster.jobs.verify import verify
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder, sha256
from invertone.infer.join.config import JoinConfig
from invertone.infer.join.job import _inputs
from invertone.infer.join.sounds import SoundWriter, file_name
from invertone.infer.join.stage import JoinStage
from tests.identity import identity_run, latent
from tests.inside import inside
from tests.sounds import speechlike, write_sound

LENGTHS = (100, USUAL.samples, USUAL.samples + 1, 40_000, 70_000, 200_000)
"""Samples of the recordings, called by them."""


def planned(samples: int, hop: int = 5_000, **more: int) -> list[int]:
    """Where windows of a recording begin."""
    return starts(samples, "all", hop, 0, "", USUAL.samples, **more)


def ingest(source: Path, out: Path, corpus: str = "folder", **values: Any) -> Folder:
    given = {"window": "all", "clips_per_shard": 24, "split": "hash"} | values
    with inside():
        return Folder.at(invertone.run("ingest", corpus, source=str(source), out=str(out), **given))


def join(latents: Folder, out: Folder | Path, **values: Any) -> Folder:
    with inside():
        return Folder.at(
            invertone.run("join", "recordings", latents=latents.uri, out=str(getattr(out, "uri", out)), **values)
        )


def rows_of(run: Folder) -> dict[str, dict[str, Any]]:
    """Rows by the last part of the recording's key."""
    names = run.names("recordings")
    rows = [row for name in names for row in pq.read_table(run.path_of(f"recordings/{name}")).to_pylist()]
    found = {row["key"].rpartition("/")[2]: row for row in rows}
    assert len(found) == len(rows)
    return found


def missing_of(run: Folder) -> list[dict[str, Any]]:
    return pq.read_table(run.path_of("missing.parquet")).to_pylist()


def heard(run: Folder, row: dict[str, Any]) -> Samples:
    samples, rate = soundfile.read(run.path_of(row["sound"]), dtype="int16")
    assert rate == 16_000
    return samples


def original(row: dict[str, Any]) -> Samples:
    return soundfile.read(row["source_uri"], dtype="int16")[0]


def files_of(run: Folder) -> dict[str, bytes]:
    assert run.local is not None
    files = [path for path in run.local.rglob("*") if path.is_file() and "__invertone" not in path.parts]
    return {path.relative_to(run.local).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for length in LENGTHS:
        path = folder / f"six/{length}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, speechlike(length / 16_000, length), 16_000, "PCM_16")
    return folder


@pytest.fixture(scope="module")
def shards(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Windows that overlap by two thirds and a bit: the longest recording lies in two shards."""
    made = ingest(source, tmp_path_factory.mktemp("shards") / "out", hop=5_000)
    names = [entry.name for entry in load_manifest(made).shards]
    assert any("-0001.tar" in name for name in names) and len(names) > 3
    return made


@pytest.fixture(scope="module")
def run(shards: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return identity_run(shards, Folder.at(str(tmp_path_factory.mktemp("run") / "out")))


@pytest.mark.parametrize("values", [{}, {"fade": "linear", "format": "wav"}], ids=["squared", "linear"])
def test_every_recording_is_itself_again(run: Folder, tmp_path: Path, values: dict[str, str]) -> None:
    joined = join(run, tmp_path / "joined", sounds=True, **values)
    rows = rows_of(joined)
    assert sorted(map(int, rows)) == sorted(LENGTHS) and not missing_of(joined)
    for name, row in rows.items():
        assert row["start"] == planned(int(name)) and row["windows"] == len(row["start"])
        assert row["length"] == [min(USUAL.samples, int(name) - start) for start in row["start"]]
        assert row["latent"] == [latent(f"{row['key']}@{start:010d}", start) for start in row["start"]]
        assert (row["samples"], row["label_name"], row["status"], row["missing"]) == (int(name), "six", "ok", [])
        assert row["sound"] == f"sounds/{row['key']}.{values.get('format', 'flac')}"
        assert np.array_equal(heard(joined, row), original(row))
    assert {each.problem for each in verify(joined)} == {""}
    summary = joined.read_json("__invertone/summary.json")
    assert (summary["recordings"], summary["sounds"], summary["missing"]) == (len(LENGTHS), len(LENGTHS), 0)
    assert summary["seconds"] == pytest.approx(sum(LENGTHS) / 16_000)


STEREO = ClipFormat(44_100, 65_536, 2)


@pytest.mark.parametrize(("hop", "form"), [(20_000, "flac"), (None, "wav"), (100_000, "flac")])
def test_stereo_of_another_rate_and_length_is_itself_again(tmp_path: Path, hop: int | None, form: str) -> None:
    """Windows that overlap, that lie side by side (an ingest's own hop), and that have gaps between them."""
    for length in (100, STEREO.samples, 200_001):
        sides = [speechlike(length / STEREO.sample_rate, seed, STEREO.sample_rate)[:length] for seed in (1, 2)]
        path = tmp_path / f"source/six/{length}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack(sides, axis=1), STEREO.sample_rate, "PCM_16")
    given = {"sample_rate": STEREO.sample_rate, "clip_samples": STEREO.samples, "channels": 2}
    shards = ingest(tmp_path / "source", tmp_path / "shards", **given, **({"hop": hop} if hop else {}))
    assert load_manifest(shards).clips == STEREO
    run = identity_run(shards, Folder.at(str(tmp_path / "run")))
    joined = join(run, tmp_path / "joined", sounds=True, format=form)
    for name, row in rows_of(joined).items():
        assert row["start"] == starts(int(name), "all", hop or STEREO.samples, 0, "", STEREO.samples)
        assert row["length"] == [min(STEREO.samples, int(name) - start) for start in row["start"]]
        whole, wanted = original(row)[: row["samples"]], np.zeros((row["samples"], 2), np.int16)
        for start in row["start"]:
            wanted[start : start + STEREO.samples] = whole[start : start + STEREO.samples]
        samples, rate = soundfile.read(joined.path_of(row["sound"]), dtype="int16")
        assert rate == STEREO.sample_rate and np.array_equal(samples, wanted) and (whole[:, 0] != whole[:, 1]).any()
    (about,) = {
        pq.read_schema(joined.path_of(f"recordings/{name}")).metadata[b"invertone"]
        for name in joined.names("recordings")
    }
    said = json.loads(about)
    assert (said["sample_rate"], said["clip_samples"], said["channels"]) == (44_100, 65_536, 2)
    summary = joined.read_json("__invertone/summary.json")
    assert summary["seconds"] == pytest.approx(sum(row["samples"] for row in rows_of(joined).values()) / 44_100)


def test_a_reconstruction_of_other_channels_is_listed(tmp_path: Path) -> None:
    sides = [speechlike(2.0, seed, 44_100) for seed in (1, 2)]
    write_sound(tmp_path / "source/six/a.wav", np.stack(sides, axis=1), 44_100)
    shards = ingest(tmp_path / "source", tmp_path / "shards", sample_rate=44_100, clip_samples=65_536, channels=2)
    mono = encode(np.ones(65_536, np.int16), "wav", 44_100)
    run = identity_run(shards, Folder.at(str(tmp_path / "run")), sound=lambda clip: mono)
    joined = join(run, tmp_path / "joined", sounds=True)
    assert {row["reason"] for row in missing_of(joined)} == {"reconstruction has shape (65536,), not (65536, 2)"}
    (row,) = rows_of(joined).values()
    samples, _ = soundfile.read(joined.path_of(row["sound"]), dtype="int16")
    assert samples.shape == (88_200, 2) and not samples.any() and row["windows"] == 2


@pytest.mark.parametrize("hop", [USUAL.samples, 20_000])
def test_side_by_side_and_with_gaps_between_windows(source: Path, tmp_path: Path, hop: int) -> None:
    shards = ingest(source, tmp_path / "shards", hop=hop, shortest_window=4_000)
    joined = join(identity_run(shards, Folder.at(str(tmp_path / "run"))), tmp_path / "joined", sounds=True)
    for name, row in rows_of(joined).items():
        assert row["start"] == planned(int(name), hop, shortest=4_000)
        assert row["samples"] == min(int(name), row["start"][-1] + USUAL.samples)
        assert np.array_equal(heard(joined, row), covered(row))


def test_without_sounds_there_are_tables_alone(run: Folder, tmp_path: Path) -> None:
    joined = join(run, tmp_path / "joined")
    assert joined.folders() == ["__invertone", "recordings"] and joined.names() == ["missing.parquet"]
    assert {row["sound"] for row in rows_of(joined).values()} == {None}


def covered(row: dict[str, Any]) -> Samples:
    """The recording where windows of the row lie, and silence."""
    whole, found = original(row)[: row["samples"]], np.zeros(row["samples"], np.int16)
    for start in row["start"]:
        found[start : start + USUAL.samples] = whole[start : start + USUAL.samples]
    return found


def test_windows_that_are_missing_are_listed_and_leave_a_gap(shards: Folder, tmp_path: Path) -> None:
    entries = {entry.name.removesuffix(".tar"): entry for entry in load_manifest(shards).shards}
    second = next(name for name in entries if name.endswith("-0001"))  # amid the longest recording
    keys = [clip.info.key for entry in entries.values() for clip in read_shard(shards, entry)]
    alone = next(key for key in keys if "/100@" in key)  # the only one of its recording
    amid = [key for key in keys if "/70000@" in key and key.endswith(("20000", "25000", "30000", "35000"))]
    failed = {alone: "not finite", **dict.fromkeys(amid, "too faint")}
    made = identity_run(shards, Folder.at(str(tmp_path / "run")), failed=failed, given_up={second: "shard is damaged"})
    joined = join(made, tmp_path / "joined", sounds=True)
    lost = {clip.info.key: "failed: shard is damaged" for clip in read_shard(shards, entries[second])}
    assert len(amid) == 4 and len(lost) > 10
    missing = missing_of(joined)
    assert {row["key"]: row["reason"] for row in missing} == failed | lost and len(missing) == len(failed | lost)
    assert {row["lacks"] for row in missing} == {"latent"}
    assert all(f"{row['recording']}@{row['start']:010d}" == row["key"] for row in missing)
    for name, row in rows_of(joined).items():
        at_all = planned(int(name))
        assert row["missing"] == [at for at in at_all if f"{row['key']}@{at:010d}" in failed | lost]
        assert row["start"] == [at for at in at_all if at not in row["missing"]]
        assert [each[1] for each in row["latent"]] == row["start"] and row["samples"] == int(name)
        if row["start"]:
            assert np.array_equal(heard(joined, row), covered(row))
        else:
            assert (row["windows"], row["sound"], row["latent"]) == (0, None, [])
    row, gap = rows_of(joined)["70000"], slice(15_000 + USUAL.samples, 40_000)  # what no window before or after reaches
    assert not heard(joined, row)[gap].any() and original(row)[gap].any()


def test_a_shard_that_nobody_can_read_is_one_line(shards: Folder, tmp_path: Path) -> None:
    copy = Folder.at(str(shutil.copytree(str(shards.local), tmp_path / "shards")))
    second = next(entry for entry in load_manifest(copy).shards if "-0001" in entry.name)
    unit = second.name.removesuffix(".tar")
    made = identity_run(copy, Folder.at(str(tmp_path / "run")), given_up={unit: "shard is damaged"})
    copy.publish_bytes(second.name, b"nothing")
    joined = join(made, tmp_path / "joined", sounds=True)
    (row,) = missing_of(joined)
    assert (row["recording"], row["key"], row["start"]) == (None, None, None)
    wanted = f"{second.count} windows of {second.name}: failed: shard is damaged; of the shard: has 7 bytes"
    assert row["reason"].startswith(wanted)
    windows = sum(row["windows"] for row in rows_of(joined).values())
    assert windows == load_manifest(shards).count() - second.count


def test_a_reconstruction_that_cannot_be_decoded_is_silence_and_its_latent_stays(
    shards: Folder, tmp_path: Path
) -> None:
    bad = {"0000000000": b"fLaC and no more", "0000055000": encode(np.ones(7, np.int16), "flac", 16_000)}

    def sound(clip: Any) -> bytes:
        return bad.get(clip.info.key.rpartition("@")[2], clip.data) if "/70000@" in clip.info.key else clip.data

    joined = join(identity_run(shards, Folder.at(str(tmp_path / "run")), sound=sound), tmp_path / "joined", sounds=True)
    row = rows_of(joined)["70000"]
    assert row["start"] == planned(70_000) and row["missing"] == []
    wanted = original(row).copy()
    wanted[:5_000] = 0
    wanted[50_000 + USUAL.samples :] = 0
    assert np.array_equal(heard(joined, row), wanted)
    told = {row["start"]: (row["lacks"], row["reason"]) for row in missing_of(joined)}
    assert told.keys() == {0, 55_000} and {lacks for lacks, _ in told.values()} == {"sound"}
    assert told[0][1].startswith("reconstruction cannot be decoded: ")
    assert told[55_000][1] == "reconstruction has shape (7,), not (16384,)"


def test_a_rerun_adds_nothing_what_was_lost_is_made_again_and_workers_make_no_difference(
    run: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    joined = join(run, tmp_path / "joined", sounds=True)
    first = files_of(joined)
    assert len([name for name in first if name.startswith("sounds/")]) == len(LENGTHS)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "joined/sounds").rglob("*.flac")}
    join(run, joined, sounds=True)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    joined.remove(next(name for name in first if name.startswith("sounds/")))
    unit = sorted(Ledger(joined).done())[0]
    joined.remove(f"__invertone/ledger/commits/{unit}.json")
    join(run, joined, sounds=True)
    assert files_of(joined) == first
    out = tmp_path / "elsewhere"
    words = f"join recordings latents={run.uri} sounds=true workers=2 cpus_per_worker=1 out={out}"
    assert command_line.main(words.split()) == 0  # by worker processes
    assert files_of(Folder.at(str(out))) == first
    assert f"{len(LENGTHS)} sounds, {sum(LENGTHS) / 16_000:,.1f} s" in capsys.readouterr().out


def test_the_first_windows_of_the_plan_are_a_run_of_their_own(run: Folder, tmp_path: Path) -> None:
    joined = join(run, tmp_path / "joined", sounds=True, limit=3)
    rows = rows_of(joined).values()
    assert sum(row["windows"] for row in rows) == 3
    for row in rows:
        end = row["samples"]
        assert end == row["start"][-1] + row["length"][-1] and np.array_equal(heard(joined, row), original(row)[:end])


def test_a_dry_run_says_what_would_be_done(run: Folder, tmp_path: Path) -> None:
    count = sum(len(planned(length)) for length in LENGTHS)
    given = {"latents": run.uri, "out": str(tmp_path / "joined"), "sounds": True}
    first, last = invertone.plan("join", "recordings", **given)
    assert first.startswith(f"would join: {count} windows, of ") and last.endswith(
        ", and a FLAC file for each recording"
    )
    assert not (tmp_path / "joined").exists()


def test_what_cannot_be_joined_is_refused(shards: Folder, run: Folder, source: Path, tmp_path: Path) -> None:
    def refused(latents: Folder, **values: Any) -> str:
        with pytest.raises(UserError) as said:
            join(latents, tmp_path / "joined", **values)
        assert not (tmp_path / "joined").exists()
        return str(said.value)

    unit = load_manifest(shards).shards[0].name.removesuffix(".tar")
    count = len(load_manifest(shards).shards)
    half = identity_run(shards, Folder.at(str(tmp_path / "half")), undone=(unit,))
    assert f"only {count - 1} of {count} units are inferred; finish `invertone infer` first" in refused(half)
    mute = identity_run(shards, Folder.at(str(tmp_path / "mute")), rows="latents")
    assert "rows=latents hold no sound; infer again with rows=sounds" in refused(mute, sounds=True)
    other = ingest(source, tmp_path / "other", hop=9_000)
    assert "latents were made from other shards" in refused(run, shards=other.uri)
    assert "is no run of infer" in refused(other)
    assert "no run here" in refused(Folder.at(str(tmp_path / "nowhere")))


def test_shards_that_were_moved_are_named(shards: Folder, tmp_path: Path) -> None:
    copy = Folder.at(str(shutil.copytree(str(shards.local), tmp_path / "shards")))
    made = identity_run(copy, Folder.at(str(tmp_path / "run")))
    shutil.move(str(copy.local), tmp_path / "moved")
    with pytest.raises(UserError, match="no shards here"):
        join(made, tmp_path / "joined")
    assert len(rows_of(join(made, tmp_path / "joined", shards=str(tmp_path / "moved")))) == len(LENGTHS)


def test_a_recording_that_kills_its_worker_is_a_row_with_its_error(run: Folder, tmp_path: Path) -> None:
    config = JoinConfig(kind="recordings", latents=run.uri, out=str(tmp_path / "out"), sounds=True)
    made, folder = _inputs(config), Folder.at(config.out)
    unit = next(unit for unit in made.units if unit.items > 24)
    watch = Watch()
    process = JoinStage(folder, config, made.source).open(1, watch)
    key = next(key for key in _keys(run, unit.work) if key.endswith("/200000"))
    watch.start({key: "killed its worker"}, frozenset())
    result = process(unit.work)
    files = dict(result.files())
    assert not any("200000" in name for name in files) and result.failed == {key: "killed its worker"}
    (table,) = (content for name, content in files.items() if name.startswith("recordings/"))
    assert isinstance(table, bytes)
    (tmp_path / "table.parquet").write_bytes(table)
    row = next(row for row in pq.read_table(tmp_path / "table.parquet").to_pylist() if row["key"] == key)
    assert (row["status"], row["error"], row["windows"], row["sound"]) == ("error", "killed its worker", 0, None)
    assert row["samples"] == 200_000


def _keys(run: Folder, work: Any) -> Iterator[str]:
    for piece in work["pieces"]:
        table = pq.read_table(run.path_of(piece["part"]["name"]), columns=["key"])
        yield from (key.partition("@")[0] for key in table["key"].to_pylist())


def test_windows_out_of_order_fail_their_unit_alone(shards: Folder, tmp_path: Path) -> None:
    """As no ingest writes them: the shard's clips turned round."""
    copy = Folder.at(str(shutil.copytree(str(shards.local), tmp_path / "shards")))
    manifest = load_manifest(copy)
    turned = max(manifest.shards, key=lambda entry: entry.count)
    data = write_shard(reversed(list(read_shard(copy, turned))))
    copy.publish_bytes(turned.name, data)
    entries = [
        dataclasses.replace(each, bytes=len(data), sha256=sha256(data)) if each is turned else each
        for each in manifest.shards
    ]
    copy.publish_json(MANIFEST, dataclasses.replace(manifest, shards=tuple(entries)).to_json())
    made = identity_run(copy, Folder.at(str(tmp_path / "run")))
    with pytest.raises(JobIncompleteError, match="windows of one recording"):
        join(made, tmp_path / "joined")
    (failure,) = Ledger(Folder.at(str(tmp_path / "joined"))).failures()
    assert turned.name.startswith(failure.unit)
    units = _inputs(JoinConfig(kind="recordings", latents=made.uri, out=str(tmp_path / "unused"))).units
    assert Ledger(Folder.at(str(tmp_path / "joined"))).done() == {unit.name for unit in units} - {failure.unit}


def test_clips_that_are_no_windows_are_recordings_of_one(source: Path, tmp_path: Path) -> None:
    shards = ingest(source, tmp_path / "shards", window="random")
    joined = join(identity_run(shards, Folder.at(str(tmp_path / "run"))), tmp_path / "joined", sounds=True)
    for name, row in rows_of(joined).items():
        (start,) = row["start"]
        assert row["windows"] == 1 and row["samples"] == start + min(int(name), USUAL.samples)
        assert np.array_equal(heard(joined, row), original(row)[start : start + USUAL.samples])


def test_a_sound_of_any_length_takes_a_window_s_memory(tmp_path: Path) -> None:
    count = 1_500
    starting = np.arange(count, dtype=np.int64) * USUAL.samples
    recording = Recording(
        *("long", None, None, None, None, None),
        starts=starting,
        lengths=np.full(count, USUAL.samples, np.int32),
        latents=np.zeros((count, 1), np.float32),
    )
    data = encode(np.full(USUAL.samples, 5, np.int16), "wav", 16_000)
    config = JoinConfig(kind="recordings", latents="x", out="y", format="wav")
    writer = SoundWriter(Folder.at(str(tmp_path)), tmp_path, config, USUAL)
    windows = ((f"long@{start:010d}", start, data) for start in starting.tolist())
    tracemalloc.start()
    try:
        name, path = writer.written(recording, windows, [], lambda: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert name == "sounds/long.wav" and path.stat().st_size == 2 * count * USUAL.samples + 44
    assert peak < 4e6  # of 49 MB


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    recording = Recording(
        *("long", None, None, None, None, None),
        starts=np.array([0, 10], np.int64),
        lengths=np.full(2, 10, np.int32),
        latents=np.zeros((2, 1), np.float32),
    )
    config = JoinConfig(kind="recordings", latents="x", out="y")
    writer = SoundWriter(Folder.at(str(tmp_path)), tmp_path, config, ClipFormat(16_000, 10))

    def windows() -> Iterator[tuple[str, int, bytes]]:
        yield "long@0000000000", 0, encode(np.ones(10, np.int16), "wav", 16_000)
        raise OSError("storage is gone")

    with pytest.raises(OSError, match="storage is gone"):
        writer.written(recording, windows(), [], lambda: None)
    assert not list(tmp_path.rglob("*.flac*"))


def test_a_wav_that_a_wav_cannot_count_has_longer_counts(
    run: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invertone.infer.join.sounds.LARGEST_WAV", 100_000)
    joined = join(run, tmp_path / "joined", sounds=True, format="wav")
    for name, row in rows_of(joined).items():
        info = soundfile.info(joined.path_of(row["sound"]))
        assert (info.format, info.frames) == ("RF64" if int(name) > 50_000 else "WAV", int(name))
        assert np.array_equal(heard(joined, row), original(row))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("19/198/19-198-0000", "19/198/19-198-0000"),
        ("a%2Eb/c", "a%2Eb/c"),
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
        ("/etc/passwd", "%/etc/passwd"),
        (".hidden", "%2Ehidden"),
        ("a\0b//c", "a%00b/%/c"),
    ],
)
def test_no_key_leads_out_of_the_folder(key: str, name: str) -> None:
    assert file_name(key) == name


def test_a_key_too_long_for_a_file_s_name_is_cut_and_stays_its_own() -> None:
    one, other = file_name("%C3%BC" * 60 + "a"), file_name("%C3%BC" * 60 + "b")
    assert one != other and max(len(one.encode()), len(other.encode())) <= 200


def test_on_s3(shards: Folder, s3: str, tmp_path: Path) -> None:
    place = Folder.at(f"{s3}/{uuid.uuid4().hex}")
    made = identity_run(shards, place / "run")
    joined = join(made, place / "joined", sounds=True)
    here = files_of(join(identity_run(shards, Folder.at(str(tmp_path / "run"))), tmp_path / "joined", sounds=True))
    sounds = {name: data for name, data in here.items() if name.startswith("sounds/")}
    assert len(sounds) == len(LENGTHS)
    for name, data in sounds.items():
        assert joined.read_bytes(name) == data
    assert {each.problem for each in verify(joined)} == {""}


def test_a_whole_chapter_of_librispeech_is_itself_again(corpora: Path, tmp_path: Path) -> None:
    """Reader 19's, which is read utterance by utterance."""
    for path in [*(corpora / "LibriSpeech").glob("*.TXT"), *(corpora / "LibriSpeech").glob("*/19/*/*.flac")]:
        copy = tmp_path / "LibriSpeech" / path.relative_to(corpora / "LibriSpeech")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    shards = ingest(
        tmp_path / "LibriSpeech", tmp_path / "shards", "librispeech", hop=10_000, split="official", clips_per_shard=48
    )
    joined = join(identity_run(shards, Folder.at(str(tmp_path / "run"))), tmp_path / "joined", sounds=True)
    rows = rows_of(joined)
    assert len(rows) > 20 and {row["speaker"] for row in rows.values()} == {"19"}
    for row in rows.values():
        assert row["windows"] == len(planned(row["samples"], 10_000))
        assert np.array_equal(heard(joined, row), original(row))
