# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads on a real Kubernetes node: what is rolled out, what is refused, and why something does not get ready."""

from __future__ import annotations

import copy
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_access import check
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_hpa import MINIMUM
from ansible_collections.progressive.delivery.plugins.module_utils.core import kube_rights
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Progress, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind, Plan, Step
from ansible_collections.progressive.delivery.plugins.module_utils.core.rollout import Update, wait
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import WORKLOADS
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import workload as verb
from ansible_collections.progressive.delivery.tests.cluster.cluster import PORT, Namespace, deployment
from ansible_collections.progressive.delivery.tests.kubernetes.roles import deployer_of
from ansible_collections.progressive.delivery.tests.waiting import wait_until

IMAGE = "registry.test/app:${version}"


def workload(space: Namespace, version: str = "2", kind: str = "deployment", update: Optional[Update] = None,
             kubeconfig: Optional[Path] = None, **options: Any) -> Any:
    given = {"stable": "shop", "image": IMAGE, "namespace": space.name, **options}
    given["kubeconfig"] = str(kubeconfig or deployer_of(space, {"rollout_workload": {kind: given}, "rollout_strategy": "rolling"}))
    return WORKLOADS[kind].from_options(validate(given, WORKLOADS[kind].OPTIONS, f"rollout_workload.{kind}"), version, update)


def waited(shop: Any, track: str = "stable", seconds: float = 240) -> Progress:
    return wait(shop, track, SystemClock(), seconds)


def other(kind: str, name: str = "shop", version: str = "1", replicas: int = 2) -> dict[str, Any]:
    """A StatefulSet or DaemonSet of the test app."""
    made = deployment(name, version, replicas)
    made["kind"] = kind
    if kind == "DaemonSet":
        del made["spec"]["replicas"]
    return made


def plan(*steps: Step) -> Plan:
    return Plan("rolling", "2", "stable", "stable", "stable", Routes({"stable": 100}), steps, full_load=2, by_hosts=False)  # type: ignore[dict-item]


def deploys(version: str = "2", track: str = "stable", replicas: Optional[int] = None) -> Step:
    return Step("deploy", Kind.DEPLOY, track=track, version=version, replicas=replicas)


def versions(space: Namespace) -> set[str]:
    """Images of the Pods that are not about to end."""
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in space.list("pods") if not pod["metadata"].get("deletionTimestamp")}


@pytest.mark.parametrize("kind, manifest", [
    ("deployment", deployment("shop", replicas=2)), ("statefulset", other("StatefulSet")), ("daemonset", other("DaemonSet")),
])  # fmt: skip
def test_a_version_and_the_way_back(namespace: Namespace, kind: str, manifest: dict[str, Any]) -> None:
    namespace.apply(manifest)
    shop = workload(namespace, kind=kind, update=Update())
    assert waited(shop).done and shop.read()["stable"].version == "1"
    before = namespace.get(kind, "shop")
    assert shop.deploy("stable", "2") and not shop.deploy("stable", "2")
    look = waited(shop)
    assert look.done and look.ready == look.wanted
    assert versions(namespace) == {"2"} and shop.read()["stable"].version == "2"
    assert len(shop.addresses("stable")) == look.wanted
    assert shop.deploy("stable", "1") and waited(shop).done and versions(namespace) == {"1"}
    after = namespace.get(kind, "shop")
    assert before and after and after["spec"]["template"] == before["spec"]["template"]
    assert "progressive.delivery" in {entry["manager"] for entry in shop.kube.get(shop.RESOURCE, "shop")["metadata"]["managedFields"]}


@pytest.mark.parametrize("kind, manifest", [("deployment", deployment("shop", replicas=2)), ("statefulset", other("StatefulSet"))])
def test_an_image_that_cannot_be_had_fails_at_once_and_the_way_back_is_free(namespace: Namespace, kind: str, manifest: dict[str, Any]) -> None:
    namespace.apply(manifest)
    shop = workload(namespace, "nowhere", kind)
    assert waited(shop).done
    shop.deploy("stable", "nowhere")
    look = waited(shop)
    assert look.failed and "cannot have the image registry.test/app:nowhere" in look.why and "(after" not in look.why
    assert shop.deploy("stable", "1")
    assert waited(shop).done and versions(namespace) == {"1"}


