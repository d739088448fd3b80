# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured and when it is good: the metrics of a release, checked before anything changes.

:class:`Metric` is one metric as frozen data; :meth:`Metric.from_options` refuses what could never judge (SEMANTICS of Argo Rollouts
and Flagger: a check without bounds, a count without an interval). :func:`render` fills ``${...}`` in a query, which Jinja would eat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from .conditions import Condition
from .errors import ConfigError, Unavailable, unknown
from .model import Window
from .options import Option, Options, one_key, validate
from .presets import PRESETS
from .units import duration, show_duration

BUILTINS = ("conversion", "cpu_throttling", "error_rate", "latency", "memory", "request_rate", "restarts", "slow_share", "success_rate")
FALLING_IS_BAD = ("conversion", "request_rate", "success_rate")
DEFAULT_JUDGE = "sequential"
"""Judges the built-in shares of which a release file says nothing more."""
BASELINES = ("before", "experiment", "fixed", "stable")
PLACEHOLDERS = ("namespace", "query", "track", "version", "window", "workload")
"""The names that ``${...}`` may hold. ``query`` is for providers whose options hold the template (web, command)."""
TIMES = ("end", "start")
"""Names that stand for the ends of the window, in the queries of providers that can write a time. The others refuse them when they fill."""

_BOUND = {
    "min": Option("float", "The smallest good value."),
    "max": Option("float", "The largest good value."),
}

METRIC_OPTIONS: Options = {
    "name": Option("name", "Name of the metric, unique within the analysis.", required=True),
    "provider": Option("any", "Where this metric is measured: one provider with its options. Default: the provider of the analysis."),
    "query": Option(
        "str", "The query in the provider's own language. V(${track}), V(${workload}), V(${namespace}), V(${version}) and V(${window}) are filled in."
    ),
    "total_query": Option(
        "str", "Makes the metric a share: C(query) counts the part, such as visitors who bought, and this one the whole, such as all visitors. So a"
        " statistical judge knows how many it was made from, whatever the provider.", aliases=("totalQuery",)
    ),
    "cumulative": Option(
        "bool", "With C(total_query): both answers are totals that only grow, whatever the window: what counts came since the first look.", default=False
    ),
    "builtin": Option(
        "str", "A built-in metric of the provider, instead of a query. Rates and shares lie between 0 and 1, V(latency) is milliseconds.", choices=BUILTINS
    ),
    "quantile": Option("float", "Which quantile the built-in latency is.", default=0.95, minimum=0.0, maximum=1.0),
    "slower_than": Option(
        "duration", "With the built-in V(slow_share): the share of requests that took longer. It must be a bound of the histogram's buckets: a count between"
        " two bounds would be a guess.", aliases=("slowerThan",)
    ),
    "resolution": Option(
        "duration", "Ask for a value every so often over the window, not for one value of the window. For judges that weigh values, and for providers"
        " that keep the past."
    ),
    "interval": Option("duration", "Time between two measurements."),
    "initial_delay": Option("duration", "Time before the first measurement.", default="0s", aliases=("initialDelay",)),
    "count": Option("int", "Measurements to take. 0, or an interval without a count: until the step ends.", minimum=0),
    "success_condition": Option("str", "Good when this holds for C(result). With this alone anything else is a failure.", aliases=("successCondition",)),
    "failure_condition": Option("str", "Bad when this holds for C(result). With this alone anything else is a success.", aliases=("failureCondition",)),
    "failure_limit": Option("int", "Failed measurements tolerated; -1 switches this limit off.", default=0, minimum=-1, aliases=("failureLimit",)),
    "inconclusive_limit": Option("int", "Inconclusive measurements tolerated.", default=0, minimum=0, aliases=("inconclusiveLimit",)),
    "consecutive_error_limit": Option("int", "Errors in a row tolerated.", default=4, minimum=0, aliases=("consecutiveErrorLimit",)),
    "consecutive_success_limit": Option(
        "int", "Successes in a row that end the metric as successful; 0 is off.", default=0, minimum=0, aliases=("consecutiveSuccessLimit",)
    ),
    "consecutive_failure_limit": Option(
        "int", "Failures in a row that end the metric as failed; 0 is off.", default=0, minimum=0, aliases=("consecutiveFailureLimit",)
    ),
    "dry_run": Option("bool", "Measure and report, but never decide.", default=False, aliases=("dryRun",)),
    "no_data": Option(
        "str",
        "What a measurement without data is once C(no_data_timeout) is over.",
        default="inconclusive",
        choices=("error", "failure", "inconclusive", "success"),
        aliases=("noData",),
    ),
    "no_data_timeout": Option(
        "duration", "How long a step may have no data before C(no_data) says what that is. Default: the analysis' own.", aliases=("noDataTimeout",)
    ),
    "min_requests": Option("int", "Requests a measurement must be made from; below it is no data.", minimum=0, aliases=("minRequests",)),
    "min_samples": Option("int", "Points a measurement must be made from; below it is no data.", minimum=0, aliases=("minSamples",)),
    "baseline": Option(
        "str", "What the candidate is held against. V(stable) when C(max_ratio), C(max_delta) or a statistical C(judge) is given.", choices=BASELINES
    ),
    "baseline_value": Option("float", "The value of a V(fixed) baseline.", aliases=("baselineValue",)),
    "baseline_window": Option("duration", "How far a baseline taken V(before) the release reaches back.", default="30m", aliases=("baselineWindow",)),
    "max_ratio": Option("float", "Bad when the candidate is more than this many times the baseline.", aliases=("maxRatio",)),
    "max_delta": Option("float", "Bad when the candidate is more than this above the baseline.", minimum=0.0, aliases=("maxDelta",)),
    "direction": Option(
        "str", "Which change against the baseline is bad. Default: by the built-in metric, else V(increase).", choices=("decrease", "either", "increase")
    ),
    "threshold_range": Option("dict", "Good when the value lies in this range, ends included.", options=_BOUND, aliases=("thresholdRange",)),
    "reduce": Option("str", "How several series become one verdict.", choices=("all", "any", "avg", "max", "min", "sum")),
    "allow_partial": Option("bool", "Accept an answer whose server says that it did not see everything.", default=False, aliases=("allowPartial",)),
    "judge": Option(
        "any", "A statistical judge by name, or with its options. Default: the conditions and bounds given here decide; V(sequential) of a built-in share"
        " without any."
    ),
    "critical": Option("bool", "For judges that score a group: a metric whose failure fails the group.", default=False),
    "weight": Option("float", "For judges that score a group: the share of this metric's group.", minimum=0.0, maximum=100.0),
    "group": Option("name", "For judges that score groups: the group of this metric.", default="default"),
}


