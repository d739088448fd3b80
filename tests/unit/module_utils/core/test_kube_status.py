# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rollout has come, and why Pods do not get ready, on plain dicts."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import kube_status
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_pods import Trouble, clipped, is_ready, trouble

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def manifest(generation: int = 2, observed: int = 2, conditions: tuple[dict[str, Any], ...] = (), spec: Any = None, **status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": generation}, "spec": {"replicas": 3, **(spec or {})},
            "status": {"observedGeneration": observed, "conditions": list(conditions), **status}}


LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
FULL = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}


@pytest.mark.parametrize("found, done, failed, why", [
    (manifest(**FULL), True, False, ""),
    (manifest(3, 2, (LATE,), **FULL), False, False, "not observed"),
    (manifest(2, 2, (LATE,), **FULL), False, True, "progress deadline"),
    (manifest(replicas=3, updatedReplicas=1, availableReplicas=3), False, False, "1 of 3 new replicas are there"),
    (manifest(replicas=4, updatedReplicas=3, availableReplicas=3), False, False, "1 old replicas are still there"),
    (manifest(replicas=3, updatedReplicas=3, availableReplicas=2), False, False, "2 of 3 new replicas are available"),
    (manifest(spec={"paused": True}, replicas=3, availableReplicas=3), False, False, "paused: 0 of 3"),
    (manifest(spec={"paused": True}, **FULL), True, False, ""),
    (manifest(spec={"replicas": 0}), True, False, ""),
    ({"metadata": {"generation": 1}, "spec": {}}, False, False, "not observed"),
])  # fmt: skip
def test_deployment(found: dict[str, Any], done: bool, failed: bool, why: str) -> None:
    look = kube_status.deployment(found)
    assert (look.done, look.failed) == (done, failed) and why in look.why
    assert look.ready <= look.wanted


SET = {"readyReplicas": 3, "updatedReplicas": 3, "currentRevision": "b", "updateRevision": "b"}


@pytest.mark.parametrize("found, done, failed, why", [
    (manifest(**SET), True, False, ""),
    (manifest(observed=0, **SET), False, False, "not observed"),
    (manifest(3, 2, **SET), False, False, "not observed"),
    (manifest(**{**SET, "readyReplicas": 2}), False, False, "2 of 3 replicas are ready"),
    (manifest(**{**SET, "updatedReplicas": 1}), False, False, "1 of 3 replicas have"),
    (manifest(**{**SET, "currentRevision": "a"}), False, False, "revision b"),
    (manifest(spec={"updateStrategy": {"rollingUpdate": {"partition": 2}}}, **{**SET, "updatedReplicas": 1, "currentRevision": "a"}), True, False, ""),
    (manifest(spec={"updateStrategy": {"rollingUpdate": {"partition": 1}}}, **{**SET, "updatedReplicas": 1}), False, False, "1 of 2"),
    (manifest(spec={"updateStrategy": {"type": "OnDelete"}}, **SET), False, True, "OnDelete"),
    (manifest(spec={"replicas": 0}, currentRevision="a", updateRevision="b"), True, False, ""),
])  # fmt: skip
def test_statefulset(found: dict[str, Any], done: bool, failed: bool, why: str) -> None:
    look = kube_status.statefulset(found)
    assert (look.done, look.failed) == (done, failed) and why in look.why


DAEMON = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}


@pytest.mark.parametrize("found, done, failed, why", [
    (manifest(**DAEMON), True, False, ""),
    (manifest(3, 2, **DAEMON), False, False, "not observed"),
    (manifest(**{**DAEMON, "updatedNumberScheduled": 1}), False, False, "1 of 2 nodes"),
    (manifest(**{**DAEMON, "numberAvailable": 0}), False, False, "0 of 2 new Pods"),
    (manifest(spec={"updateStrategy": {"type": "OnDelete"}}, **DAEMON), False, True, "OnDelete"),
])  # fmt: skip
def test_daemonset(found: dict[str, Any], done: bool, failed: bool, why: str) -> None:
    look = kube_status.daemonset(found)
    assert (look.done, look.failed) == (done, failed) and why in look.why


