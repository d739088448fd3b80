# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an A/B test will take, said by ``plan``: visitors, and time at the rate at which they come now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..core.errors import ConfigError, DeliveryError, NoData, Stale, Unavailable
from ..core.experiment.sample import needed
from ..core.experiment.verdict import Design, in_points
from ..core.metric import Metric
from ..core.model import Window
from ..core.plan import Plan
from ..core.ports import Clock
from ..core.report.wording import about
from ..core.units import show_percent
from . import build
from .measuring import Measuring, labels_of

LOOKED_BACK = 3600.0
"""Seconds over which stable's conversion is measured before the test."""
SUPPOSED = 0.05
"""The share that is reckoned with where none is known."""
WHERE = "rollout_ab_test.conversion"


def notes(spec: Mapping[str, Any], plan: Plan, clock: Clock) -> list[str]:
    """Nothing for a plan without a test. Raises Unavailable, ConfigError for a source that does not answer or cannot be asked that."""
    if not any(step.trial for step in plan.steps):
        return []
    design, metric = build.trial(spec)
    if metric is None:
        return []
    if metric.cumulative:
        _ask(spec, plan, metric, clock)
        return [_said(design, SUPPOSED, "how many convert now is not known from totals; where it is 5 %,")]
    found = _ask(spec, plan, metric, clock)
    if found is None:
        return [_said(design, SUPPOSED, "no visitor was counted in the last hour; where 5 % convert,")]
    share, visitors = found
    said = [_said(design, share, f"{show_percent(100 * share)} convert now;")]
    return said + _in_time(design, share, visitors / LOOKED_BACK)


def _said(design: Design, share: float, begin: str) -> str:
    plan = _needed(design, share)
    return (f"A/B test: {begin} to find {in_points(design.mde)} more or less with a chance of {show_percent(100 * design.power)} takes {plan.always:,} "
            f"visitors at most, {plan.inflation:.2g} times the {plan.once:,} of a test that is looked at once, at its end: the price of stopping as soon as it "
            f"is clear (alpha {show_percent(100 * design.alpha)}, {show_percent(100 * design.part)} of the visitors see the new version)")


def _in_time(design: Design, share: float, rate: float) -> list[str]:
    if rate <= 0:
        return []
    seconds = _needed(design, share).always / rate
    said = f"A/B test: {about(seconds)} at most at the {rate * 60:,.3g} visitors a minute of the last hour"
    if seconds > design.max_duration:
        return [f"{said}, max_duration is {about(design.max_duration).partition(' ')[2]}: raise it or mde, or it may end without having found anything"]
    return [said]


def _needed(design: Design, share: float) -> Any:
    return needed(share, design.mde, alpha=design.alpha, power=design.power, part=design.part)


def _ask(spec: Mapping[str, Any], plan: Plan, metric: Metric, clock: Clock) -> Optional[tuple[float, int]]:
    """Stable's (share, visitors) of the last hour; None where nobody was counted."""
    measuring = Measuring(spec.get("analysis") or {}, plan.home, spec.get("url_allow") or ())
    try:
        measuring.of(metric)
    except Unavailable as error:
        raise Unavailable(f"conversions cannot be asked for: {error}", where=WHERE, do="Make their source reachable.") from None
    now = clock.time()
    window = Window(plan.stable, now - LOOKED_BACK, now, labels_of(spec, plan.stable, plan.previous), metric.builtin, metric.quantile)
    try:
        series = measuring.measure(metric, window)
    except (NoData, Stale):
        return None
    except DeliveryError as error:
        raise ConfigError(f"conversions cannot be measured: {error}", where=WHERE) from None
    if len(series.samples) != 1 or not series.samples[0].points:
        raise ConfigError("one share is wanted of the variant that serves", where=f"{WHERE}.query", do="Aggregate the query.")
    point = series.samples[0].points[-1]
    if point.n is None:
        raise ConfigError("the answer does not say how many visitors it was made from", where=f"{WHERE}.total_query", do="Count all visitors there.")
    return point.value, point.n
