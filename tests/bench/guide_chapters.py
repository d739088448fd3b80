# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each chapter of the guide needs on the node, the jobs of its shell, and the release of examples/releases that stands in their place.

Both with the same short times: five minutes are six seconds, ten seconds 200 ms, and of the limits that only an ill version reaches the ten minutes are 40 s.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ansible_collections.progressive.delivery.examples.demo import load as demo
from ansible_collections.progressive.delivery.examples.demo.proxy import free_ports
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import PODS, VIRTUALSERVICES
from ansible_collections.progressive.delivery.tests.cluster.cluster import PORT, Namespace, deployment, fetch, service
from ansible_collections.progressive.delivery.tests.cluster.scraper import Scraper
from ansible_collections.progressive.delivery.tests.kubernetes.mesh_rig import GATEWAY
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site
from ansible_collections.progressive.delivery.tests.kubernetes.roles import deployer_of
from ansible_collections.progressive.delivery.tests.matrix.rig import Running
from ansible_collections.progressive.delivery.tests.waiting import wait_until

SHELL = Path(__file__).with_name("guide_shell")
EXAMPLES = Path(__file__).parents[2] / "examples" / "releases"
SHORT = {"5m": "6s", "10m": "40s", "10s": "200ms", "30s": "2s"}
"""What the releases' times become. A margin for clients that have not heard of a change yet (30 s) cannot be a fiftieth: they need up to a second."""
BAKE = 6.0
MARGIN = 2.0
IMAGE = "registry.test/app"
TESTS = """
import os
import urllib.request

def test_twenty_answers():
    for _each in range(20):
        with urllib.request.urlopen(os.environ["BLUE_URL"], timeout=5) as answer:
            assert answer.status == 200
"""
"""The user's own tests, the same for both: one in ten answers of the bad version fails them."""


@dataclass
class Start:
    """One command. ``waits``: seconds of it that are sleeps and bakes, when it runs to its end."""

    begin: Callable[[], Running]
    waits: float = 0.0


class Chapter:
    """A chapter of the guide. ``jobs`` and ``playbooks``: name to the seconds that are only waited."""

    name: ClassVar[str]
    example: ClassVar[str]
    jobs: ClassVar[tuple[tuple[str, float], ...]]
    playbooks: ClassVar[tuple[tuple[str, float], ...]]
    cases: ClassVar[tuple[str, ...]] = ("good", "bad", "kill")
    bad: ClassVar[str] = "bad"
    mesh: ClassVar[bool] = False
    history: ClassVar[float] = 0.0
    """Seconds that users are there before anything begins."""
    environment: dict[str, str]
    url: str

    def prepare(self, space: Namespace, mesh: Any, stack: ExitStack) -> str:
        """Version 1 serves; the URL that users take."""
        self.environment, self.site = {}, None
        self.url = self.objects(space, mesh, stack)
        return self.url

    def objects(self, space: Namespace, mesh: Any, stack: ExitStack) -> str:
        raise NotImplementedError

    def release(self, space: Namespace) -> dict[str, Any]:
        """The example, with short times."""
        text = (EXAMPLES / f"kubernetes-{self.example}.yml").read_text(encoding="utf-8")
        found: dict[str, Any] = yaml.safe_load(re.sub(rf"\b({'|'.join(SHORT)})\b", lambda each: SHORT[each[0]], text))
        found["rollout_lease"] = {"ttl": "5s"}
        return found

    def files(self, space: Namespace, version: str) -> dict[str, Any]:
        """Manifests that the shell applies, each a list of objects."""
        return {}

    def in_the_middle(self, kube: Kube, log: Path, version: str, began: float) -> bool:
        """Whether users have met the new version: the moment in which the run is killed."""
        met = [entry for entry in demo.entries(log) if entry.get("v") == version and float(str(entry["t"])) >= began]
        return len(met) >= 3

    def starts(self, space: Namespace, way: str, version: str) -> list[Start]:
        """The commands that ship a version."""
        if way == "guide":
            return [Start(lambda job=job: self.shell(space, job, version), waits) for job, waits in self.jobs]  # type: ignore[misc]
        if self.site is None:
            release = self.release(space)
            role = {**release, "rollout_strategy": "canary"} if release["rollout_strategy"] == "ab_test" else release  # which needs the same rights
            release["rollout_kubernetes"] = {"kubeconfig": str(deployer_of(space, role)), "namespace": space.name}
            self.site = Site(space, release)
            self.helpers(self.site.folder)
        site = self.site
        return [Start(lambda name=name: site.start(name, version, **self.environment), waits) for name, waits in self.playbooks]  # type: ignore[misc]

    def helpers(self, folder: Path) -> None:
        """Files beside the release file."""

    def shell(self, space: Namespace, job: str, version: str) -> Running:
        """One job of the guide, in a session of its own, as an administrator of the namespace."""
        folder = space.folder / "shell"
        (folder / "k8s").mkdir(parents=True, exist_ok=True)
        self.helpers(folder)
        for name, objects in self.files(space, version).items():
            (folder / "k8s" / f"{name}.yaml").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        kubeconfig = folder / "kubeconfig"
        if not kubeconfig.exists():
            shutil.copy(space.cluster.kubeconfig, kubeconfig)
            space.cluster.kubectl("config", "set-context", "--current", f"--namespace={space.name}", kubeconfig=kubeconfig)
        environment = space.cluster.environment(kubeconfig)
        path = f"{Path(sys.executable).parent}:{environment['PATH']}"
        log = folder / f"run-{len(list(folder.glob('run-*')))}-{job}.txt"
        script = SHELL / f"{self.name}.sh"
        with log.open("wb") as output:
            process = subprocess.Popen(["bash", str(script), job], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                       start_new_session=True,
                                       env={**environment, "PATH": path, "DOCKER_IMAGE": f"{IMAGE}:{version}", **self.environment})
        return Running(process, log)


