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

KNOWN = frozenset({
    "rollout_version", "rollout_previous_version", "rollout_to_version", "rollout_strategy", "rollout_steps", "rollout_reason", "rollout_force",
    "rollout_abort", "rollout_promote_full", "rollout_deployment_id", "rollout_sequence", "rollout_allow_older", "rollout_on_new_revision",
})
"""Variables that a release which is gone on with has from its record, or that are about the one run that was given them."""


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
    return {"resume_command": command("resume", spec), "abort_command": command("abort", spec)}


def command(playbook: str, spec: Mapping[str, Any]) -> str:
    """A line for a shell: one of our playbooks, with the files that this run was given."""
    return shlex.join(["ansible-playbook", f"progressive.delivery.{playbook}", *(spec.get("arguments") or [])])


def next_lines(outcome: Outcome, spec: Mapping[str, Any], *, back: bool = False, stuck: bool = False) -> list[str]:
    """What to type after ``outcome``. ``back``: on the way back; ``stuck``: which failed, and can be tried again."""
    typed = _typed(outcome, back, stuck)
    # What the record knows, or what was said for that one run, need not be said again; a newer version must.
    missing = [name for name in spec.get("left_out") or [] if outcome is Outcome.SUPERSEDED or name not in KNOWN]
    hint = [f"with the -e values of this run: {', '.join(missing)}"] if typed and missing else []
    return [*(f"{what}: {command(playbook, spec)}" for what, playbook in typed), *hint]


def _typed(outcome: Outcome, back: bool, stuck: bool) -> list[tuple[str, str]]:
    """What for, and which playbook."""
    if outcome is Outcome.PAUSED:
        return [("go on", "promote"), ("take it back", "abort")]  # resume would only pause again
    if outcome in (Outcome.INTERRUPTED, Outcome.HELD):
        return [("finish the way back", "resume")] if back else [("go on", "resume"), ("take it back", "abort")]
    if outcome is Outcome.SUPERSEDED:
        return [("ship the newer one", "rollout")]
    if stuck:
        return [("try the way back once more", "abort")]
    return [("look", "status")] if outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED, Outcome.PARTIAL) else []


def as_asked(outcome: Outcome, spec: Mapping[str, Any]) -> bool:
    """Whether the playbook did what its name says."""
    asked = spec.get("asked", "rollout")
    if outcome is Outcome.PAUSED:
        return asked == "rollout" and not spec.get("paused_fails", False)
    wanted = {"abort": Outcome.ABORTED, "rollback": Outcome.ROLLED_BACK}.get(asked, Outcome.PROMOTED)
    return outcome in (wanted, Outcome.UNCHANGED)
