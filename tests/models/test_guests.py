"""Generators of others: same sound and gradients as the module they came from; what is wrong is said in one line."""

from __future__ import annotations

import io
import json
import re
import runpy
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from invertone.cluster.config.checks import is_class
from invertone.cluster.errors import UserError
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.models.generator import (
    Traits,
    check_generator,
    generator_digest,
    generator_format,
    load_generator,
    traits,
)
from invertone.models.guest_copies import for_threads
from invertone.models.guests.export import save_program
from invertone.models.guests.guest import Guest, described
from invertone.models.guests.programs import DESCRIPTION, _is_size
from invertone.models.guests.trial import check
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.models.prior import Prior

CPU = torch.device("cpu")
PROGRAMS = ("gan.pt2", "gan.pt")


@pytest.fixture(scope="module")
def generator() -> WaveganGenerator:
    torch.manual_seed(3)
    return WaveganGenerator(2, 8).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def programs(generator: WaveganGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generator as both kinds of program."""
    place = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        save_program(generator, str(place / name))
    return place


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module `guest_gan` on the path; gives the name of its class `Net`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> str:
        sys.modules.pop("guest_gan", None)
        (tmp_path / "guest_gan.py").write_text(textwrap.dedent(text))
        for stale in tmp_path.glob("__pycache__/*"):
            stale.unlink()
        return "guest_gan:Net"

    yield write
    sys.modules.pop("guest_gan", None)


NET = """
import torch
from invertone.models.networks.wavegan import WaveganGenerator

class Net(WaveganGenerator):
    def __init__(self):
        with torch.random.fork_rng():
            torch.manual_seed({seed})
            super().__init__(2, 8)
"""


def gradient(generator: Any, latent: Tensor) -> tuple[Tensor, Tensor]:
    latent = latent.clone().requires_grad_()
    waveform = generator(latent)
    (slope,) = torch.autograd.grad((waveform * torch.linspace(-1, 1, waveform.shape[1])).sum(), latent)
    return waveform.detach(), slope


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_programs_sound_and_gradient_are_the_modules_from_the_first_call(
    name: str, programs: Path, generator: WaveganGenerator
) -> None:
    loaded, digest = load_generator(str(programs / name))
    assert digest == generator_digest(str(programs / name)) == check_generator(str(programs / name))
    assert isinstance(loaded, nn.Module) and not loaded.training and loaded.prior == Prior("uniform")
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for call, count in enumerate((1, 5, 5, 5, 64)):
        latent = generator.prior.sample(count, 8, torch.Generator().manual_seed(call))
        (wave, slope), (wanted, wanted_slope) = gradient(loaded, latent), gradient(generator, latent)
        assert torch.allclose(wave, wanted, atol=1e-6)
        assert float((slope - wanted_slope).abs().max()) <= 1e-5 * float(wanted_slope.abs().max()), call
    loaded.to(CPU)
    assert torch.allclose(loaded(latent), wanted, atol=1e-6)


def test_a_class_is_loaded_frozen_and_known_by_name_source_and_weights(module: Callable[[str], str]) -> None:
    name = module(NET.format(seed=1))
    loaded, digest = load_generator(name)
    assert isinstance(loaded, Guest) and not loaded.training and loaded.latent_size == 8
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert digest == check_generator(name)
    assert generator_digest(module(NET.format(seed=1) + "# a remark\n")) != digest
    assert generator_digest(module(NET.format(seed=2))) != digest
    assert load_generator(module(NET.format(seed=1)), expected=digest)[1] == digest
    with pytest.raises(UserError, match="not the one that the job was started with"):
        load_generator(module(NET.format(seed=2)), expected=digest)


def test_a_plain_object_with_a_prior_as_text_is_a_generator_too(module: Callable[[str], str]) -> None:
    loaded, _ = load_generator(
        module(
            """
            import torch

            class Net:
                latent_size, prior, sample_rate = 3, "normal", 16_000

                def __call__(self, latent):
                    return torch.tanh(latent.sum(1, keepdim=True) * torch.linspace(0, 1, 16384, device=latent.device))
            """
        )
    )
    assert loaded.prior == Prior("normal") and loaded(torch.zeros(2, 3)).shape == (2, 16_384)
    assert loaded.to(CPU) is loaded  # type: ignore[attr-defined]


REFUSED_CLASSES = {
    "no module named 'no_such_thing'; type the command in the folder": ("no_such_thing:Net", ""),
    "no module named 'models.inner' in .*models/__init__.py": ("models.inner:Net", ""),
    "no module named 'guest_gan.inner'": ("guest_gan.inner:Net", "x = 1"),
    "guest_gan needs 'no_such_thing', which is not installed": ("guest_gan:Net", "import no_such_thing"),
    "importing guest_gan raised SyntaxError": ("guest_gan:Net", "class Net(:"),
    r"has no 'Nett'; .*did you mean 'Net'": ("guest_gan:Nett", "class Net: pass"),
    "Net is a int, not a class": ("guest_gan:Net", "Net = 3"),
    "constructing it without arguments raised TypeError: .*'width'": (
        "guest_gan:Net",
        "class Net:\n    def __init__(self, width): pass",
    ),
    "constructing it without arguments raised FileNotFoundError: .*weights.bin": (
        "guest_gan:Net",
        "class Net:\n    def __init__(self): open('weights.bin')",
    ),
    "attribute latent_size is missing": ("guest_gan:Net", "class Net: prior = 'uniform'"),
    "attribute prior is missing": ("guest_gan:Net", "class Net: latent_size = 3"),
    "its instances cannot be called": ("guest_gan:Net", "class Net: latent_size, prior = 3, 'normal'"),
    "attribute clip_samples is 0, not a positive": (
        "guest_gan:Net",
        "class Net: latent_size, prior, clip_samples = 3, 'normal', 0",
    ),
    "attribute sample_rate is 22050.0, not a positive whole number": (
        "guest_gan:Net",
        "class Net: latent_size, prior, sample_rate = 3, 'normal', 22050.0",
    ),
    "attribute channels is 6": ("guest_gan:Net", "class Net: latent_size, prior, channels = 3, 'normal', 6"),
}


@pytest.mark.parametrize("message", REFUSED_CLASSES)
def test_a_class_that_cannot_be_one_is_refused_by_what_is_wrong(message: str, module: Callable[[str], str]) -> None:
    name, text = REFUSED_CLASSES[message]
    module(text)
    with pytest.raises(UserError, match=message) as caught:
        load_generator(name)
    assert "\n" not in str(caught.value) and caught.value.fix


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("sample_rate = 44100; clip_samples = 65536; channels = 2", ClipFormat(44_100, 65_536, 2)),
        ("sample_rate = 8000", ClipFormat(8_000, 16_384, 1)),
        ("clip_samples = 100", ClipFormat(16_000, 100, 1)),
    ],
)
def test_a_class_says_what_clips_it_makes(said: str, wanted: ClipFormat, module: Callable[[str], str]) -> None:
    text = (
        "class Net:\n    latent_size, prior = 3, 'normal'\n    {}\n    def __call__(self, latent):\n        return {}\n"
    )
    ones = ", ".join("1" for _ in wanted.view)
    right = f"latent.tanh().mean(1).reshape(-1, {ones}).repeat(1, {', '.join(map(str, wanted.view))})"
    name = module(text.format(said, right))
    generator, _ = load_generator(name)
    assert generator_format(name) == wanted and generator(torch.zeros(2, 3)).shape == (2, *wanted.view)
    module(text.format(said, "latent.tanh().repeat(1, 5)"))
    with pytest.raises(UserError, match=r"forward gives shape \[\d, 15\] for \d latents, not"):
        load_generator(name)


@pytest.mark.parametrize("uri", ["{}/gan.py:Net", "{}/nothing", "{}/folder", "{}/model.onnx", "{}/gone.pt2"])
def test_a_place_that_is_no_generator_is_told_what_it_could_be(uri: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    with pytest.raises(UserError) as caught:
        check_generator(uri.format(tmp_path))
    wanted = {"Net": "as gan:Net", "pt2": "no such file", "folder": "package.module:Class", "onnx": "FILE.pt2"}
    assert wanted.get(uri.replace(":", ".").rpartition(".")[2], "FILE.pt") in str(caught.value)


def test_the_guides_example_works_as_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    (text,) = (block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "class Net" in block)
    (tmp_path / "mygan.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(UserError, match="another generator each time it is constructed"):
            check_generator("mygan:Net")  # its weights are not there yet
        runpy.run_path(str(tmp_path / "mygan.py"), run_name="__main__")
        digest = check_generator("mygan:Net")
        net = sys.modules["mygan"].Net()
        save_program(net, str(tmp_path / "mygan.pt2"))
        latent = torch.rand(5, 100) * 2 - 1
        assert torch.allclose(load_generator(str(tmp_path / "mygan.pt2"))[0](latent), net(latent), atol=1e-6)
        assert load_generator("mygan:Net")[1] == digest
    finally:
        sys.modules.pop("mygan", None)


def test_weights_drawn_at_random_by_the_constructor_are_refused(module: Callable[[str], str]) -> None:
    name = module(
        """
        from invertone.models.networks.wavegan import WaveganGenerator

        class Net(WaveganGenerator):
            def __init__(self):
                super().__init__(2, 8)
        """
    )
    with pytest.raises(UserError, match="another generator each time it is constructed; load its trained weights"):
        check_generator(name)


class Sound(nn.Module):
    """Latents [b, 4] → a ramp each: well behaved, and the parent of those that are not."""

    latent_size, prior = 4, "normal"

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 16_384)
        self.norm, self.dropout = nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.eval()

    def forward(self, latent: Tensor) -> Tensor:
        return torch.tanh(self.dense(latent))


def bad(change: Callable[[Sound, Tensor], Any]) -> Guest:
    class Bad(Sound):
        def forward(self, latent: Tensor) -> Any:
            return change(self, super().forward(latent))

    return guest(Bad())


def guest(made: Sound) -> Guest:
    return Guest(described({"latent_size": 4, "prior": "normal"}, "bad"), made)


REFUSED: dict[str, Callable[[Sound, Tensor], Any]] = {
    r"forward gives shape \[1, 1, 16384\] for 1 latents, not \[1, 16384\]": lambda net, wave: wave[:, None],
    r"forward gives shape \[1, 100\]": lambda net, wave: wave[:, :100],
    "forward gives a tuple": lambda net, wave: (wave,),
    "forward gives torch.float64": lambda net, wave: wave.double(),
    "NaN or infinite samples": lambda net, wave: wave / 0,
    "samples up to .*, full scale is 1": lambda net, wave: wave * 32_768,
    r"takes a batch of 1 and not one of 3: forward raised for latents \[3, 4\]: RuntimeError": lambda net, wave: (
        wave.view(1, 16_384)
    ),
    "other sound of the same latent the second time": lambda net, wave: nn.functional.dropout(wave) / 2,
    "depends on the others in the batch": lambda net, wave: wave - wave.mean(0) / 2,
    "no gradient to the latent": lambda net, wave: wave.detach(),
    "gradient to the latent is zero": lambda net, wave: wave * 0,
    "gradient to the latent is NaN": lambda net, wave: wave + (wave - wave).square().sum(1, keepdim=True).sqrt(),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_guest_that_misbehaves_is_refused_by_what_it_does(message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(UserError, match=message) as caught:
        check(bad(REFUSED[message]), "bad", CPU)
    assert "\n" not in str(caught.value) and caught.value.where == "bad" and caught.value.fix


def test_a_guest_that_behaves_and_one_that_needs_a_label() -> None:
    check(guest(Sound()), "good", CPU)

    class Labelled(Sound):
        def forward(self, latent: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(latent)

    with pytest.raises(UserError, match=r"needs a label: .*give `label` a default"):
        check(guest(Labelled()), "labelled", CPU)


class Spoken(Sound):
    """Makes louder sound of a higher label, which it needs."""

    label_names = ("low", "middle", "high")

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(latent) * ((label.to(latent.dtype) + 1) / 4)[:, None]


def test_a_guest_that_names_its_labels_is_told_them() -> None:
    torch.manual_seed(0)
    made = Spoken()
    told = Guest(described({"latent_size": 4, "prior": "normal", "label_names": made.label_names}, "spoken"), made)
    check(told, "spoken", CPU)
    latent = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    latent[:, 0] = torch.tensor([-9.0, -1.0, -0.1, 0.1, 1.0, 9.0])
    chosen = torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.equal(told(latent), made(latent, chosen)) and torch.equal(told(latent, chosen), told(latent))
    assert torch.allclose(told(latent, torch.full((6,), 2)), 3 * told(latent, torch.zeros(6, dtype=torch.int64)))
    copied: Any = for_threads(told)
    assert copied.label_names == made.label_names and torch.equal(copied(latent), told(latent))


@pytest.mark.parametrize("name", ["spoken.pt2", "spoken.pt"])
def test_a_program_with_labels_is_saved_with_their_names(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = Spoken()
    digest = save_program(made, str(tmp_path / name))
    loaded, known = load_generator(str(tmp_path / name))
    assert known == digest and traits(str(tmp_path / name)) == Traits(None, made.label_names)
    for count in (1, 5):
        latent, label = torch.randn(count, 4), torch.arange(count) % 3
        assert torch.allclose(loaded(latent, label), made(latent, label), atol=1e-6)


def test_a_program_that_takes_no_label_may_not_name_any(tmp_path: Path) -> None:
    told = '{"latent_size": 4, "prior": "normal", "label_names": ["a", "b"]}'
    shapes = [{0: torch.export.Dim.DYNAMIC}]
    path = exported(tmp_path / "a.pt2", Sound(), (torch.zeros(2, 4),), shapes, generator_json=told)
    with pytest.raises(UserError, match="has label_names, and its second input is no tensor of labels"):
        load_generator(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"latent_size": 4, "prior": "normal", "label_names": []},
            r"label_names is \[\], not a list of different names",
        ),
        ({"latent_size": 4, "prior": "normal", "label_names": ["a", "a"]}, "label_names is .*not a list of different"),
        ({"latent_size": 4, "prior": "normal", "label_names": 10}, "label_names is 10, not a list"),
        ({"latent_size": 0, "prior": "uniform"}, "latent_size is 0, not a positive whole number"),
        ({"latent_size": True, "prior": "uniform"}, "latent_size is True"),
        ({"latent_size": 2.5, "prior": "uniform"}, "latent_size is 2.5"),
        ({"latent_size": 4, "prior": "gaussian"}, "prior is 'gaussian', not uniform or normal"),
        (
            {"latent_size": 4, "prior": "normal", "sample_rate": "44100"},
            "sample_rate is '44100', not a positive whole number",
        ),
        ({"latent_siz": 4, "prior": "normal"}, "unknown key 'latent_siz'.*did you mean 'latent_size'"),
        ([4, "normal"], "is no JSON object"),
    ],
)
def test_a_description_that_is_wrong_is_refused(values: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        described(values, "gan.json")


def exported(path: Path, net: nn.Module, example: tuple[Any, ...], shapes: Any = None, **extra: str) -> str:
    program = torch.export.export(net, example, dynamic_shapes=shapes)
    torch.export.save(program, path, extra_files={name.replace("_", "."): text for name, text in extra.items()})
    return str(path)


def test_a_description_beside_a_program_counts_and_may_not_contradict(tmp_path: Path) -> None:
    path = exported(tmp_path / "a.pt2", Sound(), (torch.zeros(2, 4),), [{0: torch.export.Dim.DYNAMIC}])
    with pytest.raises(UserError, match=r"nothing says which latents.*into a\.json beside it"):
        generator_digest(path)
    (tmp_path / "a.json").write_text('{"latent_size": 5, "prior": "normal"}')
    with pytest.raises(UserError, match="takes latents of 4, latent_size says 5"):
        load_generator(path)
    (tmp_path / "a.json").write_text('{"latent_size": 4, "prior": "normal"}')
    digest = load_generator(path)[1]
    (tmp_path / "a.json").write_text('{"latent_size": 4, "prior": "uniform"}')
    assert generator_digest(path) != digest
    save_program(Sound(), str(tmp_path / "b.pt"))
    (tmp_path / "b.json").write_text('{"latent_size": 4, "prior": "uniform"}')
    with pytest.raises(UserError, match=r"b\.json says .*generator\.json inside the file"):
        generator_digest(str(tmp_path / "b.pt"))
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        generator_digest(str(tmp_path / "b.pt"))


def test_a_program_of_one_batch_size_is_named_so(tmp_path: Path) -> None:
    told = '{"latent_size": 4, "prior": "normal"}'
    path = exported(tmp_path / "a.pt2", Sound(), (torch.zeros(3, 4),), generator_json=told)
    with pytest.raises(UserError, match=r"exported for batches of 3 alone; .*dynamic batch"):
        load_generator(path)

    class Fixed(Sound):
        def forward(self, latent: Tensor) -> Tensor:
            return super().forward(latent).view(len(latent), 16_384)

    torch.jit.save(torch.jit.trace(Fixed(), (torch.zeros(3, 4),)), tmp_path / "b.pt", {DESCRIPTION: told})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"takes a batch of 3 and not one of 1: .*shape '\[3, 16384\]'"):
        load_generator(str(tmp_path / "b.pt"))


def test_a_program_moves_with_the_devices_written_into_its_graph(tmp_path: Path) -> None:
    class Bound(Sound):
        def forward(self, latent: Tensor) -> Tensor:
            return super().forward(latent) * torch.linspace(0, 1, 16_384, device=latent.device)

    save_program(Bound(), str(tmp_path / "a.pt2"))
    loaded: Any = load_generator(str(tmp_path / "a.pt2"))[0]
    assert loaded.to("meta") is loaded
    assert loaded(torch.zeros(2, 4, device="meta")).device.type == "meta"


def test_a_program_with_a_label_is_called_without_or_refused(tmp_path: Path) -> None:
    class Optional(Sound):
        def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:  # type: ignore[override]
            return super().forward(latent)

    told = '{"latent_size": 4, "prior": "normal"}'
    shapes = [{0: torch.export.Dim.DYNAMIC}, None]
    path = exported(tmp_path / "a.pt2", Optional(), (torch.zeros(2, 4), None), shapes, generator_json=told)
    assert load_generator(path)[0](torch.zeros(5, 4)).shape == (5, 16_384)

    class Needed(Sound):
        def forward(self, latent: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(latent) * label[:, None]

    shapes = [{0: torch.export.Dim.DYNAMIC}, {0: torch.export.Dim.DYNAMIC}]
    path = exported(tmp_path / "b.pt2", Needed(), (torch.zeros(2, 4), torch.ones(2)), shapes, generator_json=told)
    with pytest.raises(UserError, match="its inputs are latent, label, not one tensor"):
        load_generator(path)


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> str:
    """A program's file with other bytes in it, as somebody who means ill would make it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, data in more.items():
            new.writestr(f"archive/{name}", data)
    return str(target)


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def replaced(suffix: str, old: str, new: str) -> Callable[[str, bytes], bytes]:
    def change(name: str, data: bytes) -> bytes:
        if not name.endswith(suffix):
            return data
        assert old.encode() in data, f"{old} is not in {name}"
        return data.replace(old.encode(), new.encode())

    return change


def test_an_exported_program_that_would_execute_code_is_refused_unloaded(programs: Path, tmp_path: Path) -> None:
    source, trace = programs / "gan.pt2", tmp_path / "executed"
    buffer = io.BytesIO()
    torch.save(Evil(trace), buffer)

    def inputs(name: str, data: bytes) -> bytes:
        return buffer.getvalue() if name.endswith("sample_inputs/model.pt") else data

    attacks: dict[str, tuple[Callable[[str, bytes], bytes], dict[str, bytes]]] = {
        "example inputs that are no tensors": (inputs, {}),
        "calls 'torch.os.system'": (replaced("model.json", "torch.ops.aten.tanh.default", "torch.os.system"), {}),
        "calls 'torch.ops.aten.from_file.default'": (
            replaced("model.json", "torch.ops.aten.tanh.default", "torch.ops.aten.from_file.default"),
            {},
        ),
        "an odd size": (replaced("model.json", "Symbol('s", f"open('{trace}', 'w') and Symbol('s"), {}),
        "weights as pickles": (replaced("weights_config.json", '"use_pickle": false', '"use_pickle": true'), {}),
        "an odd text": (replaced("model.json", '"name": "tanh"', '"name": "tanh=print()"'), {}),
        "takes or gives collections.defaultdict": (
            replaced("model.json", "builtins.tuple", "collections.defaultdict"),
            {},
        ),
        "holds data/weights/model.pt": (lambda name, data: data, {"data/weights/model.pt": buffer.getvalue()}),
        "holds data/aotinductor/model/a.so": (lambda name, data: data, {"data/aotinductor/model/a.so": b"elf"}),
    }
    for number, (message, (change, more)) in enumerate(attacks.items()):
        path = rewritten(source, tmp_path / f"{number}.pt2", change, **more)
        with pytest.raises(UserError, match=message):
            load_generator(path)
    assert not trace.exists()
    assert load_generator(rewritten(source, tmp_path / "same.pt2", lambda name, data: data))[0].latent_size == 8


@pytest.mark.parametrize("text", ["s0", "2*s81 + 1", "Symbol('s81', positive=True, integer=True)", "Max(1, s0//4)"])
def test_sizes_are_arithmetic(text: str) -> None:
    assert _is_size(text)


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "s0.__class__", "Symbol('__import__')", "(lambda: 1)()", "[1 for _ in s0]", "s0[0]", "Max('s0+1')",
     "f'{s0}'", "exit", "(s0 := 1)", "open", "Symbol(b's0')", ""],
)  # fmt: skip
def test_what_is_not_arithmetic_is_no_size(text: str) -> None:
    assert not _is_size(text)


