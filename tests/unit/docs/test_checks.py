# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages are checked with finds what is wrong: without these a check that looks at nothing would pass as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.tests.unit.docs import shell
from ansible_collections.progressive.delivery.tests.unit.docs.fences import DOCS, Fence, fences, prose
from ansible_collections.progressive.delivery.tests.unit.docs.test_blocks import CHECKS

AT = DOCS / "index.md"
SHIP = "ansible-playbook progressive.delivery.rollout -i inventory.yml"


@pytest.mark.parametrize(
    "line",
    [
        f"SHOP_VERSION=2.4.1 {SHIP} -e @shop.yml",
        f"""{SHIP} -e @shop.yml -e '{{"rollout_reason": "a | b"}}' && make demo""",
        "ansible-playbook progressive.delivery.advise -e advise_downtime=no",
        "kubectl -n shop apply -f examples/rbac/blue-green.yaml",
        "export SHOP_VERSION=2.4.1",
    ],
)
def test_good_commands_pass(line: str) -> None:
    assert list(shell.wrong(line)) == []


@pytest.mark.parametrize(("line", "finds"), [
    ("ansible-playbook progressive.delivery.rolout -e @shop.yml", "there is no playbook"),
    (f"true && {SHIP} --nosuch", "unrecognized arguments"),
    (f"{SHIP} -e rollout_versoin=2", "knows no rollout_versoin"),
    (f"""{SHIP} -e '{{"advise_risk": "high"}}'""", "knows no advise_risk"),
    ("make dmeo", "the Makefile has no dmeo"),
    ("kubectl -n shop apply -f examples/rbac/nothing.yaml", "examples/rbac/nothing.yaml is not here"),
    ("kubectl shave pods", "kubectl shave"),
    ("ansible-playbook nothing.yml", "there is no nothing.yml"),
    ("ansible-rulebook --rulebook progressive.delivery.nothing", "there is no rulebook"),
    ("ansible localhost -m progressive.delivery.trafic -a '{}'", "there is no module"),
    ("""ansible localhost -m progressive.delivery.traffic -a '{"rooter": {}}'""", "rooter: unknown option"),
    ("helm upgrade shop", "nobody knows helm"),
    ("echo 'open", "No closing quotation"),
])  # fmt: skip
def test_bad_commands_do_not(line: str, finds: str) -> None:
    assert any(finds in found for found in shell.wrong(line)), list(shell.wrong(line))


@pytest.mark.parametrize(("info", "text", "finds"), [
    ("yaml", "rollout_router: {haproxi: {}}\n", "haproxi"),
    ("yaml", "rollout_name: shop\nrollout_workload: {pool: {hosts: shop, deploy: {tasks: deploy.yml}}}\n", "rollout_version is missing"),
    ("yaml", "rollout_canry: {}\n", "rollout_canry"),
    ("yaml", "- {name: errors, query: up, failure_condition: 'reslt > 1'}\n", "reslt"),
    ("yaml", "gate: {nmae: half}\n", "nmae"),
    ("yaml", "token: x\n", "nobody knows what this is"),
    ("yaml", "- just\n- words\n", "nobody knows what this is"),
    ("yaml", "- name: T\n  progressive.delivery.traffic: {rooter: {}}\n", "rooter: unknown option"),
    ("yaml", "- name: T\n  ansible.builtin.include_role: {name: progressive.delivery.notfy}\n", "there is no role"),
    ("yaml", "- name: T\n  ansible.builtin.include_role: {name: progressive.delivery.notify}\n  vars: {notify_evnt: x}\n", "notify_evnt"),
    ("yaml", "database_migration_conection: {}\n", "database_migration_conection"),
    ("yaml", "apiVersion: v1\nkind: Deployment\nmetadata: {name: shop}\n", "not apps/v1"),
    ("yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {selectors: {}}\n", "selectors: unknown"),
    ("yaml", "apiVersion: v1\nkind: Sevrice\nmetadata: {name: shop}\n", "not in KINDS"),
    ("yaml", "spec: {template: {spec: {container: []}}}\n", "container: unknown"),
    ("yaml", "deploy: {script: [make dmeo]}\n", "the Makefile has no dmeo"),
    ("yaml", "include: [{component: x/release@1, inputs: {servce: shop}}]\n", "no input servce"),
    ("yaml", "all: {hosts: {}}\n", "no hosts"),
    ("ini", "[shop]\n", "no hosts"),
    ("ini", "[defaults]\ncalback = x\n", "no setting calback"),
    ("ini", "[defaults]\ncallbacks_enabled = progressive.delivery.nothing\n", "no callback"),
    ("json", "[1]\n", "an object is wanted"),
    ("shell", "# nothing\n", "no command"),
    ("console", "NAME AGE\n", "no command"),
    ("output", "  go on: ansible-playbook progressive.delivery.resmue -e @shop.yml\n", "there is no playbook"),
])  # fmt: skip
def test_bad_fences_are_found(info: str, text: str, finds: str, tmp_path: Path) -> None:
    try:
        found = list(CHECKS[info](Fence(AT, 1, info, text), tmp_path))
    except ConfigError as error:
        found = [str(error)]
    assert any(finds in line for line in found), found


def test_fences_are_found_wherever_they_are_indented(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n```yaml\nx: 1\n```\n1. b\n\n   ````text\n   ```\n   ````\nc `make demo`\n", encoding="utf-8")
    assert [(fence.line, fence.info, fence.text) for fence in fences(page)] == [(2, "yaml", "x: 1\n"), (7, "text", "```\n")]
    assert prose(page).split() == ["a", "1.", "b", "c", "`make", "demo`"]
