"""The ingest job on a real Ray session: repeatable to the byte, and unmoved by whatever an archive holds."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import struct
import tarfile
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile

from invertone.audio.clip import decode
from invertone.cluster.errors import JobIncompleteError, UserError
from invertone.cluster.formats.ledger import Ledger
from invertone.cluster.formats.shards import load_manifest, read_shard, read_warnings
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.jobs import bulk
from invertone.cluster.jobs.verify import verify
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.ingest import job
from invertone.ingest.plan import planning
from invertone.ingest.plan.entries import ShardWork
from tests.ingest import layouts
from tests.ingest.layouts import clips_of, configured, files_of, ingested, rejects_of
from tests.sounds import noise, speechlike, tone, write_sound


def test_a_rerun_is_byte_identical_here_elsewhere_and_without_ray(tmp_path: Path, ray_session: Capacity) -> None:
    source = layouts.speech_commands(tmp_path / "c")
    write_sound(source / "zero/cut_nohash_0.wav", tone(1.0)).write_bytes(b"RIFF")
    options = ("clips_per_shard=3", "window=random")
    job.run("sc09", configured("sc09", source, tmp_path / "ray", *options))
    first = files_of(tmp_path / "ray")
    assert len(first) == 3 + 5  # rejects, warnings, manifest; 7 train clips, 1 validation, 2 test in shards of 3
    job.run("sc09", configured("sc09", source, tmp_path / "ray", *options))
    assert files_of(tmp_path / "ray") == first
    ingested("sc09", source, tmp_path / "alone", *options)
    assert files_of(tmp_path / "alone") == first


def test_a_job_that_was_stopped_continues_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = layouts.speech_commands(tmp_path / "c")
    ingested("sc09", source, tmp_path / "whole", "clips_per_shard=2")
    real, done = job.ShardStage._shard, list[str]()

    def stop_at_the_third(self: job.ShardStage, work: ShardWork, *rest: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(work.name)
        return real(self, work, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(job.ShardStage, "_shard", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ingested("sc09", source, tmp_path / "out", "clips_per_shard=2")
    assert not (tmp_path / "out/manifest.json").exists()
    begun = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    assert len(begun) == 2
    monkeypatch.setattr(job.ShardStage, "_shard", real)
    ingested("sc09", source, tmp_path / "out", "clips_per_shard=2")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in begun} == begun


def replaced(path: Path) -> None:
    """By other content of the same size, at another time."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


def test_a_source_that_changed_is_not_mixed_into_an_old_run(tmp_path: Path) -> None:
    source = layouts.speech_commands(tmp_path / "c")
    ingested("sc09", source, tmp_path / "out")
    with pytest.raises(UserError, match=r"differs in .*seed: 0 → 1"):
        ingested("sc09", source, tmp_path / "out", "seed=1")
    write_sound(source / "zero/new_nohash_0.wav", tone(1.0))
    with pytest.raises(
        UserError, match="/c: files have come to the source, or left it, since the run in out began; give"
    ):
        ingested("sc09", source, tmp_path / "out")
    (source / "zero/new_nohash_0.wav").unlink()
    assert ingested("sc09", source, tmp_path / "out")
    one = sorted(source.glob("zero/*.wav"))[0]
    replaced(one)
    with pytest.raises(UserError, match=f"1 files of the source have changed or gone .* began: zero/{one.name}; give"):
        ingested("sc09", source, tmp_path / "out")
    one.unlink()
    with pytest.raises(UserError, match=f"1 files of the source have changed or gone .* began: zero/{one.name}; give"):
        ingested("sc09", source, tmp_path / "out")


@pytest.mark.parametrize("container", ["folder", ".tar.gz"])
def test_a_source_on_s3_that_changed_is_not_mixed_into_an_old_run(
    in_process: None, tmp_path: Path, s3: str, container: str
) -> None:
    local = layouts.speech_commands(tmp_path / "c")
    local = local if container == "folder" else layouts.packed(local, container)
    fs, source = fsspec.filesystem("s3"), f"{s3}/{uuid.uuid4().hex}/{local.name}"
    fs.put(str(local), source, recursive=True)
    words = ("sc09", source, tmp_path / "out")
    job.run("sc09", configured(*words))
    job.run("sc09", configured(*words))
    one = source if container != "folder" else sorted(f"s3://{each}" for each in fs.find(f"{source}/zero"))[0]
    fs.pipe_file(one, fs.cat_file(one)[::-1])
    with pytest.raises(
        UserError, match=f"1 files of the source have changed or gone since .*{one.rpartition('/')[2]}; give"
    ):
        job.run("sc09", configured(*words))


