# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.workloads.memory import MemoryWorkload


def test_it_does_what_it_is_told_at_once():
    workload = MemoryWorkload.from_options({"tracks": {"stable": "1", "canary": ""}, "replicas": 3})
    workload.deploy("canary", "2")
    workload.scale("canary", 5)
    workload.promote("canary")
    workload.retire("stable")
    found = workload.read()
    assert (found["canary"].version, found["canary"].ready) == ("2", 5)
    assert (found["stable"].version, found["stable"].replicas) == ("1", 0)


def test_a_track_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="preview"):
        MemoryWorkload({"stable": "1"}).deploy("preview", "2")
