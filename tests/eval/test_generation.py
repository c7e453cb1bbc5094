"""The generation and accuracy tables: oracles from the classifier alone, the same numbers however clips are cut."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from invertone.audio.clip import decode, to_float
from invertone.cluster.config.loading import load
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import Clip, load_manifest
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.ray.resources import Capacity
from invertone.cluster.storage.folder import Folder
from invertone.eval.config import CATALOGUE
from invertone.eval.job import plan, run
from invertone.eval.measures.sums import unpacked
from invertone.eval.tables.accuracy import AccuracyStage
from invertone.eval.tables.generation import GenerationStage
from invertone.models.checkpoint import load_classifier
from tests.made import LABELS, made_clips, train_tiny, write_shards

TEST, MADE = made_clips(9, "test"), made_clips(24, "train", seed=5)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Real clips, a classifier and a CNN; 24 "generated" clips, once in two shards and once in six."""
    folder = Folder.at(str(tmp_path_factory.mktemp("generation")))
    write_shards(folder / "real", [made_clips(18, "train"), TEST])
    write_shards(folder / "few", [MADE[:7], MADE[7:]])
    write_shards(folder / "many", [MADE[at : at + 4] for at in range(0, 24, 4)])
    train_tiny("classifier-debug", folder / "real", folder / "classifier", steps=4, checkpoint_every=4)
    for seed in (0, 1):
        given = {"steps": 1, "checkpoint_every": 1, "seed": seed, "guidance": {"fraction": 0.5}}
        train_tiny("cnn-debug", folder / "real", folder / f"cnn-{seed}", **given)
    return folder


def config(name: str, place: Folder, out: Path, **values: Any) -> Any:
    given = {
        "shards": (place / "real").uri,
        "out": str(out),
        "device": "cpu",
        "bootstrap": 5,
        "groups": 2,
        "workers": 1,
        **values,
    }
    if name == "generation":
        given = {"classifier": (place / "classifier").uri, **given}
    return load(CATALOGUE, name, [f"{key}={value}" for key, value in given.items()])


def table(name: str, place: Folder, out: Path, **values: Any) -> dict[str, dict[str, Any]]:
    run(name, config(name, place, out, **values))
    return {row["row"]: row for row in json.loads((out / "table.json").read_text())["rows"]}


