# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, ENDPOINTSLICES, HPAS, PODS, SERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import Marker
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.routers.replica_ratio import ReplicaRatioRouter
from ansible_collections.progressive.delivery.tests.contract.harness_kube import deployment, service
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

WORKLOAD = {"deployment": {"stable": "shop-stable", "canary": "shop-canary"}}


class Slow(FakeKube):
    """A cluster whose Pods get ready when a test says so."""

    def __init__(self, stable, canary):
        super().__init__()
        for slot, number in (("stable", stable), ("canary", canary)):
            self.put(DEPLOYMENTS, deployment(slot, number))
            self.settle(slot, number)

    def settle(self, slot, number):
        self.edit(DEPLOYMENTS, f"shop-{slot}", lambda body: body.update(status={"readyReplicas": number, "observedGeneration": body["metadata"]["generation"]}))

    def pods(self):
        return tuple(self.get(DEPLOYMENTS, f"shop-{slot}")["spec"]["replicas"] for slot in ("stable", "canary"))

    def scaled(self):
        return [(name, body["spec"]["replicas"]) for _verb, _plural, name, body in self.writes]


def made(kube, **options):
    return ReplicaRatioRouter.from_options(validate({"workload": WORKLOAD, **options}, ReplicaRatioRouter.OPTIONS, "replica_ratio"), {}, kube)


def want(canary, stable_pods, canary_pods):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, pods={"stable": stable_pods, "canary": canary_pods})


def test_the_ratio_is_read_exactly():
    routes = made(Slow(2, 1)).read()
    assert routes.weights == {"stable": Fraction(200, 3), "canary": Fraction(100, 3)}
    assert routes.pods == {"stable": 2, "canary": 1}
    assert made(Slow(0, 0)).read().weights == {"stable": 100, "canary": 0}


def test_a_candidate_that_the_release_will_make_has_no_pods_yet():
    kube = Slow(3, 0)
    kube.delete(DEPLOYMENTS, "shop-canary")
    router = made(kube)
    assert (router.read().weights, router.read().pods) == ({"stable": 100, "canary": 0}, {"stable": 3, "canary": 0})
    assert router.observe(want(0, 3, 0)).applied
    assert router.observe(want(25, 3, 1)).why == "there is no Deployment shop-canary"
    router.mark(Marker("r1", 0, 1))
    router.write(want(0, 3, 0))
    with pytest.raises(ConfigError, match="there is no Deployment shop-canary"):
        router.write(want(25, 3, 1))


@pytest.mark.parametrize("there", [True, False])
def test_a_service_must_lead_to_the_pods_of_both(there):
    kube = Slow(3, 0)
    if not there:
        kube.delete(DEPLOYMENTS, "shop-canary")
    kube.put(SERVICES, service("shop"))
    assert made(kube, service="shop").read().weights["stable"] == 100
    kube.put(SERVICES, service("shop", color="blue"))
    with pytest.raises(ConfigError, match="Service shop: the Service finds app=shop,color=blue, and the Pods of shop-canary have app=shop,color=green"):
        made(kube, service="shop").read()


def test_what_the_ratio_really_is_is_said():
    kube = Slow(2, 1)
    seen = made(kube).observe(want(5, 2, 1))
    assert (seen.applied, seen.why) == (True, "canary has 1 of 3 Pods: 33.33 %")


def test_the_giver_is_scaled_when_the_receiver_is_ready_and_not_before():
    kube = Slow(4, 0)
    router = made(kube)
    with pytest.raises(Unavailable, match="canary has 0 of 2 Pods ready: stable keeps its own until it has them all"):
        router.write(want(50, 2, 2))
    assert kube.scaled() == [("shop-canary", 2)]
    kube.settle("canary", 1)
    with pytest.raises(Unavailable, match="canary has 1 of 2"):
        router.write(want(50, 2, 2))
    kube.settle("canary", 2)
    assert not router.observe(want(50, 2, 2)).applied
    router.write(want(50, 2, 2))
    assert kube.pods() == (2, 2)
    assert router.observe(want(50, 2, 2)).why == "stable has 0 ready Pods instead of 2"  # the controller has not seen the change yet
    kube.settle("stable", 2)
    assert router.observe(want(50, 2, 2)).applied


