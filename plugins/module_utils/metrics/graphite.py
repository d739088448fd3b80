# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics from Graphite, and from what speaks its render API (go-carbon with carbonapi, VictoriaMetrics).

A query is a target. Every series of the answer is made one value from its points in the window: the newest of them, or their sum, mean, least or
greatest. A null is no point: Graphite writes it for what has not come in, and never means zero by it. The window is asked for relative to the
server's own time, without its cache. Source: the render API of Graphite 1.1, ``/render?format=json``.
"""

from __future__ import annotations

import math
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from ..clients.json_reply import document, refusal, served
from ..clients.web import CONNECTION, Response, connection, fetch, parse
from ..core.counted import whole
from ..core.errors import ConfigError, NoData, Stale, Unavailable, Unsupported
from ..core.metric import PLACEHOLDERS, fill, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options
from ..core.units import duration, show_duration

PAST = 30.0
"""A window that ended more than this many seconds ago is asked about at its end, not now."""

CONSOLIDATIONS: Mapping[str, Callable[[list[float]], float]] = {
    "average": lambda values: sum(values) / len(values),
    "last": lambda values: values[-1],
    "max": max,
    "min": min,
    "sum": sum,
}
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")


class GraphiteProvider:
    """The MetricProvider port over one Graphite. ``resolution``: seconds between two points; ``clock``: seconds since the epoch."""

    SUMMARY: ClassVar[str] = "A Graphite server, or anything that answers its render API."
    OPTIONS: ClassVar[Options] = {
        "url": Option("str", "Where the server listens, such as V(http://graphite:8080). A path before C(/render) is kept.", required=True),
        **CONNECTION,
        "resolution": Option(
            "duration", "Time between two points of a series, as the first retention of its storage schema says. Data older than two of them is an error.",
            default="10s",
        ),
        "consolidate": Option("str", "How the points of a series in the window become one value.", default="last", choices=tuple(CONSOLIDATIONS)),
        "x_files_factor": Option(
            "float", "Share of a series' points in the window that must be there, else it is no data. Not for V(consolidate=last).", default=0.5,
            minimum=0.0, maximum=1.0,
        ),
        "count_query": Option(
            "str", "Target for the number of requests that the value was made from, added up over the window. For C(rollout_analysis.metrics.min_requests)."
        ),
    }  # fmt: skip

    def __init__(
        self, url: str, access: Mapping[str, Any], *, resolution: float = 10.0, consolidate: str = "last", x_files_factor: float = 0.5, count_query: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url.rstrip("/")
        self._access = dict(access)
        self._resolution = resolution
        self._consolidate = consolidate
        self._needed = x_files_factor
        self._count_query = count_query
        self._clock = clock

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> GraphiteProvider:
        """``tracks`` does not matter here: series are found by their names. Raises ConfigError."""
        if "?" in options["url"]:
            raise ConfigError("the URL of a server holds no query", where="graphite.url")
        parse(options["url"], options.get("url_allow") or (), options.get("within") or ())
        _target(options.get("count_query", ""), dict.fromkeys(PLACEHOLDERS, "x"), "graphite.count_query")
        resolution = duration(options.get("resolution", "10s"))
        if resolution <= 0:
            raise ConfigError("resolution must be more than nothing", where="graphite.resolution")
        return cls(
            options["url"], connection(options), resolution=resolution, consolidate=options.get("consolidate", "last"),
            x_files_factor=options.get("x_files_factor", 0.5), count_query=options.get("count_query", ""),
        )  # fmt: skip

    def probe(self) -> None:
        """Ask for a constant. Raises Unavailable, ConfigError."""
        response = self._fetch("constantLine(1)", 60, 0)
        if len(self._series(response)) != 1:
            raise Unavailable("a constant is not one series", where=self.url)

    def query(self, query: str, window: Window) -> Series:
        """The value of each series of the target. Raises NoData, Stale, Unavailable, Unsupported; ConfigError for a target that is refused."""
        if window.builtin:
            raise Unsupported("Graphite has no built-in metrics here", where="graphite", do="Write a query: a target.")
        labels = window_labels(window)
        asked = _target(query, labels, "query")
        n = None
        if self._count_query:
            n = self._requests(_target(self._count_query, labels, "graphite.count_query"), window)
        samples = [
            Sample((Point(points[-1].time, self._value(points, name, self._consolidate), n),), {"target": name})
            for name, points in self._ask(asked, window)
        ]  # fmt: skip
        return Series(tuple(samples), query=asked)

    def _requests(self, asked: str, window: Window) -> int:
        series = self._ask(asked, window)
        if len(series) != 1:
            raise Unavailable(f"{len(series)} series count the requests, and one is wanted", where="graphite.count_query", do="Wrap it in sumSeries().")
        [(name, points)] = series
        return whole(self._value(points, name, "sum"), "graphite.count_query")

    def _ask(self, asked: str, window: Window) -> list[tuple[str, list[_Found]]]:
        """Every series by name, with at least one value whose newest is fresh."""
        ours = self._clock()
        behind = ours - window.end if ours - window.end > PAST else 0.0
        seconds = max(1, math.ceil(window.seconds))
        response = self._fetch(asked, seconds, behind)
        until = served(response, ours) - behind
        found = self._series(response)
        if not found:
            raise NoData("no series has this name", where=f"{self.url} {asked[:120]}")
        for name, points in found:
            there = [point for point in points if point.value is not None]
            if not there:
                raise NoData("nothing but nulls", where=f"{self.url} {name[:120]}")
            age = until - there[-1].time
            if abs(age) > 2 * self._resolution + 1:  # times are whole seconds, of the beginning of a point
                how = f"{show_duration(abs(age))} {'old' if age > 0 else 'ahead'}"
                raise Stale(
                    f"the newest value is {how}, more than two points ({show_duration(2 * self._resolution)})",
                    where=f"{self.url} {name[:120]}", do="Does it still come in? Set resolution to the time between two points.",
                )  # fmt: skip
        return [(name, _until_newest(points)) for name, points in found]

    def _value(self, points: list[_Found], name: str, how: str) -> float:
        values = [point.value for point in points if point.value is not None]
        if how != "last" and len(values) < self._needed * len(points):
            raise NoData(f"{len(values)} of {len(points)} points are there, needs {math.ceil(self._needed * len(points))}", where=f"{self.url} {name[:120]}")
        if any(math.isinf(value) for value in values) and how in ("average", "sum"):
            return max(values, key=abs)  # whichever it is: +Inf and -Inf have no sum
        return CONSOLIDATIONS[how](values)

    def _fetch(self, asked: str, seconds: int, behind: float) -> Response:
        until = f"-{behind:.0f}s" if behind else "now"
        fields = {"target": asked, "from": f"-{seconds + behind:.0f}s", "until": until, "format": "json", "noCache": "true"}
        return fetch(f"{self.url}/render?{urllib.parse.urlencode(fields)}", **self._access)

    def _series(self, response: Response) -> list[tuple[str, list[_Found]]]:
        """A reply taken apart. Anything that is not exactly what the API promises is Unavailable; a target that it refuses is a ConfigError."""
        if response.status == 400:
            text = response.body[:300].decode("utf-8", "replace").strip()
            raise ConfigError("the server refuses the target" + (f": {text}" if text and "<" not in text else ""), where=self.url)
        if response.status != 200:
            raise Unavailable(refusal(response), where=self.url)
        reply = document(response, self.url)
        if not isinstance(reply, list):
            raise Unavailable("an answer that is no list of series", where=self.url)
        found = []
        for each in reply:
            if not isinstance(each, dict) or not isinstance(each.get("target"), str) or not isinstance(each.get("datapoints"), list):
                raise Unavailable("a series without a name or points", where=self.url)
            points = [_point(pair, self.url) for pair in each["datapoints"]]
            if any(later.time <= earlier.time for earlier, later in zip(points, points[1:])):
                raise Unavailable("points that are not in the order of time", where=self.url)
            found.append((each["target"], points))
        return found


@dataclass(frozen=True)
class _Found:
    """A point of an answer. ``value`` is None for null."""

    time: float
    value: Optional[float]


def _point(pair: Any, where: str) -> _Found:
    """``[value, time]``. Graphite writes an infinite value as 1e9999."""
    if not isinstance(pair, list) or len(pair) != 2 or isinstance(pair[1], bool) or not isinstance(pair[1], (int, float)) or not 0 <= pair[1] < 1e11:
        raise Unavailable("a point that is not [value, time]", where=where)
    value, moment = pair
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise Unavailable(f"{str(value)[:40]!r} is not a value", where=where)
    try:
        return _Found(float(moment), None if value is None else float(value))
    except OverflowError:
        raise Unavailable("a value that is too large", where=where) from None


def _until_newest(points: list[_Found]) -> list[_Found]:
    """Without the nulls at the end: what has not come in yet is not missing."""
    last = max(index for index, point in enumerate(points) if point.value is not None)
    return points[: last + 1]


def _target(template: str, labels: Mapping[str, str], where: str) -> str:
    """A target with its placeholders filled: a node of a name outside of quotes, a tag's value within. Raises ConfigError, Unavailable."""
    bare = re.sub(r"\$\{[^{}]*\}", "", _STRING.sub("", template))
    if any(bare.count(opened) != bare.count(closed) for opened, closed in ("()", "{}")) or "'" in bare or '"' in bare:
        # Graphite reads such a target as far as it makes sense, and answers with an empty list
        raise ConfigError(f"a bracket or quote of {template[:80]!r} is not closed, or not opened", where=where)
    parts, end = [], 0
    for quoted in _STRING.finditer(template):
        parts.append(fill(template[end:quoted.start()], labels, _node, where))
        escape = _in_regex if re.search(r"!?=~", quoted[0]) else _in_string
        parts.append(fill(quoted[0], labels, escape, where))
        end = quoted.end()
    return "".join([*parts, fill(template[end:], labels, _node, where)])


def _node(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise Unavailable(f"{text[:80]!r} cannot be a node of a name, where a dot divides and a star matches everything", do="Find it by a tag: seriesByTag().")
    return text


def _in_string(text: str) -> str:
    if not re.fullmatch(r"[\w.:/@+-]+", text, re.ASCII):
        raise Unavailable(f"{text[:80]!r} cannot stand in a target")
    return text


def _in_regex(text: str) -> str:
    return re.sub(r"([.+])", r"\\\1", _in_string(text))
