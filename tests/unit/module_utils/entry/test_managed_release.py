# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole releases of a workload that has replicas, step by step through the verbs, without Ansible and without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import health, plan, release
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore


class Shop:
    """One service whose pods are numbers in a file."""

    def __init__(self, folder: Path, **file: Any) -> None:
        self.path, self.clock, self.said = folder / "work.json", FakeClock(), list[str]()
        self.store, self.router = MemoryStore(), dict[str, Any]()
        self.file: dict[str, Any] = {
            "rollout_name": "shop", "rollout_workload": {"memory": {"path": str(self.path), "replicas": 4, "lag": 1}}, "rollout_router": {"memory": {}},
            "rollout_canary": {"bake": "0s"}, "rollout_scale_down_delay": "7s", "rollout_report": {"directory": str(folder / "reports")}, **file}

    def context(self) -> Context:
        return Context(self.clock, self.said.append, who="ann", stores=lambda options, name: self.store,
                       routers=lambda options, tracks: MemoryRouter(tracks, self.router))

    def run(self, purpose: str, version: str = "", **file: Any) -> dict[str, Any]:
        variables = {**self.file, **file, **({"rollout_version": version} if version else {})}
        planned = plan.run({"variables": variables, "groups": {}, "purpose": purpose, "asked": purpose, "probe": True, "show": False}, self.context())
        begun = release.run({"operation": "begin", "purpose": purpose, "release": planned["release"]}, self.context())
        assert begun["batches"] == [] and begun["serial"] == [], "no play over hosts"
        spec = now = begun
        while not now["outcome"]:
            following = release.run({"operation": "next", "release": spec["release"]}, self.context())
            for step in [step for leg in following["legs"] for step in leg["steps"]]:
                now = {**now, **release.run({"operation": "step", "release": spec["release"], "step": step["index"], "back": step["back"]}, self.context())}
            now = release.run({"operation": "next", "release": spec["release"]}, self.context())
        self.verified = health.run({"release": spec["release"], "verify": True}, self.context())
        return release.run({"operation": "finish", "release": spec["release"], "verified": self.verified["healthy"]}, self.context())

    @property
    def tracks(self) -> dict[str, Any]:
        return {name: (track["version"], track["replicas"]) for name, track in json.loads(self.path.read_text())["tracks"].items()}

    @property
    def stable(self) -> tuple[str, str]:
        record = stored_record(self.store)
        assert record is not None and record.stable is not None
        return record.stable.slot, record.stable.version

    def breaks(self, version: str, why: str) -> None:
        world = json.loads(self.path.read_text())
        world["faults"][version] = why
        self.path.write_text(json.dumps(world))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_canary_ends_with_stable_on_the_new_version_and_the_canary_gone(shop: Shop) -> None:
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    assert shop.tracks == {"stable": ("2", 4), "canary": ("2", 0)}
    assert shop.stable == ("stable", "2")
    assert shop.clock.now() >= 7, "the canary ran on for the delay"
    assert "4 of 4 replicas ready" in shop.verified["summary"]


def test_a_version_that_never_gets_ready_is_taken_back_at_once_with_the_reason(shop: Shop) -> None:
    shop.run("rollout", "2")
    shop.breaks("3", "ImagePullBackOff: no such image")
    begun = shop.clock.now()
    ended = shop.run("rollout", "3")
    assert ended["outcome"] == "rolled_back"
    assert "ImagePullBackOff: no such image" in ended["reason"]
    assert shop.tracks == {"stable": ("2", 4), "canary": ("3", 0)}
    assert shop.clock.now() - begun < 60


def test_blue_green_keeps_the_old_colour_for_a_switch_back(shop: Shop) -> None:
    assert shop.run("rollout", "2", rollout_strategy="blue_green")["outcome"] == "promoted"
    assert shop.tracks == {"stable": ("1", 0), "canary": ("2", 4)}
    assert shop.stable == ("canary", "2")
    assert shop.run("rollback", rollout_strategy="blue_green")["outcome"] == "rolled_back"
    assert shop.tracks == {"stable": ("1", 4), "canary": ("2", 0)}
    assert not any("deploy" in line for line in shop.said), "what was still there is scaled, not deployed"


def test_rolling_changes_the_live_track_and_a_rollback_changes_it_back(shop: Shop) -> None:
    assert shop.run("rollout", "2", rollout_strategy="rolling", rollout_router=None)["outcome"] == "promoted"
    assert shop.tracks["stable"] == ("2", 4)
    assert shop.run("rollback", rollout_strategy="rolling", rollout_router=None)["outcome"] == "rolled_back"
    assert shop.tracks["stable"] == ("1", 4)


def test_a_rolling_version_that_never_gets_ready_is_undone(shop: Shop) -> None:
    shop.run("rollout", "2", rollout_strategy="rolling", rollout_router=None)
    shop.breaks("3", "CrashLoopBackOff")
    assert shop.run("rollout", "3", rollout_strategy="rolling", rollout_router=None)["outcome"] == "rolled_back"
    assert shop.tracks["stable"] == ("2", 4)


def test_a_fixed_scale_is_for_workloads_with_replicas(shop: Shop) -> None:
    steps = [{"set_canary_scale": {"replicas": 3}}, {"set_weight": 50}]
    assert shop.run("rollout", "2", rollout_steps=steps)["outcome"] == "promoted"
    with pytest.raises(ConfigError, match="needs 4 canary pods"):
        shop.run("rollout", "3", rollout_steps=[*steps[:1], {"set_weight": 90}])


def test_what_somebody_changed_behind_our_back_is_seen_when_it_is_verified(shop: Shop) -> None:
    shop.run("rollout", "2")
    world = json.loads(shop.path.read_text())
    world["tracks"]["stable"]["version"] = "9"
    shop.path.write_text(json.dumps(world))
    spec = plan.run({"variables": {**shop.file, "rollout_version": "2"}, "groups": {}, "purpose": "status", "asked": "rollout", "probe": False, "show": False},
                    shop.context())["release"]
    seen = health.run({"release": spec, "verify": True}, shop.context())
    assert not seen["healthy"] and "stable runs 9, not 2" in seen["summary"]
