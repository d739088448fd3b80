# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole releases on the real node through the verbs, in this process: what the playbooks do, without Ansible's own seconds.

A run may also live in a process of its own, so that it can be killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, SERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError, Interrupted
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.interrupt import interrupt
from ansible_collections.progressive.delivery.plugins.module_utils.entry.run import Run
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import health, plan, release
from ansible_collections.progressive.delivery.plugins.module_utils.stores.kubernetes import KubernetesStore
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, deployment
from ansible_collections.progressive.delivery.tests.kubernetes.roles import deployer_of

COLORS = {"stable": "blue", "canary": "green"}
LASTS = {"ttl": "10m"}
"""A lease that no run loses which only does not get to run for a while."""
fork = multiprocessing.get_context("fork")


class Shop:
    """Two Deployments, blue with version 1 and green, behind one Service; and the release file of it.

    ``kubeconfig`` is what the releases use: else that of an account with the Roles of examples/rbac. The test looks with the administrator's own.
    """

    def __init__(self, space: Namespace, kubeconfig: Optional[Path] = None, replicas: int = 1, *, ratio: bool = False, green: str = "1", **file: Any) -> None:
        self.space, self.folder = space, space.folder
        self.said: list[str] = []
        self.cancelled = threading.Event()
        self.kube = Kube.from_options({"kubeconfig": str(space.cluster.kubeconfig), "namespace": space.name})
        selector = {"shop": "yes"} if ratio else {"shop": "yes", "color": "blue"}
        space.apply(*(deployment(f"shop-{color}", "1" if color == "blue" else green, replicas if color == "blue" else 0, {"shop": "yes", "color": color})
                      for color in COLORS.values()))
        self.url = space.service("shop", selector)
        space.available("shop-blue")
        router: dict[str, Any] = {"service": {"name": "shop", "selectors": {slot: {"color": color} for slot, color in COLORS.items()}}}
        self.file: dict[str, Any] = {
            "rollout_name": "shop", "rollout_kubernetes": {"namespace": space.name},
            "rollout_workload": {"deployment": {"stable": "shop-blue", "canary": "shop-green", "image": "registry.test/app:${version}"}},
            "rollout_router": {"replica_ratio": {"service": "shop"}} if ratio else router, "rollout_strategy": "canary" if ratio else "blue_green",
            "rollout_canary": {"step_weights": [50, 100], "bake": "0s"}, "rollout_scale_down_delay": "0s",
            "rollout_lease": {"ttl": "5s"}, "rollout_report": {"directory": str(space.folder / "reports")}, **file}  # fmt: skip
        if not ratio:
            del self.file["rollout_canary"]
        self.file["rollout_kubernetes"]["kubeconfig"] = str(kubeconfig or deployer_of(space, self.file))

    @classmethod
    def of_namespace(cls, other: Shop) -> Shop:
        """The same shop, reached by another way than the first one's releases: straight."""
        made = cls.__new__(cls)
        made.__dict__.update(other.__dict__, said=[], cancelled=threading.Event())
        made.file = {**other.file, "rollout_kubernetes": {**other.file["rollout_kubernetes"], "kubeconfig": str(other.space.cluster.kubeconfig)}}
        return made

    def context(self) -> Context:
        return Context(SystemClock(self.cancelled.is_set), self.said.append, who="ann")

    # What the playbooks do

    def planned(self, purpose: str, version: str = "", **file: Any) -> dict[str, Any]:
        variables = {**self.file, **file, **({"rollout_version": version} if version else {})}
        asked = purpose if purpose in ("abort", "rollback") else "rollout"
        what = purpose if purpose in ("rollout", "rollback") else "resume"
        params = {"variables": variables, "groups": {}, "purpose": what, "asked": asked, "probe": True, "show": False}
        return plan.run(params, self.context())

    def begin(self, purpose: str, version: str = "", **file: Any) -> dict[str, Any]:
        spec = self.planned(purpose, version, **file)["release"]
        return release.run({"operation": "begin", "purpose": purpose, "release": spec}, self.context())

    def walk(self, begun: dict[str, Any], until: str = "") -> dict[str, Any]:
        """The steps, one after the other, and the end of it; ``until``: stop before a step of that name."""
        spec, now = begun["release"], release.run({"operation": "next", "release": begun["release"]}, self.context()) if begun.get("session", True) else begun
        while not now["outcome"]:
            for step in [step for leg in now["legs"] for step in leg["steps"]]:
                if until and until in self.next:
                    return now
                release.run({"operation": "step", "release": spec, "step": step["index"], "back": step["back"]}, self.context())
            now = release.run({"operation": "next", "release": spec}, self.context())
        if not begun.get("session", True) or now["outcome"] in ("busy", "unchanged"):
            return now
        checked = now["outcome"] in ("promoted", "rolled_back", "aborted")
        well = not checked or health.run({"release": spec, "verify": True}, self.context())["healthy"]
        return release.run({"operation": "finish", "release": spec, "verified": well}, self.context())

    def run(self, purpose: str, version: str = "", **file: Any) -> dict[str, Any]:
        """All of it; the result is what the playbook tells a workflow."""
        begun = self.begin(purpose, version, **file)
        try:
            return self.walk(begun)
        except Interrupted:
            self.cancelled.clear()
            return interrupt(Run.open(begun["release"], self.context()), self.context())

    def started(self, purpose: str, version: str = "", **file: Any) -> Other:
        """The same in a process of its own."""
        return Other(self, purpose, version, file)

    # What the test looks at

    @property
    def record(self) -> Record:
        found = stored_record(KubernetesStore("shop", self.kube))
        assert found is not None
        return found

    @property
    def next(self) -> str:
        """The name of the step that the record says is next; empty before and after."""
        found = stored_record(KubernetesStore("shop", self.kube))
        return found.steps[found.position].name if found is not None and found.outcome is None and found.position < len(found.steps) else ""

    def at_the_bake(self) -> Callable[[Any], bool]:
        """For a rule of a proxy: every request from the moment at which the record says that a bake is next, however late anybody looks."""
        begun = threading.Event()

        def fits(_request: Any) -> bool:
            if not begun.is_set() and "bake" in self.next:
                begun.set()
            return begun.is_set()

        return fits

    @property
    def holder(self) -> str:
        found = KubernetesStore("shop", self.kube).load("lease")
        return str(found.value.get("holder", "")) if found else ""

    @property
    def color(self) -> str:
        """Where the Service leads."""
        found = self.kube.get(SERVICES, "shop")
        assert found
        return str(found["spec"]["selector"].get("color", "both"))

    def of(self, color: str) -> dict[str, Any]:
        found = self.kube.get(DEPLOYMENTS, f"shop-{color}")
        assert found
        return found

    def holds(self, color: str) -> tuple[str, int]:
        """Version and wanted replicas."""
        spec = self.of(color)["spec"]
        return spec["template"]["spec"]["containers"][0]["image"].rpartition(":")[2], spec["replicas"]

    @contextmanager
    def watched(self, color: str) -> Iterator[list[dict[str, Any]]]:
        """Every state that the Deployment's spec had meanwhile, as far as a tight loop sees it."""
        states: list[dict[str, Any]] = []
        ended, kube = threading.Event(), Kube.from_options({"kubeconfig": str(self.space.cluster.kubeconfig), "namespace": self.space.name})

        def look() -> None:
            while not ended.is_set():
                found = kube.get(DEPLOYMENTS, f"shop-{color}")
                if found and (not states or found["metadata"]["resourceVersion"] != states[-1]["metadata"]["resourceVersion"]):
                    states.append(found)
                ended.wait(0.02)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield states
        finally:
            ended.set()
            thread.join()
            kube.close()


class Other:
    """One run in a process of its own."""

    def __init__(self, shop: Shop, purpose: str, version: str, file: dict[str, Any]) -> None:
        self._told = shop.folder / f"told-{len(list(shop.folder.glob('told-*')))}.json"
        self._told.touch()

        def body() -> None:
            signal.signal(signal.SIGTERM, lambda *_: shop.cancelled.set())
            try:
                done = shop.run(purpose, version, **file)
            except DeliveryError as error:
                done = {"outcome": "", "error": type(error).__name__, "reason": str(error)}
            self._told.write_text(json.dumps({name: done.get(name) for name in ("outcome", "reason", "code", "error")}))

        self.process = fork.Process(target=body, daemon=True)
        self.process.start()

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def end(self, seconds: float = 240) -> dict[str, Any]:
        """How it ended; nothing when it was killed."""
        self.process.join(seconds)
        assert not self.process.is_alive(), "still running"
        return dict(json.loads(self._told.read_text() or "{}"))
