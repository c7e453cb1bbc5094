"""A web server on loopback that serves one file and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: a status instead of the file, or only so many bytes of it, then silence."""

    status: int = 0
    cut_after: int | None = None
    stalls: bool = False


@dataclass
class Site:
    """What is served, how, and what was asked and sent so far. `faults` are used up one per request, `always` never."""

    data: bytes
    file: str = "corpus.tar.gz"
    etag: str = '"first"'
    knows_range: bool = True
    knows_if_range: bool = True
    faults: list[Fault] = field(default_factory=list)
    always: Fault = Fault()
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    address: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.address}/{self.file}"


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """`site` on a free port of 127.0.0.1, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, site)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    site.requests.append(dict(handler.headers))
    fault = site.faults.pop(0) if site.faults else site.always
    if handler.path != f"/{site.file}":
        handler.send_error(404)
        return
    if fault.status:
        handler.send_error(fault.status)
        return
    start = _start(handler, site)
    if start is not None and start >= len(site.data):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(site.data)}")
        handler.end_headers()
        return
    body = site.data[start or 0 :]
    handler.send_response(200 if start is None else 206)
    if start is not None:
        handler.send_header("Content-Range", f"bytes {start}-{len(site.data) - 1}/{len(site.data)}")
    handler.send_header("Content-Length", str(len(body)))
    if site.etag:
        handler.send_header("ETag", site.etag)
    handler.end_headers()
    body = body[: fault.cut_after]
    site.sent += len(body)
    with suppress(ConnectionError):  # the client may leave before the end
        handler.wfile.write(body)
        handler.wfile.flush()
    if fault.stalls:
        site.released.wait(20)


def _start(handler: BaseHTTPRequestHandler, site: Site) -> int | None:
    """The first byte that is asked for, or None where the whole file is due."""
    asked = handler.headers.get("Range")
    if asked is None or not site.knows_range:
        return None
    if site.knows_if_range and handler.headers.get("If-Range", site.etag) != site.etag:
        return None
    return int(asked.removeprefix("bytes=").removesuffix("-"))
