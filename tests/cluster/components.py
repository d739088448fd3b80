# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the node: their settings, and the order in which they start."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from collections.abc import Callable
from typing import Any

from ansible_collections.progressive.delivery.tests.cluster import images, pki
from ansible_collections.progressive.delivery.tests.cluster.build import Built
from ansible_collections.progressive.delivery.tests.cluster.layout import (
    API_SERVICE_ADDRESS,
    BRIDGE_ADDRESS,
    CGROUP,
    CNI,
    KUBECONFIG,
    NODE_ADDRESS,
    NODE_NAME,
    PODS,
    SERVER,
    SERVICES,
    STATE,
)

SOCKET = "/run/containerd/containerd.sock"  # where cAdvisor looks, too
"""As the node sees it; from the host it is below STATE."""
ETCD = "http://127.0.0.1:2379"
PKI = STATE / "pki"
CONTAINERD = f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{images.PAUSE}"
restrict_oom_score_adj = true  # or no sandbox starts where CAP_SYS_RESOURCE is missing
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI}"
conf_dir = "{STATE}/cni"
"""
BRIDGE = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS, "gateway": BRIDGE_ADDRESS}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }],
}  # fmt: skip
KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{PKI}/ca.crt"}},
    "authorization": {"mode": "Webhook"},
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{CGROUP}",
    "containerRuntimeEndpoint": f"unix://{SOCKET}",
    "eventRecordQPS": 0,
    "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "failSwapOn": False,
    "imageGCHighThresholdPercent": 100,  # the images have no registry to come back from
    "kubeAPIQPS": 200,
    "kubeAPIBurst": 400,
    "localStorageCapacityIsolation": False,
    "maxPods": 250,
    "protectKernelDefaults": True,  # see SYSCTLS in init.py
    "registerWithTaints": [],
    "resolvConf": "",
    "serializeImagePulls": False,
}
PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "nftables",
    "clientConnection": {"kubeconfig": str(KUBECONFIG)},
    "clusterCIDR": PODS,
    "conntrack": {"maxPerCore": 0},  # a setting of the whole machine
    "hostnameOverride": NODE_NAME,
}
APISERVER = {
    "advertise-address": NODE_ADDRESS,
    "allow-privileged": "true",
    "authorization-mode": "Node,RBAC",
    "client-ca-file": f"{PKI}/ca.crt",
    "etcd-servers": ETCD,
    "kubelet-client-certificate": f"{PKI}/apiserver.crt",
    "kubelet-client-key": f"{PKI}/apiserver.key",
    "kubelet-preferred-address-types": "InternalIP",
    "service-account-issuer": "https://kubernetes.default.svc",
    "service-account-key-file": f"{PKI}/sa.pub",
    "service-account-signing-key-file": f"{PKI}/sa.key",
    "service-cluster-ip-range": SERVICES,
    "tls-cert-file": f"{PKI}/apiserver.crt",
    "tls-private-key-file": f"{PKI}/apiserver.key",
}

Control = Callable[..., dict[str, Any]]
Wait = Callable[[Callable[[], bool], str], None]


def start(built: Built, control: Control, wait: Wait) -> None:
    """Start all of them, in the namespaces that ``control`` leads into, and return when the node is ready for Pods."""

    def up(program: str, *words: str, **flags: str) -> None:
        control("start", name=program, argv=[program, *words, *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())])

    _write_files()
    kubeconfig, faster = str(KUBECONFIG), {"kube_api_qps": "200", "kube_api_burst": "400"}
    up("containerd", "--config", f"{STATE}/containerd.toml")
    up("etcd", "--unsafe-no-fsync", data_dir="/var/lib/etcd", listen_client_urls=ETCD, advertise_client_urls=ETCD, log_level="warn")
    up("kube-apiserver", **{name.replace("-", "_"): value for name, value in APISERVER.items()})
    wait((STATE / SOCKET.lstrip("/")).exists, "containerd")
    load_images(built)
    wait(api_is_ready, "the API server")
    up("kube-controller-manager", kubeconfig=kubeconfig, leader_elect="false", root_ca_file=f"{PKI}/ca.crt", **faster,
       service_account_private_key_file=f"{PKI}/sa.key", horizontal_pod_autoscaler_sync_period="5s")  # fmt: skip
    up("kube-scheduler", kubeconfig=kubeconfig, leader_elect="false", **faster)
    up("kubelet", config=f"{STATE}/kubelet.json", kubeconfig=f"{STATE}/kubelet.kubeconfig", hostname_override=NODE_NAME, node_ip=NODE_ADDRESS)
    up("kube-proxy", config=f"{STATE}/proxy.json")
    wait(_takes_pods, "the node's readiness")


def load_images(built: Built) -> None:
    """Have the test images in the node; where they changed since, the present ones. Pods that run keep what they have."""
    loaded = STATE / "images"
    if not loaded.exists() or loaded.read_text(encoding="utf-8") != str(built.images):
        command = ["ctr", "-a", str(STATE / SOCKET.lstrip("/")), "-n", "k8s.io", "images", "import", str(built.images)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        loaded.write_text(str(built.images), encoding="utf-8")


def _write_files() -> None:
    authority = pki.Authority(PKI)
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    authority.issue("apiserver", "kube-apiserver", "system:masters", addresses=["127.0.0.1", NODE_ADDRESS, API_SERVICE_ADDRESS], hosts=names)
    authority.issue("admin", "admin", "system:masters")
    authority.issue("kubelet", f"system:node:{NODE_NAME}", "system:nodes")
    pki.service_account_keys(PKI)
    for user, path in (("admin", KUBECONFIG), ("kubelet", STATE / "kubelet.kubeconfig")):
        who = {"client-certificate": f"{PKI}/{user}.crt", "client-key": f"{PKI}/{user}.key"}
        pki.kubeconfig(path, SERVER, {"certificate-authority": f"{PKI}/ca.crt"}, who)
    (STATE / "containerd.toml").write_text(CONTAINERD, encoding="utf-8")
    (STATE / "cni").mkdir()
    for file, content in (("cni/10-pods.conflist", BRIDGE), ("kubelet.json", KUBELET), ("proxy.json", PROXY)):
        (STATE / file).write_text(json.dumps(content, indent=1), encoding="utf-8")


def api_is_ready() -> bool:
    """Whether the API server says so itself."""
    return _get("/readyz") == "ok"


def _takes_pods() -> bool:
    """Whether the node is ready, and Pods can be made: they need their namespace's service account."""
    node = json.loads(_get(f"/api/v1/nodes/{NODE_NAME}") or "{}")
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in node.get("status", {}).get("conditions", []))
    return ready and not node["spec"].get("taints") and bool(_get("/api/v1/namespaces/default/serviceaccounts/default"))


def _get(path: str) -> str:
    """What the API server answers to the administrator; "" for anything but 200."""
    trust = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    trust.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
    try:
        with urllib.request.urlopen(f"{SERVER}{path}", timeout=5, context=trust) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""
