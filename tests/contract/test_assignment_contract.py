# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every router does that can split users: each key to the variant that ``core/sticky.py`` says, whatever happens to the share or the process."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Sequence
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import sticky
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import CANARY, STABLE, Assignment, Capability, Condition, MatchRoute, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import Assigning
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import difference
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import ROUTERS
from ansible_collections.progressive.delivery.tests.contract.harness_envoy import EnvoyFleetHarness, EnvoyHarness, EnvoyStaticHarness
from ansible_collections.progressive.delivery.tests.contract.harness_haproxy import (
    HaproxySplitFleetHarness,
    HaproxySplitHarness,
    HaproxySplitHeaderHarness,
    HaproxySplitQueryHarness,
)
from ansible_collections.progressive.delivery.tests.contract.harness_memory import TRACKS
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import until

STICKY = {
    "envoy": EnvoyHarness,
    "envoy-static": EnvoyStaticHarness,
    "envoy-fleet": EnvoyFleetHarness,
    "haproxy-split": HaproxySplitHarness,
    "haproxy-split-fleet": HaproxySplitFleetHarness,
}
KEYS = [f"user-{number}" for number in range(10_000)]
VIP = MatchRoute("vip", ((Condition("header", "user-tier", "exact", "vip"),),), STABLE)
NEW = MatchRoute("new", ((Condition("header", "user-type", "exact", "new"),),), CANARY)
TRACK = {host: track for track, hosts in TRACKS.items() for host in hosts}


@pytest.fixture(params=STICKY)
def harness(request, tmp_path):
    plane = STICKY[request.param](tmp_path)
    yield plane
    plane.close()


def users(**changes) -> Assignment:
    return Assignment(**{"source": "cookie", "name": "user_id", "salt": "shop", **changes})


def split(canary, assignment, *rules) -> Routes:
    share = Fraction(canary)
    return Routes({STABLE: 100 - share, CANARY: share}, assignment=assignment, matches=rules)


