# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A/B tests as releases, by a clock that does not wait: the better variant is promoted, the worse goes, neither is a failure; and as single looks."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Interrupted, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Point, Sample, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import experiment, release
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service

CONVERSION = {"query": "bought", "total_query": "came", "cumulative": True}


def totals(share: float, each: int, looks: int, seed: int) -> tuple[list[int], list[int]]:
    """(who bought, who came) so far, look by look."""
    rng = random.Random(seed)
    bought, came, counted = 0, 0, ([0], [0])
    for _look in range(looks):
        mean, sigma = each * share, (each * share * (1 - share)) ** 0.5
        bought, came = bought + min(each, max(0, round(rng.gauss(mean, sigma)))), came + each
        counted[0].append(bought)
        counted[1].append(came)
    return counted


class Compared(Service):
    """A service whose versions convert ``base`` and ``own`` of their visitors; ``each`` come to a variant between two looks, a minute apart."""

    def __init__(self, folder: Path, base: float, own: float, *, each: int = 500, own_each: Optional[int] = None, analysis: Any = None, more: Any = None,
                 seed: int = 1, **options: Any) -> None:
        looks = 700
        values: dict[str, Any] = dict(more or {})
        for track, share, number, came in (("stable", base, seed, each), ("canary", own, seed + 1, own_each or each)):
            bought, everybody = totals(share, came, looks, number)
            values.update({f"{track}/bought": bought, f"{track}/came": everybody})
        options = {"max_duration": "10h", "mde": 0.02, "conversion": CONVERSION, **options}
        provider = {"memory": {"values": values}}
        super().__init__(folder, rollout_strategy="ab_test", rollout_ab_test=options, rollout_analysis={"provider": provider, **(analysis or {"metrics": [
            {"name": "errors", "query": "errors", "failure_condition": "result > 0.05"}]})})
        values.setdefault("errors", [0.0])

    def to_test(self, purpose: str = "rollout") -> dict[str, Any]:
        begun = self.begin(purpose, "2")
        while self.next is not None and not self.next.trial:
            self.step(begun)
        return begun

    def test(self, begun: Any) -> dict[str, Any]:
        """Run the test itself, and let the record say what comes of it."""
        assert self.next is not None and self.next.kind is Kind.BAKE and self.next.trial
        found = experiment.run({"release": begun["release"], "step": self.record.position}, self.context())
        release.run({"operation": "checkpoint", "release": begun["release"], "seen": found["seen"], "deployed": None}, self.context())
        return found

    def finish(self, begun: Any) -> dict[str, Any]:
        while self.next is not None:
            self.step(begun)
        return release.run({"operation": "finish", "release": begun["release"], "verified": True}, self.context())

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = Path(self.record.journal).read_text(encoding="utf-8").splitlines()
        return [item for item in map(json.loads, lines) if item["kind"] == kind]


def test_a_better_variant_wins_and_gets_everything(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.13)
    begun = service.to_test()
    found = service.test(begun)
    assert (found["verdict"], found["seen"]["result"], found["phase"]) == ("win", "done", "successful"), found
    assert "converts more, by " in found["reason"]
    assert service.clock.now() < 5 * 3600, "it ended as soon as it was clear"
    done = service.finish(begun)
    assert (done["outcome"], done["code"], done["failed_run"]) == ("promoted", 0, False)
    assert service.record.stable.version == "2"
    said = service.events("trial")
    assert said[-1]["says"] == "win" and said[-1]["decision"] == "promote" and said[-1]["low"] > 0 and all(item["says"] == "continue" for item in said[:-2])
    looks = [item for item in service.events("look") if item["metric"] == "conversion"]
    assert looks[-1]["unit"] == "share" and looks[-1]["low"] < looks[-1]["value"] < looks[-1]["high"]
    assert any("win: converts more" in line for line in service.said)


def test_a_worse_variant_goes_and_that_is_no_failure(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.13, 0.10)
    begun = service.to_test()
    found = service.test(begun)
    assert (found["verdict"], found["seen"]["result"]) == ("lose", "kept")
    done = service.finish(begun)
    assert (done["outcome"], done["code"], done["failed_run"]) == ("kept", 21, False)
    assert service.record.outcome is Outcome.KEPT and service.record.went_back
    assert service.record.routes.weight("stable") == 100
    assert "lose: converts less, by" in service.record.reason
    assert any("stable kept: lose" in line for line in service.said)