def test_back_to_stable_in_the_same_order():
    kube = Slow(0, 3)
    with pytest.raises(Unavailable):
        made(kube).write(want(0, 3, 0))
    kube.settle("stable", 3)
    made(kube).write(want(0, 3, 0))
    assert kube.scaled() == [("shop-stable", 3), ("shop-canary", 0)]


def test_a_share_alone_does_not_say_how_many():
    kube = Slow(5, 5)
    with pytest.raises(ConfigError, match="nobody says how many Pods"):
        made(kube).write(Routes({"stable": Fraction(50), "canary": Fraction(50)}))
    assert kube.writes == []


def test_somebody_elses_scale_is_named():
    kube = Slow(4, 1)
    theirs = {"manager": "kubectl", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: body["metadata"].update(managedFields=[theirs]))
    assert made(kube).observe(want(20, 3, 1)).why == "shop-stable is scaled to 4 instead of 3 (last changed by kubectl at 2026-01-02T00:00:00Z)"


def test_the_endpoints_of_the_service_must_have_followed():
    kube = Slow(2, 1)
    piece = {"metadata": {"name": "shop-x", "labels": {"kubernetes.io/service-name": "shop"}}, "endpoints": [{"addresses": ["10.0.0.1"]}]}
    kube.put(ENDPOINTSLICES, piece)
    assert made(kube, service="shop").observe(want(33, 2, 1)).why == "Service shop has 1 ready endpoints instead of 3"


def test_pods_of_somebody_else_behind_the_service_are_found_beforehand():
    """Whoever counts endpoints would wait for ever, forward and on the way back."""
    kube = Slow(1, 0)
    kube.put(SERVICES, service("shop"))
    kube.put(PODS, {"metadata": {"name": "stable-1", "labels": deployment("stable", 1)["spec"]["template"]["metadata"]["labels"]}})
    endpoints = [{"addresses": [f"10.0.0.{number}"], "targetRef": {"name": name}} for number, name in enumerate(("stable-1", "old-1"))]
    kube.put(ENDPOINTSLICES, {"metadata": {"name": "shop-x", "labels": {"kubernetes.io/service-name": "shop"}}, "endpoints": endpoints})
    with pytest.raises(ConfigError, match="Service shop: it also leads to old-1, of neither slot"):
        made(kube, service="shop").rehearse(want(50, 1, 1))
    kube.edit(ENDPOINTSLICES, "shop-x", lambda body: body["endpoints"].pop())
    made(kube, service="shop").rehearse(want(50, 1, 1))


@pytest.mark.parametrize("more", [{"mirror": Mirror(Fraction(1))}, {"members": {"stable": (Member("web1"),)}}])
def test_what_pods_cannot_do_is_refused(more):
    kube = Slow(2, 0)
    with pytest.raises(Unsupported):
        made(kube).write(Routes({"stable": Fraction(100), "canary": Fraction(0)}, **more))
    assert kube.writes == []


def test_a_daemon_set_has_no_ratio():
    with pytest.raises(ConfigError, match="DaemonSet"):
        made(Slow(1, 0), workload={"daemonset": {"stable": "a", "canary": "b"}})


def test_an_autoscaler_of_the_same_workload_is_named():
    kube = Slow(2, 0)
    for name, target in (("ours", "shop-stable"), ("other", "another")):
        kube.put(HPAS, {"metadata": {"name": name}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": target}}})
    [line] = made(kube).warnings()
    assert line.startswith("HorizontalPodAutoscaler ours scales shop-stable, and so does replica_ratio")
    kube.forbid("list", "horizontalpodautoscalers")
    assert made(kube).warnings() == []
