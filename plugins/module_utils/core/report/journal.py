# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a release: one JSON object a line, appended by every verb while it works. Everything a person sees is read from it.

Every event has ``at`` (UTC ISO with milliseconds) and ``kind``; :data:`KINDS` names the dataclass of each kind, whose fields are the
event's. A field that is missing or of the wrong shape reads as its empty value, an unknown kind is kept among
:attr:`Journal.events`, a line that cannot be read is counted: a report must come out of any journal, above all of one whose
writer was killed. Text is stripped of control and bidirectional characters here, once, for all that show it.
"""

from __future__ import annotations

import functools
import json
import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from fractions import Fraction
from typing import Any, Optional, TypeVar

from ..units import from_iso, iso

JSON = Mapping[str, Any]
T = TypeVar("T")
LONGEST_TEXT = 1000
"""Characters kept of one text: a whole HTML page pasted as a reason is of no use to a reader."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]+")
_RATIO = re.compile(r"^-?\d{1,18}/\d{1,18}$")


@dataclass(frozen=True)
class PlannedStep:
    """One step as the plan has it. ``weight`` in percent, ``seconds`` of a bake or pause where the writer knows it."""

    index: int
    name: str = ""
    kind: str = ""
    weight: Optional[float] = None
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Release:
    """What is shipped. ``previous`` is empty in a first deploy; ``purpose`` is rollout, or rollback where somebody asked for one.

    The commands are what a person types to go on or to stop.
    """

    id: str = ""
    name: str = ""
    version: str = ""
    previous: str = ""
    strategy: str = ""
    purpose: str = ""
    digest: str = ""
    attempt: int = 1
    resume_command: str = ""
    abort_command: str = ""


