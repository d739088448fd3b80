# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of the guide's snippets, and where the release in a snippet's place has them: nobody changes a release away from the guide by accident.

Snippets are numbered as in docs/guide-coverage.md. Values are those that the product reads, defaults included; durations are in seconds.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.options import check
from ansible_collections.progressive.delivery.plugins.module_utils.core.presets import PRESETS
from ansible_collections.progressive.delivery.plugins.module_utils.core.rollout import PRESETS as ROLLING
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import duration
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build, release_file
from ansible_collections.progressive.delivery.tests.unit.guide.rehearsal import EXAMPLES, example
from ansible_collections.progressive.delivery.tests.unit.test_guide_coverage import SNIPPETS

BLUE_GREEN, ROLLING_FILE = "releases/kubernetes-blue-green.yml", "releases/kubernetes-rolling.yml"
ISTIO, GATEWAY, REPLICAS = (f"releases/kubernetes-canary-{name}.yml" for name in ("istio", "gateway", "replicas"))
WATCH, SESSIONS = "releases/kubernetes-watch-rollback.yml", "releases/kubernetes-canary-sessions.yml"
PIPELINE, AB_TEST, ZERO_DOWNTIME, ROLLBACK = (
    f"gitlab/{name}.yml" for name in ("canary/canary", "ab-test/ab-test", "zero-downtime/zero-downtime", "rollback/rollback")
)

NUMBERS: list[tuple[int, str, str, Any]] = [
    (3, BLUE_GREEN, "blue_green.auto_promotion_enabled", False),  # when: manual
    (3, "pool/blue-green.yml", "blue_green.auto_promotion_enabled", False),
    *((5, path, f"health.{key}", value) for path in (BLUE_GREEN, "pool/blue-green.yml") for key, value in (("interval", 10), ("retries", 30))),
    (7, ROLLING_FILE, "rolling.max_unavailable", "1"),
    (7, ROLLING_FILE, "rolling.max_surge", "1"),
    (7, ROLLING_FILE, "deploy_timeout", 600),  # kubectl rollout status --timeout=600s
    (7, ROLLING_FILE, "health.interval", 10),  # sleep 10
    (13, ISTIO, "steps[0].set_header_route.match[0].header_name", "canary"),
    (13, ISTIO, "steps[0].set_header_route.match[0].header_value.exact", "true"),
    (13, ISTIO, "steps[1].set_weight", 5),
    *((13, path, "analysis.metrics[0].failure_condition", "result > 0.01") for path in (ISTIO, GATEWAY, PIPELINE, "pool/haproxy.yml", "pool/envoy-canary.yml")),
    *((14, path, "canary.step_weights", [5, 20, 50, 100]) for path in ("pool/haproxy.yml", "pool/envoy-canary.yml")),
    *((14, path, "canary.bake", 300) for path in ("pool/haproxy.yml", "pool/envoy-canary.yml")),
    *((15, path, f"analysis.metrics[{index}].builtin", name) for path in (ISTIO, GATEWAY) for index, name in enumerate(("error_rate", "latency", "memory"))),
    *((15, path, "analysis.metrics[1].quantile", 0.95) for path in (ISTIO, GATEWAY)),
    (17, "releases/ab-test.yml", "ab_test.share", 50),  # 50/50 by chance
    (17, AB_TEST, "ab_test.assignment.hash.cookie", "user_id"),
    (18, AB_TEST, "ab_test.share", 40),  # 60/40
    (18, AB_TEST, "ab_test.rules[0].variant", "a"),
    (18, AB_TEST, "ab_test.rules[0].match[0].header_value.exact", "vip"),
    (18, AB_TEST, "ab_test.rules[1].variant", "b"),
    (18, AB_TEST, "ab_test.rules[1].match[0].header_value.exact", "new"),
    (22, SESSIONS, "router.istio.affinity.cookie.ttl", 3600),
    (23, WATCH, "deploy_timeout", 300),
    (23, WATCH, "health.interval", 10),
    (23, WATCH, "rolling.monitor", 300),  # 30 looks
    (23, WATCH, "health.max_failed", "1"),  # FAILED_PODS -gt 1
    *((23, ROLLBACK, key, value) for key, value in (("health.interval", 10), ("rolling.monitor", 300))),
    (24, ROLLBACK, "watch.duration", 600),
    (24, ROLLBACK, "watch.interval", 10),  # 60 looks
    (24, ROLLBACK, "analysis.metrics[0].baseline", "before"),
    (24, ROLLBACK, "analysis.metrics[0].max_ratio", 2),
    (24, ROLLBACK, "analysis.metrics[1].baseline", "before"),
    (24, ROLLBACK, "analysis.metrics[1].max_ratio", 1.5),
    (24, ROLLBACK, "analysis.metrics[1].quantile", 0.95),
    *((26, path, f"verify.checks.{key}", 10) for path in (WATCH, ROLLBACK) for key in ("interval", "retries")),
]  # fmt: skip


def read(path: str) -> dict[str, Any]:
    return release_file.read({name: value for name, value in example(path).items() if name.startswith("rollout_")})


def value(spec: Any, key: str) -> Any:
    for part in re.findall(r"\w+", key):
        spec = spec[int(part)] if isinstance(spec, list) else spec[part]
    return spec


