# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bad release file is one ConfigError that names the path, before anything changes; nothing else is ever raised."""

from __future__ import annotations

import contextlib
import datetime
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import WORKLOADS
from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import SPEC, located, read
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import bounded

GROUPS = {"web": ["w1", "w2", "w3"], "canary": ["c1"], "full": ["c1", "c2", "c3"], "empty": [], "one": ["w1"], "mixed": ["w1", "x1"], "all": ["w1"]}
GOOD = {
    "rollout_name": "shop",
    "rollout_version": "2",
    "rollout_workload": {"pool": {"stable": "web", "canary": "canary", "deploy": {"tasks": "deploy.yml"}}},
    "rollout_router": {"haproxy": {"endpoints": ["/run/a.sock"], "backend": "shop"}},
}
METRIC = {"name": "errors", "builtin": "error_rate", "failure_condition": "result > 0.01"}
IN_FOLDERS = {"release_dir": {"base": "/srv/shop", "source": "builds/${version}"}}


def pool(**change):
    return {"pool": {**GOOD["rollout_workload"]["pool"], **change}}


def steps(*given):
    return {"rollout_steps": list(given)}


def metric(**change):
    return {"rollout_analysis": {"provider": {"haproxy": {"endpoints": ["/run/a.sock"], "backend": "shop"}}, "metrics": [{**METRIC, **change}]}}


def strategy(name, **options):
    return {"rollout_strategy": name, f"rollout_{name}": options}


def plan_of(change):
    """What the plan verb does with a release file, without a router."""
    spec = read({key: value for key, value in {**GOOD, **change}.items() if value is not ...})
    build.metrics(spec.get("analysis"))
    [(kind, options)] = spec["workload"].items()
    adapter = WORKLOADS[kind]
    hosts = adapter.slots(options, GROUPS)
    return compile_plan(build.brief(spec, hosts, live="stable", previous="1", first=False, by_hosts=adapter.by_hosts, capabilities=frozenset(Capability)))


def test_what_was_published_for_workflows_is_no_input():
    """AWX gives the stats of a job to every later one of its workflow as extra variables."""
    assert read({**GOOD, "rollout_outcome": "paused", "rollout_code": 12}) == read(GOOD)


def test_a_good_file_makes_a_plan():
    plan = plan_of({})
    assert [float(step.weight) for step in plan.steps if step.weight is not None][-1] == 100


@pytest.mark.parametrize(
    "change",
    [
        steps({"set_weight": "10 %"}, {"bake": {"duration": "5m"}}),
        steps({"setWeight": 5}, {"pause": {}}),
        steps({"set_weight": 33.3}),
        steps({"pause": None}),
        steps({"set_weight": 5}, {"set_header_route": {"name": "qa", "match": [{"header_name": "x", "header_value": {"exact": "1"}}]}}),
        steps({"set_weight": 0.00001}),
        {"rollout_router": {"memory": None}},
        {"rollout_router": "memory"},
        {"rollout_analysis": "none"},
        {"rollout_analysis": False},
        {"rollout_health": {"tcp": {"port": 80}}},
        metric(),
        metric(failureLimit=2),
        {"rollout_steps": []},
        {"rollout_version": 20260101},
        {"rollout_version": "feature/x"},
        {"rollout_version": "2.4.1-rc.1", "rollout_workload": pool(deploy=IN_FOLDERS)},
        {"rollout_version": datetime.date(2026, 1, 1)},
        {"rollout_reason": None},
        strategy("canary", step_weight=20),
        strategy("canary", step_weights=[10, 50]),
        strategy("rolling", batches=[1, "50%"], ramp=[25]),
        strategy("recreate"),
        {**strategy("blue_green"), "rollout_workload": pool(canary="full", stable="web")},
        {"rollout_hooks": {"before_rollout": [{"name": "a", "tasks": "a.yml"}]}},
    ],
)
def test_these_are_good(change):
    change = {key: value for key, value in change.items() if key != "rollout_recreate"}
    assert plan_of(change).steps


