# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router istio before Istio's real control plane and a real Envoy, with real requests through it to real Pods."""

from __future__ import annotations

import collections
import inspect
import json
import math
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import NoSuchResource
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DESTINATIONRULES, VIRTUALSERVICES, Resource
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import rules
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import settle
from ansible_collections.progressive.delivery.plugins.module_utils.routers import istio
from ansible_collections.progressive.delivery.tests.cluster.cluster import KubectlFailed, fetch
from ansible_collections.progressive.delivery.tests.contract import test_router_contract as contract
from ansible_collections.progressive.delivery.tests.kubernetes.gateway_rig import TRACK
from ansible_collections.progressive.delivery.tests.kubernetes.istio_rig import NETWORKING, SLOTS, CheckedMesh, IstioShop, rule, tcp_service, virtual_service
from ansible_collections.progressive.delivery.tests.waiting import wait_until

ELSEWHERE = {
    "test_a_plane_that_does_not_answer_is_unavailable",  # the client's own tests have servers that are silent
    "test_weights_never_sum_to_zero_in_between",  # below, with requests
}
CONTRACT = [
    check for name, check in inspect.getmembers(contract, inspect.isfunction)
    if name.startswith("test_") and list(inspect.signature(check).parameters) == ["harness"] and name not in ELSEWHERE
    and all("istio" in mark.args[1] for mark in getattr(check, "pytestmark", []) if mark.name == "parametrize")
]  # fmt: skip
CANARY_HEADER = (MatchRoute("testers", ((Condition("header", "canary", "exact", "true"),),)),)


def split(canary, **more) -> Routes:
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


def when(source, name, how, value) -> tuple[MatchRoute, ...]:
    return (MatchRoute("testers", ((Condition(source, name, how, value),),)),)


@pytest.fixture(scope="module")
def plane(cluster, mesh, tmp_path_factory):
    with cluster.namespace(tmp_path_factory.mktemp("istio")) as namespace:
        made = IstioShop(namespace, mesh)
        yield made
        made.close()


@pytest.fixture
def shop(plane):
    plane.reset()
    return plane


def put(router, want: Routes) -> None:
    router.write(want)
    wait_until(lambda: router.observe(want).applied, says=lambda: router.observe(want).why)


@pytest.mark.parametrize("check", [*CONTRACT, contract.test_real_requests_follow_the_weights_and_are_counted], ids=lambda check: check.__name__[5:])
def test_istio_keeps_the_contract(shop, check):
    check(shop)


@pytest.mark.parametrize("canary", ["5", "12.5", "50"])
def test_weights_hold_over_thousands_of_requests_and_are_measured(shop, canary):
    router, want, count = shop.router(), split(canary, matches=CANARY_HEADER), 2000
    router.write(want)
    before = router.observe(want)
    share, got = float(canary) / 100, shop.requests(count)
    measured = settle(want, before, router.observe(want))
    assert got["failed"] == 0
    assert abs(got["canary"] / count - share) < 6 * math.sqrt(share * (1 - share) / count)
    assert measured.settled and measured.requests == count
    assert measured.measured["canary"] == Fraction(100 * got["canary"], count), "counted by Envoy as seen by the users"
    assert shop.tracks(100, canary="true") == {"canary": 100}


def test_no_request_fails_while_weights_move(shop):
    router = shop.router()
    with shop.users.load(shop.entry.port, 200) as load, shop.totals() as totals:
        wait_until(lambda: len(load.hits) > 50)
        for canary in (5, 50, 100, 0, 100, 0):
            router.write(split(canary, matches=CANARY_HEADER if 0 < canary < 100 else ()))
            seen = len(load.hits)
            wait_until(lambda seen=seen: len(load.hits) > seen + 60)
    assert load.failed == []
    assert min(totals) > 0
    assert set(load.by_server()) == {"1", "2"}


