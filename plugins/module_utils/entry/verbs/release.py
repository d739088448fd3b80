# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a release: begin it, ask what is next, report a step, finish, ask a running one to stop, and look."""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ...core import gate as gates
from ...core import requests
from ...core.advance import Result, Seen, decision
from ...core.codec import decode, encode
from ...core.errors import ConfigError, DeliveryError
from ...core.lease import Busy, Session, acquire, read as read_lease
from ...core.options import Option, Options
from ...core.plan import Kind, Plan, next_deploy
from ...core.ports import StateStore
from ...core.record import Identity, Outcome, Record, Stable, closed
from ...core.units import duration, iso
from .. import build
from ..context import Context
from ..run import RELEASE_OPTION, Run
from .plan import stored_record
from .traffic import observe_all

OPTIONS: Options = {
    **RELEASE_OPTION,
    "operation": Option("str", "What to do.", required=True, choices=("begin", "next", "checkpoint", "finish", "status", "stretch", "port")),
    "purpose": Option("str", "With begin: start or continue, only continue, restore stable, or go back to a good version.", default="rollout",
                      choices=("rollout", "resume", "abort", "promote", "rollback")),
    "port": Option("dict", "One call of the store's port, as the action half makes it on the store's own host.", options={
        "method": Option("str", "Which.", required=True, choices=("load", "save")),
        "key": Option("str", "The document.", required=True),
        "value": Option("dict", "What to save.", open=True),
        "expect": Option("str", "The token that must still be the current one."),
        "store": Option("dict", "The store.", required=True, open=True),
        "name": Option("name", "The release's name.", required=True),
    }),
    "seen": Option("dict", "With checkpoint: what the verb of this step reported.", open=True),
    "deployed": Option("dict", "With checkpoint: per host of a deploy step, an empty text when it is done, else why not.", open=True),
    "seconds": Option("duration", "With stretch: how long the phase may last; 0 ends it.", default="0s"),
    "in_pool": Option("bool", "With next: end before the next deploy step, because a play over the pool carries that out.", default=True),
    "verified": Option("bool", "With finish: whether stable was verified.", default=True),
}

GRACE = 15.0
"""Seconds beyond the lease's term that a request waits for the holder to act on it."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Carry out ``operation``."""
    operations = {"begin": begin, "next": following, "checkpoint": checkpoint, "finish": finish, "status": status, "stretch": stretch}
    if params["operation"] == "port":
        return _port(params["port"] or {}, context)
    if not params.get("release"):
        raise ConfigError("release is missing", where="release", do="Pass what progressive.delivery.plan returned.")
    return operations[params["operation"]](params, context)