def test_a_script_that_reaches_files_or_other_libraries_is_refused_unloaded(programs: Path, tmp_path: Path) -> None:
    class Writes(Sound):
        def forward(self, latent: Tensor) -> Tensor:
            torch.save(latent, "/nowhere/executed")
            return torch.tanh(self.dense(latent))

    class Reads(Sound):
        def forward(self, latent: Tensor) -> Tensor:
            return torch.tanh(self.dense(latent)) + torch.from_file("/etc/hostname", False, 1)

    for net, called in ((Writes(), "torch.save"), (Reads(), "torch.from_file")):
        path = tmp_path / f"{called}.pt"
        torch.jit.save(torch.jit.script(net), path, {DESCRIPTION: '{"latent_size": 4, "prior": "normal"}'})  # type: ignore[arg-type]
        with pytest.raises(UserError, match=f"calls {called}"):
            load_generator(str(path))

    for called in ("ops.image.read_file", "torch.classes.other.Thing"):
        path = tmp_path / "other.pt"
        new = called.encode()
        rewritten(
            programs / "gan.pt",
            path,
            lambda name, data, new=new: data.replace(b"torch.tanh", new) if "code/" in name else data,
        )
        with pytest.raises(UserError, match=f"calls {called.rpartition('.')[0].removesuffix('.other')}"):
            load_generator(str(path))


