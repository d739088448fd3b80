# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics from Amazon CloudWatch, by GetMetricData.

A query is an expression (metric math, or a SELECT of Metrics Insights), or the JSON list of MetricDataQueries that the API takes; there the Id
``requests`` counts what the value was made from. Only whole periods within the window are asked for, and the newest ones not before CloudWatch has
had time to collect them.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ..clients.aws import AWS_OPTIONS, Aws
from ..clients.json_reply import served
from ..clients.web import Response
from ..core.errors import ConfigError, NoData, Stale, Unavailable, Unsupported
from ..core.metric import fill, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options
from ..core.units import duration, show_duration

PAGES = 20
POINTS = 1000
"""The most pages of an answer, and points on each."""
SECONDS = 2.0
"""Whole seconds are all that AWS says of its clock: a smaller difference is none."""
REQUESTS = "requests"
"""The Id of the query that counts."""
_FINE = (1, 5, 10, 20, 30)
_STATUS = {"PartialData": "only a part of the data", "InternalError": "an internal error", "Forbidden": "not allowed to see this metric"}
_FIELDS = {"AccountId": str, "Expression": str, "Id": str, "Label": str, "MetricStat": dict, "Period": int, "ReturnData": bool}
_STAT = {"Metric": dict, "Period": int, "Stat": str, "Unit": str}
_METRIC = {"Dimensions": list, "MetricName": str, "Namespace": str}
_DIMENSION = {"Name": str, "Value": str}

Key = tuple[str, str]
"""Id and label of a series."""