def test_a_crash_fails_with_its_last_words_and_without_the_right_with_a_hint(namespace: Namespace) -> None:
    namespace.app("shop")
    shop = workload(namespace, "crash")
    shop.deploy("stable", "crash")
    look = waited(shop)
    assert look.failed and "ended with exit code 1" in look.why and "It said: " in look.why, look.why
    few = workload(namespace, "crash", kubeconfig=account(namespace, kube_rights.needed("deployment", ())))
    wait_until(lambda: "Allow get of pods/log" in few.progress("stable").why, says=lambda: few.progress("stable"))


def account(space: Namespace, rights: Iterable[tuple[str, str]]) -> Path:
    return space.kubeconfig("deployer", kube_rights.rules(rights))


def test_the_rights_of_the_table_are_enough_and_each_one_that_lacks_is_named(namespace: Namespace) -> None:
    namespace.app("shop")
    rights = kube_rights.WORKLOAD["deployment"]
    shop = workload(namespace, update=Update(), kubeconfig=account(namespace, rights))
    notes = shop.foresee(plan(deploys()))
    assert any("not allowed, and done without" in note for note in notes)
    assert shop.deploy("stable", "2") and waited(shop).done and versions(namespace) == {"2"}
    less = workload(namespace, "3", kubeconfig=account(namespace, [right for right in rights if right[1] != "patch"]))
    wait_until(lambda: not less.kube.allowed(less.RESOURCE, "patch"))
    with pytest.raises(ConfigError, match=f"may not patch deployments.apps in namespace {namespace.name}"):
        check([less])


def test_a_quota_is_said_before_and_while_it_is_in_the_way(namespace: Namespace) -> None:
    namespace.app("shop", replicas=2)
    namespace.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "2"}}})
    wait_until(lambda: ((namespace.get("resourcequota", "small") or {}).get("status") or {}).get("used", {}).get("pods") == "2")
    shop = workload(namespace, update=Update(max_unavailable=0, max_surge=1))
    assert any("quota small has 2 pods, 2 used, and 1 more Pods are needed" in note for note in shop.foresee(plan(deploys())))
    shop.deploy("stable", "2")
    look = wait_until(lambda: found if "exceeded quota" in (found := shop.progress("stable")).why else None)
    assert not look.done and not look.failed


def test_a_paused_one_is_refused_and_said(namespace: Namespace) -> None:
    namespace.app("shop")
    shop = workload(namespace)
    namespace.kubectl("rollout", "pause", "deployment/shop")
    with pytest.raises(ConfigError, match="rollout resume deployment/shop"):
        shop.foresee(plan(deploys()))
    with pytest.raises(ConfigError, match="paused"):
        shop.undo()
    shop.deploy("stable", "2")
    assert "it is paused" in wait_until(lambda: look.why if "observed" not in (look := shop.progress("stable")).why else "")
    namespace.kubectl("rollout", "resume", "deployment/shop")
    assert waited(shop).done


def test_a_configuration_that_is_not_there_is_said(namespace: Namespace) -> None:
    namespace.app("shop")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "nope"}}]}]}}}}
    shop = workload(namespace, patch=patch)
    shop.deploy("stable", "2")
    look = wait_until(lambda: found if 'configmap "nope" not found' in (found := shop.progress("stable")).why else None)  # first the kubelet may be slow
    assert "CreateContainerConfigError" in look.why and not look.failed


def test_config_maps_of_a_version(namespace: Namespace) -> None:
    made = deployment("shop")
    made["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings", "optional": True}}]
    namespace.apply(made)
    shop = workload(namespace, config_maps={"settings": {"LATENCY": "1ms"}})
    shop.deploy("stable", "2")
    assert waited(shop).done
    [found] = namespace.list("configmaps", "app.kubernetes.io/managed-by=progressive.delivery")
    assert found["data"] == {"LATENCY": "1ms"} and found["metadata"]["name"].startswith("settings-")
    assert not shop.deploy("stable", "2")


