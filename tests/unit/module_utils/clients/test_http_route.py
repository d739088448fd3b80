# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import dataclasses
import re
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients.http_route import (
    MARK,
    Layout,
    bare,
    edit,
    held,
    holding,
    parts_of,
    port,
    read,
    unowned,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.affinity import Cookie
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import duration

LAYOUT = Layout({"stable": "shop-stable", "canary": "shop-canary"})
TESTERS = MatchRoute("testers", ((Condition("header", "canary", "exact", "true"),),))
ROOT = {"path": {"type": "PathPrefix", "value": "/"}}
ADMIN = {"path": {"type": "PathPrefix", "value": "/admin"}}


def ref(name, weight=1, **more):
    return {"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight, **more}


def rule(*refs, matches=(ROOT,), **more):
    return {"matches": list(matches), "backendRefs": list(refs), **more}


def both(stable=100, canary=0, **more):
    return rule(ref("shop-stable", stable), ref("shop-canary", canary), **more)


def route(*rules, **annotations):
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "shop", **({"annotations": annotations} if annotations else {})},
        "spec": {"parentRefs": [{"name": "public"}], "hostnames": ["shop.example"], "rules": list(rules)},
    }


def split(canary, **more):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


def header(name, value):
    return MatchRoute(name, ((Condition("header", name, "exact", value),),))


RICH = route(
    rule(ref("admin"), matches=[ADMIN], timeouts={"request": "2s"}),
    both(95, 5, name="shop", filters=[{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}],
         timeouts={"request": "10s", "backendRequest": "3s"}, retry={"attempts": 2, "codes": [503]}, sessionPersistence={"type": "Cookie"}, unknown=[1]),
    rule(matches=[{"path": {"type": "Exact", "value": "/old"}}], filters=[{"type": "RequestRedirect", "requestRedirect": {"path": {}}}]),
    rule(ref("shop-stable", 3), matches=[{"path": {"type": "PathPrefix", "value": "/stable"}}]),
    owner="team-shop",
)  # fmt: skip


def test_only_the_weights_change():
    before = copy.deepcopy(RICH)
    after = edit(RICH, split(20), LAYOUT)
    assert before == RICH, "what was given is left alone"
    changed = copy.deepcopy(after)
    refs = changed["spec"]["rules"][1]["backendRefs"]
    assert [each["weight"] for each in refs] == [80, 20]
    refs[0]["weight"], refs[1]["weight"] = 95, 5
    assert changed == RICH
    assert list(after["spec"]["rules"][1]) == list(RICH["spec"]["rules"][1])


def test_what_is_so_already_is_not_another_manifest():
    odd = route(rule(ref("shop-stable", 19), ref("shop-canary", 1)))
    assert edit(odd, split(5), LAYOUT) == odd
    assert edit(RICH, split(5), LAYOUT) == RICH


HELD = dataclasses.replace(LAYOUT, cookie=Cookie("shop-session", "", 5400))
SESSION = {"sessionName": "shop-session", "type": "Cookie", "absoluteTimeout": "1h30m", "cookieConfig": {"lifetimeType": "Permanent"}}


def session(manifest):
    return holding(manifest, HELD)


def test_the_rule_holds_sessions_and_nothing_else_changes():
    before = route(both(95, 5, timeouts={"request": "2s"}), rule(ref("admin"), matches=[ADMIN]))
    after = edit(before, split(20, matches=(TESTERS,)), HELD)
    assert session(after) == SESSION and session(held(before, HELD)) == SESSION
    assert [each.get("sessionPersistence") for each in after["spec"]["rules"]] == [None, SESSION, None], "no two rules share a name"
    assert edit(after, split(20, matches=(TESTERS,)), HELD) == after and read(after, HELD) == split(20, matches=(TESTERS,))
    assert bare(edit(before, split(20), HELD)) == edit(before, split(20), LAYOUT)
    assert session(unowned(after, HELD)) == SESSION, "it stays after the release"
    until_closed = edit(before, split(20), dataclasses.replace(HELD, cookie=Cookie("s", "", 0)))
    assert session(until_closed) == {"sessionName": "s", "type": "Cookie", "cookieConfig": {"lifetimeType": "Session"}}


def test_sessions_of_a_slot_that_falls_to_0_percent_are_known_by_nobody_any_more():
    """As the API has it, a session stays with its server even if the weight is set to 0."""
    names, manifest = [], route(both(100, 0))
    for canary in (0, 5, 50, 0, 0, 20, 100, 0):
        manifest = edit(manifest, split(canary), HELD)
        assert edit(manifest, split(canary), HELD) == manifest
        names.append(session(manifest)["sessionName"])
    assert names == ["shop-session", "shop-session", "shop-session", "shop-session-2", "shop-session-2", "shop-session-2", "shop-session-3", "shop-session-4"]


