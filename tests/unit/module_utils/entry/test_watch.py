# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching what is stable: what is asked about it, what it is compared with, and when to go back. Hours pass on a clock that never sleeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan, watch
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs.watch import alone, eased
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.memory import MemoryProvider
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import GROUPS, Service

BOUND = {"name": "errors", "query": "errors", "failure_condition": "result > 0.01"}


class Watched(Service):
    """Version 2 was promoted an hour ago, out of the other slot; ``values`` is what is measured from now on, by query or track/query."""

    def __init__(self, folder: Path, values: Any, *, metrics: tuple[dict[str, Any], ...] = (BOUND,), **more: Any) -> None:
        self.values = folder / "values.json"
        analysis = {"provider": {"memory": {"file": str(self.values)}}, "metrics": list(metrics), **more.pop("analysis", {})}
        super().__init__(folder, rollout_analysis=analysis, **more)
        self.say({"errors": [0.0]})
        first = {**self.file, "rollout_analysis": {**analysis, "metrics": [BOUND], "preset": None}}
        shipped = {name: value for name, value in first["rollout_analysis"].items() if value is not None}
        assert self.run("rollout", "2", rollout_analysis=shipped)["outcome"] == "promoted"
        self.clock.advance(3600)
        self.say(values)

    def say(self, values: Any) -> None:
        self.values.write_text(json.dumps(values), encoding="utf-8")

    def read(self, **file: Any) -> dict[str, Any]:
        variables = {**self.file, **file}
        found: dict[str, Any] = plan.run({"variables": variables, "groups": GROUPS, "purpose": "status", "asked": "watch", "probe": False, "show": False,
                                          "addresses": dict.fromkeys(("c1", "c2"), "127.0.0.1")},
                                         self.context())["release"]  # fmt: skip
        return found

    def watch(self, check_mode: bool = False, **file: Any) -> dict[str, Any]:
        return watch.run({"release": self.read(**file)}, self.context(check_mode=check_mode))


def test_what_is_well_is_watched_for_as_long_as_the_file_says_and_stays(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.001]}, rollout_watch={"duration": "10m", "interval": "10s"})
    before = service.record
    found = service.watch()
    assert (found["back"], found["outcome"], found["code"], found["failed_run"]) == (False, "unchanged", 0, False)
    assert len(found["looks"]) == 60 and "2 is well: errors good in 60 measurements, for 10:00" in found["reason"]
    assert service.record == before


def test_what_is_not_well_goes_back_at_the_first_look_that_says_so(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.001, 0.001, 0.2]})
    before = service.record
    found = service.watch()
    assert found["back"] and len(found["looks"]) == 3 and "above the limit" in found["reason"]
    assert "outcome" not in found, "how it ends is for the plays of rollback to say"
    assert service.record == before, "it changes nothing by itself"


def test_the_same_with_dry_run_only_tells(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.2]}, rollout_watch={"dry_run": True})
    found = service.watch()
    assert (found["back"], found["outcome"], found["failed_run"]) == (False, "failed", True) and "nothing is taken back" in found["reason"]


@pytest.mark.parametrize("answer", [{"error": "the server is down"}, None, "NaN"])
def test_what_nobody_can_measure_is_no_reason_to_go_back(tmp_path: Path, answer: Any) -> None:
    service = Watched(tmp_path, {"errors": [0.001, answer]})
    found = service.watch()
    assert (found["back"], found["outcome"], found["code"]) == (False, "held", 17)
    assert "2 stays, nobody can tell how it is" in found["reason"] and found["failed_run"]


def test_metrics_that_were_away_for_a_while_are_asked_again(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [*[{"error": "the server is down"}] * 30, 0.001]})
    assert service.watch()["outcome"] == "unchanged"
    service.say({"errors": [*[{"error": "the server is down"}] * 30, 0.2]})
    assert service.watch()["back"]


def test_a_provider_that_cannot_even_be_reached_holds_and_the_health_is_watched_all_the_same(tmp_path: Path) -> None:
    service = Watched(tmp_path, {})
    service.values.unlink()
    found = service.watch()
    assert (found["back"], found["outcome"]) == (False, "held") and "no answer for" in found["reason"]
    health = {"tcp": {"port": 9}, "timeout": "1s"}
    found = service.watch(rollout_health=health, rollout_url_allow=["127.0.0.1"])
    assert found["back"] and "unhealthy" in found["reason"]


