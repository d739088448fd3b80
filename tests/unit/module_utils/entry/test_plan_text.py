# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan in words: objects with their names, before and after, Pods where there are Pods and hosts where there are hosts."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Track
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import GateSpec, Kind, Step
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import Brief, StepSpec
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.plugins.module_utils.entry.plan_text import lines
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import BAKE, brief, weights

CALLED = {"stable": "shop-stable", "canary": "shop-canary"}
SPEC = {"name": "shop", "deploy_timeout": "15m", "router": {"replica_ratio": {}}, "workload": {"deployment": {}}}
METRICS = [Metric("error-rate", builtin="error_rate", min_requests=30)]


def of_objects(strategy: str, *specs: StepSpec, pods: bool = False, router: object = None, **options: object) -> list[str]:
    """The lines of a release of two Deployments, four Pods in the stable one."""
    capabilities = frozenset({Capability.WEIGHT, *([Capability.PODS] if pods else [])})
    made = Brief(strategy, version="2", previous="1", home={"stable": (), "canary": ()}, by_hosts=False, called=CALLED, routed=True, watch=True,
                 replicas={"stable": 4, "canary": 0}, capabilities=capabilities, steps=specs, options=options)
    tracks = {"stable": Track("stable", "1", 4, 4), "canary": Track("canary", "0.9", 0, 0)}
    return lines(SPEC, compile_plan(made), ["a note"], METRICS, tracks, router)  # type: ignore[arg-type]


def table(found: list[str]) -> str:
    return "\n".join(found)


def test_objects_are_named_with_what_changes() -> None:
    found = of_objects("canary", *weights(25), StepSpec(step=BAKE), *weights(100))
    assert found[1] == "  12 steps, at least 1:30 of waiting, 8 Pods at most (4 now), 30 requests per look needed"
    text = table(found)
    assert "deployment/shop-canary: version 0.9 -> 2, replicas 0 -> 1" in text
    assert "waits until 1 Pod of deployment/shop-canary is ready, 15:00 at most" in text
    assert "shop-stable 100 % -> 75 %, shop-canary 0 % -> 25 %" in text
    assert "waits 1:00 and judges error-rate" in text
    assert "deployment/shop-canary: replicas 1 -> 4" in text
    assert "deployment/shop-stable: version 1 -> 2" in text
    assert "2 is stable; abort goes back until here, rollback from here on" in text
    assert "waits 30 s, then deployment/shop-canary: replicas 4 -> 0" in text
    assert found[-1] == "  ! a note"


def test_where_pods_are_the_share_the_numbers_of_pods_are_shown() -> None:
    text = table(of_objects("canary", *weights(50, 100), pods=True))
    assert "deployment/shop-stable: replicas 4 -> 2, shop-canary has 2 of 4 Pods" in text
    assert "deployment/shop-stable: version 1 -> 2, replicas 0 -> 4" in text
    assert "0 Pods" not in text and "replicas 0 -> 0" not in text


def test_a_router_says_which_objects_it_writes() -> None:
    text = table(of_objects("blue_green", router=SimpleNamespace(objects=("service/shop",))))
    assert "service/shop: shop-stable 100 % -> 0 %, shop-canary 0 % -> 100 %" in text


def test_a_gate_says_how_long_it_waits_and_what_then() -> None:
    gate = Step('gate "half"', Kind.GATE, gate=GateSpec("half", timeout=7200.0, on_timeout="abort"))
    assert "waits for a decision, 2:00:00 at most, then abort" in table(of_objects("canary", *weights(25), StepSpec(step=gate), *weights(100)))


def test_a_pool_has_hosts() -> None:
    plan = compile_plan(brief(stable=3, canary=3, steps=weights(Fraction(50), 100)))
    spec = {**SPEC, "router": {"haproxy": {}}, "workload": {"pool": {}}}
    found = lines(spec, plan, [], [], {}, None)
    assert "0 hosts out of rotation at most" in found[1] and "Pod" not in table(found)
    assert "stable 100 % -> 50 %, canary 0 % -> 50 %" in table(found)
