# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics straight from HAProxy's own counters, for pools without a metrics server.

``error_rate`` and ``success_rate`` are shares 0..1 of the requests answered in the window, ``request_rate`` is answers a second. HAProxy keeps no
distribution of its times, only a moving average: the query ``latency_mean`` gives that, in milliseconds; ``latency`` (a quantile) is refused. Any other
query is the name of a column of ``show stat``, such as ``scur`` or ``qcur``: its present sum over the track's servers.

Source: HAProxy management guide, section 9.1. A failed connection, a broken answer and a 5xx of the server itself are counted in three different
columns of a server (econ, eresp, hrsp_5xx), each request in one of them; a backend's hrsp_5xx holds them all.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..clients import looks
from ..clients.haproxy import FAILED, HaproxyClient, count, epoch, name, parse_info, parse_stats, stat_command
from ..core.errors import ConfigError, NoData, Unavailable, Unsupported, unknown
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options
from ..core.units import duration

BUILTINS = ("error_rate", "request_rate", "success_rate")
MEAN = "latency_mean"
ANSWERS = ("hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")
WHOLE = "BACKEND"
"""The row of ``show stat`` that stands for the backend itself."""
LOOKS = 4096
"""Looks remembered: more than a day of one every 30 s."""

Row = Mapping[str, str]
Place = tuple[str, str, str]
"""Endpoint, backend and server (or WHOLE): one row of one load balancer."""


@dataclass(frozen=True)
class Counted:
    """One row's counters since its HAProxy started."""

    requests: int
    failed: int


@dataclass(frozen=True)
class Look:
    """The counters of every row at one moment (seconds since the epoch)."""

    time: float
    counted: Mapping[Place, Counted]
    epochs: Mapping[str, str]