@pytest.mark.parametrize(("own", "said"), [
    ({"type": "Header", "sessionName": "shop-session"}, "the header shop-session"),
    ({"type": "Cookie", "sessionName": "JSESSIONID"}, "the cookie JSESSIONID"),
    ({"type": "Cookie", "sessionName": "shop-session-x"}, "the cookie shop-session-x"),
    ({"type": "Cookie"}, "the cookie without a name"),
])
def test_what_holds_sessions_otherwise_is_refused_and_a_way_back_does_not_mind_it(own, said):
    before = route(both(90, 10, sessionPersistence=own))
    for ask in (lambda: edit(before, split(20), HELD), lambda: held(before, HELD)):
        with pytest.raises(ConfigError, match=f"held by {said} already, not by the cookie shop-session"):
            ask()
    assert session(edit(before, split(0), HELD)) == own


def test_what_its_owner_says_of_the_same_session_stays():
    own = {"sessionName": "shop-session", "type": "Cookie", "idleTimeout": "20m", "absoluteTimeout": "24h", "cookieConfig": {"lifetimeType": "Session"}}
    before = route(both(95, 5, sessionPersistence=own))
    assert session(edit(before, split(20), HELD)) == {**SESSION, "idleTimeout": "20m"}
    assert session(edit(before, split(0), HELD)) == {**SESSION, "idleTimeout": "20m", "sessionName": "shop-session-2"}
    assert session(held(before, dataclasses.replace(HELD, cookie=Cookie("shop-session", "", 0)))) == {
        "sessionName": "shop-session", "type": "Cookie", "idleTimeout": "20m", "cookieConfig": {"lifetimeType": "Session"}}


def test_a_mirror_and_held_sessions_do_not_go_together():
    with pytest.raises(Unsupported, match="two rules share no session"):
        edit(route(both()), split(0, mirror=Mirror(Fraction(5))), HELD)


@given(st.integers(1, 30 * 86400))
def test_a_time_is_written_as_the_api_wants_it(seconds):
    written = session(edit(route(both()), split(5), dataclasses.replace(HELD, cookie=Cookie("s", "", seconds))))["absoluteTimeout"]
    assert re.fullmatch(r"([0-9]{1,5}(h|m|s|ms)){1,4}", written) and duration(written) == seconds


def test_everything_of_ours_goes_and_nothing_else():
    want = split(20, matches=(TESTERS, header("beta", "1")), mirror=Mirror(Fraction(10)))
    there = edit(RICH, want, LAYOUT)
    assert len(there["spec"]["rules"]) == len(RICH["spec"]["rules"]) + 3
    assert unowned(there, LAYOUT) == edit(RICH, split(20), LAYOUT)
    assert edit(there, split(5), LAYOUT) == RICH
    assert edit(there, want, LAYOUT) == there


def test_a_header_route_is_the_rule_again_with_the_header_and_one_backend():
    there = edit(RICH, split(5, matches=(TESTERS,)), LAYOUT)
    ours, theirs = there["spec"]["rules"][1:3]
    assert theirs == RICH["spec"]["rules"][1]
    assert ours == {
        **{name: value for name, value in theirs.items() if name != "name"},
        "matches": [{**ROOT, "headers": [{"name": "canary", "type": "Exact", "value": "true"}]}],
        "backendRefs": [ref("shop-canary", 1)],
    }
    assert read(there, LAYOUT) == split(5, matches=(TESTERS,))


@pytest.mark.parametrize(
    ("condition", "match"),
    [
        (Condition("header", "x-user", "prefix", "a.b"), {**ROOT, "headers": [{"name": "x-user", "type": "RegularExpression", "value": r"a\.b.*"}]}),
        (Condition("header", "x-user", "regex", "a|b"), {**ROOT, "headers": [{"name": "x-user", "type": "RegularExpression", "value": "a|b"}]}),
        (Condition("query", "beta", "exact", "1"), {**ROOT, "queryParams": [{"name": "beta", "type": "Exact", "value": "1"}]}),
        (Condition("path", "path", "prefix", "/beta"), {"path": {"type": "PathPrefix", "value": "/beta"}}),
        (Condition("path", "path", "exact", "/beta"), {"path": {"type": "Exact", "value": "/beta"}}),
        (Condition("path", "path", "regex", "/b.*"), {"path": {"type": "RegularExpression", "value": "/b.*"}}),
        (Condition("cookie", "track", "exact", "canary"),
         {**ROOT, "headers": [{"name": "cookie", "type": "RegularExpression", "value": r"(?:.*;\s*)?track=canary(?:\s*;.*)?"}]}),
    ],
)  # fmt: skip
def test_conditions_in_the_words_of_the_gateway_api(condition, match):
    there = edit(route(both()), split(0, matches=(MatchRoute("m", ((condition,),)),)), LAYOUT)
    assert there["spec"]["rules"][0]["matches"] == [match]


