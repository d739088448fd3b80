# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is next, as the loop over the steps needs to know it, and what a person would type."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..core.advance import decision
from ..core.model import FULL
from ..core.plan import Kind, Step, next_deploy
from ..core.record import Outcome, Record
from ..core.report.wording import outcome_words
from .context import Context
from .run import Run

QUIET = (Kind.CLEAN, Kind.PROMOTE, Kind.RETIRE)
"""Kinds after which nobody needs to see the whole tree again."""

KNOWN = frozenset({
    "rollout_version", "rollout_previous_version", "rollout_to_version", "rollout_strategy", "rollout_steps", "rollout_reason", "rollout_force",
    "rollout_abort", "rollout_promote_full", "rollout_deployment_id", "rollout_sequence", "rollout_allow_older", "rollout_on_new_revision",
})
"""Variables that a release which is gone on with has from its record, or that are about the one run that was given them."""


def what_next(current: Run, *, show: bool = False) -> dict[str, Any]:
    # The record is bookkeeping: only what changes a host or a load balancer is reported as changed.
    record = current.record
    decided = decision(record)
    steps = record.steps
    end = next_deploy(steps, record.position) if current.by_hosts else len(steps)
    batch = None
    if decided.run and end < len(steps):
        step = steps[end]
        batch = {"index": end, "hosts": list(step.hosts), "version": step.version, "track": step.track, "back": record.back, "previous": record.plan.previous}
    remaining = [step for step in steps[record.position:] if step.kind is Kind.DEPLOY] if decided.run and current.by_hosts else []
    return {
        "changed": False, "release": current.spec, "outcome": decided.outcome, "code": Outcome(decided.outcome).code if decided.outcome else 0,
        "reason": decided.reason, "back": record.back, "position": record.position,
        "legs": _legs(steps, range(record.position, end), record.back) if decided.run else [],
        "batch": batch, "batches": [list(step.hosts) for step in remaining], "serial": [len(step.hosts) for step in remaining],
        "progressive_delivery": noted(current, show),
    }


def noted(current: Run, show: bool = False) -> dict[str, Any]:
    """What callbacks and the end of ansible-playbook need to know."""
    record = current.record
    return {"event_log": record.journal, "release": {"id": record.release.id, "name": record.name, **commands(current.spec)},
            "print": "tree" if show else "none", "outcome": record.outcome.value if record.outcome else "", "last_words": last_words(current)}


def _legs(steps: tuple[Step, ...], ahead: range, back: bool) -> list[dict[str, Any]]:
    """The steps ahead, each leg up to a hook of the user's or to the end: what is ours goes in one task, theirs are tasks of their own."""
    legs: list[dict[str, Any]] = [{"steps": [], "hook": None}]
    for index in ahead:
        step = steps[index]
        handed = {"index": index, "name": step.name, "kind": step.kind.value, "back": back}
        if step.hook is None:
            legs[-1]["steps"].append(handed)
            continue
        hook = step.hook
        legs[-1]["hook"] = {**handed, "hook": {"tasks": hook.tasks, "role": hook.role, "name": hook.name, "timeout": hook.timeout, "failure": hook.failure}}
        legs.append({"steps": [], "hook": None})
    return [leg for leg in legs if leg["steps"] or leg["hook"]]


def early_end(spec: Mapping[str, Any], outcome: Outcome, reason: str, context: Context) -> dict[str, Any]:
    """The result of a begin that did not begin."""
    context.say(f"{spec['name']}: {outcome.value}: {reason}")
    return {"changed": False, "release": spec, "outcome": outcome.value, "code": outcome.code, "reason": reason, "batches": [], "serial": [],
            "legs": [], "batch": None, "back": False, "failed_run": not as_asked(outcome, spec), "session": False}


def commands(spec: Mapping[str, Any]) -> dict[str, str]:
    """What a person types to go on, or to stop."""
    return {"resume_command": command("resume", spec), "abort_command": command("abort", spec)}


def command(playbook: str, spec: Mapping[str, Any]) -> str:
    """A line for a shell: one of our playbooks, with the files that this run was given."""
    return shlex.join(["ansible-playbook", f"progressive.delivery.{playbook}", *(spec.get("arguments") or [])])


