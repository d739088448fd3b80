# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy as a router of pools, over its stats socket: by server weights in one backend, by a map entry that names the backend,
or by one that splits users or requests between two backends.

Source: HAProxy management guide, section 9.3 (`set weight`, `set server`, `set map`, `show servers state`, `show stat`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Optional

from ..clients import haproxy_files as files
from ..clients import haproxy_pool as pool
from ..clients import haproxy_split as split
from ..clients import haproxy_sticky as sticky
from ..clients.haproxy import (
    FAILED,
    MAX_WEIGHT,
    HaproxyClient,
    Server,
    count,
    epoch,
    map_key,
    map_path,
    name,
    parse_info,
    parse_map,
    parse_servers,
    parse_stats,
    stat_command,
)
from ..clients.haproxy_doors import open_doors
from ..core.affinity import AFFINITY, Cookie
from ..core.errors import ConfigError, DeliveryError, Unavailable, Unsupported, unknown
from ..core.fleet import Fleet, merge
from ..core.model import FULL, Capability, Member, MemberView, Observation, Routes
from ..core.options import Option, Options
from ..core.ports import TrafficRouter
from ..core.shares import REACHED, shares
from ..core.sticky import PARTS
from ..core.units import duration, show_percent

MAP = {
    "path": Option("str", "The map as the configuration names it, such as /etc/haproxy/live.map.", required=True),
    "key": Option("str", "The key whose value is the backend that serves.", required=True),
    "backends": Option("dict", "The backend of each track, such as stable being shop_blue and canary being shop_green.", required=True, open=True),
    "persist": Option("bool", "Write the entry into the map file too, so that it outlives a reload. Only with a socket on the same host.", default=True),
}

SPLIT = {
    **MAP,
    "users": Option("str", "Where the configuration finds the key that it hashes: header:NAME, cookie:NAME or query:NAME. For A/B tests with a hash."),
    "rules": Option("list", "What the configuration looks up rules by, in its order, each header:NAME, cookie:NAME or query:NAME.", elements="str"),
}

OPTIONS = {
    "endpoints": Option(
        "list", "The stats sockets (level admin) of all load balancers that serve these users, each a path or host:port.", required=True, elements="str"
    ),
    "backend": Option("name", "The backend whose servers are the members of the tracks. Either this, C(map) or C(split)."),
    "map": Option("dict", "Switch between whole backends by a map entry, as use_backend with the map converter does.", options=MAP),
    "split": Option("dict", "Split users or requests between two backends by a map entry that the configuration computes with.", options=SPLIT),
    "server_names": Option("dict", "Names of servers in HAProxy by host, where they differ from the host's.", open=True),
    "affinity": AFFINITY,
    "min_up": Option("int", "Servers that stay in service on each load balancer at all times.", default=1, minimum=1),
    "state_file": Option("path", "File for HAProxy's server state, written after each change, for load-server-state-from-file to read after a reload."),
    "timeout": Option("duration", "Longest wait for a connection or an answer, at most 10s.", default="5s"),
}


def from_options(options: Mapping[str, Any], tracks: pool.Tracks) -> TrafficRouter:
    """The router for one endpoint, or the fleet over several. ``tracks``: the hosts of each track, as the inventory has them."""
    endpoints: list[str] = options["endpoints"]
    if not endpoints or len(set(endpoints)) != len(endpoints):
        raise ConfigError("give at least one stats socket, and each once", where="haproxy.endpoints")
    if sum(way in options for way in ("backend", "map", "split")) != 1:
        raise ConfigError("exactly one of backend, map and split is wanted", where="haproxy")
    routers = {endpoint: _one(HaproxyClient(endpoint, duration(options.get("timeout", "5s"))), options, tracks) for endpoint in endpoints}
    return routers[endpoints[0]] if len(routers) == 1 else Fleet(routers)


def _one(client: HaproxyClient, options: Mapping[str, Any], tracks: pool.Tracks) -> TrafficRouter:
    names = {str(host): str(server) for host, server in options.get("server_names", {}).items()}
    min_up = options.get("min_up", 1)
    cookie = Cookie.from_option(options.get("affinity"), "haproxy")
    if "map" in options:
        given = options["map"]
        backends = {str(track): str(backend) for track, backend in given["backends"].items()}
        return HaproxyMapRouter(client, given["path"], given["key"], backends, tracks, names, min_up=min_up, persist=given.get("persist", True), cookie=cookie)
    if "split" in options:
        given = options["split"]
        backends = {str(track): str(backend) for track, backend in given["backends"].items()}
        layout = split.layout(given["key"], backends, given.get("users") or "", given.get("rules") or ())
        return HaproxySplitRouter(client, given["path"], layout, tracks, names, min_up=min_up, persist=given.get("persist", True),
                                  cookie=cookie)  # fmt: skip
    return HaproxyRouter(client, options["backend"], tracks, names, min_up=min_up, state_file=options.get("state_file"), cookie=cookie)


class HaproxyRouter:
    """Tracks are sets of servers of one backend, and their weights make the split.

    A ramp of 0 is HAProxy's ``drain``, which still serves sessions that a cookie binds to the server. Shares count only servers that take traffic.
    """

    capabilities: frozenset[Capability] = frozenset({Capability.WEIGHT, Capability.MEMBERS, Capability.DRAIN, Capability.CUT, Capability.MEASURE})
    resolution: int = MAX_WEIGHT
    SUMMARY: ClassVar[str] = "HAProxy by its stats socket: server weights in a backend, or a map that chooses or splits between backends."
    OPTIONS: ClassVar[Options] = OPTIONS
    from_options = staticmethod(from_options)

    def __init__(
        self,
        client: HaproxyClient,
        backend: str,
        tracks: pool.Tracks,
        server_names: Optional[Mapping[str, str]] = None,
        min_up: int = 1,
        state_file: Optional[str] = None,
        cookie: Optional[Cookie] = None,
    ) -> None:
        if state_file and not client.path:
            raise ConfigError("a state file needs a stats socket on the same host", where=client.endpoint, do="Give the socket's path, or drop state_file.")
        self._client = client
        self._backend = name(backend, "backend")
        self._names = dict(server_names or {})
        self._tracks = {track: tuple(hosts) for track, hosts in tracks.items()}
        self._min_up = min_up
        self._state_file = state_file
        self._cookie = cookie
        self._where = f"{client.endpoint} backend {backend}"
        self._check_names(self._tracks)

    def read(self) -> Routes:
        servers = self._servers(self._tracks)
        configured = {track: sum(servers[host].weight for host in hosts if servers[host].forced == "ready") for track, hosts in self._tracks.items()}
        live = shares(pool.sums(self._tracks, servers)) or shares(configured)
        if not live:
            raise Unavailable("no server is in service with a weight above 0", where=self._where)
        return Routes(weights=live, members={track: pool.members(hosts, servers) for track, hosts in self._tracks.items()})

    def write(self, want: Routes) -> None:
        tracks = self._wanted(want)
        # Of a server that is no track's no share can be made; but it keeps nobody from leaving a version that is known to be bad.
        servers = self._here(tracks) if FULL in want.weights.values() else self._servers(tracks)
        emptied = [host for track, hosts in tracks.items() if not want.weight(track) for host in hosts]
        targets, error = pool.plan(want, tracks, servers, self._bound(emptied) if emptied else ())
        if error > REACHED:
            what = f"whole weights up to {MAX_WEIGHT} on these servers miss the wanted split by {float(error):.2f} points"
            raise Unsupported(what, where=self._where, do="Ask for a larger share, or take servers of the small track out of rotation.")
        self._guard(servers, targets)
        if any(pool.commands(self._backend, servers[host], target) for host, target in targets.items()):
            if self._state_file:
                files.check_writable(self._state_file)
            try:
                self._change(tracks, servers, targets)
            except DeliveryError as failure:
                self._put_back(servers, failure)
                raise
        self._keep()
        self._tracks = tracks

    def observe(self, want: Routes) -> Observation:
        tracks = self._wanted(want)
        info, state, stat = self._client.ask(["show info", f"show servers state {self._backend}", stat_command(self._backend)])
        rows = parse_stats(stat, self._client.endpoint)
        found = parse_servers(state, self._client.endpoint)
        servers = self._by_host(found, tracks)
        strays = self._strays(found, servers, rows)
        by_name = {row["svname"]: row for row in rows}
        counters = {host: by_name.get(server.name, {}) for host, server in servers.items()}
        why = f"{strays} takes traffic and belongs to no track" if strays else pool.lacking(want, tracks, servers)
        return Observation(
            applied=not why,
            why=why,
            requests={track: sum(count(counters[host], ("lbtot",)) for host in hosts) for track, hosts in tracks.items()},
            failed={track: sum(count(counters[host], FAILED) for host in hosts) for track, hosts in tracks.items()},
            members={host: _view(server, counters[host]) for host, server in servers.items()},
            epoch=epoch(parse_info(info, self._client.endpoint)),
        )

    def release(self) -> None:
        """Nothing was created, so nothing is removed."""

    def warnings(self) -> list[str]:
        """Admin sockets that strangers can open."""
        return open_doors(self._client)

    def sessions(self) -> list[str]:
        """Whether the backend's cookie is the one that is asked for. Raises ConfigError with the lines to add."""
        line = sticky.checked(self._client, self._backend, [self._names.get(host, host) for hosts in self._tracks.values() for host in hosts], self._cookie)
        return [*line, sticky.BY_SERVER] if line else []

    def let_go(self, servers: Iterable[str]) -> None:
        """Drained servers that a cookie still leads to go to maintenance."""
        names = [name(self._names.get(host, host)) for host in self._bound(servers)]
        self._client.change([f"set server {self._backend}/{server} state maint" for server in sorted(names)])
        self._keep()

    def cut(self, servers: Iterable[str]) -> int:
        """End what a drain left: ``servers`` go to maintenance, which ends cookie affinity, and their sessions are closed. How many those were."""
        names = {name(self._names.get(host, host)) for host in servers}
        left = sum(count(row, ("scur",)) for row in self._client.stats(self._backend) if row["svname"] in names)
        self._client.change([f"set server {self._backend}/{server} state maint" for server in sorted(names)])
        self._client.change([f"shutdown sessions server {self._backend}/{server}" for server in sorted(names)])
        self._keep()
        return left

    def _keep(self) -> None:
        """Have the state file say what HAProxy does, of every backend: one file serves them all, and a run may have died before it wrote it."""
        if self._state_file:
            [state] = self._client.ask(["show servers state"])
            if files.kept(state) != files.kept(files.read_if_there(self._state_file)):
                files.replace(self._state_file, state + "\n")

    def _bound(self, hosts: Iterable[str]) -> list[str]:
        """Those of ``hosts`` that requests may be led to by a cookie, or a stick table, whatever their weight."""
        found = sticky.bound(self._client, self._backend)
        return [host for host in hosts if self._names.get(host, host) in found]

    def _check_names(self, tracks: pool.Tracks) -> None:
        for hosts in tracks.values():
            for host in hosts:
                name(self._names.get(host, host))

    def _wanted(self, want: Routes) -> dict[str, tuple[str, ...]]:
        """The tracks of ``want``, checked without sending anything."""
        if want.matches or want.mirror or want.assignment:
            do = "Rules, and users split by a hash, are what haproxy.split is for."
            raise Unsupported("match and mirror routes cannot be set over HAProxy's stats socket", where=self._where, do=do)
        tracks = pool.tracks_of(want, self._tracks, self._names)
        self._check_names(tracks)
        return tracks

    def _servers(self, tracks: pool.Tracks) -> dict[str, Server]:
        """The tracks' servers now. ConfigError for one that HAProxy lacks, and for one in service that no track has."""
        found = self._client.servers(self._backend)
        servers = self._by_host(found, tracks)
        strays = self._strays(found, servers)
        if strays:
            raise ConfigError(f"{strays} takes traffic and belongs to no track", where=self._where, do="Put it into a track, or drain it.")
        return servers

    def _here(self, tracks: pool.Tracks) -> dict[str, Server]:
        """The tracks' servers now, whoever else is there."""
        return self._by_host(self._client.servers(self._backend), tracks)

    def _by_host(self, found: Mapping[str, Server], tracks: pool.Tracks) -> dict[str, Server]:
        wanted = {host: self._names.get(host, host) for hosts in tracks.values() for host in hosts}
        missing = [server for server in wanted.values() if server not in found]
        if missing:
            line = f"Add to that backend, and reload: server {missing[0]} ADDRESS:PORT check. Or say in server_names what it is called there"
            raise ConfigError(f"no server {', '.join(missing)}", where=self._where, do=f"{line} (known: {', '.join(sorted(found)) or 'none'}).")
        return {host: found[server] for host, server in wanted.items()}

    def _strays(self, found: Mapping[str, Server], servers: pool.Servers, rows: Optional[list[dict[str, str]]] = None) -> str:
        """Servers in service that no track has, by name; backups do not count. Asks for ``rows`` of ``show stat`` only where it must."""
        strays = {server.name for server in found.values() if server.serving} - {server.name for server in servers.values()}
        if strays:
            stats = self._client.stats(self._backend) if rows is None else rows
            strays -= {row["svname"] for row in stats if count(row, ("bck",))}
        return ", ".join(sorted(strays))

    def _guard(self, servers: pool.Servers, targets: Mapping[str, pool.Target]) -> None:
        """Refuse what would leave fewer than ``min_up`` in service, unless it takes none of those that serve now."""
        now = {host for host, server in servers.items() if server.serving}
        then = {host for host, target in targets.items() if target.after(servers[host]) and servers[host].state != "down"}
        if len(then) < self._min_up and not now <= then:
            what = f"{len(then)} servers would be left in service, of at least {self._min_up}"
            raise Unavailable(what, where=self._where, do="Bring servers back first, or lower min_up.")

    def _change(self, tracks: pool.Tracks, before: pool.Servers, targets: Mapping[str, pool.Target]) -> None:
        """Raise, look, lower, look."""
        rises, falls = pool.order(tracks, before, targets)
        self._send(rises, before, targets)
        raised = self._verified(tracks, {host: targets[host] for host in rises})
        serving = [host for host in targets if raised[host].serving and targets[host].after(raised[host])]
        leaving = [host for host in falls if not targets[host].after(before[host])]
        if leaving and len(serving) < self._min_up:
            waiting = ", ".join(f"{host} {raised[host].state}" for host in rises if not raised[host].serving)
            raise Unavailable(f"only {len(serving)} servers are up to take over ({waiting})", where=self._where, do="Wait until their checks pass.")
        self._send(falls, before, targets)
        self._verified(tracks, targets)

    def _send(self, hosts: Iterable[str], servers: pool.Servers, targets: Mapping[str, pool.Target]) -> None:
        self._client.change([command for host in hosts for command in pool.commands(self._backend, servers[host], targets[host])])

    def _verified(self, tracks: pool.Tracks, targets: Mapping[str, pool.Target]) -> dict[str, Server]:
        servers = self._here(tracks)
        for host, target in targets.items():
            if pool.commands(self._backend, servers[host], target):
                what = f"{host} did not keep the change: it has weight {servers[host].weight} and is {servers[host].state}"
                raise Unavailable(what, where=self._where, do="Does an agent check or another program set it too?")
        return servers

    def _put_back(self, before: pool.Servers, failure: DeliveryError) -> None:
        targets = {host: pool.as_it_is(server) for host, server in before.items()}
        try:
            found = self._client.servers(self._backend)
            now = {host: found[server.name] for host, server in before.items() if server.name in found}
            hosts = sorted(now, key=lambda host: not before[host].serving)
            self._send(hosts, now, targets)
        except DeliveryError as second:
            failure.what += f"; and the weights before could not be put back: {second.what}"


class HaproxyMapRouter:
    """Tracks are whole backends, and an entry of a map names the one that serves. Weights are 0 or 100."""

    capabilities: frozenset[Capability] = frozenset({Capability.MEASURE})
    resolution: int = 1

    def __init__(
        self,
        client: HaproxyClient,
        path: str,
        key: str,
        backends: Mapping[str, str],
        tracks: pool.Tracks,
        server_names: Optional[Mapping[str, str]] = None,
        min_up: int = 1,
        persist: bool = True,
        cookie: Optional[Cookie] = None,
    ) -> None:
        if len(set(backends.values())) < len(backends) or len(backends) < 2:
            raise ConfigError("a map switches between at least two backends, one for each track", where="haproxy.map.backends")
        self._client = client
        self._path = map_path(path)
        self._key = map_key(key)
        self._backends = {track: map_key(name(backend, "backend"), "backend") for track, backend in backends.items()}
        self._tracks = {track: tuple(hosts) for track, hosts in tracks.items()}
        self._names = dict(server_names or {})
        self._min_up = min_up
        self._cookie = cookie
        self._persist = persist and bool(client.path) and os.path.isabs(path)
        self._where = f"{client.endpoint} map {path}"

    def read(self) -> Routes:
        return self._routes(self._client.map(self._path))

    def write(self, want: Routes) -> None:
        track = self._wanted(want)
        backend = self._backends[track]
        entries = self._client.map(self._path)
        if entries.get(self._key) == backend and self._filed() in (None, backend):
            return
        serving = sum(server.serving for server in self._client.servers(backend).values())
        if serving < self._min_up:
            what = f"backend {backend} has {serving} servers in service, of at least {self._min_up}"
            raise Unavailable(what, where=self._where, do="Wait until their checks pass.")
        if self._persist:
            files.check_writable(self._path)
        if entries.get(self._key) != backend:
            verb = "set" if self._key in entries else "add"
            self._client.change([f"{verb} map {self._path} {self._key} {backend}"])
            found = self._client.map(self._path).get(self._key)
            if found != backend:
                raise Unavailable(f"{self._key} is {found} and not {backend} after the change", where=self._where)
        if self._persist:
            files.replace(self._path, files.edit(files.read(self._path), self._key, backend))

    def observe(self, want: Routes) -> Observation:
        self._wanted(want)
        commands = [command for backend in self._backends.values() for command in (f"show servers state {backend}", stat_command(backend))]
        info, entries, *answers = self._client.ask(["show info", f"show map {self._path}", *commands])
        requests: dict[str, int] = {}
        failed: dict[str, int] = {}
        views: dict[str, list[MemberView]] = {}
        for index, other in enumerate(self._backends):
            servers = parse_servers(answers[2 * index], self._client.endpoint)
            rows = {row["svname"]: row for row in parse_stats(answers[2 * index + 1], self._client.endpoint)}
            requests[other] = sum(count(rows.get(server, {}), ("lbtot",)) for server in servers)
            failed[other] = count(rows.get("BACKEND", {}), FAILED[:1])
            for host in self._tracks.get(other) or tuple(servers):
                server = self._names.get(host, host)
                if server in servers:
                    views.setdefault(host, []).append(_view(servers[server], rows.get(server, {})))
        why = self._unlike(want, parse_map(entries, self._client.endpoint))
        return Observation(
            applied=not why,
            why=why,
            requests=requests,
            failed=failed,
            members={host: merge(seen) for host, seen in views.items()},
            epoch=epoch(parse_info(info, self._client.endpoint)),
        )

    def release(self) -> None:
        """Nothing was created, so nothing is removed."""

    def warnings(self) -> list[str]:
        """Admin sockets that strangers can open."""
        return open_doors(self._client)

    def sessions(self) -> list[str]:
        """Whether the cookie of each backend is the one that is asked for. Raises ConfigError with the lines to add."""
        lines = [line for backend in self._backends.values() for line in sticky.checked(self._client, backend, (), self._cookie)]
        return [*lines, sticky.BY_BACKEND] if lines else []

    def _routes(self, entries: Mapping[str, str]) -> Routes:
        value = entries.get(self._key)
        if value is None:
            raise ConfigError(f"the map has no entry {self._key}", where=self._where, do=f"Add the line: {self._key} {next(iter(self._backends.values()))}")
        track = next((track for track, backend in self._backends.items() if backend == value), None)
        if track is None:
            raise ConfigError(f"{self._key} is {value}, which is the backend of no track", where=self._where)
        weights = {other: FULL if other == track else Fraction(0) for other in self._backends}
        return Routes(weights, {other: tuple(Member(host) for host in hosts) for other, hosts in self._tracks.items() if other in self._backends})

    def _wanted(self, want: Routes) -> str:
        """The track that shall have everything."""
        if want.matches or want.mirror or want.assignment:
            do = "Rules, and users split by a hash, are what haproxy.split is for."
            raise Unsupported("match and mirror routes cannot be set over HAProxy's stats socket", where=self._where, do=do)
        for track, weight in want.weights.items():
            if weight and track not in self._backends:
                raise unknown("track", track, self._backends, where=self._where)
            if weight not in (0, FULL):
                do = "Use haproxy.backend with server weights for shares in between."
                raise Unsupported(f"a map gives all or nothing, not {show_percent(weight)} to {track}", where=self._where, do=do)
        for track, members in want.members.items():
            for member in members:
                if member.ramp != FULL or member.name not in self._tracks.get(track, (member.name,)):
                    raise Unsupported(f"a map moves whole backends, not {member.name}", where=self._where)
        return next(track for track, weight in want.weights.items() if weight)

    def _unlike(self, want: Routes, entries: Mapping[str, str]) -> str:
        """What the map says instead; empty when it is as wanted."""
        live, backend = entries.get(self._key, "nothing"), self._backends[self._wanted(want)]
        return "" if live == backend else f"{self._key} is {live}, not {backend}"

    def _filed(self) -> Optional[str]:
        """What the map file says; None where it is not kept."""
        return files.entries(files.read(self._path)).get(self._key, "") if self._persist else None


class HaproxySplitRouter(HaproxyMapRouter):
    """Two backends, and a map entry with the point between them: lines of the configuration compute which side a user, or a request, is on."""

    resolution: int = PARTS

    def __init__(
        self, client: HaproxyClient, path: str, layout: split.Layout, tracks: pool.Tracks, server_names: Optional[Mapping[str, str]] = None,
        min_up: int = 1, persist: bool = True, cookie: Optional[Cookie] = None,
    ) -> None:  # fmt: skip
        super().__init__(client, path, layout.key, layout.backends, tracks, server_names, min_up, persist, cookie)
        self._layout = layout
        sticky = {Capability.STICKY} if layout.users else set()
        self.capabilities = frozenset({Capability.WEIGHT, Capability.MEASURE, *sticky, *(Capability(source) for source, _name in layout.looks)})

    def write(self, want: Routes) -> None:
        """Rules first, then the point between the backends, then the rules that go: each is one command, and nobody is sent to a backend that is down."""
        self._wanted(want)
        entries = self._client.map(self._path)
        now, then = split.ours(entries, self._layout), split.edit(entries, want, self._layout, self._where)
        if now != then:
            self._receivers(self._routes(entries), want)
        if self._persist:
            files.check_writable(self._path)
        commands = [f"{'set' if key in now else 'add'} map {self._path} {key} {then[key]}" for key in sorted(then, reverse=True) if now.get(key) != then[key]]
        self._client.change([*commands, *(f"del map {self._path} {key}" for key in now if key not in then)])
        why = self._unlike(want, self._client.map(self._path)) if now != then else ""
        if why:
            raise Unavailable(f"{why} after the change", where=self._where)
        self._file(then)

    def release(self) -> None:
        """Take our own rules and the split of users out. Weights stay."""
        self.write(Routes(self.read().weights))

    def unassignable(self, want: Routes) -> str:
        """What the configuration does not look at, as the options describe it."""
        return split.lacking(want, self._layout)

    def _routes(self, entries: Mapping[str, str]) -> Routes:
        live = split.read(entries, self._layout, self._where)
        return replace(live, members={track: tuple(Member(host) for host in hosts) for track, hosts in self._tracks.items() if track in self._backends})

    def _wanted(self, want: Routes) -> str:
        if want.mirror:
            raise Unsupported("mirror routes cannot be set over HAProxy's stats socket", where=self._where)
        for track, members in want.members.items():
            for member in members:
                if member.ramp != FULL or member.name not in self._tracks.get(track, (member.name,)):
                    raise Unsupported(f"a split moves whole backends, not {member.name}", where=self._where)
        why = split.lacking(want, self._layout)
        if why:
            raise Unsupported(why, where=self._where)
        return ""

    def _unlike(self, want: Routes, entries: Mapping[str, str]) -> str:
        now, then = split.ours(entries, self._layout), split.edit(entries, want, self._layout, self._where)
        differs = next((key for key in (*then, *now) if now.get(key) != then.get(key)), None)
        return f"{differs} is {now.get(differs, 'nothing')}, not {then.get(differs, 'nothing')}" if differs else ""

    def _receivers(self, now: Routes, want: Routes) -> None:
        led = {match.track for match in want.matches} - {match.track for match in now.matches}
        for track, backend in self._backends.items():
            if want.weight(track) > now.weight(track) or track in led:
                serving = sum(server.serving for server in self._client.servers(backend).values())
                if serving < self._min_up:
                    what = f"backend {backend} has {serving} servers in service, of at least {self._min_up}"
                    raise Unavailable(what, where=self._where, do="Wait until their checks pass.")

    def _file(self, entries: Mapping[str, str]) -> None:
        """Have the map file say the same, so that it outlives a reload."""
        if not self._persist:
            return
        text = files.read(self._path)
        filed = split.ours(files.entries(text), self._layout)
        if filed == entries:
            return
        for key in (*filed, *entries):
            text = files.edit(text, key, entries[key]) if key in entries else files.without(text, key)
        files.replace(self._path, text)


def _view(server: Server, row: Mapping[str, str]) -> MemberView:
    return MemberView(server.state, in_flight=count(row, ("scur",)), requests=count(row, ("lbtot",)))
