# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Close a run: say how it ended, count what users felt, give the lease back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..core.record import Outcome
from ..core.report import journal as kinds
from ..core.report import wording
from . import notifying
from .context import Context
from .following import as_asked, ending_lines, next_lines, noted, what_next
from .hurt import hurt
from .run import Run


def finish(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Close the run, and say how it ended unless a tree shows that."""
    current = Run.open(params["release"], context)
    record = current.record
    if not params["verified"] and record.outcome in (Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.ABORTED, Outcome.KEPT):
        current.record = replace(record, outcome=Outcome.PARTIAL, reason=f"{record.reason}; verification failed".strip("; "))
        current.save()
    ended = close(current, counted=True)
    if not context.tree or current.unwritten:  # a tree is made from the journal
        for line in ended.lines:
            context.say(line)
    result = what_next(current, show=True)
    result.update(outcome=ended.outcome.value, code=ended.outcome.code, journal=record.journal, requests_failed=ended.failed, requests_total=ended.total,
                  failed_run=not as_asked(ended.outcome, current.spec))
    result["progressive_delivery"] = {**ended.noted(current), "print": "tree"}
    result["progressive_delivery"]["last_words"]["said"] = True
    return result


@dataclass(frozen=True)
class Ended:
    """How a run ended: in one line, with what to type below it. Requests are None where nobody counted."""

    outcome: Outcome
    lines: list[str]
    failed: Optional[int] = None
    total: Optional[int] = None

    def noted(self, current: Run) -> dict[str, Any]:
        """What callbacks and the end of ansible-playbook need to know of it."""
        more = noted(current)
        return {**more, "outcome": self.outcome.value, "last_words": {**more["last_words"], "lines": self.lines}}


def close(current: Run, *, counted: bool) -> Ended:
    """Write to the journal how the run ended, with the requests that were ``counted``, and give the lease back."""
    record = current.record
    outcome = record.outcome or Outcome.INTERRUPTED
    reason = record.reason
    if record.release.purpose == "rollback":
        if outcome is Outcome.PROMOTED:
            outcome = Outcome.ROLLED_BACK
        elif outcome is Outcome.ROLLED_BACK:
            outcome = Outcome.PARTIAL
            reason = f"{record.release.version} could not be brought back, {record.plan.previous or 'what was there'} serves on: {reason}"
    if outcome is Outcome.PROMOTED and not reason:
        watched = _watched(current)
        reason = f"{record.release.version} serves every request" + (f"; {', '.join(watched)} stayed within limits" if watched else "")
    away = sorted(member.name for members in record.routes.members.values() for member in members if member.ramp == 0)
    if away:
        reason = "; ".join(filter(None, [reason, f"out of rotation: {', '.join(away)}"]))
    failed, total = hurt(current) if counted else (None, None)
    try:
        current.event("outcome", outcome=outcome.value, code=outcome.code, reason=reason, stable_after=_stable_after(current, outcome),
                      requests_failed=failed, requests_total=total, next=next_lines(outcome, record, current.spec))
    finally:
        current.session.release()
    notifying.ended(current, outcome, reason)
    return Ended(outcome, ending_lines(record, current.spec, outcome, reason, wording.hurt(failed, total)), failed, total)


def _watched(current: Run) -> list[str]:
    """The metrics that had a say and were looked at: blue-green without a bake looks at none."""
    looked = {look.metric for look in current.told().all(kinds.Look)}
    metrics = (current.spec.get("analysis") or {}).get("metrics") or []
    return [metric["name"] for metric in metrics if metric["name"] in looked and not metric.get("dry_run")]


def _stable_after(current: Run, outcome: Outcome) -> Optional[float]:
    """Seconds from the first bad look to the moment stable carried everything again, as measured."""
    if outcome not in (Outcome.ROLLED_BACK, Outcome.ABORTED) or not current.record.back:
        return None
    journal = current.told()
    bad = [look.at for look in journal.all(kinds.Look) if look.phase == "failed"] or [step.at for step in journal.all(kinds.Step) if step.status == "failed"]
    stable = current.record.plan.stable
    home = [share.at for share in journal.all(kinds.Share) if share.asked.get(stable) == 100 and bad and share.at >= bad[0]]
    return round(home[0] - bad[0], 3) if bad and home else None
