# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The overlay with which the suites on real parts shorten a release changes durations and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.units import duration
from ansible_collections.progressive.delivery.tests.guide.overlay import EXAMPLES, beyond, changed, leaves, overlaid, shortened

RELEASES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yml") if "rollout_name:" in path.read_text(encoding="utf-8"))
ISTIO = "releases/kubernetes-canary-istio.yml"


def release(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / path).read_text(encoding="utf-8"))
    return found


def plain(value: Any) -> Any:
    """The value with every duration taken out of it."""
    gone = {path for path, _value, is_duration in leaves(value) if is_duration}
    return changed(value, lambda path, item: None if path in gone else item)


@pytest.mark.parametrize("path", RELEASES)
def test_a_shortened_release_is_the_release_but_for_its_durations_none_of_which_is_longer(path: str) -> None:
    given = release(path)
    made = shortened(given)
    assert plain(made) == plain(given) and beyond(given, made) == []
    before = {place: value for place, value, is_duration in leaves(given) if is_duration}
    after = {place: value for place, value, is_duration in leaves(made) if is_duration}
    assert before.keys() == after.keys()
    assert all(duration(after[place]) <= duration(before[place]) for place in before)


def test_the_durations_of_a_release_are_found_wherever_they_stand() -> None:
    found = {path: value for path, value, is_duration in leaves(release(ISTIO)) if is_duration}
    assert found == {
        "rollout_steps[2].bake.duration": "5m", "rollout_steps[4].bake.duration": "5m", "rollout_steps[5].gate.timeout": "4h",
        "rollout_steps[7].bake.duration": "5m", "rollout_steps[8].gate.timeout": "4h", "rollout_steps[10].bake.duration": "5m",
        "rollout_analysis.interval": "30s", "rollout_analysis.provider.prometheus.scrape_interval": "15s",
    }  # fmt: skip
    found = {path: value for path, value, is_duration in leaves(release("releases/kubernetes-watch-rollback.yml")) if is_duration}
    assert found == {
        "rollout_deploy_timeout": "300s",
        "rollout_health.interval": "10s",
        "rollout_rolling.monitor": "5m",
        "rollout_verify.checks.interval": "10s",
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rollout_analysis": "none"}, "rollout_analysis"),
        ({"rollout_health": {"retries": 3}}, "rollout_health.retries"),
        ({"rollout_steps": [{"set_weight": 50}]}, "rollout_steps[0].set_weight"),
        ({"rollout_strategy": "blue_green"}, "rollout_strategy"),
        ({"rollout_allow_few_requests": True}, "rollout_allow_few_requests"),
    ],
)
def test_an_overlay_that_changes_a_share_a_bound_or_a_number_of_looks_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(AssertionError) as refused:
        overlaid(ISTIO, **changes)
    assert named in str(refused.value)


def test_an_overlay_may_say_where_things_are_and_how_long_they_take() -> None:
    router = {"istio": {"virtual_service": "shop", "envoys": [{"admin": "http://127.0.0.1:9901"}]}}
    made = overlaid(ISTIO, rollout_kubernetes={"kubeconfig": "/tmp/config", "namespace": "test"}, rollout_router=router, rollout_scale_down_delay="2s")
    assert made["rollout_steps"][2] == {"bake": {"duration": "3s"}} and made["rollout_scale_down_delay"] == "2s"
