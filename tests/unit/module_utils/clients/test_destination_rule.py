# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.destination_rule import SILENT, balancing, binding, held, speaking
from ansible_collections.progressive.delivery.plugins.module_utils.core.affinity import Cookie
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError

COOKIE = Cookie("shop-session", "/", 3600)
SPOKEN = {"consistentHash": {"httpCookie": {"name": "shop-session", "path": "/", "ttl": "3600s"}}}
MUTE = {"consistentHash": {"httpHeaderName": SILENT}}
OUTLIERS = {"outlierDetection": {"consecutive5xxErrors": 7}, "tls": {"mode": "ISTIO_MUTUAL"}, "unknown": [1]}


def rule(host="shop", **spec):
    return {"apiVersion": "v", "kind": "DestinationRule", "metadata": {"name": "shop", "namespace": "shop"}, "spec": {"host": host, **spec}}


def test_nothing_changes_but_how_requests_are_spread():
    before = rule(trafficPolicy={**OUTLIERS, "loadBalancer": {"simple": "ROUND_ROBIN", "localityLbSetting": {"enabled": True}}}, exportTo=["."])
    kept = copy.deepcopy(before)
    after = held(before, "shop", "", COOKIE, speaks=True)
    assert before == kept
    assert after["spec"]["trafficPolicy"]["loadBalancer"] == {"localityLbSetting": {"enabled": True}, **SPOKEN}
    after["spec"]["trafficPolicy"]["loadBalancer"] = kept["spec"]["trafficPolicy"]["loadBalancer"]
    assert after == kept
    assert (balancing(before), balancing(rule())) == ("ROUND_ROBIN", "")
    assert balancing(rule(trafficPolicy={"loadBalancer": MUTE})) == '{"consistentHash": {"httpHeaderName": "progressive-delivery-silent"}}'


@pytest.mark.parametrize("speaks", [True, False])
def test_what_stands_already_is_not_another_manifest(speaks):
    once = held(rule(), "shop.shop.svc.cluster.local", "", COOKIE, speaks=speaks)
    assert held(once, "shop", "", COOKIE, speaks=speaks) == once
    assert speaking(once, "", COOKIE) is speaks
    assert held(held(once, "shop", "", COOKIE, speaks=not speaks), "shop", "", COOKIE, speaks=speaks) == once
    assert binding("shop", "shop", COOKIE, speaks=speaks)["spec"] == once["spec"]


def test_what_a_person_added_to_the_same_cookie_stays_and_its_path_and_ttl_become_what_is_said():
    own = {"consistentHash": {"httpCookie": {"name": "shop-session", "ttl": "0s", "attributes": [{"name": "SameSite", "value": "Lax"}]}, "ringHash": {}}}
    found = held(rule(trafficPolicy={"loadBalancer": own}), "shop", "", COOKIE, speaks=True)["spec"]["trafficPolicy"]["loadBalancer"]["consistentHash"]
    assert found["httpCookie"] == {**SPOKEN["consistentHash"]["httpCookie"], "attributes": [{"name": "SameSite", "value": "Lax"}]}
    assert found["ringHash"] == {}
    plain = held(rule(), "shop", "", Cookie("shop-session", "", 0), speaks=True)["spec"]["trafficPolicy"]["loadBalancer"]["consistentHash"]
    assert plain == {"httpCookie": {"name": "shop-session", "path": "/", "ttl": "0s"}}, "without a path Istio's cookie is for one folder"


def test_a_subset_gets_it_alone_and_keeps_what_it_inherits():
    top = {**OUTLIERS, "loadBalancer": {"simple": "RANDOM", "warmup": {"duration": "10s"}}}
    other = {"name": "red", "labels": {"color": "red"}}
    before = rule(trafficPolicy=top, subsets=[{"name": "blue", "labels": {"color": "blue"}}, other, {"name": "green", "trafficPolicy": OUTLIERS}])
    after = held(held(before, "shop", "blue", COOKIE, speaks=True), "shop", "green", COOKIE, speaks=False)
    blue, red, green = after["spec"]["subsets"]
    assert blue == {"name": "blue", "labels": {"color": "blue"}, "trafficPolicy": {"loadBalancer": {"warmup": {"duration": "10s"}, **SPOKEN}}}
    assert red == other and after["spec"]["trafficPolicy"] == top
    assert green["trafficPolicy"] == {**OUTLIERS, "loadBalancer": {"warmup": {"duration": "10s"}, **MUTE}}
    assert speaking(after, "blue", COOKIE) and not speaking(after, "green", COOKIE)
    with pytest.raises(ConfigError, match="there is no subset grey"):
        held(before, "shop", "grey", COOKIE, speaks=True)


def test_a_port_inherits_nothing_so_it_gets_it_too():
    ports = [{"port": {"number": 80}, "connectionPool": {}}, {"port": {"number": 9}, "loadBalancer": {"simple": "RANDOM"}}]
    both = held(rule(trafficPolicy={"portLevelSettings": ports}), "shop", "", COOKIE, speaks=True)["spec"]["trafficPolicy"]
    assert [each["loadBalancer"] for each in both["portLevelSettings"]] == [SPOKEN, SPOKEN]
    one = held(rule(trafficPolicy={"portLevelSettings": ports}), "shop", "", COOKIE, speaks=True, port=80)["spec"]["trafficPolicy"]
    assert one["portLevelSettings"] == [{**ports[0], "loadBalancer": SPOKEN}, ports[1]]
    with pytest.raises(ConfigError, match="portLevelSettings hold for every subset"):
        held(rule(trafficPolicy={"portLevelSettings": ports}, subsets=[{"name": "blue"}]), "shop", "blue", COOKIE, speaks=True)


@pytest.mark.parametrize(("hashed", "said"), [
    ({"httpHeaderName": "x-user"}, "held by httpHeaderName x-user already, not by the cookie shop-session"),
    ({"useSourceIp": True}, "held by useSourceIp True"),
    ({"httpQueryParameterName": "u"}, "held by httpQueryParameterName u"),
    ({"httpCookie": {"name": "JSESSIONID"}}, "held by the cookie JSESSIONID"),
])
@pytest.mark.parametrize("speaks", [True, False])
def test_what_holds_sessions_otherwise_is_somebodys_decision(hashed, said, speaks):
    with pytest.raises(ConfigError, match=said):
        held(rule(trafficPolicy={"loadBalancer": {"consistentHash": hashed}}), "shop", "", COOKIE, speaks=speaks)


def test_a_rule_of_another_host_is_refused():
    with pytest.raises(ConfigError, match="it is about cart, not shop"):
        held(rule("cart"), "shop", "", COOKIE, speaks=True)
