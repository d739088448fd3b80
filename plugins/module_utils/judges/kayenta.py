# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge ``kayenta``: Kayenta's judge of a canary, stage by stage, on the values of all looks of a step.

Values are cleaned and outliers taken out (``kayenta_prepare``), each metric gets a label (``kayenta_classify``), and the labels of all metrics with this
judge make one score (``kayenta_score``), which is what every one of them answers with. Nothing is said before each side has ``points`` values:
Kayenta itself would judge two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

from ..clients.rank_sum import check_libraries
from ..core.errors import ConfigError
from ..core.evidence import POINTS
from ..core.judge import show
from ..core.metric import Metric
from ..core.model import Phase, Series, Verdict
from ..core.options import Option, Options
from .kayenta_classify import CLES, MEAN_RATIO, NODATA, PASS, Effect, Label, classify
from .kayenta_prepare import clean, without_outliers
from .kayenta_score import Scored, grade, score


class KayentaJudge:
    """The GroupJudge port. ``options`` are those of the table, all of them."""

    SUMMARY: ClassVar[str] = "Kayenta's judge: rank sums, effect sizes, and one score of all metrics that have it. Needs scipy."
    KIND: str = POINTS
    OPTIONS: ClassVar[Options] = {
        "points": Option("int", "Values of each side before the first verdict. Kayenta itself has no such limit.", default=12, minimum=1),
        "nan_strategy": Option("str", "Values that are no number: remove them, or take 0 for them.", default="remove", choices=("remove", "replace")),
        "outliers": Option("str", "Keep or remove outliers, on each side by itself.", default="keep", choices=("keep", "remove")),
        "outlier_factor": Option("float", "How many times the quartiles' distance an outlier lies beyond them.", default=3.0, minimum=0.0),
        "confidence": Option("float", "Confidence of the interval, in percent.", default=98.0, minimum=50.0, maximum=99.9999),
        "tolerance": Option("float", "A shift counts when the interval lies beyond this part of the estimate.", default=0.25, minimum=0.0, maximum=1.0),
        "effect_size": Option("str", "How a shift is measured: the ratio of the means, or how often the canary's value is the larger one.",
                              default=MEAN_RATIO, choices=(CLES, MEAN_RATIO)),
        "allowed_increase": Option("float", "Effects from this one on are high. Default: 1 of a ratio, 0.5 of V(cles).", minimum=0.0),
        "allowed_decrease": Option("float", "Effects down to this one are low. Default: 1 of a ratio, 0.5 of V(cles).", minimum=0.0),
        "critical_increase": Option("float", "High from this effect on decides alone.", minimum=0.0),
        "critical_decrease": Option("float", "Low down to this effect decides alone.", minimum=0.0),
        "must_have_data": Option("bool", "No data is a failure of the metric.", default=False),
        "muted": Option("bool", "Measured and shown, and not part of the score.", default=False),
        "pass": Option("float", "The score from which on the release is good.", default=95.0, minimum=0.0, maximum=100.0),
        "marginal": Option("float", "The score down to which it is not bad yet.", default=75.0, minimum=0.0, maximum=100.0),
    }

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.takes_nan = options["nan_strategy"] == "replace"

    @classmethod
    def from_options(cls, options: Mapping[str, Any], alpha: float) -> KayentaJudge:
        """``alpha`` is the release's for judges that may look again; this one has its ``confidence``."""
        return cls(options)

    @staticmethod
    def probe() -> None:
        """Raise MissingDependency when this could not judge here."""
        check_libraries()

    @staticmethod
    def check(metric: Metric, where: str) -> None:
        """Raise ConfigError for what this judge cannot judge."""
        if metric.baseline not in ("stable", "experiment", "before" if metric.resolution else ""):
            raise ConfigError("kayenta compares values of the same time", where=f"{where}.baseline",
                              do="Write stable or experiment; with a resolution, before.")
        if metric.max_ratio is not None or metric.max_delta is not None:
            raise ConfigError("kayenta has allowed_increase and critical_increase for that", where=where, do="Give them within judge: {kayenta: {...}}.")
        if metric.judge_options["marginal"] > metric.judge_options["pass"]:
            raise ConfigError("marginal is above pass", where=f"{where}.judge.kayenta", do="A release passes from the higher score on.")

    def judge(self, criterion: Metric, candidate: Series, baseline: Optional[Series]) -> Verdict:
        """The label of one metric: SUCCESSFUL when it passes, FAILED when it is high, low, or must have data; RUNNING with too few values."""
        options = self.options
        ours, theirs = _values(candidate), _values(baseline)
        wanted, fewer = max(options["points"], criterion.min_samples), min(len(ours), len(theirs))
        if fewer < wanted:
            return Verdict(Phase.RUNNING, f"{criterion.name}: {fewer} of {wanted} values")
        ours, theirs = (clean(side, options["nan_strategy"]) for side in (ours, theirs))
        if options["outliers"] == "remove":
            ours, theirs = (without_outliers(side, options["outlier_factor"]) for side in (ours, theirs))
        label = classify(
            ours, theirs, direction=criterion.direction, effect=self._effect(), tolerance=options["tolerance"], confidence=options["confidence"] / 100,
            must_have_data=options["must_have_data"], replaced=options["nan_strategy"] == "replace",
        )
        return self._verdict(criterion, ours, theirs, label)

    def scored(self, criterion: Metric, labels: Sequence[tuple[Metric, Verdict]]) -> Verdict:
        """The verdict that follows from the labels of all metrics with this judge: FAILED below ``marginal`` or at it, RUNNING up to ``pass``."""
        found = score([
            Scored(metric.name, verdict.label, metric.group, metric.weight, metric.critical or verdict.critical, bool(metric.judge_options.get("muted")))
            for metric, verdict in labels
        ])
        passes, marginal = self.options["pass"], self.options["marginal"]
        if grade(found.value, passes, marginal) == "pass":
            phase = Phase.SUCCESSFUL
        else:
            phase = Phase.RUNNING if found.value > marginal else Phase.FAILED
        return Verdict(phase, f"score {found.value:g} of 100 ({passes:g} passes, {marginal:g} fails): {found.reason}", score=found.value)

    def _effect(self) -> Effect:
        named = {name: self.options.get(name) for name in ("allowed_increase", "allowed_decrease", "critical_increase", "critical_decrease")}
        return Effect(self.options["effect_size"], **named)

    def _verdict(self, metric: Metric, ours: Sequence[float], theirs: Sequence[float], label: Label) -> Verdict:
        phase = {PASS: Phase.SUCCESSFUL, NODATA: Phase.PENDING}.get(label.state, Phase.FAILED)
        if not ours or not theirs:
            return Verdict(phase, f"{metric.name}: {label.reason}", label=label.state)
        mean, base_mean = sum(ours) / len(ours), sum(theirs) / len(theirs)
        reason = (
            f"{metric.name} {show(metric, mean)} against {show(metric, base_mean)} of {metric.baseline} "
            f"({len(ours)} and {len(theirs)} values): {label.state}, {label.reason}"
        )
        found = label.test
        return Verdict(
            phase, reason, value=mean, baseline=base_mean, threshold="pass", label=label.state, critical=label.critical,
            p=found.p if found else None, low=base_mean + found.low if found else None, high=base_mean + found.high if found else None,
            confidence=self.options["confidence"] if found else None,
        )


def _values(series: Optional[Series]) -> list[float]:
    """All values. An infinite one is no number either."""
    found = [point.value for sample in series.samples for point in sample.points] if series is not None else []
    return [value if math.isfinite(value) else math.nan for value in found]
