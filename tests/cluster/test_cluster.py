# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node is a Kubernetes node: what the other suites rely on, shown once."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.tests.cluster import node
from ansible_collections.progressive.delivery.tests.cluster.cluster import PORT, Cluster, KubectlFailed, Namespace, connect, deployment, fetch
from ansible_collections.progressive.delivery.tests.cluster.layout import KUBECONFIG, NODE_ADDRESS
from ansible_collections.progressive.delivery.tests.waiting import wait_until

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def test_the_node_is_ready_and_says_its_version(cluster: Cluster) -> None:
    assert " Ready " in cluster.kubectl("get", "nodes")
    version = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]
    assert (version["major"], version["minor"]) == ("1", "34")


def test_a_service_answers_and_follows_its_selector(namespace: Namespace) -> None:
    for version in ("1", "2"):
        namespace.apply(deployment(f"v{version}", version, 2))
    for version in ("1", "2"):
        namespace.available(f"v{version}")
    url = namespace.service("shop", {"app": "v1"})
    wait_until(lambda: fetch(url).status == 200)
    answer = fetch(url)
    assert json.loads(answer.text)["version"] == answer.headers["X-App-Version"] == "1"
    namespace.service("shop", {"app": "v2"})
    wait_until(lambda: {fetch(url).headers.get("X-App-Version") for _each in range(20)} == {"2"})


def test_bad_images_fail_as_they_should(namespace: Namespace) -> None:
    for name, version in (("crash", "crash"), ("unready", "unready"), ("missing", "none")):
        namespace.apply(deployment(name, version))

    def reason(name: str) -> str:
        statuses = [status for pod in namespace.list("pods", f"app={name}") for status in pod["status"].get("containerStatuses", [])]
        return " ".join(status["state"].get("waiting", {}).get("reason", "runs") for status in statuses)

    wait_until(lambda: "CrashLoopBackOff" in reason("crash"))
    wait_until(lambda: "ImagePull" in reason("missing"))
    wait_until(lambda: "runs" in reason("unready"))
    wait_until(lambda: {"BackOff", "Unhealthy"} <= {event["reason"] for event in namespace.list("events")})


def test_knobs_and_metrics_of_the_app(namespace: Namespace) -> None:
    namespace.app("shop", "bad")
    url = namespace.service("shop", {"app": "shop"})
    wait_until(lambda: fetch(f"{url}/health").status == 200)
    codes = [fetch(url).status for _each in range(20)]
    assert (codes.count(200), codes.count(500)) == (18, 2), "every tenth fails"
    metrics = fetch(f"{url}/metrics").text
    assert 'http_requests_total{version="bad",code="500"} 2' in metrics
    assert 'http_request_duration_seconds_bucket{version="bad",le="+Inf"} 20' in metrics
    assert fetch(f"{url}/admin?error_share=1", b"").status == 200
    assert fetch(url).status == 500
    assert fetch(f"{url}/admin?error_share=0&latency=x", b"").status == 400, "all or none"
    assert fetch(url).status == 500
    assert fetch(f"{url}/admin?error_share=0", b"").status == 200
    assert fetch(f"{url}/echo", b"hello").text == "hello"


def test_a_drained_pod_answers_and_leaves_its_service(namespace: Namespace) -> None:
    namespace.app("shop")
    [pod] = namespace.list("pods")
    url = f"http://{pod['status']['podIP']}:{PORT}"
    assert fetch(f"{url}/drain", b"").status == 200
    answer = fetch(url)
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert fetch(f"{url}/ready").status == 503
    wait_until(lambda: not any(one.get("conditions", {}).get("ready") for part in namespace.list("endpointslices") for one in part["endpoints"]))


