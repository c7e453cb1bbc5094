"""Guidance: who is chosen, what is recorded, and that no label of any other clip is ever read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CHECKPOINTS, read_manifest
from invertone.cluster.formats.shards import ShardManifest, load_manifest, read_shard
from invertone.cluster.formats.trainings import GUIDANCE, Guidance
from invertone.cluster.storage.folder import Folder
from invertone.train.build import build_trainer, check
from invertone.train.data.clips import Clips, Part, split_parts
from invertone.train.data.guidance import guidance_of, parts_of
from invertone.train.loop.record import read_metrics
from invertone.train.objective import World
from invertone.train.schemas.spectrogram_gan import GuidanceConfig
from tests.made import LABELS, made_clips, made_shards, tiny_config, train_tiny, write_shards

SEMI = ("gaae-debug", "ggan-debug", "biggan-debug", "bigan-debug", "cnn-debug")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder.at(str(tmp_path_factory.mktemp("guided")))
    made_shards(folder, train=(12, 12), validation=6)
    return folder


def chosen(folder: Folder, out: Path, **values: object) -> Guidance:
    manifest = load_manifest(folder)
    training = split_parts(manifest, ["train"])[0]
    return guidance_of(GuidanceConfig(**values), folder, manifest, training, Folder.at(str(out)), write=False)  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fraction=st.floats(0.0, 1.0), seed=st.integers(0, 2**31))
def test_equally_many_of_every_label_and_a_smaller_share_is_part_of_a_larger(
    shards: Folder, tmp_path: Path, fraction: float, seed: int
) -> None:
    guidance = chosen(shards, tmp_path, fraction=fraction, seed=seed)
    counts = list(guidance.summary()["clips"].values())
    assert set(counts) == {min(8, max(1, round(fraction * 24 / 3)))}
    larger = chosen(shards, tmp_path, fraction=min(1.0, fraction * 1.5), seed=seed)
    assert guidance.labels.items() <= larger.labels.items()


def test_the_seed_decides_and_all_is_all(shards: Folder, tmp_path: Path) -> None:
    one, other = (chosen(shards, tmp_path, fraction=0.4, seed=seed) for seed in (0, 1))
    assert one == chosen(shards, tmp_path, fraction=0.4, seed=0) and one.labels != other.labels
    assert len(chosen(shards, tmp_path, fraction=1.0).clips) == 24


def test_speakers_come_with_all_their_clips(shards: Folder, tmp_path: Path) -> None:
    guidance = chosen(shards, tmp_path, speakers=2)
    for label in range(len(LABELS)):
        mine = [clip for clip in guidance.clips if clip.label == label]
        speakers = {clip.speaker for clip in mine}
        everyone = [
            clip.info
            for entry in load_manifest(shards).of_splits(["train"])
            for clip in read_shard(shards, entry)
            if clip.info.label == label and clip.info.speaker in speakers
        ]
        assert len(speakers) == 2 and {info.key for info in everyone} == {clip.key for clip in mine}


def test_guided_clips_are_read_with_their_labels_and_others_without(shards: Folder, tmp_path: Path) -> None:
    guidance, manifest = chosen(shards, tmp_path, fraction=0.25), load_manifest(shards)
    guided = Clips(shards, parts_of(guidance, manifest), "auto", guidance.labels)
    batch = guided.read(np.arange(guided.count))
    assert sorted(batch.label.tolist()) == sorted(guidance.labels.values())
    whole = Clips(shards, [Part(entry, 0, entry.count) for entry in manifest.of_splits(["train"])])
    clips = {tuple(clip.tolist()[:50]): label for clip, label in zip(*_read(whole), strict=True)}
    assert all(
        clips[tuple(clip.tolist()[:50])] == label
        for clip, label in zip(batch.signal, batch.label.tolist(), strict=True)
    )
    known = Clips(shards, whole.parts, "auto", guidance.labels)
    assert sorted(_read(known)[1]) == sorted([-1] * (24 - len(guidance.labels)) + list(guidance.labels.values()))


def _read(clips: Clips) -> tuple[torch.Tensor, list[int]]:
    batch = clips.read(np.arange(clips.count))
    return batch.signal, batch.label.tolist()


def relabelled(folder: Folder, place: Folder, kept: set[str]) -> ShardManifest:
    """The same clips with labels of all others turned into wrong ones."""
    groups = []
    for entry in load_manifest(folder).shards:
        groups.append(
            [
                clip
                if clip.info.key in kept
                else dataclasses.replace(
                    clip,
                    info=dataclasses.replace(clip.info, label=((clip.info.label or 0) + 1) % 3, label_name="wrong"),
                )
                for clip in read_shard(folder, entry)
            ]
        )
    return write_shards(place, groups)


@pytest.mark.parametrize("name", SEMI)
def test_no_label_outside_the_guided_subset_is_read(name: str, shards: Folder, tmp_path: Path) -> None:
    """With every other label wrong, validation's too, training is the same to the bit."""
    values = {"steps": 2, "checkpoint_every": 2, "guidance": {"fraction": 0.25}, "batch": 4}
    one = train_tiny(name, shards, Folder.at(str(tmp_path / "one")), **values)
    kept = {clip["key"] for clip in one.read_json(GUIDANCE)["clips"]}
    wrong = Folder.at(str(tmp_path / "wrong"))
    manifest = relabelled(shards, wrong, kept)
    record = one.read_json(GUIDANCE)  # chosen before: the choice itself looks at all labels
    record["asked"]["digest"] = manifest.digest
    two = Folder.at(str(tmp_path / "two"))
    two.publish_json(GUIDANCE, record)
    train_tiny(name, wrong, two, **values)
    assert read_metrics(one) == read_metrics(two)
    weights = [folder.read_bytes(f"{CHECKPOINTS}/step-00000002/model.safetensors") for folder in (one, two)]
    assert weights[0] == weights[1]


