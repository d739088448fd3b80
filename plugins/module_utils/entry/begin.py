# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the lease; start a release, or take up the one that is under way."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ..clients.journal import JournalFile
from ..core import gate as gates
from ..core import requests
from ..core.advance import Result, Seen
from ..core.codec import decode, encode
from ..core.diff import changes
from ..core.errors import ConfigError, Conflict, DeliveryError, Unavailable
from ..core.lease import Busy, Session, acquire
from ..core.lease import read as read_lease
from ..core.plan import Kind, Plan, Step
from ..core.ports import StateStore
from ..core.record import Good, Identity, Outcome, Record, Stable, closed
from ..core.report.wording import plural
from ..core.units import duration, iso
from . import build
from .context import Context
from .deciders import ask
from .following import command, commands, early_end, what_next
from .hurt import counted
from .measuring import labels_of
from .run import Run
from .stored import last_state, stored_record
from .verbs.rollback import went_back

GRACE = 15.0
"""Seconds beyond the lease's term that a request waits for the holder to act on it."""

TAKES_OVER = ("resume", "abort")
"""Whoever asks for these looks at a run in its deploy or hook phase for as long as that may last; a second rollout is told at once that it is busy."""

GOES_BACK = ("abort", "rollback")

DECIDED = (Kind.BAKE, Kind.GATE, Kind.HOOK)
"""Kinds of steps that a person's promote stands in for. A deploy or a share that a killed run left unfinished is done all the same."""

UNKNOWN = "nobody knows whether hook"
"""How the reason of a pause begins that only a person ends: asking for the same again does not say whether it ran."""


