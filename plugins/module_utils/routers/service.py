# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes Service as a switch: its selector leads to the Pods of one slot or of the other, all at once.

The EndpointSlices say whether the cluster has followed. Every other label of the selector stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, Optional, Union

from ..clients.kube import KUBE_OPTIONS, Kube
from ..clients.kube_edit import Manifest, changed, changed_by, fence_of, found, rehearsed, writer_of
from ..clients.kube_resources import SERVICES
from ..clients.kube_slots import SLOTS, Labels, Slots, pods_of, ready_endpoints, ready_pods, written
from ..core.errors import ConfigError, Unsupported
from ..core.kube_rights import ROUTER, Rights
from ..core.kube_selector import sibling
from ..core.lease import Marker
from ..core.model import CANARY, FULL, STABLE, Capability, Observation, Routes
from ..core.options import Option, Options

Selectors = Mapping[str, Labels]


class ServiceRouter:
    """Implements the port ``TrafficRouter`` for the slots stable and canary."""

    SUMMARY: ClassVar[str] = "A Kubernetes Service, switched from one slot to the other by its selector."
    OPTIONS: ClassVar[Options] = {
        "name": Option("name", "The Service that the users' requests go through.", required=True),
        "preview": Option("name", "A second Service: it leads to the slot that has no traffic."),
        "selectors": Option(
            "dict",
            "Slot to the labels by which the Service finds its Pods. Default: the matchLabels in which the two workloads differ.",
            options={slot: Option("dict", f"Labels that only Pods of {slot} have.", required=True, open=True) for slot in SLOTS},
        ),
        "workload": Option("dict", "The workloads of the slots. Default: those of the release.", open=True),
        **KUBE_OPTIONS,
    }
    capabilities: frozenset[Capability] = frozenset({Capability.PREVIEW})
    """All that one may have; one without a preview Service has none."""
    resolution: int = 1

    def __init__(self, kube: Kube, name: str, told: Union[Selectors, Slots], preview: str = "") -> None:
        """``told``: the labels of each slot, or the workloads that have them."""
        self.kube = kube
        self.name = name
        self.preview = preview
        self._told = told
        self.marker: Optional[Marker] = None
        self._read: dict[str, Manifest] = {}
        self._written: dict[str, Manifest] = {}
        self.capabilities = ServiceRouter.capabilities if preview else frozenset()
        self.objects = tuple(f"service/{each}" for each in (name, preview) if each)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]], kube: Optional[Kube] = None) -> ServiceRouter:
        """Raises ConfigError for selectors that do not tell the slots apart."""
        given = options.get("selectors")
        told: Union[Selectors, Slots]
        if given:
            told = {slot: _labels(given[slot], f"service.selectors.{slot}") for slot in SLOTS}
            check_apart(told)
        else:
            told = Slots.from_option(options.get("workload") or {}, "service.workload")
        if options.get("preview") == options["name"]:
            raise ConfigError("the preview Service is the Service itself", where="service.preview", do="Name another one, or leave it out.")
        return cls(kube or Kube.from_options(options), options["name"], told, options.get("preview") or "")

    def read(self) -> Routes:
        """Everything on the slot that the live selector means. Raises ConfigError for a selector that means neither or both."""
        self._read = {self.name: found(self.kube, SERVICES, self.name)}
        slot = slot_of(self._read[self.name], self.selectors())
        return Routes({each: FULL if each == slot else Fraction(0) for each in SLOTS})

    def write(self, want: Routes) -> None:
        """Switch the Service, then lead the preview Service to the other slot."""
        selectors = self.selectors()
        for service, routes in self._aims(want):
            known = self._read.pop(service, None)
            want_it = partial(edit, routes=routes, selectors=selectors)
            differed, manifest = changed(self.kube, SERVICES, service, want_it, known=known, marker=self.marker)
            if differed:
                self._written[service] = manifest

    def observe(self, want: Routes) -> Observation:
        """Applied when the selectors are as wanted, and the endpoints are the ready Pods of the wanted slot and no others."""
        selectors = self.selectors()
        pods: Labels = {}
        for service, routes in self._aims(want):
            # The first look takes the server's answer to the write; later ones ask again.
            manifest = self._written.pop(service, None) or found(self.kube, SERVICES, service)
            wanted = edit(manifest, routes, selectors)
            if wanted != manifest:
                live, by = written(manifest["spec"]["selector"]), changed_by(manifest, "spec", "selector")
                return Observation(False, f"the selector of Service {service} is {live}{by}", by=writer_of(manifest, "spec", "selector"))
            pods = pods or wanted["spec"]["selector"]
        why = self._endpoints_missing(wanted_slot(want), pods)
        return Observation(applied=not why, why=why, standing=True)

    def release(self) -> None:
        """Nothing here was made by a release."""

    def rehearse(self, want: Routes) -> None:
        for service, routes in self._aims(want):
            manifest = self.kube.get(SERVICES, service)
            if manifest is not None:
                rehearsed(self.kube, SERVICES, manifest, edit(manifest, routes, self.selectors()))

    def rights(self) -> Rights:
        by_workload: Rights = ((str(self._told.resource), "get"),) if isinstance(self._told, Slots) else ()
        return (*ROUTER["service"], *by_workload)

    def mark(self, marker: Marker) -> None:
        self.marker = marker

    def highest_fence(self) -> int:
        return max(fence_of(self._read.get(name) or found(self.kube, SERVICES, name)) for name in filter(None, (self.name, self.preview)))

    def selectors(self) -> Selectors:
        """Slot to its labels: as given, or from the two workloads."""
        if isinstance(self._told, Slots):
            slots = self._told
            self._told = differing({slot: manifest["spec"]["selector"].get("matchLabels") or {} for slot, manifest in self._workloads(slots).items()})
        return self._told

    def _workloads(self, slots: Slots) -> dict[str, Manifest]:
        """Both; for one that the release will make, what it will be. Raises ConfigError."""
        read = {slot: self.kube.get(slots.resource, name, slots.namespace) for slot, name in slots.names.items()}
        live: dict[str, Manifest] = {slot: manifest for slot, manifest in read.items() if manifest is not None}
        first = next(iter(live.values()), None)
        made = {slot: sibling(first, name, name) for slot, name in slots.names.items() if slot not in live} if first is not None else {}
        return {slot: live.get(slot) or made.get(slot) or self._led_to(first) or found(self.kube, slots.resource, name, slots.namespace)
                for slot, name in slots.names.items()}

    def _led_to(self, other: Optional[Manifest]) -> Optional[Manifest]:
        """What is gone and was no sibling of ``other``, as far as the Service says: it leads there still. None where it leads to ``other``."""
        service = self.kube.get(SERVICES, self.name)
        if other is None or service is None:
            return None
        own = other["spec"]["selector"].get("matchLabels") or {}
        theirs = {label: value for label, value in (service["spec"].get("selector") or {}).items() if own.get(label, value) != value}
        return {"spec": {"selector": {"matchLabels": {**own, **theirs}}}} if theirs else None

    def _aims(self, want: Routes) -> list[tuple[str, Routes]]:
        """Each Service with what it shall do."""
        turned = Routes({STABLE: want.weight(CANARY), CANARY: want.weight(STABLE)})
        return [(self.name, want), *([(self.preview, turned)] if self.preview else [])]

    def _endpoints_missing(self, slot: str, labels: Labels) -> str:
        live = ready_endpoints(self.kube, self.name)
        pods = pods_of(self.kube, labels)
        strangers = live - {pod["metadata"]["name"] for pod in pods}
        if strangers:
            other = _other(slot)
            theirs = {pod["metadata"]["name"] for pod in pods_of(self.kube, {**labels, **self.selectors()[other]})}
            whose = other if strangers <= theirs else f"others ({', '.join(sorted(strangers - theirs)[:3])})"
            return f"{_counted(len(strangers), 'endpoint')} of {whose} still there in Service {self.name}"
        ready = ready_pods(pods)
        if ready - live:
            return f"{len(ready - live)} of {_counted(len(ready), 'ready Pod')} of {slot} not yet among the endpoints of Service {self.name}"
        return "" if live else f"Service {self.name} has no ready endpoint of {slot}"


