# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why Pods do not get ready, in one sentence, as soon as it can be known. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Pod = Mapping[str, Any]

PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"})
HOPELESS = frozenset({"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""Reasons that waiting does not help: the first pull has failed already, or there can be none."""
UNREADY_AFTER = 20.0
"""Seconds a container may run without being ready before its probe is named as the reason."""
CRASHES = 2
"""Restarts after which a container that crashes is not waited for any more."""
LONGEST = 240


@dataclass(frozen=True)
class Trouble:
    """What is wrong with one Pod. ``hopeless``: waiting does not help. ``crashed``: the container whose log says more."""

    pod: str
    text: str
    hopeless: bool = False
    crashed: str = ""


def trouble(pods: Iterable[Pod], now: float) -> Trouble | None:
    """The worst trouble of these Pods at ``now`` (seconds since the epoch); None when they only need time."""
    found = [item for pod in pods if not pod["metadata"].get("deletionTimestamp") for item in _of(pod, now)]
    return min(found, key=lambda item: (not item.hopeless, not item.crashed, item.pod), default=None)


def is_ready(pod: Pod) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and _condition(pod, "Ready").get("status") == "True"


def is_running(pod: Pod) -> bool:
    """Ready or not: one that was asked to finish is no longer ready, and may still have connections."""
    return not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") == "Running"


def clipped(text: object, most: int = LONGEST) -> str:
    """A message on one line, of bounded length."""
    line = "".join(letter for letter in " ".join(str(text or "").split()) if letter.isprintable())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _of(pod: Pod, now: float) -> Iterator[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield Trouble(name, f"{name} finds no node: {clipped(scheduled.get('message') or scheduled.get('reason'))}")
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        yield from _container(pod, name, container, now)


def _container(pod: Pod, name: str, container: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), clipped(waiting.get("message"))
    if reason in PULL:
        yield Trouble(name, f"{name} cannot have the image {container.get('image', '')} ({reason}): {message}", reason in HOPELESS)
    elif reason == "CrashLoopBackOff" or ("terminated" in state and state["terminated"].get("exitCode")):
        ended = (container.get("lastState") or {}).get("terminated") or state.get("terminated") or {}
        restarts = int(container.get("restartCount", 0))
        how = f"exit code {ended.get('exitCode')}" + (f" ({ended['reason']})" if ended.get("reason") not in (None, "Error", "Completed") else "")
        text = f"{name} crashes: container {container['name']} ended with {how}, {restarts} restart{'' if restarts == 1 else 's'}"
        yield Trouble(name, text, restarts >= CRASHES, container["name"])
    elif reason and reason not in ("ContainerCreating", "PodInitializing"):
        yield Trouble(name, f"container {container['name']} of {name} cannot start ({reason}): {message}")
    elif "running" in state and not container.get("ready") and now - time_of(state["running"].get("startedAt")) > UNREADY_AFTER:
        if container["name"] in {item["name"] for item in (pod.get("spec") or {}).get("containers") or ()}:
            yield Trouble(name, f"{name} runs and is not ready: {_probe(pod, container)}")


def _probe(pod: Pod, container: Mapping[str, Any]) -> str:
    """The probe that has not succeeded yet, as the manifest has it."""
    spec: Mapping[str, Any] = next((item for item in pod["spec"]["containers"] if item["name"] == container["name"]), {})
    kind = "startupProbe" if spec.get("startupProbe") and not container.get("started") else "readinessProbe"
    probe = spec.get(kind) or {}
    http = probe.get("httpGet")
    if http:
        return f"{kind} GET :{http.get('port')}{http.get('path', '/')} fails"
    return f"{kind} of container {container['name']} fails" if probe else f"container {container['name']} is not ready"


def _condition(pod: Pod, kind: str) -> Mapping[str, Any]:
    found = (pod.get("status") or {}).get("conditions") or ()
    return next((item for item in found if item.get("type") == kind), {})


def time_of(stamp: object) -> float:
    """Seconds since the epoch of a timestamp of the API server; for ever ahead when there is none."""
    try:
        return datetime.datetime.strptime(str(stamp), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
    except ValueError:
        return float("inf")
