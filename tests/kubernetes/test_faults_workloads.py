# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster itself does to a release: Pods that never run, autoscalers that pull the other way, history that is gone.

Rows X034 and X044 to X047 of tests/faults/README.md.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_hpa import MINIMUM
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, HPAS
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, deployment
from ansible_collections.progressive.delivery.tests.kubernetes.release_rig import Shop
from ansible_collections.progressive.delivery.tests.waiting import wait_until


def assert_stable_untouched(states: list[dict[str, Any]]) -> None:
    assert {state["metadata"]["generation"] for state in states} == {states[0]["metadata"]["generation"]}, "stable's object was changed"
    assert all(state["status"].get("availableReplicas") == state["spec"]["replicas"] for state in states), "stable lost Pods"


LIMITS = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}}


def greedy(version: str) -> dict[str, Any]:
    """A patch that wants more memory than the namespace lets a container have."""
    container = {"name": "app", "image": f"registry.test/app:{version}", "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.mark.parametrize("version, said", [("nowhere", "cannot have the image registry.test/app:nowhere"), ("crash", "ended with exit code 1")])
def test_a_version_that_never_runs_is_scaled_away_and_stable_is_not_touched(namespace: Namespace, version: str, said: str) -> None:
    shop = Shop(namespace)
    with shop.watched("blue") as states:
        done = shop.run("rollout", version)
    assert done["outcome"] == "rolled_back" and said in done["reason"], done["reason"]
    assert shop.color == "blue" and shop.holds("green") == (version, 0)
    assert_stable_untouched(states)


def test_three_of_four_containers_that_crash_are_a_crash(namespace: Namespace) -> None:
    others = [{"name": f"side-{number}", "image": "registry.test/app:crash"} for number in range(3)]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "registry.test/app:${version}"}, *others]}}}}
    shop = Shop(namespace)
    shop.file["rollout_workload"]["deployment"].update(patch=patch)
    with shop.watched("blue") as states:
        done = shop.run("rollout", "2")
    assert done["outcome"] == "rolled_back" and "side-" in done["reason"] and "ended with exit code 1" in done["reason"], done["reason"]
    assert shop.holds("green")[1] == 0
    assert_stable_untouched(states)


def test_a_limit_of_the_namespace_is_the_reason_that_is_given(namespace: Namespace) -> None:
    shop = Shop(namespace, rollout_deploy_timeout="15s")
    namespace.apply(LIMITS)
    shop.file["rollout_workload"]["deployment"].update(patch=greedy("${version}"))
    with shop.watched("blue") as states:
        done = shop.run("rollout", "2")
    assert done["outcome"] == "rolled_back" and "maximum memory usage per Container is 64Mi" in done["reason"], done["reason"]
    assert shop.holds("green")[1] == 0
    assert_stable_untouched(states)


def test_a_quota_that_is_full_by_then_is_the_reason_that_is_given(namespace: Namespace) -> None:
    """The plan has seen room; somebody else took it."""
    shop = Shop(namespace, rollout_deploy_timeout="15s")
    begun = shop.begin("rollout", "2")
    namespace.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}})
    wait_until(lambda: ((namespace.get("resourcequota", "small") or {}).get("status") or {}).get("used", {}).get("pods") == "1")
    with shop.watched("blue") as states:
        done = shop.walk(begun)
    assert done["outcome"] == "rolled_back" and "exceeded quota: small" in done["reason"], done["reason"]
    assert shop.holds("green")[1] == 0
    assert_stable_untouched(states)


# Autoscalers


def autoscaler(name: str, least: int = 1) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": 5, "metrics": metrics}}  # fmt: skip


@contextmanager
def idle(space: Namespace, name: str) -> Iterator[list[int]]:
    """What an autoscaler does to a Deployment without load: as few replicas as its minimum allows, all the time. Gives the numbers it set."""
    ended, given, kube = threading.Event(), list[int](), Kube.from_options({"kubeconfig": str(space.cluster.kubeconfig), "namespace": space.name})

    def shrink() -> None:
        while not ended.is_set():
            hpa, live = kube.get(HPAS, name), kube.get(DEPLOYMENTS, name)
            least = hpa["spec"]["minReplicas"] if hpa else 1
            if live and live["spec"]["replicas"] not in (0, least):
                seen = {"resourceVersion": live["metadata"]["resourceVersion"]}  # an autoscaler sets what it has read, or looks again
                with contextlib.suppress(Conflict):
                    kube.patch(DEPLOYMENTS, name, {"metadata": seen, "spec": {"replicas": least}})
                    given.append(least)
            ended.wait(0.05)

    thread = threading.Thread(target=shrink)
    thread.start()
    try:
        yield given
    finally:
        ended.set()
        thread.join()
        kube.close()


