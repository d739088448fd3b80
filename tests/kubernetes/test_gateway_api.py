# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router gateway_api before Istio's real control plane and a real Envoy, with real requests through it to real Pods."""

from __future__ import annotations

import inspect
import math
import time
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import EnvoyAdmin
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import NoSuchResource
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import HTTPROUTES, Resource
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import rules
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Mirror, Routes, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import settle
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.envoy import EnvoyProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.plugins.module_utils.routers import gateway_api
from ansible_collections.progressive.delivery.tests.cluster.cluster import fetch, service
from ansible_collections.progressive.delivery.tests.cluster.scraper import Scraper
from ansible_collections.progressive.delivery.tests.contract import test_router_contract as contract
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm
from ansible_collections.progressive.delivery.tests.kubernetes import release_rig
from ansible_collections.progressive.delivery.tests.kubernetes.gateway_rig import GatewayShop, http_route
from ansible_collections.progressive.delivery.tests.kubernetes.release_rig import COLORS
from ansible_collections.progressive.delivery.tests.ports import closed_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

ELSEWHERE = {
    "test_a_plane_that_does_not_answer_is_unavailable",  # the client's own tests have servers that are silent
    "test_weights_never_sum_to_zero_in_between",  # below, with requests
}
CONTRACT = [
    check for name, check in inspect.getmembers(contract, inspect.isfunction)
    if name.startswith("test_") and list(inspect.signature(check).parameters) == ["harness"] and name not in ELSEWHERE
    and all("gateway_api" in mark.args[1] for mark in getattr(check, "pytestmark", []) if mark.name == "parametrize")
]  # fmt: skip


def split(canary, **more) -> Routes:
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


def when(source, name, how, value) -> tuple[MatchRoute, ...]:
    return (MatchRoute("testers", ((Condition(source, name, how, value),),)),)


@pytest.fixture(scope="module")
def plane(cluster, mesh, tmp_path_factory):
    with cluster.namespace(tmp_path_factory.mktemp("gateway")) as namespace:
        made = GatewayShop(namespace, mesh)
        yield made
        made.close()


@pytest.fixture
def users():
    farm = Farm()
    yield farm
    farm.close()


@pytest.fixture
def shop(plane):
    """As at the beginning: all traffic on stable."""
    plane.reset()
    return plane


@pytest.mark.parametrize("check", [*CONTRACT, contract.test_real_requests_follow_the_weights_and_are_counted], ids=lambda check: check.__name__[5:])
def test_gateway_api_keeps_the_contract(shop, check):
    check(shop)


@pytest.mark.parametrize("canary", ["5", "12.5", "50"])
def test_weights_hold_over_thousands_of_requests_and_are_measured(shop, canary):
    router, want, count = shop.router(), split(canary), 2000
    router.write(want)
    before = router.observe(want)
    share, got = float(canary) / 100, shop.requests(count)
    measured = settle(want, before, router.observe(want))
    assert got["failed"] == 0
    assert abs(got["canary"] / count - share) < 6 * math.sqrt(share * (1 - share) / count)
    assert measured.settled and measured.requests == count
    assert measured.measured["canary"] == Fraction(100 * got["canary"], count), "counted by Envoy as seen by the users"


def test_no_request_fails_while_weights_move(shop):
    router = shop.router()
    with shop.users.load(shop.entry.port, 200) as load, shop.totals() as totals:
        wait_until(lambda: len(load.hits) > 50)
        for canary in (5, 50, 100, 0, 100, 0):
            router.write(split(canary, matches=when("header", "canary", "exact", "true") if 0 < canary < 100 else ()))
            seen = len(load.hits)
            wait_until(lambda seen=seen: len(load.hits) > seen + 60)
    assert load.failed == []
    assert min(totals) > 0
    assert set(load.by_server()) == {"1", "2"}


