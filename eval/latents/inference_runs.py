"""The inference runs that a table reads: what made their rows, over which shards, and that they are whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.formats.latents import described
from invertone.cluster.formats.ledger import Ledger, Output
from invertone.cluster.formats.shards import ShardEntry, ShardManifest, load_manifest
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.cluster.storage.layout import laid_out
from invertone.cluster.storage.parquet import parquet_schema


@dataclass(frozen=True)
class Part:
    """One Parquet file, the shard that its rows are of, and how many of them are not errors."""

    output: Output
    shard: ShardEntry
    rows: int


@dataclass(frozen=True)
class InferenceRun:
    """A finished run of `invertone infer`. `about` is what its Parquet says of its making."""

    label: str
    uri: str
    shards: str
    about: Mapping[str, Any]
    manifest: ShardManifest
    parts: tuple[Part, ...]

    @property
    def digest(self) -> str:
        return content_digest(part.output for part in self.parts)

    @property
    def synthesised_by(self) -> str | None:
        """The digest of the generator that made the clips themselves; None for recordings."""
        return self.manifest.extra.get("digests", {}).get("generator")

    def of_splits(self, splits: Sequence[str]) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if not splits or part.shard.split in splits)

    def vector_columns(self) -> dict[str, int]:
        """The columns that hold a vector per clip, with their sizes."""
        with Folder.at(self.uri).open(self.parts[0].output.name) as file:
            schema = parquet_schema(file)
        return {each.name: each.type.list_size for each in schema if pa.types.is_fixed_size_list(each.type)}

    def check_columns(self, wanted: Sequence[str]) -> None:
        """Raises UserError for a latent column that the run does not have."""
        known = self.vector_columns()
        for name in wanted:
            if name not in known:
                raise UserError(
                    f"latents have no column {name}",
                    where=self.uri,
                    fix=f"choose of {', '.join(known)}{did_you_mean(name, list(known))}",
                )


def open_inference_runs(uris: Sequence[str], shards: Sequence[str] = ()) -> list[InferenceRun]:
    """The runs at `uris`, each over its `shards` (none: those that it recorded). Raises UserError where one is not
    finished, is no inference run, or was made from other shards."""
    if shards and len(shards) != len(uris):
        raise UserError(f"{len(shards)} folders of shards for {len(uris)} runs", fix="give one for each run, in order")
    about = [_described(uri) for uri in uris]
    places = shards or [each["inputs"]["shards"] for each in about]
    runs = []
    for label, uri, each, place in zip(labels_of(uris, about), uris, about, places, strict=True):
        manifest = load_manifest(Folder.at(place))
        check_run(uri, each, manifest, place)
        runs.append(InferenceRun(label, uri, place, each, manifest, _parts(Folder.at(uri), manifest)))
    return runs


def labels_of(uris: Sequence[str], about: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tables call the runs: the name of the method's config, where two have the same with the end of the folder's path, as
    much of it as tells them apart."""
    names = [each.get("name", each["method"]) for each in about]
    labels = []
    for name, uri in zip(names, uris, strict=True):
        alike = [other for known, other in zip(names, uris, strict=True) if known == name]
        labels.append(name if len(alike) == 1 else f"{name} ({_end_of(uri, alike)})")
    return labels


def _end_of(uri: str, among: Sequence[str]) -> str:
    """The last parts of a path, as few as no two of `among` share."""
    parts = uri.split("/")
    for count in range(1, len(parts)):
        ends = ["/".join(each.split("/")[-count:]) for each in among]
        if len(set(ends)) == len(set(among)):
            return "/".join(parts[-count:])
    return uri


def check_run(uri: str, about: Mapping[str, Any], manifest: ShardManifest, place: str) -> None:
    """Raises UserError where the run at `uri` is not of the shards at `place`, or not finished."""
    if about["digests"]["shards"] != manifest.digest:
        raise UserError(
            "latents were made from other shards", where=uri, fix=f"give the shards they were made from, not {place}"
        )
    check_complete(Folder.at(uri))


def check_complete(folder: Folder) -> None:
    """A table of half an inference run would look like one of the whole."""
    ledger = Ledger(laid_out(folder))
    planned, done = (ledger.plan() or {})["units"], len(ledger.done())
    if done < planned:
        raise UserError(
            f"only {done} of {planned} units are inferred", where=folder.uri, fix="finish `invertone infer` first"
        )


def _described(uri: str) -> dict[str, Any]:
    about = described(Folder.at(uri))
    if "method" not in about or "shards" not in about.get("inputs", {}):
        raise UserError("holds Parquet, but no latents of clips", where=uri, fix="give the out of `invertone infer`")
    return about


def _parts(folder: Folder, manifest: ShardManifest) -> tuple[Part, ...]:
    """In order of their names. A part is named as its shard is."""
    entries = {entry.name.removesuffix(".tar"): entry for entry in manifest.shards}
    found = []
    for commit in Ledger(laid_out(folder)).commits():
        for output in commit.outputs:
            entry = entries.get(output.name.removesuffix(".parquet"))
            if entry is not None:
                rows = int(commit.statistics.get("clips", commit.items)) - int(commit.statistics.get("failed", 0))
                found.append(Part(output, entry, rows))
    return tuple(sorted(found, key=lambda part: part.output.name))
