# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a workload does not get on: what its newest Pods, their logs and the events say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import Unavailable
from ..core.kube_pods import clipped, time_of, trouble
from ..core.kube_status import refusal
from ..core.model import Progress
from .kube import Kube
from .kube_errors import Forbidden
from .kube_resources import EVENTS

LINES = 5
"""Last lines of a log that are shown."""
GONE = "unable to retrieve container logs for "
"""What a kubelet answers, with 200, where the container and its log are gone already."""
RECENT = 300.0
"""Seconds after which an event says nothing about now."""


def reasoned(kube: Kube, manifest: Mapping[str, Any], look: Progress, pods: Sequence[Mapping[str, Any]], now: float) -> Progress:
    """``look``, which is not done, with the reason that the Pods of the newest template give; failed where waiting does not help."""
    bad = trouble(pods, now)
    refused = refusal(manifest)
    if not refused and len(pods) < look.wanted and not (bad and bad.hopeless):
        refused = _refused(kube, manifest, now)
    if bad is not None and (bad.hopeless or not refused):
        text = f"{bad.text}{_last_lines(kube, bad.pod, bad.crashed)}" if bad.crashed else bad.text
        return replace(look, failed=look.failed or bad.hopeless, why=f"{look.why}; {text}")
    return replace(look, why=f"{look.why}; no Pod is made: {clipped(refused)}") if refused else look


def _last_lines(kube: Kube, pod: str, container: str) -> str:
    """What the container said before it ended."""
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/log"
    try:
        for previous in ("true", "false"):
            answer = kube.raw("GET", path, query={"container": container, "tailLines": str(LINES), "previous": previous})
            lines = [clipped(line) for line in answer.body.decode("utf-8", "replace").splitlines() if line.strip()]
            if answer.status == 200 and lines and not lines[0].startswith(GONE):
                return ". It said: " + " | ".join(lines[-LINES:])
            if answer.status in (401, 403):
                return ". Allow get of pods/log to see what it said"
    except Unavailable:
        pass  # the reason counts, the log is a help
    return ""


def _refused(kube: Kube, manifest: Mapping[str, Any], now: float) -> str:
    """The last event that says why no Pod is made, for kinds that have no condition for it."""
    try:
        events = kube.list(EVENTS, fields=f"involvedObject.name={manifest['metadata']['name']},reason=FailedCreate")
    except (Forbidden, Unavailable):
        return ""
    mine = [event for event in events if (event.get("involvedObject") or {}).get("kind") == manifest["kind"] and now - time_of(_when(event)) < RECENT]
    last = max(mine, key=lambda event: str(_when(event)), default={})
    return str(last.get("message") or "")


def _when(event: Mapping[str, Any]) -> object:
    return event.get("lastTimestamp") or event["metadata"].get("creationTimestamp")
