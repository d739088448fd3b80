# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each right of the table, by the real API server: a plan without it says which one lacks and what brings it; with all of them nothing lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_access import may
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import CORE, EXTRA, NICE, TOLERATED, Right, rules
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan
from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, deployment
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site
from ansible_collections.progressive.delivery.tests.kubernetes.roles import deployer
from ansible_collections.progressive.delivery.tests.waiting import wait_until

USED: Mapping[str, Mapping[str, Any]] = {
    "create-missing": {"create_missing": True},
    "config-maps": {"config_maps": {"settings": {"LEVEL": "info"}}},
    "drain": {"drain": {"http": {"path": "/drain"}}},
    "hpa": {"hpa": "shop"},
}
"""Options of the workload that need an extra."""
MISSING = [(name, right) for name, row in CORE.items() for right in row.rights if right[1] not in TOLERATED]
MISSING_OF_OPTIONS = [(name, right) for name in USED for right in EXTRA[name].rights if right not in CORE["rolling"].rights]
OTHER: Mapping[str, Mapping[str, Any]] = {
    "workload-statefulset": {"rollout_workload": {"statefulset": {"stable": "shop", "image": "registry.test/app:${version}"}}},
    "workload-daemonset": {"rollout_workload": {"daemonset": {"stable": "shop", "image": "registry.test/app:${version}"}}},
    "router-gateway-api": {"rollout_strategy": "canary", "rollout_router": {"gateway_api": {"http_route": "shop"}}},
    "router-service": {"rollout_strategy": "canary", "rollout_router": {"service": {"name": "shop"}}, "rollout_canary": {"step_weights": [100]}},
}
"""Variables of a release that needs an extra for its router or its kind of workload."""
NOT_ASKED = {("gateways.gateway.networking.k8s.io", "get"), ("statefulsets.apps", "create"), ("pods", "delete")}
"""Rights of those extras that only some releases use."""
MISSING_OF_OTHERS = [(name, right) for name in OTHER for right in EXTRA[name].rights if right[1] not in TOLERATED and right not in NOT_ASKED]
LOST = [(name, right) for name in ("pod-logs", "events", "quota", "pdb", "hpa") for right in EXTRA[name].rights if name != "events"]


class Shop:
    """Two Deployments behind a Service, and an account whose Role a test cuts down."""

    def __init__(self, space: Namespace) -> None:
        self.space = space
        for version, slot in enumerate(("shop-stable", "shop-canary"), 1):
            made = deployment(slot, str(version), 1, {"color": slot, "shop": "yes"})
            made["spec"]["selector"]["matchLabels"]["color"] = slot
            space.apply(made)
        space.service("shop", {"shop": "yes", "color": "shop-stable"})
        space.service("all", {"shop": "yes"})
        self.kubeconfig = deployer(space, "blue-green")
        self.kube = Kube.from_options({"kubeconfig": str(self.kubeconfig)})

    def allow(self, rights: tuple[Right, ...], without: Right) -> None:
        """The Role allows ``rights`` but that one, and the API server knows it."""
        kept = [right for right in rights if right != without]
        body = {"rules": rules(kept)}
        self.space.kubectl("patch", "role", "deployer", "--type", "merge", "--patch", json.dumps(body))
        wait_until(lambda: all(may(self.kube, right) for right in kept) and not may(self.kube, without))

    def plan(self, strategy: str, changed: Optional[Mapping[str, Any]] = None, **workload: Any) -> dict[str, Any]:
        params = self.params(strategy, **workload)
        params["variables"].update(changed or {})
        return plan.run(params, Context(SystemClock()))

    def params(self, strategy: str, **workload: Any) -> dict[str, Any]:
        names = {"stable": "shop-stable", "canary": "shop-canary", "image": "registry.test/app:${version}"}
        router = {"blue-green": {"service": {"name": "shop"}}, "canary": {"replica_ratio": {"service": "all"}}}.get(strategy)
        variables = {
            "rollout_name": "shop", "rollout_version": "2", "rollout_kubernetes": {"kubeconfig": str(self.kubeconfig), "namespace": self.space.name},
            "rollout_strategy": strategy.replace("-", "_"), "rollout_workload": {"deployment": {**names, **workload}},
            **({"rollout_router": router} if router else {}),
        }  # fmt: skip
        given = {"variables": variables, "groups": {}, "addresses": {}, "arguments": [], "left_out": [], "folders": []}
        return {**{name: option.default for name, option in plan.OPTIONS.items()}, **given}


@pytest.fixture(scope="module")
def shop(cluster: fixtures.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with cluster.namespace(tmp_path_factory.mktemp("rbac")) as space:
        yield Shop(space)


@pytest.mark.parametrize("name, right", MISSING, ids=str)
def test_a_strategy_without_one_of_its_rights_is_refused_by_its_name(shop: Shop, name: str, right: Right) -> None:
    shop.allow(CORE[name].rights, without=right)
    with pytest.raises(ConfigError) as refused:
        shop.plan(name)
    assert f"may not {right[1]} {right[0]} in namespace {shop.space.name}" in str(refused.value)
    assert "Add examples/rbac/" in str(refused.value)


@pytest.mark.parametrize("name, right", MISSING_OF_OPTIONS, ids=str)
def test_an_option_without_its_right_is_refused_by_its_name(shop: Shop, name: str, right: Right) -> None:
    shop.allow((*CORE["rolling"].rights, *EXTRA[name].rights), without=right)
    with pytest.raises(ConfigError) as refused:
        shop.plan("rolling", **USED[name])
    assert f"may not {right[1]} {right[0]} in namespace" in str(refused.value) and f"examples/rbac/{name}.yaml" in str(refused.value)


@pytest.mark.parametrize("name, right", MISSING_OF_OTHERS, ids=str)
def test_another_router_or_kind_without_one_of_its_rights_is_refused_by_its_name(shop: Shop, name: str, right: Right) -> None:
    shop.allow((*CORE["rolling"].rights, *EXTRA[name].rights), without=right)
    with pytest.raises(ConfigError) as refused:
        shop.plan("rolling", OTHER[name])
    assert f"this user may not {right[1]} {right[0]} in namespace {shop.space.name}" in str(refused.value)
    assert "Add examples/rbac/" in str(refused.value)


@pytest.mark.parametrize("name, right", LOST, ids=str)
def test_what_is_done_without_is_said_with_what_is_lost(shop: Shop, name: str, right: Right) -> None:
    shop.allow((*CORE["rolling"].rights, *EXTRA[name].rights), without=right)
    [said] = [note for note in shop.plan("rolling")["notes"] if note.startswith("not allowed, and done without")]
    assert f"{right[1]} {right[0]} ({NICE[right]})" in said


def test_an_approver_decides_and_can_do_nothing_else(namespace: Namespace) -> None:
    namespace.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "decisions"}, "data": {}})
    kubeconfig = deployer(namespace, "approver", account="approver")
    namespace.kubectl("patch", "configmap", "decisions", "--type", "merge", "--patch", json.dumps({"data": {"half": "promote ann"}}), kubeconfig=kubeconfig)
    release = {"rollout_name": "shop", "rollout_kubernetes": {"kubeconfig": str(kubeconfig)},
               "rollout_workload": {"deployment": {"stable": "shop", "image": "registry.test/app:${version}"}}, "rollout_strategy": "rolling"}
    site = Site(namespace, release)
    before = site.writes("configmaps,leases")
    for playbook in ("promote", "abort", "rollout"):
        done = site.run(playbook, "2")
        assert done.status != 0 and "configmaps" in done.message(), done.text
    assert site.writes("configmaps,leases") == before
