"""What a job takes along: the code that runs here, and the user's folder without what has no business on a cluster.

The package is one zip file, unpacked on every node of the job:

    invertone/    this very code, whatever the cluster has installed; first on every worker's path
    sent.json     the versions it was sent with (see invertone.cluster.submit.pins)
    work/         the user's folder: where the job runs; on the path as on this machine

Our code is never subject to ignore files: it travels whole or the submission is refused.
"""

from __future__ import annotations

import importlib.util
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import PathSpec

import invertone
from invertone.cluster.errors import UserError
from invertone.cluster.formats import checkpoints, shards
from invertone.cluster.formats.runs import RUN
from invertone.cluster.secrets import credential_files, credential_in

ROOMS = ("audio", "cluster", "configs", "eval", "images", "infer", "ingest", "models", "train")
"""The packages within `invertone`, which a checkout has beside it and an installation inside it."""
WORK = "work"
LIMIT_BYTES = 512 * 2**20
"""Ray's own limit for a package."""

NEVER = (
    *(".git", ".venv", "venv", "node_modules", "__pycache__", "*.py[co]", "*.egg-info", ".ipynb_checkpoints"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".cache", "/runs", "/build", "/dist"),
)
"""What is made again, or lies in storage of its own. `/` means: at the top."""
CREDENTIALS = (
    *(".env", ".env.*", ".netrc", ".aws", ".ssh", ".ray", ".kube", ".gnupg", ".git-credentials", ".pypirc"),
    *(".docker", ".dockercfg", ".boto", ".s3cfg", ".azure", ".huggingface", ".pgpass", "*.ppk", "*.jks", "*.kdbx"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_ed25519*", "id_ecdsa*", "id_dsa*", "auth_token", "*.token"),
    *("credentials", "*credentials*.json", "credentials.csv", "client_secret*.json", "service_account*.json"),
)
IGNORE_FILES = (".gitignore", ".rayignore")


@dataclass(frozen=True)
class Contents:
    """Files of `folder` by name relative to it, with bytes. left_out: names by reason."""

    folder: Path
    files: Mapping[str, int]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(self.files.values())

    def only(self, names: Iterable[str]) -> Contents:
        """These files and no others."""
        return Contents(self.folder, {name: self.files[name] for name in names})

    def largest(self, count: int = 3) -> list[tuple[str, int]]:
        """The entries at the top of the folder that weigh most."""
        sizes: dict[str, int] = {}
        for name, size in self.files.items():
            top, slash, _ = name.partition("/")
            sizes[top + slash] = sizes.get(top + slash, 0) + size
        return sorted(sizes.items(), key=lambda entry: -entry[1])[:count]


def code() -> dict[str, Path]:
    """The code that runs here, in a checkout or installed: files by their names in the package. Raises UserError where a part
    of it is missing."""
    front = Path(invertone.__file__).parent
    files = {f"invertone/{name}": path for name, path in _files(front) if name.partition("/")[0] not in ROOMS}
    for room in ROOMS:
        spec = importlib.util.find_spec(f"invertone.{room}")
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"{room} is missing beside {front}", fix="install invertone again")
        files |= {f"invertone/{room}/{name}": path for name, path in _files(Path(spec.submodule_search_locations[0]))}
    return files


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path


def contents(folder: Path) -> Contents:
    """What of the user's folder travels: all but `NEVER`, `CREDENTIALS`, files that the environment names as such, what jobs
    made, what .gitignore and .rayignore name in it or below (read as Ray reads them), and links that lead out of it.
    In a checkout of ours our code travels anyway, by `code`.
    """
    root = folder.resolve()
    ours = ("invertone", *ROOMS) if root == Path(invertone.__file__).resolve().parents[1] else ()
    rules = [
        _Rule(root, "never sent", PathSpec.from_lines("gitignore", [*NEVER, *(f"/{part}" for part in ours)])),
        _Rule(root, "may hold credentials", PathSpec.from_lines("gitignore", CREDENTIALS)),
    ]
    files: dict[str, int] = {}
    left_out: dict[str, list[str]] = {}
    for path, reason in _walk(root, root, rules, credential_files(), frozenset({root})):
        name = path.relative_to(root).as_posix()
        if not reason:
            files[name] = path.stat().st_size
        elif name not in ours and "__pycache__" not in name:
            left_out.setdefault(reason, []).append(name + "/" * path.is_dir())
    return Contents(root, files, {reason: tuple(names) for reason, names in left_out.items()})


@dataclass(frozen=True)
class _Rule:
    base: Path
    reason: str
    spec: PathSpec

    def holds(self, path: Path) -> bool:
        return self.spec.match_file(path.relative_to(self.base).as_posix())


