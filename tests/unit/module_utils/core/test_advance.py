# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.advance import Decision, Result, Seen, advance, decision
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Identity, Outcome, Record, Stable, from_json, to_json
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import bounded, brief, briefs, compiled, weights

NOW = "2026-01-01T00:00:00.000Z"
TURNS = {
    Result.FAILED: Outcome.ROLLED_BACK, Result.ABORTED: Outcome.ABORTED, Result.SUPERSEDED: Outcome.SUPERSEDED, Result.KEPT: Outcome.KEPT,
}
STOPS = (Result.PAUSED, Result.INTERRUPTED, Result.HELD)


def record_of(plan) -> Record:
    stable = Stable(plan.stable, plan.previous) if plan.previous else None
    return Record(name="shop", release=Identity("r1", "", plan.version, plan.strategy, "d" * 64), plan=plan, fence=1, intent=0, stable=stable)


def small() -> Record:
    """Three hosts, two canaries: deploy, health, 50 %, promote and a little more."""
    return record_of(compiled(brief(stable=2, canary=2, steps=weights(50, 100))))


def done(record: Record) -> Seen:
    return Seen(record.position, Result.DONE, back=record.back)


def walked(record: Record) -> Record:
    """The record once every step was reported done."""
    for _step in range(1000):
        if record.outcome is not None:
            return record
        record, _decision = advance(record, done(record), NOW)
    raise AssertionError("this never ends")


@st.composite
def records(draw):
    """A record anywhere in its life."""
    plan = None
    while plan is None:
        plan = compiled(draw(briefs(members=draw(st.booleans()))))
    record = record_of(plan)
    for result in draw(st.lists(st.sampled_from([Result.DONE] * 12 + list(Result)), max_size=25)):
        record, _decision = advance(record, Seen(record.position, result, "because", back=record.back, immediate=draw(st.booleans())), NOW)
        if record.outcome is not None and draw(st.booleans()):
            record = replace(record, outcome=None)
    return record


breaks = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(STOPS)), max_size=6)
reports = st.builds(Seen, step=st.integers(-2, 60), result=st.sampled_from(Result), reason=st.sampled_from(["", "bad"]), back=st.booleans(),
                    immediate=st.booleans(), verdict=st.sampled_from([{}, {"phase": "failed"}]))


@bounded(100)
@given(records(), st.one_of(st.none(), reports))
def test_any_report_on_any_record_gives_a_decision_and_always_the_same(record, seen):
    after, decided = advance(record, seen, NOW)
    assert isinstance(decided, Decision)
    assert (after, decided) == advance(record, seen, NOW)
    assert decided.run == (after.outcome is None)
    assert not decided.run or 0 <= decided.position < len(after.steps), "a step to run exists"
    assert decided == decision(after)


@bounded(100)
@given(records(), reports)
def test_only_a_report_about_the_current_step_changes_anything(record, seen):
    after, _decided = advance(record, seen, NOW)
    if record.outcome is not None:
        assert after == record
        return
    current = record.position < len(record.steps) and (seen.step, seen.back) == (record.position, record.back)
    if not current and record.position < len(record.steps):
        assert after == record
    if after.back == record.back and after.position != record.position:
        assert current and seen.result is Result.DONE and after.position == record.position + 1
    if after.promoted and not record.promoted:
        assert record.steps[record.position].kind is Kind.PROMOTE and seen.result is Result.DONE


@bounded(100)
@given(records(), st.sampled_from(Result))
def test_a_bad_report_never_leads_to_promoted(record, result):
    if record.outcome is not None or record.position >= len(record.steps) or result is Result.DONE or result in STOPS or record.promoted:
        return
    after, _decided = advance(record, Seen(record.position, result, "bad", back=record.back), NOW)
    assert after.back
    end = walked(after)
    assert not end.promoted
    assert end.outcome in {*TURNS.values(), Outcome.PARTIAL}


def everything(record: Record, depth: int, seen_states: dict) -> None:
    """Every sequence of results, with the rules of each single transition."""
    key = json.dumps(to_json(record), sort_keys=True)
    if seen_states.get(key, -1) >= depth:
        return
    seen_states[key] = depth
    if depth == 0:
        return
    for result in Result:
        after, decided = advance(record, Seen(record.position, result, "because", back=record.back), NOW)
        if record.outcome is not None:
            assert after == record
            continue
        assert decided == decision(after)
        if result in STOPS:
            assert (after.position, after.back) == (record.position, record.back) and after.outcome is not None and not after.outcome.final
        elif result is Result.DONE:
            assert after.position == record.position + 1 and after.back == record.back
        elif record.back:
            assert after.outcome is (Outcome.PARTIAL if result is Result.FAILED else None)
        elif record.promoted:
            assert after.outcome is Outcome.PARTIAL
        else:
            assert after.back and after.position == 0 and after.ending is TURNS[result]
        assert not (after.back and after.promoted)
        if after.outcome is Outcome.PROMOTED:
            assert after.promoted and after.stable.version == "2"
        everything(after, depth - 1, seen_states)
        if after.outcome is not None and not after.outcome.final:
            everything(replace(after, outcome=None), depth - 1, seen_states)


