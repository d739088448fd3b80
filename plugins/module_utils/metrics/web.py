# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A number out of JSON over HTTP, as Argo Rollouts' web metric has it.

The metric's ``query`` is the JSON path of the value. When ``json_path`` is given here instead, the query is free to fill ``${query}`` in the
URL or the body. Any status outside 2xx is an error, and so is a path that does not exist, a reply that is not as ``expect`` wants it, and a
value that is older than ``max_age``.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..clients.json_reply import document, refusal, served
from ..clients.web import CONNECTION, connection, fetch, parse
from ..core.counted import whole
from ..core.errors import ConfigError, NoData, Unavailable, Unsupported
from ..core.jsonpath import numbers, places, same, steps, there
from ..core.metric import PLACEHOLDERS, fill, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.moment import fresh, moment
from ..core.options import Option, Options
from ..core.units import duration

TIMES = ("end", "end_ms", "start", "start_ms")
"""Placeholders of this provider: the window, in seconds and milliseconds since 1970."""
KNOWN = (*PLACEHOLDERS, *TIMES)
EMPTY: tuple[Any, ...] = (None, "", [], {})

EXPECT: Options = {
    "path": Option("str", "Where to look, such as V({$.timed_out}).", required=True),
    "value": Option("any", "What must be there. A number is a number: V(0) is neither V(false) nor V('0')."),
    "any_of": Option("list", "What must be there is one of these.", elements="raw"),
    "absent": Option("bool", "Nothing may be there: no such key, null, or an empty text, list or mapping.", default=False),
    "partial": Option(
        "bool", "What is not as expected makes the answer partial, which C(rollout_analysis.metrics.allow_partial) accepts. Else it is an error always.",
        default=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Expectation:
    """What must hold in a reply before a number in it is believed. ``values``: what may be at the path; none of them: nothing may be."""

    path: str
    values: tuple[Any, ...] = ()
    partial: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any], where: str) -> Expectation:
        """Raises ConfigError."""
        steps(options["path"], f"{where}.path")
        given = [name for name in ("value", "any_of") if options.get(name) is not None] + ["absent"] * bool(options.get("absent"))
        if len(given) != 1:
            raise ConfigError("give one of value, any_of and absent", where=where, do="absent: true says that nothing may be there.")
        if given == ["any_of"] and not options["any_of"]:
            raise ConfigError("any_of is an empty list", where=f"{where}.any_of")
        values = {"value": (options.get("value"),), "any_of": tuple(options.get("any_of") or ()), "absent": ()}[given[0]]
        return cls(options["path"], values, bool(options.get("partial")))

    def broken(self, document: Any) -> str:
        """Why it does not hold; empty when it does."""
        if not self.values:
            found = [place for place in there(document, self.path) if place not in EMPTY]
            return f"{self.path} is {_short(found[0])}, and nothing may be there" if found else ""
        wanted = " or ".join(_short(value) for value in self.values)
        try:
            found = places(document, self.path)
        except (NoData, Unavailable):
            return f"{self.path} is not in the answer, and must be {wanted}"
        wrong = [place for place in found if not any(same(place, value) for value in self.values)]
        return f"{self.path} is {_short(wrong[0])}, and must be {wanted}" if wrong else ""


