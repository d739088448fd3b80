# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the verdicts of single measurements to the verdict of a metric and of a run: a pure state machine, as Argo Rollouts has it.

Where it differs from Argo: nothing passes without one successful measurement, and what ended early is inconclusive, not successful.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .metric import Metric
from .model import Phase, Verdict

COMPLETED = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)


@dataclass(frozen=True)
class Tally:
    """What a metric has measured so far; JSON through :mod:`.codec`. ``broken`` lists every limit broken, ``no_data`` that no data decided."""

    phase: Phase = Phase.PENDING
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    errors: int = 0
    successes_in_row: int = 0
    failures_in_row: int = 0
    errors_in_row: int = 0
    broken: tuple[str, ...] = ()
    no_data: bool = False
    reason: str = ""

    @property
    def finished(self) -> int:
        """Measurements that were answered; an error is none."""
        return self.successful + self.failed + self.inconclusive

    @property
    def completed(self) -> bool:
        return self.phase in COMPLETED


def assess(metric: Metric, tally: Tally, verdict: Verdict, *, no_data: bool = False) -> Tally:
    """``tally`` with one more measurement. A completed metric is not assessed again; a pending look counts for nothing."""
    if tally.completed:
        return tally
    counted = _count(tally, verdict.phase)
    if counted is tally:
        return replace(tally, reason=verdict.reason, errors_in_row=0)  # an empty answer is an answer
    counted = replace(counted, reason=verdict.reason)
    limits = _limits(metric, counted)
    if limits:
        phase = limits[-1][0]
        return replace(counted, phase=phase, broken=tuple(text for _phase, text in limits), no_data=no_data)
    if metric.consecutive_success_limit and counted.successes_in_row >= metric.consecutive_success_limit:
        return replace(counted, phase=Phase.SUCCESSFUL)
    if metric.effective_count is not None and counted.finished >= metric.effective_count:
        return _exhausted(metric, counted)
    return replace(counted, phase=Phase.RUNNING if counted.finished else Phase.PENDING)


def close(metric: Metric, tally: Tally, *, early: str = "") -> Tally:
    """``tally`` at the end of its step. ``early``: why the step ended before its time; that is never a success."""
    if tally.completed:
        return tally
    if early:
        return replace(tally, phase=Phase.INCONCLUSIVE, reason=f"ended early: {early}")
    if not tally.finished:
        return replace(tally, phase=Phase.INCONCLUSIVE, reason=f"nothing could be judged: {tally.reason or 'no look was taken'}")
    if metric.effective_count is not None:
        reason = f"{tally.finished} of {metric.effective_count} measurements when the step ended"
        return replace(tally, phase=Phase.INCONCLUSIVE, reason=reason)
    return _exhausted(metric, tally)


def reopen(tally: Tally) -> Tally:
    """A metric that ended with an error, to be assessed again: weights are held, and the error may pass."""
    return replace(tally, phase=Phase.RUNNING if tally.finished else Phase.PENDING, broken=())


def worst(phases: Iterable[Phase]) -> Phase:
    """The verdict of a run: the worst of its metrics; successful when there are none (which must have been declared)."""
    return max(phases, key=lambda phase: phase.rank, default=Phase.SUCCESSFUL)


def _count(tally: Tally, phase: Phase) -> Tally:
    if phase is Phase.SUCCESSFUL:
        return replace(tally, successful=tally.successful + 1, successes_in_row=tally.successes_in_row + 1, failures_in_row=0, errors_in_row=0)
    if phase is Phase.FAILED:
        return replace(tally, failed=tally.failed + 1, failures_in_row=tally.failures_in_row + 1, successes_in_row=0, errors_in_row=0)
    if phase is Phase.INCONCLUSIVE:
        return replace(tally, inconclusive=tally.inconclusive + 1, successes_in_row=0, failures_in_row=0, errors_in_row=0)
    if phase is Phase.ERROR:
        # uses up no count and does not end a run of failures; a run of successes it does end
        return replace(tally, errors=tally.errors + 1, errors_in_row=tally.errors_in_row + 1, successes_in_row=0)
    return tally


def _limits(metric: Metric, tally: Tally) -> list[tuple[Phase, str]]:
    """Every broken limit, the one that decides last."""
    limits: list[tuple[Phase, str]] = []
    if tally.inconclusive > metric.inconclusive_limit:
        limits.append((Phase.INCONCLUSIVE, f"{tally.inconclusive} inconclusive, {metric.inconclusive_limit} allowed"))
    if tally.errors_in_row > metric.consecutive_error_limit:
        limits.append((Phase.ERROR, f"{tally.errors_in_row} errors in a row, {metric.consecutive_error_limit} allowed"))
    if metric.failure_limit >= 0 and tally.failed > metric.failure_limit:
        limits.append((Phase.FAILED, f"{tally.failed} failed, {metric.failure_limit} allowed"))
    if metric.consecutive_failure_limit and tally.failures_in_row >= metric.consecutive_failure_limit:
        limits.append((Phase.FAILED, f"{tally.failures_in_row} failures in a row"))
    return limits


def _exhausted(metric: Metric, tally: Tally) -> Tally:
    """All measurements were taken and no limit is broken."""
    if metric.consecutive_success_limit:
        bounded = metric.failure_limit >= 0 or metric.consecutive_failure_limit > 0
        reason = f"{metric.consecutive_success_limit} successes in a row were wanted, the last run had {tally.successes_in_row}"
        return replace(tally, phase=Phase.INCONCLUSIVE if bounded else Phase.FAILED, reason=reason)
    if tally.successful:
        return replace(tally, phase=Phase.SUCCESSFUL)
    phase = Phase.FAILED if tally.failed else Phase.INCONCLUSIVE
    return replace(tally, phase=phase, reason=f"none of {tally.finished} measurements was successful: {tally.reason}")
