# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics from InfluxDB: InfluxQL as 1.x answers it at ``/query``, Flux as 2.x does at ``/api/v2/query``.

A query has to say which part of time it is about, by ``${window}`` or by ``${start}`` and ``${end}``, and to make one row of each series. An
aggregate carries no time of what it was made from, so how old that is can only be asked: see ``newest_query``.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..clients.json_reply import document, refusal, served
from ..clients.web import CONNECTION, Response, connection, fetch, parse
from ..core.counted import whole
from ..core.errors import ConfigError, NoData, Unavailable, Unsupported
from ..core.influx_reply import Table, flux, influxql, number
from ..core.metric import PLACEHOLDERS, fill, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.moment import fresh, moment
from ..core.options import Option, Options
from ..core.units import duration, iso

PAST = 30.0
"""A window that ended more than this many seconds ago cannot be asked about by how far to look back from now."""
KNOWN = tuple(sorted({*PLACEHOLDERS, "end", "start"} - {"query"}))
"""The names that ``${...}`` may hold. ``start`` and ``end`` are times in the query's own language."""
_STRING = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)


class InfluxdbProvider:
    """The MetricProvider port over one InfluxDB. ``place``: database and retention policy, or organisation, as the API names them."""

    SUMMARY: ClassVar[str] = "An InfluxDB server, by InfluxQL or Flux."
    OPTIONS: ClassVar[Options] = {
        "url": Option("str", "Where the server listens, such as V(http://influxdb:8086).", required=True),
        **CONNECTION,
        "language": Option("str", "What the queries are written in: V(influxql) for 1.x, V(flux) for 2.x.", default="influxql", choices=("influxql", "flux")),
        "database": Option("str", "The database of InfluxQL queries."),
        "retention_policy": Option("str", "The retention policy of InfluxQL queries. Default: the database's own."),
        "org": Option("str", "The organisation of Flux queries, by its name."),
        "value_column": Option("str", "The column with the value. Default: V(_value) in Flux, the only one beside C(time) in InfluxQL."),
        "count_column": Option("str", "The column with the number of requests the value was made from, for C(rollout_analysis.metrics.min_requests)."),
        "newest_query": Option("str", "A query for the newest rows, such as one with V(last). Their times must not be older than C(max_age)."),
        "max_age": Option("duration", "How old the newest row may be, by the server's clock. For C(newest_query).", default="2m"),
    }

    def __init__(
        self, url: str, access: Mapping[str, Any], language: str, place: Mapping[str, str], *, value_column: str = "", count_column: str = "",
        newest_query: str = "", max_age: float = 120.0, clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url.rstrip("/")
        self._access = dict(access)
        self._flux = language == "flux"
        self._place = dict(place)
        self._value_column = value_column
        self._count_column = count_column
        self._newest_query = newest_query
        self._max_age = max_age
        self._clock = clock

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> InfluxdbProvider:
        """``tracks`` does not matter here: series are found by their tags. Raises ConfigError."""
        if "?" in options["url"]:
            raise ConfigError("the URL of a server holds no query", where="influxdb.url")
        parse(options["url"], options.get("url_allow") or (), options.get("within") or ())
        language = options.get("language", "influxql")
        wanted, other = ("org", "database") if language == "flux" else ("database", "org")
        if not options.get(wanted) or options.get(other):
            raise ConfigError(f"{language} needs {wanted}, and not {other}", where="influxdb")
        if options.get("newest_query"):
            _check(options["newest_query"], language == "flux", "influxdb.newest_query")
        place = {"org": options["org"]} if language == "flux" else {"db": options["database"]}
        if options.get("retention_policy"):
            place["rp"] = options["retention_policy"]
        return cls(
            options["url"], _access(options, language), language, place, value_column=options.get("value_column", ""),
            count_column=options.get("count_column", ""), newest_query=options.get("newest_query", ""), max_age=duration(options.get("max_age", "2m")),
        )  # fmt: skip

    def probe(self) -> None:
        """Ask for something small that needs the rights to read. Raises Unavailable, ConfigError."""
        if self._flux:
            self._ask("buckets() |> limit(n: 1)")
        else:  # SHOW MEASUREMENTS of a database that is not there is merely empty
            name = self._place["db"].replace("\\", "\\\\").replace('"', '\\"')
            self._ask(f'SHOW RETENTION POLICIES ON "{name}"')

    def query(self, query: str, window: Window) -> Series:
        """The value of each series. Raises NoData, Stale, Unavailable, Unsupported; ConfigError for a query that is refused or not limited in time."""
        if window.builtin:
            raise Unsupported("InfluxDB has no built-in metrics here", where="influxdb", do="Write a query.")
        asked = self._filled(query, window, "query")
        tables, partial, now = self._ask(asked)
        if not tables:
            raise NoData("the query returned no rows", where=self.url)
        newest = self._newest(window) if self._newest_query else now
        return Series(tuple(Sample((self._point(table, newest),), table.tags) for table in tables), partial, asked)

    def _point(self, table: Table, when: float) -> Point:
        row = table.row(self.url)
        column = self._value_column or "_value"
        if not self._value_column and not self._flux:
            others = [name for name in row if name not in ("time", self._count_column)]
            if len(others) != 1:
                raise Unavailable(f"{len(others)} columns could be the value: {', '.join(others)[:200]}", where=self.url, do="Set value_column.")
            [column] = others
        value = number(row, column, self.url)
        if not self._count_column:
            return Point(when, value)
        return Point(when, value, whole(number(row, self._count_column, self.url), self.url))

    def _newest(self, window: Window) -> float:
        """The time of the oldest of the newest rows of each series. Raises Stale."""
        tables, partial, now = self._ask(self._filled(self._newest_query, window, "influxdb.newest_query"))
        if partial:
            raise Unavailable(f"the answer is partial: {partial[:200]}", where="influxdb.newest_query")
        if not tables or not all(table.rows for table in tables):
            raise NoData("the query returned no rows", where="influxdb.newest_query")
        column = "_time" if self._flux else "time"
        # Flux says when something was; InfluxQL was asked for milliseconds, and a small number of them must not pass for seconds
        scale = 1.0 if self._flux else 1000.0
        times = []
        for table in tables:
            cells = [row.get(column) for row in table.rows]
            if any(cell is None or isinstance(cell, str) is not self._flux for cell in cells):
                raise Unavailable(f"a row without {column}", where="influxdb.newest_query")
            times.append(max(moment(cell, "influxdb.newest_query") if self._flux else float(cell or 0) / scale for cell in cells))
        behind = self._clock() - window.end
        for each in times:
            fresh(each, now - behind if behind > PAST else now, self._max_age, "influxdb.newest_query")
        return min(times)

    def _filled(self, query: str, window: Window, where: str) -> str:
        _check(query, self._flux, where)
        if self._clock() - window.end > PAST and ("${start}" not in query or "${end}" not in query):
            raise ConfigError("the query looks back from now, and is asked about a window of the past", where=where, do="Limit it by ${start} and ${end}.")
        times = {"start": self._time(window.start), "end": self._time(window.end)}
        return _rendered(query, {**window_labels(window), **times}, set(times.values()), where)

    def _time(self, seconds: float) -> str:
        return iso(max(0.0, seconds)) if self._flux else f"{max(0, int(seconds * 1000))}ms"

    def _ask(self, asked: str) -> tuple[tuple[Table, ...], str, float]:
        """The tables, in what way they are partial, and what time it was on the server."""
        access = dict(self._access)
        if self._flux:
            access["headers"] = {"Content-Type": "application/json", "Accept": "application/csv", **access["headers"]}
            dialect = {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": True}
            body = json.dumps({"query": asked, "type": "flux", "dialect": dialect}).encode()
            response = fetch(f"{self.url}/api/v2/query?{urllib.parse.urlencode(self._place)}", method="POST", body=body, **access)
        else:
            fields = {**self._place, "q": asked, "epoch": "ms"}
            response = fetch(f"{self.url}/query?{urllib.parse.urlencode(fields)}", **access)
        self._refuse(response)
        now = served(response, self._clock())
        if not self._flux:
            tables, partial = influxql(document(response, self.url), self.url)
            return tables, partial, now
        try:
            return flux(response.body.decode("utf-8"), self.url), "", now
        except UnicodeDecodeError:
            raise Unavailable("the answer is not UTF-8", where=self.url) from None

    def _refuse(self, response: Response) -> None:
        if response.status == 200:
            return
        said = _said(response)
        if response.status == 400 and said:
            raise ConfigError(f"the server refuses the query: {said}", where=self.url)
        raise Unavailable(refusal(response) + (f": {said}" if said else ""), where=self.url)


def _access(options: Mapping[str, Any], language: str) -> dict[str, Any]:
    """How to connect. InfluxDB 2 has a scheme of its own for its tokens, 1.x takes JSON web tokens as bearer tokens."""
    token = options.get("token")
    if not token or language != "flux":
        return connection(options)
    if options.get("username") or options.get("oauth2"):
        raise ConfigError("give one of token, oauth2, and username with password", where="influxdb")
    access = connection({name: value for name, value in options.items() if name != "token"})
    return {**access, "headers": {"Authorization": f"Token {token}", **access["headers"]}}


def _said(response: Response) -> str:
    """What the server gives as its reason, where it gives one as JSON."""
    try:
        reply = json.loads(response.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return ""
    if not isinstance(reply, dict):
        return ""
    return str(reply.get("error") or reply.get("message") or "")[:300]


def _check(query: str, is_flux: bool, where: str) -> None:
    """Raise ConfigError for a query that says nothing about time, or would do more than read."""
    if "${window}" not in query and "${start}" not in query:
        do = "Write range(start: -${window})." if is_flux else "Write WHERE time > now() - ${window}."
        raise ConfigError("nothing limits the query to the time of the step", where=where, do=do)
    bare = _STRING.sub("''", query)
    if not is_flux and (not re.match(r"\s*select\b", bare, re.IGNORECASE) or ";" in bare.rstrip().rstrip(";") or re.search(r"\binto\b", bare, re.IGNORECASE)):
        raise ConfigError("the query is not one SELECT that only reads", where=where)
    _rendered(query, dict.fromkeys(KNOWN, "x"), set(), where)


def _rendered(query: str, labels: Mapping[str, str], times: set[str], where: str) -> str:
    """A query with its placeholders filled: a bare word outside of quotes, a name without anything that could end it within."""

    def bare(text: str) -> str:
        if text not in times and not re.fullmatch(r"[A-Za-z0-9_]+", text):
            raise Unavailable(f"{text[:80]!r} cannot stand outside of quotes in a query", where=where)
        return text

    parts, end = [], 0
    for quoted in _STRING.finditer(query):
        parts += [fill(query[end:quoted.start()], labels, bare, where, KNOWN), fill(quoted[0], labels, _within, where, KNOWN)]
        end = quoted.end()
    return "".join([*parts, fill(query[end:], labels, bare, where, KNOWN)])


def _within(text: str) -> str:
    if not re.fullmatch(r"[\w.:/@+-]+", text, re.ASCII):
        raise Unavailable(f"{text[:80]!r} cannot stand in a query")
    return text
