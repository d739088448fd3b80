# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of tls before Istio's real control plane and a real Envoy that passes TLS through: handshakes by name, with the certificate of who answered."""

from __future__ import annotations

import collections
import contextlib
import math
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.examples.demo.proxy import free_ports
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import settle
from ansible_collections.progressive.delivery.plugins.module_utils.routers.istio import IstioRouter
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster, Namespace
from ansible_collections.progressive.delivery.tests.cluster.layout import HOST_ADDRESS
from ansible_collections.progressive.delivery.tests.cluster.pki import Authority
from ansible_collections.progressive.delivery.tests.contract.harness_kube import destination
from ansible_collections.progressive.delivery.tests.kubernetes.istio_rig import NETWORKING
from ansible_collections.progressive.delivery.tests.kubernetes.mesh_rig import GATEWAY, Mesh
from ansible_collections.progressive.delivery.tests.waiting import wait_until

SHOP, OTHER = "shop.example", "other.example"


def split(canary: int) -> Routes:
    return Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)})


def put(router: IstioRouter, want: Routes) -> None:
    router.write(want)
    wait_until(lambda: router.observe(want).applied, says=lambda: router.observe(want).why)


class Secure:
    """A server that speaks TLS on this host for each slot, Services that lead there, and a gateway that only reads the name in the greeting."""

    def __init__(self, folder: Path, namespace: Namespace, mesh: Mesh) -> None:
        self.mesh, self.namespace = mesh, namespace
        self.authority = Authority(folder / "pki")
        self.trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        self.servers: list[socketserver.ThreadingTCPServer] = []
        mesh.take_in(namespace)
        [self.port] = free_ports(1)
        self.gateway = f"{mesh.home.name}/{namespace.name}-tls"
        server = {"port": {"number": self.port, "name": "tls", "protocol": "TLS"}, "hosts": [SHOP, OTHER], "tls": {"mode": "PASSTHROUGH"}}
        mesh.home.apply({"apiVersion": NETWORKING, "kind": "Gateway", "metadata": {"name": self.gateway.partition("/")[2]},
                         "spec": {"selector": GATEWAY, "servers": [server]}})  # fmt: skip
        for slot in ("stable", "canary"):
            self.serve(slot)
        self.kube = Kube.from_options({"kubeconfig": str(namespace.cluster.kubeconfig), "namespace": namespace.name})

    def serve(self, slot: str) -> None:
        """A server whose certificate names the slot, and a Service ``shop-SLOT`` in front of it."""
        self.authority.issue(slot, slot, hosts=(SHOP, OTHER))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority.folder / f"{slot}.crt", self.authority.folder / f"{slot}.key")

        class Greets(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as link:
                    link.recv(100)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        made = Server((HOST_ADDRESS, 0), Greets)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        self.servers.append(made)
        name, port = f"shop-{slot}", made.server_address[1]
        self.namespace.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"name": "tls", "port": 443, "targetPort": port}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
             "addressType": "IPv4", "ports": [{"name": "tls", "port": port}], "endpoints": [{"addresses": [HOST_ADDRESS], "conditions": {"ready": True}}]},
        )  # fmt: skip

    def virtual_service(self) -> dict[str, Any]:
        """A rule for each name, both of them with both slots, and all on stable."""
        rules = [{"match": [{"port": self.port, "sniHosts": [name]}], "route": [destination("shop-stable", 100), destination("shop-canary", 0)]}
                 for name in (SHOP, OTHER)]  # fmt: skip
        return {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": {"name": "secure"},
                "spec": {"gateways": [self.gateway], "hosts": [SHOP, OTHER], "tls": rules}}  # fmt: skip

    def router(self, **more: Any) -> IstioRouter:
        raw = {"virtual_service": "secure", "stable": "shop-stable", "canary": "shop-canary", "routes": [f"tls/{SHOP}"], "timeout": "60s",
               "envoys": [{"admin": self.mesh.admin}], "namespace": self.namespace.name,
               "kubeconfig": str(self.namespace.cluster.kubeconfig), **more}  # fmt: skip
        return IstioRouter.from_options(validate(raw, IstioRouter.OPTIONS, "router"), {}, self.kube)

    def hello(self, name: str = SHOP) -> str:
        """Whose certificate a handshake by ``name`` through the gateway shows; why there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 60) as plain, self.trust.wrap_socket(plain, server_hostname=name) as link:
                shown = link.getpeercert() or {}
                return str(dict(part[0] for part in shown["subject"])["commonName"])
        except OSError as error:
            return str(error)

    def hellos(self, count: int, name: str = SHOP) -> collections.Counter[str]:
        return collections.Counter(self.hello(name) for _each in range(count))

    @contextlib.contextmanager
    def knocking(self) -> Iterator[collections.Counter[str]]:
        """Handshakes by the shop's name, one after the other, and what each of them showed."""
        told, over = collections.Counter[str](), threading.Event()

        def knock() -> None:
            while not over.is_set():
                told[self.hello()] += 1

        thread = threading.Thread(target=knock)
        thread.start()
        try:
            yield told
        finally:
            over.set()
            thread.join()

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.kube.close()


@pytest.fixture
def secure(cluster: Cluster, mesh: Mesh, tmp_path: Path) -> Iterator[Secure]:
    with cluster.namespace(tmp_path, "tls") as namespace:
        made = Secure(tmp_path, namespace, mesh)
        namespace.apply(made.virtual_service())
        wait_until(lambda: (made.hello(), made.hello(OTHER)) == ("stable", "stable"), 60, made.hello)
        yield made
        made.close()


def test_handshakes_are_split_by_a_rule_of_tls_and_other_names_stay(secure: Secure) -> None:
    router, count = secure.router(), 400
    with secure.knocking() as told:
        for canary in (30, 100, 0, 30):
            put(router, split(canary))
            if canary in (0, 100):
                who = "canary" if canary else "stable"
                wait_until(lambda who=who: secure.hellos(20) == {who: 20}, says=lambda: secure.hellos(5))  # type: ignore[misc]
                wait_until(lambda who=who: told[who], says=lambda: told)  # type: ignore[misc]
    assert set(told) == {"stable", "canary"}, "no handshake failed while weights moved"
    assert secure.router().read() == split(30)

    before, got = router.observe(split(30)), secure.hellos(count)
    after = router.observe(split(30))
    assert got["stable"] + got["canary"] == count, got
    assert abs(got["canary"] / count - 0.3) < 6 * math.sqrt(0.3 * 0.7 / count)
    counted = {slot: after.requests[slot] - before.requests[slot] for slot in after.requests}
    assert counted == dict(got), "Envoy counts the connections that the users made"
    measured = settle(split(30), before, after)
    assert measured.settled and measured.requests == count
    assert secure.hellos(50, OTHER) == {"stable": 50}
    assert "CERTIFICATE_VERIFY_FAILED" not in secure.hello("nobody.example"), "a name that no rule has reaches no server"


def test_a_rule_of_tls_that_istiod_has_not_seen_is_not_applied(secure: Secure) -> None:
    router = secure.router()
    wait_until(lambda: router.observe(split(0)).applied, says=lambda: router.observe(split(0)).why)
    with secure.mesh.frozen():
        router.write(split(50))
        why = router.observe(split(50)).why
        assert "its rule tls/shop.example does not give canary 50 %, stable 50 % yet" in why
        assert secure.hellos(20) == {"stable": 20}
    wait_until(lambda: router.observe(split(50)).applied, says=lambda: router.observe(split(50)).why)
    wait_until(lambda: secure.hello() == "canary")
