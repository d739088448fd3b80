# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking Pods to finish what they do before they are scaled away, through the API server's proxy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..core.errors import ConfigError, Unavailable
from ..core.options import Option, Options
from ..core.ports import Clock
from ..core.units import duration, show_duration
from .kube import Kube

LONGEST = 40.0
"""Seconds. Longer and the release's lease would not be renewed in time."""
LOOK_EVERY = 1.0

DRAIN: Options = {
    "http": Option("dict", "The request by which a Pod is asked.", required=True, options={
        "path": Option("str", "Its path.", required=True),
        "port": Option("int", "The Pod's port.", default=8080, minimum=1, maximum=65535),
        "method": Option("str", "Its method.", default="POST", choices=("GET", "POST")),
    }),
    "timeout": Option("duration", "The longest wait for Pods that answer with JSON that has C(connections), until that is 0; 40s at most.", default="30s"),
}  # fmt: skip


@dataclass(frozen=True)
class Drain:
    path: str
    port: int = 8080
    method: str = "POST"
    timeout: float = 30.0

    @classmethod
    def from_option(cls, given: Mapping[str, Any], where: str) -> Drain:
        timeout = duration(given["timeout"], f"{where}.timeout")
        if timeout > LONGEST:
            raise ConfigError(f"{given['timeout']} is longer than {show_duration(LONGEST)}", where=f"{where}.timeout",
                              do="Let the Pod itself wait longer, in a preStop hook.")
        http = given["http"]
        return cls("/" + http["path"].lstrip("/"), http["port"], http["method"], timeout)


def drain(kube: Kube, clock: Clock, pods: Iterable[Mapping[str, Any]], how: Drain) -> None:
    """Ask every Pod, and again until none has open connections or the time is over. One that does not answer, or does not count them, is not waited for."""
    waiting = [pod["metadata"]["name"] for pod in pods]
    deadline = clock.now() + how.timeout
    while True:
        waiting = [name for name in waiting if _connections(kube, name, how)]
        left = deadline - clock.now()
        if not waiting or left <= 0:
            return
        clock.sleep(min(LOOK_EVERY, left))


def _connections(kube: Kube, pod: str, how: Drain) -> Optional[int]:
    """How many connections the Pod says it has; None when it does not say."""
    try:
        answer = kube.raw(how.method, f"/api/v1/namespaces/{kube.namespace}/pods/{pod}:{how.port}/proxy{how.path}")
        count = json.loads(answer.body).get("connections") if answer.status == 200 else None
    except (Unavailable, ValueError, AttributeError):
        return None
    return count if isinstance(count, int) else None
