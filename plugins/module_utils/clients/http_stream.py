# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One GET of HTTP/1.1 over an open stream: as little as a health check needs, and nothing a server could do much with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote

LONGEST_BODY = 1024 * 1024
"""Bytes of a body that are read; the rest is left where it is."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r\n")


class BadAnswer(Exception):
    """What came is no complete HTTP answer. The text is for people."""


@dataclass(frozen=True)
class Answer:
    status: int
    phrase: str
    body: bytes


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: SplitResult, headers: Mapping[str, str]) -> Answer:
    """Send the request and read the answer. ``headers`` are checked already. Raises BadAnswer, OSError."""
    path = quote(url.path or "/", safe="/%:@!$&'()*+,;=~") + (f"?{quote(url.query, safe='/%:@!$&()*+,;=~?')}" if url.query else "")
    sent = {"Host": url.netloc, "User-Agent": "progressive.delivery health", "Accept": "*/*"}
    sent = {name: value for name, value in sent.items() if name.lower() not in {given.lower() for given in headers}}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**sent, **headers, "Connection": "close"}.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace"))
    await writer.drain()
    while True:
        head = await _head(reader)
        match = _STATUS.match(head)
        if not match:
            raise BadAnswer(f"the answer is not HTTP: {head[:60].decode('ascii', 'backslashreplace')!r}")
        status = int(match.group(1))
        if status >= 200 or status == 101:
            break
    phrase = "".join(filter(str.isprintable, (match.group(2) or b"").decode("ascii", "replace")))[:80]
    fields = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
    return Answer(status, phrase, b"" if status in (101, 204, 304) else await _body(reader, fields))


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise BadAnswer("the connection was closed without an answer") from None
        raise BadAnswer(f"the answer ended in its head: {error.partial[:60].decode('ascii', 'backslashreplace')!r}") from None
    except asyncio.LimitOverrunError:
        raise BadAnswer("the head of the answer is longer than 64 KiB, or the answer is not HTTP") from None


async def _body(reader: asyncio.StreamReader, fields: Mapping[bytes, bytes]) -> bytes:
    try:
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            return await _chunks(reader)
        length = fields.get(b"content-length", b"")
        if length:
            if not re.fullmatch(rb"[0-9]{1,18}", length):
                raise BadAnswer(f"the length of the body is {length[:40].decode('ascii', 'backslashreplace')!r}")
            return await reader.readexactly(min(int(length), LONGEST_BODY))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise BadAnswer("the answer was cut off in its body") from None
    return await _rest(reader)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """Up to the end of the connection, which is the end of the body."""
    body = b""
    while len(body) < LONGEST_BODY:
        piece = await reader.read(LONGEST_BODY - len(body))
        if not piece:
            break
        body += piece
    return body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size):
            raise BadAnswer("the body is not chunked as its head says")
        length = int(size, 16)
        if length == 0:
            return body
        if len(body) + length >= LONGEST_BODY:
            return body + await reader.readexactly(LONGEST_BODY - len(body))
        body += (await reader.readexactly(length + 2))[:-2]
