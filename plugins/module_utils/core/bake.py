# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bake: a watched wait. It waits, measures, judges and listens; it changes nothing.

Everything that touches the world comes in through :class:`Bake`'s callables and the clock, so that a test runs an hour in a millisecond.

- Candidate and baseline are measured over the same window, which never reaches back before the step, nor into the last scrape.
- A look without data is pending; it counts for nothing until ``no_data_timeout`` and keeps the bake open until then.
- An error is retried after :data:`RETRY`, not after the interval. While a metric cannot be measured weights stay as they are, at most
  ``error_hold`` long; then the verdict is ERROR. A bake never ends well while the last answer was an error.
- FAILED ends it at once, and so does an INCONCLUSIVE that somebody must decide. Ended early is never a success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Optional

from .assess import Tally, assess, close, reopen, worst
from .errors import ConfigError, Conflict, DeliveryError, Fenced, Interrupted, NoData
from .evidence import COUNTS, POINTS, Evidence
from .judge import POINT_JUDGES, gate, judge, overdue, requests, threshold_text, with_bounds
from .metric import Metric, literal_range
from .model import CANARY, STABLE, Phase, Series, Verdict, Window
from .ports import Clock, GroupJudge, Judge, Knowing
from .units import show_duration

RETRY = 10.0
"""Seconds after an error until the next attempt."""
STEP = 1.0
"""Seconds by which the wall clock and the monotonic one may differ more than before until somebody set it; less is a clock that is corrected slowly."""
TICK = 5.0
"""Longest time between two calls of ``on_tick``, in seconds, as long as a measurement does not take longer."""

LONGEST_WINDOW = 600.0
"""Seconds after which a window of counts begins anew: providers remember only so many looks. Evidence stays."""
SCRAPES = 4
"""A window spans at least this many scrapes once the step is old enough: a rate needs two samples, and one may be missing."""


@dataclass(frozen=True)
class Look:
    """One look at one metric. ``at``: seconds since the epoch; ``phase`` is that of this measurement alone.

    ``low`` to ``score`` are those of a statistical judge's verdict. Of a metric that cannot be asked, ``outage`` is for how many seconds it could
    not by now, and ``left`` how many more decide against the candidate; None where nothing is decided.
    """

    metric: str
    phase: Phase
    reason: str
    at: float
    value: Optional[float] = None
    baseline: Optional[float] = None
    threshold: str = ""
    n: Optional[int] = None
    dry_run: bool = False
    outage: Optional[float] = None
    left: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    confidence: Optional[float] = None
    limit: Optional[float] = None
    p: Optional[float] = None
    score: Optional[float] = None


@dataclass(frozen=True)
class MetricResult:
    """How one metric ended: ``tally.finished`` of ``planned`` measurements; ``planned`` is None when the step had no set end."""

    name: str
    tally: Tally
    planned: Optional[int]
    dry_run: bool = False


@dataclass(frozen=True)
class BakeResult:
    """How the wait ended. ``early``: why it ended before its time (on request); ``no_data``: no data decided."""

    phase: Phase
    reason: str
    looks: tuple[Look, ...]
    seconds: float
    metrics: tuple[MetricResult, ...] = ()
    early: str = ""
    no_data: bool = False

    def decision(self, on_inconclusive: str, on_no_data: str) -> str:
        """``advance``, ``abort``, ``pause``, or ``ended`` when the one who ended it decides."""
        if self.early:
            return "ended"
        if self.phase is Phase.SUCCESSFUL:
            return "advance"
        if self.phase is not Phase.INCONCLUSIVE:
            return "abort"
        chosen = on_no_data if self.no_data else on_inconclusive
        return "advance" if chosen == "continue" else chosen


@dataclass(frozen=True)
class Scope:
    """Who is measured: the names of the tracks (``shown``: what to call the candidate where its slot's name would mislead), what ``${...}``
    is filled with per track, and when the release began (epoch seconds). ``before``: what it is filled with for the time before that, where the
    version that served then is not the one of its track's labels; ``stable`` is empty where the only slot changes itself."""

    candidate: str = CANARY
    stable: str = STABLE
    experiment: str = "experiment"
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    release_started: Optional[float] = None
    shown: str = ""
    before: Mapping[str, str] = field(default_factory=dict)

    @property
    def called(self) -> str:
        return self.shown or self.candidate