@pytest.mark.parametrize("strategy, more", [
    ("canary", {"steps": weights(50, 100)}), ("blue_green", {}), ("rolling", {"options": {"batches": ["100%"], "min_healthy": 1}}), ("recreate", {}),
])
def test_every_sequence_of_up_to_six_results(strategy, more):
    plan = compiled(brief(strategy, stable=2, canary=2, **more))
    everything(record_of(plan), 6, {})


@bounded(60)
@given(briefs(), breaks, st.sampled_from([None, *TURNS]), st.integers(0, 40), st.booleans())
def test_a_run_that_stops_anywhere_and_is_taken_up_from_json_ends_like_one_that_does_not(given, stops, turn, turn_at, immediate):
    plan = compiled(given)
    if plan is None:
        return

    def drive(stopping: bool) -> Record:
        record, left = record_of(plan), sorted(stops) if stopping else []
        for count in range(1000):
            if record.outcome is not None:
                return record
            while left and left[0][0] <= count:
                record, _decided = advance(record, Seen(record.position, left.pop(0)[1], "stopped", back=record.back), NOW)
                record = replace(from_json(json.loads(json.dumps(to_json(record)))), outcome=None)
            if turn is not None and count == turn_at and not record.back:
                record, _decided = advance(record, Seen(record.position, turn, "turned", immediate=immediate), NOW)
            else:
                record, _decided = advance(record, done(record), NOW)
            if stopping:
                again = from_json(json.loads(json.dumps(to_json(record))))
                assert again == record
                record = again
        raise AssertionError("this never ends")

    plain, broken = drive(False), drive(True)
    assert (broken.outcome, broken.promoted, broken.position, broken.back) == (plain.outcome, plain.promoted, plain.position, plain.back)
    assert (broken.good, broken.stable, broken.slots) == (plain.good, plain.stable, plain.slots)
    assert broken.routes == plain.routes


def test_a_failed_deploy_leaves_nobody_sure_what_the_slot_holds():
    record = replace(small(), slots={"stable": "1", "canary": "0"})
    failed, _decided = advance(record, Seen(0, Result.FAILED, "disk full"), NOW)
    assert failed.slots == {"stable": "1"}
    good, _decided = advance(record, Seen(0, Result.DONE), NOW)
    assert good.slots == {"stable": "1", "canary": "2"}


def test_a_wish_to_abort_does_not_disturb_the_way_back():
    record = small()
    for _step in range(3):
        record, _decided = advance(record, done(record), NOW)
    back, _decided = advance(record, Seen(record.position, Result.FAILED, "errors"), NOW)
    asked, decided = advance(back, Seen(back.position, Result.ABORTED, "me too", back=True), NOW)
    assert asked == back and decided.run
    assert walked(asked).outcome is Outcome.ROLLED_BACK


def test_hosts_that_cannot_be_taken_back_are_said_loudly():
    record = record_of(compiled(brief("rolling", stable=3, previous="")))
    for _step in range(3):
        record, _decided = advance(record, done(record), NOW)
    end = walked(advance(record, Seen(record.position, Result.FAILED, "sick"), NOW)[0])
    assert end.outcome is Outcome.PARTIAL
    assert end.reason.startswith("sick; s1 cannot be taken back")


def test_one_sick_host_of_stable_that_nobody_touched_keeps_nobody_on_a_bad_version():
    record = record_of(compiled(brief(stable=3, canary=1, previous="1")))
    while record.steps[record.position].kind is not Kind.WEIGHT:
        record, _decided = advance(record, done(record), NOW)
    back, _decided = advance(record, Seen(record.position, Result.FAILED, "errors"), NOW)
    assert [step.kind for step in back.steps] == [Kind.HEALTH, Kind.WEIGHT, Kind.CLEAN]
    on, decided = advance(back, Seen(0, Result.FAILED, "s2 answers 503", back=True, hosts=("s2",)), NOW)
    assert decided.run and on.position == 1
    end = walked(on)
    assert end.outcome is Outcome.ROLLED_BACK and end.reason == "errors; s2 of stable is not well: s2 answers 503"
    # Where nobody of stable is well, nobody is sent there.
    end, _decided = advance(back, Seen(0, Result.FAILED, "503", back=True, hosts=("s1", "s2", "s3")), NOW)
    assert end.outcome is Outcome.PARTIAL


def test_what_fails_after_promotion_is_partial_and_stays_promoted():
    record = small()
    while not record.promoted:
        record, _decided = advance(record, done(record), NOW)
    end, _decided = advance(record, Seen(record.position, Result.FAILED, "clean up failed"), NOW)
    assert end.outcome is Outcome.PARTIAL and end.stable == Stable("canary", "2") and [good.version for good in end.good] == ["2"]


def test_a_verdict_is_kept_with_its_step():
    record, _decided = advance(small(), Seen(0, Result.DONE, verdict={"phase": "successful"}), NOW)
    assert record.verdicts == ({"step": 0, "at": NOW, "phase": "successful"},)