def test_a_manifest_is_no_change_once_it_is_there(namespace: Namespace) -> None:
    namespace.app("shop", replicas=2)
    wanted = deployment("whatever", IMAGE.rpartition(":")[2], replicas=1, LATENCY="1ms")
    shop = workload(namespace, image=None, manifest=wanted)
    assert shop.foresee(plan(deploys()))
    assert shop.deploy("stable", "2") and waited(shop).done
    assert not shop.deploy("stable", "2")
    assert versions(namespace) == {"2"} and len(namespace.list("pods", "app=shop")) >= 2
    less = copy.deepcopy(wanted)
    del less["spec"]["template"]["spec"]["containers"][0]["env"]
    assert workload(namespace, image=None, manifest=less).deploy("stable", "2")
    live = namespace.get("deployment", "shop")
    assert live and "env" not in live["spec"]["template"]["spec"]["containers"][0] and live["spec"]["replicas"] == 2


def test_a_concurrent_edit_of_something_else_is_kept(namespace: Namespace) -> None:
    namespace.app("shop")
    shop, begun, done = workload(namespace), threading.Event(), threading.Event()

    def annotate() -> None:
        number = 0
        while not done.is_set():
            number += 1
            namespace.kubectl("annotate", "--overwrite", "deployment/shop", f"number={number}")
            begun.set()
            done.wait(0.2)  # as often as we try again, or nobody would get through on a busy machine

    other = threading.Thread(target=annotate)
    other.start()
    try:
        assert begun.wait(240)
        for version in ("2", "3", "2", "3"):
            assert shop.deploy("stable", version)
    finally:
        done.set()
        other.join()
    live = namespace.get("deployment", "shop")
    assert live and int(live["metadata"]["annotations"]["number"]) > 0
    assert shop.read()["stable"].version == "3"


def test_an_image_that_somebody_sets_after_us_is_named(namespace: Namespace) -> None:
    namespace.app("shop")
    shop = workload(namespace)
    shop.deploy("stable", "2")
    assert waited(shop).done
    namespace.kubectl("set", "image", "deployment/shop", "app=registry.test/app:3")
    look = shop.progress("stable")
    assert look.failed and "somebody else set its image to registry.test/app:3" in look.why and "last changed by kubectl-set" in look.why


def test_an_autoscaler_keeps_its_replicas(namespace: Namespace) -> None:
    for name in ("shop", "shop-canary"):
        namespace.apply(deployment(name, replicas=2 if name == "shop" else 0))
        spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "minReplicas": 1, "maxReplicas": 4,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}  # fmt: skip
        namespace.apply({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec})
    shop = workload(namespace, canary="shop-canary")
    assert any("belongs to autoscaler shop-canary" in note for note in shop.foresee(plan(deploys(track="canary", replicas=2), deploys())))
    assert shop.deploy("canary", "2", 1) and waited(shop, "canary").done
    held = namespace.get("hpa", "shop")
    assert held and held["spec"]["minReplicas"] == 2 and held["metadata"]["annotations"][MINIMUM] == "1"
    assert shop.scale("canary", 3)
    wait_until(lambda: (namespace.get("deployment", "shop-canary") or {})["spec"]["replicas"] == 3)
    assert shop.retire("canary")
    for name, replicas in (("shop", 2), ("shop-canary", 0)):
        hpa, live = namespace.get("hpa", name), namespace.get("deployment", name)
        assert hpa and hpa["spec"]["minReplicas"] == 1 and MINIMUM not in hpa["metadata"].get("annotations", {})
        assert live and live["spec"]["replicas"] == replicas


