# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistical judges in a release: chosen in its file, checked by plan, held to one budget over all bakes, and written to the journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, MissingDependency
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import analysis
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service

ERRORS = {"name": "errors", "builtin": "error_rate", "judge": "sequential"}


def counted(share: float, each: int, looks: int = 60) -> list[dict[str, Any]]:
    """What counters say in windows that grow: ``each`` further requests a look."""
    return [{"value": share, "n": each * (look + 1)} for look in range(looks)]


class Judged(Service):
    """A release with bakes at 20 and 100 %, watched by ``metrics`` whose answers of the canary have ``share`` bad ones."""

    def __init__(self, folder: Path, share: float, *, metrics: tuple[dict[str, Any], ...] = (ERRORS,), each: int = 500, steps: Any = None, **more: Any) -> None:
        values = {"stable/error_rate": [0.0, *counted(0.01, 2000)], "canary/error_rate": [0.0, *counted(share, each)]}
        values = {name: [{"value": 0.01, "n": 1}, *answers[1:]] for name, answers in values.items()}  # the first is asked by plan
        steps = steps or [{"set_weight": 20}, {"bake": {"duration": "2m"}}, {"set_weight": 100}, {"bake": {"duration": "2m"}}]
        super().__init__(folder, rollout_steps=steps, rollout_analysis={
            "provider": {"memory": {"values": values}}, "metrics": list(metrics), "interval": "10s", **more})

    def bake(self, begun: Any) -> dict[str, Any]:
        """Walk to the next bake and watch it."""
        while self.next is not None and self.next.kind is not Kind.BAKE:
            self.step(begun)
        return analysis.run({"release": begun["release"], "step": self.record.position}, self.context())

    @property
    def looks(self) -> list[dict[str, Any]]:
        lines = Path(self.record.journal).read_text(encoding="utf-8").splitlines()
        return [item for item in map(json.loads, lines) if item["kind"] == "look"]


def test_a_regression_takes_the_release_back_and_the_journal_has_its_interval(tmp_path: Path) -> None:
    service = Judged(tmp_path, 0.06)
    found = service.bake(service.begin("rollout", "2"))
    assert (found["phase"], found["seen"]["result"]) == ("failed", "failed")
    assert "errors 6" in found["reason"] and "worse, by" in found["reason"]
    last = service.looks[-1]
    assert last["low"] < last["value"] < last["high"] and last["limit"] == pytest.approx(0.02) and last["confidence"] == 97.5
    assert (last["unit"], last["phase"]) == ("share", "failed")


def test_a_good_release_passes_with_evidence_and_is_not_compared_where_only_one_version_runs(tmp_path: Path) -> None:
    service = Judged(tmp_path, 0.01)
    begun = service.begin("rollout", "2")
    assert service.bake(begun)["phase"] == "successful"
    assert "as many requests as planned" in service.looks[-1]["reason"]
    service.step(begun)
    before = len(service.looks)
    assert service.bake(begun)["phase"] == "successful"
    assert len(service.looks) == before and any("errors not judged here, only one version gets requests" in line for line in service.said)


def test_its_own_conditions_decide_where_only_one_version_runs_and_beside_the_judge(tmp_path: Path) -> None:
    service = Judged(tmp_path, 0.01, metrics=({**ERRORS, "failure_condition": "result > 0.02"},))
    begun = service.begin("rollout", "2")
    assert service.bake(begun)["phase"] == "successful"
    service.step(begun)
    assert service.bake(begun)["phase"] == "successful"
    assert service.looks[-1]["reason"].endswith("not above the limit of 2 %")
    (tmp_path / "other").mkdir()
    service = Judged(tmp_path / "other", 0.01, metrics=({**ERRORS, "failure_condition": "result > 0.005"},))
    found = service.bake(service.begin("rollout", "2"))
    assert found["phase"] == "inconclusive" and "stable breaks the same bound" in found["reason"]  # both are that bad


def test_thin_evidence_never_passes(tmp_path: Path) -> None:
    service = Judged(tmp_path, 0.0, each=2)
    found = service.bake(service.begin("rollout", "2"))
    assert found["phase"] == "inconclusive" and "more requests, about " in found["reason"]


