# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking one Pod to finish what it does, through the API server's proxy: that way is open wherever the API is, Pods' addresses are not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import Unavailable
from ..core.model import Asked
from ..core.options import Option, Options
from .kube import Kube

TIMEOUT = 3.0
"""Seconds for one answer."""
LEFT = "Drain-Seconds-Left"
"""The header that tells the Pod how long it will still be there, in whole seconds."""

DRAIN: Options = {
    "http": Option("dict", "The request by which a Pod is asked.", required=True, options={
        "path": Option("str", "Its path.", required=True),
        "port": Option("int", "The Pod's port.", default=8080, minimum=1, maximum=65535),
        "method": Option("str", "Its method.", default="POST", choices=("GET", "POST")),
    }),
}  # fmt: skip


@dataclass(frozen=True)
class Drain:
    path: str
    port: int = 8080
    method: str = "POST"

    @classmethod
    def from_option(cls, given: Mapping[str, Any]) -> Drain:
        http = given["http"]
        return cls("/" + http["path"].lstrip("/"), http["port"], http["method"])


def ask(kube: Kube, pod: str, how: Drain, left: float) -> Asked:
    """Tell the Pod that it will be gone in ``left`` seconds. The answer counts only when it says ``connections``."""
    where = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}:{how.port}/proxy{how.path}"
    try:
        answer = kube.raw(how.method, where, headers={LEFT: str(math.ceil(left))}, timeout=TIMEOUT)
    except Unavailable as error:
        return Asked(error=f"it does not answer ({error})")
    if answer.status // 100 != 2:
        return Asked(error=f"{how.method} {how.path} is answered with {answer.status}")
    try:
        count = json.loads(answer.body).get("connections")
    except (ValueError, AttributeError):
        return Asked()
    return Asked(count) if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else Asked()