@pytest.mark.parametrize("wish, result, outcome", [("keep_stable", "kept", "kept"), ("promote", "done", "promoted"), ("pause", "paused", "paused")])
def test_equal_variants_do_not_win(tmp_path: Path, wish: str, result: str, outcome: str) -> None:
    service = Compared(tmp_path, 0.10, 0.10, on_no_difference=wish)
    begun = service.to_test()
    found = service.test(begun)
    assert (found["verdict"], found["seen"]["result"]) == ("no_difference", result), found["reason"]
    done = service.finish(begun)
    assert (done["outcome"], done["failed_run"]) == (outcome, False)


def test_what_is_not_clear_when_the_time_is_over_is_no_difference(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.10, each=20, max_duration="2h")
    begun = service.to_test()
    began = service.clock.now()
    found = service.test(begun)
    assert found["verdict"] == "no_difference" and "none is proven within 2:00:00" in found["reason"]
    assert service.clock.now() - began == pytest.approx(7200, abs=60)


def test_visitors_that_were_not_split_as_they_should_have_been_pause_it_for_a_person(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.10, own_each=400)
    begun = service.to_test()
    found = service.test(begun)
    assert (found["verdict"], found["seen"]["result"]) == ("mismatch", "paused") and "50 % should have been" in found["reason"]
    done = service.finish(begun)
    assert (done["outcome"], done["failed_run"]) == ("paused", False)
    service.run("promote", "2")
    assert service.record.outcome is Outcome.PROMOTED, "a person may know better"


def test_where_a_person_decides_anyway_the_gate_is_what_it_pauses_at(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.10, own_each=400, promote="manual")
    begun = service.to_test()
    found = service.test(begun)
    assert (found["verdict"], found["seen"]["result"]) == ("mismatch", "done")
    assert service.next is not None and service.next.gate is not None and service.next.gate.name == "winner"


def test_without_guardrails_the_conversion_alone_is_looked_at(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.13)
    provider = service.file.pop("rollout_analysis")["provider"]
    service.file["rollout_ab_test"]["conversion"] = {**CONVERSION, "provider": provider}
    begun = service.to_test()
    assert service.test(begun)["verdict"] == "win"
    assert {look["metric"] for look in service.events("look")} == {"conversion"}
    assert service.finish(begun)["outcome"] == "promoted"


def test_too_few_visitors_say_nothing(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.15, each=1, max_duration="1h")
    found = service.test(service.to_test())
    assert (found["verdict"], found["seen"]["result"]) == ("undecided", "paused") and "too few" in found["reason"]


def test_a_guardrail_ends_the_test_whatever_converts(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.105, more={"canary/errors": [0.0] * 5 + [0.2]})
    begun = service.to_test()
    found = service.test(begun)
    assert found["seen"]["result"] == "failed" and "errors" in found["seen"]["reason"]
    done = service.finish(begun)
    assert (done["outcome"], done["failed_run"]) == ("rolled_back", True)
    assert service.events("trial")[-1]["decision"] == "ended"


def test_conversions_that_cannot_be_asked_for_a_while_end_nothing(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.13)
    values = service.file["rollout_analysis"]["provider"]["memory"]["values"]
    values["canary/came"][5:5] = [{"error": "away"}] * 30
    found = service.test(service.to_test())
    assert found["verdict"] == "win"


def test_nothing_is_said_before_the_shortest_time(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.05, 0.20, min_duration="3h")
    begun = service.to_test()
    began = service.clock.now()
    assert service.test(begun)["verdict"] == "win"
    assert 3 * 3600 <= service.clock.now() - began < 3 * 3600 + 130


def test_a_person_decides_where_that_is_asked_for_and_is_shown_the_finding(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.13, promote="manual")
    begun = service.to_test()
    assert service.test(begun)["seen"]["result"] == "done"
    assert service.next is not None and service.next.kind is Kind.GATE
    before = len(service.said)
    release.run({"operation": "step", "release": begun["release"], "step": service.record.position, "back": False}, service.context())
    assert service.record.outcome is Outcome.PAUSED
    told = [line for line in service.said[before:] if "winner" in line]
    assert any("win: converts more" in line for line in told), told


