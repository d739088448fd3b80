# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster itself knows of a track's Pods: restarts, how many are ready, and with a metrics API their memory and cpu.

The Pods are those that the selector of the track's workload matches. The API says how often a container has restarted since it was made, and when it
ended last. So restarts within a window are what came since an earlier look, or at least the one that ended within it; of a Pod that is younger than
the window they are all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ..clients.kube import KUBE_OPTIONS, Kube
from ..clients.kube_errors import NoSuchResource
from ..clients.kube_resources import DAEMONSETS, DEPLOYMENTS, POD_METRICS, PODS, STATEFULSETS, Resource
from ..core.errors import ConfigError, NoData, Unavailable, Unsupported, unknown
from ..core.kube_pods import is_ready, time_of
from ..core.kube_quota import quantity
from ..core.kube_selector import text
from ..core.model import Point, Sample, Series, Window
from ..core.moment import fresh, moment
from ..core.options import Option, Options
from ..core.units import duration

QUERIES = ("cpu", "memory", "ready", "restarts")
BUILTINS = ("memory", "restarts")
"""Those of the queries that every provider has a name for."""
KINDS: Mapping[str, Resource] = {"daemonset": DAEMONSETS, "deployment": DEPLOYMENTS, "statefulset": STATEFULSETS}
PAST = 30.0
"""A window that ended more than this many seconds ago is none that the API could tell of."""
READINGS = 500
ENDED = ("Failed", "Succeeded")
"""Phases of Pods that are over: evicted ones stay for a while, beside those in their place."""

Pod = Mapping[str, Any]
Counts = Mapping["tuple[str, str]", int]
"""Restarts by Pod and container."""


