# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop behind a real Gateway: two Deployments, a Service for each, and the HTTPRoute between them."""

from __future__ import annotations

import collections
import urllib.request
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import HTTPROUTES
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability
from ansible_collections.progressive.delivery.plugins.module_utils.routers.gateway_api import GatewayApiRouter
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, fetch, service
from ansible_collections.progressive.delivery.tests.contract.harness_kube import GatewayApiHarness
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm
from ansible_collections.progressive.delivery.tests.kubernetes.kube_rig import COLORS, VERSIONS, Shop
from ansible_collections.progressive.delivery.tests.kubernetes.mesh_rig import Mesh
from ansible_collections.progressive.delivery.tests.waiting import wait_until

TRACK = {version: slot for slot, version in VERSIONS.items()}
PART = 50
"""Requests that are sent in one go: the farm has a time for each."""


def http_route(name: str, parent: dict[str, str], *, services: tuple[str, str] = ("shop-stable", "shop-canary"), **spec: Any) -> dict[str, Any]:
    """Everything on the first of the Services."""
    refs = [{"name": each, "port": 80, "weight": weight} for each, weight in zip(services, (100, 0), strict=True)]
    return {"apiVersion": HTTPROUTES.api, "kind": "HTTPRoute", "metadata": {"name": name},
            "spec": {"parentRefs": [parent], "rules": [{"backendRefs": refs, "timeouts": {"request": "60s"}}], **spec}}  # fmt: skip


class GatewayShop(Shop):
    """``users`` send from this host to the Gateway's Envoy."""

    roles = ("canary", "router-gateway-api")
    LACKS = GatewayApiHarness.LACKS - {Capability.MEASURE}
    adapter = GatewayApiRouter

    def __init__(self, namespace: Namespace, mesh: Mesh) -> None:
        self.mesh = mesh
        mesh.take_in(namespace)
        self.entry = mesh.entry(namespace.name)
        self.users = Farm()
        super().__init__(namespace)

    def prepare(self) -> None:
        self.namespace.apply(*(service(f"shop-{slot}", {"shop": "yes", "color": color}) for slot, color in COLORS.items()))
        self.namespace.apply(http_route("shop", self.entry.parent))
        wait_until(lambda: self.ask("/").status == 200, says=lambda: self.ask("/"))

    def options(self) -> dict[str, Any]:
        return {"http_route": "shop", "stable": "shop-stable", "canary": "shop-canary", "total": 1000, "timeout": "60s", "envoys": [{"admin": self.mesh.admin}]}

    def ask(self, path: str, data: Optional[bytes] = None, **headers: str) -> Any:
        return fetch(self.entry.url + path, data, headers)

    def tracks(self, count: int, path: str = "/", **headers: str) -> collections.Counter[str]:
        """Who answered so many requests."""
        return collections.Counter(TRACK.get(self.ask(path, **headers).headers.get("x-app-version", ""), "failed") for _each in range(count))

    def requests(self, count: int) -> collections.Counter[str]:
        parts = [min(PART, count - begun) for begun in range(0, count, PART)]
        return collections.Counter(TRACK.get(hit.server, "failed") for part in parts for hit in self.users.get(self.entry.port, part))

    def route(self) -> dict[str, Any]:
        found = self.admin.get(HTTPROUTES, "shop")
        assert found
        return found

    def total(self) -> float:
        return float(min(sum(ref["weight"] for ref in rule["backendRefs"]) for rule in self.route()["spec"]["rules"]))

    def copies(self) -> float:
        """Requests that Envoy has sent to the canary, mirrored ones among them, once none is under way: nobody waits for the answer to a copy."""
        wait_until(lambda: not self._counted("upstream_rq_active") + self._counted("upstream_rq_pending_active"))
        return self._counted("upstream_rq_completed")

    def _counted(self, what: str) -> float:
        with urllib.request.urlopen(f"{self.mesh.admin}/stats?filter=shop-canary.{self.namespace.name}.*;.{what}$") as answer:
            return float(answer.read().decode().splitlines()[0].rpartition(" ")[2])

    def reset(self) -> None:
        self.namespace.apply(http_route("shop", self.entry.parent))
        super().reset()

    def close(self) -> None:
        self.users.close()
        super().close()