@dataclass(frozen=True)
class Metric:
    """One metric. Durations are seconds; conditions are kept as text and are known to parse; 0.0 intervals do not exist."""

    name: str
    provider: str = ""
    provider_options: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""
    total_query: str = ""
    cumulative: bool = False
    builtin: str = ""
    quantile: float = 0.95
    slower_than: Optional[float] = None
    resolution: Optional[float] = None
    interval: Optional[float] = None
    initial_delay: float = 0.0
    count: Optional[int] = None
    success_condition: str = ""
    failure_condition: str = ""
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    consecutive_success_limit: int = 0
    consecutive_failure_limit: int = 0
    dry_run: bool = False
    no_data: str = "inconclusive"
    no_data_timeout: float = 300.0
    min_requests: int = 0
    min_samples: int = 0
    baseline: str = ""
    baseline_value: Optional[float] = None
    baseline_window: float = 1800.0
    max_ratio: Optional[float] = None
    max_delta: Optional[float] = None
    direction: str = "increase"
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    reduce: str = ""
    allow_partial: bool = False
    judge: str = ""
    judge_options: Mapping[str, Any] = field(default_factory=dict)
    critical: bool = False
    weight: Optional[float] = None
    group: str = "default"

    @classmethod
    def from_options(
        cls, options: Mapping[str, Any], where: str, *, interval: float | None = None, no_data_timeout: float = 300.0,
        providers: Options | None = None, judges: Options | None = None,
    ) -> Metric:
        """A metric of the release file. ``interval`` and ``no_data_timeout`` are the analysis' own, for a metric that gives none.

        Raises ConfigError for what could never judge.
        """
        given = validate(options, METRIC_OPTIONS, where)
        bounds = given.pop("threshold_range", {})
        provider, provider_options = _choice(given.pop("provider", None), providers, f"{where}.provider", "provider")
        by_default = DEFAULT_JUDGE if _left_to_us(given) and not bounds and DEFAULT_JUDGE in (judges or ()) else None
        judge, judge_options = _choice(given.pop("judge", by_default), judges, f"{where}.judge", "judge")
        for name in ("baseline_window", "initial_delay", "interval", "no_data_timeout", "resolution", "slower_than"):
            if name in given:
                given[name] = duration(given[name], f"{where}.{name}")
        given.setdefault("no_data_timeout", no_data_timeout)
        given.setdefault("direction", "decrease" if given.get("builtin") in FALLING_IS_BAD else "increase")
        if {"max_ratio", "max_delta"} & set(given) or judge not in ("", "relative", "threshold"):
            given.setdefault("baseline", "stable")
        metric = cls(
            provider=provider, provider_options=provider_options, judge=judge, judge_options=judge_options,
            minimum=bounds.get("min"), maximum=bounds.get("max"), **given,
        )
        _refuse(metric, where)
        if metric.count is None and metric.interval is None:
            metric = replace(metric, interval=interval)
        return metric

    @property
    def effective_count(self) -> int | None:
        """Measurements to take; None means until the step ends."""
        if self.count:
            return self.count
        return 1 if self.interval is None and self.count is None else None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return tuple(Condition.parse(text) for text in (self.success_condition, self.failure_condition) if text)

    @property
    def has_bound(self) -> bool:
        """Whether an absolute bound exists, one that needs no baseline."""
        return bool(self.success_condition or self.failure_condition) or self.minimum is not None or self.maximum is not None

    @property
    def concurrent(self) -> bool:
        """Whether it is held against a track that gets requests at the same time."""
        return self.baseline in ("stable", "experiment") and (self.max_ratio is not None or self.max_delta is not None)

    def uncompared(self) -> Metric:
        """The metric as it is judged where only one version gets requests."""
        return replace(self, max_ratio=None, max_delta=None) if self.concurrent else self

    def planned(self, seconds: float) -> int:
        """Measurements planned for a step of ``seconds``."""
        if self.interval is None:
            return 1 if self.initial_delay <= seconds else 0
        fits = math.floor((seconds - self.initial_delay) / self.interval + 1e-9) + (1 if self.initial_delay else 0)
        return max(0, min(self.count, fits) if self.count else fits)

    def least(self, usual: float) -> float:
        """Seconds of a watched wait in which it can be judged. ``usual``: between two looks where it does not say."""
        interval = usual if self.interval is None and self.count is None else self.interval or 0.0
        return self.initial_delay + interval * ((self.count or 1) - (1 if self.initial_delay else 0))

    def check_fits(self, seconds: float, where: str, age: float = 0.0) -> None:
        """Refuse a watched wait of ``seconds`` in which this metric could never be judged; ``age`` is for how many seconds what is watched serves as
        it does when the wait begins. Raises ConfigError."""
        if self.planned(seconds) < 1:
            wait = self.initial_delay + (self.interval or 0)
            raise ConfigError(f"{self.name} is first measured after {show_duration(wait)}, the wait ends after {show_duration(seconds)}", where=where)
        if self.count and self.interval and self.planned(seconds) < self.count:
            raise ConfigError(
                f"{self.name} wants {self.count} measurements, only {self.planned(seconds)} fit into {show_duration(seconds)}",
                where=where, do="Lower its count or interval, or wait longer.",
            )
        longest = literal_range(self.query)
        if longest > seconds + age:
            raise ConfigError(
                f"{self.name} looks back {show_duration(longest)}, the wait is {show_duration(seconds)}: it would judge the step before",
                where=where, do="Write [${window}] instead, or wait longer.",
            )


