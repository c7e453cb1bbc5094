"""Downloads over real sockets: what a network, a server or a full disk can do to them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from invertone import command_line
from invertone.cluster.errors import UserError
from invertone.ingest.obtain import download, fetch
from invertone.ingest.obtain.config import FetchConfig
from invertone.ingest.obtain.fetch import Archive, Published
from invertone.ingest.obtain.part import CHUNK, Part, part_of
from tests.ingest.http_server import Fault, Site, serving

DATA = random.Random(1).randbytes(1_500_000)
OTHER = random.Random(2).randbytes(1_200_000)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_PAUSE_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(DATA)) as running:
        yield running


def table(site: Site, data: bytes = DATA, algorithm: str = "sha256") -> dict[str, Published]:
    archive = Archive(site.url, f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}", len(data))
    return {"sc09": Published(("v0.01",), {"v0.01": archive})}


def config(out: Path, **keys: object) -> FetchConfig:
    return FetchConfig(corpus="sc09", out=str(out), **{"retries": 3, "timeout_s": 5.0, **keys})  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_arrives_whole_and_names_the_next_command(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    fetch.run(config(tmp_path), table(site, algorithm=algorithm))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == DATA
    assert names(tmp_path) == ["corpus.tar.gz"]
    source = os.path.relpath(tmp_path / "corpus.tar.gz")
    assert f"invertone ingest sc09 source={source} out=" in capsys.readouterr().out


def test_broken_connections_are_taken_up_where_they_broke(site: Site, tmp_path: Path) -> None:
    site.faults = [Fault(cut_after=400_000), Fault(cut_after=300_000), Fault(cut_after=500_000)]
    fetch.run(config(tmp_path, retries=0), table(site))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == DATA
    assert [each.get("Range") for each in site.requests] == [None, "bytes=400000-", "bytes=700000-", "bytes=1200000-"]
    assert {each.get("If-Range") for each in site.requests[1:]} == {'"first"'}
    assert site.sent == len(DATA)


def test_a_killed_download_goes_on_in_the_next_process(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "corpus.tar.gz"
    checksum = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    site.faults = [Fault(cut_after=3 * CHUNK, stalls=True)]
    script = "import sys; from pathlib import Path; from invertone.ingest.obtain.download import download; "
    script += "download(sys.argv[1], sys.argv[2], Path(sys.argv[3]), 0, 60.0)"
    process = subprocess.Popen([sys.executable, "-c", script, site.url, checksum, str(target)])
    part = part_of(target)
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size == 3 * CHUNK):
        assert time.monotonic() < deadline, "the first process received nothing"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()

    download.download(site.url, checksum, target, 0, 5.0)
    assert target.read_bytes() == DATA
    assert site.requests[1]["Range"] == f"bytes={3 * CHUNK}-"
    assert site.sent == len(DATA)


def half_fetched(site: Site, tmp_path: Path) -> None:
    """Leaves 600,000 bytes of the site's present file."""
    site.faults = [Fault(cut_after=600_000)]
    site.always = Fault(status=503)
    with pytest.raises(UserError, match="gave up after"):
        fetch.run(config(tmp_path, retries=0), table(site))
    assert (tmp_path / "corpus.tar.gz.part").stat().st_size == 600_000
    site.always = Fault()
    site.requests.clear()


@pytest.mark.parametrize("knows_if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(site: Site, tmp_path: Path, knows_if_range: bool) -> None:
    half_fetched(site, tmp_path)
    site.data, site.etag, site.knows_if_range = OTHER, '"second"', knows_if_range
    fetch.run(config(tmp_path), table(site, OTHER))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == OTHER
    assert site.requests[0]["If-Range"] == '"first"'


def test_a_server_that_ignores_range_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    half_fetched(site, tmp_path)
    site.knows_range = False
    fetch.run(config(tmp_path), table(site))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == DATA


def test_a_server_that_ignores_range_and_always_breaks_off_is_given_up(site: Site, tmp_path: Path) -> None:
    site.knows_range, site.always = False, Fault(cut_after=700_000)
    with pytest.raises(UserError, match=r"gave up after 4 connections in a row .* ended at byte 700,000 of 1,500,000"):
        fetch.run(config(tmp_path), table(site))
    assert len(site.requests) == 5


def test_more_bytes_than_the_file_has_start_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "corpus.tar.gz.part").write_bytes(DATA + b"too much")
    fetch.run(config(tmp_path, retries=0), table(site))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == DATA
    assert len(site.requests) == 2


def test_a_whole_part_needs_no_server(site: Site, tmp_path: Path) -> None:
    (tmp_path / "corpus.tar.gz.part").write_bytes(DATA)
    fetch.run(config(tmp_path), table(site))
    assert names(tmp_path) == ["corpus.tar.gz"] and not site.requests


def test_another_server_goes_on_with_the_same_bytes(site: Site, tmp_path: Path) -> None:
    half_fetched(site, tmp_path)
    with serving(Site(DATA, etag='"mirror"')) as mirror:
        fetch.run(config(tmp_path, mirror=mirror.address + "/"), table(site))
        assert (tmp_path / "corpus.tar.gz").read_bytes() == DATA
        assert mirror.requests[0]["Range"] == "bytes=600000-" and "If-Range" not in mirror.requests[0]
    assert not site.requests


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.faults = [Fault(status=503), Fault(status=500)]
    fetch.run(config(tmp_path, retries=2), table(site))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == DATA


