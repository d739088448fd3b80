# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments of a Kubernetes cluster, one per slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..clients.kube_resources import DEPLOYMENTS, REPLICASETS, Resource
from ..clients.kube_workload import KubeWorkload
from ..core import kube_status
from ..core.kube_history import Revision, of_replicasets, owned
from ..core.kube_selector import text
from ..core.kube_template import HASH, int_or_string, same_template, template_of
from ..core.model import Progress
from ..core.rollout import Update


class DeploymentWorkload(KubeWorkload):
    """Implements the port ``ManagedWorkload``."""

    SUMMARY: ClassVar[str] = "Deployments of a Kubernetes cluster, one for each slot."
    KIND = "deployment"
    RESOURCE: ClassVar[Resource] = DEPLOYMENTS
    SPARED = frozenset({("pods", "delete"), ("events", "list")})

    def status(self, manifest: Mapping[str, Any]) -> Progress:
        return kube_status.deployment(manifest)

    def history(self, manifest: Mapping[str, Any]) -> list[Revision]:
        return of_replicasets(manifest, self._replicasets(manifest))

    def newest(self, manifest: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        hashes = {item["metadata"].get("labels", {}).get(HASH) for item in owned(self._replicasets(manifest), manifest)
                  if same_template(item["spec"]["template"], template_of(manifest))}
        return [pod for pod in pods if pod["metadata"].get("labels", {}).get(HASH) in hashes]

    def strategy(self, update: Update, manifest: Mapping[str, Any]) -> dict[str, Any]:
        if update.recreate:
            return {"strategy": {"type": "Recreate"}}
        bounds = {"maxUnavailable": int_or_string(update.max_unavailable), "maxSurge": int_or_string(update.max_surge)}
        return {"strategy": {"type": "RollingUpdate", "rollingUpdate": bounds}}

    def _replicasets(self, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self.kube.list(REPLICASETS, labels=text(manifest["spec"].get("selector") or {}))
