# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What binds sessions to a server of an HAProxy backend, by its stats. Lines of its configuration do that, and nothing can set them at run time.

Sources: HAProxy management guide, sections 9.1 (column `cookie`, shown from level operator on) and 9.3 (`show table`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Optional

from ..core.affinity import Cookie
from ..core.errors import ConfigError
from ..core.units import show_duration
from .haproxy import HaproxyClient, parse_stats, stat_command

BY_SERVER = (
    "a session stays with the server, and so with the version, that it met: shares are those of requests without a cookie; at 0 % the servers of a "
    "version go to maintenance, which no cookie outranks"
)
BY_BACKEND = "a session keeps its server of each version; which version answers is up to the map, whatever the cookie says"
"""Of whole backends: the map is asked before any cookie."""
SHOWN = ("BACKEND", "FRONTEND")


def bound(client: HaproxyClient, backend: str) -> set[str]:
    """Servers that a request may be led to whatever their weight: those with a cookie of theirs; all where the backend has a stick table."""
    tables, stat = client.ask(["show table", stat_command(backend)])
    rows = [row for row in parse_stats(stat, client.endpoint) if row["svname"] not in SHOWN]
    table = any(re.match(rf"# table: {re.escape(backend)},", line) for line in tables.splitlines())
    return {row["svname"] for row in rows if table or row.get("cookie")}


def checked(client: HaproxyClient, backend: str, servers: Iterable[str], cookie: Optional[Cookie]) -> list[str]:
    """A line on what holds sessions in this backend; none where nothing does. ``servers``: those meant, all where none is named.

    Raises ConfigError with the lines to add where it is not the ``cookie`` that is asked for.
    """
    rows = {row["svname"]: row for row in client.stats(backend)}
    where = f"{client.endpoint} backend {backend}"
    named = rows.get("BACKEND", {}).get("cookie") or ""
    if cookie is None:
        return [f"HAProxy {client.endpoint}: backend {backend} holds sessions by the cookie {named}"] if named else []
    if cookie.path not in ("", "/"):
        raise ConfigError("HAProxy sets its cookies for the path /", where="haproxy.affinity.cookie.path", do="Leave it out.")
    life = f" maxlife {cookie.seconds}s" if cookie.seconds else ""
    if named != cookie.name:
        has = f"holds sessions by the cookie {named}, not {cookie.name}" if named else "holds no sessions by a cookie"
        do = f"Lines of the configuration do that. Have there, and reload: cookie {cookie.name} insert indirect nocache{life}"
        raise ConfigError(f"it {has}", where=where, do=f"{do}. And at the end of each server line: cookie NAME, the server's own.")
    wanted = list(servers) or [server for server in rows if server not in SHOWN]
    lacking = [server for server in wanted if server in rows and not rows[server].get("cookie")]
    if lacking:
        raise ConfigError(f"{', '.join(lacking)} has no value for the cookie {named}", where=where,
                          do=f"At the end of its server line, and reload: cookie {lacking[0]}")  # fmt: skip
    seen = f"how long is not shown, {show_duration(cookie.seconds)} asks for{life}" if cookie.seconds else "how long is not shown"
    return [f"HAProxy {client.endpoint}: backend {backend} holds sessions by the cookie {named} ({seen})"]
