# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: real releases by the collection's own playbooks, on a real Envoy with two pools and steady load, without root.

``run.py``         good canary, two bad ones, a blue-green switch and the way back; everything is stopped at the end
``run.py --keep``  leaves the world running and prints the commands that work on it
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import environment  # noqa: E402
import load  # noqa: E402

SETTLE = 1.0
"""Seconds after a playbook within which requests still belong to it."""


@dataclass
class Scene:
    """One release: which playbook ships which version, and how it must end."""

    title: str
    playbook: str
    version: str
    outcome: str


SCENES = (
    Scene("1. A good release: canary 5, 20, 50, 100 %", "rollout", "2.4.1", "promoted"),
    Scene("2. A bad one: 10 % of its requests fail", "rollout", "2.4.2-errors", "rolled_back"),
    Scene("   and another: it is slow", "rollout", "2.4.3-slow", "rolled_back"),
    Scene("3. Blue-green: one switch", "blue_green", "2.5.0", "promoted"),
    Scene("   and back", "rollback", "2.5.0", "rolled_back"),
)


class Demo:
    """The world, and a way to run a playbook in it."""

    def __init__(self, directory: Path, reports: Path) -> None:
        self.directory = directory
        self.reports = reports
        self.world = environment.World(directory)
        self.facts: dict[str, Any] = {}
        self.variables = directory / "demo.json"
        self.rows: list[str] = []
        self.before = set(reports.glob("shop-*.html"))

    def start(self) -> None:
        self.facts = self.world.start(rate=150.0)
        environment.write_json(self.variables, {
            "demo_admin": self.facts["admin"], "demo_rds": self.facts["rds"], "demo_deploy": self.facts["deploy"],
            "demo_state": str(self.directory / "state"), "demo_reports": str(self.reports),
        })

    def command(self, playbook: str) -> list[str]:
        return [str(Path(sys.executable).with_name("ansible-playbook")), "-i", self.facts["inventory"], f"progressive.delivery.{playbook}",
                "-e", f"@{self.variables}", "-e", f"@{os.path.relpath(HERE / 'shop.yml')}"]

    def play(self, scene: Scene) -> bool:
        """Run one scene and print what users felt of it. Whether it ended as it must."""
        aim = "from" if scene.playbook == "rollback" else "version"
        print(f"\n{scene.title}: {aim} {scene.version}\n", flush=True)
        environ = {
            **os.environ, "DEMO_VERSION": scene.version, "ANSIBLE_STDOUT_CALLBACK": "progressive.delivery.progress", "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_NOCOWS": "1", "ANSIBLE_HOME": str(self.directory / "ansible"), "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        }
        begun = time.time()
        status = subprocess.run(self.command(scene.playbook), env=environ, check=False).returncode
        taken = time.time() - begun
        time.sleep(SETTLE)
        outcome = self.outcome()
        self.rows.append(self.felt(scene, begun, begun + taken + SETTLE, taken, outcome))
        print(f"\n  users: {self.rows[-1]}", flush=True)
        wanted = (status == 0) == (scene.outcome == "promoted" or scene.playbook == "rollback")
        return outcome == scene.outcome and wanted

    def outcome(self) -> str:
        """The outcome as the newest journal has it."""
        journal = max(self.reports.glob("shop-*.jsonl"), key=lambda path: path.stat().st_mtime, default=None)
        found = [json.loads(line) for line in journal.read_text().splitlines()] if journal else []
        return next((str(event["outcome"]) for event in reversed(found) if event["kind"] == "outcome"), "none")

    def felt(self, scene: Scene, begin: float, end: float, taken: float, outcome: str) -> str:
        """What the load generator, which never retries, saw meanwhile."""
        log = Path(self.facts["load_log"])
        summary = load.summarise(log, begin, end)
        text = f"{outcome} in {taken:.0f} s, {summary.failed} of {summary.total:,} requests failed ({100 * summary.failed / max(1, summary.total):.2f} %)"
        hurt = [entry for entry in load.entries(log) if begin <= float(str(entry["t"])) <= end and entry.get("v") == scene.version]
        if scene.outcome == "rolled_back" and scene.playbook == "rollout" and hurt:
            first, last = float(str(hurt[0]["t"])), float(str(hurt[-1]["t"]))
            text += f"; {len(hurt)} requests met the bad version, all of them within {last - first:.1f} s"
        return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the world running")
    parser.add_argument("--reports", type=Path, default=Path("reports/demo"), help="where the reports go (default: %(default)s)")
    arguments = parser.parse_args()
    demo = Demo(Path(tempfile.mkdtemp(prefix="progressive-demo-")), arguments.reports.resolve())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    begun = time.monotonic()
    kept = False
    try:
        demo.start()
        print(f"A real Envoy at {demo.facts['url']}, two pools of two servers, 150 requests a second without retries.")
        outcomes = [demo.play(scene) for scene in SCENES]
        tail(demo, time.monotonic() - begun, arguments.keep)
        kept = arguments.keep
        return 0 if all(outcomes) else 1
    except KeyboardInterrupt:
        print("\nstopped; everything the demo started is ended")
        return 130
    finally:
        if not kept:
            demo.world.stop()
            shutil.rmtree(demo.directory, ignore_errors=True)


def tail(demo: Demo, seconds: float, keep: bool) -> None:
    """What was seen, where the reports are, and what to try next."""
    first = min(set(demo.reports.glob("shop-*.html")) - demo.before, key=lambda path: path.stat().st_mtime, default=None)
    print(f"\nAll of it in {seconds:.0f} s:")
    for scene, row in zip(SCENES, demo.rows):
        print(f"  {scene.title:<44} {row}")
    print(f"\nReports (one HTML file each, offline): {os.path.relpath(demo.reports)}/   the first: {os.path.relpath(first) if first else 'none'}")
    print("\nTry next:")
    if keep:
        for playbook in ("status", "plan", "rollout"):
            print(f"  DEMO_VERSION=2.5.0 {' '.join(demo.command(playbook))}")
        print(f"  stop it all: {sys.executable} {os.path.relpath(HERE / 'environment.py')} stop {demo.directory}")
        return
    print("  make demo ARGS=--keep                          the same, and the world stays up for you to play with")
    print(f"  {os.path.relpath(Path(sys.executable).with_name('ansible-doc'))} progressive.delivery.plan         what a release file may say")
    print("  less examples/pool/haproxy.yml                 a release file for your own pool behind HAProxy")


if __name__ == "__main__":
    sys.exit(main())