def last_words(current: Run) -> dict[str, Any]:
    """What to say if ansible-playbook ends now.

    ``open``: the release waits for somebody. ``settling``: a run that is told to end gives stable its traffic back, and says better
    how that went. ``said``: it was said.
    """
    record, spec = current.record, current.spec
    words = {"open": record.running, "settling": False, "said": False}
    if record.outcome is not None:
        return {**words, "lines": ending_lines(record, spec, record.outcome, record.reason)}
    before = f"{record.name} {record.release.version}: this run ended before its release did"
    if spec.get("on_interrupt") == "abort" and not record.promoted:
        return {**words, "settling": True, "lines": [f"{before}; see what became of it:", f"  {command('status', spec)}"]}
    return {**words, "lines": [f"{before}; the weights stay as they are", *(f"  {line}" for line in next_lines(Outcome.INTERRUPTED, record, spec))]}


def overtaken_words(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What to say if ansible-playbook ends now, in the place of all that was noted before: the release is another run's."""
    return {"open": False, "settling": False, "said": False, "lines": [
        f"{spec['name']} {spec['version']}: {Outcome.FENCED.value}: another run has the release now; this one writes nothing more",
        f"  look: {command('status', spec)}"]}


def ending_lines(record: Record, spec: Mapping[str, Any], outcome: Outcome, reason: str, hurt: str = "") -> list[str]:
    """How it ended in one line, and below it what to type."""
    place = "" if outcome.final or record.position >= len(record.steps) else \
        f" at step {record.position + 1} of {len(record.steps)} ({record.steps[record.position].name})"
    apart = record.plan.candidate != record.plan.stable  # else hosts that were not taken back yet are in it
    home = "stable carries 100 %" if record.back and apart and record.routes.weight(record.plan.stable) == FULL else ""
    said = "; ".join(filter(None, [reason, home, hurt]))
    words, _tone = outcome_words(outcome.value)
    return [f"{record.name} {record.release.version}: {words}{place}" + (f": {said}" if said else ""),
            *(f"  {line}" for line in next_lines(outcome, record, spec))]


def next_lines(outcome: Outcome, record: Record, spec: Mapping[str, Any]) -> list[str]:
    """What to type after ``outcome``."""
    typed = _typed(outcome, record)
    # What the record knows, or what was said for that one run, need not be said again; a newer version must.
    missing = [name for name in spec.get("left_out") or [] if outcome is Outcome.SUPERSEDED or name not in KNOWN]
    hint = [f"with the -e values of this run: {', '.join(missing)}"] if typed and missing else []
    return [*(f"{what}: {command(playbook, spec)}" for what, playbook in typed), *hint]


def _typed(outcome: Outcome, record: Record) -> list[tuple[str, str]]:
    """What for, and which playbook."""
    if outcome is Outcome.PAUSED and record.testing:
        # Behind an A/B test lies the promotion of its candidate: no way to go on with the test.
        return [("go on with the test", "resume"), ("decide for the new version", "promote"), ("take it back", "abort")]
    if outcome is Outcome.PAUSED:
        return [("go on", "promote"), ("take it back", "abort")]  # resume would only pause again
    if outcome in (Outcome.INTERRUPTED, Outcome.HELD):
        if record.back:
            return [("finish the way back", "resume")]
        return [("go on", "resume"), *([] if record.promoted else [("take it back", "abort")])]
    if outcome is Outcome.SUPERSEDED:
        return [("ship the newer one", "rollout")]
    if record.stuck:
        return [("try the way back once more", "abort")]
    return [("look", "status")] if outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED, Outcome.PARTIAL, Outcome.KEPT) else []


def as_asked(outcome: Outcome, spec: Mapping[str, Any]) -> bool:
    """Whether the playbook did what its name says."""
    asked = spec.get("asked", "rollout")
    if outcome is Outcome.PAUSED:
        return (asked == "rollout" or (asked == "rollback" and spec.get("rollback_safe", False))) and not spec.get("paused_fails", False)
    if outcome is Outcome.ROLLED_BACK and asked == "rollout" and spec.get("returning") and not spec.get("quick"):
        return True  # a rollback that somebody went on with
    wanted = {"abort": Outcome.ABORTED, "rollback": Outcome.ROLLED_BACK}.get(asked, Outcome.PROMOTED)
    concluded = asked == "rollout" and outcome is Outcome.KEPT  # an A/B test that says which one stays has done what it is for
    return concluded or outcome in (wanted, Outcome.UNCHANGED)