def begin(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Take the lease; start a release, or take up the one that is under way."""
    spec, purpose = dict(params["release"]), params["purpose"]
    store = build.store(spec["store"], spec["name"], context)
    plan = decode(Plan, spec["plan"], "plan")
    early = _already(stored_record(store), spec, plan, purpose)
    if early is not None:
        return early_end(spec, early[0], early[1], context)
    if context.check_mode:
        return {"changed": True, "release": spec, "outcome": "", "batches": [], "serial": [], "back": False, "diff": changes(plan)}
    told = _tell_holder(store, spec, purpose, context)
    if told:
        return {**early_end(spec, Outcome.UNCHANGED, told, context), "changed": True}
    left_behind = bool(read_lease(store).holder)
    holder, ttl = uuid.uuid4().hex[:12], duration((spec.get("lease") or {}).get("ttl", "90s"))
    try:
        lease = acquire(store, context.clock, holder, who=context.who, release=spec["version"], ttl=ttl, wait=ttl + GRACE,
                        say=lambda line: context.say(f"{spec['name']}: {line}"), floor_fence=_fence(store, spec), force=spec.get("force", False),
                        outlast=purpose in TAKES_OVER)  # fmt: skip
    except Busy as busy:
        return early_end(spec, Outcome.BUSY, str(busy)[len("busy: "):], context)
    session = Session(store, context.clock, holder, lease.fence)
    spec["session"] = {"holder": holder, "fence": lease.fence}
    try:
        left = stored_record(store)
        if purpose == "abort" and left is not None and not (left.running or left.stuck):
            # The holder did it itself while we waited for the lease.
            session.release()
            return early_end(spec, left.outcome or Outcome.ABORTED, left.reason, context)
        early = _already(left, spec, plan, purpose) or _overtaken(left, spec, purpose)
        if early is not None:
            session.release()
            return early_end(spec, early[0], early[1], context)
        return _take_up(spec, purpose, plan, Run(spec, store, session, _record(session, spec, plan, context, left_behind), context), params)
    except DeliveryError:
        session.release()
        raise


def _already(record: Optional[Record], spec: Mapping[str, Any], plan: Plan, purpose: str) -> Optional[tuple[Outcome, str]]:
    """The outcome when there is nothing to begin: shipped already, older than what runs, or another release is under way."""
    if purpose == "rollback" and spec.get("there_already"):
        return Outcome.UNCHANGED, spec["there_already"]
    if record is None:
        if purpose in ("resume", "abort", "promote"):
            raise ConfigError(f"there is no release of {spec['name']} to {purpose}", where=spec["name"], do="Look with the status playbook.")
        return None
    mine, theirs = spec.get("deployment_id"), record.release.deployment_id
    if purpose == "rollout" and mine and mine == theirs and spec["digest"] != record.release.digest:
        raise ConfigError(f"deployment {mine} shipped another version or workload before", where="rollout_deployment_id",
                          do="Use a new id for a new deployment.")
    sequence, last = spec.get("sequence"), record.release.sequence
    if purpose == "rollout" and sequence is not None and last is not None and sequence < last and not spec.get("allow_older"):
        raise ConfigError(f"sequence {sequence} is older than {last}, which was shipped already", where="rollout_sequence",
                          do="To ship it all the same add rollout_allow_older: true.")
    if purpose == "abort" and record.promoted:
        raise ConfigError(f"{record.release.version} is promoted already", where=spec["name"], do="Use the rollback playbook to go back.")
    if purpose in ("resume", "abort", "promote") and not (record.running or (record.stuck and purpose == "abort")):
        raise ConfigError(f"the last release of {spec['name']} is over: {record.outcome.value if record.outcome else ''}", where=spec["name"],
                          do="Start one with the rollout playbook.")
    if purpose not in ("rollout", "rollback"):
        return None
    if purpose == "rollback" and not (spec.get("to_version") or spec.get("revision")) and record.went_back:
        return Outcome.UNCHANGED, went_back(record)
    same = spec["digest"] == record.release.digest and (not mine or mine == theirs)
    if purpose == "rollout" and record.outcome is Outcome.PROMOTED and same and record.stable and record.stable.version == spec["version"]:
        return Outcome.UNCHANGED, f"{spec['version']} is stable already"
    if purpose == "rollout" and record.running and not same and spec.get("on_new_revision") == "supersede" and not record.promoted:
        return None
    if record.running and not same and not (purpose == "rollback" and record.tidying):
        state = record.outcome.value if record.outcome else "running"
        return Outcome.BUSY, (f"{record.release.version} is under way ({state} at step {record.position + 1} of {len(record.steps)}, "
                              f"started by {record.release.who}): finish it with resume, or take it back with abort")
    return None


def _overtaken(record: Optional[Record], spec: Mapping[str, Any], purpose: str) -> Optional[tuple[Outcome, str]]:
    """A plan is made before the lease is ours. When another run shipped or took back something meanwhile, its slots may have changed places."""
    if record is None or record.running or purpose not in ("rollout", "rollback") or last_state(record) == spec.get("planned_on"):
        return None
    outcome = record.outcome.value if record.outcome else ""
    return Outcome.BUSY, f"another run ended meanwhile ({record.release.version} {outcome}), so this plan is out of date: run it again"


def _fence(store: StateStore, spec: Mapping[str, Any]) -> int:
    """The highest fence that anybody wrote with: in the record, and on the objects that split the traffic, as the plan has seen them."""
    record = stored_record(store)
    return max(record.fence if record else 0, spec.get("highest_fence", 0))


def _record(session: Session, spec: Mapping[str, Any], plan: Plan, context: Context, left_behind: bool) -> Record:
    """The stored record when it is this release's and not over; else a new one that carries the history on.

    ``left_behind``: whether the run before did not come to give its lease back.
    """
    session.load_record()
    old = stored_record(session._store)
    left = old is not None and old.tidying and spec.get("purpose") == "rollback"  # what it would put away is gone back to
    if old is not None and not left and (old.running or (old.stuck and spec.get("asked") == "abort")):
        # On another machine, or with another directory for reports, the journal goes on there.
        journal = old.journal if os.access(old.journal, os.W_OK) else _journal(spec, old.release.id)
        # Hooks for a pause come before the lease is given back.
        told = old.outcome is Outcome.PAUSED and not left_behind
        return replace(old, journal=journal, paused_at=old.position if told else old.paused_at)
    now = iso(context.clock.time())
    attempt = old.release.attempt + 1 if old is not None and old.release.digest == spec["digest"] and not old.promoted else 1
    identity = Identity(id=uuid.uuid4().hex[:12], deployment_id=spec.get("deployment_id") or "", version=plan.version, strategy=plan.strategy,
                        digest=spec["digest"], attempt=attempt, sequence=spec.get("sequence"), started=now, who=context.who,
                        purpose="rollback" if spec.get("purpose") == "rollback" else "rollout")
    why = f": {spec['reason']}" if spec.get("reason") else f", as {context.who} asked"
    reason = f"back to {plan.version}{why}" if identity.purpose == "rollback" else ""
    record = Record(name=spec["name"], release=identity, plan=plan, fence=session.fence, intent=0, journal=_journal(spec, identity.id), reason=reason)
    if old is not None:
        record = replace(record, stable=old.stable, slots=old.slots, good=old.good, history=closed(old, now))
    if record.stable is None and plan.previous:
        # What carried everything when the first release began: a rollback right after it goes there, without a deploy where it still runs.
        before = Good(plan.previous, plan.stable, "", now)
        record = replace(record, stable=Stable(plan.stable, plan.previous), slots={plan.stable: plan.previous}, good=(before,))
    return record


def _journal(spec: Mapping[str, Any], release: str) -> str:
    return os.path.join(os.path.abspath(os.path.expanduser(spec["report"]["directory"])), f"{spec['name']}-{release}.jsonl")


def _take_up(spec: dict[str, Any], purpose: str, plan: Plan, current: Run, params: Mapping[str, Any]) -> dict[str, Any]:
    record, context = current.record, current.context
    resumed = record.fence != current.session.fence  # a record of this run's own has its fence; another run may have died in the first step
    if not resumed:
        record = replace(record, counters=counted(current))
    stopped, crashed = record.outcome in (Outcome.PAUSED, Outcome.INTERRUPTED), resumed and record.outcome is None
    # Why it stopped is history once it goes on; why it turned back is not.
    current.record = replace(record, outcome=None, fence=current.session.fence, reason=record.reason if record.back or not resumed else "")
    if record.stuck and record.ending is not Outcome.PARTIAL:
        # The rest of a way back that failed, and this time somebody asked for it. Where hosts were left behind it stays partial.
        current.record = replace(current.record, ending=Outcome.ABORTED, reason=f"{context.who} asked to go back once more")
    waiting = current.step if purpose == "promote" and (stopped or crashed) and not record.back else None
    if waiting is not None and not _to_decide(current, waiting):
        waiting = None
    if purpose == "promote" and spec.get("promote_full", False) and not record.back:
        current.record = _unasked(current.record)
    if waiting is not None:
        current.record = _behind(current.record, waiting)
    # First the journal: what could not even be written down has not begun, and leaves no record behind. Whoever goes back does not wait for that.
    try:
        _announced(current, spec)
    except Unavailable as error:
        if not (current.record.back or purpose in GOES_BACK):
            raise
        context.say(f"{spec['name']}: {error}")
    current.save()
    if waiting is not None:
        _decide(current, waiting, record.position)
    if resumed and purpose in ("rollout", "resume") and current.record.steps:
        context.say(f"{current.label}: going on at step {current.record.position + 1} of {len(current.record.steps)}")
    doubtful = crashed or record.outcome is Outcome.INTERRUPTED or (record.outcome is Outcome.PAUSED and record.reason.startswith(UNKNOWN))
    superseded = purpose == "rollout" and record.release.digest != spec["digest"]
    if doubtful and purpose in ("rollout", "resume") and not superseded and current.step is not None and current.step.hook and not current.step.hook.idempotent:
        # It may have run, or not, or half: that is for somebody who can look, not for us to guess.
        reason = f"{UNKNOWN} {current.step.hook.name} ran: look, then promote to go on behind it, or abort"
        current.advance(Seen(current.record.position, Result.PAUSED, reason, back=current.record.back))
    if superseded:
        reason = f"{spec['version']} takes its place"
        current.advance(Seen(current.record.position, Result.SUPERSEDED, reason, back=current.record.back))
    if purpose == "abort":
        reason = spec.get("reason") or f"{context.who} aborted it"
        current.advance(Seen(current.record.position, Result.ABORTED, reason, back=current.record.back, immediate=spec.get("abort") == "immediate"))
        current.answer("aborting")
    if current.step is not None:
        current.event("step", step=current.index, name=current.doing.name, status="started")
    return {**what_next(current, show=True), "paused_at": record.paused_at}


def _unasked(record: Record) -> Record:
    """The release as it goes on where nothing is looked at or asked any more. Every host is still deployed and every share still taken."""
    ahead = tuple(item for item in record.plan.steps[record.position + 1 :] if item.kind not in (Kind.BAKE, Kind.GATE))
    return replace(record, plan=replace(record.plan, steps=(*record.plan.steps[: record.position + 1], *ahead)))


def _behind(record: Record, waiting: Step) -> Record:
    """The release as it goes on once the step that waits is decided."""
    if waiting.gate:
        return record  # the gate's own step finds the decision
    return replace(record, position=record.position + 1, intent=record.position + 1)


def _to_decide(current: Run, waiting: Step) -> bool:
    """Whether there is something to decide. Raises Conflict when the gate was decided otherwise, ConfigError when this person may not."""
    if waiting.gate is None:
        return waiting.kind in DECIDED
    found = gates.find(current.store, waiting.gate.name, current.record.release.id)
    if found is None:
        return False  # a run that was killed did not come to open it
    try:
        found = ask(current.spec, current.store, found.name, current.context)
        gates.check(found, _promotion(current), current.context.clock.time())
    except Conflict as first:
        raise Conflict(first.what, where=first.where, do=f"Carry it out: {command('resume', current.spec)}") from None
    return True


def _promotion(current: Run) -> gates.Decision:
    return gates.Decision(gates.PROMOTE, current.context.who, iso(current.context.clock.time()), "playbook", current.spec["digest"])


def _decide(current: Run, waiting: Step, index: int) -> None:
    """Promote: leave the decision where the gate looks for it; of any other step that waits only the journal is told."""
    context = current.context
    if waiting.gate:
        gates.decide(current.store, context.clock, waiting.gate.name, _promotion(current))
        return
    current.event("gate", step=index, name=waiting.name, decision="promoted", who=context.who, channel="playbook", digest=current.record.release.digest)


def _announced(current: Run, spec: Mapping[str, Any]) -> None:
    """Begin in the journal; where the release's own has no room left, in a new one where the reports go now. Raises Unavailable."""
    try:
        _announce(current, spec)
    except Unavailable:
        elsewhere = _journal(spec, current.record.release.id)
        if elsewhere == current.record.journal:
            raise
        current.record, current.journal = replace(current.record, journal=elsewhere), JournalFile(elsewhere)
        _announce(current, spec)


def _announce(current: Run, spec: Mapping[str, Any]) -> None:
    record = current.record
    identity = record.release
    steps = [{"index": index, "name": step.name, "kind": step.kind.value, "weight": encode(step.weight), "seconds": step.duration}
             for index, step in enumerate(record.plan.steps)]
    current.put_down("begin", release={
        "id": identity.id, "name": record.name, "version": identity.version, "previous": record.plan.previous, "strategy": identity.strategy,
        "purpose": identity.purpose, "digest": identity.digest, "attempt": identity.attempt, **commands(spec)},
        router=next(iter(spec.get("router") or {}), ""), workload=_workload(spec, record.plan), steps=steps, called=dict(record.plan.called),
        environment=dict(current.context.facts.get("environment") or {}), plan_digest=record.plan.digest, candidate=current.compared[0])


def _workload(spec: Mapping[str, Any], plan: Plan) -> str:
    """``pool, 4 hosts``, or ``deployment shop-stable, shop-canary in namespace shop``."""
    [kind] = spec["workload"]
    if plan.by_hosts:
        return f"{kind}, {plural(sum(len(names) for names in plan.home.values()), 'host')}"
    namespace = labels_of(spec, plan.stable, "").get("namespace")
    return f"{kind} {', '.join(plan.called.values())}".strip() + (f" in namespace {namespace}" if namespace else "")


def _tell_holder(store: StateStore, spec: Mapping[str, Any], purpose: str, context: Context) -> str:
    """Leave the wish with the run that holds the release. Returns what was told when that run carries it out by itself."""
    record, lease = stored_record(store), read_lease(store)
    if record is None or not lease.holder:
        return ""
    if purpose == "abort":
        # The holder looks for this at least every few seconds; acquire() then waits for it to let go, or for its silence.
        requests.ask(store, context.clock, id=uuid.uuid4().hex[:12], kind=requests.ABORT, release=record.release.id, who=context.who,
                     reason=spec.get("reason") or "")
        context.say(f"{spec['name']}: asked {lease.who or lease.holder} to abort")
    if purpose == "rollback" and record.tidying:
        requests.ask(store, context.clock, id=uuid.uuid4().hex[:12], kind=requests.ROLLBACK, release=record.release.id, who=context.who)
        context.say(f"{spec['name']}: asked {lease.who or lease.holder} to leave {record.plan.previous} where it is")
    if purpose == "promote":
        for open_gate in gates.waiting(store, record.release.id):
            decision = gates.Decision(gates.PROMOTE, context.who, iso(context.clock.time()), "playbook", record.release.digest)
            gates.decide(store, context.clock, open_gate.name, decision)
            return f'gate "{open_gate.name}" is decided, {lease.who or lease.holder} goes on'
    return ""
