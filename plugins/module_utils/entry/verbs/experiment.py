# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An A/B test: as the long watched step of a release that its verdict ends, or as one look at counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ...core.advance import Result
from ...core.bake import BakeResult, Look
from ...core.codec import decode, encode
from ...core.errors import ConfigError, DeliveryError, Interrupted, NoData
from ...core.evidence import Counts
from ...core.experiment import options as experiment
from ...core.experiment.judge import TrialJudge
from ...core.experiment.trial import GUESSES, Trial, add
from ...core.experiment.verdict import Finding, Says, conclude
from ...core.foresight import made
from ...core.metric import Metric
from ...core.model import CANARY, STABLE, Phase, Window
from ...core.options import Option, Options
from ...core.ports import Judge
from ...core.strategies.ab_test import DEFAULT_SHARE
from ...core.units import duration, show_duration
from .. import build
from ..catalog import PROVIDERS, family
from ..context import Context
from ..measuring import Measuring, labels_of
from ..run import RELEASE_OPTION, Run, for_step, seen
from . import analysis

COUNTED: Options = {
    "conversions": Option("int", "Visitors who converted, since the test began.", required=True, minimum=0),
    "visitors": Option("int", "Visitors, since the test began.", required=True, minimum=0),
}

OPTIONS: Options = {
    **RELEASE_OPTION,
    "stable": Option("dict", "What was counted of the variant that serves now.", options=COUNTED),
    "candidate": Option("dict", "What was counted of the new variant.", options=COUNTED),
    "conversion": Option("dict", "Where both are counted, instead of O(stable) and O(candidate).", options=experiment.conversion_options(family(PROVIDERS))),
    "window": Option("duration", "With O(conversion): how far back a first look counts. A later one counts from the look before.", default="1h"),
    "tracks": Option("dict", "With O(conversion): servers per variant, for providers that count single servers.", default={}, open=True),
    "labels": Option("dict", "With O(conversion): what fills C(${workload}), C(${namespace}) and C(${version}) in its queries.", default={}, open=True),
    "share": Option("percent", "Percent of the visitors that should have seen the new variant.", default=str(DEFAULT_SHARE)),
    "elapsed": Option("duration", "How long the test has run. Default: since its first look, as O(state) knows it."),
    "state": Option("dict", "What an earlier look returned as RV(state). Without it this is the first look, and the only one that counts.", open=True),
    **experiment.OPTIONS,
}

MOST_TOLD = 500
"""About so many looks of a test are told to the journal, the first and the last among them: the report draws no more."""
EVERY = 30.0
"""Seconds between two writes of what was seen to the record."""
ASKED = {"error_rate": "error_rate", "latency": "latency", "latency_mean": "latency_mean"}
"""What else the report holds of both variants, where the provider of the analysis knows it; and how it is asked for."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """One look at an A/B test, or the test of a release's current step."""
    if params.get("release"):
        return for_step(params, context, carry_out_bake)
    design = experiment.design(params, "experiment")
    trial = _state(params.get("state"))
    now = context.clock.time()
    began = now - duration(params["elapsed"]) if params.get("elapsed") else trial.began
    if params.get("conversion"):
        if params.get("stable") or params.get("candidate"):
            raise ConfigError("conversion counts both variants by itself", where="conversion", do="Give either conversion, or stable and candidate.")
        start = trial.seen if trial.seen is not None else now - duration(params["window"])
        trial, began = add(trial, _measured(params, start, now), design.mde), start if began is None else began
    elif params.get("stable") and params.get("candidate"):
        trial, began = add(trial, _since(trial, params), design.mde), now if began is None else began
    else:
        raise ConfigError("nothing says what was counted", where="experiment", do="Give stable and candidate, or conversion.")
    trial = replace(trial, began=began, seen=now)
    finding = conclude(design, trial, now - began)
    context.say(f"{finding.says.value}: {finding.reason}")
    return {"changed": False, "verdict": finding.says.value, "reason": finding.reason, "state": encode(trial), **_numbers(finding)}


def _state(given: Optional[Mapping[str, Any]]) -> Trial:
    if not given:
        return Trial()
    trial = decode(Trial, given, "state")
    if len(trial.better) != len(GUESSES) or len(trial.worse) != len(GUESSES):
        raise ConfigError("that is no state of a test", where="state", do="Give what the look before returned as state, or leave it out.")
    return trial


