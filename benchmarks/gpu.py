"""What one GPU does with the networks of the papers, in one command of at most eight minutes: `python -m benchmarks gpu`.

Needs torch and its usual company (numpy, pyarrow, fsspec, safetensors, jaxtyping; SciPy for the comparison with it), no Ray, no
installation, no network. Prints Markdown, line by line. Each section has its share of the time, and says what it left out when
that was spent. `python -m benchmarks gpu toy` does the same with small networks, in a minute on a CPU.

Weights are untrained and clips are noise: nothing here depends on what they say, except how many evaluations a search takes.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import platform
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.unpacked import MISSING

# isort: split
import numpy as np
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.inversion import Bench, Found
from invertone.audio import clip as audio
from invertone.cluster.config.schema import REQUIRED
from invertone.cluster.formats.latents import LATENTS, RECONSTRUCTIONS, SCORES, latents_schema, table_bytes
from invertone.cluster.formats.shards import Clip, ClipInfo
from invertone.cluster.formats.signals import USUAL
from invertone.infer.methods.encoder import EncoderInverter
from invertone.infer.methods.gradient import build_solver
from invertone.infer.methods.method import Computing, Materials
from invertone.infer.methods.tiled import Tiled
from invertone.infer.rows import ShardInverter
from invertone.infer.schemas.encoder import EncoderConfig
from invertone.infer.schemas.gradient import GradientConfig
from invertone.infer.solvers.lbfgs import Stopping
from invertone.infer.threads import CALLER, worker_threads
from invertone.infer.tiles import tile_size
from invertone.models import signals
from invertone.models.device import precision, worker_device
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.models.prior import seeded
from invertone.train.loop.losses import Losses
from invertone.train.loop.trainer import Trainer
from invertone.train.objective import Batch, World
from invertone.train.objectives.gaae import GaaeObjective
from invertone.train.objectives.wavegan import WaveganObjective
from invertone.train.schemas.gaae import GaaeConfig
from invertone.train.schemas.mapper import MapperConfig
from invertone.train.schemas.wavegan import WaveganConfig

CONFIGS = Path(__file__).parents[1] / "configs" / "train"
LIMIT_S = 480.0
"""After so many seconds the command ends, wherever it is."""
SHARES = {"encoder": 170.0, "search": 110.0, "training": 100.0, "profile": 40.0}
"""Seconds of each section after which it begins nothing new; what is left is for starting, and for what has begun."""
LOSS = "multi_resolution_stft"
AIM = 100
"""Times SciPy's clips per second: what batched searches on a GPU are for."""
LEAST_CALLS, GROUP_S = 3, 0.05
SMALL_GAN: dict[str, Any] = {
    "encoder_multiples": [1, 1, 2, 2, 4, 4],
    "discriminator_multiples": [1, 1, 2, 2, 4, 4],
    "decoder_multiples": [4, 2, 2, 2, 1, 1, 1],
    "attention_rows": 16,
}


@dataclass(frozen=True)
class Size:
    """What is measured. paper: with the sizes of `configs/`, else with these. batches: of WaveGAN and GAAE. shards: clips to a
    shard, the usual and a long one. ways: precision, clips to a call, compiled. searches: slots at once. seconds: of one
    measurement."""

    paper: bool
    mapper_width: int
    gan_width: int
    gaae_channels: int
    batches: tuple[int, int]
    shards: tuple[int, int]
    ways: tuple[tuple[str, int, bool], ...]
    searches: tuple[int, ...]
    evaluations: int
    scipy_clips: int
    seconds: float


SIZES = {
    "full": Size(
        True, 64, 64, 16, (64, 128), (512, 4_096),
        (
            ("float32", 64, False), ("tf32", 64, False), ("bf16", 64, False), ("tf32", 256, False),
            ("bf16", 256, False), ("tf32", 256, True), ("bf16", 256, True),
        ),
        (64, 256, 512), 100, 12, 2.0,
    ),
    "toy": Size(
        False, 8, 4, 1, (8, 4), (64, 128), (("float32", 16, False), ("bf16", 16, False), ("float32", 16, True)),
        (8, 16), 20, 4, 0.3,
    ),
    "tiny": Size(False, 2, 2, 1, (2, 2), (6, 12), (("float32", 4, False),), (4,), 3, 2, 0.01),
}  # fmt: skip


