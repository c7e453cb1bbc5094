"""An HTTP/1.1 proxy on loopback between an S3 client and its server, which breaks some of the requests.

What it does not break it passes on as it came. AWS signatures cover the method, the path with its query and most headers,
`Host` among them: a proxy that tidies any of these up is answered with 403.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("reset", "lost answer", "stall", "500", "503", "cut")
_ERRORS = {
    "500": ("InternalError", "We encountered an internal error. Please try again."),
    "503": ("SlowDown", "Please reduce your request rate."),
}
_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding")  # headers that are not the other connection's
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger
_BACKEND_TIMEOUT_S = 60.0


class FaultyProxy:
    """Forwards to `backend`; with probability `share` a request is hit by one of `kinds`, each as likely.

    - `reset`: the connection ends with a RST, before the request's body was read and anything was forwarded.
    - `lost answer`: forwarded, then closed without an answer, so that the client cannot know whether its PUT was done.
    - `stall`: forwarded after `stall_s` seconds.
    - `500`, `503`: S3's InternalError or SlowDown is the answer, nothing is forwarded.
    - `cut`: the answer's headers and half of its body, then closed. Where there is nothing to cut (no GET, or an answer
      without a body) it is a `reset`, and counted as one.
    """

    def __init__(
        self, backend: str, seed: int, share: float = 0.0, kinds: Sequence[str] = FAULTS, stall_s: float = 2.0
    ) -> None:
        assert set(kinds) <= set(FAULTS), f"unknown faults in {kinds}"
        self.share = share
        self.kinds = tuple(kinds)
        self.stall_s = stall_s
        self.requests = 0
        self.counts: Counter[str] = Counter()
        self.closing = threading.Event()
        self._backend = urlsplit(backend)
        assert self._backend.scheme == "http" and self._backend.port, f"{backend} is not http://host:port"
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def draw(self) -> str | None:
        """The next request's fault, if it is to have one. Two draws in any case: `share` does not shift later ones."""
        with self._lock:
            self.requests += 1
            kind = self._random.choice(self.kinds)
            return kind if self._random.random() < self.share else None

    def count(self, kind: str) -> None:
        with self._lock:
            self.counts[kind] += 1

    def forward(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[HTTPResponse, bytes]:
        """The backend's answer and its whole body, over a connection of its own, which cannot be stale."""
        assert self._backend.hostname
        connection = HTTPConnection(self._backend.hostname, self._backend.port, timeout=_BACKEND_TIMEOUT_S)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            with suppress(BrokenPipeError):  # a server may refuse, and hang up, before it has read the body
                connection.endheaders(body)
            answer = connection.getresponse()  # passes over 100 Continue
            return answer, answer.read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    """A thread for each connection. Closing it ends the connections, which a client's pool would otherwise keep."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: FaultyProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The inherited `shutdown` sends a FIN, which a client that is to see a RST would see first."""
        self._open.discard(request)
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET_ON_CLOSE)) == _RESET_ON_CLOSE:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for request in tuple(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silent where a client went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One client's connection: its requests, one after the other."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def serve(self) -> None:
        proxy = self.server.proxy
        fault = proxy.draw()
        if fault == "reset" or (fault == "cut" and self.command != "GET"):
            self._reset()
            return
        body = self._body()
        if fault in _ERRORS:
            self._refuse(fault)
            return
        if fault == "stall":
            proxy.count(fault)
            self.close_connection = proxy.closing.wait(proxy.stall_s)
            if self.close_connection:
                return
        target = self.requestline.split(" ")[1]  # not `path`, in which the base class merges slashes
        try:
            answer, content = proxy.forward(self.command, target, self.headers.items(), body)
        except (OSError, HTTPException):  # the server is away, and so is the proxy
            self.close_connection = True
            return
        if fault == "lost answer":
            proxy.count(fault)
            self.close_connection = True
        elif fault == "cut" and not content:
            self._reset()
        else:
            self._pass_back(answer, content, cut=fault == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve  # noqa: N815

    def handle_expect_100(self) -> bool:
        """Not before the request's fault is known: `reset` comes first."""
        return True

    def _body(self) -> bytes:
        """The request's body as it is on the wire, that is, in chunks with their sizes if it came so."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionResetError("the client went away in the middle of its body")
        return body

    def _chunks(self) -> bytes:
        raw, size = bytearray(), -1
        while size != 0:
            line = self.rfile.readline()
            size = int(line.split(b";")[0] or b"0", 16)
            raw += line + (self.rfile.read(size + 2) if size else b"")
        while line not in (b"\r\n", b""):  # trailers
            line = self.rfile.readline()
            raw += line
        if not line:
            raise ConnectionResetError("the client went away in the middle of its body")
        return bytes(raw)

    def _reset(self) -> None:
        self.server.proxy.count("reset")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close_connection = True

    def _refuse(self, fault: str) -> None:
        self.server.proxy.count(fault)
        code, message = _ERRORS[fault]
        content = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
        )
        self.send_response_only(int(fault))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content.encode())

    def _pass_back(self, answer: HTTPResponse, content: bytes, cut: bool) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        if not bodiless and "Content-Length" not in answer.headers:  # it came in chunks
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if cut:
            self.server.proxy.count("cut")
            self.close_connection = True
        self.wfile.write(content[: len(content) // 2] if cut else content)

    def log_message(self, *_: Any) -> None:
        """Silent."""
