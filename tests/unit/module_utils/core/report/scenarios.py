# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases as journals: the same few stories for the tests of the tree, the report, JUnit, Markdown and the callbacks."""

from __future__ import annotations

import random
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import event

START = 1772611200.0  # 2026-03-04T08:00:00Z
STEPS = [
    {"index": 0, "name": "5 %", "kind": "set_weight", "weight": 5},
    {"index": 1, "name": "bake", "kind": "bake", "weight": None, "seconds": 300},
    {"index": 2, "name": "20 %", "kind": "set_weight", "weight": 20},
    {"index": 3, "name": "bake", "kind": "bake", "weight": None, "seconds": 300},
    {"index": 4, "name": "half", "kind": "gate", "weight": None},
    {"index": 5, "name": "50 %", "kind": "set_weight", "weight": 50},
    {"index": 6, "name": "promote", "kind": "promote", "weight": None},
]
REASON = "error-rate of the canary 6.3 % (n 318) against 0.1 % of stable; more than 1 % is 99.9 % certain"
NEEDS = "needs 310 more requests, about 20 s"
ABORT = "ansible-playbook progressive.delivery.abort -e @shop.yml"
RESUME = "ansible-playbook progressive.delivery.resume -e @shop.yml"


class Story:
    """Writes events, each a little later than the one before."""

    def __init__(self, steps: list[dict[str, Any]] | None = None, **release: Any) -> None:
        self.now = START
        self.events: list[dict[str, Any]] = []
        self.random = random.Random(7)
        self.weight = 0
        self.requests = 0
        named = {
            "id": "01J9ZK3M5X8QW2R7Q",
            "name": "shop",
            "version": "2.4.1",
            "previous": "2.4.0",
            "strategy": "canary",
            "digest": "sha256:9f86d081884c7d65",
            "attempt": 1,
            "resume_command": RESUME,
            "abort_command": ABORT,
        }
        self.release = {**named, **release}
        self.add(
            "begin",
            release=self.release,
            router="haproxy lb1, lb2",
            workload="pool 4 hosts",
            steps=STEPS if steps is None else steps,
            environment={"ansible-core": "2.19.2", "haproxy lb1": "2.6.12", "progressive.delivery": "1.0.0"},
            plan_digest="6f3a0b7d",
        )

    def add(self, kind: str, wait: float = 0.4, /, **values: Any) -> None:
        self.now += wait
        self.events.append(event(kind, self.now, **values))

    def start(self, index: int, name: str) -> None:
        self.add("step", step=index, name=name, status="started")

    def done(self, index: int, name: str, seconds: float | None = None) -> None:
        self.add("step", step=index, name=name, status="done", seconds=seconds)

    def deploy(self) -> None:
        self.add("deploy", 6, hosts=["web5", "web6"], ok=["web5", "web6"], failed={}, seconds=6.2)
        targets = {name: {"healthy": True, "attempts": 3, "error": "", "latency_ms": 12.5} for name in ("web5", "web6")}
        self.add("health", 8, targets=targets, seconds=8)

    def move(self, step: int | None, weight: int) -> None:
        for target in ("lb1", "lb2"):
            before = {"weights": {"canary": self.weight, "stable": 100 - self.weight}}
            after = {"weights": {"canary": weight, "stable": 100 - weight}}
            self.add("write", 0.1, step=step, target=f"haproxy {target} backend shop", before=before, after=after, fence=7, seconds=0.012)
        self.weight = weight
        measured = {"canary": round(weight * 0.985, 2), "stable": round(100 - weight * 0.985, 2)}
        self.add("share", 1.5, step=step, asked={"canary": weight, "stable": 100 - weight}, measured=measured, requests=8391, why="")

    def look(self, step: int, phase: str = "running", share: float | None = 0.0012, reason: str = NEEDS, after: float = 10, n: int | None = None) -> None:
        self.requests += int(80 * max(self.weight, 1) / 5)
        spread = 0 if share is None else share if phase == "failed" else share * (0.7 + 0.6 * self.random.random())
        self.add(
            "look",
            after,
            step=step,
            metric="error-rate",
            phase=phase,
            value=None if share is None else round(spread, 5),
            baseline=0.001,
            threshold="< 1 %",
            n=self.requests if n is None else n,
            reason=reason,
            low=None if share is None else round(spread * 0.4, 5),
            high=None if share is None else round(spread * 2.2 + 0.0005, 5),
            unit="share",
            limit=0.01,
        )
        latency = 39 + 6 * self.random.random()
        words = "\u2264 1.5 \u00d7 38 ms"
        self.add("look", 0.1, step=step, metric="p95", phase="successful", value=latency, baseline=38.0, threshold=words, n=self.requests, unit="ms")

    def bake(self, step: int, looks: int = 30) -> None:
        self.start(step, "bake")
        for _index in range(looks - 1):
            self.look(step)
            self.add("share", 0.1, step=step, asked={"canary": self.weight, "stable": 100 - self.weight}, measured=self.near(), requests=self.requests)
        self.look(step, "successful", 0.0009, "less than 1 % is certain")
        for metric, reason in (("error-rate", "0.09 % stays below 1 %"), ("p95", "41 ms is within 1.5 times 38 ms")):
            self.add("verdict", 0.1, step=step, metric=metric, phase="successful", reason=reason)
        self.done(step, "bake", 300)

    def near(self) -> dict[str, float]:
        share = round(self.weight * (0.97 + 0.06 * self.random.random()), 2)
        return {"canary": share, "stable": round(100 - share, 2)}

    def begun(self) -> Story:
        """Deployed, 5 % walked and baked, 20 % set."""
        self.deploy()
        self.start(0, "5 %")
        self.move(0, 5)
        self.done(0, "5 %", 2.1)
        self.bake(1)
        self.start(2, "20 %")
        self.move(2, 20)
        self.done(2, "20 %", 2.2)
        return self

    def end(self, outcome: str, code: int, reason: str = "", **more: Any) -> list[dict[str, Any]]:
        self.add("outcome", outcome=outcome, code=code, reason=reason, **more)
        return self.events


