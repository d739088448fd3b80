# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is next, as the loop over the steps needs to know it, and what a person would type."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..core.advance import decision
from ..core.plan import Kind, next_deploy
from ..core.record import Outcome
from .context import Context
from .run import Run

QUIET = (Kind.CLEAN, Kind.PROMOTE, Kind.RETIRE)
"""Kinds after which nobody needs to see the whole tree again."""


def what_next(current: Run, *, in_pool: bool, show: bool = False) -> dict[str, Any]:
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


def early_end(spec: Mapping[str, Any], outcome: Outcome, reason: str, context: Context) -> dict[str, Any]:
    """The result of a begin that did not begin."""
    context.say(f"{spec['name']}: {outcome.value}: {reason}")
    return {"changed": False, "release": spec, "outcome": outcome.value, "code": outcome.code, "reason": reason, "batches": [], "serial": [],
            "steps": [], "batch": None, "back": False, "failed_run": not as_asked(outcome, spec), "session": False}


def commands(spec: Mapping[str, Any]) -> dict[str, str]:
    """What a person types to go on, or to stop."""
    file = shlex.quote(spec.get("release_file") or "RELEASE.yml")
    return {"resume_command": f"ansible-playbook progressive.delivery.resume -e @{file}",
            "abort_command": f"ansible-playbook progressive.delivery.abort -e @{file}"}


def next_lines(outcome: Outcome, spec: Mapping[str, Any]) -> list[str]:
    lines = commands(spec)
    if outcome is Outcome.PAUSED:
        promote = lines["resume_command"].replace(".resume", ".promote")
        return [f"go on: {promote}", f"take it back: {lines['abort_command']}"]
    if outcome in (Outcome.INTERRUPTED, Outcome.HELD):
        return [f"go on: {lines['resume_command']}", f"take it back: {lines['abort_command']}"]
    if outcome is Outcome.SUPERSEDED:
        return [f"ship the newer one: {lines['resume_command'].replace('.resume', '.rollout')}"]
    if outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED, Outcome.PARTIAL):
        return [f"look: {lines['resume_command'].replace('.resume', '.status')}"]
    return []


def as_asked(outcome: Outcome, spec: Mapping[str, Any]) -> bool:
    """Whether the playbook did what its name says."""
    if outcome is Outcome.PAUSED:
        return not spec.get("paused_fails", False)
    wanted = {"abort": {Outcome.ABORTED}, "rollback": {Outcome.ROLLED_BACK}}.get(spec.get("asked", "rollout"), {Outcome.PROMOTED, Outcome.UNCHANGED})
    return outcome in wanted or outcome is Outcome.UNCHANGED