def test_a_constructor_that_seeds_does_not_seed_what_comes_after(module: Callable[[str], str]) -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    load_generator(module(NET.format(seed=2).replace("with torch.random.fork_rng():", "if True:")))
    assert torch.equal(torch.rand(3), wanted)


def test_a_pickle_and_a_damaged_file_are_no_programs(programs: Path, tmp_path: Path) -> None:
    told = json.dumps({"latent_size": 4, "prior": "normal"})
    for name in ("weights.pt", "cut.pt2", "text.pt2"):
        (tmp_path / name).with_suffix(".json").write_text(told)
    torch.save(Sound().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match=r"is a pickle of torch.save, not TorchScript"):
        load_generator(str(tmp_path / "weights.pt"))
    whole = (programs / "gan.pt2").read_bytes()
    with zipfile.ZipFile(tmp_path / "text.pt2", "w") as file:
        file.writestr("archive/archive_format", "pt2")
        file.writestr("archive/version", "6")
    with pytest.raises(UserError, match="lacks its part data/weights"):
        load_generator(str(tmp_path / "text.pt2"))
    for name, data in (("cut.pt2", whole[: len(whole) // 2]), ("text.pt2", b"no program")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match="is damaged, or no program"):
            load_generator(str(tmp_path / name))


def test_a_program_on_s3_is_the_one_on_disk(programs: Path, s3: str) -> None:
    place = Folder.at(f"{s3}/guests")
    for name in PROGRAMS:
        place.publish_bytes(name, (programs / name).read_bytes())
        assert load_generator(place.path_of(name))[1] == generator_digest(str(programs / name))


@given(st.text("ab_1.:/-", max_size=8))
def test_what_names_a_class(text: str) -> None:
    word = "[ab_][ab_1]*"
    assert is_class(text) == bool(re.fullmatch(rf"{word}(\.{word})*:{word}", text))


@pytest.mark.parametrize(
    "text", ["s3://bucket/x", "a/b:C", "/a:C", "a.py/b", "a:", ":C", "a:C()", "a.:C", "a:b:c", "gan"]
)
def test_what_is_a_place_and_no_class(text: str) -> None:
    assert not is_class(text)
