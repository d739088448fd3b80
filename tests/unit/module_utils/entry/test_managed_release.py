# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole releases of a workload that has replicas, step by step through the verbs, without Ansible and without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.journal import JournalFile
from ansible_collections.progressive.delivery.plugins.module_utils.core import requests
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Asked, Progress
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import Drain
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import health, plan, release
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore
from ansible_collections.progressive.delivery.plugins.module_utils.workloads.memory import MemoryWorkload


class Died(Exception):
    """A run is gone, and did not come to say so."""


class Shop:
    """One service whose pods are numbers in a file."""

    def __init__(self, folder: Path, **file: Any) -> None:
        self.path, self.clock, self.said = folder / "work.json", FakeClock(), list[str]()
        self.store, self.router, self.die_at = MemoryStore(), dict[str, Any](), ""
        self.file: dict[str, Any] = {
            "rollout_name": "shop", "rollout_workload": {"memory": {"path": str(self.path), "replicas": 4, "lag": 1}}, "rollout_router": {"memory": {}},
            "rollout_canary": {"bake": "0s"}, "rollout_scale_down_delay": "7s", "rollout_report": {"directory": str(folder / "reports")}, **file}

    def context(self) -> Context:
        return Context(self.clock, self.said.append, who="ann", stores=lambda options, name: self.store,
                       routers=lambda options, tracks: MemoryRouter(tracks, self.router))

    def run(self, purpose: str, version: str = "", **file: Any) -> dict[str, Any]:
        variables = {**self.file, **file, **({"rollout_version": version} if version else {})}
        what, asked = purpose if purpose in ("rollout", "rollback") else "resume", purpose if purpose in ("abort", "rollback") else "rollout"
        planned = plan.run({"variables": variables, "groups": {}, "purpose": what, "asked": asked, "probe": True, "show": False}, self.context())
        begun = release.run({"operation": "begin", "purpose": purpose, "release": planned["release"]}, self.context())
        assert begun["batches"] == [] and begun["serial"] == [], "no play over hosts"
        spec = now = begun
        while not now["outcome"]:
            following = release.run({"operation": "next", "release": spec["release"]}, self.context())
            for step in [step for leg in following["legs"] for step in leg["steps"]]:
                if self.die_at and step["name"].startswith(self.die_at):
                    raise Died
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
    assert "4 of 4 Pods ready" in shop.verified["summary"]


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


