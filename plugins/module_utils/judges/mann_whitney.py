# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge ``mann_whitney``: are the new version's values shifted against the baseline's, whatever their distribution?

Values of all looks of the step are ranked together; the interval of the shift is what decides, as in Kayenta, and what is no larger than a part of
the estimate is no shift. Exact for one look only: each further look is a further chance of a false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from ..clients.rank_sum import RankSum, check_libraries, compare
from ..core.errors import ConfigError
from ..core.evidence import POINTS
from ..core.judge import show
from ..core.metric import Metric
from ..core.model import Phase, Series, Verdict
from ..core.options import Option, Options


class MannWhitneyJudge:
    """The Judge port. ``points`` are the values of each side that it wants before it says anything."""

    SUMMARY: ClassVar[str] = "The rank-sum test on the values of all looks of a step, with the interval of the shift. Needs scipy."
    KIND: str = POINTS
    OPTIONS: ClassVar[Options] = {
        "confidence": Option("float", "Confidence of the interval, in percent.", default=98.0, minimum=50.0, maximum=99.9999),
        "tolerance": Option("float", "A shift counts when the interval lies beyond this part of the estimate.", default=0.25, minimum=0.0, maximum=1.0),
        "points": Option("int", "Values of each side before the first verdict.", default=12, minimum=2),
    }

    def __init__(self, confidence: float = 98.0, tolerance: float = 0.25, points: int = 12) -> None:
        self.confidence, self.tolerance, self.points = confidence, tolerance, points

    @classmethod
    def from_options(cls, options: Mapping[str, Any], alpha: float) -> MannWhitneyJudge:
        """``alpha`` is the release's for judges that may look again; this one has its ``confidence``."""
        return cls(options["confidence"], options["tolerance"], options["points"])

    @staticmethod
    def probe() -> None:
        """Raise MissingDependency when this could not judge here."""
        check_libraries()

    @staticmethod
    def check(metric: Metric, where: str) -> None:
        """Raise ConfigError for what this judge cannot judge."""
        if metric.baseline not in ("stable", "experiment", "before" if metric.resolution else ""):
            raise ConfigError("mann_whitney compares values of the same time", where=f"{where}.baseline",
                              do="Write stable or experiment; with a resolution, before.")
        if metric.max_ratio is not None or metric.max_delta is not None:
            raise ConfigError("max_ratio and max_delta have no meaning beside mann_whitney", where=where, do="Keep one of them, or give a condition.")

    def judge(self, criterion: Metric, candidate: Series, baseline: Optional[Series]) -> Verdict:
        """FAILED when the shift is beyond doubt and in the wrong direction, SUCCESSFUL when it is not, RUNNING with too few values."""
        ours, theirs = values(candidate), values(baseline)
        wanted, fewer = max(self.points, criterion.min_samples), min(len(ours), len(theirs))
        if not fewer:
            return Verdict(Phase.PENDING, f"{criterion.name}: no values of {'the canary' if not ours else criterion.baseline} to compare")
        mean, base_mean = sum(ours) / len(ours), sum(theirs) / len(theirs)
        if fewer < wanted:
            return Verdict(Phase.RUNNING, f"{criterion.name}: {fewer} of {wanted} values", value=mean, baseline=base_mean)
        found = compare(ours, theirs, self.confidence / 100)
        state = shift(found, self.tolerance)
        bad = {"increase": state == "high", "decrease": state == "low"}.get(criterion.direction, state != "")
        words = {"high": "higher", "low": "lower", "": "no shift beyond doubt"}[state]
        reason = (
            f"{criterion.name} {show(criterion, mean)} against {show(criterion, base_mean)} of {criterion.baseline} "
            f"({len(ours)} and {len(theirs)} values, p {found.p:.2g}): {words}, {found.low:.4g} to {found.high:.4g} ({self.confidence:g} %)"
        )
        return Verdict(Phase.FAILED if bad else Phase.SUCCESSFUL, reason, value=mean, baseline=base_mean, threshold="no shift", p=found.p,
                       low=base_mean + found.low, high=base_mean + found.high, confidence=self.confidence)


def shift(found: RankSum, tolerance: float) -> str:
    """``high`` or ``low`` when the whole interval lies beyond that part of the estimate, else nothing."""
    beyond = tolerance * abs(found.estimate)
    if found.low > beyond:
        return "high"
    return "low" if found.high < -beyond else ""


def values(series: Optional[Series]) -> list[float]:
    """The numbers among the values."""
    return [point.value for sample in series.samples for point in sample.points if math.isfinite(point.value)] if series is not None else []
