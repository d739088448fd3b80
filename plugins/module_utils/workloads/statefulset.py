# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""StatefulSets of a Kubernetes cluster, one per slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ..clients.kube_errors import Forbidden
from ..clients.kube_resources import CONTROLLERREVISIONS, PODS, STATEFULSETS, Resource
from ..clients.kube_workload import KubeWorkload
from ..core import kube_status
from ..core.errors import Unsupported
from ..core.kube_history import Revision, of_controller_revisions, owned
from ..core.kube_pods import is_ready, trouble
from ..core.kube_selector import text
from ..core.model import Progress
from ..core.rollout import Update

REVISION = "controller-revision-hash"


class StatefulSetWorkload(KubeWorkload):
    """Implements the port ``ManagedWorkload``. Pods change one after the other, the last first, down to the partition."""

    SUMMARY: ClassVar[str] = "StatefulSets of a Kubernetes cluster, one for each slot."
    KIND = "statefulset"
    RESOURCE: ClassVar[Resource] = STATEFULSETS

    def status(self, manifest: Mapping[str, Any]) -> Progress:
        return kube_status.statefulset(manifest)

    def history(self, manifest: Mapping[str, Any]) -> list[Revision]:
        return of_controller_revisions(manifest, self.kube.list(CONTROLLERREVISIONS, labels=text(manifest["spec"].get("selector") or {})))

    def newest(self, manifest: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        revision = (manifest.get("status") or {}).get("updateRevision")
        return [pod for pod in owned(pods, manifest) if pod["metadata"].get("labels", {}).get(REVISION) == revision]

    def strategy(self, update: Update, manifest: Mapping[str, Any]) -> dict[str, Any]:
        if update.recreate:
            raise Unsupported("a StatefulSet replaces its Pods one by one", where="rollout_strategy", do="Use rolling.")
        return {}

    def hints(self, manifest: Mapping[str, Any]) -> Iterator[str]:
        partition = int(((manifest["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0)
        if partition:
            yield f"{manifest['metadata']['name']}: its partition is {partition}, so Pods 0 to {partition - 1} keep the version they have"

    def deploy(self, track: str, version: str, replicas: Optional[int] = None) -> bool:
        changed = super().deploy(track, version, replicas)
        if changed and (self.back or version != self.version):
            self._unblock(track)
        return changed

    def restore(self, track: str, name: str) -> bool:
        changed = super().restore(track, name)
        if changed:
            self._unblock(track)
        return changed

    def _unblock(self, track: str) -> None:
        """A Pod that hangs in a bad version stops the controller from putting any other in its place: it is deleted, as Kubernetes' own guide says."""
        manifest = self.kube.get(self.RESOURCE, self.name(track))
        stuck = [pod for pod in owned(self.pods(manifest), manifest) if not is_ready(pod)] if manifest else []
        for pod in stuck:
            if trouble([pod], self.clock.time()) is not None:
                try:
                    self.kube.delete(PODS, pod["metadata"]["name"])
                except Forbidden:
                    return  # the plan has said so