def test_a_test_that_is_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.13, each=60)
    begun = service.to_test()
    service.clock.after(20 * 60, service.clock.interrupt)
    with pytest.raises(Interrupted):
        experiment.run({"release": begun["release"], "step": service.record.position}, service.context())
    left = service.record.trial
    assert left is not None and left.looks == 19 and left.total.requests == 19 * 60, "to the last look"
    service.clock._interrupted = False
    service.clock.advance(600)
    found = service.test(service.begin("resume", "2"))
    trial = service.record.trial
    assert trial is not None and trial.began == left.began and trial.looks > left.looks
    assert trial.total.requests > left.total.requests and trial.p <= left.p
    assert found["verdict"] == "win", found["reason"]


def test_a_run_that_may_not_look_for_longer_pauses_and_the_next_goes_on_with_all_that_came(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.14, each=400, run_duration="20m", min_duration="50m")
    begun = service.to_test()
    before = service.clock.time()
    found = service.test(begun)
    assert service.clock.time() - before == pytest.approx(20 * 60, abs=60)
    assert found["verdict"] == "continue" and "this run has looked for 20:00, resume goes on" in found["reason"]
    left = service.record.trial
    assert service.record.outcome is Outcome.PAUSED and left is not None and left.total.requests >= 19 * 400
    assert service.record.steps[service.record.position].trial, "and stays at the test, with its share"
    service.clock.advance(3600)
    found = service.test(service.begin("resume", "2"))
    trial = service.record.trial
    assert trial is not None and trial.began == left.began and trial.total.requests > left.total.requests
    assert found["verdict"] == "win", found["reason"]


def test_the_longest_time_holds_over_all_runs(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.10, each=5, run_duration="25m", max_duration="40m", mde=0.02)
    assert service.test(service.to_test())["verdict"] == "continue"
    before = service.clock.time()
    assert service.test(service.begin("resume", "2"))["verdict"] in ("no_difference", "undecided")
    assert service.clock.time() - before <= 16 * 60


def test_a_guardrail_ends_a_run_that_would_only_pause(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.13, each=60, run_duration="20m", more={"errors": [0.0] * 5 + [0.2] * 600})
    begun = service.to_test()
    service.test(begun)
    assert service.record.back and service.record.outcome is None


def test_a_run_that_pauses_before_anything_is_said_does_not_tell_people_to_promote(tmp_path: Path) -> None:
    """Whoever types what is printed must not end the test, and give an untested version to everybody, by going on."""
    service = Compared(tmp_path, 0.10, 0.14, each=400, run_duration="20m", min_duration="50m")
    begun = service.to_test()
    service.test(begun)
    service.finish(begun)
    assert [line.split(" -")[0].strip() for line in service.said[-3:]] == [
        "go on with the test: ansible-playbook progressive.delivery.resume",
        "decide for the new version: ansible-playbook progressive.delivery.promote",
        "take it back: ansible-playbook progressive.delivery.abort",
    ]


def test_where_a_test_can_say_nothing_more_a_person_decides(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.10, own_each=400)
    begun = service.to_test()
    service.test(begun)
    service.finish(begun)
    assert "go on: ansible-playbook progressive.delivery.promote" in service.said[-2], "resume would only pause again"


@pytest.mark.parametrize("left", [15 * 60, 30, 0, -3600])
def test_a_run_that_comes_late_still_looks_once_and_ends_the_test(tmp_path: Path, left: int) -> None:
    """The runs of a schedule may leave the end of the test between two of them."""
    service = Compared(tmp_path, 0.10, 0.10, each=5, run_duration="25m", max_duration="40m", mde=0.02)
    begun = service.to_test()
    service.test(begun)
    service.finish(begun)
    trial = service.record.trial
    assert trial is not None and trial.began is not None
    service.clock.advance(trial.began + 40 * 60 - left - service.clock.time())
    found = service.test(service.begin("resume", "2"))
    assert found.get("verdict") in ("no_difference", "undecided"), found
    assert {"errors", "conversion"} <= {look["metric"] for look in service.events("look")[-2:]}


@pytest.mark.parametrize("errors, result", [([0.0], "done"), ([0.2], "failed"), ([None], "failed")])
def test_nothing_wins_before_each_guardrail_has_said_something(tmp_path: Path, errors: Any, result: str) -> None:
    guarded = {"metrics": [{"name": "errors", "query": "errors", "failure_condition": "result > 0.05", "interval": "30m"}]}
    service = Compared(tmp_path, 0.10, 0.20, each=5000, analysis=guarded, more={"canary/errors": errors})
    found = service.test(service.to_test())
    assert found["seen"]["result"] == result, found
    assert any(look["metric"] == "errors" for look in service.events("look"))


