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


WAITING = {"begin.yml": {"plan", "release"}, "leg.yml": {"release"}, "finish.yml": {"health", "release"}}
"""Tasks that wait for as long as the release file says, by the verb that does."""


@pytest.mark.parametrize("file", WAITING)
def test_what_waits_is_not_cut_off_by_a_timeout_of_the_users_configuration(file: str) -> None:
    tasks = yaml.safe_load((TASKS / file).read_text(encoding="utf-8"))
    everything = [*tasks, *(task for block in blocks(tasks) for part in ("block", "rescue") for task in block.get(part, []))]
    found = {}
    for task in everything:
        for verb in WAITING[file]:
            asked = task.get(f"progressive.delivery.{verb}", {})
            if asked and asked.get("operation") != "next":  # which only reads
                found[verb] = task.get("timeout")
    assert found == dict.fromkeys(WAITING[file], 0)


def test_a_watch_is_not_cut_off_either() -> None:
    [first, _walk] = yaml.safe_load((ROLES.parent / "playbooks" / "watch.yml").read_text(encoding="utf-8"))
    assert [task.get("timeout") for task in first["tasks"] if "progressive.delivery.watch" in task] == [0]


def test_a_host_that_fails_takes_no_other_of_its_batch_with_it_whatever_the_users_configuration_says() -> None:
    plays = yaml.safe_load((ROLES.parent / "playbooks" / "parts" / "walk.yml").read_text(encoding="utf-8"))
    over_hosts = [play for play in plays if "serial" in play]
    assert [play.get("any_errors_fatal") for play in over_hosts] == [False, False]


@pytest.mark.parametrize(("groups", "refused"), [
    ({"all": ["w1"]}, False), ({"progressive_receiving": ["progressive-nobody"]}, False), ({"progressive_receiving": ["progressive-nobody", "w1"]}, True),
])  # fmt: skip
def test_a_second_pool_in_one_playbook_is_refused_before_anything_begins(groups: dict[str, list[str]], refused: bool) -> None:
    """The batches of the second would hold hosts of the first, and a mark on a host that it was given its version would be the first one's."""
    first = yaml.safe_load((TASKS / "begin.yml").read_text(encoding="utf-8"))[0]
    assert first["vars"]["_rollout_refused"]["outcome"] == "invalid"
    found = Templar(DataLoader(), variables={"groups": groups}).template(trusted("{{ " + first["when"] + " }}"))
    assert found in (refused, str(refused))


def rendered(value: Any, variables: dict[str, Any]) -> Any:
    """A template, or a dict of them, as this version of Ansible renders it."""
    if isinstance(value, dict):
        return {name: rendered(item, variables) for name, item in value.items()}
    return Templar(DataLoader(), variables=variables).template(trusted(value))


@pytest.mark.parametrize("failure", ["abort", "pause"])
@pytest.mark.parametrize(
    ("run", "index", "back", "this"),
    [("a1", 3, False, True), ("a1", 4, False, False), ("b2", 3, False, False), ("a1", 3, True, False)],
    ids=["this hook", "the next one", "one of the next release", "one of the way back"],
)
def test_that_a_hook_failed_is_told_of_that_hook_alone(failure: str, run: str, index: int, back: bool, this: bool) -> None:
    hook, store = yaml.safe_load((TASKS / "hook_step.yml").read_text(encoding="utf-8"))
    kept = hook["rescue"][0]["ansible.builtin.set_fact"]["_rollout_rescued"]

    def facts(run: str, index: int, back: bool) -> dict[str, Any]:
        step = {"index": index, "back": back, "hook": {"failure": failure}}
        return {"_rollout_release": {"session": {"holder": run}}, "_rollout_step": step, "ansible_failed_result": {"msg": "hook smoke: it is not well"}}

    rescued = rendered(kept, facts("a1", 3, False))
    seen = rendered(store["progressive.delivery.release"]["seen"], {**facts(run, index, back), "_rollout_rescued": rescued})
    assert (int(seen["step"]), seen["back"]) == (index, back)
    assert (seen["result"], seen.get("reason")) == (("paused" if failure == "pause" else "failed", "hook smoke: it is not well") if this else ("done", None))


def test_a_hook_that_nobody_rescued_is_done() -> None:
    store = yaml.safe_load((TASKS / "hook_step.yml").read_text(encoding="utf-8"))[1]
    variables = {"_rollout_release": {"session": {"holder": "a1"}}, "_rollout_step": {"index": 0, "back": False}}
    assert rendered(store["progressive.delivery.release"]["seen"], variables)["result"] == "done"
