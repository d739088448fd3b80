# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One measurement to one :class:`Verdict`, on point values: conditions, a range, and a ratio or difference against a baseline.

Nothing that was not measured ever passes: no data, NaN and too few requests are *pending* here, and :func:`overdue` says what they are once
the waiting is over; an infinite value fails unless a condition names ``isInf``; a zero or missing baseline is never a divisor.
When the baseline breaks the absolute bound as well, the verdict is *hold* (inconclusive): the cause is not the new version alone.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from .conditions import Condition
from .errors import DeliveryError, NoData, Unavailable
from .metric import Metric
from .model import CANARY, Phase, Series, Verdict
from .units import show_percent

POINT_JUDGES = ("", "relative", "threshold")
"""Values of ``judge`` that mean this module. Any other names a statistical judge."""

SHARES = ("conversion", "cpu_throttling", "error_rate", "slow_share", "success_rate")
OF_BASELINE = {"before": "before the release", "experiment": "of the experiment's baseline", "fixed": "as fixed", "stable": "of stable"}
BASELINE = {"before": "the time before the release", "experiment": "the experiment's baseline", "fixed": "the fixed baseline", "stable": "stable"}


@dataclass(frozen=True)
class _Finding:
    """What one rule says. ``absolute``: it needed no baseline."""

    phase: Phase
    text: str
    absolute: bool = True


def judge(metric: Metric, candidate: Series | None, baseline: Series | None = None, *, track: str = CANARY) -> Verdict:
    """The verdict on one measurement. ``candidate`` and ``baseline`` are None when a query was answered with nothing.

    PENDING means no data yet; see :func:`overdue`. ERROR means that the answer cannot be judged.
    """
    try:
        if candidate is None:
            raise NoData("no data")
        return gate(metric, candidate, track=track) or _judged(metric, candidate, baseline, track)
    except NoData as error:
        return Verdict(Phase.PENDING, f"{metric.name} of the {track}: {error}")
    except DeliveryError as error:
        return Verdict(Phase.ERROR, f"{metric.name} of the {track}: {error}")


def gate(metric: Metric, candidate: Series, *, track: str = CANARY) -> Verdict | None:
    """The verdict that every judge gives before it looks at values: an empty, partial or thin answer. None: go on."""
    name = f"{metric.name} of the {track}"
    if candidate.partial and not metric.allow_partial:
        return Verdict(Phase.ERROR, f"{name}: the answer is partial: {candidate.partial[:200]}")
    values, n, samples = _values(candidate), requests(candidate), sum(len(sample.points) for sample in candidate.samples)
    asked = frozenset().union(*(condition.asks for condition in metric.conditions))
    if not values or (any(math.isnan(value) for value in values) and "isNaN" not in asked):
        return Verdict(Phase.PENDING, f"{name}: {'NaN, which is no data' if values else 'no data'}", n=n)
    if metric.min_requests and n is None:
        return Verdict(Phase.ERROR, f"{name}: min_requests is set, but the answer does not say how many requests it was made from")
    if n is not None and n < metric.min_requests:
        return Verdict(Phase.PENDING, f"{name}: {n:,} of {metric.min_requests:,} requests, needs {metric.min_requests - n:,} more", n=n)
    if samples < metric.min_samples:
        return Verdict(Phase.PENDING, f"{name}: {samples} of {metric.min_samples} samples", n=n)
    seen = [point.value for sample in candidate.samples for point in sample.points] if metric.resolution else values
    if any(math.isinf(value) for value in seen) and "isInf" not in asked:
        shown = next(value for value in seen if math.isinf(value))
        return Verdict(Phase.FAILED, f"{name} is {shown:+}: an infinite value passes only a condition that names isInf", n=n)
    return None