@pytest.mark.parametrize(("snippet", "path", "key", "wanted"), NUMBERS)
def test_a_release_keeps_the_number_of_its_snippet(snippet: int, path: str, key: str, wanted: Any) -> None:
    assert 1 <= snippet <= sum(SNIPPETS.values())
    found = value(read(path), key)
    timed = isinstance(found, str) and isinstance(wanted, int) and not isinstance(wanted, bool)
    assert (duration(found) if timed else found) == wanted


@pytest.mark.parametrize("path", [ISTIO, GATEWAY, REPLICAS, PIPELINE])
def test_a_canary_takes_the_guides_shares_bakes_and_manual_jobs_in_its_order(path: str) -> None:
    """Snippet 14: 5 % and 20 % by themselves, five minutes each; a person before half, and before all of it."""
    told: list[Any] = []
    for step in read(path)["steps"]:
        [(kind, inner)] = step.items()
        told += {
            "set_weight": [float(inner) if kind == "set_weight" else 0],
            "bake": ["5m"] if kind == "bake" and duration(inner["duration"]) == 300 else ["?"],
            "gate": ["manual"],
        }.get(kind, [])
    wanted = [5, "5m", 20, "5m", "manual", 50, "5m", "manual", 100]
    assert told[: len(wanted)] == wanted and told[len(wanted) :] in ([], ["5m"])


def test_the_presets_of_a_rolling_update() -> None:
    """Snippet 10."""
    assert dict(ROLLING) == {"conservative": (0, 1), "fast": ("50%", "50%"), "balanced": ("25%", "25%")}
    assert value(read("releases/kubernetes-zero-downtime.yml"), "rolling.preset") == "conservative"


def test_the_preset_of_the_watch() -> None:
    """Snippet 24: twice the errors and one and a half times the p95 of the half hour before, for ten minutes, every ten seconds."""
    errors, p95 = build.metrics({"preset": "guide", "provider": {"prometheus": {"url": "http://prometheus:9090"}}})
    assert [metric["name"] for metric in PRESETS["guide"]] == ["error-rate", "p95"]
    assert (errors.builtin, errors.max_ratio, errors.baseline_window) == ("error_rate", 2, 1800)
    assert (p95.builtin, p95.quantile, p95.max_ratio, p95.baseline_window) == ("latency", 0.95, 1.5, 1800)
    errors, p95 = build.metrics({"preset": "guide_before", "provider": {"prometheus": {"url": "http://prometheus:9090"}}})
    assert (errors.builtin, errors.max_ratio, errors.baseline, errors.baseline_window) == ("error_rate", 2, "before", 1800)
    assert (p95.builtin, p95.quantile, p95.max_ratio, p95.baseline, p95.baseline_window) == ("latency", 0.95, 1.5, "before", 1800)
    watch = check({}, release_file.SPEC["rollout_watch"], "rollout_watch")
    assert duration(watch["duration"]) == 600 and duration(release_file.ANALYSIS["interval"].default) == 10


def test_the_deployment_of_zero_downtime() -> None:
    """Snippets 11 and 20. A start of up to a minute is the startup probe's, where the guide has the others wait for it."""
    manifest = yaml.safe_load((EXAMPLES / "releases" / "zero-downtime-deployment.yaml").read_text(encoding="utf-8"))
    assert manifest["spec"]["replicas"] == 3
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    live, ready, start = (container[f"{name}Probe"] for name in ("liveness", "readiness", "startup"))
    assert (live["httpGet"]["path"], live["periodSeconds"], live["timeoutSeconds"], live["failureThreshold"]) == ("/health", 10, 5, 3)
    assert (ready["httpGet"]["path"], ready["periodSeconds"], ready["timeoutSeconds"], ready["failureThreshold"]) == ("/ready", 5, 3, 2)
    assert start["periodSeconds"] * start["failureThreshold"] == 60
    # The guide sleeps for 15 s whether anybody is left or not; the drain page is done when nobody is, and after 15 s.
    assert container["lifecycle"]["preStop"]["httpGet"]["path"] == "/drain?wait=15s"
    assert manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 15


def test_the_migration_of_the_database() -> None:
    """Snippet 21, by its own names: a column with a default, an index that nobody waits for; and what the guide has commented out."""
    [expand, contract] = example(ZERO_DOWNTIME)["database_migration_migrations"]
    assert expand["statements"] == [
        "ALTER TABLE users ADD COLUMN new_field varchar(255) DEFAULT 'default_value'",
        "CREATE INDEX CONCURRENTLY idx_users_new_field ON users (new_field)",
    ]
    assert (contract["phase"], contract["statements"]) == ("contract", ["ALTER TABLE users DROP COLUMN old_field"])


def test_the_conversions_are_counted_as_the_guide_counts_them() -> None:
    """Snippet 19."""
    for path in ("releases/ab-test.yml", AB_TEST):
        conversion = value(read(path), "ab_test.conversion")
        assert "conversion_events_total" in conversion["query"] and "page_views_total" in conversion["total_query"], path


def test_what_is_asked_after_a_rollback() -> None:
    """Snippets 25 and 26."""
    assert value(read(WATCH), "verify.checks.http.url").endswith("/health")
    assert value(read(ROLLBACK), "verify.checks.http.url").endswith("/api/test")
    assert value(read(ROLLBACK), "notify[0].slack.username") == "GitLab CI/CD"
    assert "rollout_to_revision=1 " in (EXAMPLES / WATCH).read_text(encoding="utf-8")
