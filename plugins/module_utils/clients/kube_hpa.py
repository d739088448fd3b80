# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Autoscalers of a release's workloads: ``replicas`` is theirs, and while traffic moves their minimum is held high enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..core.errors import ConfigError
from .kube import Kube
from .kube_edit import change, found, writer_of
from .kube_errors import Forbidden, NoSuchResource
from .kube_resources import HPAS, Resource

MINIMUM = "progressive.delivery/min-replicas"
"""Annotation of an autoscaler whose minimum we hold: what it was before."""


class Autoscalers:
    """Those of one kind of workload. ``named``: the one to use where they may not be listed."""

    def __init__(self, kube: Kube, resource: Resource, named: str = "") -> None:
        self._kube = kube
        self._resource = resource
        self.named = named
        self._known: Optional[dict[str, dict[str, Any]]] = None

    def of(self, name: str) -> Optional[dict[str, Any]]:
        """The autoscaler of this workload. Raises ConfigError when the one that is named does not exist."""
        if self._known is None:
            self._known = {item["spec"]["scaleTargetRef"]["name"]: item for item in self._all()
                           if item["spec"]["scaleTargetRef"].get("kind") == self._resource.kind}
        return self._known.get(name)

    def hold(self, name: str, least: int) -> bool:
        """Keep the workload at ``least`` replicas or more, and at its own minimum; whether that was a change. Raises ConfigError beyond its maximum."""
        hpa = self.of(name)
        return hpa is not None and self._set(hpa["metadata"]["name"], least)

    def give_back(self, name: str) -> bool:
        """The minimum is again what it was before we held it; whether that was a change. Of one that is gone nothing is held any more."""
        if self._known is None and self.named and self._kube.get(HPAS, self.named) is None:
            return False
        return self.hold(name, 0)

    def check(self, name: str, least: int) -> None:
        """Raises ConfigError where so many replicas are more than the autoscaler allows."""
        hpa = self.of(name)
        if hpa is not None and least > int(hpa["spec"]["maxReplicas"]):
            raise ConfigError(f"it allows at most {hpa['spec']['maxReplicas']} replicas, and {least} are needed",
                              where=f"HorizontalPodAutoscaler {hpa['metadata']['name']}", do="Raise its maxReplicas.")

    def _set(self, hpa: str, least: int) -> bool:
        def edit(manifest: Mapping[str, Any]) -> dict[str, Any]:
            notes = dict(manifest["metadata"].get("annotations") or {})
            now = int(manifest["spec"].get("minReplicas", 1))
            own = int(notes.pop(MINIMUM, now))
            if writer_of(manifest, "spec", "minReplicas"):
                own = now  # its owner changed it while we held it: what they want now is theirs, not what they wanted before
            want = max(own, least)
            if want != own:
                notes[MINIMUM] = str(own)
            if want == now and notes == (manifest["metadata"].get("annotations") or {}):
                return dict(manifest)
            return {**manifest, "metadata": {**manifest["metadata"], "annotations": notes}, "spec": {**manifest["spec"], "minReplicas": want}}

        try:
            return change(self._kube, HPAS, hpa, edit)
        except Forbidden:
            return False  # the plan has said so

    def _all(self) -> list[dict[str, Any]]:
        if self.named:
            return [found(self._kube, HPAS, self.named)]
        try:
            return self._kube.list(HPAS)
        except (Forbidden, NoSuchResource):
            return []
