"""Clips of one format, and models, shards and runs of another: wherever the two meet one line says which of them wants what,
before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from invertone import command_line
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, publish
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.infer.files.inverter import Inverter
from tests.eval.planted import planted_run
from tests.made import LABELS, made_clips

OTHERS = {
    "rate": ClipFormat(8_000, 16_384),
    "length": ClipFormat(16_000, 32_768),
    "channels": ClipFormat(16_000, 16_384, 2),
}
KINDS = {"generator": "wavegan", "mapper": "mapper", "restyle": "restyle", "classifier": "classifier", "cnn": "cnn"}
KINDS |= {"bigan": "bigan", "biggan": "biggan"}
NETWORKS: dict[str, dict[str, dict[str, int]]] = {"biggan": {"generator_average": {"classes": 3}}}


@dataclass(frozen=True)
class Side:
    """Everything of one format, in folders by role: checkpoints, `shards`, a `run` of infer over them, and over clips of the
    generator's, `again`."""

    place: Path
    clips: ClipFormat

    def __getattr__(self, role: str) -> str:
        return str(self.place / role)


def side(place: Path, clips: ClipFormat) -> Side:
    """Nothing was trained: what is compared stands in manifests."""
    digests = {}
    for role, kind in KINDS.items():
        inputs = {"generator": digests["generator"]} if role in ("mapper", "restyle") else {}
        said = CheckpointManifest(
            *(kind, NETWORKS.get(kind, {}), 1, clips, "untouched"),
            label_names=LABELS,
            inputs=inputs,
        )
        digests[role] = publish(Folder.at(str(place / role)), said, {}).digest
    groups = [made_clips(3, "train", clips=clips), made_clips(3, "test", clips=clips)]
    generator = (str(place / "generator"), digests["generator"])
    for name, by in (("run", None), ("again", digests["generator"])):
        planted_run(
            Folder.at(str(place)),
            name,
            groups,
            lambda clip: {"latent": np.zeros(2, np.float32)},
            generator=generator,
            made_by=by,
            clips=clips,
        )
    (place / "shards").symlink_to(place / "run-shards")
    (place / "generated").symlink_to(place / "again-shards")
    return Side(place, clips)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Side:
    return side(tmp_path_factory.mktemp("usual"), USUAL)


@pytest.fixture(scope="module", params=OTHERS)
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Side:
    return side(tmp_path_factory.mktemp(request.param), OTHERS[request.param])


