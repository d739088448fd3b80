# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares by numbers of Pods: two workloads behind one Service, which gives every ready Pod the same part of the requests.

Nothing has to be installed for it. The share that a track really has is its part of the Pods, however near that comes to the one asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, Optional

from ..clients.kube import KUBE_OPTIONS, Kube
from ..clients.kube_edit import Manifest, change, changed_by, fence_of, found, rehearsed, writer_of
from ..clients.kube_resources import DAEMONSETS, HPAS, PODS, SERVICES
from ..clients.kube_slots import SLOTS, Slots, ready_endpoints, written
from ..core.errors import ConfigError, DeliveryError, Unavailable, Unsupported
from ..core.kube_rights import ROUTER, Rights
from ..core.kube_selector import labels_of, selects, sibling, text
from ..core.lease import Marker
from ..core.model import CANARY, FULL, STABLE, Capability, Observation, Routes
from ..core.options import Option, Options
from ..core.units import show_percent


class ReplicaRatioRouter:
    """Implements the port ``TrafficRouter`` for the slots stable and canary."""

    SUMMARY: ClassVar[str] = "Shares by the number of Pods: two workloads of Kubernetes behind one Service."
    OPTIONS: ClassVar[Options] = {
        "service": Option("name", "The Service in front of both: a change is done when its endpoints have followed, too."),
        "workload": Option("dict", "The workloads of the slots. Default: those of the release.", open=True),
        **KUBE_OPTIONS,
    }
    capabilities: frozenset[Capability] = frozenset({Capability.WEIGHT, Capability.PODS})
    resolution: int = 10000
    """Any share may be asked for; whole Pods come as near as they can."""

    def __init__(self, kube: Kube, slots: Slots, service: str = "") -> None:
        self.kube = kube
        self.slots = slots
        self.service = service
        self.objects = tuple(f"{slots.resource.kind.lower()}/{name}" for name in slots.names.values())
        self.marker: Optional[Marker] = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]], kube: Optional[Kube] = None) -> ReplicaRatioRouter:
        """Raises ConfigError for workloads that have no number of replicas."""
        slots = Slots.from_option(options.get("workload") or {}, "replica_ratio.workload")
        if slots.resource == DAEMONSETS:
            raise ConfigError("a DaemonSet has one Pod on each node, no number of replicas", where="replica_ratio.workload",
                              do="Use a Deployment or a StatefulSet, or another router.")
        return cls(kube or Kube.from_options(options), slots, options.get("service") or "")

    def read(self) -> Routes:
        """The ratio of the wanted replicas, exactly. With no replicas at all everything counts as stable's.

        Raises ConfigError for a Service that does not lead to the Pods of both.
        """
        live = self._manifests()
        self._check_service(live)
        pods = counted(live)
        return Routes(ratio(pods), pods=pods)

    def write(self, want: Routes) -> None:
        """Raise who gets more, see that they are ready, then lower who gets less. Raises Unavailable while they are not."""
        live = self._manifests()
        now, pods = counted(live), wanted_pods(want)
        rising = [track for track in pods if pods[track] > now[track]]
        falling = [track for track in pods if pods[track] < now[track]]
        for track in rising if self.marker is None else [track for track in pods if track not in falling and (track in live or pods[track])]:
            self._scale(track, pods[track])
        if not falling:
            return
        for track, manifest in (self._manifests() if rising else live).items():
            if track not in falling and ready(manifest) < pods[track]:
                what = f"{track} has {ready(manifest)} of {pods[track]} Pods ready: {falling[0]} keeps its own until it has them all"
                raise Unavailable(what, where=f"{self.slots.resource.kind} {self.slots.names[track]}")
        for track in falling:
            self._scale(track, pods[track])

    def observe(self, want: Routes) -> Observation:
        """Applied when as many Pods are ready as wanted, no more and no fewer; ``why`` then says what the ratio really is."""
        live = self._manifests()
        pods = wanted_pods(want)
        gone = next((self.slots.names[track] for track in pods if pods[track] and track not in live), "")
        if gone:
            return Observation(False, f"there is no {self.slots.resource.kind} {gone}")
        for track, manifest in live.items():
            if replicas(manifest) != pods[track]:
                by = changed_by(manifest, "spec", "replicas")
                return Observation(False, f"{self.slots.names[track]} is scaled to {replicas(manifest)} instead of {pods[track]}{by}",
                                   by=writer_of(manifest, "spec", "replicas"))
            if ready(manifest) != pods[track]:
                return Observation(False, f"{track} has {ready(manifest)} ready Pods instead of {pods[track]}", standing=True)
        total = sum(pods.values())
        if self.service and total:
            endpoints = len(ready_endpoints(self.kube, self.service, self.slots.namespace))
            if endpoints != total:
                return Observation(False, f"Service {self.service} has {endpoints} ready endpoints instead of {total}", standing=True)
        return Observation(True, f"canary has {pods[CANARY]} of {total} Pods: {show_percent(ratio(pods)[CANARY])}")

    def release(self) -> None:
        """Nothing here was made by a release."""

    def rehearse(self, want: Routes) -> None:
        pods = wanted_pods(want)
        live = self._manifests()
        self._check_strangers(live)
        for track, manifest in live.items():
            rehearsed(self.kube, self.slots.resource, manifest, edit(manifest, pods[track]), self.slots.namespace)

    def rights(self) -> Rights:
        scaled = tuple((str(self.slots.resource), verb) for verb in ("get", "patch"))
        return (*scaled, *(ROUTER["replica_ratio"] if self.service else ()))

    def mark(self, marker: Marker) -> None:
        self.marker = marker

    def highest_fence(self) -> int:
        return max(map(fence_of, self._manifests().values()))

    def warnings(self) -> list[str]:
        """An autoscaler that would set the numbers as well."""
        try:
            autoscalers = self.kube.list(HPAS, self.slots.namespace)
        except DeliveryError:
            return []
        lines = []
        for one in autoscalers:
            target = one["spec"].get("scaleTargetRef") or {}
            if target.get("kind") == self.slots.resource.kind and target.get("name") in self.slots.names.values():
                what = f"HorizontalPodAutoscaler {one['metadata']['name']} scales {target['name']}, and so does replica_ratio"
                lines.append(f"{what}: remove it for the release, or use a router that splits requests")
        return lines

    def _manifests(self) -> dict[str, Manifest]:
        """Those that are there: the candidate's may be made by the release. Raises ConfigError where there is none."""
        kube, slots = self.kube, self.slots
        read = {track: kube.get(slots.resource, name, slots.namespace) for track, name in slots.names.items()}
        live: dict[str, Manifest] = {track: manifest for track, manifest in read.items() if manifest is not None}
        return live or {STABLE: found(kube, slots.resource, slots.names[STABLE], slots.namespace)}

    def _check_service(self, live: Mapping[str, Manifest]) -> None:
        if not self.service:
            return
        matched = found(self.kube, SERVICES, self.service, self.slots.namespace)["spec"].get("selector") or {}
        [first, *_rest] = live.values()
        for track, name in self.slots.names.items():
            manifest = live.get(track) or sibling(first, name, name)
            if manifest is not None and not selects({"matchLabels": matched}, labels_of(manifest)):
                raise ConfigError(f"the Service finds {written(matched)}, and the Pods of {name} have {written(labels_of(manifest))}",
                                  where=f"Service {self.service}", do="It has to lead to the Pods of both: let it look for labels that both have.")

    def _check_strangers(self, live: Mapping[str, Manifest]) -> None:
        """Raise ConfigError for Pods behind the Service that are of neither slot: the shares would be others, and no change would ever be seen as done."""
        if not self.service:
            return
        space = self.slots.namespace
        own = {pod["metadata"]["name"] for each in live.values() for pod in self.kube.list(PODS, space, labels=text(each["spec"].get("selector") or {}))}
        strangers = sorted(ready_endpoints(self.kube, self.service, space) - own)
        if strangers:
            raise ConfigError(f"it also leads to {', '.join(strangers[:3])}, of neither slot", where=f"Service {self.service}",
                              do="Have it find the Pods of the two workloads and no others, or use a router that splits requests.")

    def _scale(self, track: str, number: int) -> None:
        change(self.kube, self.slots.resource, self.slots.names[track], partial(edit, number=number), self.slots.namespace, self.marker)