def _since(trial: Trial, params: Mapping[str, Any]) -> Counts:
    """What came since the look before. Raises ConfigError for counts that fall, or that no visitors could make."""
    now = Counts(params["candidate"]["conversions"], params["candidate"]["visitors"], params["stable"]["conversions"], params["stable"]["visitors"])
    if not now.shares:
        raise ConfigError("a variant has more conversions than visitors", where="experiment", do="Count each visitor at most once as converted.")
    block = replace(now - trial.total, seconds=0.0)
    if not block.shares:
        raise ConfigError("a count is smaller than at the look before, or more converted since than came", where="experiment",
                          do="Give what was counted since the test began, or leave state out to begin anew.")
    return block


def _measured(params: Mapping[str, Any], start: float, now: float) -> Counts:
    """What was counted of both within one window. No data of a variant is no visitor of it."""
    metric = experiment.conversion(params["conversion"], "conversion")
    if not metric.provider:
        raise ConfigError("nothing says where conversions are counted", where="conversion.provider", do="Name a provider.")
    if metric.cumulative:
        raise ConfigError("totals say nothing at one look", where="conversion.cumulative", do="Give them as stable and candidate, with state.")
    measuring = Measuring({}, {track: tuple(servers) for track, servers in params["tracks"].items()})
    counted: list[int] = []
    for track in (CANARY, STABLE):
        try:
            [sample] = measuring.measure(metric, Window(track, start, now, {"track": track, **params["labels"]})).samples
        except NoData:
            counted += [0, 0]
            continue
        point = sample.points[-1]
        if point.n is None:
            raise ConfigError("the answer does not say how many visitors it was made from", where="conversion.total_query", do="Give total_query.")
        counted += [round(point.value * point.n), point.n]
    return Counts(*counted)


def _numbers(finding: Finding) -> dict[str, Any]:
    """What a finding rests on, for results and journals."""
    total, effect, split = finding.trial.total, finding.effect, finding.split
    return {
        "seconds": round(finding.seconds, 3), "conversions": total.bad, "visitors": total.requests, "base_conversions": total.base_bad,
        "base_visitors": total.base_requests, "difference": effect.difference if effect else None, "low": effect.low if effect else None,
        "high": effect.high if effect else None, "p": finding.trial.p, "p_split": split.p if split else None, "needed": finding.needed,
    }


def carry_out_bake(current: Run, context: Context) -> dict[str, Any]:
    """The watched wait of the release's current step, or its A/B test."""
    if not current.doing.trial:
        return analysis.carry_out(current, context)
    trying = Trying(current, context)
    trying.reach()
    try:
        result = trying.watch()
    except Interrupted:
        trying.record(trying.concluded())
        raise
    finding = trying.concluded()
    if trying.unfinished(result):
        decision, to = Result.PAUSED, "pause"
        finding = replace(finding, reason=f"{finding.reason}; this run has looked for {show_duration(result.seconds)}, resume goes on")
    elif trying.over(result):
        decision, to = trying.decide(finding)
    else:
        trying.record(finding, "ended")
        return analysis.ended(trying, result)  # a guardrail, a person or somebody else's write ended it
    if decision is Result.DONE and result.phase is Phase.ERROR:
        decision, to, finding = Result.PAUSED, "pause", replace(finding, reason=f"{finding.reason}; but guardrails cannot be asked: {result.reason}")
    trying.record(finding, to)
    context.say(f"{current.label}: {finding.says.value.replace('_', ' ')}: {finding.reason}")
    phase = {Says.WIN: Phase.SUCCESSFUL}.get(finding.says, Phase.INCONCLUSIVE)
    reason = f"{finding.says.value.replace('_', ' ')}: {finding.reason}"
    trying.current.event("verdict", step=current.index, metric=experiment.CONVERSION, phase=phase.value, reason=reason)
    return {"changed": False, "phase": phase.value, "reason": reason, "looks": len(result.looks), "seconds": round(result.seconds, 3),
            "verdict": finding.says.value,
            "seen": seen(current, decision, "" if decision is Result.DONE else reason,
                         verdict={"phase": phase.value, "says": finding.says.value, "reason": reason})}


