# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric providers, made as they are needed and kept for as long as one task looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.metric import Metric
from ..core.model import Series, Window
from ..core.ports import MetricProvider
from . import build


class Measuring:
    """Providers by kind, made once a bake, so that counters have a first reading to be compared with. ``allow``: hosts they are limited to."""

    def __init__(self, analysis: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]], allow: Sequence[str] = ()) -> None:
        self._default = analysis.get("provider")
        self._tracks = tracks
        self._allow = tuple(allow)
        self._made: dict[str, MetricProvider] = {}

    def of(self, metric: Metric) -> MetricProvider:
        options = {metric.provider: dict(metric.provider_options)} if metric.provider else dict(self._default or {})
        key = repr(sorted(options.items(), key=str))
        if key not in self._made:
            self._made[key] = build.provider(options, self._tracks, self._allow)
            self._made[key].probe()
        return self._made[key]

    def measure(self, metric: Metric, window: Window) -> Series:
        return self.of(metric).query(metric.query, window)

    def lag(self, metric: Metric) -> float:
        return float(getattr(self.of(metric), "lag", 0.0))