class BlueGreen(Chapter):
    name, example = "blue-green", "blue-green"
    jobs = (("deploy-to-blue", 0), ("test-blue-environment", 0), ("health-check", 0), ("switch-to-blue", 0), ("cleanup-green", 0))
    playbooks = (("rollout", 0), ("promote", BAKE + MARGIN))
    cases = ("good", "bad", "again", "kill")

    def objects(self, space: Namespace, mesh: Any, stack: ExitStack) -> str:
        for color in ("green", "blue"):
            space.apply(deployment(f"app-{color}", "1", 2, {"shop": "yes", "version": color}))
        for color in ("green", "blue"):
            space.available(f"app-{color}", 110)
        self.environment["BLUE_URL"] = space.service("app-preview", {"shop": "yes", "version": "blue"})
        return space.service("app-service", {"shop": "yes", "version": "green"})

    def release(self, space: Namespace) -> dict[str, Any]:
        made = super().release(space)
        made["rollout_workload"]["deployment"].update(stable="app-green", canary="app-blue", drain={"http": {"path": "/drain", "port": PORT}})
        made["rollout_router"] = {"service": {"name": "app-service", "preview": "app-preview",
                                              "selectors": {"stable": {"version": "green"}, "canary": {"version": "blue"}}}}  # fmt: skip
        return made

    def helpers(self, folder: Path) -> None:
        (folder / "tests" / "integration").mkdir(parents=True, exist_ok=True)
        (folder / "tests" / "integration" / "test_preview.py").write_text(TESTS)
        command = {"argv": [sys.executable, "-m", "pytest", "tests/integration/"], "chdir": str(folder)}
        (folder / "preview-tests.yml").write_text(yaml.safe_dump([{"name": "The user's tests", "ansible.builtin.command": command, "changed_when": False}]))

    def in_the_middle(self, kube: Kube, log: Path, version: str, began: float) -> bool:
        """Whether a Pod of the new version is there: the switch itself is one write, with no middle."""
        return any(pod["spec"]["containers"][0]["image"].endswith(f":{version}") for pod in kube.list(PODS))


