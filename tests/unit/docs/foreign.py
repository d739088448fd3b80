# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes of other people's files that the pages show. A field that is not in one is a typo until it is added here.

A shape is a mapping from each key that may be to the shape of its value; a list has the shape of its items. ``ANY`` looks no further.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ANY: dict[str, Any] = {"*": None}
META = {"name": ANY, "namespace": ANY, "labels": ANY, "annotations": ANY}
PROBE = {"httpGet": {"path": ANY, "port": ANY}, "periodSeconds": ANY, "failureThreshold": ANY, "timeoutSeconds": ANY, "initialDelaySeconds": ANY}
CONTAINER = {
    "name": ANY, "image": ANY, "ports": ANY, "env": ANY, "resources": ANY, "readinessProbe": PROBE, "livenessProbe": PROBE, "startupProbe": PROBE,
    "lifecycle": {"preStop": {"httpGet": {"path": ANY, "port": ANY}, "sleep": {"seconds": ANY}, "exec": {"command": ANY}}},
}  # fmt: skip
POD = {"metadata": META, "spec": {"containers": CONTAINER, "terminationGracePeriodSeconds": ANY}}
DEPLOYMENT = {"replicas": ANY, "selector": {"matchLabels": ANY}, "template": POD, "strategy": ANY, "minReadySeconds": ANY, "revisionHistoryLimit": ANY}
SERVICE = {"selector": ANY, "ports": {"port": ANY, "targetPort": ANY, "name": ANY, "protocol": ANY}, "type": ANY}
BACKENDS = {"name": ANY, "port": ANY, "weight": ANY}
HTTP_ROUTE = {"parentRefs": {"name": ANY, "namespace": ANY}, "hostnames": ANY, "rules": {"backendRefs": BACKENDS, "matches": ANY, "name": ANY}}
DESTINATION = {"host": ANY, "subset": ANY, "port": {"number": ANY}}
ROUTE = {"destination": DESTINATION, "weight": ANY}
VIRTUAL_SERVICE = {
    "hosts": ANY, "gateways": ANY,
    "http": {"name": ANY, "match": ANY, "route": ROUTE, "timeout": ANY, "retries": ANY},
    "tls": {"match": {"port": ANY, "sniHosts": ANY, "gateways": ANY}, "route": ROUTE},
    "tcp": {"match": {"port": ANY, "gateways": ANY}, "route": ROUTE},
}  # fmt: skip
CONSISTENT_HASH = {"httpCookie": {"name": ANY, "path": ANY, "ttl": ANY}, "httpHeaderName": ANY}
DESTINATION_RULE = {
    "host": ANY, "trafficPolicy": {"loadBalancer": {"consistentHash": CONSISTENT_HASH, "simple": ANY}}, "subsets": {"name": ANY, "labels": ANY},
}  # fmt: skip
KINDS = {
    "Deployment": ("apps/v1", DEPLOYMENT),
    "Service": ("v1", SERVICE),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", HTTP_ROUTE),
    "VirtualService": ("networking.istio.io/v1", VIRTUAL_SERVICE),
    "DestinationRule": ("networking.istio.io/v1", DESTINATION_RULE),
}
"""What an object of a kind looks like. A fence may show a part of one, without an apiVersion."""

RULE = {"apiGroups": ANY, "resources": ANY, "resourceNames": ANY, "verbs": ANY}
JOB = {
    "stage": ANY, "image": ANY, "script": ANY, "when": ANY, "needs": ANY, "variables": ANY, "environment": ANY, "extends": ANY, "rules": ANY,
    "resource_group": ANY, "interruptible": ANY, "artifacts": {"when": ANY, "paths": ANY, "expire_in": ANY, "reports": {"junit": ANY}},
}  # fmt: skip
"""A job of a GitLab pipeline."""

FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "rules": ("a Role", {"rules": RULE}),
    "scrape_configs": ("Prometheus", {"scrape_configs": {
        "job_name": ANY, "kubernetes_sd_configs": {"role": ANY}, "static_configs": {"targets": ANY},
        "relabel_configs": {"source_labels": ANY, "target_label": ANY, "action": ANY, "regex": ANY}}}),
    "receivers": ("Alertmanager", {"receivers": {"name": ANY, "webhook_configs": {
        "url": ANY, "send_resolved": ANY, "http_config": {"authorization": {"credentials": ANY, "type": ANY}}}}}),
    "rds": ("Envoy's listener", {"rds": {"route_config_name": ANY, "config_source": {"resource_api_version": ANY, "path_config_source": {
        "path": ANY, "watched_directory": {"path": ANY}}}}}),
    "dependencies": ("an execution environment", {"version": ANY, "dependencies": {
        "ansible_core": {"package_pip": ANY}, "ansible_runner": {"package_pip": ANY}, "galaxy": {"collections": ANY}}}),
}  # fmt: skip
"""Files by a key that only they have at the top."""


def strange(found: Any, shape: Mapping[str, Any], where: str) -> Iterator[str]:
    """Keys that the shape does not have."""
    if shape is ANY:
        return
    if isinstance(found, list):
        for number, item in enumerate(found):
            yield from strange(item, shape, f"{where}[{number}]")
    elif not isinstance(found, Mapping):
        yield f"{where}: a mapping is wanted, found {found!r}"
    else:
        for key, value in found.items():
            if key not in shape:
                yield f"{where}.{key}: unknown"
            else:
                yield from strange(value, shape[key], f"{where}.{key}")


def strange_object(found: Mapping[str, Any], where: str) -> Iterator[str]:
    """What is wrong with an object of Kubernetes, or a part of one that has at least its kind."""
    if found["kind"] not in KINDS:
        yield f"{where}: kind {found['kind']} is not in KINDS"
        return
    version, shape = KINDS[found["kind"]]
    if found.get("apiVersion", version) != version:
        yield f"{where}: apiVersion {found['apiVersion']}, not {version}"
    if "apiVersion" in found and not (found.get("metadata") or {}).get("name"):
        yield f"{where}: a whole object has a name"
    yield from strange(found, {"apiVersion": ANY, "kind": ANY, "metadata": META, "spec": shape}, where)
