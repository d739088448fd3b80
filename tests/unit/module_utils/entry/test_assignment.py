# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sees which variant, from the words of a release file to what the strategy gets, and to what a router says of it."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import CANARY, STABLE, Assignment, Condition
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import read
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs.plan import _assignable
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import ALL

VIP = {"name": "vip", "variant": "a", "match": [{"header_name": "user-tier", "header_value": {"exact": "vip"}}]}
NEW = {"name": "new", "variant": "b", "match": [{"cookie_name": "user-type", "cookie_value": {"exact": "new"}}]}
POOL = {"stable": ("w1", "w2"), "canary": ("w3", "w4")}


def spec(name="shop", **options):
    return read({
        "rollout_name": name, "rollout_version": "2", "rollout_strategy": "ab_test", "rollout_ab_test": options,
        "rollout_workload": {"pool": {"stable": "a", "canary": "b", "deploy": {"tasks": "deploy.yml"}}},
        "rollout_router": {"memory": {}},
    })  # fmt: skip


def plan_of(**options):
    given = build.brief(spec(**options), POOL, live="stable", previous="1", first=False, by_hosts=True, capabilities=ALL)
    return compile_plan(given)


def options_of(**options):
    made = build.brief(spec(**options), POOL, live="stable", previous="1", first=False, by_hosts=True, capabilities=ALL).options
    return made["rules"], made["assignment"], made["named_only"]


def traffic(plan):
    return [step.name for step in plan.steps if step.kind in (Kind.MATCH, Kind.ASSIGN, Kind.WEIGHT)]


def test_the_guides_rules_and_the_rest_by_share():
    rules, users, named_only = options_of(share=40, rules=[VIP, NEW])
    assert [(rule.name, rule.track) for rule in rules] == [("vip", STABLE), ("new", CANARY)]
    assert rules[1].alternatives == ((Condition("cookie", "user-type", "exact", "new"),),)
    assert (users, named_only) == (None, False)
    assert traffic(plan_of(share=40, rules=[VIP, NEW])) == ["vip sees A", "new sees B", "40 %", "100 %"]


@pytest.mark.parametrize("source", ["header", "cookie", "query"])
def test_a_hash_of_a_key(source):
    _rules, users, _named = options_of(share=40, assignment={"hash": {source: "user-id"}})
    assert users == Assignment(source, "user-id", "shop", CANARY, STABLE)
    assert traffic(plan_of(share=40, assignment={"hash": {source: "user-id"}})) == [f"users split by {source} user-id", "40 %", "100 %"]


def test_a_salt_of_its_own_and_the_others_by_chance():
    assert options_of(assignment={"hash": {"cookie": "uid", "salt": "spring"}, "others": "chance"})[1] == Assignment("cookie", "uid", "spring", others="")
    given = build.brief(
        spec(name="team:shop", assignment={"hash": {"cookie": "uid"}}), POOL, live="stable", previous="1", first=False, by_hosts=True, capabilities=ALL
    )
    assert given.options["assignment"].salt == "team-shop"


@pytest.mark.parametrize("source", ["header", "cookie"])
def test_a_variant_that_the_edge_names(source):
    rules, users, named_only = options_of(share=50, rules=[VIP], assignment={source: "ab-test-group"})
    assert [(rule.name, rule.track) for rule in rules] == [("vip", STABLE), ("variant-a", STABLE), ("variant-b", CANARY)]
    assert rules[2].alternatives == ((Condition(source, "ab-test-group", "exact", "B"),),)
    assert (users, named_only) == (None, True)
    assert traffic(plan_of(assignment={source: "ab-test-group"})) == ["variant-a sees A", "variant-b sees B", "100 %"]
    assert traffic(plan_of(assignment={source: "ab-test-group", "others": "chance"})) == ["variant-a sees A", "variant-b sees B", "50 %", "100 %"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"assignment": {}}, "exactly one of header, cookie, hash"),
        ({"assignment": {"header": "g", "cookie": "g"}}, "exactly one of header, cookie, hash"),
        ({"assignment": {"others": "chance"}}, "exactly one of header, cookie, hash"),
        ({"assignment": {"hash": {}}}, "exactly one of header, cookie, hash"),
        ({"assignment": {"hash": {"header": "a", "cookie": "b"}}}, "hash: exactly one of header, cookie, query"),
        ({"assignment": {"hash": {"cookie": "uid", "salt": "a b"}}}, "is no salt"),
        ({"assignment": {"hash": {"cookie": "u;id"}}}, "no name of a cookie"),
        ({"assignment": {"header": "ab test"}}, "no name of a header"),
        ({"assignment": {"hash": "uid"}}, "rollout_ab_test.assignment.hash"),
        ({"assignment": {"hsah": {"cookie": "uid"}}}, "hash"),
        ({"assignment": {"header": "g"}, "share": 0}, "both variants need visitors"),
        ({"assignment": {"header": "g", "others": "b"}}, "others"),
        ({"rules": [VIP, VIP]}, r"rules\[1\].name: the name vip is taken"),
        ({"rules": [{**VIP, "name": "variant-a"}]}, "the name variant-a is taken"),
        ({"rules": [{**VIP, "match": []}]}, "rule vip matches nothing"),
        ({"rules": [{**VIP, "variant": "c"}]}, "variant"),
        ({"rules": [{**VIP, "match": [{"header_name": "x"}]}]}, r"rules\[0\].match\[0\]: header needs a name and exactly one"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place(options, text):
    with pytest.raises(ConfigError, match=text):
        plan_of(**options)


class Choosy(MemoryRouter):
    def unassignable(self, want):
        return "it looks at nothing but cookies" if want.assignment and want.assignment.source != "cookie" else ""


def test_a_router_has_its_say_before_anything_changes():
    good, bad = (plan_of(share=Fraction(40), rules=[VIP], assignment={"hash": {source: "uid"}}) for source in ("cookie", "header"))
    for router in (Choosy(), Fleet({"one": Choosy(), "two": Choosy()})):
        _assignable(good, router)
        with pytest.raises(ConfigError, match="users split by header uid: .*it looks at nothing but cookies"):
            _assignable(bad, router)
    with pytest.raises(ConfigError, match="two: it looks"):
        _assignable(bad, Fleet({"one": MemoryRouter(), "two": Choosy()}))
    _assignable(bad, MemoryRouter())
    _assignable(bad, SimpleNamespace())
    _assignable(bad, None)