def run(size: str = "full") -> None:
    """Prints all sections. Ends the process, with exit code 1, where LIMIT_S is over."""
    chosen = SIZES[size]
    watchdog = threading.Timer(LIMIT_S, _end)
    watchdog.daemon = True
    watchdog.start()
    device = worker_device("auto", os.cpu_count() or 1)
    print(f"{_machine(device)}; sizes: {size}\n", flush=True)
    encoder(chosen, device)
    search(chosen, device)
    training(chosen, device)
    where_time_goes(chosen, device)
    watchdog.cancel()


def _end() -> None:
    print(f"\nEnded after {LIMIT_S:.0f} s: what is not above was not measured.", flush=True)
    os._exit(1)  # a call to the device or to a compiler cannot be interrupted otherwise


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU"
    missing = f"; without {', '.join(sorted(MISSING))}: clips are kept as int16, not FLAC" if MISSING else ""
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}, Python {sys.version.split()[0]}{missing}"


class Section:
    """A heading and a table, line by line, in a share of the time."""

    def __init__(self, title: str, columns: Sequence[str], seconds: float) -> None:
        self.until, self.left_out = time.monotonic() + seconds, list[str]()
        print(f"### {title}\n\n| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}", flush=True)

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self.until - time.monotonic())

    def line(self, label: str, cells: Callable[[], Sequence[str]], may_fail: bool = False) -> None:
        """One line, unless the time is over. may_fail: what goes wrong is told in the line."""
        if not self.left:
            self.left_out.append(label)
            return
        try:
            found = cells()
        except torch.OutOfMemoryError:
            found = ["out of memory"]
        except Exception as error:
            if not may_fail:
                raise
            found = [f"failed: {type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"]
        print(f"| {label} | {' | '.join(found)} |", flush=True)

    def end(self, remark: str = "") -> None:
        left_out = f" Left out, as the section's time was over: {', '.join(self.left_out)}." if self.left_out else ""
        print(f"\n{remark}{left_out}\n", flush=True)


# ---------------------------------------------------------------------------------------------------------- measuring


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of a call, the median over groups of calls that the device does one after the other. Some calls before do not
    count."""
    for _ in range(2):
        call()
    wait(device)
    since = time.perf_counter()
    call()
    wait(device)
    group = max(1, int(GROUP_S / (time.perf_counter() - since)))
    spent, until = list[float](), time.monotonic() + seconds
    while len(spent) < LEAST_CALLS or time.monotonic() < until:
        spent.append(_group(call, group, device))
    return statistics.median(spent)


def _group(call: Callable[[], object], count: int, device: torch.device) -> float:
    if device.type != "cuda":
        since = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - since) / count
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(count):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1_000 / count


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def settings(name: str) -> dict[str, Any]:
    """The keys of `configs/train/NAME.yaml` and of what it extends: a line each, groups of keys in braces. Read here, as the
    machine may have no YAML."""
    found: dict[str, Any] = {}
    for line in (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if ":" in line and not line.startswith("#"):
            key, value = line.split(":", 1)
            found[key] = _value(value.strip())
    base = found.pop("extends", None)
    for key, value in settings(base).items() if base else ():
        found[key] = value | found.get(key, {}) if isinstance(value, dict) else found.get(key, value)
    return found


def _value(text: str) -> Any:
    if text.startswith("{"):
        pairs = (pair.split(":", 1) for pair in text.strip("{}").split(","))
        return {key.strip(): _value(value.strip()) for key, value in pairs}
    try:
        return {"true": True, "false": False}[text] if text in ("true", "false") else ast.literal_eval(text)
    except ValueError:
        return text


def config_of(kind: Any, name: str, **values: Any) -> Any:
    """The config `name` of a training as the papers' sizes have it, `values` in place of its own."""
    groups = {field.name: field.default_factory for field in dataclasses.fields(kind)}
    given = {
        key: groups[key](**value) if isinstance(value, dict) else value  # type: ignore[operator]
        for key, value in settings(name).items()
    }
    return kind(**{**unread(kind), **given, **values})


