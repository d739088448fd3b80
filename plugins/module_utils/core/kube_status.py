# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rollout has come, exactly as ``kubectl rollout status`` decides it; a paused one is said so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from .model import Progress

Manifest = Mapping[str, Any]


def deployment(manifest: Manifest) -> Progress:
    spec, status = manifest["spec"], manifest.get("status") or {}
    wanted, available = int(spec.get("replicas", 1)), int(status.get("availableReplicas", 0))
    updated, running = int(status.get("updatedReplicas", 0)), int(status.get("replicas", 0))
    if _behind(manifest):
        why = "the change is not observed yet"
    elif (condition(manifest, "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded":
        return Progress(False, f"its progress deadline is over, {available} of {wanted} replicas are available", True, min(available, wanted), wanted)
    elif updated < wanted:
        why = f"{updated} of {wanted} new replicas are there"
    elif running > updated:
        why = f"{running - updated} old replicas are still there"
    elif available < updated:
        why = f"{available} of {updated} new replicas are available"
    else:
        return Progress(True, "", ready=min(available, wanted), wanted=wanted)
    if spec.get("paused"):
        why = f"it is paused: {why}. Go on with: kubectl rollout resume"
    return Progress(False, why, ready=min(available, wanted), wanted=wanted)


def statefulset(manifest: Manifest) -> Progress:
    spec, status = manifest["spec"], manifest.get("status") or {}
    wanted, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas", 0))
    updated, strategy = int(status.get("updatedReplicas", 0)), spec.get("updateStrategy") or {}
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    revisions = (status.get("currentRevision"), status.get("updateRevision"))
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return _on_delete(ready, wanted)
    if not status.get("observedGeneration") or _behind(manifest):
        why = "the change is not observed yet"
    elif ready < wanted:
        why = f"{ready} of {wanted} replicas are ready"
    elif updated < wanted - partition:
        why = f"{updated} of {wanted - partition} replicas have the new version"
    elif not partition and wanted and revisions[0] != revisions[1]:
        why = f"revision {revisions[1]} is not complete yet"
    else:
        return Progress(True, "", ready=min(ready, wanted), wanted=wanted)
    return Progress(False, why, ready=min(ready, wanted), wanted=wanted)


def daemonset(manifest: Manifest) -> Progress:
    spec, status = manifest["spec"], manifest.get("status") or {}
    wanted, available = int(status.get("desiredNumberScheduled", 0)), int(status.get("numberAvailable", 0))
    updated = int(status.get("updatedNumberScheduled", 0))
    if (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") != "RollingUpdate":
        return _on_delete(available, wanted)
    if _behind(manifest):
        why = "the change is not observed yet"
    elif updated < wanted:
        why = f"{updated} of {wanted} nodes have the new version"
    elif available < wanted:
        why = f"{available} of {wanted} new Pods are available"
    else:
        return Progress(True, "", ready=min(available, wanted), wanted=wanted)
    return Progress(False, why, ready=min(available, wanted), wanted=wanted)


def condition(manifest: Manifest, kind: str) -> Optional[Mapping[str, Any]]:
    """The condition of that type, when it has one."""
    found = (manifest.get("status") or {}).get("conditions") or ()
    return next((item for item in found if item.get("type") == kind), None)


def refusal(manifest: Manifest) -> str:
    """Why no Pod is made, such as a quota; '' when nothing is said."""
    failure = condition(manifest, "ReplicaFailure") or {}
    return str(failure.get("message") or failure.get("reason") or "") if failure.get("status") == "True" else ""


def _behind(manifest: Manifest) -> bool:
    return int(manifest["metadata"].get("generation", 0)) > int((manifest.get("status") or {}).get("observedGeneration", 0))


def _on_delete(ready: int, wanted: int) -> Progress:
    return Progress(False, "its updateStrategy is OnDelete: no Pod changes by itself. Use RollingUpdate", True, min(ready, wanted), wanted)
