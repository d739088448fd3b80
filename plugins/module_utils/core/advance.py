# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reducer: from what is recorded and what was just seen to what comes next. Pure, total, deterministic.

::

    forward ── done ──▶ next step ── … ──▶ promoted
       │  ├─ failed ───────▶ way back ──▶ rolled_back
       │  ├─ aborted ──────▶ way back ──▶ aborted
       │  ├─ kept ─────────▶ way back ──▶ kept          (an A/B test is over, and stable stays: its result, no failure)
       │  ├─ paused ───────▶ paused        (resume or promote goes on here)
       │  ├─ interrupted ──▶ interrupted   (resume goes on here)
       │  └─ held ─────────▶ held          (somebody else writes the same thing)
    way back ── failed ──▶ partial         (stable could not be restored or verified: loud)

A step is left only by a report about that very step; a late or repeated report about another one changes nothing.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .plan import Kind, Step
from .record import Good, Outcome, Record, Stable, shortened, with_verdict
from .strategies.compile import lost, way_back
from .strategies.transfer import short


class Result(str, enum.Enum):
    """What became of a step."""

    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    HELD = "held"
    SUPERSEDED = "superseded"
    KEPT = "kept"


@dataclass(frozen=True)
class Seen:
    """A report about one step: ``step`` is its index, ``back`` says in which list, ``hosts`` those of a deploy that failed."""

    step: int
    result: Result
    reason: str = ""
    back: bool = False
    immediate: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What to do: run the step at ``position`` (of the forward steps, or of the way back), or stop with ``outcome``."""

    run: bool
    back: bool
    position: int
    outcome: str = ""
    reason: str = ""


ENDINGS = {
    Result.FAILED: Outcome.ROLLED_BACK, Result.ABORTED: Outcome.ABORTED, Result.SUPERSEDED: Outcome.SUPERSEDED, Result.KEPT: Outcome.KEPT,
}
STOPS = {Result.PAUSED: Outcome.PAUSED, Result.INTERRUPTED: Outcome.INTERRUPTED, Result.HELD: Outcome.HELD}


def advance(record: Record, seen: Seen | None, now: str) -> tuple[Record, Decision]:
    """The record after ``seen`` and the decision that follows. ``now`` is a UTC ISO string."""
    if record.outcome is None and record.position >= len(record.steps):
        record = _end_if_walked(record)
    if record.outcome is not None or seen is None or seen.step != record.position or seen.back != record.back:
        return record, decision(record)
    seen = replace(seen, reason=shortened(seen.reason))
    if seen.verdict:
        record = with_verdict(record, {"step": seen.step, "at": now, **seen.verdict})
    step = record.steps[record.position]
    if step.kind is Kind.DEPLOY and seen.result is not Result.DONE:
        record = replace(record, slots=_slots_without(record, step))
    if seen.result in STOPS:
        # While going back, why it went back stays the reason.
        stays = record.back and seen.result is not Result.HELD
        reason = record.reason if stays else shortened("; ".join(filter(None, [record.reason if record.back else "", seen.reason])))
        record = replace(record, outcome=STOPS[seen.result], reason=reason)
    elif seen.result is Result.DONE:
        record = _done(record, now)
    elif record.back and seen.result is not Result.FAILED:
        pass  # asked to go back, and on the way already
    elif record.back and seen.hosts and _redeployed(record, seen):
        record = _done(_left_behind(record, seen), now)
    elif record.back and step.kind is Kind.HEALTH and set(seen.hosts) < set(step.hosts) and seen.hosts:
        # Some of stable are sick that nobody touched. To wait for them would leave people on a version that is known to be bad.
        record = _done(replace(record, reason=shortened(f"{record.reason}; {short(seen.hosts)} of stable is not well: {seen.reason}")), now)
    elif record.back:
        record = replace(record, outcome=Outcome.PARTIAL, reason=f"{record.reason}; then the way back failed: {seen.reason}")
    elif record.promoted:
        # The new version is stable already; what is left is tidying. Going back now is a rollback, and somebody's decision.
        record = replace(record, outcome=Outcome.PARTIAL, reason=f"promoted, but then: {seen.reason}")
    elif _in_budget(record, seen):
        record = _done(_given_up(record, seen), now)
    elif record.plan.on_failure == "hold" and seen.result is Result.FAILED:
        record = replace(record, outcome=Outcome.HELD, reason=seen.reason)
    else:
        record = _turn(record, seen)
    return record, decision(record)


def decision(record: Record) -> Decision:
    """What the record says is next."""
    if record.outcome is not None:
        return Decision(False, record.back, record.position, record.outcome.value, record.reason)
    return Decision(True, record.back, record.position, "", record.reason)


def _done(record: Record, now: str) -> Record:
    step = record.steps[record.position]
    record = replace(record, applied=record.position, position=record.position + 1)
    if step.kind is Kind.DEPLOY:
        record = replace(record, slots={**_slots_without(record, step), **_whole_slot(record, step)})
    if step.kind is Kind.PROMOTE and not record.back:
        entry = Good(record.release.version, record.plan.after, record.release.id, now)
        kept = tuple(good for good in record.good if good.version != entry.version)
        if record.release.purpose == "rollback":
            # What was gone back from, or past, is not good any more: asking once more leads further back, never forward again.
            kept = tuple(itertools.takewhile(lambda good: good.version != entry.version, record.good))
        stable = Stable(record.plan.after, record.release.version)
        slots = record.slots if record.lost else {**record.slots, entry.slot: entry.version}
        record = replace(record, promoted=True, slots=slots, stable=stable, good=(*kept, entry)[-10:])
    return _end_if_walked(record)


def _slots_without(record: Record, step: Step) -> dict[str, str]:
    """What each slot is known to hold, except those that this deploy changes."""
    changed = set(step.hosts)
    return {slot: version for slot, version in record.slots.items() if slot != step.track and not changed & set(record.plan.home.get(slot, ()))}


def _whole_slot(record: Record, step: Step) -> dict[str, str]:
    """The slot that holds one version once this deploy is done: known only where all of its hosts got it."""
    if record.lost:
        return {}
    return {step.track: step.version} if set(step.hosts) >= set(record.plan.home.get(step.track, ())) else {}


def _turn(record: Record, seen: Seen) -> Record:
    """Begin the way back. It ends as partial when hosts were changed and nobody knows what ran there before."""
    failed = (*record.lost, *seen.hosts) if record.plan.on_failure == "rollback_failed" and seen.result is Result.FAILED else ()
    steps, ending, reason = way_back(record.plan, record.position, immediate=seen.immediate, only=failed), ENDINGS[seen.result], seen.reason
    if failed:
        ending, reason = Outcome.PARTIAL, f"{reason}; only {short(failed)} went back, the hosts before keep {record.plan.version}"
    gone = lost(record.plan, record.position)
    if gone:
        ending, reason = Outcome.PARTIAL, f"{reason}; {short(gone)} cannot be taken back, because the version before is not known".lstrip("; ")
    record = replace(record, back=True, way_back=steps, turned_at=record.position, position=0, applied=None, ending=ending, reason=reason)
    return _end_if_walked(record)


def _in_budget(record: Record, seen: Seen) -> bool:
    """Whether the hosts that failed may be left behind while the others go on. Counted over the whole run."""
    step = record.steps[record.position]
    if record.back or seen.result is not Result.FAILED or not seen.hosts or step.kind not in (Kind.DEPLOY, Kind.HEALTH):
        return False
    return len({*record.lost, *seen.hosts}) <= min(record.plan.max_failed, record.plan.full_load - 1)


def _given_up(record: Record, seen: Seen) -> Record:
    """Hosts that failed within the budget stay out of rotation. Steps keep their places, since a loop over them is under way."""
    gone = {*record.lost, *seen.hosts}
    ahead = tuple(
        replace(step, hosts=tuple(host for host in step.hosts if host not in gone)) if step.kind in (Kind.HEALTH, Kind.JOIN) else step
        for step in record.plan.steps[record.position + 1 :]
    )
    plan = replace(record.plan, steps=(*record.plan.steps[: record.position + 1], *ahead))
    said = shortened("; ".join(filter(None, [record.reason, f"{short(seen.hosts)} stay out of rotation: {seen.reason}"])))
    return replace(record, plan=plan, lost=tuple(sorted(gone)), reason=said)


def _redeployed(record: Record, seen: Seen) -> bool:
    """Whether the hosts that failed are ones that the way back itself changes; stable hosts that were never touched are not."""
    walked = record.way_back[: record.position + 1]
    changed = {host for step in walked if step.kind is Kind.DEPLOY for host in step.hosts}
    return record.way_back[record.position].kind in (Kind.DEPLOY, Kind.HEALTH) and set(seen.hosts) <= changed


def _left_behind(record: Record, seen: Seen) -> Record:
    """The way back goes on for the others: hosts that could not be restored stay out of rotation, and the outcome says so.

    Steps keep their places, since a loop over them is under way; those that are left without a host are passed over.
    """
    gone = set(seen.hosts)
    ahead = [replace(step, hosts=tuple(host for host in step.hosts if host not in gone)) for step in record.way_back[record.position :]]
    for index, step in enumerate(ahead):
        if step.kind is Kind.CLEAN:
            ahead[index] = replace(step, hosts=(*step.hosts, *seen.hosts))
    passed = 0
    while not ahead[passed].hosts and passed + 1 < len(ahead) and ahead[passed + 1].kind in (Kind.HEALTH, Kind.JOIN) and not ahead[passed + 1].hosts:
        passed += 1
    reason = shortened(f"{record.reason}; {short(seen.hosts)} could not be taken back: {seen.reason}")
    return replace(record, way_back=(*record.way_back[: record.position], *ahead), position=record.position + passed, ending=Outcome.PARTIAL, reason=reason)


def _end_if_walked(record: Record) -> Record:
    if record.position < len(record.steps):
        return replace(record, intent=record.position)
    outcome = (record.ending or Outcome.ABORTED) if record.back else Outcome.PROMOTED if record.promoted else Outcome.FAILED
    return replace(record, intent=None, outcome=outcome)