def outputs(place: Folder, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and penultimate activations, by a hook on the head: not the way the table takes them."""
    network = load_classifier((place / "classifier").uri)[0]
    seen: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda module, inputs, output: seen.extend([inputs[0], output]))
    network(torch.from_numpy(np.stack([to_float(decode(clip.data)) for clip in clips])))
    return seen[1].double().numpy(), seen[0].double().numpy()


def test_rows_are_what_the_classifier_says(in_process: None, place: Folder, tmp_path: Path) -> None:
    rows = table("generation", place, tmp_path / "out", **{"generated.made": (place / "few").uri, "groups": 1})
    assert list(rows) == ["made", "real", "silence", "noise"]
    reference = outputs(place, made_clips(18, "train"))
    for name, clips in (("made", MADE), ("real", TEST)):
        found, row = outputs(place, clips), rows[name]
        assert (row["clips"], row["failed"]) == (len(clips), 0)
        for layer, a, b in zip(("logits", "penultimate"), found, reference, strict=True):
            cross = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T) + 1e-12 * np.eye(a.shape[1])).real
            wanted = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * cross)
            assert row[f"frechet_{layer}"] == pytest.approx(wanted, rel=1e-3, abs=1e-4)
        p = torch.from_numpy(found[0]).softmax(1).numpy()
        assert row["inception_score"] == pytest.approx(np.exp((p * np.log(p / p.mean(0))).sum(1).mean()), rel=1e-6)
        heard = [LABELS[at] for at in found[0].argmax(1)]
        right = np.mean([one == clip.info.label_name for one, clip in zip(heard, clips, strict=True)])
        assert row["accuracy"] == pytest.approx(right)
    assert rows["silence"]["inception_score"] == pytest.approx(1.0) and rows["silence"]["clips"] == 9
    assert rows["noise"]["inception_score"] > 1.0 and rows["noise"]["clips"] == 9


def test_clips_that_killed_their_worker_are_counted_and_left_out(place: Folder, tmp_path: Path) -> None:
    (entry,) = load_manifest(place / "real").of_splits(["test"])
    work = {"unit": "u", "row": "real", "shards": (place / "real").uri, "entry": dataclasses.asdict(entry)}
    generated = config("generation", place, tmp_path, **{"generated.made": (place / "few").uri})
    given = config("accuracy", place, tmp_path, classifiers=f"{{CNN: {(place / 'cnn-0').uri}}}")
    watch = Watch()
    watch.start({TEST[3].info.key: "killed by SIGSEGV"}, frozenset())
    heard, right = (
        unpacked(next(iter(stage.open(1, watch)(work).outputs.values())))
        for stage in (GenerationStage(generated), AccuracyStage(given))
    )
    assert [float(heard[row]["clips"][0]) for row in ("real", "silence", "noise")] == [8, 8, 8]
    assert float(heard["real"]["failed"][0]) == 1 and float(right["all"]["clips"][0]) == 8


@pytest.mark.long
def test_two_units_or_six_give_the_same_numbers(ray_session: Capacity, place: Folder, tmp_path: Path) -> None:
    few = table("generation", place, tmp_path / "a", **{"generated.made": (place / "few").uri, "batch": 24})
    many = table(
        "generation", place, tmp_path / "b", **{"generated.made": (place / "many").uri, "batch": 24, "workers": 2}
    )
    for name, value in few["made"].items():
        # the classifier itself is exact only to single precision, whatever stands in a batch together
        assert many["made"][name] == (
            value if not isinstance(value, float) else pytest.approx(value, rel=1e-4, abs=1e-4)
        )
    text = (tmp_path / "a/table.md").read_text()
    assert "95 % confidence intervals" in text and "Seed: 0." in text


def test_the_paper_s_figures_stand_beside_ours(in_process: None, place: Folder, tmp_path: Path) -> None:
    published = "{made: {inception_score: 7.28}, TiFGAN: {inception_score: 5.97, frechet_logits: 26.7}}"
    given = {"generated.made": (place / "few").uri, "published": published, "columns": "[clips,inception_score]"}
    rows = table("generation", place, tmp_path / "out", **given)
    assert rows["made"]["inception_score_published"] == 7.28 and rows["real"]["inception_score_published"] is None
    assert rows["TiFGAN"]["frechet_logits_published"] == 26.7 and rows["TiFGAN"]["inception_score"] is None
    assert (tmp_path / "out/table.md").read_text().splitlines()[2].split("|")[3:5] == [" IS ↑ ", " paper "]


def test_a_row_of_several_trainings_is_their_mean_and_deviation(
    in_process: None, place: Folder, tmp_path: Path
) -> None:
    others = made_clips(18, "train", seed=6)
    write_shards(place / "again", [others])
    parts = [(place / "few").uri, (place / "again").uri]
    alone = [
        table("generation", place, tmp_path / f"{at}", **{"generated.made": uri})["made"]
        for at, uri in enumerate(parts)
    ]
    given = {"generated": f"{{made: [{', '.join(parts)}], once: {parts[1]}}}"}
    given["published"] = "{made: {inception_score: [7.28, 0.01], frechet_logits: 22.6}}"
    whole = table("generation", place, tmp_path / "both", **given)
    written = json.loads((tmp_path / "both/table.json").read_text())
    spreads = {row["row"]: each for row, each in zip(written["rows"], written["spreads"], strict=True)}
    intervals = {row["row"]: each for row, each in zip(written["rows"], written["intervals"], strict=True)}
    for name in ("accuracy", "inception_score", "inception_spread", "frechet_logits", "frechet_penultimate"):
        values = [each[name] for each in alone]
        assert whole["made"][name] == pytest.approx(np.mean(values), rel=1e-5, abs=1e-6)
        assert name == "accuracy" or len(set(values)) == 2
        if name != "inception_spread":
            assert spreads["made"][name] == pytest.approx(abs(values[0] - values[1]) / 2**0.5, rel=1e-4, abs=1e-6)
        assert whole["once"][name] == alone[1][name] and name not in spreads["once"] and name not in intervals["made"]
    assert (whole["made"]["trainings"], whole["made"]["clips"], whole["once"]["trainings"]) == (2, 21, 1)
    assert whole["real"]["trainings"] is None and "accuracy" in intervals["once"] and "trainings" not in alone[0]
    assert spreads["made"]["inception_score_published"] == 0.01 and "frechet_logits_published" not in spreads["made"]
    row = next(line for line in (tmp_path / "both/table.md").read_text().splitlines() if line.startswith("| made"))
    shown = f" {whole['made']['inception_score']:.2f} ± {spreads['made']['inception_score']:.2f} "
    assert shown in row and " 7.28 ± 0.01 " in row and " 22.60 " in row
    assert any("standard deviation over them (ddof 1)" in note for note in written["notes"])


def test_a_training_that_is_not_there_is_left_out_of_its_row(place: Folder, tmp_path: Path) -> None:
    rows = f"{{made: [{tmp_path}/gone-0, {(place / 'few').uri}], lost: [{tmp_path}/gone-1]}}"
    given = {"generated": rows, "needs": "{generated: 'make {name} with seed {number}'}", "partial": True}
    lines = plan(config("generation", place, tmp_path, **given))
    assert lines[0].startswith("left out: ") and lines[0].endswith("gone-0 ← make gone-0 with seed 0")
    assert lines[2].endswith("gone-1 ← make gone-1 with seed 0") and "the rows made, real," in lines[-1]
    with pytest.raises(UserError, match=r"gone-0: generated is not there yet.*make it by `make gone-0 with seed 0`"):
        run("generation", config("generation", place, tmp_path, **{**given, "partial": False}))


def test_real_clips_have_a_row_for_every_split_that_is_asked_for(
    in_process: None, place: Folder, tmp_path: Path
) -> None:
    made = {"generated.made": (place / "few").uri}
    usual = table("generation", place, tmp_path / "usual", **made)
    rows = table("generation", place, tmp_path / "rows", **made, real="[train,test]")
    assert list(rows) == ["made", "real (train)", "real (test)", "silence", "noise"]
    assert rows["made"] == usual["made"] and rows["silence"] == usual["silence"] and rows["noise"] == usual["noise"]
    assert {**rows["real (test)"], "row": "real"} == usual["real"]
    train = rows["real (train)"]
    assert (train["clips"], train["frechet_logits"], train["frechet_penultimate"]) == (18, None, None)
    p = torch.from_numpy(outputs(place, made_clips(18, "train"))[0]).softmax(1).numpy()
    whole = table("generation", place, tmp_path / "one", **made, real="[train,test]", groups=1)["real (train)"]
    assert whole["inception_score"] == pytest.approx(np.exp((p * np.log(p / p.mean(0))).sum(1).mean()), rel=1e-6)
    heard = table("generation", place, tmp_path / "silent", **made, real="train", splits="train")
    assert heard["silence"]["clips"] == 18 and {**heard["real (train)"]} == train
    plain = [config("generation", place, tmp_path, **made, real=real) for real in ("[]", "[train,test]")]
    clips = [int(plan(each)[-1].split()[2]) for each in plain]
    assert clips[0] == clips[1]  # those of the reference are heard once
    with pytest.raises(UserError, match="split test is judged, and no row of real"):
        plan(config("generation", place, tmp_path, **made, real="train"))


def test_what_does_not_fit_is_refused_in_one_line(place: Folder, tmp_path: Path) -> None:
    made = {"generated.made": (place / "few").uri}
    with pytest.raises(UserError, match="both judged and reference"):
        plan(config("generation", place, tmp_path, reference="test", **made))
    with pytest.raises(UserError, match="no generated clips are named"):
        plan(config("generation", place, tmp_path))
    with pytest.raises(UserError, match="no row may be called 'real'"):
        plan(config("generation", place, tmp_path, **{"generated.real": (place / "few").uri}))
    with pytest.raises(UserError, match=r"no row may be called 'real \(test\)'"):
        plan(config("generation", place, tmp_path, real="test", **{"generated.real (test)": (place / "few").uri}))
    twice = f"[{(place / 'few').uri}, {(place / 'few').uri}]"
    with pytest.raises(UserError, match=r"generated\.made names the same clips twice"):
        plan(config("generation", place, tmp_path, **{"generated.made": twice}))
    with pytest.raises(UserError, match=r"generated\.made names no shards"):
        plan(config("generation", place, tmp_path, **{"generated.made": "[]"}))
    with pytest.raises(UserError, match="no clips for the row real"):
        plan(config("generation", place, tmp_path, splits="validation", **made))
    with pytest.raises(UserError, match="no classifiers are named"):
        plan(config("accuracy", place, tmp_path))


def test_missing_inputs_are_named_with_the_command_that_makes_them(place: Folder, tmp_path: Path) -> None:
    needs = "{shards: invertone ingest x, generated.gaae 5 %: invertone generate gaae output=shards}"
    given = {"generated": f"{{gaae 5 %: {tmp_path}/not/there}}", "needs": needs}
    lines = plan(config("generation", place, tmp_path, **given))
    assert lines[0].startswith("there:    shards = ") and lines[1].endswith("← invertone generate gaae output=shards")
    assert "1 missing" in lines[2]
    with pytest.raises(UserError, match=r"generated.gaae 5 % is not there yet.*make it by `invertone generate gaae"):
        run("generation", config("generation", place, tmp_path, **given))


def test_rows_that_are_not_there_are_left_out_where_that_is_asked_for(place: Folder, tmp_path: Path) -> None:
    rows = f"{{here: {(place / 'few').uri}, gone: {tmp_path}/gone}}"
    given = {"generated": rows, "needs": "{generated: 'make {name}'}", "partial": True}
    lines = plan(config("generation", place, tmp_path, **given))
    assert f"left out: generated = {tmp_path}/gone ← make gone" in lines and "the rows here, real" in lines[-1]
    with pytest.raises(UserError, match="no generated clips"):
        plan(config("generation", place, tmp_path, **{**given, "generated": f"{{gone: {tmp_path}/gone}}"}))


def test_accuracy_of_several_seeds(in_process: None, place: Folder, tmp_path: Path) -> None:
    cnns = f"[{(place / 'cnn-0').uri},{(place / 'cnn-1').uri}]"
    given = {"classifiers": f"{{CNN 50 %: {cnns}, all: {(place / 'classifier').uri}}}", "splits": "test"}
    rows = table("accuracy", place, tmp_path / "out", published="{CNN 50 %: {accuracy: [0.845, 0.0102]}}", **given)
    assert list(rows) == ["CNN 50 %", "all", "chance"]
    logits, _ = outputs(place, TEST)
    right = [LABELS[at] == clip.info.label_name for at, clip in zip(logits.argmax(1), TEST, strict=True)]
    assert rows["all"]["accuracy"] == pytest.approx(np.mean(right)) and rows["chance"]["accuracy"] == 3 / 9
    cnn = rows["CNN 50 %"]
    assert (cnn["seeds"], cnn["share"], cnn["kind"], cnn["accuracy_published"]) == (2, 0.5, "cnn", 0.845)
    lines = (tmp_path / "out/table.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| CNN"))
    for name, more in (("CNN 50 %: CNN with batch norm", "; and 1 more like it."), ("all: ResNet-18", "")):
        assert any(line.startswith(f"- {name}, width ") and line.endswith(more) for line in lines), lines
    assert f" {cnn['deviation']:.2%} " in row and " 84.50% ± 1.02% " in row
    assert cnn["deviation"] is not None and rows["all"]["deviation"] is None and rows["all"]["share"] is None


def test_a_limit_judges_the_first_clips_of_each_row(in_process: None, place: Folder, tmp_path: Path) -> None:
    given = {"generated.made": (place / "few").uri, "limit": 8}
    rows = table("generation", place, tmp_path / "generation", **given)
    assert {name: row["clips"] for name, row in rows.items()} == {"made": 8, "real": 8, "silence": 8, "noise": 8}
    given = {"classifiers": f"{{all: {(place / 'classifier').uri}}}", "limit": 8}
    first = [*TEST, *made_clips(18, "train")][:8]
    heard = outputs(place, first)[0].argmax(1)
    right = np.mean([LABELS[at] == clip.info.label_name for at, clip in zip(heard, first, strict=True)])
    assert table("accuracy", place, tmp_path / "accuracy", **given)["all"]["accuracy"] == pytest.approx(right)
    words = [f"shards={(place / 'real').uri}", f"classifier={(place / 'classifier').uri}", f"out={tmp_path}/classifier"]
    run("classifier", load(CATALOGUE, "classifier", [*words, "limit=8"]))
    judged = {row["label"]: row for row in json.loads((tmp_path / "classifier/table.json").read_text())["rows"]}
    assert judged["all"]["clips"] == 8 and judged["all"]["accuracy"] == pytest.approx(right)
