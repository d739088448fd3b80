# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes API in a dict with the controllers of workloads in it: what is written is rolled out with the next read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import (
    CONTROLLERREVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    PODS,
    REPLICASETS,
    STATEFULSETS,
    Resource,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_history import REVISION
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_template import same_template
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

RESOURCES = {"deployment": DEPLOYMENTS, "statefulset": STATEFULSETS, "daemonset": DAEMONSETS}
NODES = 2


def manifest(kind: str, name: str, image: str = "registry.test/shop:1", replicas: int = 2, **spec: Any) -> dict[str, Any]:
    """A workload of one container ``app``, its Pods labelled with its name."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    number = {} if kind == "daemonset" else {"replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": RESOURCES[kind].kind, "metadata": {"name": name},
            "spec": {**number, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}}  # fmt: skip


class FakeControllers(FakeKube):
    """``broken``: images whose Pods cannot have them."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[str] = set()
        self.still = False
        """Whether controllers do nothing."""

    def get(self, resource: Resource, name: str, namespace: str = "") -> Optional[dict[str, Any]]:
        self._roll(resource, name)
        return super().get(resource, name, namespace)

    def list(self, resource: Resource, namespace: str = "", labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        for plural, _namespace, name in [key for key in self.objects if key[0] in {str(item) for item in RESOURCES.values()}]:
            self._roll(next(item for item in RESOURCES.values() if str(item) == plural), name)
        return super().list(resource, namespace, labels, fields)

    def history(self, workload: Mapping[str, Any]) -> list[dict[str, Any]]:
        """ReplicaSets or ControllerRevisions, by rising number."""
        kinds = {str(REPLICASETS), str(CONTROLLERREVISIONS)}
        mine = [body for key, body in self.objects.items() if key[0] in kinds and body["metadata"]["ownerReferences"][0]["uid"] == workload["metadata"]["uid"]]
        return sorted(mine, key=lambda item: int(item["metadata"]["annotations"][REVISION]))

    def _roll(self, resource: Resource, name: str) -> None:
        body = self.objects.get(self._key(resource, name, "")) if resource in RESOURCES.values() else None
        if body is None or self.still:
            return
        label = self._remember(resource, body)
        wanted = body["spec"].get("replicas", NODES)
        image = body["spec"]["template"]["spec"]["containers"][0]["image"]
        ready = 0 if image in self.broken else wanted
        body["status"] = {
            "observedGeneration": body["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready,
            "availableReplicas": ready, "desiredNumberScheduled": wanted, "updatedNumberScheduled": wanted, "numberAvailable": ready,
            "currentRevision": label, "updateRevision": label,
        }  # fmt: skip
        for key in [key for key in self.objects if key[0] == str(PODS) and key[2].startswith(f"{name}-pod-")]:
            del self.objects[key]
        for number in range(wanted):
            self.put(PODS, self._pod(body, f"{name}-pod-{number}", label, image))

    def _remember(self, resource: Resource, body: dict[str, Any]) -> str:
        known = self.history(body)
        template = body["spec"]["template"]
        number = max((int(item["metadata"]["annotations"][REVISION]) for item in known), default=0) + 1
        found = next((item for item in known if same_template(item["spec"]["template"], template)), None)
        if found is known[-1] if known else False:
            return str(found["metadata"]["labels"]["controller-revision-hash"])  # type: ignore[index]
        if found is not None:
            found["metadata"]["annotations"][REVISION], found["revision"] = str(number), number
            return str(found["metadata"]["labels"]["controller-revision-hash"])
        label = f"h{number}"
        kept = copy.deepcopy(template)
        kept["metadata"]["labels"]["pod-template-hash"] = label
        labels = {**template["metadata"]["labels"], "pod-template-hash": label, "controller-revision-hash": label}
        meta = {"name": f"{body['metadata']['name']}-{label}", "annotations": {REVISION: str(number)}, "labels": labels,
                "ownerReferences": [{"uid": body["metadata"]["uid"], "controller": True}]}  # fmt: skip
        data = {"spec": {"template": {**copy.deepcopy(template), "$patch": "replace"}}}
        self.put(REPLICASETS if resource == DEPLOYMENTS else CONTROLLERREVISIONS,
                 {"metadata": meta, "spec": {"template": kept}, "revision": number, "data": data})
        return label

    def _pod(self, body: Mapping[str, Any], name: str, label: str, image: str) -> dict[str, Any]:
        good = image not in self.broken
        state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}} if good else {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
        labels = {**body["spec"]["template"]["metadata"]["labels"], "pod-template-hash": label, "controller-revision-hash": label}
        status = {"phase": "Running", "podIP": f"10.0.0.{int(name[-1]) + 1}", "conditions": [{"type": "Ready", "status": str(good)}],
                  "containerStatuses": [{"name": "app", "image": image, "ready": good, "restartCount": 0, "state": state}]}  # fmt: skip
        meta = {"name": name, "labels": labels, "ownerReferences": [{"uid": body["metadata"]["uid"], "controller": True}]}
        return {"metadata": meta, "spec": copy.deepcopy(body["spec"]["template"]["spec"]), "status": status}
