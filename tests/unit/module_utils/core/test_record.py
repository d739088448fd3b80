# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.advance import Result, Seen, advance
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import (
    CODES,
    Good,
    Identity,
    Outcome,
    Past,
    Record,
    Stable,
    closed,
    from_json,
    to_json,
    with_verdict,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import Brief
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import ALL, brief

AT = "2026-01-01T00:00:00.000Z"
LARGEST = 64 * 1024


def record_of(plan) -> Record:
    return Record(name="shop", release=Identity("r1", "", "2.4.1", plan.strategy, "d" * 64), plan=plan, fence=1, stable=Stable("stable", "2.4.0"))


def full_of_history(record: Record) -> Record:
    """As large as the rest of a record can become."""
    for index in range(60):
        record = with_verdict(record, {"step": index, "at": AT, "phase": "failed", "reason": "x" * 200})
    past = tuple(Past(f"r{index}", "2.4.1", "rolled_back", AT, "y" * 500) for index in range(20))
    return replace(record, history=past, good=tuple(Good(f"1.{index}", "stable", f"r{index}", AT) for index in range(10)))


@pytest.mark.parametrize("names", ["web{0:04d}.prod.example.com", "{1:020x}"])
@pytest.mark.parametrize("strategy, canary, options", [
    ("canary", 20, {}), ("canary", 200, {}), ("canary", 1, {}), ("canary", 0, {}), ("blue_green", 200, {}), ("rolling", 0, {}), ("recreate", 0, {}),
    ("rolling", 0, {"preset": "conservative"}), ("rolling", 0, {"preset": "conservative", "ramp": [25, 50, 100]}),
])
def test_the_record_of_200_hosts_fits_with_its_way_back(strategy, canary, options, names):
    dice = random.Random(1)
    home = {slot: tuple(names.format(index, dice.getrandbits(80)) for index in range(start, start + count))
            for slot, start, count in (("stable", 0, 200), ("canary", 500, canary))}
    record = full_of_history(record_of(compile_plan(Brief(strategy, "2.4.1", home, previous="2.4.0", capabilities=ALL, options=options))))
    assert len(json.dumps(to_json(record))) < LARGEST
    while record.steps[record.position].kind is not Kind.PROMOTE:
        record, _decided = advance(record, Seen(record.position, Result.DONE), AT)
    record, _decided = advance(record, Seen(record.position, Result.FAILED, "z" * 100_000), AT)
    stored = json.loads(json.dumps(to_json(record)))
    assert len(json.dumps(stored)) < LARGEST
    assert from_json(stored) == record


def test_a_small_record_can_be_read_by_a_person_and_a_large_one_is_packed():
    small = to_json(record_of(compile_plan(brief())))
    assert small["plan"]["steps"][0]["kind"] == "deploy" and "packed" not in small
    large = to_json(record_of(compile_plan(brief("rolling", stable=150, options={"preset": "conservative"}))))
    assert "plan" not in large and large["plan_digest"]


@pytest.mark.parametrize("packed", [
    "", "AAAA", 5, None, "!!!", base64.b64encode(zlib.compress(b"[]")).decode(), base64.b64encode(zlib.compress(b'{"fence": 9}')).decode(),
    base64.b64encode(zlib.compress(b"{")).decode(), base64.b64encode(zlib.compress(b" " * 50_000_000)).decode(),
])
def test_damaged_steps_are_said_so(packed):
    stored = to_json(record_of(compile_plan(brief())))
    del stored["plan"]
    with pytest.raises(ConfigError, match=r"record\.packed"):
        from_json({**stored, "packed": packed})


@pytest.mark.parametrize("change", [
    {"schema": 2}, {"schema": None}, {"plan": None}, {"plan": []}, {"plan": {}}, {"release": 5}, {"fence": "many"}, {"outcome": "gone"}, {"surprise": 1},
    {"way_back": [5]}, {"position": None}, {"history": {"a": 1}}, {"way_back": "abc"}, {"position": -1}, {"back": "no"},
])
def test_a_damaged_record_is_a_config_error(change):
    with pytest.raises(ConfigError, match="record"):
        from_json({**to_json(record_of(compile_plan(brief()))), **change})


def test_a_plan_beyond_what_can_be_stored_is_refused_before_anything_changes():
    with pytest.raises(ConfigError, match="4001 steps"):
        compile_plan(brief("rolling", stable=1000, options={"preset": "conservative"}))


def test_history_holds_each_release_once_and_only_the_last_ones():
    record = replace(record_of(compile_plan(brief())), outcome=Outcome.PROMOTED, reason="r" * 1000)
    for index in range(30):
        record = replace(record, release=replace(record.release, id=f"r{index}"), history=closed(record, AT))
    history = closed(record, AT)
    assert len(history) == 20 and len({past.id for past in history}) == 20
    assert history[-1].id == "r29" and len(history[-1].reason) < 600
    assert closed(replace(record, outcome=None), AT)[-1].outcome == "interrupted"


def test_every_outcome_has_its_code():
    assert set(CODES) == set(Outcome)
    assert {outcome for outcome in Outcome if not outcome.final} == {Outcome.PAUSED, Outcome.INTERRUPTED, Outcome.HELD, Outcome.BUSY, Outcome.FENCED}