@dataclass(frozen=True)
class Begin:
    """A run took the release up: its first, or one that resumes it (same attempt), or a new attempt.

    ``candidate`` is the track that gets the new version; ``summary`` the plan in one line; ``called`` the name of the object that is a track.
    """

    at: float
    release: Release = field(default_factory=Release)
    router: str = ""
    workload: str = ""
    steps: tuple[PlannedStep, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    plan_digest: str = ""
    candidate: str = ""
    summary: str = ""
    called: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """``status``: started, done, failed, skipped, or paused: it waits, and nobody waits with it."""

    at: float
    step: Optional[int] = None
    name: str = ""
    status: str = ""
    seconds: Optional[float] = None
    reason: str = ""


@dataclass(frozen=True)
class Write:
    """One write to a load balancer or traffic object. ``before`` and ``after`` are encoded Routes."""

    at: float
    step: Optional[int] = None
    target: str = ""
    before: JSON = field(default_factory=dict)
    after: JSON = field(default_factory=dict)
    fence: Optional[int] = None
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Share:
    """Percent of requests per track: ``asked`` for, and ``measured`` over ``requests`` where that was possible."""

    at: float
    step: Optional[int] = None
    asked: Mapping[str, float] = field(default_factory=dict)
    measured: Optional[Mapping[str, float]] = None
    requests: int = 0
    why: str = ""


@dataclass(frozen=True)
class Look:
    """One measurement of one metric. ``limit`` is the threshold as a number in the value's unit; ``unit``: share, ms, s, or a word.

    ``low`` and ``high`` bound the value with ``confidence`` percent; ``next`` is how many seconds later the next look is due.
    """

    at: float
    step: Optional[int] = None
    metric: str = ""
    phase: str = ""
    value: Optional[float] = None
    baseline: Optional[float] = None
    threshold: str = ""
    n: Optional[int] = None
    reason: str = ""
    low: Optional[float] = None
    high: Optional[float] = None
    unit: str = ""
    limit: Optional[float] = None
    confidence: float = 95.0
    next: Optional[float] = None


@dataclass(frozen=True)
class Decided:
    """The verdict of one metric, or of the whole analysis when ``metric`` is empty."""

    at: float
    step: Optional[int] = None
    metric: str = ""
    phase: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Trial:
    """What an A/B test says after a look; the last one is its result. ``says``: win, lose, no_difference, continue, mismatch or undecided.

    ``low`` and ``high`` bound the ``difference`` of the shares with ``confidence`` percent; ``p`` is always valid, ``p_split`` that of the split of
    visitors. ``part``: of the visitors, for the candidate. ``needed``: visitors of both in all, as planned. ``decision``: what follows from the result.
    ``measured``: what else was measured of both at the end, such as ``error_rate.canary``, by metric and variant.
    """

    at: float
    step: Optional[int] = None
    says: str = ""
    reason: str = ""
    seconds: float = 0.0
    conversions: int = 0
    visitors: int = 0
    base_conversions: int = 0
    base_visitors: int = 0
    difference: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    confidence: float = 95.0
    p: Optional[float] = None
    p_split: Optional[float] = None
    part: float = 0.5
    mde: Optional[float] = None
    power: Optional[float] = None
    needed: Optional[int] = None
    decision: str = ""
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """``decision``: opened, promoted, aborted or expired."""

    at: float
    step: Optional[int] = None
    name: str = ""
    decision: str = ""
    who: str = ""
    channel: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Drain:
    """``in_flight`` connections were left when the wait ended, ``cut`` of them were closed by us. ``why``: how sure that is, where it is not."""

    at: float
    step: Optional[int] = None
    members: tuple[str, ...] = ()
    in_flight: int = 0
    cut: int = 0
    seconds: Optional[float] = None
    why: str = ""


@dataclass(frozen=True)
class Deploy:
    """Hosts or pods that got the new version: ``ok`` of ``hosts``, and why each of ``failed`` did not."""

    at: float
    step: Optional[int] = None
    hosts: tuple[str, ...] = ()
    ok: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Target:
    """One health target at the end of a wait."""

    healthy: bool = False
    attempts: int = 0
    error: str = ""
    latency_ms: Optional[float] = None


@dataclass(frozen=True)
class Health:
    """The end of a health wait."""

    at: float
    step: Optional[int] = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Ready:
    """The end of a wait for a workload that has replicas."""

    at: float
    step: Optional[int] = None
    name: str = ""
    ready: int = 0
    wanted: int = 0
    why: str = ""
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``stable_after``: seconds from the fault until stable carried everything again, measured."""

    at: float
    outcome: str = ""
    code: Optional[int] = None
    reason: str = ""
    stable_after: Optional[float] = None
    requests_failed: Optional[int] = None
    requests_total: Optional[int] = None
    next: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


KINDS: Mapping[str, type] = {
    "begin": Begin,
    "step": Step,
    "write": Write,
    "share": Share,
    "look": Look,
    "verdict": Decided,
    "trial": Trial,
    "gate": Gate,
    "drain": Drain,
    "deploy": Deploy,
    "health": Health,
    "ready": Ready,
    "outcome": Outcome,
}
"""The dataclass of each kind of event."""

_TAKES_UP = ("begin", "step", "write", "deploy")
"""Kinds that show a release going on after an outcome (such as paused) was written."""


@dataclass(frozen=True)
class Event:
    """One event as it was written, and, for a kind that is known, as its dataclass."""

    at: float
    kind: str
    raw: JSON
    known: Any = None


@dataclass(frozen=True)
class Journal:
    """All that was written about a release. ``current`` are the events of its last attempt, ``unreadable`` counts broken lines."""

    events: tuple[Event, ...] = ()
    unreadable: int = 0

    @functools.cached_property
    def current(self) -> tuple[Event, ...]:
        start, attempt = 0, None
        for index, item in enumerate(self.events):
            if isinstance(item.known, Begin) and item.known.release.attempt != attempt:
                start, attempt = (index if attempt is not None else 0), item.known.release.attempt
        return self.events[start:]

    @functools.cached_property
    def _by_kind(self) -> dict[type, list[Any]]:
        found: dict[type, list[Any]] = {}
        for item in self.current:
            found.setdefault(type(item.known), []).append(item.known)
        return found

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """The last attempt's events of one kind, in the order in which they were written."""
        return tuple(self._by_kind.get(kind, ()))

    @property
    def begin(self) -> Begin:
        """The latest ``begin``; an empty one when the journal has none."""
        found = self.all(Begin)
        return found[-1] if found else Begin(self.started)

    @property
    def started(self) -> float:
        return self.current[0].at if self.events else 0.0

    @property
    def ended(self) -> float:
        return max((item.at for item in self.current), default=0.0)

    @property
    def outcome(self) -> Outcome | None:
        """The last outcome, or None while the release is being worked on."""
        for item in reversed(self.current):
            if isinstance(item.known, Outcome):
                return item.known
            if item.kind in _TAKES_UP:
                return None
        return None

    @property
    def earlier(self) -> tuple[Outcome, ...]:
        """Outcomes of earlier attempts."""
        before = self.events[: len(self.events) - len(self.current)]
        return tuple(item.known for item in before if isinstance(item.known, Outcome))


def event(kind: str, at: float, **values: Any) -> dict[str, Any]:
    """An event to append as one line of JSON. ``at``: seconds since the epoch; ``values`` are the fields of ``KINDS[kind]``."""
    unknown = set(values) - {item.name for item in fields(KINDS[kind])}
    if unknown:
        raise TypeError(f"an event of kind {kind} has no field {min(unknown)!r}")
    return {"at": iso(at), "kind": kind, **values}


def line(item: JSON) -> str:
    """The event as a line of the journal, newline included: ASCII only, so that no locale can break it."""
    return json.dumps(item, ensure_ascii=True, separators=(",", ":"), default=str) + "\n"


def parse(text: str) -> Journal:
    """The journal from the text of its file."""
    found: list[Any] = []
    unreadable = 0
    for row in text.split("\n"):
        if not row.strip():
            continue
        try:
            found.append(json.loads(row, parse_constant=str, parse_float=_finite))
        except (ValueError, RecursionError):
            unreadable += 1
    journal = from_events(found)
    return Journal(journal.events, journal.unreadable + unreadable)


def from_events(found: Iterable[Any]) -> Journal:
    """The journal from events that are already dicts. What is no event is counted as unreadable."""
    events: list[Event] = []
    unreadable = 0
    for raw in found:
        if not isinstance(raw, Mapping) or not isinstance(raw.get("kind"), str):
            unreadable += 1
            continue
        at = _time(raw.get("at"))
        if at is None:  # keeps its place in the order rather than its time
            at = events[-1].at if events else 0.0
        kind = KINDS.get(raw["kind"])
        events.append(Event(at, clean(raw["kind"]), raw, _read(kind, {**raw, "at": at}) if kind else None))
    return Journal(tuple(events), unreadable)


def clean(value: Any) -> str:
    """Text that can neither move a cursor nor turn a line around nor break XML."""
    if value is None:
        return ""
    return _UNSAFE.sub(" ", value if isinstance(value, str) else str(value))[:LONGEST_TEXT].strip()


def number(value: Any) -> float | None:
    """A finite number from ``5``, ``33.3`` or ``"100/3"`` (an exact weight), else None."""
    if value is None or isinstance(value, bool):
        return None
    try:
        result = float(Fraction(value)) if isinstance(value, str) and _RATIO.match(value) else float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _time(value: Any) -> float | None:
    try:
        return from_iso(value)
    except (TypeError, ValueError, OverflowError):
        return None


_HINTS: dict[type, dict[str, Any]] = {}


def _read(kind: type, value: Any) -> Any:
    """An instance of ``kind``; whatever does not fit keeps its default. None where that leaves a field without a value."""
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    result = {}
    for item in fields(kind):
        found = _convert(_HINTS[kind][item.name], value.get(item.name))
        if found is not None:
            result[item.name] = found
        elif item.default is MISSING and item.default_factory is MISSING:
            return None
    return kind(**result)


def _convert(hint: Any, value: Any) -> Any:
    """``value`` as ``hint`` wants it, or None."""
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return _convert(args[0], value)
    if origin is tuple:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(found for found in (_convert(args[0], item) for item in items) if found is not None)
    if origin is not None:  # a mapping
        if not isinstance(value, Mapping):
            return None
        pairs = ((clean(key), _convert(args[1], item)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not None}
    if hint is Any:
        return value
    if hint is bool:
        return value is True
    if hint in (int, float):
        found = number(value)
        return found if found is None or hint is float else int(found)
    if hint is str:
        return clean(value)
    return _read(hint, value) if isinstance(value, Mapping) else None
