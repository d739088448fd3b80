# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owned part of a route configuration: exactly that is changed."""

from __future__ import annotations

import copy
import dataclasses
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy_routes import Layout, edit, find, held, in_force, read, unowned
from ansible_collections.progressive.delivery.plugins.module_utils.core.affinity import Cookie
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Mirror, Routes

LAYOUT = Layout({"stable": "s", "canary": "c"}, mirrors={"canary": "m"})
BETA = (Condition("cookie", "beta", "exact", "1"), Condition("path", "", "prefix", "/new"))
VIP = MatchRoute("vip", ((Condition("header", "x-user", "exact", "vip"),), BETA))


def weighted(name: str, *weights: tuple[str, int], **more: Any) -> dict[str, Any]:
    clusters = [{"name": cluster, "weight": weight} for cluster, weight in weights]
    return {"name": name, "match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}, "timeout": "3s", **more}}


def document(*routes: dict[str, Any], **config: Any) -> dict[str, Any]:
    foreign = {"name": "admin", "match": {"prefix": "/admin"}, "route": {"cluster": "s"}, "metadata": {"filter_metadata": {"x": {"a": 1}}}}
    host = {"name": "shop", "domains": ["*"], "routes": [foreign, *routes], "unknown_field": [1, {"b": None}]}
    return {"version_info": "7", "resources": [{"@type": "t", "name": "rc", "virtual_hosts": [host], **config}], "nonce": "n"}


def want(canary: Any, **more: Any) -> Routes:
    share = Fraction(str(canary))
    return Routes({"stable": 100 - share, "canary": share}, **more)


def routes_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = result["resources"][0]["virtual_hosts"][0]["routes"]
    return routes


def test_only_the_weights_change() -> None:
    before = document(weighted("main", ("s", 100), ("c", 0)), weighted("other", ("s", 1), ("x", 2)))
    kept = copy.deepcopy(before)
    after = edit(before, want("33.33"), LAYOUT)
    assert before == kept
    assert [entry["weight"] for entry in routes_of(after)[1]["route"]["weighted_clusters"]["clusters"]] == [6667, 3333]
    routes_of(after)[1]["route"]["weighted_clusters"]["clusters"] = routes_of(kept)[1]["route"]["weighted_clusters"]["clusters"]
    assert after == kept and list(after) == list(kept)


HELD = dataclasses.replace(LAYOUT, cookie=Cookie("shop-session", "", 3600))
POLICY = {"cookie": {"name": "shop-session", "ttl": "3600s", "path": "/"}}


def test_the_rule_hashes_the_cookie_and_so_do_copies_of_it() -> None:
    before = document(weighted("main", ("s", 100), ("c", 0)), weighted("other", ("s", 1), ("x", 2)))
    after = edit(before, want(5, matches=(VIP,)), HELD)
    assert [route["route"].get("hash_policy") for route in routes_of(after)] == [None, [POLICY], [POLICY], [POLICY], None]
    assert edit(after, want(5, matches=(VIP,)), HELD) == after and read(after, HELD) == want(5, matches=(VIP,))
    assert routes_of(unowned(after, HELD))[1]["route"]["hash_policy"] == [POLICY], "it stays after the release"
    only = held(before, HELD)
    assert routes_of(only)[1]["route"].pop("hash_policy") == [POLICY] and only == before
    assert held(before, LAYOUT) == before


def test_a_policy_of_the_same_cookie_becomes_what_is_said_in_its_own_spelling() -> None:
    own = {"cookie": {"name": "shop-session", "ttl": "5s", "attributes": [{"name": "SameSite", "value": "Lax"}]}, "terminal": True}
    after = edit(document(weighted("main", ("s", 100), ("c", 0), hashPolicy=[own])), want(5), HELD)
    assert routes_of(after)[1]["route"]["hashPolicy"] == [{"cookie": {**own["cookie"], **POLICY["cookie"]}, "terminal": True}]
    assert "hash_policy" not in routes_of(after)[1]["route"]


@pytest.mark.parametrize("policy", [{"header": {"header_name": "x"}}, {"cookie": {"name": "other"}}])
def test_another_policy_is_refused_and_a_way_back_does_not_mind_it(policy: dict[str, Any]) -> None:
    before = document(weighted("main", ("s", 90), ("c", 10), hash_policy=[policy]))
    for ask in (lambda: edit(before, want(20), HELD), lambda: held(before, HELD)):
        with pytest.raises(ConfigError, match="held by (header|cookie) already, not by the cookie shop-session"):
            ask()
    home = edit(before, want(0), HELD)
    assert read(home, HELD) == want(0) and routes_of(home)[1]["route"]["hash_policy"] == [policy]


@given(st.integers(0, 10000), st.booleans(), st.booleans())
def test_what_is_written_is_read_and_written_only_once(hundredths: int, match: bool, mirror: bool) -> None:
    wanted = want(Fraction(hundredths, 100), matches=(VIP,) if match else (), mirror=Mirror(Fraction(10)) if mirror else None)
    first = edit(document(weighted("main", ("s", 100), ("c", 0))), wanted, LAYOUT)
    assert read(first, LAYOUT) == wanted
    assert edit(first, wanted, LAYOUT) == first
    assert unowned(first, LAYOUT) == edit(first, want(Fraction(hundredths, 100)), LAYOUT)
    assert sum(entry["weight"] for entry in find(first, LAYOUT).entries) in (100, 10000)


def test_equal_shares_keep_their_numbers() -> None:
    before = document(weighted("main", ("s", 95), ("c", 5)))
    assert edit(before, want(5), LAYOUT) == before


def test_a_missing_weight_is_zero_and_written_out() -> None:
    before = document(weighted("main", ("s", 1)))
    routes_of(before)[1]["route"]["weighted_clusters"]["clusters"].append({"name": "c"})
    assert read(before, LAYOUT) == want(0)
    assert routes_of(edit(before, want(0), LAYOUT))[1]["route"]["weighted_clusters"]["clusters"][1] == {"name": "c", "weight": 0}


def test_a_third_destination_keeps_its_weight_and_the_sum_stays() -> None:
    before = document(weighted("main", ("s", 70), ("x", 20), ("c", 10)))
    assert read(before, LAYOUT).weights == {"stable": 70, "x": 20, "canary": 10}
    entries = find(edit(before, want(25), LAYOUT), LAYOUT).entries
    assert {entry["name"]: entry["weight"] for entry in entries} == {"s": 55, "x": 20, "c": 25}
    with pytest.raises(ConfigError, match="more than all"):
        edit(before, want(90), LAYOUT)
    with pytest.raises(Unsupported, match="steps of 1 %"):
        edit(before, want("12.5"), LAYOUT)


def test_a_share_finer_than_the_resolution_is_refused() -> None:
    with pytest.raises(Unsupported, match="no whole number of 10000 parts"):
        edit(document(weighted("main", ("s", 1), ("c", 0))), want(Fraction(1, 3)), LAYOUT)


def test_a_total_weight_of_the_rule_is_the_base() -> None:
    before = document(weighted("main", ("s", 1000), ("c", 0)))
    routes_of(before)[1]["route"]["weighted_clusters"]["total_weight"] = 1000
    assert [entry["weight"] for entry in find(edit(before, want("0.5"), LAYOUT), LAYOUT).entries] == [995, 5]


def test_camel_case_stays_camel_case() -> None:
    before = document()
    clusters = [{"name": "s", "weight": 1}, {"name": "c", "weight": 0}]
    rule = {"match": {"prefix": "/", "queryParameters": []}, "route": {"weightedClusters": {"clusters": clusters}}}
    before["resources"][0]["virtualHosts"] = [{"name": "shop", "domains": ["*"], "routes": [rule]}]
    del before["resources"][0]["virtual_hosts"]
    query = MatchRoute("q", ((Condition("query", "beta", "regex", "1|2"),),))
    after = edit(before, want(5, matches=(query,), mirror=Mirror(Fraction(1))), LAYOUT)
    assert read(after, LAYOUT) == want(5, matches=(query,), mirror=Mirror(Fraction(1)))
    ours = after["resources"][0]["virtualHosts"][0]["routes"][0]
    assert ours["match"]["queryParameters"] == [{"name": "beta", "string_match": {"safe_regex": {"regex": "1|2"}}}] and "query_parameters" not in ours["match"]


def test_match_routes_stand_before_the_rule_and_are_copies_of_it() -> None:
    before = document(weighted("main", ("s", 100), ("c", 0), retry_policy={"num_retries": 0}))
    after = routes_of(edit(before, want(5, matches=(VIP,), mirror=Mirror(Fraction("2.5"))), LAYOUT))
    assert [route["name"] for route in after] == ["admin", "progressive-vip", "progressive-vip#2", "progressive-mirror", "main"]
    first, second, mirror = after[1:4]
    assert first["match"] == {"prefix": "/", "headers": [{"name": "x-user", "string_match": {"exact": "vip"}}]}
    assert first["route"]["timeout"] == "3s" and first["route"]["retry_policy"] == {"num_retries": 0}
    assert [entry["weight"] for entry in first["route"]["weighted_clusters"]["clusters"]] == [0, 10000]
    assert [header["name"] for header in second["match"]["headers"]] == ["cookie", ":path"]
    assert mirror["match"]["headers"] == [{"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}}}]
    share = {"numerator": 250, "denominator": "TEN_THOUSAND"}
    assert mirror["route"]["request_mirror_policies"] == [{"cluster": "m", "runtime_fraction": {"default_value": share}}]
    assert [entry["weight"] for entry in mirror["route"]["weighted_clusters"]["clusters"]] == [9500, 500]


def test_a_mirror_of_the_users_stays_and_zero_is_no_mirror() -> None:
    before = document(weighted("main", ("s", 100), ("c", 0), request_mirror_policies=[{"cluster": "audit"}]))
    assert edit(before, want(0, mirror=Mirror(Fraction(0))), LAYOUT) == before
    policies = routes_of(edit(before, want(0, mirror=Mirror(Fraction("0.0001"))), LAYOUT))[1]["route"]["request_mirror_policies"]
    assert policies[0] == {"cluster": "audit"} and policies[1]["runtime_fraction"]["default_value"] == {"numerator": 1, "denominator": "MILLION"}
    unsafe = Layout(LAYOUT.clusters, mirrors=LAYOUT.mirrors, mirror_unsafe=True)
    assert "headers" not in routes_of(edit(before, want(0, mirror=Mirror(Fraction(5))), unsafe))[1]["match"]


def test_an_own_route_that_somebody_changed_is_not_counted_and_is_repaired() -> None:
    wanted = want(5, matches=(VIP,), mirror=Mirror(Fraction(10)))
    written = edit(document(weighted("main", ("s", 100), ("c", 0))), wanted, LAYOUT)
    changed = copy.deepcopy(written)
    routes_of(changed)[1]["match"]["headers"] = []
    assert read(changed, LAYOUT).matches == ()
    assert edit(changed, wanted, LAYOUT) == written


def test_two_rules_of_one_host_keep_their_own_routes() -> None:
    other = Layout({"stable": "a", "canary": "b"})
    before = document(weighted("main", ("s", 1), ("c", 0)), weighted("blog", ("a", 1), ("b", 0)))
    both = edit(edit(before, want(0, matches=(VIP,)), LAYOUT), want(0, matches=(VIP,)), other)
    assert len(routes_of(both)) == 7
    assert unowned(unowned(both, other), LAYOUT) == before


@pytest.mark.parametrize(
    "routes, message",
    [
        ([], "no rule holds c and s"),
        ([weighted("main", ("s", 1))], "main lacks c"),
        ([{"name": "one", "match": {}, "route": {"cluster": "c"}}], "one lacks s|admin lacks c"),
        ([weighted("one", ("s", 1), ("c", 0)), weighted("two", ("s", 1), ("c", 0))], "2 rules hold"),
        ([weighted("main", ("s", 1), ("c", 0)), weighted("main", ("s", 1), ("c", 0))], "2 rules hold"),
        ([weighted("main", ("s", 1), ("c", 0), ("c", 1))], "twice"),
    ],
)  # fmt: skip
def test_refused_rules(routes: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        edit(document(*routes), want(5), LAYOUT)


def test_names_choose_among_several_rules() -> None:
    before = document(weighted("one", ("s", 1), ("c", 0)), weighted("two", ("s", 1), ("c", 0)))
    after = edit(before, want(5), Layout(LAYOUT.clusters, route="two"))
    assert routes_of(after)[1] == routes_of(before)[1] and routes_of(after)[2] != routes_of(before)[2]
    for wrong in (Layout(LAYOUT.clusters, route="three"), Layout(LAYOUT.clusters, virtual_host="x"), Layout(LAYOUT.clusters, route_config="x")):
        with pytest.raises(ConfigError):
            edit(before, want(5), wrong)


@pytest.mark.parametrize(
    "wanted, error",
    [
        (Routes({"stable": Fraction(90), "blue": Fraction(10)}), ConfigError),
        (want(0, matches=(MatchRoute("a b", VIP.alternatives),)), ConfigError),
        (want(0, matches=(MatchRoute("a", VIP.alternatives, "blue"),)), ConfigError),
        (want(0, matches=(MatchRoute("a", ((Condition("body", "", "exact", "1"),),)),)), Unsupported),
        (want(0, matches=(MatchRoute("a", ((Condition("header", "h", "like", "1"),),)),)), Unsupported),
        (want(0, mirror=Mirror(Fraction(10), "stable")), Unsupported),
        (want(0, mirror=Mirror(Fraction(1, 3))), Unsupported),
    ],
)
def test_refused_wants(wanted: Routes, error: type[Exception]) -> None:
    with pytest.raises(error):
        edit(document(weighted("main", ("s", 1), ("c", 0))), wanted, LAYOUT)


def test_a_rule_of_zeros_cannot_be_read() -> None:
    with pytest.raises(ConfigError, match="sum to 0"):
        read(document(weighted("main", ("s", 0), ("c", 0))), LAYOUT)


def test_in_force_names_the_difference() -> None:
    wanted = edit(document(weighted("main", ("s", 100), ("c", 0))), want(5, matches=(VIP,)), LAYOUT)
    assert in_force(wanted, wanted["resources"][0], LAYOUT) == ""
    assert "weight 9000, not 9500" in in_force(wanted, edit(wanted, want(10, matches=(VIP,)), LAYOUT)["resources"][0], LAYOUT)
    assert "are none, not ['progressive-vip'" in in_force(wanted, unowned(wanted, LAYOUT)["resources"][0], LAYOUT)