@pytest.mark.parametrize(
    ("matches", "path", "headers"),
    [
        (when("header", "canary", "exact", "true"), "/", {"canary": "true"}),
        (when("header", "X-User", "prefix", "qa-"), "/", {"x-user": "qa-7"}),
        (when("cookie", "track", "exact", "canary"), "/", {"cookie": "a=b; track=canary; c=d"}),
        (when("query", "beta", "regex", "1|yes"), "/?x=1&beta=yes", {}),
        (when("path", "path", "prefix", "/beta/"), "/beta/cart", {}),
    ],
    ids=["header", "prefix", "cookie", "query", "path"],
)
def test_requests_that_match_reach_the_canary_and_no_others(shop, matches, path, headers):
    router, want = shop.router(), split(0, matches=matches)
    router.write(want)
    assert shop.tracks(50, path, **headers) == {"canary": 50}
    assert shop.tracks(50) == {"stable": 50}
    assert shop.tracks(20, "/betas?beta=no", cookie="track=canaries", canary="false") == {"stable": 20}
    assert shop.made().read() == want
    shop.made().release()
    wait_until(lambda: router.observe(split(0)).applied, says=lambda: router.observe(split(0)).why)
    assert shop.tracks(20, path, **headers) == {"stable": 20}


def test_a_mirror_sends_copies_that_nobody_notices(shop):
    router, want = shop.router(), split(0, mirror=Mirror(Fraction(50)))
    router.write(want)
    before = shop.copies()
    assert shop.tracks(200) == {"stable": 200}
    wait_until(lambda: 60 < shop.copies() - before < 140, says=lambda: shop.copies() - before)
    copied = shop.copies()
    assert [shop.ask("/", b"order=1").headers["x-app-version"] for _each in range(50)] == ["1"] * 50
    assert shop.copies() == copied, "an order is not placed twice"
    assert router.observe(want).requests == {}, "copies count like requests, so nothing is measured"
    router.write(split(0))
    assert shop.made().read() == split(0)


def test_a_foreign_change_is_named_kept_and_undone_where_it_is_ours(shop):
    router = shop.router()
    router.write(split(20))
    patch = '[{"op":"replace","path":"/spec/http/0/route/1/weight","value":900},{"op":"replace","path":"/spec/http/0/timeout","value":"7s"}]'
    shop.namespace.kubectl("patch", "virtualservice", "shop", "--type=json", "--field-manager=somebody", "-p", patch)
    assert "last changed by somebody at 20" in router.observe(split(20)).why
    router.write(split(20))
    [only] = shop.route()["spec"]["http"]
    assert only["timeout"] == "7s"
    assert shop.made().read() == split(20)


def test_named_rules_move_together_and_others_stay(shop):
    other = {"name": "static", "match": [{"uri": {"prefix": "/static"}}], "route": [{"destination": {"host": "shop-stable"}}], "retries": {"attempts": 1}}
    given = [other, rule(name="cart", match=[{"uri": {"prefix": "/cart"}}]), rule(name="all")]
    shop.namespace.apply(virtual_service("shop", shop.gateway, *given))
    with pytest.raises(ConfigError, match="2 rules hold .*: http/cart, http/all.*Say which: routes"):
        shop.made().read()
    router = shop.made(routes=["http/cart", "all"])
    put(router, split(100, matches=CANARY_HEADER))
    assert shop.tracks(20, "/cart/1") == shop.tracks(20, "/") == {"canary": 20}
    assert shop.tracks(20, "/static/1") == {"stable": 20}
    put(router, split(0, matches=CANARY_HEADER))
    assert shop.tracks(20, "/cart/1", canary="true") == shop.tracks(20, "/", canary="true") == {"canary": 20}
    assert shop.tracks(20, "/static/1", canary="true") == {"stable": 20}
    only = shop.made(routes=["cart"])
    router.release()
    put(only, split(100))
    assert (shop.tracks(20, "/cart/1"), shop.tracks(20, "/")) == ({"canary": 20}, {"stable": 20})
    put(only, split(0))
    assert [{**each, "route": None} for each in shop.route()["spec"]["http"]] == [{**each, "route": None} for each in given]
    assert shop.route()["spec"]["http"][0] == other


def test_several_virtual_services_are_one_router(shop):
    shop.namespace.apply(virtual_service("shop", shop.gateway, hosts=["a.example"]), virtual_service("second", shop.gateway, hosts=["b.example"]))
    router = shop.made(virtual_services=["second"])
    put(router, split(100))
    assert shop.tracks(20, Host="a.example") == shop.tracks(20, Host="b.example") == {"canary": 20}
    put(router, split(30))
    got = shop.tracks(300, Host="b.example")
    assert 40 < got["canary"] < 140 and got["failed"] == 0


