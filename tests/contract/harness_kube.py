# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router contract's harnesses over a Kubernetes API that is only a dict, with the few controllers that routers look at. What a harness is: README.md."""

from __future__ import annotations

import collections
import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import (
    DEPLOYMENTS,
    DESTINATIONRULES,
    ENDPOINTSLICES,
    GATEWAYS,
    HTTPROUTES,
    PODS,
    SERVICES,
    VIRTUALSERVICES,
    Resource,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.capacity import pods_by_ratio
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Observation, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.routers.gateway_api import GatewayApiRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.istio import IstioRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.replica_ratio import ReplicaRatioRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.service import ServiceRouter
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

COLORS = {"stable": "blue", "canary": "green"}


class FakeCluster(FakeKube):
    """Every Deployment has the Pods it wants at once, all ready, and every Service its endpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Callable[[], None] = lambda: None
        """Called after each write."""

    def list(self, resource: Resource, namespace: str = "", labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        if resource == PODS:
            self._be(PODS, [pod for deployment in super().list(DEPLOYMENTS) for pod in _pods(deployment)])
        if resource == ENDPOINTSLICES:
            self._be(ENDPOINTSLICES, [self._slice(service) for service in super().list(SERVICES)])
        return super().list(resource, namespace, labels, fields)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Optional[dict[str, Any]]:
        found = super().get(resource, name, namespace)
        if found is not None and resource == DEPLOYMENTS:
            found["status"] = {"readyReplicas": found["spec"]["replicas"], "observedGeneration": found["metadata"]["generation"]}
        if found is not None and resource in (HTTPROUTES, GATEWAYS) and "status" not in found:
            found["status"] = taken(found)
        return found

    def patch(self, *args: Any, **more: Any) -> dict[str, Any]:
        done = super().patch(*args, **more)
        self.seen()
        return done

    def endpoints(self, service: str) -> list[str]:
        [found] = [piece for piece in self.list(ENDPOINTSLICES) if piece["metadata"]["name"] == service]
        return [endpoint["targetRef"]["name"] for endpoint in found["endpoints"]]

    def _slice(self, service: Mapping[str, Any]) -> dict[str, Any]:
        name = service["metadata"]["name"]
        pods = self.list(PODS, labels=",".join(f"{label}={value}" for label, value in service["spec"]["selector"].items()))
        endpoints = [{"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]}} for pod in pods]
        return {"metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "endpoints": endpoints}

    def _be(self, resource: Resource, bodies: list[dict[str, Any]]) -> None:
        self.objects = {key: body for key, body in self.objects.items() if key[0] != str(resource)}
        for body in bodies:
            self.put(resource, body)


def _pods(deployment: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
    for index in range(deployment["spec"]["replicas"]):
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        yield {"metadata": {"name": f"{name}-{index}", "labels": template["metadata"]["labels"]}, "status": ready}


def deployment(slot: str, replicas: int) -> dict[str, Any]:
    labels = {"app": "shop", "color": COLORS[slot]}
    container = {"name": "app", "image": "registry.test/app:1"}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}
    return {"metadata": {"name": f"shop-{slot}"}, "spec": spec}


def service(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"selector": {"app": "shop", **labels}, "ports": [{"port": 80, "targetPort": 8080}]}}


def taken(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The status of an HTTPRoute or a Gateway that its controller has no fault to find with."""
    conditions = [{"type": kind, "status": "True", "reason": kind, "observedGeneration": manifest["metadata"]["generation"]}
                  for kind in ("Accepted", "ResolvedRefs", "Programmed")]  # fmt: skip
    parents = [{"parentRef": ref, "conditions": conditions} for ref in manifest["spec"].get("parentRefs") or ()]
    return {"conditions": conditions, "parents": parents}


def backend(slot: str, weight: int) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": f"shop-{slot}", "port": 80, "weight": weight}


def http_route(name: str = "shop") -> dict[str, Any]:
    """As the API server stores it, everything on stable."""
    gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [backend("stable", 100), backend("canary", 0)]}
    return {"metadata": {"name": name}, "spec": {"parentRefs": [gateway], "rules": [rule]}}


class ServiceHarness:
    LACKS = frozenset(Capability) - {Capability.PREVIEW}
    MARKS = True
    replicas: Mapping[str, int] = {"stable": 2, "canary": 2}
    services: Mapping[str, Mapping[str, str]] = {"shop": {"color": "blue"}, "shop-preview": {"color": "green"}}

    def __init__(self, folder: pathlib.Path) -> None:
        self.kube = FakeCluster()
        for slot, replicas in self.replicas.items():
            self.kube.put(DEPLOYMENTS, deployment(slot, replicas))
        for name, labels in self.services.items():
            self.kube.put(SERVICES, service(name, **labels))

    def router(self) -> Any:
        return self.made(self.kube)

    def dead(self) -> Any:
        kube = FakeKube()
        kube.before = _refuse
        return self.made(kube)

    def made(self, kube: FakeKube) -> Any:
        raw = {"name": "shop", "preview": "shop-preview", "workload": {"deployment": {slot: f"shop-{slot}" for slot in COLORS}}}
        return ServiceRouter.from_options(validate(raw, ServiceRouter.OPTIONS, "service"), {}, kube)

    def writes(self) -> int:
        return len(self.kube.writes)

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        self.kube.seen = lambda: seen.append(float(len(self.kube.endpoints("shop"))))
        yield seen

    def requests(self, count: int) -> Optional[collections.Counter[str]]:
        return None

    def close(self) -> None:
        pass