class InPlace(Chapter):
    """One Deployment, `myapp`, behind a Service."""

    replicas = 4

    def objects(self, space: Namespace, mesh: Any, stack: ExitStack) -> str:
        space.apply(deployment("myapp", "1", self.replicas))
        space.available("myapp", 110)
        return space.service("myapp-service", {"app": "myapp"})

    def release(self, space: Namespace) -> dict[str, Any]:
        made = super().release(space)
        made["rollout_workload"]["deployment"]["stable"] = "myapp"
        return made


class Rolling(InPlace):
    name, example = "rolling", "rolling"
    jobs = (("stage", 0),)
    playbooks = (("rollout", BAKE),)
    bad = "unready"


class ZeroDowntime(InPlace):
    name, example = "zero-downtime", "zero-downtime"
    jobs = (("health-check-config", 0),)
    playbooks = (("rollout", BAKE),)
    bad = "unready"

    def objects(self, space: Namespace, mesh: Any, stack: ExitStack) -> str:
        [made] = yaml.safe_load_all(self.manifest())
        made["spec"]["template"]["spec"]["containers"][0]["image"] = f"{IMAGE}:1"
        space.apply(made)
        space.available("myapp", 110)
        return space.service("myapp-service", {"app": "myapp"})

    def release(self, space: Namespace) -> dict[str, Any]:
        return {**super().release(space), "rollout_deploy_timeout": "2m"}

    def manifest(self) -> str:
        """The example's, its times as those of the guide's."""
        text = (EXAMPLES / "zero-downtime-deployment.yaml").read_text(encoding="utf-8").replace("shop", "myapp").replace("wait=15s", "wait=6s")
        return text.replace("periodSeconds: 10", "periodSeconds: 2").replace("periodSeconds: 5", "periodSeconds: 1")

    def helpers(self, folder: Path) -> None:
        (folder / "zero-downtime-deployment.yaml").write_text(self.manifest())


class Rollback(InPlace):
    name, example = "rollback", "watch-rollback"
    jobs = (("deploy-with-auto-rollback", BAKE), ("intelligent-rollback", 2 * BAKE))
    playbooks = (("rollout", BAKE), ("watch", 2 * BAKE))
    history = 14.0

    def objects(self, space: Namespace, mesh: Any, stack: ExitStack) -> str:
        url = super().objects(space, mesh, stack)
        scraper = Scraper(space.folder / "prometheus", space.cluster, space.name)
        stack.callback(scraper.close)
        self.environment.update(MYAPP_URL=url, PROMETHEUS=scraper.url)
        return url

    def release(self, space: Namespace) -> dict[str, Any]:
        made = super().release(space)
        made["rollout_verify"]["targets"] = {"shop": self.url.removeprefix("http://")}
        made["rollout_watch"] = {"duration": f"{2 * BAKE:g}s", "interval": "1s"}
        made["rollout_analysis"] = {
            "interval": "1s", "provider": {"prometheus": {"url": self.environment["PROMETHEUS"], "scrape_interval": "1s"}},
            "metrics": [{"name": "error-rate", "builtin": "error_rate", "failure_condition": "result > 0.01", "min_requests": 20}]}  # fmt: skip
        return made


