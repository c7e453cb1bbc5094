"""Contract 3: latents and reconstructions as Parquet that plain pyarrow, DuckDB, polars and pandas read."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from invertone.cluster.errors import UserError
from invertone.cluster.formats.ledger import Ledger, Output
from invertone.cluster.formats.signals import USUAL, PictureFormat, SignalFormat
from invertone.cluster.storage.folder import Folder
from invertone.cluster.storage.layout import laid_out
from invertone.cluster.storage.parquet import checked_columns, parquet_schema, read_parquet

VERSION = 1
METADATA_KEY = b"invertone"
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How Hugging Face datasets stores an `Audio` or `Image` feature: encoded bytes and a file name."""

HUGGING_FACE = b"huggingface"
"""Metadata key under which Hugging Face datasets looks for the features of columns that Arrow's types do not tell apart."""
PAGE_CHECKSUMS = b"page_checksums"
"""Metadata key of files whose pages have checksums (CRC-32), so that single columns of them can be verified."""
AHEAD = 2**19
"""What is read along with the columns that are asked for, in bytes: few requests, and little of the sound between them."""

DESCRIBED = (
    ("key", pa.string()),
    ("label", pa.int32()),
    ("label_name", pa.string()),
    ("speaker", pa.string()),
    ("split", pa.string()),
    ("source_uri", pa.string()),
)
"""Columns that say of a clip or picture what its shard does."""
PLACE = (("start", pa.int64()), ("length", pa.int32()))
"""And where in its recording a clip lies."""
ENDED = (("status", pa.string()), ("error", pa.string()))
"""How it ended: OK or ERROR, and why."""
OK, ERROR = "ok", "error"
COMPARED = (
    "waveform_mse",
    "waveform_mae",
    "spectrogram_mae",
    "spectrogram_mse",
    "ssim",
    "residual_variance",
    "clip_variance",
)
"""Columns that compare a clip and its reconstruction."""
COMPARED_PICTURES = ("pixel_mae", "pixel_mse", "psnr", "ssim", "residual_variance", "clip_variance")
"""Columns that compare a picture and its reconstruction."""
HEARD, LOGITS = ("feature_distance", "cosine_distance"), ("logits", "clip_logits")
"""Columns that need a classifier."""
GENERATOR_LABEL, GENERATOR_LABEL_NAME = "generator_label", "generator_label_name"
"""Columns of the label that the generator was told beside the latent: its own number of it, and its name."""
CLASS_PROBABILITIES = "class_probabilities"
"""The column of what a GAAE's own decoder was told instead: the share of each label."""

LATENTS, SCORES, SOUNDS, RECONSTRUCTIONS = ROWS = ("latents", "scores", "sounds", "reconstructions")
"""What rows hold: latents alone, or with scores of the reconstructions, or with their sound, or with both."""
SCORED, SOUNDING = (SCORES, RECONSTRUCTIONS), (SOUNDS, RECONSTRUCTIONS)


def latents_schema(
    latent_size: int,
    terms: Sequence[str],
    metadata: Mapping[str, Any],
    vectors: Mapping[str, int] | None = None,
    rows: str = RECONSTRUCTIONS,
    labels: int = 0,
    columns: Mapping[str, pa.DataType] | None = None,
    format: SignalFormat = USUAL,
) -> pa.Schema:
    """One row per clip or picture and method. `metadata` (JSON) says what made the rows: method, checkpoints, shards.

    rows: what they hold, of `ROWS`; what was not asked for has no column. labels: how many a classifier knows, 0 without one.

    Numbers that were not computed are null, never NaN. From `waveform_mse` to `clip_variance` clip and reconstruction are
    compared (variances, ddof 0, of their difference and of the clip), pictures by what `COMPARED_PICTURES` names (psnr in dB;
    differences of pixels between -1 and 1; variances of all pixels and colours). Feature and cosine distance and what follows
    them need a classifier: `logits` are of the reconstruction, `clip_logits` of the clip. `predicted_label` is a number of the
    classifier's set, as `predicted_label_name` is of its names; `label` is one of the shards'. `loss` is the inverter's
    own objective, `losses` its unweighted `terms`, neither there without terms; `steps` and `trajectory` (the best loss so
    far after every evaluation, if asked for) are of the start that was kept, `evaluations` of all starts; `stopped` says
    why it ended. `vectors`, `columns`: those that a method has besides, with their sizes and types.
    """
    pictures = isinstance(format, PictureFormat)
    fields = [
        *(DESCRIBED if pictures else [*DESCRIBED, *PLACE]),
        ("method", pa.string()),
        ("latent", pa.list_(pa.float32(), latent_size)),
        *((name, pa.list_(pa.float32(), size)) for name, size in (vectors or {}).items()),
        *(columns or {}).items(),
    ]
    if rows in SOUNDING:
        fields.append(("reconstruction", AUDIO))
    if rows in SCORED:
        fields += [(name, pa.float64()) for name in (COMPARED_PICTURES if pictures else COMPARED)]
        # without a classifier they are there, and null: tables of several runs have the same columns
        fields += [(name, pa.float64()) for name in HEARD]
        fields += [("predicted_label", pa.int32()), ("predicted_label_name", pa.string())]
        fields += [(name, pa.list_(pa.float32(), labels)) for name in LOGITS if labels]
    fields += [("steps", pa.int32()), ("evaluations", pa.int32())]
    if terms:
        fields += [("loss", pa.float64()), ("losses", pa.struct([(name, pa.float64()) for name in terms]))]
    fields += [
        ("stopped", pa.string()),
        ("trajectory", pa.list_(pa.float64())),
        *ENDED,
    ]
    features = {"reconstruction": {"_type": "Image"}} if pictures and rows in SOUNDING else {}
    return pa.schema(fields, metadata=_metadata(metadata, features))


