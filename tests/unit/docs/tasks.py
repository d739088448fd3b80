# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules, roles and playbooks of the collection take, and what is wrong with a task that uses one, wherever it is written."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible.parsing.yaml.loader import AnsibleLoader
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.playbook.task import Task

CHECKOUT = Path(__file__).resolve().parents[3]
NAMESPACE = "progressive.delivery"
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (CHECKOUT / "roles").glob("*") if path.is_dir())
PLAYBOOKS = sorted(path.stem for path in (CHECKOUT / "playbooks").glob("*.yml"))

KEYWORDS = {*Task.fattributes, *Block.fattributes, "action", "local_action", "with_items", "with_dict"}
PLAY_KEYWORDS = set(Play.fattributes)


def nothing(wrong: Iterable[str]) -> None:
    """Fail with all that is wrong, a line each."""
    lines = list(wrong)
    assert not lines, "\n" + "\n".join(lines)


class Captured(Exception):
    """Carries what a module hands to AnsibleModule."""


@cache
def arguments(module: str) -> dict[str, Any]:
    """The keyword arguments with which the module makes its AnsibleModule."""

    def capture(_self: object, *args: Any, **kwargs: Any) -> None:
        raise Captured({**kwargs, **({"argument_spec": args[0]} if args else {})})

    path = CHECKOUT / "plugins" / "modules" / f"{module}.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(basic.AnsibleModule, "__init__", capture)
        with pytest.raises(Captured) as caught:
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), {"__name__": "__main__"})  # runpy stumbles over ansible-test's import hooks
    return dict(caught.value.args[0])


def spec(module: str) -> dict[str, Any]:
    return arguments(module)["argument_spec"]


def role_file(role: str, *parts: str) -> Any:
    path = CHECKOUT.joinpath("roles", role, *parts)
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def misuse(given: Any, options: Mapping[str, Any], where: str) -> Iterator[str]:
    """What Ansible would refuse in the options of a task; values with ``{{`` are taken on trust."""
    if isinstance(given, str) and "{{" in given or given is None:
        return
    if not isinstance(given, Mapping):
        yield f"{where}: options are {given!r}"
        return
    names = {alias: name for name, option in options.items() for alias in (name, *option.get("aliases", []))}
    for key, value in given.items():
        if key not in names:
            yield f"{where}.{key}: unknown option"
            continue
        option = options[names[key]]
        literal = not (isinstance(value, str) and "{{" in value)
        if literal and option.get("choices") and value not in option["choices"]:
            yield f"{where}.{key}: {value!r} is none of {option['choices']}"
        if option.get("options"):
            for item in value if isinstance(value, list) else [value]:
                yield from misuse(item, option["options"], f"{where}.{key}")
    for name, option in options.items():
        if option.get("required") and not {name, *option.get("aliases", [])} & set(given):
            yield f"{where}: {name} is missing"


def check_task(task: Mapping[str, Any], where: str) -> Iterator[str]:
    """What is wrong with one task, and with the tasks in it if it is a block."""
    where = f"{where}: {task.get('name', 'a task without a name')}"
    for part in ("block", "rescue", "always"):
        for inner in task.get(part) or []:
            yield from check_task(inner, where)
    if "block" in task:
        return
    actions = [key for key in task if key not in KEYWORDS and not key.startswith("with_")]
    if len(actions) != 1:
        yield f"{where}: one module is wanted, found {', '.join(actions) or 'none'}"
        return
    [action] = actions
    if action.count(".") < 2:
        yield f"{where}: {action} is not a full name"
    elif action.startswith(f"{NAMESPACE}."):
        module = action[len(NAMESPACE) + 1 :]
        if module not in MODULES:
            yield f"{where}: there is no module {action}"
        else:
            defaults = {**task.get("module_defaults", {}).get(f"group/{NAMESPACE}.all", {})}
            given = task[action]
            yield from misuse({**defaults, **given} if isinstance(given, Mapping) else given, spec(module), f"{where}: {module}")
    elif action.startswith("ansible.builtin.") and not importlib.util.find_spec(f"ansible.modules.{action[16:]}"):
        yield f"{where}: there is no module {action}"


def check_yaml(text: str, where: str, *, all_tasks: bool = False) -> Iterator[str]:
    """What is wrong with the tasks and plays in a YAML text.

    With ``all_tasks`` every entry that is no play is a task, else those that look like one: a guide also shows other lists.
    """
    loader, entries = AnsibleLoader(text), []
    while loader.check_data():  # a file of objects for kubectl holds several documents
        content = loader.get_data()
        entries += content if isinstance(content, list) else []
    for entry in entries:
        if not isinstance(entry, Mapping):
            continue
        if "hosts" in entry:
            strange = sorted(set(entry) - PLAY_KEYWORDS - {"user"})
            if strange:
                yield f"{where}: a play has no {', '.join(strange)}"
            for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
                for task in entry.get(part) or []:
                    yield from check_task(task, where)
        elif all_tasks or "block" in entry or any("." in str(key) for key in entry if key not in KEYWORDS):
            playbook = entry.get("import_playbook") or entry.get("ansible.builtin.import_playbook")
            if playbook is None:
                yield from check_task(entry, where)
            elif str(playbook).startswith(f"{NAMESPACE}.") and str(playbook)[len(NAMESPACE) + 1 :] not in PLAYBOOKS:
                yield f"{where}: there is no playbook {playbook}"
