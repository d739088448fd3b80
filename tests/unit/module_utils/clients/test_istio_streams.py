# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import istio_envoys, istio_streams
from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import ClusterStatus, EnvoyAdmin
from ansible_collections.progressive.delivery.plugins.module_utils.clients.virtual_service import Destination, Layout
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.tests.contract.harness_kube import destination

SLOTS = {"stable": Destination("shop-stable"), "canary": Destination("shop-canary")}
SUBSETS = {"stable": Destination("shop", "blue"), "canary": Destination("shop", "green")}
CLUSTERS = {slot: f"outbound|443||shop-{slot}.shop.svc.cluster.local" for slot in SLOTS}
OF_SUBSETS = {slot: f"outbound|443|{to.subset}|shop.shop.svc.cluster.local" for slot, to in SUBSETS.items()}


def layout(*routes: str, slots: dict[str, Destination] | None = None) -> Layout:
    return Layout(slots or SLOTS, None, routes, 100, False)


def rule(canary: int, *names: str, others: int = 0) -> dict[str, Any]:
    route = [destination("shop-stable", 100 - canary - others), destination("shop-canary", canary), *([destination("old", others)] if others else [])]
    return {"route": route, "match": [{"port": 443, **({"sniHosts": list(names)} if names else {})}]}


def manifest(*tls: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "secure", "namespace": "shop"}, "spec": {**({"tls": list(tls)} if tls else {}), **spec}}


def listener(*chains: tuple[tuple[str, ...], dict[str, int]], made_of: str = "secure.shop") -> dict[str, Any]:
    """Chains of (server names, cluster to weight). As Istio writes it: who has no weight is left out."""
    shown = []
    for names, weights in chains:
        clusters = [{"name": name, "weight": weight} for name, weight in weights.items() if weight]
        proxy = {"@type": f"type.googleapis.com/{istio_streams.PROXY}", "stat_prefix": made_of, "weighted_clusters": {"clusters": clusters}}
        shown.append({"filter_chain_match": {"server_names": list(names)}, "filters": [{"name": "stats"}, {"name": "tcp_proxy", "typed_config": proxy}]})
    return {"name": "0.0.0.0_443", "filter_chains": shown}


def led(canary: int, *names: str, clusters: dict[str, str] | None = None, **more: int) -> tuple[tuple[str, ...], dict[str, int]]:
    called = clusters or CLUSTERS
    return names, {called["stable"]: 100 - canary - sum(more.values()), called["canary"]: canary, **more}


TWO = manifest(rule(30, "shop.example"), rule(0, "other.example"))


@pytest.mark.parametrize(
    ("listeners", "why"),
    [
        ([listener(led(30, "shop.example"), led(0, "other.example"))], ""),
        ([listener(led(30, "shop.example")), listener(led(0, "other.example"))], ""),
        ([listener(led(30, "shop.example")), listener(led(80, "x.example"), made_of="other.shop")], ""),
        ([], "it leads no connection to these destinations yet"),
        ([listener(led(30, "shop.example"), made_of="secure.elsewhere")], "it leads no connection to these destinations yet"),
        ([{"name": "no chains"}, listener(led(5, "shop.example"), led(0, "other.example"))],
         "its rule tls/shop.example does not give canary 30 %, stable 70 % yet"),
        ([listener(led(30, "shop.example"), led(5, "old.example", "new.example"))], "its rule for old.example, new.example gives canary 5 %, stable 95 %"),
        ([listener(led(30, "shop.example"), led(100))], "its rule for all connections gives canary 100 %"),
    ],
)  # fmt: skip
def test_where_listeners_lead_is_held_against_what_is_written(listeners: list[dict[str, Any]], why: str) -> None:
    assert istio_streams.difference(TWO, layout("tls/shop.example"), listeners, {}) == why


def test_rules_that_are_not_meant_are_not_waited_for() -> None:
    """They may be the mesh's own, of which a gateway knows nothing."""
    live = [listener(led(30, "shop.example"))]
    assert istio_streams.difference(TWO, layout("tls/shop.example"), live, {}) == ""
    assert istio_streams.difference(TWO, layout("tls/shop.example", "tls/1"), live, {}) == "its rule tls/other.example does not give stable 100 % yet"


