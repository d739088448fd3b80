# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fence of every page says what it is, and is checked as that: a fence of a kind that nobody checks fails.

A release file is compiled, tasks are held against the argument specs of their modules and roles, commands against playbooks, options and
variables, an inventory is read by Ansible. What runs as a whole is run elsewhere: the examples by the suites of what they drive, and HAProxy's,
Prometheus' and JavaScript files by tests/integration/test_docs.py.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants as C
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from ansible_collections.progressive.delivery.plugins.module_utils.clients import envoy_routes
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import PROVIDERS, ROUTERS
from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import SPEC
from ansible_collections.progressive.delivery.tests.unit.docs import foreign, shell
from ansible_collections.progressive.delivery.tests.unit.docs.fences import ALL, CHECKOUT, PAGES, Fence, prose
from ansible_collections.progressive.delivery.tests.unit.docs.releases import check_part, check_release, nobody, variables
from ansible_collections.progressive.delivery.tests.unit.docs.tasks import MODULES, NAMESPACE, ROLES, check_yaml, misuse, nothing, role_file

CALLBACKS = {f"{NAMESPACE}.{path.stem}" for path in (CHECKOUT / "plugins" / "callback").glob("*.py")}
SOMEWHERE = {"provider": {"prometheus": {"url": "http://127.0.0.1:9090"}}}


# Shells, and what is printed


def check_shell(fence: Fence, _folder: Path) -> Iterator[str]:
    found = list(shell.lines(fence.text, console=fence.info == "console"))
    if not found:
        yield "no command"
    for line in found:
        yield from shell.wrong(line)


def check_printed(fence: Fence, _folder: Path) -> Iterator[str]:
    """Among what is printed are commands, which somebody will paste."""
    for command in re.findall(r"\bansible-playbook progressive\.delivery\..*", fence.text):
        yield from shell.wrong(command)


# Settings and inventories


def read_inventory(text: str, name: str, folder: Path) -> Iterator[str]:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    inventory = InventoryManager(loader=DataLoader(), sources=[str(file)])
    if len(inventory.get_hosts()) < 2:
        yield "Ansible finds no hosts in this inventory"


def check_ini(fence: Fence, folder: Path) -> Iterator[str]:
    if not fence.text.startswith("[defaults]"):
        yield from read_inventory(fence.text, "inventory.ini", folder)
        return
    settings = C.config.get_configuration_definitions()
    known = {entry["key"] for setting in settings.values() for entry in setting.get("ini") or [] if entry["section"] == "defaults"}
    for line in filter(None, fence.text.splitlines()[1:]):
        key, value = (part.strip() for part in line.split("=", 1))
        if key not in known:
            yield f"Ansible has no setting {key}"
        for word in re.findall(r"progressive\.delivery\.\w+", value):
            if word not in CALLBACKS:
                yield f"there is no callback {word}"


# Data and programs


def check_json(fence: Fence, _folder: Path) -> Iterator[str]:
    found = json.loads(fence.text)
    if not isinstance(found, dict):
        yield "an object is wanted"
    elif "resources" in found:
        weights = envoy_routes.read(found, envoy_routes.Layout({"stable": "shop-stable", "canary": "shop-canary"})).weights
        if weights != {"stable": 100, "canary": 0}:
            yield f"the router envoy finds {weights} in it"


def check_python(fence: Fence, _folder: Path) -> Iterator[str]:
    compile(fence.text, fence.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return
    yield


def check_included(fence: Fence, _folder: Path) -> Iterator[str]:
    path = fence.path.parent / fence.info.split("}", 1)[1].strip()
    if not path.is_file():
        yield f"{path} is not here"


def check_nothing(_fence: Fence, _folder: Path) -> Iterator[str]:
    """HAProxy's and JavaScript files, which tests/integration/test_docs.py gives to those who read them; lists of pages, which test_pages.py reads."""
    return
    yield


# YAML


def is_objects(found: Any) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(item, Mapping) for item in found)