def test_the_test_above_would_see_a_label_that_is_read(shards: Folder, tmp_path: Path) -> None:
    """The ordinary classifier reads them all."""
    values = {"steps": 2, "checkpoint_every": 2, "batch": 4}
    one = train_tiny("classifier-debug", shards, Folder.at(str(tmp_path / "one")), **values)
    wrong = Folder.at(str(tmp_path / "wrong"))
    relabelled(shards, wrong, set())
    two = train_tiny("classifier-debug", wrong, Folder.at(str(tmp_path / "two")), **values)
    assert read_metrics(one) != read_metrics(two)


def test_the_checkpoint_says_who_guided(shards: Folder, tmp_path: Path) -> None:
    out = train_tiny(
        "cnn-debug",
        shards,
        Folder.at(str(tmp_path)),
        steps=1,
        checkpoint_every=1,
        guidance={"fraction": 0.25, "seed": 3},
    )
    manifest = read_manifest(out / f"{CHECKPOINTS}/step-00000001")
    assert manifest is not None
    about = manifest.data["guidance"]
    assert (about["fraction"], about["seed"], about["clips"]) == (0.25, 3, dict.fromkeys(LABELS, 2))
    assert manifest.label_names == LABELS


def test_another_corpus_guides(shards: Folder, tmp_path: Path) -> None:
    """Unlabelled clips from here, labels and their names from there."""
    place = Folder.at(str(tmp_path))
    clips = [
        dataclasses.replace(clip, info=dataclasses.replace(clip.info, label=None, label_name=None))
        for clip in made_clips(12, "train", seed=5)
    ]
    write_shards(place / "unlabelled", [clips])
    config = tiny_config(
        "gaae-debug",
        place / "unlabelled",
        place / "out",
        steps=1,
        guidance={"shards": shards.uri, "fraction": 0.5},
    )
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    assert trainer.guided is not None and trainer.guided.count == 12
    assert set(_read(trainer.training)[1]) == {-1}
    assert trainer.state.labels == LABELS
    trainer.run()


def test_a_choice_made_otherwise_is_refused(shards: Folder, tmp_path: Path) -> None:
    train_tiny("cnn-debug", shards, Folder.at(str(tmp_path)), steps=1, guidance={"fraction": 0.25})
    with pytest.raises(UserError, match="guidance was chosen otherwise"):
        train_tiny("cnn-debug", shards, Folder.at(str(tmp_path)), steps=1, guidance={"fraction": 0.5})


def test_labels_that_nobody_has_are_named(tmp_path: Path) -> None:
    clips = [clip for clip in made_clips(12, "train") if clip.info.label != 2]
    folder = Folder.at(str(tmp_path / "shards"))
    write_shards(folder, [clips])
    with pytest.raises(UserError, match="no clip is labelled high"):
        chosen(folder, tmp_path)


def test_a_cnn_learns_from_further_clips_with_all_their_labels(shards: Folder, tmp_path: Path) -> None:
    also = Folder.at(str(tmp_path / "also"))
    write_shards(also, [made_clips(5, "train", seed=9), made_clips(2, "test", seed=9)])
    given = {"guidance": {"fraction": 0.25}, "also": also.uri}
    out = train_tiny("cnn-debug", shards, Folder.at(str(tmp_path / "out")), steps=1, checkpoint_every=1, **given)
    manifest = read_manifest(out / CHECKPOINTS / "step-00000001")
    assert manifest is not None and manifest.inputs == {"also": load_manifest(also).digest}
    config = tiny_config("cnn-debug", shards, out, steps=1, **given)
    guided = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None).guided
    assert guided is not None and guided.count == 6 + 5
    labels = guided.read(np.arange(11)).label.tolist()
    assert labels == [*sorted_labels(out), *(number % 3 for number in range(5))]


def sorted_labels(out: Folder) -> list[int]:
    """The guided clips' labels, in the order in which their shards hold them."""
    clips = sorted(out.read_json(GUIDANCE)["clips"], key=lambda clip: (clip["shard"], clip["index"]))
    return [clip["label"] for clip in clips]


