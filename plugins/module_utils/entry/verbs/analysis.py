# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait and watch: measure, judge, say a line for each look, and stop early when the verdict is clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Optional

from ...core.advance import Result
from ...core.bake import BakeResult, Look, Ports, Scope, bake
from ...core.codec import encode
from ...core.evidence import COUNTS
from ...core.experiment.options import JUDGE as TRIAL
from ...core.foresight import both, comparing
from ...core.metric import Metric
from ...core.model import CANARY, STABLE, Window
from ...core.options import Option, Options, check
from ...core.outage import Outages
from ...core.ports import Judge
from ...core.report import journal
from ...core.tree import look_line, outage_line
from ...core.units import duration, from_iso
from .. import build
from ..catalog import JUDGES
from ..context import Context
from ..guard import Guard
from ..measuring import Measuring, labels_of
from ..release_file import ANALYSIS
from ..run import RELEASE_OPTION, Run, for_step, seen
from ..vitals import vitals

OPTIONS: Options = {
    **RELEASE_OPTION,
    "analysis": Option("dict", "What is measured where, and how it is judged.", options=ANALYSIS),
    "tracks": Option("dict", "Servers per track, for providers that count single servers.", open=True),
    "candidate": Option("str", "The track that is judged.", default=CANARY),
    "baseline": Option("str", "The track it is compared with.", default=STABLE),
    "labels": Option("dict", "What fills C(${workload}), C(${namespace}) and C(${version}) in a query.", default={}, open=True),
    "duration": Option("duration", "How long to watch."),
}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Watch for the release's current step, or for as long as the options say."""
    if params.get("release"):
        return for_step(params, context, carry_out)
    analysis = params.get("analysis") or {}
    metrics = build.metrics(analysis)
    tracks = {track: tuple(servers) for track, servers in (params.get("tracks") or {}).items()}
    measuring = Measuring(analysis, tracks)
    labels = {track: {"track": track, **params["labels"]} for track in (params["candidate"], params["baseline"])}
    if context.check_mode:
        return {"changed": False, "phase": "", "metrics": [encode(metric) for metric in metrics]}
    lines = Lines(context, Outages("gives up"))
    ports = Ports(measuring.measure, context.clock, on_look=lines.look, lag=measuring.lag, judges=build.judges(metrics, analysis))
    wait = duration(params["duration"]) if params.get("duration") else None
    result = bake_of(metrics, ports, analysis, wait, Scope(params["candidate"], params["baseline"], labels=labels))
    return {"changed": False, "phase": result.phase.value, "reason": result.reason, "decision": _decision(result, analysis),
            "seconds": round(result.seconds, 3), "looks": encode(result.looks), "metrics": encode(result.metrics)}


def carry_out(current: Run, context: Context) -> dict[str, Any]:
    """Watch for as long as the release's current step says."""
    watching = Watching(current, context)
    watching.reach()
    # A step of no length is one look: what no look was taken of could not be judged.
    return ended(watching, watching.bake(watching.least() if current.doing.duration == 0 else current.doing.duration))


def ended(watching: Watching, result: BakeResult) -> dict[str, Any]:
    """The result of a step whose wait ended so."""
    current = watching.current
    watching.tell(result)
    return {"changed": False, "phase": result.phase.value, "reason": result.reason, "looks": len(result.looks), "seconds": round(result.seconds, 3),
            "seen": seen(current, *_seen(result, watching.analysis, watching.guard), verdict={"phase": result.phase.value, "reason": result.reason})}


