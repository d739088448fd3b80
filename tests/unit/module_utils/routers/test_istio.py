# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import istio_envoys
from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.destination_rule import SILENT
from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import RouteState
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, DESTINATIONRULES, SERVICES, VIRTUALSERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.clients.virtual_service import edit
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import HOLDING
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Assignment, Capability, Condition, MatchRoute, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import Addressed, Heedful, Holding, Reaching, Rehearsing
from ansible_collections.progressive.delivery.plugins.module_utils.routers.istio import UNSEEN, IstioRouter
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
    router = made(kube, **{**SUBSETS, "workload": None, **options})
    router.clock = FakeClock()
    return router


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
        ({"affinity": {"cookie": {"name": "a b"}}}, "istio.affinity.cookie.name: 'a b' is not a name for a cookie"),
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


class Learning:
    """An Envoy that has a cluster at its so many'th look only."""

    name = "127.0.0.1:15000"

    def __init__(self, kube, looks):
        self.left, self.asked, self.written = looks, set(), kube.writes

    def clusters(self, names):
        assert "virtualservices" not in [write[1] for write in self.written], "something leads there already"
        self.asked |= set(names)
        self.left -= 1
        if self.left > 0:
            raise ConfigError("there is no such cluster")
        return {}


def test_nothing_leads_to_a_subset_that_an_envoy_does_not_know(kube):
    router = by_subsets(kube, "blue", destination_rule={"canary": {"color": "green"}})
    router.admins = (Learning(kube, 1), Learning(kube, 30))
    router.write(split(20))
    assert [write[1] for write in kube.writes] == ["destinationrules", "virtualservices"]
    assert [admin.left for admin in router.admins] == [0, 0]
    assert router.admins[1].asked == {"outbound|80|green|shop.shop.svc.cluster.local"}


def test_a_subset_that_an_envoy_does_not_hear_of_gets_nothing_and_the_way_back_waits_for_nobody(kube):
    router = by_subsets(kube, "blue", destination_rule={"canary": {"color": "green"}})
    router.admins = (Learning(kube, 1000),)
    for want in (split(20), split(0, matches=TESTERS)):
        with pytest.raises(Unavailable, match="has no outbound.80.green.shop.* after 20 s.*nothing leads to the subset yet"):
            router.write(want)
    assert [write[1] for write in kube.writes] == ["destinationrules"]
    left = router.admins[0].left
    router.write(split(0))
    assert router.admins[0].left == left


def test_where_no_envoy_can_be_asked_a_new_subset_is_given_time(kube):
    router = by_subsets(kube, "blue", destination_rule={"canary": {"color": "green"}})
    begun = router.clock.now()
    router.write(split(20))
    assert router.clock.now() - begun == UNSEEN
    router.write(split(50))
    assert router.clock.now() - begun == UNSEEN, "once"


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


AFFINITY = {"affinity": {"cookie": {"name": "shop-session"}}}
SPOKEN = {"httpCookie": {"name": "shop-session", "path": "/", "ttl": "3600s"}}
MUTE = {"httpHeaderName": SILENT}


def hashed(kube, name, subset=None):
    spec = kube.get(DESTINATIONRULES, name)["spec"]
    policy = spec["trafficPolicy"] if subset is None else next(each["trafficPolicy"] for each in spec["subsets"] if each["name"] == subset)
    return policy["loadBalancer"]["consistentHash"]


def written(kube):
    return [(verb, plural, name) for verb, plural, name, _body in kube.writes]


RULES = [("create", "destinationrules", f"shop-{slot}") for slot in COLORS]
WEIGHTS = ("patch", "virtualservices", "shop")


