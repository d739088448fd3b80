# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user copies works: every release file of the examples is read and compiled as ``plan`` would, without a load balancer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.entry import release_file
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import WORKLOADS
from ansible_collections.progressive.delivery.tests.unit.docs.releases import check_release, nobody, variables

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "examples"
LONGEST_EXAMPLE = 20
RELEASES = [
    path for path in sorted(EXAMPLES.rglob("*.yml")) if path.parent.name != "demo" and "rollout_name:" in path.read_text(encoding="utf-8")
]
"""Every release file in the examples, the demo's own apart."""


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_release_files_compile(path: Path, tmp_path: Path) -> None:
    check_release(variables(path.read_text(encoding="utf-8")), path.name, nobody(tmp_path))


def test_examples_are_short() -> None:
    long = {path.name: lines for path in (EXAMPLES / "pool").glob("*.yml") if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_EXAMPLE}
    assert long == {}


def test_the_table_of_variables_is_complete() -> None:
    text = (CHECKOUT / "docs" / "release-file.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(rollout_\w+)` \|([^|]*)\|", text, re.MULTILINE))
    assert list(rows) == list(release_file.SPEC), "the same variables in the same order"
    for name, shown in rows.items():
        option, shown = release_file.SPEC[name], shown.strip().strip("`")
        if option.required:
            assert shown == "required", name
        elif option.default in (None, {}):
            assert shown == "", name
        else:
            assert yaml.safe_load(shown) == option.default, name


def tables(page: str) -> set[str]:
    """Names in the first column of all tables of a page."""
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)", text, re.MULTILINE))


@pytest.mark.parametrize(("page", "options"), [
    ("release-file.md", {**release_file.STEP, **WORKLOADS["pool"].OPTIONS}),
    ("strategies/canary.md", release_file.CANARY),
    ("strategies/blue-green.md", release_file.BLUE_GREEN),
    ("strategies/rolling.md", release_file.ROLLING),
    ("strategies/ab-test.md", release_file.AB_TEST),
], ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_has_its_row(page: str, options: Mapping[str, Any]) -> None:
    assert sorted(set(options) - tables(page)) == []


def test_the_templates_of_awx_name_each_other_and_playbooks_that_are_there() -> None:
    """What awx.awx would be asked for, as nothing of AWX runs here: a template for each playbook, and a workflow of these templates."""
    folder = EXAMPLES / "awx"
    [play] = yaml.safe_load((folder / "controller.yml").read_text(encoding="utf-8"))
    templates, workflow = play["tasks"]
    names = templates["loop"]
    assert {path.stem for path in folder.glob("*.yml")} == {*names, "controller"}
    for name in names:
        [imported] = yaml.safe_load((folder / f"{name}.yml").read_text(encoding="utf-8"))
        assert imported["ansible.builtin.import_playbook"] == f"progressive.delivery.{name}"
    template, told = templates["awx.awx.job_template"], templates["awx.awx.job_template"]["allow_simultaneous"]
    assert (template["name"], template["playbook"], told) == ("shop: {{ item }}", "{{ item }}.yml", "{{ item != 'rollout' }}")
    nodes = {node["identifier"]: node for node in workflow["awx.awx.workflow_job_template"]["workflow_nodes"]}
    for node in nodes.values():
        unified = node["unified_job_template"]
        assert unified["type"] == "workflow_approval" or unified["name"].removeprefix("shop: ") in names
        assert {after["identifier"] for ways in node.get("related", {}).values() for after in ways} <= set(nodes)
    approval = nodes["half"]
    assert [after["identifier"] for after in approval["related"]["success_nodes"]] == ["promote"]
    assert [after["identifier"] for after in approval["related"]["failure_nodes"]] == ["abort"]
    page = (CHECKOUT / "docs" / "tutorial-awx.md").read_text(encoding="utf-8")
    assert approval["unified_job_template"]["timeout"] == 4 * 3600 and "for four hours" in page and "timeout: 4h" in page
