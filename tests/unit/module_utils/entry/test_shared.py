# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes adapters of one release file have in common is said once."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import read

FILE: dict[str, Any] = {
    "rollout_name": "shop", "rollout_version": "2", "rollout_strategy": "blue_green",
    "rollout_workload": {"memory": {}}, "rollout_router": {"service": {"name": "shop"}},
}


def test_an_adapter_takes_what_all_have_in_common_unless_it_says_otherwise() -> None:
    common = {"rollout_kubernetes": {"namespace": "shop", "context": "prod"}}
    assert read({**FILE, **common})["router"]["service"]["namespace"] == "shop"
    own = read({**FILE, **common, "rollout_router": {"service": {"name": "shop", "namespace": "edge"}}})["router"]["service"]
    assert (own["namespace"], own["context"]) == ("edge", "prod")


def test_other_adapters_are_left_alone() -> None:
    spec = read({**FILE, "rollout_kubernetes": {"namespace": "shop"}})
    assert "namespace" not in spec["workload"]["memory"]
    assert spec["store"] == {"file": {}}


def test_a_router_that_follows_the_workload_is_told_which() -> None:
    assert read(FILE)["router"]["service"]["workload"] == {"memory": {}}
    given = read({**FILE, "rollout_router": {"service": {"name": "shop", "workload": {"deployment": {"stable": "a", "canary": "b"}}}}})
    assert given["router"]["service"]["workload"] == {"deployment": {"stable": "a", "canary": "b"}}


def test_a_typo_in_it_is_named() -> None:
    with pytest.raises(ConfigError, match=r"rollout_kubernetes.*Did you mean context"):
        read({**FILE, "rollout_kubernetes": {"contex": "prod"}})