def edit(manifest: Manifest, number: int) -> dict[str, Any]:
    """The workload with so many replicas."""
    return {**manifest, "spec": {**manifest["spec"], "replicas": number}}


def counted(live: Mapping[str, Manifest]) -> dict[str, int]:
    """Replicas wanted for each slot; 0 for one that is not there."""
    return {track: replicas(live[track]) if track in live else 0 for track in SLOTS}


def replicas(manifest: Manifest) -> int:
    """How many are wanted; 1 where the manifest does not say, as the API has it."""
    return int(manifest["spec"].get("replicas", 1))


def ready(manifest: Manifest) -> int:
    """Pods that are ready; none where the controller has not seen the last change yet."""
    status = manifest.get("status") or {}
    seen = int(status.get("observedGeneration") or 0) >= int(manifest["metadata"].get("generation") or 0)
    return int(status.get("readyReplicas") or 0) if seen else 0


def ratio(pods: Mapping[str, int]) -> dict[str, Fraction]:
    """Percent per track; everything on stable where there are no Pods."""
    total = sum(pods.values())
    if not total:
        return {STABLE: FULL, CANARY: Fraction(0)}
    return {track: FULL * number / total for track, number in pods.items()}


def wanted_pods(want: Routes) -> Mapping[str, int]:
    """Pods per track. Raises Unsupported, ConfigError."""
    if want.matches or want.mirror or want.assignment or any(want.members.values()):
        raise Unsupported("Pods behind a Service get their requests by chance: no match routes, no mirrors, no weights of single servers",
                          where="replica_ratio", do="Use a router that reads requests, such as gateway_api.")
    if set(want.pods) != set(SLOTS):  # a share alone does not say of how many, once one side was raised
        raise ConfigError("nobody says how many Pods each track shall have", where="replica_ratio",
                          do="A release says it; outside of one, scale the workloads: kubectl scale.")
    return want.pods
