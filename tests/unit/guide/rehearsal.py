# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of the examples as it is written, unshortened, in a world that is played: users, versions and what they are like.

Plan, steps, decisions, record, lease and journal are the product's own. Played are the router, the workload, the metrics and the store, by the ``memory``
adapters; the answers of health checks; and the clock, which stands still unless somebody waits for it.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Optional

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.journal import JournalFile
from ansible_collections.progressive.delivery.plugins.module_utils.clients.probe import Prober
from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import FULL, Capability, Observation, Progress, Routes, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.poll import Attempt
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Record
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import Journal
from ansible_collections.progressive.delivery.plugins.module_utils.core.target import Target
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import duration
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build, catalog, release_file
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import health, plan, release, watch
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.memory import MemoryProvider
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore
from ansible_collections.progressive.delivery.plugins.module_utils.workloads.memory import MemoryWorkload
from ansible_collections.progressive.delivery.tests.cluster import pki

CHECKOUT = Path(__file__).resolve().parents[3]
EXAMPLES = CHECKOUT / "examples"
MEGABYTE = 1024 * 1024
TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
BEFORE = 3600.0
"""Seconds that the old version has served when the play begins: longer than any baseline looks back."""


@dataclass(frozen=True)
class Being:
    """What a version is like: the share of requests that it answers with an error, its 95th percentile in milliseconds, its memory in bytes,
    whether ``/health`` answers, and the share of its visitors who buy."""

    errors: float = 0.001
    p95: float = 120.0
    memory: float = 100.0 * MEGABYTE
    healthy: bool = True
    bought: float = 0.05


WELL = Being()
Turns = Callable[["Rehearsal"], bool]
"""Says whether the time has come for a version to be as it is not at first."""


@dataclass(frozen=True)
class Stream:
    """Users who are on one version of one track for some time. ``share`` is in per cent of all."""

    track: str
    version: str
    share: float
    being: Being


@dataclass
class Stretch:
    """A time in which nothing changed."""

    start: float
    end: float
    streams: tuple[Stream, ...]

    def overlap(self, start: float, end: float) -> float:
        return max(0.0, min(self.end, end) - max(self.start, start))


@dataclass(frozen=True)
class Ended:
    """How a run ended: ``code`` and ``failed`` are what ansible-playbook makes of it, ``began`` and ``seconds`` when it was and how long."""

    outcome: str
    code: int
    failed: bool
    reason: str
    began: float
    seconds: float


class Killed(BaseException):
    """A run is gone, and did not come to say so. No handler for errors holds it up."""


@functools.cache
def _parsed(path: str, version: str) -> dict[str, Any]:
    given: dict[str, Any] = yaml.safe_load(TEMPLATE.sub(version, (EXAMPLES / path).read_text(encoding="utf-8")))
    return given


def example(path: str, version: str = "2") -> dict[str, Any]:
    """A release file of the examples, templated as Ansible would, from the very file."""
    return copy.deepcopy(_parsed(path, version))


@functools.cache
def groups() -> Mapping[str, list[str]]:
    """Hosts by group, of the examples' inventory."""
    inventory = yaml.safe_load((EXAMPLES / "pool" / "inventory.yml").read_text(encoding="utf-8"))
    return {name: list(group["hosts"]) for name, group in inventory["all"]["children"].items()}


class PlayedClock(FakeClock):
    """Whoever waits lets the world go on, and the world remembers how it was meanwhile."""

    def __init__(self, before: Callable[[], None], after: Callable[[float], None], slept: Callable[[], None]) -> None:
        super().__init__()
        self._before, self._after, self._slept = before, after, slept

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._slept()

    def advance(self, seconds: float) -> None:
        self._before()
        super().advance(seconds)
        self._after(self.now())


class PlayedRouter(MemoryRouter):
    """Counts the requests of the played users, as a load balancer would."""

    play: ClassVar[Rehearsal]

    def write(self, want: Routes) -> None:
        self.play.dies("writing")
        super().write(want)
        self.play.dies("written")

    def observe(self, want: Routes) -> Observation:
        world = self._load()
        counted = self.play.counted(0.0, self.play.clock.now())
        world["requests"] = {track: int(requests) for track, (requests, _bad) in counted.items()}
        world["failed"] = {track: int(bad) for track, (_requests, bad) in counted.items()}
        return super().observe(want)