def test_every_bake_spends_its_part_and_a_repeated_one_of_what_is_kept(tmp_path: Path) -> None:
    steps = [{"set_weight": 10}, {"bake": {"duration": "1m"}}, {"set_weight": 20}, {"bake": {"duration": "1m"}}]
    service = Judged(tmp_path, 0.01, steps=steps)
    begun = service.begin("rollout", "2")
    service.bake(begun)
    assert service.record.bakes == 1 and "of 0.0045)" in service.looks[-1]["reason"]
    service.bake(begun)  # the same step again, as after an interruption
    service.bake(begun)
    assert service.record.bakes == 3 and "of 0.0005)" in service.looks[-1]["reason"]


def test_point_judges_have_names_and_spend_nothing(tmp_path: Path) -> None:
    service = Judged(tmp_path, 0.01, metrics=({"name": "errors", "builtin": "error_rate", "judge": "threshold", "failure_condition": "result > 0.5"},))
    assert service.bake(service.begin("rollout", "2"))["phase"] == "successful"
    assert service.record.bakes == 0


def metrics(*listed: Any, **more: Any) -> Any:
    return build.metrics({"provider": {"memory": {"values": {"x": 1}}}, "metrics": list(listed), **more})


def test_a_judge_by_name_or_with_its_options() -> None:
    [one] = metrics(ERRORS)
    assert (one.judge, one.judge_options, one.baseline) == ("sequential", {"mde": 0.01, "beta": 0.05}, "stable")
    [one] = metrics({**ERRORS, "judge": {"sequential": {"mde": 0.005}}})
    assert one.judge_options["mde"] == 0.005


def test_a_share_without_a_word_about_what_is_good_is_judged_by_evidence() -> None:
    for builtin in ("error_rate", "success_rate"):
        [one] = metrics({"name": "errors", "builtin": builtin})
        assert (one.judge, one.judge_options, one.baseline) == ("sequential", {"mde": 0.01, "beta": 0.05}, "stable")
    for said in ({"failure_condition": "result > 0.1"}, {"max_ratio": 2}, {"threshold_range": {"max": 0.1}}, {"dry_run": True}):
        [one] = metrics({"name": "errors", "builtin": "error_rate", **said})
        assert one.judge == ""
    for other in ({"builtin": "latency"}, {"query": "q"}, {"builtin": "error_rate", "baseline": "before"}):
        with pytest.raises(ConfigError, match="nothing says what a good value is"):
            metrics({"name": "errors", **other})


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ("sequentiel", "Did you mean sequential"),
        ({"sequential": {"med": 0.1}}, "Did you mean mde"),
        ({"sequential": {"mde": 0}}, "out of range"),
        ({"sequential": {}, "threshold": {}}, "exactly one judge is wanted"),
        ({"sequential": {"alpha": 0.02}}, "the budget of a release is 0.01"),
    ],
)
def test_a_judge_that_is_none_is_refused(judge: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        metrics({**ERRORS, "judge": judge})


def test_the_preset_stands_beside_the_metrics_listed_and_gives_way_to_their_names() -> None:
    provider = {"memory": {"values": {"x": 1}}}
    alone = build.metrics({"provider": provider, "preset": "guide"})
    assert [(metric.name, metric.judge, metric.max_ratio, metric.baseline) for metric in alone] == [
        ("error-rate", "sequential", 2.0, "stable"), ("p95", "", 1.5, "stable")]
    mixed = build.metrics({"provider": provider, "preset": "guide", "metrics": [{**ERRORS, "name": "error-rate"}, {**ERRORS, "name": "more"}]})
    assert [(metric.name, metric.max_ratio) for metric in mixed] == [("error-rate", None), ("more", None), ("p95", 1.5)]
    with pytest.raises(ConfigError, match="no metric is listed"):
        build.metrics({"provider": provider})


def test_the_budget_can_be_set() -> None:
    asked = {**ERRORS, "judge": {"sequential": {"alpha": 0.02}}}
    made = build.judges(metrics(asked, {**ERRORS, "name": "more"}, alpha=0.05), {"alpha": 0.05})
    assert {name: judge.alpha for name, judge in made.items()} == pytest.approx({"errors": 0.02, "more": 0.03})  # type: ignore[attr-defined]


@pytest.mark.parametrize("steps", [[{"set_weight": 100}, {"bake": {"duration": "2m"}}], [{"set_weight": 20}, {"set_weight": 100}]])
def test_plan_refuses_a_comparison_that_never_takes_place(tmp_path: Path, steps: Any) -> None:
    with pytest.raises(ConfigError, match=r"metrics\[0\].judge: sequential compares two versions under the same load, and no bake"):
        Judged(tmp_path, 0.01, steps=steps).plan("rollout", "2")


def test_plan_refuses_a_judge_whose_library_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="scipy is needed for the judges mann_whitney and kayenta"):
        Judged(tmp_path, 0.01, metrics=({**ERRORS, "judge": "mann_whitney"},)).plan("rollout", "2")


