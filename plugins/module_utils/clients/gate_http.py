# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate decided by an approval system: its URL answers ``{"decision": "pending"}`` until it is ``promote`` or ``abort``."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..core.errors import Unavailable
from ..core.gate import ABORT, PROMOTE, Decision, Gate, named
from ..core.metric import fill
from ..core.options import Option, Options
from ..core.units import iso, shown
from .gate_reply import asked
from .web import CONNECTION, connection, parse

PENDING = "pending"
PLACEHOLDERS = ("digest", "gate", "release")

OPTIONS: Options = {
    "url": Option(
        "str",
        "What is asked with GET. V(${gate}), V(${release}) (an id) and V(${digest}) (of the candidate) are filled in, percent-encoded. The answer is JSON with"
        " C(decision) (C(promote), C(abort) or C(pending)), and perhaps C(who) and C(digest).",
        required=True,
    ),
    **CONNECTION,
}


class HttpGate:
    """Implements the port ``GateSource``. Whatever is no clear decision is an error, and asked again. ``clock``: seconds since the epoch."""

    every = 5.0

    def __init__(self, url: str, access: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._access = dict(access)
        self._clock = clock
        # a path or query may hold a secret: messages name the host alone
        self._where = parse(fill(url, dict.fromkeys(PLACEHOLDERS, "x"), str, "http.url", PLACEHOLDERS), access["allow"], access["within"]).origin
        self.hint = f"decide at {self._where}"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> HttpGate:
        """``options``: validated ones, and ``within``, the release's own limit of hosts. Raises ConfigError. Nothing is asked yet."""
        return cls(options["url"], connection(options))

    def poll(self, gate: Gate) -> Optional[Decision]:
        """What it answers now; None while that is pending. Raises Unavailable for any other answer and for none."""
        labels = {"digest": gate.digest, "gate": gate.name, "release": gate.release}
        url = fill(self._url, labels, lambda text: urllib.parse.quote(text, safe=""), "http.url", PLACEHOLDERS)
        answer = asked(url, self._where, self._access)
        what, who, digest = (answer.get(name) or "" if isinstance(answer, dict) else "" for name in ("decision", "who", "digest"))
        if what not in (PROMOTE, ABORT, PENDING):
            raise Unavailable(f"its decision is {shown(what)[:60]}, not promote, abort or pending", where=self._where)
        if not isinstance(who, str) or not isinstance(digest, str):
            raise Unavailable("who and digest of its answer are not both text", where=self._where)
        if what == PENDING:
            return None
        who = named(who) or ("" if gate.require_other else self._where)
        return Decision(what, who, iso(self._clock()), "http", digest or gate.digest)
