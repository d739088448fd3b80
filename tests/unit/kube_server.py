# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP/1.1 server on loopback that keeps connections alive and answers as a test says, for what an API server does on the wire."""

from __future__ import annotations

import http.server
import json
import os
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union


@dataclass(frozen=True)
class Seen:
    """A request that came. ``connection`` counts the connections from 0. ``headers`` keeps what is there twice."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """``body``: bytes, a dict for JSON, or pieces that are sent as chunks as they come. ``close``: hang up after it without saying so."""

    body: Union[bytes, Mapping[str, Any], Iterable[bytes]] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


HANG_UP = Reply(status=0)
"""No answer at all: the connection ends."""
RESET = Reply(status=-1)
"""The same, without a goodbye: the client gets a reset."""
Script = Callable[[Seen], Reply]


def status(code: int, reason: str, message: str, **details: str) -> Reply:
    """A Status object, as an API server sends it."""
    return Reply({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "details": details, "code": code}, code)


class ApiServer:
    """Use as a context manager. ``script`` may be changed at any time."""

    def __init__(self, script: Script, tls: Optional[ssl.SSLContext] = None) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0
        self.stop = threading.Event()
        self._server = _Server(self, tls)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> ApiServer:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, api: ApiServer, tls: Optional[ssl.SSLContext]) -> None:
        self.api = api
        self.tls = tls
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hung up, as it may."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.number, self.server.api.connections = self.server.api.connections, self.server.api.connections + 1
        self.request.settimeout(120)
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def log_message(self, *_args: object) -> None:
        """Nothing: the test looks at ``seen``."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, self.path, self.headers.items(), body, self.number)
        self.server.api.seen.append(seen)
        reply = self.server.api.script(seen)
        if reply.status <= 0:
            if reply == RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())  # what closes it otherwise says goodbye first
            self.close_connection = True
            return
        content = json.dumps(reply.body).encode() if isinstance(reply.body, Mapping) else reply.body
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if isinstance(content, bytes):
            if "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in content:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"" if reply.close else b"0\r\n\r\n")
        self.close_connection = self.close_connection or reply.close

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer
