# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the executor itself costs: tasks and time of each step of a release, on routers and hosts that take no time."""

from __future__ import annotations

import collections
import statistics
import sys
from pathlib import Path

import yaml

from ansible_collections.progressive.delivery.tests.bench import plays
from ansible_collections.progressive.delivery.tests.matrix.rig import Site

NOTHING = 40


def run(folder: Path) -> None:
    """A canary of four weights without bakes: everything that is left is overhead."""
    program = Path(sys.executable).with_name("ansible-playbook")
    (folder / "noop").mkdir()
    nothing = [{"name": "no-op", "ansible.builtin.assert": {"that": "true", "quiet": True}}] * NOTHING
    noop = [task.ms for task in plays.run(program, folder / "noop", plays.write(
        folder / "noop", [{"hosts": "localhost", "gather_facts": False, "tasks": nothing}], {}))]

    (folder / "site").mkdir()
    site = Site(folder / "site")
    site.release["rollout_canary"] = {"step_weights": [5, 20, 50, 100], "bake": "0s"}
    site.file.write_text(yaml.safe_dump(site.release, sort_keys=False))
    (site.folder / "inventory.json").write_text((site.folder / "inventory.yml").read_text())
    done = plays.run(program, site.folder, "progressive.delivery.canary", ["-e", "@shop.yml"], VERSION="2")

    steps: list[list[plays.Task]] = [[]]
    for task in done:
        steps[-1].append(task)
        if task.task == "Checkpoint":
            steps.append([])
    walked = [step for step in steps if any(task.task == "Checkpoint" for task in step)]
    began, ended = done[0].began, done[-1].ended
    own = [sum(task.ms for task in step if task.action.startswith("progressive")) for step in walked]
    rows = [
        ("a task that does nothing, ms", f"{statistics.median(noop):.0f}"),
        ("the whole release, s", f"{ended - began:.1f}"),
        ("task results, of them skipped or included", f"{len(done)}, {sum(task.status in ('skipped', 'included') for task in done)}"),
        ("steps walked", len(walked)),
        ("tasks a step, median", statistics.median(len(step) for step in walked)),
        ("ms a step, median", f"{statistics.median((step[-1].ended - step[0].began) * 1000 for step in walked):.0f}"),
        ("of it in this collection's own actions, ms", f"{statistics.median(own):.0f}"),
    ]
    plays.table("What the executor costs", ("canary 5, 20, 50, 100 % without bakes, memory router", ""), rows)
    spent: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    for task in done:
        spent[task.task, task.status].append(task.ms)
    dearest = sorted(spent.items(), key=lambda item: -sum(item[1]))[:10]
    plays.table("Where its time goes", ("task", "times", "ms each", "ms"),
                [(f"{name} ({status})", len(ms), f"{statistics.median(ms):.0f}", f"{sum(ms):,.0f}") for (name, status), ms in dearest])