@dataclass(frozen=True)
class Ports:
    """What a bake needs of the world.

    ``measure`` answers a metric for a window or raises; ``lag`` is how many seconds the newest sample of a metric may be behind.
    ``on_tick`` renews the lease and looks for requests; it returns a reason to end early. ``health`` returns what is unhealthy,
    ``doubtful`` whether its last look missed somebody, which only the next one can tell from a hiccup.
    ``judges`` are the statistical ones, by the name of their metric; they answer RUNNING as long as the evidence is still coming.
    """

    measure: Callable[[Metric, Window], Series]
    clock: Clock
    on_tick: Callable[[], Optional[str]] = lambda: None
    on_look: Callable[[Look], None] = lambda look: None
    health: Callable[[], Optional[str]] = lambda: None
    lag: Callable[[Metric], float] = lambda metric: 0.0
    judges: Mapping[str, Judge] = field(default_factory=dict)
    doubtful: Callable[[], bool] = lambda: False


def bake(
    metrics: tuple[Metric, ...], ports: Ports, *, duration: float | None, interval: float = 10.0, started: float | None = None,
    scope: Scope | None = None, error_hold: float = 600.0, on_inconclusive: str = "pause",
) -> BakeResult:
    """Wait ``duration`` seconds (None: until every metric is complete) and watch ``metrics``; see the module's docstring.

    ``interval``: seconds between two looks of a metric that has neither interval nor count, and between two calls of ``health``.
    ``started``: when the step began, seconds since the epoch (default now): data from before it belongs to another step.
    """
    for metric in metrics:
        if metric.judge not in POINT_JUDGES and metric.name not in ports.judges:
            raise ConfigError(f"there is no judge {metric.judge} here", where=metric.name)
    watched = tuple(_with_interval(metric, interval) if duration is not None else metric for metric in metrics)
    endless = [metric.name for metric in watched if metric.effective_count is None and duration is None]
    if endless:
        raise ConfigError(f"{', '.join(endless)} would be measured for ever", do="Give a count, or a duration.")
    began = ports.clock.time() if started is None else started
    return _Bake(watched, ports, duration, interval, began, scope or Scope(), error_hold, on_inconclusive).run()


def _with_interval(metric: Metric, interval: float) -> Metric:
    """A metric that gives neither interval nor count is measured as long as the bake lasts."""
    return replace(metric, interval=interval) if metric.interval is None and metric.count is None else metric


class _Watch:
    """One metric within a bake. Times are monotonic seconds."""

    def __init__(self, metric: Metric, start: float, evidence: Optional[Evidence]) -> None:
        self.metric = metric
        self.evidence = evidence  # what a statistical judge weighs
        self.label: Optional[Verdict] = None  # what a judge that scores groups calls this metric
        self.tally = Tally()
        self.due = start + (metric.initial_delay or (metric.interval or 0.0))  # at second zero of a fresh step there is nothing to see
        self.errors_since: Optional[float] = None
        self.held = False  # the last look was an error, and the hold for errors is not over
        self.waits_for_data = False
        self.before: Optional[Series] = None  # the baseline of before the release does not change: measured once


