# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action adds to a plan that only the controller knows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible import context

from ansible_collections.progressive.delivery.plugins.action.plan import ActionModule


class WithoutInventory(dict[str, Any]):
    """Variables per host as ansible-core has them without an inventory: no hosts, and an implicit localhost that is found when asked for."""

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("said, ends", [({"rollout_name": "shop"}, ["-e", "@shop.yml"]), ({}, ["-e", "@shop.yml", "-e", "@RELEASE.yml"])])
def test_commands_name_the_release_file_without_an_inventory_too(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], ends: list[str]) -> None:
    monkeypatch.setattr(context, "CLIARGS", {"extra_vars": ("@shop.yml",)})
    params = dict.fromkeys(("groups", "arguments", "left_out", "folders", "addresses")) | {"variables": {}}
    action = object.__new__(ActionModule)
    assert action.prepare(params, {"hostvars": WithoutInventory(localhost=said), "inventory_hostname": "localhost"})["arguments"] == ends


@pytest.mark.parametrize("pool", [{"stable": ["web", "db"]}, {"stable": {"web": None}}, {"hosts": 5}, {"stable": "web", "address_variable": ["a"]}])
def test_a_group_that_is_no_name_is_left_to_the_plan_to_refuse(monkeypatch: pytest.MonkeyPatch, pool: dict[str, Any]) -> None:
    monkeypatch.setattr(context, "CLIARGS", {})
    params = dict.fromkeys(("arguments", "left_out", "folders", "addresses")) | {"variables": {"rollout_workload": {"pool": pool}}, "groups": {"web": ["w1"]}}
    action = object.__new__(ActionModule)
    assert set(action.prepare(params, {"hostvars": {"w1": {}}, "inventory_hostname": "localhost"})["addresses"]) <= {"w1"}
