# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How numbers, measurements and outcomes are said, the same in the terminal, the report, JUnit and Markdown."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Optional

from ..units import show_duration, show_percent
from .journal import Gate, Look, Release, Write, number

GOOD, WARN, BAD, QUIET = "good", "warn", "bad", "quiet"

OUTCOMES: Mapping[str, tuple[str, str]] = {
    "promoted": ("promoted", GOOD),
    "unchanged": ("unchanged", GOOD),
    "rolled_back": ("rolled back", BAD),
    "aborted": ("aborted", BAD),
    "paused": ("paused", WARN),
    "busy": ("busy", WARN),
    "fenced": ("fenced", WARN),
    "partial": ("partial", BAD),
    "interrupted": ("interrupted", WARN),
    "held": ("held", WARN),
    "failed": ("failed", BAD),
    "superseded": ("superseded", WARN),
    "invalid": ("invalid", BAD),
    "kept": ("stable kept", GOOD),
}
"""How each outcome is said, and its tone."""

OPEN_OUTCOMES = frozenset({"", "paused", "interrupted", "held"})
"""Outcomes after which the release still waits for somebody."""

PHASES: Mapping[str, str] = {"successful": GOOD, "running": QUIET, "pending": QUIET, "inconclusive": WARN, "error": BAD, "failed": BAD}
"""The tone of each phase of a verdict."""


def outcome_words(outcome: str) -> tuple[str, str]:
    """The outcome in words and its tone; a release that is being worked on is ``in progress``."""
    if not outcome:
        return "in progress", QUIET
    return OUTCOMES.get(outcome, (outcome.replace("_", " "), WARN))


def count(value: float) -> str:
    """``1,644``."""
    return f"{value:,.0f}"


