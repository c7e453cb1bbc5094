"""Program files of others: `torch.export` (.pt2) and TorchScript (.pt). What is in one is looked at before torch loads it.

Torch's own loaders trust the file: `torch.export.load` unpickles objects, evaluates size expressions and looks operators up
by any dotted name below `torch`; TorchScript has operators that read and write files. So a program is refused unless it is
made of what programs of tensors need: tensors, tensor operators, sizes.
"""

from __future__ import annotations

import ast
import io
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from invertone.cluster.errors import UserError

EXPORTED, SCRIPTED = (".pt2",), (".pt", ".ts", ".torchscript")
DESCRIPTION = "generator.json"
_PARTS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|extra/.*"
    r"|models/model\.json|data/(weights|constants)/((weight|tensor)_\d+|model_(weights|constants)_config\.json)"
    r"|data/sample_inputs/model\.pt"
)
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b)\w+\.\w+"
    r"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
    r"|torch\.sym_\w+|math\.\w+"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_)"
)
_SYMBOL = re.compile(r"[suz]f?\d+")
_SIZE_FUNCTION = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Mod|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|Equality|Unequality|Identity"
    r"|(Strict)?(LessThan|GreaterThan)|FloorDiv|CeilDiv|CleanDiv|IntTrueDiv|FloatTrueDiv|ModularIndexing|PythonMod|Where"
    r"|PowByNatural|CeilToInt|FloorToInt|TruncToInt|ToFloat"
)
_SIZE_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.keyword, ast.Name, ast.Constant,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip
_WORD = re.compile(r"[\w.+-]*")  # what may end in the Python text that torch writes and compiles for a graph
_SCRIPT_FORBIDDEN = {"save", "load", "from_file", "classes"}


class Archive:
    """A program's file, read by torch's own reader, so that what is looked at is what is loaded."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where = data, where
        try:
            self._reader = torch._C.PyTorchFileReader(io.BytesIO(data))
        except (RuntimeError, ValueError):
            raise self.refusal("is damaged, or no program that torch wrote") from None
        self.names: list[str] = self._reader.get_all_records()

    def read(self, name: str) -> bytes:
        if name not in self.names:
            raise self.refusal(f"lacks its part {name}")
        return bytes(self._reader.get_record(name))

    def refusal(self, what: str) -> UserError:
        return UserError(
            what, where=self.where, fix="save the generator anew with invertone.models.guests.export.save_program"
        )

    def description(self) -> Any:
        """What `generator.json` inside the file says, None if there is none."""
        name = f"extra/{DESCRIPTION}"
        return parsed_json(self.read(name), f"{self.where}!/{DESCRIPTION}") if name in self.names else None


def parsed_json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(f"is no JSON: {error}", where=where, fix='write {"latent_size": …, "prior": …}') from None


def load_exported(archive: Archive) -> ExportedProgram:
    """The program of a .pt2, where it was exported. Raises UserError for what is no program of tensors."""
    try:
        _check_exported(archive)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a buffer that cannot be written, and nobody does
            return torch.export.load(io.BytesIO(archive.data))
    except UserError:
        raise
    except Exception as error:  # torch raises whatever its parts do
        raise archive.refusal(f"torch {torch.__version__} cannot load it: {first_line(error)}") from None


def moved(program: ExportedProgram, device: torch.device) -> ExportedProgram:
    """The same program with weights, constants and the devices written into its graph on `device`."""
    from torch.export.passes import move_to_device_pass

    return move_to_device_pass(program, device)


def load_scripted(archive: Archive) -> nn.Module:
    """The module of a TorchScript file, on the CPU. Raises UserError for a pickle and for operators that reach files."""
    if "constants.pkl" not in archive.names:
        raise UserError(
            "is a pickle of torch.save, not TorchScript; pickles execute code and are not read",
            where=archive.where,
            fix="give package.module:Class, a class that loads its weights itself, or a program saved with save_program",
        )
    for name in archive.names:
        if name.startswith("code/") and name.endswith(".py"):
            _check_script(archive, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(io.BytesIO(archive.data), map_location="cpu")
            for parameter in module.parameters():
                parameter.requires_grad_(False)
            return module.eval()
    except Exception as error:
        raise archive.refusal(f"torch {torch.__version__} cannot load it: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """Kind and reason of an error in one line; TorchScript says the reason last, after a traceback of its own."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1].strip() if "TorchScript interpreter" in lines[0] else f"{type(error).__name__}: {lines[0]}"