class KubernetesProvider:
    """The MetricProvider port over one cluster. ``clock``: seconds since the epoch."""

    SUMMARY: ClassVar[str] = "The Kubernetes API itself: restarts and readiness of the Pods, and their memory and cpu where there is a metrics API."
    OPTIONS: ClassVar[Options] = {
        **KUBE_OPTIONS,
        "max_age": Option("duration", "How old the memory and cpu of a Pod may be.", default="2m"),
    }

    def __init__(self, kube: Kube, *, max_age: float = 120.0, clock: Callable[[], float] = time.time) -> None:
        self.kube = kube
        self._max_age = max_age
        self._clock = clock
        self._readings: dict[tuple[str, str, str], list[tuple[float, Counts]]] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> KubernetesProvider:
        """``tracks`` does not matter here: the workload of a track says which Pods are its. Raises ConfigError, Unsupported."""
        return cls(Kube.from_options({name: options.get(name) for name in KUBE_OPTIONS}), max_age=duration(options.get("max_age", "2m"), "kubernetes.max_age"))

    def probe(self) -> None:
        """Look for a Pod: whether the cluster answers, and lets us. Raises Unavailable, ConfigError."""
        self.kube.list(PODS, fields="metadata.name=progressive-delivery-probe")

    def query(self, query: str, window: Window) -> Series:
        """One number about the Pods of the track. Raises NoData, Stale, Unavailable, Unsupported, ConfigError."""
        if window.builtin and window.builtin not in BUILTINS:
            raise Unsupported(f"the cluster does not know {window.builtin}", where="kubernetes", do=f"Built in are {' and '.join(BUILTINS)}.")
        what = window.builtin or query.strip()
        if what not in QUERIES:
            raise unknown("query", what, QUERIES, where="kubernetes")
        if window.labels.get("kind") not in KINDS:
            raise Unsupported("only workloads of Kubernetes have Pods", where="kubernetes", do="Measure this release with another provider.")
        now = self._clock()
        if now - window.end > PAST:
            raise NoData("the cluster only knows how it is now", where="kubernetes")
        measure = {"ready": self._ready, "restarts": self._restarts, "memory": self._used, "cpu": self._used}[what]
        value = measure(what, window, now)
        return Series((Sample((Point(now, value),)),), query=what)

    def _ready(self, _what: str, window: Window, _now: float) -> float:
        """The share of Pods that are ready, of those that are there or should be."""
        manifest, pods = self._found(window)
        alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and _status(pod).get("phase") not in ENDED]
        wanted = max(self._replicas(manifest, window), len(alive))
        if not wanted:
            raise NoData("it is scaled to 0", where=self._named(window))
        return sum(map(is_ready, alive)) / wanted

    def _replicas(self, manifest: Mapping[str, Any], window: Window) -> int:
        if window.labels["kind"] == "daemonset":
            return _count((manifest.get("status") or {}).get("desiredNumberScheduled"), self._named(window))
        return _count(manifest["spec"].get("replicas", 1), self._named(window))

    def _restarts(self, _what: str, window: Window, now: float) -> float:
        """Restarts since the window began, of the containers that are there."""
        _manifest, pods = self._found(window)
        if not pods:
            raise NoData("it has no Pods", where=self._named(window))
        readings = self._readings.setdefault(self._key(window), [])
        while len(readings) > READINGS or (len(readings) > 1 and readings[1][0] <= window.start):
            readings.pop(0)
        counts: dict[tuple[str, str], int] = {}
        total = 0
        for pod in pods:
            for container in self._containers(pod, window):
                key = (str(pod["metadata"].get("uid") or pod["metadata"]["name"]), str(container["name"]))
                counts[key] = _count(container.get("restartCount"), self._named(window))
                total += _within(counts[key], pod, container, window.start, readings, key)
        readings.append((now, counts))
        return float(total)

    def _used(self, what: str, window: Window, now: float) -> float:
        """Bytes or cores of the container that uses most."""
        manifest, pods = self._found(window)
        running = {pod["metadata"]["name"] for pod in pods if _status(pod).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")}
        if not running:
            raise NoData("it has no running Pods", where=self._named(window))
        try:
            told = self.kube.list(POD_METRICS, namespace=self._namespace(window), labels=self._selector(manifest, window))
        except NoSuchResource:
            raise Unsupported(
                f"this cluster has no metrics API, so {what} is not known", where="kubernetes", do="Install metrics-server, or measure it with Prometheus."
            ) from None
        by_pod = {str(_meta(each, self._named(window))["name"]): each for each in told}
        missing = sorted(running - set(by_pod))
        if len(missing) == len(running):
            raise NoData("none of its Pods has been measured yet", where=self._named(window))
        if missing:
            raise Unavailable(f"{len(missing)} of {len(running)} running Pods are not measured, such as {missing[0]}", where=self._named(window))
        return max(self._amount(by_pod[name], what, window, now) for name in running)

    def _amount(self, told: Mapping[str, Any], what: str, window: Window, now: float) -> float:
        name, only = told["metadata"]["name"], window.labels.get("container")
        where = f"{self._named(window)}, Pod {name}"
        fresh(moment(told.get("timestamp"), where), now, self._max_age, where)
        containers = told.get("containers")
        if not isinstance(containers, list) or not all(isinstance(each, dict) for each in containers):
            raise Unavailable(f"an answer about Pod {name} without containers", where=self._named(window))
        amounts = [(each.get("usage") or {}).get(what) for each in containers if not only or each.get("name") == only]
        try:
            values = [float(quantity(amount)) for amount in amounts]
        except (ConfigError, OverflowError):
            raise Unavailable(f"an answer about Pod {name} that does not say its {what}", where=self._named(window)) from None
        if not values or min(values) < 0:
            raise Unavailable(f"an answer about Pod {name} that does not say its {what}", where=self._named(window))
        return max(values)

    def _found(self, window: Window) -> tuple[Mapping[str, Any], list[Pod]]:
        """The workload of the track and its Pods."""
        resource, name = KINDS[window.labels["kind"]], window.labels["workload"]
        manifest = self.kube.get(resource, name, namespace=self._namespace(window))
        if manifest is None:
            raise Unavailable(f"there is no {self._named(window)}", where=self.kube.where)
        pods: list[Pod] = [*self.kube.list(PODS, namespace=self._namespace(window), labels=self._selector(manifest, window))]
        for pod in pods:
            _meta(pod, self._named(window))
        return manifest, pods

    def _selector(self, manifest: Mapping[str, Any], window: Window) -> str:
        spec = manifest.get("spec")
        selector = text(spec.get("selector") or {}) if isinstance(spec, dict) else ""
        if not selector:  # which would be all Pods of the namespace
            raise Unavailable("it has no selector", where=self._named(window))
        return selector

    def _containers(self, pod: Pod, window: Window) -> Sequence[Mapping[str, Any]]:
        status = _status(pod)
        found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        if not found and status.get("phase") not in ("Pending", *ENDED):
            raise Unavailable(f"Pod {pod['metadata']['name']} without a word about its containers", where=self._named(window))
        if not all(isinstance(each, dict) and each.get("name") for each in found):
            raise Unavailable(f"Pod {pod['metadata']['name']} with a container without a name", where=self._named(window))
        return [each for each in found if window.labels.get("container") in ("", None, each["name"])]

    def _namespace(self, window: Window) -> str:
        return window.labels.get("namespace") or self.kube.namespace

    def _key(self, window: Window) -> tuple[str, str, str]:
        return (self._namespace(window), window.labels["kind"], window.labels["workload"])

    def _named(self, window: Window) -> str:
        return f"{KINDS[window.labels['kind']].kind} {self._namespace(window)}/{window.labels['workload']}"


def _within(count: int, pod: Pod, container: Mapping[str, Any], start: float, readings: Sequence[tuple[float, Counts]], key: tuple[str, str]) -> int:
    """How many of a container's ``count`` restarts came since ``start``, at least."""
    created = time_of(pod["metadata"].get("creationTimestamp"))
    if start <= created < float("inf"):
        return count
    known = [(at, counts[key]) for at, counts in readings if key in counts]
    before: Optional[int] = next((counted for at, counted in reversed(known) if at <= start), None)
    if before is not None:
        return max(0, count - before)
    last = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
    ended = int(count > 0 and start <= time_of(last) < float("inf"))
    return max(ended, count - known[0][1] if known else 0)


def _status(pod: Pod) -> Mapping[str, Any]:
    return pod.get("status") or {}


def _meta(item: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Its metadata, with a name. Raises Unavailable."""
    meta = item.get("metadata")
    if not isinstance(meta, dict) or not meta.get("name") or not isinstance(item.get("status", {}), dict):
        raise Unavailable("an answer with an object that is none", where=where)
    return meta


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unavailable(f"{str(value)[:40]!r} is no number of times", where=where)
    return value