def visits(port: int, headers: Iterable[dict[str, str]], paths: Sequence[str] = ()) -> list[str]:
    """The track that answered each request; all of them over one connection."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    answered = []
    for index, each in enumerate(headers):
        client.request("GET", paths[index] if paths else "/", headers=each)
        answered.append(TRACK[client.getresponse().read().decode()])
    client.close()
    return answered


def cookies(keys: Iterable[str]) -> list[dict[str, str]]:
    return [{"Cookie": f"theme=dark; user_id={key}; lang=de"} for key in keys]


def predicted(keys: Iterable[str], share, salt="shop") -> list[str]:
    return [CANARY if sticky.is_candidate(key, salt, Fraction(share)) else STABLE for key in keys]


def test_every_router_of_the_catalog_that_says_so_is_held_against_this():
    says = {name for name, adapter in ROUTERS.items() if Capability.STICKY in adapter.capabilities} - {"memory"}
    assert says <= {name.partition("-")[0] for name in STICKY}


def test_ten_thousand_users_go_where_the_function_says(harness):
    router = harness.router()
    want = split(40, users())
    router.write(want)
    assert difference(want, harness.router().read()) == ""
    seen = harness.router().observe(want)
    assert seen.applied, seen.why
    planes = harness.planes
    found = [track for index, plane in enumerate(planes) for track in visits(plane.port, cookies(KEYS[index :: len(planes)]))]
    expected = [track for index in range(len(planes)) for track in predicted(KEYS[index :: len(planes)], 40)]
    assert found == expected
    assert abs(100 * found.count(CANARY) / len(KEYS) - 40) < 1


def test_nobody_flips_back_as_the_share_grows(harness):
    router = harness.router()
    some, taken = KEYS[:600], set()
    for share in ("0", "0.5", "20", "33.33", "60", "99", "100"):
        router.write(split(share, users()))
        for plane in harness.planes:
            found = visits(plane.port, cookies(some))
            assert found == predicted(some, share)
            now = {key for key, track in zip(some, found) if track == CANARY}
            assert taken <= now
        taken = now
    assert len(taken) == len(some)


def test_the_same_write_again_writes_nothing(harness):
    router = harness.router()
    want = split(40, users(), VIP, NEW)
    router.write(want)
    before = harness.writes()
    router.write(want)
    harness.router().write(want)
    assert harness.writes() == before


@pytest.mark.parametrize("others", [STABLE, CANARY, ""])
def test_users_without_a_key_go_where_it_is_said(harness, others):
    harness.router().write(split(50, users(others=others)))
    none = [{}, {"Cookie": "theme=dark"}, {"Cookie": "my_user_id=user-1"}, {"Cookie": "user_id="}]
    found = visits(harness.planes[0].port, none * 50)
    if others:
        assert set(found) == {others}
    else:
        assert 60 < found.count(CANARY) < 140
    some = KEYS[:200]
    assert visits(harness.planes[0].port, cookies(some)) == predicted(some, 50)


def test_rules_come_first_and_the_first_of_them_counts(harness):
    router = harness.router()
    router.write(split(40, users(), VIP, NEW))
    some = KEYS[:300]
    port = harness.planes[0].port
    assert set(visits(port, [{**each, "user-tier": "vip"} for each in cookies(some)])) == {STABLE}
    assert set(visits(port, [{**each, "user-type": "new"} for each in cookies(some)])) == {CANARY}
    assert set(visits(port, [{**each, "user-tier": "vip", "user-type": "new"} for each in cookies(some)])) == {STABLE}
    assert visits(port, [{**each, "user-tier": "gold", "user-type": "old"} for each in cookies(some)]) == predicted(some, 40)
    router.write(split(40, users()))
    assert visits(port, [{**each, "user-tier": "vip"} for each in cookies(some)]) == predicted(some, 40)


def test_the_candidate_may_be_either_slot(harness):
    router = harness.router()
    router.write(split(100, None))
    router.write(split(70, users(track=STABLE, others=CANARY)))
    some = KEYS[:400]
    found = visits(harness.planes[0].port, cookies(some))
    assert found == [STABLE if track == CANARY else CANARY for track in predicted(some, 30)]


@pytest.mark.parametrize(
    ("make", "source", "name"),
    [
        (EnvoyHarness, "header", "x-user"),
        (EnvoyHarness, "query", "user"),
        (HaproxySplitHeaderHarness, "header", "x-user"),
        (HaproxySplitQueryHarness, "query", "user"),
    ],
)
def test_the_key_may_stand_in_a_header_or_in_the_query(tmp_path, make, source, name):
    harness = make(tmp_path)
    try:
        harness.router().write(split(50, users(source=source, name=name)))
        some = KEYS[:300]
        if source == "header":
            found = visits(harness.planes[0].port, [{name: key, "Cookie": "user_id=else"} for key in some])
        else:
            found = visits(harness.planes[0].port, [{}] * len(some), [f"/list?page=2&{name}={key}&x_{name}=else" for key in some])
        assert found == predicted(some, 50)
        assert set(visits(harness.planes[0].port, [{}] * 20, ["/list?page=2", "/user=user-1"] * 10)) == {STABLE}
    finally:
        harness.close()


def test_a_restart_changes_nothing(harness):
    router = harness.router()
    want = split(40, users(), VIP)
    router.write(want)
    for plane in harness.planes:
        proxy = getattr(plane, "proxy", plane)
        proxy.stop()
        proxy.start()
    until(lambda: harness.router().observe(want).applied)
    some = KEYS[:300]
    for plane in harness.planes:
        assert visits(plane.port, cookies(some)) == predicted(some, 40)
        assert set(visits(plane.port, [{**each, "user-tier": "vip"} for each in cookies(some[:50])])) == {STABLE}


def test_another_salt_splits_the_same_users_another_way(harness):
    router = harness.router()
    some = KEYS[:400]
    for salt in ("shop", "shop-2"):
        router.write(split(50, users(salt=salt)))
        assert visits(harness.planes[0].port, cookies(some)) == predicted(some, 50, salt)
    assert predicted(some, 50) != predicted(some, 50, "shop-2")


def test_keys_as_people_have_them(harness):
    some = ["1", "0b9f2c1e-5d1f-4f0e-9c55-0d6f6a4b8a11", "anna@example.com", "a=b", "x" * 200, "%F0%9F%8D%B5", "$1", "(group)", "back\\1slash"]
    harness.router().write(split(50, users()))
    assert visits(harness.planes[0].port, cookies(some)) == predicted(some, 50)
    assert visits(harness.planes[0].port, [{"Cookie": f"user_id={key}"} for key in some]) == predicted(some, 50)


def test_it_is_gone_with_the_release(harness):
    router = harness.router()
    router.write(split(40, users(), VIP))
    router.release()
    live = harness.router().read()
    assert (live.assignment, live.matches) == (None, ())
    assert live.weights[CANARY] == 40


def test_a_router_says_what_it_cannot(harness):
    router = harness.router()
    assert isinstance(router, Assigning)
    assert router.unassignable(split(40, users(), VIP, NEW)) == ""
    assert Capability.STICKY in router.capabilities


def test_a_share_between_two_buckets_is_refused(harness):
    before = harness.writes()
    with pytest.raises(Unsupported, match="no whole number"):
        harness.router().write(split(Fraction(100, 3), users()))
    assert harness.writes() == before
