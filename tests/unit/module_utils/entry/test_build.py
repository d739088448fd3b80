# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import GROUPS, Service


def canary(**options):
    return [float(item.weight) for item in build.step_specs({"strategy": "canary", "canary": {"max_weight": 50, **options}}) if item.weight is not None]


def test_the_shorthand_of_steps():
    assert canary() == [5, 20, 50, 100]
    assert canary(step_weight=20) == [20, 40, 50, 100]
    assert canary(step_weight=60) == [50, 100]
    assert canary(step_weight=50, max_weight=100) == [50, 100]
    assert canary(step_weights=[10, 30]) == [10, 30]


@pytest.mark.parametrize(
    "step, kind, seconds",
    [
        ({"bake": {"duration": "5m"}}, Kind.BAKE, 300),
        ({"pause": {"duration": "10s"}}, Kind.BAKE, 10),
        ({"pause": {}}, Kind.GATE, None),
        ({"analysis": {"duration": "0s"}}, Kind.BAKE, 0),
        ({"gate": {"name": "go", "timeout": "1h"}}, Kind.GATE, None),
        ({"set_mirror_route": {"percentage": 10}}, Kind.MIRROR, None),
        ({"set_header_route": {"name": "q"}}, Kind.MATCH, None),
    ],
)
def test_steps_become_steps(step, kind, seconds):
    [made] = build.step_specs({"strategy": "canary", "steps": [step]})
    assert (made.step.kind, made.step.duration) == (kind, seconds)


def test_a_pause_does_not_watch_and_its_gate_has_a_name_of_its_own():
    specs = build.step_specs({"strategy": "canary", "steps": [{"pause": {"duration": 5}}, {"pause": {}}, {"pause": {"timeout": "1h", "on_timeout": "hold"}}]})
    assert specs[0].step.watch is False
    assert len({item.step.gate.name for item in specs[1:]}) == 2
    assert (specs[2].step.gate.timeout, specs[2].step.gate.on_timeout) == (3600, "hold")


def test_a_pause_ends_by_its_duration_or_by_somebody():
    with pytest.raises(ConfigError, match=r"rollout_steps\[0\]\.pause\.timeout: a pause with a duration waits for nobody"):
        build.step_specs({"steps": [{"pause": {"duration": "10m", "timeout": "2h", "on_timeout": "promote"}}], "strategy": "canary"})


def test_conditions_of_one_item_must_all_hold():
    found = build.conditions({"header_name": "x", "header_value": {"exact": "1"}, "path_value": {"prefix": "/a"}}, "here")
    assert found == (Condition("header", "x", "exact", "1"), Condition("path", "path", "prefix", "/a"))


def test_metrics_need_names_of_their_own():
    metric = {"name": "errors", "query": "up", "failure_condition": "result > 1"}
    assert [item.name for item in build.metrics({"metrics": [metric]})] == ["errors"]
    assert build.metrics(None) == []
    for given in ([], [metric, metric]):
        with pytest.raises(ConfigError, match=r"rollout_analysis\.metrics"):
            build.metrics({"metrics": given})


def test_adapters_are_made_by_their_key():
    assert type(build.local_router({"memory": {}}, {"stable": ("a",), "canary": ("b",)})).__name__ == "MemoryRouter"
    with pytest.raises(ConfigError, match="Did you mean haproxy"):
        build.local_router({"haproxi": {}}, {})
    with pytest.raises(ConfigError, match="unknown store"):
        build.local_store({"disk": {}}, "shop")


@pytest.mark.parametrize("options", [
    {"prometheus": {"url": "http://metrics.example:9090"}},
    {"web": {"url": "http://metrics.example/${track}"}},
])
def test_the_addresses_that_a_release_allows_hold_for_its_metrics(options):
    window = Window("canary", 0.0, 10.0)
    with pytest.raises(ConfigError, match=r"metrics\.example:\d+ are not allowed \(rollout_url_allow\)"):
        build.provider(options, {}, ("*.shop.example",)).query("{$.v}", window)
    build.provider(options, {}, ("metrics.example",))


def test_the_plan_makes_shares_that_its_router_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GROUPS, "blue", ["s1", "s2", "s3"])
    monkeypatch.setitem(GROUPS, "green", ["c1"])
    service = Service(tmp_path)
    assert [row["weight"] for row in service.plan("rollout", "2")["rows"] if row["kind"] == "weight"] == [5, 20, 33.33, 50, 66.66, 100]


def test_the_journal_names_the_objects_that_a_router_writes() -> None:
    assert build.written(SimpleNamespace(objects=("service/shop", "service/shop-preview")), {"service": {}}) == "service/shop, service/shop-preview"
    assert build.written(SimpleNamespace(), {"haproxy": {}}) == "haproxy"


@pytest.mark.parametrize(("options", "provider", "message"), [
    ({"judge": "sequential"}, "prometheus", "for judges that weigh values.*kayenta, mann_whitney"),
    ({"failure_condition": "result > 1"}, "prometheus", "for judges that weigh values"),
    ({"judge": "kayenta"}, "envoy", "envoy answers with one value"),
])  # fmt: skip
def test_a_series_needs_who_answers_and_who_weighs_it(options, provider, message):
    given = {"name": "m", "query": "q", "resolution": "15s", **options}
    with pytest.raises(ConfigError, match=message):
        build.metrics({"provider": {provider: {}}, "metrics": [given]})
    assert build.metrics({"provider": {"prometheus": {}}, "metrics": [{**given, "failure_condition": "result > 1", "judge": "kayenta"}]})


@pytest.mark.parametrize("judge", ["kayenta", "mann_whitney"])
def test_values_of_before_need_a_resolution(judge):
    given = {"name": "m", "query": "q", "baseline": "before", "judge": judge}
    with pytest.raises(ConfigError, match="with a resolution, before"):
        build.metrics({"provider": {"prometheus": {}}, "metrics": [given]})
    assert build.metrics({"provider": {"prometheus": {}}, "metrics": [{**given, "resolution": "15s"}]})
