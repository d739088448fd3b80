# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes cluster for tests: the node of this machine, or the one that PROGRESSIVE_DELIVERY_KUBECONFIG names.

A suite takes the fixtures into its conftest: ``cluster = cluster_module.cluster`` and ``namespace = cluster_module.namespace``.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.progressive.delivery.tests.cluster import components, images, node, pki
from ansible_collections.progressive.delivery.tests.cluster.build import build
from ansible_collections.progressive.delivery.tests.cluster.layout import KUBECONFIG

OTHER = "PROGRESSIVE_DELIVERY_KUBECONFIG"
TURN = Path("/run/lock/progressive-delivery-node.turn")
"""Held, shared, by each test with a namespace; exclusively by one that disturbs the node."""
DOOR = TURN.with_suffix(".door")
"""Passed on the way to a turn, and shut by one that waits to be alone: else those who come after would keep it waiting for ever."""
PORT = 8080
"""Of the test app."""
LONGEST = 600.0
"""Seconds that one call of kubectl may take, one that waits among them, on a machine that runs other tests beside it."""
Manifest = Mapping[str, Any]


class KubectlFailed(AssertionError):
    """kubectl ended with an error; the text is its own."""


class Cluster:
    """What one cluster administrator can do. ``kubeconfig`` is theirs."""

    def __init__(self, kubeconfig: Path, kubectl: str, *, ours: bool) -> None:
        self.kubeconfig = kubeconfig
        self.kubectl_path = kubectl
        self.kubectl_cache = kubeconfig.parent / "kubectl-cache"
        """What kubectl remembers of the server's kinds goes with the server: another node at the same address may have others."""
        self._turn, self._door = (os.open(file, os.O_RDWR | os.O_CREAT, 0o600) if ours else None for file in (TURN, DOOR))
        self._users = 0
        """Namespaces of this process, which share one turn."""

    def kubectl(self, *words: str, stdin: str = "", kubeconfig: Optional[Path] = None, seconds: float = LONGEST) -> str:
        """Run kubectl and return what it prints. Raises KubectlFailed."""
        done = subprocess.run([self.kubectl_path, *words], input=stdin, capture_output=True, text=True, timeout=seconds, check=False,
                              env=self.environment(kubeconfig))  # fmt: skip
        if done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def environment(self, kubeconfig: Optional[Path] = None) -> dict[str, str]:
        """The environment of a program that calls kubectl, ours first on its PATH."""
        path = f"{Path(self.kubectl_path).parent}:{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig or self.kubeconfig), "KUBECACHEDIR": str(self.kubectl_cache)}

    @contextmanager
    def namespace(self, folder: Path, prefix: str = "test", *, lasting: bool = False) -> Iterator[Namespace]:
        """A namespace with a name of its own, removed afterwards. Kubeconfigs for it are written to ``folder``.

        As long as one is open nobody disturbs the node; but for a ``lasting`` one, which many tests share: else they could never.
        """
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        with ExitStack() as turn:
            turn.enter_context(self.undisturbed())
            self.kubectl("create", "namespace", name)
            try:
                self.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", name, "--timeout=240s")  # or Pods are refused
                if lasting:
                    turn.close()
                yield Namespace(self, name, folder)
            finally:
                with self.undisturbed():
                    self.kubectl("delete", "namespace", name, "--wait=false")

    @contextmanager
    def without(self, program: str = "kube-apiserver", *, frozen: bool = False) -> Iterator[None]:
        """Have a program of the node killed, or only stopped in its tracks, and back at the end. No other test runs meanwhile."""
        begin, end = (signal.SIGSTOP, signal.SIGCONT) if frozen else (signal.SIGKILL, signal.SIGKILL)
        with self._alone():
            node.control("signal", name=program, signal=int(begin))
            try:
                if not frozen:
                    node.wait(lambda: node.control("state")[program] is None, f"the end of {program}")
                yield
            finally:
                if frozen:
                    node.control("signal", name=program, signal=int(end))
                else:
                    node.control("start", name=program)
                node.wait(components.api_is_ready, "the API server")

    def restart(self, program: str = "kube-apiserver") -> None:
        """Kill a program of the node and start it again; the API server answers when this returns."""
        with self.without(program):
            pass

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """No program of the node is killed or stopped meanwhile; what has a namespace open has this already."""
        if self._turn is not None and self._door is not None and not self._users:
            fcntl.flock(self._door, fcntl.LOCK_SH)
            fcntl.flock(self._turn, fcntl.LOCK_SH)
            fcntl.flock(self._door, fcntl.LOCK_UN)
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._turn is not None and not self._users:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        assert self._turn is not None and self._door is not None, f"only the node of the tests can be disturbed, not the cluster of {OTHER}"
        fcntl.flock(self._turn, fcntl.LOCK_UN)  # whoever is before us at the door waits for it
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_SH if self._users else fcntl.LOCK_UN)


