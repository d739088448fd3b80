# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release files with one thing wrong, given to the playbook as a user would: one clear line, not zero, and nothing written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, Site
from ansible_collections.progressive.delivery.tests.ports import closed_port

Release = dict[str, Any]


def setting(path: str, value: Any) -> Callable[[Release], None]:
    """Set `rollout_router.memory.path`-like paths; numbers are places in lists."""
    def change(release: Release) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        inner: Any = release
        for part in parents:
            inner = inner[part] if isinstance(part, int) else inner.setdefault(part, {})
        inner[last] = value
    return change


def analysis(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(ANALYSIS), **changes}


def metric(**changes: Any) -> dict[str, Any]:
    made = analysis()
    made["metrics"][0] = {key: value for key, value in {**made["metrics"][0], **changes}.items() if value is not None}
    return made


NOWHERE = f"http://127.0.0.1:{closed_port()}"

WRONG: dict[str, tuple[Callable[[Release], None], tuple[str, ...]]] = {
    # what is wrong: (how, what the one line must hold)
    "variable": (setting("rollout_stratgy", "canary"), ("rollout_stratgy", "Did you mean rollout_strategy?", "shop.yml:")),
    "strategy": (setting("rollout_strategy", "canry"), ("rollout_strategy", "Did you mean canary?", "shop.yml:")),
    "router": (setting("rollout_router", {"haproxi": {}}), ("rollout_router.haproxi: unknown router", "Did you mean haproxy?", "shop.yml:")),
    "two routers": (setting("rollout_router.envoy", {"endpoints": []}), ("rollout_router", "exactly one router")),
    "router option": (setting("rollout_router.memory.paht", "x"), ("rollout_router.memory", "Did you mean path?")),
    "router missing": (setting("rollout_router", None), ("rollout_router", "Name the router")),
    "store": (setting("rollout_store", {"flie": {}}), ("rollout_store.flie", "Did you mean file?")),
    "store elsewhere": (setting("rollout_store.file.directory", "relative/state"), ("relative/state", "not an absolute path")),
    "no name": (setting("rollout_name", None), ("rollout_name is missing",)),
    "no workload": (setting("rollout_workload", None), ("rollout_workload is missing",)),
    "no version": (setting("rollout_version", ""), ("rollout_version is empty",)),
    "falling weights": (setting("rollout_canary.step_weights", [50, 20, 100]), ("20 after 50", "never fall", "abort")),
    "falling steps": (setting("rollout_steps", [{"set_weight": 50}, {"set_weight": 20}]), ("rollout_steps[1].set_weight", "20 after 50", "shop.yml:")),
    "weight 101": (setting("rollout_steps", [{"set_weight": 101}]), ("rollout_steps[0].set_weight", "101")),
    "weight -1": (setting("rollout_steps", [{"set_weight": -1}]), ("rollout_steps[0].set_weight", "-1")),
    "weight a word": (setting("rollout_canary.step_weights", ["half"]), ("rollout_canary.step_weights[0]", "half")),
    "weight nan": (setting("rollout_canary.step_weights", [".nan"]), ("rollout_canary.step_weights[0]",)),
    "step unknown": (setting("rollout_steps", [{"set_wieght": 5}]), ("rollout_steps[0].set_wieght", "Did you mean set_weight?", "shop.yml:")),
    "steps a word": (setting("rollout_steps", "fast"), ("rollout_steps", "expected a list")),
    "duration": (setting("rollout_canary.bake", "5 parsecs"), ("rollout_canary.bake", "5 parsecs")),
    "duration negative": (setting("rollout_canary.bake", "-5s"), ("rollout_canary.bake", "-5s")),
    "group unknown": (setting("rollout_workload.pool.canary", "gren"), ("no group 'gren'", "blue, green", "shop.yml:")),
    "group empty": (setting("rollout_workload.pool.stable", "ungrouped"), ("rollout_workload.pool.stable", "has no hosts")),
    "group twice": (setting("rollout_workload.pool.canary", "blue"), ("is in both groups",)),
    "deploy missing": (setting("rollout_workload.pool.deploy", None), ("rollout_workload.pool", "deploy is missing")),
    "deploy file": (setting("rollout_workload.pool.deploy.tasks", "depoly.yml"), ("no tasks file depoly.yml", "Looked for", "/depoly.yml")),
    "deploy two ways": (setting("rollout_workload.pool.deploy.role", "mine"), ("rollout_workload.pool.deploy", "exactly one")),
    "metric without condition": (setting("rollout_analysis", metric(failure_condition=None)), ("rollout_analysis.metrics[0]", "Give a condition")),
    "metric condition": (setting("rollout_analysis", metric(failure_condition="result >")), ("rollout_analysis.metrics[0]",)),
    "metric condition evil": (setting("rollout_analysis", metric(failure_condition="result.__class__")), ("rollout_analysis.metrics[0]",)),
    "metric key": (setting("rollout_analysis", metric(failure_conditon="result > 1")), ("failure_conditon", "Did you mean failure_condition?")),
    "metric twice": (setting("rollout_analysis", analysis(metrics=[ANALYSIS["metrics"][0]] * 2)), ("'errors' is listed twice",)),
    "metrics none": (setting("rollout_analysis", analysis(metrics=[])), ("rollout_analysis.metrics", "no metric is listed")),
    "metrics server away": (
        setting("rollout_analysis", analysis(provider={"prometheus": {"url": NOWHERE}})), ("the metrics cannot be asked", "rollout_analysis: none")),
    "provider": (setting("rollout_analysis", analysis(provider={"promethius": {}})), ("Did you mean prometheus?",)),
    "hook without tasks": (setting("rollout_hooks", {"before_rollout": [{"name": "dump"}]}), ("'dump' needs exactly one of tasks and role",)),
    "hook file": (setting("rollout_hooks", {"before_rollout": [{"name": "dump", "tasks": "dmup.yml"}]}), ("rollout_hooks.before_rollout[0].tasks", "dmup.yml")),
    "hook point": (setting("rollout_hooks", {"before_rolout": []}), ("rollout_hooks", "Did you mean before_rollout?")),
    "name with ;": (setting("rollout_name", "shop; disable server b/w1"), ("rollout_name", "is not a name")),
    "name with newline": (setting("rollout_name", "shop\nshutdown"), ("rollout_name", "is not a name")),
    "name upwards": (setting("rollout_name", "../../etc/shop"), ("rollout_name", "is not a name")),
    "name of 300": (setting("rollout_name", "x" * 300), ("rollout_name", "is not a name")),
    "name look-alike": (setting("rollout_name", "sh\u043ep"), ("rollout_name", "is not a name")),
    "gate name": (setting("rollout_steps", [{"gate": {"name": "a/b"}}]), ("rollout_steps[0].gate.name", "is not a name")),
    "rolling nothing": (setting("rollout_rolling.max_unavailable", 0), ("rollout_rolling",)),
    "capability": (setting("rollout_router.memory.capabilities", []), ("only switches between 0 and 100 %",)),
    "health": (setting("rollout_health", {"htttp": {"url": "http://${address}/"}}), ("Did you mean http?",)),
    "sequence": (setting("rollout_sequence", "seven"), ("rollout_sequence", "not a whole number")),
    "lease": (setting("rollout_lease.ttl", "0s"), ("rollout_lease.ttl",)),
    "report format": (setting("rollout_report.formats", ["pdf"]), ("pdf",)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_release_file_is_one_clear_line_and_nothing_happens(site: Site, wrong: str) -> None:
    change, telling = WRONG[wrong]
    change(site.release)
    if wrong == "rolling nothing":
        site.release["rollout_strategy"] = "rolling"
        site.release["rollout_rolling"]["max_surge"] = 0
    before = site.fingerprint()
    done = site.run("rollout", "2", "-vvv" if wrong in ("router", "metric condition evil", "metrics server away") else "-v")
    assert done.status not in (0, 250), done.text
    assert len(done.failures) == 1, done.text
    for text in telling:
        assert text in done.message(), f"{text!r} is not in {done.message()!r}"
    assert "\n" not in done.message().strip()
    assert len(done.message()) < 900
    assert site.fingerprint() == before, "something was written"
    assert (done.outcome, done.code) == (("failed", 18) if wrong == "metrics server away" else ("invalid", 20))


@pytest.mark.parametrize("version", ["2; touch pwned", "$(touch pwned)", "2\ntouch pwned", "{{ lookup('pipe', 'touch pwned') }}", "../../etc"])
def test_a_hostile_version_is_refused_or_inert(site: Site, version: str, tmp_path: Path) -> None:
    site.run("rollout", version, "--check")
    assert not list(tmp_path.rglob("pwned"))


def test_a_release_nobody_began_is_said_so(site: Site) -> None:
    for playbook in ("resume", "abort", "promote", "rollback"):
        done = site.run(playbook, "2")
        assert done.status == 2 and len(done.failures) == 1, done.text
        assert not (site.folder / "state").exists()