def test_ports_subsets_others_and_names_of_ones_own() -> None:
    by_subset = manifest(tcp=[{"route": [destination("shop", 75, "blue"), destination("shop", 25, "green")]}])
    assert istio_streams.difference(by_subset, layout(slots=SUBSETS), [listener(led(25, clusters=OF_SUBSETS))], {}) == ""
    assert istio_streams.difference(by_subset, layout(slots=SUBSETS), [listener(led(5, clusters=OF_SUBSETS))], {}) == (
        "its rule tcp/0 does not give canary 25 %, stable 75 % yet")  # fmt: skip
    third = manifest(rule(30, "shop.example", others=20))
    assert istio_streams.difference(third, layout(), [listener(led(30, "shop.example", **{"outbound|443||old.shop.svc.cluster.local": 20}))], {}) == ""
    assert "does not give canary 30 %, stable 50 % yet" in istio_streams.difference(third, layout(), [listener(led(30, "shop.example"))], {})
    own = {"stable": "one", "canary": "two"}
    assert istio_streams.difference(manifest(rule(30, "shop.example")), layout(), [listener(led(30, "shop.example", clusters=own))], own) == ""
    other_port = {slot: name.replace("443", "8443") for slot, name in CLUSTERS.items()}
    assert istio_streams.difference(manifest(rule(30, "shop.example")), layout(), [listener(led(30, "shop.example", clusters=other_port))], {}) == ""


def test_clusters_are_those_of_the_usual_port_where_nobody_names_one() -> None:
    assert istio_envoys.cluster_names(TWO, layout("tls/shop.example"), {}) == CLUSTERS
    plain = {slot: name.replace("443", "80") for slot, name in CLUSTERS.items()}
    assert istio_envoys.cluster_names(manifest(tcp=[rule(0)]), layout(), {}) == plain


def test_http_rules_ask_no_listener() -> None:
    http = manifest(http=[{"route": [destination("shop-stable", 100), destination("shop-canary", 0)]}])
    assert istio_streams.missing(http, layout(), [EnvoyAdmin("http://127.0.0.1:1")], {}) == ""
    assert not istio_streams.are_meant(http, layout()) and istio_streams.are_meant(TWO, layout("tls/1"))


class Admin(EnvoyAdmin):
    """Answers as an Envoy's admin interface does."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answers = answers

    def _exchange(self, path: str, query: Mapping[str, str]) -> tuple[int, str]:
        return 200, json.dumps(self.answers[path])

    def clusters(self, names: Any) -> dict[str, ClusterStatus]:
        return {name: ClusterStatus(name, name.replace(":", "_"), ()) for name in names}

    def epoch(self) -> str:
        return "1"


def stats(**values: int) -> dict[str, Any]:
    return {"/stats": {"stats": [{"name": f"cluster.{CLUSTERS[name.partition('_')[0]]}.upstream_cx_{name.partition('_')[2]}", "value": value}
                                 for name, value in values.items()]}}  # fmt: skip


def test_connections_are_counted_over_all_envoys() -> None:
    admins = [Admin(stats(stable_total=70, canary_total=30, canary_connect_fail=2)), Admin(stats(stable_total=7, canary_total=3, stable_connect_fail=1))]
    count = istio_streams.counted(admins, CLUSTERS)
    assert (count.requests, count.failed, count.epoch) == ({"stable": 77, "canary": 33}, {"stable": 1, "canary": 2}, "1 1")
    with pytest.raises(Unavailable, match=r"no statistics of cluster 'outbound\|443\|\|shop-canary.*stats_config may leave them out"):
        istio_streams.counted([Admin(stats(stable_total=70))], CLUSTERS)


def test_listeners_are_those_in_force() -> None:
    states: list[dict[str, Any]] = [{"name": "warming", "warming_state": {"listener": {"name": "warming"}}}, {"active_state": {"listener": {"name": "now"}}}]
    assert Admin({"/config_dump": {"configs": states}}).listeners() == [{"name": "now"}]
    with pytest.raises(Unavailable, match="has not the shape of Envoy's"):
        Admin({"/config_dump": {"configs": ["what"]}}).listeners()
