# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole releases while the API server, or the way to it, misbehaves (rows X025 to X033 of tests/faults/README.md)."""

from __future__ import annotations

import json
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import kube as client
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_link import CONNECT_TIMEOUT
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import CONFIGMAPS, SERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Away, ConfigError, DeliveryError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.entry import holding
from ansible_collections.progressive.delivery.tests.cluster import layout, pki
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster, Namespace
from ansible_collections.progressive.delivery.tests.faults import kube_proxy as faults
from ansible_collections.progressive.delivery.tests.faults.kube_proxy import Exchange, KubeProxy, answered, every_other_write, when
from ansible_collections.progressive.delivery.tests.kubernetes.release_rig import Shop
from ansible_collections.progressive.delivery.tests.waiting import wait_until


@pytest.fixture
def proxy(namespace: Namespace) -> Iterator[KubeProxy]:
    with KubeProxy(namespace.cluster.kubeconfig) as found:
        yield found


@pytest.fixture
def shop(namespace: Namespace, proxy: KubeProxy) -> Iterator[Shop]:
    """A shop whose releases go through the proxy. Whatever was done to it there, the log must be that of a well-behaved client."""
    made = Shop(namespace, proxy.kubeconfig(namespace.folder))
    yield made
    made.kube.close()
    assert_well_behaved(proxy.log)


def assert_well_behaved(log: list[Exchange]) -> None:
    """No answer from a cache was asked for; and nobody wrote again what was refused without having looked first."""
    refused: set[str] = set()
    for entry in log:
        if "watch" not in entry.query:
            assert "resourceVersion" not in entry.query, entry
        if entry.method == "GET":
            refused.discard(entry.path)
        elif entry.writes:
            assert entry.path not in refused, f"{entry.path} was written again blindly"
        if entry.status == 409:
            refused.add(entry.path)


def test_a_conflict_at_every_first_write_is_looked_at_and_written_again(shop: Shop, proxy: KubeProxy) -> None:
    proxy.rules = [every_other_write(answered(409, "Conflict"))]
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    assert shop.color == "green" and shop.holds("green") == ("2", 1) and shop.holds("blue") == ("1", 0)
    spoiled = {entry.object for entry in proxy.seen(fault="409")}
    assert spoiled == {"pd-shop", "shop", "shop-green", "shop-blue"}


def test_a_busy_server_is_left_alone_for_as_long_as_it_says(shop: Shop, proxy: KubeProxy) -> None:
    numbers = iter(range(1_000_000))
    proxy.rules = [when(lambda entry: next(numbers) % 9 == 3, answered(429, "TooManyRequests", retry_after="1"), times=5)]
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    log = [entry for entry in proxy.log if "watch" not in entry.query]
    busy = [number for number, entry in enumerate(log) if entry.status == 429]
    assert len(busy) == 5
    assert all(log[number + 1].begun - log[number].ended >= 1 for number in busy)


