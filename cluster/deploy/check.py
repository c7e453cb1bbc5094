"""`python -m invertone.cluster.deploy.check FILE…`: what is wrong with deployment files, a line each, before a cloud is asked.

    --schemas FOLDER   KubeRay's schemas (ray.io_v1_RayCluster.schema.json.gz, ray.io_v1_RayJob.schema.json.gz)

RayCluster and RayJob are held to KubeRay's schemas where those are given, `ray up` files to Ray's own validation and, on AWS,
to what the API takes; Namespace, ServiceAccount and NetworkPolicy to lists of the fields that we use, which is no full
validation of theirs. All of them to our rules: nothing public, a token always, no credentials, one version everywhere.
"""

from __future__ import annotations

import functools
import gzip
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from invertone.cluster.deploy import ray_up, rules
from invertone.cluster.deploy.rules import Problem, Versions
from invertone.cluster.errors import UserError

CUSTOM = ("RayCluster", "RayJob")


@dataclass(frozen=True)
class Found:
    """What is wrong with a file, and which words in it are still to be replaced."""

    problems: list[str]
    placeholders: list[str]


def check(path: Path, versions: Versions, schemas: Path | None = None) -> Found:
    """Reads `path` (YAML, one document or several). Raises UserError for what cannot be read at all."""
    try:
        documents = [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot be read as YAML: {error}", where=str(path)) from None
    problems: list[str] = []
    for document in documents:
        name = f"{document['kind']}: " if isinstance(document, Mapping) and "kind" in document else ""
        problems += [f"{path}: {name}{where}: {what}" for where, what in _problems(document, versions, schemas)]
    words = sorted({word for document in documents for word in rules.placeholders(document)})
    return Found(problems or ([] if documents else [f"{path}: is empty"]), words)


def _problems(document: Any, versions: Versions, schemas: Path | None) -> Iterator[Problem]:
    if not isinstance(document, Mapping):
        yield "", "is no mapping"
        return
    if "provider" in document:
        yield from ray_up.problems(document)
        document = ray_up.prepared(document) or document
    elif document.get("kind") in CUSTOM:
        if schemas is not None:
            yield from schema_problems(schema(schemas, document["kind"]), document)
    else:
        yield from rules.kubernetes_problems(document)
    yield from rules.problems(document, versions)


# ---------------------------------------------------------------------- KubeRay's schemas


@functools.cache
def schema(folder: Path, kind: str) -> dict[str, Any]:
    """KubeRay's schema of `kind`, closed: what it does not name is refused."""
    with gzip.open(folder / f"ray.io_v1_{kind}.schema.json.gz", "rt", encoding="utf-8") as file:
        return closed(json.load(file))


def closed(node: Any) -> Any:
    """`node` with unknown fields refused, as an API server prunes or refuses them: wherever fields are named and neither
    `additionalProperties` nor x-kubernetes-preserve-unknown-fields says that others may come."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _closed_fields(value) if key == "properties" else closed(value) for key, value in node.items()}
    if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def _closed_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A field may itself be called `properties`: its name is no keyword."""
    return {name: closed(value) for name, value in fields.items()}


def schema_problems(schema: Mapping[str, Any], document: Any) -> Iterator[Problem]:
    """What a JSON schema says against `document`, with the path of each."""
    import jsonschema

    for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
        yield rules.dotted(error.absolute_path), error.message[:200]


# ---------------------------------------------------------------------- the command


def installed() -> Versions:
    """Those of this machine: a driver and its cluster need the same Ray and the same minor version of Python."""
    python = ".".join(platform.python_version_tuple()[:2])
    return Versions(importlib.metadata.version("invertone"), importlib.metadata.version("ray"), python)


def main(words: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing is wrong and nothing left to fill in; 1: something is; 2: a file cannot be read."""
    arguments = list(sys.argv[1:] if words is None else words)
    schemas = None
    if "--schemas" in arguments[:-1]:
        at = arguments.index("--schemas")
        schemas = Path(arguments[at + 1])
        del arguments[at : at + 2]
    if not arguments or any(each.startswith("-") for each in arguments):
        print(__doc__)
        return 2
    wrong = False
    try:
        for name in arguments:
            found = check(Path(name), installed(), schemas)
            lines = [*found.problems, *(f"{name}: still to be filled in: {word}" for word in found.placeholders)]
            print("\n".join(lines or [f"{name}: good"]))
            wrong |= bool(lines)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