def test_items_are_ored_and_conditions_anded_on_each_match_of_the_rule():
    alternatives = ((Condition("header", "a", "exact", "1"), Condition("query", "b", "exact", "2")), (Condition("header", "c", "exact", "3"),))
    there = edit(route(both(matches=[ADMIN, {"method": "POST", **ROOT}])), split(0, matches=(MatchRoute("m", alternatives),)), LAYOUT)
    a, c = ({"name": name, "type": "Exact", "value": value} for name, value in (("a", "1"), ("c", "3")))
    b = {"name": "b", "type": "Exact", "value": "2"}
    assert there["spec"]["rules"][0]["matches"] == [
        {**ADMIN, "headers": [a], "queryParams": [b]}, {"method": "POST", **ROOT, "headers": [a], "queryParams": [b]},
        {**ADMIN, "headers": [c]}, {"method": "POST", **ROOT, "headers": [c]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("matches", "condition", "said"),
    [
        ([{**ROOT, "headers": [{"name": "Canary", "type": "Exact", "value": "no"}]}], Condition("header", "canary", "exact", "true"), "tested twice"),
        ([ADMIN], Condition("path", "path", "prefix", "/administrators"), "does not lie inside"),
        ([ADMIN], Condition("path", "path", "regex", "/a.*"), "does not lie inside"),
        ([{"path": {"type": "Exact", "value": "/"}}], Condition("path", "path", "prefix", "/x"), "does not lie inside"),
        ([ROOT], Condition("address", "x", "exact", "1"), "cannot look at 'address'"),
        ([ROOT], Condition("header", "x", "glob", "1"), "cannot be 'glob'"),
    ],
)
def test_what_the_gateway_api_cannot_say_is_refused(matches, condition, said):
    with pytest.raises(Unsupported, match=said):
        edit(route(both(matches=matches)), split(0, matches=(MatchRoute("m", ((condition,),)),)), LAYOUT)


def test_a_mirror_copies_requests_that_are_safe_to_send_twice():
    there = edit(RICH, split(5, mirror=Mirror(Fraction(10))), LAYOUT)
    ours, theirs = there["spec"]["rules"][1:3]
    assert theirs == RICH["spec"]["rules"][1]
    assert ours["matches"] == [{**ROOT, "method": method} for method in ("GET", "HEAD", "OPTIONS")]
    assert ours["backendRefs"] == theirs["backendRefs"]
    backend = {"group": "", "kind": "Service", "name": "shop-canary", "port": 80}
    assert ours["filters"] == [*theirs["filters"], {"type": "RequestMirror", "requestMirror": {"backendRef": backend, "percent": 10}}]
    assert read(there, LAYOUT).mirror == Mirror(Fraction(10))
    assert parts_of(ours, LAYOUT, there) == ({"stable": 95, "canary": 5}, {"canary": Fraction(10)})


@pytest.mark.parametrize(("share", "said"), [("100", {}), ("12.5", {"fraction": {"numerator": 1, "denominator": 8}}), ("3", {"percent": 3})])
def test_the_share_of_a_mirror(share, said):
    there = edit(route(both()), split(0, mirror=Mirror(Fraction(share))), LAYOUT)
    copies = there["spec"]["rules"][0]["filters"][-1]["requestMirror"]
    assert {name: value for name, value in copies.items() if name != "backendRef"} == said
    assert read(there, LAYOUT).mirror == Mirror(Fraction(share))


def test_a_mirror_of_nothing_is_none():
    assert edit(RICH, split(5, mirror=Mirror(Fraction(0))), LAYOUT) == RICH


def test_with_a_mirror_header_routes_still_win():
    there = edit(route(both()), split(5, matches=(TESTERS,), mirror=Mirror(Fraction(10))), LAYOUT)
    tested = {"headers": [{"name": "canary", "type": "Exact", "value": "true"}]}
    methods = [{**ROOT, **tested, "method": method} for method in ("GET", "HEAD", "OPTIONS")]
    assert there["spec"]["rules"][0]["matches"] == [{**ROOT, **tested}, *methods]
    assert read(there, LAYOUT) == split(5, matches=(TESTERS,), mirror=Mirror(Fraction(10)))
    assert edit(there, split(5, matches=(TESTERS,)), LAYOUT) == edit(route(both()), split(5, matches=(TESTERS,)), LAYOUT)


def test_every_method_is_mirrored_only_when_asked_for():
    there = edit(route(both()), split(0, mirror=Mirror(Fraction(10))), Layout(LAYOUT.backends, mirror_unsafe=True))
    assert there["spec"]["rules"][0]["matches"] == [ROOT]
    with pytest.raises(Unsupported, match="takes no GET"):
        edit(route(both(matches=[{**ROOT, "method": "POST"}])), split(0, mirror=Mirror(Fraction(10))), LAYOUT)


def test_a_mirror_takes_no_requests_of_another_rule():
    other = rule(ref("beta"), matches=[{**ROOT, "headers": [{"name": "beta", "type": "Exact", "value": "1"}]}])
    with pytest.raises(Unsupported, match="another rule has the same path"):
        edit(route(other, both()), split(0, mirror=Mirror(Fraction(10))), LAYOUT)


def test_a_third_backend_keeps_its_own_and_stable_takes_the_rest():
    there = edit(route(rule(ref("shop-stable", 70), ref("shop-canary", 0), ref("other", 30))), split(20), LAYOUT)
    assert [each["weight"] for each in there["spec"]["rules"][0]["backendRefs"]] == [50, 20, 30]
    with pytest.raises(ConfigError, match="take more than all of it"):
        edit(there, split(80), LAYOUT)
    assert read(there, LAYOUT).weights == {"stable": 50, "canary": 20, "other": 30}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], "no rule holds shop-stable and shop-canary. Looked at 0 rules"),
        ([rule(ref("shop-stable"))], "rule 0 has only shop-stable: name both as backendRefs, weight 0 is enough"),
        ([both(), both()], "2 rules hold shop-stable and shop-canary: 0, 1. Say which: rule"),
        ([rule(ref("shop-stable"), ref("shop-stable"), ref("shop-canary"))], "a backend stands in rule 0 twice"),
        ([rule(ref("shop-stable"), ref("shop-canary", namespace="other"))], "rule 0 has only shop-stable"),
        ([rule(ref("shop-stable"), ref("shop-canary", kind="Bucket", group="x"))], "rule 0 has only shop-stable"),
    ],
)
def test_a_route_that_is_not_clear_is_refused(rules, said):
    for ask in (lambda: edit(route(*rules), split(5), LAYOUT), lambda: read(route(*rules), LAYOUT)):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert said in str(caught.value)
        assert "HTTPRoute shop/shop" in str(caught.value)


