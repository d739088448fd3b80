# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two workloads that are a release's slots, and their Pods, as far as who routes to them has to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigError, unknown
from ..core.kube_pods import is_ready
from ..core.model import CANARY, STABLE
from .kube import Kube
from .kube_resources import DAEMONSETS, DEPLOYMENTS, ENDPOINTSLICES, PODS, STATEFULSETS, Resource

KINDS = {"daemonset": DAEMONSETS, "deployment": DEPLOYMENTS, "statefulset": STATEFULSETS}
SLOTS = (STABLE, CANARY)
SERVICE_NAME = "kubernetes.io/service-name"

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Slots:
    """``names``: slot to the name of its workload. ``namespace`` may be empty: that of the connection."""

    resource: Resource
    names: Mapping[str, str]
    namespace: str = ""

    @classmethod
    def from_option(cls, workload: Mapping[str, Any], where: str) -> Slots:
        """Of ``{deployment: {stable: NAME, canary: NAME}}``. Raises ConfigError."""
        if len(workload) != 1:
            raise ConfigError("the workload of the slots is not known", where=where, do="Write deployment: {stable: NAME, canary: NAME}.")
        [(kind, options)] = workload.items()
        if kind not in KINDS:
            raise unknown("kind of workload", str(kind), KINDS, where=where)
        names = {slot: str((options or {}).get(slot) or "") for slot in SLOTS}
        if not all(names.values()) or len(set(names.values())) < len(SLOTS):
            raise ConfigError("two workloads are wanted, one for each slot", where=f"{where}.{kind}", do="Write {stable: NAME, canary: NAME}.")
        return cls(KINDS[kind], names, str((options or {}).get("namespace") or ""))


def ready_pods(pods: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of those that are ready and not about to end."""
    return {pod["metadata"]["name"] for pod in pods if is_ready(pod)}


def ready_endpoints(kube: Kube, service: str, namespace: str = "") -> set[str]:
    """Names of the Pods that the Service leads to now; the address where an endpoint is no Pod."""
    found: set[str] = set()
    for piece in kube.list(ENDPOINTSLICES, namespace, labels=f"{SERVICE_NAME}={service}"):
        for endpoint in piece.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                found.add((endpoint.get("targetRef") or {}).get("name") or ", ".join(endpoint.get("addresses") or ()))
    return found


def pods_of(kube: Kube, labels: Labels, namespace: str = "") -> list[dict[str, Any]]:
    """The Pods that have all these labels."""
    return kube.list(PODS, namespace, labels=written(labels))


def written(labels: Labels) -> str:
    """``app=shop,color=blue``."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
