# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy by file discovery (xDS): weights, match routes and mirrors in a route file, members in endpoint files.

The files are the truth; ``/config_dump`` of the admin interface says whether Envoy has taken them, its counters what really happens.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..clients import envoy_endpoints, envoy_routes
from ..clients.envoy import ClusterStatus, EnvoyAdmin
from ..clients.envoy_files import DiscoveryFile, Document, version
from ..core.affinity import AFFINITY, DRAWN, Cookie
from ..core.errors import ConfigError, DeliveryError, Unsupported
from ..core.fleet import Fleet
from ..core.model import Capability, Member, MemberView, Observation, Routes
from ..core.options import Option
from ..core.ports import TrafficRouter
from ..core.units import duration

STICKY_SINCE = (1, 36)
"""The first Envoy whose weighted clusters know use_hash_policy."""
RINGS = ("RING_HASH", "MAGLEV")
"""What makes something of a hash."""


class EnvoyRouter:
    """One Envoy. ``addresses``: member to ``host:port``, needed to move members and to show them by name."""

    SUMMARY = "Envoy by its discovery files on disk, verified at its admin interface."
    OPTIONS = {
        "endpoints": Option(
            "list",
            "The Envoys that serve the same users, each with its admin interface and its own files.",
            required=True,
            elements="dict",
            options={
                "admin": Option("str", "Its admin interface, such as http://127.0.0.1:9901. Keep that on the loopback or a private network.", required=True),
                "rds": Option("path", "Its route discovery file, JSON, replaced by rename (path_config_source with watched_directory).", required=True),
                "eds": Option("dict", "Track to the endpoint discovery file of its cluster. With it hosts can be drained and moved.", open=True, default={}),
            },
        ),
        "clusters": Option("dict", "Track to cluster, such as stable and canary. All of them stand in one rule of the routes.", required=True, open=True),
        "mirror_clusters": Option("dict", "Track to the cluster that takes mirrored copies: the same servers, counted apart.", open=True, default={}),
        "mirror_unsafe": Option("bool", "Mirror requests of every method, not only GET, HEAD and OPTIONS.", default=False),
        "affinity": AFFINITY,
        "route_config": Option("name", "The route configuration, where the file holds several."),
        "virtual_host": Option("str", "The virtual host, where several have a rule with these clusters."),
        "route": Option("str", "The name of the route, where several hold these clusters."),
        "addresses": Option("dict", "Inventory host to the address and port that Envoy knows it by, such as 10.0.0.5:8080.", open=True, default={}),
        "timeout": Option("duration", "Longest wait for one answer of an admin interface.", default="5s"),
    }
    capabilities: frozenset[Capability] = frozenset(Capability) - {Capability.CUT}
    """All that one may have (Envoy ends no requests on demand); an instance without endpoint files or a mirror cluster has less."""
    resolution: int = envoy_routes.BASE

    def __init__(
        self, admin: EnvoyAdmin, rds: DiscoveryFile, layout: envoy_routes.Layout, *,
        eds: Mapping[str, DiscoveryFile] | None = None, addresses: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.admin = admin
        self.rds = rds
        self.layout = layout
        self.eds = dict(eds or {})
        self.addresses = dict(addresses or {})
        missing = set() if self.eds else {Capability.MEMBERS, Capability.DRAIN}
        if not layout.mirrors:
            missing.add(Capability.MIRROR)
        self.capabilities = EnvoyRouter.capabilities - missing

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> TrafficRouter:
        """One router for all ``endpoints``. ``tracks``: track to its inventory hosts, as the workload knows them.

        Raises ConfigError for a track without a cluster, and for endpoint files without the addresses they need.
        """
        clusters = {str(track): str(name) for track, name in options["clusters"].items()}
        if len(clusters) < 2 or len(set(clusters.values())) != len(clusters):
            raise ConfigError("at least two tracks with a cluster of their own each are wanted", where="envoy.clusters")
        layout = envoy_routes.Layout(
            clusters, options.get("route_config", ""), options.get("virtual_host", ""), options.get("route", ""),
            {str(track): str(name) for track, name in options.get("mirror_clusters", {}).items()}, options.get("mirror_unsafe", False),
            Cookie.from_option(options.get("affinity"), "envoy"),
        )  # fmt: skip
        addresses = {str(host): _address(str(host), value) for host, value in options.get("addresses", {}).items()}
        for part, names in (("clusters", tracks), ("mirror_clusters", layout.mirrors)):
            for track in names:
                if track not in clusters:
                    raise ConfigError(f"no cluster for the track {track!r}", where=f"envoy.{part}", do=f"Known: {', '.join(sorted(clusters))}.")
        if not options["endpoints"]:
            raise ConfigError("no endpoint is named", where="envoy.endpoints")
        routers: dict[str, TrafficRouter] = {}
        for index, endpoint in enumerate(options["endpoints"]):
            files = {str(track): DiscoveryFile(str(path)) for track, path in endpoint.get("eds", {}).items()}
            if files and set(files) != set(clusters):
                wanted = f"Name one for each of {', '.join(sorted(clusters))}."
                raise ConfigError("endpoint files for some tracks only", where=f"envoy.endpoints[{index}].eds", do=wanted)
            unknown = sorted({host for hosts in tracks.values() for host in hosts} - set(addresses)) if files else []
            if unknown:
                raise ConfigError(f"no address for {', '.join(unknown)}", where="envoy.addresses", do="Endpoint files name servers by address.")
            admin = EnvoyAdmin(endpoint["admin"], duration(options.get("timeout", "5s")))
            routers[admin.name] = cls(admin, DiscoveryFile(endpoint["rds"]), layout, eds=files, addresses=addresses)
        if len(routers) != len(options["endpoints"]):
            raise ConfigError("two endpoints have the same admin interface", where="envoy.endpoints")
        return next(iter(routers.values())) if len(routers) == 1 else Fleet(routers)

    def read(self) -> Routes:
        """The routes on file. Raises Unavailable when Envoy does not serve, so that nobody starts to write for a dead one."""
        self.admin.ready()
        routes = envoy_routes.read(self.rds.read(), self.layout)
        return replace(routes, members=self._members()) if self.eds else routes

    def write(self, want: Routes) -> None:
        """Replace the files that differ: servers join before requests are sent to them, and leave after.

        Everything is worked out before the first file is touched.
        """
        self.admin.ready()
        document = self.rds.read()
        edited = envoy_routes.edit(document, want, self.layout)
        self._check_members(want)
        present = {track: self.eds[track].read() for track in want.members}
        joined = {track: self._edit_members(present[track], track, want, keep=True) for track in present}
        for track in present:
            if joined[track] != present[track]:
                joined[track] = self.eds[track].write(joined[track])
        if edited != document:
            self.rds.write(edited)
        for track in joined:
            left = self._edit_members(joined[track], track, want, keep=False)
            if left != joined[track]:
                self.eds[track].write(left)

    def observe(self, want: Routes) -> Observation:
        """What Envoy has in force, held against ``want``, and its counters. Raises Unavailable when it does not answer."""
        statuses = self.admin.clusters(self.layout.clusters.values())
        counters = self.admin.counters(status.stat_name for status in statuses.values())
        by_track = {track: counters[statuses[cluster].stat_name] for track, cluster in self.layout.clusters.items()}
        why = self._missing(want) or self._missing_members(want, statuses)
        return Observation(
            applied=not why,
            why=why,
            requests={track: each.requests for track, each in by_track.items()},
            failed={track: each.failed for track, each in by_track.items()},
            members=self._views(statuses),
            epoch=self.admin.epoch(),
        )

    def release(self) -> None:
        """Take our own match routes and mirrors out of the file."""
        document = self.rds.read()
        edited = envoy_routes.unowned(document, self.layout)
        if edited != document:
            self.rds.write(edited)

    def sessions(self) -> list[str]:
        """What holds them, or shall. Raises ConfigError for a cluster that makes nothing of a hash, and where something else holds them already."""
        cookie = self.layout.cookie
        if cookie is None:
            return []
        document = self.rds.read()
        edited = envoy_routes.held(document, self.layout)
        for cluster, policy in self.admin.balancing(self.layout.clusters.values()).items():
            if policy not in RINGS:
                raise ConfigError(f"cluster {cluster} balances by {policy}, so that a cookie means nothing to it", where=f"envoy {self.admin.name}",
                                  do='Its configuration, or its cluster discovery file, has to say: "lb_policy": "RING_HASH" (or "MAGLEV").')  # fmt: skip
        when = "already" if edited == document else "from the first weight on, and stays so"
        return [f"Envoy {self.admin.name}: the rule holds sessions by the cookie {cookie.name} {when}", DRAWN]

    def unassignable(self, want: Routes) -> str:
        """A split of users needs an Envoy that can choose between clusters by its hash policies."""
        if want.assignment is None:
            return ""
        release = self.admin.release()
        if release >= STICKY_SINCE:
            return ""
        told = ".".join(map(str, release))
        return f"envoy {self.admin.name} is version {told}, and splits users by a hash from {'.'.join(map(str, STICKY_SINCE))} on"

    def warnings(self) -> list[str]:
        """An admin interface that strangers can reach."""
        try:
            address = self.admin.bound_to()
            if not address or ipaddress.ip_address(address).is_loopback:
                return []
        except (DeliveryError, ValueError):
            return []
        what = f"its admin interface listens on {address}, and whoever reaches it can stop this Envoy"
        return [f"Envoy {self.admin.name}: {what}: bind it to 127.0.0.1, and run on its host (rollout_router.envoy.hosts)"]

    def _missing(self, want: Routes) -> str:
        """What of ``want`` is not in force; empty when all of it is."""
        document = self.rds.read()
        if envoy_routes.edit(document, want, self.layout) != document:
            return f"{self.rds.path} does not hold the wanted routes"
        name = envoy_routes.find(document, self.layout).route_config
        states = self.admin.routes(name)
        if not states:
            return f"envoy {self.admin.name} has no route configuration {name!r} from discovery"
        for state in states:
            if state.version != version(document):
                refused = self.admin.refused(name)
                hint = f" (it has refused {refused} updates since it started; its log says why)" if refused else ""
                return f"envoy {self.admin.name} is at version {state.version or 'none'} of {name}, the file at {version(document)}{hint}"
            difference = envoy_routes.in_force(document, state.config, self.layout)
            if difference:
                return f"envoy {self.admin.name}: {difference}"
        return ""

    def _members(self) -> dict[str, tuple[Member, ...]]:
        return {track: envoy_endpoints.read(file.read(), self.layout.clusters[track], self.addresses) for track, file in self.eds.items()}

    def _check_members(self, want: Routes) -> None:
        if want.members and not self.eds:
            raise Unsupported("members cannot be moved without endpoint files", where=f"envoy {self.admin.name}", do="Name them in endpoints[].eds.")
        for track, members in want.members.items():
            if track not in self.eds:
                raise ConfigError(f"unknown track {track!r}", where=f"envoy {self.admin.name}", do=f"Known: {', '.join(sorted(self.eds))}.")
            if want.weight(track) > 0 and not any(member.ramp > 0 for member in members):
                what = f"{track} would take requests and have no server in rotation"
                raise ConfigError(what, where=f"envoy {self.admin.name}", do="Move its weight away first.")

    def _edit_members(self, document: Document, track: str, want: Routes, *, keep: bool) -> Document:
        return envoy_endpoints.edit(document, self.layout.clusters[track], want.members[track], self.addresses, keep=keep)

    def _missing_members(self, want: Routes, statuses: Mapping[str, ClusterStatus]) -> str:
        """Whether Envoy itself lists the wanted servers, and no others in rotation."""
        for track, members in want.members.items():
            cluster = statuses[self.layout.clusters[track]]
            live = {host.address: host.state for host in cluster.hosts}
            for member in members:
                address = self.addresses.get(member.name, "")
                if address not in live:
                    return f"envoy {self.admin.name} does not have {member.name} in {cluster.name} yet"
                if (live[address] == "drain") != (member.ramp == Fraction(0)):
                    return f"envoy {self.admin.name} sees {member.name} as {live[address]}"
            gone = {self.addresses.get(member.name, "") for member in members}
            for address, state in live.items():
                if address not in gone and state != "drain":
                    return f"envoy {self.admin.name} still has {address} in {cluster.name}"
        return ""

    def _views(self, statuses: Mapping[str, ClusterStatus]) -> dict[str, MemberView]:
        """By member where its address is known, else by address. One that leaves a cluster and is up in another counts as up."""
        names = {address: name for name, address in self.addresses.items()}
        views: dict[str, MemberView] = {}
        for status in statuses.values():
            for host in status.hosts:
                name = names.get(host.address, host.address)
                other = views.get(name, MemberView("drain"))
                state = other.state if host.state == "drain" else host.state
                views[name] = MemberView(state, other.in_flight + host.in_flight, other.requests + host.requests)
        return views


def _address(host: str, value: Any) -> str:
    name, colon, port = str(value).rpartition(":")
    if not colon or not name or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{value!r} is not an address with a port", where=f"envoy.addresses.{host}", do="Write 10.0.0.5:8080.")
    return f"{name}:{port}"