@contextmanager
def policy(space: Namespace, expression: str) -> Iterator[None]:
    """Admission refuses Deployments of the namespace for which the expression is false."""
    name = f"deny-{space.name}"
    kind = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE", "CREATE"], "resources": ["deployments"]}
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space.name}}, "resourceRules": [rule]}
    space.apply(
        {"apiVersion": kind, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
         "spec": {"matchConstraints": where, "validations": [{"expression": expression, "message": "not on a Friday"}]}},
        {"apiVersion": kind, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
         "spec": {"policyName": name, "validationActions": ["Deny"]}},
    )  # fmt: skip
    try:
        yield
    finally:
        space.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", name)


def test_what_admission_refuses_is_refused_beforehand(namespace: Namespace) -> None:
    namespace.app("shop")
    shop = workload(namespace, "3")
    before = namespace.get("deployment", "shop")
    with policy(namespace, "!object.spec.template.spec.containers.exists(c, c.image.endsWith(':3'))"):

        def refusal() -> str:
            try:
                shop.foresee(plan(deploys("3")))
            except ConfigError as error:
                return str(error)
            return ""

        assert "not on a Friday" in wait_until(refusal)
    after = namespace.get("deployment", "shop")
    assert before and after and after["spec"] == before["spec"]


def test_a_missing_slot_is_made_and_retired(namespace: Namespace) -> None:
    made = deployment("shop", labels={"track": "stable"})
    made["spec"]["selector"]["matchLabels"]["track"] = "stable"
    namespace.apply(made)
    with pytest.raises(ConfigError, match=f"kubectl -n {namespace.name} create deployment shop-canary"):
        workload(namespace, canary="shop-canary").foresee(plan(deploys(track="canary", replicas=1)))
    shop = workload(namespace, canary="shop-canary", create_missing=True)
    assert any("will be made" in note for note in shop.foresee(plan(deploys(track="canary", replicas=1))))
    assert shop.deploy("canary", "2", 1) and waited(shop, "canary").done
    assert {track.name: (track.version, track.ready) for track in shop.read().values()} == {"stable": ("1", 1), "canary": ("2", 1)}
    assert not shop.foresee(plan(deploys(track="canary", replicas=1), deploys()))[0].startswith("Deployment shop-canary is not there")
    assert shop.retire("canary") and waited(shop, "canary").done and not shop.retire("canary")


def test_undo_does_what_kubectl_does(namespace: Namespace) -> None:
    namespace.app("shop")
    shop = workload(namespace)
    for version in ("2", "3"):
        shop.deploy("stable", version)
        assert waited(shop).done
    assert [revision.number for revision in shop.revisions()] == [1, 2, 3]
    assert shop.undo() and waited(shop).done and versions(namespace) == {"2"}
    assert [revision.number for revision in shop.revisions()] == [1, 3, 4]
    assert not shop.undo(4)
    assert shop.undo(1) and waited(shop).done and versions(namespace) == {"1"}
    mine = namespace.get("deployment", "shop")
    namespace.kubectl("rollout", "undo", "deployment/shop")
    namespace.kubectl("rollout", "undo", "deployment/shop", "--to-revision", "5")
    theirs = namespace.get("deployment", "shop")
    assert mine and theirs and mine["spec"]["template"] == theirs["spec"]["template"]


def test_pods_are_asked_to_finish_before_they_go(namespace: Namespace) -> None:
    namespace.app("shop")
    [pod] = namespace.list("pods")
    options = {"stable": "shop", "drain": {"http": {"path": "/drain"}}, "kubeconfig": str(namespace.cluster.kubeconfig), "namespace": namespace.name}
    said: list[str] = []
    with socket.create_connection((pod["status"]["podIP"], PORT), timeout=60) as kept:
        kept.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert b"Connection: close" not in kept.recv(4096)
        given = validate({"workload": {"deployment": options}, "replicas": 0, "drain_timeout": "2s"}, verb.OPTIONS, "workload")
        assert verb.run(given, Context(SystemClock(), said.append))["after"]["replicas"] == 0
    assert re.match(r"stable: \d+ connections? still open after \d", said[0]), said  # ours, and a probe's that was just opened
    wait_until(lambda: not namespace.list("pods"))
