# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each chapter of the guide: its own shell beside our release, in turn, on the real node and under load. ``make bench ARGS=guide``.

``N`` rounds (3) of each case; ``CHAPTERS=rolling,canary`` and ``CASES=good,bad`` for some of it. A case is a version that is well, one that is not, and a run
that is killed in the middle and then started once more. What a run left in the output of its commands is kept in ``GUIDE_LOGS`` when that names a folder.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.examples.demo import load as demo
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, PODS
from ansible_collections.progressive.delivery.tests.bench import plays
from ansible_collections.progressive.delivery.tests.bench.guide_chapters import CHAPTERS, Chapter, Start
from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster, Namespace
from ansible_collections.progressive.delivery.tests.kubernetes import load
from ansible_collections.progressive.delivery.tests.kubernetes.istio_rig import CheckedMesh
from ansible_collections.progressive.delivery.tests.waiting import wait_until

N = int(os.environ.get("N", "3"))
WAYS = {"guide": "the guide's shell", "ours": "**this collection**"}
RATE = 100
"""Requests a second through a gateway."""
AFTER = 3.0
"""Seconds that users are still looked at when all is over: what they see then is what is left behind."""


@dataclass
class Told:
    """What one run came to. ``failed`` without what the bad version answered itself; ``met``: requests that the bad version answered."""

    chapter: str
    case: str
    way: str
    seconds: float
    waited: float
    requests: int
    failed: int
    met: int
    codes: list[int]
    left: str
    """Versions that users met at the very end, and what failed."""
    after_kill: str = ""
    again: float = 0.0
    """Seconds of everything that was started after the kill."""
    kinds: dict[str, int] = field(default_factory=dict)
    cpu: float = 0.0
    """Seconds of a processor that the commands took, which a busy machine does not change much."""


@contextmanager
def users(chapter: Chapter, url: str, log: Path) -> Iterator[Path]:
    """Users without retries: of every kind before a Service, open-loop through a gateway."""
    if not chapter.mesh:
        with load.users(url, log) as made:
            yield made.log
        return
    log.touch()
    process = subprocess.Popen([sys.executable, "-m", demo.__name__, url, str(log), "--rate", str(RATE)])
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(60) == 0


def entries(log: Path, begin: float, end: float = float("inf")) -> list[dict[str, Any]]:
    return [entry for entry in demo.entries(log) if begin <= float(str(entry["t"])) < end]


def is_lost(entry: dict[str, Any]) -> bool:
    return entry["s"] == 0 or entry["s"] >= 400


def shares(found: list[dict[str, Any]]) -> str:
    """Who answered: `1 50 %, 2 50 %`; `failed` without the bad version's own."""
    seen = Counter("failed" if is_lost(entry) and entry.get("v") != "bad" else str(entry.get("v", "")) for entry in found)
    total = sum(seen.values()) or 1
    return ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in sorted(seen.items()) if name and count)


def at_rest(kube: Kube) -> bool:
    """Whether nothing of what was written is still to be done."""
    if any(pod["metadata"].get("deletionTimestamp") for pod in kube.list(PODS)):
        return False
    for found in kube.list(DEPLOYMENTS):
        status, spec = found.get("status") or {}, found["spec"]
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return False
        if not spec["replicas"] == status.get("replicas", 0) == status.get("updatedReplicas", 0) == status.get("availableReplicas", 0):
            return False
    return True


def children() -> float:
    """Seconds of a processor that ended children of this process have taken, and theirs."""
    times = os.times()
    return times.children_user + times.children_system