class _Bake:
    def __init__(
        self, metrics: tuple[Metric, ...], ports: Ports, duration: float | None, interval: float, started: float,
        scope: Scope, error_hold: float, on_inconclusive: str,
    ) -> None:
        self.ports, self.clock = ports, ports.clock
        self.start = self.clock.now()
        self.end = None if duration is None else self.start + duration
        self.duration, self.interval, self.started = duration, interval, started
        self.scope, self.error_hold, self.on_inconclusive = scope, error_hold, on_inconclusive
        self.watches = [_Watch(metric, self.start, self.evidence_of(metric)) for metric in metrics]
        self.looks: list[Look] = []
        self.health_due = self.start + interval
        self.offset = self.clock.time() - self.start

    def run(self) -> BakeResult:
        while True:
            early = self.ports.on_tick()
            if early:
                return self.result(early=early)
            unhealthy = self.check_health()
            if unhealthy:
                return self.result(unhealthy=unhealthy)
            for watch in self.watches:
                if self.is_open(watch) and watch.due <= self.clock.now():
                    self.look(watch)
                    if self.ends(watch):
                        return self.result()
                    early = self.ports.on_tick()
                    if early:
                        return self.result(early=early)
            if self.is_over():
                return self.result()
            self.clock.sleep(self.until_next())

    def evidence_of(self, metric: Metric) -> Optional[Evidence]:
        if metric.judge in POINT_JUDGES:
            return None
        judging = self.ports.judges[metric.name]
        return judging.evidence(self.started) if isinstance(judging, Knowing) else Evidence(getattr(judging, "KIND", COUNTS), self.started)

    def check_health(self) -> str:
        if self.clock.now() < self.health_due:
            return ""
        self.health_due = self.clock.now() + self.interval
        return self.ports.health() or ""

    def is_open(self, watch: _Watch) -> bool:
        return not watch.tally.completed or watch.held

    def ends(self, watch: _Watch) -> bool:
        if watch.metric.dry_run or not watch.tally.completed or watch.held:
            return False
        if watch.tally.phase is Phase.INCONCLUSIVE:
            return watch.tally.no_data or self.on_inconclusive != "continue"
        return watch.tally.phase is not Phase.SUCCESSFUL

    def is_over(self) -> bool:
        now = self.clock.now()
        if self.end is None:
            return not any(self.is_open(watch) for watch in self.watches)
        again = self.ports.doubtful() and now < self.end + 2 * self.interval
        return now >= self.end and not again and not any(self.keeps_open(watch) for watch in self.watches)

    def keeps_open(self, watch: _Watch) -> bool:
        """Whether the bake goes on past its end for this metric: an error that may pass, or data that may still come."""
        if watch.metric.dry_run:
            return False
        empty = watch.waits_for_data and not watch.tally.finished and not watch.tally.completed
        return watch.held or empty

    def until_next(self) -> float:
        now = self.clock.now()
        times = [now + TICK, self.health_due, *(watch.due for watch in self.watches if self.is_open(watch))]
        if self.end is not None and now < self.end:
            times.append(self.end)
        return max(0.001, min(times) - now)

    def look(self, watch: _Watch) -> None:
        metric, began = watch.metric, self.clock.now()
        self.keep_time()
        verdict = self.verdict(watch)
        pending = verdict.phase is Phase.PENDING
        no_data = pending and self.clock.time() - self.started >= metric.no_data_timeout
        if no_data:
            verdict = overdue(metric, verdict)
        watch.waits_for_data = pending and not no_data
        if watch.held:
            watch.tally = reopen(watch.tally)
        if verdict.score is not None and verdict.phase is Phase.RUNNING:
            watch.tally = Tally()  # between good and bad: of a score only the last one counts
        watch.tally = assess(metric, watch.tally, verdict, no_data=no_data)
        outage, left = self.hold(watch, verdict, began)
        retry = verdict.phase is Phase.ERROR or metric.interval is None
        watch.due = began + (RETRY if retry else metric.interval or RETRY)
        self.looks.append(
            Look(
                metric.name, verdict.phase, verdict.reason, self.clock.time(), verdict.value, verdict.baseline,
                verdict.threshold or threshold_text(metric), verdict.n, metric.dry_run, outage, left,
                verdict.low, verdict.high, verdict.confidence, verdict.limit, verdict.p, verdict.score,
            )
        )
        self.ports.on_look(self.looks[-1])

    def keep_time(self) -> None:
        """Where the wall clock was set meanwhile, have all that began before it have begun as long ago as it did."""
        by = self.clock.time() - self.clock.now() - self.offset
        if abs(by) > STEP:
            self.offset += by
            self.started += by
            for watch in self.watches:
                if watch.evidence is not None:
                    watch.evidence.shift(by)

    def hold(self, watch: _Watch, verdict: Verdict, began: float) -> tuple[Optional[float], Optional[float]]:
        """Keep the metric open while errors may pass; the verdict is ERROR when they did not within ``error_hold``.

        Returns for how long the metric was not answered, and how much longer that may go on.
        """
        if verdict.phase is not Phase.ERROR:
            watch.errors_since, watch.held = None, False
            return None, None
        watch.errors_since = began if watch.errors_since is None else watch.errors_since
        lasted = self.clock.now() - watch.errors_since
        if watch.metric.dry_run:
            return lasted, None
        watch.held = lasted < self.error_hold
        if not watch.held:
            watch.tally = replace(watch.tally, phase=Phase.ERROR, reason=f"no answer for {show_duration(lasted)}: {verdict.reason}")
        return lasted, max(0.0, self.error_hold - lasted)

    def verdict(self, watch: _Watch) -> Verdict:
        """Measure candidate and baseline over the same window, and judge."""
        metric = watch.metric
        try:
            window, missing = self.window(watch)
            if missing:
                return Verdict(Phase.PENDING, f"{metric.name}: {missing}")
            candidate = self.ports.measure(metric, window)
            baseline = self.baseline(watch, window)
            if watch.evidence is None:
                return judge(metric, candidate, baseline, track=self.scope.called)
            return self.weigh(watch, watch.evidence, window, candidate, baseline)
        except (Conflict, Fenced, Interrupted):
            raise
        except NoData as error:
            text = f"{metric.name} of the {self.scope.called}: {error}"
            if watch.evidence and watch.evidence.restart(self.clock.time()):
                return Verdict(Phase.RUNNING, f"{text}; what was counted before still counts")
            return Verdict(Phase.PENDING, text)
        except DeliveryError as error:
            return Verdict(Phase.ERROR, f"{metric.name} of the {self.scope.called}: {error}")

    def weigh(self, watch: _Watch, evidence: Evidence, window: Window, candidate: Series, baseline: Optional[Series]) -> Verdict:
        """The verdict of a statistical judge on all looks of this step, and of the metric's own bounds on this one."""
        metric = watch.metric
        judging = self.ports.judges[metric.name]
        points = evidence.kind == POINTS  # of which there is one a look: how many they must be is for the judge
        early = gate(replace(metric, min_samples=0) if points else metric, candidate, track=self.scope.called)
        if early and not (early.phase is Phase.PENDING and getattr(judging, "takes_nan", False)):
            return early
        if baseline is not None and baseline.partial and not metric.allow_partial:
            return Verdict(Phase.ERROR, f"{metric.name} of {metric.baseline}: the answer is partial: {baseline.partial[:200]}")
        thin = baseline is not None and evidence.kind != POINTS and (requests(baseline) or 0) < metric.min_requests
        if thin:
            return Verdict(Phase.PENDING, f"{metric.name} of {metric.baseline}: fewer than {metric.min_requests:,} requests to compare with")
        seen = max(0.0, 1.0 - self.ports.lag(metric) / window.seconds) if window.seconds > 0 else 0.0
        weighed = evidence.add(metric, candidate, baseline, self.clock.time(), seen)
        if window.seconds >= max(LONGEST_WINDOW, 10 * SCRAPES * self.ports.lag(metric)):
            evidence.restart(self.clock.time())
        verdict = judging.judge(metric, *weighed)
        if isinstance(judging, GroupJudge) and verdict.phase is not Phase.ERROR:
            watch.label = verdict
            verdict = self.scored(judging, metric, verdict)
        return with_bounds(metric, verdict, candidate, baseline, track=self.scope.called)

    def scored(self, judging: GroupJudge, metric: Metric, own: Verdict) -> Verdict:
        """What the score of all metrics that are judged with this one says; with the evidence of this one."""
        group = [watch for watch in self.watches if isinstance(self.ports.judges.get(watch.metric.name), GroupJudge)]
        deciding = [watch for watch in group if not watch.metric.dry_run or watch.metric is metric]
        labels = [(watch.metric, watch.label) for watch in deciding if watch.label is not None and watch.label.label]
        if len(labels) < len(deciding):
            return own if own.phase in (Phase.RUNNING, Phase.PENDING) else replace(own, phase=Phase.RUNNING, reason=f"{own.reason}; others are not judged yet")
        score = judging.scored(metric, labels)
        return replace(own, phase=score.phase, score=score.score, reason=f"{score.reason}; {own.reason}")

    def window(self, watch: _Watch) -> tuple[Window, str]:
        """The window of the next look; with a reason instead while the step is too young for it."""
        metric, now = watch.metric, self.clock.time()
        if metric.resolution:
            return self.stretch(watch, metric.resolution)
        counts = watch.evidence is not None and watch.evidence.kind != POINTS
        age, lag = now - (watch.evidence.began if watch.evidence and counts else self.started), self.ports.lag(metric)
        fresh = age - lag
        # a judge of counts is asked about all of the step, another about the newest interval, and enough of it to hold a rate
        newest = None if counts else metric.interval
        span = fresh if newest is None else min(max(newest, SCRAPES * lag), fresh)
        window = self.on_track(metric, self.scope.candidate, now - max(0.0, span), now)
        if literal_range(metric.query) > age:
            return window, f"the query looks back {show_duration(literal_range(metric.query))}, the step is {show_duration(age)} old"
        if span < 1 and (metric.builtin or "${window}" in metric.query):
            return window, f"the step is {show_duration(age)} old, no window fits into it yet"
        return window, ""

    def stretch(self, watch: _Watch, resolution: float) -> tuple[Window, str]:
        """The window of values that are new since the last look, each of them made from the step alone."""
        metric, now, lag = watch.metric, self.clock.time(), self.ports.lag(watch.metric)
        lookback, newest = self.lookback(metric), watch.evidence.newest if watch.evidence else None
        start = self.started + lag if newest is None else max(self.started + lag, newest - lookback)
        missing = f"the step is {show_duration(now - self.started)} old, no value of {show_duration(lookback)} fits into it yet"
        return self.on_track(metric, self.scope.candidate, start, now), missing if now - lag - start < lookback + resolution else ""

    def lookback(self, metric: Metric) -> float:
        """How far back one value of a series reaches: a rate needs two samples, and one may be missing."""
        return max(metric.resolution, SCRAPES * self.ports.lag(metric), literal_range(metric.query)) if metric.resolution else 0.0

    def on_track(self, metric: Metric, track: str, start: float, end: float) -> Window:
        return Window(track, start, end, self.scope.labels.get(track, {}), metric.builtin, metric.quantile, metric.slower_than or 0.0,
                      metric.resolution or 0.0, self.lookback(metric))

    def ask(self, metric: Metric, window: Window) -> Optional[Series]:
        try:
            return self.ports.measure(metric, window)
        except NoData:
            return None

    def baseline(self, watch: _Watch, window: Window) -> Optional[Series]:
        metric = watch.metric
        if metric.baseline in ("", "fixed"):
            return None
        if metric.baseline != "before":
            track = self.scope.stable if metric.baseline == "stable" else self.scope.experiment
            return self.ask(metric, self.on_track(metric, track, window.start, window.end))
        if watch.before is None:
            until = self.started if self.scope.release_started is None else self.scope.release_started
            window = self.on_track(metric, self.scope.stable or self.scope.candidate, until - metric.baseline_window, until)
            watch.before = self.ask(metric, replace(window, labels=self.scope.before or window.labels))
        return watch.before

    def result(self, early: str = "", unhealthy: str = "") -> BakeResult:
        whole = not early and self.is_over()
        metrics = []
        for watch in self.watches:
            tally = watch.tally
            if not tally.completed:
                tally = close(watch.metric, tally, early="" if whole else early or unhealthy or "another metric decided")
            planned = watch.metric.effective_count if self.duration is None else watch.metric.planned(self.duration)
            metrics.append(MetricResult(watch.metric.name, tally, planned, watch.metric.dry_run))
        phase, reason, no_data = self.conclude(metrics, early, unhealthy)
        return BakeResult(phase, reason, tuple(self.looks), self.clock.now() - self.start, tuple(metrics), early, no_data)

    def conclude(self, metrics: list[MetricResult], early: str, unhealthy: str) -> tuple[Phase, str, bool]:
        """The verdict of the run, its reason, and whether it is for want of data."""
        deciding = [metric for metric in metrics if not metric.dry_run]
        phase = worst(metric.tally.phase for metric in deciding)
        if unhealthy:
            return Phase.FAILED, unhealthy, False
        if early and phase.rank <= Phase.INCONCLUSIVE.rank:
            return Phase.INCONCLUSIVE, f"ended early after {show_duration(self.clock.now() - self.start)}: {early}", False
        if phase is not Phase.SUCCESSFUL:
            first = [metric for metric in deciding if metric.tally.phase is phase]
            # the one that ended the run says why; those it cut short come after
            first.sort(key=lambda metric: not (metric.tally.broken or metric.tally.no_data))
            return phase, first[0].tally.reason, any(metric.tally.no_data for metric in first)
        taken = sum(metric.tally.finished for metric in deciding)
        if not deciding:
            return phase, "waited, no metric decides", False
        return phase, f"{', '.join(metric.name for metric in deciding)} good in {taken} measurements", False