def test_further_clips_with_other_labels_are_refused(shards: Folder, tmp_path: Path) -> None:
    also = Folder.at(str(tmp_path / "also"))
    manifest = write_shards(also, [made_clips(5, "train", seed=9)])
    also.publish_json("manifest.json", manifest.to_json() | {"label_names": ["low", "high"]})
    with pytest.raises(UserError, match="also has the labels low, high, guidance has low, middle, high"):
        check(tiny_config("cnn-debug", shards, Folder.at(str(tmp_path)), steps=1, also=also.uri))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fraction=st.floats(0.4, 1.0), seed=st.integers(0, 50))
def test_a_random_draw_takes_its_share_whatever_the_labels(
    shards: Folder, tmp_path: Path, fraction: float, seed: int
) -> None:
    try:
        guidance = chosen(shards, tmp_path, fraction=fraction, seed=seed, draw="random")
    except UserError as error:
        assert "no clip is labelled" in error.what and "draw=stratified" in error.fix
        return
    assert len(guidance.clips) == round(fraction * 24)
    larger = chosen(shards, tmp_path, fraction=min(1.0, fraction * 1.5), seed=seed, draw="random")
    assert guidance.labels.items() <= larger.labels.items()


def test_random_draws_are_not_balanced(shards: Folder, tmp_path: Path) -> None:
    counts = [
        tuple(chosen(shards, tmp_path, fraction=0.75, seed=seed, draw="random").summary()["clips"].values())
        for seed in range(12)
    ]
    assert all(sum(each) == 18 for each in counts) and len(set(counts)) > 1


def keys_of(clips: Clips, folder: Folder) -> list[str]:
    """Keys of the clips of a stream, in the order of their numbers."""
    return [clip.info.key for part in clips.parts for clip in part.clips(folder)]


@pytest.mark.parametrize("ranks", [1, 2])
def test_guided_clips_are_apart_from_the_rest(shards: Folder, tmp_path: Path, ranks: int) -> None:
    given = {"guidance": {"fraction": 0.25, "draw": "random", "apart": "true", "seed": 4}, "steps": 1, "workers": ranks}
    config = tiny_config("gaae-debug", shards, Folder.at(str(tmp_path)), **given)
    for rank in range(ranks):
        trainer = build_trainer(config, World(rank, ranks), torch.device("cpu"), lambda step, values: None)
        assert trainer.guided is not None
        guided, rest = keys_of(trainer.guided, shards), keys_of(trainer.training, shards)
        assert (len(guided), len(rest)) == (6, 18) and len({*guided, *rest}) == 24
        waves, labels = _read(trainer.training)
        assert set(labels) == {-1} and len(waves) == 18
        assert trainer.state.data["unlabelled_clips"] == 18 and trainer.state.data["guidance"]["apart"]


def test_with_all_labels_there_is_no_rest_and_the_unlabelled_clips_are_all(shards: Folder, tmp_path: Path) -> None:
    config = tiny_config(
        "gaae-debug", shards, Folder.at(str(tmp_path)), guidance={"fraction": 1.0, "apart": "true"}, steps=1
    )
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    assert trainer.guided is not None and (trainer.guided.count, trainer.training.count) == (24, 24)


def test_another_corpus_s_guided_clips_are_merged_into_the_unlabelled(shards: Folder, tmp_path: Path) -> None:
    place = Folder.at(str(tmp_path))
    mine = made_clips(9, "train", seed=5)
    write_shards(place / "unlabelled", [mine, made_clips(3, "validation", seed=5)])
    given = {"guidance": {"shards": shards.uri, "fraction": 0.25, "merged": "true"}, "steps": 2, "checkpoint_every": 2}
    config = tiny_config("gaae-debug", place / "unlabelled", place / "out", **given)
    trainer = build_trainer(config, World(), torch.device("cpu"), lambda step, values: None)
    assert trainer.guided is not None and (trainer.guided.count, trainer.training.count) == (6, 15)
    waves, labels = _read(trainer.training)
    assert labels[:9] == [-1] * 9
    assert torch.equal(waves[9:], _read(trainer.guided)[0]) and labels[9:] == _read(trainer.guided)[1]
    trainer.run()
    manifest = read_manifest(place / "out" / CHECKPOINTS / "step-00000002")
    assert manifest is not None and manifest.data["unlabelled_clips"] == 15 and manifest.data["guidance"]["merged"]


def test_a_corpus_cannot_be_merged_into_itself(shards: Folder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"guidance\.merged is for guided clips of another corpus"):
        check(tiny_config("gaae-debug", shards, Folder.at(str(tmp_path)), steps=1, guidance={"merged": "true"}))


def test_an_older_run_s_choice_goes_on(shards: Folder, tmp_path: Path) -> None:
    """Its guidance.json knows fewer keys than there are now."""
    out = train_tiny("cnn-debug", shards, Folder.at(str(tmp_path)), steps=1, guidance={"fraction": 0.25})
    record = out.read_json(GUIDANCE)
    record["asked"] = {name: record["asked"][name] for name in ("fraction", "speakers", "seed", "digest")}
    out.publish_json(GUIDANCE, record)
    train_tiny("cnn-debug", shards, out, steps=2, guidance={"fraction": 0.25})
    with pytest.raises(UserError, match="guidance was chosen otherwise"):
        train_tiny("cnn-debug", shards, out, steps=2, guidance={"fraction": 0.25, "draw": "random"})
