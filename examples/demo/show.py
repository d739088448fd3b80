# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demos have in common: scenes played by the collection's own playbooks, what users felt of each, and what to try next."""

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent))

import load

SETTLE = 1.0
"""Seconds after a playbook within which requests still belong to it."""


@dataclass(frozen=True)
class Scene:
    """One release: which playbook ships which version of which service, and how it must end."""

    title: str
    playbook: str
    version: str
    outcome: str
    service: str = "shop"


class Show:
    """Scenes in a world of their own. A demo says what that world is: how it begins and ends, and what is typed in it."""

    SCENES: ClassVar[Sequence[Scene]]

    def __init__(self, directory: Path, reports: Path) -> None:
        self.directory = directory
        self.reports = reports
        self.rows: list[str] = []
        self.before = set(reports.glob("*.html"))

    def start(self) -> str:
        """Start the world. Returns a sentence that says what it is. Raises SystemExit with one line for what this machine lacks."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all that was started, also by a start that failed."""
        raise NotImplementedError

    def command(self, playbook: str, service: str = "shop") -> list[str]:
        """What runs a playbook on a service of this world."""
        raise NotImplementedError

    def load_log(self, service: str) -> Path:
        """The file to which every request of the service's users goes."""
        raise NotImplementedError

    def keep(self) -> None:
        """Say how to go on in a world that stays."""
        raise NotImplementedError

    def next_lines(self) -> list[str]:
        """What to type next, once the world is gone."""
        raise NotImplementedError

    def play(self, scene: Scene) -> bool:
        """Run one scene and print what users felt of it. Whether it ended as it must."""
        aim = "from" if scene.playbook == "rollback" else "version"
        print(f"\n{scene.title}: {aim} {scene.version}\n", flush=True)
        environ = {
            **os.environ, "DEMO_VERSION": scene.version, "ANSIBLE_STDOUT_CALLBACK": "progressive.delivery.progress", "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_NOCOWS": "1", "ANSIBLE_HOME": str(self.directory / "ansible"), "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        }
        begun = time.time()
        status = subprocess.run(self.command(scene.playbook, scene.service), env=environ, check=False).returncode
        taken = time.time() - begun
        time.sleep(SETTLE)
        outcome = self.outcome(scene)
        self.rows.append(self.felt(scene, begun, begun + taken + SETTLE, taken, outcome))
        print(f"\n  users: {self.rows[-1]}", flush=True)
        wanted = (status == 0) == (scene.outcome == "promoted" or scene.playbook == "rollback")
        return outcome == scene.outcome and wanted

    def outcome(self, scene: Scene) -> str:
        """The outcome as the newest journal has it."""
        journal = max(self.reports.glob(f"{scene.service}-*.jsonl"), key=lambda path: path.stat().st_mtime, default=None)
        found = [json.loads(line) for line in journal.read_text().splitlines()] if journal else []
        return next((str(event["outcome"]) for event in reversed(found) if event["kind"] == "outcome"), "none")

    def felt(self, scene: Scene, begin: float, end: float, taken: float, outcome: str) -> str:
        """What the load generator, which never retries, saw meanwhile."""
        log = self.load_log(scene.service)
        summary = load.summarise(log, begin, end)
        text = f"{outcome} in {taken:.0f} s, {summary.failed} of {summary.total:,} requests failed ({100 * summary.failed / max(1, summary.total):.2f} %)"
        hurt = [entry for entry in load.entries(log) if begin <= float(str(entry["t"])) <= end and entry.get("v") == scene.version]
        if scene.outcome == "rolled_back" and scene.playbook == "rollout" and hurt:
            first, last = float(str(hurt[0]["t"])), float(str(hurt[-1]["t"]))
            text += f"; {len(hurt)} requests met the bad version, all of them within {last - first:.1f} s"
        return text

    def tail(self, seconds: float) -> None:
        """What was seen, and where the reports are."""
        first = min(set(self.reports.glob("*.html")) - self.before, key=lambda path: path.stat().st_mtime, default=None)
        print(f"\nAll of it in {seconds:.0f} s:")
        for scene, row in zip(self.SCENES, self.rows):
            print(f"  {scene.title:<44} {row}")
        print(f"\nReports (one HTML file each, offline): {os.path.relpath(self.reports)}/   the first: {os.path.relpath(first) if first else 'none'}")


def main(show: type[Show], reports: str, about: str) -> int:
    """The command line of a demo."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the world running")
    parser.add_argument("--reports", type=Path, default=Path(reports), help="where the reports go (default: %(default)s)")
    arguments = parser.parse_args()
    demo = show(Path(tempfile.mkdtemp(prefix="progressive-demo-")), arguments.reports.resolve())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    begun = time.monotonic()
    kept = False
    try:
        print(demo.start(), flush=True)
        outcomes = [demo.play(scene) for scene in demo.SCENES]
        demo.tail(time.monotonic() - begun)
        print("\nTry next:")
        if arguments.keep:
            demo.keep()
        else:
            print("\n".join(f"  {line}" for line in demo.next_lines()))
        kept = arguments.keep
        return 0 if all(outcomes) else 1
    except KeyboardInterrupt:
        print("\nstopped; everything the demo started is ended")
        return 130
    except AssertionError as error:  # something that had to come did not: the demo cannot go on, and its users need no traceback to see why
        print(f"\nThe demo cannot go on: {error}")
        return 1
    finally:
        if not kept:
            demo.stop()
            shutil.rmtree(demo.directory, ignore_errors=True)