def _check_exported(archive: Archive) -> None:
    """Raises UserError unless the file holds raw tensors and a graph of tensor operators, and nothing else."""
    for name in archive.names:
        if not _PARTS.fullmatch(name):
            raise archive.refusal(f"holds {name}, which no program of tensors needs")
    for kind in ("weights", "constants"):
        config = parsed_json(archive.read(f"data/{kind}/model_{kind}_config.json"), archive.where)
        for each in config["config"].values():
            if each["use_pickle"] or each["tensor_meta"] is None:
                raise archive.refusal(f"has {kind} as pickles, which execute code")
        _check_words(archive, config, ())
    inputs = archive.read("data/sample_inputs/model.pt")
    try:  # torch falls back to executing the pickle where this fails
        torch.load(io.BytesIO(inputs), weights_only=True) if inputs else None
    except Exception as error:
        raise archive.refusal(f"has example inputs that are no tensors: {first_line(error)}") from None
    _check_words(archive, parsed_json(archive.read("models/model.json"), archive.where), ())


def _check_words(archive: Archive, value: Any, path: tuple[str, ...]) -> None:
    """Every string of the program, by the key it stands under."""
    key = path[-1] if path else ""
    if isinstance(value, dict):
        for name, each in value.items():
            if not _WORD.fullmatch(name):
                raise archive.refusal(f"has an odd name {name!r} in it")
            if name not in ("metadata", "guards_code"):  # texts for people; and checks of inputs, which are not run
                _check_words(archive, each, (*path, name))
    elif isinstance(value, list):
        for each in value:
            _check_words(archive, each, path)
    elif isinstance(value, str):
        if key in ("target", "as_operator"):
            if not _OPERATOR.fullmatch(value):
                raise archive.refusal(f"calls {value!r}, which is no tensor operator of torch itself")
        elif key == "expr_str":
            if not _is_size(value):
                raise archive.refusal(f"has an odd size {value!r}")
        elif key in ("in_spec", "out_spec"):
            if odd := [kind for kind in _containers(json.loads(value)) if kind not in _CONTAINERS]:
                raise archive.refusal(f"takes or gives {odd[0]}, not tensors")
        elif not _WORD.fullmatch(value):
            raise archive.refusal(f"has an odd text {value!r} in it")


def _is_size(text: str) -> bool:
    """Whether a size is arithmetic on numbers and symbols: sympy evaluates it as Python."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError):
        return False
    for node in nodes:
        function = node.func if isinstance(node, ast.Call) else None
        said = node.value if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float)) else None
        if not isinstance(node, _SIZE_NODES) or not (function is None or isinstance(function, ast.Name)):
            return False
        if isinstance(node, ast.Name) and not (_SIZE_FUNCTION.fullmatch(node.id) or _SYMBOL.fullmatch(node.id)):
            return False
        if said is not None and not (isinstance(said, str) and _SYMBOL.fullmatch(said)):
            return False
    return True


_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def _containers(spec: Any) -> Iterator[Any]:
    """The kinds of containers in which a program takes its inputs and gives its outputs."""
    if isinstance(spec, list):
        for each in spec:
            yield from _containers(each)
    elif isinstance(spec, dict):
        yield spec.get("type") if "__enum__" not in str(spec.get("context")) else "an enum"
        yield from _containers(spec.get("children_spec", []))


def _check_script(archive: Archive, name: str) -> None:
    """TorchScript is run by torch's interpreter, not by Python; what it may call is seen in its text."""
    try:
        tree = ast.parse(archive.read(name))
    except (SyntaxError, ValueError):
        raise archive.refusal(f"has code that cannot be read ({name})") from None
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        family, called = node.value.id, node.attr
        if (family == "torch" and called in _SCRIPT_FORBIDDEN) or (family == "ops" and called not in ("aten", "prim")):
            raise archive.refusal(f"calls {family}.{called}, which is no tensor operator of torch itself")
        if called == "torch" and family == "__torch__" and ".torch.classes." in ast.unparse(tree):
            raise archive.refusal("holds objects of another library")
