# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DaemonSets of a Kubernetes cluster: one Pod on each node, so that only rolling updates make sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

from ..clients.kube_resources import CONTROLLERREVISIONS, DAEMONSETS, Resource
from ..clients.kube_workload import KubeWorkload
from ..core import kube_rights, kube_status
from ..core.errors import Unsupported
from ..core.kube_history import Revision, of_controller_revisions, owned
from ..core.kube_selector import text
from ..core.kube_template import int_or_string
from ..core.model import Progress
from ..core.plan import Kind, Plan
from ..core.rollout import Update

REVISION = "controller-revision-hash"


class DaemonSetWorkload(KubeWorkload):
    """Implements the port ``ManagedWorkload``, but for numbers of replicas: those are the nodes."""

    SUMMARY: ClassVar[str] = "A DaemonSet of a Kubernetes cluster."
    KIND = "daemonset"
    RESOURCE: ClassVar[Resource] = DAEMONSETS
    SPARED = frozenset({("pods", "delete"), *kube_rights.OPTION["hpa"]})

    def foresee(self, plan: Plan) -> list[str]:
        if any(step.kind in (Kind.SCALE, Kind.RETIRE) for step in plan.steps):
            raise _numberless()
        return super().foresee(plan)

    def scale(self, track: str, replicas: int) -> bool:
        raise _numberless()

    def retire(self, track: str) -> bool:
        raise _numberless()

    def deploy(self, track: str, version: str, replicas: Optional[int] = None) -> bool:
        return super().deploy(track, version)

    def status(self, manifest: Mapping[str, Any]) -> Progress:
        return kube_status.daemonset(manifest)

    def history(self, manifest: Mapping[str, Any]) -> list[Revision]:
        return of_controller_revisions(manifest, self._revisions(manifest))

    def newest(self, manifest: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        revisions = sorted(owned(self._revisions(manifest), manifest), key=lambda item: int(item["revision"]))
        latest = revisions[-1]["metadata"].get("labels", {}).get(REVISION) if revisions else None
        return [pod for pod in owned(pods, manifest) if pod["metadata"].get("labels", {}).get(REVISION) == latest]

    def strategy(self, update: Update, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Only one of the two bounds may be above 0 here: the surge, if nothing may be unavailable."""
        if update.recreate:
            raise Unsupported("a DaemonSet replaces its Pods node by node", where="rollout_strategy", do="Use rolling.")
        away, extra = int_or_string(update.max_unavailable), int_or_string(update.max_surge)
        if away in (0, "0%"):
            return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": extra}}}
        return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": away, "maxSurge": 0}}}

    def _revisions(self, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self.kube.list(CONTROLLERREVISIONS, labels=text(manifest["spec"].get("selector") or {}))


def _numberless() -> Unsupported:
    return Unsupported("a DaemonSet has one Pod on each node, and no number of replicas", where="rollout_workload.daemonset", do="Use the strategy rolling.")
