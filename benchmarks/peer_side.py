"""What a user would write instead of Invertone: the same bulk jobs, as short scripts on public libraries.

    python -m benchmarks.peer_side infer-loader SHARDS OUT rows=latents mapper=FOLDER workers=0
    python -m benchmarks.peer_side infer-ray SHARDS OUT rows=all mapper=FOLDER workers=1
    python -m benchmarks.peer_side ingest FOLDER OUT workers=1

`infer-loader`: webdataset in a torch DataLoader (`workers` processes; 0 is none beside its own), soundfile, batches of 64, one
Parquet file by pyarrow. `infer-ray`: Ray Data's read_webdataset, map_batches by `workers` actors, write_parquet. A row holds
key, label, latent; `rows=all` adds sixteen numbers and the FLAC of a reconstruction, here of the clip itself, which costs the
same to encode. `ingest`: a process pool of soundfile and torchaudio, and webdataset's ShardWriter.

None of them has a manifest, checksums, resumption, rejects or rows for clips that fail. Prints how many clips there were.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch

RATE, SAMPLES, LATENT, BATCH, NUMBERS = 16_000, 16_384, 100, 64, 16
PER_SHARD = 512

Wave = npt.NDArray[np.float32]


def read_flac(data: bytes) -> Wave:
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def write_flac(wave: Wave) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.rint(wave * 32_767).astype(np.int16), RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def label_of(info: bytes | str | Mapping[str, Any]) -> int | None:
    return (info if isinstance(info, Mapping) else json.loads(info)).get("label")


class Network:
    """A mapper's forward pass on one thread, from the folder of its checkpoint."""

    def __init__(self, mapper: str) -> None:
        from invertone.models.checkpoint import load_mapper

        torch.set_num_threads(1)
        self.mapper = load_mapper(mapper)[0]

    def __call__(self, waves: Wave) -> Wave:
        with torch.inference_mode():
            return self.mapper(torch.from_numpy(waves)).numpy()


def rows_of(keys: Sequence[str], labels: Sequence[int | None], waves: Wave, network: Network, rows: str) -> pa.Table:
    latents = network(waves)
    columns = {"key": pa.array(keys), "label": pa.array(labels, pa.int32()), "latent": _vectors(latents)}
    if rows == "all":
        columns["scores"] = _vectors(np.abs(waves[:, :NUMBERS]))
        columns["reconstruction"] = pa.array([write_flac(wave) for wave in waves])
    return pa.table(columns)


def _vectors(values: Wave) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _decoded(sample: Mapping[str, Any]) -> tuple[str, int | None, Wave]:
    return sample["__key__"], label_of(sample["json"]), read_flac(sample["flac"])


def _whole(batch: Sequence[Any]) -> Sequence[Any]:
    return batch


def infer_loader(shards: Path, out: Path, rows: str, mapper: str, workers: int) -> int:
    import webdataset

    names = sorted(str(each) for each in shards.glob("*.tar"))
    data = webdataset.WebDataset(names, shardshuffle=False, empty_check=False).map(_decoded)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=_whole)
    network, writer, count = Network(mapper), None, 0
    for batch in loader:
        keys, labels, waves = zip(*batch, strict=True)
        table = rows_of(keys, labels, np.stack(waves), network, rows)
        writer = writer or pq.ParquetWriter(out / "latents.parquet", table.schema)
        writer.write_table(table)
        count += len(keys)
    assert writer is not None, "there are shards"
    writer.close()
    return count


class RayInference:
    """The actor: a batch of encoded clips becomes rows."""

    def __init__(self, rows: str, mapper: str) -> None:
        self.rows, self.network = rows, Network(mapper)

    def __call__(self, batch: Mapping[str, Any]) -> pa.Table:
        waves = np.stack([read_flac(each) for each in batch["flac"]])
        labels = [label_of(each) for each in batch["json"]]
        return rows_of([str(key) for key in batch["__key__"]], labels, waves, self.network, self.rows)


def infer_ray(shards: Path, out: Path, rows: str, mapper: str, workers: int) -> int:
    import ray

    # One CPU more than actors, or Ray Data has none to read with.
    ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    names = sorted(str(each) for each in shards.glob("*.tar"))
    data = ray.data.read_webdataset(names, decoder=False, suffixes=["flac", "json"])
    made = data.map_batches(
        RayInference, fn_constructor_args=(rows, mapper), batch_size=BATCH, concurrency=workers, num_cpus=1
    )
    made.write_parquet(str(out))
    return sum(pq.read_metadata(each).num_rows for each in out.glob("*.parquet"))


def clip_of(path: str) -> bytes:
    """One WAV file → the FLAC of its first 16,384 samples at 16 kHz, zeros behind what is shorter."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = wave.mean(axis=1)
    if rate != RATE:
        from torchaudio.functional import resample

        mono = resample(torch.from_numpy(mono), rate, RATE).numpy()
    cut = mono[:SAMPLES]
    return write_flac(np.pad(cut, (0, SAMPLES - len(cut))).clip(-1, 1))


def ingest(source: Path, out: Path, workers: int) -> int:
    import webdataset

    paths = sorted(str(each) for each in source.rglob("*.wav"))
    with (
        webdataset.ShardWriter(str(out / "%06d.tar"), maxcount=PER_SHARD, verbose=0) as sink,
        ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        for path, flac in zip(paths, pool.map(clip_of, paths, chunksize=BATCH), strict=True):
            name = str(Path(path).relative_to(source).with_suffix(""))
            info = {"label_name": Path(path).parent.name}
            sink.write({"__key__": name, "flac": flac, "json": json.dumps(info).encode()})
    return len(paths)


JOBS: dict[str, Callable[..., int]] = {"infer-loader": infer_loader, "infer-ray": infer_ray, "ingest": ingest}


def _keys(words: Sequence[str]) -> Iterator[tuple[str, str | int]]:
    for word in words:
        name, value = word.split("=", 1)
        yield name, int(value) if name == "workers" else value


def main(words: Sequence[str]) -> None:
    job, source, out, *keys = words
    folder = Path(out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    print(JOBS[job](Path(source).resolve(), folder, **dict(_keys(keys))))


if __name__ == "__main__":
    main(sys.argv[1:])
