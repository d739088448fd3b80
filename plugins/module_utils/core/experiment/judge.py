# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of an A/B test's conversion within a watched wait: it adds each look to the trial, and tells what that says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Optional

from ..errors import DeliveryError
from ..evidence import COUNTS, Evidence, as_blocks
from ..metric import Metric
from ..model import Phase, Series, Verdict
from ..sequential import share_bounds
from .trial import Trial, add
from .verdict import Design, Finding, Says, conclude, in_points

PHASES = {Says.CONTINUE: Phase.RUNNING, Says.WIN: Phase.SUCCESSFUL}
"""Of a look. What neither wins nor goes on is inconclusive: it is no failure of the version, and the verdict says what it is."""


class TrialJudge:
    """The Judge port. ``told`` hears each finding; ``trial`` is what earlier runs of the same test have seen; ``totals``: what is counted are totals."""

    KIND: str = COUNTS

    def __init__(self, design: Design, trial: Trial, told: Callable[[Finding], None] = lambda finding: None, *, totals: bool = False) -> None:
        self.design, self.trial, self._told, self.totals = design, trial, told, totals
        self._folded = 0

    def evidence(self, started: float) -> Evidence:
        """Windows reach back to the beginning of the test, however long ago. Totals that only grow are read anew by each process."""
        if self.totals or self.trial.began is None:
            return Evidence(COUNTS, started)
        return Evidence(COUNTS, self.trial.began, whole=True, last=replace(self.trial.total, seconds=0.0))

    def judge(self, criterion: Metric, candidate: Series, baseline: Optional[Series]) -> Verdict:
        """The verdict on all looks. Each block is added once: what is given grows at its end."""
        try:
            blocks = as_blocks(candidate, baseline) if baseline is not None else []
        except DeliveryError as error:
            return Verdict(Phase.ERROR, f"{criterion.name}: {error}")
        for block in blocks[self._folded:]:
            self.trial = add(self.trial, block, self.design.mde)
        self._folded = max(self._folded, len(blocks))
        now = candidate.samples[0].points[-1].time
        began = now if self.trial.began is None else self.trial.began
        self.trial = replace(self.trial, began=began, seen=now)
        finding = conclude(self.design, self.trial, now - began)
        self._told(finding)
        return _verdict(criterion, self.design, finding)


def _verdict(metric: Metric, design: Design, finding: Finding) -> Verdict:
    total = finding.trial.total
    if not total.requests or not total.base_requests:
        return Verdict(Phase.PENDING, f"{metric.name}: {finding.reason}", n=total.requests)
    low, high = share_bounds(total.bad, total.requests, design.alpha)
    return Verdict(PHASES.get(finding.says, Phase.INCONCLUSIVE), f"{metric.name} {finding.reason}", value=total.bad / total.requests,
                   baseline=total.base_bad / total.base_requests, threshold=f"from {in_points(design.mde)}", n=total.requests, low=low, high=high,
                   confidence=100 * (1 - design.alpha), p=finding.trial.p)
