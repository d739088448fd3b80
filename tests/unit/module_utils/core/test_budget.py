# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failure budget of a rolling update: counted over the whole run, and what happens beyond it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.advance import Result, Seen, advance
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import FULL, Capability
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Identity, Outcome, Record, from_json, to_json
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import Brief
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan

NOW = "2026-11-23T00:00:00.000Z"


def rolling(**options: Any) -> Record:
    hosts = ("w1", "w2", "w3", "w4")
    brief = Brief("rolling", "2", {"stable": hosts, "canary": ()}, previous="1", capabilities=frozenset(Capability),
                  options={"preset": "conservative", **options})
    return Record("shop", Identity("r", "", "2", "rolling", "d"), compile_plan(brief), 1, intent=0)


def walk(record: Record, broken: dict[str, Kind]) -> Record:
    """Walk until it is over; ``broken`` hosts fail at their kind of step while the way is forward."""
    for _step in range(200):
        if record.outcome is not None:
            return record
        step = record.steps[record.position]
        bad = () if record.back else tuple(host for host in step.hosts if broken.get(host) is step.kind)
        report = Seen(record.position, Result.FAILED if bad else Result.DONE, "it broke" if bad else "", back=record.back, hosts=bad)
        record, _decision = advance(from_json(to_json(record)), report, NOW)
    raise AssertionError("it never ended")


def in_rotation(record: Record) -> set[str]:
    return {member.name for group in record.routes.members.values() for member in group if member.ramp == FULL}


@pytest.mark.parametrize("kind", [Kind.DEPLOY, Kind.HEALTH])
def test_within_the_budget_the_others_go_on_and_the_host_stays_out(kind: Kind) -> None:
    record = walk(rolling(max_failed=1), {"w2": kind})
    assert record.outcome is Outcome.PROMOTED
    assert record.lost == ("w2",)
    assert in_rotation(record) == {"w1", "w3", "w4"}
    assert "w2 stay out of rotation: it broke" in record.reason
    assert "stable" not in record.slots


def test_the_budget_counts_over_the_whole_run() -> None:
    record = walk(rolling(max_failed=1), {"w2": Kind.DEPLOY, "w4": Kind.HEALTH})
    assert record.outcome is Outcome.ROLLED_BACK
    assert in_rotation(record) == {"w1", "w2", "w3", "w4"}


def test_never_the_last_host() -> None:
    record = walk(rolling(max_failed=10), dict.fromkeys(("w1", "w2", "w3", "w4"), Kind.DEPLOY))
    assert record.outcome is Outcome.ROLLED_BACK


def test_hold_leaves_everything_where_it_is() -> None:
    record = walk(rolling(on_failure="hold"), {"w2": Kind.DEPLOY})
    assert (record.outcome, record.back) == (Outcome.HELD, False)
    assert in_rotation(record) == {"w1", "w3", "w4"}


def test_rollback_failed_restores_only_what_failed_and_says_so() -> None:
    record = walk(rolling(on_failure="rollback_failed"), {"w3": Kind.HEALTH})
    assert record.outcome is Outcome.PARTIAL
    assert {host for step in record.way_back if step.kind is Kind.DEPLOY for host in step.hosts} == {"w3"}
    assert in_rotation(record) == {"w1", "w2", "w3", "w4"}
    assert "only w3 went back, the hosts before keep 2" in record.reason