def analysis_options(providers: Options) -> Options:
    """The table of ``rollout_analysis``. ``providers``: one Option per metric provider, with its own options."""
    metric = {**METRIC_OPTIONS, "provider": replace(METRIC_OPTIONS["provider"], type="dict", options=providers, one_of=True)}
    return {
        "provider": Option("dict", "Where metrics are measured.", options=providers, one_of=True),
        "metrics": Option("list", "The metrics. At least one; none at all is written C(rollout_analysis: none).", elements="dict", options=metric),
        "preset": Option("str", "Metrics by name, beside those listed: V(guide) is errors at most twice and p95 at most 1.5 times that of stable;"
                         " V(guide_before) is the same beside the 30 minutes before the release, for strategies that have no two versions serve at once.",
                         choices=tuple(PRESETS)),
        "interval": Option("duration", "Time between two looks, for metrics that give neither interval nor count.", default="10s"),
        "on_inconclusive": Option(
            "str", "What a judgement that cannot tell does.", default="pause", choices=("abort", "continue", "pause"), aliases=("onInconclusive",)
        ),
        "on_no_data": Option(
            "str", "What no data does once C(rollout_analysis.no_data_timeout) is over.", default="abort", choices=("abort", "pause"), aliases=("onNoData",)
        ),
        "no_data_timeout": Option(
            "duration", "How long a step may have no data; a fresh candidate always begins empty.", default="5m", aliases=("noDataTimeout",)
        ),
        "alpha": Option(
            "float", "Chance that a release without any regression is taken back by its V(sequential) metrics, all of them and all looks together.",
            default=0.01, minimum=0.000001, maximum=0.2,
        ),
        "error_hold": Option(
            "duration", "How long weights stay frozen while a provider does not answer, before the release goes back.", default="10m", aliases=("errorHold",)
        ),
    }