def running() -> list[dict[str, Any]]:
    story = Story().begun()
    story.start(3, "bake")
    for _index in range(13):
        story.look(3)
    return story.events


def promoted() -> list[dict[str, Any]]:
    story = Story().begun()
    story.bake(3)
    story.start(4, "half")
    story.add("gate", step=4, name="half", decision="opened", who="", channel="", digest="9f86d081")
    story.add("gate", 5400, step=4, name="half", decision="promoted", who="anna", channel="gitlab", digest="9f86d081")
    story.done(4, "half", 5400)
    story.start(5, "50 %")
    story.move(5, 50)
    story.done(5, "50 %", 2.4)
    story.start(6, "promote")
    story.move(6, 100)
    story.add("drain", 12, step=6, members=["web1", "web2"], in_flight=3, cut=1, seconds=12.0)
    story.done(6, "promote", 20)
    return story.end("promoted", 0, "2.4.1 carries 100 % of the requests", requests_failed=0, requests_total=48210)


def rolled_back() -> list[dict[str, Any]]:
    story = Story().begun()
    story.start(3, "bake")
    for share in (0.002, 0.001, 0.004, 0.02, 0.045):
        story.look(3, share=share)
    story.look(3, "failed", 0.063, REASON, n=318)
    story.add("verdict", 0.1, step=3, metric="error-rate", phase="failed", reason=REASON)
    story.move(None, 0)
    story.add("drain", 3, members=["web5", "web6"], in_flight=2, cut=0, seconds=3.0)
    return story.end(
        "rolled_back",
        10,
        REASON,
        stable_after=1.4,
        requests_failed=21,
        requests_total=10412,
        next=["fix and run again, or `ansible-playbook progressive.delivery.status` for details"],
        kept=["web5", "web6"],
    )


def going_back() -> list[dict[str, Any]]:
    """As the checkpoint leaves it that turned the release back: the first step of the way back has begun."""
    story = Story().begun()
    story.start(3, "bake")
    story.look(3, "failed", 0.063, REASON, n=318)
    story.add("verdict", 0.1, step=3, metric="error-rate", phase="failed", reason=REASON)
    story.add("step", step=3, name="bake", status="failed", reason=REASON)
    story.start(len(STEPS), "all traffic to stable")
    return story.events