@pytest.mark.parametrize("container", ["folder", ".tar", ".zip"])
def test_what_is_replaced_during_a_job_does_not_get_into_its_run(
    in_process: None, tmp_path: Path, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = layouts.speech_commands(tmp_path / "c")
    if container != "folder":
        source = layouts.packed(source, container)
    changed = sorted(source.glob("zero/*.wav"))[0] if container == "folder" else source
    begin = bulk.run_units

    def late(*words: Any, **options: Any) -> Any:
        """Somebody writes into the source once the plan is made."""
        status = changed.stat()
        os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        return begin(*words, **options)

    monkeypatch.setattr(bulk, "run_units", late)
    with pytest.raises(JobIncompleteError, match="changed since this run began: what it held then and"):
        job.run("sc09", configured("sc09", source, tmp_path / "out", "clips_per_shard=4"))
    done = Ledger(Folder.at(str(tmp_path / "out"))).done()
    assert bool(done) == (container == "folder") and not (tmp_path / "out/manifest.json").exists()
    with pytest.raises(
        UserError, match=f"1 files of the source have changed or gone since .*{changed.name}; give another out"
    ):
        job.run("sc09", configured("sc09", source, tmp_path / "out", "clips_per_shard=4"))


@pytest.mark.parametrize("inside", ["", "shards", "zero/shards"])
def test_an_out_inside_the_source_is_refused(tmp_path: Path, inside: str) -> None:
    source = layouts.speech_commands(tmp_path / "c")
    with pytest.raises(UserError, match="out lies inside the source"):
        ingested("sc09", source, source / inside)
    assert not list(source.rglob("run.json"))


def test_an_out_beside_the_source_with_a_like_name_is_fine(tmp_path: Path) -> None:
    assert ingested("sc09", layouts.speech_commands(tmp_path / "c"), tmp_path / "c-shards")


def test_peak_levels_scale_the_stretch_and_leave_silence(tmp_path: Path) -> None:
    write_sound(tmp_path / "c/a/quiet.wav", 0.01 * speechlike(1.1))
    write_sound(tmp_path / "c/a/silent.wav", np.zeros(9_000))
    found = {c.info.key: decode(c.data) for c in ingested("folder", tmp_path / "c", tmp_path / "out", "levels=peak")}
    assert np.abs(found["a/quiet"].astype(int)).max() == 32_767
    assert not found["a/silent"].any()
    plain = {c.info.key: decode(c.data) for c in ingested("folder", tmp_path / "c", tmp_path / "plain")}
    assert 100 < np.abs(plain["a/quiet"].astype(int)).max() < 330


def test_a_clip_says_where_it_came_from(tmp_path: Path) -> None:
    write_sound(tmp_path / "c/a/one.wav", tone(0.5, rate=8_000), 8_000)
    (clip,) = ingested("folder", tmp_path / "c", tmp_path / "out", "format=wav")
    assert clip.info.to_json() | {"split": ""} == {
        "key": "a/one",
        "split": "",
        "source_uri": str(tmp_path / "c/a/one.wav"),
        "start": 0,
        "length": 8_000,
        "source_sample_rate": 8_000,
        "label": 0,
        "label_name": "a",
        "speaker": None,
        "gender": None,
        "pitch": None,
    }
    assert clip.format == "wav"
    assert len(decode(clip.data)) == USUAL.samples


def test_nothing_readable_is_a_user_error_that_points_to_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "c/a").mkdir(parents=True)
    (tmp_path / "c/a/x.wav").write_bytes(b"no sound")
    with pytest.raises(UserError, match=r"could be read; \d times: .*; see .*rejects\.parquet, then give another"):
        ingested("folder", tmp_path / "c", tmp_path / "out")
    assert rejects_of(tmp_path / "out")[0]["reason"] == "not audio (no known header)"