def _left_to_us(given: Mapping[str, Any]) -> bool:
    """Whether a built-in share of requests stands there without a word about what is good."""
    said = {"success_condition", "failure_condition", "max_ratio", "max_delta", "judge"} & set(given)
    ours = given.get("builtin") in ("conversion", "error_rate", "slow_share", "success_rate") and given.get("baseline", "stable") == "stable"
    return ours and not said and not given["dry_run"]


def _choice(value: Any, table: Options | None, where: str, kind: str) -> tuple[str, dict[str, Any]]:
    """``name`` or ``{name: options}``, checked against ``table`` where that is known."""
    if value is None:
        return "", {}
    if table is not None:
        return one_key(value, table, where, kind)
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ConfigError(f"exactly one {kind} is wanted", where=where)
    [(name, options)] = value.items()
    return str(name), dict(options or {})


def _refuse(metric: Metric, where: str) -> None:
    """Raise ConfigError for a metric that could never judge, or not as it is written."""

    def no(what: str, do: str = "") -> ConfigError:
        return ConfigError(what, where=where, do=do)

    if bool(metric.query.strip()) == bool(metric.builtin):
        raise no("give either query or builtin", "One of them says what is measured.")
    if metric.total_query and metric.builtin:
        raise no("a built-in metric knows its whole", "Leave total_query out, or give query instead of builtin.")
    if metric.cumulative and not metric.total_query:
        raise no("cumulative counts need total_query", "Say what counts the whole.")
    if (metric.builtin == "slow_share") != (metric.slower_than is not None) or metric.slower_than == 0:
        raise no("builtin: slow_share and slower_than belong together", "Write how long is too long, such as slower_than: 500ms.")
    if metric.resolution is not None and metric.resolution < 0.001:
        raise no("a resolution of 0 never ends", "Write 15s or longer.")
    if metric.resolution is not None and metric.total_query:
        raise no("resolution is for values, total_query makes one share of counts", "Keep one of the two.")
    for name in ("success_condition", "failure_condition"):
        text = getattr(metric, name)
        if text:
            Condition.parse(text, f"{where}.{name}")
    relative = metric.max_ratio is not None or metric.max_delta is not None
    if not (metric.has_bound or relative or metric.judge or metric.dry_run):
        raise no("nothing says what a good value is", "Give a condition, threshold_range, max_ratio, max_delta or a judge, or set dry_run: true.")
    if metric.interval == 0:
        raise no("an interval of 0 never waits", "Write 10s or longer.")
    if (metric.count or 0) > 1 and metric.interval is None:
        raise no(f"count {metric.count} needs an interval")
    if metric.count == 0 and metric.interval is None:
        raise no("count 0 (without end) needs an interval")
    for name in ("minimum", "maximum", "max_ratio", "max_delta", "baseline_value", "weight"):
        number = getattr(metric, name)
        if number is not None and not math.isfinite(number):
            raise no(f"{name} is not a finite number")
    if metric.minimum is not None and metric.maximum is not None and metric.minimum > metric.maximum:
        raise no(f"threshold_range: min {metric.minimum:g} is above max {metric.maximum:g}")
    if metric.max_ratio is not None and metric.max_ratio <= 0:
        raise no("max_ratio must be above 0")
    if (metric.baseline == "fixed") != (metric.baseline_value is not None):
        raise no("baseline: fixed and baseline_value belong together")
    one_number = metric.reduce or relative or metric.minimum is not None or metric.maximum is not None
    if one_number and any(condition.wants_list for condition in metric.conditions):
        raise no("a condition asks for all series, but reduce, threshold_range, max_ratio and max_delta mean one number", "Keep one of the two.")
    known = (*PLACEHOLDERS, *TIMES)
    fill(metric.query, dict.fromkeys(known, "x"), str, f"{where}.query", known)
    fill(metric.total_query, dict.fromkeys(known, "x"), str, f"{where}.total_query", known)


