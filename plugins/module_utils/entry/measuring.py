# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric providers, made as they are needed and kept for as long as one task looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..clients.kube import KUBE_OPTIONS, Kube
from ..core.metric import Metric
from ..core.model import STABLE, Series, Window
from ..core.ports import Explaining, MetricProvider
from . import build
from .catalog import WORKLOADS
from .shared import takes_part


def labels_of(spec: Mapping[str, Any], track: str, version: str) -> dict[str, str]:
    """What fills the placeholders of a query about ``track``. On Kubernetes ``workload`` is the object that is the track, else the release's name.

    ``kind`` and ``container`` are for providers that find the Pods of such an object. Raises ConfigError for a kubeconfig that cannot be used.
    """
    [(kind, options)] = spec["workload"].items()
    labels = {"track": track, "workload": str(spec["name"]), "version": version or "unknown"}
    if not takes_part(WORKLOADS[kind]):
        return labels
    namespace = Kube.from_options({name: options.get(name) for name in KUBE_OPTIONS}).namespace
    return {**labels, "workload": options.get(track) or options[STABLE], "namespace": namespace, "kind": kind, "container": options.get("container") or ""}


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

    def why_no_data(self, metric: Metric, window: Window) -> str:
        """What is wrong with the question, where its provider can tell."""
        provider = self.of(metric)
        return provider.why_no_data(metric.query, window) if isinstance(provider, Explaining) else ""

    def lag(self, metric: Metric) -> float:
        return float(getattr(self.of(metric), "lag", 0.0))
