# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.workloads.pool import PoolWorkload

GROUPS = {"web": ["w1", "w2"], "canary": ["c1"], "empty": [], "both": ["w1", "c2"], "all": []}


@pytest.mark.parametrize("options, wanted", [
    ({"stable": "web", "canary": "canary"}, {"stable": ("w1", "w2"), "canary": ("c1",)}),
    ({"stable": "web"}, {"stable": ("w1", "w2"), "canary": ()}), ({"hosts": "web"}, {"stable": ("w1", "w2"), "canary": ()}),
    ({"stable": "web", "canary": "empty"}, {"stable": ("w1", "w2"), "canary": ()}),
])
def test_slots_are_the_groups(options, wanted):
    assert PoolWorkload.slots(options, GROUPS) == wanted


@pytest.mark.parametrize("options, where", [
    ({}, "rollout_workload.pool"), ({"stable": "web", "hosts": "web"}, "rollout_workload.pool"), ({"hosts": "wbe"}, "rollout_workload.pool.hosts"),
    ({"hosts": "empty"}, "rollout_workload.pool.hosts"), ({"stable": "empty"}, "rollout_workload.pool.stable"),
    ({"stable": "web", "canary": "x"}, "rollout_workload.pool.canary"), ({"stable": "web", "canary": "both"}, "rollout_workload.pool"),
])
def test_a_wrong_group_is_refused_with_its_option(options, where):
    with pytest.raises(ConfigError) as caught:
        PoolWorkload.slots(options, GROUPS)
    assert caught.value.where == where


def test_a_track_has_a_version_only_where_all_hosts_agree():
    versions = {"w1": "1", "w2": "1", "c1": "2", "c2": "3"}
    tracks = PoolWorkload({"stable": ("w1", "w2"), "canary": ("c1", "c2"), "none": ()}, versions.__getitem__).read()
    assert {name: track.version for name, track in tracks.items()} == {"stable": "1", "canary": "", "none": ""}
    assert tracks["stable"].members == ("w1", "w2") and tracks["stable"].replicas == 2
    assert PoolWorkload({"stable": ("w1",)}).read()["stable"].version == ""