_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)\s*(?::[^\]]*)?\]")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}


def literal_range(query: str) -> float:
    """The longest literal range of a PromQL ``query`` in seconds, such as 300.0 for ``[5m]``; 0.0 without one."""
    longest = 0.0
    for text in _RANGE.findall(_QUOTED.sub('""', query)):
        longest = max(longest, sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text)))
    return longest


def fill(template: str, labels: Mapping[str, str], escape: Callable[[str], str], where: str = "", known: Collection[str] = PLACEHOLDERS) -> str:
    """``template`` with each ``${name}`` replaced by its escaped label, once and for all: a value is never filled again.

    Raises ConfigError for a name we do not know, Unavailable for a label that is empty or missing: an empty label value would
    match every series, and the numbers of another app would be judged.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in known:
            raise unknown("placeholder", "${" + name + "}", ["${" + each + "}" for each in known], where=where)
        if not labels.get(name):
            raise Unavailable("${" + name + "} has no value here, and an empty label matches everything", where=where)
        return escape(labels[name])

    return _PLACEHOLDER.sub(value, template)


def render(query: str, labels: Mapping[str, str], where: str = "") -> str:
    """A PromQL query with its placeholders filled: escaped within quotes, literal within the value of ``=~``, a bare word elsewhere.

    Errors as :func:`fill`, and Unavailable for a value that could not stand where it would.
    """
    parts, end = [], 0
    for quoted in _QUOTED.finditer(query):
        parts.append(fill(query[end:quoted.start()], labels, _bare, where))
        regex = re.search(r"[=!]~\s*$", query[:quoted.start()]) is not None
        raw = quoted[0].startswith("`")
        parts.append(fill(quoted[0], labels, lambda text, regex=regex, raw=raw: _label_value(text, regex, raw), where))  # type: ignore[misc]
        end = quoted.end()
    return "".join([*parts, fill(query[end:], labels, _bare, where)])


def _bare(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_:]+", text):
        raise Unavailable(f"{text[:80]!r} cannot stand outside of quotes in a query")
    return text


def _label_value(text: str, regex: bool, raw: bool) -> str:
    """``text`` for a quoted label value. Quotes become ``\\x22``: that is legal in either kind of quotes."""
    if regex:
        text = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
    if raw:
        if "`" in text:
            raise Unavailable(f"{text[:80]!r} cannot stand within backquotes in a query")
        return text
    return text.replace("\\", "\\\\").replace('"', "\\x22").replace("'", "\\x27").replace("\n", "\\n")


def quoted(text: str) -> str:
    """``text`` as a label value, with its quotes."""
    return f'"{_label_value(text, regex=False, raw=False)}"'


def window_labels(window: Window) -> dict[str, str]:
    """The labels of a window with ``track`` and ``window``; the window in whole seconds, as ``45s``."""
    seconds = int(window.lookback if window.resolution else window.seconds)
    return {**window.labels, "track": window.track, "window": f"{seconds}s" if seconds > 0 else ""}