def test_plan_refuses_answers_without_counts(tmp_path: Path) -> None:
    service = Judged(tmp_path, 0.01)
    service.file["rollout_analysis"]["provider"] = {"memory": {"values": {"error_rate": [0.01]}}}
    with pytest.raises(ConfigError, match="errors has the judge sequential, and its answer does not say how many requests"):
        service.plan("rollout", "2")


# Comparisons of points

RATIO = {"name": "errors", "builtin": "error_rate", "max_ratio": 2.0}


class Emptied(Judged):
    """As a metrics server has it: nothing of a version that gets no requests."""

    def bake(self, begun: Any) -> dict[str, Any]:
        while self.next is not None and self.next.kind is not Kind.BAKE:
            self.step(begun)
        values = begun["release"]["analysis"]["provider"]["memory"]["values"]
        if self.record.routes.weight("stable") == 0:
            values["stable/error_rate"] = [None]
        return super().bake(begun)


def test_a_ratio_decides_nothing_where_only_one_version_gets_requests_and_does_not_stop_a_good_release(tmp_path: Path) -> None:
    service = Emptied(tmp_path, 0.01, metrics=(RATIO,))
    begun = service.begin("rollout", "2")
    assert service.bake(begun)["phase"] == "successful"
    service.step(begun)
    before = len(service.looks)
    found = service.bake(begun)
    assert (found["phase"], found["seen"]["result"]) == ("successful", "done"), found
    assert len(service.looks) == before and any("errors not judged here, only one version gets requests" in line for line in service.said)


def test_what_stands_beside_a_ratio_still_decides_there(tmp_path: Path) -> None:
    service = Emptied(tmp_path, 0.01, metrics=({**RATIO, "failure_condition": "result > 0.005"},), steps=[{"set_weight": 100}, {"bake": {"duration": "2m"}}])
    found = service.bake(service.begin("rollout", "2"))
    assert found["seen"]["result"] == "failed" and "above the limit of 0.5 %" in found["reason"]


def test_plan_names_a_ratio_that_never_decides_and_refuses_when_nothing_else_does(tmp_path: Path) -> None:
    steps = [{"set_weight": 100}, {"bake": {"duration": "2m"}}]
    bound = {"name": "bound", "builtin": "error_rate", "failure_condition": "result > 0.5"}
    notes = Judged(tmp_path, 0.01, metrics=(RATIO, bound), steps=steps).plan("rollout", "2")["notes"]
    assert any("errors is held against stable, and no bake of this plan has requests on both: it decides nothing" in note for note in notes), notes
    with pytest.raises(ConfigError, match="errors is held against stable.*nothing else decides"):
        Judged(tmp_path, 0.01, metrics=(RATIO, {**bound, "dry_run": True}), steps=steps).plan("rollout", "2")
    assert Judged(tmp_path, 0.01, metrics=(RATIO,), steps=[{"set_weight": 100}]).plan("rollout", "2"), "nothing is watched, as its author knows"
    assert not any("errors is held" in note for note in Judged(tmp_path, 0.01, metrics=(RATIO,)).plan("rollout", "2")["notes"])