def with_bounds(metric: Metric, verdict: Verdict, candidate: Series, baseline: Series | None, *, track: str = CANARY) -> Verdict:
    """A statistical judge's verdict, or the one by the metric's own conditions and range where that is worse."""
    if not metric.has_bound:
        return verdict
    bound = judge(replace(metric, judge="", max_ratio=None, max_delta=None), candidate, baseline, track=track)
    if bound.phase is Phase.SUCCESSFUL:
        return verdict
    if verdict.phase.rank >= bound.phase.rank:
        return verdict
    return replace(verdict, phase=bound.phase, reason=f"{bound.reason}; {verdict.reason}")


def overdue(metric: Metric, pending: Verdict) -> Verdict:
    """What a pending look is once ``no_data_timeout`` is over: what a condition that asks for nil says, else ``no_data``.

    A condition asks for nil by naming isNil, default or len. (One that names isNaN is asked about NaN at once.)
    """
    if pending.n is None and any({"isNil", "default", "len"} & condition.asks for condition in metric.conditions):
        try:
            finding = _conditions(metric, [])
            return replace(pending, phase=finding.phase, reason=f"{pending.reason}: {finding.text}")
        except NoData:
            pass  # it needs a value after all: the policy decides
        except DeliveryError as error:
            return replace(pending, phase=Phase.ERROR, reason=f"{pending.reason}: {error}")
    phase = {"success": Phase.SUCCESSFUL, "failure": Phase.FAILED, "error": Phase.ERROR}.get(metric.no_data, Phase.INCONCLUSIVE)
    return replace(pending, phase=phase, reason=f"{pending.reason}; no_data: {metric.no_data}")


def requests(series: Series) -> int | None:
    """Requests that the newest values of all samples were made from; None when that is not known of each."""
    counts = [sample.points[-1].n for sample in series.samples if sample.points]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def show(metric: Metric, value: float) -> str:
    """A value as a person reads it: shares as per cent, latencies (which are milliseconds) and bytes with their unit."""
    if metric.builtin in SHARES:
        return show_percent(value * 100)
    if metric.builtin == "latency":
        return f"{value:.4g} ms"
    if metric.builtin == "memory":
        return f"{value / 1048576:.4g} MiB"
    return f"{value:.4g}"


def threshold_text(metric: Metric) -> str:
    """The bounds of a metric in one short line, for looks and reports."""
    texts = [_bound(metric, metric.success_condition, wanted=True), _bound(metric, metric.failure_condition, wanted=False)]
    if metric.minimum is not None or metric.maximum is not None:
        texts.append(_range_text(metric))
    if metric.max_ratio is not None:
        texts.append(f"at most {metric.max_ratio:g}x {metric.baseline}")
    if metric.max_delta is not None:
        texts.append(f"at most {show(metric, metric.max_delta)} {_worse(metric)} {metric.baseline}")
    return ", ".join(text for text in texts if text)


_COMPARISON = re.compile(r"^\s*result\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*$", re.ASCII)
_WANTED = {"<": "<", "<=": "\u2264", ">": ">", ">=": "\u2265"}
_UNWANTED = {"<": "\u2265", "<=": ">", ">": "\u2264", ">=": "<"}


def _bound(metric: Metric, condition: str, *, wanted: bool) -> str:
    """What a good value is by this condition: ``\u2264 2 %`` where it only compares with a number, else the condition itself."""
    found = _COMPARISON.match(condition)
    if not found:
        return condition if wanted or not condition else f"not ({condition})"
    return f"{(_WANTED if wanted else _UNWANTED)[found.group(1)]} {show(metric, float(found.group(2)))}"


def _limit(metric: Metric, condition: str) -> str:
    """``above the limit of 2 %``, where a failure condition only compares with a number."""
    found = _COMPARISON.match(condition)
    return f"{'above' if '>' in found.group(1) else 'below'} the limit of {show(metric, float(found.group(2)))}" if found else ""