def edit(manifest: Manifest, routes: Routes, selectors: Selectors) -> dict[str, Any]:
    """The Service with a selector that leads to the slot that has all traffic. Raises Unsupported, ConfigError."""
    slot = wanted_slot(routes)
    slot_labels = {label for labels in selectors.values() for label in labels}
    kept = {label: value for label, value in _selector(manifest).items() if label not in slot_labels}
    return {**manifest, "spec": {**manifest["spec"], "selector": {**kept, **selectors[slot]}}}


def wanted_slot(routes: Routes) -> str:
    """The slot that gets everything. Raises Unsupported for routes that no selector can make."""
    if routes.matches or routes.mirror or routes.assignment or any(routes.members.values()):
        raise Unsupported("a Service has neither match routes nor mirrors nor weights of its own for single servers", where="service",
                          do="Use a router that reads requests, such as gateway_api.")
    for slot in SLOTS:
        if routes.weight(slot) == FULL:
            return slot
    raise Unsupported("a Service gives a slot everything or nothing", where="service",
                      do="Split by Pods (replica_ratio) or by requests (gateway_api), or use blue_green.")


def slot_of(manifest: Manifest, selectors: Selectors) -> str:
    """The slot that the live selector means. Raises ConfigError when it means neither or both."""
    live = _selector(manifest)
    slot_labels = {label for labels in selectors.values() for label in labels}
    told = {label: value for label, value in live.items() if label in slot_labels}
    for slot in SLOTS:
        if told == selectors[slot]:
            return slot
    meta = manifest["metadata"]
    both = all(told.items() <= labels.items() for labels in selectors.values())
    means = "finds the Pods of both slots" if both else "means neither slot"
    patch = f'{{"spec":{{"selector":{{{_quoted(selectors[STABLE])}}}}}}}'
    raise ConfigError(
        f"the selector {written(live)} {means} (stable: {written(selectors[STABLE])}, canary: {written(selectors[CANARY])})"
        f"{changed_by(manifest, 'spec', 'selector')}",
        where=f"Service {meta.get('namespace', '')}/{meta['name']}",
        do=f"Lead it to stable first: kubectl -n {meta.get('namespace', '')} patch service {meta['name']} -p '{patch}'",
    )  # fmt: skip