class Trying(analysis.Watching):
    """The A/B test of a release: metrics of the analysis are its guardrails, the conversion decides."""

    def __init__(self, current: Run, context: Context) -> None:
        super().__init__(current, context)
        design, metric = build.trial(current.spec)
        # Only rules lead to B where a header or cookie names it; then share says how many are given that.
        part = made(current.record.plan, current.target) if current.target.weight(current.compared[0]) else design.part
        self.design = replace(design, part=part)
        if metric is None:
            raise ConfigError("the release file has no conversion any more, which this test is about", where="rollout_ab_test.conversion",
                              do="Put it back, or end the test with promote or abort.")
        self.conversion: Metric = metric
        self.metrics = [*self.metrics, metric]
        now = context.clock.time()
        self.judge = TrialJudge(self.design, current.record.trial or Trial(began=now, seen=now), self._heard, totals=metric.cumulative)
        self.stopped = ""
        self._unseen = {guardrail.name for guardrail in self.metrics if not guardrail.dry_run}
        given = current.spec["ab_test"].get("run_duration")
        self._longest = duration(given, "rollout_ab_test.run_duration") if given else math.inf
        self._saved = context.clock.now()
        self._told: Optional[float] = None

    def watch(self) -> BakeResult:
        """Until the test or a guardrail has decided, or the time is over: the test's, or this run's. A run that goes on counts what came meanwhile as well."""
        trial = self.judge.trial
        left = min(max(0.0, self.design.max_duration - self._elapsed()), self._longest)
        # However late a run is: what no look was taken of could not be judged, and the test would never end.
        return self.bake(max(left, self.least()), lambda: self.current.tick() or self._decided(), started=trial.seen)

    def _decided(self) -> Optional[str]:
        """That the conversion has decided, once every guardrail has said something in this run."""
        return self.stopped if self.stopped and not self._unseen else None

    def _look(self, look: Look) -> None:
        super()._look(look)
        if look.phase is not Phase.PENDING:
            self._unseen.discard(look.metric)

    def over(self, result: BakeResult) -> bool:
        """Whether the wait ended because the test is decided, or its time is over."""
        if self.guard.dispute:
            return False
        if result.early:
            return result.early == self.stopped
        return result.phase is Phase.SUCCESSFUL and self._elapsed() >= self.design.max_duration

    def unfinished(self, result: BakeResult) -> bool:
        """Whether only this run's time is over, and all is well: the share stays, and the next run goes on."""
        return not (self.guard.dispute or result.early) and result.phase is Phase.SUCCESSFUL and self._elapsed() < self.design.max_duration

    def concluded(self) -> Finding:
        return conclude(self.design, self.judge.trial, self._elapsed())

    def decide(self, finding: Finding) -> tuple[Result, str]:
        """What follows, for the reducer and in a word."""
        options = self.current.spec["ab_test"]
        wish = options["on_no_difference"] if finding.says is Says.NO_DIFFERENCE else ""
        if finding.says is Says.WIN or wish == "promote":
            return Result.DONE, "ask" if options.get("promote") == "manual" else "promote"
        if finding.says is Says.LOSE or wish == "keep_stable":
            return Result.KEPT, "keep_stable"
        if options.get("promote") == "manual":
            return Result.DONE, "ask"  # the gate that comes next is for that
        return Result.PAUSED, "pause"

    def record(self, finding: Finding, decision: str = "") -> None:
        """Keep what was seen, and tell the journal; ``decision`` with the last word."""
        self.current.record = replace(self.current.record, trial=finding.trial)
        self.current.save()
        self._saved = self._context.clock.now()
        if decision:
            self._tell(finding, decision)

    def _judges(self) -> dict[str, Judge]:
        return {**super()._judges(), self.conversion.name: self.judge}

    def _elapsed(self) -> float:
        now = self._context.clock.time()
        began = self.judge.trial.began
        return now - (now if began is None else began)

    def _heard(self, finding: Finding) -> None:
        now = self._context.clock.now()
        if self._told is None or now - self._told >= self.design.max_duration / MOST_TOLD:
            self._told = now
            self._tell(finding)
        if finding.says.final:
            self.stopped = f"the test is decided: {finding.says.value}"
        elif self._context.clock.now() - self._saved >= EVERY:
            self.record(finding)

    def _tell(self, finding: Finding, decision: str = "") -> None:
        design = self.design
        self.current.event(
            "trial", step=self.current.index, says=finding.says.value, reason=finding.reason, confidence=100 * (1 - design.alpha), part=design.part,
            mde=design.mde, power=design.power, decision=decision, measured=self._besides(finding) if decision else {}, **_numbers(finding))

    def _besides(self, finding: Finding) -> dict[str, float]:
        """What the guide's report holds besides, of the whole test. What the provider does not know is left out."""
        provider = self.analysis.get("provider")
        if not provider:
            return {}
        candidate, stable = self.current.compared
        began = finding.trial.began or 0.0
        found: dict[str, float] = {}
        for track, version in ((candidate, self.current.record.release.version), (stable, self.current.record.plan.previous)):
            for name, builtin in ASKED.items():
                by_query = "" if name != "latency_mean" else builtin
                window = Window(track, began, self._context.clock.time(), labels_of(self.current.spec, track, version), "" if by_query else builtin)
                metric = Metric(name, query=by_query, builtin="" if by_query else builtin)
                try:
                    [sample] = self._measuring.of(metric).query(by_query, window).samples
                except (DeliveryError, ValueError):
                    continue
                if sample.points:
                    found[f"{name}.{track}"] = sample.points[-1].value
        return found