@pytest.mark.parametrize(
    ("matches", "path", "headers"),
    [
        (when("header", "canary", "exact", "true"), "/", {"canary": "true"}),
        (when("header", "x-user", "prefix", "qa-"), "/", {"x-user": "qa-7"}),
        (when("cookie", "track", "exact", "canary"), "/", {"cookie": "a=b; track=canary; c=d"}),
        (when("query", "beta", "regex", "1|yes"), "/?x=1&beta=yes", {}),
        (when("path", "path", "prefix", "/beta"), "/beta/cart", {}),
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
    patch = '[{"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":900},{"op":"replace","path":"/spec/rules/0/timeouts/request","value":"7s"}]'
    shop.namespace.kubectl("patch", "httproute", "shop", "--type=json", "--field-manager=somebody", "-p", patch)
    assert "last changed by somebody at 20" in router.observe(split(20)).why
    router.write(split(20))
    [rule] = shop.route()["spec"]["rules"]
    assert rule["timeouts"] == {"request": "7s"}
    assert shop.made().read() == split(20)


def test_a_parent_that_does_not_exist_holds_the_step(shop):
    shop.namespace.apply(http_route("shop", {**shop.entry.parent, "name": "nowhere"}))
    for options in ({}, {"envoys": []}):
        router = shop.made(**options)
        router.write(split(5))
        why = router.observe(split(5)).why
        assert "Gateway nowhere" in why
        assert not router.observe(split(5)).applied


def test_a_gateway_that_does_not_let_the_route_in_is_quoted(shop):
    parent = {**shop.entry.parent, "sectionName": "https"}
    shop.namespace.apply(http_route("shop", parent))
    router = shop.made(envoys=[])
    router.write(split(5))
    wait_until(lambda: "Accepted is False: NoMatchingParent" in router.observe(split(5)).why, says=lambda: router.observe(split(5)).why)
    assert not router.observe(split(5)).applied


def test_a_backend_that_is_not_there_is_quoted(shop):
    extra = {"matches": [{"path": {"type": "PathPrefix", "value": "/x"}}], "backendRefs": [{"name": "nothing", "port": 80}]}
    manifest = http_route("shop", shop.entry.parent)
    manifest["spec"]["rules"].append(extra)
    shop.namespace.apply(manifest)
    router = shop.made()
    router.write(split(5))
    wait_until(lambda: "ResolvedRefs is False: BackendNotFound: " in router.observe(split(5)).why, says=lambda: router.observe(split(5)).why)


@pytest.mark.parametrize("options", [{}, {"envoys": []}], ids=["with its Envoy", "by conditions"])
def test_what_istiod_has_not_seen_is_not_applied(shop, options):
    router = shop.made(**options)
    with shop.mesh.frozen():
        router.write(split(30))
        looks = {router.observe(split(30)).why for _each in range(3)}
        assert shop.requests(50)["canary"] == 0
    [why] = looks
    assert "has not seen the last change yet (Accepted is about generation" in why
    wait_until(lambda: router.observe(split(30)).applied, says=lambda: router.observe(split(30)).why)
    wait_until(lambda: shop.requests(50)["canary"])  # conditions tell what istiod took in; its Envoy hears of it in its own time
    assert shop.requests(200)["canary"] > 20


def test_requests_go_on_while_istiod_is_away_and_a_write_is_in_force_when_it_is_back(shop):
    router = shop.made()
    with shop.users.load(shop.entry.port, 100) as load:
        shop.mesh.stop_istiod()
        router.write(split(30))
        assert not router.observe(split(30)).applied
        shop.mesh.start_istiod()
        wait_until(lambda: router.observe(split(30)).applied, says=lambda: router.observe(split(30)).why)
    assert load.failed == []
    assert shop.requests(200)["canary"] > 20


def test_an_envoy_that_does_not_answer_is_unavailable(shop):
    router = shop.made(envoys=[{"admin": f"http://127.0.0.1:{closed_port()}"}])
    router.write(split(5))
    wait_until(lambda: shop.made().observe(split(5)).applied)
    with pytest.raises(Unavailable, match="127.0.0.1:.*no connection"):
        router.observe(split(5))


def test_a_service_without_pods_gets_nothing(shop):
    shop.namespace.apply(service("shop-empty", {"app": "none"}))
    manifest = http_route("shop", shop.entry.parent)
    manifest["spec"]["rules"][0]["backendRefs"][1]["name"] = "shop-empty"
    shop.namespace.apply(manifest)
    router = shop.made(canary="shop-empty")
    for want in (split(5), split(0, matches=when("header", "canary", "exact", "true")), split(0, mirror=Mirror(Fraction(5)))):
        with pytest.raises(Unavailable, match=r"Service shop-empty \(canary\) has no ready endpoint"):
            router.write(want)
        assert "shop-empty" in router.unready(want)
    assert shop.writes() == 0
    assert shop.requests(50) == {"stable": 50}
    router.write(split(0))


def test_a_cluster_without_the_gateway_api_says_so(shop, monkeypatch):
    monkeypatch.setattr(gateway_api, "HTTPROUTES", Resource(HTTPROUTES.group, "v1alpha9", HTTPROUTES.plural, HTTPROUTES.kind))
    with pytest.raises(NoSuchResource, match=r"does not serve httproutes.gateway.networking.k8s.io in version v1alpha9.*kubectl api-resources"):
        shop.made().read()


def test_sessions_that_this_api_server_would_not_hold_are_refused_and_lose_no_way_back(shop):
    """Its HTTPRoutes are of the standard channel: it takes the field, and drops it without a word."""
    before = shop.route()
    router = shop.made(affinity={"cookie": {"name": "shop-session", "ttl": "1h"}})
    with pytest.raises(Unsupported, match="HTTPRoutes of this cluster have no sessionPersistence.*experimental channel"):
        router.sessions()
    assert shop.route() == before
    router.write(split(20))
    assert "its rules are not as wanted" in router.observe(split(20)).why
    router.write(split(0))
    wait_until(lambda: router.observe(split(0)).applied, says=lambda: router.observe(split(0)).why)
    assert shop.tracks(20) == {"stable": 20}


def test_the_preview_leads_to_the_slot_without_traffic(shop):
    shop.namespace.apply(http_route("preview", shop.entry.parent, hostnames=["preview.shop.example"]))
    router = shop.made(preview="preview")
    ask = {"Host": "preview.shop.example"}
    for canary, there in ((0, "canary"), (100, "stable"), (0, "canary")):
        router.write(split(canary))
        wait_until(lambda canary=canary: router.observe(split(canary)).applied, says=lambda canary=canary: router.observe(split(canary)).why)
        wait_until(lambda there=there: shop.tracks(20, **ask) == {there: 20})  # an Envoy hears of a second route in its own time
        assert shop.tracks(20) == {"canary" if canary else "stable": 20}


def weights(namespace):
    [rule] = namespace.get("httproute", "shop")["spec"]["rules"]
    return [ref["weight"] for ref in rule["backendRefs"]]


def test_blue_green_switches_requests_and_waits_for_a_control_plane_that_lags(namespace, mesh, users):
    mesh.take_in(namespace)
    entry = mesh.entry(namespace.name)
    made = release_rig.Shop(namespace, rollout_router={"gateway_api": {"http_route": "shop", "preview": "preview"}}, rollout_strategy="blue_green")
    namespace.apply(*(service(f"shop-{color}", {"color": color}) for color in COLORS.values()))
    for name, hosts in (("shop", {}), ("preview", {"hostnames": ["preview.shop.example"]})):
        namespace.apply(http_route(name, entry.parent, services=("shop-blue", "shop-green"), **hosts))

    def version(**headers):
        return fetch(entry.url, headers=headers).headers.get("x-app-version")

    wait_until(lambda: version() == "1")
    done = made.run("rollout", "2", rollout_steps=[{"gate": {"name": "look"}}])
    wait_until(lambda: version(Host="preview.shop.example") == "2", 30)  # its Envoy hears of a second route in its own time
    assert (done["outcome"], version()) == ("paused", "1")
    with users.load(entry.port, 50) as load:
        with mesh.frozen():
            promotion = made.started("promote", "2", rollout_steps=[{"gate": {"name": "look"}}])
            wait_until(lambda: weights(namespace) == [0, 100])
            seen = len(load.hits)
            wait_until(lambda: len(load.hits) > seen + 100)  # two seconds in which the Envoy knows nothing of it
            assert made.holds("blue") == ("1", 1), "it still has all requests"
            assert {hit.server for hit in load.hits} == {"1"}
        assert promotion.end()["outcome"] == "promoted"
        wait_until(lambda: version() == "2")
    assert load.failed == []
    assert made.holds("blue") == ("1", 0)
    assert made.run("rollback")["outcome"] == "rolled_back"
    wait_until(lambda: version() == "1")


def test_its_rights_are_enough(shop):
    limited = Kube.from_options({"kubeconfig": str(shop.namespace.kubeconfig("gateway", rules(shop.made().rights()))), "namespace": shop.namespace.name})
    router = shop.made(limited, envoys=[])
    router.write(split(5))
    wait_until(lambda: router.observe(split(5)).applied, says=lambda: router.observe(split(5)).why)
    assert router.warnings() == [f"may not get Gateway {shop.entry.namespace}/{shop.entry.name}: whether it is programmed is not looked at"]
    router.release()


@pytest.fixture
def failing(shop):
    """Half of what the canary answers is an error, while half of all requests are its."""
    shop.router().write(split(50))
    pods = [pod["status"]["podIP"] for pod in shop.namespace.list("pods", "color=green")]
    for pod in pods:
        assert fetch(f"http://{pod}:8080/admin?error_share=0.5", b"").status == 200
    yield {slot: f"outbound|80||shop-{slot}.{shop.namespace.name}.svc.cluster.local" for slot in ("stable", "canary")}
    for pod in pods:
        assert fetch(f"http://{pod}:8080/admin?error_share=0", b"").status == 200


def test_the_gateways_own_counters_tell_how_much_fails(shop, failing):
    provider = EnvoyProvider([EnvoyAdmin(shop.mesh.admin, 60)], failing)
    provider.probe()
    begin = time.time()
    shop.requests(400)
    looks = {slot: provider.query("", Window(slot, begin, time.time(), builtin="error_rate")).samples[0].points[0] for slot in failing}
    assert looks["stable"].value == 0
    assert looks["canary"].value == pytest.approx(0.5, abs=0.05)
    assert looks["canary"].n > 100


def test_prometheus_that_scrapes_the_gateway_tells_how_much_fails(shop, failing, cluster, tmp_path):
    scraper = Scraper(tmp_path / "prometheus", cluster, shop.namespace.name, shop.mesh.job)
    try:
        raw = {"url": scraper.url, "scrape_interval": "1s", "convention": "envoy",
               "selectors": {slot: f'cluster_name="{name}"' for slot, name in failing.items()}}  # fmt: skip
        provider = PrometheusProvider.from_options(validate(raw, PrometheusProvider.OPTIONS, "prometheus"), {})
        with shop.users.load(shop.entry.port, 100):
            looks = wait_until(lambda: counted(provider, 100))
    finally:
        scraper.close()
    assert looks["stable"].value == 0
    assert looks["canary"].value == pytest.approx(0.5, abs=0.05)


def counted(provider, requests):
    """The error rate of both slots, once so many requests of each were counted."""
    now = time.time()
    try:
        looks = {slot: provider.query("", Window(slot, now - 5, now, builtin="error_rate")).samples[0].points[0] for slot in ("stable", "canary")}
    except DeliveryError:
        return None  # nothing was scraped twice yet
    return looks if min(look.n for look in looks.values()) > requests else None