Words = Callable[[Side, Side], str]
# of two sides: the command; where the other's lies, who it is, and whose format it has not
MEETINGS: dict[str, tuple[Words, str, str, str]] = {
    "infer encoder, generator": (
        lambda a, b: f"infer encoder shards={a.shards} generator={b.generator} mapper={b.mapper}",
        *("generator", "generator", "shards"),
    ),
    "infer encoder, mapper": (
        lambda a, b: f"infer encoder shards={a.shards} generator={a.generator} mapper={b.mapper}",
        *("mapper", "mapper", "generator"),
    ),
    "infer encoder, classifier": (
        lambda a, b: (
            f"infer encoder shards={a.shards} generator={a.generator} mapper={a.mapper} classifier={b.classifier}"
        ),
        *("classifier", "classifier", "generator"),
    ),
    "infer restyle, mapper": (
        lambda a, b: f"infer restyle shards={a.shards} generator={a.generator} mapper={b.restyle}",
        *("restyle", "mapper", "generator"),
    ),
    "infer gradient, generator": (
        lambda a, b: f"infer gradient shards={a.shards} generator={b.generator} classifier={b.cnn}",
        *("generator", "generator", "shards"),
    ),
    "infer gradient, classifier": (
        lambda a, b: f"infer gradient shards={a.shards} generator={a.generator} classifier={b.cnn}",
        *("cnn", "classifier", "generator"),
    ),
    "infer hybrid, mapper": (
        lambda a, b: (
            f"infer hybrid shards={a.shards} generator={a.generator} mapper={b.mapper} classifier={a.classifier}"
        ),
        *("mapper", "mapper", "generator"),
    ),
    "generate clips, classifier": (
        lambda a, b: f"generate clips generator={a.generator} classifier={b.classifier} count=2",
        *("classifier", "classifier", "generator"),
    ),
    "train wavegan, classifier": (
        lambda a, b: f"train wavegan shards={a.shards} classifier={b.classifier}",
        *("classifier", "classifier", "shards"),
    ),
    "train wae, classifier": (
        lambda a, b: f"train wae shards={a.shards} classifier={b.classifier}",
        *("classifier", "classifier", "shards"),
    ),
    "train mapper, generator": (
        lambda a, b: f"train mapper shards={a.shards} generator={b.generator} classifier={a.classifier}",
        *("generator", "generator", "shards"),
    ),
    "train mapper, classifier": (
        lambda a, b: f"train mapper shards={a.shards} generator={a.generator} classifier={b.classifier}",
        *("classifier", "classifier", "shards"),
    ),
    "train mapper, initial": (
        lambda a, b: (
            f"train mapper shards={a.shards} generator={a.generator} classifier={a.classifier} initial={b.mapper}"
        ),
        *("mapper", "initial", "shards"),
    ),
    "train restyle, generator": (
        lambda a, b: f"train restyle shards={a.shards} generator={b.generator} classifier={b.classifier}",
        *("generator", "generator", "shards"),
    ),
    "train gaae, guidance": (
        lambda a, b: f"train gaae shards={a.shards} guidance.shards={b.shards}",
        *("shards", "guidance.shards", "shards"),
    ),
    "train gaae, classifier": (
        lambda a, b: f"train gaae shards={a.shards} classifier={b.classifier}",
        *("classifier", "classifier", "shards"),
    ),
    "train cnn, also": (
        lambda a, b: f"train cnn shards={a.shards} also={b.generated}",
        *("generated", "also", "shards"),
    ),
    "train cnn, guidance": (
        lambda a, b: f"train cnn shards={a.shards} guidance.shards={b.shards}",
        *("shards", "guidance.shards", "shards"),
    ),
    "train bigan, generator": (
        lambda a, b: f"train bigan shards={a.shards} generator={b.biggan}",
        *("biggan", "generator", "shards"),
    ),
    "train bigan-classifier, encoder": (
        lambda a, b: f"train bigan-classifier shards={a.shards} encoder={b.bigan}",
        *("bigan", "encoder", "shards"),
    ),
    "tune mapper, generator": (
        lambda a, b: (
            f"tune mapper-weights given.shards={a.shards} given.generator={b.generator} given.classifier={a.classifier}"
        ),
        *("generator", "generator", "shards"),
    ),
    "eval generation, generated": (
        lambda a, b: f"eval generation shards={a.shards} classifier={a.classifier} generated.gan=[{b.generated}]",
        *("generated", "generated.gan", "shards"),
    ),
    "eval generation, classifier": (
        lambda a, b: f"eval generation shards={a.shards} classifier={b.classifier} generated.gan=[{a.generated}]",
        *("classifier", "classifier", "shards"),
    ),
    "eval accuracy": (
        lambda a, b: f"eval accuracy shards={a.shards} classifiers.one=[{a.classifier},{b.cnn}]",
        *("cnn", "classifiers.one", "shards"),
    ),
    "eval classifier": (
        lambda a, b: f"eval classifier shards={a.shards} classifier={b.classifier}",
        *("classifier", "classifier", "shards"),
    ),
    "eval reconstruction, classifier": (
        lambda a, b: f"eval reconstruction latents=[{a.run}] classifier={b.classifier}",
        *("classifier", "classifier", "shards"),
    ),
    "eval reconstruction, generator": (
        lambda a, b: f"eval reconstruction latents=[{a.run}] generator={b.generator}",
        *("generator", "generator", "shards"),
    ),
    "eval compare-generators, classifier": (
        lambda a, b: f"eval compare-generators latents=[{a.run}] classifier={b.classifier} splits=[]",
        *("classifier", "classifier", "shards"),
    ),
    "eval deepfake": (
        lambda a, b: f"eval deepfake real={a.run} fake={b.again}",
        *("again-shards", "fake", "real clips"),
    ),
    "eval latent-space, runs": (
        lambda a, b: f"eval latent-space latents=[{a.run},{b.run}]",
        *("run", r"encoder \(.+/run\)", r"clips of encoder \(.+/run\)"),
    ),
    "eval latent-space, generator": (
        lambda a, b: f"eval latent-space latents=[{a.run}] generator={b.generator}",
        *("generator", "generator", "shards"),
    ),
    "invert, mapper": (
        lambda a, b: f"invert some.wav generator={a.generator} mapper={b.mapper} classifier={a.classifier}",
        *("mapper", "mapper", "generator"),
    ),
    "invert, classifier": (
        lambda a, b: f"invert some.wav generator={a.generator} mapper={a.mapper} classifier={b.classifier}",
        *("classifier", "classifier", "generator"),
    ),
}


@pytest.mark.parametrize("meeting", MEETINGS)
def test_where_formats_meet_and_differ_one_line_says_who_wants_what(
    meeting: str, ours: Side, theirs: Side, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, role, named, whose = MEETINGS[meeting]
    line, out = words(ours, theirs), tmp_path / "out.wav"
    assert command_line.main([*line.split(), f"out={out}"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and not list(tmp_path.iterdir())
    found = re.fullmatch(
        r"invertone: (.+?): (.+) is (for|of) (.+), not (.+) as the (.+); give another, or clips of an ingest with (.+)\n",
        captured.err,
    )
    assert found, captured.err
    where, who, _, has, wanted, others, keys = found.groups()
    assert Path(where).resolve() == (theirs.place / role).resolve()
    assert (has, wanted, keys) == (str(theirs.clips), str(ours.clips), theirs.clips.keys)
    assert re.fullmatch(named, who) and re.fullmatch(whose, others)


def test_a_dry_run_refuses_as_the_run_does(ours: Side, theirs: Side, capsys: pytest.CaptureFixture[str]) -> None:
    for words, *_ in MEETINGS.values():
        line = words(ours, theirs).split()
        if line[0] == "invert":
            continue
        assert command_line.main([*line, "out=/nowhere/out", "--dry-run"]) == 2
        assert " as the " in capsys.readouterr().err, line


def test_the_python_door_refuses_too(ours: Side, theirs: Side) -> None:
    with pytest.raises(UserError, match=r"mapper is for .* as the generator"):
        Inverter("encoder", generator=ours.generator, mapper=theirs.mapper, classifier=None, device="cpu")


def test_what_is_of_one_format_is_not_refused_for_it(theirs: Side, capsys: pytest.CaptureFixture[str]) -> None:
    """The same commands with both sides alike fail, where they do, of something else: nothing here was trained."""
    for words, *_ in MEETINGS.values():
        line = words(theirs, theirs).split()
        if line[0] != "invert":
            command_line.main([*line, "out=/nowhere/out", "--dry-run"])
            assert " as the " not in capsys.readouterr().err, line
