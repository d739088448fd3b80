# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version with replicas that falls ill while a bake waits, with and without metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Progress
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.poll import Attempt
from ansible_collections.progressive.delivery.plugins.module_utils.core.target import Target
from ansible_collections.progressive.delivery.plugins.module_utils.entry import vitals
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan, release, watch
from ansible_collections.progressive.delivery.plugins.module_utils.entry.vitals import Readiness
from ansible_collections.progressive.delivery.plugins.module_utils.workloads.memory import MemoryWorkload
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.test_managed_release import Shop


class Doomed(FakeClock):
    """Time in which version 2 begins to crash after a minute."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.shop = shop

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.now() > 60:
            self.shop.breaks("2", "CrashLoopBackOff")


@pytest.mark.parametrize("file", [
    {"rollout_strategy": "rolling", "rollout_router": None, "rollout_rolling": {"monitor": "5m"}},
    {"rollout_strategy": "blue_green", "rollout_blue_green": {"post_promotion_bake": "5m"}},
    {"rollout_canary": {"step_weights": [50, 100], "bake": "5m"}},
], ids=["rolling", "blue_green", "canary"])
def test_replicas_that_crash_while_a_bake_waits_end_it_without_any_metric(tmp_path: Path, file: dict[str, Any]) -> None:
    shop = Shop(tmp_path, **file)
    shop.clock = Doomed(shop)
    ended = shop.run("rollout", "2")
    assert ended["outcome"] == "rolled_back" and "CrashLoopBackOff" in ended["reason"]
    assert 60 < shop.clock.now() < 120
    assert shop.stable == ("stable", "1") and shop.tracks["stable"] == ("1", 4)


class Undone(FakeClock):
    """Time in which somebody puts the old version back after a minute, as ``kubectl rollout undo`` and GitOps do."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.shop = shop

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        world = json.loads(self.shop.path.read_text())
        found = next((track for track in world["tracks"].values() if track["version"] == "2"), None)
        if self.now() > 60 and found is not None:
            found["version"] = "1"
            self.shop.path.write_text(json.dumps(world))


@pytest.mark.parametrize("file", [
    {"rollout_strategy": "rolling", "rollout_router": None, "rollout_rolling": {"monitor": "5m"}},
    {"rollout_strategy": "blue_green", "rollout_blue_green": {"post_promotion_bake": "5m"}},
    {"rollout_canary": {"step_weights": [50, 100], "bake": "5m"}},
], ids=["rolling", "blue_green", "canary"])
def test_an_old_version_that_somebody_puts_back_is_not_watched_as_if_it_were_the_new_one(tmp_path: Path, file: dict[str, Any]) -> None:
    shop = Shop(tmp_path, **file)
    shop.clock = Undone(shop)
    ended = shop.run("rollout", "2")
    assert ended["outcome"] == "rolled_back" and "it was given 2, and somebody else put 1 in its place" in ended["reason"]
    assert 60 < shop.clock.now() < 120
    assert shop.stable == ("stable", "1") and shop.tracks["stable"] == ("1", 4)


class Told:
    """A workload that says one thing after the other."""

    def __init__(self, looks: Sequence[Any]) -> None:
        self.looks = list(looks)

    def progress(self, track: str) -> Progress:
        look = self.looks.pop(0)
        if look is None:
            raise Unavailable("no answer")
        ready, wanted = look
        return Progress(ready == wanted, "" if ready == wanted else "shop-7 runs and is not ready", ready=ready, wanted=wanted)


@pytest.mark.parametrize(("looks", "ill"), [
    ([(3, 3), (2, 3), (3, 3), (2, 3)], False),
    ([(3, 3), (2, 3), (2, 3)], True),
    ([(3, 3), (3, 6), (4, 6), (6, 6)], False),
    ([(6, 6), (5, 3), (3, 3), (3, 3)], False),
    ([(6, 6), (3, 4), (3, 4)], True),
    ([(3, 3), None, (2, 3), None, (3, 3)], False),
    ([(0, 3), (0, 3)], True),
    ([(0, 0), (0, 3), (0, 3), (1, 3), (3, 3)], False),
], ids=["a hiccup", "an illness", "an autoscaler adds", "an autoscaler takes away", "and one of the rest is ill", "nobody can be seen",
        "nobody from the first look on", "an autoscaler begins with nobody"])  # fmt: skip
def test_replicas_that_were_ready_and_are_not_any_more(looks: list[Any], ill: bool) -> None:
    readiness = Readiness(Told(looks), "canary", "shop-canary", {})  # type: ignore[arg-type]
    said = [readiness.unhealthy() for _look in looks]
    assert said[:-1] == [None] * (len(looks) - 1)
    assert ("shop-canary is not well any more" in (said[-1] or "")) is ill


def test_as_many_may_be_away_as_the_health_check_allows() -> None:
    health = {"http": {"url": "http://${address}/health"}, "max_failed": "1"}
    readiness = Readiness(Told([(4, 4), (3, 4), (3, 4), (2, 4), (2, 4)]), "canary", "shop-canary", {"health": health})  # type: ignore[arg-type]
    assert [bool(readiness.unhealthy()) for _look in range(5)] == [False, False, False, False, True]


