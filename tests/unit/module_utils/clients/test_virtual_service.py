# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owned part of a VirtualService: exactly that is changed."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients import destination_rule
from ansible_collections.progressive.delivery.plugins.module_utils.clients.virtual_service import MARK, Destination, Layout, edit, find, read, unowned
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Mirror, Routes

LAYOUT = Layout({"stable": Destination("shop-stable"), "canary": Destination("shop-canary")})
SUBSETS = Layout({"stable": Destination("shop", "v1"), "canary": Destination("shop", "v2")})
TESTERS = MatchRoute("testers", ((Condition("header", "Canary", "exact", "true"),), (Condition("cookie", "track", "exact", "canary"),)))


def to(host: str, weight: int | None = None, **more: Any) -> dict[str, Any]:
    return {"destination": {"host": host, **more}, **({} if weight is None else {"weight": weight})}


def both(stable: int | None = 100, canary: int | None = 0, **more: Any) -> dict[str, Any]:
    return {"route": [to("shop-stable", stable), to("shop-canary", canary)], **more}


def manifest(*http: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": "shop", "namespace": "prod", "unknown": {"kept": None}, **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "networking.istio.io/v1", "metadata": meta, "spec": {"hosts": ["shop"], **({"http": list(http)} if http else {}), **spec}}


def want(canary: Any, **more: Any) -> Routes:
    share = Fraction(str(canary))
    return Routes({"stable": 100 - share, "canary": share}, **more)


def weights(rule: dict[str, Any]) -> list[Any]:
    return [entry.get("weight") for entry in rule["route"]]


def test_only_the_weights_change() -> None:
    other = {"match": [{"uri": {"prefix": "/x"}}], "route": [to("elsewhere")], "fault": {"delay": {"percentage": {"value": 0.1}}}, "unknown": [1, None]}
    before = manifest(other, both(timeout="3s", retries={"attempts": 2}, corsPolicy={}), tls=[{"match": [{"sniHosts": ["a"]}], "route": [to("elsewhere")]}])
    kept = copy.deepcopy(before)
    after = edit(before, want(5), LAYOUT)
    assert before == kept
    assert weights(after["spec"]["http"][1]) == [95, 5]
    after["spec"]["http"][1]["route"] = kept["spec"]["http"][1]["route"]
    assert after == kept and list(after["spec"]) == list(kept["spec"])


@given(st.integers(0, 1000), st.booleans(), st.booleans(), st.booleans())
def test_what_is_written_is_read_and_written_only_once(tenths: int, match: bool, mirror: bool, twice: bool) -> None:
    layout = Layout(LAYOUT.slots, total=1000, routes=("a", "b") if twice else ())
    before = manifest(both(name="a"), *([both(name="b", match=[{"uri": {"prefix": "/b"}}])] if twice else []))
    wanted = want(Fraction(tenths, 10), matches=(TESTERS,) if match else (), mirror=Mirror(Fraction(10)) if mirror else None)
    first = edit(before, wanted, layout)
    assert read(first, layout) == wanted
    assert edit(first, wanted, layout) == first
    clean = unowned(first, layout)
    assert len(clean["spec"]["http"]) == (2 if twice else 1) and "annotations" not in clean["metadata"]
    assert [{**rule, "route": None} for rule in clean["spec"]["http"]] == [{**rule, "route": None} for rule in before["spec"]["http"]]


def test_rules_of_ours_stand_right_before_the_one_they_were_copied_from() -> None:
    first = {"match": [{"uri": {"prefix": "/x"}}], "route": [to("elsewhere")]}
    made = edit(manifest(first, both(match=[{"uri": {"prefix": "/a"}}, {"port": 81}], timeout="3s", name="main")), want(20, matches=(TESTERS,)), LAYOUT)
    rules = made["spec"]["http"]
    assert [rule.get("name") for rule in rules] == [None, "progressive-testers", "main"]
    assert rules[1] == {
        "name": "progressive-testers", "timeout": "3s", "route": [to("shop-canary")],
        "match": [
            {"uri": {"prefix": "/a"}, "headers": {"canary": {"exact": "true"}}},
            {"port": 81, "headers": {"canary": {"exact": "true"}}},
            {"uri": {"prefix": "/a"}, "headers": {"cookie": {"regex": r"(?:.*;\s*)?track=canary(?:\s*;.*)?"}}},
            {"port": 81, "headers": {"cookie": {"regex": r"(?:.*;\s*)?track=canary(?:\s*;.*)?"}}},
        ],
    }  # fmt: skip
    assert json.loads(made["metadata"]["annotations"][MARK])["names"] == ["progressive-testers"]


def test_a_mirror_copies_what_may_be_sent_twice() -> None:
    made = edit(manifest(both(match=[{"uri": {"prefix": "/a"}}])), want(0, mirror=Mirror(Fraction("2.5"))), LAYOUT)
    mirror = made["spec"]["http"][0]
    assert mirror["match"] == [{"uri": {"prefix": "/a"}, "method": {"regex": "GET|HEAD|OPTIONS"}}]
    assert (mirror["mirror"], mirror["mirrorPercentage"], weights(mirror)) == ({"host": "shop-canary"}, {"value": 2.5}, [100, 0])
    unsafe = edit(manifest(both()), want(0, mirror=Mirror(Fraction(5))), Layout(LAYOUT.slots, mirror_unsafe=True))
    assert "match" not in unsafe["spec"]["http"][0]


@pytest.mark.parametrize("host", ["shop-stable", "shop-stable.prod.svc.cluster.local", "shop-stable.prod.svc"])
def test_a_long_name_is_the_short_one_in_the_same_namespace(host: str) -> None:
    rule = {"route": [to(host, 100), to("shop-canary", 0)]}
    assert read(manifest(rule), LAYOUT).weights == {"stable": 100, "canary": 0}
    with pytest.raises(ConfigError, match="rule http/0 has only shop-canary"):
        read(manifest({"route": [to("shop-stable.test.svc.cluster.local", 100), to("shop-canary", 0)]}), LAYOUT)


def test_a_third_destination_keeps_its_weight_and_the_sum_stays() -> None:
    rule = {"route": [to("third", 30), to("shop-stable", 170), to("shop-canary", 0)]}
    made = edit(manifest(rule), Routes({"stable": Fraction(75), "canary": Fraction(10), "third": Fraction(15)}), LAYOUT)
    assert weights(made["spec"]["http"][0]) == [30, 150, 20]
    assert read(made, LAYOUT).weights == {"third": 15, "stable": 75, "canary": 10}


def test_subsets_of_one_host_are_slots() -> None:
    rule = {"route": [to("shop", 100, subset="v1"), to("shop", 0, subset="v2"), to("shop", 0)]}
    made = edit(manifest(rule), want(40, matches=(TESTERS,)), SUBSETS)
    assert weights(made["spec"]["http"][1]) == [60, 40, 0]
    assert made["spec"]["http"][0]["route"] == [to("shop", subset="v2")]


def test_rules_of_tls_and_tcp_have_weights_only() -> None:
    tls = {"match": [{"port": 443, "sniHosts": ["shop.example"]}], "route": both()["route"]}
    before = manifest(tls=[tls], tcp=[both(match=[{"port": 5432}])])
    layout = Layout(LAYOUT.slots, routes=("tls/shop.example", "tcp/0"))
    made = edit(before, want(30), layout)
    assert weights(made["spec"]["tls"][0]) == weights(made["spec"]["tcp"][0]) == [70, 30]
    with pytest.raises(Unsupported, match="rules of tls and tcp know neither match routes nor mirrors"):
        edit(before, want(30, matches=(TESTERS,)), layout)
    with pytest.raises(ConfigError, match="2 rules hold shop-stable and shop-canary: tls/0, tcp/0.*Say which: routes"):
        find(before, LAYOUT)


def test_missing_weights_are_read_as_istio_reads_them() -> None:
    assert read(manifest({"route": [to("shop-stable", 100), to("shop-canary")]}), LAYOUT).weights == {"stable": 100, "canary": 0}
    made = edit(manifest({"route": [to("shop-stable", 100), to("shop-canary")]}), want(0), LAYOUT)
    assert weights(made["spec"]["http"][0]) == [100, None], "what is right already stays"


def test_a_rule_of_ours_that_somebody_changed_does_not_count() -> None:
    made = edit(manifest(both()), want(5, matches=(TESTERS,)), LAYOUT)
    made["spec"]["http"][0]["timeout"] = "1s"
    assert read(made, LAYOUT).matches == ()
    assert edit(made, want(5, matches=(TESTERS,)), LAYOUT)["spec"]["http"][0] == edit(manifest(both()), want(5, matches=(TESTERS,)), LAYOUT)["spec"]["http"][0]


@pytest.mark.parametrize(
    ("rules", "layout", "text"),
    [
        ([both(), both(match=[{"port": 1}])], LAYOUT, "2 rules hold shop-stable and shop-canary: http/0, http/1"),
        ([{"route": [to("shop-stable")]}], LAYOUT, "rule http/0 has only shop-stable: name both as destinations, weight 0 is enough"),
        ([{"route": [to("x")]}], LAYOUT, "It has no rule with either of them"),
        ([{"delegate": {"name": "shop", "namespace": "team"}}], LAYOUT, "It delegates to team/shop: name that VirtualService"),
        ([{"redirect": {"uri": "/"}}], LAYOUT, "no rule holds"),
        ([{"route": [to("shop-stable", 1), to("shop-stable", 1), to("shop-canary", 0)]}], LAYOUT, "stands in rule http/0 twice"),
        ([both(0, 0)], LAYOUT, "weights of its destinations sum to 0"),
        ([both(name="a")], Layout(LAYOUT.slots, routes=("b",)), "no rule b holds shop-stable and shop-canary. These do: http/a"),
        ([], LAYOUT, "no rule holds"),
    ],
)
def test_what_is_ambiguous_or_not_there_is_refused(rules: list[dict[str, Any]], layout: Layout, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        read(manifest(*rules), layout)


@pytest.mark.parametrize(
    ("routes", "rule", "text"),
    [
        (want(Fraction("12.5")), both(), "12.5 % is no whole number of 100 parts"),
        (Routes({"stable": Fraction(50), "other": Fraction(50)}), both(), "unknown track 'other'"),
        (want(5, matches=(MatchRoute("a b", TESTERS.alternatives),)), both(), "not a name for a match route"),
        (want(5, matches=(MatchRoute("a", TESTERS.alternatives, "third"),)), both(), "unknown track 'third'"),
        (want(5, matches=(TESTERS,)), both(match=[{"headers": {"canary": {"exact": "x"}}}]), "canary would be tested twice"),
        (want(5, matches=(MatchRoute("p", ((Condition("path", "path", "exact", "/b"),),)),)), both(match=[{"uri": {"prefix": "/a"}}]), "does not lie inside"),
        (want(5, matches=(MatchRoute("p", ((Condition("body", "x", "exact", "/b"),),)),)), both(), "cannot look at 'body'"),
        (want(5, mirror=Mirror(Fraction(5))), both(mirror={"host": "x"}), "a mirror of its own"),
        (want(5, mirror=Mirror(Fraction(5))), both(match=[{"method": {"exact": "GET"}}]), "looks at the method itself"),
    ],
)
def test_what_cannot_be_said_is_refused(routes: Routes, rule: dict[str, Any], text: str) -> None:
    with pytest.raises((ConfigError, Unsupported), match=text):
        edit(manifest(rule), routes, LAYOUT)


@pytest.mark.parametrize("text", ["x", "[1]", "3", '"a"'])
def test_an_annotation_that_is_not_ours_any_more_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="is not ours any more"):
        read(manifest(both(), annotations={MARK: text}), LAYOUT)


def rule_of(*subsets: dict[str, Any], host: str = "shop") -> dict[str, Any]:
    return {"metadata": {"name": "shop", "namespace": "prod"}, "spec": {"host": host, "subsets": list(subsets), "trafficPolicy": {"tls": {}}}}


def test_a_subset_is_added_and_what_is_there_stays() -> None:
    v1 = {"name": "v1", "labels": {"version": "1"}, "trafficPolicy": {"loadBalancer": {}}}
    made = destination_rule.edit(rule_of(v1), "shop", {"v2": {"version": "2"}, "v1": {"version": "1"}})
    assert made["spec"]["subsets"] == [v1, {"name": "v2", "labels": {"version": "2"}}]
    assert {**made["spec"], "subsets": None} == {**rule_of()["spec"], "subsets": None}
    assert destination_rule.edit(made, "shop.prod.svc.cluster.local", {"v2": {"version": "2"}}) == made
    assert destination_rule.labels_of(made, "v2") == {"version": "2"}


def test_a_destination_rule_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigError, match="it is about other, not shop"):
        destination_rule.edit(rule_of(host="other"), "shop", {})
    with pytest.raises(ConfigError, match="subset v1 has the labels .*a subset that others may use is not rewritten"):
        destination_rule.edit(rule_of({"name": "v1", "labels": {"a": "b"}}), "shop", {"v1": {"version": "1"}})
    with pytest.raises(ConfigError, match="there is no subset v3"):
        destination_rule.labels_of(rule_of(), "v3")
