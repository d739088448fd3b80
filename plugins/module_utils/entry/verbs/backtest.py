# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the analysis of a release file over the past: how often it would have taken back what was good, and which regressions it would have caught.

Each replay is the bake of a live release, on a clock that stands in the past; nothing here judges.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from ...clients.clock import FakeClock
from ...core.backtest import SHARES, VALUES, Caught, Regression, Replayed, false_alarms, smallest, table
from ...core.bake import BakeResult, Ports, Scope
from ...core.errors import ConfigError, DeliveryError, NoData, Unavailable, unknown
from ...core.judge import POINT_JUDGES
from ...core.metric import Metric
from ...core.model import CANARY, STABLE, Phase, Series, Window
from ...core.moment import moment
from ...core.options import Option, Options
from ...core.plan import Kind
from ...core.ports import GroupJudge
from ...core.units import duration, iso, show_duration
from .. import build, release_file
from ..catalog import JUDGES
from ..context import Context
from ..measuring import Measuring, labels_of
from .analysis import bake_of, unit_of
from .plan import RECORDED

MOST_WINDOWS = 1000
MARGIN = 60.0
"""Seconds that a window must be past: the newest samples may still come."""

OPTIONS: Options = {
    "variables": Option("dict", "The release file: every C(rollout_) variable. Default: all such variables that the task can see.", open=True),
    "from": Option("str", "Where the past begins: C(2026-01-31T12:00:00Z), or seconds since 1970.", required=True),
    "to": Option("str", "Where it ends. Default: O(duration) later."),
    "duration": Option("duration", "How much of the past, instead of O(to)."),
    "windows": Option("int", "Made-up releases, spread evenly and never overlapping. Default: as many as fit, 20 at most.", minimum=1, maximum=MOST_WINDOWS),
    "steps": Option("list", "How long each watched wait of a made-up release takes. Default: the waits of the release file's steps, else one of 5 minutes.",
                    elements="duration"),
    "candidate": Option("str", "The track whose past plays the new version.", default=CANARY),
    "baseline": Option("str", "The track whose past it is compared with.", default=STABLE),
    "metrics": Option("list", "Only these metrics. Default: all of the analysis.", elements="str"),
    "regressions": Option(
        "list", "What is put into the candidate's past of each metric, from small to large: V(x1.5) is half as much again, V(+0.01) is so much more."
        " Default: up to 10 points of a share, up to five times any other value.", elements="str"
    ),
    "power": Option("float", "A regression counts as caught from this share of the windows on.", default=0.8, minimum=0.01, maximum=1.0),
    "report": Option("path", "Where the result is written as JSON besides."),
}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``false_alarms``, ``regressions``, ``smallest``, every window, and ``text`` for people."""
    variables = dict(params.get("variables") or {})
    variables.setdefault("rollout_version", RECORDED)
    spec = release_file.read(variables)
    if not spec.get("analysis"):
        raise ConfigError("the release file has no analysis", where="rollout_analysis", do="List metrics; they are what is tested.")
    past = Past(spec, params)
    starts = past.starts(context.clock.time())
    if context.check_mode:
        return {"changed": False, "windows": [{"start": iso(start)} for start in starts]}
    past.probe()
    replays, caught = past.replay(starts, context.say)
    result = _result(past, replays, caught, params["power"])
    result["text"] = text(past, result, replays, caught, params["power"])
    for line in result["text"]:
        context.say(line)
    return {"changed": _write(params.get("report"), result), **result}


class Past:
    """The analysis of ``spec``, to be run at other times. Raises ConfigError for what cannot be."""

    def __init__(self, spec: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        self.name, self.analysis, self.params = str(spec["name"]), spec["analysis"], params
        self.candidate, self.baseline = params["candidate"], params["baseline"]
        self.metrics = self._chosen(build.metrics(self.analysis))
        self.steps = _steps(spec, params)
        self._check()
        self.regressions = {metric.name: self._regressions(metric) for metric in self.metrics}
        self._measuring = Measuring(self.analysis, {}, spec.get("url_allow") or ())
        versions = {self.candidate: spec["version"], self.baseline: spec.get("previous_version") or ""}
        self._labels = {track: labels_of(spec, track, version) for track, version in versions.items()}
        self._answers: dict[tuple[Any, ...], Series | NoData] = {}

    @property
    def length(self) -> float:
        return sum(self.steps)

    def _chosen(self, metrics: Sequence[Metric]) -> list[Metric]:
        wanted = self.params.get("metrics") or [metric.name for metric in metrics]
        known = {metric.name: metric for metric in metrics}
        for name in wanted:
            if name not in known:
                raise unknown("metric", name, known, where="metrics")
        return [metric for metric in metrics if metric.name in wanted and not metric.dry_run]

    def _check(self) -> None:
        if not self.metrics:
            raise ConfigError("every metric is a dry run, so nothing decides", where="rollout_analysis.metrics")
        for metric in self.metrics:
            kind = metric.provider or next(iter(self.analysis.get("provider") or ()), "")
            if not kind or not build.keeps_past(kind):
                raise ConfigError(f"{metric.name} is measured by {kind or 'nothing'}, which knows no past", where="rollout_analysis.metrics",
                                  do="Test the metrics that Prometheus has: name them in metrics.")
            if metric.cumulative:
                raise ConfigError(f"{metric.name} counts from its first look on, and the past has none", where="rollout_analysis.metrics")
            if self.candidate == self.baseline and metric.baseline == "stable":
                raise ConfigError(f"{metric.name} would compare {self.baseline} with itself and never differ", where="candidate",
                                  do="Name a track with series of its own, or test metrics with baseline: before.")
            for seconds in self.steps:
                metric.check_fits(seconds, "steps")
        for metric in self.metrics:
            if metric.judge not in POINT_JUDGES:
                JUDGES[metric.judge].probe()

    def _regressions(self, metric: Metric) -> list[Regression]:
        given = self.params.get("regressions")
        return [Regression.parse(item) for item in given or (SHARES if self._share(metric) else VALUES)]

    @staticmethod
    def _share(metric: Metric) -> bool:
        return unit_of(metric) == "share"

    def starts(self, now: float) -> list[float]:
        """When each made-up release begins."""
        begin = _time(self.params["from"], "from")
        if bool(self.params.get("to")) == bool(self.params.get("duration")):
            raise ConfigError("give either to or duration", where="to")
        end = _time(self.params["to"], "to") if self.params.get("to") else begin + duration(self.params["duration"], "duration")
        if end > now - MARGIN:
            raise ConfigError(f"{iso(end)} is not past yet", where="to", do=f"End at {iso(now - MARGIN)} or before.")
        fit = int((end - begin) / self.length + 1e-9)
        wanted = self.params.get("windows") or min(fit, 20)
        if fit < max(1, wanted):
            raise ConfigError(f"{max(1, wanted)} windows of {show_duration(self.length)} do not fit into {show_duration(max(0.0, end - begin))}",
                              where="windows", do=f"{fit} fit: overlapping ones would be the same evidence twice.")
        apart = (end - begin - self.length) / (wanted - 1) if wanted > 1 else 0.0
        return [begin + index * apart for index in range(wanted)]

    def probe(self) -> None:
        """Raises Unavailable, ConfigError."""
        for metric in self.metrics:
            self._measuring.of(metric)

    def replay(self, starts: Sequence[float], say: Callable[[str], None]) -> tuple[list[Replayed], list[Caught]]:
        """Every window as it was, and again with each regression of each metric."""
        plain: list[Replayed] = []
        worse: dict[tuple[str, Regression], list[Replayed]] = {(name, each): [] for name, items in self.regressions.items() for each in items}
        for number, start in enumerate(starts, 1):
            self._answers.clear()
            plain.append(self._one(start))
            say(f"window {number} of {len(starts)}, {iso(start)}: {plain[-1].outcome}{': ' + plain[-1].reason if plain[-1].outcome != 'good' else ''}")
            for (name, regression), found in worse.items():
                found.append(self._one(start, name, regression) if plain[-1].judged else plain[-1])
        if not any(each.judged for each in plain):
            raise NoData(f"none of the windows can be judged: {plain[0].reason}", where="from", do="Did candidate and baseline have requests at that time?")
        return plain, [Caught.of(name, each, found, self._together(name)) for (name, each), found in worse.items()]

    def _together(self, name: str) -> list[str]:
        """The metrics whose failure is this one's: a score of several is that of all."""
        judge = next(metric.judge for metric in self.metrics if metric.name == name)
        grouped = judge not in POINT_JUDGES and issubclass(JUDGES[judge], GroupJudge)
        return [metric.name for metric in self.metrics if metric.name == name or grouped and metric.judge == judge]

    def _one(self, start: float, name: str = "", regression: Optional[Regression] = None) -> Replayed:
        """One made-up release: its waits one after the other, until one does not end well."""
        clock = FakeClock(epoch=start)

        def measure(metric: Metric, window: Window) -> Series:
            series = self._answer(metric, window)
            of_it = metric.name == name and window.track == self.candidate and window.end > start
            return regression.into(series, metric, self._share(metric)) if regression and of_it else series

        outcome, reason, failed = "good", "", tuple[str, ...]()
        for index, seconds in enumerate(self.steps, 1):
            judges = build.judges(self.metrics, self.analysis, index, len(self.steps))
            ports = Ports(measure, clock, lag=self._measuring.lag, judges=judges)
            scope = Scope(self.candidate, self.baseline, labels=self._labels, release_started=start)
            result = bake_of(self.metrics, ports, self.analysis, seconds, scope)
            outcome, reason = _outcome(result, self.analysis), result.reason
            failed = tuple(metric.name for metric in result.metrics if metric.tally.phase is Phase.FAILED)
            if outcome != "good":
                break
        return Replayed(start, outcome, clock.now(), reason, failed)

    def _answer(self, metric: Metric, window: Window) -> Series:
        """What the provider says, asked once: a regression changes what is made of it, not what was."""
        key = (metric.name, window.track, round(window.start, 3), round(window.end, 3))
        if key not in self._answers:
            try:
                self._answers[key] = self._measuring.measure(metric, window)
            except NoData as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, NoData):
            raise answer
        return answer