@pytest.mark.parametrize("most, doubts", [("0", [False, True, False, True, True]), ("1", [False, False, False, True, True])])
def test_who_misses_one_answer_is_a_doubt_and_who_misses_two_is_ill(monkeypatch: pytest.MonkeyPatch, most: str, doubts: list[bool]) -> None:
    missing = iter([(), ("s1",), (), ("s1", "s2"), ("s1", "s2")])

    def probe(targets: Sequence[Target]) -> dict[str, Attempt]:
        gone = next(missing)
        return {target.name: Attempt(target.name not in gone, "refused", 0.0) for target in targets}

    monkeypatch.setattr(vitals, "prober", lambda health, spec: probe)
    spec = {"health": {"tcp": {"port": 80}, "max_failed": most}}
    asked = vitals.vitals_of(spec, "stable", "shop", by_hosts=True, hosts=("s1", "s2", "s3"))
    seen = [(asked.unhealthy() is not None, asked.doubtful()) for _look in doubts]
    assert seen == list(zip([False, False, False, False, True], doubts))


@pytest.mark.parametrize("most", ["1", "2", "100%"])
@pytest.mark.parametrize("looks", [[(2, 2), (0, 2), (0, 2)], [(0, 2), (0, 2)], [(0, 1), (0, 1)]])
def test_all_may_never_be_away(looks: list[Any], most: str) -> None:
    health = {"http": {"url": "http://${address}/health"}, "max_failed": most}
    readiness = Readiness(Told(looks), "canary", "shop-canary", {"health": health})  # type: ignore[arg-type]
    said = [readiness.unhealthy() for _look in list(looks)]
    assert said[:-1] == [None] * (len(said) - 1) and "not well any more" in (said[-1] or "")


class Pool(Service):
    """A pool whose host s1 does not come back from its deploy, and answers nobody."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, dead: tuple[str, ...] = ("s1",)) -> None:
        super().__init__(folder, rollout_strategy="rolling", rollout_health={"tcp": {"port": 80}}, rollout_watch={"duration": "1m", "interval": "10s"},
                         rollout_rolling={"max_failed": 1, "batches": [1], "monitor": "1m"})
        self.asked: set[str] = set()

        def probe(targets: Sequence[Target]) -> dict[str, Attempt]:
            self.asked |= {target.name for target in targets}
            return {target.name: Attempt(target.name not in dead, "refused", 0.0) for target in targets}

        monkeypatch.setattr(vitals, "prober", lambda health, spec: probe)

    def walk(self, begun: Any) -> dict[str, Any]:
        failed = {"deploy s1": {"result": "failed", "reason": "no space left", "hosts": ["s1"]}}
        while self.next is not None:
            if self.next.kind is Kind.BAKE:
                release.run({"operation": "step", "release": begun["release"], "step": self.record.position, "back": self.record.back}, self.context())
            else:
                self.step(begun, failed)
        return release.run({"operation": "finish", "release": begun["release"], "verified": True}, self.context())


def test_a_host_that_was_given_up_within_the_budget_does_not_take_the_others_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(tmp_path, monkeypatch)
    ended = pool.walk(pool.begin("rollout", "2"))
    assert (ended["outcome"], pool.record.lost) == ("promoted", ("s1",)), pool.said
    assert pool.asked == {"s2"}


def test_nor_does_it_when_what_is_stable_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(tmp_path, monkeypatch)
    pool.walk(pool.begin("rollout", "2"))
    pool.asked.clear()
    spec = pool.plan("resume")["release"]
    found = watch.run({"release": spec}, pool.context())
    assert (found["back"], found["outcome"]) == (False, "unchanged"), found
    assert pool.asked == {"s2"}


def test_a_host_that_falls_ill_after_its_deploy_takes_the_version_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(tmp_path, monkeypatch, dead=("s1", "s2"))
    assert pool.walk(pool.begin("rollout", "2"))["outcome"] != "promoted"
    assert "s2 unhealthy: refused" in pool.record.reason


@pytest.mark.parametrize(("away", "outcome"), [(False, "unchanged"), (True, "held")])
def test_a_version_that_nobody_can_see_is_not_called_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool, outcome: str) -> None:
    """An API server that is away while all is watched that it says."""
    shop = Shop(tmp_path, rollout_watch={"duration": "1m", "interval": "10s"})
    shop.run("rollout", "2")
    variables = {**shop.file, "rollout_version": "2"}
    spec = plan.run({"variables": variables, "groups": {}, "purpose": "status", "asked": "watch", "probe": False, "show": False}, shop.context())["release"]
    if away:
        def nobody(self: MemoryWorkload, track: str) -> Progress:
            raise Unavailable("the API server does not answer")

        monkeypatch.setattr(MemoryWorkload, "progress", nobody)
    found = watch.run({"release": spec}, shop.context())
    assert (found["back"], found["outcome"]) == (False, outcome), found["reason"]
    assert not away or "2 stays, nobody can tell how it is: the API server does not answer" in found["reason"]