def plural(value: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def quantity(value: float, unit: str) -> str:
    """A measured value in the digits a person wants: ``0.12 %`` and ``6.3 %`` (unit share), ``41 ms``, ``1.2 s``, ``0.85 cores``."""
    if unit == "share":
        percent = value * 100
        return f"{percent:.2f} %" if abs(percent) < 1 else f"{percent:.1f} %"
    if unit == "s" and abs(value) < 1:
        value, unit = value * 1000, "ms"
    if unit == "ms" and abs(value) >= 10000:
        value, unit = value / 1000, "s"
    if abs(value) >= 1000:
        text = count(value)
    elif abs(value) >= 10:
        text = f"{value:.1f}".rstrip("0").rstrip(".") if unit != "ms" else f"{value:.0f}"
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def interval(look: Look) -> str:
    """``95 % 0.03-0.36``: the bounds of a look's value with their confidence, empty when there are none."""
    if look.low is None or look.high is None:
        return ""
    low, high = quantity(look.low, look.unit), quantity(look.high, look.unit)
    shared = low.rsplit(" ", 1)[-1]
    if " " in low and high.endswith(shared):
        low, high = low.rsplit(" ", 1)[0], high.rsplit(" ", 1)[0]
    return f"{look.confidence:g} % {low}\u2013{high}"


def evidence(look: Look) -> str:
    """``error-rate 0.12 % < 1 % (n 1,644, 95 % 0.03-0.36)``: one look in one line, without its reason."""
    if look.value is None:
        return f"{look.metric} no value yet" if look.phase in ("", "pending", "running") else f"{look.metric} {look.phase}"
    words = [look.metric, quantity(look.value, look.unit)]
    notes = []
    if look.threshold and look.phase not in ("running", "pending"):  # until it is decided, a comparison would say too much
        if look.threshold[0] in "<>=\u2264\u2265":
            words += ["not", look.threshold] if look.phase == "failed" else [look.threshold]
        else:
            notes.append(look.threshold)
    if look.phase != "successful":
        notes += [f"n {count(look.n)}"] if look.n is not None else []
        notes += [interval(look)] if interval(look) else []
    return " ".join(words) + (f" ({', '.join(notes)})" if notes else "")


def limit(look: Look) -> float | None:
    """The threshold as a number in the value's unit: as given, or read from ``< 1 %``, ``<= 57 ms``, ``<= 1.5 x 38 ms``."""
    if look.limit is not None:
        return look.limit
    match = re.match(r"^[<>=\u2264\u2265]*\s*(?:(\d+(?:\.\d+)?)\s*[x\u00d7*]\s*)?(\d+(?:\.\d+)?)\s*(%|ms|s)?$", look.threshold.strip())
    if not match:
        return None
    factor, value, unit = match.groups()
    scale = {("%", "share"): 0.01, ("ms", "s"): 0.001, ("s", "ms"): 1000.0}.get((unit or "", look.unit), 1.0)
    return float(factor or 1) * float(value) * scale


def gate_words(gate: Gate) -> str:
    """``promoted by anna (gitlab)``, or what it waits for."""
    if gate.decision == "opened":
        return "waits for a decision"
    if gate.decision == "expired":
        return "expired undecided"
    return " ".join(filter(None, [gate.decision, f"by {gate.who}" if gate.who else "", f"({gate.channel})" if gate.channel else ""]))


def versions(release: Release) -> str:
    """``2.4.0 -> 2.4.1``, or ``2.4.1, first deploy``."""
    if release.previous:
        return f"{release.previous} \u2192 {release.version}"
    return f"{release.version}, first deploy" if release.version else ""


def weights(routes: Mapping[str, object]) -> dict[str, float]:
    """The weights of encoded Routes, in percent by track."""
    found = routes.get("weights")
    pairs = ((str(track), number(value)) for track, value in found.items()) if isinstance(found, Mapping) else ()
    return {track: value for track, value in pairs if value is not None}


def weights_words(shares: Mapping[str, float], called: Optional[Mapping[str, str]] = None) -> str:
    """``canary 20 %, stable 80 %``; ``called``: names of the objects that are the tracks."""
    names = called or {}
    return ", ".join(f"{names.get(track, track)} {show_percent(value)}" for track, value in sorted(shares.items()))


def write_words(write: Write, called: Optional[Mapping[str, str]] = None) -> str:
    """``lb1: canary 5 %, stable 95 % -> canary 20 %, stable 80 %``."""
    before, after = weights_words(weights(write.before), called), weights_words(weights(write.after), called)
    return f"{write.target}: {before or 'nothing'} \u2192 {after or 'nothing'}"


def names(items: Iterable[str], most: int = 6) -> str:
    """``web1, web2``; of many the first few and how many more."""
    every = list(items)
    return ", ".join(every) if len(every) <= most else f"{', '.join(every[:most])} and {len(every) - most} more"


def about(seconds: float) -> str:
    """``about 20 s``, ``about 12 min``, ``about 3.5 h``."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def short(identity: str) -> str:
    """An id as a person compares it: its first four characters and its last two."""
    bare = identity.rsplit(":", 1)[-1]
    return bare if len(bare) <= 10 else f"{bare[:4]}\u2026{bare[-2:]}"


def slot(name: str, version: str, called: Optional[Mapping[str, str]] = None) -> str:
    """``2.4.1 (slot canary)``, or ``2.4.1 (shop-canary)`` for an object: a slot's name alone reads as a role, and roles swap."""
    known = (called or {}).get(name, f"slot {name}")
    return f"{version} ({known})" if version else known


def clock(at: float) -> str:
    """``08:12:04`` UTC."""
    return _utc(at).strftime("%H:%M:%S")


def date(at: float) -> str:
    """``2026-03-04``, in UTC."""
    return _utc(at).strftime("%Y-%m-%d")


def hurt(failed: int | None, total: int | None) -> str:
    """``21 users' requests failed, 0.2 % of all``, ``no user's request failed``, or empty when nobody counted."""
    if failed is None:
        return ""
    if failed == 0:
        return f"no request of {count(total)} failed" if total else "no user's request failed"
    share = f", {show_percent(100 * failed / total)} of all" if total else ""
    return f"{count(failed)} users' requests failed{share}" if failed != 1 else f"1 user's request failed{share}"


def took(seconds: float | None) -> str:
    """A duration, or nothing."""
    return "" if seconds is None else show_duration(max(0.0, seconds))


def _utc(at: float) -> datetime.datetime:
    """The moment; one that no calendar has (a journal may say anything) becomes the nearest that it has."""
    return datetime.datetime.fromtimestamp(min(max(at, 0.0), 253402300799.0), datetime.timezone.utc)
