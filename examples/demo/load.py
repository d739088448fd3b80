# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An open-loop load generator: requests leave at a fixed rate whether or not earlier ones were answered, and none is ever retried.

``load.py URL LOG --rate 150 [--new-connections 0.1]``  runs until SIGTERM or SIGINT; every request becomes one JSON line in LOG:
``{"t": 1767225600.123, "s": 200, "ms": 3.1, "v": "2.4.1"}`` (``t`` when it was due, in seconds since the epoch; ``s`` the status,
0 when no whole answer came; ``e`` the error then). :func:`summarise` reads such a log.

Most requests reuse a connection, a share of them opens a new one: both kinds break in different ways when a load balancer reloads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

TIMEOUT = 5.0
"""Seconds a request may take; a later answer is a failure."""
BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError)
"""What a request without a whole answer ends in."""

Entry = dict[str, object]
Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Tally:
    """Requests and failures of one version. ``latencies`` in milliseconds."""

    requests: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class Summary:
    """What the users saw in a span of time. ``failed``: status 500 and above, and requests without a whole answer."""

    total: int
    failed: int
    versions: dict[str, Tally]

    def share(self, version: str) -> float:
        """Percent of the answered requests that ``version`` answered."""
        answered = sum(tally.requests for name, tally in self.versions.items() if name)
        return 100 * self.versions[version].requests / answered if version in self.versions else 0.0


def entries(log: Path) -> Iterator[dict[str, object]]:
    with log.open() as lines:
        for line in lines:
            if line.endswith("\n"):  # the last line may still be in the writing
                yield json.loads(line)


def summarise(log: Path, start: float = 0.0, end: float = float("inf")) -> Summary:
    """The requests due from ``start`` until before ``end`` (seconds since the epoch)."""
    summary = Summary(0, 0, {})
    for entry in entries(log):
        due, status = float(str(entry["t"])), int(str(entry["s"]))
        if not start <= due < end:
            continue
        tally = summary.versions.setdefault(str(entry.get("v", "")), Tally())
        failed = status == 0 or status >= 500
        summary.total += 1
        summary.failed += failed
        tally.requests += 1
        tally.failed += failed
        tally.latencies.append(float(str(entry["ms"])))
    return summary


class Generator:
    """Sends requests and keeps idle connections for the next ones."""

    timeout = TIMEOUT

    def __init__(self, url: str, log: Path, rate: float, new_connections: float, timeout: Optional[float] = None) -> None:
        self.timeout = timeout or self.timeout
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.path = parts.hostname or "127.0.0.1", parts.port or 80, parts.path or "/"
        self.log = log.open("a", buffering=1)
        self.rate = rate
        self.new_connections = new_connections
        self.idle: list[Link] = []
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        epoch, started, number = time.time(), time.monotonic(), 0
        flying: set[asyncio.Task[None]] = set()
        while not self.stopping.is_set():
            due = number / self.rate
            wait = started + due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.request(epoch + due))
            flying.add(task)
            task.add_done_callback(flying.discard)
            number += 1
        if flying:
            await asyncio.wait(flying, timeout=self.timeout)
        self.close()

    def close(self) -> None:
        self.log.close()

    async def request(self, due: float) -> None:
        entry: Entry = {"t": round(due, 4), "s": 0}
        started = time.monotonic()
        try:
            await asyncio.wait_for(self.exchange(entry), self.timeout)
        except BROKEN as error:
            self.failed(entry, error, started)
        else:
            entry["ms"] = round((time.monotonic() - started) * 1000, 2)
            self.write(entry)

    def failed(self, entry: Entry, error: BaseException, started: Optional[float] = None) -> None:
        ms = 0.0 if started is None else round((time.monotonic() - started) * 1000, 2)
        self.write({**entry, "s": 0, "e": f"{type(error).__name__}: {error}", "ms": ms})

    def write(self, entry: Entry) -> None:
        self.log.write(json.dumps(entry) + "\n")

    async def exchange(self, entry: Entry) -> None:
        """One request; its answer goes into ``entry``."""
        fresh = random.random() < self.new_connections
        while self.idle and ended(self.idle[-1]):
            self.idle.pop()[1].close()
        reader, writer = self.idle.pop() if self.idle and not fresh else await asyncio.open_connection(self.host, self.port)
        await self.ask(entry, reader, writer, path=self.path, keep=not fresh)

    async def ask(self, entry: Entry, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, path: str, body: str = "", keep: bool) -> None:
        """Send one request and read its answer. With ``keep`` the connection is for others then, unless the server says that it closes it."""
        whole = False
        try:
            line = f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}" if body else f"GET {path} HTTP/1.1"
            writer.write(f"{line}\r\nHost: shop.example\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n{body}".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            headers = headers_of(head)
            await reader.readexactly(int(headers["content-length"]) if "content-length" in headers else 0)
            entry.update(s=int(head.split(" ", 2)[1]), v=headers.get("x-version") or headers.get("x-app-version", ""))
            whole = keep and headers.get("connection", "").lower() != "close"
        finally:
            if whole:
                self.idle.append((reader, writer))
            else:
                writer.close()


def ended(link: Link) -> bool:
    """Whether the server closed it while it was idle: no client sends anything there."""
    return link[0].at_eof()


def headers_of(head: str) -> dict[str, str]:
    """The headers of an answer, their names in small letters."""
    return {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)}


async def until_told(generator: Generator) -> None:
    """Send requests until SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, generator.stopping.set)
    await generator.run()


def main() -> None:
    parser = argparse.ArgumentParser(description="Open-loop load")
    parser.add_argument("url")
    parser.add_argument("log", type=Path)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second")
    parser.add_argument("--new-connections", type=float, default=0.1, help="share of the requests that open a connection of their own")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a request may take")
    arguments = parser.parse_args()
    asyncio.run(until_told(Generator(arguments.url, arguments.log, arguments.rate, arguments.new_connections, arguments.timeout)))


if __name__ == "__main__":
    main()