@pytest.mark.parametrize("which", ["1", "second"])
def test_one_of_several_rules_is_named(which):
    manifest = route(both(matches=[ADMIN]), both(name="second"))
    there = edit(manifest, split(5), Layout(LAYOUT.backends, rule=which))
    assert there["spec"]["rules"][0] == manifest["spec"]["rules"][0]
    assert there["spec"]["rules"][1]["backendRefs"][1]["weight"] == 5


def test_the_number_of_a_rule_is_that_without_ours():
    layout = Layout(LAYOUT.backends, rule="1")
    manifest = route(both(matches=[ADMIN]), both())
    want = split(5, matches=(TESTERS,))
    there = edit(manifest, want, layout)
    assert edit(there, want, layout) == there
    assert unowned(there, layout) == edit(manifest, split(5), layout)


def test_two_ports_of_one_service_are_two_backends():
    manifest = route(rule(ref("shop-stable", 9), ref("shop-canary", 1), ref("shop-stable", 5, port=81), ref("shop-canary", 5, port=81)))
    with pytest.raises(ConfigError, match="twice"):
        edit(manifest, split(5), LAYOUT)
    layout = Layout(LAYOUT.backends, port=80)
    there = edit(manifest, split(20), layout)
    assert [each["weight"] for each in there["spec"]["rules"][0]["backendRefs"]] == [6, 4, 5, 5]
    assert port(there, "canary", layout) == 80
    assert read(there, layout).weights == {"stable": 30, "canary": 20, "shop-stable:81": 25, "shop-canary:81": 25}


def test_a_rule_of_ours_that_somebody_changed_is_theirs():
    want = split(5, matches=(TESTERS,))
    there = edit(RICH, want, LAYOUT)
    there["spec"]["rules"][1]["backendRefs"] = [ref("shop-stable")]
    assert read(there, LAYOUT).matches == ()
    with pytest.raises(ConfigError, match=r"another rule matches .*canary.* already. Remove that rule"):
        edit(there, want, LAYOUT)
    assert unowned(there, LAYOUT)["spec"] == there["spec"]