class ByWindow:
    """A provider that counts who came within the window, as a database does: at so many a second, and who comes again within it once."""

    def __init__(self, bought: dict[str, float]) -> None:
        self.bought, self.longest = bought, 0.0

    def probe(self) -> None:
        """Always there."""

    def query(self, query: str, window: Window) -> Series:
        self.longest = max(self.longest, window.seconds)
        came = 2 * window.seconds**0.9  # the longer the window, the more come again
        value = {"came": round(came), "bought": round(came * self.bought[window.track])}.get(query, 0)
        return Series((Sample((Point(window.end, value),)),))


def test_windows_reach_back_to_the_beginning_of_the_test_through_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = ByWindow({"stable": 0.10, "canary": 0.12})
    monkeypatch.setattr(build, "provider", lambda options, tracks, allow=(): provider)
    service = Compared(tmp_path, 0.1, 0.1, conversion={"query": "bought", "total_query": "came"}, min_duration="90m")
    begun = service.to_test()
    provider.longest = 0.0
    service.clock.after(20 * 60, lambda: service.events("nothing")[0])
    with pytest.raises(IndexError):
        experiment.run({"release": begun["release"], "step": service.record.position}, service.context())
    service.clock.advance(1800)
    found = service.test(service.begin("resume", "2"))
    trial = service.record.trial
    assert found["verdict"] == "win" and trial is not None
    assert provider.longest >= 90 * 60, "one window, the interruption in it"
    assert trial.total.requests == pytest.approx(2 * provider.longest**0.9, rel=0.02), "who came again was counted once"


def test_without_a_conversion_a_person_decides_after_the_longest_time(tmp_path: Path) -> None:
    service = Service(tmp_path, rollout_strategy="ab_test", rollout_ab_test={"max_duration": "1h"})
    begun = service.begin("rollout", "2")
    steps = [(step.kind, step.trial) for step in service.record.plan.steps]
    assert (Kind.BAKE, False) in steps and (Kind.GATE, False) in steps and not any(trial for _kind, trial in steps)
    assert begun["outcome"] == ""


# ------------------------------------------------------------------------------------------------------------------------------------- the plan


def test_the_plan_says_what_the_test_takes(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.10, 0.10, conversion={"query": "bought", "total_query": "came"})
    values = service.file["rollout_analysis"]["provider"]["memory"]["values"]
    values["stable/bought"], values["stable/came"] = [600], [6000]
    text = "\n".join(service.plan("rollout", "2")["text"])
    assert "10 % convert now; to find 2 points more or less with a chance of 80 %" in text
    assert "of a test that is looked at once" in text and "at the 100 visitors a minute of the last hour" in text
    assert "compares the conversion of both, 10:00:00 at most, guarded by errors" in text
    service.file["rollout_ab_test"]["max_duration"] = "30m"
    assert "or it may end without having found anything" in "\n".join(service.plan("rollout", "2")["text"])
    values["stable/came"] = [None]
    assert "no visitor was counted in the last hour" in "\n".join(service.plan("rollout", "2")["text"])


@pytest.mark.parametrize("options, where", [
    ({"promote": "winner", "conversion": None}, "rollout_ab_test.promote"),
    ({"run_duration": "1h", "conversion": None}, "rollout_ab_test.run_duration: nothing is counted"), ({"run_duration": "often"}, "run_duration"),
    ({"share": "33.333"}, "step '33.33 %' wants"), ({"share": 0}, "rollout_ab_test.share"), ({"share": 100}, "rollout_ab_test.share"),
    ({"min_duration": "11h"}, "rollout_ab_test.min_duration"), ({"mde": 0.7}, "rollout_ab_test.mde"), ({"alpha": 0}, "rollout_ab_test.alpha"),
    ({"conversion": {"query": "rate(x[5m])", "total_query": "y"}}, "rollout_ab_test.conversion.query: it looks back 5:00"),
    ({"conversion": {**CONVERSION, "total_query": ""}}, "rollout_ab_test.conversion"),
    ({"conversion": {"total_query": "x"}}, "rollout_ab_test.conversion: query is missing"),
    ({"on_no_diference": "pause"}, "on_no_difference"), ({"conversion": {"querry": "x", "query": "y"}}, "query"),
])
def test_what_contradicts_itself_is_refused_before_anything_changes(tmp_path: Path, options: dict[str, Any], where: str) -> None:
    service = Compared(tmp_path, 0.1, 0.1)
    service.file["rollout_ab_test"] = {**service.file["rollout_ab_test"], **options}
    with pytest.raises(ConfigError) as refused:
        service.plan("rollout", "2")
    assert where in str(refused.value)


