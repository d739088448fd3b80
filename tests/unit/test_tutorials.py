# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tutorials have a user write for a first release: the files that they name, which stay short and are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

DOCS = Path(__file__).resolve().parents[2] / "docs"
MOST = 15
"""Lines of inventory and release file together."""


def files(page: str) -> dict[str, str]:
    """The files that a tutorial gives whole: `name`, a colon at the end of that paragraph, and the block behind it."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^`([\w-]+\.\w+)`[^\n]*:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(("page", "wanted"), [("tutorial-pool", {"inventory.ini", "shop.yml"}), ("tutorial-kubernetes", {"shop.yml"})])
def test_a_first_release_is_few_lines(page: str, wanted: set[str]) -> None:
    given = files(page)
    assert set(given) == wanted, "what the commands of the page name"
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert {*re.findall(r"-i (\S+)", text), *re.findall(r"-e @(\S+?)`?(?=[\s,]|$)", text)} == wanted
    lines = [line for body in given.values() for line in body.splitlines() if line.strip()]
    assert len(lines) <= MOST, "\n".join(lines)


def test_the_inventory_of_the_pool_has_the_groups_that_its_release_names(tmp_path: Path) -> None:
    given = files("tutorial-pool")
    (tmp_path / "inventory.ini").write_text(given["inventory.ini"], encoding="utf-8")
    groups = InventoryManager(DataLoader(), sources=[str(tmp_path / "inventory.ini")]).get_groups_dict()
    release = yaml.safe_load(given["shop.yml"])
    assert groups[release["rollout_workload"]["pool"]["stable"]] == [f"web{number}" for number in range(1, 7)]
    assert [groups[name] for name in release["rollout_router"]["haproxy"]["hosts"]] == [["lb1", "lb2"]]
