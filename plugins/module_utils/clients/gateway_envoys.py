# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Envoys that serve a Gateway: whether they have an HTTPRoute in force as it is, and what they counted.

An Envoy's route says which rule of which HTTPRoute it was made of, by its name: Istio writes ``NAMESPACE.ROUTE.RULE``, Envoy Gateway
``httproute/NAMESPACE/ROUTE/rule/RULE/...``. Where names say nothing, every route that leads to one of the Services is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Optional

from ..core.errors import ConfigError
from ..core.model import FULL
from ..core.units import show_percent
from .envoy import EnvoyAdmin, RouteState
from .http_route import Layout, Manifest, parts_of, port

MILLION = 1_000_000
DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": MILLION}


@dataclass(frozen=True)
class Split:
    """What one rule does with requests: percent by slot, without what others get, and percent of copies by slot."""

    shares: Mapping[str, Fraction]
    copies: Mapping[str, Fraction]

    def __str__(self) -> str:
        texts = [f"{slot} {show_percent(share)}" for slot, share in sorted(self.shares.items())]
        return ", ".join([*texts, *(f"copies to {slot} {show_percent(share)}" for slot, share in sorted(self.copies.items()))])


@dataclass(frozen=True)
class Count:
    """Counters since the Envoys started, of all of them, by slot."""

    requests: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    epoch: str = ""


class GatewayEnvoys:
    """``clusters``: slot to the name of its cluster; empty for Istio's names."""

    def __init__(self, admins: list[EnvoyAdmin], clusters: Optional[Mapping[str, str]] = None) -> None:
        self.admins = admins
        self.clusters = dict(clusters or {})

    def missing(self, manifest: Manifest, layout: Layout) -> str:
        """What of the HTTPRoute some Envoy does not have in force; empty when all have it. Raises Unavailable."""
        clusters = self.names(manifest, layout)
        for admin in self.admins:
            why = difference(manifest, layout, admin.all_routes(), clusters)
            if why:
                return f"envoy {admin.name}: {why}"
        return ""

    def count(self, manifest: Manifest, layout: Layout) -> Count:
        """Raises Unavailable; ConfigError for clusters that an Envoy does not have."""
        return counted(self.admins, self.names(manifest, layout))

    def names(self, manifest: Manifest, layout: Layout) -> dict[str, str]:
        """Slot to cluster."""
        space = manifest["metadata"]["namespace"]
        return {slot: self.clusters.get(slot) or f"outbound|{port(manifest, slot, layout)}||{name}.{space}.svc.cluster.local"
                for slot, name in layout.backends.items()}  # fmt: skip


def counted(admins: Iterable[EnvoyAdmin], clusters: Mapping[str, str]) -> Count:
    """By slot, over all Envoys. Raises Unavailable; ConfigError for clusters that an Envoy does not have."""
    requests, failed = dict.fromkeys(clusters, 0), dict.fromkeys(clusters, 0)
    epochs = []
    for admin in admins:
        statuses = admin.clusters(clusters.values())
        counters = admin.counters(status.stat_name for status in statuses.values())
        for slot, cluster in clusters.items():
            requests[slot] += counters[statuses[cluster].stat_name].requests
            failed[slot] += counters[statuses[cluster].stat_name].failed
        epochs.append(admin.epoch())
    return Count(requests, failed, " ".join(epochs))


def difference(manifest: Manifest, layout: Layout, states: Iterable[RouteState], clusters: Mapping[str, str]) -> str:
    """Why these route configurations are not those of the HTTPRoute; empty when they are. Pure."""
    wanted = {index: split for index, split in enumerate(_wanted(manifest, layout)) if split}
    live = _live(manifest, states, {name: slot for slot, name in clusters.items()})
    if not live:
        return "it has no route to these Services yet"
    if None in live:
        found, asked = live[None], [*wanted.values()]
        lacks = next((split for split in asked if split not in found), None)
        extra = next((split for split in found if split not in asked), None)
        return f"no route of it gives {lacks} yet" if lacks else f"one of its routes gives {extra}" if extra else ""
    for index in sorted({*wanted, *(number for number in live if number is not None)}):
        asked_here, shown = wanted.get(index), live.get(index, [])
        if asked_here is None:
            return f"it still has a rule {index} that gives {shown[0]}"
        other = next((split for split in shown if split != asked_here), None)
        if other or not shown:
            return f"rule {index} gives {other or 'nothing'} instead of {asked_here}"
    return ""


def _wanted(manifest: Manifest, layout: Layout) -> Iterator[Optional[Split]]:
    """By rule; None for one that leads to neither Service."""
    for rule in manifest["spec"].get("rules") or ():
        parts, copies = parts_of(rule, layout, manifest)
        yield split_of(parts, copies)


def split_of(parts: Mapping[str, int], copies: Mapping[str, Fraction]) -> Optional[Split]:
    """None for a rule that leads to neither slot."""
    total = sum(parts.values())
    shares = {slot: FULL * number / total for slot, number in parts.items() if slot and number}
    return Split(shares, dict(copies)) if shares or copies else None


def _live(manifest: Manifest, states: Iterable[RouteState], slots: Mapping[str, str]) -> dict[Optional[int], list[Split]]:
    """What the Envoy does, by rule where its names tell, else all under None."""
    meta = manifest["metadata"]
    space, name = re.escape(str(meta.get("namespace", ""))), re.escape(str(meta["name"]))
    named = re.compile(rf"(?:{space}\.{name}\.|httproute/{space}/{name}/rule/)(\d+)(?:[./]|\Z)")
    by_rule: dict[Optional[int], list[Split]] = {}
    for state in states:
        for host in state.config.get("virtual_hosts") or ():
            for route in host.get("routes") or ():
                split = of_route(route.get("route") or {}, slots)
                if split:
                    found = named.match(str(route.get("name", "")))
                    by_rule.setdefault(int(found[1]) if found else None, []).append(split)
    if len(by_rule) > 1:
        by_rule.pop(None, None)  # those of others
    return by_rule


def of_route(action: Mapping[str, Any], slots: Mapping[str, str]) -> Optional[Split]:
    """What a route's action does; ``slots``: cluster to slot. None for one that leads to neither."""
    entries = (action.get("weighted_clusters") or {}).get("clusters") or ([{"name": action["cluster"], "weight": 1}] if action.get("cluster") else [])
    parts: dict[str, int] = {}
    for entry in entries:
        slot = slots.get(str(entry.get("name")), "")
        parts[slot] = parts.get(slot, 0) + int(entry.get("weight") or 0)
    copies = {}
    for policy in action.get("request_mirror_policies") or ():
        if policy.get("cluster") in slots:
            share = (policy.get("runtime_fraction") or {}).get("default_value") or {"numerator": 100}
            copies[slots[policy["cluster"]]] = Fraction(100 * int(share.get("numerator") or 0), DENOMINATORS[share.get("denominator", "HUNDRED")])
    return split_of(parts, copies)


def check_clusters(clusters: Mapping[str, Any], slots: Iterable[str], where: str = "gateway_api.clusters") -> dict[str, str]:
    """The option. Raises ConfigError for clusters of some slots only."""
    if clusters and set(clusters) != set(slots):
        raise ConfigError("a cluster for each slot is wanted, or none", where=where, do="Write {stable: NAME, canary: NAME}.")
    return {str(slot): str(name) for slot, name in clusters.items()}
