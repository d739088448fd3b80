# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What carries traffic, how far a release is, and who holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..core import gate as gates
from ..core.codec import encode
from ..core.lease import read as read_lease
from ..core.ports import StateStore
from ..core.record import Outcome, Record
from ..core.report import wording
from . import build
from .context import Context
from .deciders import ask
from .following import command, next_lines
from .run import tracks_of
from .stored import stored_record


def status(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What carries traffic, how far the release is, and who holds it."""
    spec = params["release"]
    store = build.store(spec["store"], spec["name"], context)
    record, lease = stored_record(store), read_lease(store)
    routes = None
    if spec.get("router"):
        hosts = {slot: tuple(names) for slot, names in (spec.get("hosts") or {}).items()}
        # Hosts may have changed sides: the record knows where they are now.
        routes = build.router(spec["router"], tracks_of(record.routes, spec) if record and record.running else hosts, context).read()
    gate, settled = (None, False) if record is None else _gate(spec, record, store, context, held=bool(lease.holder))
    lines = _status_lines(spec, record, lease, routes, context, gate)
    for line in lines:
        context.say(line)
    return {"changed": settled, "record": None if record is None else {
        "release": encode(record.release), "outcome": record.outcome.value if record.outcome else "", "position": record.position, "back": record.back,
        "steps": [step.name for step in record.steps], "stable": encode(record.stable), "reason": record.reason, "good": encode(record.good)},
        "lease": {"holder": lease.holder, "who": lease.who, "renewed": lease.renewed}, "routes": encode(routes), "text": lines}


def _gate(spec: Mapping[str, Any], record: Record, store: StateStore, context: Context, *, held: bool) -> tuple[Optional[gates.Gate], bool]:
    """(the gate that the release waits at, whether this look settled it): by whoever decided it, or by its time, unless a run holds the release."""
    step = record.steps[record.position] if record.running and not record.back and record.position < len(record.steps) else None
    found = gates.find(store, step.gate.name, record.release.id) if step is not None and step.gate is not None else None
    if found is None or found.decision is not None or held or context.check_mode:
        return found, False
    looked = ask(spec, store, found.name, context)
    return looked, looked.decision is not None


def _gate_line(gate: gates.Gate, now: float) -> str:
    decision, name = gate.decision, f'gate "{gate.name}"'
    if decision is not None and decision.channel == "timeout":
        return f"{name} expired at {gate.expires} and took its on_timeout: {decision.what}"
    if decision is not None:
        return f"{name} is decided: {decision.what} by {decision.who} ({decision.channel})"
    if not gates.overdue(gate, now):
        return f"{name} is open" + (f" until {gate.expires}, then: {gate.on_timeout}" if gate.expires else "")
    if gate.on_timeout == gates.HOLD:
        return f"{name} is past its time ({gate.expires}) and stays open for a late decision"
    return f"{name} expired at {gate.expires}; its on_timeout, {gate.on_timeout}, comes as soon as a run looks"


def _status_lines(spec: Mapping[str, Any], record: Optional[Record], lease: Any, routes: Any, context: Context, gate: Optional[gates.Gate]) -> list[str]:
    lines: list[str] = []
    if routes is not None:
        versions = record.versions if record is not None else {}
        called = record.plan.called if record is not None else {}
        shares = ", ".join(f"{wording.slot(track, versions.get(track, ''), called)} {float(weight):g} %" for track, weight in routes.weights.items())
        lines.append(f"{spec['name']}: traffic now: {shares}")
    if record is None:
        return [*lines, f"{spec['name']}: no release was ever recorded"]
    state = record.outcome.value if record.outcome else ("going back" if record.back else "running")
    step = f" ({record.steps[record.position].name})" if record.position < len(record.steps) else ""
    lines.append(f"{spec['name']} {record.release.version}: {state}, step {min(record.position + 1, len(record.steps))} of {len(record.steps)}{step}"
                 + (f": {record.reason}" if record.reason else ""))
    if record.stable:
        good = ", ".join(entry.version for entry in record.good) or "none yet"
        lines.append(f"stable: {wording.slot(record.stable.slot, record.stable.version or 'unknown version', record.plan.called)}; good: {good}")
    if lease.holder:
        lines.append(f"held by {lease}")
    elif record.outcome is None:
        lines.append("held by nobody: orphaned, the weights stay as they are")
    if gate is not None:
        lines.append(_gate_line(gate, context.clock.time()))
    if gate is not None and gate.decision is not None and not lease.holder:
        lines.append(f"carry it out: {command('resume', spec)}")
    elif (record.running or record.stuck) and not lease.holder:
        lines.extend(next_lines(record.outcome or Outcome.INTERRUPTED, record, spec))
    return lines
