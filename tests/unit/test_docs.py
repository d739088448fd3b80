# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation cannot drift: modules, roles, playbooks and examples say what the code takes and gives. The guides have tests of their own, in docs/."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.tests.unit.docs.tasks import (
    MODULES,
    NAMESPACE,
    PLAYBOOKS,
    ROLES,
    arguments,
    check_yaml,
    nothing,
    role_file,
    spec,
)

CHECKOUT = Path(__file__).resolve().parents[2]
CHANGING = {"release", "rollback", "traffic", "workload"}
"""Modules that change the world, and so return before and after."""

TEXTS = ("*.md", "*.rst", "*.yml", "*.yaml", "*.j2", "*.py", "*.sh")
FOLDERS = ("docs", "examples", "extensions", "playbooks", "plugins", "roles")


# What the code says


@cache
def pages() -> dict[str, Any]:
    """What ansible-doc says of every module. In a process of its own, as for a user: the loader of collections is global."""
    tool = Path(sys.executable).parent / "ansible-doc"
    command = [str(tool), "-t", "module", "-j", *(f"{NAMESPACE}.{module}" for module in MODULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def documents(module: str) -> tuple[Any, str, Any]:
    """(DOCUMENTATION with its fragments, EXAMPLES as text, RETURN) of a module."""
    page = pages()[f"{NAMESPACE}.{module}"]
    return page["doc"], page["examples"], page["return"]


# Modules


def compare(declared: Mapping[str, Any], documented: Mapping[str, Any], where: str) -> Iterator[str]:
    """Differences between an argument spec and the options of a DOCUMENTATION, depth first."""
    for name in sorted(set(declared) | set(documented)):
        path = f"{where}.{name}"
        if name not in documented:
            yield f"{path}: not documented"
        elif name not in declared:
            yield f"{path}: documented, not accepted"
        else:
            one, other = declared[name], documented[name]
            for field, missing in (("type", "str"), ("required", False), ("default", None), ("choices", []), ("elements", None), ("aliases", [])):
                if one.get(field, missing) != other.get(field, missing):
                    yield f"{path}: {field} is {one.get(field, missing)!r}, documented as {other.get(field, missing)!r}"
            yield from compare(one.get("options") or {}, other.get("suboptions") or {}, path)


def test_there_are_modules_roles_and_playbooks() -> None:
    assert MODULES
    assert ROLES
    assert PLAYBOOKS


@pytest.mark.parametrize("module", MODULES)
def test_options_are_documented_as_they_are(module: str) -> None:
    doc, _examples, _returned = documents(module)
    assert doc["module"] == module
    nothing(compare(spec(module), doc["options"], module))


@pytest.mark.parametrize("module", MODULES)
def test_check_mode_is_documented_as_it_is(module: str) -> None:
    doc, _examples, _returned = documents(module)
    support = doc.get("attributes", {}).get("check_mode", {}).get("support")
    assert support in (("full", "partial") if arguments(module).get("supports_check_mode") else ("none",))


def unclear(fields: Mapping[str, Any], where: str) -> Iterator[str]:
    """What is missing in the description of returned values."""
    for name, field in fields.items():
        lacks = {"description", "type"} - set(field) if "." in where else {"description", "type", "returned"} - set(field)
        if lacks:
            yield f"{where}.{name}: no {', '.join(sorted(lacks))}"
        if field.get("type") == "list" and "elements" not in field:
            yield f"{where}.{name}: a list of what?"
        yield from unclear(field.get("contains") or {}, f"{where}.{name}")


@pytest.mark.parametrize("module", MODULES)
def test_returned_values_are_described(module: str) -> None:
    _doc, _examples, returned = documents(module)
    assert returned
    nothing(unclear(returned, module))
    if module in CHANGING:
        assert {"before", "after"} <= set(returned)


def test_the_action_group_and_the_action_halves_name_every_module() -> None:
    runtime = yaml.safe_load((CHECKOUT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert runtime["action_groups"]["all"] == MODULES
    halves = {path.stem for path in (CHECKOUT / "plugins" / "action").glob("*.py")}
    assert halves <= set(MODULES)


# Tasks, wherever they are written


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_modules_are_valid(module: str) -> None:
    _doc, examples, _returned = documents(module)
    assert f"{NAMESPACE}.{module}:" in examples
    nothing(check_yaml(examples, f"EXAMPLES of {module}", all_tasks=True))


def written(*patterns: str) -> list[Path]:
    """Files of the project that match, those of tests apart."""
    found = [path for folder in FOLDERS for pattern in patterns for path in (CHECKOUT / folder).rglob(pattern)]
    return sorted({*found, *(path for pattern in patterns for path in CHECKOUT.glob(pattern))})


@pytest.mark.parametrize("path", written("*.yml", "*.yaml"), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_tasks_in_files_are_valid(path: Path) -> None:
    if path.name in (".gitlab-ci.yml", "galaxy.yml") or path.parent.name == "rulebooks":
        return
    nothing(check_yaml(path.read_text(encoding="utf-8"), str(path.relative_to(CHECKOUT)), all_tasks=path.parent.name in ("tasks", "handlers", "playbooks")))


def test_commands_in_guides_name_playbooks_that_exist() -> None:
    wrong = []
    for path in written("*.md", "*.rst", "*.sh", "*.yml"):
        for name in re.findall(rf"ansible-playbook\s+(?:-\S+\s+\S+\s+)*{re.escape(NAMESPACE)}\.(\w+)", path.read_text(encoding="utf-8")):
            if name not in PLAYBOOKS:
                wrong.append(f"{path.relative_to(CHECKOUT)}: there is no playbook {NAMESPACE}.{name}")
    nothing(wrong)


def test_rulebooks_start_playbooks_that_exist() -> None:
    started = re.findall(
        r"run_playbook:\s+name:\s*(\S+)", "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "extensions").rglob("rulebooks/*.yml"))
    )
    assert started
    nothing(f"there is no playbook {name}" for name in started if name not in {f"{NAMESPACE}.{playbook}" for playbook in PLAYBOOKS})


def test_no_value_of_the_environment_is_passed_by_extra_vars() -> None:
    """``-e version=$CI_COMMIT_TAG`` is templated: a tag may hold ``{{ lookup('pipe', ...) }}``. lookup('env') is inert."""
    danger = re.compile(r"""(?:^|\s)(?:-e|--extra-vars)[ =]*["']?[^"'\n]*?[=:]\s*["']?\$\{?(?:CI_|[A-Z])""")
    wrong = []
    for path in written(*TEXTS, "Makefile"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if danger.search(line):
                wrong.append(f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()}")
    nothing(wrong)


# Roles and playbooks


@pytest.mark.parametrize("role", ROLES)
def test_role_defaults_are_those_of_its_argument_spec(role: str) -> None:
    specs = role_file(role, "meta", "argument_specs.yml")["argument_specs"]
    assert specs["main"]["short_description"]
    options = specs["main"].get("options") or {}
    declared = {name: option["default"] for name, option in options.items() if "default" in option}
    assert declared == role_file(role, "defaults", "main.yml")
    both = [name for name, option in options.items() if option.get("required") and "default" in option]
    assert both == [], "required, and with a default"
    assert all(option.get("description") for option in options.values())


def test_playbooks_pass_a_syntax_check(tmp_path: Path) -> None:
    tool = Path(sys.executable).parent / "ansible-playbook"
    command = [str(tool), "--syntax-check", "-i", "localhost,", *(f"{NAMESPACE}.{name}" for name in PLAYBOOKS)]
    # ansible-test makes an error of a group that does not exist; ours are filled while the playbook runs
    environment = {**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path), "ANSIBLE_HOST_PATTERN_MISMATCH": "warning"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
