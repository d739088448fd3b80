# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A split of users in a route configuration. What Envoy makes of it is in the contract suite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy_files import DiscoveryFile
from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy_routes import Layout, edit, read, unowned
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Assignment, Mirror
from ansible_collections.progressive.delivery.plugins.module_utils.routers.envoy import EnvoyRouter
from ansible_collections.progressive.delivery.tests.unit.module_utils.clients.test_envoy import Stub
from ansible_collections.progressive.delivery.tests.unit.module_utils.clients.test_envoy_routes import LAYOUT, VIP, document, routes_of, want, weighted

USERS = Assignment("cookie", "uid", "salt")


@pytest.fixture
def envoy() -> Iterator[Stub]:
    made = Stub()
    yield made
    made.server.shutdown()
    made.server.server_close()


def edited(canary: Any, *clusters: tuple[str, int], users: Assignment = USERS, **more: Any) -> list[dict[str, Any]]:
    """The routes after the foreign one."""
    before = document(weighted("main", *(clusters or (("s", 100), ("c", 0))), **more))
    return routes_of(edit(before, want(canary, assignment=users, matches=(VIP,)), LAYOUT))[1:]


def parts(route: dict[str, Any]) -> list[tuple[str, int]]:
    return [(entry["name"], entry["weight"]) for entry in route["route"]["weighted_clusters"]["clusters"]]


def test_the_candidate_has_the_lowest_buckets_and_rules_come_before() -> None:
    routes = edited("33.33")
    assert [route["name"] for route in routes] == ["progressive-vip", "progressive-vip#2", "progressive-users", "progressive-others", "main"]
    assert parts(routes[2]) == [("c", 3333), ("s", 6667)]
    assert parts(routes[3]) == [("s", 10000), ("c", 0)]
    assert parts(routes[4]) == [("s", 6667), ("c", 3333)]
    assert routes[2]["route"]["timeout"] == "3s"


def test_of_two_the_other_may_be_the_candidate() -> None:
    routes = edited(70, users=Assignment("cookie", "uid", "salt", track="stable", others="canary"))
    assert parts(routes[2]) == [("s", 3000), ("c", 7000)]
    assert parts(routes[3]) == [("s", 0), ("c", 10000)]


def test_a_third_cluster_keeps_its_share_above_all_others() -> None:
    routes = edited(20, ("x", 10), ("s", 90), ("c", 0))
    assert parts(routes[2]) == [("c", 2000), ("x", 1000), ("s", 7000)]


def test_those_without_a_key_may_be_left_to_chance() -> None:
    assert [route["name"] for route in edited(5, users=Assignment("cookie", "uid", "salt", others=""))][2:] == ["progressive-users", "main"]


def test_policies_of_the_rule_come_after_ours() -> None:
    own = {"cookie": {"name": "session"}}
    routes = edited(5, hashPolicy=[own])
    policies = routes[2]["route"]["hashPolicy"]
    assert policies[0]["terminal"] is True and policies[1:] == [own]
    assert routes[4]["route"]["hashPolicy"] == [own]


def test_another_way_to_choose_at_random_makes_room() -> None:
    before = document(weighted("main", ("s", 1000), ("c", 0)))
    routes_of(before)[1]["route"]["weighted_clusters"].update(total_weight=1000, headerName="x-random")
    chosen = routes_of(edit(before, want(40, assignment=USERS), LAYOUT))[1]["route"]["weighted_clusters"]
    assert {**chosen, "clusters": None} == {"clusters": None, "use_hash_policy": True}
    assert [entry["weight"] for entry in chosen["clusters"]] == [4000, 6000]