def wanted_rollback() -> list[dict[str, Any]]:
    """After a swap: 2.4.1 is stable in the slot called canary, and somebody asked for 2.4.0, in the slot called stable."""
    steps = [{"index": 0, "name": "switch", "kind": "weight", "weight": 100}, {"index": 1, "name": "promote", "kind": "promote", "weight": None}]
    story = Story(steps=steps, version="2.4.0", previous="2.4.1", strategy="blue_green", purpose="rollback")
    story.events[0]["candidate"] = "stable"
    story.start(0, "switch")
    before, after = {"canary": 100, "stable": 0}, {"canary": 0, "stable": 100}
    story.add("write", step=0, target="haproxy lb1 backend shop", before={"weights": before}, after={"weights": after}, fence=9, seconds=0.01)
    story.add("share", 1.5, step=0, asked=after, measured=after, requests=2100)
    story.done(0, "switch", 1.6)
    story.start(1, "promote")
    story.done(1, "promote", 0.1)
    return story.end("rolled_back", 10, "back to 2.4.0, as ann asked", requests_failed=0, requests_total=2500)


def failed_rollback() -> list[dict[str, Any]]:
    """A rollback that somebody asked for, and whose version was not well: it went back to what it should have left."""
    story = Story(steps=[{"index": 0, "name": "health", "kind": "health", "weight": None}], version="2.4.0", previous="2.4.1", purpose="rollback")
    story.start(0, "health")
    story.add("step", step=0, name="health", status="failed", reason="web1 does not answer")
    return story.end("rolled_back", 10, "web1 does not answer")


def paused() -> list[dict[str, Any]]:
    story = Story().begun()
    story.bake(3)
    story.start(4, "half")
    story.add("gate", step=4, name="half", decision="opened", digest="9f86d081")
    commands = ["ansible-playbook progressive.delivery.promote -e @shop.yml", ABORT]
    return story.end("paused", 12, 'gate "half" waits for a decision', next=commands, requests_failed=2, requests_total=22100)


def aborted() -> list[dict[str, Any]]:
    story = Story()
    story.deploy()
    story.start(0, "5 %")
    story.move(0, 5)
    story.done(0, "5 %", 2.0)
    story.start(1, "bake")
    story.look(1)
    story.add("gate", 3, step=1, name="abort", decision="aborted", who="ben", channel="cli")
    story.add("step", step=1, name="bake", status="failed", seconds=14, reason="abort asked by ben")
    story.move(None, 0)
    return story.end("aborted", 11, "abort asked by ben", stable_after=2.0, requests_failed=0, requests_total=1810)


def ab_test(says: str, lift: float, outcome: str, code: int, reason: str) -> list[dict[str, Any]]:
    """A test of a day, looked at every half an hour; B converts ``lift`` more than A."""
    steps = [{"index": 0, "name": "50 %", "kind": "weight", "weight": 50}, {"index": 1, "name": "experiment", "kind": "bake", "seconds": 604800},
             {"index": 2, "name": "100 %", "kind": "weight", "weight": 100}, {"index": 3, "name": "promote", "kind": "promote"}]
    story = Story(steps=steps, strategy="ab_test")
    story.deploy()
    story.start(0, "50 %")
    story.move(0, 50)
    story.done(0, "50 %", 2.0)
    story.start(1, "experiment")
    for look in range(1, 49):
        seen, last = 650 * look, look == 48
        reach, half = 2.4 / seen**0.5, 2.0 / seen**0.5
        wobble = (story.random.random() - 0.5) * reach / 3
        share, base = 0.1 + lift + wobble, 0.1
        told = reason if last else "needs up to 21,000 more visitors"
        story.add("look", 1800, step=1, metric="conversion", phase="running", value=share, baseline=base, threshold="from 1 points", n=seen, reason=told,
                  low=share - half, high=share + half, unit="share", confidence=95.0)
        story.add("trial", 0.1, step=1, says=says if last else "continue", reason=told, seconds=1800.0 * look, conversions=round(seen * share), visitors=seen,
                  base_conversions=round(seen * base), base_visitors=seen - look, difference=share - base, low=share - base - reach, high=share - base + reach,
                  confidence=95.0, p=0.004 if last else 1.0, p_split=0.41, part=0.5, mde=0.01, power=0.8, needed=55_758, decision="",
                  measured={})
    measured = {"error_rate.canary": 0.0009, "error_rate.stable": 0.0011, "latency.canary": 41.0, "latency.stable": 40.2, "latency_mean.stable": 18.0}
    final = {**story.events[-1], "decision": "promote" if says == "win" else "keep_stable", "measured": measured}
    story.add("trial", 0.1, **{name: value for name, value in final.items() if name not in ("at", "kind")})
    story.add("verdict", 0.1, step=1, metric="conversion", phase="successful" if says == "win" else "inconclusive", reason=f"{says}: {reason}")
    if says == "win":
        story.done(1, "experiment", 86400)
        story.start(2, "100 %")
        story.move(2, 100)
        story.done(2, "100 %", 1.9)
        story.start(3, "promote")
        story.done(3, "promote", 0.1)
    else:
        story.add("step", step=1, name="experiment", status="kept", seconds=86400, reason=f"{says}: {reason}")
        story.move(None, 0)
    return story.end(outcome, code, "" if says == "win" else f"{says}: {reason}", requests_failed=0, requests_total=912_000)


