"""What all tests share: an isolated HOME, shapes checked at run time, one Ray session, real recordings, made ones."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

_HOME = tempfile.mkdtemp(prefix="invertone-home-")
os.environ["HOME"] = _HOME  # before anything imports Ray, which leaves a token there
for _name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
    del os.environ[_name]
os.environ.pop("RAY_ADDRESS", None)
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

# Started in the background (`make test &`, some CI runners) a process inherits an ignored SIGINT: tests of Ctrl-C mean it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import jaxtyping  # noqa: E402

ROOMS = [f"invertone.{room}" for room in ("audio", "images", "models", "train", "infer", "eval")]
jaxtyping.install_import_hook(ROOMS, "beartype.beartype")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from invertone.cluster.ray.resources import Capacity  # noqa: E402
from invertone.cluster.ray.session import _environment, session  # noqa: E402
from tests.inside import inside  # noqa: E402
from tests.servers import Ceph, ceph_server, moto_server, no_ceph  # noqa: E402

_environment()  # before a module of tests imports Ray, which reads it once: a session would listen on every interface

settings.register_profile(
    "invertone",
    deadline=None,
    max_examples=50,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("invertone")

ROOT = Path(__file__).parents[1]
FIRST = (
    "tests/e2e/",
    "tests/train/test_tune_job.py",
    "tests/chaos/",
    "tests/infer/",
    "tests/cluster/test_engine.py",
    "tests/eval/",
)
SPELT_OUT = 8
"""Bytes that a test's name may hold."""
CORPORA = ROOT.parent / "shared" / "data"
PAPERS = ROOT.parent / "shared" / "papers"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole roads first: a process that began one at the end would keep the others waiting."""
    items.sort(key=lambda item: next((at for at, room in enumerate(FIRST) if room in item.nodeid), len(FIRST)))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A name must not hold what a compressor made: it has the time of day in it, or differs from library to library."""
    return argname if isinstance(val, bytes) and len(val) > SPELT_OUT else None


@pytest.fixture(scope="session")
def ray_session() -> Iterator[Capacity]:
    """One local Ray session for the whole test run."""
    with session() as capacity:
        yield capacity


@pytest.fixture
def in_process() -> Iterator[None]:
    """Bulk jobs of this test run in its own process (`tests.inside`)."""
    with inside():
        yield


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real recordings in their native layouts."""
    if not CORPORA.is_dir():
        pytest.skip(f"no real recordings here: {os.path.relpath(CORPORA, ROOT)} is missing")
    return CORPORA


@pytest.fixture(scope="session")
def papers() -> Path:
    """The folder of the papers as text."""
    if not PAPERS.is_dir():
        pytest.skip(f"no papers here: {os.path.relpath(PAPERS, ROOT)} is missing")
    return PAPERS


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket on an S3 server on loopback, reached by the environment as a user's would be."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    import fsspec

    with moto_server() as (bucket, environment):
        os.environ.update(environment)
        fsspec.filesystem("s3").clear_instance_cache()
        yield bucket
        fsspec.filesystem("s3").clear_instance_cache()
        for name in environment:
            del os.environ[name]


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """Ceph's S3 server on loopback. It leaves the environment alone, so that `s3` can be used in the same session."""
    reason = no_ceph()
    if reason:
        pytest.skip(reason)
    with ceph_server() as server:
        yield server


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_190_214)
