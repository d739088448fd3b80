# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that somebody has taken out of rotation before a release: nothing puts them back unasked."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Member, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import GROUPS, Service

POOL = {"stable": tuple(GROUPS["blue"]), "canary": tuple(GROUPS["green"])}


def put(service: Service, *away: str) -> None:
    members = {track: tuple(Member(host, Fraction(0 if host in away else 100)) for host in hosts) for track, hosts in POOL.items()}
    MemoryRouter(POOL, service.world).write(Routes({"stable": Fraction(100), "canary": Fraction(0)}, members))


@pytest.mark.parametrize("strategy", ["canary", "blue_green", "rolling"])
def test_a_host_that_somebody_took_out_is_not_put_back_as_it_is(tmp_path: Path, strategy: str) -> None:
    service = Service(tmp_path, rollout_strategy=strategy)
    put(service, "s2")
    with pytest.raises(ConfigError, match=r"s2 of stable is out of rotation, and this release would put it back.*take it out of its inventory group"):
        service.begin("rollout", "2")
    put(service)
    assert service.run("rollout", "2")["outcome"] == "promoted"


@pytest.mark.parametrize(("strategy", "away"), [("canary", "c2"), ("recreate", "s2")])
def test_one_that_gets_the_new_version_first_or_whose_traffic_nobody_moves_is_no_matter(tmp_path: Path, strategy: str, away: str) -> None:
    service = Service(tmp_path, rollout_strategy=strategy)
    put(service, away)
    assert service.run("rollout", "2")["outcome"] == "promoted"


def test_the_next_rolling_update_repairs_what_the_one_before_left_out(tmp_path: Path) -> None:
    service = Service(tmp_path, rollout_strategy="rolling", rollout_rolling={"max_failed": 1, "batches": [1]})
    result = service.run("rollout", "2", seen={"deploy s2": {"result": "failed", "reason": "disk full", "hosts": ["s2"]}})
    assert result["outcome"] == "promoted" and service.record.lost == ("s2",)
    put(service, "s2")
    assert service.plan("rollout", "3")["release"]["plan"]


def test_the_way_back_is_never_refused_for_it(tmp_path: Path) -> None:
    service = Service(tmp_path, rollout_strategy="canary")
    service.run("rollout", "1")
    service.run("rollout", "2")
    put(service, "s2")
    assert service.plan("rollback")["release"]["plan"]
