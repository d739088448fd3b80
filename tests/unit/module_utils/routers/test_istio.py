# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import istio_envoys
from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import RouteState
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, DESTINATIONRULES, SERVICES, VIRTUALSERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.clients.virtual_service import edit
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Assignment, Capability, Condition, MatchRoute, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import Addressed, Heedful, Rehearsing
from ansible_collections.progressive.delivery.plugins.module_utils.routers.istio import IstioRouter
from ansible_collections.progressive.delivery.tests.contract.harness_kube import COLORS, FakeCluster, deployment, destination, service, virtual_service

TESTERS = (MatchRoute("testers", ((Condition("header", "canary", "exact", "true"),),)),)
SUBSETS = {"virtual_service": "shop", "host": "shop", "stable": "blue", "canary": "green"}


def split(canary, **more):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


@pytest.fixture
def kube():
    cluster = FakeCluster()
    for slot, color in COLORS.items():
        cluster.put(DEPLOYMENTS, deployment(slot, 2))
        cluster.put(SERVICES, service(f"shop-{slot}", color=color))
    cluster.put(SERVICES, service("shop"))
    cluster.put(VIRTUALSERVICES, virtual_service())
    return cluster


def made(kube, **options):
    raw = {"virtual_service": "shop", "workload": {"deployment": {"stable": "shop-stable", "canary": "shop-canary"}}, **options}
    return IstioRouter.from_options(validate(raw, IstioRouter.OPTIONS, "istio"), {}, kube)


def by_subsets(kube, *subsets, **options):
    """The VirtualService between two subsets, of which these are there."""
    rule = {"route": [destination("shop", 100, "blue"), destination("shop", 0, "green")]}
    kube.edit(VIRTUALSERVICES, "shop", lambda body: body["spec"].update(http=[rule]))
    there = [{"name": name, "labels": {"color": name}} for name in subsets]
    kube.put(DESTINATIONRULES, {"metadata": {"name": "shop"}, "spec": {"host": "shop", "subsets": there}})
    return made(kube, **{**SUBSETS, "workload": None, **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"virtual_service": None}, "no VirtualService is named"),
        ({"virtual_services": ["shop"]}, "named twice"),
        ({"stable": "shop-canary"}, "stable and canary are the same destination"),
        ({"host": "shop", "stable": "canary"}, "stable and canary are the same destination"),
        ({"destination_rule": {"name": "shop"}}, "a DestinationRule has subsets of one Service"),
        ({"workload": {}}, "the workload of the slots is not known"),
        ({"total": 99}, "99"),
        ({"envoys": [{"admin": "http://127.0.0.1:1"}, {"admin": "http://127.0.0.1:1/"}]}, "the same admin interface"),
        ({"envoys": [{"admin": "http://127.0.0.1:1"}], "clusters": {"stable": "S"}}, "istio.clusters: a cluster for each slot"),
        ({"virtual_servce": "x"}, "Did you mean virtual_service"),
    ],
)
def test_options_that_cannot_be(kube, options, said):
    with pytest.raises(ConfigError) as caught:
        made(kube, **options)
    assert said in str(caught.value)


def test_what_it_can_do_depends_on_what_it_is_told(kube):
    assert Capability.MEASURE not in made(kube).capabilities
    assert Capability.MEASURE in made(kube, envoys=[{"admin": "http://127.0.0.1:1"}]).capabilities
    assert made(kube, routes=["tcp/0"], envoys=[{"admin": "http://127.0.0.1:1"}]).capabilities == {Capability.WEIGHT, Capability.MEASURE}
    assert made(kube, routes=["tls/shop.example"]).capabilities == {Capability.WEIGHT}
    assert Capability.HEADER in made(kube, routes=["tcp/0", "http/0"]).capabilities
    router = made(kube, virtual_services=["other"])
    assert isinstance(router, Addressed) and isinstance(router, Heedful) and isinstance(router, Rehearsing)
    assert router.objects == ("virtualservice/shop", "virtualservice/other")
    assert {slot: str(to) for slot, to in made(kube, **{**SUBSETS, "workload": None}).layout.slots.items()} == {"stable": "shop/blue", "canary": "shop/green"}


def test_a_write_after_a_read_is_one_patch_of_the_rules(kube):
    router = made(kube)
    router.read()
    kube.reads.clear()
    router.write(split(5, matches=TESTERS))
    assert [read for read in kube.reads if read[1] == "virtualservices"] == []
    [(verb, plural, name, body)] = kube.writes
    assert (verb, plural, name, list(body["spec"])) == ("patch", "virtualservices", "shop", ["http"])


def test_nothing_is_written_when_one_of_several_is_not_as_it_must_be(kube):
    kube.put(VIRTUALSERVICES, virtual_service("other", http=[{"route": [destination("else", 100)]}]))
    router = made(kube, virtual_services=["other"])
    with pytest.raises(ConfigError, match="other: no rule holds shop-stable and shop-canary"):
        router.write(split(5))
    assert kube.writes == []


def test_a_slot_without_pods_gets_nothing(kube):
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: body["spec"].update(replicas=0))
    router = made(kube)
    for want in (split(5), split(0, matches=TESTERS), split(0, mirror=Mirror(Fraction(5)))):
        assert router.unready(want) == "Service shop-canary (canary) has no ready endpoint"
        with pytest.raises(Unavailable, match="has no ready endpoint"):
            router.write(want)
    assert kube.writes == []
    assert router.unready(split(0)) == ""


