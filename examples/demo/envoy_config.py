# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Envoy configuration of the demo: one listener whose routes come from a file, and one cluster a track.

Pure: every function returns the document. ``members`` is ``{"stable": {"blue1": 8001, ...}, ...}``, ports on the loopback.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TYPES = "type.googleapis.com/envoy"
SERVICE = "shop"
MIRROR = f"{SERVICE}-mirror"
"""The cluster that gets the copies of mirrored requests: the canary's servers, counted apart from the users' requests."""


def cluster_name(track: str) -> str:
    return f"{SERVICE}-{track}"


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def assignment(cluster: str, ports: list[int]) -> dict[str, Any]:
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}} for port in ports]}]}


def response(kind: str, resource: dict[str, Any]) -> dict[str, Any]:
    """A discovery file with one resource."""
    return {"version_info": "1", "resources": [{"@type": f"{TYPES}.config.{kind}", **resource}]}


def routes(tracks: list[str]) -> dict[str, Any]:
    """The route discovery file as it is before the first release: everything on the first track."""
    clusters = [{"name": cluster_name(track), "weight": 0 if number else 100} for number, track in enumerate(tracks)]
    host = {
        "name": SERVICE,
        "domains": ["*"],
        "routes": [
            {"name": "ping", "match": {"path": "/ping"}, "direct_response": {"status": 200, "body": {"inline_string": "pong\n"}}},
            {"name": "main", "match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}, "timeout": "60s"}},
        ],
    }
    return response("route.v3.RouteConfiguration", {"name": SERVICE, "virtual_hosts": [host]})


def endpoints(track: str, ports: list[int]) -> dict[str, Any]:
    """The endpoint discovery file of a track."""
    return response("endpoint.v3.ClusterLoadAssignment", assignment(cluster_name(track), ports))


def file_source(path: Path) -> dict[str, Any]:
    """A discovery file that is replaced by rename; Envoy watches its directory."""
    return {"path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}}, "resource_api_version": "V3"}


def cluster(name: str, ports: list[int], eds: Path | None) -> dict[str, Any]:
    health_check = {
        "timeout": "15s",  # a laptop with other things to do makes no server ill; one that is down refuses at once
        "interval": "0.5s",
        # Without it a cluster that has no traffic yet, such as a canary's, is looked at once a minute.
        "no_traffic_interval": "0.5s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/health"},
    }
    protocol = {
        "@type": f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
        # Shorter than the app keeps an idle connection: the app never closes one that Envoy is about to use.
        "common_http_protocol_options": {"idle_timeout": "30s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    result: dict[str, Any] = {
        "name": name,
        "connect_timeout": "5s",
        "health_checks": [health_check],
        # A server that is down never gets a request, not even when most of them are.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {f"{TYPES.split('/')[1]}.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    }
    if eds is None:
        return {**result, "type": "STATIC", "load_assignment": assignment(name, ports)}
    return {**result, "type": "EDS", "eds_cluster_config": {"eds_config": file_source(eds)}}


def bootstrap(admin: int, listen: int, rds: Path, members: dict[str, dict[str, int]], eds: dict[str, Path]) -> dict[str, Any]:
    """The bootstrap configuration. ``eds`` holds the endpoint files of the tracks that have one; the others are static."""
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": SERVICE,
        "rds": {"route_config_name": SERVICE, "config_source": file_source(rds)},
        "http_filters": [router],
    }
    listener = {
        "name": SERVICE,
        "address": address(listen),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }
    clusters = [cluster(cluster_name(track), list(hosts.values()), eds.get(track)) for track, hosts in members.items()]
    clusters.append(cluster(MIRROR, list(list(members.values())[-1].values()), None))
    return {
        "node": {"id": "demo", "cluster": "demo"},
        "admin": {"address": address(admin)},
        # Latency histograms are merged when statistics are flushed; every 5 s by default, too seldom for looks a second apart.
        "stats_flush_interval": "1s",
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }
