"""The one loop: resume, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CHECKPOINTS, read_manifest
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_network
from invertone.train.build import build_trainer, check
from invertone.train.config import CATALOGUE
from invertone.train.loop.record import read_metrics
from invertone.train.loop.state import newest
from invertone.train.objective import Average, World
from invertone.train.objectives.spectrogram_gan import check_family
from tests.made import made_shards, tiny_config, train_tiny
from tests.train.golden import PICTURES, SCHEDULED, WAVEFORM, material_of, material_of_pictures


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Other numbers of threads sum in other orders, and Adam makes other losses of that within ten steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Shards and the checkpoints that a mapper needs."""
    folder = Folder.at(str(tmp_path_factory.mktemp("train")))
    made_shards(folder / "shards")
    material_of_pictures(folder)
    train_tiny("classifier-debug", folder / "shards", folder / "classifier", steps=60, checkpoint_every=60, shift=100)
    train_tiny("wavegan-debug", folder / "shards", folder / "wavegan", steps=2, checkpoint_every=2)
    return folder


def given(name: str, place: Folder) -> dict[str, Any]:
    both = ("generator", "classifier")
    roles = {
        "mapper-debug": both,
        "restyle-debug": both,
        "mapper-unlabelled-debug": both[:1],
        "restyle-unlabelled-debug": both[:1],
        "wavegan-debug": both[1:],
        "wae-digits": both[1:],
    }.get(name, ())
    places = {"generator": "wavegan", "classifier": "classifier"}
    return {role: (place / places[role]).uri for role in roles}


def losses(folder: Folder) -> dict[str, list[float]]:
    series: dict[str, list[float]] = {}
    for line in read_metrics(folder):
        for name, value in line.items():
            if name != "step":
                series.setdefault(name, []).append(value)
    return series


def test_the_classifier_learns_the_made_labels(place: Folder) -> None:
    manifest = read_manifest(place / f"classifier/{CHECKPOINTS}/step-00000060")
    assert manifest is not None and manifest.metrics["accuracy"] > 0.6


@pytest.mark.parametrize("name", (*WAVEFORM, "gaae-debug", "bigan-debug", "cnn-debug", *PICTURES))
def test_a_resumed_run_continues_the_same_curve(name: str, place: Folder, tmp_path: Path) -> None:
    shards, values = place / "shards", {"checkpoint_every": 2, **given(name, place)}
    if name in PICTURES:
        values |= {"batch": 8, **material_of(name, place)}
        shards = Folder.at(values.pop("shards"))
    if name in SCHEDULED:
        values["schedule"] = "constant"  # with another number of steps, cosine is another run
    straight = train_tiny(name, shards, Folder.at(str(tmp_path / "a")), steps=4, **values)
    out = Folder.at(str(tmp_path / "b"))
    for steps in (2, 4):
        train_tiny(name, shards, out, steps=steps, **values)
    assert [line["step"] for line in read_metrics(out)] == [line["step"] for line in read_metrics(straight)]
    for term, series in losses(straight).items():
        assert losses(out)[term] == pytest.approx(series, rel=1e-4, abs=1e-6), term


