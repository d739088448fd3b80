# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task's result says to the callbacks: the key ``progressive_delivery``, at the top, in a loop's results, or among facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .journal import clean

KEY = "progressive_delivery"


@dataclass(frozen=True)
class Note:
    """Where the journal is, what to type next, whether to print (``tree`` or ``none``), and the outcome, empty while in flight."""

    event_log: str
    print: str = "tree"
    outcome: str = ""
    resume_command: str = ""
    abort_command: str = ""


def notes(result: Any) -> list[Note]:
    """The notes of one task's result, in order; none for anybody else's task."""
    if not isinstance(result, Mapping):
        return []
    found = []
    facts = result.get("ansible_facts")
    for place in (result, facts if isinstance(facts, Mapping) else {}):
        note = _note(place.get(KEY))
        if note:
            found.append(note)
    items = result.get("results")
    for item in items if isinstance(items, list) else []:
        found += notes(item)
    return found


def _note(value: Any) -> Note | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("event_log"), str) or not value["event_log"]:
        return None
    given = value.get("release")
    release: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    return Note(
        event_log=str(value["event_log"]),
        print=clean(value.get("print")) or "tree",
        outcome=clean(value.get("outcome")),
        resume_command=clean(release.get("resume_command")),
        abort_command=clean(release.get("abort_command")),
    )
