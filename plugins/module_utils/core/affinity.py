# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that stay with the server that answered them first, by a cookie: what a release may ask of a router. Pure.

One sentence holds for every router: a slot at 0 % has no session left, whatever its cookies say. So no way back waits for a cookie to run out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .errors import ConfigError
from .options import Option
from .units import duration, shown

DRAWN = "a session keeps its server of each version; which version answers is drawn for each request, as the weights say"
"""Of routers that choose the version first, and never mind its cookie."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")
_PATH = re.compile(r"/[A-Za-z0-9_.~/%-]{0,200}\Z")

AFFINITY = Option("dict", "Sessions stay with the server that answered them first, for as long as its slot has any requests at all.", options={
    "cookie": Option("dict", "By a cookie that the load balancer sets.", required=True, options={
        "name": Option("str", "What it is called.", required=True),
        "path": Option("str", "The path that it is for. Default: V(/), where the load balancer lets one say it."),
        "ttl": Option("duration", "How long it holds. V(0s): until the browser is closed.", default="1h"),
    }),
})  # fmt: skip


def held_otherwise(what: str, cookie: Cookie, where: str, do: str) -> ConfigError:
    """Something else, ``what``, holds sessions there already, and a release does not rewrite that."""
    return ConfigError(f"sessions are held by {what} already, not by the cookie {cookie.name}", where=where, do=do)


@dataclass(frozen=True)
class Cookie:
    """``path``: empty where nobody said one. ``seconds``: 0 for a cookie that ends with the browser."""

    name: str
    path: str
    seconds: int

    @classmethod
    def from_option(cls, affinity: Optional[Mapping[str, Any]], where: str) -> Optional[Cookie]:
        """None where no affinity is asked for. Raises ConfigError for what cannot be a cookie."""
        if not affinity:
            return None
        given, where = affinity["cookie"], f"{where}.affinity.cookie"
        name, path, ttl = given["name"], given.get("path") or "", duration(given.get("ttl", "1h"), f"{where}.ttl")
        if not _NAME.match(name):
            raise ConfigError(f"{shown(name)} is not a name for a cookie", where=f"{where}.name", do="Letters, digits, '.', '_' and '-', up to 100.")
        if path and not _PATH.match(path):
            raise ConfigError(f"{shown(path)} is not the path of a cookie", where=f"{where}.path", do="Such as / or /shop.")
        if ttl != int(ttl):
            raise ConfigError(f"a cookie does not live for {given['ttl']}", where=f"{where}.ttl", do="Whole seconds.")
        return cls(name, path, int(ttl))
