# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of the test app, of every kind that a switch may hurt: the load of the demo, with WebSockets, slow requests and posts beside it.

``load.py URL LOG`` runs until SIGTERM. Each line of LOG has, beside what the demo's load writes, ``k``, the kind of request:

- ``new``: a connection of its own.
- ``kept``: a connection that stays open, each used in its turn.
- ``post``: 2 kB, echoed, on a kept connection.
- ``slow``: the answer takes two seconds; on a connection of its own and on a kept one in turn.
- ``socket``: a message that a WebSocket has to give back. ``"s": 1`` where the server ended the WebSocket with a close frame: notice was given, and the
  user connects anew.

A server ends a kept connection without harm by ``Connection: close`` in an answer. These users do not look whether a connection still is there before they
send, as many HTTP clients do not: a reset or an end after a request was sent is a failure, and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.progressive.delivery.examples.demo import load

RATE = 60.0
MIX = ("kept", "new", "kept", "post", "kept", "slow")
"""Kinds of the requests, in turn: ten slow ones a second are twenty in flight."""
IDLE = 20
"""Kept connections that wait for their turn: each is used twice a second."""
STALE = 3.0
"""Seconds unused after which a kept connection is not used any more, as clients have it: this process did not run for so long, and a drain that is over
meanwhile has not cut anything that was under way."""
SLOW = 2.0
SOCKETS = 6
MESSAGE_EVERY = 0.25
LONGEST = 30.0
"""Seconds until a request counts as lost: this is about what is cut, not about what takes long."""
NOTICED = 1
BODY = "x" * 2048
CLOSE = 0x88


class Users(load.Generator):
    """Requests of :data:`MIX`, and WebSockets."""

    timeout = LONGEST

    def __init__(self, url: str, log: Path) -> None:
        super().__init__(url, log, RATE, 0.0)
        self._mix = itertools.cycle(MIX)
        self._alone = itertools.cycle((True, False))
        self._used: weakref.WeakKeyDictionary[asyncio.StreamWriter, float] = weakref.WeakKeyDictionary()

    async def run(self) -> None:
        sockets = [asyncio.create_task(self.socket()) for _each in range(SOCKETS)]
        await super().run()
        await asyncio.gather(*sockets)
        self.log.close()

    def close(self) -> None:
        """The log stays open for the WebSockets."""

    async def exchange(self, entry: load.Entry) -> None:
        kind = entry["k"] = next(self._mix)
        fresh = kind == "new" or (kind == "slow" and next(self._alone))
        reader, writer = await self.connection(fresh)
        path, body = {"slow": (f"/?seconds={SLOW:g}", ""), "post": ("/echo", BODY)}.get(str(kind), ("/", ""))
        await self.ask(entry, reader, writer, path=path, body=body, keep=not fresh)
        self._used[writer] = time.monotonic()

    async def connection(self, fresh: bool) -> load.Link:
        """A new one, or the one that was not used for longest."""
        while len(self.idle) > IDLE:  # more would wait for longer, as after a moment in which this process did not run
            self.idle.pop()[1].close()
        while self.idle and time.monotonic() - self._used.get(self.idle[0][1], 0.0) > STALE:
            self.idle.pop(0)[1].close()
        return await asyncio.open_connection(self.host, self.port) if fresh or len(self.idle) < IDLE else self.idle.pop(0)

    async def socket(self) -> None:
        """Messages over one WebSocket after the other until the load ends."""
        while not self.stopping.is_set():
            entry: load.Entry = {"t": round(time.time(), 4), "k": "socket", "s": 0}
            try:
                await self.one_socket(entry)
            except load.BROKEN as error:
                self.failed(entry, error)
                await asyncio.sleep(MESSAGE_EVERY)

    async def one_socket(self, entry: load.Entry) -> None:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(self.host, self.port), LONGEST)
        try:
            key = base64.b64encode(os.urandom(16)).decode()
            writer.write(f"GET /ws HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LONGEST)).decode("latin-1")
            if not head.startswith("HTTP/1.1 101"):
                raise ValueError(head.partition("\r\n")[0])
            version = load.headers_of(head).get("x-app-version", "")
            frame: asyncio.Future[bytes] = asyncio.ensure_future(read_frame(reader))
            while not self.stopping.is_set():
                entry.update(t=round(time.time(), 4), v=version, s=0)
                writer.write(bytes([0x81, 0x82, 1, 2, 3, 4, ord("h") ^ 1, ord("i") ^ 2]))
                first = await asyncio.wait_for(frame, LONGEST)
                entry.update(s=NOTICED if first[0] == CLOSE else 200, ms=round((time.time() - float(str(entry["t"]))) * 1000, 2))
                self.write(entry)
                if first[0] == CLOSE:
                    writer.write(bytes([CLOSE, 0x82, 0, 0, 0, 0, 0x03, 0xE9]))
                    return
                frame = asyncio.ensure_future(read_frame(reader))
                await asyncio.wait({frame}, timeout=MESSAGE_EVERY)  # a close frame may come between two messages
            frame.cancel()
        finally:
            writer.close()


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """One short frame of a server."""
    head = await reader.readexactly(2)
    return head + await reader.readexactly(head[1])


@dataclass(frozen=True)
class Felt:
    """What the users felt in a span of time. ``failed``: kind and error of each request; ``noticed``: WebSockets that were ended with notice."""

    counts: dict[str, int]
    failed: list[tuple[str, str]]
    noticed: int
    versions: dict[str, int]
    in_flight: float
    """Requests under way at any time, on average."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def by_kind(self) -> dict[str, int]:
        kinds = [kind for kind, _error in self.failed]
        return {kind: kinds.count(kind) for kind in self.counts}


@dataclass(frozen=True)
class Load:
    """A load that runs."""

    log: Path

    def felt(self, begin: float = 0.0, end: float = float("inf")) -> Felt:
        """The requests due from ``begin`` until before ``end`` (seconds since the epoch)."""
        counts, versions = dict.fromkeys(("new", "kept", "post", "slow", "socket"), 0), dict[str, int]()
        failed, noticed, spent, dues = list[tuple[str, str]](), 0, 0.0, list[float]()
        for entry in load.entries(self.log):
            if not begin <= float(str(entry["t"])) < end:
                continue
            kind, status = str(entry["k"]), int(str(entry["s"]))
            dues.append(float(str(entry["t"])))
            spent += float(str(entry["ms"])) / 1000
            counts[kind] += 1
            noticed += status == NOTICED
            if status == 0 or status >= 400:
                failed.append((kind, str(entry.get("e", status))))
            elif entry.get("v"):
                versions[str(entry["v"])] = versions.get(str(entry["v"]), 0) + 1
        return Felt(counts, failed, noticed, versions, spent / max(1.0, max(dues, default=0.0) - min(dues, default=0.0)))

    def propagation(self, since: float, version: str) -> float:
        """Seconds after ``since`` until no new connection led to another version than ``version`` any more."""
        late = [float(str(entry["t"])) for entry in load.entries(self.log)
                if entry["k"] == "new" and float(str(entry["t"])) >= since and entry.get("v") not in (version, None)]
        return max(late, default=since) - since


@contextlib.contextmanager
def users(url: str, log: Path) -> Iterator[Load]:
    """Users of ``url`` in a process of their own; when this ends they have had all their answers."""
    log.touch()
    process = subprocess.Popen([sys.executable, "-m", __name__, url, str(log)])
    try:
        yield Load(log)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(4 * LONGEST) == 0


if __name__ == "__main__":
    asyncio.run(load.until_told(Users(sys.argv[1], Path(sys.argv[2]))))