class PlayedWorkload(MemoryWorkload):
    """Replicas that can be asked, and that take time to come up."""

    play: ClassVar[Rehearsal]

    def addresses(self, track: str) -> Mapping[str, str]:
        found = self.read()[track]
        return {f"{track}-{number}": "127.0.0.1" for number in range(found.ready)}

    def progress(self, track: str) -> Progress:
        look = super().progress(track)
        return Progress(False, "0 replicas are ready", wanted=look.wanted) if self.read()[track].version == self.play.stuck else look

    def await_change(self, track: str, seconds: float) -> None:
        self.play.clock.sleep(seconds)

    def _change(self, track: str, wanted: Mapping[str, Any]) -> bool:
        self.play.changes += 1
        return super()._change(track, wanted)


class PlayedMetrics(MemoryProvider):
    """What a metrics server would say of the window that it is asked about. ``lag`` is that of the provider in the release file."""

    play: ClassVar[Rehearsal]

    def __init__(self) -> None:
        super().__init__(self.script, clock=self.play.clock.time)
        self.lag = self.play.lag

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> PlayedMetrics:
        return cls()

    def script(self) -> Mapping[str, Sequence[Any]]:
        if not self.asked:
            return {}
        name, window = self.asked[-1]
        return {name: [{"error": "connection refused"} if self.play.away else self.play.answer(name, window)]}


