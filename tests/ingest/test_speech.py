"""The spoken-digit corpus, made by the real espeak-ng."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from invertone import command_line
from invertone.cluster.errors import UserError
from invertone.ingest.obtain import digits as corpus_job
from invertone.ingest.obtain.config import DigitsConfig
from invertone.ingest.obtain.espeak import Espeak
from invertone.ingest.obtain.speech import ACCENTS, FEMALE, MALE, WORDS, draw_speakers, make_clip, split_of, take

pytest.importorskip("espeakng_loader", reason="the extra `speech` is not installed")

CLIPS, VOICES = 200, 20


def make(out: Path, **keys: int) -> DigitsConfig:
    config = DigitsConfig(out=str(out), **{"clips": CLIPS, "voices": VOICES, **keys})  # type: ignore[arg-type]
    corpus_job.run(config)
    return config


def contents(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 clips by 20 speakers, made in one go. Not to be changed."""
    folder = tmp_path_factory.mktemp("digits") / "corpus"
    make(folder)
    return folder


def listed(corpus: Path, split: str) -> set[str]:
    return set((corpus / f"{split}_list.txt").read_text().split())


def clips_of(corpus: Path) -> list[str]:
    return sorted(f"{each.parent.name}/{each.name}" for each in corpus.glob("*/*"))