def unread(kind: Any) -> dict[str, str]:
    """Keys that a config must have; those of places are read by nothing here."""
    return {field.name: "" for field in dataclasses.fields(kind) if field.default == REQUIRED}


# ---------------------------------------------------------------------------------------------------------- the encoder


def _networks(size: Size, device: torch.device) -> tuple[ResNet18, WaveganGenerator, ResNet18]:
    """Mapper, generator and classifier, untrained."""
    torch.manual_seed(0)
    width = config_of(MapperConfig, "mapper").width if size.paper else size.mapper_width
    gan = config_of(WaveganConfig, "wavegan").width if size.paper else size.gan_width
    generator = WaveganGenerator(gan)
    made = ResNet18(generator.latent_size, width), generator, ResNet18(10, width)
    for network in made:
        network.requires_grad_(False).eval().to(device)
    return made


def clips_of(count: int) -> list[Clip]:
    """Clips as they lie in a shard: FLAC, or samples where nothing makes and reads FLAC."""
    rng, made = np.random.default_rng(0), []
    for number in range(count):
        noise = np.cumsum(rng.standard_normal(USUAL.samples))
        samples = (
            (3_000 * (noise - np.convolve(noise, np.ones(16) / 16, "same"))).clip(-32_768, 32_767).astype(np.int16)
        )
        info = ClipInfo(f"clip-{number:06d}", "train", "made", 0, USUAL.samples, USUAL.sample_rate, number % 10)
        made.append(Clip(info, samples.tobytes() if MISSING else audio.encode(samples, "flac", 16_000), "flac"))
    return made


@contextmanager
def kept_samples() -> Iterator[None]:
    """Within, clips without a decoder are taken as the samples that they are."""
    usual = signals.CLIPS
    if MISSING:
        signals.CLIPS = replace(usual, decode=lambda data: np.frombuffer(data, np.int16))
    yield
    signals.CLIPS = usual


def worker_of(
    networks: tuple[ResNet18, WaveganGenerator, ResNet18],
    device: torch.device,
    name: str,
    tile: int,
    compiled: bool,
    rows: str,
) -> ShardInverter:
    """What a worker of `infer encoder` makes of these keys, with networks at hand in place of checkpoints."""
    mapper, generator, classifier = networks
    config = EncoderConfig(
        **{**unread(EncoderConfig), "method": "encoder"},
        rows=rows,
        precision=name,
        compile=compiled,
        tile=tile,
        batch=tile,
        device=device.type,
    )
    cores = os.cpu_count() or 1
    threads = worker_threads(device, cores)
    heard = None if rows == LATENTS else classifier
    computing = Computing.of(config, Materials(generator, heard, device, threads=threads))
    inverter = EncoderInverter(
        generator=computing.made(generator),
        mapper=computing.made(mapper),
        reconstructs=rows != LATENTS,
        within=computing.within,
    )
    terms = [] if rows == LATENTS else ["log_magnitude"]
    schema = latents_schema(generator.latent_size, terms, {}, rows=rows, labels=classifier.outputs if heard else 0)
    tiled = Tiled(inverter, computing.tile, computing.threads)
    names = [str(number) for number in range(classifier.outputs)]
    return ShardInverter(config, tiled, heard, device, schema, USUAL, threads, names, cores)


def pipeline(worker: ShardInverter, clips: Sequence[Clip], seconds: float) -> float:
    """Clips per second from encoded clips to the bytes of a Parquet file, a shard at a time."""
    with kept_samples():
        device = torch.device("cpu")  # the file is there when the call returns: there is nothing to wait for
        return len(clips) / timed(lambda: table_bytes(worker.table(clips)), device, seconds)