def generated_schema(latent_size: int, metadata: Mapping[str, Any]) -> pa.Schema:
    """One row per generated clip: label, the latent it was made of, its sound."""
    fields = [
        ("key", pa.string()),
        ("label", pa.int32()),
        ("label_name", pa.string()),
        ("latent", pa.list_(pa.float32(), latent_size)),
        ("audio", AUDIO),
        ("status", pa.string()),
        ("error", pa.string()),
    ]
    return pa.schema(fields, metadata=_metadata(metadata))


def _metadata(described: Mapping[str, Any], features: Mapping[str, Any] | None = None) -> dict[bytes, bytes]:
    """features: of columns, as Hugging Face datasets writes them into Parquet, of which those that are not named are what
    their Arrow types say."""
    told = {HUGGING_FACE: json.dumps({"info": {"features": features}}).encode()} if features else {}
    return {METADATA_KEY: json.dumps({"version": VERSION, **described}, sort_keys=True).encode()} | told


def parquet_bytes(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> bytes:
    """`rows` as one Parquet file (zstd), its pages with checksums."""
    return table_bytes(pa.Table.from_pylist(list(rows), schema=schema))


def table_bytes(table: pa.Table) -> bytes:
    """A table as one Parquet file (zstd), its pages with checksums, which its metadata say. Equal tables give equal bytes."""
    noted = table.replace_schema_metadata({**(table.schema.metadata or {}), PAGE_CHECKSUMS: b"crc32"})
    buffer = io.BytesIO()
    pq.write_table(noted, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def errors_of(table: pa.Table) -> dict[str, str]:
    """The reasons of the rows that are errors, by key."""
    wrong = table.select(["key", "error"]).filter(pc.equal(table["status"], ERROR))
    return dict(zip(wrong["key"].to_pylist(), map(str, wrong["error"].to_pylist()), strict=True))


def described(folder: Folder, parts: Sequence[Output] | None = None) -> dict[str, Any]:
    """What made the rows in a folder of latents: method, checkpoints, shards. Read from its first committed file. parts: its
    `committed_parts`, for those who have them already."""
    parts = committed_parts(folder) if parts is None else parts
    if not parts:
        raise UserError("no committed Parquet here", where=folder.uri, fix="run `invertone infer` to its end")
    return metadata_of(folder, parts[0])


def metadata_of(folder: Folder, part: Output) -> dict[str, Any]:
    """What the schema of one Parquet file says of its making."""
    with folder.open(part.name) as file:
        metadata = parquet_schema(file).metadata or {}
    if METADATA_KEY not in metadata:
        raise UserError(
            "Parquet without our metadata", where=folder.path_of(part.name), fix="give the out of an infer run"
        )
    return json.loads(metadata[METADATA_KEY])


def committed_parts(folder: Folder) -> list[Output]:
    """The Parquet files that the run folder's ledger vouches for, in order of their names."""
    return list(committed_rows(folder))


def committed_rows(folder: Folder) -> dict[Output, int]:
    """The same, each with the number of its rows."""
    found = [(output, commit.items) for commit in Ledger(laid_out(folder)).commits() for output in commit.outputs]
    return dict(sorted((each for each in found if each[0].name.endswith(".parquet")), key=lambda each: each[0].name))


def read_columns(folder: Folder, part: Output, columns: Sequence[str]) -> pa.Table:
    """Of `columns` those that one Parquet file has, without reading the others: sound is many times as large as all else.

    Verified are the file's size and the checksums of the pages that are read; a file of an older version, whose pages have
    none, is read whole and verified by its sha256. Raises UserError where it is missing, cut short or altered in what is read.
    """
    where, fix = folder.path_of(part.name), "run the same infer again with a new out"
    try:
        file = folder.open(part.name, AHEAD)
    except FileNotFoundError:
        raise UserError("file is missing", where=where, fix=fix) from None
    with file:
        size = file.seek(0, io.SEEK_END)
        if size != part.bytes:
            raise UserError(f"has {size} bytes, {part.bytes} were recorded", where=where, fix=fix)
        try:
            table = checked_columns(file, columns, PAGE_CHECKSUMS)
        except pa.ArrowException as error:
            told = " ".join(str(error).split())
            raise UserError(f"content differs from what was written: {told}", where=where, fix=fix) from None
    return read_part(folder, part, columns) if table is None else table


def read_part(folder: Folder, part: Output, columns: Sequence[str] | None = None) -> pa.Table:
    """One Parquet file as it was committed, whole or some `columns` of it. Raises UserError where it is missing, cut short
    or altered."""
    data = folder.read_verified(part.name, part.bytes, part.sha256, "run the same infer again with a new out")
    return read_parquet(data, columns)
