# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to the run that holds a release: abort it, or promote it. They have a key of their own, so that they never collide with its saves.

At most one request of a release is pending. Of an abort and a promote at the same moment the abort wins, and the other is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from .codec import decode, encode
from .errors import ConfigError, Conflict
from .ports import Clock, StateStore
from .swap import swap
from .units import iso

KEY = "requests"
ABORT = "abort"
PROMOTE = "promote"
ROLLBACK = "rollback"
"""Keep what served before where it is: somebody goes back to it."""
KEPT = 20
"""Answered requests that are kept for a look."""


@dataclass(frozen=True)
class Request:
    """``kind`` abort, promote or rollback; ``release`` is the id of the release meant; ``at`` and ``answered`` are UTC ISO strings.

    ``answer`` is one sentence for whoever asked; empty while it is pending.
    """

    id: str
    kind: str
    release: str
    who: str
    at: str
    reason: str = ""
    answer: str = ""
    answered: str = ""


def ask(store: StateStore, clock: Clock, *, id: str, kind: str, release: str, who: str, reason: str = "") -> Request:
    """Leave a request. Asking again, by the same id or for what is pending already, returns the request that is there.

    Raises Conflict when an abort is pending and this is something else; a pending promote is answered by the abort that overtakes it.
    """
    if kind not in (ABORT, PROMOTE, ROLLBACK):
        raise ConfigError(f"{kind!r} is not a request", do="Known: abort, promote, rollback.")
    wanted = Request(id, kind, release, who, iso(clock.time()), reason)
    result = wanted

    def change(value: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
        nonlocal result
        requests = _parse(value)
        same = next((request for request in requests if request.id == id), None)
        open_now = next((request for request in requests if request.release == release and not request.answer), None)
        if same or (open_now and open_now.kind == kind):
            result = same or open_now or wanted
            return None
        if open_now and open_now.kind == ABORT:
            raise Conflict(f"{open_now.who} asked to abort this release at {open_now.at}, and that comes first")
        if open_now:
            told = replace(open_now, answer=f"overtaken by the abort that {who} asked for", answered=wanted.at)
            requests = [told if request is open_now else request for request in requests]
        result = wanted
        return _document([*requests, wanted])

    swap(store, clock, KEY, change)
    return result


def pending(store: StateStore, release: str) -> Optional[Request]:
    """The request that waits for the holder of ``release``."""
    stored = store.load(KEY)
    found = _parse(stored.value) if stored else []
    return next((request for request in found if request.release == release and not request.answer), None)


def find(store: StateStore, id: str) -> Optional[Request]:
    """The request with this id, to see whether it was answered."""
    stored = store.load(KEY)
    return next((request for request in (_parse(stored.value) if stored else []) if request.id == id), None)


def answer(store: StateStore, clock: Clock, id: str, text: str) -> Request:
    """Answer a request; the first answer stays. Raises ConfigError when there is no such request."""
    at = iso(clock.time())

    def change(value: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
        requests = _parse(value)
        if not any(request.id == id and not request.answer for request in requests):
            return None
        return _document([replace(request, answer=text, answered=at) if request.id == id else request for request in requests])

    for request in _parse(swap(store, clock, KEY, change)):
        if request.id == id:
            return request
    raise ConfigError(f"there is no request {id!r}")


def _parse(value: Mapping[str, Any]) -> list[Request]:
    found = value.get("requests", [])
    if not isinstance(found, list):
        raise ConfigError("the stored requests are not a list", where=KEY)
    return [decode(Request, item, f"{KEY}[{index}]") for index, item in enumerate(found)]


def _document(requests: list[Request]) -> dict[str, Any]:
    """What is pending is always kept; of the answered ones the last :data:`KEPT`."""
    answered = [request for request in requests if request.answer][-KEPT:]
    return {"requests": encode([request for request in requests if not request.answer or request in answered])}