def differing(matched: Selectors) -> Selectors:
    """The labels that both slots have, with different values. Raises ConfigError when there are none."""
    common = [label for label in matched[STABLE] if matched[CANARY].get(label, matched[STABLE][label]) != matched[STABLE][label]]
    if not common:
        raise ConfigError(f"no label tells the slots apart: both workloads match {written(matched[STABLE])}", where="service.selectors",
                          do="Give the Pods of each a label of their own, such as color: blue and color: green, and match it.")
    return {slot: {label: labels[label] for label in common} for slot, labels in matched.items()}


def check_apart(selectors: Selectors) -> None:
    """Raise ConfigError when the labels of one slot may find Pods of the other."""
    if not any(selectors[STABLE].get(label, value) != value for label, value in selectors[CANARY].items()):
        raise ConfigError(f"{written(selectors[STABLE])} and {written(selectors[CANARY])} may find the same Pods", where="service.selectors",
                          do="Name a label that both have, with different values.")


def _selector(manifest: Manifest) -> Labels:
    spec = manifest["spec"]
    if not spec.get("selector") or spec.get("type") == "ExternalName":
        meta = manifest["metadata"]
        raise ConfigError("has no selector", where=f"Service {meta.get('namespace', '')}/{meta['name']}",
                          do="Only a Service that finds its Pods by labels can be switched.")
    return dict(spec["selector"])


def _labels(given: Mapping[str, Any], where: str) -> Labels:
    for label, value in given.items():
        if not isinstance(value, str):
            raise ConfigError(f"{value!r} is not text, as labels are", where=f"{where}.{label}", do="Put it in quotes.")
    if not given:
        raise ConfigError("no label is named", where=where)
    return dict(given)


def _other(slot: str) -> str:
    return CANARY if slot == STABLE else STABLE


def _quoted(labels: Labels) -> str:
    return ",".join(f'"{label}":"{value}"' for label, value in sorted(labels.items()))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