def test_a_subset_is_there_before_anything_leads_to_it(kube):
    router = by_subsets(kube, "blue", destination_rule={"canary": {"color": "green"}})
    assert router.read() == split(0)
    assert kube.writes == []
    router.write(split(20))
    assert [write[1] for write in kube.writes] == ["destinationrules", "virtualservices"]
    assert router.observe(split(20)).applied
    router.write(split(0))
    assert [write[1] for write in kube.writes].count("destinationrules") == 1


def test_of_a_subset_only_its_own_pods_count(kube):
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: body["spec"].update(replicas=0))
    router = by_subsets(kube, "blue", "green")
    assert router.unready(split(20)) == "Service shop, subset green (canary) has no ready endpoint"
    assert router.warnings() == []


def test_a_subset_that_is_missing_is_said_and_so_is_a_rule_that_is_not_there(kube):
    with pytest.raises(ConfigError, match="there is no subset green"):
        by_subsets(kube, "blue").read()
    with pytest.raises(ConfigError, match="there is no DestinationRule other"):
        by_subsets(kube, "blue", destination_rule={"name": "other"}).read()


def test_slots_that_are_no_two_are_said(kube):
    kube.put(SERVICES, service("shop-canary"))
    [line] = made(kube).warnings()
    assert "shop-stable and shop-canary lead to the same Pods (shop-stable-0, shop-stable-1)" in line


def test_rights_are_those_that_are_used(kube):
    plain, subsets = made(kube).rights(), made(kube, **{**SUBSETS, "workload": None}).rights()
    labelled = made(kube, **{**SUBSETS, "workload": None, "destination_rule": {"canary": {"a": "b"}}}).rights()
    assert not [right for right in plain if "destination" in right[0]]
    assert set(subsets) - set(plain) == {("destinationrules.networking.istio.io", "get"), ("pods", "list")}
    assert set(labelled) - set(subsets) == {("destinationrules.networking.istio.io", "patch")}


def test_what_a_virtual_service_does_not_have_is_refused(kube):
    with pytest.raises(Unsupported, match="weights of single servers"):
        made(kube).write(Routes(split(5).weights, {"stable": (Member("a"),)}))
    with pytest.raises(Unsupported, match="no hash to split users by.*name the variant in a header"):
        made(kube).write(split(5, assignment=Assignment("cookie", "uid", "s")))
    assert kube.writes == []


def test_a_conflict_is_tried_again_and_what_others_wrote_stays(kube):
    router, beaten = made(kube), []

    def other(verb, resource, name):
        if verb == "patch" and not beaten:
            beaten.append(name)
            kube.edit(VIRTUALSERVICES, "shop", lambda body: body["spec"]["http"][0].update(timeout="99s"))
            raise Conflict("somebody was faster")

    kube.before = other
    router.write(split(5))
    [rule] = kube.get(VIRTUALSERVICES, "shop")["spec"]["http"]
    assert (rule["timeout"], [entry["weight"] for entry in rule["route"]]) == ("99s", [95, 5])


CLUSTERS = {slot: f"outbound|80||shop-{slot}.shop.svc.cluster.local" for slot in COLORS}


def state(*routes, made_of="shop"):
    """A route configuration with routes of (name, stable's weight, canary's weight)."""
    config = f"/apis/networking.istio.io/v1/namespaces/shop/virtual-service/{made_of}"
    shown = [
        {
            "name": name,
            "metadata": {"filter_metadata": {"istio": {"config": config}}},
            "route": {"weighted_clusters": {"clusters": [{"name": CLUSTERS["stable"], "weight": stable}, {"name": CLUSTERS["canary"], "weight": canary}]}},
        }
        for name, stable, canary in routes
    ]
    return RouteState("1", {"virtual_hosts": [{"routes": shown}]})  # fmt: skip


@pytest.mark.parametrize(
    ("states", "why"),
    [
        ([], "it has no route to these destinations yet"),
        ([state(("progressive-testers", 0, 1), ("", 95, 5))], ""),
        ([state(("progressive-testers", 0, 1), ("mine", 95, 5)), state(("x", 50, 50), made_of="other")], ""),
        ([state(("", 95, 5))], "no route progressive-testers of it gives canary 100 % yet"),
        ([state(("progressive-testers", 0, 1), ("", 100, 0))], "no route of its own rules of it gives canary 5 %, stable 95 % yet"),
        ([state(("progressive-testers", 0, 1), ("progressive-old", 0, 1), ("", 95, 5))], "its route progressive-old gives canary 100 %"),
        ([state(("progressive-testers", 0, 1), ("", 95, 5), ("", 90, 10))], "its route of another name gives canary 10 %, stable 90 %"),
    ],
)
def test_what_an_envoy_does_is_held_against_what_is_written(kube, states, why):
    router = made(kube)
    manifest = edit(kube.get(VIRTUALSERVICES, "shop"), split(5, matches=TESTERS), router.layout)
    assert istio_envoys.cluster_names(manifest, router.layout, {}) == CLUSTERS
    assert istio_envoys.difference(manifest, router.layout, states, CLUSTERS) == why
