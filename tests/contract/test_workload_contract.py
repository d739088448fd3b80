# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Workload port, over every adapter in the catalog; and that no adapter of any port goes without its contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import argument_spec, documentation, validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import PROVIDERS, ROUTERS, STORES, WORKLOADS
from ansible_collections.progressive.delivery.tests.contract import test_metric_contract, test_router_contract, test_store_contract
from ansible_collections.progressive.delivery.tests.unit.kube_controllers import RESOURCES, FakeControllers, manifest

GROUPS = {"blue": ["b1", "b2"], "green": ["g1"], "empty": []}


def memory() -> Any:
    return WORKLOADS["memory"].from_options({"tracks": {"stable": "1", "canary": ""}, "replicas": 2})


def pool() -> Any:
    return WORKLOADS["pool"](WORKLOADS["pool"].slots({"stable": "blue", "canary": "green"}, GROUPS), {"b1": "1", "b2": "1", "g1": "2"}.__getitem__)


def kubernetes(kind: str) -> Any:
    cluster = FakeControllers()
    for name in ("blue", "green"):
        cluster.put(RESOURCES[kind], manifest(kind, name, "registry.test/shop:1"))
    options = validate({"stable": "blue", "canary": "green", "image": "registry.test/shop:${version}"}, WORKLOADS[kind].OPTIONS, kind)
    return WORKLOADS[kind].from_options(options, "2", kube=cluster)


MADE: Mapping[str, Callable[[], Any]] = {"memory": memory, "pool": pool, **{kind: partial(kubernetes, kind) for kind in RESOURCES}}
MANAGED = sorted(kind for kind, adapter in WORKLOADS.items() if not adapter.by_hosts)
NUMBERED = sorted({*MANAGED} - {"daemonset"})
"""Those whose number of replicas can be chosen."""


def covered(harnesses: Any) -> set[str]:
    """The adapters that a suite's harnesses stand for: their names begin with the adapter's."""
    return {str(name).split("-", 1)[0] for name in harnesses}


def test_every_adapter_of_the_catalog_has_its_contract() -> None:
    assert set(MADE) == set(WORKLOADS)
    assert covered(test_router_contract.HARNESSES) == set(ROUTERS)
    assert covered(test_metric_contract.HARNESSES) >= set(PROVIDERS)
    assert covered(test_store_contract.STORES) == set(STORES)


@pytest.mark.parametrize("adapters", [ROUTERS, PROVIDERS, STORES, WORKLOADS], ids=["routers", "providers", "stores", "workloads"])
def test_every_adapter_says_what_it_is_and_what_it_takes(adapters: Mapping[str, Any]) -> None:
    assert list(adapters) == sorted(adapters)
    for adapter in adapters.values():
        assert adapter.SUMMARY.endswith(".")
        assert set(argument_spec(adapter.OPTIONS)) == set(documentation(adapter.OPTIONS))
        assert all(option.description for option in adapter.OPTIONS.values())


@pytest.fixture(params=MADE)
def workload(request: pytest.FixtureRequest) -> Any:
    return MADE[request.param]()


def test_tracks_are_read_by_their_names(workload: Any) -> None:
    tracks = workload.read()
    assert set(tracks) == {"stable", "canary"}
    for name, track in tracks.items():
        assert track.name == name and 0 <= track.ready <= track.replicas
    assert tracks["stable"].version == "1"


@pytest.mark.parametrize("kind", WORKLOADS)
def test_slots_are_always_two(kind: str) -> None:
    slots = WORKLOADS[kind].slots({"stable": "blue", "canary": "green"}, GROUPS)
    assert set(slots) == {"stable", "canary"}
    assert bool(slots["stable"]) is WORKLOADS[kind].by_hosts


def test_a_pool_that_does_not_agree_has_no_version() -> None:
    mixed = WORKLOADS["pool"]({"stable": ("b1", "b2")}, {"b1": "1", "b2": "2"}.__getitem__)
    assert mixed.read()["stable"].version == ""


@pytest.mark.parametrize("options", [{}, {"stable": "nope"}, {"stable": "empty"}, {"stable": "blue", "canary": "blue"}, {"stable": "blue", "hosts": "green"}])
def test_groups_that_cannot_be_a_pool_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        WORKLOADS["pool"].slots(options, GROUPS)


@pytest.mark.parametrize("kind", MANAGED)
def test_what_a_managed_workload_is_told_it_does_once(kind: str) -> None:
    made = MADE[kind]()
    assert made.deploy("canary", "2") and not made.deploy("canary", "2")
    assert made.read()["canary"].version == "2" and made.read()["stable"].version == "1"
    assert made.deploy("canary", "1") and made.read()["canary"].version == "1"
    look = made.progress("canary")
    assert look.done and not look.failed and look.why == "" and look.ready == look.wanted == made.read()["canary"].replicas
    assert isinstance(made.addresses("stable"), Mapping)
    with pytest.raises(ConfigError):
        made.deploy("nobody", "2")


@pytest.mark.parametrize("kind", NUMBERED)
def test_replicas_are_absolute(kind: str) -> None:
    made = MADE[kind]()
    assert made.deploy("canary", "2", 3) and not made.deploy("canary", "2", 3)
    assert made.scale("canary", 5) and not made.scale("canary", 5)
    assert (made.read()["canary"].version, made.read()["canary"].replicas) == ("2", 5)
    assert made.retire("canary") and not made.retire("canary")
    assert made.read()["canary"].replicas == made.read()["canary"].ready == 0 and made.progress("canary").done
    with pytest.raises(ConfigError):
        made.scale("nobody", 1)
