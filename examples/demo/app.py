# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's service: a small HTTP server, and the little service manager that restarts it.

``app.py serve ROOT --port N``    serves in the foreground the release that ROOT/current points to
``app.py restart ROOT --port N``  ends the server of ROOT gracefully, starts it anew in the background, returns when it answers
``app.py stop ROOT``              ends it

A release is a directory with a ``release.json``: ``{"version": "2.4.1", "error_percent": 0, "delay_ms": 0}``. ``error_percent`` of
the requests to ``/`` are answered with 500, each after ``delay_ms``; that is how the demo ships a bad version. With ``"healthy": false``
``/health`` answers 503.

Paths: ``/`` (JSON with version and host), ``/health``, ``/metrics`` (Prometheus text). Exit status 1 with one line when it cannot start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

KEEP_ALIVE = 75.0
"""Seconds an idle connection is kept: longer than the load balancer keeps it, so that the two never race about closing it."""

GRACE = 5.0
"""Seconds a request in flight may take to finish after SIGTERM."""

REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


class App:
    """One server process. ``stopping`` makes every answer the last one of its connection."""

    def __init__(self, name: str, release: dict[str, object]) -> None:
        self.name = name
        self.version = str(release["version"])
        self.error_share = float(str(release.get("error_percent", 0))) / 100
        self.delay = float(str(release.get("delay_ms", 0))) / 1000
        self.healthy = bool(release.get("healthy", True))
        self.stopping = asyncio.Event()
        self.requests = {200: 0, 404: 0, 500: 0}
        self.seconds = 0.0
        self.connections: set[asyncio.Task[None]] = set()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the client went away, or does not speak HTTP: nothing to answer
        finally:
            self.connections.discard(task)
            writer.close()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer. False when the connection is to be closed."""
        head_task = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        stop_task = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({head_task, stop_task}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if not head_task.done():
                return False
        finally:
            stop_task.cancel()
            if not head_task.done():
                head_task.cancel()
        lines = head_task.result().decode("latin-1").split("\r\n")
        method, path, _protocol = lines[0].split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines[1:] if line)}
        length = int(headers.get("content-length", "0"))
        if length:
            await reader.readexactly(length)
        status, kind, body = await self.answer(path.split("?", 1)[0])
        last = self.stopping.is_set() or headers.get("connection", "").lower() == "close"
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"X-Version: {self.version}\r\nX-Host: {self.name}\r\nConnection: {'close' if last else 'keep-alive'}\r\n\r\n"
        )
        # One write for head and body: two small packets would wait for the other side's delayed acknowledgement (Nagle), 40 ms.
        writer.write(head.encode("latin-1") + (b"" if method == "HEAD" else body))
        await writer.drain()
        return not last

    async def answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/health":
            return (200, "text/plain", b"ok\n") if self.healthy else (503, "text/plain", b"not well\n")
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4", self.metrics().encode()
        started = time.monotonic()
        if self.delay:
            await asyncio.sleep(self.delay)
        status = 500 if random.random() < self.error_share else 200
        if path != "/" and status == 200:
            status = 200 if path.startswith("/shop") else 404
        self.requests[status] += 1
        self.seconds += time.monotonic() - started
        return status, "application/json", (json.dumps({"version": self.version, "host": self.name}) + "\n").encode()

    def metrics(self) -> str:
        lines = ["# TYPE http_requests_total counter"]
        lines += [f'http_requests_total{{version="{self.version}",code="{code}"}} {count}' for code, count in self.requests.items()]
        lines += ["# TYPE http_request_duration_seconds_sum counter", f'http_request_duration_seconds_sum{{version="{self.version}"}} {self.seconds:.6f}']
        return "\n".join(lines) + "\n"


async def serve(root: Path, port: int, make: type[App] = App) -> None:
    """Serve until SIGTERM or SIGINT, then stop listening and finish what is in flight."""
    release = json.loads((root / "current" / "release.json").read_text())
    app = make(root.name, release)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stopping.set)
    server = await asyncio.start_server(app.connection, "127.0.0.1", port, backlog=512)
    (root / "app.pid").write_text(f"{os.getpid()}\n")
    await app.stopping.wait()
    server.close()
    if app.connections:
        await asyncio.wait(app.connections, timeout=GRACE)


def running(root: Path) -> int:
    """The process id of the server of ``root``, 0 when there is none. A recycled id is not taken for ours."""
    try:
        pid = int((root / "app.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if str(root).encode() in command else 0


def stop(root: Path) -> None:
    """End the server of ``root`` and wait until it is gone."""
    pid = running(root)
    if not pid:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE + 1
    while running(root) == pid:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def restart(root: Path, port: int, program: str = __file__) -> None:
    """Stop, start ``program`` in the background, and wait until the new process answers. Raises SystemExit with one line when it does not."""
    stop(root)
    with (root / "app.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, program, "serve", str(root), "--port", str(port)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and running(root) == process.pid:
                return
        time.sleep(0.01)
    raise SystemExit(f"{root.name}: the app does not listen on port {port}; see {root / 'app.log'}")


def main(make: type[App] = App, program: str = __file__) -> None:
    parser = argparse.ArgumentParser(description="The demo's service")
    parser.add_argument("verb", choices=("serve", "restart", "stop"))
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.verb == "serve":
        asyncio.run(serve(arguments.root, arguments.port, make))
    elif arguments.verb == "restart":
        restart(arguments.root, arguments.port, program)
    else:
        stop(arguments.root)


if __name__ == "__main__":
    main()
