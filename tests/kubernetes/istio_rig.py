# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop behind a gateway of Istio's own kind: two Deployments, a Service for each and one for both, and the VirtualService between them."""

from __future__ import annotations

import base64
import json
from typing import Any

from ansible_collections.progressive.delivery.examples.demo.proxy import free_ports
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import VIRTUALSERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability
from ansible_collections.progressive.delivery.plugins.module_utils.routers.istio import IstioRouter
from ansible_collections.progressive.delivery.tests.cluster.cluster import service
from ansible_collections.progressive.delivery.tests.cluster.layout import HOST_ADDRESS
from ansible_collections.progressive.delivery.tests.cluster.pki import Authority
from ansible_collections.progressive.delivery.tests.contract.harness_kube import IstioHarness, destination
from ansible_collections.progressive.delivery.tests.kubernetes.gateway_rig import GatewayShop
from ansible_collections.progressive.delivery.tests.kubernetes.kube_rig import COLORS
from ansible_collections.progressive.delivery.tests.kubernetes.mesh_rig import GATEWAY, LABEL, Entry, Mesh
from ansible_collections.progressive.delivery.tests.waiting import wait_until

NETWORKING = VIRTUALSERVICES.api
SLOTS = ({"host": "shop-stable"}, {"host": "shop-canary"})


def rule(*destinations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Everything on the first of them."""
    given = destinations or SLOTS
    return {"route": [{"destination": each, "weight": 100 if index == 0 else 0} for index, each in enumerate(given)], "timeout": "60s", **more}


def virtual_service(name: str, gateway: str, *rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    top = {"gateways": [gateway], "hosts": ["*"]} if gateway else {}
    return {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": {"name": name}, "spec": {**top, "http": list(rules) or [rule()], **spec}}


def tcp_service(name: str, gateway: str, port: int) -> dict[str, Any]:
    route = [destination("shop-stable", 100), destination("shop-canary", 0)]
    spec = {"gateways": [gateway], "hosts": ["*"], "tcp": [{"match": [{"port": port}], "route": route}]}
    return {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": {"name": name}, "spec": spec}


class CheckedMesh(Mesh):
    """istiod with its webhook, which the API server asks about each object of Istio's in the namespaces of this mesh."""

    def webhook_flags(self) -> list[str]:
        folder = self.folder / "pki"
        if not folder.exists():
            self._authority = Authority(folder)
            self._authority.issue("istiod", "istiod", addresses=(HOST_ADDRESS,))
            [self._port] = free_ports(1)
        files = {"tlsCertFile": "istiod.crt", "tlsKeyFile": "istiod.key", "caCertFile": "ca.crt"}
        return [f"--httpsAddr={HOST_ADDRESS}:{self._port}", *(f"--{flag}={folder / file}" for flag, file in files.items())]

    def start_istiod(self) -> None:
        super().start_istiod()
        trust = base64.b64encode(self._authority.certificate.read_bytes()).decode()
        hook = {
            "name": "rev.validation.istio.io", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "timeoutSeconds": 30,
            "clientConfig": {"url": f"https://{HOST_ADDRESS}:{self._port}/validate", "caBundle": trust},
            "namespaceSelector": {"matchLabels": {LABEL: self.home.name}},
            "rules": [{"apiGroups": ["networking.istio.io"], "apiVersions": ["*"], "resources": ["*"], "operations": ["CREATE", "UPDATE"]}],
        }  # fmt: skip
        self.home.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                         "metadata": {"name": self.home.name}, "webhooks": [hook]})  # fmt: skip

    def close(self) -> None:
        self.cluster.kubectl("delete", "validatingwebhookconfiguration", self.home.name, "--ignore-not-found")
        super().close()


class IstioShop(GatewayShop):
    """``users`` send from this host to the Envoy; ``tcp_port`` leads there without HTTP."""

    roles = ("canary", "router-istio-subsets", "router-istio-affinity")
    LACKS = IstioHarness.LACKS - {Capability.MEASURE}
    adapter = IstioRouter

    def prepare(self) -> None:
        port, self.tcp_port = free_ports(2)
        self.gateway = f"{self.mesh.home.name}/{self.namespace.name}-istio"
        servers = [{"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
                   {"port": {"number": self.tcp_port, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}]  # fmt: skip
        name = self.gateway.partition("/")[2]
        self.mesh.home.apply({"apiVersion": NETWORKING, "kind": "Gateway", "metadata": {"name": name}, "spec": {"selector": GATEWAY, "servers": servers}})
        self.entry = Entry(name, self.mesh.home.name, port)
        self.namespace.apply(*(service(f"shop-{slot}", {"shop": "yes", "color": color}) for slot, color in COLORS.items()))
        self.namespace.apply(service("shop-both", {"shop": "yes"}))
        self.reset()

    def reset(self) -> None:
        """All traffic on stable, nothing of a release or of another test left, nothing counted."""
        for kind in ("virtualservice", "destinationrule"):
            self.namespace.kubectl("delete", kind, "--all", "--wait=true")
        self.namespace.apply(virtual_service("shop", self.gateway))
        wait_until(lambda: self.ask("/").headers.get("x-app-version") == "1", says=lambda: self.ask("/"))
        wait_until(lambda: self.made().observe(self.made().read()).applied, says=lambda: self.made().observe(self.made().read()).why)
        self.kube.writes = 0

    def options(self) -> dict[str, Any]:
        slots = {"stable": "shop-stable", "canary": "shop-canary"}
        return {"virtual_service": "shop", **slots, "total": 1000, "timeout": "60s", "envoys": [{"admin": self.mesh.admin}]}

    def begin(self, count: int) -> list[dict[str, str]]:
        """So many users who come without a cookie, and the headers that each sends from then on."""
        return [{"Cookie": wait_until(lambda: self.ask("/").headers.get("set-cookie", "").partition(";")[0])} for _each in range(count)]

    def pods(self, users: list[dict[str, str]], times: int = 5) -> list[dict[str, set[str]]]:
        """By user: the Pods of each version that answered."""

        def answer(user: dict[str, str]) -> dict[str, str]:
            """A request that a busy machine did not get round to is asked once more: whether any fails is what the load tells."""
            return dict(json.loads(wait_until(lambda: next((each.text for each in [self.ask("/", **user)] if each.status == 200), ""))))

        answers = [[answer(user) for _each in range(times)] for user in users]
        return [{version: {each["pod"] for each in one if each["version"] == version} for version in {each["version"] for each in one}} for one in answers]

    def route(self, name: str = "shop") -> dict[str, Any]:
        found = self.admin.get(VIRTUALSERVICES, name)
        assert found
        return found

    def total(self) -> float:
        return float(min(sum(entry.get("weight", 100) for entry in each["route"]) for each in self.route()["spec"]["http"]))