class HaproxyProvider:
    """The MetricProvider port over the stats sockets of the HAProxy processes that serve the same users.

    ``places``: the backend and server (or WHOLE) that make up a track. Windows lie between this object's own looks, so the first query of a window
    has no data. ``clock`` gives seconds since the epoch.
    """

    SUMMARY: ClassVar[str] = "HAProxy's own counters, by its stats socket."
    OPTIONS: ClassVar[Options] = {
        "endpoints": Option(
            "list", "The stats sockets of all load balancers that serve these users, each a path or host:port.", required=True, elements="str"
        ),
        "backend": Option("name", "The backend whose servers are the members of the tracks. Either this or C(backends)."),
        "backends": Option("dict", "The backend of each track, where tracks are whole backends. Either this or C(backend).", open=True),
        "server_names": Option("dict", "Names of servers in HAProxy by host, where they differ from the host's.", open=True),
        "timeout": Option("duration", "Longest wait for a connection or an answer, at most 10s.", default="5s"),
    }

    def __init__(self, clients: Sequence[HaproxyClient], places: Mapping[str, Sequence[tuple[str, str]]], clock: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._places = {track: tuple(rows) for track, rows in places.items()}
        self._backends = sorted({name(backend, "backend") for rows in places.values() for backend, _server in rows})
        self._clock = clock
        self._looks: deque[Look] = deque(maxlen=LOOKS)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> HaproxyProvider:
        """``tracks``: the hosts of each track, as the inventory has them. Raises ConfigError."""
        if ("backend" in options) == ("backends" in options):
            raise ConfigError("exactly one of backend and backends is wanted", where="haproxy")
        if "backends" in options:
            places = {str(track): [(str(backend), WHOLE)] for track, backend in options["backends"].items()}
        else:
            names = options.get("server_names", {})
            places = {track: [(options["backend"], name(str(names.get(host, host)))) for host in hosts] for track, hosts in tracks.items()}
        timeout = duration(options.get("timeout", "5s"))
        return cls([HaproxyClient(endpoint, timeout) for endpoint in options["endpoints"]], places)

    def probe(self) -> None:
        """Take the first look. Raises Unavailable, and ConfigError for a backend or server that an HAProxy does not have."""
        self._look()

    def query(self, query: str, window: Window) -> Series:
        """A builtin or ``latency_mean`` between the look nearest to the window's start and now, or a column as it is now.

        Raises NoData before there are two looks in the window, without requests in it, and when an HAProxy restarted in it; Unavailable;
        Unsupported; ConfigError for an unknown track, server or column.
        """
        if window.builtin and window.builtin not in BUILTINS:
            do = "For times use query: latency_mean, HAProxy's moving average; quantiles need a metrics server."
            raise Unsupported(f"HAProxy's counters do not give {window.builtin}", where="haproxy", do=f"They give {', '.join(BUILTINS)}. {do}")
        if window.track not in self._places:
            raise unknown("track", window.track, self._places, where="haproxy")
        asked = window.builtin or query.strip()
        look, rows = self._look()
        if asked not in (*BUILTINS, MEAN):
            value = float(sum(count(row, (_column(asked, row),)) for _place, row in self._of(window.track, rows)))
            return _series(Point(look.time, value), asked, window)
        earlier = looks.earlier(self._looks, look.time, window, max(1.0, min(window.seconds / 4, 5.0)), "HAProxy's")
        delta = {place: self._delta(earlier, look, place) for place, _row in self._of(window.track, rows)}
        requests = sum(each.requests for each in delta.values())
        seconds = look.time - earlier.time
        if asked == "request_rate":
            return _series(Point(look.time, requests / seconds, requests), asked, window)
        if not requests:
            raise NoData(f"no request was answered in {seconds:.1f} s", where=f"haproxy {window.track}")
        if asked == MEAN:
            spent = sum(count(rows[place], ("rtime",)) * each.requests for place, each in delta.items())
            return _series(Point(look.time, spent / requests, requests), asked, window)
        share = sum(each.failed for each in delta.values()) / requests
        return _series(Point(look.time, share if asked == "error_rate" else 1 - share, requests), asked, window)

    def _look(self) -> tuple[Look, dict[Place, Row]]:
        rows: dict[Place, Row] = {}
        epochs = {}
        for client in self._clients:
            info, *answers = client.ask(["show info", *(stat_command(backend) for backend in self._backends)])
            epochs[client.endpoint] = epoch(parse_info(info, client.endpoint))
            for backend, answer in zip(self._backends, answers):
                found = {row.get("svname", ""): row for row in parse_stats(answer, client.endpoint)}
                if not found:
                    raise ConfigError(f"there is no backend {backend}", where=client.endpoint)
                if "" in found:
                    raise Unavailable("a row of `show stat` names no server", where=client.endpoint)
                for server in (server for places in self._places.values() for other, server in places if other == backend):
                    if server not in found:
                        raise unknown("server", server, set(found) - {WHOLE}, where=f"{client.endpoint} backend {backend}")
                    rows[client.endpoint, backend, server] = found[server]
        look = Look(self._clock(), {place: _counted(row) for place, row in rows.items()}, epochs)
        self._looks.append(look)
        return look, rows

    def _of(self, track: str, rows: Mapping[Place, Row]) -> Iterator[tuple[Place, Row]]:
        for place, row in rows.items():
            if place[1:] in self._places[track]:
                yield place, row

    def _delta(self, earlier: Look, look: Look, place: Place) -> Counted:
        old, new = earlier.counted[place], look.counted[place]
        if earlier.epochs[place[0]] != look.epochs[place[0]] or new.requests < old.requests or new.failed < old.failed:
            raise NoData("it restarted within the window, and counts anew", where=f"haproxy {place[0]}", do="Later looks have data again.")
        return Counted(new.requests - old.requests, new.failed - old.failed)


def _counted(row: Row) -> Counted:
    """A server's answers include those that never came; in TCP mode there are only connections. Raises Unavailable for a row without its counters."""
    for column in ("lbtot", *FAILED[1:]) if row.get("mode") == "tcp" else (*ANSWERS, *FAILED[1:]):
        if not re.fullmatch("[0-9]+", row.get(column, "")):  # taken for 0 it would be a value made from nothing
            raise Unavailable(f"`show stat` has {row.get(column, '')[:40]!r} as {column} of {row['svname']}", where="haproxy")
    broken = count(row, FAILED[1:])
    if row.get("mode") == "tcp":
        return Counted(count(row, ("lbtot",)), broken)
    if row.get("svname") == WHOLE:
        return Counted(count(row, ANSWERS), count(row, FAILED[:1]))
    return Counted(count(row, ANSWERS) + broken, count(row, FAILED))


def _column(asked: str, row: Row) -> str:
    if asked not in row:
        raise unknown("column of show stat", asked, [*row, MEAN, *BUILTINS], where="haproxy")
    if not row[asked].isdigit():
        raise NoData(f"column {asked} holds no number: {row[asked][:40]!r}", where=f"haproxy {row.get('svname', '')}")
    return asked


def _series(point: Point, asked: str, window: Window) -> Series:
    return Series((Sample((point,), {"track": window.track}),), query=asked)
