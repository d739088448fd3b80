# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release as a person follows it: its steps with what was asked, measured and judged, made from the journal alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional, TypeVar

from ..strategies.compile import IN_PLACE
from ..units import show_percent
from . import ends, wording
from . import journal as j

T = TypeVar("T")
FINISHED = ("done", "skipped")
_STATES = {"started": "current", "paused": "current", "done": "done", "failed": "failed", "skipped": "skipped", "kept": "done"}
"""What a step's last event makes of its row; without one it is still to do."""


@dataclass(frozen=True)
class Fact:
    """A piece of text about a step, with its tone: good, warn, bad, quiet, or none."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the release: a step, or a weight together with the bake that follows it.

    ``state``: done, current, todo, failed or skipped. ``steps`` are the plan's indices it covers; ``weight``, ``measured`` in percent.
    """

    label: str
    kind: str
    state: str
    steps: tuple[int, ...] = ()
    weight: Optional[float] = None
    measured: Optional[float] = None
    requests: int = 0
    started: Optional[float] = None
    seconds: Optional[float] = None
    facts: tuple[Fact, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class View:
    """All that the terminal, JUnit and Markdown show. ``now`` is the time the view is for: the last event's, unless told."""

    journal: j.Journal
    begin: j.Begin
    rows: tuple[Row, ...]
    candidate: str
    now: float
    outcome: Optional[j.Outcome] = None
    fault: Optional[ends.Fault] = None
    highest: float = 0.0
    next_look: Optional[float] = None
    left: Optional[float] = None
    resume_command: str = ""
    abort_command: str = ""
    report: str = ""

    @property
    def release(self) -> j.Release:
        return self.begin.release

    @property
    def current(self) -> Optional[Row]:
        return next((row for row in self.rows if row.state in ("current", "failed")), None)

    @property
    def standing(self) -> tuple[str, str]:
        """How it ended, in words, and the tone of that."""
        return ends.standing(self.journal)

    @property
    def as_asked(self) -> bool:
        """Whether somebody wanted to go back, and it did."""
        return ends.as_asked(self.journal)

    @property
    def going_back(self) -> bool:
        """Whether the way back is being walked."""
        return ends.going_back(self.journal)

    def slot(self, name: str) -> str:
        """A slot with the version in it first, since after a swap the slot called canary is stable: ``2.4.1 (slot canary)``, or its object."""
        if self.release.strategy in IN_PLACE:
            return name
        return wording.slot(name, self.release.version if name == self.candidate else self.release.previous, self.begin.called)

    @property
    def position(self) -> str:
        """Where the release stands or ended: ``20 %`` once the candidate had traffic, else the step's name."""
        if self.highest > 0:
            return show_percent(self.highest)
        return self.current.label if self.current else ""

    @property
    def sentence(self) -> str:
        """``rolled back at 20 %: the reason``."""
        words, _tone = self.standing
        reason = self.outcome.reason if self.outcome else ""
        if self.as_asked:
            # The reason begins with where it went, and says who asked.
            return f"rolled {reason}" if reason.startswith("back to ") else f"rolled back to {self.release.version}, as asked"
        if self.going_back:
            return f"going back to {self.release.previous or 'stable'}" + (f": {self.fault.reason}" if self.fault and self.fault.reason else "")
        if self.outcome and self.outcome.outcome in ("promoted", "unchanged", "invalid", "busy", "superseded"):
            place = ""
        else:
            place = f" at {self.position}" if self.position else ""
        reason = reason or (self.fault.reason if self.fault and self.outcome else "")
        place = "" if self.position and reason.startswith(self.position) else place
        return f"{words}{place}: {reason}" if reason else f"{words}{place}"


TIDYING = ("clean", "retire")
"""Kinds of steps that nobody needs to read about unless they fail, or cut something."""


def from_events(events: Iterable[Mapping[str, Any]], **more: Any) -> View:
    """The view of events as dicts; ``more`` as for :func:`view`."""
    return view(j.from_events(events), **more)


def view(journal: j.Journal, *, now: float | None = None, resume_command: str = "", abort_command: str = "", report: str = "") -> View:
    """The view of a journal. The commands stand in for the release's own; what is promoted cannot be aborted any more.

    ``report`` says where the report is.
    """
    begin, outcome = journal.begin, journal.outcome
    moment = journal.ended if now is None else now
    candidate = track(journal)
    plan = begin.steps or _from_steps(journal)
    fault = ends.fault(journal)
    rows = [_row(journal, step, candidate, outcome, fault, moment) for step in plan]
    rows = [row for row, step in zip(rows, plan)
            if step.kind not in TIDYING or row.state == "failed" or any(fact.tone == wording.WARN for fact in row.facts)]
    rows = _deployed(journal, plan) + _merged(rows, frozenset(f"{name} is ready" for name in begin.called.values()))
    asked = [share.asked.get(candidate, 0.0) for share in journal.all(j.Share)]
    asked += [wording.weights(write.after).get(candidate, 0.0) for write in journal.all(j.Write)]
    return View(
        journal=journal,
        begin=begin,
        rows=tuple(rows),
        candidate=candidate,
        now=moment,
        outcome=outcome,
        fault=fault,
        highest=max(asked, default=0.0),
        next_look=None if outcome else _next_look(journal, moment),
        left=None if outcome else _left(journal, plan, moment),
        resume_command=resume_command or begin.release.resume_command,
        abort_command="" if any(row.kind == "promote" and row.state == "done" for row in rows) else abort_command or begin.release.abort_command,
        report=report,
    )


def track(journal: j.Journal) -> str:
    """The name of the track that gets the new version: as the journal says, else the one that is not stable."""
    if journal.begin.candidate:
        return journal.begin.candidate
    named = dict.fromkeys(name for share in journal.all(j.Share) for name in share.asked)
    named.update(dict.fromkeys(name for write in journal.all(j.Write) for name in wording.weights(write.after)))
    return "canary" if "canary" in named else next((name for name in named if name != "stable"), "canary")


def _from_steps(journal: j.Journal) -> tuple[j.PlannedStep, ...]:
    """The steps that were walked, for a journal whose beginning is lost."""
    seen = {step.step: step.name for step in journal.all(j.Step) if step.step is not None}
    return tuple(j.PlannedStep(index, name) for index, name in sorted(seen.items()))


def _of(events: Iterable[T], step: int) -> list[T]:
    return [item for item in events if getattr(item, "step", None) == step]


def _row(journal: j.Journal, step: j.PlannedStep, candidate: str, outcome: j.Outcome | None, fault: ends.Fault | None, now: float) -> Row:
    events = _of(journal.all(j.Step), step.index)
    state = _STATES.get(events[-1].status if events else "", "todo")
    ended_badly = outcome is not None and ends.standing(journal)[1] == wording.BAD
    if state == "current" and (ended_badly or (fault and fault.step == step.index)):
        state = "failed"
    started = next((item.at for item in events if item.status == "started"), None)
    seconds = next((item.seconds for item in reversed(events) if item.seconds is not None), None)
    if seconds is None and started is not None and events:
        last = now if state == "current" else (fault.at if fault and state == "failed" else events[-1].at)
        seconds = max(0.0, last - started)
    shares = _of(journal.all(j.Share), step.index)
    measured = next((share for share in reversed(shares) if share.measured is not None), None)
    label = step.name or step.kind or f"step {step.index + 1}"
    if step.weight is not None and step.kind in ("set_weight", "weight", "") and step.name.endswith("%"):
        label = show_percent(step.weight)
    elif step.kind == "gate" and not label.startswith("gate"):
        label = f"gate {label}"
    row = Row(label, step.kind, state, (step.index,), step.weight, started=started, seconds=seconds)
    if measured is not None and measured.measured is not None:
        row = replace(row, measured=measured.measured.get(candidate), requests=measured.requests)
    if shares and step.weight is None and step.kind != "bake":
        row = replace(row, weight=shares[-1].asked.get(candidate))
    reason = next((item.reason for item in reversed(events) if item.reason), "")
    return replace(row, facts=tuple(_facts(journal, step, row, shares, reason)), reason=reason)


def _facts(journal: j.Journal, step: j.PlannedStep, row: Row, shares: list[j.Share], reason: str) -> list[Fact]:
    facts = []
    deploys = _of(journal.all(j.Deploy), step.index)
    health = _of(journal.all(j.Health), step.index)
    facts += _deploy_facts(deploys, health, step.name)
    for item in _of(journal.all(j.Ready), step.index):
        if not item.why:
            facts.append(Fact(f"{item.ready} of {wording.plural(item.wanted, 'Pod')}" + (f" in {wording.took(item.seconds)}" if item.seconds else "")))
    if row.measured is not None:
        of = f" ({wording.count(row.requests * row.measured / 100)} of {wording.count(row.requests)})" if row.requests and row.state == "done" else ""
        facts.append(Fact(f"measured {row.measured:.1f} %{of}"))
    elif shares and shares[-1].why:
        facts.append(Fact(shares[-1].why, wording.QUIET))
    if step.seconds and row.seconds is not None and row.state in ("current", "failed"):
        facts.append(Fact(f"{step.kind or 'wait'} {wording.took(min(row.seconds, step.seconds))} of {wording.took(step.seconds)}"))
    gates = _of(journal.all(j.Gate), step.index)
    if gates:
        tone = {"opened": wording.WARN, "promoted": wording.GOOD}.get(gates[-1].decision, wording.BAD)
        facts.append(Fact(wording.gate_words(gates[-1]), tone))
    looks = {look.metric: look for look in _of(journal.all(j.Look), step.index)}
    facts += [Fact(wording.evidence(look), wording.PHASES.get(look.phase, "") if look.phase not in ("running", "pending") else "") for look in looks.values()]
    if row.state == "current":
        waiting = [look.reason for look in looks.values() if look.phase in ("running", "pending", "inconclusive", "error") and look.reason]
        facts += [Fact(text, wording.QUIET) for text in list(dict.fromkeys(waiting))[:2]]
    drains = _of(journal.all(j.Drain), step.index)
    facts += [Fact(drain.why, wording.WARN) for drain in drains if drain.why]
    cut = sum(drain.cut for drain in drains)
    if cut:
        facts.append(Fact(f"{wording.plural(cut, 'connection')} cut at the drain's end", wording.WARN))
    if reason and row.state in ("skipped", "failed"):
        facts.append(Fact(reason, wording.BAD if row.state == "failed" else wording.QUIET))
    return facts


def _deploy_facts(deploys: list[j.Deploy], health: list[j.Health], label: str = "") -> list[Fact]:
    facts = []
    failed = {host: why for deploy in deploys for host, why in deploy.failed.items()}
    good = [host for deploy in deploys for host in (deploy.ok or deploy.hosts) if host not in failed]
    waited = sum(item.seconds or 0.0 for item in health)
    unhealthy = {name: target.error for item in health for name, target in item.targets.items() if not target.healthy}
    if good:
        healthy = f" \u00b7 healthy in {wording.took(waited)}" if waited and not unhealthy else ""
        named = all(host in label for host in good)
        facts.append(Fact(f"{wording.plural(len(set(good)), 'host') if named else wording.names(dict.fromkeys(good))}{healthy}"))
    elif health and not unhealthy and not deploys:
        facts.append(Fact(f"{wording.plural(len(health[-1].targets), 'target')} healthy" + (f" in {wording.took(waited)}" if waited else "")))
    facts += [Fact(f"{host}: {why or 'failed'}", wording.BAD) for host, why in list(failed.items())[:3]]
    facts += [Fact(f"{name} not healthy: {why or 'no reason given'}", wording.BAD) for name, why in list(unhealthy.items())[:3]]
    return facts


def _deployed(journal: j.Journal, plan: tuple[j.PlannedStep, ...]) -> list[Row]:
    """The row of deployments that belong to no step of the plan: those before the first one."""
    indices = {step.index for step in plan}
    deploys = [deploy for deploy in journal.all(j.Deploy) if deploy.step not in indices]
    health = [item for item in journal.all(j.Health) if item.step not in indices]
    if not deploys:
        return []
    failed = any(deploy.failed for deploy in deploys) or any(not target.healthy for item in health for target in item.targets.values())
    seconds = sum(item.seconds or 0.0 for item in deploys) + sum(item.seconds or 0.0 for item in health)
    started = deploys[0].at - (deploys[0].seconds or 0.0)  # the event is written at the end
    return [Row("deploy", "deploy", "failed" if failed else "done", seconds=seconds, started=started, facts=tuple(_deploy_facts(deploys, health)))]


def _merged(rows: list[Row], waits: frozenset[str]) -> list[Row]:
    """A bake goes into the line of the weight before it, the wait for an object's Pods into that of the change which it follows.

    A gate that is still far away goes into the line of the weight after it.
    """
    result: list[Row] = []
    for row in rows:
        last = result[-1] if result else None
        watches = row.kind == "bake" and last and last.weight is not None and last.kind in ("set_weight", "weight", "")
        awaits = row.kind == "health" and last and last.kind in ("deploy", "scale") and row.label in waits
        if last and (watches or awaits):
            result[-1] = _joined(last, row)
        elif row.weight is not None and last and last.kind == "gate" and last.state == row.state == "todo":
            name = last.label.removeprefix("gate ").strip('"')
            first = Fact(f'gate "{name}" first', wording.QUIET)
            result[-1] = replace(row, steps=last.steps + row.steps, facts=(first, *row.facts))
        else:
            result.append(row)
    return result


def _joined(weight: Row, bake: Row) -> Row:
    states = (weight.state, bake.state)
    if "failed" in states:
        state = "failed"
    elif "current" in states or (weight.state in FINISHED and bake.state == "todo"):
        state = "current"
    else:
        state = bake.state if bake.state in FINISHED and weight.state in FINISHED else weight.state
    seconds = None if weight.seconds is None and bake.seconds is None else (weight.seconds or 0.0) + (bake.seconds or 0.0)
    facts = tuple(dict.fromkeys(weight.facts + bake.facts))
    measured, requests = (bake.measured, bake.requests) if bake.measured is not None else (weight.measured, weight.requests)
    if bake.measured is not None:  # the later, larger count says it better
        facts = tuple(fact for fact in weight.facts if not fact.text.startswith("measured ")) + bake.facts
    if state != "done":  # the count is of the whole step, so it waits for its end
        facts = tuple(Fact(fact.text.split(" (")[0]) if fact.text.startswith("measured ") else fact for fact in facts)
    steps, reason = weight.steps + bake.steps, bake.reason or weight.reason
    return replace(weight, state=state, steps=steps, seconds=seconds, measured=measured, requests=requests, facts=facts, reason=reason)


def _next_look(journal: j.Journal, now: float) -> float | None:
    """Seconds until the next look, as the last one said or as far as the last two of one metric lay apart."""
    looks = journal.all(j.Look)
    if not looks or (journal.ended > looks[-1].at and any(isinstance(item.known, j.Step) and item.at > looks[-1].at for item in journal.current)):
        return None
    if looks[-1].next is not None:
        return max(0.0, looks[-1].at + looks[-1].next - now)
    same = [look.at for look in looks if look.metric == looks[-1].metric and look.step == looks[-1].step]
    return max(0.0, 2 * same[-1] - same[-2] - now) if len(same) > 1 and same[-1] > same[-2] else None


def _left(journal: j.Journal, plan: tuple[j.PlannedStep, ...], now: float) -> float | None:
    """Seconds of planned waiting that are still to come; None when the plan holds no durations."""
    left, known = 0.0, False
    for step in plan:
        if step.seconds is None:
            continue
        known = True
        events = _of(journal.all(j.Step), step.index)
        if not events:
            left += step.seconds
        elif events[-1].status == "started":
            left += max(0.0, step.seconds - (now - events[-1].at))
    return left if known else None