class Impatient(FakeClock):
    """At the first wait after the promotion somebody asks to go back."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.shop = shop

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        record = stored_record(self.shop.store)
        if record is not None and record.tidying:
            requests.ask(self.shop.store, self, id="r1", kind=requests.ROLLBACK, release=record.release.id, who="bob")


@pytest.mark.parametrize("strategy, kept", [("blue_green", True), ("canary", False)])
def test_who_goes_back_while_the_old_side_is_still_up_finds_it_up(shop: Shop, strategy: str, kept: bool) -> None:
    """Where it still runs what was stable; a canary that runs the new version as well is of no use for that, and goes."""
    shop.clock = Impatient(shop)
    begun = shop.clock.now()
    assert shop.run("rollout", "2", rollout_strategy=strategy, rollout_scale_down_delay="10m")["outcome"] == "promoted"
    assert (shop.clock.now() - begun < 60) is kept
    found = requests.find(shop.store, "r1")
    assert found is not None and bool(found.answer) is kept
    if kept:
        assert shop.tracks == {"stable": ("1", 4), "canary": ("2", 4)}
        assert any("stays up, bob goes back to it" in line for line in shop.said)
    shop.clock = FakeClock()
    assert shop.run("rollback", rollout_strategy=strategy)["outcome"] == "rolled_back"
    assert shop.tracks["stable"] == ("1", 4)


def test_a_run_that_died_while_it_tidied_up_does_not_hold_up_a_rollback(shop: Shop) -> None:
    shop.die_at = "retire"
    with pytest.raises(Died):
        shop.run("rollout", "2", rollout_strategy="blue_green")
    record = stored_record(shop.store)
    assert record is not None and record.tidying
    shop.die_at = ""
    assert shop.run("rollback", rollout_strategy="blue_green")["outcome"] == "rolled_back"
    assert shop.tracks == {"stable": ("1", 4), "canary": ("2", 0)}
    ended = stored_record(shop.store)
    assert ended is not None and [(past.version, past.outcome) for past in ended.history] == [("2", "promoted")]


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


def test_a_track_is_asked_to_finish_after_the_delay_and_before_it_goes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float, float, int]] = []

    def ask(workload: MemoryWorkload, track: str, left: float) -> Iterator[tuple[str, Asked]]:
        asked.append((track, shop.clock.now(), left, shop.tracks[track][1]))
        yield "pod-1", Asked(connections=max(0, 3 - len(asked)))
        yield "pod-2", Asked(error="POST /drain is answered with 404")

    monkeypatch.setattr(MemoryWorkload, "drains", True, raising=False)
    monkeypatch.setattr(MemoryWorkload, "ask_to_finish", ask, raising=False)
    begun = shop.clock.now()
    assert shop.run("rollout", "2", rollout_strategy="blue_green", rollout_drain_timeout="60s")["outcome"] == "promoted"
    assert [(track, left, replicas) for track, _at, left, replicas in asked] == [("stable", 60, 4), ("stable", 59, 4), ("stable", 58, 4)]
    assert asked[0][1] - begun >= 7, "after the delay"
    [journal] = Path(shop.file["rollout_report"]["directory"]).rglob("*.jsonl")
    [event] = JournalFile(str(journal)).read().all(Drain)
    assert (event.members, event.in_flight, event.cut, event.seconds) == (("pod-1", "pod-2"), 0, 0, 2.0)
    assert event.why == "pod-2: POST /drain is answered with 404"


def test_a_drain_that_takes_longer_than_the_lease_keeps_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    renewals = set[str]()

    def ask(workload: MemoryWorkload, track: str, left: float) -> Iterator[tuple[str, Asked]]:
        lease = shop.store.load("lease")
        assert lease is not None
        renewals.add(lease.token)
        yield "pod-1", Asked(1)

    monkeypatch.setattr(MemoryWorkload, "drains", True, raising=False)
    monkeypatch.setattr(MemoryWorkload, "ask_to_finish", ask, raising=False)
    assert shop.run("rollout", "2", rollout_strategy="blue_green", rollout_drain_timeout="10m")["outcome"] == "promoted"
    assert shop.tracks["stable"] == ("1", 0)
    assert len(renewals) >= 600 / 50, "it would have stopped by itself otherwise"
    assert any("1 connection still open after 10:00" in line for line in shop.said), shop.said


# The way back


def test_a_rollback_that_fails_says_so_and_is_no_success(shop: Shop) -> None:
    rolling = {"rollout_strategy": "rolling", "rollout_router": None}
    shop.run("rollout", "2", **rolling)
    shop.breaks("1", "ImagePullBackOff: gone from the registry")
    ended = shop.run("rollback", **rolling)
    assert ended["outcome"] == "partial" and ended["failed_run"]
    assert "1 could not be brought back, 2 serves on" in shop.said[-2] and "gone from the registry" in shop.said[-2], shop.said
    assert shop.tracks["stable"] == ("2", 4)


def test_a_rollback_waits_for_no_monitor(shop: Shop) -> None:
    rolling = {"rollout_strategy": "rolling", "rollout_router": None, "rollout_rolling": {"monitor": "5m"}}
    shop.run("rollout", "2", **rolling)
    begun = shop.clock.now()
    assert shop.run("rollback", **rolling)["outcome"] == "rolled_back" and shop.clock.now() - begun < 60


def test_a_safe_rollback_waits_before_anything_changes_and_goes_on_as_a_rollback(shop: Shop) -> None:
    shop.run("rollout", "2", rollout_strategy="blue_green")
    asked = shop.run("rollback", rollout_strategy="blue_green", rollout_rollback_safe=True)
    assert asked["outcome"] == "paused" and not asked["failed_run"]
    assert shop.tracks == {"stable": ("1", 0), "canary": ("2", 4)}
    done = shop.run("promote", "2", rollout_strategy="blue_green", rollout_rollback_safe=True)
    assert done["outcome"] == "rolled_back" and not done["failed_run"]
    assert shop.tracks == {"stable": ("1", 4), "canary": ("2", 0)} and shop.stable == ("stable", "1")


def test_a_safe_rollback_that_is_refused_changed_nothing(shop: Shop) -> None:
    shop.run("rollout", "2", rollout_strategy="blue_green")
    shop.run("rollback", rollout_strategy="blue_green", rollout_rollback_safe=True)
    assert shop.run("abort", rollout_strategy="blue_green")["outcome"] == "aborted"
    assert shop.tracks == {"stable": ("1", 0), "canary": ("2", 4)} and shop.stable == ("canary", "2")


@pytest.mark.parametrize(("window", "waits"), [
    ({"revisions": 1}, False), ({"duration": "1h"}, False), ({"duration": "5s"}, True), ({"revisions": 1, "duration": "5s"}, True), ({}, True)])
def test_a_version_that_was_good_lately_is_shipped_without_steps(shop: Shop, window: dict[str, Any], waits: bool) -> None:
    file = {"rollout_canary": {"step_weights": [50, 100], "bake": "20s"}, "rollout_rollback_window": window}
    shop.run("rollout", "2", **file)
    begun = shop.clock.now()
    assert shop.run("rollout", "1", **file)["outcome"] == "promoted"
    assert shop.stable == ("stable", "1")
    assert (shop.clock.now() - begun > 40) is waits


def test_a_window_counts_good_versions_and_nothing_that_was_never_good(shop: Shop) -> None:
    file = {"rollout_canary": {"step_weights": [100], "bake": "20s"}, "rollout_rollback_window": {"revisions": 1}}
    for version in ("2", "3"):
        shop.run("rollout", version, **file)
    for version, waits in (("1", True), ("4", True)):
        begun = shop.clock.now()
        assert shop.run("rollout", version, **file)["outcome"] == "promoted"
        assert (shop.clock.now() - begun > 20) is waits, version


def test_revisions_are_for_workloads_that_have_them(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="nobody keeps revisions of a memory"):
        shop.run("rollback", rollout_to_revision=0)


@pytest.mark.parametrize(("ready", "goes_back"), [(3, True), (0, False)])
def test_one_sick_pod_of_stable_that_nobody_touched_keeps_nobody_on_a_bad_version(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, ready: int, goes_back: bool
) -> None:
    """Its node is gone, say. A stable without a single Pod is gone back to by nobody."""
    whole = MemoryWorkload.progress

    def progress(workload: MemoryWorkload, track: str) -> Progress:
        if track == "stable" and shop.clock.now() > 60:
            return Progress(False, f"{ready} of 4 replicas are ready", ready=ready, wanted=4)
        return whole(workload, track)

    class Sick(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now() > 60:
                shop.breaks("2", "CrashLoopBackOff")

    monkeypatch.setattr(MemoryWorkload, "progress", progress)
    monkeypatch.setattr(MemoryWorkload, "await_change", lambda workload, track, seconds: shop.clock.sleep(seconds))
    shop.clock = Sick()
    ended = shop.run("rollout", "2", rollout_canary={"step_weights": [50, 100], "bake": "5m"})
    assert ended["outcome"] == "partial" and "CrashLoopBackOff" in ended["reason"]
    assert MemoryRouter(world=shop.router).read().weight("canary") == (0 if goes_back else 50)
    if goes_back:
        assert shop.clock.now() < 300, shop.clock.now()
        assert any("3 of 4 replicas are ready (after 1:00): these take over" in line for line in shop.said), shop.said
        assert "verification failed" in ended["reason"], "its missing Pod is said all the same"
        assert shop.tracks["canary"][1] == 0


@pytest.mark.parametrize("strategy", ["blue_green", "canary"])
def test_a_stable_that_was_put_to_sleep_gets_its_pods_back_before_its_traffic(shop: Shop, strategy: str) -> None:
    class Thrifty(FakeClock):
        """Time in which somebody saves the Pods that have no traffic; then the new version breaks."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            world = json.loads(shop.path.read_text())
            if self.now() > 60 and "2" not in world["faults"]:
                world["tracks"]["stable"]["replicas"] = 0
                world["faults"]["2"] = "CrashLoopBackOff"
                shop.path.write_text(json.dumps(world))

    shop.clock = Thrifty()
    more = {"rollout_blue_green": {"post_promotion_bake": "5m"}} if strategy == "blue_green" else {"rollout_canary": {"step_weights": [50, 100], "bake": "5m"}}
    assert shop.run("rollout", "2", rollout_strategy=strategy, **more)["outcome"] == "rolled_back"
    assert shop.tracks["stable"] == ("1", 4) and MemoryRouter(world=shop.router).read().weight("stable") == 100
    assert any("it was scaled to 0, and gets its 4 Pods back" in line for line in shop.said), shop.said
