# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares that are no share never reach a cluster: for any weights, what the routers write leads every request to somebody."""

from __future__ import annotations

import types
from collections.abc import Mapping
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_slots import Slots
from ansible_collections.progressive.delivery.plugins.module_utils.core.capacity import pods_by_ratio
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.routers.replica_ratio import ReplicaRatioRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.service import edit
from ansible_collections.progressive.delivery.tests.contract.harness_kube import deployment
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

SELECTORS = {"stable": {"color": "blue"}, "canary": {"color": "green"}}
shares = st.sampled_from([Fraction(0), Fraction(100), Fraction(50)]) | st.fractions(min_value=-10, max_value=210, max_denominator=1000)
colors = st.sampled_from([{"color": "blue"}, {"color": "green"}, {"color": "red"}, {"app": "shop"}, {"app": "shop", "color": "blue"}])


def routes(stable: Fraction, canary: Fraction, pods: Mapping[str, int] = types.MappingProxyType({})) -> Routes | None:
    """None for what the model itself refuses: that never gets to a router."""
    try:
        return Routes({"stable": stable, "canary": canary}, pods=pods)
    except ConfigError:
        assert stable + canary != 100 or min(stable, canary) < 0
        return None


@given(colors, shares, shares | st.none())
def test_a_selector_means_exactly_one_slot_or_is_not_written(live: dict[str, str], canary: Fraction, stable: Fraction | None) -> None:
    wanted = routes(100 - canary if stable is None else stable, canary)
    if wanted is None:
        return
    try:
        written = edit({"metadata": {"name": "shop"}, "spec": {"selector": live, "ports": []}}, wanted, SELECTORS)["spec"]["selector"]
    except Unsupported:
        assert wanted.weight("canary") not in (0, 100)
        return
    slot = next(slot for slot in SELECTORS if wanted.weight(slot) == 100)
    assert written == {**{label: value for label, value in live.items() if label != "color"}, **SELECTORS[slot]}


@given(st.integers(1, 30), shares.filter(lambda share: 0 <= share <= 100), st.integers(1, 30), st.integers(0, 30), st.integers(0, 30))
def test_pods_are_never_taken_from_everybody_at_once(full: int, share: Fraction, stable: int, canary: int, ready: int) -> None:
    """Whatever is there now, and however many of the receiver's Pods are ready: nobody loses Pods before the other has all it is to have."""
    candidate, rest = pods_by_ratio(full, share)
    assert candidate + rest >= 1 and (full < 2 or share in (0, 100) or min(candidate, rest) >= 1)
    kube = FakeKube()
    for name, replicas in (("stable", stable), ("canary", canary)):
        manifest = deployment(name, replicas)
        manifest["status"] = {"observedGeneration": 10**6, "readyReplicas": min(ready, replicas)}
        kube.put(DEPLOYMENTS, manifest)
    wanted = routes(100 - share, share, {"stable": rest, "canary": candidate})
    assert wanted is not None
    router = ReplicaRatioRouter(kube, Slots(DEPLOYMENTS, {name: f"shop-{name}" for name in ("stable", "canary")}))
    waits = False
    try:
        router.write(wanted)
    except Unavailable:
        waits = True
    after = {name: (kube.get(DEPLOYMENTS, f"shop-{name}") or {})["spec"]["replicas"] for name in ("stable", "canary")}
    before, target = {"stable": stable, "canary": canary}, {"stable": rest, "canary": candidate}
    assert sum(after.values()) >= 1
    for name, number in after.items():
        assert number in (before[name], target[name])
        other = "canary" if name == "stable" else "stable"
        if number < before[name] and target[other] >= before[other]:
            assert not waits and min(ready, before[other]) >= target[other]
