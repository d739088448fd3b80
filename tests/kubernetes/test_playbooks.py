# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases by ansible-playbook on the real node that are refused, cut off, or of another kind of workload. The good days are in test_playbooks_examples.py."""

from __future__ import annotations

import re
import signal
from typing import Any

from ansible_collections.progressive.delivery.tests.cluster import pki
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, deployment, service
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site
from ansible_collections.progressive.delivery.tests.kubernetes.release_rig import Shop
from ansible_collections.progressive.delivery.tests.matrix.rig import Finished, ended

IMAGE = "registry.test/app:${version}"


def refused(done: Finished, said: str) -> None:
    """Nothing was begun, and one line says why."""
    assert done.status == 2 and done.outcome in ("invalid", "failed"), done.text
    assert said in done.message() and "\n" not in done.message(), done.message()


def test_what_cannot_go_well_is_one_line_and_nothing_is_written(namespace: Namespace) -> None:
    shop = Shop(namespace)
    site = Site(namespace, shop.file)
    before = site.writes()
    connection = site.release["rollout_kubernetes"]

    site.release["rollout_kubernetes"] = {**connection, "context": "nope"}
    refused(site.run("blue_green"), "nope")
    nobody = pki.kubeconfig(namespace.folder / "nobody", "https://127.0.0.1:1", {"insecure-skip-tls-verify": True}, {"token": "none"}, namespace.name)
    site.release["rollout_kubernetes"] = {**connection, "kubeconfig": str(nobody)}
    refused(site.run("blue_green"), "127.0.0.1:1")
    stale = namespace.kubeconfig("stale", [])
    stale.write_text(re.sub(r'(token"?: "?)', r"\1x", stale.read_text()))
    site.release["rollout_kubernetes"] = {**connection, "kubeconfig": str(stale)}
    refused(site.run("blue_green"), "401")
    site.release["rollout_kubernetes"] = connection
    assert site.writes() == before

    namespace.kubectl("patch", "service", "shop", "--type=json", "-p", '[{"op": "remove", "path": "/spec/selector/color"}]')
    refused(site.run("blue_green"), "shop")
    namespace.kubectl("patch", "service", "shop", "-p", '{"spec": {"selector": {"color": "blue"}}}')
    namespace.kubectl("rollout", "pause", "deployment/shop-green")
    refused(site.run("blue_green"), "it is paused")
    assert "ConfigMap pd-shop" not in site.writes()


def test_a_namespace_on_its_way_out(namespace: Namespace) -> None:
    held = deployment("shop")
    held["metadata"]["finalizers"] = ["example.com/held"]
    namespace.apply(held)
    site = Site(namespace, {
        "rollout_name": "shop", "rollout_strategy": "rolling", "rollout_workload": {"deployment": {"stable": "shop", "image": IMAGE}},
        "rollout_kubernetes": {"kubeconfig": str(namespace.cluster.kubeconfig), "namespace": namespace.name}})
    namespace.cluster.kubectl("delete", "namespace", namespace.name, "--wait=false")
    try:
        done = site.run("rolling")
        assert done.status == 2 and "because it is being terminated" in done.message(), done.text
    finally:
        namespace.kubectl("patch", "deployment", "shop", "-p", '{"metadata": {"finalizers": null}}')


def test_a_release_that_was_cut_off_goes_on_or_back_from_where_it_was(namespace: Namespace) -> None:
    shop = Shop(namespace, replicas=2, rollout_blue_green={"post_promotion_bake": "10m"}, rollout_lease={"ttl": "30s"})
    site = Site(namespace, shop.file)

    def baking() -> bool:
        return shop.color == "green" and shop.next == "post-promotion bake"

    running = site.start("blue_green", "2")
    with ended(running):
        site.until(baking, running)
        refused_one = site.run("blue_green", "3")
        assert refused_one.outcome == "busy" and "2 is under way" in refused_one.message(), refused_one.text
        running.kill()
    assert shop.color == "green" and shop.holds("blue") == ("1", 2)
    site.until(lambda: running.left() == [], what="the end of its worker")

    running = site.start("resume", "2")
    with ended(running):
        site.until(lambda: "post-promotion bake" in running.text or "going on at step" in running.text, running)
        running.send_all(signal.SIGINT)
        assert running.end().status != 0
    assert shop.color == "green"

    done = site.run("abort", "2")
    assert (done.status, done.outcome) == (0, "aborted"), done.text
    assert shop.color == "blue" and shop.holds("blue") == ("1", 2) and shop.holds("green")[1] == 0

    # Switched by hand: the colour is read from the Service, whatever the record says.
    namespace.kubectl("scale", "deployment/shop-green", "--replicas=2")
    namespace.available("shop-green")
    namespace.kubectl("patch", "service", "shop", "-p", '{"spec": {"selector": {"color": "green"}}}')
    site.release["rollout_blue_green"] = {}
    done = site.run("blue_green", "3")
    assert done.outcome == "promoted", done.text
    assert shop.color == "blue" and shop.holds("blue") == ("3", 2) and shop.holds("green") == ("2", 0)


def stateful(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    like = deployment(name, "1", 2)
    kept = {key: value for key, value in like["spec"].items() if not (kind == "DaemonSet" and key == "replicas")}
    return {**like, "kind": kind, "spec": {**kept, **spec}}


def test_statefulsets_and_daemonsets_by_rolling(namespace: Namespace) -> None:
    for kind, spec in (("StatefulSet", {"serviceName": "shop", "podManagementPolicy": "Parallel"}), ("DaemonSet", {})):
        name = kind.lower()
        namespace.apply(service(name, {"app": name}), stateful(kind, name, **spec))
        namespace.kubectl("rollout", "status", f"{name}/{name}", "--timeout=480s")
        site = Site(namespace, {
            "rollout_name": name, "rollout_strategy": "rolling", "rollout_workload": {name: {"stable": name, "image": IMAGE}},
            "rollout_kubernetes": {"kubeconfig": str(namespace.cluster.kubeconfig), "namespace": namespace.name}}, name)

        def image(name: str = name) -> str:
            found = namespace.get(name, name)
            assert found
            return str(found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])

        assert site.run("rolling", "2").outcome == "promoted" and image() == "2"
        done = site.run("rolling", "crash")
        assert done.outcome == "rolled_back" and "crash at start" in done.message(), done.text
        assert image() == "2"
        done = site.run("rollback", "", "-e", "rollout_to_revision=1")
        assert (done.status, done.outcome) == (0, "rolled_back") and image() == "1", done.text
