# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge ``sequential``: are more of the candidate's requests bad than of stable's? It may be asked after every request.

After Lindon, Sanden and Shirikian, "Rapid regression detection in software deployments through sequential testing" (KDD 2022): given how the
requests of a stretch were split, each bad one is the candidate's with a probability that only the *ratio* of the two shares decides.
With q the candidate's part of the requests, a ratio r against a ratio r0 has the likelihood ratio

    (r / r0)^bad * ((1 + q (r0 - 1)) / (1 + q (r - 1)))^(bad + base_bad)

Its expectation is at most 1 whenever the true ratio is at most r0, whatever the shares themselves are: with independent requests it is
(1 + p (x - 1))^n (1 + p' (y - 1))^n', and 1 + z <= e^z makes the exponent 0. So the product over all looks, mixed over several r, is a
supermartingale, and by Ville's inequality it ever exceeds 1/alpha with a probability of at most alpha: after any number of looks, with shares
that drift or burst in both tracks alike, and with weights that change between looks.

The intervals are those of the beta-binomial mixture (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", Annals of Statistics 2021), valid at every look as well, for a share that does not drift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from .errors import ConfigError, DeliveryError
from .evidence import COUNTS, Counts, as_blocks
from .metric import Metric
from .model import Phase, Series, Verdict
from .options import Option, Options
from .units import show_duration, show_percent

COUNTED = ("conversion", "error_rate", "slow_share", "success_rate")
"""Built-in metrics that are shares of requests."""
RATIOS = (1.02, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 100.0, 1000.0)
"""How many times worse the candidate might be, beyond what is allowed: a wide net, since nobody knows beforehand. Equal weights."""
NEIGHBOURS = 1.5
"""About so many of the ratios speak for a regression together: found by simulation, and only for how much evidence is planned."""
BEFOREHAND = 50.0
"""So many requests, half a bad one among them, are taken for seen when evidence is planned: the first few must not say anything wild."""
ANEW, RECENT, FIRST = 600.0, 6, 0.9
"""Every so many seconds evidence begins anew, beside the first; so many of the latest are kept; the weight of the first."""
BUDGET = 0.01
"""Chance that a release without any regression is taken back by its sequential metrics, all of them and all looks together."""
REPEATS = 0.1
"""The part of the budget that is kept for bakes beyond those planned: the ones that a resumed release does again."""


@dataclass(frozen=True)
class Finding:
    """The state of the evidence. ``p`` is always valid; the bounds are of the shares; ``needed`` is requests of the candidate in all."""

    total: Counts
    p: float
    low: float
    high: float
    base_low: float
    base_high: float
    needed: Optional[int]

    @property
    def share(self) -> float:
        return self.total.bad / self.total.requests

    @property
    def base_share(self) -> float:
        return self.total.base_bad / self.total.base_requests


class SequentialJudge:
    """The Judge port. ``alpha`` is what this metric may spend in this step; see :func:`spend`."""

    SUMMARY: ClassVar[str] = "An always-valid test of the share of bad requests against stable's: look as often as you like."
    KIND: ClassVar[str] = COUNTS
    OPTIONS: ClassVar[Options] = {
        "mde": Option("float", "The smallest difference of the shares that matters, such as 0.01 for one point. A smaller one is no reason to go back.",
                      default=0.01, minimum=0.000001, maximum=0.5),
        "alpha": Option("float", "The part of the release's budget that this metric may spend. Default: an even part of what the others leave.",
                        minimum=0.000001, maximum=0.2),
        "beta": Option("float", "Chance to let a regression of C(mde) pass.", default=0.05, minimum=0.000001, maximum=0.5),
    }

    def __init__(self, mde: float = 0.01, alpha: float = BUDGET, beta: float = 0.05) -> None:
        self.mde, self.alpha, self.beta = mde, alpha, beta

    @classmethod
    def from_options(cls, options: Mapping[str, Any], alpha: float) -> SequentialJudge:
        return cls(options["mde"], alpha, options["beta"])

    @staticmethod
    def probe() -> None:
        """Nothing is needed."""

    @staticmethod
    def check(metric: Metric, where: str) -> None:
        """Raise ConfigError for what this judge cannot judge."""
        check_counted(metric, where)
        if metric.direction == "either":
            raise ConfigError("sequential looks for one direction", where=f"{where}.direction", do="Write increase or decrease.")
        if metric.max_ratio is not None and (metric.direction != "increase" or metric.max_ratio < 1):
            raise ConfigError("with sequential, max_ratio is how many times more bad requests are allowed", where=f"{where}.max_ratio",
                              do="Use a share of bad requests, and 1 or more.")

    def judge(self, criterion: Metric, candidate: Series, baseline: Optional[Series]) -> Verdict:
        """FAILED once a regression is proven, unless it is smaller than ``mde``; SUCCESSFUL once one is excluded or the planned evidence is in; else RUNNING.

        What is planned depends on the shares and the split alone, not on luck: so what it says it needs is what it takes.
        """
        name = criterion.name
        try:
            blocks = as_blocks(candidate, baseline) if baseline is not None else []
        except DeliveryError as error:
            return Verdict(Phase.ERROR, f"{name}: {error}")
        total = summed(blocks)
        if not total.requests or not total.base_requests:
            lacking = "canary" if blocks and not total.requests else "stable"
            return Verdict(Phase.PENDING, f"{name}: no requests to the {lacking} to compare", n=total.requests)
        allowed = criterion.max_ratio or 1.0
        finding = find(blocks, allowed=allowed, mde=self.mde, alpha=self.alpha, beta=self.beta)
        phase, text = self._decide(finding, allowed)
        return counted_verdict(criterion, phase, finding, text, alpha=self.alpha, beta=self.beta, mde=self.mde)

    def _decide(self, finding: Finding, allowed: float) -> tuple[Phase, str]:
        total, base = finding.total, allowed * finding.base_share
        low, high = finding.low - allowed * finding.base_high, finding.high - allowed * finding.base_low
        between = f"{_points(low)} to {_points(high)} points ({100 * (1 - self.beta):g} %)"
        if finding.p <= self.alpha and high >= self.mde:
            return Phase.FAILED, f"worse, by {between if low > 0 else f'up to {_points(high)} points'}"  # the test is sharper than the interval
        if finding.p <= self.alpha:
            return Phase.SUCCESSFUL, f"worse, but by less than matters, {between}"
        if high <= 0:
            return Phase.SUCCESSFUL, f"not worse, {between}"
        if finding.needed is None:
            return Phase.RUNNING, f"cannot tell: {_points(self.mde)} points are too few to be seen at this share, raise mde"
        if total.requests < finding.needed:
            more = finding.needed - total.requests
            return Phase.RUNNING, f"needs {more:,} more requests{_time(more, total)}"
        if finding.share < base + self.mde:
            return Phase.SUCCESSFUL, f"as many requests as planned, and {_points(self.mde)} points more would have shown, {between}"
        return Phase.RUNNING, f"cannot tell yet: the difference matters and is not proven, {between}"


def counted_verdict(metric: Metric, phase: Phase, finding: Finding, text: str, *, alpha: float, beta: float, mde: float, rates: bool = False) -> Verdict:
    """What a judge of counts found, in the metric's own sense: the share of the good ones where less is worse."""
    share, base_share, low, high = finding.share, finding.base_share, finding.low, finding.high
    falling = metric.direction == "decrease"
    if falling and not rates:
        share, base_share, low, high = 1 - share, 1 - base_share, 1 - high, 1 - low
    limit = base_share * (1 if falling else metric.max_ratio or 1.0) + (-mde if falling else mde)
    limit = limit if rates else min(1.0, max(0.0, limit))
    total = finding.total

    def shown(value: float) -> str:
        return f"{value:.4g}" if rates else show_percent(100 * value)

    values = f"{shown(share)} against {shown(base_share)} of {metric.baseline}"
    evidence = f"(n {total.requests:,} and {total.base_requests:,}, p {finding.p:.2g} of {alpha:.2g})"
    # what is missing comes first: lines are cut at their end
    reason = f"{metric.name} {text}: {values} {evidence}" if phase is Phase.RUNNING else f"{metric.name} {values}: {text} {evidence}"
    matters = f"from {f'{mde:g}' if rates else f'{_points(mde)} points'} {'less' if falling else 'more'}"
    return Verdict(phase, reason, value=share, baseline=base_share, threshold=matters, n=total.requests, low=low, high=high,
                   confidence=100 * (1 - beta / 2), limit=limit, p=finding.p)


def check_counted(metric: Metric, where: str) -> None:
    """Raise ConfigError unless the metric can be weighed by counts of two tracks that run at the same time."""
    if metric.builtin and metric.builtin not in COUNTED:
        raise ConfigError(f"{metric.judge} weighs shares of requests, {metric.builtin} is none", where=f"{where}.judge",
                          do=f"Use it with {', '.join(COUNTED)}, or with a query that gives a share and its count.")
    if metric.baseline not in ("stable", "experiment"):
        raise ConfigError(f"{metric.judge} compares requests of the same time", where=f"{where}.baseline", do="Write stable or experiment.")
    if metric.max_delta is not None:
        raise ConfigError(f"{metric.judge} takes the difference that matters as mde", where=f"{where}.max_delta",
                          do=f"Write judge: {{{metric.judge}: {{mde: {metric.max_delta:g}}}}}.")
    if metric.reduce:
        raise ConfigError(f"{metric.judge} weighs one series", where=f"{where}.reduce", do="Aggregate the query.")


def summed(blocks: Sequence[Counts]) -> Counts:
    """All blocks as one; its seconds are those until the last look."""
    return Counts(sum(block.bad for block in blocks), sum(block.requests for block in blocks), sum(block.base_bad for block in blocks),
                  sum(block.base_requests for block in blocks), blocks[-1].seconds if blocks else 0.0)


def find(blocks: Sequence[Counts], *, allowed: float, mde: float, alpha: float, beta: float) -> Finding:
    """What the blocks say; both tracks have requests in them."""
    p, since = strongest(blocks, allowed)
    total = summed(blocks)
    pooled = (total.bad + total.base_bad + 0.5) / (total.requests + total.base_requests + BEFOREHAND)
    part = total.requests / (total.requests + total.base_requests)
    recent = summed(blocks[since:])
    if p <= alpha and recent.requests and recent.base_requests:
        total = recent  # what is proven is told by the time in which it is so
    low, high = share_bounds(total.bad, total.requests, beta / 2)
    base_low, base_high = share_bounds(total.base_bad, total.base_requests, beta / 2)
    return Finding(total, p, low, high, base_low, base_high, planned(pooled, part, mde, allowed=allowed, alpha=alpha, beta=beta))


def always_valid_p(blocks: Sequence[Counts], allowed: float = 1.0) -> float:
    """The p-value of "the candidate's share is at most ``allowed`` times the baseline's", valid at every look: it never rises."""
    return strongest(blocks, allowed)[0]


def strongest(blocks: Sequence[Counts], allowed: float = 1.0) -> tuple[float, int]:
    """(the always-valid p-value, the block from which on the evidence is strongest).

    A regression may come hours after a good beginning, whose evidence speaks against it. So a martingale begins anew every :data:`ANEW` seconds,
    and what is held against 1/alpha is their weighted sum, in which one that has not begun counts 1: that is a supermartingale, too. The weights sum
    up to 1: :data:`FIRST` for the first, the rest over the others, ever less. Old ones that are let go only make the sum smaller.
    """
    running: list[tuple[int, float, list[float]]] = [(0, math.log(FIRST), [0.0] * len(RATIOS))]  # its first block, its weight, its ratios
    begun, highest, since = 1, 0.0, 0
    for index, block in enumerate(blocks):
        while block.seconds > begun * ANEW:
            begun += 1
            running.append((index, math.log((1 - FIRST) / (begun * (begun - 1))), [0.0] * len(RATIOS)))
            del running[1:-RECENT]
        bad = block.bad + block.base_bad
        if not bad:
            continue
        part = block.requests / (block.requests + block.base_requests)
        null = math.log1p(part * (allowed - 1))
        steps = [block.bad * math.log(ratio) + bad * (null - math.log1p(part * (allowed * ratio - 1))) for ratio in RATIOS]
        for _first, _weight, logs in running:
            for at, step in enumerate(steps):
                logs[at] += step
        sums = [weight + _mean(logs) for _first, weight, logs in running]
        idle = math.log((1 - FIRST) / begun)  # of those that have not begun: the tail of the weights
        evidence = _added([*sums, idle])
        if evidence > highest:
            highest, since = evidence, running[sums.index(max(sums))][0]
    return math.exp(-highest), since


def _mean(logs: Sequence[float]) -> float:
    return _added(logs) - math.log(len(logs))


def _added(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(each - top) for each in logs))


def share_bounds(bad: int, requests: int, alpha: float) -> tuple[float, float]:
    """Bounds of the share that hold at all looks together but with chance ``alpha``: beta-binomial mixture with Jeffreys' weights."""
    if not requests:
        return 0.0, 1.0
    mixed = math.lgamma(bad + 0.5) + math.lgamma(requests - bad + 0.5) - math.lgamma(requests + 1.0) - math.log(math.pi)
    limit = -math.log(alpha)

    def beyond(share: float) -> bool:
        likely = (bad * math.log(share) if bad else 0.0) + ((requests - bad) * math.log1p(-share) if bad < requests else 0.0)
        return mixed - likely > limit

    middle = bad / requests
    low = 0.0 if not bad else _border(beyond, 1e-300, middle)
    high = 1.0 if bad == requests else _border(beyond, 1.0 - 1e-16, middle)
    return low, high


def _border(beyond: Any, outside: float, inside: float) -> float:
    """Where ``beyond`` changes between two shares: bisection, geometric below, so that tiny shares are met as well."""
    for _turn in range(200):
        middle = math.sqrt(outside * inside) if outside < inside else (outside + inside) / 2
        if middle in (outside, inside):
            break
        if beyond(middle):
            outside = middle
        else:
            inside = middle
        if abs(outside - inside) <= 1e-9 * inside:
            break
    return outside


def planned(share: float, part: float, mde: float, *, allowed: float = 1.0, alpha: float, beta: float) -> Optional[int]:
    """Requests of the candidate after which a regression of ``mde`` has been found with chance 1 - ``beta``; None: it never would.

    ``share`` of stable's requests are bad, ``part`` of all requests go to the candidate. The evidence grows by a mean and a variance with each
    request; it must have crossed the border in all but ``beta`` of the runs.
    """
    worse = min(1.0, allowed * share + mde)
    base = share * (1 - part) / part  # stable's bad requests for each request of the candidate
    border, z = math.log(len(RATIOS) / NEIGHBOURS / FIRST / alpha), -normal_quantile(beta)
    found = []
    for ratio in RATIOS:
        step = math.log1p(part * (allowed * ratio - 1)) - math.log1p(part * (allowed - 1))
        mean = worse * math.log(ratio) - (worse + base) * step
        if mean > 0:
            sigma = z * math.sqrt(worse * (math.log(ratio) - step) ** 2 + base * step**2)
            found.append((sigma + math.sqrt(sigma**2 + 4 * mean * border)) / (2 * mean))
    return math.ceil(min(found) ** 2) if found else None


def foreseen(metric: Metric, share: float, requests: int, part: float, alpha: float) -> Optional[int]:
    """What :func:`planned` will say in a release: ``share`` of stable's ``requests`` are bad now (or good, where less is worse)."""
    bad = (1 - share if metric.direction == "decrease" else share) * requests
    options = metric.judge_options
    return planned((bad + 0.5) / (requests + BEFOREHAND), part, options["mde"], allowed=metric.max_ratio or 1.0, alpha=alpha, beta=options["beta"])


def spend(alpha: float, bake: int, bakes: int) -> float:
    """What a metric may spend in the ``bake``-th bake of a release that plans ``bakes`` of them, all repeats counted.

    Every bake weighs its own evidence, since a window never reaches into the step before: evidence of a time without load must not hide a
    regression that comes with load. The planned bakes share the budget evenly, but for :data:`REPEATS`, of which each further one takes half of what
    is left. The sum over any number of bakes is at most ``alpha``.
    """
    if bake <= bakes:
        return alpha * (1 - REPEATS) / bakes
    return float(alpha * REPEATS * 0.5 ** min(bake - bakes, 50))


def shares(metrics: Sequence[Metric], budget: float, where: str = "rollout_analysis.metrics") -> dict[str, float]:
    """The part of ``budget`` of each sequential metric that decides, by name. Raises ConfigError when they ask for more than there is."""
    deciding = [metric for metric in metrics if metric.judge == "sequential" and not metric.dry_run]
    given = {metric.name: float(metric.judge_options["alpha"]) for metric in deciding if metric.judge_options.get("alpha")}
    others = [metric.name for metric in deciding if metric.name not in given]
    left = budget - sum(given.values())
    if left < -1e-12 or (others and left <= 1e-12):
        raise ConfigError(f"the sequential metrics ask for an alpha of {sum(given.values()):g}, the budget of a release is {budget:g}", where=where,
                          do="Lower theirs, or raise rollout_analysis.alpha.")
    return {**given, **{name: left / len(others) for name in others}}


def normal_quantile(chance: float) -> float:
    """The standard normal quantile, by bisection."""
    low, high = -10.0, 10.0
    for _turn in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * math.erfc(-middle / math.sqrt(2)) < chance else (low, middle)
    return (low + high) / 2


def _points(share: float) -> str:
    return f"{100 * share:+.3g}" if share < 0 else f"{100 * share:.3g}"


def _time(more: int, total: Counts) -> str:
    if total.seconds <= 0:
        return ""
    seconds = more * total.seconds / total.requests
    return f", about {math.ceil(seconds / 60):,} min at this rate" if seconds > 90 else f", about {show_duration(math.ceil(seconds))} at this rate"
