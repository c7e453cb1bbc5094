"""`python -m benchmarks gpu` runs where there is torch and little else, and ends in time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from benchmarks.unpacked import AUDIO_LIBRARIES
from invertone.cluster.config.loading import load
from invertone.train.config import CATALOGUE
from invertone.train.schemas.gaae import GaaeConfig
from invertone.train.schemas.mapper import MapperConfig
from invertone.train.schemas.wavegan import WaveganConfig

ROOT = Path(__file__).parents[2]
COMPANY = {
    "fsspec", "jaxtyping", "jinja2", "numpy", "packaging", "pyarrow", "safetensors", "scipy", "threadpoolctl", "torch",
    "torchaudio",
}  # fmt: skip
"""What a machine with torch may be taken to have, of what this project needs."""
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "google-crc32c": "google_crc32c"}
BARE = """
    import runpy, sys
    from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

    class Bare(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            return None if path is None and name in HIDDEN else super().find_spec(name, path, target)

    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Bare]
    sys.argv = ["benchmarks", "gpu", "tiny"]
    sys.path.insert(0, "")
    runpy.run_module("benchmarks", run_name="__main__")
    assert not HIDDEN & set(sys.modules) - {"soundfile", "miniaudio", "PIL"}
    from invertone.audio.clip import decode
    try:
        decode(b"RIFF")
    except ModuleNotFoundError as error:
        print(error)
"""
"""Without anything that an installation puts in the way of imports."""


def hidden() -> set[str]:
    """What this project needs besides, as modules."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = {re.split(r"[\[<>=]", each)[0] for each in named}
    assert packages >= COMPANY - {"jinja2", "packaging"} and "ray" in packages
    return {MODULES.get(each, each) for each in packages - COMPANY} | set(AUDIO_LIBRARIES)


def test_it_runs_without_ray_webdataset_and_libraries_of_audio_files() -> None:
    """From the tree, not installed: every section, every line, and what decodes sound says that it cannot."""
    program = textwrap.dedent(BARE).replace("HIDDEN", repr(hidden()))
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    headings = re.findall("^### (.*)$", done.stdout, re.MULTILINE)
    assert [each.split()[0] for each in headings] == ["Encoder,", "Gradient", "Training", "Where", "Where"]
    assert "without miniaudio, soundfile: clips are kept as int16" in done.stdout
    assert "failed" not in done.stdout and "Left out" not in done.stdout
    for first in (
        "float32, 4 at a time",
        "SciPy, clip by clip",
        "batched, 4 at a time",
        "wavegan, bf16",
        "gaae, float32",
    ):
        (line,) = [each for each in done.stdout.splitlines() if each.startswith(f"| {first}")]
        assert re.search(r"\| [\d.,]+ \|", line), line
    assert "soundfile is not installed here" in done.stdout


@pytest.mark.parametrize(("name", "kind"), [("wavegan", WaveganConfig), ("gaae", GaaeConfig), ("mapper", MapperConfig)])
def test_sizes_are_those_of_the_configs(name: str, kind: Any) -> None:
    required = {"shards": "/s", "out": "/o", "generator": "/g", "classifier": "/c"}
    given = {key: value for key, value in required.items() if key in kind.__dataclass_fields__}
    loaded = load(CATALOGUE, name, [f"{key}={value}" for key, value in given.items()])
    assert gpu.config_of(kind, name, **given) == loaded


def test_full_size_is_that_of_the_papers() -> None:
    mapper, generator, classifier = gpu._networks(gpu.SIZES["full"], torch.device("cpu"))
    assert (mapper.width, classifier.width, mapper.outputs) == (64, 64, 100)
    assert sum(each.numel() for each in generator.parameters()) == 19_065_345
    assert mapper.front_end.rows() == 256


def test_a_section_says_what_it_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    section = gpu.Section("Title", ["what", "number"], 60.0)
    section.line("one", lambda: ["1"])
    section.until = 0.0
    section.line("two", lambda: pytest.fail("no time is left for it"))
    section.end("Remark.")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == ["### Title", "", "| what | number |", "|---|---:|", "| one | 1 |"]
    assert lines[-2] == "Remark. Left out, as the section's time was over: two."


def test_a_line_that_may_fail_says_so_and_another_raises(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> list[str]:
        raise RuntimeError("no compiler\nand more")

    section = gpu.Section("Title", ["what"], 60.0)
    section.line("compiled", fails, may_fail=True)
    assert "| compiled | failed: RuntimeError: no compiler |" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="no compiler"):
        section.line("plain", fails)


def test_the_command_ends_itself() -> None:
    slow = "gpu.LIMIT_S = 0.1; gpu.encoder = lambda *_: time.sleep(60); gpu.run('tiny')"
    program = f"import time; from benchmarks import gpu; {slow}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Ended after 0 s: what is not above was not measured." in done.stdout


def test_shares_leave_time_to_start_and_to_finish_what_has_begun() -> None:
    assert gpu.LIMIT_S == 8 * 60 and sum(gpu.SHARES.values()) <= 0.9 * gpu.LIMIT_S


def test_the_pipeline_makes_the_rows_that_a_worker_makes() -> None:
    """One good row per clip, of what was asked for."""
    device, size = torch.device("cpu"), gpu.SIZES["tiny"]
    clips, networks = gpu.clips_of(3), gpu._networks(size, device)
    plain = gpu.worker_of(networks, device, "float32", 2, False, "latents").table(clips)
    assert plain["status"].to_pylist() == ["ok"] * 3 and "ssim" not in plain.column_names
    with torch.no_grad():
        wanted = networks[0](torch.from_numpy(gpu.audio.to_float(gpu.audio.decode(clips[2].data)))[None])
    assert torch.allclose(torch.tensor(plain["latent"][2].as_py()), wanted[0].clamp(-1, 1), atol=1e-5)
    whole = gpu.worker_of(networks, device, "float32", 2, False, "reconstructions").table(clips)
    assert whole["status"].to_pylist() == ["ok"] * 3 and None not in whole["feature_distance"].to_pylist()
    assert gpu.audio.decode(whole["reconstruction"][0].as_py()["bytes"]).shape == (16_384,)
