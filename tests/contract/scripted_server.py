# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on loopback that answers with exactly the bytes it is told to, so that it can lie in any way HTTP allows."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Optional, Union


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Reply = Union[bytes, Callable[[Request], bytes]]


def reply(body: bytes | str, status: str = "200 OK", **headers: str) -> bytes:
    """A well-formed answer; ``content_type="text/html"`` becomes ``content-type``. A header set to "" is left out."""
    data = body.encode() if isinstance(body, str) else body
    lines = {"content-length": str(len(data)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + data


@dataclass
class ScriptedServer:
    """Use as a context manager. ``reply`` may be changed at any time; ``requests`` are those received so far.

    ``before_close`` runs after the answer was sent and holds the connection open until it returns.
    """

    reply: Reply = b""
    tls: Optional[ssl.SSLContext] = None
    before_close: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> ScriptedServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                raw, _peer = self._listener.accept()
            except OSError:
                return
            raw.settimeout(120)
            try:
                with self.tls.wrap_socket(raw, server_side=True) if self.tls else raw as sock:
                    self._answer(sock)
            except OSError:
                continue  # the client hung up, as it may

    def _answer(self, sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            part = sock.recv(65536)
            if not part:
                return
            data += part
        head, body = data.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += sock.recv(65536)
        method, target, _version = first.split(" ")
        request = Request(method, target, headers, body)
        self.requests.append(request)
        sock.sendall(self.reply(request) if callable(self.reply) else self.reply)
        self.before_close()