def _judged(metric: Metric, candidate: Series, baseline: Series | None, track: str) -> Verdict:
    values, n = _values(candidate), requests(candidate)
    findings: list[_Finding] = []
    if metric.success_condition or metric.failure_condition:
        findings.append(_conditions(metric, values))
    value = None if _sees_list(metric) else _reduced(metric, values)
    if metric.minimum is not None or metric.maximum is not None:
        findings.append(_in_range(metric, _reduced(metric, values)))
    head = f"{metric.name} of the {track} {_shown(metric, values, value)}" + (f" (n {n:,})" if n is not None else "")
    against = _baseline_value(metric, baseline)
    if metric.max_ratio is not None or metric.max_delta is not None:
        findings.append(_relative(metric, _reduced(metric, values), against))
    if against is not None:
        head += f" against {show(metric, against)} {OF_BASELINE[metric.baseline]}"
    phase, text = _conclude(metric, findings, baseline)
    return Verdict(
        phase, f"{head}: {text}", value=value if value is not None and math.isfinite(value) else None, baseline=against, threshold=threshold_text(metric), n=n
    )


def _conclude(metric: Metric, findings: list[_Finding], baseline: Series | None) -> tuple[Phase, str]:
    """The worst finding; a hold when nothing but the absolute bound is broken and the baseline breaks it too."""
    if not findings:
        return Phase.SUCCESSFUL, "only measured (dry run)"
    worst = max(findings, key=lambda finding: finding.phase.rank)
    texts = [finding.text for finding in findings if finding.phase is worst.phase]
    if worst.phase is Phase.FAILED and all(finding.absolute for finding in findings if finding.phase is Phase.FAILED) and _broken(metric, baseline):
        return Phase.INCONCLUSIVE, f"{'; '.join(texts)}, but {BASELINE[metric.baseline]} breaks the same bound: hold, the cause is not the new version alone"
    return worst.phase, "; ".join(texts)


def _broken(metric: Metric, baseline: Series | None) -> bool:
    """Whether the baseline breaks the absolute bound itself: it has degraded as well."""
    if baseline is None:
        return False
    values = _values(baseline)
    if not values or not all(math.isfinite(value) for value in values):
        return False
    try:
        findings = [_conditions(metric, values)] if metric.conditions else []
        if metric.minimum is not None or metric.maximum is not None:
            findings.append(_in_range(metric, _reduced(metric, values)))
    except DeliveryError:
        return False
    return any(finding.phase is Phase.FAILED for finding in findings)


def _conditions(metric: Metric, values: list[float]) -> _Finding:
    good = _holds(metric, metric.success_condition, values)
    bad = _holds(metric, metric.failure_condition, values)
    if bad:
        return _Finding(Phase.FAILED, _limit(metric, metric.failure_condition) or f"{metric.failure_condition} (failure condition)")
    if good:
        return _Finding(Phase.SUCCESSFUL, f"{metric.success_condition} holds")
    if good is None:
        limit = _limit(metric, metric.failure_condition)
        return _Finding(Phase.SUCCESSFUL, f"not {limit}" if limit else f"{metric.failure_condition} (failure condition) does not hold")
    if bad is None:
        return _Finding(Phase.FAILED, f"not {metric.success_condition} (success condition)")
    return _Finding(Phase.INCONCLUSIVE, f"neither {metric.success_condition} nor {metric.failure_condition}")


def _holds(metric: Metric, text: str, values: list[float]) -> bool | None:
    if not text:
        return None
    condition = Condition.parse(text)
    if metric.reduce == "any" and values:
        return any(condition.evaluate(value) for value in values)
    if metric.reduce == "all" and values:
        return all(condition.evaluate(value) for value in values)
    if condition.wants_list:
        return condition.evaluate(values)
    return condition.evaluate(_reduced(metric, values) if values else None)


def _in_range(metric: Metric, value: float) -> _Finding:
    low, high = metric.minimum, metric.maximum
    inside = (low is None or value >= low) and (high is None or value <= high)
    return _Finding(Phase.SUCCESSFUL if inside else Phase.FAILED, f"{'within' if inside else 'outside of'} {_range_text(metric)}")