def _outcome(result: BakeResult, analysis: Mapping[str, Any]) -> str:
    if result.no_data:
        return "no_data"
    if result.phase is Phase.SUCCESSFUL or result.phase is Phase.INCONCLUSIVE and analysis.get("on_inconclusive") == "continue":
        return "good"
    return {Phase.FAILED: "alarm", Phase.ERROR: "error"}.get(result.phase, "undecided")


def _steps(spec: Mapping[str, Any], params: Mapping[str, Any]) -> list[float]:
    if params.get("steps"):
        steps = [duration(item, f"steps[{index}]") for index, item in enumerate(params["steps"])]
    else:
        made = [item.step for item in build.step_specs(spec) if item.step and item.step.kind is Kind.BAKE and item.step.watch]
        steps = [step.duration for step in made if step.duration] or [300.0]
    if min(steps) <= 0:
        raise ConfigError("a wait of 0 sees nothing", where="steps")
    return steps


def _time(value: Any, where: str) -> float:
    try:
        return moment(value, where)
    except DeliveryError as error:
        raise ConfigError(error.what, where=where, do=error.do) from None


def _result(past: Past, replays: Sequence[Replayed], caught: Sequence[Caught], power: float) -> dict[str, Any]:
    best = {metric.name: smallest([each for each in caught if each.metric == metric.name], power) for metric in past.metrics}
    return {
        "schema": 1, "release": past.name, "steps": past.steps, "power": power, "false_alarms": false_alarms(replays).as_dict(),
        "outcomes": {name: sum(each.outcome == name for each in replays) for name in ("good", "alarm", "undecided", "no_data", "error")},
        "windows": [{"start": iso(each.start), "outcome": each.outcome, "seconds": each.seconds, "reason": each.reason} for each in replays],
        "regressions": [each.as_dict() for each in caught],
        "smallest": {name: each.as_dict() if each else None for name, each in best.items()},
    }