def test_sessions_are_held_before_anybody_is_sent_to_another_version(kube):
    router = made(kube, **AFFINITY)
    lines = router.sessions()
    assert isinstance(router, Holding) and "DestinationRule shop-stable" in lines[0] and "is made; it stays after the release" in lines[0] and len(lines) == 3
    router.rehearse(split(5))
    assert kube.writes == []
    router.write(split(5))
    assert written(kube) == [*RULES, WEIGHTS]
    assert (hashed(kube, "shop-stable"), hashed(kube, "shop-canary")) == (SPOKEN, MUTE), "one hash, the one that stable's sessions have alone, too"
    assert router.observe(split(5)).applied and all("stands already" in line for line in router.sessions()[:2])
    kube.writes.clear()
    router.write(split(5))
    router.write(split(50))
    assert written(kube) == [WEIGHTS]
    kube.writes.clear()
    router.write(split(0))
    router.release()
    assert written(kube) == [WEIGHTS], "the way back leaves sessions where they are"
    kube.writes.clear()
    router.write(split(100))
    assert written(kube) == [WEIGHTS, *(("patch", "destinationrules", f"shop-{slot}") for slot in COLORS)]
    assert (hashed(kube, "shop-stable"), hashed(kube, "shop-canary")) == (MUTE, SPOKEN)
    router.write(split(50))
    assert (hashed(kube, "shop-stable"), hashed(kube, "shop-canary")) == (MUTE, SPOKEN), "who had them keeps them"


def test_the_destination_rule_of_a_service_is_found_by_its_host(kube):
    policy = {"loadBalancer": {"simple": "RANDOM"}, "tls": {"mode": "DISABLE"}}
    kube.put(DESTINATIONRULES, {"metadata": {"name": "mine"}, "spec": {"host": "shop-stable.shop.svc.cluster.local", "trafficPolicy": policy}})
    router = made(kube, **AFFINITY)
    assert "DestinationRule mine, which holds sessions by the cookie shop-session, is changed, instead of RANDOM" in router.sessions()[0]
    router.write(split(5))
    assert hashed(kube, "mine") == SPOKEN and kube.get(DESTINATIONRULES, "mine")["spec"]["trafficPolicy"]["tls"] == {"mode": "DISABLE"}
    kube.put(DESTINATIONRULES, {"metadata": {"name": "second"}, "spec": {"host": "shop-stable"}})
    with pytest.raises(ConfigError, match="shop-stable has 2 DestinationRules: mine, second"):
        router.sessions()


def test_subsets_hold_sessions_each_for_itself(kube):
    router = by_subsets(kube, "blue", destination_rule={"canary": {"color": "green"}}, **AFFINITY)
    assert len(router.sessions()) == 2
    router.rehearse(split(5))
    assert kube.writes == []
    router.write(split(5))
    assert (hashed(kube, "shop", "blue"), hashed(kube, "shop", "green")) == (SPOKEN, MUTE)
    assert "trafficPolicy" not in kube.get(DESTINATIONRULES, "shop")["spec"]
    assert router.observe(split(5)).applied


@pytest.mark.parametrize("subsets", [False, True])
def test_what_the_owner_added_to_the_cookie_goes_where_the_cookie_goes(kube, subsets):
    router = by_subsets(kube, "blue", destination_rule={"canary": {"color": "green"}}, **AFFINITY) if subsets else made(kube, **AFFINITY)
    router.write(split(5))
    stable, canary = (("shop", "blue"), ("shop", "green")) if subsets else (("shop-stable", None), ("shop-canary", None))
    lax = {**SPOKEN["httpCookie"], "attributes": [{"name": "SameSite", "value": "Lax"}]}

    def add(body):
        policy = body["spec"]["subsets"][0]["trafficPolicy"] if subsets else body["spec"]["trafficPolicy"]
        policy["loadBalancer"]["consistentHash"]["httpCookie"] = lax

    kube.edit(DESTINATIONRULES, "shop" if subsets else "shop-stable", add)
    for share, speaks, silent in ((50, stable, canary), (100, canary, stable), (50, canary, stable), (0, stable, canary), (5, stable, canary)):
        router.write(split(share))
        assert (hashed(kube, *speaks), hashed(kube, *silent)) == ({"httpCookie": lax}, MUTE), share


def test_held_sessions_are_looked_after_while_requests_are_split(kube):
    router = made(kube, **AFFINITY)
    router.write(split(5))
    kube.edit(DESTINATIONRULES, "shop-stable", lambda body: body["spec"].pop("trafficPolicy"))
    seen = router.observe(split(5))
    assert (seen.applied, seen.standing) == (False, False)
    assert "DestinationRule shop-stable does not hold sessions by the cookie shop-session" in seen.why
    router.write(split(5))
    assert router.observe(split(5)).applied


