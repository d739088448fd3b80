# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Envoys of Istio have the tls and tcp rules of a VirtualService in force as they are, by where their listeners lead connections.

Istio names the proxy of a rule with several destinations after the VirtualService, ``NAME.NAMESPACE``, and leaves destinations without weight out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from .envoy import EnvoyAdmin
from .gateway_envoys import Count, Split, of_route, split_of
from .virtual_service import Layout, Manifest, find, parts_of, service_of

SECTIONS = ("tls", "tcp")
PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def are_meant(manifest: Manifest, layout: Layout) -> bool:
    """Whether the rule that is read, and counted, is one of these."""
    return find(manifest, layout)[0].section in SECTIONS


def counted(admins: Iterable[EnvoyAdmin], clusters: Mapping[str, str]) -> Count:
    """Connections by slot, over all Envoys. Raises Unavailable; ConfigError for clusters that an Envoy does not have."""
    admins = list(admins)
    counts = [admin.connections(admin.clusters(clusters.values())) for admin in admins]
    made, failed = ({slot: sum(getattr(each[name], what) for each in counts) for slot, name in clusters.items()} for what in ("requests", "failed"))
    return Count(made, failed, " ".join(admin.epoch() for admin in admins))


def missing(manifest: Manifest, layout: Layout, admins: Iterable[EnvoyAdmin], given: Mapping[str, str]) -> str:
    """What of those rules some Envoy does not have in force; empty when all have it, and where none is meant. Raises Unavailable."""
    if not any(place.section in SECTIONS for place in find(manifest, layout)):
        return ""
    for admin in admins:
        why = difference(manifest, layout, admin.listeners(), given)
        if why:
            return f"envoy {admin.name}: {why}"
    return ""


def difference(manifest: Manifest, layout: Layout, listeners: Iterable[Mapping[str, Any]], given: Mapping[str, str]) -> str:
    """Why these listeners do not lead as the VirtualService says; empty when they do. ``given``: slot to cluster, where Istio's names are not meant. Pure."""
    live = list(_live(manifest, layout, listeners, given))
    if not live:
        return "it leads no connection to these destinations yet"
    for place in find(manifest, layout):
        split = _split(place.rule, layout, manifest) if place.section in SECTIONS else None
        if split and split not in (shown for _names, shown in live):
            return f"its rule {place.section}/{_names_of(place.rule) or place.index} does not give {split} yet"
    every = [_split(rule, layout, manifest) for section in SECTIONS for rule in manifest["spec"].get(section) or ()]
    for names, split in live:
        if split not in every:
            return f"its rule for {names or 'all connections'} gives {split}"
    return ""


def _split(rule: Mapping[str, Any], layout: Layout, manifest: Manifest) -> Optional[Split]:
    return split_of(*parts_of(rule, layout, manifest))


def _names_of(rule: Mapping[str, Any]) -> str:
    return ", ".join(str(host) for match in rule.get("match") or () for host in match.get("sniHosts") or ())


def _live(manifest: Manifest, layout: Layout, listeners: Iterable[Mapping[str, Any]], given: Mapping[str, str]) -> Iterator[tuple[str, Split]]:
    """(names of TLS, what is done with their connections) of each proxy that was made of this VirtualService."""
    meta = manifest["metadata"]
    own = f"{meta['name']}.{meta.get('namespace', '')}"
    for listener in listeners:
        for chain in listener.get("filter_chains") or ():
            for each in chain.get("filters") or ():
                proxy = each.get("typed_config") or {}
                if str(proxy.get("@type", "")).endswith(PROXY) and proxy.get("stat_prefix") == own:
                    split = of_route(proxy, _slots(proxy, layout, manifest, given))
                    if split:
                        yield ", ".join((chain.get("filter_chain_match") or {}).get("server_names") or ()), split


def _slots(proxy: Mapping[str, Any], layout: Layout, manifest: Manifest, given: Mapping[str, str]) -> dict[str, str]:
    """Cluster to slot. Of Istio's names all but the port says which it is: rules of one VirtualService may lead to several ports of a Service."""
    home = str(manifest["metadata"].get("namespace", ""))
    known = {(to.subset, ".".join(service_of(to.host, home))): slot for slot, to in layout.slots.items()}
    named = {cluster: slot for slot, cluster in given.items()}
    slots = {}
    for entry in (proxy.get("weighted_clusters") or {}).get("clusters") or [{"name": proxy.get("cluster")}]:
        cluster = str(entry.get("name"))
        _outbound, _port, subset, host = parts if len(parts := cluster.split("|")) == 4 else ("", "", "", "")
        slot = named.get(cluster) or known.get((subset, host.partition(".svc.")[0]))
        if slot:
            slots[cluster] = slot
    return slots