def test_a_delegate_is_named_and_moved(shop):
    root = {"match": [{"uri": {"prefix": "/"}}], "delegate": {"name": "delegate"}}
    shop.namespace.apply(virtual_service("delegate", ""), virtual_service("shop", shop.gateway, root))
    with pytest.raises(ConfigError, match="It delegates to this namespace/delegate: name that VirtualService"):
        shop.made().read()
    router = shop.made(virtual_service="delegate")
    put(router, split(100))
    assert shop.tracks(20) == {"canary": 20}
    put(router, split(0, matches=CANARY_HEADER))
    assert (shop.tracks(20), shop.tracks(20, canary="true")) == ({"stable": 20}, {"canary": 20})


def test_connections_are_split_by_a_rule_of_tcp(shop):
    shop.namespace.apply(tcp_service("plain", shop.gateway, shop.tcp_port))
    router = shop.made(virtual_service="plain", routes=["tcp/0"])

    def tracks(count: int) -> collections.Counter[str]:
        answers = (fetch(f"http://127.0.0.1:{shop.tcp_port}/").headers for _each in range(count))
        versions = ({name.lower(): value for name, value in each.items()}.get("x-app-version", "") for each in answers)  # nobody has lowered the names here
        return collections.Counter(TRACK.get(version, "failed") for version in versions)

    wait_until(lambda: tracks(1) == {"stable": 1})
    put(router, split(100))
    wait_until(lambda: tracks(10) == {"canary": 10}, says=lambda: tracks(10))
    put(router, split(30))
    wait_until(lambda: tracks(10)["stable"])
    before, got, after = router.observe(split(30)).requests, tracks(400), router.observe(split(30)).requests
    assert got["failed"] == 0 and 60 < got["canary"] < 180
    assert {slot: after[slot] - before[slot] for slot in after} == dict(got), "Envoy counts the connections that the users made"


def subsets(*, labels: bool, canary: bool) -> tuple[dict, dict]:
    made = [{"name": "stable", "labels": {"color": "blue"}}, *([{"name": "canary", "labels": {"color": "green"}}] if canary else [])]
    spec = {"host": "shop-both", "subsets": made, "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}}
    options = {"host": "shop-both", "stable": "stable", "canary": "canary", "destination_rule": {"canary": {"color": "green"}} if labels else None}
    return {"apiVersion": NETWORKING, "kind": "DestinationRule", "metadata": {"name": "shop-both"}, "spec": spec}, options


@pytest.mark.parametrize("canary", [True, False], ids=["there", "made"])
def test_subsets_of_one_service_without_a_failed_request(shop, canary):
    manifest, options = subsets(labels=not canary, canary=canary)
    destinations = [{"host": "shop-both", "subset": slot} for slot in ("stable", "canary")]
    shop.namespace.apply(manifest, virtual_service("shop", shop.gateway, rule(*destinations)))
    wait_until(lambda: shop.tracks(5) == {"stable": 5})
    router = shop.made(**options)
    with shop.users.load(shop.entry.port, 200) as load:
        for share in (20, 100, 0):
            put(router, split(share, matches=CANARY_HEADER if share == 20 else ()))
            if share == 20:
                before = router.observe(split(20))
                got = shop.requests(1000)
                seen = router.observe(split(20))
                assert got["failed"] == 0 and 120 < got["canary"] < 280
                assert seen.requests["canary"] > before.requests["canary"]
                assert shop.tracks(20, canary="true") == {"canary": 20}
            elif share == 100:
                assert shop.tracks(20) == {"canary": 20}
    assert load.failed == []
    live = shop.admin.get(DESTINATIONRULES, "shop-both")
    assert [each["name"] for each in live["spec"]["subsets"]] == ["stable", "canary"]
    assert live["spec"]["trafficPolicy"] == manifest["spec"]["trafficPolicy"]


def test_a_subset_that_is_not_there_is_named_before_anything_changes(shop):
    manifest, options = subsets(labels=False, canary=False)
    shop.namespace.apply(manifest, virtual_service("shop", shop.gateway, rule(*({"host": "shop-both", "subset": slot} for slot in ("stable", "canary")))))
    with pytest.raises(ConfigError, match=r"there is no subset canary.*Add to spec.subsets: - \{name: canary"):
        shop.made(**options).read()
    assert shop.writes() == 0


def test_what_istiod_has_not_seen_is_not_applied(shop):
    router = shop.made()
    with shop.mesh.frozen():
        router.write(split(30))
        looks = {router.observe(split(30)).why for _each in range(3)}
        assert shop.requests(50)["canary"] == 0
    [why] = looks
    assert "no route of its own rules of it gives canary 30 %, stable 70 % yet" in why
    wait_until(lambda: router.observe(split(30)).applied, says=lambda: router.observe(split(30)).why)
    assert shop.requests(200)["canary"] > 20


def test_a_service_without_pods_gets_nothing(shop):
    shop.namespace.kubectl("create", "service", "clusterip", "shop-empty", "--tcp=80:8080", "--dry-run=client", "-o", "name")
    shop.namespace.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop-empty"}, "spec": {"selector": {"app": "none"}, "ports": [{"port": 80}]}},
        virtual_service("shop", shop.gateway, rule(SLOTS[0], {"host": "shop-empty"})),
    )
    router = shop.made(canary="shop-empty")
    for want in (split(5), split(0, matches=CANARY_HEADER), split(0, mirror=Mirror(Fraction(5)))):
        with pytest.raises(Unavailable, match=r"Service shop-empty \(canary\) has no ready endpoint"):
            router.write(want)
        assert "shop-empty" in router.unready(want)
    assert shop.writes() == 0