def test_the_app_echoes_over_websocket(namespace: Namespace) -> None:
    namespace.app("shop")
    [pod] = namespace.list("pods")
    with socket.create_connection((pod["status"]["podIP"], PORT), timeout=60) as connection, connection.makefile("rwb") as stream:
        key = base64.b64encode(os.urandom(16)).decode()
        stream.write(f"GET /ws HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        stream.flush()
        head = b"".join(iter(stream.readline, b"\r\n")).decode()
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        assert head.startswith("HTTP/1.1 101") and accept in head
        stream.write(bytes([0x81, 0x82, 1, 2, 3, 4, ord("h") ^ 1, ord("i") ^ 2]))  # a final text frame of two masked letters
        stream.flush()
        assert stream.read(4) == b"\x81\x02hi"
        url = f"http://{pod['status']['podIP']}:{PORT}/drain"
        wait_until(lambda: json.loads(fetch(url, b"", {"Drain-Seconds-Left": "30"}).text) == {"connections": 1})  # a probe's may just have been opened
        fetch(url, b"", {"Drain-Seconds-Left": "1"})
        assert stream.read(4) == b"\x88\x02\x03\xe9", "a close frame: going away"
    wait_until(lambda: json.loads(fetch(url, b"").text) == {"connections": 0})


def test_a_service_account_may_what_its_role_says(namespace: Namespace) -> None:
    kubeconfig = namespace.kubeconfig("release", [READ_PODS])
    assert json.loads(namespace.kubectl("get", "pods", "-o", "json", kubeconfig=kubeconfig))["items"] == []
    with pytest.raises(KubectlFailed, match=f"system:serviceaccount:{namespace.name}:release.*cannot create.*configmaps"):
        namespace.kubectl("create", "configmap", "x", kubeconfig=kubeconfig)


def test_the_kubelet_says_what_containers_use(cluster: Cluster, namespace: Namespace) -> None:
    namespace.app("shop", GROWTH="1000000")
    metrics = cluster.kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/metrics/cadvisor")
    assert "container_memory_working_set_bytes" in metrics
    found = rf'container_memory_working_set_bytes{{container="app",.*namespace="{namespace.name}".*}} [1-9]'
    wait_until(lambda: re.search(found, cluster.kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/metrics/cadvisor")))


def test_a_token_of_its_own_reads_the_kubelet(cluster: Cluster, namespace: Namespace) -> None:
    namespace.kubeconfig("scraper", [READ_PODS])
    rules = [{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": namespace.name}, "rules": rules}
    namespace.apply(role)
    cluster.kubectl("create", "clusterrolebinding", namespace.name, f"--clusterrole={namespace.name}", f"--serviceaccount={namespace.name}:scraper")
    try:
        token = namespace.kubectl("create", "token", "scraper").strip()
        request = urllib.request.Request(f"https://{NODE_ADDRESS}:10250/metrics/cadvisor", headers={"Authorization": f"Bearer {token}"})
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the kubelet's certificate is its own
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            assert b"container_memory_working_set_bytes" in answer.read()
    finally:
        cluster.kubectl("delete", "clusterrolebinding,clusterrole", namespace.name)


def test_the_api_server_goes_away_freezes_and_comes_back(cluster: Cluster, namespace: Namespace) -> None:
    namespace.app("shop")
    url = namespace.service("shop", {"app": "shop"})
    wait_until(lambda: fetch(url).status == 200)
    with cluster.without("kube-apiserver"):
        with pytest.raises(KubectlFailed, match="refused"):
            namespace.kubectl("get", "pods")
        assert fetch(url).status == 200, "the data plane goes on"
    assert namespace.get("deployment", "shop")
    with cluster.without("kube-apiserver", frozen=True), pytest.raises(KubectlFailed):
        namespace.kubectl("get", "pods", "--request-timeout=1s")
    cluster.restart("kube-apiserver")
    assert namespace.get("deployment", "shop")


def test_a_second_session_shares_the_node(namespace: Namespace) -> None:
    """It finds the same one, is killed, and the node is still ours. The namespace keeps others from disturbing it meanwhile."""
    before = KUBECONFIG.read_text(), node.control("state")
    script = f"from {node.MODULE.rpartition('.')[0]} import node; import signal; node.use(); print('uses it', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "uses it\n"
        other.send_signal(signal.SIGKILL)
    assert (KUBECONFIG.read_text(), node.control("state")) == before
    assert namespace.get("serviceaccount", "default")


@pytest.mark.usefixtures("cluster")
def test_a_lasting_namespace_keeps_nobody_from_disturbing_the_node(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.namespace(tmp_path, lasting=True) as space, connect() as another:
        another.restart("kube-proxy")
        space.kubectl("get", "serviceaccount", "default")


def test_the_host_is_left_alone() -> None:
    """What the node does stays in its namespaces: no mount, no firewall rule, no bridge, one link."""
    assert "progressive-delivery-node" not in Path("/proc/self/mounts").read_text()
    assert "kube-proxy" not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "cni0" not in links and links.count("pdnode0") == 1


def test_what_is_left_of_a_node_is_no_hindrance_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes a namespace apart after its last process has ended; its end of the cable is there for so long."""
    link = "pdleft0"
    monkeypatch.setattr(node, "LINK", link)
    node.run("ip", "link", "add", link, "type", "veth", "peer", "name", "pdleft1")
    node._disconnect()
    assert not Path(f"/sys/class/net/{link}").exists()
    node._disconnect()


def test_the_end_of_a_node_is_not_told_to_the_next_one(tmp_path: Path) -> None:
    """A node that is started while the last one goes found its word, and took itself for ended."""
    folder = tmp_path / "state"
    folder.mkdir()
    ours = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    node._tell_ended(ours)
    assert [file.name for file in folder.iterdir()] == ["ended"]
    (folder / "ended").unlink()
    folder.rmdir()
    folder.mkdir()
    node._tell_ended(ours)
    assert list(folder.iterdir()) == []
    os.close(ours)
