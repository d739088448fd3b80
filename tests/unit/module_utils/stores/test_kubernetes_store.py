# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes store: which objects it makes, what it leaves alone in them, and what it refuses."""

from __future__ import annotations

import json

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import Forbidden
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import CONFIGMAPS, LEASES
from ansible_collections.progressive.delivery.plugins.module_utils.core import lease
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.stores.kubernetes import MAX_BYTES, KubernetesStore
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube


@pytest.fixture
def kube():
    return FakeKube()


@pytest.fixture
def store(kube):
    return KubernetesStore("shop", kube)


def test_the_objects_and_what_is_in_them(kube, store):
    token = store.save("record", {"n": 1}, None)
    store.save("gates", {"n": 2}, None)
    assert {key[0] + " " + key[2] for key in kube.objects} == {"configmaps pd-shop", "configmaps pd-shop-gates"}
    record = kube.get(CONFIGMAPS, "pd-shop")
    assert record["data"] == {"data.json": '{"n":1}'}
    assert record["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "progressive.delivery"}
    notes = record["metadata"]["annotations"]
    assert (notes["progressive.delivery/document"], notes["progressive.delivery/schema"]) == ("shop/record", "1")
    assert token == record["metadata"]["resourceVersion"]


def test_the_lease_is_a_lease_for_people_too(kube, store):
    clock = FakeClock(epoch=1_800_000_000.25)
    held = lease.acquire(store, clock, "run-1", who="anna", release="r1")
    found = kube.get(LEASES, "pd-shop")
    assert found["spec"] == {
        "holderIdentity": "anna run-1", "leaseDurationSeconds": 90, "renewTime": "2027-01-15T08:00:00.250000Z", "leaseTransitions": held.fence,
    }  # fmt: skip
    session = lease.Session(store, clock, "run-1", held.fence)
    session.stretch(900, "deploy")
    assert kube.get(LEASES, "pd-shop")["spec"]["leaseDurationSeconds"] == 900
    session.release()
    assert kube.get(LEASES, "pd-shop")["spec"]["holderIdentity"] is None
    assert lease.read(store).fence == held.fence
    kube.edit(LEASES, "pd-shop", lambda body: body["spec"].update(holderIdentity="mallory", leaseDurationSeconds=1))
    assert lease.read(store).holder == ""  # the annotation counts, and nothing else


def test_what_others_put_there_stays(kube, store):
    token = store.save("record", {"n": 1}, None)
    token = kube.edit(
        CONFIGMAPS, "pd-shop", lambda body: (body["metadata"]["labels"].update(team="shop"), body["metadata"].update(ownerReferences=[{"uid": "u"}]))
    )["metadata"]["resourceVersion"]
    store.save("record", {"n": 2}, token)
    meta = kube.get(CONFIGMAPS, "pd-shop")["metadata"]
    assert (meta["labels"]["team"], meta["ownerReferences"]) == ("shop", [{"uid": "u"}])


def test_a_save_whose_answer_was_lost_is_known_again(kube, store):
    """The first try took effect, its answer did not come, and the client tried again."""
    real = {"create": kube.create, "replace": kube.replace}

    def twice(name):
        def act(*args, **more):
            real[name](*args, **more)
            return real[name](*args, **more)

        return act

    kube.create, kube.replace = twice("create"), twice("replace")
    token = store.save("record", {"n": 1}, None)
    assert store.load("record").token == token
    token = store.save("record", {"n": 2}, token)
    assert (store.load("record").token, store.load("record").value) == (token, {"n": 2})


def test_of_two_writers_the_slower_loses(kube, store):
    token = store.save("record", {"n": 1}, None)

    def meddle(verb, resource, name):
        if verb == "update":
            kube.before = lambda *_rest: None
            KubernetesStore("shop", kube).save("record", {"n": 2}, token)

    kube.before = meddle
    with pytest.raises(Conflict):
        store.save("record", {"n": 3}, token)
    assert store.load("record").value == {"n": 2}


def test_an_object_that_is_deleted_meanwhile_is_a_conflict(kube, store):
    token = store.save("record", {"n": 1}, None)
    kube.before = lambda verb, resource, name: kube.remove(CONFIGMAPS, "pd-shop") if verb == "update" else None
    with pytest.raises(Conflict, match="deleted meanwhile"):
        store.save("record", {"n": 2}, token)


def test_names_that_would_share_an_object_are_told_apart(kube, store):
    store.save("gates", {"n": 1}, None)
    other = KubernetesStore("shop-gates", kube)
    with pytest.raises(ConfigError, match="ConfigMap shop/pd-shop-gates: belongs to another release name, shop/gates"):
        other.load("record")
    with pytest.raises(Conflict):
        other.save("record", {"n": 2}, None)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda body: body["metadata"].pop("annotations"), "was not made by this collection"),
        (lambda body: body["metadata"]["annotations"].update({"progressive.delivery/schema": "2"}), r"by another version of this collection \(schema 2\)"),
        (lambda body: body["data"].update({"data.json": "{"}), "holds no readable JSON .*kubectl -n shop delete configmaps pd-shop"),
        (lambda body: body["data"].update({"data.json": "[]"}), "no document of this collection"),
        (lambda body: body.pop("data"), "holds no readable JSON"),
    ],
)
def test_what_is_not_ours_or_not_readable_is_neither_read_nor_replaced(kube, store, change, message):
    store.save("record", {"n": 1}, None)
    token = kube.edit(CONFIGMAPS, "pd-shop", change)["metadata"]["resourceVersion"]
    with pytest.raises(ConfigError, match=f"ConfigMap shop/pd-shop: .*{message}|ConfigMap shop/pd-shop: {message}"):
        store.load("record")
    with pytest.raises(ConfigError):
        store.save("record", {"n": 2}, token)


