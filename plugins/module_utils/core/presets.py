# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of metrics by name, as a release file would list them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PRESETS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    # the usual rule of thumb: errors twice, p95 one and a half times that of stable. Twice of next to nothing needs evidence, hence its judge.
    "guide": (
        {"name": "error-rate", "builtin": "error_rate", "judge": "sequential", "max_ratio": 2.0},
        {"name": "p95", "builtin": "latency", "quantile": 0.95, "max_ratio": 1.5, "min_requests": 100},
    ),
    # the same where no other version serves beside the new one: held against the half hour before the release
    "guide_before": (
        {"name": "error-rate", "builtin": "error_rate", "baseline": "before", "max_ratio": 2.0, "max_delta": 0.01, "min_requests": 100},
        {"name": "p95", "builtin": "latency", "quantile": 0.95, "baseline": "before", "max_ratio": 1.5, "min_requests": 100},
    ),
}


def with_preset(name: str | None, listed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The metrics ``listed``, then those of the preset whose names are not among them."""
    own = {metric.get("name") for metric in listed}
    return [*listed, *(metric for metric in PRESETS.get(name or "", ()) if metric["name"] not in own)]
