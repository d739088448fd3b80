# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's stats sockets of level admin that strangers can open. There is no password on them.

Source: HAProxy management guide, section 9.3 (`show cli sockets`, since 1.8).
"""

from __future__ import annotations

import ipaddress
import os
import pathlib

from ..core.errors import DeliveryError
from .haproxy import HaproxyClient


def open_doors(client: HaproxyClient) -> list[str]:
    """One line for each, with what to do; none where HAProxy does not say."""
    try:
        [answer] = client.ask(["show cli sockets"])
    except DeliveryError:
        return []
    found = []
    for line in answer.splitlines():
        address, level = [*line.split(), "", ""][:2]
        kind, _at, place = address.partition("@")
        if level != "admin":
            continue
        if kind in ("ipv4", "ipv6") and not _loopback(place):
            found.append(f"HAProxy {client.endpoint}: its admin socket {place} takes commands from whoever reaches that address: let only this controller "
                         "through, or use a UNIX socket (rollout_router.haproxy.hosts)")
        if kind == "unix" and client.path and _for_everybody(place):
            found.append(f"HAProxy {client.endpoint}: every user of its host may send commands to its admin socket {place}: "
                         "give the stats socket line `mode 660` and a group")
    return found


def _loopback(place: str) -> bool:
    """Whether ``host:port`` is only reached from the same host; so is what is no address."""
    try:
        return ipaddress.ip_address(place.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return True


def _for_everybody(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & 0o002) and all(folder.stat().st_mode & 0o001 for folder in pathlib.Path(path).parents)
    except OSError:
        return False