class Rehearsal:
    """One service and its users. ``path``: the release file below examples/; ``file``: what is said beside it, such as by ``-e``."""

    rate = 1000.0
    """Requests a second, of all users together."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, path: str, replicas: int = 4, **file: Any) -> None:
        self.folder, self.path, self.given = folder, path, file
        self.by_hosts = "pool" in self.file("2")["rollout_workload"]
        self.clock = PlayedClock(self.note, self.until, lambda: self.dies("sleeping"))
        self.documents: dict[str, tuple[str, str]] = {}
        self.store = MemoryStore(
            self.documents, before=lambda operation, key: self.dies(f"{operation} {key}"), after=lambda operation, key: self.dies(f"{operation}d {key}")
        )
        self.world: dict[str, Any] = {}
        self.said: list[str] = []
        self.asked: list[tuple[str, float]] = []
        """Every hook that was run, and when."""
        self.life: list[Stretch] = []
        self.changes = 0
        self._noted: tuple[Any, int, int] = (None, -1, -1)
        self.beings: dict[str, list[tuple[Being, Turns]]] = {}
        self.deploys: list[tuple[str, str]] = []
        self.away = False
        """Whether the metrics server does not answer."""
        self.stuck, self.hook_fails = "", ""
        """A version whose replicas never come up, and a hook of the user's that fails."""
        self.silent: set[str] = set()
        """Replicas, or hosts, that do not answer while they run 2, whatever that is like."""
        self.dies_at: Callable[[str], bool] = lambda moment: False
        self.step: Optional[Mapping[str, Any]] = None
        self.replicas, self._pods = replicas, str(folder / "pods.json")
        given = self.file("2")
        self.before = given.get("rollout_previous_version") or "1"
        self.hosts = {name: self.before for names in groups().values() for name in names}
        analysis = given.get("rollout_analysis")
        provider = analysis["provider"] if isinstance(analysis, Mapping) else {}
        self.lag = duration((provider.get("prometheus") or {}).get("scrape_interval", "15s")) if "prometheus" in provider else 0.0
        self.real = self._capabilities(given)
        for played in (PlayedRouter, PlayedWorkload, PlayedMetrics):
            patch.setattr(played, "play", self, raising=False)
        patch.setitem(catalog.WORKLOADS, "memory", PlayedWorkload)
        patch.setitem(catalog.PROVIDERS, "memory", PlayedMetrics)
        patch.setattr(Prober, "__call__", lambda prober, targets: {target.name: self.asks(target) for target in targets})
        self.clock.advance(BEFORE)

    # The release file

    def file(self, version: str) -> dict[str, Any]:
        return {**example(self.path, version), **self.given}

    def _capabilities(self, given: Mapping[str, Any]) -> tuple[frozenset[Capability], int]:
        """What the router of the file can do, so that the plan is the one that it would get."""
        if not given.get("rollout_router"):
            return frozenset(), 0
        kubeconfig = pki.kubeconfig(self.folder / "kubeconfig", "https://127.0.0.1:1", {}, {"token": "none"})
        located = {**given, "rollout_kubernetes": {**given.get("rollout_kubernetes", {}), "kubeconfig": str(kubeconfig)}}
        spec = release_file.read({**located, "rollout_version": "2"})
        router = build.local_router(spec["router"], {})
        return frozenset(router.capabilities) - {Capability.PODS}, router.resolution

    def in_memory(self, version: str, **more: Any) -> dict[str, Any]:
        """The release file with ``memory`` in place of each adapter that would speak to the world; nothing else of it changes."""
        given = {**self.file(version), **more}
        if not version:
            del given["rollout_version"]
        if "pool" not in given["rollout_workload"]:
            given["rollout_workload"] = {"memory": {"path": self._pods, "replicas": self.replicas, "lag": 1}}
        if given.get("rollout_router"):
            given["rollout_router"] = {"memory": {"capabilities": sorted(item.value for item in self.real[0])}}
        analysis = given.get("rollout_analysis")
        if isinstance(analysis, Mapping):
            given["rollout_analysis"] = {**analysis, "provider": {"memory": {"values": {"played": 1}}}}
        if "conversion" in given.get("rollout_ab_test", {}):
            conversion = {name: value for name, value in given["rollout_ab_test"]["conversion"].items() if name != "provider"}
            own = {"provider": {"memory": {"values": {"played": 1}}}} if "provider" in given["rollout_ab_test"]["conversion"] else {}
            given["rollout_ab_test"] = {**given["rollout_ab_test"], "conversion": {**conversion, **own}}
        given["rollout_report"] = {**given.get("rollout_report", {}), "directory": str(self.folder / "reports")}
        return given

    # The world

    def turns(self, version: str, being: Being, when: Turns = lambda play: True) -> None:
        """``version`` is like this from when that is so, and stays like it."""
        self.beings.setdefault(version, []).append((being, when))

    def being(self, version: str) -> Being:
        found = self.beings.get(version, [])
        for index, (being, when) in reversed(list(enumerate(found))):
            if when(self):
                found[index] = (being, lambda play: True)
                return being
        return WELL

    def routes(self) -> Routes:
        if "routes" in self.world:
            return decode(Routes, self.world["routes"], "world")
        return Routes({"stable": FULL})

    def weight(self, track: str) -> float:
        return float(self.routes().weight(track))

    def share(self, version: str) -> float:
        """Per cent of the users who are on this version now."""
        return sum(stream.share for stream in self._streams(lambda version: WELL) if stream.version == version)

    @property
    def tracks(self) -> dict[str, tuple[str, int]]:
        """Version and replicas of each slot, of a workload that has replicas."""
        found = self._workload().read()
        return {name: (track.version, track.replicas) for name, track in found.items()}

    def _workload(self) -> MemoryWorkload:
        return MemoryWorkload({"stable": "1", "canary": ""}, self.replicas, path=self._pods)

    def _streams(self, being: Callable[[str], Being]) -> Iterator[Stream]:
        routes, tracks = self.routes(), {} if self.by_hosts else self._workload().read()
        for track, weight in routes.weights.items():
            if not weight:
                continue
            if not self.by_hosts:
                version = tracks[track].version
                yield Stream(track, version, float(weight), being(version))
                continue
            members = routes.members.get(track) or ()
            names = [(member.name, float(member.ramp)) for member in members if member.ramp] or [(name, 1.0) for name in self._first(track)]
            whole = sum(part for _name, part in names)
            for name, part in names:
                yield Stream(track, self.hosts[name], float(weight) * part / whole, being(self.hosts[name]))

    def _first(self, track: str) -> list[str]:
        pool = self.file("2")["rollout_workload"]["pool"]
        return groups()[pool.get(track) or pool["hosts"]]

    def note(self) -> None:
        """Remember how it is from now on."""
        moved = (self.world.get("routes"), self.changes, len(self.deploys))
        if not self.beings and moved[0] is self._noted[0] and moved[1:] == self._noted[1:] and self.life:
            return
        self._noted = moved
        now, streams = self.clock.now(), tuple(self._streams(self.being))
        if self.life and self.life[-1].streams == streams:
            return
        self.life.append(Stretch(now, now, streams))

    def until(self, now: float) -> None:
        self.life[-1].end = now

    def counted(self, start: float, end: float) -> dict[str, tuple[float, float]]:
        """Requests, and bad ones, of each track."""
        found: dict[str, tuple[float, float]] = {}
        for stretch in self.life:
            seconds = stretch.overlap(start, end)
            for stream in stretch.streams if seconds else ():
                requests, bad = found.get(stream.track, (0.0, 0.0))
                came = self.rate * seconds * stream.share / 100
                found[stream.track] = (requests + came, bad + came * stream.being.errors)
        return found

    def answer(self, asked: str, window: Window) -> Any:
        """What a metrics server says of a window; None where it has nothing."""
        parts: list[tuple[Stream, float]] = []
        for stretch in reversed(self.life):
            if stretch.end <= window.start - self.clock.time() + self.clock.now():
                break
            seconds = stretch.overlap(*(moment - self.clock.time() + self.clock.now() for moment in (window.start, window.end)))
            parts += [(stream, self.rate * seconds * stream.share / 100) for stream in stretch.streams if stream.track == window.track and seconds]
        n = sum(count for _stream, count in parts)
        if asked == "memory":
            return next((stream.being.memory for stream, _count in parts), None)
        if n < 1:
            return None
        if asked == "error_rate":
            return {"value": sum(count * stream.being.errors for stream, count in parts) / n, "n": round(n)}
        if asked == "latency":
            return {"value": self._quantile(parts, n, window.quantile), "n": round(n)}
        if asked == "request_rate":
            return {"value": n / window.seconds, "n": round(n)}
        if "conversion_events_total" in asked:
            return sum(count * stream.being.bought for stream, count in parts)
        if "page_views_total" in asked:
            return n
        return None

    @staticmethod
    def _quantile(parts: list[tuple[Stream, float]], n: float, quantile: float) -> float:
        """Of a mixture of versions, each of whose requests take evenly from no time to a little more than their 95th percentile."""
        spread = [(stream.being.p95 * (part + 0.5) / 95, count / 100) for stream, count in parts for part in range(100)]
        passed = 0.0
        for value, count in sorted(spread):
            passed += count
            if passed >= quantile * n:
                return value
        return max(value for value, _count in spread)

    def asks(self, target: Target) -> Attempt:
        """What one host, one replica, or the users' own entry point answers to a health check."""
        track = target.name.rpartition("-")[0]
        version = self.hosts.get(target.name) or self.tracks.get(track, ("", 0))[0]
        if not version:
            well = all(stream.being.healthy for stream in self._streams(self.being))
        else:
            well = self.being(version).healthy
        silent = version == "2" and target.name in self.silent
        return Attempt(True, "200", 0.01) if well and not silent else Attempt(False, "503 Service Unavailable")

    def served(self, version: str) -> list[tuple[float, float, float]]:
        """(since, until, per cent) of each time in which users were on this version."""
        found: list[tuple[float, float, float]] = []
        for stretch in self.life:
            share = round(sum(stream.share for stream in stretch.streams if stream.version == version), 6)
            if share and stretch.end > stretch.start:
                if found and found[-1][1] == stretch.start and found[-1][2] == share:
                    found[-1] = (found[-1][0], stretch.end, share)
                else:
                    found.append((stretch.start, stretch.end, share))
        return found

    def shares(self, version: str) -> list[float]:
        """The shares that the version went through."""
        found: list[float] = []
        for _since, _until, share in self.served(version):
            if not found or found[-1] != share:
                found.append(share)
        return found

    def ill(self, version: str) -> float:
        """Seconds for which users were on this version while it was not as it should be."""
        return sum(
            stretch.end - stretch.start for stretch in self.life if any(stream.version == version and stream.being != WELL for stream in stretch.streams)
        )

    # A run, as the playbooks go

    def context(self) -> Context:
        return Context(self.clock, self.said.append, who="ann", stores=lambda options, name: self.store, routers=self._router)

    def _router(self, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> MemoryRouter:
        router = PlayedRouter(tracks, self.world, capabilities=self.real[0])
        router.resolution = self.real[1]
        return router

    @property
    def record(self) -> Record:
        found = stored_record(self.store)
        assert found is not None
        return found

    @property
    def journal(self) -> Journal:
        return JournalFile(self.record.journal).read()

    def planned(self, version: str = "2", purpose: str = "rollout", watched: str = "", **more: Any) -> dict[str, Any]:
        """What ``plan`` says to a playbook. ``watched``: what ``watch`` has seen, where it goes back."""
        what = {"rollout": "rollout", "rollback": "rollback", "watch": "status"}.get(purpose, "resume")
        asked = "watch" if watched else purpose if purpose in ("abort", "rollback", "watch") else "rollout"
        folders = [str(EXAMPLES / name) for name in ("pool", "releases")]
        return plan.run(
            {
                "variables": self.in_memory(version, **more),
                "groups": groups(),
                "purpose": what,
                "asked": asked,
                "watched": watched,
                "probe": True,
                "show": False,
                "folders": folders,
            },
            self.context(),
        )

    def run(self, purpose: str = "rollout", version: str = "2", watched: str = "", **more: Any) -> Ended:
        """One ansible-playbook: plan, begin, the steps, verify, finish."""
        began, self.step = self.clock.now(), None
        given = self.planned(version, purpose, watched, **more)["release"]
        begun = release.run({"operation": "begin", "purpose": purpose, "release": given}, self.context())
        if not begun.get("session", True):
            return self._ended(begun, began)
        spec, now = begun["release"], begun
        while not now["outcome"]:
            now = self._walk(spec)
        verified = True
        if now["outcome"] in ("promoted", "rolled_back", "aborted", "kept"):
            verified = health.run({"release": spec, "verify": True}, self.context())["healthy"]
        return self._ended(release.run({"operation": "finish", "release": spec, "verified": verified}, self.context()), began)

    def _ended(self, result: Mapping[str, Any], began: float) -> Ended:
        reason, seconds = result.get("reason") or self.record.reason, self.clock.now() - began
        return Ended(result["outcome"], result["code"], result["failed_run"], reason, began, seconds)

    def _walk(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What is ahead now: the steps up to a batch of hosts, the batch, or to the end."""
        ahead = release.run({"operation": "next", "release": spec}, self.context())
        for leg in ahead["legs"]:
            for step in leg["steps"]:
                self._do("step", spec, step, step=step["index"], back=step["back"])
            now = release.run({"operation": "next", "release": spec}, self.context())
            if leg["hook"] and not now["outcome"] and (now["back"], now["position"]) == (leg["hook"]["back"], leg["hook"]["index"]):
                self._hook(spec, leg["hook"])
        now = release.run({"operation": "next", "release": spec}, self.context())
        if now["batch"] and not now["outcome"] and now["position"] == now["batch"]["index"]:
            return self._batch(spec, now["batch"])
        return now

    def _do(self, operation: str, spec: Mapping[str, Any], doing: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        self.step = doing
        self.dies("beginning")
        done = release.run({"operation": operation, "release": spec, "back": False, **more}, self.context())
        self.dies("done")
        self.step = None
        return done

    def _hook(self, spec: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        hook = step["hook"]
        release.run({"operation": "stretch", "release": spec, "seconds": str(hook["timeout"])}, self.context())
        self.asked.append((hook["name"], self.clock.now()))
        failed = self.hook_fails == hook["name"]
        release.run({"operation": "stretch", "release": spec, "seconds": "0"}, self.context())
        seen = {"step": step["index"], "back": step["back"], "result": "failed" if failed else "done", "reason": f"hook {hook['name']}: no" if failed else ""}
        self._do("checkpoint", spec, step, seen=seen)

    def _batch(self, spec: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
        """The play over the hosts of one batch."""
        release.run({"operation": "stretch", "release": spec, "seconds": spec["deploy_timeout"]}, self.context())
        self.hosts.update(dict.fromkeys(batch["hosts"], batch["version"]))
        self.deploys += [(host, batch["version"]) for host in batch["hosts"]]
        return self._do("checkpoint", spec, {"index": batch["index"], "back": batch["back"], "name": "deploy"}, deployed=dict.fromkeys(batch["hosts"], ""))

    def watch(self) -> Ended:
        """The playbook ``watch``: what it decides, and the way back that follows."""
        began = self.clock.now()
        seen = watch.run({"release": self.planned(purpose="watch")["release"]}, self.context())
        if not seen["back"]:
            return self._ended(seen, began)
        ended = self.run("rollback", "", watched=seen["watched"], rollout_reason=seen["reason"])
        return replace(ended, began=began, seconds=self.clock.now() - began)

    def dies(self, moment: str) -> None:
        """Ends the run here and now, where the play says so."""
        if self.dies_at(moment):
            raise Killed(moment)