def _walk(
    root: Path, folder: Path, rules: list[_Rule], secrets: frozenset[Path], seen: frozenset[Path]
) -> Iterator[tuple[Path, str]]:
    """Files, and what is left out (folders as a whole), with the reason."""
    rules = [*rules, *_ignore_rules(folder)]
    for path in sorted(folder.iterdir()):
        target = path.resolve()
        reason = next((rule.reason for rule in rules if rule.holds(path)), "")
        if not reason and target in secrets:
            reason = "an environment variable says that it holds credentials"
        if not reason and path.is_dir() and _is_made(path):
            reason = "made by a job, lies in storage of its own"
        if not reason and not target.is_relative_to(root):
            reason = "a link that leads out of the folder"
        if reason:
            yield path, reason
        elif path.is_dir():
            if target not in seen:  # links in a circle
                yield from _walk(root, path, rules, secrets, seen | {target})
        elif path.is_file():
            yield path, ""


def _is_made(folder: Path) -> bool:
    """Whether it is a run folder, a folder of shards or a checkpoint: on a cluster such are read from where both sides see
    them, and are large."""
    if (folder / RUN).exists() or (folder / checkpoints.MANIFEST).exists():
        return True
    older = (folder / "run.json").exists() and ((folder / "ledger").exists() or (folder / "checkpoints").exists())
    return older or ((folder / shards.MANIFEST).exists() and any(folder.glob("*.tar")))


def _ignore_rules(folder: Path) -> list[_Rule]:
    rules = []
    for name in IGNORE_FILES:
        file = folder / name
        if file.is_file():
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            rules.append(_Rule(folder, name, PathSpec.from_lines("gitignore", lines)))
    return rules


def refuse_too_large(found: Contents) -> None:
    """Raises UserError, naming the largest folders, for more than Ray takes."""
    if found.bytes <= LIMIT_BYTES:
        return
    named = ", ".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in found.largest())
    raise UserError(
        f"holds {found.bytes / 2**20:,.0f} MiB, and Ray takes {LIMIT_BYTES // 2**20} MiB; largest: {named}",
        where=str(found.folder),
        fix="name what need not travel in .rayignore, or submit from a folder that holds the job's own files only",
    )


def refuse_missing_module(found: Contents, key: str, module: str) -> None:
    """Raises UserError where the user's own module is not among what travels."""
    name = module.replace(".", "/")
    candidates = (f"{name}.py", f"{name}/__init__.py")
    if any(candidate in found.files for candidate in candidates):
        return
    refused = _left_out(found, candidates)
    raise UserError(
        f"module {module} would not travel: {refused or f'there is no {candidates[0]} in {found.folder}'}",
        where=f"{key}={module}:…",
        fix="submit in the folder that holds it" if not refused else "let it in, or move it",
    )


def refuse_missing_file(found: Contents, file: str) -> str:
    """The name, relative to the folder, of a YAML file that travels. Raises UserError if it does not."""
    path = Path(os.path.normpath(Path.cwd() / file)).resolve()
    if path.is_relative_to(found.folder):
        name = path.relative_to(found.folder).as_posix()
        if name in found.files:
            return name
        why = _left_out(found, (name,)) or "it is left out"
    else:
        why = f"it does not lie in {found.folder}"
    raise UserError(f"would not travel: {why}", where=file, fix="put it into the folder from which you submit")


def _left_out(found: Contents, names: Iterable[str]) -> str:
    for name in names:
        for reason, entries in found.left_out.items():
            if any(
                entry in (name, f"{name}/") or (entry.endswith("/") and name.startswith(entry)) for entry in entries
            ):
                return f"{name} is left out ({reason})"
    return ""


def pack(target: Path, ours: Mapping[str, Path], users: Contents, notes: Mapping[str, str]) -> int:
    """Writes the package and returns its bytes; the same files give the same bytes, so that Ray keeps what it has.

    Raises UserError where a file holds the value of a credential of this process.
    """
    entries = [*ours.items()]
    entries += [(f"{WORK}/{name}", users.folder / name) for name in users.files]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as package:
        package.writestr(_entry(f"{WORK}/", 0o755), b"")
        for name, text in sorted(notes.items()):
            package.writestr(_entry(name, 0o644), text.encode())
        for name, path in sorted(entries):
            data = path.read_bytes()
            variable = credential_in(data)
            if variable:
                raise UserError(
                    f"holds the value of {variable}", where=str(path), fix="remove it, or name it in .rayignore"
                )
            package.writestr(_entry(name, 0o755 if os.access(path, os.X_OK) else 0o644), data)
    return target.stat().st_size


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    return entry