class Meshed(Chapter):
    """Behind Istio's gateway. ``virtual``: the VirtualService that users come through; ``first`` and ``second``: its two sides."""

    mesh = True
    virtual: ClassVar[str]
    first: ClassVar[str]
    second: ClassVar[str]
    cases = ("good", "bad", "kill")

    def objects(self, space: Namespace, mesh: Any, stack: ExitStack) -> str:
        mesh.take_in(space)
        self.admin = mesh.admin
        [port] = free_ports(1)
        self.gateway = f"{mesh.home.name}/{space.name}"
        servers = [{"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
        mesh.home.apply({"apiVersion": VIRTUALSERVICES.api, "kind": "Gateway", "metadata": {"name": space.name},
                         "spec": {"selector": GATEWAY, "servers": servers}})  # fmt: skip
        space.apply(*(service(name, {"app": name}) for name in (self.first, self.second)), deployment(self.first, "1", 2), self.routes(100))
        space.available(self.first, 110)
        scraper = Scraper(space.folder / "prometheus", space.cluster, space.name)
        stack.callback(scraper.close)
        self.environment.update(PROMETHEUS=scraper.url, GATEWAY=self.gateway)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: fetch(url).status == 200, 60, lambda: fetch(url))
        return url

    def routes(self, first: int) -> dict[str, Any]:
        route = [{"destination": {"host": name}, "weight": weight} for name, weight in ((self.first, first), (self.second, 100 - first))]
        return {"apiVersion": VIRTUALSERVICES.api, "kind": "VirtualService", "metadata": {"name": self.virtual},
                "spec": {"gateways": [self.gateway], "hosts": ["*"], "http": [{"route": route}]}}  # fmt: skip

    def tuned(self, made: dict[str, Any], space: Namespace) -> dict[str, Any]:
        """A release that finds the mesh and its Prometheus. Memory is not looked at: the kubelet looks at its containers every ten seconds or so."""
        space.apply(deployment(self.second, "1", 0))  # a release wants its canary there; the guide makes and deletes it
        made["rollout_workload"]["deployment"].update(stable=self.first, canary=self.second)
        made["rollout_router"] = {"istio": {"virtual_service": self.virtual, "stable": self.first, "canary": self.second, "envoys": [{"admin": self.admin}]}}
        analysis = made["rollout_analysis"]
        analysis.update(interval="1s", provider={"prometheus": {"url": self.environment["PROMETHEUS"], "scrape_interval": "1s"}})
        analysis["metrics"] = [metric for metric in analysis["metrics"] if metric["name"] != "memory"]
        made["rollout_scale_down_delay"] = f"{MARGIN:g}s"
        return made


class Canary(Meshed):
    name, example = "canary", "canary-istio"
    virtual, first, second = "myapp-vs", "myapp-stable", "myapp-canary"
    jobs = (("deploy-canary", 0), ("monitor-canary", 0), ("canary-5-percent", BAKE), ("canary-health-check", 0), ("canary-20-percent", BAKE),
            ("canary-health-check", 0), ("canary-50-percent", BAKE), ("canary-health-check", 0), ("promote-to-stable", 0))  # fmt: skip
    playbooks = (("rollout", 2 * BAKE), ("promote", BAKE), ("promote", BAKE + MARGIN))

    def files(self, space: Namespace, version: str) -> dict[str, Any]:
        shares = {f"canary-{share}percent": [self.routes(100 - share)] for share in (5, 20, 50)}
        return {**shares, "canary-deployment": [deployment(self.second, version, 2)],
                "stable-deployment": [deployment(self.first, version, 2), self.routes(100)]}  # fmt: skip

    def release(self, space: Namespace) -> dict[str, Any]:
        return self.tuned(super().release(space), space)


class AbTest(Meshed):
    name, example = "ab-test", "canary-istio"
    virtual, first, second = "myapp-ab-test", "myapp-version-a", "myapp-version-b"
    jobs = (("deploy-ab-test", 0), ("configure-user-assignment", 0))
    playbooks = (("rollout", BAKE),)

    def files(self, space: Namespace, version: str) -> dict[str, Any]:
        return {"version-a": [deployment(self.first, "1", 2)], "version-b": [deployment(self.second, version, 2)]}

    def release(self, space: Namespace) -> dict[str, Any]:
        """The chapter's rules and its half; no conversions, so a person decides at the end, as with the guide."""
        made = self.tuned(super().release(space), space)
        del made["rollout_steps"]
        named = [{"name": name, "variant": name, "match": [{"header_name": "ab-test-group", "header_value": {"exact": name.upper()}}]} for name in "ab"]
        return {**made, "rollout_strategy": "ab_test", "rollout_ab_test": {"share": 50, "rules": named, "max_duration": f"{BAKE:g}s"}}


CHAPTERS: dict[str, type[Chapter]] = {each.name: each for each in (BlueGreen, Rolling, Canary, AbTest, ZeroDowntime, Rollback)}
