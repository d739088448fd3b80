# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes client and store against a real API server. What both it and the fake of the unit tests must do runs against both."""

from __future__ import annotations

import itertools
import json
import sys
import threading

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients import kube as module
from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import Forbidden, NoSuchResource
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    LEASES,
    NODES,
    PODS,
    SERVICES,
    Resource,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core import lease
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.stores.kubernetes import MAX_BYTES, KubernetesStore
from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube
from ansible_collections.progressive.delivery.tests.waiting import wait_until

NOT_THERE = Resource("not.example.com", "v1", "things", "Thing")


@pytest.fixture
def real(namespace):
    """A client of the whole cluster's administrator, in a namespace of its own."""
    kube = Kube.from_options({"kubeconfig": str(namespace.cluster.kubeconfig), "namespace": namespace.name})
    yield kube
    kube.close()


@pytest.fixture(params=["real", "fake"])
def kube(request):
    return request.getfixturevalue("real") if request.param == "real" else FakeKube(absent=(NOT_THERE,))


def deployment(replicas=0):
    """A Deployment without Pods, so that no controller has much to say about it."""
    made = fixtures.deployment("shop", "1", replicas)
    made["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "registry.test/app:1", "env": [{"name": "A", "value": "1"}]})
    return made


def config_map(name="a", labels=None, **values):
    return {"metadata": {"name": name, "labels": labels or {}}, "data": values}


# The same on the real server and on the fake


def test_create_get_replace_delete(kube):
    assert kube.get(CONFIGMAPS, "a") is None
    made = kube.create(CONFIGMAPS, config_map(n="1"))
    assert (made["apiVersion"], made["kind"], made["metadata"]["namespace"]) == ("v1", "ConfigMap", kube.namespace)
    with pytest.raises(Conflict, match="already exists"):
        kube.create(CONFIGMAPS, config_map(n="2"))
    made["data"]["n"] = "2"
    swapped = kube.replace(CONFIGMAPS, made)
    assert swapped["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    with pytest.raises(Conflict, match="somebody else changed it meanwhile"):
        kube.replace(CONFIGMAPS, {**made, "data": {"n": "3"}})
    assert kube.get(CONFIGMAPS, "a")["data"] == {"n": "2"}
    assert kube.replace(CONFIGMAPS, swapped)["metadata"]["resourceVersion"] == swapped["metadata"]["resourceVersion"]  # no change, no version
    assert kube.delete(CONFIGMAPS, "a") is True
    assert kube.delete(CONFIGMAPS, "a") is False
    with pytest.raises(Conflict, match="deleted meanwhile"):
        kube.replace(CONFIGMAPS, made)
    with pytest.raises(ConfigError, match="there is no ConfigMap"):
        kube.patch(CONFIGMAPS, "a", {})


def test_a_dry_run_changes_nothing(kube):
    assert kube.create(CONFIGMAPS, config_map(n="1"), dry_run=True)["data"] == {"n": "1"}
    assert kube.get(CONFIGMAPS, "a") is None
    made = kube.create(CONFIGMAPS, config_map(n="1"))
    assert kube.patch(CONFIGMAPS, "a", {"data": {"n": "2"}}, dry_run=True)["data"] == {"n": "2"}
    assert kube.replace(CONFIGMAPS, {**made, "data": {"n": "2"}}, dry_run=True)["data"] == {"n": "2"}
    assert kube.get(CONFIGMAPS, "a")["data"] == {"n": "1"}


def test_patches(kube):
    version = kube.create(DEPLOYMENTS, deployment())["metadata"]["resourceVersion"]
    env = [{"name": "B", "value": "2"}]
    spec = {"template": {"spec": {"containers": [{"name": "side", "env": env, "image": "registry.test/app:2"}]}}}

    def compared():
        """The patch, if nobody wrote the object between our look and it: its controller does, as it likes."""
        seen = kube.get(DEPLOYMENTS, "shop")["metadata"]["resourceVersion"]
        try:
            return kube.patch(DEPLOYMENTS, "shop", {"metadata": {"resourceVersion": seen}, "spec": spec}, how="strategic")
        except Conflict:
            return None

    found = wait_until(compared)
    containers = {container["name"]: container for container in found["spec"]["template"]["spec"]["containers"]}
    assert containers["app"]["image"] == "registry.test/app:1"
    assert containers["side"]["image"] == "registry.test/app:2"
    assert {item["name"]: item["value"] for item in containers["side"]["env"]} == {"A": "1", "B": "2"}
    assert found["metadata"]["generation"] == 2
    for how in ("strategic", "merge"):
        with pytest.raises(Conflict):
            kube.patch(DEPLOYMENTS, "shop", {"metadata": {"resourceVersion": version}, "spec": {"paused": True}}, how=how)
    kube.patch(DEPLOYMENTS, "shop", {"metadata": {"annotations": {"a": "1", "b": "2"}}})
    found = kube.patch(DEPLOYMENTS, "shop", {"metadata": {"annotations": {"a": None}}})
    assert found["metadata"]["annotations"].get("a") is None and found["metadata"]["annotations"]["b"] == "2"
    assert found["metadata"]["generation"] == 4  # a Deployment's annotations count, too
    steps = [{"op": "test", "path": "/spec/paused", "value": True}, {"op": "replace", "path": "/spec/minReadySeconds", "value": 1}]
    with pytest.raises(ConfigError):
        kube.patch(DEPLOYMENTS, "shop", steps, how="json")
    found = kube.patch(DEPLOYMENTS, "shop", [{"op": "add", "path": "/metadata/annotations/x~1y", "value": "3"}], how="json")
    assert found["metadata"]["annotations"]["x/y"] == "3"
    drop = {"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}
    found = kube.patch(DEPLOYMENTS, "shop", drop, how="strategic")
    assert [container["name"] for container in found["spec"]["template"]["spec"]["containers"]] == ["app"]


def test_a_services_ports_are_told_apart_by_port(kube):
    kube.create(SERVICES, fixtures.service("shop", {"app": "shop", "track": "stable"}))
    found = kube.patch(SERVICES, "shop", {"spec": {"ports": [{"port": 81, "name": "more"}], "selector": {"track": "canary"}}}, how="strategic")
    assert sorted(port["port"] for port in found["spec"]["ports"]) == [80, 81]
    assert found["spec"]["selector"] == {"app": "shop", "track": "canary"}


@pytest.mark.parametrize(
    "labels, names",
    [
        ("", ["a", "b", "c"]), ("app=shop", ["a", "b"]), ("app==shop,track!=canary", ["a"]), ("app", ["a", "b"]), ("!app", ["c"]),
        ("track in (canary, stable),app=shop", ["a", "b"]), ("track notin (canary)", ["a", "c"]), ("app=no", []),
    ],
)  # fmt: skip
def test_selectors(kube, labels, names):
    for name, own in (("a", {"app": "shop", "track": "stable"}), ("b", {"app": "shop", "track": "canary"}), ("c", {})):
        kube.create(CONFIGMAPS, config_map(name, own))
    found = [item for item in kube.list(CONFIGMAPS, labels=labels) if item["metadata"]["name"] != "kube-root-ca.crt"]
    assert [item["metadata"]["name"] for item in found] == names
    assert all(item["kind"] == "ConfigMap" and item["apiVersion"] == "v1" for item in found)
    assert [item["metadata"]["name"] for item in kube.list(CONFIGMAPS, fields="metadata.name=b")] == ["b"]


def test_an_api_that_is_not_there(kube):
    for ask in (lambda: kube.get(NOT_THERE, "a"), lambda: kube.list(NOT_THERE), lambda: kube.create(NOT_THERE, {"metadata": {"name": "a"}})):
        with pytest.raises(NoSuchResource, match="does not serve things.not.example.com in version v1"):
            ask()


# On the real server alone


def test_refusals_of_the_real_server(real, namespace):
    with pytest.raises(ConfigError, match="there is no namespace nowhere-at-all"):
        real.create(CONFIGMAPS, config_map(), "nowhere-at-all")
    with pytest.raises(ConfigError, match=r"create Deployment .*/shop was refused \(422\): .*spec.replicas"):
        real.create(DEPLOYMENTS, deployment(-1))
    real.create(SERVICES, fixtures.service("shop", {"app": "shop"}))
    with pytest.raises(ConfigError, match="Invalid value: json: cannot unmarshal number") as caught:
        real.patch(SERVICES, "shop", {"spec": {"ports": 3}})
    assert "resourceVersion" not in str(caught.value)
    with pytest.raises(Unavailable, match=r"does not accept the token \(401\)"):
        Kube.from_options({"kubeconfig": _as(namespace, {"token": "not-a-token"})}).get(CONFIGMAPS, "a")


def test_what_an_account_may_not_do_names_the_missing_rule(namespace):
    path = namespace.kubeconfig("release", [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}])
    kube = Kube.from_options({"kubeconfig": str(path)})
    assert kube.get(DEPLOYMENTS, "shop") is None
    assert kube.allowed(DEPLOYMENTS, "get") and not kube.allowed(DEPLOYMENTS, "patch") and not kube.allowed(NODES, "list")
    who = f"system:serviceaccount:{namespace.name}:release"
    with pytest.raises(Forbidden, match=f"may not patch deployments.apps in {namespace.name} as {who}"):
        kube.patch(DEPLOYMENTS, "shop", {})
    with pytest.raises(Forbidden, match=f"may not list nodes as {who}"):
        kube.list(NODES)
    with pytest.raises(Forbidden, match="may not watch deployments.apps"):
        list(kube.watch(DEPLOYMENTS, "shop", "", 1))
    with pytest.raises(Forbidden, match=r"may not get things.not.example.com"):
        kube.get(NOT_THERE, "a")


def _as(namespace, user, **context):
    """A kubeconfig, as a mapping, of the test's cluster and another user."""
    view = json.loads(namespace.cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    view["users"][0]["user"] = user
    view["contexts"][0]["context"].update({"namespace": namespace.name, **context})
    return view


def test_ways_to_log_in(namespace, tmp_path):
    """A token in a file that is replaced, an exec plugin, impersonation, YAML in place of JSON."""
    path = namespace.kubeconfig("release", [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}])
    token = json.loads(path.read_text())["users"][0]["user"]["token"]
    file = tmp_path / "token"
    file.write_text("old")
    kube = Kube.from_options({"kubeconfig": _as(namespace, {"tokenFile": str(file)})})
    with pytest.raises(Unavailable):
        kube.list(CONFIGMAPS)
    file.write_text(token)
    assert kube.list(CONFIGMAPS)
    version = "client.authentication.k8s.io/v1"
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": token}})
    plugin = {"apiVersion": version, "command": sys.executable, "args": ["-c", f"print({answer!r})"], "interactiveMode": "Never"}
    text = tmp_path / "config.yaml"
    text.write_text(yaml.safe_dump(_as(namespace, {"exec": plugin})))
    assert Kube.from_options({"kubeconfig": str(text)}).list(CONFIGMAPS)
    other = Kube.from_options({"kubeconfig": str(namespace.cluster.kubeconfig), "impersonate_user": "anna", "impersonate_groups": ["x", "system:masters"]})
    assert other.list(NODES)


def test_a_watch_sees_a_change_at_once(real):
    made = real.create(CONFIGMAPS, config_map(n="1"))
    writer = threading.Timer(0.3, lambda: Kube(real._login).patch(CONFIGMAPS, "a", {"data": {"n": "2"}}))
    writer.start()
    seen = next(iter(real.watch(CONFIGMAPS, "a", made["metadata"]["resourceVersion"], 240)))
    writer.join()
    assert seen["data"] == {"n": "2"}
    real.delete(CONFIGMAPS, "a")
    events = itertools.islice(real.watch(CONFIGMAPS, "a", made["metadata"]["resourceVersion"], 240), 2)
    assert [event["data"]["n"] for event in events] == ["2", "2"]  # changed, deleted
    assert list(real.watch(CONFIGMAPS, "b", made["metadata"]["resourceVersion"], 1)) == []


def test_pages(real, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 2)
    for number in range(5):
        real.create(CONFIGMAPS, config_map(f"p{number}", {"page": "yes"}))
    assert [item["metadata"]["name"] for item in real.list(CONFIGMAPS, labels="page=yes")] == [f"p{number}" for number in range(5)]


def test_logs_and_pods_behind_the_proxy(real, namespace):
    namespace.app("shop", "2")
    [pod] = real.list(PODS, labels="app=shop")
    path = f"/api/v1/namespaces/{namespace.name}/pods/{pod['metadata']['name']}"
    assert real.raw("GET", f"{path}:8080/proxy/health").status == 200
    assert real.raw("GET", f"{path}/log", query={"tailLines": "5"}).status == 200
    assert real.raw("GET", f"{path}-no/log").status == 404


def test_a_restart_of_the_server_is_waited_for(cluster, real, monkeypatch):
    monkeypatch.setattr(module, "BUDGET", 240.0)  # a busy machine takes long to start it
    monkeypatch.setattr(module, "TRIES", 1000)
    made = real.create(CONFIGMAPS, config_map(n="1"))
    back = threading.Thread(target=cluster.restart)
    back.start()
    try:
        for number in range(20):
            try:
                made = real.replace(CONFIGMAPS, {**made, "data": {"n": str(number)}})
            except Conflict:  # it was done when the server went, and its answer was lost: the second try meets our own write, as Session.save_record knows
                made = real.get(CONFIGMAPS, "a")
            assert made["data"] == {"n": str(number)}
    finally:
        back.join()


def test_a_release_of_the_lease_with_a_role_of_its_own(namespace):
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "update"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]
    kube = Kube.from_options({"kubeconfig": str(namespace.kubeconfig("release", rules))})
    store, clock = KubernetesStore("shop", kube), SystemClock()
    held = lease.acquire(store, clock, "run-1", who="anna", release="r1")
    session = lease.Session(store, clock, "run-1", held.fence)
    session.stretch(900, "deploy")
    found = namespace.get("lease", "pd-shop")
    assert (found["spec"]["holderIdentity"], found["spec"]["leaseDurationSeconds"], found["spec"]["leaseTransitions"]) == ("anna run-1", 900, 1)
    assert found["spec"]["renewTime"].startswith(lease.read(store).renewed[:-1])
    session.save_record({"n": 1})
    with pytest.raises(lease.Busy):
        lease.acquire(store, clock, "run-2", who="bert")
    session.release()
    assert "holderIdentity" not in namespace.get("lease", "pd-shop")["spec"]
    assert lease.acquire(store, clock, "run-2", who="bert").fence == 2
    assert [
        field["manager"]
        for field in json.loads(namespace.kubectl("get", "lease", "pd-shop", "-o", "json", "--show-managed-fields"))["metadata"]["managedFields"]
    ] == [module.MANAGER]


@pytest.mark.parametrize("key", ["record", "lease"])
def test_the_largest_document_fits(real, key):
    value = {"text": "x" * (MAX_BYTES - 20)}
    store = KubernetesStore("shop", real)
    token = store.save(key, value, None)
    assert store.load(key).value == value
    store.save(key, value, token)
    assert (real.get(LEASES if key == "lease" else CONFIGMAPS, "pd-shop") or {})["metadata"]["labels"] == {"app.kubernetes.io/managed-by": module.MANAGER}
