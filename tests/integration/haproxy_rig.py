# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy with real little HTTP servers behind it, and an open-loop load generator that never retries. Loopback only."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

from ansible_collections.progressive.delivery.tests.ports import free_port

BINARY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or "haproxy"
ANSWERS = 120.0
"""Seconds until an answer counts as lost: a machine that is busy with other tests lets nobody run for seconds."""
MOST_AT_ONCE = 50
"""Requests that a load sends in one go."""


@dataclasses.dataclass
class Server:
    """One HTTP server. ``status`` is what it answers, /health included, unless it ``seems_well``; ``delay`` in seconds; while it is ``held`` it answers
    nobody."""

    name: str
    port: int
    status: int = 200
    seems_well: bool = False
    delay: float = 0.0
    held: bool = False
    listening: asyncio.AbstractServer | None = None


@dataclasses.dataclass(frozen=True)
class Hit:
    """One request: when it was sent, what came back (0: no answer), from whom, after how long."""

    sent: float
    status: int
    server: str
    seconds: float


class Farm:
    """HTTP servers and load in one event loop on a thread of its own."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def add(self, name: str) -> Server:
        server = Server(name, free_port())
        self.servers[name] = server
        self.start(name)
        return server

    def start(self, name: str) -> None:
        server = self.servers[name]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(server, reader, writer)

        server.listening = self._call(asyncio.start_server(serve, "127.0.0.1", server.port, backlog=512))

    def stop(self, name: str) -> None:
        """The server refuses connections until :meth:`start`."""

        async def close(listening: asyncio.AbstractServer) -> None:
            listening.close()

        self._call(close(self.servers[name].listening))

    def get(self, port: int, count: int = 1, headers: str = "", host: str = "127.0.0.1") -> list[Hit]:
        """So many requests one after the other, each on a new connection."""

        async def one_by_one() -> list[Hit]:
            return [await _request(port, headers, host) for _index in range(count)]

        return self._call(one_by_one(), timeout=600)

    def load(self, port: int, rate: float, headers: str = "", host: str = "127.0.0.1") -> Load:
        return Load(self._loop, port, rate, headers, host)

    def close(self) -> None:
        async def end() -> None:
            for server in self.servers.values():
                if server.listening:
                    server.listening.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def _call(self, what, timeout: float = 120):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout)

    async def _serve(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if server.delay:
                    await asyncio.sleep(server.delay)
                while server.held:
                    await asyncio.sleep(0.01)
                body = server.name.encode()
                status = 200 if server.seems_well and head.startswith(b"GET /health ") else server.status
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nX-Server: %s\r\n\r\n%s" % (status, len(body), body, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the farm closes
        finally:
            writer.close()


class Load:
    """Requests at a fixed rate whatever the answers do: ``with farm.load(port, 200) as load: ...``, then ``load.hits``.

    What was due while this machine gave it no time to run is left out: nobody's users come by the thousand in one moment.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, rate: float, headers: str = "", host: str = "127.0.0.1") -> None:
        self.hits: list[Hit] = []
        self._loop, self._port, self._rate, self._headers, self._host = loop, port, rate, headers, host
        self._running = False

    def __enter__(self) -> Load:
        self._running = True
        self._done = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        return self

    def __exit__(self, *_reason: object) -> None:
        self._running = False
        self._done.result(300)

    @property
    def failed(self) -> list[Hit]:
        return [hit for hit in self.hits if hit.status != 200]

    def by_server(self) -> collections.Counter[str]:
        return collections.Counter(hit.server for hit in self.hits)

    async def _run(self) -> None:
        started, sent, open_ = time.monotonic(), 0, set()
        while self._running:
            due = int((time.monotonic() - started) * self._rate)
            for _index in range(max(sent, due - MOST_AT_ONCE), due):
                task = asyncio.ensure_future(self._one())
                open_.add(task)
                task.add_done_callback(open_.discard)
            sent = max(sent, due)
            await asyncio.sleep(0.002)
        if open_:
            await asyncio.wait(open_, timeout=120)

    async def _one(self) -> None:
        self.hits.append(await _request(self._port, self._headers, self._host))


async def _request(port: int, headers: str, host: str) -> Hit:
    sent = time.monotonic()
    status, server = 0, ""
    try:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{headers}\r\n".encode())
            head = (await asyncio.wait_for(reader.read(), ANSWERS)).decode("latin-1")
            if " " in head:
                status = int(head.split(" ", 2)[1])
            names = (line.partition(": ") for line in head.split("\r\n"))
            server = next((value for name, _colon, value in names if name.lower() in ("x-server", "x-app-version")), "")
        finally:
            writer.close()
    except (OSError, asyncio.TimeoutError, ValueError):
        status = 0
    return Hit(sent, status, server, time.monotonic() - sent)


class Haproxy:
    """One haproxy process. ``body`` is what follows the common part of the configuration; ``{port}`` in it is the frontend's."""

    def __init__(self, folder: pathlib.Path, body: str, extra_global: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.admin = free_port()
        self.socket = str(folder / "admin.sock")
        text = f"""
global
  stats socket {self.socket} mode 600 level admin
  stats socket ipv4@127.0.0.1:{self.admin} level admin
  stats timeout 1m
  maxconn 2000
  {extra_global}
defaults
  mode http
  timeout connect 60s
  timeout check 60s
  timeout client 3m
  timeout server 3m
  retries 0
{body.replace("{port}", str(self.port))}
"""
        self.config = folder / "haproxy.cfg"
        self.config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen([BINARY, "-db", "-f", str(self.config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"haproxy ended: {(self.folder / 'log').read_text()[-2000:]}")
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.socket)
                    return
                except OSError:
                    time.sleep(0.02)
        raise RuntimeError("haproxy did not open its stats socket")

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()


def pool(farm: Farm, names: list[str], *, backend: str = "shop", options: str = "weight 100", balance: str = "roundrobin", lines: str = "") -> str:
    """A frontend and one backend with these servers, made in ``farm`` where they are not there yet."""
    servers = "\n".join(f"  server {name} 127.0.0.1:{(farm.servers.get(name) or farm.add(name)).port} {options}" for name in names)
    return f"frontend front\n  bind 127.0.0.1:{{port}}\n  default_backend {backend}\nbackend {backend}\n  balance {balance}\n  {lines}\n{servers}\n"


def until(check, seconds: float = 240.0) -> None:
    """Wait for ``check()`` to hold; a failed wait says what it last gave."""
    deadline = time.monotonic() + seconds
    while True:
        seen = check()
        if seen:
            return
        assert time.monotonic() < deadline, f"did not happen within {seconds} s, last: {seen!r}"
        time.sleep(0.02)
