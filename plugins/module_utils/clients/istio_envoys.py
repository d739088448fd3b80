# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Envoys of Istio have a VirtualService in force as it is, by what their routes do. (tcp and tls are not looked at: those are no routes.)

Istio notes in each route's metadata which VirtualService it was made of; for one that others delegate to it notes theirs, so then every route that leads to
one of the slots is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.affinity import Cookie
from .envoy import EnvoyAdmin, RouteState
from .gateway_envoys import Split, of_route, split_of
from .virtual_service import Layout, Manifest, is_ours, parts_of, port_of, service_of


def cluster_names(manifest: Manifest, layout: Layout, given: Mapping[str, str]) -> dict[str, str]:
    """Slot to cluster: as given, or as Istio calls them."""
    home, names = str(manifest["metadata"].get("namespace", "")), {}
    for slot, to in layout.slots.items():
        name, space = service_of(to.host, home)
        names[slot] = given.get(slot) or f"outbound|{port_of(manifest, slot, layout)}|{to.subset}|{name}.{space}.svc.cluster.local"
    return names


def missing(manifest: Manifest, layout: Layout, admins: Iterable[EnvoyAdmin], clusters: Mapping[str, str]) -> str:
    """What of the VirtualService some Envoy does not have in force; empty when all have it. Raises Unavailable."""
    for admin in admins:
        why = difference(manifest, layout, admin.all_routes(), clusters)
        if why:
            return f"envoy {admin.name}: {why}"
    return ""


def loose(manifest: Manifest, admins: Iterable[EnvoyAdmin], clusters: Mapping[str, str], cookie: Cookie) -> str:
    """Which Envoy does not hold the VirtualService's sessions by the cookie yet; empty when all do. Raises Unavailable."""
    slots = {name: slot for slot, name in clusters.items()}
    for admin in admins:
        policies = (each for _own, route, _split in _made(manifest, admin.all_routes(), slots) for each in route["route"].get("hash_policy") or ())
        if cookie.name not in {(each.get("cookie") or {}).get("name") for each in policies}:
            return f"envoy {admin.name}: no route of it holds sessions by the cookie {cookie.name} yet"
    return ""


def difference(manifest: Manifest, layout: Layout, states: Iterable[RouteState], clusters: Mapping[str, str]) -> str:
    """Why these route configurations are not those of the VirtualService; empty when they are. Pure.

    Rules of ours are known by their names, the others by what they do.
    """
    wanted = list(_wanted(manifest, layout))
    if not wanted:
        return ""
    live = list(_live(manifest, states, {name: slot for slot, name in clusters.items()}))
    if not live:
        return "it has no route to these destinations yet"
    for name, split in wanted:
        if (name, split) not in live:
            return f"no route {name or 'of its own rules'} of it gives {split} yet"
    for name, split in live:
        if (name, split) not in wanted:
            return f"its route {name or 'of another name'} gives {split}"
    return ""


def _wanted(manifest: Manifest, layout: Layout) -> Iterator[tuple[str, Split]]:
    for rule in manifest["spec"].get("http") or ():
        split = split_of(*parts_of(rule, layout, manifest))
        if split:
            yield (str(rule["name"]) if is_ours(rule, manifest) else ""), split


def _live(manifest: Manifest, states: Iterable[RouteState], slots: Mapping[str, str]) -> Iterator[tuple[str, Split]]:
    found = [(by_name, str(route.get("name") or ""), split) for by_name, route, split in _made(manifest, states, slots)]
    named = any(by_name for by_name, _name, _split in found)
    yield from ((name if name.startswith("progressive-") else "", split) for by_name, name, split in found if by_name or not named)


def _made(manifest: Manifest, states: Iterable[RouteState], slots: Mapping[str, str]) -> Iterator[tuple[bool, Mapping[str, Any], Split]]:
    """Routes that lead to a slot, and whether they were made of this very VirtualService."""
    meta = manifest["metadata"]
    own = f"/namespaces/{meta.get('namespace', '')}/virtual-service/{meta['name']}"
    for state in states:
        for host in state.config.get("virtual_hosts") or ():
            for route in host.get("routes") or ():
                split = of_route(route.get("route") or {}, slots)
                if split:
                    yield _made_of(route).endswith(own), route, split


def _made_of(route: Mapping[str, Any]) -> str:
    return str((((route.get("metadata") or {}).get("filter_metadata") or {}).get("istio") or {}).get("config") or "")
