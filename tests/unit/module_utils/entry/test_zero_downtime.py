# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workload lacks, what is added, and what stays as somebody made it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, PDBS
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import zero_downtime
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

BARE: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "shop"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"app": "shop"}}, "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [
            {"name": "app", "image": "registry.test/app:1", "env": [{"name": "A", "value": "1"}]}, {"name": "side", "image": "registry.test/side:1"}]}}}}
WANTED: dict[str, Any] = {"readiness": {"path": "/ready", "port": "8080"}, "liveness": {"path": "/health", "port": 8080}, "pre_stop": {"sleep": 20},
                          "pdb": {"max_unavailable": "1"}}


def look(kube: FakeKube, *, check_mode: bool = False, **options: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    params = {**{name: option.default for name, option in zero_downtime.OPTIONS.items()}, "name": "shop", **options}
    return zero_downtime.looked(kube, params, Context(FakeClock(), said.append, check_mode=check_mode)), said  # type: ignore[arg-type]


@pytest.fixture
def kube() -> FakeKube:
    made = FakeKube()
    made.put(DEPLOYMENTS, deepcopy(BARE))
    return made


def live(kube: FakeKube) -> dict[str, Any]:
    found = kube.get(DEPLOYMENTS, "shop")
    assert found is not None
    return found


def test_a_bare_deployment_lacks_everything_and_looking_changes_nothing(kube: FakeKube) -> None:
    before = live(kube)
    found, said = look(kube, **WANTED)
    assert not found["changed"]
    assert [next(word for word in ("readinessProbe", "preStop", "PodDisruptionBudget", "livenessProbe") if word in line) for line in found["findings"]] == \
        ["readinessProbe", "preStop", "PodDisruptionBudget", "livenessProbe"]
    assert found["remaining"] == []
    assert all(line.endswith("(would be added)") for line in said)
    assert live(kube) == before
    assert kube.list(PDBS) == []
    assert found["diff"]["before"] != found["diff"]["after"]


def test_what_was_asked_for_is_added_and_nothing_else_changes(kube: FakeKube) -> None:
    checked, _said = look(kube, apply=True, check_mode=True, **WANTED)
    assert checked["changed"]
    assert kube.list(PDBS) == []
    done, _said = look(kube, apply=True, **WANTED)
    assert done["changed"]
    assert done["after"] == checked["after"]
    spec = live(kube)["spec"]["template"]["spec"]
    app, side = spec["containers"]
    assert app["readinessProbe"] == {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2}
    assert app["livenessProbe"]["httpGet"] == {"path": "/health", "port": 8080}
    assert app["lifecycle"] == {"preStop": {"sleep": {"seconds": 20}}}
    assert spec["terminationGracePeriodSeconds"] == 35, "the sleep and 15 seconds to end"
    assert app["env"] == [{"name": "A", "value": "1"}]
    assert side == BARE["spec"]["template"]["spec"]["containers"][1]
    [pdb] = kube.list(PDBS)
    assert pdb["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "shop"}}}
    again, said = look(kube, apply=True, **WANTED)
    assert not again["changed"]
    assert again["findings"] == said == []


def test_what_somebody_decided_stays(kube: FakeKube) -> None:
    def decided(manifest: dict[str, Any]) -> None:
        spec = manifest["spec"]["template"]["spec"]
        spec["terminationGracePeriodSeconds"] = 120
        spec["containers"][0]["readinessProbe"] = {"exec": {"command": ["true"]}}
        spec["containers"][0]["lifecycle"] = {"preStop": {"httpGet": {"path": "/drain", "port": 1}}, "postStart": {"exec": {"command": ["true"]}}}

    kube.edit(DEPLOYMENTS, "shop", decided)
    kube.create(PDBS, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "mine"}, "spec": {"minAvailable": 1, "selector": {
        "matchLabels": {"app": "shop"}}}})
    look(kube, apply=True, **WANTED)
    spec = live(kube)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 120
    assert spec["containers"][0]["readinessProbe"] == {"exec": {"command": ["true"]}}
    assert spec["containers"][0]["lifecycle"] == {"preStop": {"httpGet": {"path": "/drain", "port": 1}}, "postStart": {"exec": {"command": ["true"]}}}
    assert [pdb["metadata"]["name"] for pdb in kube.list(PDBS)] == ["mine"]


def test_budgets_that_may_not_be_read_are_neither_judged_nor_made(kube: FakeKube) -> None:
    kube.forbid("list", "poddisruptionbudgets")
    found, _said = look(kube, apply=True, **WANTED)
    assert not any("PodDisruptionBudget" in line for line in found["findings"])


@pytest.mark.parametrize("change, line", [
    ({"livenessProbe": {"httpGet": {"path": "/x", "port": 1}, "initialDelaySeconds": 60}}, "livenessProbe waits 60 s after each start"),
    ({"livenessProbe": {"httpGet": {"path": "/x", "port": 1}}, "readinessProbe": {"httpGet": {"path": "/x", "port": 1}}}, "ask the same page"),
    ({"lifecycle": {"preStop": {"sleep": {"seconds": 45}}}}, "preStop sleeps 45 s, and the Pod is killed after 30 s"),
])
def test_what_is_there_and_wrong_is_said(kube: FakeKube, change: dict[str, Any], line: str) -> None:
    kube.edit(DEPLOYMENTS, "shop", lambda manifest: manifest["spec"]["template"]["spec"]["containers"][0].update(change))
    found, _said = look(kube)
    assert any(line in finding for finding in found["findings"])


@pytest.mark.parametrize("options, where", [
    ({"pre_stop": {}}, None), ({"pre_stop": {"sleep": 5, "path": "/drain", "port": 1}}, "pre_stop"), ({"pre_stop": {"path": "/drain"}}, "pre_stop"),
    ({"readiness": {"path": "ready", "port": 1}}, "readiness.path"), ({"readiness": {"path": "/ready", "port": "0"}}, "readiness.port"),
    ({"readiness": {"path": "/ready", "port": "a b"}}, "readiness.port"), ({"container": "nope"}, ""), ({"name": "nope"}, None),
])
def test_bad_options_are_refused_before_anything_is_written(kube: FakeKube, options: dict[str, Any], where: Any) -> None:
    before = live(kube)
    if options == {"pre_stop": {}}:
        assert not look(kube, apply=True, **options)[0]["changed"]
        return
    with pytest.raises(ConfigError) as caught:
        look(kube, apply=True, **options)
    assert where is None or caught.value.where == where
    assert live(kube) == before