class CountedRouter(ReplicaRatioRouter):
    """Is told how many Pods a share means, as a plan would."""

    total = 1000

    def write(self, want: Routes) -> None:
        super().write(self._counted(want))

    def observe(self, want: Routes) -> Observation:
        return super().observe(self._counted(want))

    def _counted(self, want: Routes) -> Routes:
        canary, stable = pods_by_ratio(self.total, want.weight("canary"))
        return replace(want, pods={"stable": stable, "canary": canary})


class ReplicaRatioHarness(ServiceHarness):
    LACKS = frozenset(Capability) - {Capability.WEIGHT, Capability.PODS}
    replicas: Mapping[str, int] = {"stable": 1000, "canary": 0}
    services: Mapping[str, Mapping[str, str]] = {}

    def made(self, kube: FakeKube) -> Any:
        raw = {"workload": {"deployment": {slot: f"shop-{slot}" for slot in COLORS}}}
        return CountedRouter.from_options(validate(raw, ReplicaRatioRouter.OPTIONS, "replica_ratio"), {}, kube)

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        self.kube.seen = lambda: seen.append(float(sum(one["spec"]["replicas"] for one in self.kube.list(DEPLOYMENTS))))
        yield seen


class GatewayApiHarness(ServiceHarness):
    LACKS = frozenset({
        Capability.MEMBERS, Capability.DRAIN, Capability.CUT, Capability.MEASURE, Capability.PODS, Capability.PREVIEW, Capability.STICKY,
    })  # fmt: skip
    services: Mapping[str, Mapping[str, str]] = {f"shop-{slot}": {"color": color} for slot, color in COLORS.items()}

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.kube.put(HTTPROUTES, http_route())
        self.kube.put(GATEWAYS, {"metadata": {"name": "public"}, "spec": {}})

    def made(self, kube: FakeKube) -> Any:
        raw = {"http_route": "shop", "total": 1000, "workload": {"deployment": {slot: f"shop-{slot}" for slot in COLORS}}}
        return GatewayApiRouter.from_options(validate(raw, GatewayApiRouter.OPTIONS, "gateway_api"), {}, kube)

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        self.kube.seen = lambda: seen.append(min(self.weights()))
        yield seen

    def weights(self) -> list[float]:
        """The sum of each rule's weights."""
        [route] = self.kube.list(HTTPROUTES)
        return [float(sum(ref["weight"] for ref in rule["backendRefs"])) for rule in route["spec"]["rules"]]


def destination(host: str, weight: int, subset: str = "") -> dict[str, Any]:
    return {"destination": {"host": host, **({"subset": subset} if subset else {})}, "weight": weight}


def virtual_service(name: str = "shop", **spec: Any) -> dict[str, Any]:
    """Everything on stable."""
    rule = {"route": [destination("shop-stable", 100), destination("shop-canary", 0)], "timeout": "10s"}
    return {"metadata": {"name": name}, "spec": {"hosts": ["shop.example"], "gateways": ["public"], "http": [rule], **spec}}


class IstioHarness(GatewayApiHarness):
    LACKS = GatewayApiHarness.LACKS

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.kube.put(VIRTUALSERVICES, virtual_service())

    def made(self, kube: FakeKube) -> Any:
        raw = {"virtual_service": "shop", "total": 1000, "workload": {"deployment": {slot: f"shop-{slot}" for slot in COLORS}}}
        return IstioRouter.from_options(validate(raw, IstioRouter.OPTIONS, "istio"), {}, kube)

    def weights(self) -> list[float]:
        [found] = self.kube.list(VIRTUALSERVICES)
        return [float(sum(entry.get("weight", 100) for entry in rule["route"])) for rule in found["spec"]["http"]]


class IstioSubsetHarness(IstioHarness):
    """One Service, and a DestinationRule whose subset for the canary is made when it is needed."""

    services: Mapping[str, Mapping[str, str]] = {"shop": {}}

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        rule = {"route": [destination("shop", 100, "stable"), destination("shop", 0, "canary")]}
        self.kube.edit(VIRTUALSERVICES, "shop", lambda body: body["spec"].update(http=[rule]))
        subset = {"name": "stable", "labels": {"color": "blue"}}
        self.kube.put(DESTINATIONRULES, {"metadata": {"name": "shop"}, "spec": {"host": "shop", "subsets": [subset]}})

    def made(self, kube: FakeKube) -> Any:
        raw = {"virtual_service": "shop", "total": 1000, "host": "shop", "destination_rule": {"canary": {"color": "green"}}}
        made = IstioRouter.from_options(validate(raw, IstioRouter.OPTIONS, "istio"), {}, kube)
        made.clock = FakeClock()
        return made


def _refuse(verb: str, resource: Resource, name: str) -> None:
    raise Unavailable("the API server does not answer", where="the fake cluster")
