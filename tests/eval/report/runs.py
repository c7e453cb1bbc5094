"""Made run folders of every kind, written without Ray and without a model, by the contracts' own writers."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from invertone.audio.clip import decode, encode, to_float, to_int16
from invertone.cluster.formats.latents import ERROR, METADATA_KEY, OK, generated_schema, latents_schema, parquet_bytes
from invertone.cluster.formats.ledger import Commit, Failure, Ledger, Output, Unit
from invertone.cluster.formats.shards import load_manifest, read_shard
from invertone.cluster.formats.signals import USUAL
from invertone.cluster.formats.sweeps import DONE, Design, Proposal, Trial
from invertone.cluster.formats.trials_table import publish_trials
from invertone.cluster.storage.folder import Folder, sha256
from invertone.eval import figures
from invertone.eval.table import Column, Table
from tests.made import LABELS, tone

HOSTILE = "<script>alert('x')</script>\"'&amp;</title></style><img src=x onerror=alert(1)>"
COLUMNS = (
    Column("row", "Row"),
    Column("clips", "Clips", ","),
    Column("accuracy", "Accuracy", ".1%", "↑"),
    Column("fid", "FID", ".3f", "↓"),
    Column("fid_published", "FID", ".3f", "↓"),
)
ROWS: tuple[dict[str, Any], ...] = (
    {"row": "encoder", "clips": 20, "accuracy": 0.5, "fid": 0.5, "fid_published": 0.4514},
    {"row": "hybrid", "clips": 20, "accuracy": 0.75, "fid": 0.9, "fid_published": 0.8976},
    {"row": "real", "clips": 20, "accuracy": 1.0, "fid": 0.0, "fid_published": None},
    {"row": "silence", "clips": 20, "accuracy": 0.1, "fid": 5.0, "fid_published": None},
)


def record(folder: Folder, stage: str, name: str, **config: Any) -> None:
    """A run.json as `invertone.cluster.formats.runs` writes it."""
    written = {"stage": stage, "name": name, "config": config, "fingerprint": {"seed": 0, "input.shards": "a" * 64}}
    written |= {"started": "2026-01-02T03:04:05+00:00", "versions": {"python": "3.11.7", "torch": "2.11.0"}}
    folder.publish_json("__invertone/run.json", written)


def commit(folder: Folder, outputs: Mapping[str, bytes]) -> None:
    """Publishes one output per unit, and a ledger that vouches for them."""
    ledger = Ledger(folder)
    ledger.fix_plan([Unit(name.partition(".")[0], {}) for name in outputs], {})
    for name, data in outputs.items():
        folder.publish_bytes(name, data)
        ledger.commit(Commit(name.partition(".")[0], 1, (Output(name, len(data), sha256(data)),), {}))


def inferred(
    folder: Folder,
    shards: Folder,
    method: str = "encoder",
    noise: float = 0.01,
    failed: Sequence[str] = (),
    **more: Any,
) -> Folder:
    """An inference run whose reconstructions are the clips in noise, louder from clip to clip; `more` sets columns."""
    manifest = load_manifest(shards)
    about = {"method": method, "name": method, "inputs": {"shards": shards.uri}, "digests": {"shards": manifest.digest}}
    schema = latents_schema(4, ["log_magnitude"], about)
    rng = np.random.default_rng(len(method))
    outputs, at = {}, 0
    for entry in manifest.shards:
        rows = []
        for clip in read_shard(shards, entry):
            at += 1
            info = {k: v for k, v in dataclasses.asdict(clip.info).items() if k in schema.names and k != "latent"}
            if clip.info.key in failed:
                rows.append(info | {"method": method, "status": ERROR, "error": f"no {HOSTILE}"})
                continue
            heard = to_float(decode(clip.data)) + (noise * at * rng.standard_normal(USUAL.samples)).astype(np.float32)
            label = clip.info.label or 0
            values = {
                "latent": np.zeros(4, np.float32),
                "reconstruction": {
                    "bytes": encode(to_int16(heard)[0], "flac", 16_000),
                    "path": f"{clip.info.key}.flac",
                },
                "spectrogram_mae": noise * at,
                "ssim": 1 - noise * at,
                "feature_distance": 2 * noise * at,
                "waveform_mse": noise**2,
                "predicted_label": label if at % 4 else (label + 1) % len(LABELS),
                "losses": {"log_magnitude": 0.1},
            }
            rows.append(info | values | more | {"method": method, "status": OK, "error": None})
        outputs[entry.name.replace(".tar", ".parquet")] = parquet_bytes(rows, schema)
    record(folder, "infer", method, method=method, shards=shards.uri)
    commit(folder, outputs)
    return folder


def sound(label: int = 0, seed: int = 0, extension: str = "wav") -> bytes:
    return encode(tone(label, np.random.default_rng(seed)), extension, 16_000)


def evaluated(folder: Folder, title: str = "Reconstruction of made clips", drawn: bool = True) -> Folder:
    """A table with published figures and intervals, and a figure of every kind."""
    within = [{"accuracy": (row["accuracy"] - 0.05, row["accuracy"] + 0.05)} for row in ROWS]
    notes = ("Read against the row *silence*.",)
    Table(title, COLUMNS, ROWS, notes, {"corpus": "made", "latents": ["a", "b"]}, within).publish(folder)
    record(folder, "eval", "reconstruction", table="reconstruction")
    if drawn:
        points = np.random.default_rng(0).standard_normal((40, 2)).tolist()
        x, y = [a for a, _ in points], [b for _, b in points]
        figures.publish(
            folder,
            [
                figures.Scatter(
                    "Latents", x, y, [LABELS[i % 3] for i in range(40)], [f"{HOSTILE} {i}" for i in range(40)]
                ),
                figures.Lines("Curve", "updates", "loss", [figures.Series(HOSTILE, [1, 2, 3], [3.0, None, 1.0])]),
                figures.Histogram("Spread", "error", [figures.Counts("one", [0.0, 1.0, 2.0], [3, 4])]),
                figures.Matrix(f"Matrix {HOSTILE}", ["a"], [HOSTILE, "c"], [[1.0, None]]),
                figures.Images("Grid", [[figures.Cell("heard", None, "m.wav"), figures.Cell(HOSTILE, "gone.png")]]),
            ],
            {"m.wav": sound()},
        )
    return folder


def trained(folder: Folder, steps: int = 30, extra: str = "") -> Folder:
    """Curves with validations, the best checkpoint, speed, and samples of two steps."""
    lines = []
    for step in range(1, steps + 1):
        lines.append({"step": step, "autoencoder/reconstruction": 1 / step, "autoencoder/prior": 0.1})
        if step % 10 == 0:
            lines.append({"step": step, "validation/stft_distance": 2 / step})
    folder.publish_bytes("metrics.jsonl", ("".join(json.dumps(line) + "\n" for line in lines) + extra).encode())
    folder.publish_json("checkpoints/best.json", {"metric": "stft_distance", "score": 0.1, "step": 20})
    folder.publish_json("speed.json", {"steps": 29, "seconds": 10.0, "steps_per_second": 2.9, "waiting_share": 0.01})
    for step in (10, 30):
        for number in range(2):
            for role in ("target", "reconstruction"):
                folder.publish_bytes(f"samples/step-{step:08d}/{number}-{role}.wav", sound(number, step))
    record(folder, "train", "wae-debug", objective="wae")
    return folder


def generated(
    folder: Folder, output: str = "wav", style: str = "random", count: int = 6, steps: int = 0, **config: Any
) -> Folder:
    """Clips of a GAAE, labels in turn, with `steps` from way to way; with `style=fixed` all have one latent."""
    names = [f"{number:08d}-{LABELS[number // (steps or 1) % 3]}" for number in range(count)]
    if output == "wav":
        for number, name in enumerate(names):
            folder.publish_bytes(f"wav/{name}.wav", sound(number % 3, number))
        commit(folder, {"clips-000000.done": b"made"})
    else:
        rows = [
            {
                "key": name,
                "label": number % 3,
                "label_name": LABELS[number % 3],
                "latent": [0.0 if style == "fixed" else float(number // 3), 1.0],
                "audio": {"bytes": sound(number % 3, number), "path": f"{name}.wav"},
                "status": OK,
                "error": None,
            }
            for number, name in enumerate(names)
        ]
        about = {"method": "gaae", "inputs": {"checkpoint": "runs/gaae"}, "digests": {}}
        commit(folder, {"clips-000000.parquet": parquet_bytes(rows, generated_schema(2, about))})
    given = {"kind": "gaae", "count": count, "style": style, "output": output, "label": None, "steps": steps}
    record(folder, "generate", "gaae", **given | config)
    return folder


def swept_weight(folder: Folder, published: Mapping[str, float] | None = None) -> Folder:
    """A grid over one weight and its complement, as the GAAE paper's section VI has it: the score is best at 0.5."""
    space = {"sound": {"simplex": ["weights.generation", "weights.reconstruction"]}}
    tried = [0.9, 0.1, 0.5, 0.3, 0.7, 0.5]
    values = [{"weights.generation": weight, "weights.reconstruction": 1 - weight} for weight in tried]
    scores = [{"score": 8 - (weight - 0.5) ** 2} for weight in tried]
    trials = [
        Trial(at, Proposal({**tries}), DONE, 9, 1.0, score)
        for at, (tries, score) in enumerate(zip(values, scores, strict=True))
    ]
    design = Design(
        training="gaae", goals={"score": "max"}, space=space, search="grid", scheduler="none", seed=0, trials=6
    )
    ledger = Ledger(folder)
    ledger.fix_plan([Unit(f"{trial.number:06d}", {}) for trial in trials], {})
    publish_trials(folder, trials, design)
    more = {} if published is None else {"published": dict(published)}
    record(folder, "tune", "gaae-generation", training="gaae", goals={"score": "max"}, space=space, trials=6, **more)
    return folder