def check_variables(found: Mapping[str, Any], fence: Fence, folder: Path) -> Iterator[str]:
    """Variables of a release file, whole or in part, and of roles beside them."""
    ours = {name: value for name, value in found.items() if name.startswith("rollout_")}
    rest = {name: value for name, value in found.items() if name not in ours}
    yield from role_variables(rest)
    if "rollout_version" not in ours and "examples/awx/survey.json" in fence.path.read_text(encoding="utf-8"):
        ours["rollout_version"] = "241"  # the survey asks for it
    if "rollout_name" in ours:
        check_release(ours, fence.place, nobody(folder))
    elif ours:
        check_part(ours, nobody(folder))


def role_variables(given: Mapping[str, Any]) -> Iterator[str]:
    by_role: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        role = max((role for role in ROLES if name.startswith(f"{role}_")), key=len, default="")
        by_role.setdefault(role, {})[name] = value
    for role, values in by_role.items():
        if not role:
            yield f"no role has {', '.join(values)}"
            continue
        options = role_file(role, "meta", "argument_specs.yml")["argument_specs"]["main"].get("options") or {}
        yield from misuse(values, {name: {**option, "required": False} for name, option in options.items()}, role)


def included_roles(tasks: list[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(role, variables) of every task that includes one of ours."""
    for task in tasks:
        for part in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"):
            yield from included_roles(task.get(part) or [])
        for action in ("ansible.builtin.include_role", "ansible.builtin.import_role"):
            name = (task.get(action) or {}).get("name", "")
            if name.startswith(f"{NAMESPACE}."):
                yield name[len(NAMESPACE) + 1 :], task.get("vars") or {}


def check_tasks(found: list[Any], fence: Fence) -> Iterator[str]:
    yield from check_yaml(fence.text, fence.place, all_tasks=True)
    for role, given in included_roles(found):
        if role not in ROLES:
            yield f"there is no role {role}"
            continue
        options = role_file(role, "meta", "argument_specs.yml")["argument_specs"]["main"].get("options") or {}
        yield from misuse({name: value for name, value in given.items() if name not in SPEC}, options, role)


def check_pipeline(found: Mapping[str, Any]) -> Iterator[str]:
    """Jobs and includes of GitLab."""
    component = list(yaml.safe_load_all((CHECKOUT / "templates" / "release.yml").read_text(encoding="utf-8")))[0]["spec"]["inputs"]
    for name, part in found.items():
        if name == "include":
            for each in part:
                yield from (f"the component has no input {given}" for given in each["inputs"] if given not in component)
                yield from (f"input {given} is missing" for given, of in component.items() if "default" not in of and given not in each["inputs"])
                if "file" in each and not (CHECKOUT / each["file"]).is_file():
                    yield f"{each['file']} is not here"
                if "component" in each and not (CHECKOUT / "templates" / f"{each['component'].split('@')[0].rsplit('/', 1)[1]}.yml").is_file():
                    yield f"there is no component {each['component']}"
        elif name != "variables":
            yield from foreign.strange(part, foreign.JOB, name)
            for line in part.get("script") or []:
                yield from shell.wrong(line)


def check_yaml_fence(fence: Fence, folder: Path) -> Iterator[str]:
    found = list(yaml.safe_load_all(shell_safe(fence.text)))
    first = found[0]
    if isinstance(first, Mapping) and "kind" in first:
        for each in found:
            yield from foreign.strange_object(each, fence.place)
        return
    if len(found) != 1:
        yield "several documents, and no objects of Kubernetes"
    elif is_objects(first):
        if all("name" in item and ({"query", "builtin"} & set(item)) for item in first):
            check_part(variables(yaml.safe_dump({"rollout_analysis": {**SOMEWHERE, "metrics": first}})), nobody(folder))
        else:
            yield from check_tasks(first, fence)
    elif isinstance(first, Mapping):
        yield from check_mapping(first, fence, folder)
    else:
        yield f"nobody knows what this is: {first!r}"


def check_mapping(found: Mapping[str, Any], fence: Fence, folder: Path) -> Iterator[str]:
    keys = set(found)
    foreign_file = next((of for key, of in foreign.FILES.items() if key in keys), None)
    if all(any(key.startswith(f"{role}_") for role in ROLES) for key in keys):
        yield from check_variables(variables(fence.text), fence, folder)
    elif keys == {"all"}:
        yield from read_inventory(fence.text, "inventory.yml", folder)
    elif keys <= {"gate", "set_weight", "bake", "hook", "pause", "analysis"}:
        check_part(variables(yaml.safe_dump({"rollout_steps": [dict(found)]})), nobody(folder))
    elif keys == {"deploy"} and "release_dir" in found["deploy"]:
        check_part(variables(yaml.safe_dump({"rollout_workload": {"pool": {"stable": "shop", **found}}})), nobody(folder))
    elif len(keys) == 1 and keys <= set(PROVIDERS) | set(ROUTERS):
        yield f"say of what: rollout_router or rollout_analysis.provider in front of {keys}"
    elif foreign_file:
        yield from foreign.strange(found, foreign_file[1], foreign_file[0])
    elif keys == {"spec"}:
        fitting = [shape for _version, shape in foreign.KINDS.values() if set(found["spec"]) <= set(shape)]
        if not fitting:
            yield f"no kind has all of {', '.join(found['spec'])} in its spec"
        elif all(list(foreign.strange(found["spec"], shape, "spec")) for shape in fitting):
            yield from foreign.strange(found["spec"], fitting[0], "spec")
    elif "include" in keys or keys == {"variables"} or all(isinstance(part, Mapping) and set(part) & set(foreign.JOB) for part in found.values()):
        yield from check_pipeline(found)
    else:
        yield f"nobody knows what this is: {', '.join(map(str, keys))}"


def shell_safe(text: str) -> str:
    """A text whose templates are no YAML: what they stand for is of no interest where a file is only looked at."""
    return re.sub(r"\{\{.*?\}\}", "241", text, flags=re.DOTALL)


CHECKS: dict[str, Callable[[Fence, Path], Iterator[str]]] = {
    "shell": check_shell, "console": check_shell, "output": check_printed, "text": check_printed, "ini": check_ini, "json": check_json,
    "python": check_python, "yaml": check_yaml_fence, "haproxy": check_nothing, "js": check_nothing, "{toctree}": check_nothing,
}  # fmt: skip
"""Kinds of fences, by what is written behind the marks. ``output`` is what is printed, ``text`` a drawing or a formula."""


@pytest.mark.parametrize("fence", ALL, ids=lambda fence: fence.place)
def test_a_fence_is_what_it_says(fence: Fence, tmp_path: Path) -> None:
    check = check_included if fence.info.startswith("{literalinclude} ") else CHECKS.get(fence.info)
    assert check is not None, f"{fence.place}: say what this is, one of {', '.join(CHECKS)}; not {fence.info!r}"
    nothing(f"{fence.place}: {line}" for line in check(fence, tmp_path))


# Between the fences


INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:ansible|ansible-playbook|ansible-galaxy|ansible-rulebook|make|kubectl|python) ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_commands_options_and_files_in_the_text_are_there(page: Path) -> None:
    wrong: list[str] = []
    for number, line in enumerate(prose(page).splitlines(), 1):
        for span in INLINE.findall(line):
            found = [f"{path} is not here" for path in shell.missing(span.split()) if "NAME" not in path]
            if COMMAND.match(span) and not re.search(r"\.\.\.|…", span):
                found = [*shell.wrong(span)]
            elif span.startswith("-e ") and "=" in span and not span.startswith("-e {"):
                name = span[3:].split("=")[0].strip("'\"")
                found += [] if name in SPEC or not name.startswith("rollout_") else [f"{name} is no variable"]
            elif re.fullmatch(r"rollout_\w+", span):
                found += [] if span in SPEC or span in PUBLISHED else [f"{span} is no variable"]
            wrong += [f"{page.relative_to(CHECKOUT)}:{number}: {each}" for each in found]
    nothing(wrong)


PUBLISHED = {"rollout_target_version", "rollout_track", "rollout_action", "rollout_outcome", "rollout_code"}
"""Variables that a release gives."""


def test_something_is_looked_at() -> None:
    assert {fence.info for fence in ALL} >= {"shell", "output", "yaml", "json", "ini", "haproxy"} and MODULES
