# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible import constants as C

from ansible_collections.progressive.delivery.plugins.plugin_utils.sources import inventory_folders, left_out, release_files, repeated, whereabouts

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


def test_what_another_run_needs_is_repeated_with_the_shortest_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "inventory": (f"{tmp_path}/inventory.yml", "web1,web2,"), "extra_vars": (f"@{tmp_path}/shop.yml", "password=hunter2", "@/etc/x.yml"),
        "vault_ids": ("prod@prompt",), "vault_password_files": (f"{tmp_path}/.vault",), "remote_user": "deploy", "become": True, "ask_pass": False,
    }
    assert repeated(given) == ["-i", "inventory.yml", "-i", "web1,web2,", "-e", "@shop.yml", "-e", "@/etc/x.yml", "--vault-id", "prod@prompt",
                               "--vault-password-file", ".vault", "-u", "deploy", "-b"]
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path / "site")
    assert repeated({"extra_vars": (f"@{tmp_path}/shop.yml",)}) == ["-e", "@../shop.yml"]


def test_an_inventory_that_was_not_given_is_not_repeated():
    assert repeated({"inventory": tuple(C.DEFAULT_HOST_LIST)}) == repeated({}) == []


def test_what_is_gone_with_the_job_is_not_repeated():
    given = {"inventory": ("/runner/inventory/hosts", "/runner/project/hosts"), "extra_vars": ("@/runner/env/extravars", "@/runner/project/shop.yml"),
             "vault_ids": ("prod@prompt",)}
    assert repeated(given, "/runner/artifacts/533") == ["-i", "/runner/project/hosts", "-e", "@/runner/project/shop.yml", "--vault-id", "prod@prompt"]


def test_values_on_the_command_line_are_named_and_never_repeated():
    assert left_out(["@shop.yml", "a=1 b='x y'", "{\"c\": 1, d: 2}", "a=2", "{broken", "just words", "quote=\"open"]) == ["a", "b", "c", "d"]
