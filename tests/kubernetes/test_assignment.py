# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variants named by the edge, and rules, before Istio's real control plane and a real Envoy: what the Gateway API and VirtualServices have for A/B tests."""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import sticky
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import CANARY, STABLE, Assignment, Condition, MatchRoute, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import settle
from ansible_collections.progressive.delivery.tests.kubernetes.gateway_rig import TRACK, GatewayShop
from ansible_collections.progressive.delivery.tests.kubernetes.istio_rig import IstioShop
from ansible_collections.progressive.delivery.tests.waiting import wait_until


def rule(name: str, header: str, value: str, track: str) -> MatchRoute:
    return MatchRoute(name, ((Condition("header", header, "exact", value),),), track)


VIP, NEW = rule("vip", "user-tier", "vip", STABLE), rule("new", "user-type", "new", CANARY)
NAMED = (rule("variant-a", "ab-test-group", "A", STABLE), rule("variant-b", "ab-test-group", "B", CANARY))
KEYS = [f"user-{number}" for number in range(10_000)]


def split(canary, *rules, **more) -> Routes:
    return Routes({STABLE: 100 - Fraction(canary), CANARY: Fraction(canary)}, matches=rules, **more)


@pytest.fixture(scope="module", params=[GatewayShop, IstioShop], ids=["gateway_api", "istio"])
def shop(cluster, mesh, tmp_path_factory, request):
    with cluster.namespace(tmp_path_factory.mktemp("assignment")) as namespace:
        made = request.param(namespace, mesh)
        yield made
        made.close()


@pytest.fixture(autouse=True)
def fresh(shop):
    shop.reset()


def put(shop, want: Routes) -> None:
    router = shop.router()
    router.write(want)
    wait_until(lambda: router.observe(want).applied, says=lambda: router.observe(want).why)


def visits(shop, headers: Iterable[dict[str, str]]) -> list[str]:
    """The slot that answered each request; all of them over one connection."""
    client = http.client.HTTPConnection("127.0.0.1", shop.entry.port, timeout=120)
    answered = []
    for each in headers:
        client.request("GET", "/", headers=each)
        answer = client.getresponse()
        answer.read()
        answered.append(TRACK.get(answer.headers.get("x-app-version", ""), "failed"))
    client.close()
    return answered


def edge(keys: Iterable[str], share) -> list[dict[str, str]]:
    """What an edge sends on that names the variant by the documented function."""
    return [{"ab-test-group": "B" if sticky.is_candidate(key, "shop", Fraction(share)) else "A", "x-user": key} for key in keys]


def test_ten_thousand_users_go_where_the_edge_says(shop):
    router, want = shop.router(), split(0, *NAMED)
    put(shop, want)
    before = router.observe(want)
    found = visits(shop, edge(KEYS, 40))
    assert found == [CANARY if sticky.is_candidate(key, "shop", Fraction(40)) else STABLE for key in KEYS]
    assert abs(100 * found.count(CANARY) / len(KEYS) - 40) < 1
    told = settle(want, before, router.observe(want))
    assert told.settled and told.requests == len(KEYS)
    assert told.measured[CANARY] == Fraction(100 * found.count(CANARY), len(KEYS))


def test_nobody_flips_back_as_the_share_grows(shop):
    put(shop, split(0, *NAMED))
    some, taken = KEYS[:500], set()
    for share in (0, 5, 20, 60, 100):
        now = {key for key, track in zip(some, visits(shop, edge(some, share))) if track == CANARY}
        assert taken <= now
        taken = now
    assert len(taken) == len(some)


def test_rules_come_before_the_edges_word_and_nobody_else_sees_b(shop):
    put(shop, split(0, VIP, NEW, *NAMED))
    b = {"ab-test-group": "B"}
    assert set(visits(shop, [{**b, "user-tier": "vip"}] * 50)) == {STABLE}
    assert set(visits(shop, [{"ab-test-group": "A", "user-type": "new"}] * 50)) == {CANARY}
    assert set(visits(shop, [{"user-tier": "vip", "user-type": "new"}] * 50)) == {STABLE}
    assert set(visits(shop, [b] * 50)) == {CANARY}
    assert set(visits(shop, [{}, {"ab-test-group": "C"}, {"ab-test-group": "b"}] * 30)) == {STABLE}


def test_the_rest_by_chance_as_the_guide_has_it(shop):
    put(shop, split(40, VIP, NEW))
    found = visits(shop, [{}] * 2000)
    assert abs(found.count(CANARY) / 2000 - 0.4) < 6 * (0.4 * 0.6 / 2000) ** 0.5
    assert "failed" not in found


def test_a_hash_is_refused_with_the_way_out(shop):
    with pytest.raises(Unsupported, match="no hash to split users by.*name the variant in a header"):
        shop.router().write(split(40, assignment=Assignment("header", "x-user", "shop")))
