"""The proxy passes on untouched what it does not break, breaks what it says; storage on S3 withstands every kind of fault."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest

from invertone.cluster.storage.folder import Folder
from tests.chaos.proxy import FAULTS, FaultyProxy

if TYPE_CHECKING:
    from tests.servers import Ceph

MIB = 2**20


class _Echo(BaseHTTPRequestHandler):
    """A backend that answers with what reached it, in chunks if asked to."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def answer(self) -> None:
        self.seen.append(self.command)
        raw = b""
        if self.headers.get("Transfer-Encoding"):
            while not raw.endswith(b"0\r\n\r\n"):
                raw += self.rfile.readline()
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        heard = {"line": self.requestline, "headers": self.headers.items(), "body": raw.decode("latin-1")}
        content = json.dumps(heard).encode()
        self.send_response(200)
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def echo() -> Iterator[FaultyProxy]:
    """A proxy, without faults yet, before a backend that echoes; `_Echo.seen` lists what reached it."""
    _Echo.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    with FaultyProxy(f"http://127.0.0.1:{server.server_port}", seed=1, stall_s=0.3) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(echo: FaultyProxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(echo.url.removeprefix("http://"), timeout=20)
    yield connection
    connection.close()


@pytest.fixture
def proxy(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy, without faults yet, through which s3fs reaches the bucket of `s3`."""
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL"], seed=7, stall_s=0.05) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        fsspec.filesystem("s3").clear_instance_cache()
        yield proxy
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("answered", ["whole", "chunked"])
def test_requests_arrive_as_they_were_sent(client: http.client.HTTPConnection, answered: str) -> None:
    target = f"//b//a%2Fb%20c+d/../%C3%BC?x=%20+&list-type=2&y=&{answered}"
    client.putrequest("PUT", target, skip_host=True, skip_accept_encoding=True)
    headers = [["HOST", "signed.example:1234"], ["x-amz-meta-a", "ü"], ["X-Amz-Meta-A", "2"], ["Content-Length", "4"]]
    for name, value in headers:
        client.putheader(name, value)
    client.endheaders(b"\0\r\n\xff")
    answer = client.getresponse()
    heard = json.loads(answer.read())
    assert (answer.status, heard["line"]) == (200, f"PUT {target} HTTP/1.1")
    assert (heard["headers"], heard["body"]) == (headers, "\0\r\n\xff")


def test_a_chunked_body_arrives_as_it_was_sent(client: http.client.HTTPConnection) -> None:
    client.putrequest("PUT", "/b/a")
    client.putheader("Transfer-Encoding", "chunked")
    raw = b"3;chunk-signature=00ff\r\na\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
    client.endheaders(raw)
    assert json.loads(client.getresponse().read())["body"].encode("latin-1") == raw


def test_one_connection_serves_many_requests_also_after_refusals(
    echo: FaultyProxy, client: http.client.HTTPConnection
) -> None:
    sockets = set()
    for turn, method in enumerate(("HEAD", "GET", "PUT", "HEAD", "DELETE", "GET") * 3):
        echo.kinds, echo.share = ("500",) if turn % 4 < 2 else ("503",), turn % 2
        client.request(method, "/b/a", body=b"x" * 100_000 if method == "PUT" else None)
        sockets.add(client.sock)
        answer = client.getresponse()
        content = answer.read()
        assert answer.status == (200 if turn % 2 == 0 else int(echo.kinds[0]))
        assert bool(content) == (method != "HEAD")
        assert int(answer.headers["Content-Length"]) > 0
    assert len(sockets) == 1
    assert (echo.requests, len(_Echo.seen), sum(echo.counts.values())) == (18, 9, 9)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_client_that_asks_first_is_told_to_go_on_unless_it_is_reset(echo: FaultyProxy, share: float) -> None:
    echo.kinds, echo.share = ("reset",), share
    address = ("127.0.0.1", int(echo.url.rsplit(":", 1)[1]))
    with socket.create_connection(address, timeout=20) as plain, plain.makefile("rb") as answers:
        plain.sendall(b"PUT /b/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        if share:
            with pytest.raises(ConnectionResetError):
                answers.readline()
            return
        assert [answers.readline(), answers.readline()] == [b"HTTP/1.1 100 Continue\r\n", b"\r\n"]
        assert _Echo.seen == []
        plain.sendall(b"abc")
        assert answers.readline() == b"HTTP/1.1 200 OK\r\n"


def test_every_fault_is_what_it_says(echo: FaultyProxy, client: http.client.HTTPConnection) -> None:
    def hit(kind: str, method: str = "GET") -> http.client.HTTPResponse:
        echo.kinds, echo.share = (kind,), 1.0
        _Echo.seen.clear()
        client.close()
        client.request(method, "/b/a", body=b"x" * 1000 if method == "PUT" else None)
        return client.getresponse()

    for kind, method in (("reset", "PUT"), ("reset", "GET"), ("cut", "PUT"), ("cut", "HEAD")):
        with pytest.raises(ConnectionError):
            hit(kind, method)
        assert _Echo.seen == []
    assert echo.counts == {"reset": 4}
    with pytest.raises(http.client.RemoteDisconnected):
        hit("lost answer", "PUT")
    assert _Echo.seen == ["PUT"]
    for kind, code in (("500", b"<Code>InternalError</Code>"), ("503", b"<Code>SlowDown</Code>")):
        answer = hit(kind, "PUT")
        assert answer.status == int(kind)
        assert code in answer.read()
        assert _Echo.seen == []
    before = time.monotonic()
    assert hit("stall").read()
    assert time.monotonic() - before >= 0.3
    answer = hit("cut")
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    assert len(caught.value.partial) == int(answer.headers["Content-Length"]) // 2
    assert echo.counts == {"reset": 4, "lost answer": 1, "500": 1, "503": 1, "stall": 1, "cut": 1}


def test_the_same_seed_hits_the_same_requests_whatever_the_share_was_before() -> None:
    drawn = []
    for share in (0.3, 0.0):
        with FaultyProxy("http://127.0.0.1:9", seed=3, share=share) as proxy:
            assert {proxy.draw() for _ in range(200)} == ({None, *FAULTS} if share else {None})
            proxy.share = 0.3
            drawn.append([proxy.draw() for _ in range(200)])
    assert drawn[0] == drawn[1]


def test_without_faults_objects_of_any_size_are_the_same(proxy: FaultyProxy, s3: str, rng: np.random.Generator) -> None:
    place = f"{s3}/{uuid.uuid4().hex}"
    folder, fs = Folder.at(place), fsspec.filesystem("s3")
    wholes = {
        name: rng.bytes(size) for name, size in (("empty", 0), ("one", 1), ("a b+ü", 70_000), ("large", 32 * MIB))
    }
    for name, data in wholes.items():
        folder.publish_bytes(name, data)
    wholes["parts"] = rng.bytes(12 * MIB)
    fs.pipe_file(f"{place}/parts", wholes["parts"], chunksize=5 * MIB)
    assert fs.info(f"{place}/parts")["ETag"].strip('"').endswith("-3")
    assert folder.names() == sorted(wholes)
    for name, data in wholes.items():
        assert folder.size(name) == len(data)
        assert folder.read_bytes(name) == data
    assert not folder.exists("nothing")
    assert proxy.requests > 20
    assert not proxy.counts


@pytest.mark.parametrize("kinds", [*((kind,) for kind in FAULTS), FAULTS], ids=[*FAULTS, "all"])
def test_small_objects_withstand_faults(
    proxy: FaultyProxy, s3: str, rng: np.random.Generator, kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default of 5 attempts each 400th request would fail at this share: botocore alone tries a 500 again, and
    s3fs alone a body that was cut."""
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "10")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 10)
    # How often is tested, not how long botocore waits in between (half a second at first).
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.005)
    folder = Folder.at(f"{s3}/{uuid.uuid4().hex}")
    wholes = {f"{number:02d}": rng.bytes(int(rng.integers(1, 20_000))) for number in range(40)}
    proxy.kinds, proxy.share = kinds, 0.3
    for name, data in wholes.items():
        folder.publish_bytes(name, b"older")
        folder.publish_bytes(name, data)
        assert folder.read_bytes(name) == data
    assert folder.names() == sorted(wholes)
    proxy.share = 0.0
    assert {name: folder.read_bytes(name) for name in folder.names()} == wholes
    assert set(proxy.counts) == {*kinds, "reset"} if "cut" in kinds else {*kinds}


def test_a_server_that_verifies_signatures_accepts_what_comes_through(
    ceph: Ceph, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    with FaultyProxy(ceph.endpoint, seed=1) as proxy:
        for name, value in {**ceph.environment, "AWS_ENDPOINT_URL": proxy.url}.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3").clear_instance_cache()
        folder = Folder.at(f"{ceph.bucket}/{uuid.uuid4().hex}")
        wholes = {name: rng.bytes(1000) for name in ("a b", "a+b&c=d", "ü%2F~", "x" * 200)}
        for name, data in wholes.items():
            folder.publish_bytes(name, data)
        assert {name: folder.read_bytes(name) for name in folder.names()} == wholes
        folder.publish_bytes("large", data := rng.bytes(32 * MIB))
        assert folder.read_bytes("large") == data
        assert proxy.requests > 10
        fsspec.filesystem("s3").clear_instance_cache()