def test_a_cluster_without_istio_says_so(shop, monkeypatch):
    monkeypatch.setattr(istio, "VIRTUALSERVICES", Resource(VIRTUALSERVICES.group, "v9", VIRTUALSERVICES.plural, VIRTUALSERVICES.kind))
    with pytest.raises(NoSuchResource, match=r"does not serve virtualservices.networking.istio.io in version v9.*kubectl api-resources"):
        shop.made().read()


@pytest.mark.parametrize("by_subsets", [False, True], ids=["services", "subsets"])
def test_its_rights_are_enough(shop, by_subsets):
    options = {}
    if by_subsets:
        manifest, options = subsets(labels=True, canary=False)
        destinations = [{"host": "shop-both", "subset": slot} for slot in ("stable", "canary")]
        shop.namespace.apply(manifest, virtual_service("shop", shop.gateway, rule(*destinations)))
    rights = shop.made(**options).rights()
    limited = Kube.from_options({"kubeconfig": str(shop.namespace.kubeconfig(f"istio-{by_subsets}".lower(), rules(rights))), "namespace": shop.namespace.name})
    router = shop.made(limited, **options)
    router.read()
    router.rehearse(split(5))
    put(router, split(5))
    assert router.warnings() == []
    router.release()


@pytest.fixture
def checked(cluster, tmp_path):
    """A shop in a mesh whose webhook is asked about every change."""
    folders = [tmp_path / name for name in ("home", "shop")]
    for folder in folders:
        folder.mkdir()
    with cluster.namespace(folders[0], "mesh") as home, cluster.namespace(folders[1]) as namespace:
        mesh = CheckedMesh(tmp_path / "mesh", cluster, home)
        try:
            made = IstioShop(namespace, mesh)
            yield made
            made.close()
        finally:
            mesh.close()


