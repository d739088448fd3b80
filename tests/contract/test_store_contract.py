# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every store of release state must do, whatever it is made of."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict
from ansible_collections.progressive.delivery.plugins.module_utils.stores.file import FileStore
from ansible_collections.progressive.delivery.plugins.module_utils.stores.kubernetes import KubernetesStore
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore
from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

STORES = ("file", "memory", "kubernetes", "kubernetes-fake")
cluster, namespace = fixtures.cluster, fixtures.namespace


@pytest.fixture(params=STORES)
def open_store(request, tmp_path):
    """A function that opens the same state anew, as another process would."""
    if request.param == "kubernetes":
        place = request.getfixturevalue("namespace")
        return lambda: KubernetesStore("shop", Kube.from_options({"kubeconfig": str(place.cluster.kubeconfig), "namespace": place.name}))
    if request.param == "kubernetes-fake":
        kube = FakeKube()
        return lambda: KubernetesStore("shop", kube)
    if request.param == "memory":
        documents = {}
        return lambda: MemoryStore(documents)
    return lambda: FileStore("shop", str(tmp_path / "state"))


def test_nothing_is_there_before_the_first_save(open_store):
    assert open_store().load("record") is None


def test_what_was_saved_is_loaded_by_another(open_store):
    value = {"text": "Überraschung \u2028", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    token = open_store().save("record", value, None)
    loaded = open_store().load("record")
    assert loaded is not None
    assert (loaded.value, loaded.token) == (value, token)


def test_keys_are_apart(open_store):
    store = open_store()
    store.save("record", {"a": 1}, None)
    assert store.load("lease") is None
    store.save("lease", {"b": 2}, None)
    store.save("gates", {"c": 3}, None)
    assert [store.load(key).value for key in ("record", "lease", "gates")] == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_save_needs_the_current_token(open_store):
    store = open_store()
    first = store.save("record", {"n": 1}, None)
    second = store.save("record", {"n": 2}, first)
    assert second != first
    for stale in (first, None, "", "9-nonsense"):
        with pytest.raises(Conflict):
            store.save("record", {"n": 3}, stale)
    assert store.load("record").value == {"n": 2}


def test_a_token_expected_of_nothing_is_a_conflict(open_store):
    with pytest.raises(Conflict):
        open_store().save("record", {}, "1-aaaa")


def test_the_same_value_saved_again_has_a_new_token(open_store):
    store = open_store()
    first = store.save("record", {"n": 1}, None)
    assert store.save("record", {"n": 1}, first) != first


def test_a_loaded_value_is_a_copy(open_store):
    store = open_store()
    value = {"steps": [1]}
    store.save("record", value, None)
    value["steps"].append(2)
    store.load("record").value["steps"].append(3)
    assert store.load("record").value == {"steps": [1]}


@pytest.mark.parametrize("value", [{"n": float("nan")}, {"n": float("inf")}, {"n": object()}, {"n": {1, 2}}])
def test_what_json_cannot_say_is_refused(open_store, value):
    store = open_store()
    with pytest.raises(ConfigError):
        store.save("record", value, None)
    assert store.load("record") is None


def test_of_many_savers_with_one_token_one_wins(open_store):
    token = open_store().save("record", {"by": ""}, None)
    start, won = threading.Barrier(8), []

    def race(name):
        store = open_store()
        start.wait()
        try:
            store.save("record", {"by": name}, token)
        except Conflict:
            return
        won.append(name)

    threads = [threading.Thread(target=race, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert open_store().load("record").value == {"by": won[0]}