def encoder(size: Size, device: torch.device) -> None:
    networks, (usual, long) = _networks(size, device), size.shards
    clips = clips_of(long)
    fullest = SCORES if MISSING else RECONSTRUCTIONS
    columns = [
        "networks",
        "mapper alone",
        "pipeline, latents",
        "of it",
        f"pipeline, {fullest}",
        f"latents, shards of {long:,}",
    ]
    section = Section("Encoder, clips/s", columns, SHARES["encoder"])

    def cells(name: str, batch: int, compiled: bool) -> list[str]:
        if name == "tf32" and device.type != "cuda":
            return ["on GPUs only"]
        within = precision(name, device)
        mapper = torch.compile(networks[0]) if compiled else networks[0]
        target = torch.randn(batch, USUAL.samples, device=device).clamp(-1, 1)

        def forward() -> None:
            with torch.no_grad(), within():
                mapper(target)

        alone = batch / timed(forward, device, size.seconds)
        latents = worker_of(networks, device, name, batch, compiled, LATENTS)
        whole = pipeline(latents, clips[:usual], size.seconds)
        found = [rate(alone), rate(whole), f"{whole / alone:.2f}"]
        if compiled:  # the generator would take another minute
            found.append("")
        else:
            everything = worker_of(networks, device, name, batch, False, fullest)
            found.append(rate(pipeline(everything, clips[:usual], size.seconds)))
        return [*found, rate(pipeline(latents, clips, size.seconds))]

    for name, batch, compiled in size.ways:
        label = f"{name}, {batch} at a time{', compiled' if compiled else ''}"
        section.line(label, lambda n=name, b=batch, c=compiled: cells(n, b, c), may_fail=compiled)
    section.end(
        f"Mapper: ResNet-18 of width {networks[0].width}; generator: WaveGAN d={networks[1].width}; classifier as the mapper. "
        f"The pipeline: one worker, {usual:,} clips to a shard, from {'samples' if MISSING else 'FLAC'} to the bytes of a "
        "Parquet file, and nothing of storage."
    )


# ---------------------------------------------------------------------------------------------------------- searches


def search(size: Size, device: torch.device) -> None:
    columns = ["to SciPy's final loss", "clips/s", "to SciPy's", "evaluations/s", "evaluations a clip", "reached"]
    section = Section("Gradient inversion", columns, SHARES["search"])
    if not all(importlib.util.find_spec(name) for name in ("scipy", "threadpoolctl")):
        section.end(
            "SciPy or threadpoolctl is not installed here, and everything is compared with SciPy: not measured."
        )
        return
    _, generator, _ = _networks(size, device)
    torch.manual_seed(1)
    other = WaveganGenerator(generator.width).requires_grad_(False).eval().to(device)
    latents = other.prior.sample(size.scipy_clips, other.latent_size, seeded("targets")).to(device)
    target = other(latents)
    precision("float32", device)
    first = Bench(generator, target[:1], LOSS, size.evaluations).scipy()  # warms up, and tells how many fit
    count = max(2, min(size.scipy_clips, int(section.left / 4 / first.seconds)))
    bench = Bench(generator, target[:count], LOSS, size.evaluations)
    scipy = bench.scipy()
    bench.stopping = Stopping(evaluations=2 * size.evaluations)  # for the others, so that all but the unlucky get there

    def cells(found: Found, wanted: Tensor) -> list[str]:
        clips, used = len(found.loss), float(found.evaluations.sum())
        ratio = clips / found.seconds / (count / scipy.seconds)
        share = float((found.loss <= wanted * (1 + 1e-6)).double().mean())
        numbers = (clips / found.seconds, ratio, used / found.seconds, used / clips)
        return [*(rate(each) for each in numbers), f"{share:.0%}"]

    section.line(f"SciPy, clip by clip ({count})", lambda: cells(scipy, scipy.loss))
    section.line(f"torch.optim.LBFGS, clip by clip ({count})", lambda: cells(bench.torch_lbfgs(scipy.loss), scipy.loss))
    for slots in size.searches:
        jobs = [number % count for number in range(2 * slots)]
        section.line(
            f"batched, {slots} at a time ({len(jobs)})",
            lambda s=slots, j=jobs: cells(batched(bench, s, j, scipy.loss), scipy.loss[j]),
        )
    section.end(
        f"SciPy: {size.evaluations} evaluations of {LOSS} at most, the others twice as many, until its loss of that clip is "
        f"reached; float32, generator d={generator.width}, all on this device. Batched searches run the {count} clips again "
        f"and again, each a search of its own. Aim on a GPU: {AIM} times SciPy's clips/s."
    )