SPACE: dict[str, Any] = {
    "latents": {"simplex": ["weights.guided", "weights.generated", "weights.latent"], "total": 1},
    "learning_rate": {"loguniform": [1e-5, 1e-2]},
    "optimiser": {"choice": ["adam", "sgd", "muon"]},
}
GOALS = {"inception_score": "max", "reconstruction": "min"}


def swept(folder: Folder, goals: Mapping[str, str] = GOALS, table: bool = True, count: int = 12) -> Folder:
    """Trials as `train.tune.sweep` leaves them. Trial 3 failed, trial 5 was stopped early; the inception score is best where
    weights.guided is 0.6, the reconstruction where weights.latent is great, whatever the learning rate."""
    rng, rows = np.random.default_rng(1), list[dict[str, Any]]()
    ledger = Ledger(folder)
    ledger.fix_plan([Unit(f"{number:06d}", {}) for number in range(count)], {})
    for number in range(count):
        weights = rng.dirichlet(np.ones(3)).tolist()
        values = dict(zip(SPACE["latents"]["simplex"], weights, strict=True))
        values |= {"learning_rate": 10 ** rng.uniform(-5, -2), "optimiser": SPACE["optimiser"]["choice"][number % 3]}
        metrics = {"inception_score": 8 - 10 * (weights[0] - 0.6) ** 2, "reconstruction": 0.9 - 0.5 * weights[2]}
        state = {3: "failed", 5: "stopped early"}.get(number, "done")
        row = {"state": state, "steps": 50 if number == 5 else 400, "seconds": 100.0 + number}
        unit = f"{number:06d}"
        folder.publish_json(f"points/{unit}.json", {"point": {}, "values": values})
        error = f"a loss is not finite after update 7 {HOSTILE}" if state == "failed" else ""
        if error:
            ledger.fail(Failure(unit, "failed", error, attempts=1, items=1))
        else:
            ledger.commit(Commit(unit, 1, (), row | {"metrics": metrics}))
        shown = {f"metric.{name}": None if error else value for name, value in metrics.items()}
        rows.append({"trial": number} | row | {"run": f"trials/{unit}", "error": error or None} | values | shown)
    if table:
        signed = {
            row["trial"]: [row[f"metric.{name}"] * (1 if way == "max" else -1) for name, way in goals.items()]
            for row in rows if row["state"] == "done"
        }  # fmt: skip
        front = [
            at for at, mine in signed.items()
            if not any(all(b > a for a, b in zip(mine, other, strict=True)) for other in signed.values())
        ]  # fmt: skip
        best = max(front, key=lambda at: signed[at])
        rows = [row | {"best": row["trial"] == best, "on_front": row["trial"] in front} for row in rows]
        about = {"version": 1, "training": "gaae", "goals": dict(goals), "space": SPACE, "search": "optuna"}
        about |= {"scheduler": "none", "seed": 0, "trials": count}
        written = pa.Table.from_pylist(rows).replace_schema_metadata({METADATA_KEY: json.dumps(about)})
        buffer = io.BytesIO()
        pq.write_table(written, buffer)
        folder.publish_bytes("trials.parquet", buffer.getvalue())
        folder.publish_bytes("best.yaml", b"objective: gaae\n")
    config = {"training": "gaae", "goals": dict(goals), "space": SPACE, "search": "optuna", "scheduler": "none"}
    record(folder, "tune", "gaae-weights", **config, seed=0, trials=count)
    return folder
