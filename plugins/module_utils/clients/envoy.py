# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy's admin interface: what it has applied, what it counted, how it sees its servers.

Which counters, and why (seen on Envoy 1.40): ``cluster.X.upstream_rq_completed`` counts every request that got an answer through the
cluster, once, however often it was tried (``upstream_rq_total`` counts tries, and none for a request that found no healthy server).
``cluster.X.upstream_rq_5xx`` counts the server's own 5xx and also the 503 and 504 that Envoy answers in the server's place, after a
reset, a refused connection or a timeout. An answer that breaks off after its head is in neither. Health checks are not counted.
"""

from __future__ import annotations

import functools
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..core.errors import ConfigError, Unavailable
from . import exposition, web

LARGEST = 64 * 1024 * 1024
"""Bytes of the longest answer accepted: a configuration dump of some thousand clusters."""

Histogram = Mapping["tuple[float, float]", float]
"""``{(lower, upper): observations}``, bounds in milliseconds."""


@dataclass(frozen=True)
class HostStatus:
    """One server of a cluster. ``state``: up, down or drain. ``requests`` counts since Envoy started."""

    address: str
    state: str
    in_flight: int
    requests: int


@dataclass(frozen=True)
class ClusterStatus:
    """One cluster. ``stat_name`` is what its statistics are filed under."""

    name: str
    stat_name: str
    hosts: tuple[HostStatus, ...]


@dataclass(frozen=True)
class Counters:
    """Requests of one cluster since Envoy started. ``latency`` is empty unless it was asked for."""

    requests: int
    failed: int
    latency: Histogram


@dataclass(frozen=True)
class RouteState:
    """A route configuration in force."""

    version: str
    config: Mapping[str, Any]


Answer = TypeVar("Answer")


def _whole(read: Callable[..., Answer]) -> Callable[..., Answer]:
    """JSON of another shape than Envoy's is an answer that makes no sense, wherever in it we notice."""

    @functools.wraps(read)
    def checked(self: EnvoyAdmin, *arguments: Any, **options: Any) -> Answer:
        try:
            return read(self, *arguments, **options)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"an answer of its admin interface has not the shape of Envoy's ({error})", where=f"envoy {self.name}") from None

    return checked


