# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric providers, made as they are needed and kept for as long as one task looks; and shares that are made of two of their answers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..clients.kube import KUBE_OPTIONS, Kube
from ..core.errors import DeliveryError, NoData, Unavailable
from ..core.metric import Metric
from ..core.model import STABLE, Point, Sample, Series, Window
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
        self._totals: dict[tuple[str, str], _Totals] = {}  # by metric and track

    def of(self, metric: Metric) -> MetricProvider:
        options = {metric.provider: dict(metric.provider_options)} if metric.provider else dict(self._default or {})
        key = repr(sorted(options.items(), key=str))
        if key not in self._made:
            self._made[key] = build.provider(options, self._tracks, self._allow)
            self._made[key].probe()
        return self._made[key]

    def measure(self, metric: Metric, window: Window) -> Series:
        return self._share(metric, window) if metric.total_query else self.of(metric).query(metric.query, window)

    def _share(self, metric: Metric, window: Window) -> Series:
        """What the query counts, of what the total query counts. Raises NoData where there is no whole, and what the provider raises.

        A part that has no data is none: what never happened has no series in most stores. That holds only beside a whole.
        """
        provider = self.of(metric)
        of = provider.query(metric.total_query, window)
        whole, partial = _counted(of, f"{metric.name}.total_query"), of.partial
        try:
            answer = provider.query(metric.query, window)
            part, partial = _counted(answer, f"{metric.name}.query"), partial or answer.partial
        except NoData:
            part = 0.0
        if metric.cumulative:
            part, whole = self._grown(metric, window, part, whole)
        if part > whole + max(1.0, 0.05 * whole):
            raise Unavailable(f"{part:g} of {whole:g} were counted", where=f"{metric.name}.query", do="The total query counts all, the query a part of them.")
        n = round(whole)
        if n < 1:
            raise NoData("nothing was counted")
        return Series((Sample((Point(window.end, min(1.0, part / whole), n),)),), query=f"{metric.query} / {metric.total_query}", partial=partial)

    def begin(self, metrics: Sequence[Metric], tracks: Sequence[str], window: Callable[[str], Window]) -> None:
        """Read where totals that only grow begin, of all tracks at the same time. One that cannot be read begins when it can."""
        for metric in metrics:
            for track in tracks if metric.cumulative else ():
                with contextlib.suppress(DeliveryError):
                    self.measure(metric, window(track))

    def _grown(self, metric: Metric, window: Window, part: float, whole: float) -> tuple[float, float]:
        """What came within the window, of totals that only grow: since the reading nearest to its beginning. Raises NoData for the first one."""
        totals = self._totals.setdefault((metric.name, window.track), _Totals())
        totals.read(window.end, part, whole, metric.name)
        if len(totals.readings) == 1:
            raise NoData("these totals are where counting begins")
        return totals.since(window.start)

    def why_no_data(self, metric: Metric, window: Window) -> str:
        """What is wrong with the question, where its provider can tell."""
        provider = self.of(metric)
        return provider.why_no_data(metric.query, window) if isinstance(provider, Explaining) else ""

    def lag(self, metric: Metric) -> float:
        return float(getattr(self.of(metric), "lag", 0.0))


class _Totals:
    """Totals of one track that only grow, as they were read: (when, part, whole), restarts of what counts added up."""

    def __init__(self) -> None:
        self.readings: list[tuple[float, float, float]] = []
        self._last, self._before = (0.0, 0.0), (0.0, 0.0)

    def read(self, at: float, part: float, whole: float, name: str) -> None:
        """Raises Unavailable for totals that fall a little: those are no totals. What falls far has begun again at 0."""
        if whole < self._last[1] / 2:
            self._before = (self._before[0] + self._last[0], self._before[1] + self._last[1])
        elif whole < self._last[1] or part < self._last[0]:
            raise Unavailable(f"a total fell from {self._last[0]:g} of {self._last[1]:g} to {part:g} of {whole:g}", where=f"{name}.cumulative",
                              do="Leave cumulative out where the answers are about the window.")
        self._last = (part, whole)
        self.readings.append((at, part + self._before[0], whole + self._before[1]))

    def since(self, start: float) -> tuple[float, float]:
        """(part, whole) that came since about ``start``; what is older than that is forgotten."""
        while len(self.readings) > 2 and self.readings[1][0] <= start:
            self.readings.pop(0)
        _at, part, whole = min(self.readings[:-1], key=lambda reading: abs(reading[0] - start))
        return self.readings[-1][1] - part, self.readings[-1][2] - whole


def _counted(series: Series, where: str) -> float:
    """The one count in an answer. Raises NoData, Unavailable."""
    if len(series.samples) != 1:
        raise Unavailable(f"{len(series.samples)} series where one count is meant", where=where, do="Aggregate the query.")
    if not series.samples[0].points:
        raise NoData("no data", where=where)
    value = series.samples[0].points[-1].value
    if math.isnan(value):
        raise NoData("not a number", where=where)
    if not 0 <= value < 1e15:
        raise Unavailable(f"{value:g} is no count", where=where)
    return value