def batched(bench: Bench, slots: int, jobs: Sequence[int], targets: Tensor) -> Found:
    """`infer gradient` with tile=slots: each job is a search for the clip of that number, to its own target."""
    device, rows = bench.target.device, torch.tensor(jobs)
    threads = worker_threads(device, os.cpu_count() or 1)
    starts = bench.starts[rows.to(device)]

    def solved(most: int) -> Any:
        config = GradientConfig(**{**unread(GradientConfig), "method": "gradient"}, evaluations=most, tile=slots)
        solve: Any = build_solver(config, bench.objective, tile_size(device, slots), threads=threads)
        found = solve(bench.wanted, jobs, starts, [0] * len(jobs), targets=targets[rows])
        wait(device)
        return found

    solved(2)  # kernels are loaded, memory is there
    since = time.monotonic()
    found = solved(bench.stopping.evaluations)
    return Found(found.value.cpu(), found.evaluations, time.monotonic() - since)


# ---------------------------------------------------------------------------------------------------------- training


class NoiseBatches:
    """Batches of noise in place of those of `train.data.clips`, from memory of the same kind."""

    waited = 0.0

    def __init__(self, count: int, device: torch.device, different: int = 4) -> None:
        rng = seeded("noise", count)
        waveforms = [torch.rand(count, USUAL.samples, generator=rng) * 2 - 1 for _ in range(different)]
        labels = [torch.randint(10, (count,), generator=rng) for _ in range(different)]
        if device.type == "cuda":
            waveforms, labels = ([each.pin_memory() for each in group] for group in (waveforms, labels))
        self._batches = [Batch(*pair, torch.arange(count)) for pair in zip(waveforms, labels, strict=True)]
        self._taken = 0

    def take(self) -> Batch:
        self._taken += 1
        return self._batches[self._taken % len(self._batches)]


class Steps:
    """Updates of an objective, one after the other, as the loop makes them: losses are read every `log_every`."""

    def __init__(self, objective: Any, config: Any, device: torch.device) -> None:
        nothing: Any = None
        self.trainer = Trainer(
            objective, config, nothing, nothing, nothing, nothing if objective.kind == "wavegan" else object(), World(),
            device, lambda step, values: None,
        )  # fmt: skip
        for network in (*objective.networks.values(), *objective.frozen.values()):
            network.to(device)
        guided = getattr(config, "guided_batch", None) or config.batch
        self.sources: Any = _Sources(NoiseBatches(config.batch, device), NoiseBatches(guided, device))
        self.step, self.losses, self.log_every = 0, Losses(), config.log_every

    def __call__(self) -> None:
        self.step += 1
        self.trainer.step(self.step, self.sources, self.losses)
        if self.step % self.log_every == 0:
            self.losses.take()


@dataclass(frozen=True)
class _Sources:
    real: NoiseBatches
    guided: NoiseBatches


def steps_of(kind: str, size: Size, name: str, device: torch.device) -> tuple[Steps, Any]:
    """A training of the papers' size, or of a toy's, in the precision `name`."""
    torch.manual_seed(0)
    toy: dict[str, Any] = {}
    if kind == "wavegan":
        if not size.paper:
            toy = {"width": size.gan_width, "batch": size.batches[0]}
        config = config_of(WaveganConfig, kind, precision=name, **toy)
        return Steps(WaveganObjective(config, USUAL, None), config, device), config
    if not size.paper:
        toy = {**SMALL_GAN, "channels": size.gaae_channels, "batch": size.batches[1]}
    config = config_of(GaaeConfig, kind, precision=name, **toy)
    return Steps(GaaeObjective(config, 10), config, device), config