def won() -> list[dict[str, Any]]:
    return ab_test("win", 0.02, "promoted", 0, "converts more, by 0.6 to 3.4 points: 12 % against 10 %")


def kept() -> list[dict[str, Any]]:
    return ab_test("lose", -0.02, "kept", 21, "converts less, by 0.6 to 3.4 points: 8 % against 10 %")


def first_deploy() -> list[dict[str, Any]]:
    story = Story(steps=[], previous="")
    story.deploy()
    story.move(None, 100)
    return story.end("promoted", 0, "first deploy: no stable version to compare with, so no steps and no analysis")


def hostile() -> list[dict[str, Any]]:
    """Every text is an attack on whatever shows it."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \"'`|*_[x](javascript:alert(1)) \u202e\x1b[31m\x00 ]]> &amp; \ud800"
    story = Story(steps=[{"index": 0, "name": evil, "kind": evil, "weight": 5}], id=evil, name=evil, version=evil, previous=evil, strategy=evil)
    story.add("step", step=0, name=evil, status="started", reason=evil)
    story.add("write", step=0, target=evil, before={"weights": {evil: 100}}, after={"weights": {evil: "100/3"}, evil: evil}, fence=1, seconds=0.1)
    story.add("share", step=0, asked={evil: 5}, measured={evil: 4}, requests=3, why=evil)
    for index in range(3):
        story.add("look", step=0, metric=evil, phase="failed", value=index, baseline=1, threshold=evil, n=3, reason=evil, unit=evil)
    story.add("verdict", step=0, metric=evil, phase="failed", reason=evil)
    for number in (evil, -1, 5):
        story.add("trial", step=0, says=evil, reason=evil, conversions=number, visitors=number, base_conversions=7, base_visitors=3, difference=number,
                  low=number, high=number, confidence=number, part=number, mde=number, measured={evil: number})
    story.add("gate", step=0, name=evil, decision="promoted", who=evil, channel=evil, digest=evil)
    story.add("drain", step=0, members=[evil], in_flight=1, cut=1, seconds=1)
    story.add("deploy", step=0, hosts=[evil], ok=[], failed={evil: evil}, seconds=1)
    story.add("health", step=0, targets={evil: {"healthy": False, "attempts": 1, "error": evil, "latency_ms": 1}})
    story.events.append({"at": "2026-03-04T09:00:00.000Z", "kind": evil, "what": evil})
    return story.end("rolled_back", 10, evil, next=[evil], kept=[evil])


def long() -> list[dict[str, Any]]:
    """Eight hours of looks every five seconds at two metrics."""
    story = Story().begun()
    story.start(3, "bake")
    for _index in range(5760):
        story.look(3, after=5)
    return story.events


def empty() -> list[dict[str, Any]]:
    return []


SCENARIOS = {story.__name__: story for story in (
    promoted, rolled_back, going_back, wanted_rollback, failed_rollback, paused, aborted, first_deploy, running, won, kept, hostile,
    empty,
)}
