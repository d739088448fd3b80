# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.workloads.memory import MemoryWorkload


def test_it_does_what_it_is_told_at_once():
    workload = MemoryWorkload.from_options({"tracks": {"stable": "1", "canary": ""}, "replicas": 3})
    assert workload.deploy("canary", "2", 4) and not workload.deploy("canary", "2", 4)
    assert workload.scale("canary", 5) and not workload.scale("canary", 5)
    assert workload.retire("stable") and not workload.retire("stable")
    found = workload.read()
    assert (found["canary"].version, found["canary"].ready) == ("2", 5)
    assert (found["stable"].version, found["stable"].replicas) == ("1", 0)
    assert workload.progress("canary").done


def test_a_change_takes_its_looks_and_a_fault_is_final():
    workload = MemoryWorkload({"stable": "1"}, replicas=2, lag=2)
    workload.deploy("stable", "2")
    assert [workload.progress("stable").done for _look in range(3)] == [False, False, True]
    workload.world["faults"]["3"] = "no such image"
    workload.deploy("stable", "3")
    look = workload.progress("stable")
    assert look.failed and look.why == "no such image"


def test_the_world_outlives_the_process_in_a_file(tmp_path):
    path = str(tmp_path / "world.json")
    MemoryWorkload({"stable": "1"}, path=path).deploy("stable", "2")
    assert MemoryWorkload({"stable": "1"}, path=path).read()["stable"].version == "2"


def test_a_track_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="preview"):
        MemoryWorkload({"stable": "1"}).deploy("preview", "2")