def training(size: Size, device: torch.device) -> None:
    section = Section(
        "Training", ["objective", "steps/s", "clips/s", "peak memory", "waits in a step"], SHARES["training"]
    )
    names = ("float32", "tf32", "bf16") if device.type == "cuda" else ("float32", "bf16")
    for kind in ("wavegan", "gaae"):
        for name in names:
            section.line(f"{kind}, {name}", lambda k=kind, n=name: _training(k, size, n, device))
    section.end(
        "A step is all updates of an objective: five of WaveGAN's critic with its gradient penalty and one of its generator; "
        "two of GAAE's discriminators and one of the others. clips/s: steps times batch. Waits: calls that make the host wait "
        "for the device, as torch finds them; there should be none between two lines of metrics."
    )


def _training(kind: str, size: Size, name: str, device: torch.device) -> list[str]:
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    steps, config = steps_of(kind, size, name, device)
    seconds = timed(steps, device, 2 * size.seconds)
    if not cuda:
        return [rate(1 / seconds), rate(config.batch / seconds), "not on a CPU", "not on a CPU"]
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
    return [rate(1 / seconds), rate(config.batch / seconds), memory, str(waits(steps))]


def waits(steps: Steps) -> int:
    """How often one step, without the reading of its losses, makes the host wait for the GPU."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            steps.trainer.step(steps.step + 1, steps.sources, steps.losses)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(each.message) for each in found)


# ---------------------------------------------------------------------------------------------------------- profile


def where_time_goes(size: Size, device: torch.device, most: int = 8) -> None:
    until = time.monotonic() + SHARES["profile"]
    networks = _networks(size, device)
    name, batch, _ = next(way for way in reversed(size.ways) if not way[2])
    worker, clips = worker_of(networks, device, name, batch, False, LATENTS), clips_of(size.shards[0])
    assert isinstance(worker.inverter, Tiled)
    if device.type == "cpu":  # the profiler sees what the calling thread does
        worker = replace(worker, threads=CALLER, inverter=replace(worker.inverter, threads=CALLER))

    def shard() -> None:
        with kept_samples():
            table_bytes(worker.table(clips))

    def step() -> None:
        made, _ = steps_of("wavegan", size, "tf32" if device.type == "cuda" else "float32", device)
        calls["a WaveGAN step"] = made
        made()

    calls: dict[str, Callable[[], None]] = {f"the encoder's pipeline, {name}, a shard": shard, "a WaveGAN step": step}
    for what in list(calls):
        seconds = max(0.0, until - time.monotonic())
        section, remark = Section(f"Where the time of {what} goes", ["operation", "calls", "ms", "of all"], seconds), ""
        if not section.left:
            section.left_out.append(what)
        else:
            calls[what]()  # warms up; a step is made here
            lines, remark = _hottest(calls[what], device, most)
            print("\n".join(lines), flush=True)
        section.end(remark)


def _hottest(call: Callable[[], None], device: torch.device, most: int) -> tuple[list[str], str]:
    """Lines of the operations whose own time is largest: on a GPU that of their kernels. And what all came to."""
    kinds, own, where = [ProfilerActivity.CPU], "self_cpu_time_total", "one thread of the CPU"
    if device.type == "cuda":
        kinds, own, where = [*kinds, ProfilerActivity.CUDA], "self_device_time_total", "the device"
    with profile(activities=kinds, acc_events=True) as found:
        since = time.perf_counter()
        call()
        wait(device)
        whole = time.perf_counter() - since
    # kernels are events too, whose time is that of the operation which launched them once more
    events = [each for each in found.key_averages() if each.device_type == DeviceType.CPU]
    spent = {each.key: (getattr(each, own) / 1e3, each.count) for each in events}
    total = max(sum(ms for ms, _ in spent.values()), 1e-6)
    hottest = sorted(spent.items(), key=lambda each: -each[1][0])[:most]
    lines = [
        f"| `{key[:70].replace('|', '/')}` | {count} | {ms:.2f} | {ms / total:.0%} |" for key, (ms, count) in hottest
    ]
    return lines, f"{1e3 * whole:.1f} ms under the profiler, {total:.1f} ms of them on {where}."