def sound_bytes(wave: np.ndarray, container: str = "WAV", subtype: str | None = None, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def wav_header(rate: int = 16_000, channels: int = 1, data: bytes = b"\0\0" * 500) -> bytes:
    fields = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fields + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


WAV = sound_bytes(tone(0.3))
NOISE = noise(1.0)
GOOD = {
    "good/plain.wav": WAV,
    "good/LOUD.WAV": sound_bytes(speechlike(0.4, 1)),
    "good/stereo.wav": sound_bytes(np.stack([NOISE, NOISE], 1), rate=44_100),
    "good/a.b.c.wav": sound_bytes(speechlike(0.4, 2)),
    "good/ünï cødé.flac": sound_bytes(speechlike(0.4, 3), "FLAC"),
    "good/vorbis.ogg": sound_bytes(speechlike(0.4, 4), "OGG", "VORBIS"),
    "good/float.wav": sound_bytes(speechlike(0.4, 5), "WAV", "FLOAT"),
    "good/flac.wav": sound_bytes(NOISE, "FLAC"),
    "twice/same.flac": sound_bytes(speechlike(0.4, 6), "FLAC"),
}
BAD = {
    "bad/empty.wav": (b"", "empty file (0 bytes)"),
    "bad/cut-pcm.wav": (WAV[:4_000], "truncated: header promises 9600 bytes of audio, 3956 are there"),
    "bad/cut.flac": (sound_bytes(NOISE, "FLAC")[:9_000], "not decodable"),
    "bad/cut-vorbis.ogg": (sound_bytes(NOISE, "OGG", "VORBIS")[:-50], "truncated: its last page is missing"),
    "bad/text.wav": (b"words, and not a few of them " * 9, "not audio (no known header)"),
    "bad/nan.wav": (sound_bytes(np.array([0, np.nan] * 99), "WAV", "FLOAT"), "holds NaN or infinite samples"),
    "bad/0-hertz.wav": (wav_header(rate=0), "sample rate of 0 Hz in its header"),
    "bad/0-channels.wav": (wav_header(channels=0), "0 channels in its header"),
    "bad/sound.doc": (WAV, "wrong extension: .doc is no audio format known here"),
    "bad/header-only.wav": (WAV[:44], "truncated: header promises 9600 bytes of audio, 0 are there"),
    "bad/no-samples.wav": (wav_header(data=b""), "no samples"),
    "bad/random.wav": (np.random.default_rng(0).integers(0, 128, 5_000, np.uint8).tobytes(), "not audio"),
    "bad/half-header.wav": (WAV[:30], "truncated inside its header"),
    "twice/same.wav": (WAV, "duplicate key: twice/same.flac has the same"),
}


def special(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "in-tar/good.wav"
    return info


def tar_of(*entries: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def damaged_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("in-zip/good.wav", "in-zip/crc.wav", "in-zip/secret.wav", "../climbs.wav"):
            archive.writestr(name, WAV)
    data = bytearray(buffer.getvalue())
    data[data.index(b"in-zip/crc.wav") + 500] ^= 0xFF
    at = data.rindex(b"in-zip/secret.wav") - 46
    data[at + 8 : at + 10] = struct.pack("<H", 1)
    return bytes(data)


def bad_archives() -> dict[str, tuple[bytes, dict[str, str], list[str]]]:
    """Archives by name: their bytes, the reason for each bad entry ("" for the archive itself), the good clips."""
    link = "not a regular file (link or device)"
    hostile = tar_of(
        ("in-tar/good.wav", WAV),
        ("in-tar/good.wav", sound_bytes(NOISE)),
        ("../climbs.wav", WAV),
        ("/absolute.wav", WAV),
        (special("in-tar/link.wav", tarfile.SYMTYPE), b""),
        (special("in-tar/device.wav", tarfile.CHRTYPE), b""),
    )
    names = [f"cut/{n}.wav" for n in range(6)]
    cut = tar_of(*((name, WAV) for name in names))[: 4 * (512 + 9_728) + 100]
    packed_names = [f"cut-gz/{n}.wav" for n in range(6)]
    packed = gzip.compress(tar_of(*((name, sound_bytes(noise(0.3, seed=n))) for n, name in enumerate(packed_names))))
    return {
        "hostile.tar": (
            hostile,
            {
                "in-tar/good.wav": "overwritten: a later entry of the archive has the same name",
                "../climbs.wav": "path climbs out of the archive",
                "/absolute.wav": "path climbs out of the archive",
                "in-tar/link.wav": link,
                "in-tar/device.wav": link,
            },
            ["in-tar/good"],
        ),
        "cut.tar": (cut, {"": "archive is cut short or damaged after 4 entries"}, [f"cut/{n}" for n in range(4)]),
        "cut.tar.gz": (
            packed[: len(packed) * 3 // 4],
            {"": "archive is cut short or damaged after 4 entries"},
            [f"cut-gz/{n}" for n in range(4)],
        ),
        "damaged.zip": (
            damaged_zip(),
            {
                "in-zip/crc.wav": "cannot be read: Bad CRC-32",
                "in-zip/secret.wav": "encrypted",
                "../climbs.wav": "path climbs out of the archive",
            },
            ["in-zip/good"],
        ),
        "none.zip": (b"no zip", {"": "not a readable zip archive"}, []),
        "none.tar.gz": (b"no gzip", {"": "not a readable tar archive"}, []),
    }


def bad_tree(root: Path) -> tuple[dict[str, str], set[str]]:
    """Writes everything that can be wrong; gives the expected reason by address and the keys of all good clips."""
    expected = {name: reason for name, (_, reason) in BAD.items()}
    keys = {"good/plain", "good/LOUD", "good/stereo", "good/float", "good/flac"}
    keys |= {"good/a%2Eb%2Ec", "good/%C3%BCn%C3%AF c%C3%B8d%C3%A9", "good/vorbis", "twice/same"}
    for name, data in {**GOOD, **{name: data for name, (data, _) in BAD.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    for archive, (data, reasons, good) in bad_archives().items():
        (root / archive).write_bytes(data)
        keys |= set(good)
        expected |= {f"{archive}!/{name}" if name else archive: reason for name, reason in reasons.items()}
    (root / "bad/dangling.wav").symlink_to("nowhere.wav")
    os.mkfifo(root / "bad/fifo.wav")
    (root / "bad/folder.wav").mkdir()
    (root / "bad/loop").symlink_to(root)
    (root / os.fsdecode(b"bad/latin-\xe9.wav")).write_bytes(WAV)
    return {
        **expected,
        "bad/dangling.wav": "dangling link",
        "bad/fifo.wav": "not a regular file",
        "bad/folder.wav": "a folder, not a file",
        "bad/loop": "link to a folder that is listed already",
        "bad/latin-\ufffd.wav": "file name is not printable UTF-8",
    }, keys


@pytest.mark.timeout(120)
def test_everything_bad_is_listed_with_its_reason_and_everything_good_is_there_once(
    tmp_path: Path, ray_session: Capacity, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "c"
    expected, keys = bad_tree(root)
    job.run("folder", configured("folder", root, tmp_path / "out", "clips_per_shard=6"))
    rejects = rejects_of(tmp_path / "out")
    found = {each["source_uri"].removeprefix(f"{root}/"): each["reason"] for each in rejects}
    assert len(rejects) == len(expected) > 30
    assert set(found) == set(expected)
    wrong = {name: (found[name], reason) for name, reason in expected.items() if not found[name].startswith(reason)}
    assert not wrong
    clips = clips_of(tmp_path / "out")
    assert {clip.info.key for clip in clips} == keys
    assert len(clips) == len(keys)
    printed = capsys.readouterr().out
    assert f"{len(expected)} inputs did not become clips" in printed
    assert "truncated" in printed

    first = files_of(tmp_path / "out")
    ingested("folder", root, tmp_path / "again", "clips_per_shard=6")
    assert files_of(tmp_path / "again") == first


@contextlib.contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Root may read everything: become somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65_534, 65_534)
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_one_may_not_read_are_listed(tmp_path: Path) -> None:
    ingested("fsdd", layouts.fsdd(tmp_path / "warm-up"), tmp_path / "warm-up-out")  # late imports happen here
    place = Path(tempfile.mkdtemp(prefix="invertone-"))  # pytest's own folder is closed to others
    try:
        root = place / "c"
        for name in ("a/open.wav", "a/closed.wav", "locked/inside.wav"):
            write_sound(root / name, tone(0.3))
        (root / "closed.tar").write_bytes(tar_of(("b/x.wav", WAV)))
        with as_nobody(place):
            for name in ("a/closed.wav", "closed.tar", "locked"):
                (root / name).chmod(0)
            clips = ingested("folder", root, place / "out")
            (root / "locked").chmod(0o700)
        assert [clip.info.key for clip in clips] == ["a/open"]
        found = {each["source_uri"].removeprefix(f"{root}/"): each["reason"] for each in rejects_of(place / "out")}
        assert found == {
            "a/closed.wav": "cannot be read: Permission denied",
            "closed.tar": "archive cannot be read: Permission denied",
            "locked": "folder cannot be listed: Permission denied",
        }
    finally:
        shutil.rmtree(place)


def test_source_and_out_may_lie_on_s3(tmp_path: Path, s3: str) -> None:
    folder = layouts.speech_commands(tmp_path / "c")
    here = ingested("sc09", folder, tmp_path / "here", "clips_per_shard=4")
    place = Folder.at(f"{s3}/{uuid.uuid4().hex}")
    for container in (".tar.gz", ".zip"):
        place.publish_bytes(f"c{container}", layouts.packed(folder, container).read_bytes())
        for _ in range(2):
            there = ingested("sc09", f"{place.uri}/c{container}", f"{place.uri}/out{container}", "clips_per_shard=4")
            assert [(clip.info.key, clip.data) for clip in there] == [(clip.info.key, clip.data) for clip in here]


def test_a_dry_run_says_what_would_be_done(tmp_path: Path) -> None:
    source = layouts.speech_commands(tmp_path / "c")
    (source / "zero/notes.txt").write_text("x")
    lines = job.plan(configured("sc09", source, tmp_path / "out"))
    assert lines[0].startswith("would read: 10 recordings (7 train, 1 validation, 2 test), 0.3 MB")
    assert lines[1].startswith("would list: 1 files that are no clips; 15 are none of this config's")
    assert lines[2] == f"would write: 3 shards into {tmp_path / 'out'}"
    assert not (tmp_path / "out").exists()


def test_a_long_recording_becomes_shards_of_the_size_asked_for(
    in_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clips are those of one large shard, in their order; a unit takes no more of the source than it may."""
    monkeypatch.setattr(planning, "UNIT_BYTES", 500_000)
    write_sound(tmp_path / "c/a/long.wav", speechlike(30.0, 7))
    write_sound(tmp_path / "c/a/short.wav", speechlike(2.5, 8))
    options = ("window=all", "hop=8192", "label_from=none")
    job.run("folder", configured("folder", tmp_path / "c", tmp_path / "few", "clips_per_shard=24", *options))
    folder = Folder.at(str(tmp_path / "few"))
    manifest = load_manifest(folder)
    assert sorted(each.count for each in manifest.shards) == [4, 19, 19, 20] and manifest.count() == 62
    long = [each for each in manifest.shards if each.count > 4]
    first = long[0].name.removesuffix(".tar")
    assert [each.name for each in long] == [f"{first}.tar", f"{first}-0001.tar", f"{first}-0002.tar"]
    assert {each.split for each in long} == {first.partition("-")[0]}
    clips = [clip for each in long for clip in read_shard(folder, each)]
    assert [clip.info.start for clip in clips] == list(range(0, 58 * 8_192, 8_192))
    assert all(checked.problem == "" for checked in verify(folder))
    job.run("folder", configured("folder", tmp_path / "c", tmp_path / "one", "clips_per_shard=1200", *options))
    one, few = ({c.info.key: c.data for c in clips_of(tmp_path / name)} for name in ("one", "few"))
    assert one == few and len(one) == 62
    (tmp_path / "few" / long[1].name).unlink()  # lost: the unit is done again, all of it
    job.run("folder", configured("folder", tmp_path / "c", tmp_path / "few", "clips_per_shard=24", *options))
    assert load_manifest(folder) == manifest and {c.info.key: c.data for c in clips_of(tmp_path / "few")} == few


def test_a_hop_that_is_not_given_is_the_clip_s_length_in_every_respect(in_process: None, tmp_path: Path) -> None:
    write_sound(tmp_path / "c/a/long.wav", speechlike(5.0, 7))

    def again(out: str, *options: str) -> list[int]:
        job.run("folder", configured("folder", tmp_path / "c", tmp_path / out, "window=all", *options))
        return [clip.info.start for clip in clips_of(tmp_path / out)]

    usual = again("usual")
    assert usual == list(range(0, 80_000, USUAL.samples)) == again("usual", f"hop={USUAL.samples}") == again("usual")
    overlapping = ("clip_samples=32768", f"hop={USUAL.samples}")
    assert again("longer", *overlapping) == [0, 16_384, 32_768, 49_152] == again("longer", *overlapping)
    with pytest.raises(UserError, match="differs in hop: 16384 → 32768"):
        again("longer", "clip_samples=32768")
    assert again("apart", "clip_samples=32768") == [0, 32_768, 65_536]


def test_of_files_with_one_key_the_first_that_is_sound_is_taken(in_process: None, tmp_path: Path) -> None:
    good = write_sound(tmp_path / "c/yes/twin.wav", speechlike(0.5, 1)).read_bytes()
    for suffix, data in (("flac", b"fLaC, it says"), ("mp3", b""), ("ogg", good[:100]), ("wave", good)):
        (tmp_path / f"c/yes/twin.{suffix}").write_bytes(data)
    job.run("folder", configured("folder", tmp_path / "c", tmp_path / "out"))
    (clip,) = clips_of(tmp_path / "out")
    assert clip.info.key == "yes/twin" and clip.info.source_uri.endswith("twin.wav")
    told = {
        each["source_uri"].rpartition(".")[2]: each["reason"].partition(":")[0] for each in rejects_of(tmp_path / "out")
    }
    assert told == {
        "flac": "not decodable",
        "mp3": "empty file (0 bytes)",
        "ogg": "truncated",
        "wave": "duplicate key",
    }


def test_what_conversion_did_to_a_clip_is_listed(
    in_process: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = noise(1.0)
    for name, sound, kind in (
        ("good", wave, "PCM_16"),
        ("integers", np.rint(wave * 32_767), "FLOAT"),
        ("opposite", np.stack([wave, -wave], 1), "PCM_16"),
        ("loud", 3 * wave / np.abs(wave).max(), "FLOAT"),
        ("silent", 0 * wave, "PCM_16"),
        ("nonsense", wave * 1.5e7, "FLOAT"),
    ):
        write_sound(tmp_path / f"c/a/{name}.wav", sound, subtype=kind)
    job.run("folder", configured("folder", tmp_path / "c", tmp_path / "out"))
    told = {
        each.key: (each.warning.partition(":")[0], each.amount)
        for each in read_warnings(Folder.at(str(tmp_path / "out")))
    }
    assert told.pop("a/loud")[1] > 1_000 and told["a/opposite"][1] < -60
    assert told == {
        "a/integers": ("floating-point samples in an integer's range", 2.0**-15),
        "a/opposite": ("channels cancel each other in the mix", told["a/opposite"][1]),
        "a/silent": ("silence", 0.0),
    }
    (reject,) = rejects_of(tmp_path / "out")
    assert reject["key"] == "a/nonsense" and "beyond any full scale" in reject["reason"]
    printed = capsys.readouterr().out
    assert f"4 warnings of inputs that did, listed in {tmp_path}/out/warnings.parquet:" in printed
    heard = {clip.info.key: decode(clip.data) for clip in clips_of(tmp_path / "out")}
    assert np.abs(heard["a/integers"].astype(int) - heard["a/good"]).max() <= 1