@dataclass(frozen=True)
class Namespace:
    """One namespace, and what a test does in it."""

    cluster: Cluster
    name: str
    folder: Path

    def kubectl(self, *words: str, stdin: str = "", kubeconfig: Optional[Path] = None) -> str:
        return self.cluster.kubectl("--namespace", self.name, *words, stdin=stdin, kubeconfig=kubeconfig)

    def apply(self, *manifests: Manifest | str) -> None:
        """Apply manifests, each an object or a text of YAML documents."""
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(one if isinstance(one, str) else json.dumps(one) for one in manifests))

    def get(self, kind: str, name: str) -> Optional[dict[str, Any]]:
        """The object, or None."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        found: Optional[dict[str, Any]] = json.loads(text) if text else None
        return found

    def list(self, kind: str, labels: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "--selector", labels, "-o", "json"))["items"]
        return found

    def app(self, name: str, version: str = "1", replicas: int = 1, labels: Optional[Mapping[str, str]] = None, **environment: str) -> None:
        """Apply a Deployment of the test app, and wait until it is available."""
        self.apply(deployment(name, version, replicas, labels, **environment))
        self.available(name)

    def available(self, name: str, seconds: int = 240) -> None:
        """Wait until the Deployment's rollout is over."""
        self.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={seconds}s")

    def service(self, name: str, selector: Mapping[str, str]) -> str:
        """Apply a Service of the test app's port, and return its URL, which answers from the host."""
        self.apply(service(name, selector))
        found = self.get("service", name)
        assert found
        return f"http://{found['spec']['clusterIP']}"

    def kubeconfig(self, account: str, rules: Iterable[Mapping[str, Any]]) -> Path:
        """A kubeconfig of a ServiceAccount that may do what ``rules``, a Role's, allow, and nothing else. The token is good for two hours."""
        self.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": account}, "rules": list(rules)},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": account},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": self.name}],
            },
        )
        token = self.kubectl("create", "token", account, "--duration=2h").strip()
        view = json.loads(self.cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        how = view["clusters"][0]["cluster"]
        server = how.pop("server")
        return pki.kubeconfig(self.folder / f"{account}.kubeconfig", server, how, {"token": token}, self.name)


def deployment(name: str, version: str = "1", replicas: int = 1, labels: Optional[Mapping[str, str]] = None, **environment: str) -> dict[str, Any]:
    """A Deployment of the test app. ``labels`` are the Pods', besides ``app: <name>``; ``environment`` turns the app's knobs."""
    pods = {"app": name, **(labels or {})}
    container = {
        "name": "app",
        "image": f"{images.REGISTRY}/app:{version}",
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 30},  # a busy machine makes none unready
    }
    template = {"metadata": {"labels": pods}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 10}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def service(name: str, selector: Mapping[str, str]) -> dict[str, Any]:
    """A Service of the test app, on port 80."""
    spec = {"selector": dict(selector), "ports": [{"name": "http", "port": 80, "targetPort": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True)
class Answer:
    """Of an HTTP server. ``status`` 0: it gave none."""

    status: int
    headers: Mapping[str, str]
    text: str


def fetch(url: str, data: Optional[bytes] = None, headers: Optional[Mapping[str, str]] = None, seconds: float = 30) -> Answer:
    """One request on a new connection: GET, or POST of ``data``."""
    request = urllib.request.Request(url, data, dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read().decode())
    except OSError as error:
        return Answer(0, {}, str(error))


@contextmanager
def connect() -> Iterator[Cluster]:
    """The cluster, there for as long as this lasts. Raises node.NodeError or build.Unbuildable for one that cannot be had."""
    other = os.environ.get(OTHER)
    if other:
        kubectl = shutil.which("kubectl")
        assert kubectl, f"{OTHER} is set and there is no kubectl on PATH"
        yield Cluster(Path(other), kubectl, ours=False)
        return
    users = node.use()
    try:
        yield Cluster(KUBECONFIG, str(build().bin / "kubectl"), ours=True)
    finally:
        node.leave(users)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with connect() as found:
        yield found


@pytest.fixture
def namespace(cluster: Cluster, tmp_path: Path) -> Iterator[Namespace]:
    with cluster.namespace(tmp_path) as found:
        yield found