def test_the_layout_is_that_of_speech_commands(corpus: Path) -> None:
    clips = clips_of(corpus)
    assert len(clips) == CLIPS and len(list(corpus.rglob("*.*"))) == CLIPS + 3
    assert Counter(each.split("/")[0] for each in clips) == dict.fromkeys(WORDS, CLIPS // 10)
    for each in clips:
        speaker, _, number = Path(each).stem.partition("_nohash_")
        assert len(speaker) == 8 and int(speaker, 16) >= 0 and number.isdigit()
        about = soundfile.info(corpus / each)
        assert (about.samplerate, about.frames, about.channels, about.subtype) == (16_000, 16_000, 1, "PCM_16")


def test_the_splits_share_no_speaker_and_follow_the_published_hash(corpus: Path) -> None:
    splits = {split: listed(corpus, split) for split in ("validation", "testing")}
    splits["training"] = set(clips_of(corpus)) - splits["validation"] - splits["testing"]
    assert [len(splits[split]) for split in ("training", "validation", "testing")] == [160, 20, 20]
    for split, files in splits.items():
        speakers = {each.split("/")[1].partition("_nohash_")[0] for each in files}
        assert {split_of(each) for each in speakers} == {split}
        assert {each.split("/")[0] for each in files} == set(WORDS)


def test_the_hash_puts_real_speakers_where_the_published_lists_have_them() -> None:
    # The first speakers of the lists of Speech Commands v0.01, and two that are in neither.
    assert {split_of(each) for each in ("026290a7", "060cd039", "099d52ad", "0ab3b47d")} == {"validation"}
    assert {split_of(each) for each in ("022cd682", "0487ba9b", "096456f9", "0c40e715")} == {"testing"}
    assert {split_of(each) for each in ("00176480", "004ae714")} == {"training"}


def test_the_hash_agrees_with_every_line_of_the_published_lists(corpora: Path) -> None:
    for split in ("validation", "testing"):
        for line in (corpora / "speech_commands_v0.01" / f"{split}_list.txt").read_text().split():
            assert split_of(line.split("/")[1].partition("_nohash_")[0]) == split


@pytest.mark.parametrize(("voices", "each"), [(1, 0), (2, 0), (3, 1), (10, 1), (40, 4), (200, 20)])
def test_every_split_gets_its_share_of_speakers(voices: int, each: int) -> None:
    speakers = draw_speakers(voices, seed=5)
    assert len({speaker.name for speaker in speakers}) == voices
    counts = Counter(split_of(speaker.name) for speaker in speakers)
    assert (counts["validation"], counts["testing"], counts["training"]) == (each, each, voices - 2 * each)
    assert speakers == draw_speakers(voices, seed=5) != draw_speakers(voices, seed=6)


@pytest.mark.parametrize("voices", [1, 7, 10, 12, 40])
@pytest.mark.parametrize("clips", [9, 60, 437, 1200])
def test_digits_and_speakers_stay_balanced_at_any_size(clips: int, voices: int) -> None:
    speakers = draw_speakers(voices, seed=0)
    takes = [take(index, speakers) for index in range(clips)]
    assert len({each.file for each in takes}) == clips
    words = Counter(each.word for each in takes)
    by_speaker = Counter(each.speaker.name for each in takes)
    assert max(words.values()) - min(words[word] for word in WORDS) <= 1
    assert max(by_speaker.values()) - min(by_speaker[speaker.name] for speaker in speakers) <= 1
    assert max(each.number for each in takes) == (clips - 1) // (10 * voices)


def test_a_clip_does_not_depend_on_those_before_it() -> None:
    """Every voice and accent in use, in one order and then in another."""
    jobs = [(WORDS[i % 10], f"{ACCENTS[i % len(ACCENTS)]}+{voice}", i) for i, voice in enumerate(FEMALE + MALE)]
    with Espeak() as espeak:
        once = {job: espeak.say(job[0], job[1], 50, 50, 170, job[2]).tobytes() for job in jobs}
        random.Random(1).shuffle(jobs)
        again = {job: espeak.say(job[0], job[1], 50, 50, 170, job[2]).tobytes() for job in jobs}
    assert again == once
    assert len(set(once.values())) == len(jobs)


def test_two_halves_in_two_processes_make_the_same_corpus(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    shutil.copytree(corpus, out)
    for each in random.Random(2).sample(clips_of(out), CLIPS // 2):
        (out / each).unlink()
    command = f"corpus digits clips={CLIPS} voices={VOICES} out={out}"
    subprocess.run([sys.executable, "-m", "invertone", *command.split()], check=True, capture_output=True)
    assert contents(out) == contents(corpus)


def test_only_what_is_missing_is_made(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "corpus"
    shutil.copytree(corpus, out)
    gone, emptied = clips_of(out)[7], clips_of(out)[100]
    (out / gone).unlink()
    (out / emptied).write_bytes(b"")
    made: list[str] = []

    def counted(espeak: Espeak, each: corpus_job.Take, seed: int) -> npt.NDArray[np.int16]:
        made.append(each.file)
        return make_clip(espeak, each, seed)

    monkeypatch.setattr(corpus_job, "make_clip", counted)
    assert "would write 2 of 200 clips" in corpus_job.plan(DigitsConfig(out=str(out), clips=CLIPS, voices=VOICES))[0]
    make(out)
    assert sorted(made) == sorted([gone, emptied])
    assert contents(out) == contents(corpus)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_corpus_goes_on(corpus: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "corpus"
    command = f"corpus digits clips={CLIPS} voices={VOICES} out={out}"
    process = subprocess.Popen([sys.executable, "-m", "invertone", *command.split()], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(list(out.glob("*/*.wav"))) < 20:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    complaint = process.communicate()[1].decode()
    assert process.returncode == (-number if number == signal.SIGKILL else 143), complaint
    assert not (out / "testing_list.txt").exists(), "it had finished before it was stopped"
    whole = contents(corpus)
    assert all(whole[name] == data for name, data in contents(out).items() if not name.endswith(".part"))
    make(out)
    assert contents(out) == whole


def interrupt() -> None:
    """Ctrl-C while C code has called back, where Python can only swallow an exception."""
    ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))()


@pytest.mark.parametrize("where", ["make_clip", "encode"])
def test_a_signal_inside_a_callback_is_neither_lost_nor_cuts_a_clip(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    out, usual, calls = tmp_path / "corpus", getattr(corpus_job, where), count(1)

    def interrupted(*arguments: object) -> object:
        if next(calls) == 4:
            interrupt()
        return usual(*arguments)

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(corpus_job, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(out)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(list(out.glob("*/*"))) == 3
    monkeypatch.setattr(corpus_job, where, usual)
    make(out)
    assert contents(out) == contents(corpus)


def test_clips_differ_with_seed_speaker_and_number(corpus: Path, tmp_path: Path) -> None:
    assert len(set(contents(corpus).values())) == CLIPS + 3
    make(tmp_path / "other", clips=20, voices=2, seed=1)
    assert not set(contents(tmp_path / "other").values()) & set(contents(corpus).values())


def test_speech_fits_the_second_and_keeps_its_level(corpus: Path) -> None:
    for each in clips_of(corpus):
        samples, _ = soundfile.read(corpus / each)
        loudness = np.sqrt(np.convolve(samples**2, np.full(320, 1 / 320), "same"))
        spoken = np.flatnonzero(loudness > 0.1 * loudness.max()) / 16_000
        assert 0.1 < spoken[-1] - spoken[0] < 0.95
        assert 10 ** (-21 / 20) < np.abs(samples).max() < 0.95
        assert abs(samples.mean()) < 0.01


def features(path: Path) -> npt.NDArray[np.float64]:
    """Log energies [24 frames x 32 bands] of the spoken stretch, less their mean."""
    samples, _ = soundfile.read(path)
    loudness = np.sqrt(np.convolve(samples**2, np.full(320, 1 / 320), "same"))
    spoken = np.flatnonzero(loudness > 0.1 * loudness.max())
    starts = np.linspace(max(spoken[0] - 256, 0), min(spoken[-1] + 256, len(samples)) - 512, 24).astype(int)
    frames = np.stack([samples[start : start + 512] for start in starts]) * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(3, 257, 33).astype(int))
    log_energy = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    return (log_energy - log_energy.mean()).ravel()


def test_the_ten_digits_are_told_apart_in_unknown_voices(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    make(out, clips=500, voices=50)
    clips = clips_of(out)
    labels = np.array([WORDS.index(each.split("/")[0]) for each in clips])
    held_out = np.array([each in listed(out, "testing") | listed(out, "validation") for each in clips])
    inputs = np.stack([features(out / each) for each in clips])
    known = inputs[~held_out]
    weights = np.linalg.solve(known @ known.T + 1000 * np.eye(len(known)), np.eye(10)[labels[~held_out]])
    guessed = (inputs[held_out] @ known.T @ weights).argmax(1)
    right = [(guessed[labels[held_out] == digit] == digit).mean() for digit in range(10)]
    assert np.mean(right) > 0.85 and min(right) > 0.5, dict(zip(WORDS, right, strict=True))


def test_mistakes_are_named(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(corpus)
    with pytest.raises(UserError, match=r"digit corpus that differs in voices: 20 → 30, seed: 0 → 1; give another out"):
        make(corpus, voices=30, seed=1)
    assert contents(corpus) == before
    with pytest.raises(UserError, match="written to local disk only"):
        corpus_job.run(DigitsConfig(out="s3://bucket/x"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "holiday.jpg").touch()
    with pytest.raises(UserError, match="neither empty nor a digit corpus"):
        make(tmp_path / "taken")
    with pytest.raises(UserError, match="out is a file"):
        make(tmp_path / "taken" / "holiday.jpg")
    (tmp_path / "taken" / "corpus.json").write_text("{")
    with pytest.raises(UserError, match=r"corpus.json is damaged"):
        make(tmp_path / "taken")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"espeak-ng is not installed; pip install 'invertone\[speech\]'"):
        make(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_there_is_and_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["corpus", "digits", f"out={tmp_path / 'digits'}", "clips=20", "voices=10"]
    assert command_line.main([*command, "--dry-run"]) == 0
    assert "would write 20 of 20 clips by 10 speakers, 1 MB, in " in capsys.readouterr().out
    assert not (tmp_path / "digits").exists()
    assert command_line.main(command) == 0
    said = capsys.readouterr().out
    assert "20 clips (20s) by 10 speakers: 16 training, 2 validation, 2 testing" in said
    here = os.path.relpath(tmp_path / "digits")
    assert f"invertone ingest sc09 source={here} out={here}-shards" in said


def test_held_out_timbres_are_those_that_training_never_has() -> None:
    from invertone.ingest.obtain.config import TIMBRES as KEYS
    from invertone.ingest.obtain.speech import TIMBRES

    assert set(TIMBRES) == set(KEYS)
    for group, everyone in enumerate((FEMALE, MALE)):
        known, held = set(TIMBRES["training"][group]), set(TIMBRES["held_out"][group])
        assert known | held == set(everyone) and not known & held and len(held) >= 4
    voices = {
        timbres: {each.voice.partition("+")[2] for each in draw_speakers(300, 3, timbres)}
        for timbres in ("training", "held_out")
    }
    assert not voices["training"] & voices["held_out"]
    assert draw_speakers(20, 5, "all") == draw_speakers(20, 5)
