# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom to ask: a name and an address, and the places in a check where they are filled in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError, unknown
from .options import NAME

PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_PLACES = ("host", "address", "port")
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+)):(\d{1,5})")


@dataclass(frozen=True)
class Target:
    """Whom to ask. ``address`` is a host name or an IP address, by itself; ``port`` is empty where the check names it."""

    name: str
    address: str
    port: str = ""


def known_places(text: str, where: str) -> None:
    """Refuse a placeholder nobody fills in."""
    for name in PLACEHOLDER.findall(text):
        if name not in _PLACES:
            raise unknown("placeholder", name, _PLACES, where=where)


def targets_from(given: Mapping[str, Any], where: str = "targets") -> tuple[Target, ...]:
    """Targets from name and address, or address:port (empty or None: the name is the address). Raises ConfigError for what could be more than that."""
    targets = []
    for name, address in given.items():
        place, port = _split(str(address or name))
        for text in (str(name), place):
            if not (NAME.fullmatch(text) and ":" not in text or _is_ip(text)):
                raise ConfigError(f"{text[:80]!r} is neither a host name nor an IP address", where=where, do="Write host, host:port or [IPv6]:port.")
        if port and not 1 <= int(port) <= 65535:
            raise ConfigError(f"{port} is not a port", where=f"{where}.{name}")
        targets.append(Target(str(name), place, port))
    return tuple(targets)


def fill(text: str, target: Target, *, url: bool = False) -> str:
    """``${host}``, ``${address}`` and ``${port}`` filled in.

    In a URL an IPv6 address gets its brackets, and an address that no port follows gets the target's own.
    """
    places = dict(zip(_PLACES, (target.name, target.address, target.port)))

    def value(match: re.Match[str]) -> str:
        found = places[match.group(1)]
        if not url:
            return found
        found = f"[{found}]" if ":" in found else found
        own = match.group(1) == "address" and target.port and not text.startswith(":", match.end())
        return f"{found}:{target.port}" if own else found

    return PLACEHOLDER.sub(value, text)


def _split(address: str) -> tuple[str, str]:
    """Host and port of an address that may have one; an IPv6 address with a port is written in brackets."""
    found = _WITH_PORT.fullmatch(address)
    return (found.group(1) or found.group(2), found.group(3)) if found else (address, "")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