def patiently(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true within these seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


class Case:
    """One chapter, one way, one case, in a namespace of its own."""

    def __init__(self, chapter: Chapter, space: Namespace, log: Path, way: str, case: str) -> None:
        self.chapter, self.space, self.log, self.way, self.case = chapter, space, log, way, case
        self.kube = Kube.from_options({"kubeconfig": str(space.cluster.kubeconfig), "namespace": space.name})
        self.codes: list[int] = []
        self.waited = 0.0

    def all(self, starts: list[Start]) -> bool:
        """One after the other, until one ends in an error, as the jobs of a pipeline."""
        for start in starts:
            code = start.begin().end(600).status
            self.codes.append(code)
            if code:
                return False
            self.waited += start.waits
        return True

    def killed(self, starts: list[Start], version: str, began: float) -> tuple[str, float]:
        """KILL to the run in the middle; (what users met then, seconds of what was started again)."""
        for number, start in enumerate(starts):
            running = start.begin()
            while running.process.poll() is None and not self.chapter.in_the_middle(self.kube, self.log, version, began):
                time.sleep(0.1)
            if running.process.poll() is None:
                running.kill()
                self.codes.append(-9)
                time.sleep(AFTER)
                for number_left in running.left():
                    print(f"  still there: {number_left} {Path(f'/proc/{number_left}/cmdline').read_bytes()!r}", flush=True)
                after, again = shares(entries(self.log, time.time() - 2)), time.time()
                self.all(starts[number:])
                return after, time.time() - again
            self.codes.append(running.end().status)
            if self.codes[-1]:
                break
        return "over before it could be killed", 0.0

    def run(self) -> Told:
        chapter = self.chapter
        if self.case == "again":
            assert self.all(chapter.starts(self.space, self.way, "2")), f"the first release of {chapter.name}: {self.codes}"
            assert patiently(lambda: at_rest(self.kube), 60)
            self.codes, self.waited = [], 0.0
        version = "2" if self.case in ("good", "kill") else chapter.bad
        starts = chapter.starts(self.space, self.way, version)
        began, after, again, used = time.time(), "", 0.0, children()
        if self.case == "kill":
            after, again = self.killed(starts, version, began)
        else:
            self.all(starts)
        ended, used = time.time(), children() - used
        patiently(lambda: at_rest(self.kube), 120 if self.case in ("good", "kill") else 10)
        time.sleep(AFTER)
        found = entries(self.log, began)
        lost = [entry for entry in found if is_lost(entry) and entry.get("v") != "bad"]
        return Told(chapter.name, self.case, self.way, ended - began, self.waited, len(found), len(lost), sum(entry.get("v") == "bad" for entry in found),
                    self.codes, shares(entries(self.log, time.time() - 2)), after, again,
                    dict(Counter(f"{entry.get('k', '')} {entry.get('e') or entry['s']}".strip() for entry in lost)), round(used, 2))  # fmt: skip


def one(chapter: Chapter, cluster: Cluster, mesh: Any, folder: Path, way: str, case: str) -> Told:
    folder.mkdir()
    with ExitStack() as stack:
        space = stack.enter_context(cluster.namespace(folder, "guide"))
        try:
            url = chapter.prepare(space, mesh, stack)
            log = stack.enter_context(users(chapter, url, folder / "load.jsonl"))
            wait_until(lambda: len(entries(log, 0)) > 100, 60)
            time.sleep(chapter.history)
            return Case(chapter, space, log, way, case).run()
        finally:
            kept = os.environ.get("GUIDE_LOGS")
            for run in sorted([*folder.rglob("run-*.txt"), *folder.glob("load.jsonl")]) if kept else []:
                place = Path(kept or "") / folder.name
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(run, place / f"{run.parent.name}-{run.name}")


def spread(values: list[float], digits: int = 0) -> str:
    """`min / median / max`, or the one value that all have."""
    low, middle, high = (f"{each:,.{digits}f}" for each in (min(values), statistics.median(values), max(values)))
    return low if low == high else f"{low} / {middle} / {high}"


def each(values: Iterable[str]) -> str:
    """Every different one, and how often, where they differ."""
    seen = Counter(values)
    return "; ".join(f"{value} ({count} of {sum(seen.values())})" if len(seen) > 1 else value for value, count in seen.most_common())


def statuses(codes: list[int]) -> str:
    return " ".join("killed" if code == -9 else str(code) for code in codes)


COLUMNS: dict[str, Callable[[list[Told]], str]] = {
    "runs": lambda told: str(len(told)),
    "s": lambda told: spread([one.seconds for one in told], 1),
    "s of a processor": lambda told: spread([one.cpu for one in told if one.cpu] or [0.0], 1),
    "of it waits": lambda told: spread([one.waited for one in told]),
    "requests": lambda told: spread([one.requests for one in told]),
    "failed": lambda told: spread([one.failed for one in told]),
    "met the bad version": lambda told: spread([one.met for one in told]),
    "exit statuses": lambda told: each(statuses(one.codes) for one in told),
    "users after the kill": lambda told: each(one.after_kill for one in told),
    "s of the second run": lambda told: spread([one.again for one in told], 1),
    "users at the end": lambda told: each(one.left for one in told),
}
TABLES = {
    "A version that is well": (("good",), ("runs", "s", "of it waits", "s of a processor", "requests", "failed")),
    "A version that is not": (("bad", "again"), ("runs", "s", "exit statuses", "requests", "failed", "met the bad version", "users at the end")),
    "Killed in the middle, and started again": (
        ("kill",), ("runs", "users after the kill", "exit statuses", "s of the second run", "failed", "users at the end")),
}


def tables(told: list[Told]) -> None:
    for title, (cases, columns) in TABLES.items():
        rows = []
        for chapter, case in dict.fromkeys((one.chapter, one.case) for one in told if one.case in cases):
            for way, label in WAYS.items():
                mine = [one for one in told if (one.chapter, one.case, one.way) == (chapter, case, way)]
                if mine:
                    rows.append((f"{chapter}{', the next release' if case == 'again' else ''}: {label}", *(COLUMNS[name](mine) for name in columns)))
        if rows:
            plays.table(title, ("", *columns), rows)


def run(folder: Path) -> None:
    wanted = os.environ.get("CHAPTERS", ",".join(CHAPTERS)).split(",")
    cases = os.environ.get("CASES", "good,bad,again,kill").split(",")
    told: list[Told] = []
    with fixtures.connect() as cluster, ExitStack() as stack:
        mesh: Any = None
        if any(CHAPTERS[name].mesh for name in wanted):
            home = stack.enter_context(cluster.namespace(folder, "guide-mesh", lasting=True))
            mesh = CheckedMesh(folder / "mesh", cluster, home)
            stack.callback(mesh.close)
        for number in range(N):  # rounds outside, so that what else the machine does is spread over all of them
            for name in wanted:
                for case in [each for each in cases if each in CHAPTERS[name].cases]:
                    for way in list(WAYS) if number % 2 == 0 else list(WAYS)[::-1]:
                        try:
                            told.append(one(CHAPTERS[name](), cluster, mesh, folder / f"{name}-{case}-{number}-{way}", way, case))
                        except (AssertionError, subprocess.TimeoutExpired) as error:  # a busy machine: the others count all the same
                            print(f"  without {name}, {case}, {way}: {error}", flush=True)
                            continue
                        print(f"  load {os.getloadavg()[0]:.1f} {json.dumps(asdict(told[-1]), ensure_ascii=False)}", flush=True)
    tables(told)


if __name__ == "__main__":  # the lines that several runs have printed, as one
    lines = [line for file in sys.argv[1:] for line in Path(file).read_text(encoding="utf-8").splitlines()]
    tables([Told(**json.loads(line[line.index("{"):])) for line in lines if line.startswith("  load ")])
