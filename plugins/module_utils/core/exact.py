# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge ``exact``: Fisher's test of two shares, or the conditional test of two Poisson rates, on the counts of the whole step.

Exact for one look. Each further look is a further chance of a false alarm; who looks often wants :mod:`.sequential`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from .errors import ConfigError, DeliveryError
from .evidence import COUNTS, RATES, as_blocks
from .metric import Metric
from .model import Phase, Series, Verdict
from .options import Option, Options
from .sequential import Finding, check_counted, counted_verdict, summed
from .tails import fisher, poisson, rate_interval, share_interval


class ExactJudge:
    """The Judge port."""

    SUMMARY: ClassVar[str] = "Fisher's exact test of shares, or a Poisson test of rates, on the counts of the step. For one look."
    KIND: str = COUNTS
    OPTIONS: ClassVar[Options] = {
        "of": Option("str", "What the metric is: a share of requests, or a rate of events per request, which may be above 1.", default="share",
                     choices=("rate", "share")),
        "alpha": Option("float", "Chance of a false alarm at one look.", default=0.01, minimum=0.000001, maximum=0.2),
        "mde": Option("float", "The smallest difference that matters. Good is what excludes it.", default=0.01, minimum=0.000001),
        "confidence": Option("float", "Confidence of the intervals, in percent.", default=95.0, minimum=50.0, maximum=99.9999),
    }

    def __init__(self, of: str = "share", alpha: float = 0.01, mde: float = 0.01, confidence: float = 95.0) -> None:
        self.KIND = RATES if of == "rate" else COUNTS
        self.rates, self.alpha, self.mde, self.beta = of == "rate", alpha, mde, 1 - confidence / 100

    @classmethod
    def from_options(cls, options: Mapping[str, Any], alpha: float) -> ExactJudge:
        """``alpha`` is the release's for judges that may look again; this one has its own."""
        return cls(options["of"], options["alpha"], options["mde"], options["confidence"])

    @staticmethod
    def probe() -> None:
        """Nothing is needed."""

    @staticmethod
    def check(metric: Metric, where: str) -> None:
        """Raise ConfigError for what this judge cannot judge."""
        check_counted(metric, where)
        if metric.max_ratio is not None:
            raise ConfigError("exact asks whether the two differ", where=f"{where}.max_ratio", do="Use sequential, or give a condition beside it.")

    def judge(self, criterion: Metric, candidate: Series, baseline: Optional[Series]) -> Verdict:
        """FAILED when the difference is proven and may matter, SUCCESSFUL when ``mde`` is excluded, else RUNNING."""
        try:
            blocks = as_blocks(candidate, baseline, shares=not self.rates) if baseline is not None else []
        except DeliveryError as error:
            return Verdict(Phase.ERROR, f"{criterion.name}: {error}")
        total = summed(blocks)
        if not total.requests or not total.base_requests:
            lacking = "canary" if blocks and not total.requests else criterion.baseline
            return Verdict(Phase.PENDING, f"{criterion.name}: no requests to the {lacking} to compare", n=total.requests)
        counts = total.bad, total.requests, total.base_bad, total.base_requests
        if self.rates and criterion.direction == "decrease":
            counts = total.base_bad, total.base_requests, total.bad, total.requests  # fewer events are worse: the same test, turned round
        p = (poisson if self.rates else fisher)(*counts, two_sided=criterion.direction == "either")
        interval = rate_interval if self.rates else share_interval
        low, high = interval(total.bad, total.requests, self.beta / 2)
        base_low, base_high = interval(total.base_bad, total.base_requests, self.beta / 2)
        finding = Finding(total, p, low, high, base_low, base_high, None)
        phase, text = self._decide(criterion, finding)
        return counted_verdict(criterion, phase, finding, text, alpha=self.alpha, beta=self.beta, mde=self.mde, rates=self.rates)

    def _decide(self, metric: Metric, finding: Finding) -> tuple[Phase, str]:
        low, high = finding.low - finding.base_high, finding.high - finding.base_low
        between = f"difference {low:.3g} to {high:.3g} ({100 * (1 - self.beta):g} %)"
        reach = {"either": max(high, -low), "decrease": -low if self.rates else high}.get(metric.direction, high)
        if reach < self.mde:
            return Phase.SUCCESSFUL, f"{between}, {self.mde:g} is excluded"
        if finding.p <= self.alpha:
            return Phase.FAILED, f"{'different' if metric.direction == 'either' else 'worse'}, {between}"
        return Phase.RUNNING, f"needs more requests, {between}"
