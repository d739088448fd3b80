# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of the role rollout take for granted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).parents[2] / "roles" / "rollout" / "tasks"


def blocks(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every block, the inner ones after the outer ones."""
    for task in tasks:
        if "block" in task:
            yield task
            for part in ("block", "rescue", "always"):
                yield from blocks(task.get(part, []))


def test_a_report_that_cannot_be_written_ends_no_run() -> None:
    tasks = yaml.safe_load((TASKS / "finish.yml").read_text(encoding="utf-8"))
    [around] = [block for block in blocks(tasks) if any("progressive.delivery.report" in task for task in block["block"])]
    assert [list(task) for task in around["rescue"]] == [["name", "ansible.builtin.debug"]]
