# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of an Envoy cluster whose endpoints come from a file. Pure: documents in, documents out.

The cluster belongs to the pool: every endpoint in it is a known member. A member out of rotation stays listed as ``DRAINING``, which
takes new requests away and leaves those in flight alone. Ramps are ``load_balancing_weight`` 1..100; a full one is 100, or not written.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ..core.errors import ConfigError
from ..core.model import FULL, Member

Document = dict[str, Any]


def read(document: Document, cluster: str, addresses: Mapping[str, str]) -> tuple[Member, ...]:
    """The members in their order. Raises ConfigError for an endpoint that is not one of ``addresses`` (member to ``host:port``)."""
    return tuple(Member(_member(entry, cluster, addresses), _ramp(entry)) for group in _groups(document, cluster) for entry in _entries(group))


def edit(document: Document, cluster: str, members: tuple[Member, ...], addresses: Mapping[str, str], *, keep: bool = False) -> Document:
    """``document`` with exactly ``members`` in ``cluster``; ``keep`` leaves those in that are no longer wanted.

    Endpoints that stay keep their place and their other fields. New ones join the first group.
    """
    result = copy.deepcopy(document)
    wanted = {member.name: member.ramp for member in members}
    for name in wanted:
        if name not in addresses:
            raise ConfigError(f"no address for the member {name!r}", do=f"Add it to addresses (known: {', '.join(sorted(addresses)) or 'none'}).")
    groups = _groups(result, cluster)
    present = set()
    for group in groups:
        entries = _entries(group)
        entries[:] = [entry for entry in entries if keep or _member(entry, cluster, addresses) in wanted]
        for entry in entries:
            name = _member(entry, cluster, addresses)
            present.add(name)
            if name in wanted:
                _set_ramp(entry, wanted[name])
    for name, ramp in wanted.items():
        if name not in present:
            host, _colon, port = addresses[name].rpartition(":")
            entry = {"endpoint": {"address": {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}}}
            _set_ramp(entry, ramp)
            _entries(groups[0]).append(entry)
    entries = [entry for group in groups for entry in _entries(group)]
    if any(_weight_key(entry) in entry for entry in entries):
        for entry in entries:
            entry.setdefault(_weight_key(entry), 100)  # Envoy takes a missing weight for 1
    return result


def _groups(document: Document, cluster: str) -> list[Document]:
    """The locality groups of a cluster; an empty cluster gets one."""
    for resource in document.get("resources", []):
        if resource.get("cluster_name", resource.get("clusterName")) == cluster:
            groups: list[Document] = resource.setdefault("endpoints", [])
            if not groups:
                groups.append({"lb_endpoints": []})
            return groups
    raise ConfigError(f"no endpoints of a cluster {cluster!r} in its file", do="cluster_name there is the cluster's name.")


def _entries(group: Document) -> list[Document]:
    entries: list[Document] = group.setdefault("lbEndpoints" if "lbEndpoints" in group else "lb_endpoints", [])
    return entries


def _member(entry: Mapping[str, Any], cluster: str, addresses: Mapping[str, str]) -> str:
    address = entry.get("endpoint", {}).get("address", {})
    socket = address.get("socket_address", address.get("socketAddress", {}))
    shown = f"{socket.get('address')}:{socket.get('port_value', socket.get('portValue'))}"
    for name, known in addresses.items():
        if known == shown:
            return name
    raise ConfigError(f"endpoint {shown} of cluster {cluster} belongs to no known member", do="Add it to addresses, or take it out of the file.")


def _key(entry: Mapping[str, Any], snake: str, camel: str) -> str:
    return camel if camel in entry else snake


def _ramp(entry: Mapping[str, Any]) -> Fraction:
    if entry.get(_key(entry, "health_status", "healthStatus")) == "DRAINING":
        return Fraction(0)
    return Fraction(int(entry.get(_weight_key(entry), 100)))


def _set_ramp(entry: Document, ramp: Fraction) -> None:
    """A member already at ``ramp`` is left as it is written."""
    if _ramp(entry) == ramp:
        return
    entry.pop(_key(entry, "health_status", "healthStatus"), None)
    weight = _weight_key(entry)
    if ramp <= 0:
        entry["health_status"] = "DRAINING"
    elif ramp < FULL or weight in entry:
        entry[weight] = max(1, round(ramp))


def _weight_key(entry: Mapping[str, Any]) -> str:
    return _key(entry, "load_balancing_weight", "loadBalancingWeight")
