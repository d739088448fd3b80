# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics from Prometheus, and from what speaks its query API (Thanos, Mimir, VictoriaMetrics, OpenShift's monitoring).

Built-in metrics are shares 0..1 (``error_rate``, ``success_rate``, ``slow_share``, ``cpu_throttling``), requests a second (``request_rate``), milliseconds
(``latency``), bytes (``memory``) and a number (``restarts``). ``Point.n`` is the number of requests in the window.

An instant query is evaluated at the server's own time. An answer counts only when it is whole: HTTP 200, ``status: success``, no warnings,
values in the API's own spelling, and a newest sample younger than two scrapes. A window with a resolution is a range query, on times that are
multiples of it. Source: the HTTP API of Prometheus 2.x, ``/api/v1/query`` and ``/api/v1/query_range``.
"""

from __future__ import annotations

import json
import math
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Optional

from ..clients import exposition
from ..clients.web import CONNECTION, Response, connection, fetch, parse
from ..core.errors import ConfigError, NoData, Stale, Unavailable, Unsupported, unknown
from ..core.metric import quoted, render, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options
from ..core.promql import selectors
from ..core.units import duration, show_duration

MOST_POINTS = 11000
"""What one answer may hold of a series: the server's own limit."""
PAST = 30.0
"""A window that ended more than this many seconds ago is asked about at its end, not now."""


@dataclass(frozen=True)
class Convention:
    """How one source of requests names its series. ``errors`` marks a failed request, ``to_ms`` makes milliseconds of its times.

    ``buckets`` is the histogram of durations, without ``_bucket``; empty where there is none.
    """

    requests: str
    errors: str
    buckets: str = ""
    to_ms: float = 1000.0
    by_pod: bool = False
    """Whether the Pods themselves are scraped, so that the label ``pod`` says whose requests these are."""


CONVENTIONS: Mapping[str, Convention] = {
    "envoy": Convention("envoy_cluster_upstream_rq_xx", 'envoy_response_code_class="5"', "envoy_cluster_upstream_rq_time", 1.0),
    "generic": Convention("http_requests_total", 'code=~"5.."', "http_request_duration_seconds", by_pod=True),
    "haproxy": Convention("haproxy_server_http_responses_total", 'code="5xx"'),
    "istio": Convention("istio_requests_total", 'response_code=~"5.."', "istio_request_duration_milliseconds", 1.0),
    "nginx_ingress": Convention("nginx_ingress_controller_requests", 'status=~"5.."', "nginx_ingress_controller_request_duration_seconds"),
    "traefik": Convention("traefik_service_requests_total", 'code=~"5.."', "traefik_service_request_duration_seconds"),
}

POD_NAMES: Mapping[str, str] = {"deployment": "[^-]+-[^-]{5}", "statefulset": "[0-9]+", "daemonset": "[^-]{5}"}
"""What Kubernetes writes behind an object's name and a hyphen to name its Pods, by the kind of object. No other object's Pods match it."""


