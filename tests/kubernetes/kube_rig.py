# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop on a real Kubernetes node: two Deployments, the Services in front of them, and what the routers' contract asks of a harness."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, SERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.core.capacity import pods_by_ratio
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.routers.replica_ratio import ReplicaRatioRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.service import ServiceRouter
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, deployment
from ansible_collections.progressive.delivery.tests.contract.harness_kube import ReplicaRatioHarness, ServiceHarness
from ansible_collections.progressive.delivery.tests.kubernetes.roles import deployer
from ansible_collections.progressive.delivery.tests.waiting import wait_until

COLORS = {"stable": "blue", "canary": "green"}
VERSIONS = {"stable": "1", "canary": "2"}
NOBODY = "https://127.0.0.1:1"
"""Where no API server listens."""
HEARD = 15
"""Seconds that a Pod still answers after it was told to end: until kube-proxy and Envoy have heard of it, on a busy machine."""


class CountingKube(Kube):
    """Knows how often it has written."""

    writes = 0

    def patch(self, *args: Any, **more: Any) -> dict[str, Any]:
        self.writes += 1
        return super().patch(*args, **more)


class Shop:
    """A harness (see ``tests/contract``) whose routers wait, after each write, until the cluster has followed, as the executor does."""

    LACKS: frozenset[Any] = frozenset()
    MARKS = True
    adapter: Any
    roles: tuple[str, ...] = ()
    """Of examples/rbac, for the account that the router uses."""
    replicas: Mapping[str, int] = {"stable": 2, "canary": 2}
    selector: Mapping[str, str] = {"shop": "yes", "color": "blue"}

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.kubeconfig = deployer(namespace, *self.roles, account="router")
        self.kube = CountingKube.from_options(self.connection())
        self.admin = Kube.from_options({**self.connection(), "kubeconfig": str(namespace.cluster.kubeconfig)})
        for slot, color in COLORS.items():
            labels = {"shop": "yes", "color": color}
            made = deployment(f"shop-{slot}", VERSIONS[slot], self.replicas[slot], labels, DRAIN_DELAY=f"{HEARD:g}s")
            made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 4 * HEARD
            namespace.apply(made)
        for slot in COLORS:
            namespace.available(f"shop-{slot}")
        self.url = namespace.service("shop", self.selector)
        self.host = self.url.partition("//")[2]
        self.prepare()

    def prepare(self) -> None:
        """What besides must be there."""

    def connection(self) -> dict[str, Any]:
        return {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace.name}

    def options(self) -> dict[str, Any]:
        raise NotImplementedError

    def made(self, kube: Optional[Kube] = None, **changes: Any) -> Any:
        """The adapter as it is."""
        raw = {**self.options(), **self.connection(), **changes}
        return self.adapter.from_options(validate(raw, self.adapter.OPTIONS, "router"), {}, kube or self.kube)

    def router(self) -> Any:
        return Patient(self.made(), self.wanted)

    def dead(self) -> Any:
        return self.made(Kube.from_options({**self.connection(), "host": NOBODY}))

    def wanted(self, want: Routes) -> Routes:
        """The routes as a plan would have them."""
        return want

    def writes(self) -> int:
        return self.kube.writes

    def reset(self) -> None:
        """All traffic on stable, nothing of a release left, nothing counted."""
        self.router().write(Routes({"stable": 100, "canary": 0}))  # type: ignore[dict-item]
        self.made().release()
        self.kube.writes = 0

    def total(self) -> float:
        """The sum of weights in service now."""
        raise NotImplementedError

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        ended = threading.Event()

        def poll() -> None:
            while not ended.is_set():
                seen.append(self.total())
                time.sleep(0.005)

        thread = threading.Thread(target=poll)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()

    def requests(self, count: int) -> Optional[collections.Counter[str]]:
        return None

    def close(self) -> None:
        self.kube.close()
        self.admin.close()


class Patient:
    """A router that returns from a write when the cluster has followed."""

    def __init__(self, router: Any, wanted: Any) -> None:
        self._router = router
        self._wanted = wanted
        self.capabilities, self.read, self.release = router.capabilities, router.read, router.release
        self.mark, self.highest_fence = router.mark, router.highest_fence

    def write(self, want: Routes) -> None:
        wait_until(lambda: self._written(self._wanted(want)), 60, lambda: self.observe(want).why)
        wait_until(lambda: self.observe(want).applied, 60, lambda: self.observe(want).why)

    def _written(self, want: Routes) -> bool:
        try:
            self._router.write(want)
        except Unavailable as error:
            if "Pods ready" in str(error):
                return False
            raise
        return True

    def observe(self, want: Routes) -> Any:
        return self._router.observe(self._wanted(want))


class ServiceShop(Shop):
    roles = ("blue-green",)
    LACKS = ServiceHarness.LACKS
    adapter = ServiceRouter

    def options(self) -> dict[str, Any]:
        return {"name": "shop", "preview": "shop-preview", "selectors": {slot: {"color": color} for slot, color in COLORS.items()}}

    def prepare(self) -> None:
        self.namespace.service("shop-preview", {**self.selector, "color": "green"})

    def total(self) -> float:
        found = self.admin.get(SERVICES, "shop")
        return 100.0 if found and found["spec"]["selector"]["color"] in COLORS.values() else 0.0


class RatioShop(Shop):
    roles = ("canary", "hpa")
    LACKS = ReplicaRatioHarness.LACKS
    adapter = ReplicaRatioRouter
    replicas = {"stable": 3, "canary": 0}
    selector = {"shop": "yes"}

    def options(self) -> dict[str, Any]:
        return {"service": "shop", "workload": {"deployment": {slot: f"shop-{slot}" for slot in COLORS}}}

    def wanted(self, want: Routes) -> Routes:
        canary, stable = pods_by_ratio(3, want.weight("canary"))
        return replace(want, pods={"stable": stable, "canary": canary})

    def total(self) -> float:
        return float(sum(each["spec"]["replicas"] for each in self.admin.list(DEPLOYMENTS)))
