# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metric provider ``kubernetes`` on a real node: Pods that crash and Pods that are not ready, with the rights of a release and no other.

The node has no metrics API. What the provider makes of one is in the unit tests; here it says so, and without the right to it that the right is missing.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import CORE, EXTRA
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.measuring import labels_of
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.kubernetes import KubernetesProvider
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster, Namespace, deployment, fetch
from ansible_collections.progressive.delivery.tests.kubernetes.roles import deployer
from ansible_collections.progressive.delivery.tests.kubernetes.test_rbac import Shop as Release
from ansible_collections.progressive.delivery.tests.waiting import wait_until


class Shop:
    """Two Deployments, measured with what this kubeconfig allows."""

    def __init__(self, space: Namespace, kubeconfig: Path) -> None:
        self.space = space
        options = {"kubeconfig": str(kubeconfig), "namespace": space.name, "stable": "shop-stable", "canary": "shop-canary"}
        self.spec = {"name": "shop", "workload": {"deployment": options}}
        given = validate({"kubeconfig": str(kubeconfig)}, KubernetesProvider.OPTIONS, "kubernetes")
        self.provider = KubernetesProvider.from_options(given, {})

    def look(self, query: str, track: str = "canary", seconds: float = 60, builtin: str = "") -> float:
        now = time.time()
        window = Window(track, now - seconds, now, labels_of(self.spec, track, "1"), builtin)
        return self.provider.query(query, window).samples[0].points[0].value


@pytest.fixture
def shop(namespace: Namespace) -> Shop:
    for name in ("shop-stable", "shop-canary"):
        namespace.app(name, replicas=2)
    return Shop(namespace, deployer(namespace, "canary"))


def turn(space: Namespace, name: str, knob: str) -> None:
    """Turn a knob of one of its Pods."""
    fetch(f"{space.service(name, {'app': name})}/admin?{knob}", data=b"")


def test_a_crash_is_a_restart_of_that_track_alone(shop: Shop) -> None:
    shop.provider.probe()
    assert [shop.look("restarts", track) for track in ("canary", "stable")] == [0.0, 0.0]
    turn(shop.space, "shop-canary", "crash=now")
    wait_until(lambda: shop.look("restarts", seconds=3600) == 1.0, says=lambda: shop.space.list("pods", "app=shop-canary"))
    assert shop.look("", seconds=3600, builtin="restarts") == 1.0
    assert shop.look("restarts", "stable", seconds=3600) == 0.0
    wait_until(lambda: shop.look("ready") == 1.0)
    again = Shop(shop.space, deployer(shop.space, "canary"))
    assert again.look("restarts", seconds=3600) == 1.0, "whoever looks for the first time"
    assert again.look("restarts", seconds=3600) == 1.0, "and does not count it twice"


def test_a_crash_loop_counts_on(shop: Shop) -> None:
    crashing = deployment("shop-canary", "crash")
    crashing["spec"]["strategy"] = {"type": "Recreate"}
    shop.space.apply(crashing)

    def restarts() -> float:
        try:
            return shop.look("restarts", seconds=3600)
        except NoData:  # the old Pod is gone, and the new one is not there yet
            return 0.0

    wait_until(lambda: restarts() >= 2, 180, lambda: shop.space.list("pods", "app=shop-canary"))
    assert shop.look("ready") == 0.0
    assert Shop(shop.space, deployer(shop.space, "canary")).look("restarts", seconds=3600) >= 2, "whoever looks for the first time"


def test_ready_is_a_share(shop: Shop) -> None:
    assert shop.look("ready") == 1.0
    turn(shop.space, "shop-canary", "ready=false")
    wait_until(lambda: shop.look("ready") == 0.5)
    assert shop.look("ready", "stable") == 1.0


def test_the_metrics_api_is_not_there_and_a_missing_right_is_named(shop: Shop) -> None:
    with pytest.raises(ConfigError, match=r"may not list pods.metrics.k8s.io in .*deployer.*see examples/rbac"):
        shop.look("memory")
    allowed = Shop(shop.space, deployer(shop.space, "canary", "pod-metrics", account="measurer"))
    with pytest.raises(Unsupported, match="no metrics API, so memory is not known"):
        allowed.look("memory")
    few = Shop(shop.space, deployer(shop.space, "canary", without=(("pods", "list"),), account="blind"))
    with pytest.raises(ConfigError, match="may not list pods in"):
        few.look("ready")


def test_a_workload_that_is_not_there(shop: Shop) -> None:
    shop.space.kubectl("delete", "deployment", "shop-canary")
    for query in ("ready", "restarts", "memory"):
        with pytest.raises(Unavailable, match="there is no Deployment .*/shop-canary"):
            shop.look(query)


def test_a_plan_reaches_the_cluster_of_the_release_and_names_the_right_that_is_missing(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    with cluster.namespace(tmp_path_factory.mktemp("plan")) as space:
        release = Release(space)
        params = release.params("rolling")
        analysis = {"metrics": [{"name": what, "provider": {"kubernetes": {}}, "query": what, "failure_condition": "result > 1e12", "interval": "5s"}
                                for what in ("restarts", "ready")]}  # fmt: skip
        rolling = {"monitor": "1m"}
        params["variables"] |= {"rollout_analysis": analysis, "rollout_rolling": rolling}
        [lacks] = EXTRA["pod-metrics"].rights
        release.allow((*CORE["rolling"].rights, lacks), without=lacks)
        plan.run(params, Context(SystemClock()))
        analysis["metrics"].append({**analysis["metrics"][0], "name": "memory", "query": "memory"})
        with pytest.raises(ConfigError, match="may not list pods.metrics.k8s.io in"):
            plan.run(params, Context(SystemClock()))