class PrometheusProvider:
    """The MetricProvider port over one Prometheus. ``lag``: seconds the newest sample may be behind; ``clock``: seconds since the epoch."""

    KEEPS_PAST: ClassVar[bool] = True
    SUMMARY: ClassVar[str] = "A Prometheus server, or anything that answers its query API."
    OPTIONS: ClassVar[Options] = {
        "url": Option("str", "Where the server listens, such as V(http://prometheus:9090). A path before C(/api/v1) is kept.", required=True),
        **CONNECTION,
        "scrape_interval": Option("duration", "How often the server scrapes. Data older than two scrapes is an error.", default="15s"),
        "allow_partial": Option("bool", "Accept answers with warnings: the server did not see everything.", default=False),
        "convention": Option("str", "Whose series the built-in metrics read.", default="generic", choices=tuple(CONVENTIONS)),
        "errors": Option("str", "Label matcher of a failed request, where it differs from the convention's, such as V(status=~\"5..\")."),
        "selectors": Option(
            "dict", "Label matchers of each track's requests, such as V(canary: 'job=\"shop\",track=\"canary\"'). For built-in metrics."
            " Default, on Kubernetes and with the convention V(generic): the labels C(namespace) and C(pod).", default={}, open=True,
        ),
        "container_selectors": Option(
            "dict", "Label matchers of each track's containers, for V(memory), V(restarts) and V(cpu_throttling)."
            " Default, on Kubernetes: the labels C(namespace), C(pod) and C(container).", default={}, open=True,
        ),
    }

    def __init__(
        self, url: str, access: Mapping[str, Any], *, scrape_interval: float = 15.0, allow_partial: bool = False, convention: Optional[Convention] = None,
        selectors_by_track: Optional[Mapping[str, str]] = None, containers_by_track: Optional[Mapping[str, str]] = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url.rstrip("/")
        self.lag = scrape_interval
        self._access = dict(access)
        self._allow_partial = allow_partial
        self._convention = convention or CONVENTIONS["generic"]
        self._selectors = dict(selectors_by_track or {})
        self._containers = dict(containers_by_track or {})
        self._clock = clock
        self._bounds_seen: set[str] = set()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> PrometheusProvider:
        """``tracks`` does not matter here: series are found by their labels."""
        if "?" in options["url"]:
            raise ConfigError("the URL of a server holds no query", where="prometheus.url")
        parse(options["url"], options.get("url_allow") or (), options.get("within") or ())
        convention = CONVENTIONS[options.get("convention", "generic")]
        if options.get("errors"):
            convention = replace(convention, errors=options["errors"])
        return cls(
            options["url"], connection(options), scrape_interval=duration(options.get("scrape_interval", "15s")),
            allow_partial=options.get("allow_partial", False), convention=convention,
            selectors_by_track=options.get("selectors"), containers_by_track=options.get("container_selectors"),
        )  # fmt: skip

    def probe(self) -> None:
        """Ask for a constant. Raises Unavailable, ConfigError."""
        self._evaluate("vector(1)", None)

    def query(self, query: str, window: Window) -> Series:
        """The answer to ``query`` with its placeholders filled, or to ``window.builtin``.

        Raises NoData; Stale; Unavailable (no whole answer, an empty label); Unsupported; ConfigError (the query does not parse, no selector).
        """
        labels = window_labels(window)
        asked = self._builtin(window, labels) if window.builtin else render(query, labels, "query")
        behind = self._clock() - window.end
        if window.builtin == "slow_share":
            self._check_bound(window, labels, behind)
        if window.resolution:
            return self._series(asked, window, labels, behind)
        answer = self._evaluate(asked, behind if behind > PAST else None)
        if behind <= PAST:
            self._check_fresh(asked, answer.now)
        counts = self._counted(window, labels)
        n = self._requests(counts, behind) if counts else None
        samples = tuple(Sample((Point(point.time, point.value, n),), sample.labels) for sample in answer.samples for point in sample.points)
        return Series(samples, answer.partial, asked)

    def why_no_data(self, query: str, window: Window) -> str:
        """The first selector of the question that matches nothing now, and what there is instead."""
        labels = window_labels(window)
        asked = self._counted(window, labels) or self._builtin(window, labels) if window.builtin else render(query, labels, "query")
        for selector in selectors(asked):
            name = selector.partition("{")[0]
            try:
                if self._there(selector):
                    continue
                if name == selector or not self._there(name):
                    return f"{self.url} has no series {name or selector}"
                [sample] = self._evaluate(f"topk(1, {name})", None).samples
            except (NoData, Unavailable):
                return ""
            others = ", ".join(f'{label}="{text}"' for label, text in sorted(sample.labels.items()) if label != "__name__")
            return f"no series matches {selector}, and there are others, such as {{{others}}}"
        return ""

    def _there(self, selector: str) -> bool:
        try:
            return bool(self._evaluate(f"count({selector})", None).samples)
        except NoData:
            return False

    def _builtin(self, window: Window, labels: Mapping[str, str]) -> str:
        """The query of a built-in metric. A numerator that never counted is 0, a denominator that is absent stays no data."""
        kind, span = window.builtin, labels["window"]
        if kind in ("memory", "restarts", "cpu_throttling"):
            return self._container_query(kind, window, labels)
        with_errors = self._selector(self._selectors, "selectors", window, labels)
        total = f"sum(rate({self._convention.requests}{{{with_errors}}}[{span}]))"
        failed = f"(sum(rate({self._convention.requests}{{{with_errors},{self._convention.errors}}}[{span}])) or 0 * {total})"
        if kind == "latency" and self._convention.buckets:
            buckets = f"sum by (le) (rate({self._convention.buckets}_bucket{{{with_errors}}}[{span}]))"
            return f"histogram_quantile({window.quantile:g}, {buckets}) * {self._convention.to_ms:g}"
        if kind == "slow_share" and self._convention.buckets:
            within = f"sum(rate({self._within(window, labels)}[{span}]))"
            return f"clamp_min(1 - {within} / sum(rate({self._convention.buckets}_count{{{with_errors}}}[{span}])), 0)"
        queries = {"error_rate": f"{failed} / {total}", "success_rate": f"1 - {failed} / {total}", "request_rate": total}
        if kind not in queries:
            raise Unsupported(f"no built-in metric {kind} for this convention", where="prometheus", do="Write a query.")
        return queries[kind]

    def _within(self, window: Window, labels: Mapping[str, str]) -> str:
        """The bucket that counts what was not slow. Its bound is spelled by whoever exports it: 1, 1.0 or 1e+06."""
        bound = round(window.slower_than * 1000 / self._convention.to_ms, 9)
        spelled = sorted({f"{bound:g}", repr(bound), *([str(int(bound))] if bound == int(bound) else [])})
        return self._buckets(window, labels, 'le=~"' + "|".join(re.sub(r"([.+])", r"[\1]", text) for text in spelled) + '"')

    def _buckets(self, window: Window, labels: Mapping[str, str], le: str = "") -> str:
        matchers = self._selector(self._selectors, "selectors", window, labels)
        return f"{self._convention.buckets}_bucket{{{matchers}{',' + le if le else ''}}}"

    def _check_bound(self, window: Window, labels: Mapping[str, str], behind: float) -> None:
        """Raise ConfigError where no bucket ends at the bound, Unavailable where only some series have one that does."""
        within = self._within(window, labels)
        if within in self._bounds_seen:
            return
        ago = behind if behind > PAST else None
        all_of = self._count(self._buckets(window, labels, 'le="+Inf"'), ago)
        have = self._count(within, ago)
        if not all_of and not have:
            return  # no data, as the query itself will say
        if not have:
            found = self._evaluate(f"count by (le) ({self._buckets(window, labels)})", ago).samples
            bounds = sorted({sample.labels.get("le", "") for sample in found} - {"", "+Inf"}, key=_as_number)
            raise ConfigError(f"no bucket ends at {show_duration(window.slower_than)}", where="slower_than",
                              do=f"The buckets of {self._convention.buckets} end at {', '.join(bounds) or 'nothing'}.")
        if have < all_of:
            raise Unavailable(f"{have:g} of {all_of:g} series have a bucket that ends at {show_duration(window.slower_than)}", where=within[:200])
        self._bounds_seen.add(within)

    def _count(self, selector: str, behind: Optional[float]) -> float:
        try:
            return self._evaluate(f"count({selector})", behind).samples[0].points[0].value
        except NoData:
            return 0.0

    def _container_query(self, kind: str, window: Window, labels: Mapping[str, str]) -> str:
        span = labels["window"]
        selector = self._selector(self._containers, "container_selectors", window, labels, _container_of(labels))
        if kind == "memory":
            return f"max(container_memory_working_set_bytes{{{selector}}})"
        if kind == "restarts":
            return f"sum(increase(kube_pod_container_status_restarts_total{{{selector}}}[{span}]))"
        parts = [f"sum(rate(container_cpu_cfs_{name}_total{{{selector}}}[{span}]))" for name in ("throttled_periods", "periods")]
        return " / ".join(parts)

    def _selector(self, known: Mapping[str, str], option: str, window: Window, labels: Mapping[str, str], more: str = "") -> str:
        """The matchers of a track's series. ``more``: what stands behind those of a Kubernetes object's Pods."""
        if not known and labels.get("kind") in POD_NAMES and (self._convention.by_pod or option == "container_selectors"):
            pods = f'namespace="${{namespace}}",pod=~"${{workload}}-{POD_NAMES[labels["kind"]]}"'
            return render(pods, labels, f"prometheus.{option}") + more
        if not known:
            raise ConfigError(f"nothing says which series are those of {window.track}", where=f"prometheus.{option}",
                              do=f"Write {option}: {{{window.track}: 'label=\"value\"'}}, one for each track.")
        if window.track not in known:
            raise unknown("track", window.track, known, where=f"prometheus.{option}")
        return render(str(known[window.track]), labels, f"prometheus.{option}.{window.track}")

    def _counted(self, window: Window, labels: Mapping[str, str]) -> str:
        """The query for how many requests a built-in metric was made from; empty where it is not made from requests."""
        if window.builtin not in ("error_rate", "success_rate", "request_rate", "latency", "slow_share"):
            return ""
        name = f"{self._convention.buckets}_count" if window.builtin in ("latency", "slow_share") else self._convention.requests
        return f"sum(increase({name}{{{self._selector(self._selectors, 'selectors', window, labels)}}}[{labels['window']}]))"

    def _requests(self, query: str, behind: float) -> Optional[int]:
        try:
            answer = self._evaluate(query, behind if behind > PAST else None)
        except NoData:
            return None
        value = answer.samples[0].points[0].value
        return int(value + 0.5) if math.isfinite(value) else None

    def _series(self, asked: str, window: Window, labels: Mapping[str, str], behind: float) -> Series:
        """The values of a range query, times by our clock. The scrape that is still to come is left out; so is what would reach before the window."""
        step = window.resolution
        first = math.ceil((window.start + window.lookback) / step - 1e-6) * step
        last = math.floor((window.end - (0.0 if behind > PAST else self.lag)) / step + 1e-6) * step
        wanted = round((last - first) / step) + 1
        if wanted < 1:
            raise NoData(f"no value every {show_duration(step)} fits into {show_duration(window.seconds)}", where=self.url)
        if wanted > MOST_POINTS:
            raise ConfigError(f"{wanted:,} values of {show_duration(window.seconds)} are more than the {MOST_POINTS:,} that a server answers with",
                              where="resolution", do=f"Write {show_duration(math.ceil(step * wanted / MOST_POINTS))} or more.")
        before = self._clock()
        now = self._evaluate("vector(0)", None).now
        ahead = round(now - (before + self._clock()) / 2)
        ahead = 0 if abs(ahead) < 2 else ahead  # less than that is the way there and back
        answer = self._evaluate_range(asked, first + ahead, last + ahead, step)
        if behind <= PAST:  # after the answer: what was never there is no data, not old data
            self._check_fresh(asked, now)
        counted: dict[float, Optional[int]] = {}
        counts = self._counted(window, labels)
        if counts:
            try:
                found = self._evaluate_range(counts, first + ahead, last + ahead, step).samples[0].points
            except NoData:
                found = ()
            counted = {point.time: int(point.value + 0.5) if math.isfinite(point.value) else None for point in found}
        samples = tuple(
            Sample(tuple(Point(point.time - ahead, point.value, counted.get(point.time)) for point in sample.points), sample.labels)
            for sample in answer.samples
        )
        return Series(samples, answer.partial, asked)

    def _evaluate_range(self, query: str, start: float, end: float, step: float) -> _Answer:
        fields = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        response = fetch(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(fields)}", **self._access)
        return _read(response, self.url, self._allow_partial, (start - step, end + step))

    def _check_fresh(self, query: str, now: float) -> None:
        """Raise Stale when every series that the query reads has stopped: a range still holds old samples for a while."""
        read = selectors(query)
        newest = -math.inf
        for selector in read:
            try:
                newest = max(newest, self._evaluate(f"max(timestamp({selector}))", None).samples[0].points[0].value)
            except NoData:
                continue
            if now - newest <= 2 * self.lag:
                return
        if read:
            age = show_duration(now - newest) + " old" if math.isfinite(newest) else "gone"
            raise Stale(
                f"the newest sample is {age}, more than two scrapes ({show_duration(2 * self.lag)})", where=f"{self.url} {read[0][:120]}",
                do="Is the target still scraped? Set scrape_interval to what the server uses.",
            )  # fmt: skip

    def _evaluate(self, query: str, behind: Optional[float]) -> _Answer:
        """An instant query: now, or ``behind`` seconds before the server's now."""
        fields = {"query": query}
        if behind is not None:
            fields["time"] = f"{self._evaluate('vector(0)', None).now - behind:.3f}"
        response = fetch(f"{self.url}/api/v1/query?{urllib.parse.urlencode(fields)}", **self._access)
        return _read(response, self.url, self._allow_partial)


def _container_of(labels: Mapping[str, str]) -> str:
    """The named container, or all of a Pod's without the sandbox and without their sum."""
    return f",container={quoted(labels['container'])}" if labels.get("container") else ',container!="",container!="POD"'


@dataclass(frozen=True)
class _Answer:
    """A whole reply. ``now`` is the time of evaluation by the server's clock."""

    samples: tuple[Sample, ...]
    now: float
    partial: str


def _as_number(text: str) -> float:
    try:
        return exposition.number(text)
    except ValueError:
        return math.inf


def _read(response: Response, where: str, allow_partial: bool, ends: Optional[tuple[float, float]] = None) -> _Answer:
    """A reply taken apart. ``ends``: a range was asked for, and its values lie between these times.

    Anything that is not exactly what the API promises is Unavailable; a query that it refuses is a ConfigError.
    """

    def wrong(what: str) -> Unavailable:
        return Unavailable(what, where=where)

    try:
        reply = json.loads(response.body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "of no type")[:60]
        raise wrong(f"HTTP {response.status} with a body that is not JSON ({kind}); a login page, perhaps") from None
    if not isinstance(reply, dict) or reply.get("status") not in ("success", "error"):
        raise wrong(f"HTTP {response.status} with JSON that is not an answer of the query API")
    if reply["status"] == "error":
        text = f"{reply.get('errorType')}: {str(reply.get('error'))[:300]}"
        if reply.get("errorType") == "bad_data":
            raise ConfigError(f"the server refuses the query: {text}", where=where)
        raise wrong(f"the server could not answer: {text}")
    if response.status != 200:
        raise wrong(f"HTTP {response.status}")
    warnings = reply.get("warnings") or []
    partial = "; ".join(str(item) for item in warnings) if isinstance(warnings, list) else str(warnings)
    data = reply.get("data")
    if not isinstance(data, dict) or "result" not in data:
        raise wrong("a successful answer without a result")
    samples = _samples(data, wrong) if ends is None else _ranges(data, ends, wrong)
    if not samples and partial and not allow_partial:
        raise wrong(f"no data, and the answer is partial: {partial[:200]}")
    if not samples:
        raise NoData("the query returned no series", where=where)
    return _Answer(samples, samples[0].points[0].time, "" if allow_partial else partial)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _samples(data: Mapping[str, Any], wrong: Callable[[str], Unavailable]) -> tuple[Sample, ...]:
    kind, result = data.get("resultType"), data["result"]
    if kind == "scalar":
        return (Sample((_point(result, wrong),)),)
    if kind != "vector":
        raise wrong(f"the query returns a {str(kind)[:20]}, not one value per series")
    if result is None:
        return ()
    if not isinstance(result, list):
        raise wrong("the result is not a list")
    samples = []
    for entry in result:
        if not isinstance(entry, dict) or not isinstance(entry.get("metric"), dict):
            raise wrong("a series without labels")
        if "value" not in entry:
            raise wrong("a series without a value (a native histogram?)")
        samples.append(Sample((_point(entry["value"], wrong),), {str(name): str(value) for name, value in entry["metric"].items()}))
    return tuple(samples)


def _ranges(data: Mapping[str, Any], ends: tuple[float, float], wrong: Callable[[str], Unavailable]) -> tuple[Sample, ...]:
    """The series of a range. A gap is a value that is not there; what is there rises in time."""
    result = data["result"]
    if data.get("resultType") != "matrix":
        raise wrong(f"the query returns a {str(data.get('resultType'))[:20]}, not a range of values per series")
    if result is None:
        return ()
    if not isinstance(result, list):
        raise wrong("the result is not a list")
    samples = []
    for entry in result:
        if not isinstance(entry, dict) or not isinstance(entry.get("metric"), dict):
            raise wrong("a series without labels")
        if not isinstance(entry.get("values"), list) or not entry["values"] or entry.get("histograms"):
            raise wrong("a series without values (a native histogram?)")
        points = tuple(_point(pair, wrong) for pair in entry["values"])
        times = [ends[0], *(point.time for point in points), ends[1]]
        if len(points) > MOST_POINTS or any(not earlier < later for earlier, later in zip(times, times[1:])):
            raise wrong("the values of a range do not follow each other within it")
        samples.append(Sample(points, {str(name): str(value) for name, value in entry["metric"].items()}))
    return tuple(samples)


def _point(pair: Any, wrong: Callable[[str], Unavailable]) -> Point:
    """``[time, "value"]``. The value is a string in the API's own spelling; a number that only looks like one is refused."""
    if not isinstance(pair, list) or len(pair) != 2 or isinstance(pair[0], bool) or not isinstance(pair[0], (int, float)):
        raise wrong("a value that is not [time, value]")
    moment, text = pair
    if text is None:
        raise NoData("the value is null")
    try:
        value = exposition.number(text) if isinstance(text, str) else None
    except ValueError:
        value = None
    if value is None or (math.isinf(value) and "inf" not in str(text).lower()):
        raise wrong(f"{str(text)[:40]!r} is not a value")
    return Point(float(moment), value)