def test_a_refused_pod_is_said_as_long_as_it_is_refused() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}
    assert kube_status.refusal(manifest(conditions=(failure,))) == "exceeded quota: small"
    assert kube_status.refusal(manifest(conditions=({**failure, "status": "False"},))) == ""
    assert kube_status.refusal(manifest()) == ""


def pod(
    state: Any = None, *, name: str = "p1", ready: bool = False, last: Any = None, restarts: int = 0, conditions: tuple[Any, ...] = (), **container: Any,
) -> dict[str, Any]:  # fmt: skip
    status = {"name": "app", "image": "shop:2", "ready": ready, "restartCount": restarts, "state": state or {}, "lastState": last or {}}
    found = [{"type": "Ready", "status": str(ready)}, *conditions]
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "app", **container}]}, "status": {"containerStatuses": [status], "conditions": found}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


CRASHED = {"terminated": {"exitCode": 1, "reason": "Error"}}


@pytest.mark.parametrize("found, hopeless, text", [
    (pod(waiting("ErrImagePull", "not found")), False, "p1 cannot have the image shop:2 (ErrImagePull): not found"),
    (pod(waiting("ImagePullBackOff", "not\nfound")), True, "(ImagePullBackOff): not found"),
    (pod(waiting("InvalidImageName")), True, "InvalidImageName"),
    (pod(waiting("CreateContainerConfigError", 'configmap "x" not found')), False, 'cannot start (CreateContainerConfigError): configmap "x" not found'),
    (pod(waiting("CrashLoopBackOff"), last=CRASHED, restarts=1), False, "exit code 1, 1 restart"),
    (pod(waiting("CrashLoopBackOff"), last=CRASHED, restarts=2), True, "exit code 1, 2 restarts"),
    (pod(CRASHED, restarts=2), True, "exit code 1"),
    (pod(waiting("CrashLoopBackOff"), last={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, restarts=3), True, "137 (OOMKilled)"),
    (pod(conditions=({"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"},)), False, "finds no node: 0/1"),
    (pod({"running": {"startedAt": "2027-01-15T07:59:00Z"}}, readinessProbe={"httpGet": {"port": 8080, "path": "/ready"}}), False, "GET :8080/ready fails"),
    (pod({"running": {"startedAt": "2027-01-15T07:59:00Z"}}, startupProbe={"exec": {}}), False, "startupProbe of container app fails"),
])  # fmt: skip
def test_reasons(found: dict[str, Any], hopeless: bool, text: str) -> None:
    seen = trouble([found], NOW)
    assert seen is not None and seen.hopeless is hopeless and text in seen.text


@pytest.mark.parametrize("found", [
    pod({"running": {"startedAt": "2027-01-15T07:59:59Z"}}), pod({"running": {"startedAt": "2027-01-15T07:00:00Z"}}, ready=True),
    pod(waiting("ContainerCreating")), pod(waiting("PodInitializing")), pod({"terminated": {"exitCode": 0}}), {"metadata": {"name": "new"}, "spec": {}},
    {**pod(waiting("ImagePullBackOff")), "metadata": {"name": "p1", "deletionTimestamp": "2027-01-15T07:00:00Z"}},
])  # fmt: skip
def test_what_only_needs_time_is_no_trouble(found: dict[str, Any]) -> None:
    assert trouble([found], NOW) is None


def test_the_worst_trouble_comes_first() -> None:
    found = trouble([pod(waiting("ErrImagePull"), name="a"), pod(waiting("CrashLoopBackOff"), last=CRASHED, restarts=4, name="b")], NOW)
    assert isinstance(found, Trouble) and (found.pod, found.crashed) == ("b", "app")


def test_an_init_container_that_cannot_start_is_seen() -> None:
    found = pod()
    found["status"]["initContainerStatuses"] = [{"name": "init", "image": "i:1", "ready": False, "restartCount": 0, "state": waiting("ImagePullBackOff", "no")}]
    seen = trouble([found], NOW)
    assert seen is not None and "i:1" in seen.text


def test_ready_pods_and_long_messages() -> None:
    assert is_ready(pod(ready=True)) and not is_ready(pod())
    assert not is_ready({**pod(ready=True), "metadata": {"name": "p", "deletionTimestamp": "x"}})
    assert len(clipped("x" * 1000)) == 240 and clipped("a\n b") == "a b"