@pytest.mark.parametrize("name", ["Shop", "a_b", "a:b", "-a", "a.", "a..b", "", "x" * 201, "a/b"])
def test_names_kubernetes_does_not_take(kube, name):
    with pytest.raises(ConfigError, match="rollout_name: .*cannot be the name of a release whose state is in Kubernetes. Lower-case"):
        KubernetesStore(name, kube)


@pytest.mark.parametrize("key", ["", "A", "../x", "a/b", "x" * 41])
def test_keys_that_are_none(store, key):
    with pytest.raises(ConfigError, match="cannot be the key"):
        store.load(key)


def test_the_longest_names_fit_into_an_object_name(kube):
    KubernetesStore("x" * 200, kube).save("k" * 40, {}, None)
    assert all(len(name) <= 253 for _plural, _place, name in kube.objects)


def test_a_document_that_is_too_large_is_refused_before_it_is_sent(kube, store):
    store.save("record", {"t": "x" * (MAX_BYTES - 10)}, None)
    with pytest.raises(ConfigError, match="more than 204800"):
        store.save("gates", {"t": "x" * MAX_BYTES}, None)
    assert len(kube.writes) == 1


def test_the_verbs_it_needs(kube, store):
    """Get, create and update, and no other: that is what its Role allows."""
    verbs = set()
    kube.before = lambda verb, resource, name: verbs.add((verb, resource.plural))
    held = lease.acquire(store, FakeClock(), "run-1", who="anna")
    lease.Session(store, FakeClock(), "run-1", held.fence).renew()
    store.save("record", {}, store.save("record", {}, None))
    assert verbs == {(verb, plural) for verb in ("get", "create", "update") for plural in ("configmaps", "leases")}


def test_what_goes_wrong_is_passed_on(kube, store):
    kube.forbid("create", "configmaps")
    with pytest.raises(Forbidden, match="may not create configmaps in shop"):
        store.save("record", {}, None)

    def down(verb, resource, name):
        raise Unavailable("no answer")

    kube.before = down
    with pytest.raises(Unavailable):
        store.load("record")


def test_options():
    options = validate({"namespace": "prod", "kubeconfig": {"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k"}}],
                        "clusters": [{"name": "k", "cluster": {"server": "https://one"}}]}}, KubernetesStore.OPTIONS, "rollout_store.kubernetes")  # fmt: skip
    assert KubernetesStore.from_options(options, "shop").kube.namespace == "prod"
    assert not KubernetesStore.on_one_host
    assert json.dumps(options)
