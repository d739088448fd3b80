# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stored state of a release, schema 1: the only truth about how far it came."""

from __future__ import annotations

import base64
import enum
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from .codec import decode, encode
from .errors import ConfigError
from .experiment.trial import Trial
from .experiment.verdict import Says
from .model import Routes
from .plan import Kind, Plan, Step, routes_at

SCHEMA = 1
MOST_VERDICTS = 50
MOST_HISTORY = 20
MOST_REASON = 500
"""Characters kept of a reason; the journal has all of it."""
PACKED = ("plan", "way_back")
PACK_ABOVE = 16 * 1024
LONGEST_UNPACKED = 16 * 1024 * 1024


class Outcome(str, enum.Enum):
    """How a run of a release ended, with the code it reports."""

    PROMOTED = "promoted"
    UNCHANGED = "unchanged"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    PAUSED = "paused"
    BUSY = "busy"
    FENCED = "fenced"
    PARTIAL = "partial"
    INTERRUPTED = "interrupted"
    HELD = "held"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    INVALID = "invalid"
    KEPT = "kept"

    @property
    def code(self) -> int:
        return CODES[self]

    @property
    def final(self) -> bool:
        """Whether the release is over; else ``resume`` goes on with it."""
        return self not in (Outcome.PAUSED, Outcome.INTERRUPTED, Outcome.HELD, Outcome.BUSY, Outcome.FENCED)


CODES = {
    Outcome.PROMOTED: 0, Outcome.UNCHANGED: 0, Outcome.ROLLED_BACK: 10, Outcome.ABORTED: 11, Outcome.PAUSED: 12, Outcome.BUSY: 13,
    Outcome.FENCED: 14, Outcome.PARTIAL: 15, Outcome.INTERRUPTED: 16, Outcome.HELD: 17, Outcome.FAILED: 18, Outcome.SUPERSEDED: 19,
    Outcome.INVALID: 20, Outcome.KEPT: 21,
}


@dataclass(frozen=True)
class Identity:
    """Which attempt to ship which version. ``digest``: sha256 of the canonical wanted workload and version; ``purpose``: rollout or rollback."""

    id: str
    deployment_id: str
    version: str
    strategy: str
    digest: str
    attempt: int = 1
    sequence: Optional[int] = None
    started: str = ""
    who: str = ""
    purpose: str = "rollout"


@dataclass(frozen=True)
class Stable:
    """The slot that carries traffic when no release runs, and its version."""

    slot: str
    version: str


@dataclass(frozen=True)
class Good:
    """A version that was promoted and healthy: what `rollback` goes back to. ``contracted``: when the database gave up what it may need."""

    version: str
    slot: str
    release: str
    at: str
    contracted: str = ""


