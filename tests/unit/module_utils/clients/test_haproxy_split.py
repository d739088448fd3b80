# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A split as entries of a map. What HAProxy makes of them is in the contract suite."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy_files import without
from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy_split import edit, lacking, layout, ours, read
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Assignment, Condition, MatchRoute, Routes

LAYOUT = layout("shop", {"stable": "blue", "canary": "green"}, "cookie:uid", ["header:user-tier", "header:user-type"])
PLAIN = layout("shop", {"stable": "blue", "canary": "green"}, "", [])
USERS = Assignment("cookie", "uid", "salt")


def rule(name: str, track: str, *values: str, header: str = "user-tier") -> MatchRoute:
    return MatchRoute(name, tuple((Condition("header", header, "exact", value),) for value in values), track)


VIP, NEW = rule("vip", "stable", "vip", "gold"), rule("new", "canary", "new", header="user-type")


def want(canary: Any, **more: Any) -> Routes:
    share = Fraction(str(canary))
    return Routes({"stable": 100 - share, "canary": share}, **more)


def test_an_entry_says_it_all() -> None:
    made = edit({"shop": "0:green:blue", "other": "x"}, want("33.33", assignment=USERS, matches=(VIP, NEW)), LAYOUT, "here")
    assert made == {
        "shop": "3333:green:blue:salt:blue",
        "shop/header:user-tier/vip": "blue:0:0:vip",
        "shop/header:user-tier/gold": "blue:0:1:vip",
        "shop/header:user-type/new": "green:1:0:new",
    }


@given(
    st.integers(0, 10_000),
    st.sampled_from([None, USERS, Assignment("cookie", "uid", "s", track="stable", others="canary"), Assignment("cookie", "uid", "s", others="")]),
    st.sampled_from([(), (VIP,), (VIP, NEW), (NEW,)]),
    st.sampled_from(["0:green:blue", "10000:blue:green", "10000:green:blue:old:blue"]),
)
def test_what_is_written_is_read_and_written_only_once(point: int, users: Any, rules: Any, before: str) -> None:
    routes = want(Fraction(point, 100), assignment=users, matches=rules)
    made = edit({"shop": before}, routes, LAYOUT, "here")
    assert read(made, LAYOUT, "here") == routes
    assert edit(made, routes, LAYOUT, "here") == made


def test_without_users_nobody_is_moved_to_the_other_end() -> None:
    assert edit({"shop": "10000:blue:green"}, want(30), PLAIN, "here") == {"shop": "7000:blue:green"}
    assert edit({"shop": "0:green:blue"}, want(30), PLAIN, "here") == {"shop": "3000:green:blue"}


def test_entries_of_others_are_not_ours() -> None:
    assert ours({"shop": "1", "shop/a": "2", "shop2": "3", "x/shop": "4"}, LAYOUT) == {"shop": "1", "shop/a": "2"}


@pytest.mark.parametrize("value", ["", "5", "5:green", "5:green:red", "-1:green:blue", "10001:green:blue", "x:green:blue", "5:green:green"])
def test_an_entry_that_is_none_of_ours_is_refused_with_the_line_to_write(value: str) -> None:
    with pytest.raises(ConfigError, match="shop 0:green:blue"):
        read({"shop": value}, LAYOUT, "here")
    with pytest.raises(ConfigError, match=r"has no entry shop.*Add the line: shop 0:green:blue"):
        read({}, LAYOUT, "here")


@pytest.mark.parametrize("key", ["shop/header", "shop/header:x", "shop/x"])
def test_a_rule_that_somebody_wrote_by_hand_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="not ours any more"):
        read({"shop": "0:green:blue", key: "blue"}, LAYOUT, "here")


@pytest.mark.parametrize(
    ("routes", "why"),
    [
        (want(5, assignment=Assignment("header", "uid", "s")), "hashes cookie:uid .*, not header:uid"),
        (want(5, assignment=Assignment("cookie", "uid", "a b")), "is no salt"),
        (want(5, matches=(rule("x", "stable", "1", header="x-beta"),)), "looks up header:user-tier, header:user-type .*, not header:x-beta"),
        (want(5, matches=(NEW, VIP)), "write rules in the order"),
        (want(5, matches=(VIP, rule("gold", "canary", "gold"))), "rule gold: a rule before it has the same value"),
        (want(5, matches=(MatchRoute("p", ((Condition("header", "user-tier", "prefix", "v"),),)),)), "one exact value"),
        (want(5, matches=(MatchRoute("two", (tuple(each for [each] in VIP.alternatives),)),)), "one exact value"),
        (Routes({"stable": Fraction(50), "third": Fraction(50)}), "track third has no backend"),
        (want(5, matches=(rule("x", "third", "1"),)), "track third has no backend"),
    ],
)
def test_what_the_configuration_does_not_do_is_refused(routes: Routes, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        edit({"shop": "0:green:blue"}, routes, LAYOUT, "here")


def test_a_configuration_that_hashes_nothing_splits_no_users() -> None:
    assert "hashes nothing" in lacking(want(5, assignment=USERS), PLAIN)
    assert lacking(want(5), PLAIN) == ""


@pytest.mark.parametrize("value", ["v i p", "vip;", "vip\n", "a=b", ""])
def test_a_value_that_would_be_a_command_is_refused(value: str) -> None:
    with pytest.raises((ConfigError, Unsupported)):
        edit({"shop": "0:green:blue"}, want(5, matches=(rule("x", "stable", value),)), LAYOUT, "here")


@pytest.mark.parametrize(
    ("backends", "users", "rules", "why"),
    [
        ({"stable": "blue"}, "", [], "between two backends"),
        ({"stable": "blue", "canary": "blue"}, "", [], "between two backends"),
        ({"stable": "a:b", "canary": "blue"}, "", [], "without ':'"),
        ({"stable": "blue", "canary": "green"}, "uid", [], "Write header:NAME"),
        ({"stable": "blue", "canary": "green"}, "path:x", [], "Write header:NAME"),
        ({"stable": "blue", "canary": "green"}, "", ["header:a b"], "not a name of a header"),
    ],
)
def test_options_that_make_no_entry_are_refused(backends: Any, users: str, rules: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        layout("shop", backends, users, rules)


def test_a_line_leaves_a_map_file_and_nothing_else_does() -> None:
    assert without("# a\nshop 1\n\nshop/x 2\nother 3\n", "shop/x") == "# a\nshop 1\n\nother 3\n"