@given(st.integers(0, 10_000), st.sampled_from(["header", "cookie", "query"]), st.sampled_from(["stable", ""]), st.booleans())
def test_what_is_written_is_read_and_written_only_once(hundredths: int, source: str, others: str, match: bool) -> None:
    routes = want(Fraction(hundredths, 100), assignment=Assignment(source, "uid", "s", others=others), matches=(VIP,) if match else ())
    first = edit(document(weighted("main", ("s", 100), ("c", 0))), routes, LAYOUT)
    assert read(first, LAYOUT) == routes
    assert edit(first, routes, LAYOUT) == first
    clean = unowned(first, LAYOUT)
    assert read(clean, LAYOUT).assignment is None and len(routes_of(clean)) == 2


def test_one_that_somebody_changed_does_not_count() -> None:
    made = edit(document(weighted("main", ("s", 100), ("c", 0))), want(40, assignment=USERS), LAYOUT)
    routes_of(made)[1]["route"]["timeout"] = "9s"
    assert read(made, LAYOUT).assignment is None
    assert edit(made, want(40, assignment=USERS), LAYOUT) != made


@pytest.mark.parametrize(
    ("source", "value", "key"),
    [
        ("cookie", "uid=1", "1"), ("cookie", "a=b; uid=x y; c=d", "x y"), ("cookie", "a=b;uid=a=b", "a=b"), ("cookie", "uid=1; uid=2", "1"),
        ("cookie", "my_uid=1", None), ("cookie", "uid=", None), ("cookie", "uid", None),
        ("query", "/p?uid=1", "1"), ("query", "/p/uid=1?a=uid=2&uid=3&b", "3"), ("query", "/p?uid=1&uid=2", "1"), ("query", "/p?my_uid=1", None),
        ("query", "/uid=1", None), ("header", "anna", "anna"), ("header", "", None),
    ],
)  # fmt: skip
def test_where_a_key_is_found(source: str, value: str, key: str | None) -> None:
    """As RE2 reads it; Python's expressions mean the same here."""
    route = edited(50, users=Assignment(source, "uid", "s"))[2]
    carries = route["match"]["headers"][-1]["string_match"]["safe_regex"]["regex"]
    policy = route["route"]["hash_policy"][0]["header"]["regex_rewrite"]
    assert bool(re.fullmatch(carries, value)) is (key is not None)
    if key is not None:
        assert re.sub(policy["pattern"]["regex"], policy["substitution"], value) == f"s:{key}"


def test_what_cannot_be_is_refused() -> None:
    before = document(weighted("main", ("s", 100), ("c", 0)))
    with pytest.raises(Unsupported, match="a mirror beside a split of users"):
        edit(before, want(5, assignment=USERS, mirror=Mirror(Fraction(10))), LAYOUT)
    with pytest.raises(ConfigError, match="unknown track 'third'"):
        edit(before, want(5, assignment=Assignment("cookie", "uid", "s", track="third")), Layout({"stable": "s", "canary": "c"}))


@pytest.mark.parametrize(
    ("told", "why"), [("1.36.0", ""), ("1.40.1", ""), ("2.0.0-dev", ""), ("1.35.9", "version 1.35.9, and splits users by a hash from 1.36 on")]
)
def test_an_envoy_that_cannot_is_said_by_its_version(envoy: Stub, told: str, why: str) -> None:
    envoy.answers["/server_info"] = {"version": f"0123abcd/{told}/Clean/RELEASE/BoringSSL"}
    router = EnvoyRouter(envoy.admin, DiscoveryFile("/nowhere/rds.json"), LAYOUT)
    assert why in router.unassignable(want(5, assignment=USERS)) if why else router.unassignable(want(5, assignment=USERS)) == ""
    assert router.unassignable(want(5, matches=(VIP,))) == ""


@pytest.mark.parametrize("answer", [{}, {"version": "x"}, {"version": "a/b.c/d"}, []])
def test_a_version_that_makes_no_sense_is_an_error(envoy: Stub, answer: Any) -> None:
    envoy.answers["/server_info"] = answer
    with pytest.raises(Unavailable, match="not the shape"):
        envoy.admin.release()
