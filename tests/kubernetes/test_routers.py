# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routers for Kubernetes on a real node, with users who send requests while traffic moves."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import rules
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.tests.contract import test_router_contract as contract
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm
from ansible_collections.progressive.delivery.tests.kubernetes.kube_rig import RatioShop, ServiceShop
from ansible_collections.progressive.delivery.tests.waiting import wait_until

SHOPS = {"service": ServiceShop, "replica_ratio": RatioShop}
ELSEWHERE = {
    ("replica_ratio", "test_every_split_is_read_back_by_another_process"),  # three Pods make no 5 %; the fake cluster has a thousand
    ("replica_ratio", "test_weights_never_sum_to_zero_in_between"),  # twenty moves of all Pods: a minute, and below users would notice
    *((kind, "test_a_plane_that_does_not_answer_is_unavailable") for kind in SHOPS),  # the client's own tests have servers that are silent
}


def split(canary) -> Routes:
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)})


def checks(kind):
    """Every test of the routers' contract that is meant for this router."""
    found = []
    for name, check in inspect.getmembers(contract, inspect.isfunction):
        if name.startswith("test_") and list(inspect.signature(check).parameters) == ["harness"] and (kind, name) not in ELSEWHERE:
            marks = [mark for mark in getattr(check, "pytestmark", []) if mark.name == "parametrize"]
            if all(kind in mark.args[1] for mark in marks):
                found.append(pytest.param(check, id=name.removeprefix("test_")))
    return found


@pytest.fixture(scope="module")
def plane(request, cluster, tmp_path_factory):
    """A shop of one kind, for all its tests."""
    with cluster.namespace(tmp_path_factory.mktemp(request.param)) as namespace:
        made = SHOPS[request.param](namespace)
        yield made
        made.close()


@pytest.fixture
def shop(plane):
    """As at the beginning: all traffic on stable."""
    plane.reset()
    return plane


def of(*kinds):
    return pytest.mark.parametrize("plane", kinds, indirect=True)


@pytest.fixture(scope="module")
def users():
    farm = Farm()
    yield farm
    farm.close()


@of("service")
@pytest.mark.parametrize("check", checks("service"))
def test_service_keeps_the_contract(shop, check):
    check(shop)


@of("service")
def test_no_request_fails_while_a_service_is_switched(shop, users):
    router = shop.router()
    with users.load(80, 200, host=shop.host) as load:
        wait_until(lambda: len(load.hits) > 100)
        for canary in (100, 0, 100):
            router.write(split(canary))
            version = "2" if canary else "1"
            wait_until(lambda version=version: {hit.server for hit in load.hits[-50:]} == {version}, says=lambda: load.hits[-1])
    assert load.failed == []


@of("service")
def test_the_preview_leads_to_the_other_slot(shop, users):
    preview = shop.namespace.get("service", "shop-preview")["spec"]["clusterIP"]
    wait_until(lambda: {hit.server for hit in users.get(80, 20, host=preview)} == {"2"})
    shop.router().write(split(100))
    wait_until(lambda: {hit.server for hit in users.get(80, 20, host=preview)} == {"1"})


@of("service")
def test_whoever_moved_the_service_is_named(shop):
    shop.namespace.kubectl("patch", "service", "shop", "--field-manager=somebody", "-p", '{"spec":{"selector":{"color":"red"}}}')
    try:
        with pytest.raises(ConfigError, match=r"color=red.* means neither slot .*last changed by somebody at 20") as caught:
            shop.made().read()
        assert "somebody at 20" in shop.made().observe(split(0)).why
        *_sentence, command = str(caught.value).partition("kubectl ")
        words = command.replace("'", "").split()
        shop.namespace.cluster.kubectl(*words)
        assert shop.made().read().weight("stable") == 100
    finally:
        shop.namespace.kubectl("patch", "service", "shop", "-p", '{"spec":{"selector":{"color":"blue"}}}')


@of("service", "replica_ratio")
def test_its_rights_are_enough(shop):
    """What it names as its rights, and nothing else of any Role."""
    limited = Kube.from_options({"kubeconfig": str(shop.namespace.kubeconfig("limited", rules(shop.made().rights()))), "namespace": shop.namespace.name})
    router = shop.made(limited)
    assert router.read().weight("stable") == 100
    router.write(shop.wanted(split(0)))
    assert router.observe(shop.wanted(split(0))).applied
    router.release()
    if hasattr(router, "warnings"):
        assert router.warnings() == []


@of("replica_ratio")
@pytest.mark.parametrize("check", checks("replica_ratio"))
def test_replica_ratio_keeps_the_contract(shop, check):
    check(shop)


@of("replica_ratio")
def test_pods_by_ratio_share_and_lose_nothing(shop, users):
    router = shop.router()
    with users.load(80, 200, host=shop.host) as load:
        wait_until(lambda: len(load.hits) > 100)
        router.write(split(25))
        assert router.read().pods == {"stable": 3, "canary": 1}
        wait_until(lambda: any(hit.server == "2" for hit in load.hits))  # kube-proxy has heard of it
        seen = len(load.hits)
        wait_until(lambda: len(load.hits) > seen + 1000)
        part = [hit.server for hit in load.hits[seen:]]
        router.write(split(100))
        router.write(split(0))
    assert load.failed == []
    share, allowed = part.count("2") / len(part), 4 * math.sqrt(0.25 * 0.75 / len(part))
    assert abs(share - 0.25) < allowed + 0.02
