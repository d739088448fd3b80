# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo on Kubernetes: real releases by the collection's own playbooks, on a real node, with steady load.

A canary behind a Gateway (Istio's control plane and Envoy), judged by Prometheus; then blue-green by a Service's selector.

``run.py``         a good canary, a bad one, a blue-green switch and the way back; everything is ended, also the node if it was not there before
``run.py --keep``  waits at the end, with the commands that work on it meanwhile, until Ctrl-C
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ansible_collections.progressive.delivery.tests.cluster.build import Unbuildable
from ansible_collections.progressive.delivery.tests.cluster.cluster import KubectlFailed, connect
from ansible_collections.progressive.delivery.tests.cluster.node import NodeError
from ansible_collections.progressive.delivery.tests.cluster.scraper import Scraper, ScraperError, require
from ansible_collections.progressive.delivery.tests.kubernetes.mesh_rig import Mesh
from ansible_collections.progressive.delivery.tests.waiting import wait_until

HERE = Path(__file__).resolve().parent
LOAD = HERE.parent / "demo" / "load.py"
sys.path.insert(0, str(LOAD.parent))

from proxy import end, spawn, write_json  # noqa: E402
from show import Scene, Show, main  # noqa: E402

USERS = {"shop": "150", "web": "50"}
"""Requests a second of each service."""
DEPLOYMENTS = ("shop-stable", "web-blue")


class Demo(Show):
    """A namespace of a Kubernetes node with two services, the users of both, and a Prometheus."""

    SCENES = (
        Scene("1. A good release: canary 5, 20, 50, 100 %", "rollout", "2", "promoted"),
        Scene("2. A bad one: 10 % of its requests fail", "rollout", "bad", "rolled_back"),
        Scene("3. Blue-green: one switch", "blue_green", "2", "promoted", "web"),
        Scene("   and back", "rollback", "2", "rolled_back", "web"),
    )

    def __init__(self, directory: Path, reports: Path) -> None:
        super().__init__(directory, reports)
        self.variables = directory / "demo.json"
        self._ends = ExitStack()

    def start(self) -> str:
        try:
            require()
            cluster = self._ends.enter_context(connect())
            namespace = self._ends.enter_context(cluster.namespace(self.directory, "demo"))
            mesh = Mesh(self.directory / "mesh", cluster, namespace)
            self._ends.callback(mesh.close)
            namespace.apply((HERE / "objects.yml").read_text())
            entry = mesh.entry("public")
            for name in DEPLOYMENTS:
                namespace.available(name)
            scraper = Scraper(self.directory / "prometheus", cluster, namespace.name)
        except (NodeError, Unbuildable, ScraperError, KubectlFailed) as error:
            raise SystemExit(str(error)) from None
        self._ends.callback(scraper.close)
        write_json(self.variables, {"demo_kubeconfig": str(cluster.kubeconfig), "demo_namespace": namespace.name, "demo_prometheus": scraper.url,
                                    "demo_envoy": mesh.admin, "demo_reports": str(self.reports)})  # fmt: skip
        web = namespace.get("service", "web")
        assert web
        for service, url in {"shop": entry.url, "web": f"http://{web['spec']['clusterIP']}"}.items():
            self._use(service, url)
            wait_until(partial(scraper.value, f'sum(rate(http_requests_total{{pod=~"{service}-.+"}}[5s]))'), 60, lambda: "requests in Prometheus")
        rates = " and ".join(f"{rate} to {service}" for service, rate in USERS.items())
        return (f"A real Kubernetes node, namespace {namespace.name}, Istio's gateway at {entry.url}, Prometheus at {scraper.url},\n"
                f"{rates} requests a second without retries.")

    def stop(self) -> None:
        self._ends.close()

    def command(self, playbook: str, service: str = "shop") -> list[str]:
        return [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", f"progressive.delivery.{playbook}",
                "-e", f"@{self.variables}", "-e", f"@{os.path.relpath(HERE / f'{service}.yml')}"]

    def load_log(self, service: str) -> Path:
        return self.directory / f"load-{service}.jsonl"

    def keep(self) -> None:
        facts = json.loads(self.variables.read_text())
        for playbook in ("status", "plan", "rollout"):
            print(f"  DEMO_VERSION=3 {' '.join(self.command(playbook))}")
        print(f"  kubectl --kubeconfig {facts['demo_kubeconfig']} --namespace {facts['demo_namespace']} get pods\nCtrl-C ends it all.", flush=True)
        signal.pause()

    def next_lines(self) -> list[str]:
        return [
            "make demo-kubernetes ARGS=--keep               the same, and it stays up for you to play with",
            f"{os.path.relpath(Path(sys.executable).with_name('ansible-doc'))} progressive.delivery.plan         what a release file may say",
            "less docs/tutorial-kubernetes.md               the same on your own cluster, in five minutes",
        ]

    def _use(self, service: str, url: str) -> None:
        """Users of a service, until the demo ends."""
        log = self.load_log(service)
        self._ends.callback(partial(end, self.directory, f"load-{service}"))
        spawn(self.directory, f"load-{service}", [sys.executable, str(LOAD), f"{url}/", str(log), "--rate", USERS[service], "--timeout", "30"])
        wait_until(lambda: log.exists() and log.stat().st_size, 60, lambda: (self.directory / f"load-{service}.log").read_text()[-300:])


if __name__ == "__main__":
    sys.exit(main(Demo, "reports/demo-kubernetes", __doc__ or ""))