def test_a_server_that_stays_busy_is_given_up(site: Site, tmp_path: Path) -> None:
    site.always = Fault(status=503)
    with pytest.raises(UserError, match=r"gave up after 3 connections in a row that gained nothing: .* 503"):
        fetch.run(config(tmp_path, retries=2), table(site))
    assert len(site.requests) == 3


def test_silence_counts_as_a_broken_connection(site: Site, tmp_path: Path) -> None:
    site.faults = [Fault(cut_after=CHUNK, stalls=True)]
    fetch.run(config(tmp_path, timeout_s=1.0), table(site))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == DATA
    assert site.requests[1]["Range"] == f"bytes={CHUNK}-"


def test_a_missing_file_is_said_at_once(site: Site, tmp_path: Path) -> None:
    archives = table(site)
    site.file = "moved.tar.gz"
    with pytest.raises(UserError, match="the server answers 404 Not Found; give mirror="):
        fetch.run(config(tmp_path), archives)
    assert len(site.requests) == 1
    assert names(tmp_path) == []


def test_wrong_bytes_are_removed_and_said(site: Site, tmp_path: Path) -> None:
    archives = table(site)
    site.data = OTHER
    with pytest.raises(UserError, match=f"{hashlib.sha256(OTHER).hexdigest()}, not the published .*; it was removed"):
        fetch.run(config(tmp_path), archives)
    assert names(tmp_path) == []


def test_no_server_is_one_line_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waited to try again"))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Site(DATA, address=f"http://127.0.0.1:{unused.getsockname()[1]}")
    with pytest.raises(UserError, match="cannot be reached: Connection refused; check the network"):
        fetch.run(config(tmp_path, retries=9), table(nobody))


def test_what_is_there_is_verified_and_not_fetched(site: Site, tmp_path: Path) -> None:
    fetch.run(config(tmp_path), table(site))
    site.requests.clear()
    fetch.run(config(tmp_path), table(site))
    assert not site.requests
    (tmp_path / "corpus.tar.gz").write_bytes(OTHER)
    with pytest.raises(UserError, match=r"is there, but its sha256 is .*; remove it"):
        fetch.run(config(tmp_path), table(site))
    assert (tmp_path / "corpus.tar.gz").read_bytes() == OTHER


def test_two_processes_do_not_write_one_file(site: Site, tmp_path: Path) -> None:
    checksum = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    with (
        Part(site.url, checksum, tmp_path / "corpus.tar.gz"),
        pytest.raises(UserError, match="is being fetched by another process"),
    ):
        fetch.run(config(tmp_path), table(site))


def test_a_full_disk_is_said_before_it_is_full(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=download.SPARE_BYTES + len(DATA) - 1))
    with pytest.raises(UserError, match=r"are still to be written and .* are free"):
        fetch.run(config(tmp_path), table(site))


def test_plan_asks_no_server_and_says_what_is_there(site: Site, tmp_path: Path) -> None:
    assert fetch.plan(config(tmp_path), table(site))[0].startswith(f"would fetch {site.url}, about 0.0015 GB, into ")
    half_fetched(site, tmp_path)
    assert fetch.plan(config(tmp_path), table(site))[0].startswith("would go on with ")
    fetch.run(config(tmp_path), table(site))
    site.requests.clear()
    assert fetch.plan(config(tmp_path), table(site)) == [f"would verify {tmp_path}/corpus.tar.gz"]
    assert not site.requests


@pytest.mark.parametrize("mirror", ["ftp://host/x", "host/x", "http://", "http://host:port/x", "http://a b/x"])
def test_a_mirror_is_an_http_address(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(UserError, match="is no http"):
        fetch.run(config(tmp_path, mirror=mirror))


def test_mistakes_in_the_command_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="credentials do not belong in an address") as refused:
        fetch.run(config(tmp_path, mirror="http://me:secret@host/x"))
    assert "secret" not in str(refused.value)
    with pytest.raises(UserError, match=r"has no part 'v0\.03'; choose from v0\.01, v0\.02; did you mean"):
        fetch.run(config(tmp_path, parts=["v0.03"]))
    with pytest.raises(UserError, match="local disk only"):
        fetch.run(FetchConfig(corpus="sc09", out="s3://bucket/x"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made"):
        fetch.run(config(tmp_path / "file"))


def test_the_command_line_tells_a_wrong_file_in_one_line(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.file = "speech_commands_v0.01.tar.gz"
    out = tmp_path / "archives"
    assert command_line.main(["corpus", "fetch", "sc09", f"out={out}", f"mirror={site.address}"]) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith(f"invertone: {site.url}: the sha256 of what was received is ")
    assert names(out) == []


def test_checksums_are_those_that_torchaudio_records() -> None:
    found = importlib.util.find_spec("torchaudio")
    assert found is not None and found.origin is not None
    datasets = Path(found.origin).parent / "datasets"
    text = "".join((datasets / f"{name}.py").read_text() for name in ("librispeech", "speechcommands"))
    recorded = dict(re.findall(r'"(http://[^"]+)": "([0-9a-f]{64})"', text))
    assert len(recorded) == 9
    ours = {each.url: each.checksum for corpus in fetch.CORPORA.values() for each in corpus.parts.values()}
    for url, checksum in ours.items():
        if "nsynth" in url:
            assert re.fullmatch("md5:[0-9a-f]{32}", checksum)
        else:
            assert checksum == f"sha256:{recorded.pop(url)}"
    assert not recorded


def test_every_default_part_exists() -> None:
    for published in fetch.CORPORA.values():
        assert published.default and set(published.default) <= set(published.parts)