def _port(call: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """One call of the store's port, with its answer as JSON."""
    store = build.store(call["store"], call["name"], context)
    if call["method"] == "load":
        stored = store.load(call["key"])
        return {"changed": False, "answer": None if stored is None else {"value": dict(stored.value), "token": stored.token}}
    return {"changed": False, "answer": store.save(call["key"], call["value"], call.get("expect"))}


# ---------------------------------------------------------------------------------------------------------------- begin

def begin(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Take the lease; start a release, or take up the one that is under way."""
    spec, purpose = dict(params["release"]), params["purpose"]
    store = build.store(spec["store"], spec["name"], context)
    plan = decode(Plan, spec["plan"], "plan")
    if context.check_mode:
        return {"changed": True, "release": spec, "outcome": "", "batches": [], "serial": [], "back": False}
    early = _already(stored_record(store), spec, plan, purpose)
    if early is not None:
        return _summary(spec, early[0], early[1], context)
    told = _tell_holder(store, spec, purpose, context)
    if told:
        return {**_summary(spec, Outcome.UNCHANGED, told, context), "changed": True}
    holder, ttl = uuid.uuid4().hex[:12], duration((spec.get("lease") or {}).get("ttl", "90s"))
    try:
        lease = acquire(store, context.clock, holder, who=context.who, release=spec["version"], ttl=ttl, wait=ttl + GRACE,
                        say=lambda line: context.say(f"{spec['name']}: {line}"), floor_fence=_fence(store), force=spec.get("force", False))
    except Busy as busy:
        return _summary(spec, Outcome.BUSY, str(busy), context)
    session = Session(store, context.clock, holder, lease.fence)
    spec["session"] = {"holder": holder, "fence": lease.fence}
    try:
        left = stored_record(store)
        if purpose == "abort" and left is not None and not left.running:
            # The holder did it itself while we waited for the lease.
            session.release()
            return _summary(spec, left.outcome or Outcome.ABORTED, left.reason, context)
        return _take_up(spec, purpose, plan, Run(spec, store, session, _record(session, spec, plan, context), context), params)
    except DeliveryError:
        session.release()
        raise


def _already(record: Optional[Record], spec: Mapping[str, Any], plan: Plan, purpose: str) -> Optional[tuple[Outcome, str]]:
    """The outcome when there is nothing to begin: shipped already, older than what runs, or another release is under way."""
    if record is None:
        if purpose in ("resume", "abort", "promote"):
            raise ConfigError(f"there is no release of {spec['name']} to {purpose}", where=spec["name"], do="Look with the status playbook.")
        return None
    mine, theirs = spec.get("deployment_id"), record.release.deployment_id
    if purpose == "rollout" and mine and mine == theirs and spec["digest"] != record.release.digest:
        raise ConfigError(f"deployment {mine} shipped another version or workload before", where="rollout_deployment_id", do="Use a new id for a new deployment.")
    sequence, last = spec.get("sequence"), record.release.sequence
    if purpose == "rollout" and sequence is not None and last is not None and sequence < last and not spec.get("allow_older"):
        raise ConfigError(f"sequence {sequence} is older than {last}, which was shipped already", where="rollout_sequence",
                          do="To ship it all the same add rollout_allow_older: true.")
    if purpose in ("abort",) and record.promoted and not record.running:
        raise ConfigError(f"{record.release.version} is promoted already", where=spec["name"], do="Use the rollback playbook to go back.")
    if purpose in ("resume", "abort", "promote") and not record.running:
        raise ConfigError(f"the last release of {spec['name']} is over: {record.outcome.value if record.outcome else ''}", where=spec["name"],
                          do="Start one with the rollout playbook.")
    if purpose != "rollout":
        return None
    same = spec["digest"] == record.release.digest and (not mine or mine == theirs)
    if record.outcome is Outcome.PROMOTED and same and record.stable and record.stable.version == spec["version"]:
        return Outcome.UNCHANGED, f"{spec['version']} is stable already"
    if record.running and not same:
        return Outcome.BUSY, (f"{record.release.version} is under way ({record.outcome.value if record.outcome else 'running'} at step "
                              f"{record.position + 1} of {len(record.steps)}, started by {record.release.who}): finish it with resume, or take it back with abort")
    return None


def _fence(store: StateStore) -> int:
    record = stored_record(store)
    return record.fence if record else 0


def _record(session: Session, spec: Mapping[str, Any], plan: Plan, context: Context) -> Record:
    """The stored record when it is this release's and not over; else a new one that carries the history on."""
    session.load_record()
    old = stored_record(session._store)
    if old is not None and old.running:
        return old
    now = iso(context.clock.time())
    attempt = old.release.attempt + 1 if old is not None and old.release.digest == spec["digest"] and not old.promoted else 1
    identity = Identity(id=uuid.uuid4().hex[:12], deployment_id=spec.get("deployment_id") or "", version=plan.version, strategy=plan.strategy,
                        digest=spec["digest"], attempt=attempt, sequence=spec.get("sequence"), started=now, who=context.who)
    path = os.path.join(os.path.abspath(os.path.expanduser(spec["report"]["directory"])), f"{spec['name']}-{identity.id}.jsonl")
    reason = f"back to {plan.version}, as {context.who} asked" if spec.get("purpose") == "rollback" else ""
    record = Record(name=spec["name"], release=identity, plan=plan, fence=session.fence, intent=0, journal=path, reason=reason)
    if old is not None:
        record = replace(record, stable=old.stable, slots=old.slots, good=old.good, history=closed(old, now))
    if record.stable is None and plan.previous:
        record = replace(record, stable=Stable(plan.stable, plan.previous))
    return record


def _take_up(spec: dict[str, Any], purpose: str, plan: Plan, current: Run, params: Mapping[str, Any]) -> dict[str, Any]:
    record, context = current.record, current.context
    resumed = record.outcome is not None or record.position > 0 or record.back
    if not resumed and spec.get("router"):
        record = replace(record, counters=_counted(current, context))
    paused = record.outcome is Outcome.PAUSED
    current.record = replace(record, outcome=None, fence=current.session.fence)
    if purpose == "promote" and paused:
        current.record = _decided(current)
    current.save()
    _announce(current, spec)
    if resumed and purpose in ("rollout", "resume") and current.record.steps:
        context.say(f"{current.label}: going on at step {current.record.position + 1} of {len(current.record.steps)}")
    if purpose == "abort":
        reason = spec.get("reason") or f"{context.who} aborted it"
        current.advance(Seen(current.record.position, Result.ABORTED, reason, back=current.record.back, immediate=spec.get("abort") == "immediate"))
        _answer(current, "aborting")
    return _next(current, in_pool=params["in_pool"], show=True)


def _decided(current: Run) -> Record:
    """Promote: the step that waits is decided, and the release goes on behind it."""
    record = current.record
    step = record.steps[record.position]
    if current.spec.get("promote_full"):
        last = max(index for index, item in enumerate(record.plan.steps) if item.kind is Kind.WEIGHT)
        position = max(record.position, last)
    else:
        position = record.position + 1
    current.event("gate", step=current.index, name=step.gate.name if step.gate else step.name, decision="promoted", who=current.context.who,
                  channel="playbook", digest=record.release.digest)
    return replace(record, position=position, intent=position)


def _announce(current: Run, spec: Mapping[str, Any]) -> None:
    record = current.record
    identity = record.release
    steps = [{"index": index, "name": step.name, "kind": step.kind.value, "weight": encode(step.weight), "seconds": step.duration}
             for index, step in enumerate(record.plan.steps)]
    hosts = sum(len(names) for names in record.plan.home.values())
    current.event("begin", release={
        "id": identity.id, "name": record.name, "version": identity.version, "previous": record.plan.previous, "strategy": identity.strategy,
        "digest": identity.digest, "attempt": identity.attempt, **commands(spec)},
        router=next(iter(spec.get("router") or {}), ""), workload=f"{next(iter(spec['workload']))}, {hosts} hosts", steps=steps,
        environment=dict(current.context.facts.get("environment") or {}), plan_digest=record.plan.digest, candidate=current.compared[0])


def commands(spec: Mapping[str, Any]) -> dict[str, str]:
    """What a person types to go on, or to stop."""
    file = shlex.quote(spec.get("file") or "RELEASE.yml")
    return {"resume_command": f"ansible-playbook progressive.delivery.resume -e @{file}",
            "abort_command": f"ansible-playbook progressive.delivery.abort -e @{file}"}


# ------------------------------------------------------------------------------------------------------- next, checkpoint

def following(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What is to be done now: the steps up to the next deploy step."""
    if context.check_mode or "session" not in params["release"]:
        return {"changed": False, "steps": [], "outcome": "", "batch": None}
    return _next(Run.open(params["release"], context), in_pool=params["in_pool"])


def checkpoint(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Store what became of a step, and say what comes next."""
    current = Run.open(params["release"], context)
    if params.get("deployed") is not None:
        report = _deployed(current, params["deployed"])
    else:
        given = params.get("seen") or {}
        if not given:
            return _next(current, in_pool=params["in_pool"])
        report = Seen(int(given["step"]), Result(given["result"]), str(given.get("reason") or ""), back=bool(given.get("back")),
                      immediate=current.spec.get("abort") == "immediate", verdict=given.get("verdict") or {})
    if not current.is_at(report.step, report.back):
        return _next(current, in_pool=params["in_pool"])
    step, index, label = current.step, current.index, current.label
    assert step is not None
    status_text = "done" if report.result is Result.DONE else report.result.value
    current.event("step", step=index, name=step.name, status="failed" if report.result is Result.FAILED else status_text, reason=report.reason)
    decided = current.advance(report)
    if report.result not in (Result.DONE, Result.PAUSED):
        context.say(f"{label}: {report.result.value}: {report.reason}")
    if current.record.back and not report.back:
        _answer(current, "aborting")
        context.say(f"{current.record.name}: going back to {current.record.plan.previous or 'stable'}: {decided.reason}")
    return _next(current, in_pool=params["in_pool"], show=step.kind not in QUIET)


def stretch(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Announce a phase in which none of our actions runs, or end it."""
    current = Run.open(params["release"], context)
    seconds = duration(params["seconds"])
    if seconds:
        current.session.stretch(seconds, current.label)
    else:
        current.session.unstretch()
    return {"changed": False}


def _deployed(current: Run, hosts: Mapping[str, Any]) -> Seen:
    """A deploy step is done when every host it means has reported; the budget is counted over the whole run."""
    step = current.step
    position, back = current.record.position, current.record.back
    if step is None or step.kind is not Kind.DEPLOY:
        return Seen(-1, Result.DONE)
    failed = {host: str(hosts.get(host) or "the host did not report back") for host in step.hosts if hosts.get(host, "missing") != ""}
    current.event("deploy", step=current.index, hosts=list(step.hosts), ok=[host for host in step.hosts if host not in failed], failed=failed)
    current.session.unstretch()
    if not failed:
        return Seen(position, Result.DONE, back=back)
    host, why = next(iter(sorted(failed.items())))
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return Seen(position, Result.FAILED, f"deploy failed on {host}{more}: {why}", back=back, immediate=current.spec.get("abort") == "immediate")


QUIET = (Kind.CLEAN, Kind.PROMOTE, Kind.RETIRE)
"""Kinds after which nobody needs to see the whole tree again."""


def _next(current: Run, *, in_pool: bool, show: bool = False) -> dict[str, Any]:
    # The record is bookkeeping: only what changes a host or a load balancer is reported as changed.
    record = current.record
    decided = decision(record)
    steps = record.steps
    end = next_deploy(steps, record.position) if in_pool else len(steps)
    batch = None
    if decided.run and end < len(steps):
        step = steps[end]
        batch = {"index": end, "hosts": list(step.hosts), "version": step.version, "track": step.track, "back": record.back, "previous": record.plan.previous}
    remaining = [step for step in steps[record.position:] if step.kind is Kind.DEPLOY] if decided.run else []
    return {
        "changed": False, "release": current.spec, "outcome": decided.outcome, "code": Outcome(decided.outcome).code if decided.outcome else 0,
        "reason": decided.reason, "back": record.back, "position": record.position,
        "steps": [_handed(index, steps[index], record.back) for index in range(record.position, end)] if decided.run else [],
        "batch": batch, "batches": [list(step.hosts) for step in remaining], "serial": [len(step.hosts) for step in remaining],
        "progressive_delivery": {"event_log": record.journal, "release": {"id": record.release.id, "name": record.name, **commands(current.spec)},
                                 "print": "tree" if show else "none", "outcome": decided.outcome},
    }


def _handed(index: int, step: Any, back: bool) -> dict[str, Any]:
    """A step as the loop sees it: which verb, which index; what exactly is in the record."""
    hook = {"tasks": step.hook.tasks, "role": step.hook.role, "name": step.hook.name, "timeout": step.hook.timeout,
            "failure": step.hook.failure} if step.hook else None
    return {"index": index, "name": step.name, "kind": step.kind.value, "back": back, "hook": hook}


# --------------------------------------------------------------------------------------------------- finish, ask, status

def finish(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Close the run: say how it ended, count what users felt, give the lease back."""
    current = Run.open(params["release"], context)
    record = current.record
    if not params["verified"] and record.outcome in (Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.ABORTED):
        record = current.record = replace(record, outcome=Outcome.PARTIAL, reason=f"{record.reason}; verification failed".strip("; "))
        current.save()
    outcome = record.outcome or Outcome.INTERRUPTED
    if record.outcome is Outcome.PROMOTED and current.spec.get("purpose") == "rollback":
        outcome = Outcome.ROLLED_BACK
    failed, total = _hurt(current, context)
    tail = _next_lines(outcome, current.spec)
    current.event("outcome", outcome=outcome.value, code=outcome.code, reason=record.reason, stable_after=_stable_after(current, outcome),
                  requests_failed=failed, requests_total=total, next=tail)
    current.session.release()
    result = _next(current, in_pool=True, show=True)
    result.update(outcome=outcome.value, code=outcome.code, journal=record.journal, requests_failed=failed, requests_total=total,
                  failed_run=not _as_asked(outcome, current.spec))
    result["progressive_delivery"]["outcome"] = outcome.value
    return result


def _as_asked(outcome: Outcome, spec: Mapping[str, Any]) -> bool:
    """Whether the playbook did what its name says."""
    if outcome is Outcome.PAUSED:
        return not spec.get("paused_fails", False)
    wanted = {"abort": {Outcome.ABORTED}, "rollback": {Outcome.ROLLED_BACK}}.get(spec.get("asked", "rollout"), {Outcome.PROMOTED, Outcome.UNCHANGED})
    return outcome in wanted or outcome is Outcome.UNCHANGED


def _next_lines(outcome: Outcome, spec: Mapping[str, Any]) -> list[str]:
    lines = commands(spec)
    if outcome is Outcome.PAUSED:
        promote = lines["resume_command"].replace(".resume", ".promote")
        return [f"go on: {promote}", f"take it back: {lines['abort_command']}"]
    if outcome in (Outcome.INTERRUPTED, Outcome.HELD):
        return [f"go on: {lines['resume_command']}", f"take it back: {lines['abort_command']}"]
    if outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED, Outcome.PARTIAL):
        return [f"look: {lines['resume_command'].replace('.resume', '.status')}"]
    return []


def _counted(current: Run, context: Context) -> dict[str, Any]:
    now = observe_all(current.spec, current.routes, current.tracks, context)
    return {} if now is None else {"epoch": now.epoch, "requests": dict(now.requests), "failed": dict(now.failed)}


def _hurt(current: Run, context: Context) -> tuple[Optional[int], Optional[int]]:
    """(failed, all) requests that the plane counted since the release began, where it counts at all."""
    if not current.spec.get("router"):
        return None, None
    now = observe_all(current.spec, current.routes, current.tracks, context)
    start = current.record.counters
    if now is None or not start or start["epoch"] != now.epoch:
        return None, None
    total = sum(now.requests.values()) - sum(start["requests"].values())
    failed = sum(now.failed.values()) - sum(start["failed"].values())
    return (failed, total) if total >= 0 and failed >= 0 else (None, None)


def _stable_after(current: Run, outcome: Outcome) -> Optional[float]:
    """Seconds from the first bad look to the moment stable carried everything again, as measured."""
    if outcome not in (Outcome.ROLLED_BACK, Outcome.ABORTED) or not current.record.back:
        return None
    journal = current.journal.read()
    from ...core.report import journal as kinds
    bad = [look.at for look in journal.all(kinds.Look) if look.phase == "failed"] or [step.at for step in journal.all(kinds.Step) if step.status == "failed"]
    stable = current.record.plan.stable
    home = [share.at for share in journal.all(kinds.Share) if share.asked.get(stable) == 100 and bad and share.at >= bad[0]]
    return round(home[0] - bad[0], 3) if bad and home else None


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
    if purpose == "promote":
        for open_gate in gates.waiting(store, record.release.id):
            decision = gates.Decision(gates.PROMOTE, context.who, iso(context.clock.time()), "playbook", record.release.digest)
            gates.decide(store, context.clock, open_gate.name, decision)
            return f'gate "{open_gate.name}" is decided, {lease.who or lease.holder} goes on'
    return ""


def _answer(current: Run, text: str) -> None:
    asked = current.asked()
    if asked is not None:
        requests.answer(current.store, current.context.clock, asked.id, text)


def status(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What carries traffic, how far the release is, and who holds it."""
    spec = params["release"]
    store = build.store(spec["store"], spec["name"], context)
    record, lease = stored_record(store), read_lease(store)
    routes = None
    if spec.get("router"):
        tracks = {slot: tuple(hosts) for slot, hosts in (spec.get("hosts") or {}).items()}
        routes = build.router(spec["router"], tracks, context).read()
    lines = _status_lines(spec, record, lease, routes, context)
    return {"changed": False, "record": None if record is None else {
        "release": encode(record.release), "outcome": record.outcome.value if record.outcome else "", "position": record.position, "back": record.back,
        "steps": [step.name for step in record.steps], "stable": encode(record.stable), "reason": record.reason, "good": encode(record.good)},
        "lease": {"holder": lease.holder, "who": lease.who, "renewed": lease.renewed}, "routes": encode(routes), "text": lines}


def _status_lines(spec: Mapping[str, Any], record: Optional[Record], lease: Any, routes: Any, context: Context) -> list[str]:
    lines: list[str] = []
    if routes is not None:
        shares = ", ".join(f"{track} {float(weight):g} %" for track, weight in routes.weights.items())
        lines.append(f"{spec['name']}: traffic now: {shares}")
    if record is None:
        return [*lines, f"{spec['name']}: no release was ever recorded"]
    state = record.outcome.value if record.outcome else ("going back" if record.back else "running")
    lines.append(f"{spec['name']} {record.release.version}: {state}, step {min(record.position + 1, len(record.steps))} of {len(record.steps)}"
                 + (f" ({record.steps[record.position].name})" if record.position < len(record.steps) else "") + (f": {record.reason}" if record.reason else ""))
    if record.stable:
        lines.append(f"stable: {record.stable.version or 'unknown version'} in slot {record.stable.slot}; good: {', '.join(good.version for good in record.good) or 'none yet'}")
    if lease.holder:
        lines.append(f"held by {lease}")
    elif record.running:
        lines.append("held by nobody: orphaned, the weights stay as they are. Go on: " + commands(spec)["resume_command"])
        lines.append("take it back: " + commands(spec)["abort_command"])
    return lines


def _summary(spec: Mapping[str, Any], outcome: Outcome, reason: str, context: Context) -> dict[str, Any]:
    """The result of a begin that did not begin."""
    context.say(f"{spec['name']}: {outcome.value}: {reason}")
    return {"changed": False, "release": spec, "outcome": outcome.value, "code": outcome.code, "reason": reason, "batches": [], "serial": [],
            "steps": [], "batch": None, "back": False, "failed_run": not _as_asked(outcome, spec), "session": False}