def text(past: Past, result: Mapping[str, Any], replays: Sequence[Replayed], caught: Sequence[Caught], power: float) -> list[str]:
    """The result as lines for a terminal."""
    lines = [f"backtest of {past.name}: {len(replays)} releases of {show_duration(past.length)} from {iso(replays[0].start)} to {iso(replays[-1].start)}",
             f"false alarms: {false_alarms(replays)}"]
    rest = [f"{result['outcomes'][name]} {word}" for name, word in (("undecided", "undecided"), ("no_data", "without data"), ("error", "not measured"))
            if result["outcomes"][name]]
    lines += [f"besides: {', '.join(rest)}"] if rest else []
    lines += ["", *table(caught), ""]
    for name, found in result["smallest"].items():
        lines.append(f"{name}: {found['regression'] if found else 'nothing of this'} is caught in {100 * power:g} % of the windows"
                     + (f", after {show_duration(found['delay_median'])}" if found and found["delay_median"] is not None else ""))
    return lines


def _write(path: Optional[str], result: Mapping[str, Any]) -> bool:
    if not path:
        return False
    path = os.path.expanduser(path)
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as handle:
            json.dump({name: value for name, value in result.items() if name != "text"}, handle, indent=1, sort_keys=True)
            handle.write("\n")
    except OSError as error:
        raise Unavailable(f"the result cannot be written: {error.strerror}", where=path, do="Name a file in a folder you may write.") from None
    return True
