# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that ``plan`` asks before anything changes: does every metric have an answer, and do enough requests come to judge by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from ..core.bake import SCRAPES
from ..core.errors import ConfigError, DeliveryError, NoData, Stale, Unavailable, Unsupported
from ..core.evidence import POINTS
from ..core.foresight import Rate, comparing, thin, undecided
from ..core.metric import Metric
from ..core.model import Capability, Point, Series, Window
from ..core.plan import Kind, Plan
from ..core.ports import Clock, TrafficRouter
from ..core.sequential import BUDGET, foreseen, shares, spend
from ..core.strategies.compile import IN_PLACE
from ..core.units import duration, show_duration
from .catalog import JUDGES
from .measuring import Measuring, labels_of

BREATH = 1.0
"""Seconds between two looks at counters."""


class Preflight:
    """One plan's metrics, asked as the bakes will ask them, and its rate of requests."""

    def __init__(self, spec: Mapping[str, Any], metrics: Sequence[Metric], plan: Plan, clock: Clock) -> None:
        self._plan, self._clock, self._spec = plan, clock, spec
        self._metrics = metrics
        self._interval = duration(spec["analysis"].get("interval", "10s"))
        self._now: dict[str, Point] = {}  # by metric, what stable's own answer was
        self._measuring = Measuring(spec["analysis"], plan.home, spec.get("url_allow") or ())

    def questions(self) -> list[str]:
        """Ask every metric once. What has no data is told as notes. Raises ConfigError for what never will.

        The side that serves has to answer; the candidate may not exist yet, so that of it only a question that cannot be understood is refused.
        """
        notes = [f"{name} is held against stable, and no bake of this plan has requests on both: it decides nothing" for name in self._one_sided()]
        waiting: list[str] = []
        for index, metric in enumerate(self._metrics):
            where = f"rollout_analysis.metrics[{index}]"
            told = self._of_serving(metric, where) if self._plan.previous else []
            notes.extend(told)
            if self._plan.candidate != self._plan.stable and (metric.builtin or any(f"${{{name}}}" in self._asked(metric) for name in ("track", "version"))):
                lacking = self._of_candidate(metric, where)
                waiting.extend([] if told else lacking)
        if waiting:
            notes.append(f"no data of {self._plan.version} yet, which is as it should be before it serves: {', '.join(waiting)}")
        return notes

    def evidence(self, router: Optional[TrafficRouter]) -> list[str]:
        """What will be too thin to judge, as notes. Raises ConfigError for what not even a whole step could give."""
        needy = [metric.name for metric in self._metrics if self._needs_requests(metric)]
        if not needy or not any(map(_watched, self._plan.steps)):
            return []
        rate = self._rate() or self._counted(router)
        if rate is None:
            return []
        if not rate.requests:
            # A test, or the middle of the night: that says nothing about later.
            return [f"no request came in {show_duration(rate.seconds)}: whether enough will come for {', '.join(needy)} is not known"]
        doubtful, hopeless = thin(self._plan, self._metrics, rate, self._interval, self._measuring.lag)
        if hopeless and not self._spec.get("allow_few_requests"):
            raise ConfigError(f"too few requests to judge by: {hopeless[0]}" + (f" (and {len(hopeless) - 1} more)" if len(hopeless) > 1 else ""),
                              where="rollout_steps", do="Or set rollout_allow_few_requests: true when more will come.")
        return [*doubtful, *hopeless, *undecided(self._plan, self._metrics, rate, self._wanted())]

    def _needs_requests(self, metric: Metric) -> bool:
        return bool(metric.min_requests or _counted(metric)) and not metric.dry_run

    def _wanted(self) -> Callable[[Metric, float], Optional[int]]:
        """How many requests of the candidate a judge that waits for evidence will want, by what stable's share is now."""
        parts, bakes = shares(self._metrics, self._spec["analysis"].get("alpha", BUDGET)), comparing(self._plan)

        def wanted(metric: Metric, part: float) -> Optional[int]:
            point = self._now.get(metric.name)
            if metric.name not in parts or point is None or not point.n or not bakes or not 0 <= point.value <= 1:
                return None
            return foreseen(metric, point.value, point.n, part, spend(parts[metric.name], 1, bakes))

        return wanted

    def reach(self) -> None:
        """Raise Unavailable for a provider that does not answer, MissingDependency for a judge that cannot judge here, ConfigError for a metric that
        no bake of this plan is long enough for, or that it cannot compare."""
        for metric in self._metrics:
            try:
                self._measuring.of(metric)
            except Unavailable as error:
                raise Unavailable(f"the metrics cannot be asked: {error}", where="rollout_analysis.provider",
                                  do="Make them reachable, or write rollout_analysis: none if you mean to ship blind.") from None
        for metric in self._metrics:
            if metric.judge in JUDGES:
                JUDGES[metric.judge].probe()
        for index, metric in enumerate(self._metrics):
            if metric.judge in JUDGES and self._plan.previous and not metric.dry_run and not comparing(self._plan):
                raise ConfigError(f"{metric.judge} compares two versions under the same load, and no bake of this plan has requests on both",
                                  where=f"rollout_analysis.metrics[{index}].judge",
                                  do="Bake at a share below 100 %, or use conditions or baseline: before (preset: guide_before has that).")
            for step in filter(_watched, self._plan.steps):
                metric.check_fits(step.duration or 0, f"rollout_analysis.metrics[{index}]")
        mute = self._one_sided()
        if mute and len(mute) == sum(not metric.dry_run for metric in self._metrics) and any(map(_watched, self._plan.steps)):
            raise ConfigError(f"{', '.join(mute)} is held against stable, no bake of this plan has requests on both, and nothing else decides",
                              where="rollout_analysis.metrics", do="Bake at a share below 100 %, or give conditions, or baseline: before.")

    def _one_sided(self) -> list[str]:
        """Metrics that nothing but a comparison with stable decides, where the two never get requests at the same time."""
        if not self._plan.previous or comparing(self._plan):
            return []
        return [metric.name for metric in self._metrics if metric.concurrent and metric.judge not in JUDGES and not (metric.has_bound or metric.dry_run)]

    def _of_serving(self, metric: Metric, where: str) -> list[str]:
        try:
            series = self._again(metric)
        except (NoData, Stale) as error:
            why = self._measuring.why_no_data(metric, self._window(metric, self._plan.stable)) if isinstance(error, NoData) else ""
            return [f"{metric.name} has no data now: {why or error}"]
        except DeliveryError as error:
            raise _refused(metric, error, where) from None
        if len(series.samples) == 1 and series.samples[0].points:
            self._now[metric.name] = series.samples[0].points[-1]
        wants = "min_requests" if metric.min_requests else f"the judge {metric.judge}" if _counted(metric) else ""
        if wants and all(point.n is None for sample in series.samples for point in sample.points):
            raise ConfigError(f"{metric.name} has {wants}, and its answer does not say how many requests it was made from", where=where,
                              do="Use a built-in metric, or count_path with the web provider.")
        return []

    def _again(self, metric: Metric) -> Series:
        """Counters have nothing to say at the first look; so a metric without data is asked once more a moment later."""
        try:
            return self._measuring.measure(metric, self._window(metric, self._plan.stable))
        except NoData:
            self._clock.sleep(BREATH)
            return self._measuring.measure(metric, self._window(metric, self._plan.stable))

    def _of_candidate(self, metric: Metric, where: str) -> list[str]:
        try:
            self._measuring.measure(metric, self._window(metric, self._plan.candidate))
        except (NoData, Unavailable):
            return [metric.name]
        except DeliveryError as error:
            raise _refused(metric, error, where) from None
        return []

    def _window(self, metric: Metric, track: str) -> Window:
        now, plan = self._clock.time(), self._plan
        version = plan.version if track == plan.candidate and plan.strategy not in IN_PLACE else plan.previous
        labels = labels_of(self._spec, track, version)
        seconds = max(metric.interval or self._interval, SCRAPES * self._measuring.lag(metric))
        return Window(track, now - seconds, now, labels, metric.builtin, metric.quantile)

    def _asked(self, metric: Metric) -> str:
        """All that is filled in for a question: its own text, and that of its provider."""
        return f"{metric.query} {metric.provider_options or self._spec['analysis'].get('provider')}"

    def _rate(self) -> Optional[Rate]:
        """Requests now by the provider of the first metric that needs them; None where it cannot say."""
        metric = next(filter(self._needs_requests, self._metrics))
        provider = self._measuring.of(metric)
        requests, seconds = 0.0, 0.0
        for track in dict.fromkeys((self._plan.stable, self._plan.candidate)):
            window = self._window(metric, track)
            try:
                [point] = provider.query("", Window(track, window.start, window.end, window.labels, "request_rate")).samples[0].points
            except NoData:
                continue
            except DeliveryError:
                return None
            if point.n is None:
                return None
            requests += point.n
            seconds = max(seconds, point.n / point.value if point.value > 0 else 0.0)
        return Rate(requests, seconds) if seconds > 0 else None

    def _counted(self, router: Optional[TrafficRouter]) -> Optional[Rate]:
        """Requests now by two looks at the router's counters; None where it has none, or restarts in between."""
        if router is None or Capability.MEASURE not in router.capabilities:
            return None
        try:
            first, began = router.observe(self._plan.start), self._clock.now()
            self._clock.sleep(BREATH)
            second, seconds = router.observe(self._plan.start), self._clock.now() - began
        except (Unavailable, Unsupported):
            return None
        came = sum(second.requests.values()) - sum(first.requests.values())
        return Rate(came, seconds) if seconds > 0 and came >= 0 and second.epoch == first.epoch and second.requests else None


def _watched(step: Any) -> bool:
    return bool(step.kind is Kind.BAKE and step.watch and step.duration)


def _counted(metric: Metric) -> bool:
    """Whether a statistical judge wants to know how many requests an answer was made from."""
    return metric.judge in JUDGES and JUDGES[metric.judge].KIND != POINTS


def _refused(metric: Metric, error: DeliveryError, where: str) -> ConfigError:
    return ConfigError(f"{metric.name} cannot be measured: {error}", where=where)