def test_the_bad_time_before_a_way_back_is_no_measure(tmp_path: Path) -> None:
    ratio = {"name": "slow", "query": "slow", "max_ratio": 1.5, "max_delta": 1}
    service = Watched(tmp_path, {"errors": [0.001], "slow": [100]}, metrics=(BOUND, ratio))
    assert service.run("rollout", "3", rollout_analysis={**service.file["rollout_analysis"], "metrics": [BOUND]})["outcome"] == "promoted"
    assert service.run("rollback")["outcome"] == "rolled_back"
    found = service.watch()
    assert found["outcome"] == "unchanged" and {look["metric"] for look in found["looks"]} == {"errors"}
    assert any("slow not judged here: before this way back it was not well either" in line for line in service.said)


def asked_of(service: Watched, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The windows that are asked about from now on."""
    asked: list[tuple[str, Any]] = []
    query = MemoryProvider.query

    def noted(self: MemoryProvider, text: str, window: Any) -> Any:
        asked.append((text, window))
        return query(self, text, window)

    monkeypatch.setattr(MemoryProvider, "query", noted)
    return asked


def test_it_is_compared_with_the_thirty_minutes_before_its_release_in_the_slot_that_served_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratio = {"name": "slow", "query": "slow", "max_ratio": 1.5}
    service = Watched(tmp_path, {"stable/slow": [100.0], "canary/slow": [140.0, 160.0]}, metrics=(ratio,))
    asked, now = asked_of(service, monkeypatch), service.clock.time()
    found = service.watch()
    assert found["back"] and len(found["looks"]) == 2 and found["looks"][0]["baseline"] == 100.0
    before = [window for _text, window in asked if window.track == "stable"]
    assert len(before) == 1 and before[0].end - before[0].start == 1800 and before[0].end <= now - 3600
    assert before[0].labels["version"] == "1" and {window.labels["version"] for _text, window in asked if window.track == "canary"} == {"2"}


def test_the_preset_of_twice_the_errors_needs_more_than_twice_of_nothing(tmp_path: Path) -> None:
    few = {"value": 0.002, "n": 5000}
    before = {"stable/error_rate": [{"value": 0.0005, "n": 90000}], "stable/latency": [{"value": 100, "n": 90000}]}
    fast, slow = {"canary/latency": [{"value": 120, "n": 5000}]}, {"canary/latency": [{"value": 160, "n": 5000}]}
    service = Watched(tmp_path, {**before, "canary/error_rate": [few], **fast}, metrics=(), analysis={"preset": "guide"})
    assert service.watch()["outcome"] == "unchanged"
    service.say({**before, "canary/error_rate": [few, {"value": 0.05, "n": 5000}], **fast})
    assert "error-rate" in service.watch()["reason"]
    service.say({**before, "canary/error_rate": [few], **slow})
    found = service.watch()
    assert found["back"] and "p95" in found["reason"]


def test_a_version_that_serves_for_long_is_judged_by_a_long_window_at_once_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    long = {"name": "orders", "query": "rate(orders[5m])", "failure_condition": "result < 2"}
    service = Watched(tmp_path, {"errors": [0.0], "rate(orders[5m])": [1]}, metrics=(long,), rollout_watch={"duration": "2m"})
    found = service.watch()
    assert found["back"] and len(found["looks"]) == 1
    assert service.run("rollout", "3", rollout_analysis={**service.file["rollout_analysis"], "metrics": [BOUND]})["outcome"] == "promoted"
    with pytest.raises(ConfigError, match="looks back 5:00, the wait is 2:00"):
        service.watch()


def test_a_release_under_way_is_left_alone(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.2]})
    service.begin("rollout", "3")
    before = service.record
    found = service.watch()
    assert (found["back"], found["outcome"], found["code"]) == (False, "busy", 13) and "3 is under way (running)" in found["reason"]
    assert service.record == before


def test_of_two_watches_that_decide_to_go_back_one_does(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.2]})
    first, second = service.watch(), service.watch()
    assert first["back"] and second["back"] and first["watched"] == second["watched"]
    assert service.run("rollback")["outcome"] == "rolled_back"
    again = {"variables": service.file, "groups": GROUPS, "purpose": "rollback", "asked": "watch", "probe": False, "show": False}
    with pytest.raises(Conflict, match="another release came since this one was watched"):
        plan.run({**again, "watched": second["watched"]}, service.context())


def test_there_must_be_something_to_watch_and_to_go_back_to(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.2]})
    assert "would watch 2 for 10:00" in service.watch(check_mode=True)["reason"]
    with pytest.raises(ConfigError, match="7 is not known to be good"):
        service.watch(rollout_to_version="7")
    with pytest.raises(ConfigError, match="there is nothing to watch"):
        service.watch(rollout_analysis="none")
    assert service.run("rollback")["outcome"] == "rolled_back"
    with pytest.raises(ConfigError, match="there is nothing to go back to"):
        service.watch()
    assert service.watch(rollout_watch={"dry_run": True})["outcome"] == "failed"


def test_after_a_release_that_went_back_by_itself_the_older_version_has_to_be_named(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.0]})
    failed = {"result": "failed", "reason": "it hurt"}
    service.file["rollout_steps"] = [{"set_weight": 100}]
    service.run("rollout", "3", seen=dict.fromkeys(("100 %", "canary 100 %"), failed))
    assert service.record.went_back
    service.say({"errors": [0.2]})
    with pytest.raises(ConfigError, match="which the last release went back to.*rollout_to_version=1"):
        service.watch()
    assert service.watch(rollout_to_version="1")["back"]


def test_metrics_that_only_compare_two_versions_are_named(tmp_path: Path) -> None:
    service = Watched(tmp_path, {"errors": [0.0], "error_rate": [0.0]}, metrics=(BOUND, {"name": "twin", "builtin": "error_rate", "judge": "sequential"}))
    assert service.watch()["outcome"] == "unchanged"
    assert any("twin not judged here: one version gets all requests" in line for line in service.said)


def test_a_metric_by_itself() -> None:
    made = {metric.name: alone(metric) for metric in build.metrics({"provider": {"memory": {"values": {"x": [1]}}}, "metrics": [
        {"name": "bound", "query": "x", "failure_condition": "result > 1"},
        {"name": "delta", "query": "x", "max_ratio": 2, "max_delta": 3},
        {"name": "ratio", "builtin": "error_rate", "max_ratio": 2},
        {"name": "judged", "builtin": "error_rate", "judge": "sequential"},
    ]})}  # fmt: skip
    bound, delta, ratio = made["bound"], made["delta"], made["ratio"]
    assert made["judged"] is None and bound is not None and delta is not None and ratio is not None
    assert bound.baseline != "before" and (delta.baseline, delta.max_delta) == ("before", 3) and (ratio.baseline, ratio.max_delta) == ("before", None)


@pytest.mark.parametrize(("builtin", "before", "worst"), [
    ("error_rate", 0.2, 0.4), ("error_rate", 0.001, 0.011), ("error_rate", 0.0, 0.01), ("error_rate", None, None),
    ("success_rate", 0.9, 0.45), ("conversion", 0.015, 0.005), ("latency", 100.0, 200.0),
])  # fmt: skip
def test_a_share_has_to_be_a_hundredth_worse_than_it_was_besides(builtin: str, before: Any, worst: Any) -> None:
    provider = {"provider": {"memory": {"values": {"x": [1]}}}}
    [asked] = build.metrics({**provider, "metrics": [{"name": "m", "builtin": builtin, "max_ratio": 2, **({"quantile": 0.9} if builtin == "latency" else {})}]})
    found = alone(asked)
    assert found is not None
    found = eased(found, before)
    if not before:
        assert (found.max_ratio, found.max_delta) == (None, 0.01)
        return
    assert found.max_ratio is not None and found.max_delta is None
    limit = before / found.max_ratio if found.direction == "decrease" else before * found.max_ratio
    assert limit == pytest.approx(worst)
