# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of this machine for tests."""

from __future__ import annotations

import functools
import random
import socket

_HELD = socket.socket()


@functools.cache
def closed_port() -> int:
    """A port on which nobody listens: it stays taken for as long as this process lives, or another one could come by it meanwhile."""
    _HELD.bind(("127.0.0.1", 0))
    return int(_HELD.getsockname()[1])


def free_port() -> int:
    """A port for a server that is about to start. Of a range from which the kernel gives none to whoever asks for any port, as tests do all the time."""
    while True:
        port = random.randrange(11000, 30000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # somebody has it
                continue
            return port