def test_stable_keeps_its_floor_while_the_canary_carries_the_traffic(namespace: Namespace) -> None:
    """Stable is idle, and its autoscaler would let it shrink to one Pod: the way back needs all of them until the release is over."""
    shop = Shop(namespace, replicas=2, rollout_blue_green={"post_promotion_bake": "2s"})
    namespace.apply(autoscaler("shop-blue"), autoscaler("shop-green"))
    begun = shop.begin("rollout", "2")
    shop.walk(begun, until="switch")
    with shop.watched("blue") as states, idle(namespace, "shop-blue") as given:
        shop.walk(begun, until="retire")
        held = namespace.get("hpa", "shop-blue")
        assert held and held["spec"]["minReplicas"] == 2 and held["metadata"]["annotations"][MINIMUM] == "1"
        assert shop.color == "green" and given == [] and {state["spec"]["replicas"] for state in states} == {2}
        done = shop.walk(begun)
    assert done["outcome"] == "promoted", done["reason"]
    for name in ("shop-blue", "shop-green"):
        hpa = namespace.get("hpa", name)
        assert hpa and hpa["spec"]["minReplicas"] == 1 and MINIMUM not in hpa["metadata"].get("annotations", {})
    assert shop.holds("blue") == ("1", 0) and shop.holds("green") == ("2", 2)


def test_replicas_in_a_manifest_are_the_autoscalers_business(namespace: Namespace) -> None:
    """Helm's output says one replica; the autoscaler has three."""
    shop = Shop(namespace, replicas=3, rollout_strategy="rolling", rollout_router=None)
    namespace.apply(autoscaler("shop-blue", 3))
    wanted = deployment("whatever", "${version}", replicas=1, labels={"shop": "yes", "color": "blue"})
    wanted["spec"]["template"]["metadata"]["labels"]["app"] = "shop-blue"
    shop.file["rollout_workload"]["deployment"].update(image=None, manifest=wanted)
    with shop.watched("blue") as states:
        done = shop.run("rollout", "2")
    assert done["outcome"] == "promoted", done["reason"]
    assert {state["spec"]["replicas"] for state in states} == {3} and shop.holds("blue") == ("2", 3)
    hpa = namespace.get("hpa", "shop-blue")
    assert hpa and hpa["spec"]["minReplicas"] == 3


# The way back to what is not there any more


def test_a_rollback_brings_the_old_colour_up_before_it_gets_a_request(namespace: Namespace) -> None:
    shop = Shop(namespace, replicas=2)
    assert shop.run("rollout", "2")["outcome"] == "promoted" and shop.holds("blue") == ("1", 0)
    begun = shop.begin("rollback")
    shop.walk(begun, until="switch")
    assert shop.color == "green" and shop.of("blue")["status"].get("readyReplicas") == 2, "Pods first, then requests"
    assert shop.walk(begun)["outcome"] == "rolled_back"
    assert shop.color == "blue" and shop.holds("blue") == ("1", 2)


def test_a_rollback_needs_no_history_of_the_cluster(namespace: Namespace) -> None:
    """Two rollbacks back, and every old ReplicaSet deleted: the record knows the version, the image makes it."""
    shop = Shop(namespace, rollout_strategy="rolling", rollout_router=None)
    namespace.kubectl("patch", "deployment", "shop-blue", "-p", '{"spec":{"revisionHistoryLimit":0}}')
    for version in ("2", "3"):
        assert shop.run("rollout", version)["outcome"] == "promoted"
    wait_until(lambda: len(namespace.list("replicasets", "app=shop-blue")) == 1)
    for version in ("2", "1"):
        assert shop.run("rollback")["outcome"] == "rolled_back"
        assert shop.holds("blue")[0] == version


def test_a_version_that_nothing_can_make_again_is_said_so_and_nothing_changes(namespace: Namespace) -> None:
    shop = Shop(namespace, rollout_strategy="rolling", rollout_router=None)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "RELEASE", "value": "${version}"}]}]}}}}
    shop.file["rollout_workload"]["deployment"].update(image=None, patch=patch)
    namespace.kubectl("patch", "deployment", "shop-blue", "-p", '{"spec":{"revisionHistoryLimit":0}}')
    for version in ("2", "3"):
        assert shop.run("rollout", version)["outcome"] == "promoted"
    wait_until(lambda: len(namespace.list("replicasets", "app=shop-blue")) == 1)
    before = shop.of("blue")["metadata"]["generation"]
    with pytest.raises(ConfigError, match="the cluster remembers no template of version 2"):
        shop.run("rollback")
    assert shop.of("blue")["metadata"]["generation"] == before and shop.holder == ""
