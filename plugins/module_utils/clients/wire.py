# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A socket with a deadline for a whole answer, as ``http.client`` wants it. A socket's own timeout starts anew with each packet, so a slow
drip would never end."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from typing import Any

SLICE = 0.2
"""Longest wait for a packet in seconds before :attr:`Wire.poll` is called."""


def _nothing() -> None:
    """Nobody wants to be asked."""


class Wire:
    """``deadline`` is monotonic and may be moved between two answers. ``poll`` is called while nothing comes; what it raises ends the wait."""

    def __init__(self, sock: socket.socket, deadline: float, poll: Callable[[], object] = _nothing) -> None:
        self.sock = sock
        self.deadline = deadline
        self.poll = poll

    def sendall(self, data: Any) -> None:
        self.sock.settimeout(max(0.001, self.deadline - time.monotonic()))
        self.sock.sendall(data)

    def receive(self, buffer: Any) -> int:
        """Raises socket.timeout at the deadline."""
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout("the answer took too long")
            self.sock.settimeout(min(left, SLICE))
            try:
                return self.sock.recv_into(buffer)
            except socket.timeout:
                self.poll()

    def makefile(self, _mode: str, *_args: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Nothing: ``http.client`` lets go as soon as an answer says ``Connection: close``, before its body is read. The owner closes."""


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive(buffer)
