# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of the role rollout take for granted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants as C
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template as trusted
except ImportError:  # before ansible-core 2.19

    def trusted(value: str) -> str:
        return value


ROLES = Path(__file__).parents[2] / "roles"
TASKS = ROLES / "rollout" / "tasks"


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


@pytest.mark.parametrize(
    ("file", "path", "variables"),
    [
        ("rollout/tasks/deploy.yml", ("vars", "rollout_target_version"), {"_rollout_next": {"batch": {"version": "1.10"}}}),
        ("rollout/tasks/deploy.yml", ("vars", "rollout_previous_version"), {"_rollout_next": {"batch": {"previous": "1.10"}}}),
        ("rollback/tasks/main.yml", ("vars", "rollout_to_version"), {"rollback_to_version": "1.10"}),
        ("notify/tasks/main.yml", ("progressive.delivery.notify", "version"), {"notify_version": "1.10"}),
    ],
)
def test_a_version_that_looks_like_a_number_stays_text(monkeypatch: pytest.MonkeyPatch, file: str, path: tuple[str, str], variables: dict[str, Any]) -> None:
    monkeypatch.setattr(C, "DEFAULT_JINJA2_NATIVE", True, raising=False)
    tasks = yaml.safe_load((ROLES / file).read_text(encoding="utf-8"))
    [text] = [task[path[0]][path[1]] for task in tasks if path[1] in task.get(path[0], {})]
    assert Templar(DataLoader(), variables=variables).template(trusted(text)) == "1.10"


def test_a_host_is_asked_by_its_own_name_for_the_version_it_was_given() -> None:
    tasks = yaml.safe_load((TASKS / "deploy.yml").read_text(encoding="utf-8"))
    [asked] = [task["progressive.delivery.workload_info"] for block in blocks(tasks) for task in block["block"] if "progressive.delivery.workload_info" in task]
    assert (asked["host"], asked["wanted"]) == ("{{ inventory_hostname }}", "{{ rollout_target_version }}")
