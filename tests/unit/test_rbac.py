# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Roles of examples/rbac are what the table says, and little."""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import CORE, EXTRA, NICE, OPTION, ROUTER, ROWS, STORE, WORKLOAD, files
from ansible_collections.progressive.delivery.tests.tools import rbac

MOST, MOST_WRITING = 14, 7


def test_the_files_are_those_of_the_table() -> None:
    assert {path.name: path.read_text() for path in rbac.FOLDER.iterdir()} == rbac.files(), "make rbac"


@pytest.mark.parametrize("name", ROWS)
def test_a_role_allows_what_its_row_says_and_nothing_else(name: str) -> None:
    role = yaml.safe_load((rbac.FOLDER / f"{name}.yaml").read_text())
    allowed = {(f"{resource}.{group}" if group else resource, verb)
               for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert role["kind"] == "Role" and allowed == set(ROWS[name].rights)
    assert not [right for right in allowed if "*" in "".join(right) or right[0].startswith("secrets")]
    assert re.fullmatch(r"[a-z-]+", role["metadata"]["name"])


@pytest.mark.parametrize("name", CORE)
def test_a_strategy_needs_few_rights(name: str) -> None:
    row = CORE[name]
    assert len(set(row.rights)) == len(row.rights) <= MOST
    assert rbac.writing(row) <= MOST_WRITING


def test_the_page_on_security_counts_them() -> None:
    page = (rbac.FOLDER.parents[1] / "docs" / "security.md").read_text()
    rights, writing = sorted(len(row.rights) for row in CORE.values()), sorted(map(rbac.writing, CORE.values()))
    assert f"{rights[0]} to {rights[-1]} rights, {writing[0]} to {writing[-1]} of them writing" in page


def test_everything_that_may_be_needed_is_in_a_file() -> None:
    wanted = {*STORE, *NICE, *(right for rights in (*WORKLOAD.values(), *ROUTER.values()) for right in rights)}
    wanted |= {right for option, rights in OPTION.items() if option != "create_missing" for right in rights}
    brought = {right for row in ROWS.values() for right in row.rights}
    assert wanted <= brought
    assert files(wanted) and not files([("secrets", "get")])
    assert {name.partition(".")[0].rpartition("/")[2] for name in files(EXTRA["hpa"].rights)} == {"hpa"}