class CloudwatchProvider:
    """The MetricProvider port over CloudWatch in one region. ``lag``: seconds of a period; ``clock``: seconds since the epoch."""

    SUMMARY: ClassVar[str] = "Amazon CloudWatch."
    OPTIONS: ClassVar[Options] = {
        **AWS_OPTIONS,
        "period": Option("duration", "Length of a period: 1, 5, 10, 20 or 30 seconds for metrics of high resolution, else whole minutes.", default="1m"),
        "delay": Option("duration", "How long after its end a period is not asked about yet, because its data is still coming in.", default="1m"),
        "consolidate": Option(
            "str", "How the periods in the window become one value. V(average) weighs each period by its requests where the query counts them.",
            default="last", choices=("average", "last", "max", "min", "sum"),
        ),
        "timeout": Option("duration", "Longest wait for a connection, and for an answer.", default="10s"),
    }  # fmt: skip

    def __init__(
        self, aws: Aws, *, period: int = 60, delay: float = 60.0, consolidate: str = "last", clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.lag = float(period)
        self._aws = aws
        self._period = period
        self._delay = delay
        self._consolidate = consolidate
        self._clock = clock
        self._ahead = 0.0  # what AWS' clock is ahead of ours

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> CloudwatchProvider:
        """``tracks`` does not matter here: the query names what is measured. Raises ConfigError."""
        period = duration(options.get("period", "1m"), "cloudwatch.period")
        if period not in _FINE and (period <= 0 or period % 60):
            raise ConfigError(f"no metric has periods of {show_duration(period)}", where="cloudwatch.period", do="Write 1, 5, 10, 20, 30 or whole minutes.")
        timeout = duration(options.get("timeout", "10s"), "cloudwatch.timeout")
        if timeout <= 0:
            raise ConfigError("a timeout of 0 waits for ever", where="cloudwatch.timeout")
        aws = Aws("cloudwatch", {name: options.get(name) for name in AWS_OPTIONS}, timeout)
        delay = duration(options.get("delay", "1m"), "cloudwatch.delay")
        return cls(aws, period=int(period), delay=delay, consolidate=options.get("consolidate", "last"))

    def probe(self) -> None:
        """Ask for a metric that need not be there: whether we may. Raises Unavailable, ConfigError, MissingDependency."""
        metric = {"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount"}
        end = math.floor(self._clock() / self._period) * self._period
        self._asked([{"Id": "probe", "MetricStat": {"Metric": metric, "Period": self._period, "Stat": "Sum"}}], end - self._period, end)

    def query(self, query: str, window: Window) -> Series:
        """One sample for each series. Raises NoData, Stale, Unavailable, Unsupported; ConfigError for a query that is refused."""
        if window.builtin:
            raise Unsupported("CloudWatch has no built-in metrics here", where="cloudwatch", do="Write a query.")
        queries = prepared(query, window_labels(window), self._period)
        until = min(window.end, self._clock() - self._delay) + self._ahead
        start, end = math.ceil((window.start + self._ahead) / self._period) * self._period, math.floor(until / self._period) * self._period
        if start >= end:
            raise NoData(f"no whole period of {show_duration(self._period)} is over yet", where=self._aws.where)
        found, partial = self._asked(queries, start, end)
        counts = [series for (name, _label), series in found.items() if name == REQUESTS]
        values = {key: series for key, series in found.items() if key[0] != REQUESTS}
        if counts and (len(counts) > 1 or len(values) > 1):
            raise Unavailable(f"{len(values)} values and {len(counts)} counts of requests: which belong together?", where=self._aws.where)
        if not values or not all(values.values()):
            raise NoData("no data" + (f" ({partial})" if partial else ""), where=self._aws.where)
        samples = []
        for (name, label), series in values.items():
            self._fresh(max(series), end, label)
            value, n = self._consolidated(series, counts[0] if counts else None)
            samples.append(Sample((Point(max(series) + self._period, value, n),), {"id": name, "label": label}))
        return Series(tuple(samples), partial, query)

    def _fresh(self, newest: float, end: float, label: str) -> None:
        age = end - self._period - newest
        if age > 2 * self._period:
            what = f"the newest value of {label[:80]!r} is {show_duration(age + self._period)} older than it should be"
            raise Stale(what, where=self._aws.where, do="Does it still come in? Set period to that of the metric, and delay to how late it comes.")

    def _consolidated(self, series: Mapping[float, float], counts: Optional[Mapping[float, float]]) -> tuple[float, Optional[int]]:
        """(value, number of requests). Without requests there is no value, whatever an expression made of 0 / 0."""
        times = [max(series)] if self._consolidate == "last" else list(series)
        weights = None
        if counts is not None:
            wrong = next((count for count in counts.values() if not (0 <= count < 1e15)), None)
            if wrong is not None:
                raise Unavailable(f"{wrong:g} is no number of requests", where=self._aws.where)
            weights = [counts.get(each, 0.0) for each in times]  # a period without requests has no count either
            if not sum(weights):
                raise NoData("made from no requests at all", where=self._aws.where)
        values = [series[each] for each in times]
        n = None if weights is None else int(sum(weights) + 0.5)
        if self._consolidate == "average":
            each = weights or [1.0] * len(values)
            return sum(value * weight for value, weight in zip(values, each)) / sum(each), n
        return {"last": values[-1], "max": max(values), "min": min(values), "sum": sum(values)}[self._consolidate], n

    def _asked(self, queries: Sequence[Mapping[str, Any]], start: float, end: float) -> tuple[dict[Key, dict[float, float]], str]:
        """(value by time, of each Id and label; in what way the answer is partial), of all pages. Raises Unavailable."""
        returned = [each["Id"] for each in queries if each.get("ReturnData", True)]
        asked: dict[str, Any] = {"MetricDataQueries": list(queries), "StartTime": _utc(start), "EndTime": _utc(end), "ScanBy": "TimestampAscending",
                                 "MaxDatapoints": POINTS}  # fmt: skip
        found: dict[Key, dict[float, float]] = {}
        status: dict[Key, str] = {}
        notes: dict[str, None] = {}
        for _page in range(PAGES):
            answer = self._aws.call("get_metric_data", **asked)
            ours = self._clock()
            skew = served(Response(200, (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}, b""), ours) - ours
            self._ahead = skew if abs(skew) > SECONDS else 0.0
            self._read(answer, returned, (start, end), found, status, notes)
            if not answer.get("NextToken"):
                break
            if answer["NextToken"] == asked.get("NextToken"):
                raise Unavailable("page after page is the same one", where=self._aws.where)
            asked["NextToken"] = answer["NextToken"]
        else:
            raise Unavailable(f"more than {PAGES} pages", where=self._aws.where, do="Let the query aggregate.")
        left = [name for name in returned if name not in {key[0] for key in found} and not _many(queries, name)]
        if left:
            raise Unavailable(f"no answer to {left[0]!r}", where=self._aws.where)
        for (name, _label), told in status.items():
            if told != "Complete":
                notes[f"{name}: {_STATUS[told]}"] = None
            if told in ("InternalError", "Forbidden"):
                raise Unavailable("; ".join(notes)[:300], where=self._aws.where)
        return found, "; ".join(notes)[:300]

    def _read(
        self, answer: Mapping[str, Any], returned: Sequence[str], between: tuple[float, float], found: dict[Key, dict[float, float]],
        status: dict[Key, str], notes: dict[str, None],
    ) -> None:  # fmt: skip
        """Take one page apart. What comes with a later page counts of a status: PartialData is said of all but the last."""
        where = self._aws.where
        results = answer.get("MetricDataResults")
        if not isinstance(results, list):
            raise Unavailable("an answer without results; a proxy's, perhaps", where=where)
        notes.update(dict.fromkeys(_messages(answer)))
        for each in results:
            if not isinstance(each, dict) or each.get("Id") not in returned:
                raise Unavailable("a result that nobody asked for", where=where)
            key = (each["Id"], str(each.get("Label") or each["Id"]))
            told = each.get("StatusCode")
            if told != "Complete" and told not in _STATUS:
                raise Unavailable(f"{str(told)[:40]!r} is no status of a result", where=where)
            status[key] = told
            notes.update(dict.fromkeys(_messages(each)))
            times, values = each.get("Timestamps") or [], each.get("Values") or []
            if len(times) != len(values):
                raise Unavailable(f"{len(values)} values and {len(times)} times", where=where)
            series = found.setdefault(key, {})
            for at, value in zip(times, values):
                if not isinstance(at, datetime.datetime) or isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise Unavailable(f"{str(value)[:40]!r} at {str(at)[:40]!r} is not a value", where=where)
                moment = at.timestamp()
                if not between[0] <= moment < between[1] or moment in series:
                    raise Unavailable("a time outside of the window, or twice", where=where)
                series[moment] = float(value)


def _many(queries: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a query may rightly have no result at all: a search that finds nothing, or groups of nothing."""
    [expression] = [str(each.get("Expression") or "") for each in queries if each["Id"] == name]
    return bool(re.match(r"\s*SELECT\b", expression, re.IGNORECASE) or re.search(r"\bSEARCH\s*\(", expression))


def _messages(told: Mapping[str, Any]) -> list[str]:
    return [": ".join(str(each.get(name) or "")[:120] for name in ("Code", "Value")) for each in told.get("Messages") or () if isinstance(each, dict)]


def _utc(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc)


def prepared(query: str, labels: Mapping[str, str], period: int) -> list[dict[str, Any]]:
    """The MetricDataQueries that a query stands for, placeholders filled. Raises ConfigError, and Unavailable for a label that has no value."""
    text = query.strip()
    if not text.startswith("["):
        return [{"Id": "value", "Expression": fill(text, labels, _word, "query"), "Period": period}]
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"it is no JSON: {error}", where="query", do="Give the list of MetricDataQueries as the API takes it, or one expression.") from None
    made = [_checked(each, _FIELDS, f"query[{index}]") for index, each in enumerate(given)]
    names = [each.get("Id") for each in made]
    if not made or not all(names) or len(set(names)) < len(names):
        raise ConfigError("each of these queries needs an Id of its own", where="query")
    if not any(each.get("ReturnData", True) and each["Id"] != REQUESTS for each in made):
        raise ConfigError("no query returns a value", where="query", do="Leave ReturnData out of the one that is the value.")
    for index, each in enumerate(made):
        where = f"query[{index}]"
        if ("Expression" in each) == ("MetricStat" in each):
            raise ConfigError("exactly one of Expression and MetricStat is wanted", where=where)
        if "Expression" in each:
            each["Expression"] = fill(each["Expression"], labels, _word, where)
            each.setdefault("Period", period)
        else:
            each["MetricStat"] = _stat(each["MetricStat"], labels, period, f"{where}.MetricStat")
        if each.get("Period", period) != period:
            raise ConfigError(f"a Period of {each['Period']}, where the provider's is {period}", where=where, do="Set period of the provider, once for all.")
    return made


def _stat(given: Any, labels: Mapping[str, str], period: int, where: str) -> dict[str, Any]:
    stat = _checked(given, _STAT, where)
    if "Metric" not in stat or "Stat" not in stat:
        raise ConfigError("Metric and Stat are wanted", where=where)
    metric = _checked(stat["Metric"], _METRIC, f"{where}.Metric")
    dimensions = [_checked(each, _DIMENSION, f"{where}.Metric.Dimensions[{index}]") for index, each in enumerate(metric.get("Dimensions") or ())]
    metric["Dimensions"] = [{name: fill(text, labels, str, where) for name, text in each.items()} for each in dimensions]
    made = {**stat, "Metric": {name: fill(value, labels, str, where) if isinstance(value, str) else value for name, value in metric.items()}}
    if made.setdefault("Period", period) != period:
        raise ConfigError(f"a Period of {made['Period']}, where the provider's is {period}", where=where, do="Set period of the provider, once for all.")
    return made


def _checked(given: Any, fields: Mapping[str, type], where: str) -> dict[str, Any]:
    """A mapping with these keys and no others, whose first letters may be small. Raises ConfigError."""
    if not isinstance(given, dict):
        raise ConfigError("a mapping is wanted", where=where)
    made = {name[:1].upper() + name[1:]: value for name, value in given.items() if value is not None}
    for name, value in made.items():
        if name not in fields:
            raise ConfigError(f"unknown key {name[:40]!r}", where=where, do=f"Known: {', '.join(sorted(fields))}.")
        if not isinstance(value, fields[name]) or (fields[name] is int and isinstance(value, bool)):
            raise ConfigError(f"{name} is no {fields[name].__name__}", where=where)
    return made


def _word(text: str) -> str:
    """A value within an expression, where a quote would end a string."""
    if not re.fullmatch(r"[\w.:/@+-]+", text, re.ASCII):
        raise Unavailable(f"{text[:80]!r} cannot stand in an expression", do="Use it as the value of a dimension, in a MetricStat.")
    return text
