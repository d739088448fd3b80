# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Istio's own control plane, and an Envoy that it configures as the gateway of Gateways: both as processes of this host, in front of real Pods.

Several runs side by side share one node: each istiod looks only at namespaces with the label of its run, and every port is a free one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.examples.demo.proxy import envoy_binary, free_ports
from ansible_collections.progressive.delivery.tests.cluster import build
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster, Namespace, fetch
from ansible_collections.progressive.delivery.tests.cluster.layout import HOST_ADDRESS
from ansible_collections.progressive.delivery.tests.waiting import wait_until

LABEL = "progressive-delivery-mesh"
LAST = "httproutes.gateway.networking.k8s.io"
GATEWAY = {"istio": "gateway"}
"""Labels of the Envoy, and what the Services of its Gateways select."""
SETTINGS = {
    "PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false", "INJECT_ENABLED": "false", "ENABLE_LEADER_ELECTION": "false",
    "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false", "PILOT_DEBOUNCE_AFTER": "20ms",
}  # fmt: skip
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Entry:
    """One Gateway as a user reaches it: ``name`` in ``namespace``, and the port of this host that it listens on."""

    name: str
    namespace: str
    port: int

    @property
    def parent(self) -> dict[str, str]:
        """What an HTTPRoute names."""
        return {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": self.name, "namespace": self.namespace}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Mesh:
    """One istiod and one Envoy. ``home`` is the namespace of both."""

    def __init__(self, folder: Path, cluster: Cluster, home: Namespace) -> None:
        self.home = home
        self.folder = folder
        self.cluster = cluster
        folder.mkdir(parents=True, exist_ok=True)
        self._built = build.istio()
        self._http, self._ads, self._monitoring, self._admin, self._agent = free_ports(5)
        self.admin = f"http://127.0.0.1:{self._admin}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._definitions()
            self.take_in(home)
            self.start_istiod()
            self._start_envoy()
        except BaseException:
            self.close()
            raise

    @property
    def job(self) -> dict[str, Any]:
        """How Prometheus scrapes the Envoy."""
        return {"job_name": "gateway", "metrics_path": "/stats/prometheus", "static_configs": [{"targets": [f"127.0.0.1:{self._admin}"]}]}

    def take_in(self, namespace: Namespace) -> None:
        """Have istiod look at the namespace."""
        self.cluster.kubectl("label", "namespace", namespace.name, f"{LABEL}={self.home.name}", "--overwrite")

    def entry(self, name: str) -> Entry:
        """A Gateway of its own, for the routes of all namespaces; it listens when this returns."""
        [port] = free_ports(1)
        ports = [{"name": "http", "port": port, "targetPort": port}]
        listener = {"name": "http", "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
        address = {"type": "Hostname", "value": f"{name}.{self.home.name}.svc.cluster.local"}
        endpoints = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": port}], "endpoints": [{"addresses": [HOST_ADDRESS], "conditions": {"ready": True}}],
        }  # fmt: skip
        self.home.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": GATEWAY, "ports": ports}},
            endpoints,
            {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": name},
             "spec": {"gatewayClassName": "istio", "addresses": [address], "listeners": [listener]}},
        )  # fmt: skip
        entry = Entry(name, self.home.name, port)
        wait_until(lambda: fetch(entry.url).status, says=lambda: self.home.kubectl("get", "gateway", name, "-o", "yaml"))
        return entry

    def start_istiod(self) -> None:
        mesh = {
            "rootNamespace": self.home.name, "enableAutoMtls": False, "ingressControllerMode": "OFF", "defaultProviders": {},
            "discoverySelectors": [{"matchLabels": {LABEL: self.home.name}}],
        }  # fmt: skip
        (self.folder / "mesh.json").write_text(json.dumps(mesh), encoding="utf-8")
        ports = {"httpAddr": self._http, "grpcAddr": self._ads, "monitoringAddr": self._monitoring}
        command = [
            str(self._built / "istiod"), "discovery", f"--kubeconfig={self.cluster.kubeconfig}", f"--meshConfig={self.folder}/mesh.json",
            *(f"--{name}=127.0.0.1:{port}" for name, port in ports.items()), "--secureGRPCAddr=", *self.webhook_flags(), "--ctrlz_port=0",
            "--shutdownDuration=0s", "--keepaliveMaxServerConnectionAge=24h",
        ]  # fmt: skip
        self._spawn("istiod", command, {**SETTINGS, "POD_NAMESPACE": self.home.name})
        wait_until(lambda: fetch(f"http://127.0.0.1:{self._http}/ready").status == 200, says=lambda: self.said("istiod"))

    def webhook_flags(self) -> list[str]:
        """Where istiod's webhook listens: nowhere."""
        return ["--httpsAddr="]

    def stop_istiod(self) -> None:
        self._end("istiod")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """istiod takes what is written, in its own time: not before this is over."""
        process = self._processes["istiod"]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-1500:]

    def close(self) -> None:
        for name in list(self._processes):
            self._end(name)

    def _definitions(self) -> None:
        """The CustomResourceDefinitions, which stay: others on this cluster may use them, too. The last one tells that all of them are there."""
        if self.cluster.kubectl("get", "crd", f"--selector={LABEL}={self._built.name}", "-o", "name"):
            return
        files = [path for path in sorted((self._built / "crds").iterdir()) if "CustomResourceDefinition" in path.read_text(encoding="utf-8")]
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", *(f"--filename={path}" for path in files))
        self.cluster.kubectl("label", "crd", LAST, f"{LABEL}={self._built.name}", "--overwrite")

    def _start_envoy(self) -> None:
        home = self.home.name
        metadata = {"NAMESPACE": home, "LABELS": GATEWAY, "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.30.0"}
        (self.folder / "envoy.json").write_text(json.dumps(bootstrap(home, metadata, self._admin, self._ads), indent=1), encoding="utf-8")
        command = [envoy_binary(), "-c", f"{self.folder}/envoy.json", "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
        self._spawn("envoy", command, {})
        wait_until(lambda: fetch(f"{self.admin}/ready").status == 200, says=lambda: self.said("envoy"))

    def _spawn(self, name: str, command: list[str], settings: Mapping[str, str]) -> None:
        """A child that ends with this process, however that ends."""
        with open(self.folder / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder, env={**os.environ, **settings},
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
            )  # fmt: skip

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()


def bootstrap(home: str, metadata: Mapping[str, Any], admin: int, ads: int) -> dict[str, Any]:
    """Everything by discovery, from istiod without TLS."""
    api = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "istiod"}}]}
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    http2 = {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "node": {"id": f"router~127.0.0.1~gw.{home}~{home}.svc.cluster.local", "cluster": f"gw.{home}", "metadata": dict(metadata)},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "stats_flush_interval": "1s",
        "stats_config": {"stats_tags": [{"tag_name": "cluster_name", "regex": r"^cluster(\.(.+);)"}]},
        "dynamic_resources": {"ads_config": api, "lds_config": source, "cds_config": source},
        "static_resources": {"clusters": [{
            "name": "istiod", "type": "STATIC", "connect_timeout": "60s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {"cluster_name": "istiod", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ads}}}}]}]},
        }]},
    }  # fmt: skip


@contextlib.contextmanager
def mesh(cluster: Cluster, folder: Path) -> Iterator[Mesh]:
    """A mesh for as long as this lasts, in a namespace of its own."""
    with cluster.namespace(folder, "mesh", lasting=True) as home:
        with cluster.undisturbed():
            made = Mesh(folder / "mesh", cluster, home)
        try:
            yield made
        finally:
            made.close()