BAD = [
    # what is missing or unknown
    ({"rollout_name": ...}, "rollout_name is missing"),
    ({"rollout_version": ...}, "rollout_version is missing"),
    ({"rollout_workload": ...}, "rollout_workload is missing"),
    ({"rollout_stepps": []}, "rollout_stepps", "Did you mean rollout_steps?"),
    ({"rollout_": 1}, "unknown variable"),
    ({"rollout_timeout": 5}, "rollout_timeout"),
    ({"rollout_Steps": []}, "rollout_Steps", "rollout_steps"),
    ({"rollout_strategy": "canry"}, "rollout_strategy", "Did you mean canary?"),
    ({"rollout_strategy": ["canary"]}, "rollout_strategy"),
    ({"rollout_strategy": True}, "rollout_strategy"),
    ({"rollout_name": "a b"}, "rollout_name"),
    ({"rollout_name": "a\n"}, "rollout_name"),
    ({"rollout_name": "../x"}, "rollout_name"),
    ({"rollout_name": "a;b"}, "rollout_name"),
    ({"rollout_name": "a" * 300}, "rollout_name"),
    ({"rollout_name": ""}, "rollout_name"),
    ({"rollout_name": {}}, "rollout_name"),
    ({"rollout_name": "caf\u00e9"}, "rollout_name"),
    ({"rollout_version": ""}, "rollout_version"),
    ({"rollout_version": "  "}, "rollout_version"),
    ({"rollout_version": "1\n2"}, "rollout_version"),
    ({"rollout_version": "v" * 300}, "rollout_version"),
    ({"rollout_version": ["2"]}, "rollout_version"),
    ({"rollout_version": yaml.safe_load("1.10")}, "rollout_version", "1.1", "Put it in quotes"),
    ({"rollout_version": yaml.safe_load("2026-01-01 10:00:00")}, "rollout_version", "Put it in quotes"),
    ({"rollout_previous_version": 1.10}, "rollout_previous_version", "Put it in quotes"),
    ({"rollout_version": "feature/x", "rollout_workload": pool(deploy=IN_FOLDERS)}, "rollout_version", "release folder"),
    ({"rollout_version": "../../etc", "rollout_workload": pool(deploy=IN_FOLDERS)}, "rollout_version", "release folder"),
    ({"rollout_version": "..", "rollout_workload": pool(rollback=IN_FOLDERS)}, "rollout_version", "release folder"),
    ({"rollout_previous_version": "1.2+build", "rollout_workload": pool(deploy=IN_FOLDERS)}, "rollout_previous_version", "release folder"),
    ({"rollout_to_version": 1.10}, "rollout_to_version", "Put it in quotes"),
    ({"rollout_version": True}, "rollout_version"),
    ({"rollout_version": "a\x00b"}, "rollout_version"),
    ({"rollout_to_version": "a\tb"}, "rollout_to_version"),
    # the router
    ({"rollout_router": {"haproxi": {}}}, "rollout_router.haproxi", "Did you mean haproxy?"),
    ({"rollout_router": {"haproxy": {}, "memory": {}}}, "rollout_router", "exactly one router"),
    ({"rollout_router": {}}, "rollout_router", "found none"),
    ({"rollout_router": []}, "rollout_router"),
    ({"rollout_router": 5}, "rollout_router"),
    ({"rollout_router": "haproxi"}, "rollout_router.haproxi"),
    ({"rollout_router": {"haproxy": []}}, "rollout_router.haproxy"),
    ({"rollout_router": {"haproxy": {"endpoints": "x"}}}, "rollout_router.haproxy.endpoints"),
    ({"rollout_router": {"haproxy": {"endpoints": ["x"], "backnd": "a"}}}, "rollout_router.haproxy", "Did you mean backend?"),
    ({"rollout_router": {"haproxy": {"endpoints": ["x"], "backend": "a;b"}}}, "rollout_router.haproxy.backend"),
    ({"rollout_router": {"haproxy": {"endpoints": ["x"], "min_up": 0}}}, "rollout_router.haproxy.min_up"),
    ({"rollout_router": {"haproxy": {"endpoints": [["x"]]}}}, "rollout_router.haproxy.endpoints[0]"),
    ({"rollout_router": {"memory": {"traffic": "lots"}}}, "rollout_router.memory.traffic"),
    ({"rollout_router": ...}, "rollout_router", "no rollout_router"),
    # the workload
    ({"rollout_workload": {}}, "rollout_workload"),
    ({"rollout_workload": {"pol": {}}}, "rollout_workload.pol", "Did you mean pool?"),
    ({"rollout_workload": "pool"}, "rollout_workload.pool", "deploy is missing"),
    ({"rollout_workload": {"pool": {}}}, "rollout_workload.pool"),
    ({"rollout_workload": pool(deploy={})}, "rollout_workload.pool.deploy"),
    ({"rollout_workload": pool(deploy={"task": "x"})}, "rollout_workload.pool.deploy.task"),
    ({"rollout_workload": pool(deploy={"tasks": "x", "role": "y"})}, "rollout_workload.pool.deploy"),
    ({"rollout_workload": pool(deploy={"tasks": ["x"]})}, "rollout_workload.pool.deploy.tasks"),
    ({"rollout_workload": pool(deploy={"release_dir": {"base": "/srv"}})}, "rollout_workload.pool.deploy.release_dir", "source is missing"),
    ({"rollout_workload": pool(deploy={"release_dir": {"base": "/srv", "source": "x", "keep_releases": 0}})}, "release_dir.keep_releases"),
    ({"rollout_workload": pool(stable="webb")}, "rollout_workload.pool.stable", "webb"),
    ({"rollout_workload": pool(canary="none")}, "rollout_workload.pool.canary"),
    ({"rollout_workload": pool(stable="empty")}, "rollout_workload.pool.stable", "no hosts"),
    ({"rollout_workload": pool(canary="mixed")}, "rollout_workload.pool", "w1"),
    ({"rollout_workload": pool(stable=None)}, "rollout_workload.pool", "no group"),
    ({"rollout_workload": pool(hosts="web")}, "rollout_workload.pool"),
    ({"rollout_workload": pool(stable=["web"])}, "rollout_workload.pool.stable"),
    ({"rollout_workload": pool(stable="one", canary=None)}, "rollout_workload.pool"),
    ({"rollout_workload": pool(version_from={"http": "a", "file": "b"})}, "rollout_workload.pool.version_from"),
    ({"rollout_workload": pool(version_from={"command": "ls"})}, "rollout_workload.pool.version_from.command"),
    # steps
    (steps({"set_weight": 101}), "rollout_steps[0].set_weight"),
    (steps({"set_weight": -1}), "rollout_steps[0].set_weight"),
    (steps({"set_weight": 5}, {"set_weight": "half"}), "rollout_steps[1].set_weight"),
    (steps({"set_weight": None}), "rollout_steps[0]"),
    (steps({"set_weight": 50}, {"set_weight": 20}), "rollout_steps[1].set_weight", "never fall"),
    (steps({"set_weight": [5]}), "rollout_steps[0].set_weight"),
    (steps({"set_weight": math.nan}), "rollout_steps[0].set_weight"),
    (steps({"set_weight": True}), "rollout_steps[0].set_weight"),
    (steps({"set_wieght": 5}), "rollout_steps[0].set_wieght", "Did you mean set_weight?"),
    (steps({"set_weight": 5, "bake": {}}), "rollout_steps[0]", "exactly one"),
    (steps("set_weight"), "rollout_steps[0]"),
    (steps({}), "rollout_steps[0]"),
    (steps(5), "rollout_steps[0]"),
    (steps(None), "rollout_steps[0]"),
    ({"rollout_steps": {"set_weight": 5}}, "rollout_steps", "expected a list"),
    ({"rollout_steps": "set_weight: 5"}, "rollout_steps"),
    (steps({"setWeight": 5, "set_weight": 6}), "rollout_steps[0]", "given twice"),
    (steps({"bake": {}}), "rollout_steps[0].bake", "duration is missing"),
    (steps({"bake": "5m"}), "rollout_steps[0].bake"),
    (steps({"bake": {"duration": -5}}), "rollout_steps[0].bake.duration"),
    (steps({"bake": {"duration": "5 minutes"}}), "rollout_steps[0].bake.duration"),
    (steps({"bake": {"duration": "9999h"}}), "rollout_steps[0].bake.duration"),
    (steps({"bake": {"duration": math.inf}}), "rollout_steps[0].bake.duration"),
    (steps({"bake": {"duration": 1e300}}), "rollout_steps[0].bake.duration"),
    (steps({"bake": {"duraton": 5}}), "rollout_steps[0].bake", "Did you mean duration?"),
    (steps({"bake": {"duration": [5]}}), "rollout_steps[0].bake.duration"),
    (steps({"pause": {"timeout": "x"}}), "rollout_steps[0].pause.timeout"),
    (steps({"pause": {"on_timeout": "go"}}), "rollout_steps[0].pause.on_timeout"),
    (steps({"gate": {}}), "rollout_steps[0].gate", "name is missing"),
    (steps({"gate": {"name": "a b"}}), "rollout_steps[0].gate.name"),
    (steps({"gate": {"name": "a"}}, {"gate": {"name": "a"}}), "rollout_steps", "'a'"),
    (steps({"gate": "half"}), "rollout_steps[0].gate"),
    (steps({"hook": {"name": "a"}}), "rollout_steps[0]", "tasks and role"),
    (steps({"hook": {"tasks": "a.yml"}}), "rollout_steps[0].hook", "name is missing"),
    (steps({"hook": {"name": "a", "tasks": "b", "failure": "explode"}}), "rollout_steps[0].hook.failure"),
    (steps({"set_header_route": {"match": []}}), "rollout_steps[0].set_header_route", "name is missing"),
    (steps({"set_weight": 5}, {"set_header_route": {"name": "q", "match": [{}]}}), "rollout_steps[1].set_header_route.match[0]"),
    (steps({"set_header_route": {"name": "q", "match": [{"header_name": "x"}]}}), "rollout_steps[0].set_header_route.match[0]"),
    (steps({"set_header_route": {"name": "q", "match": [{"header_value": {"exact": "x"}}]}}), "match[0]"),
    (steps({"set_header_route": {"name": "q", "match": [{"header_name": "x", "header_value": {"exact": "a", "regex": "b"}}]}}), "match[0]"),
    (steps({"set_header_route": {"name": "q", "match": {"header_name": "x"}}}), "set_header_route.match"),
    (steps({"set_header_route": {"name": "q", "match": [{"headr_name": "x"}]}}), "match[0]", "Did you mean header_name?"),
    (steps({"set_mirror_route": {}}), "rollout_steps[0].set_mirror_route"),
    (steps({"set_mirror_route": {"percentage": 200}}), "set_mirror_route.percentage"),
    # strategies
    (strategy("canary", step_weight=0), "rollout_canary.step_weight"),
    (strategy("canary", step_weight=5, max_weight=0), "rollout_canary.max_weight"),
    (strategy("canary", step_weight=0.001), "rollout_canary.step_weight"),
    (strategy("canary", step_weights=[50, 20]), "rollout_canary.step_weights[1]"),
    (strategy("canary", step_weights=[500]), "rollout_canary.step_weights[0]"),
    (strategy("canary", step_wieght=5), "rollout_canary", "Did you mean step_weight?"),
    (strategy("canary", bake=-1), "rollout_canary.bake"),
    ({"rollout_canary": []}, "rollout_canary"),
    ({"rollout_canary": "x"}, "rollout_canary"),
    (strategy("blue_green"), "rollout_workload.pool", "cannot carry"),
    (strategy("blue_green", auto_promotion_enabled="perhaps"), "rollout_blue_green"),
    (strategy("blue_green", post_promotion_bake="long"), "rollout_blue_green.post_promotion_bake"),
    (strategy("rolling", preset="brave"), "rollout_rolling.preset"),
    (strategy("rolling", max_unavailable=0, max_surge=0), "rollout_rolling", "both 0"),
    (strategy("rolling", max_unavailable=-1), "rollout_rolling.max_unavailable"),
    (strategy("rolling", max_unavailable="x"), "rollout_rolling.max_unavailable"),
    (strategy("rolling", batches=["x"]), "rollout_rolling.batches[0]"),
    (strategy("rolling", batches=5), "rollout_rolling.batches"),
    (strategy("rolling", min_healthy=3), "rollout_rolling.min_healthy"),
    (strategy("rolling", min_healthy="200%"), "rollout_rolling.min_healthy"),
    (strategy("rolling", ramp=[50, 25]), "rollout_rolling.ramp[1]"),
    (strategy("rolling", ramp=[0]), "rollout_rolling.ramp[0]"),
    (strategy("rolling", max_failed=-1), "rollout_rolling.max_failed"),
    (strategy("rolling", on_failure="cry"), "rollout_rolling.on_failure"),
    ({**strategy("rolling"), "rollout_workload": pool(stable="one", canary=None)}, "rollout_workload.pool", "one host"),
    (strategy("ab_test", share=120), "rollout_ab_test.share"),
    (strategy("ab_test", max_duration="-1h"), "rollout_ab_test.max_duration"),
    # analysis and health
    ({"rollout_analysis": "nothing"}, "rollout_analysis"),
    ({"rollout_analysis": []}, "rollout_analysis"),
    ({"rollout_analysis": {}}, "rollout_analysis"),
    ({"rollout_analysis": {"metrics": "x"}}, "rollout_analysis.metrics"),
    ({"rollout_analysis": {"metrics": [5]}}, "rollout_analysis.metrics[0]"),
    ({"rollout_analysis": {"metircs": []}}, "rollout_analysis", "Did you mean metrics?"),
    ({"rollout_analysis": {"provider": {"prom": {}}}}, "rollout_analysis.provider.prom"),
    (metric(name=None), "rollout_analysis.metrics[0]", "name is missing"),
    (metric(failure_condition="result >"), "metrics[0].failure_condition"),
    (metric(failure_condition=None, builtin="request_rate"), "metrics[0]", "good value"),
    (metric(query="x"), "metrics[0]", "either query or builtin"),
    (metric(interval="0s"), "metrics[0]", "interval of 0"),
    (metric(count=3), "metrics[0]", "needs an interval"),
    (metric(count=-1), "metrics[0].count"),
    (metric(max_ratio=math.nan), "metrics[0].max_ratio"),
    (metric(max_ratio=-1), "metrics[0]", "max_ratio"),
    (metric(quantile=2), "metrics[0].quantile"),
    (metric(threshold_range={"min": 5, "max": 1}), "metrics[0]", "above max"),
    (metric(threshold_range={"min": ".nan"}), "metrics[0].threshold_range.min"),
    (metric(failureLimit=1, failure_limit=2), "metrics[0]", "given twice"),
    (metric(builtin="eror_rate"), "metrics[0].builtin", "Did you mean error_rate?"),
    ({"rollout_health": {}}, "rollout_health", "exactly one"),
    ({"rollout_health": {"http": {"url": "http://x"}, "tcp": {}}}, "rollout_health"),
    ({"rollout_health": {"tcp": {"port": 0}}}, "rollout_health.tcp.port"),
    ({"rollout_health": {"tcp": {}, "retries": 0}}, "rollout_health.retries"),
    ({"rollout_health": {"command": {"argv": []}}}, "rollout_health.command.argv"),
    ({"rollout_health": "tcp"}, "rollout_health"),
    ({"rollout_health": {"tcp": {}, "interval": 0}}, "rollout_health"),
    ({"rollout_health": {"tcp": {}, "max_failed": "all"}}, "rollout_health.max_failed"),
    ({"rollout_verify": {"checks": {"tpc": {}}}}, "rollout_verify.checks", "Did you mean tcp?"),
    ({"rollout_verify": {"targets": []}}, "rollout_verify.targets"),
    ({"rollout_verify": {"targets": {"shop": "shop.example"}}}, "rollout_verify.checks", "nobody is asked anything"),
    ({"rollout_verify": {"checks": {"http": {"url": "https://shop.example/health"}}}}, "rollout_verify.targets", "Give it too"),
    ({"rollout_verify": {"targets": {"shop": "shop.example/health"}}}, "rollout_verify.targets", "neither a host name nor an IP address"),
    # hooks, and the rest
    ({"rollout_hooks": {"before": []}}, "rollout_hooks"),
    ({"rollout_hooks": []}, "rollout_hooks"),
    ({"rollout_hooks": {"on_abort": {}}}, "rollout_hooks.on_abort"),
    ({"rollout_hooks": {"before_rollout": [{"name": "a"}]}}, "rollout_hooks.before_rollout[0]", "tasks and role"),
    ({"rollout_hooks": {"on_abort": [{"name": "a", "tasks": "x", "role": "y"}]}}, "rollout_hooks.on_abort[0]"),
    ({"rollout_hooks": {"before_rollout": [{"tasks": "a"}]}}, "rollout_hooks.before_rollout[0]"),
    ({"rollout_store": {"fiel": {}}}, "rollout_store.fiel", "Did you mean file?"),
    ({"rollout_store": []}, "rollout_store"),
    ({"rollout_wait": "yes"}, "rollout_wait"),
    ({"rollout_sequence": "new"}, "rollout_sequence"),
    ({"rollout_sequence": 1.5}, "rollout_sequence"),
    ({"rollout_sequence": datetime.date(2026, 1, 1)}, "rollout_sequence"),
    ({"rollout_abort": "now"}, "rollout_abort"),
    ({"rollout_force": "si"}, "rollout_force"),
    ({"rollout_allow_overload": 7}, "rollout_allow_overload"),
    ({"rollout_drain_timeout": "-1s"}, "rollout_drain_timeout"),
    ({"rollout_propagation_timeout": {}}, "rollout_propagation_timeout"),
    ({"rollout_measure": {"tolerance": 101}}, "rollout_measure.tolerance"),
    ({"rollout_measure": {"min_requests": 0}}, "rollout_measure.min_requests"),
    ({"rollout_lease": {"ttl": "never"}}, "rollout_lease.ttl"),
    ({"rollout_lease": {"tl": 5}}, "rollout_lease", "Did you mean ttl?"),
    ({"rollout_report": {"formats": ["pdf"]}}, "rollout_report.formats[0]"),
    ({"rollout_report": {"formats": "html"}}, "rollout_report.formats"),
    ({"rollout_url_allow": "x"}, "rollout_url_allow"),
    ({"rollout_coordinator": []}, "rollout_coordinator"),
    ({"rollout_on_interrupt": "die"}, "rollout_on_interrupt"),
    ({"rollout_reason": {}}, "rollout_reason"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case[1]}-{BAD.index(case)}")
def test_a_bad_file_names_the_path(case):
    change, *words = case
    with pytest.raises(ConfigError) as caught:
        plan_of({key: value for key, value in change.items() if key not in ("rollout_recreate",)})
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_there_are_enough_bad_files():
    assert len(BAD) >= 120


def bomb(kind):
    value = ["x"]
    for _level in range(12 if kind == "wide" else 0):
        value = [value] * 10
    if kind == "deep":
        for _level in range(5000):
            value = [value]
    if kind == "circle":
        value.append(value)
    return value


@pytest.mark.parametrize("kind", ["wide", "deep", "circle"])
@pytest.mark.parametrize("name", ["rollout_steps", "rollout_analysis", "rollout_workload", "rollout_reason"])
def test_aliases_that_explode_are_refused_at_once(name, kind):
    with pytest.raises(ConfigError, match=name):
        read({**GOOD, name: bomb(kind)})


def test_a_missing_tasks_file_names_every_place_looked_in(tmp_path):
    with pytest.raises(ConfigError, match=rf"rollout_workload\.pool\.deploy\.tasks.*{tmp_path}/deploy\.yml"):
        located(read(GOOD), [str(tmp_path)])
    (tmp_path / "deploy.yml").write_text("[]")
    assert located(read(GOOD), [str(tmp_path)])["workload"]["pool"]["deploy"]["tasks"] == str(tmp_path / "deploy.yml")


WORDS = sorted(
    {
        "pool",
        "stable",
        "canary",
        "deploy",
        "tasks",
        "role",
        "release_dir",
        "haproxy",
        "envoy",
        "memory",
        "endpoints",
        "backend",
        "set_weight",
        "bake",
        "pause",
        "gate",
        "duration",
        "name",
        "hook",
        "match",
        "metrics",
        "provider",
        "builtin",
        "query",
        "count",
        "interval",
        "http",
        "tcp",
        "command",
        "argv",
        "file",
        "checks",
        "targets",
        "before_rollout",
        "on_abort",
        "set_header_route",
        "set_mirror_route",
        "percentage",
        "analysis",
        "ttl",
        "formats",
        "batches",
        "ramp",
        "failure_condition",
    }
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["5m", "10 %", "none", "web", "canary", "x.yml", "result > 1"]),
    st.sampled_from(WORDS),
    st.dates(),
    st.binary(max_size=3),
    st.integers(10**70, 10**71),
)
nested = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.integers(), inner, max_size=3), max_leaves=10
)