def _relative(metric: Metric, value: float, against: float | None) -> _Finding:
    """The ratio and difference rules."""

    def finding(phase: Phase, text: str) -> _Finding:
        return _Finding(phase, text, absolute=False)

    if against is None:
        # an absolute bound, where there is one, decides alone
        phase = Phase.SUCCESSFUL if metric.has_bound else Phase.INCONCLUSIVE
        return finding(phase, f"no baseline from {BASELINE[metric.baseline]} to compare with")
    if math.isnan(value):
        return finding(Phase.INCONCLUSIVE, "NaN cannot be compared with the baseline")
    broken: list[str] = []
    passed: list[str] = []
    if metric.max_delta is not None:
        change = _change(metric, value, against)
        (broken if change > metric.max_delta else passed).append(f"more than {show(metric, metric.max_delta)} {_worse(metric)}")
    if metric.max_ratio is not None:
        pairs = {"increase": [(value, against)], "decrease": [(against, value)]}.get(metric.direction, [(value, against), (against, value)])
        if against <= 0:
            if metric.max_delta is None and not metric.has_bound:
                return finding(Phase.INCONCLUSIVE, f"the baseline is {against:g}, a ratio needs max_delta or an absolute bound beside it")
        else:
            beyond = any(above > metric.max_ratio * below for above, below in pairs)
            (broken if beyond else passed).append(f"more than {metric.max_ratio:g}x")
    if broken:
        return finding(Phase.FAILED, ", ".join(broken))
    return finding(Phase.SUCCESSFUL, f"not {' nor '.join(passed)}" if passed else "the baseline is 0, the absolute bound decides")


def _change(metric: Metric, value: float, against: float) -> float:
    change = value - against
    return {"increase": change, "decrease": -change}.get(metric.direction, abs(change))


def _baseline_value(metric: Metric, baseline: Series | None) -> float | None:
    """The baseline as one finite number; None when there is none, or too few requests made it."""
    if metric.baseline == "fixed":
        return metric.baseline_value
    if not metric.baseline or baseline is None or (baseline.partial and not metric.allow_partial):
        return None
    n, values = requests(baseline), _values(baseline)
    if not values or (metric.min_requests and (n is None or n < metric.min_requests)) or _sees_list(metric):
        return None
    value = _reduced(metric, values)
    return value if math.isfinite(value) else None


def _sees_list(metric: Metric) -> bool:
    return any(condition.wants_list for condition in metric.conditions)


def _values(series: Series) -> list[float]:
    return [sample.points[-1].value for sample in series.samples if sample.points]


def _sum(values: list[float]) -> float:
    """Their sum, exactly rounded; infinite where it is beyond every float, which fsum will not say."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # ValueError: infinities of both signs
        return sum(values)


def _reduced(metric: Metric, values: list[float]) -> float:
    """One number of several series. Raises Unavailable where one was meant and several came."""
    if any(math.isnan(value) for value in values):
        return math.nan  # max() and min() of a list with NaN depend on its order
    if len(values) == 1:
        return values[0]
    if metric.reduce in ("any", "all"):
        # the value shown, and the one compared with a baseline, is the worst series; with `all` the best
        rising = metric.direction != "decrease"
        return max(values) if rising == (metric.reduce == "any") else min(values)
    if metric.reduce == "avg":
        return _sum(values) / len(values)
    if metric.reduce == "sum":
        return _sum(values)
    if metric.reduce:
        return max(values) if metric.reduce == "max" else min(values)
    raise Unavailable(f"{len(values)} series where one number is meant", do="Aggregate the query, or set reduce: max, min, sum, avg, any or all.")


def _shown(metric: Metric, values: list[float], value: float | None) -> str:
    if value is not None:
        return show(metric, value)
    listed = ", ".join(show(metric, item) for item in values[:5])
    return f"[{listed}{', ...' if len(values) > 5 else ''}]"


def _range_text(metric: Metric) -> str:
    low = "" if metric.minimum is None else show(metric, metric.minimum)
    high = "" if metric.maximum is None else show(metric, metric.maximum)
    return f"{low}..{high}"


def _worse(metric: Metric) -> str:
    return {"increase": "above", "decrease": "below"}.get(metric.direction, "away from")
