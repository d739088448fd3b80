# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus on this host that scrapes a namespace's Pods every second, and the kubelet.

Its labels are those of the Prometheus Operator: ``namespace``, ``pod``, ``container``. The kubelet's cAdvisor is read through the API server.
"""

from __future__ import annotations

import base64
import ctypes
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import PODS
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster

SECONDS = 240.0
"""A start may take this long."""
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
EVERY = 0.5
"""Seconds between two looks at the API for Pods."""


class ScraperError(Exception):
    """Prometheus cannot be had; the text says why and what to do, in one line."""


def require() -> str:
    """The program. Raises ScraperError."""
    found = shutil.which("prometheus")
    if not found:
        raise ScraperError("prometheus not found. Install: apt-get install --no-install-recommends prometheus")
    return found


class Scraper:
    """The server as a child that ends with this process, however that ends; its files in ``folder``.

    ``jobs``: what it scrapes besides, as in its own configuration.
    """

    def __init__(self, folder: Path, cluster: Cluster, namespace: str, *jobs: Mapping[str, Any]) -> None:
        program = require()
        folder.mkdir(parents=True, exist_ok=True)
        self._targets = Targets(folder / "pods.json", cluster, namespace)
        (folder / "prometheus.yml").write_text(json.dumps(configuration(folder, cluster, *jobs), indent=1), encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with open(folder / "prometheus.log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
            )  # fmt: skip
        try:
            self._wait()
            self._targets.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it at once; its data are of no use to anybody."""
        self._targets.close()
        self.process.kill()
        self.process.wait()

    def value(self, query: str) -> float:
        """What a query that gives one number gives now; 0 where it gives none."""
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=120) as answer:
            found = json.load(answer)["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "prometheus.log").read_text(encoding="utf-8", errors="replace")[-400:].strip()
                raise ScraperError(f"prometheus did not come up: {said}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Targets:
    """The running Pods of a namespace, kept in a file as Prometheus' file discovery reads it. Debian's Prometheus has no Kubernetes discovery of its own."""

    def __init__(self, file: Path, cluster: Cluster, namespace: str) -> None:
        self._file = file
        self._kube = Kube.from_options({"kubeconfig": str(cluster.kubeconfig), "namespace": namespace})
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._written = ""
        self.write()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._kube.close()

    def write(self) -> None:
        """One look at the API."""
        text = json.dumps([_target(pod) for pod in self._kube.list(PODS) if (pod.get("status") or {}).get("phase") == "Running"])
        if text != self._written:
            part = self._file.with_suffix(".part")
            part.write_text(text, encoding="utf-8")
            part.rename(self._file)
            self._written = text

    def _follow(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self.write()
            except DeliveryError:
                continue  # the API server is away; the targets stay as they were, as any discovery keeps them


def _target(pod: Mapping[str, Any]) -> dict[str, Any]:
    meta, container = pod["metadata"], pod["spec"]["containers"][0]
    labels = {"namespace": meta["namespace"], "pod": meta["name"], "container": container["name"]}
    return {"targets": [f"{pod['status']['podIP']}:{container['ports'][0]['containerPort']}"], "labels": labels}


def configuration(folder: Path, cluster: Cluster, *jobs: Mapping[str, Any]) -> dict[str, Any]:
    """Prometheus' own configuration; what it needs to be let in is written to ``folder``."""
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    nodes = cluster.kubectl("get", "nodes", "-o", "name").split()
    how, user = view["clusters"][0]["cluster"], view["users"][0]["user"]
    server = urllib.parse.urlsplit(how["server"])
    pods = {"job_name": "pods", "file_sd_configs": [{"files": [f"{folder}/pods.json"]}]}
    kubelet = {
        "job_name": "kubelet",
        "scrape_interval": "2s",
        "scheme": server.scheme,
        "static_configs": [{"targets": [server.netloc], "labels": {"__metrics_path__": f"/api/v1/{node.replace('node', 'nodes', 1)}/proxy/metrics/cadvisor"}}
                           for node in nodes],
        "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": "container_.*", "action": "keep"}],
        **_access(folder, how, user),
    }  # fmt: skip
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [pods, kubelet, *jobs]}


def _access(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """How the API server is reached and who asks: files made of what a kubeconfig holds."""
    tls: dict[str, Any] = {"insecure_skip_verify": bool(cluster.get("insecure-skip-tls-verify"))}
    for field, data in (("ca_file", cluster.get("certificate-authority-data")), ("cert_file", user.get("client-certificate-data")),
                        ("key_file", user.get("client-key-data"))):
        if data:
            path = folder / f"{field}.pem"
            path.touch(mode=0o600)
            path.write_bytes(base64.b64decode(data))
            tls[field] = str(path)
    return {"tls_config": tls, **({"authorization": {"credentials": user["token"]}} if user.get("token") else {})}