@bounded(150)
@given(st.sampled_from(sorted(SPEC)), nested)
def test_junk_in_any_variable_is_refused_or_fits(name, value):
    with contextlib.suppress(ConfigError):
        plan_of({name: value})


@bounded(150)
@given(st.dictionaries(st.sampled_from(sorted(SPEC)), nested, max_size=4), st.lists(st.dictionaries(st.sampled_from(WORDS), nested, max_size=2), max_size=3))
def test_junk_in_many_places_is_refused_or_fits(values, junk_steps):
    with contextlib.suppress(ConfigError):
        plan_of({**values, "rollout_steps": junk_steps})


@pytest.mark.parametrize("change", [
    {"rollout_router": {"memorie": {}}}, {"rollout_router": {}}, {"rollout_store": {"memori": {}}}, {"rollout_workload": {"memorie": {}}},
    {"rollout_analysis": {"provider": {"memry": {}}, "metrics": [METRIC]}},
])
def test_what_is_for_tests_is_offered_to_nobody(change):
    with pytest.raises(ConfigError) as refused:
        read({**GOOD, **change})
    offered = str(refused.value).lower().partition("nown: ")[2]
    assert offered and "memory" not in offered and "Did you mean" not in str(refused.value)


def test_what_is_not_offered_works_all_the_same():
    spec = read({**GOOD, "rollout_strategy": "ab_test", "rollout_router": "memory", "rollout_store": "memory"})
    assert (spec["strategy"], [*spec["router"]], [*spec["store"]]) == ("ab_test", ["memory"], ["memory"])
