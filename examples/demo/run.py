# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: real releases by the collection's own playbooks, on a real Envoy with two pools and steady load, without root.

``run.py``         good canary, two bad ones, a blue-green switch and the way back; everything is stopped at the end
``run.py --keep``  leaves the world running and prints the commands that work on it
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import environment  # noqa: E402
from show import Scene, Show, main  # noqa: E402


class Demo(Show):
    """An Envoy in front of two pools of processes."""

    SCENES = (
        Scene("1. A good release: canary 5, 20, 50, 100 %", "rollout", "2.4.1", "promoted"),
        Scene("2. A bad one: 10 % of its requests fail", "rollout", "2.4.2-errors", "rolled_back"),
        Scene("   and another: it is slow", "rollout", "2.4.3-slow", "rolled_back"),
        Scene("3. Blue-green: one switch", "blue_green", "2.5.0", "promoted"),
        Scene("   and back", "rollback", "2.5.0", "rolled_back"),
    )

    def __init__(self, directory: Path, reports: Path) -> None:
        super().__init__(directory, reports)
        self.world = environment.World(directory)
        self.facts: dict[str, Any] = {}
        self.variables = directory / "demo.json"

    def start(self) -> str:
        self.facts = self.world.start(rate=150.0)
        environment.write_json(self.variables, {
            "demo_admin": self.facts["admin"], "demo_rds": self.facts["rds"], "demo_deploy": self.facts["deploy"],
            "demo_state": str(self.directory / "state"), "demo_reports": str(self.reports),
        })
        return f"A real Envoy at {self.facts['url']}, two pools of two servers, 150 requests a second without retries."

    def stop(self) -> None:
        self.world.stop()

    def command(self, playbook: str, service: str = "shop") -> list[str]:
        return [str(Path(sys.executable).with_name("ansible-playbook")), "-i", self.facts["inventory"], f"progressive.delivery.{playbook}",
                "-e", f"@{self.variables}", "-e", f"@{os.path.relpath(HERE / f'{service}.yml')}"]

    def load_log(self, service: str) -> Path:
        return Path(self.facts["load_log"])

    def keep(self) -> None:
        for playbook in ("status", "plan", "rollout"):
            print(f"  DEMO_VERSION=2.5.0 {' '.join(self.command(playbook))}")
        print(f"  stop it all: {sys.executable} {os.path.relpath(HERE / 'environment.py')} stop {self.directory}")

    def next_lines(self) -> list[str]:
        return [
            "make demo ARGS=--keep                          the same, and the world stays up for you to play with",
            f"{os.path.relpath(Path(sys.executable).with_name('ansible-doc'))} progressive.delivery.plan         what a release file may say",
            "less examples/pool/haproxy.yml                 a release file for your own pool behind HAProxy",
        ]


if __name__ == "__main__":
    sys.exit(main(Demo, "reports/demo", __doc__ or ""))
