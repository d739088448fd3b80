# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports whose files or sockets live on another host: the same adapter, called there as a module, over that host's own connection.

Right here or shipped, in one rule: a host with a local connection, no become and our own interpreter (or none set) is this process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ..module_utils.core.codec import decode, encode
from ..module_utils.core.errors import ConfigError
from ..module_utils.core.fleet import Fleet
from ..module_utils.core.model import Capability, Observation, Routes
from ..module_utils.core.ports import StateStore, Stored, TrafficRouter
from ..module_utils.entry import build
from ..module_utils.entry.catalog import ON, STORES
from .host import Host


class Remote:
    """Builds ports for one task: in this process where it can, else on the hosts that hold the socket or file."""

    def __init__(self, action: ActionBase, task_vars: Mapping[str, Any]) -> None:
        self._action = action
        self._vars = task_vars

    def store(self, options: Mapping[str, Any], name: str) -> StateStore:
        """The store, on the host that its options name or on the one that coordinates."""
        [(kind, inner)] = options.items()
        named = (inner or {}).get("host") if STORES[kind].on_one_host else ""  # else it is not an inventory host, if there is one
        chosen = named or self._vars.get("rollout_coordinator") or "localhost"
        host = None if chosen == "localhost" else Host(self._action, self._vars, str(chosen))
        if host is None or is_here(host):
            return build.local_store(options, name)
        return RemoteStore(host, options, name)

    def router(self, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> TrafficRouter:
        """The router; over several hosts they are one."""
        [(kind, inner)] = options.items()
        names = self._expanded((inner or {}).get("hosts") or [])
        hosts = [Host(self._action, self._vars, name) for name in names]
        if not hosts:
            return build.local_router(options, tracks)
        alone = {kind: {key: value for key, value in inner.items() if key not in ON}}
        routers = {host.name: build.local_router(alone, tracks) if is_here(host) else RemoteRouter(host, alone, tracks) for host in hosts}
        return Fleet(routers) if len(routers) > 1 else next(iter(routers.values()))

    def _expanded(self, names: list[str]) -> list[str]:
        """Groups as their hosts, each host once, in order."""
        groups = self._vars.get("groups") or {}
        found: dict[str, None] = {}
        for name in names:
            if name in groups and not groups[name]:
                raise ConfigError(f"group {name!r} has no hosts", where="rollout_router.hosts")
            for host in groups.get(name, [name]):
                found[host] = None
        return list(found)


def is_here(host: Host) -> bool:
    """Whether this very process can do what a module on ``host`` would do."""
    return host.transport == "local" and not host.become and same_python(str(host.variables.get("ansible_python_interpreter") or ""))


def same_python(interpreter: str) -> bool:
    """Whether a host's interpreter setting means our own Python, or none is set."""
    return not interpreter or interpreter.startswith("auto") or os.path.realpath(interpreter) == os.path.realpath(sys.executable)


class RemoteRouter:
    """The TrafficRouter port of one load balancer's host. Each call is one module run there, and one costs a second: a look that a run
    can bring along is kept for the call that comes right after it."""

    def __init__(self, host: Host, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> None:
        self._host = host
        self._options = dict(options)
        self._tracks = {track: list(hosts) for track, hosts in tracks.items()}
        # What a router can do depends on its options: the host's own adapter says it, and reads its routes on that occasion.
        told = self._call("describe")
        self.capabilities = frozenset(Capability(item) for item in told["capabilities"])
        self.resolution = int(told["resolution"])
        self._routes: Optional[Routes] = None if told["routes"] is None else decode(Routes, told["routes"], host.name)
        self._look: Optional[tuple[Routes, Observation]] = None

    def read(self) -> Routes:
        routes, self._routes = self._routes, None
        return decode(Routes, self._call("read"), self._host.name) if routes is None else routes

    def write(self, want: Routes) -> None:
        self._routes = self._look = None
        seen = self._call("write", want)
        if seen is not None:
            self._look = (want, decode(Observation, seen, self._host.name))

    def observe(self, want: Routes) -> Observation:
        look, self._look = self._look, None
        if look is not None and look[0] == want:
            return look[1]
        return decode(Observation, self._call("observe", want), self._host.name)

    def release(self) -> None:
        self._routes = self._look = None
        self._call("release")

    def cut(self, servers: Iterable[str]) -> int:
        self._routes = self._look = None
        return int(self._call("cut", servers=list(servers)))

    def let_go(self, servers: Iterable[str]) -> None:
        self._routes = self._look = None
        self._call("let_go", servers=list(servers))

    def warnings(self) -> list[str]:
        return list(self._call("warnings"))

    def sessions(self) -> list[str]:
        return list(self._call("sessions"))

    def unassignable(self, want: Routes) -> str:
        return str(self._call("unassignable", want))

    def _call(self, method: str, routes: Optional[Routes] = None, servers: Optional[list[str]] = None) -> Any:
        port = {"method": method, **({} if routes is None else {"routes": encode(routes)}), **({} if servers is None else {"servers": servers})}
        return self._host.run("progressive.delivery.traffic", {"router": self._options, "tracks": self._tracks, "port": port})["answer"]


class RemoteStore:
    """The StateStore port on the disk of another host."""

    def __init__(self, host: Host, options: Mapping[str, Any], name: str) -> None:
        self._host = host
        self._options = dict(options)
        self._name = name

    def load(self, key: str) -> Optional[Stored]:
        found = self._call({"method": "load", "key": key})
        return None if found is None else Stored(found["value"], found["token"])

    def save(self, key: str, value: Mapping[str, Any], expect: Optional[str]) -> str:
        return str(self._call({"method": "save", "key": key, "value": dict(value), **({} if expect is None else {"expect": expect})}))

    def _call(self, port: dict[str, Any]) -> Any:
        port = {**port, "store": self._options, "name": self._name}
        return self._host.run("progressive.delivery.release", {"operation": "port", "port": port})["answer"]