class EnvoyAdmin:
    """One Envoy, spoken to over HTTP. Every method raises Unavailable when it does not answer, or answers something else."""

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        target = web.parse(url)
        if target.path != "/":
            raise ConfigError(f"the address of an Envoy admin interface has no path {target.path[:80]}", do="Write http://HOST:PORT.")
        self.origin = target.origin
        self.timeout = timeout
        self.name = f"{target.host}:{target.port}"

    def get(self, path: str, **query: str) -> str:
        """The body of an answer with status 200."""
        status, body = self._exchange(path, query)
        if status != 200:
            raise Unavailable(f"GET {path} was answered with {status}: {body[:120].strip()}", where=f"envoy {self.name}")
        return body

    def get_json(self, path: str, **query: str) -> Any:
        return self._json(path, self.get(path, **query))

    def ready(self) -> None:
        """Raise Unavailable unless this Envoy serves."""
        state = self.get("/ready").strip()
        if state != "LIVE":
            raise Unavailable(f"it is {state[:40] or 'silent'}, not LIVE", where=f"envoy {self.name}")

    @_whole
    def epoch(self) -> str:
        """When this process loaded its bootstrap configuration: the same for its whole life, another one after a restart."""
        configs = self._dump(mask="last_updated")
        stamps = [str(config.get("last_updated", "")) for config in configs if str(config.get("@type", "")).endswith("BootstrapConfigDump")]
        if not stamps or not stamps[0]:
            raise Unavailable("/config_dump does not say when it started", where=f"envoy {self.name}")
        return stamps[0]

    @_whole
    def release(self) -> tuple[int, ...]:
        """Its version, such as (1, 40, 0)."""
        said = str(self.get_json("/server_info")["version"])
        return tuple(int(part) for part in said.split("/")[1].split("-")[0].split("."))

    @_whole
    def bound_to(self) -> str:
        """The address that its admin interface listens on, such as 0.0.0.0; '' for a UNIX socket."""
        configs = self._dump(mask="bootstrap.admin.address")
        admin: Mapping[str, Any] = next((config["bootstrap"].get("admin", {}) for config in configs if "bootstrap" in config), {})
        return str(admin.get("address", {}).get("socket_address", {}).get("address", ""))

    @_whole
    def routes(self, name: str) -> list[RouteState]:
        """The route configurations called ``name`` that were taken from discovery and are in force."""
        return [state for state in self.all_routes() if state.config.get("name") == name]

    @_whole
    def all_routes(self) -> list[RouteState]:
        """Every route configuration that was taken from discovery and is in force."""
        configs = self._dump(resource="dynamic_route_configs")
        return [RouteState(str(config.get("version_info", "")), config.get("route_config", {})) for config in configs]

    @_whole
    def listeners(self) -> list[Mapping[str, Any]]:
        """Every listener that was taken from discovery and is in force."""
        states = [config.get("active_state") or {} for config in self._dump(resource="dynamic_listeners")]
        return [state["listener"] for state in states if state.get("listener")]

    @_whole
    def refused(self, name: str) -> int:
        """How many updates of the route configuration ``name`` this Envoy has refused since it started."""
        stats = self._stats(rf"\.rds\.{re.escape(_stat(name))}\.update_rejected$")
        return sum(_count(entry.get("value", 0)) for entry in stats)

    @_whole
    def clusters(self, names: Iterable[str]) -> dict[str, ClusterStatus]:
        """The state of every one of ``names``. Raises ConfigError for a cluster that this Envoy does not have."""
        wanted, found = list(names), {}
        answer = self.get_json("/clusters", format="json")
        statuses = answer.get("cluster_statuses", []) if isinstance(answer, dict) else []
        for status in statuses:
            if status.get("name") in wanted:
                hosts = tuple(_host(host) for host in status.get("host_statuses", []))
                found[status["name"]] = ClusterStatus(status["name"], _stat(status.get("observability_name") or status["name"]), hosts)
        for name in wanted:
            if name not in found:
                known = ", ".join(sorted(str(status.get("name")) for status in statuses)) or "none"
                raise ConfigError(f"there is no cluster {name!r}", where=f"envoy {self.name}", do=f"Known: {known}.")
        return found

    @_whole
    def balancing(self, names: Iterable[str]) -> dict[str, str]:
        """How each of these clusters chooses its servers, such as ROUND_ROBIN or RING_HASH. A cluster that is not there is left out."""
        wanted, found = set(names), {}
        for resource in ("static_clusters", "dynamic_active_clusters"):
            for config in self._dump(resource=resource):
                cluster = config.get("cluster", {})
                if cluster.get("name") in wanted:
                    policies = cluster.get("load_balancing_policy", {}).get("policies", [])
                    name = (
                        str(policies[0]["typed_extension_config"]["name"]).rpartition(".")[2].upper() if policies else cluster.get("lb_policy", "ROUND_ROBIN")
                    )
                    found[str(cluster["name"])] = str(name)
        return found

    @_whole
    def counters(self, stat_names: Iterable[str], *, latency: bool = False) -> dict[str, Counters]:
        """Requests and failures by stat name; with ``latency`` also the histogram of answer times."""
        wanted = list(stat_names)
        what = "completed|5xx|time" if latency else "completed|5xx"
        pattern = rf"^cluster\.({'|'.join(re.escape(name) for name in wanted)})\.upstream_rq_({what})$"
        stats = self._stats(pattern, histogram_buckets="detailed") if latency else self._stats(pattern)
        values = {entry["name"]: _count(entry.get("value", 0)) for entry in stats if "name" in entry}
        histograms = self._histograms(wanted, pattern, stats) if latency else {}
        result = {}
        for name in wanted:
            if f"cluster.{name}.upstream_rq_completed" not in values:
                raise Unavailable(f"no statistics of cluster {name!r}", where=f"envoy {self.name}", do="Its stats_config may leave them out.")
            requests, failed = values[f"cluster.{name}.upstream_rq_completed"], values.get(f"cluster.{name}.upstream_rq_5xx", 0)
            result[name] = Counters(requests, failed, histograms.get(name, {}))
        return result

    @_whole
    def connections(self, clusters: Mapping[str, ClusterStatus]) -> dict[str, Counters]:
        """Connections and failed ones of these clusters, for what Envoy passes on without looking inside."""
        wanted = [status.stat_name for status in clusters.values()]
        pattern = rf"^cluster\.({'|'.join(re.escape(name) for name in wanted)})\.upstream_cx_(total|connect_fail)$"
        values = {entry["name"]: _count(entry.get("value", 0)) for entry in self._stats(pattern) if "name" in entry}
        result = {}
        for name, status in clusters.items():
            prefix = f"cluster.{status.stat_name}.upstream_cx_"
            if f"{prefix}total" not in values:
                raise Unavailable(f"no statistics of cluster {status.stat_name!r}", where=f"envoy {self.name}", do="Its stats_config may leave them out.")
            result[name] = Counters(values[f"{prefix}total"], values.get(f"{prefix}connect_fail", 0), {})
        return result

    def _histograms(self, names: list[str], pattern: str, stats: list[dict[str, Any]]) -> dict[str, Histogram]:
        """By stat name. In detail (bins a tenth of a power of ten wide), or as Prometheus buckets where an older Envoy has only those."""
        groups = [entry["histograms"] for entry in stats if "histograms" in entry]
        if any("details" in group for group in groups):
            found = {detail["name"]: detail.get("totals", []) for group in groups for detail in group.get("details", [])}
            return {
                name: {(b["lower_bound"], b["lower_bound"] + b["width"]): b["count"] for b in found.get(f"cluster.{name}.upstream_rq_time", [])}
                for name in names
            }
        metrics = exposition.parse(self.get("/stats/prometheus", filter=pattern), where=f"envoy {self.name}")
        return {name: exposition.buckets(metrics, "envoy_cluster_upstream_rq_time", {"envoy_cluster_name": name}) for name in names}

    def _stats(self, pattern: str, **query: str) -> list[dict[str, Any]]:
        status, body = self._exchange("/stats", {"format": "json", "filter": pattern, **query})
        if status == 400 and query:
            return self._stats(pattern)  # an Envoy that does not know the extra parameters
        answer = self._json("/stats", body) if status == 200 else None
        if not isinstance(answer, dict) or not isinstance(answer.get("stats", []), list):
            raise Unavailable(f"GET /stats was answered with {status}: {body[:120].strip()}", where=f"envoy {self.name}")
        return list(answer.get("stats", []))

    def _dump(self, **query: str) -> list[dict[str, Any]]:
        answer = self.get_json("/config_dump", **query)
        if not isinstance(answer, dict):
            raise Unavailable("/config_dump is not a mapping", where=f"envoy {self.name}")
        return list(answer.get("configs", []))

    def _json(self, path: str, body: str) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            raise Unavailable(f"GET {path} was not answered with JSON: {body[:80]!r}", where=f"envoy {self.name}") from None

    def _exchange(self, path: str, query: Mapping[str, str]) -> tuple[int, str]:
        url = f"{self.origin}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        answer = web.fetch(url, connect_timeout=self.timeout, read_timeout=self.timeout, max_bytes=LARGEST)
        return answer.status, answer.body.decode("utf-8", "replace")


def _count(value: Any) -> int:
    """A counter: a whole number, or one as text, as 64-bit numbers are written in JSON. Raises ValueError."""
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value), re.ASCII):
        raise ValueError(f"{value!r} is not a counter")
    return int(value)


def _stat(name: str) -> str:
    """A name as it stands in statistics: Envoy writes colons as underscores there."""
    return name.replace(":", "_")


def _host(host: Mapping[str, Any]) -> HostStatus:
    socket = host.get("address", {}).get("socket_address", {})
    pipe = host.get("address", {}).get("pipe", {}).get("path", "")
    address = f"{socket.get('address')}:{socket.get('port_value')}" if socket else str(pipe)
    stats = {entry.get("name"): _count(entry.get("value", 0)) for entry in host.get("stats", [])}
    health = host.get("health_status", {})
    eds = str(health.get("eds_health_status", "HEALTHY"))
    if eds == "DRAINING" or health.get("pending_dynamic_removal"):
        state = "drain"
    elif eds in ("UNHEALTHY", "TIMEOUT") or any(value is True for name, value in health.items() if name.startswith(("failed_", "pending_"))):
        state = "down"
    else:
        state = "up"
    return HostStatus(address, state, stats.get("rq_active", 0), stats.get("rq_total", 0))