@dataclass(frozen=True)
class Past:
    """A release that is over, in one line."""

    id: str
    version: str
    outcome: str
    at: str
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """Everything a run must know to go on where another one stopped.

    ``position`` is the next step to do, in ``plan.steps`` or, while ``back``, in ``way_back``; ``turned_at`` is where forward ended. ``intent`` is the
    index of the step that may have begun, ``applied`` the last one known to be done. ``ending`` is what the outcome will be once the way back is walked.
    ``reason`` is one sentence. ``lost`` are hosts that failed within the budget and stay out of rotation. ``slots`` is the version that a whole slot is
    known to hold, so that a rollback need not deploy what is still there. ``counters`` are what the data plane had counted when the release began.
    ``trial`` is what an A/B test has seen so far. ``paused_at`` is the step whose pause people were told of, so that they are told once. ``bakes`` is how
    often a statistical judge began to look, repeats counted: each time spends a part of what the release may spend on false alarms.
    """

    name: str
    release: Identity
    plan: Plan
    fence: int
    position: int = 0
    intent: Optional[int] = None
    applied: Optional[int] = None
    back: bool = False
    way_back: tuple[Step, ...] = ()
    turned_at: int = 0
    ending: Optional[Outcome] = None
    outcome: Optional[Outcome] = None
    reason: str = ""
    lost: tuple[str, ...] = ()
    stable: Optional[Stable] = None
    slots: Mapping[str, str] = field(default_factory=dict)
    good: tuple[Good, ...] = ()
    verdicts: tuple[Mapping[str, Any], ...] = ()
    history: tuple[Past, ...] = ()
    promoted: bool = False
    journal: str = ""
    counters: Mapping[str, Any] = field(default_factory=dict)
    paused_at: Optional[int] = None
    bakes: int = 0
    trial: Optional[Trial] = None
    schema: int = SCHEMA

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that are being walked now."""
        return self.way_back if self.back else self.plan.steps

    def given(self, track: str) -> str:
        """The version that the steps so far put on the track, '' where they put none."""
        return next((step.version for step in reversed(self.steps[: self.position]) if step.kind is Kind.DEPLOY and step.track == track), "")

    @property
    def routes(self) -> Routes:
        """Where requests go before the current step is done."""
        if self.back:
            return routes_at(self.plan, self.turned_at, self.way_back[: self.position])
        return routes_at(self.plan, self.position)

    @property
    def versions(self) -> dict[str, str]:
        """By slot, the version in it as far as it is known; while a release runs, what the slot is about to hold."""
        found = dict(self.slots)
        if self.running and self.plan.candidate != self.plan.stable:
            found.update({self.plan.stable: self.plan.previous, self.plan.candidate: self.plan.version})
        if self.stable is not None:
            found[self.stable.slot] = self.stable.version
        return found

    @property
    def running(self) -> bool:
        return self.outcome is None or not self.outcome.final

    @property
    def tidying(self) -> bool:
        """Whether the new version is stable already, and only what served before is still being put away."""
        return self.promoted and self.running

    @property
    def testing(self) -> bool:
        """Whether it stands at an A/B test that said nothing yet when its last run ended."""
        step = self.steps[self.position] if self.position < len(self.steps) else None
        last = self.verdicts[-1] if self.verdicts else {}
        return bool(step and step.trial) and (last.get("step"), last.get("says")) == (self.position, Says.CONTINUE.value)

    @property
    def stuck(self) -> bool:
        """Whether the way back failed before its end: what is left of it can be tried again."""
        return self.outcome is Outcome.PARTIAL and self.back and self.position < len(self.way_back)

    @property
    def went_back(self) -> bool:
        """Whether the last release is over and gave way to what was stable before it. (A rollback that gave way left us where we wanted to leave.)"""
        return self.back and not self.running and self.release.purpose == "rollout"


def to_json(record: Record) -> dict[str, Any]:
    """The record as stored. Long steps are packed: they repeat every host's name, and stores take small documents only."""
    result: dict[str, Any] = {"schema": SCHEMA, **encode(record)}
    result["plan_digest"] = record.plan.digest
    steps = json.dumps({name: result[name] for name in PACKED if name in result}, separators=(",", ":"))
    if len(steps) > PACK_ABOVE:
        result = {name: item for name, item in result.items() if name not in PACKED}
        result["packed"] = base64.b64encode(zlib.compress(steps.encode(), 9)).decode()
    return result


def from_json(value: Mapping[str, Any]) -> Record:
    """The record as loaded. Raises ConfigError for another schema or a damaged document."""
    if value.get("schema") != SCHEMA:
        raise ConfigError(
            f"the record has schema {value.get('schema')!r}, this version reads {SCHEMA}", where="record",
            do="Use the version of progressive.delivery that began the release.",
        )
    plain = {key: item for key, item in value.items() if key not in ("plan_digest", "packed")}
    if "packed" in value:
        plain.update(_unpacked(value["packed"]))
    record = decode(Record, plain, "record")
    if not 0 <= record.position <= len(record.steps) or not 0 <= record.turned_at < len(record.plan.steps):
        raise ConfigError(f"step {record.position} does not exist", where="record.position")
    return record


def _unpacked(text: Any) -> Mapping[str, Any]:
    try:
        unzip = zlib.decompressobj()
        found = json.loads(unzip.decompress(base64.b64decode(text, validate=True), LONGEST_UNPACKED))
    except (TypeError, ValueError, zlib.error) as error:
        raise ConfigError(f"the packed steps are damaged ({error})", where="record.packed") from None
    if not isinstance(found, Mapping) or set(found) - set(PACKED):
        raise ConfigError("the packed steps are not ours", where="record.packed")
    return found


def closed(record: Record, at: str) -> tuple[Past, ...]:
    """The history with this release in it."""
    outcome = Outcome.PROMOTED if record.tidying else record.outcome or Outcome.INTERRUPTED
    entry = Past(record.release.id, record.release.version, outcome.value, at, shortened(record.reason))
    kept = tuple(past for past in record.history if past.id != record.release.id)
    return (*kept, entry)[-MOST_HISTORY:]


def shortened(reason: str) -> str:
    return reason if len(reason) <= MOST_REASON else f"{reason[:MOST_REASON]} ..."


def with_verdict(record: Record, verdict: Mapping[str, Any]) -> Record:
    return replace(record, verdicts=(*record.verdicts, verdict)[-MOST_VERDICTS:])