def test_istios_own_webhook_is_asked_beforehand_and_takes_what_is_good(checked):
    router = checked.made()
    refused = split(5, matches=when("header", "canary", "regex", "(unclosed"))
    for ask in (router.rehearse, router.write):
        with pytest.raises(ConfigError, match=r"(?s)rev.validation.istio.io.*regex"):
            ask(refused)
    assert checked.made().read() == split(0), "nothing of it was written"
    good = split(5, matches=CANARY_HEADER, mirror=None)
    router.rehearse(good)
    assert checked.made().read() == split(0)
    put(router, good)
    put(router, split(20, mirror=Mirror(Fraction("2.5"))))
    assert checked.made().read() == split(20, mirror=Mirror(Fraction("2.5")))
    router.release()
    with pytest.raises(KubectlFailed, match="traffic policy must have at least one field"):
        checked.namespace.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(GUIDES_RULE))
    with pytest.raises(KubectlFailed, match='unknown field "spec.trafficPolicy.consistentHash"'):
        checked.namespace.apply(GUIDES_RULE)
    holding = checked.made(affinity=AFFINITY)
    holding.rehearse(split(5))
    assert not checked.namespace.list("destinationrule")
    put(holding, split(5))
    assert checked.namespace.get("destinationrule", "shop-stable")["spec"]["trafficPolicy"]["loadBalancer"]["consistentHash"] == {
        "httpCookie": {"name": "shop-session", "path": "/", "ttl": "3600s"}
    }


AFFINITY = {"cookie": {"name": "shop-session", "path": "/", "ttl": "1h"}}
GUIDES_RULE = {
    "apiVersion": "networking.istio.io/v1alpha3", "kind": "DestinationRule", "metadata": {"name": "myapp-session-affinity"},
    "spec": {"host": "shop-stable", "trafficPolicy": {"consistentHash": {"httpCookieName": "JSESSIONID", "ttl": "3600s"}}},
}  # fmt: skip
"""As the guide has it."""


@pytest.mark.parametrize("by_subsets", [False, True], ids=["services", "subsets"])
def test_a_session_keeps_its_pod_while_weights_move_and_nobody_stays_with_the_canary(shop, by_subsets):
    options = {"affinity": AFFINITY}
    if by_subsets:
        manifest, more = subsets(labels=False, canary=True)
        destinations = [{"host": "shop-both", "subset": slot} for slot in ("stable", "canary")]
        shop.namespace.apply(manifest, virtual_service("shop", shop.gateway, rule(*destinations)))
        options.update(more)
    router = shop.made(**options)
    told = router.sessions()
    router.rehearse(split(20))
    assert len(told) == (2 if by_subsets else 3) and "it stays after the release" in told[0]
    put(router, split(1))
    users = shop.begin(30)
    put(router, split(0))
    home = shop.pods(users)
    assert all(set(each) == {"1"} and len(each["1"]) == 1 for each in home)
    assert len({pod for each in home for pod in each["1"]}) == 2, "they are spread over the Pods"
    met: list[set[str]] = [set() for _user in users]
    with shop.users.load(shop.entry.port, 100) as load:
        for canary in (20, 50):
            put(router, split(canary))
            for user, pod in enumerate(shop.pods(users)):
                assert pod.get("1", set()) <= home[user]["1"], "the split moves nobody to another Pod of the version that it knows"
                met[user] |= pod.get("2", set())
        put(router, split(0))
        assert shop.pods(users) == home, "nobody is on the canary, whatever the cookie says, and the way back is the way home"
    assert load.failed == []
    assert all(len(seen) < 2 for seen in met) and any(met), "one Pod of the canary for each"
    put(router, split(100))
    wait_until(lambda: all(set(each) == {"2"} and len(each["2"]) == 1 for each in shop.pods(users)))
    assert router.sessions()[0].endswith("stands already; it stays after the release")


def test_sessions_that_somebody_lets_go_are_held_again(shop):
    router = shop.made(affinity=AFFINITY)
    put(router, split(20))
    shop.namespace.kubectl("patch", "destinationrule", "shop-stable", "--type=merge", "--field-manager=somebody", "-p", '{"spec":{"trafficPolicy":null}}')
    seen = router.observe(split(20))
    assert not seen.applied and "DestinationRule shop-stable does not hold sessions by the cookie shop-session" in seen.why
    put(router, split(20))
    shop.namespace.kubectl("delete", "destinationrule", "--all")
    shop.namespace.kubectl("create", "-f", "-", stdin=json.dumps({**GUIDES_RULE, "spec": {"host": "shop-stable", "trafficPolicy": {
        "loadBalancer": {"consistentHash": {"useSourceIp": True}}}}}))  # fmt: skip
    with pytest.raises(ConfigError, match="held by useSourceIp True already"):
        router.write(split(30))
    put(router, split(0))
    assert shop.tracks(20) == {"stable": 20}, "to go back no DestinationRule is in the way"
