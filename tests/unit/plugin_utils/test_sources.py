# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.plugin_utils.sources import inventory_folders, release_files, whereabouts

SHOP = """rollout_name: shop
rollout_steps:
  - set_weight: 5
  - bake:
      duration: 5m
  - set_weight: 500
rollout_router: {haproxy: {endpoints: [a, b]}}
"""


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.yml").write_text(SHOP)
    return str(tmp_path / "shop.yml")


@pytest.mark.parametrize("path, line", [
    ("rollout_name", 1), ("rollout_steps", 2), ("rollout_steps[0].set_weight", 3), ("rollout_steps[1].bake.duration", 5), ("rollout_steps[1].bake.missing", 4),
    ("rollout_steps[2].set_weight", 6), ("rollout_steps[9]", 2), ("rollout_router.haproxy.endpoints[1]", 7), ("rollout_name.deeper", 1),
])
def test_the_line_of_the_deepest_part_that_is_there(shop, path, line):
    assert whereabouts(path, [shop]) == f"shop.yml:{line}"


@pytest.mark.parametrize("path", ["", "rollout_other", "release", "[0]", "the release file"])
def test_what_no_file_holds_has_no_line(shop, path):
    assert whereabouts(path, [shop]) == ""


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a: [", b"- 1", b"--- 1\n--- 2\n", b"just text", b"{a: b}: c"])
def test_a_file_that_cannot_be_read_is_passed_over(tmp_path, shop, content):
    (tmp_path / "bad.yml").write_bytes(content)
    assert whereabouts("rollout_name", [str(tmp_path / "bad.yml"), str(tmp_path / "gone.yml"), shop]) == "shop.yml:1"


def test_only_files_of_extra_vars_count():
    assert release_files(["@shop.yml", "a=b", {"c": 1}, "@~/x.yml"])[0] == "shop.yml"


def test_folders_of_inventories_are_where_relative_paths_begin(tmp_path):
    site = tmp_path / "site"
    (site / "group_vars").mkdir(parents=True)
    (site / "hosts.yml").touch()
    given = [str(path) for path in (site / "hosts.yml", site / "group_vars", tmp_path / "gone", site / "hosts.yml")]
    assert inventory_folders([*given, "web1,web2"]) == [str(site), str(site / "group_vars")]