class WebProvider:
    """The MetricProvider port over one URL. ``clock``: seconds since the epoch, where the server does not say what time it is."""

    SUMMARY: ClassVar[str] = "A number in a JSON document fetched over HTTP."
    OPTIONS: ClassVar[Options] = {
        "url": Option(
            "str", "Where the document is. V(${track}), V(${version}), V(${query}) and the like are filled in, percent-encoded; so are V(${start}), V(${end}),"
            " V(${start_ms}) and V(${end_ms}), the window since 1970.", required=True,
        ),
        "method": Option("str", "Request method.", default="GET", choices=("GET", "POST", "PUT")),
        "body": Option("dict", "JSON document to send. Placeholders within its strings are filled in.", open=True),
        "json_path": Option("str", "Where the value is, such as V({$.data.rate}). Default: the metric's query is the path."),
        "count_path": Option("str", "Where the number of requests is that the value was made from, for C(rollout_analysis.metrics.min_requests)."),
        "expect": Option("list", "What must hold in the answer; else it is not believed.", elements="dict", options=EXPECT),
        "time_path": Option("str", "Where the time of the value is: seconds or milliseconds since 1970, or ISO 8601 with its zone."),
        "max_age": Option("duration", "How old the value may be, by the server's clock. For C(time_path).", default="2m"),
        **CONNECTION,
    }  # fmt: skip

    def __init__(
        self, url: str, access: Mapping[str, Any], *, method: str = "GET", body: Mapping[str, Any] | None = None, json_path: str = "", count_path: str = "",
        expect: Sequence[Expectation] = (), time_path: str = "", max_age: float = 120.0, clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self._access = dict(access)
        self._method = method
        self._body = body
        self._path = json_path
        self._count_path = count_path
        self._expect = tuple(expect)
        self._time_path = time_path
        self._max_age = max_age
        self._clock = clock
        # a path or query may hold a secret: messages name the host alone
        self._where = urllib.parse.urlsplit(url)._replace(path="", query="", fragment="").geturl()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> WebProvider:
        """``tracks`` does not matter here: the URL names what is measured."""
        sample = dict.fromkeys(KNOWN, "x")
        parse(fill(options["url"], sample, str, "web.url", KNOWN))
        _filled(options.get("body"), sample)
        for name in ("json_path", "count_path", "time_path"):
            if options.get(name):
                steps(options[name], f"web.{name}")
        return cls(
            options["url"], connection(options), method=options.get("method", "GET"), body=options.get("body"),
            json_path=options.get("json_path", ""), count_path=options.get("count_path", ""),
            expect=[Expectation.from_options(each, f"web.expect[{index}]") for index, each in enumerate(options.get("expect") or ())],
            time_path=options.get("time_path", ""), max_age=duration(options.get("max_age", "2m")),
        )  # fmt: skip

    def probe(self) -> None:
        """Nothing can be asked without a query; a URL without placeholders is fetched. Raises Unavailable."""
        if "${" not in self.url and self._method == "GET":
            answer, _now = self._document({})
            self._check(answer)

    def query(self, query: str, window: Window) -> Series:
        """The numbers at the path. Raises NoData (null, an empty list), Stale, Unavailable (everything else that is not a number), Unsupported."""
        if window.builtin:
            raise Unsupported("a web metric has no built-in metrics", where="web", do="Write a query: the JSON path of the value.")
        labels = {**window_labels(window), **_times(window)}
        asked = fill(query, labels, _word, "query", KNOWN)
        answer, now = self._document({**labels, "query": asked})
        partial = self._check(answer)
        values = numbers(answer, self._path or asked, self._where)
        times, counts = self._dated(answer, len(values), now), self._counted(answer, len(values))
        return Series(tuple(Sample((Point(*point),)) for point in zip(times, values, counts)), partial, asked)

    def _check(self, answer: Any) -> str:
        """In what way the answer is partial. Raises Unavailable for one that is not as expected."""
        partial = []
        for each in self._expect:
            reason = each.broken(answer)
            if reason and not each.partial:
                raise Unavailable(f"the answer is not as expected: {reason}", where=self._where)
            if reason:
                partial.append(reason)
        return "; ".join(partial)

    def _counted(self, answer: Any, values: int) -> list[int | None]:
        """How many requests each value was made from."""
        if not self._count_path:
            return [None] * values
        counts = _one_each(numbers(answer, self._count_path, "web.count_path"), values, "count", self._where)
        return [whole(count, "web.count_path") for count in counts]

    def _dated(self, answer: Any, values: int, now: float) -> list[float]:
        """The time of each value. Raises Stale when one of them is old."""
        if not self._time_path:
            return [now] * values
        found = places(answer, self._time_path, self._where)
        if len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        if not found or any(place is None for place in found):
            raise NoData(f"{self._time_path} is {'null' if found else 'an empty list'}", where=self._where)
        times = [moment(place, self._where) for place in _one_each(found, values, "time", self._where)]
        for each in times:
            fresh(each, now, self._max_age, self._where)
        return times

    def _document(self, labels: Mapping[str, str]) -> tuple[Any, float]:
        """The document, and what time it was on the server."""
        url = fill(self.url, labels, lambda text: urllib.parse.quote(text, safe=""), "web.url", KNOWN)
        access = dict(self._access)
        body = None
        if self._body is not None:
            body = json.dumps(_filled(self._body, labels)).encode()
            access["headers"] = {"Content-Type": "application/json", **access["headers"]}
        response = fetch(url, method=self._method, body=body, **access)
        if response.status == 204:
            raise NoData("HTTP 204: no content", where=self._where)
        if not 200 <= response.status < 300:
            raise Unavailable(refusal(response), where=self._where)
        return document(response, self._where), served(response, self._clock())


def _one_each(found: list[Any], values: int, what: str, where: str) -> list[Any]:
    """``found`` for each of so many values: one for all of them, or one each."""
    if len(found) not in (1, values):
        raise Unavailable(f"the {what}_path finds {len(found)} for {values} values", where=where, do="It leads to one place, or to one for each value.")
    return found * values if len(found) == 1 else found


def _times(window: Window) -> dict[str, str]:
    start, end = max(0.0, window.start), max(0.0, window.end)
    return {"start": str(int(start)), "end": str(int(end)), "start_ms": str(int(start * 1000)), "end_ms": str(int(end * 1000))}


def _word(text: str) -> str:
    """A label within a query, whose language we do not know: nothing that could end a string or begin an operator of any."""
    if not re.fullmatch(r"[\w.:/@+-]+", text, re.ASCII):
        raise Unavailable(f"{text[:80]!r} cannot stand in a query", do="Put the placeholder into the URL or the body, where it is encoded.")
    return text


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _filled(value: Any, labels: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, labels, str, "web.body", KNOWN)
    if isinstance(value, Mapping):
        return {name: _filled(item, labels) for name, item in value.items()}
    return [_filled(item, labels) for item in value] if isinstance(value, list) else value
