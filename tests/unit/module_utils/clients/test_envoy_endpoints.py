# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a cluster in its endpoint file."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy_endpoints import edit, read
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Member

ADDRESSES = {"web1": "10.0.0.1:80", "web2": "10.0.0.2:80", "web3": "10.0.0.3:80"}


def endpoint(host: str, **more: Any) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": 80}}, "hostname": "keep"}, **more}


def document(*entries: dict[str, Any]) -> dict[str, Any]:
    group = {"locality": {"zone": "a"}, "lb_endpoints": list(entries)}
    return {"resources": [{"@type": "t", "cluster_name": "shop", "endpoints": [group], "policy": {"x": 1}}]}


def entries_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = result["resources"][0]["endpoints"][0]["lb_endpoints"]
    return entries


TWO = document(endpoint("10.0.0.1"), endpoint("10.0.0.2"))


def test_equal_members_change_nothing() -> None:
    members = (Member("web1"), Member("web2"))
    assert read(TWO, "shop", ADDRESSES) == members
    assert edit(TWO, "shop", members, ADDRESSES) == TWO


def test_a_drained_member_stays_listed_and_comes_back_as_it_was() -> None:
    drained = edit(TWO, "shop", (Member("web1", Fraction(0)), Member("web2")), ADDRESSES)
    assert entries_of(drained)[0] == endpoint("10.0.0.1", health_status="DRAINING") and entries_of(drained)[1] == endpoint("10.0.0.2")
    assert read(drained, "shop", ADDRESSES) == (Member("web1", Fraction(0)), Member("web2"))
    assert edit(drained, "shop", (Member("web1"), Member("web2")), ADDRESSES) == TWO


def test_a_ramp_writes_every_weight_because_a_missing_one_means_one() -> None:
    ramped = edit(TWO, "shop", (Member("web1", Fraction(25)), Member("web2")), ADDRESSES)
    assert [entry["load_balancing_weight"] for entry in entries_of(ramped)] == [25, 100]
    assert read(ramped, "shop", ADDRESSES) == (Member("web1", Fraction(25)), Member("web2"))
    full = edit(ramped, "shop", (Member("web1"), Member("web2")), ADDRESSES)
    assert [entry["load_balancing_weight"] for entry in entries_of(full)] == [100, 100]
    assert entries_of(edit(TWO, "shop", (Member("web1", Fraction("0.1")), Member("web2")), ADDRESSES))[0]["load_balancing_weight"] == 1


def test_members_join_and_leave() -> None:
    before = copy.deepcopy(TWO)
    wanted = (Member("web2"), Member("web3"))
    both = edit(TWO, "shop", wanted, ADDRESSES, keep=True)
    assert [member.name for member in read(both, "shop", ADDRESSES)] == ["web1", "web2", "web3"]
    assert read(edit(both, "shop", wanted, ADDRESSES), "shop", ADDRESSES) == wanted
    assert before == TWO
    assert read(edit({"resources": [{"cluster_name": "shop"}]}, "shop", wanted, ADDRESSES), "shop", ADDRESSES) == wanted


def test_camel_case_and_foreign_fields_survive() -> None:
    camel = {"endpoint": {"address": {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}}, "loadBalancingWeight": 50, "metadata": {"x": 1}}
    before = {"resources": [{"clusterName": "shop", "endpoints": [{"lbEndpoints": [camel]}]}]}
    after = edit(before, "shop", (Member("web1"),), ADDRESSES)
    assert after["resources"][0]["endpoints"][0]["lbEndpoints"] == [{**camel, "loadBalancingWeight": 100}]


def test_unknown_servers_and_clusters_are_refused() -> None:
    with pytest.raises(ConfigError, match="10.0.0.9:80 of cluster shop"):
        edit(document(endpoint("10.0.0.9")), "shop", (Member("web1"),), ADDRESSES)
    with pytest.raises(ConfigError, match="no address for the member 'web9'"):
        edit(TWO, "shop", (Member("web9"),), ADDRESSES)
    with pytest.raises(ConfigError, match="no endpoints of a cluster 'blog'"):
        read(TWO, "blog", ADDRESSES)