def test_a_source_that_cannot_be_asked_is_refused_before_anything_changes(tmp_path: Path) -> None:
    service = Compared(tmp_path, 0.1, 0.1, conversion={**CONVERSION, "provider": {"memory": {"file": str(tmp_path / "none.json")}}})
    with pytest.raises(Unavailable, match="conversions cannot be asked for"):
        service.plan("rollout", "2")
    other = Compared(tmp_path, 0.1, 0.1, analysis={"metrics": [{"name": "conversion", "query": "errors", "failure_condition": "result > 1"}]})
    with pytest.raises(ConfigError, match="called conversion"):
        other.plan("rollout", "2")


# --------------------------------------------------------------------------------------------------------------------------------- single looks


def looked(tmp_path: Path, **params: Any) -> dict[str, Any]:
    service = Service(tmp_path)
    defaults = {"window": "1h", "tracks": {}, "labels": {}, "share": "50", "min_samples": 100, "min_duration": "0s", "max_duration": "168h", "mde": 0.01,
                "alpha": 0.05, "power": 0.8}
    return experiment.run({**defaults, **params}, service.context(**({"check_mode": True} if params.get("check") else {})))


def counts(conversions: int, visitors: int) -> dict[str, int]:
    return {"conversions": conversions, "visitors": visitors}


def test_one_look_at_counts(tmp_path: Path) -> None:
    found = looked(tmp_path, stable=counts(1000, 10_000), candidate=counts(1200, 10_000), check=True)
    assert (found["verdict"], found["changed"]) == ("win", False)
    assert found["low"] > 0 and found["difference"] == pytest.approx(0.02) and found["p"] < 0.01 and found["needed"] > 20_000


def test_looks_go_on_from_one_to_the_next(tmp_path: Path) -> None:
    first = looked(tmp_path, stable=counts(1000, 10_000), candidate=counts(1050, 10_000))
    assert first["verdict"] == "continue"
    second = looked(tmp_path, stable=counts(3000, 30_000), candidate=counts(3450, 30_000), state=json.loads(json.dumps(first["state"])))
    assert second["verdict"] == "win" and second["state"]["looks"] == 2 and second["visitors"] == 30_000


@pytest.mark.parametrize("params, words", [
    ({}, "nothing says what was counted"), ({"stable": counts(1, 2)}, "nothing says what was counted"),
    ({"stable": counts(3, 2), "candidate": counts(1, 2)}, "more conversions than visitors"),
    ({"stable": counts(1, 2), "candidate": counts(1, 2), "conversion": CONVERSION}, "by itself"),
    ({"conversion": CONVERSION}, "where conversions are counted"),
    ({"conversion": {**CONVERSION, "provider": {"memory": {"values": {}}}}}, "totals say nothing"),
    ({"stable": counts(1, 2), "candidate": counts(1, 2), "state": {"better": [0.0]}}, "no state of a test"),
    ({"stable": counts(1, 2), "candidate": counts(1, 2), "state": {"nonsense": 1}}, "unknown field"),
])
def test_a_look_that_cannot_be_is_refused(tmp_path: Path, params: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        looked(tmp_path, **params)


def test_counts_that_fall_are_refused(tmp_path: Path) -> None:
    first = looked(tmp_path, stable=counts(1000, 10_000), candidate=counts(1050, 10_000))
    with pytest.raises(ConfigError, match="smaller than at the look before"):
        looked(tmp_path, stable=counts(900, 10_100), candidate=counts(1050, 10_100), state=first["state"])


def test_one_look_at_a_provider(tmp_path: Path) -> None:
    values = {"stable/bought": [1000], "stable/came": [10_000], "canary/bought": [1210], "canary/came": [10_050]}
    asked = {"query": "bought", "total_query": "came", "provider": {"memory": {"values": values}}}
    found = looked(tmp_path, conversion=asked)
    assert (found["verdict"], found["base_visitors"], found["conversions"]) == ("win", 10_000, 1210)
    assert found["seconds"] == 3600
    empty = looked(tmp_path, conversion={**asked, "provider": {"memory": {"values": {**values, "canary/came": [None]}}}})
    assert empty["verdict"] == "continue" and "no visitor of the candidate" in empty["reason"]