def test_lines_of_steps_after_the_checkpoint_are_dropped_on_resume(place: Folder, tmp_path: Path) -> None:
    out = Folder.at(str(tmp_path))
    train_tiny("classifier-debug", place / "shards", out, steps=4, checkpoint_every=4, schedule="constant")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "classifier/cross_entropy": 99.0}\n{"step": 6, "classi')
    train_tiny("classifier-debug", place / "shards", out, steps=6, checkpoint_every=4, schedule="constant")
    steps = [line["step"] for line in read_metrics(out) if "classifier/cross_entropy" in line]
    assert steps == [1, 2, 3, 4, 5, 6] and 99.0 not in losses(out)["classifier/cross_entropy"]


def test_an_unfinished_checkpoint_is_passed_over(place: Folder, tmp_path: Path) -> None:
    out = Folder.at(str(tmp_path))
    train_tiny("classifier-debug", place / "shards", out, steps=4, checkpoint_every=2)
    (tmp_path / CHECKPOINTS / "step-00000004" / "checkpoint.json").unlink()
    trainer = build_trainer(
        tiny_config("classifier-debug", place / "shards", out, steps=4), World(), torch.device("cpu"), lambda s, v: None
    )
    latest = newest(trainer.state.folder)
    assert latest is not None and latest[0] == 2


def test_weights_scale_their_terms(place: Folder, tmp_path: Path) -> None:
    """With the gradient penalty weighted 0 the critic moves elsewhere."""
    runs = []
    for weight in (0.0, 10.0):
        out = Folder.at(str(tmp_path / str(weight)))
        train_tiny(
            "wavegan-debug", place / "shards", out, steps=3, checkpoint_every=3, weights={"gradient_penalty": weight}
        )
        runs.append(losses(out)["critic/gradient_penalty"])
    assert runs[0][0] == pytest.approx(runs[1][0], rel=0.2) and abs(runs[0][2] - runs[1][2]) > 1e-6


def test_the_best_by_validation_is_kept_and_old_checkpoints_go(place: Folder, tmp_path: Path) -> None:
    out = train_tiny(
        "classifier-debug", place / "shards", Folder.at(str(tmp_path)), steps=12, checkpoint_every=2, keep_checkpoints=1
    )
    scores = {line["step"]: line["validation/accuracy"] for line in read_metrics(out) if "validation/accuracy" in line}
    best = next(step for step, score in scores.items() if score == max(scores.values()))
    assert out.read_json("checkpoints/best.json")["step"] == best
    assert out.folders(CHECKPOINTS) == sorted({f"step-{best:08d}", "step-00000012"})


def test_samples_are_wav_files_that_play(place: Folder, tmp_path: Path) -> None:
    import soundfile

    out = train_tiny(
        "mapper-debug",
        place / "shards",
        Folder.at(str(tmp_path)),
        steps=2,
        checkpoint_every=2,
        **given("mapper-debug", place),
    )
    names = out.names("samples/step-00000002")
    assert names == ["0-reconstruction.wav", "0-target.wav", "1-reconstruction.wav", "1-target.wav"]
    samples, rate = soundfile.read(out.local / "samples/step-00000002/0-target.wav")  # type: ignore[operator]
    assert rate == 16_000 and len(samples) == 16_384 and abs(samples).max() > 0.01


def test_a_checkpoint_says_what_it_was_made_with(place: Folder, tmp_path: Path) -> None:
    out = train_tiny(
        "mapper-debug",
        place / "shards",
        Folder.at(str(tmp_path)),
        steps=1,
        checkpoint_every=1,
        **given("mapper-debug", place),
    )
    manifest = read_manifest(out / f"{CHECKPOINTS}/step-00000001")
    generator = read_manifest(place / f"wavegan/{CHECKPOINTS}/step-00000002")
    assert manifest is not None and generator is not None
    assert manifest.inputs["generator"] == generator.digest
    assert manifest.levels == "untouched" and manifest.front_end["mels"] == 32 and manifest.prior == {"kind": "uniform"}


def test_an_average_follows_fast_at_first_and_then_by_its_decay() -> None:
    source, copy = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(copy.weight)
    average, expected = Average(source, copy, 0.5), 0.0
    for step in range(1, 30):
        torch.nn.init.constant_(source.weight, float(step))
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(copy.weight.detach()) == pytest.approx(expected)


def test_an_average_keeps_statistics_and_copies_counters() -> None:
    source, copy = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    source.running_mean.fill_(1.0)  # type: ignore[union-attr]
    source.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    Average(source, copy, 0.9).update(1)
    assert copy.running_mean.tolist() == pytest.approx([1 - 2 / 11] * 2)  # type: ignore[union-attr]
    assert int(copy.num_batches_tracked) == 7  # type: ignore[arg-type]


def test_what_is_used_in_the_end_is_the_average_and_it_is_saved(place: Folder, tmp_path: Path) -> None:
    out = train_tiny("gaae-debug", place / "shards", Folder.at(str(tmp_path)), steps=2, checkpoint_every=2)
    networks = {name: load_network(out.uri, "", "gaae", name)[0] for name in ("encoder", "encoder_average")}
    pairs = zip(networks["encoder"].parameters(), networks["encoder_average"].parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_networks_that_only_normalise_by_the_batch_do_not_move(place: Folder, tmp_path: Path) -> None:
    config = tiny_config("gaae-debug", place / "shards", Folder.at(str(tmp_path)), steps=1)
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    decoder = trainer.objective.networks["decoder"]
    weights = {name: value.clone() for name, value in decoder.named_parameters()}
    statistics = decoder.norm.running_mean.clone()  # type: ignore[union-attr,operator]
    object.__setattr__(trainer.objective, "phases", trainer.objective.phases[:1])
    trainer.run()
    assert all(torch.equal(value, weights[name]) for name, value in decoder.named_parameters())
    assert not torch.equal(decoder.norm.running_mean, statistics)  # type: ignore[union-attr,arg-type]


def test_a_run_says_how_fast_it_was_and_how_long_it_waited(place: Folder, tmp_path: Path) -> None:
    out = train_tiny("cnn-debug", place / "shards", Folder.at(str(tmp_path)), steps=5, checkpoint_every=5)
    speed = out.read_json("speed.json")
    assert speed["steps"] == 4 and speed["steps_per_second"] == pytest.approx(4 / speed["seconds"])
    assert 0 <= speed["waiting_share"] < 1


@pytest.mark.parametrize(
    ("name", "term"),
    [("gaae-debug", "autoencoder/reconstruction"), ("wavegan-debug", "critic/gradient_penalty")],
)
def test_mixed_precision_is_near(name: str, term: str, place: Folder, tmp_path: Path) -> None:
    runs = {}
    for precision in ("float32", "bf16"):
        out = Folder.at(str(tmp_path / precision))
        train_tiny(name, place / "shards", out, steps=2, checkpoint_every=2, precision=precision)
        runs[precision] = losses(out)[term]
    assert runs["bf16"] == pytest.approx(runs["float32"], rel=0.05) and runs["bf16"] != runs["float32"]


def test_the_family_lets_one_hear_labels_and_reconstructions(place: Folder, tmp_path: Path) -> None:
    import soundfile

    out = train_tiny("gaae-debug", place / "shards", Folder.at(str(tmp_path)), steps=1, checkpoint_every=1, samples=2)
    names = out.names("samples/step-00000001")
    assert names == sorted(f"{what}-{i}.wav" for what in ("target", "reconstruction", "generated") for i in (0, 1))
    samples, rate = soundfile.read(out.local / "samples/step-00000001/generated-1.wav")  # type: ignore[operator]
    assert rate == 16_000 and len(samples) == 16_384 and abs(samples).max() > 0.001


def test_a_front_end_or_widths_that_do_not_fit_are_refused(place: Folder, tmp_path: Path) -> None:
    for values, match in (
        ({"front_end": {"hop_length": 256}}, "front_end gives 256 x 64"),
        ({"decoder_multiples": "[1, 2]"}, "decoder_multiples must be 7 numbers"),
        ({"attention_rows": 100}, "attention_rows=100"),
    ):
        with pytest.raises(UserError, match=match):
            check(tiny_config("gaae-debug", place / "shards", Folder.at(str(tmp_path)), steps=1, **values))


@pytest.mark.parametrize(
    ("clips", "hop", "match", "fix"),
    [
        (ClipFormat(16_000, 16_384, 2), 128, "stereo", "channels=1"),
        (ClipFormat(44_100, 65_536), 512, "a quarter of n_fft", "clip_samples=16384"),
        (ClipFormat(44_100, 65_536), 128, "256 x 512", "clip_samples=16384"),
        (ClipFormat(8_000, 8_192), 128, "256 x 64", "hop_length: 64"),
        (ClipFormat(8_000, 8_192), 64, "", ""),
        (ClipFormat(44_100, 16_384), 128, "", ""),
    ],
)
def test_clips_that_the_family_cannot_make_are_refused(clips: ClipFormat, hop: int, match: str, fix: str) -> None:
    config = load(CATALOGUE, "gaae-debug", ["shards=here", "out=there", f"front_end.hop_length={hop}"])
    names = ("a", "b")
    manifest = ShardManifest("made", clips, "untouched", (), names)
    if not match:
        check_family(config, manifest)
        return
    with pytest.raises(UserError, match=match) as caught:
        check_family(config, manifest)
    assert fix in str(caught.value)


def test_averaged_networks_have_statistics_of_their_own(place: Folder, tmp_path: Path) -> None:
    """In evaluation they normalise as they do by the batch: with lagging statistics a GAAE hears half as well as it could."""
    out = Folder.at(str(tmp_path))
    train_tiny(
        "bigan-debug", place / "shards", out, steps=12, checkpoint_every=12, encoder_norm="batch", learning_rate=0.01
    )
    config = tiny_config("bigan-debug", place / "shards", out, steps=12, encoder_norm="batch", learning_rate=0.01)
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    trainer.state.restore(torch.device("cpu"))
    batch = trainer.training.read(np.arange(18))
    spectrogram = log_magnitude(batch.signal, FrontEnd())
    found = {}
    for name in ("encoder_average", "encoder"):
        encoder = trainer.objective.networks[name]
        with torch.no_grad():
            by_batch, kept = (encoder.train(mode)(spectrogram)[0] for mode in (True, False))
            encoder.train(False)
        found[name] = float((by_batch - kept).norm() / by_batch.norm())
    assert found["encoder_average"] < 0.3 and found["encoder_average"] < found["encoder"]