def test_nothing_about_sessions_is_in_the_way_back(kube):
    router = made(kube, **AFFINITY)
    router.write(split(50))
    other = {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}
    kube.edit(DESTINATIONRULES, "shop-stable", lambda body: body["spec"].update(trafficPolicy=other))
    assert "held by useSourceIp True already" in router.observe(split(50)).why
    for ask in (router.sessions, lambda: router.write(split(60))):
        with pytest.raises(ConfigError, match="held by useSourceIp True already"):
            ask()
    router.write(split(0))
    assert router.read() == split(0) and router.observe(split(0)).applied
    router.write(Routes(split(0).weights))
    kube.edit(DESTINATIONRULES, "shop-stable", lambda body: body["spec"].pop("trafficPolicy"))
    router.write(split(50))
    for verb in ("list", "get", "patch"):
        kube.forbid(verb, "destinationrules")
    router.write(split(0))
    assert router.read() == split(0) and router.observe(split(0)).applied


def test_rules_that_see_no_cookie_hold_none(kube):
    kube.edit(VIRTUALSERVICES, "shop", lambda body: body["spec"].update(tcp=body["spec"].pop("http")))
    with pytest.raises(Unsupported, match="rules of tls and tcp see no cookie"):
        made(kube, routes=["tcp/0"], **AFFINITY).sessions()


def test_an_envoy_that_does_not_hash_the_cookie_yet_is_named(kube):
    router = made(kube, **AFFINITY)
    manifest = edit(kube.get(VIRTUALSERVICES, "shop"), split(5), router.layout)
    found = state(("", 95, 5))
    admin = SimpleNamespace(name="127.0.0.1:15000", all_routes=lambda: [found])
    assert "no route of it holds sessions by the cookie shop-session yet" in istio_envoys.loose(manifest, [admin], CLUSTERS, router.cookie)
    found.config["virtual_hosts"][0]["routes"][0]["route"]["hash_policy"] = [{"cookie": {"name": "shop-session"}}]
    assert istio_envoys.loose(manifest, [admin], CLUSTERS, router.cookie) == ""


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
    assert set(made(kube, **AFFINITY).rights()) - set(plain) == set(HOLDING)
    assert set(made(kube, **{**SUBSETS, "workload": None}, **AFFINITY).rights()) == set(labelled)


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


@pytest.mark.parametrize("how", ["deleted", "without its rule", "both"])
def test_on_the_way_back_a_virtual_service_that_went_keeps_nobody_else_from_stable(kube, how):
    kube.put(VIRTUALSERVICES, virtual_service("api"))
    router = made(kube, virtual_service=None, virtual_services=["api", "shop"])
    router.write(split(100))
    if how == "deleted":
        kube.remove(VIRTUALSERVICES, "api")
    else:
        for name in ("api", "shop") if how == "both" else ("api",):
            kube.edit(VIRTUALSERVICES, name, lambda body: body["spec"].update(http=[]))
    with pytest.raises(ConfigError):
        router.write(split(0))
    assert isinstance(router, Reaching)
    if how == "both":
        with pytest.raises(ConfigError, match="no rule holds"):
            router.write_reachable(split(0))
        return
    assert list(router.write_reachable(split(0))) == ["api"]
    assert [each["weight"] for each in kube.get(VIRTUALSERVICES, "shop")["spec"]["http"][0]["route"]] == [100, 0]


@pytest.mark.parametrize("labels", [{}, {"destination_rule": {"canary": {"color": "green"}}}], ids=["there", "made by the release"])
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_what_becomes_of_the_subset_of_canary_is_in_nobodys_way_back(kube, labels, how):
    """Somebody's GitOps put the DestinationRule back: half of the users are answered 503, and stable is as it was."""
    router = by_subsets(kube, *(["blue"] if labels else ["blue", "green"]), **labels)
    router.write(split(50))
    theirs = [{"name": "blue", "labels": {"color": "blue"}}, *([{"name": "green", "labels": {"color": "lime"}}] if how == "changed" else [])]
    kube.edit(DESTINATIONRULES, "shop", lambda body: body["spec"].update(subsets=theirs))
    if labels and how == "changed":
        with pytest.raises(ConfigError, match="subset green has the labels"):
            router.write(split(0))
        assert router.write_reachable(split(0)) == {}
    else:
        router.write(split(0))
    assert [each["weight"] for each in kube.get(VIRTUALSERVICES, "shop")["spec"]["http"][0]["route"]] == [100, 0]