class Watching:
    """What is measured while the current step of a release waits, and how that is told."""

    def __init__(self, current: Run, context: Context) -> None:
        spec, self.current, self._context = current.spec, current, context
        self.analysis = check(spec.get("analysis") or {}, Option("dict", "", options=ANALYSIS), "rollout_analysis") if spec.get("analysis") else {}
        self._all = build.metrics(self.analysis)
        self.metrics = self._judged_here() if current.doing.watch else []
        self.guard = Guard(current)
        self._measuring = Measuring(self.analysis, current.tracks, spec.get("url_allow") or ())
        gives_up = "stops" if current.record.plan.on_failure == "hold" else "rolls back"
        self._lines = Lines(context, Outages(gives_up), spec["name"], current.doing.name)

    def _judged_here(self) -> list[Metric]:
        """The metrics, those that compare two versions only where both get requests; their own conditions decide everywhere."""
        if both(self.current.target, *self.current.compared):
            return self._all
        left = [(replace(metric, judge="", max_ratio=None) if metric.judge in JUDGES else metric).uncompared() for metric in self._all]
        mute = [metric.name for metric in left if not (metric.has_bound or metric.max_ratio is not None or metric.max_delta is not None or metric.dry_run)]
        if mute:
            self._context.say(f"{self.current.label}: {', '.join(mute)} not judged here, only one version gets requests")
        return [metric for metric in left if metric.name not in mute]

    def _judges(self) -> dict[str, Judge]:
        """The statistical judges of this step. That they begin to look is written down first: each beginning spends a part of what there is."""
        if not any(metric.judge in JUDGES for metric in self.metrics):
            return {}
        current = self.current
        current.record = replace(current.record, bakes=current.record.bakes + 1)
        current.save()
        return build.judges(self._all, self.analysis, current.record.bakes, max(1, comparing(current.record.plan)))

    def least(self) -> float:
        """Seconds in which every metric can be judged."""
        usual = self.current.doing.interval or duration(self.analysis.get("interval", "10s"))
        return max((metric.least(usual) for metric in self.metrics), default=0.0)

    def reach(self) -> None:
        """Make every provider now. Raises Unavailable, ConfigError."""
        for metric in self.metrics:
            self._measuring.of(metric)

    def bake(self, wait: Optional[float], on_tick: Optional[Callable[[], Optional[str]]] = None, **more: Any) -> BakeResult:
        """Watch for ``wait`` seconds. ``on_tick``: instead of keeping the lease and looking for requests. ``started``: since when what is measured is
        of this step."""
        current, step = self.current, self.current.doing
        candidate, baseline = current.compared
        versions = {candidate: current.record.release.version, baseline: current.record.plan.previous}
        labels = {track: labels_of(current.spec, track, versions[track]) for track in versions if track}
        tick = on_tick or current.tick
        asked = vitals(current, candidate)
        ports = Ports(self._measuring.measure, self._context.clock, on_tick=lambda: tick() or self.guard.check(), on_look=self._look,
                      lag=self._measuring.lag, judges=self._judges(), health=asked.unhealthy, doubtful=asked.doubtful)
        scope = Scope(candidate, baseline, labels=labels, release_started=from_iso(current.record.release.started),
                      shown=CANARY if baseline else "new version", before=labels_of(current.spec, baseline or candidate, current.record.plan.previous))
        looks = (current.spec.get("health") or {}).get("interval") if not self.analysis else None
        started, now = more.pop("started", None), self._context.clock.time()
        self._measuring.begin(self.metrics, [track for track in (candidate, baseline) if track], lambda track: Window(track, now, now, labels[track]))
        return bake_of(self.metrics, ports, {**self.analysis, **more}, wait, scope, step.interval or (duration(looks) if looks else None), started)

    def tell(self, result: BakeResult) -> None:
        """Write the verdict to the journal."""
        self.current.event("verdict", step=self.current.index, phase=result.phase.value, reason=result.reason)

    def _look(self, look: Look) -> None:
        unit = next((unit_of(metric) for metric in self.metrics if metric.name == look.metric), "")
        self.current.event("look", step=self.current.index, metric=look.metric, phase=look.phase.value, value=look.value, baseline=look.baseline,
                           threshold=look.threshold, n=look.n, reason=look.reason, unit=unit, **bounds(look))
        self._lines.look(look, unit)


def bake_of(metrics: list[Metric], ports: Ports, analysis: Mapping[str, Any], wait: Optional[float], scope: Scope,
            interval: Optional[float] = None, started: Optional[float] = None) -> BakeResult:
    """A bake as the analysis of a release file says."""
    return bake(tuple(metrics), ports, duration=wait, interval=interval or duration(analysis.get("interval", "10s")), started=started, scope=scope,
                error_hold=duration(analysis.get("error_hold", "10m")), on_inconclusive=analysis.get("on_inconclusive", "pause"))


def _decision(result: BakeResult, analysis: Mapping[str, Any]) -> str:
    return result.decision(analysis.get("on_inconclusive", "pause"), analysis.get("on_no_data", "abort"))


def _seen(result: BakeResult, analysis: Mapping[str, Any], guard: Guard) -> tuple[Result, str]:
    if guard.dispute:
        return Result.FAILED, guard.dispute
    decided = {"advance": Result.DONE, "abort": Result.FAILED, "pause": Result.PAUSED, "ended": Result.ABORTED}
    chosen = decided[_decision(result, analysis)]
    return chosen, "" if chosen is Result.DONE else (result.early or result.reason)


UNITS = {"error_rate": "share", "success_rate": "share", "slow_share": "share", "latency": "ms", "latency_mean": "ms"}


def unit_of(metric: Metric) -> str:
    """What the values of a metric are. A judge of counts weighs shares."""
    counted = metric.judge == TRIAL or metric.judge in JUDGES and JUDGES[metric.judge].KIND == COUNTS and metric.judge_options.get("of", "share") == "share"
    return "share" if counted else UNITS.get(metric.builtin, "")


def bounds(look: Look) -> dict[str, Any]:
    """What a statistical judge says besides, for the journal."""
    return {name: getattr(look, name) for name in ("low", "high", "confidence", "limit") if getattr(look, name) is not None}


class Lines:
    """The lines of one bake: one a look, and few while metrics cannot be asked."""

    def __init__(self, context: Context, outages: Outages, service: str = "", step: str = "") -> None:
        self._context, self._outages = context, outages
        self._service, self._step = service, step

    def look(self, look: Look, unit: str = "") -> None:
        away = self._outages.line(look)
        if away is None:
            shown = journal.Look(look.at, metric=look.metric, phase=look.phase.value, value=look.value, baseline=look.baseline, threshold=look.threshold,
                                 n=look.n, reason=look.reason, unit=unit, **bounds(look))
            self._context.say(look_line(shown, service=self._service, step=self._step))
        elif away:
            self._context.say(outage_line(away, service=self._service, step=self._step))
