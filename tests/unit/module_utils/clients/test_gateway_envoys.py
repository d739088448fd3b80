# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import RouteState
from ansible_collections.progressive.delivery.plugins.module_utils.clients.gateway_envoys import GatewayEnvoys, check_clusters, difference
from ansible_collections.progressive.delivery.plugins.module_utils.clients.http_route import Layout, edit
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Mirror, Routes

LAYOUT = Layout({"stable": "shop-stable", "canary": "shop-canary"})
CLUSTERS = {"stable": "S", "canary": "C"}
REFS = [{"kind": "Service", "name": name, "port": 80, "weight": weight} for name, weight in (("shop-stable", 100), ("shop-canary", 0))]
OTHER = {"matches": [{"path": {"type": "PathPrefix", "value": "/admin"}}], "backendRefs": [{"kind": "Service", "name": "admin", "port": 80, "weight": 1}]}
PLAIN = {"metadata": {"name": "shop", "namespace": "ns"},
         "spec": {"rules": [OTHER, {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": REFS}]}}  # fmt: skip
TESTERS = MatchRoute("testers", ((Condition("header", "canary", "exact", "true"),),))


def manifest(canary, **more):
    return edit(PLAIN, Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more), LAYOUT)


def weighted(name, **weights):
    return {"name": name, "route": {"weighted_clusters": {"clusters": [{"name": cluster, "weight": weight} for cluster, weight in weights.items()]}}}


def single(name, cluster):
    return {"name": name, "route": {"cluster": cluster}}


def copied(route, cluster, **share):
    policy = {"cluster": cluster, **({"runtime_fraction": {"default_value": share}} if share else {})}
    return {**route, "route": {**route["route"], "request_mirror_policies": [policy]}}


def why(wanted, *routes):
    return difference(wanted, LAYOUT, [RouteState("1", {"name": "http.80", "virtual_hosts": [{"routes": list(routes)}]})], CLUSTERS)


ADMIN = single("ns.shop.0", "A")


@pytest.mark.parametrize("name", ["ns.shop.1", "httproute/ns/shop/rule/1/match/0/shop_example", "", "anything"])
def test_weights_in_force(name):
    assert why(manifest(5), ADMIN, weighted(name, S=95, C=5)) == ""
    assert why(manifest(0), ADMIN, single(name, "S")) == ""
    assert why(manifest(100), ADMIN, weighted(name, S=0, C=100)) == ""
    assert "stable 95 %" in why(manifest(10), ADMIN, weighted(name, S=95, C=5)) or "canary 10 %" in why(manifest(10), ADMIN, weighted(name, S=95, C=5))


@pytest.mark.parametrize(
    ("wanted", "routes", "said"),
    [
        (manifest(5), [], "it has no route to these Services yet"),
        (manifest(5), [single("ns.shop.1", "S")], "rule 1 gives stable 100 % instead of canary 5 %, stable 95 %"),
        (manifest(5, matches=(TESTERS,)), [weighted("ns.shop.1", S=95, C=5)], "rule 1 gives canary 5 %, stable 95 % instead of canary 100 %"),
        (manifest(0, matches=(TESTERS,)), [single("ns.shop.1", "C")], "rule 2 gives nothing instead of stable 100 %"),
        (manifest(0), [single("ns.shop.1", "S"), single("ns.shop.2", "S")], "it still has a rule 2 that gives stable 100 %"),
        (manifest(0, mirror=Mirror(Fraction(10))), [single("ns.shop.1", "S"), single("ns.shop.2", "S")],
         "rule 1 gives stable 100 % instead of stable 100 %, copies to canary 10 %"),
        (manifest(5), [single("", "S")], "no route of it gives canary 5 %, stable 95 % yet"),
        (manifest(5), [weighted("", S=95, C=5), single("", "C")], "one of its routes gives canary 100 %"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_in_force_is_said(wanted, routes, said):
    assert why(wanted, *routes) == said


def test_one_virtual_host_that_lags_is_seen():
    assert why(manifest(5), weighted("ns.shop.1", S=95, C=5), weighted("ns.shop.1", S=100, C=0)) != ""


def test_routes_of_other_objects_to_the_same_services_do_not_count():
    assert why(manifest(5), weighted("ns.shop.1", S=95, C=5), single("ns.other.0", "S"), single("other.shop.9", "C"), single("ns.shop-2.7", "C")) == ""


@pytest.mark.parametrize("share", [{"numerator": 10}, {"numerator": 1000, "denominator": "TEN_THOUSAND"}, {"numerator": 100000, "denominator": "MILLION"}])
def test_a_mirror_in_force(share):
    wanted = manifest(0, mirror=Mirror(Fraction(10)))
    assert why(wanted, copied(single("ns.shop.1", "S"), "C", **share), single("ns.shop.2", "S")) == ""
    assert why(wanted, copied(single("ns.shop.1", "S"), "C"), single("ns.shop.2", "S")) != ""
    assert why(manifest(0, mirror=Mirror(Fraction(100))), copied(single("ns.shop.1", "S"), "C"), single("ns.shop.2", "S")) == ""


def test_a_third_backend_takes_its_part_of_both():
    wanted = manifest(0)
    wanted["spec"]["rules"][1]["backendRefs"] = [{**REFS[0], "weight": 70}, {**REFS[1], "weight": 10}, {"kind": "Service", "name": "x", "weight": 20}]
    assert why(wanted, weighted("ns.shop.1", S=70, C=10, X=20)) == ""
    assert why(wanted, weighted("ns.shop.1", S=70, C=10)) != ""


def test_clusters_are_called_as_istio_calls_them_unless_named():
    assert GatewayEnvoys([]).names(manifest(5), LAYOUT)["canary"] == "outbound|80||shop-canary.ns.svc.cluster.local"
    assert GatewayEnvoys([], CLUSTERS).names(manifest(5), LAYOUT) == CLUSTERS
    with pytest.raises(ConfigError, match="a cluster for each slot"):
        check_clusters({"canary": "C"}, CLUSTERS)