def test_a_rule_of_somebody_else_with_the_same_matches_is_not_taken_over():
    theirs = rule(ref("shop-canary"), matches=[{**ROOT, "headers": [{"name": "canary", "type": "Exact", "value": "true"}]}])
    with pytest.raises(ConfigError, match="already"):
        edit(route(theirs, both()), split(5, matches=(TESTERS,)), LAYOUT)
    assert edit(route(theirs, both()), split(5), LAYOUT)["spec"]["rules"][0] == theirs


def test_an_annotation_that_is_not_ours_any_more_is_named():
    with pytest.raises(ConfigError, match="not ours any more"):
        read(route(both(), **{MARK: "{"}), LAYOUT)


def test_weights_that_sum_to_nothing_are_named_and_mended():
    with pytest.raises(ConfigError, match=r"sum to 0. Give shop-stable all of it"):
        read(route(both(0, 0)), LAYOUT)
    assert edit(route(both(0, 0)), split(5), LAYOUT)["spec"]["rules"][0]["backendRefs"][1]["weight"] == 5


def test_a_share_between_two_parts_is_refused():
    with pytest.raises(Unsupported, match=r"12.5 % is no whole number of 100 parts. Weights here come in steps of 1 %"):
        edit(route(both()), split("12.5"), LAYOUT)
    there = edit(route(both()), split("12.5"), Layout(LAYOUT.backends, total=1000))
    assert [each["weight"] for each in there["spec"]["rules"][0]["backendRefs"]] == [875, 125]


@pytest.mark.parametrize(("match", "said"), [(MatchRoute("a b", ()), "not a name"), (MatchRoute("m", (), "canarry"), "unknown track")])
def test_a_match_route_that_cannot_be(match, said):
    with pytest.raises(ConfigError, match=said):
        edit(RICH, split(5, matches=(match,)), LAYOUT)


def test_a_track_that_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="unknown track 'v3'"):
        edit(RICH, Routes({"stable": Fraction(50), "v3": Fraction(50)}), LAYOUT)


WEIGHTS = st.integers(0, 1000)
CONDITIONS = st.builds(
    Condition, st.sampled_from(["header", "query", "cookie"]), st.sampled_from(["a", "b", "c-d"]), st.sampled_from(["exact", "prefix", "regex"]),
    st.sampled_from(["1", "x.y", "z"]),
)  # fmt: skip
MATCHES = st.lists(st.lists(CONDITIONS, min_size=1, max_size=2).map(tuple), min_size=1, max_size=2).map(tuple)
ROUTES = st.builds(
    lambda canary, matches, mirror: split(canary, matches=tuple(MatchRoute(f"m{index}", each) for index, each in enumerate(matches)),
                                          mirror=Mirror(Fraction(mirror)) if mirror else None),
    st.integers(0, 100), st.lists(MATCHES, max_size=2), st.integers(0, 100),
)  # fmt: skip


@given(stable=WEIGHTS, canary=WEIGHTS, third=st.integers(0, 50), want=st.integers(0, 100))
def test_weights_sum_to_their_total_and_are_never_all_zero(stable, canary, third, want):
    refs = [ref("shop-stable", stable), ref("shop-canary", canary), *([ref("other", third)] if third else [])]
    try:
        there = edit(route(rule(*refs)), split(want), LAYOUT)
    except DeliveryError:
        assume(third)  # not every share is a whole number of a foreign total
        return
    made = [each["weight"] for each in there["spec"]["rules"][0]["backendRefs"]]
    assert sum(made) > 0
    assert min(made) >= 0
    if third:
        assert made[2] == third
        assert sum(made) == stable + canary + third
    else:
        assert Fraction(100 * made[1], sum(made)) == want
        assert sum(made) in (100, stable + canary)


@given(first=ROUTES, second=ROUTES)
def test_what_was_written_is_read_back_whatever_was_there(first, second):
    manifest = route(rule(ref("admin"), matches=[ADMIN]), both(3, 2))
    try:
        there = edit(edit(manifest, first, LAYOUT), second, LAYOUT)
    except Unsupported:
        return  # a header tested twice
    assert read(there, LAYOUT) == second
    assert edit(there, second, LAYOUT) == there
    assert all(sum(each["weight"] for each in one["backendRefs"]) > 0 for one in there["spec"]["rules"])
    assert unowned(there, LAYOUT)["spec"]["rules"][0] == manifest["spec"]["rules"][0]
    assert len(unowned(there, LAYOUT)["spec"]["rules"]) == 2
