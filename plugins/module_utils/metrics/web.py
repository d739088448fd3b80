# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A number out of JSON over HTTP, as Argo Rollouts' web metric has it.

The metric's ``query`` is the JSON path of the value. When ``json_path`` is given here instead, the query is free to fill ``${query}`` in the
URL or the body. Any status outside 2xx is an error, and so is a path that does not exist.
"""

from __future__ import annotations

import json
import math
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..clients.web import CONNECTION, connection, fetch, parse
from ..core.errors import NoData, Unavailable, Unsupported
from ..core.jsonpath import numbers, steps
from ..core.metric import PLACEHOLDERS, fill, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options


class WebProvider:
    """The MetricProvider port over one URL. ``clock``: seconds since the epoch, for the time of a point."""

    SUMMARY: ClassVar[str] = "A number in a JSON document fetched over HTTP."
    OPTIONS: ClassVar[Options] = {
        "url": Option("str", "Where the document is. V(${track}), V(${version}), V(${query}) and the like are filled in, percent-encoded.", required=True),
        "method": Option("str", "Request method.", default="GET", choices=("GET", "POST", "PUT")),
        "body": Option("dict", "JSON document to send. Placeholders within its strings are filled in.", open=True),
        "json_path": Option("str", "Where the value is, such as V({$.data.rate}). Default: the metric's query is the path."),
        "count_path": Option("str", "Where the number of requests is that the value was made from, for C(rollout_analysis.metrics.min_requests)."),
        **CONNECTION,
    }

    def __init__(
        self, url: str, access: Mapping[str, Any], *, method: str = "GET", body: Mapping[str, Any] | None = None, json_path: str = "", count_path: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self._access = dict(access)
        self._method = method
        self._body = body
        self._path = json_path
        self._count_path = count_path
        self._clock = clock
        # a path or query may hold a secret: messages name the host alone
        self._where = urllib.parse.urlsplit(url)._replace(path="", query="", fragment="").geturl()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> WebProvider:
        """``tracks`` does not matter here: the URL names what is measured."""
        parse(fill(options["url"], dict.fromkeys(PLACEHOLDERS, "x"), str, "web.url"))
        for name in ("json_path", "count_path"):
            if options.get(name):
                steps(options[name], f"web.{name}")
        return cls(
            options["url"], connection(options), method=options.get("method", "GET"), body=options.get("body"),
            json_path=options.get("json_path", ""), count_path=options.get("count_path", ""),
        )  # fmt: skip

    def probe(self) -> None:
        """Nothing can be asked without a query; a URL without placeholders is fetched. Raises Unavailable."""
        if "${" not in self.url and self._method == "GET":
            self._document({})

    def query(self, query: str, window: Window) -> Series:
        """The numbers at the path. Raises NoData (null, an empty list), Unavailable (everything else that is not a number), Unsupported."""
        if window.builtin:
            raise Unsupported("a web metric has no built-in metrics", where="web", do="Write a query: the JSON path of the value.")
        labels = {**window_labels(window), "query": query}
        document = self._document(labels)
        n = None
        if self._count_path:
            [count] = numbers(document, self._count_path, "web.count_path")[:1]
            n = int(count) if math.isfinite(count) else None
        values = numbers(document, self._path or query, self._where)
        now = self._clock()
        return Series(tuple(Sample((Point(now, value, n),)) for value in values), query=query)

    def _document(self, labels: Mapping[str, str]) -> Any:
        url = fill(self.url, labels, lambda text: urllib.parse.quote(text, safe=""), "web.url")
        access = dict(self._access)
        body = None
        if self._body is not None:
            body = json.dumps(_filled(self._body, labels)).encode()
            access["headers"] = {"Content-Type": "application/json", **access["headers"]}
        response = fetch(url, method=self._method, body=body, **access)
        if response.status == 204:
            raise NoData("HTTP 204: no content", where=self._where)
        if not 200 <= response.status < 300:
            raise Unavailable(f"HTTP {response.status}", where=self._where)
        try:
            return json.loads(response.body.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "of no type")[:60]
            raise Unavailable(f"the body is not JSON ({kind}); a login page, perhaps", where=self._where) from None


def _filled(value: Any, labels: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, labels, str, "web.body")
    if isinstance(value, Mapping):
        return {name: _filled(item, labels) for name, item in value.items()}
    return [_filled(item, labels) for item in value] if isinstance(value, list) else value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