def test_a_server_that_wants_to_be_left_alone_for_long_is_waited_for(shop: Shop, proxy: KubeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than one call may take: the step ends unfinished, and is begun anew after a look at the lease."""
    monkeypatch.setattr(client, "BUDGET", 1.0)
    proxy.rules = [when(lambda entry: entry.writes and entry.object == "shop", answered(429, "TooManyRequests", retry_after="3"), times=1)]
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    [spoiled] = proxy.seen(fault="429")
    later = proxy.log[proxy.log.index(spoiled) + 1 :]
    assert later[0].begun - spoiled.ended >= 3 and later[0].object == later[1].object == "pd-shop" and "leases" in later[0].path
    assert any("nothing moves: " in line and "asks to wait 3 s" in line for line in shop.said)


def test_a_third_of_all_requests_may_fail_or_lose_their_answer(shop: Shop, proxy: KubeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSES", (0.01, 0.1))
    chance = random.Random(27)
    kinds = [answered(500), answered(502), answered(503), answered(504), faults.cut_before, faults.cut_after]

    def rule(_entry: Exchange) -> Optional[faults.Fault]:
        return chance.choice(kinds) if chance.random() < 0.3 else None

    before = shop.of("green")["metadata"]["generation"]
    proxy.rules = [rule]
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    spoiled = [entry for entry in proxy.log if entry.fault]
    assert len({entry.fault for entry in spoiled}) == len(kinds) and len(proxy.log) <= 2 * (len(proxy.log) - len(spoiled))
    assert shop.color == "green" and shop.holds("green") == ("2", 1) and shop.holds("blue") == ("1", 0)
    assert shop.of("green")["metadata"]["generation"] == before + 1, "the deploy was done once"
    assert shop.holder == ""


def test_a_server_that_says_nothing_holds_no_call(shop: Shop, proxy: KubeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.READ_TIMEOUT <= 10 and CONNECT_TIMEOUT <= 10
    monkeypatch.setattr(client, "READ_TIMEOUT", 0.7)
    proxy.rules = [when(lambda entry: entry.object == "shop-green", faults.silent, times=1), when(lambda entry: entry.writes, faults.silent, times=1)]
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    assert len(proxy.seen(fault="silent")) == 2


def test_a_token_that_ends_all_the_time_is_renewed_each_time(namespace: Namespace, proxy: KubeProxy, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    script = tmp_path / "plugin"
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    token = json.loads(namespace.kubeconfig("release", rules).read_text())["users"][0]["user"]["token"]
    version = "client.authentication.k8s.io/v1"
    script.write_text(f"""#!/bin/sh
echo run >> {runs}
echo '{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {{"token": "{token}"}}}}'
""")
    script.chmod(0o700)
    path = proxy.kubeconfig(tmp_path)
    config = json.loads(path.read_text())
    config["users"] = [{"name": "u", "user": {"exec": {"apiVersion": version, "command": str(script), "interactiveMode": "Never"}}}]
    path.write_text(json.dumps(config))
    shop = Shop(namespace, path)
    numbers = iter(range(1_000_000))
    proxy.rules = [when(lambda entry: next(numbers) % 10 == 9, answered(401, "Unauthorized"))]
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    refused = proxy.seen(status=401)
    assert len(refused) >= 5 and len(runs.read_text().split()) >= len(refused)
    assert not any("401" in line for line in shop.said)


def test_an_authority_that_is_replaced_is_trusted_from_its_file(namespace: Namespace, tmp_path: Path) -> None:
    contexts: dict[str, ssl.SSLContext] = {}
    for name in ("old", "new"):
        authority = pki.Authority(tmp_path / name)
        authority.issue("server", "api", addresses=["127.0.0.1"])
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(tmp_path / name / "server.crt", tmp_path / name / "server.key")
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes((tmp_path / "old" / "ca.crt").read_bytes())
    with KubeProxy(namespace.cluster.kubeconfig, contexts["old"]) as proxy:
        kube = Kube.from_options({"kubeconfig": str(proxy.kubeconfig(tmp_path)), "ca_cert": str(trusted), "namespace": namespace.name})
        assert kube.get(SERVICES, "nothing") is None
        proxy.change_tls(contexts["new"])
        proxy.rules = [when(lambda entry: True, faults.cut_before, times=1)]
        with pytest.raises(Unavailable, match="certificate is not trusted") as caught:
            kube.get(SERVICES, "nothing")
        assert not isinstance(caught.value, Away), "waiting does not help"
        trusted.write_bytes((tmp_path / "new" / "ca.crt").read_bytes())
        assert kube.get(SERVICES, "nothing") is None


@pytest.mark.parametrize("group, said", [("/apis/coordination.k8s.io/", "does not serve leases.coordination.k8s.io in version v1"), ("/apis/apps/", "apps in")])
def test_an_api_that_is_not_there_is_found_out_before_anything_changes(shop: Shop, proxy: KubeProxy, group: str, said: str) -> None:
    proxy.rules = [when(lambda entry: entry.path.startswith(group), answered(404, "NotFound", "the server could not find the requested resource"))]
    with pytest.raises(ConfigError, match=said):
        shop.run("rollout", "2")
    assert proxy.writes == [] or all(entry.status == 404 for entry in proxy.writes)


def test_a_cluster_without_autoscalers_ships_all_the_same(shop: Shop, proxy: KubeProxy) -> None:
    missing = answered(404, "NotFound", "the server could not find the requested resource")
    proxy.rules = [when(lambda entry: entry.path.startswith(("/apis/autoscaling/", "/apis/policy/")), missing)]
    assert shop.run("rollout", "2")["outcome"] == "promoted"


# Admission


@contextmanager
def refused(space: Namespace, expression: str, said: str = "not on a Friday") -> Iterator[None]:
    """Admission refuses Services of the namespace for which the expression is false; in force from here on."""
    name, kind = f"deny-{space.name}", "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE", "CREATE"], "resources": ["services"]}
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space.name}}, "resourceRules": [rule]}
    space.apply(
        {"apiVersion": kind, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
         "spec": {"matchConstraints": where, "validations": [{"expression": f"object.metadata.name != 'canary-bird' && ({expression})", "message": said}]}},
        {"apiVersion": kind, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
         "spec": {"policyName": name, "validationActions": ["Deny"]}},
    )  # fmt: skip
    kube = Kube.from_options({"kubeconfig": str(space.cluster.kubeconfig), "namespace": space.name})

    def in_force() -> bool:
        try:
            kube.create(SERVICES, {"metadata": {"name": "canary-bird"}, "spec": {"ports": [{"port": 1}]}}, dry_run=True)
        except ConfigError:
            return True
        return False

    try:
        wait_until(in_force)
        yield
    finally:
        space.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", name)


def test_a_refused_switch_moves_nothing_and_says_why(namespace: Namespace) -> None:
    shop = Shop(namespace)
    begun = shop.begin("rollout", "2")
    with refused(namespace, "object.spec.selector.color == 'blue'"), shop.watched("blue") as states:
        done = shop.walk(begun)
    assert done["outcome"] == "rolled_back" and "not on a Friday" in done["reason"], done["reason"]
    assert shop.color == "blue" and shop.holds("green") == ("2", 0)
    assert {state["metadata"]["generation"] for state in states} == {states[0]["metadata"]["generation"]}, "stable was touched"


@pytest.mark.parametrize("color, way", [("green", "forward"), ("blue", "back")])
def test_what_admission_would_refuse_of_either_direction_is_refused_by_the_plan(namespace: Namespace, color: str, way: str) -> None:
    shop = Shop(namespace)
    with refused(namespace, f"object.spec.selector.color != '{color}'"), pytest.raises(ConfigError, match="not on a Friday") as caught:
        shop.planned("rollout", "2")
    assert ("the way back" in str(caught.value)) is (way == "back")


def test_a_webhook_that_does_not_answer_moves_nothing(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BUDGET", 1.0)
    shop = Shop(namespace)
    begun = shop.begin("rollout", "2")
    with socket.create_server((layout.HOST_ADDRESS, 0)) as nobody:
        hook = {
            "name": "slow.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1, "failurePolicy": "Fail",
            "clientConfig": {"url": f"https://{layout.HOST_ADDRESS}:{nobody.getsockname()[1]}/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]}],
            "matchConditions": [{"name": "green", "expression": "object.spec.selector.color == 'green'"}],
        }  # fmt: skip
        name = f"slow-{namespace.name}"
        namespace.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name},
                         "webhooks": [hook]})  # fmt: skip
        try:
            wait_until(lambda: slow(shop))
            done = shop.walk(begun)
        finally:
            namespace.kubectl("delete", "validatingwebhookconfiguration", name)
    assert done["outcome"] == "rolled_back" and "slow.example.com" in done["reason"] and "webhook" in done["reason"], done["reason"]
    assert shop.color == "blue"


def slow(shop: Shop) -> bool:
    """Whether the webhook is in the way by now."""
    try:
        shop.kube.patch(SERVICES, "shop", {"spec": {"selector": {"color": "green"}}}, dry_run=True)
    except Unavailable:
        return True
    return False


# Away altogether


def test_a_server_that_is_away_in_the_middle_of_a_release_is_waited_for(
    cluster: Cluster, namespace: Namespace, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At 50 % the API server is killed, for longer than the lease may go without a renewal: nothing moves, and the same run goes on."""
    shop = Shop(namespace, ratio=True, rollout_canary={"step_weights": [50, 100], "bake": "1s"})
    monkeypatch.setattr(client, "BUDGET", 1.0)
    begun = shop.begin("rollout", "2")
    shop.walk(begun, until="bake")
    ends: list[str] = []
    walking = threading.Thread(target=lambda: ends.append(shop.walk(begun)["outcome"]))
    with cluster.without("kube-apiserver"):
        walking.start()
        wait_until(lambda: any("nothing moves: " in line and "the API server does not answer" in line for line in shop.said), says=lambda: shop.said)
        assert not ends
    walking.join()
    assert ends == ["promoted"]
    assert shop.holds("blue") == ("2", 1) and shop.holds("green") == ("2", 0) and shop.holder == ""


def test_a_server_that_stays_away_ends_the_run_and_not_the_release(shop: Shop, proxy: KubeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BUDGET", 0.5)
    monkeypatch.setattr(holding, "HOLD", 2.0)
    begun = shop.begin("rollout", "2")
    proxy.rules = [when(lambda entry: True, faults.cut_before)]
    with pytest.raises(Away, match="the API server does not answer"):
        shop.walk(begun)
    assert shop.color == "blue" and shop.record.outcome is None
    proxy.rules = []
    assert shop.run("resume")["outcome"] == "promoted"


def test_a_release_in_a_namespace_that_ends_says_so(shop: Shop, namespace: Namespace) -> None:
    begun = shop.begin("rollout", "2")
    namespace.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stays", "finalizers": ["example.com/not-yet"]}})
    namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")
    try:
        wait_until(lambda: shop.kube.get(CONFIGMAPS, "pd-shop") is None)
        with pytest.raises(DeliveryError, match="record of this release is gone|lease of this run .* is gone|being terminated"):
            shop.walk(begun)
        with pytest.raises(ConfigError, match="being terminated|there is no (Deployment|Service) "):
            shop.run("rollout", "2")
    finally:
        namespace.kubectl("patch", "configmap", "stays", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
