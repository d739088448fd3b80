# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads of Kubernetes over an API in a dict: what is written, what is not, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Answer
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_hpa import MINIMUM
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    HPAS,
    PODS,
    QUOTAS,
    STATEFULSETS,
    Resource,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core import rollout
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_template import VERSION, template_of
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Asked, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind, Plan, Step
from ansible_collections.progressive.delivery.plugins.module_utils.core.rollout import Update
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import WORKLOADS
from ansible_collections.progressive.delivery.tests.unit.kube_controllers import RESOURCES, FakeControllers, manifest

IMAGE = "registry.test/shop:${version}"


@pytest.fixture
def kube() -> FakeControllers:
    made = FakeControllers()
    made.put(DEPLOYMENTS, manifest("deployment", "shop-stable", replicas=3))
    made.put(DEPLOYMENTS, manifest("deployment", "shop-canary", replicas=0))
    return made


def workload(kube: FakeControllers, version: str = "2", kind: str = "deployment", update: Any = None, *, back: bool = False, **options: Any) -> Any:
    given = {"stable": "shop-stable", "canary": "shop-canary", "image": IMAGE, **options}
    made = WORKLOADS[kind].from_options(validate(given, WORKLOADS[kind].OPTIONS, "rollout_workload.x"), version, update, kube=kube, back=back)
    made.clock = FakeClock()
    return made


def live(kube: FakeControllers, name: str = "shop-stable", resource: Resource = DEPLOYMENTS) -> dict[str, Any]:
    found = kube.get(resource, name)
    assert found is not None
    return found


def image(kube: FakeControllers, name: str = "shop-stable") -> str:
    return str(template_of(live(kube, name))["spec"]["containers"][0]["image"])


def plan(*steps: Step, stable: str = "stable", candidate: str = "canary") -> Plan:
    return Plan("canary", "2", stable, candidate, stable, Routes({"stable": 100, "canary": 0}), steps, full_load=3, by_hosts=False)  # type: ignore[dict-item]


def deploys(track: str = "stable", replicas: Any = None, version: str = "2") -> Step:
    return Step("deploy", Kind.DEPLOY, track=track, version=version, replicas=replicas)


# Deploying


def test_a_deploy_is_one_patch_of_our_fields_with_the_version_of_the_object(kube: FakeControllers) -> None:
    before = live(kube)["metadata"]["resourceVersion"]
    assert workload(kube).deploy("stable", "2")
    [(verb, plural, name, body)] = kube.writes
    assert (verb, plural, name, body["metadata"]["resourceVersion"]) == ("patch", "deployments", "shop-stable", before)
    assert set(body["spec"]) == {"template"}
    assert image(kube) == "registry.test/shop:2" and workload(kube).read()["stable"].version == "2"


def test_nothing_is_written_when_nothing_differs(kube: FakeControllers) -> None:
    shop = workload(kube)
    assert shop.deploy("stable", "2", 3)
    count = len(kube.writes)
    assert not shop.deploy("stable", "2", 3) and not shop.scale("stable", 3) and not shop.retire("canary")
    assert not workload(kube, version="1").deploy("stable", "2")
    assert len(kube.writes) == count


def test_a_write_that_comes_too_late_is_done_again(kube: FakeControllers) -> None:
    kube.before = meddling(kube, 3, lambda body: body["metadata"].setdefault("labels", {}).update(x=body["metadata"]["resourceVersion"]))
    assert workload(kube).deploy("stable", "2")
    assert image(kube) == "registry.test/shop:2" and live(kube)["metadata"]["labels"]["x"]


def meddling(kube: FakeControllers, times: int, change: Any) -> Any:
    left = [times]

    def before(verb: str, resource: Resource, name: str) -> None:
        if verb == "patch" and resource == DEPLOYMENTS and left[0]:
            left[0] -= 1
            kube.edit(DEPLOYMENTS, name, change)

    return before


def test_somebody_who_changes_the_image_at_the_same_time_is_named(kube: FakeControllers) -> None:
    def change(body: dict[str, Any]) -> None:
        template_of(body)["spec"]["containers"][0]["image"] = "registry.test/shop:theirs"
        body["metadata"]["managedFields"] = [
            {"manager": "kubectl-set", "time": "2026-05-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}}]  # fmt: skip

    kube.before = meddling(kube, 1, change)
    with pytest.raises(Conflict, match="somebody else changed spec.template at the same time .last changed by kubectl-set at 2026-05-01"):
        workload(kube).deploy("stable", "2")
    assert image(kube) == "registry.test/shop:theirs"


def test_an_endless_fight_is_given_up(kube: FakeControllers) -> None:
    kube.before = meddling(kube, 99, lambda body: body["metadata"].update(labels={"x": body["metadata"]["resourceVersion"]}))
    with pytest.raises(Conflict):
        workload(kube).deploy("stable", "2")
    assert [verb for verb, *_rest in kube.writes] == []


def test_an_older_version_comes_from_what_the_cluster_remembers(kube: FakeControllers) -> None:
    before = template_of(live(kube))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "NEW", "value": "1"}]}]}}}}
    shop = workload(kube, patch=patch)
    shop.deploy("stable", "2")
    assert shop.read()["stable"].version == "2"
    assert shop.deploy("stable", "1")
    assert template_of(live(kube)) == before


def test_an_older_version_that_nobody_remembers_comes_from_the_image_or_not_at_all(kube: FakeControllers) -> None:
    assert workload(kube).deploy("stable", "0.9") and image(kube) == "registry.test/shop:0.9"
    with pytest.raises(ConfigError, match="remembers no template of version 0.8"):
        workload(kube, image="registry.test/shop:2").deploy("stable", "0.8")


def test_a_manifest_from_a_file(kube: FakeControllers, tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "rendered.yml"
    new = manifest("deployment", "whatever", image=IMAGE, replicas=1)
    path.write_text(yaml.safe_dump_all([{"kind": "Service", "metadata": {"name": "x"}}, new]))
    shop = workload(kube, image=None, manifest=str(path))
    assert shop.deploy("stable", "2") and not shop.deploy("stable", "2")
    assert image(kube) == "registry.test/shop:2" and live(kube)["spec"]["replicas"] == 3


@pytest.mark.parametrize("text, message", [("kind: Service", "one Deployment is wanted there, found 0"), ("[", "cannot read"), (None, "cannot read")])
def test_manifests_that_are_none(kube: FakeControllers, tmp_path: Path, text: Any, message: str) -> None:
    if text:
        (tmp_path / "m.yml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        workload(kube, manifest=str(tmp_path / "m.yml"))


def test_what_says_nothing_of_a_version_is_refused(kube: FakeControllers) -> None:
    with pytest.raises(ConfigError, match="nothing says what a version is"):
        workload(kube, image=None).deploy("stable", "2")
    with pytest.raises(ConfigError, match="is both slots"):
        workload(kube, canary="shop-stable")
    with pytest.raises(ConfigError, match="no Deployment is named for the slot canary"):
        workload(kube, canary=None).deploy("canary", "2")


def test_how_pods_are_replaced_is_written_with_the_version(kube: FakeControllers) -> None:
    workload(kube, update=Update(max_unavailable="1", max_surge="25%")).deploy("stable", "2")
    assert live(kube)["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": "25%"}}
    workload(kube, version="3", update=Update(recreate=True)).deploy("stable", "3")
    assert live(kube)["spec"]["strategy"] == {"type": "Recreate"}
    assert len(kube.writes) == 2


def test_a_missing_slot_is_made_like_the_other(kube: FakeControllers) -> None:
    kube.remove(DEPLOYMENTS, "shop-canary")
    with pytest.raises(ConfigError, match="there is no Deployment shop-canary"):
        workload(kube).deploy("canary", "2", 1)
    shop = workload(kube, create_missing=True)
    assert set(shop.read()) == {"stable"}
    assert shop.deploy("canary", "2", 1)
    made = live(kube, "shop-canary")
    assert made["spec"]["replicas"] == 1 and made["spec"]["selector"] == {"matchLabels": {"app": "shop-canary"}}
    assert shop.read()["canary"].version == "2"


def test_what_is_made_does_not_say_that_a_gitops_controller_made_it(kube: FakeControllers) -> None:
    """It would be pruned in the middle of its release. Its Pods have the label: a Service may look for it."""
    kube.remove(DEPLOYMENTS, "shop-canary")
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: body["metadata"].update(labels={"app.kubernetes.io/instance": "shop", "team": "web"}))
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: template_of(body)["metadata"]["labels"].update({"app.kubernetes.io/instance": "shop"}))
    workload(kube, create_missing=True).deploy("canary", "2", 1)
    made = live(kube, "shop-canary")
    assert made["metadata"]["labels"] == {"team": "web", "app": "shop-canary"}
    assert template_of(made)["metadata"]["labels"]["app.kubernetes.io/instance"] == "shop"


ENV = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "NEW", "value": "${version}"}]}]}}}}


@pytest.mark.parametrize("whole", [False, True], ids=["like the other", "of a manifest"])
def test_what_is_made_is_patched_as_what_is_changed(kube: FakeControllers, whole: bool) -> None:
    """A candidate without the patch would be the old version, and be measured as the new one."""
    kube.remove(DEPLOYMENTS, "shop-canary")
    given = {"manifest": manifest("deployment", "shop-canary"), "image": None} if whole else {"image": None}
    shop = workload(kube, create_missing=True, patch=ENV, **given)
    assert shop.deploy("canary", "2", 1)
    assert template_of(live(kube, "shop-canary"))["spec"]["containers"][0].get("env") == [{"name": "NEW", "value": "2"}]


def test_a_patch_goes_on_top_of_a_manifest(kube: FakeControllers) -> None:
    shop = workload(kube, patch=ENV, manifest=manifest("deployment", "shop-stable", "registry.test/shop:2"), image=None)
    assert shop.deploy("stable", "2") and not shop.deploy("stable", "2")
    assert template_of(live(kube))["spec"]["containers"] == [{"name": "app", "image": "registry.test/shop:2", "env": [{"name": "NEW", "value": "2"}]}]


@pytest.mark.parametrize("whole", [False, True], ids=["image", "manifest"])
def test_what_went_away_is_not_made_again_as_a_version_that_it_would_not_be(kube: FakeControllers, whole: bool) -> None:
    """Somebody deleted stable: its former version is not what this release's file says."""
    given = {"manifest": manifest("deployment", "shop-stable", "registry.test/shop:2"), "image": None} if whole else {"image": "registry.test/shop:2"}
    shop = workload(kube, create_missing=True, **given)
    kube.remove(DEPLOYMENTS, "shop-stable")
    with pytest.raises(ConfigError, match="nothing says what version 1 was"):
        shop.deploy("stable", "1", 3)
    assert kube.get(DEPLOYMENTS, "shop-stable") is None


def test_what_went_away_is_made_again_by_its_image_where_that_follows_from_the_version(kube: FakeControllers) -> None:
    shop = workload(kube, create_missing=True, patch=ENV)
    kube.remove(DEPLOYMENTS, "shop-stable")
    assert shop.deploy("stable", "1", 3) and image(kube) == "registry.test/shop:1"
    assert "env" not in template_of(live(kube))["spec"]["containers"][0]


# Autoscalers


def autoscaler(name: str, target: str, least: int = 2, most: int = 10) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": target}, "minReplicas": least, "maxReplicas": most}}


def test_replicas_of_an_autoscaler_are_written_only_from_0_and_to_0(kube: FakeControllers) -> None:
    kube.put(HPAS, autoscaler("hpa", "shop-canary"))
    shop = workload(kube)
    assert shop.deploy("canary", "2", 4) and live(kube, "shop-canary")["spec"]["replicas"] == 4
    assert live(kube, "hpa", HPAS)["spec"]["minReplicas"] == 4
    assert shop.scale("canary", 5) and live(kube, "shop-canary")["spec"]["replicas"] == 4
    hpa = live(kube, "hpa", HPAS)
    assert (hpa["spec"]["minReplicas"], hpa["metadata"]["annotations"]) == (5, {MINIMUM: "2"})
    assert shop.retire("canary") and live(kube, "shop-canary")["spec"]["replicas"] == 0
    hpa = live(kube, "hpa", HPAS)
    assert (hpa["spec"]["minReplicas"], hpa["metadata"]["annotations"]) == (2, {})


@pytest.mark.parametrize("theirs", [1, 6])
def test_a_minimum_that_its_owner_changes_while_it_is_held_is_what_they_get_back(kube: FakeControllers, theirs: int) -> None:
    kube.put(HPAS, autoscaler("hpa", "shop-stable"))
    workload(kube).deploy("canary", "2", 1)
    assert live(kube, "hpa", HPAS)["spec"]["minReplicas"] == 3

    def edited(body: dict[str, Any]) -> None:
        body["spec"]["minReplicas"] = theirs
        body["metadata"]["managedFields"] = [
            {"manager": "kubectl-edit", "time": "2026-05-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}]  # fmt: skip

    kube.edit(HPAS, "hpa", edited)
    workload(kube).deploy("canary", "2", 2)
    assert live(kube, "hpa", HPAS)["spec"]["minReplicas"] == max(3, theirs), "held all the same"
    kube.edit(HPAS, "hpa", lambda body: body["metadata"].update(managedFields=[
        {"manager": "progressive.delivery", "time": "2026-05-01T10:00:05Z", "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}] if theirs < 3
        else body["metadata"]["managedFields"]))  # fmt: skip
    workload(kube).retire("canary")
    hpa = live(kube, "hpa", HPAS)
    assert hpa["spec"]["minReplicas"] == theirs and MINIMUM not in hpa["metadata"].get("annotations", {})


def test_stable_keeps_what_it_has_while_traffic_moves_away(kube: FakeControllers) -> None:
    kube.put(HPAS, autoscaler("hpa", "shop-stable", least=1))
    shop = workload(kube)
    shop.deploy("canary", "2", 1)
    assert live(kube, "hpa", HPAS)["spec"]["minReplicas"] == 3
    workload(kube).retire("canary")
    assert live(kube, "hpa", HPAS)["spec"]["minReplicas"] == 1


def test_an_autoscaler_that_may_not_be_changed_is_left_alone(kube: FakeControllers) -> None:
    kube.put(HPAS, autoscaler("hpa", "shop-canary"))
    kube.forbid("patch", "horizontalpodautoscalers")
    assert workload(kube).deploy("canary", "2", 4)
    assert live(kube, "hpa", HPAS)["spec"]["minReplicas"] == 2


def test_what_is_retired_goes_though_its_named_autoscaler_is_gone(kube: FakeControllers) -> None:
    kube.put(HPAS, autoscaler("hpa", "shop-canary"))
    workload(kube, hpa="hpa").deploy("canary", "2", 3)
    kube.remove(HPAS, "hpa")
    assert workload(kube, hpa="hpa").retire("canary") and live(kube, "shop-canary")["spec"]["replicas"] == 0


def test_a_named_autoscaler_has_to_be_there(kube: FakeControllers) -> None:
    with pytest.raises(ConfigError, match="there is no HorizontalPodAutoscaler nope"):
        workload(kube, hpa="nope").scale("stable", 4)


# ConfigMaps


def test_a_version_has_config_maps_of_its_own_and_a_way_back_finds_the_old_ones(kube: FakeControllers) -> None:
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: template_of(body)["spec"]["containers"][0].update(envFrom=[{"configMapRef": {"name": "settings"}}]))

    def reference() -> str:
        return str(template_of(live(kube))["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"])

    workload(kube, config_maps={"settings": {"LEVEL": "one ${version}"}}).deploy("stable", "2")
    first = reference()
    live(kube)
    workload(kube, "3", config_maps={"settings": {"LEVEL": "two"}}).deploy("stable", "3")
    assert reference() != first
    found = kube.get(CONFIGMAPS, first)
    assert found is not None and found["data"] == {"LEVEL": "one 2"} and found["immutable"]
    workload(kube, "3", config_maps={"settings": {"LEVEL": "two"}}).deploy("stable", "2")
    assert reference() == first


def test_config_maps_from_files(kube: FakeControllers, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.ini").write_text("x=1")
    shop = workload(kube, config_maps={"settings": str(tmp_path / "conf"), "one": str(tmp_path / "conf" / "a.ini")})
    shop.deploy("stable", "2")
    assert [item["data"] for item in kube.list(CONFIGMAPS)] == [{"a.ini": "x=1"}, {"a.ini": "x=1"}]
    with pytest.raises(ConfigError, match="config_maps.settings: cannot read it"):
        workload(kube, config_maps={"settings": str(tmp_path / "nope")})


def test_what_another_workload_reads_is_not_tidied_away(kube: FakeControllers) -> None:
    """Both call it settings."""
    kube.put(DEPLOYMENTS, manifest("deployment", "pay"))
    kube.edit(DEPLOYMENTS, "pay", lambda body: template_of(body)["spec"]["containers"][0].update(envFrom=[{"configMapRef": {"name": "settings"}}]))
    workload(kube, stable="pay", canary=None, config_maps={"settings": {"LEVEL": "1"}}).deploy("stable", "2")
    [theirs] = [item["metadata"]["name"] for item in kube.list(CONFIGMAPS)]
    for number in range(1, 9):
        workload(kube, str(number), config_maps={"settings": {"LEVEL": str(number)}}).deploy("stable", str(number))
        for item in kube.list(CONFIGMAPS):
            if item["metadata"]["name"] != theirs:  # which is older than all of them
                kube.edit(CONFIGMAPS, item["metadata"]["name"], lambda body: body["metadata"].setdefault("creationTimestamp", "2026-01-01T00:00:00Z"))
    assert kube.get(CONFIGMAPS, theirs) is not None


def test_a_folder_that_may_not_be_read_is_said(kube: FakeControllers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.listdir", refused)
    with pytest.raises(ConfigError, match="config_maps.settings: cannot read it: .*Permission denied"):
        workload(kube, config_maps={"settings": str(tmp_path)})


@pytest.mark.parametrize(("given", "where"), [
    ({"metadata": "x"}, "patch.metadata"), ({"spec": "x"}, "patch.spec"), ({"spec": {"template": "x"}}, "patch.spec.template"),
    ({"spec": {"template": {"metadata": 1}}}, "patch.spec.template.metadata"), ({"spec": {"template": {"spec": []}}}, "patch.spec.template.spec"),
    ({"spec": {"template": {"spec": {"containers": "x"}}}}, "patch.spec.template.spec.containers"),
    ({"spec": {"template": {"spec": {"initContainers": ["x"]}}}}, "patch.spec.template.spec.initContainers"),
])  # fmt: skip
def test_a_patch_of_another_shape_is_refused_where_it_is(kube: FakeControllers, given: Any, where: str) -> None:
    with pytest.raises(ConfigError, match=f"rollout_workload.deployment.{where}: "):
        workload(kube, patch=given)


@pytest.mark.parametrize(("spec", "said"), [
    ({"containers": [{"image": "x"}]}, r"containers.0.: it has no name"), ({"containers": [{"name": "app"}]}, "container app has no image"),
    ({"containers": "x"}, "no list of containers"), ({"containers": None}, "has no container"), ("x", "is no mapping"),
])  # fmt: skip
def test_a_manifest_of_another_shape_is_refused(kube: FakeControllers, spec: Any, said: str) -> None:
    given = manifest("deployment", "shop-stable")
    given["spec"]["template"] = {"metadata": {"annotations": None}, "spec": spec}
    with pytest.raises(ConfigError, match=said):
        workload(kube, manifest=given, image=None).foresee(plan(deploys()))
    if said.endswith("no image"):
        assert workload(kube, manifest=given).deploy("stable", "2") and image(kube) == "registry.test/shop:2", "it may come from the release"


# Progress


def test_an_image_that_cannot_be_had_is_said_at_once(kube: FakeControllers) -> None:
    kube.broken.add("registry.test/shop:2")
    shop = workload(kube)
    shop.deploy("stable", "2")
    look = shop.progress("stable")
    assert look.failed and "cannot have the image registry.test/shop:2 (ImagePullBackOff): not found" in look.why


def test_a_crash_is_said_with_its_last_words(kube: FakeControllers) -> None:
    shop = workload(kube)
    crash(kube)
    kube.answers["/api/v1/namespaces/shop/pods/shop-stable-pod-0/log"] = Answer(200, {}, b"starting\nno database\n")
    look = shop.progress("stable")
    assert look.failed and "exit code 3, 2 restarts. It said: starting | no database" in look.why
    kube.answers["/api/v1/namespaces/shop/pods/shop-stable-pod-0/log"] = Answer(200, {}, b"unable to retrieve container logs for containerd://d450b6a9")
    assert shop.progress("stable").why.endswith("exit code 3, 2 restarts"), "what the kubelet says is not what the container said"
    kube.answers["/api/v1/namespaces/shop/pods/shop-stable-pod-0/log"] = Answer(403, {}, b"no")
    assert "Allow get of pods/log" in shop.progress("stable").why


def crash(kube: FakeControllers) -> None:
    live(kube)
    kube.still = True
    states = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 3}}}
    status = {"name": "app", "ready": False, "restartCount": 2, **states}
    kube.edit(PODS, "shop-stable-pod-0", lambda body: body.update(status={"containerStatuses": [status]}))
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: body["status"].update(availableReplicas=2))


def test_a_quota_is_said(kube: FakeControllers) -> None:
    live(kube)
    kube.still = True
    failure = {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota: small'}
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: body["status"].update(updatedReplicas=1, conditions=[failure]))
    look = workload(kube).progress("stable")
    assert not look.failed and "1 of 3 new replicas are there; no Pod is made: pods" in look.why and "exceeded quota: small" in look.why


def test_an_image_set_by_somebody_else_after_us_is_said(kube: FakeControllers) -> None:
    shop = workload(kube)
    shop.deploy("stable", "2")
    assert shop.progress("stable").done
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: template_of(body)["spec"]["containers"][0].update(image="registry.test/shop:hotfix"))
    look = shop.progress("stable")
    assert look.failed and "somebody else set its image to registry.test/shop:hotfix, this release had set registry.test/shop:2" in look.why
    assert workload(kube, "3").progress("stable").done


def test_an_image_whose_tag_admission_pins_is_still_ours(kube: FakeControllers) -> None:
    shop = workload(kube, "2-rc", image="registry.test/shop:2")
    shop.deploy("stable", "2-rc")
    pinned = f"registry.test/shop:2@sha256:{'a' * 64}"
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: template_of(body)["spec"]["containers"][0].update(image=pinned))
    assert rollout.wait(shop, "stable", shop.clock, 9, version="2-rc").done and shop.read()["stable"].version == "2-rc"
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: template_of(body)["spec"]["containers"][0].update(image="registry.test/shop:22"))
    assert shop.progress("stable").failed


@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
def test_a_template_that_somebody_put_back_is_not_what_was_given(kind: str) -> None:
    """Its Pods are ready, and run the version before."""
    made = FakeControllers()
    made.put(RESOURCES[kind], manifest(kind, "shop-stable", replicas=3))
    before, shop = template_of(live(made, resource=RESOURCES[kind])), workload(made, kind=kind)
    shop.deploy("stable", "2")
    assert rollout.wait(shop, "stable", shop.clock, 9, version="2").done

    def undo(body: dict[str, Any]) -> None:
        body["spec"]["template"] = before
        body["metadata"]["managedFields"] = [
            {"manager": "argocd", "time": "2026-05-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}}]  # fmt: skip

    made.edit(RESOURCES[kind], "shop-stable", undo)
    look = rollout.wait(shop, "stable", shop.clock, 9, version="2")
    assert look.failed and look.why == "it was given 2, and somebody else put 1 in its place (last changed by argocd at 2026-05-01T10:00:00Z)"
    assert rollout.wait(shop, "stable", shop.clock, 9).done, "whoever gave it nothing expects nothing"


def test_what_is_gone_is_said(kube: FakeControllers) -> None:
    kube.remove(DEPLOYMENTS, "shop-canary")
    look = workload(kube).progress("canary")
    assert look.failed and look.why == "there is no Deployment shop-canary"


def test_a_change_is_waited_for_and_where_it_cannot_be_watched_time_passes(kube: FakeControllers) -> None:
    shop = workload(kube)
    shop.progress("stable")
    kube.queue(DEPLOYMENTS, "shop-stable", live(kube))
    shop.await_change("stable", 5)
    assert shop.clock.now() < 1
    shop.await_change("stable", 5)
    assert 5 <= shop.clock.now() < 6
    kube.forbid("watch", "deployments")
    shop.await_change("stable", 5)
    assert shop.clock.now() >= 10


def test_addresses_are_those_of_ready_pods(kube: FakeControllers) -> None:
    assert workload(kube).addresses("stable") == {"shop-stable-pod-0": "10.0.0.1", "shop-stable-pod-1": "10.0.0.2", "shop-stable-pod-2": "10.0.0.3"}
    kube.broken.add("registry.test/shop:1")
    assert workload(kube).addresses("stable") == {}


# Before it begins


def test_a_good_plan_is_foreseen_with_notes_and_without_a_write(kube: FakeControllers) -> None:
    kube.put(HPAS, autoscaler("hpa", "shop-stable"))
    kube.forbid("get", "pods/log")
    notes = "\n".join(workload(kube).foresee(plan(deploys("canary", 2), deploys("stable"))))
    assert "readinessProbe" in notes and "autoscaler hpa" in notes and "get pods/log (a crash is reported without its last lines)" in notes
    assert kube.writes == []


def test_the_server_is_asked_beforehand(kube: FakeControllers) -> None:
    def before(verb: str, resource: Resource, name: str) -> None:
        if verb == "patch":
            raise ConfigError("admission webhook said no")

    kube.before = before
    with pytest.raises(ConfigError, match="webhook said no"):
        workload(kube).foresee(plan(deploys()))


def paused(kube: FakeControllers) -> None:
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: body["spec"].update(paused=True))


def same_labels(kube: FakeControllers) -> None:
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: template_of(body)["metadata"]["labels"].update(app="shop-stable"))


def gone(kube: FakeControllers) -> None:
    kube.remove(DEPLOYMENTS, "shop-canary")


def small(kube: FakeControllers) -> None:
    kube.put(QUOTAS, {"metadata": {"name": "small"}, "status": {"hard": {"pods": "4"}, "used": {"pods": "3"}}})


def few(kube: FakeControllers) -> None:
    kube.put(HPAS, autoscaler("hpa", "shop-canary", most=1))


@pytest.mark.parametrize("world, message", [
    (paused, "it is paused.*kubectl -n shop rollout resume deployment/shop-stable"), (same_labels, "also matches the Pods of the other"),
    (gone, "there is no Deployment shop-canary.*kubectl -n shop create deployment shop-canary --image=registry.test/shop:2 --replicas=0"),
    (small, "quota small has 4 pods, 3 used, and 2 more Pods are needed"), (few, "at most 1 replicas, and 2 are needed"),
])  # fmt: skip
def test_what_cannot_go_well_is_refused(kube: FakeControllers, world: Any, message: str) -> None:
    world(kube)
    with pytest.raises(ConfigError, match=message):
        workload(kube).foresee(plan(deploys("canary", 2), deploys("stable")))
    assert kube.writes == []


def test_a_container_that_is_not_there_is_refused_with_a_suggestion(kube: FakeControllers) -> None:
    with pytest.raises(ConfigError, match=r"unknown container 'ap'. Did you mean app\?"):
        workload(kube, container="ap").foresee(plan(deploys()))


def test_a_stable_that_is_not_well_is_said(kube: FakeControllers) -> None:
    kube.broken.add("registry.test/shop:1")
    assert "is not well" in "".join(workload(kube).foresee(plan(deploys())))


def test_a_slot_that_will_be_made_is_said(kube: FakeControllers) -> None:
    gone(kube)
    assert "Deployment shop-canary is not there and will be made" in workload(kube, create_missing=True).foresee(plan(deploys("canary", 1)))
    assert kube.writes == []


def test_a_slot_whose_pods_would_be_the_other_ones_is_not_made(kube: FakeControllers) -> None:
    """Of stable's own manifest: a Service in front of stable would lead to them at once."""
    gone(kube)
    given = manifest("deployment", "shop-stable", "registry.test/shop:2")
    shop = workload(kube, manifest=given, image=None, create_missing=True)
    with pytest.raises(ConfigError, match="the selector of one of shop-stable and shop-canary also matches the Pods of the other"):
        shop.foresee(plan(deploys("canary", 1), Step("retire", Kind.RETIRE, track="stable")))


@pytest.mark.parametrize(("stated", "planned", "replicas"), [({"replicas": 3}, None, 3), ({"replicas": 3}, 0, 0), ({}, None, 1)])
def test_what_is_made_of_a_manifest_has_the_replicas_of_the_plan_else_its_own(kube: FakeControllers, stated: Any, planned: Any, replicas: int) -> None:
    gone(kube)
    given = manifest("deployment", "shop-canary")
    given["spec"] = {**{key: value for key, value in given["spec"].items() if key != "replicas"}, **stated}
    workload(kube, manifest=given, image=None, create_missing=True).deploy("canary", "2", planned)
    assert live(kube, "shop-canary")["spec"]["replicas"] == replicas


# Undo, as kubectl does it


def test_undo(kube: FakeControllers) -> None:
    shop = workload(kube)
    live(kube)
    shop.deploy("stable", "2")
    assert [revision.number for revision in shop.revisions()] == [1, 2]
    assert shop.undo() and shop.read()["stable"].version == "1"
    assert not shop.undo(3)
    assert shop.undo(2) and shop.read()["stable"].version == "2"
    with pytest.raises(ConfigError, match="there is no revision 9"):
        shop.undo(9)
    paused(kube)
    with pytest.raises(ConfigError, match="paused"):
        shop.undo()
    assert live(kube)["spec"]["replicas"] == 3


def test_a_way_back_takes_what_the_cluster_remembers_not_what_the_file_says_by_now(kube: FakeControllers) -> None:
    def patch(value: str) -> dict[str, Any]:
        return {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "MODE", "value": value}]}]}}}}

    for version in ("2", "3"):
        workload(kube, version, patch=patch(f"of {version}")).deploy("stable", version)
        live(kube)
    back = workload(kube, "2", back=True, patch=patch("of 3"))
    assert back.foresee(plan(deploys())) == workload(kube, "2").foresee(plan(deploys()))
    assert back.deploy("stable", "2")
    [container] = template_of(live(kube))["spec"]["containers"]
    assert (container["image"], container["env"]) == ("registry.test/shop:2", [{"name": "MODE", "value": "of 2"}])


def test_a_version_that_the_cluster_forgot_comes_back_by_its_image_or_is_refused_beforehand(kube: FakeControllers) -> None:
    workload(kube).deploy("stable", "2")
    live(kube)
    notes = workload(kube, "7", back=True).foresee(plan(deploys(version="7")))
    assert any("remembers no template of version 7, so its image is put into the present one" in note for note in notes)
    assert workload(kube, "7", back=True).deploy("stable", "7") and image(kube) == "registry.test/shop:7"
    with pytest.raises(ConfigError, match="remembers no template of version 8"):
        workload(kube, "8", back=True, image=None, patch={"spec": {"minReadySeconds": 1}}).foresee(plan(deploys(version="8")))


def test_what_is_put_back_is_known_by_its_name_whatever_its_number_is_by_then(kube: FakeControllers) -> None:
    shop = workload(kube)
    live(kube)
    shop.deploy("stable", "2")
    former = shop.former("stable", 1)
    assert (former.version, former.number, former.current) == ("1", 1, False) and shop.former("stable", 2).current
    step = Step("deploy", Kind.DEPLOY, track="stable", version="1", revision=former.name)
    now, then = shop.compared(plan(step))
    assert [template["spec"]["containers"][0]["image"] for template in (now, then)] == ["registry.test/shop:2", "registry.test/shop:1"]
    assert shop.restore("stable", former.name) and not shop.restore("stable", former.name), "a run that was killed does it again"
    with pytest.raises(ConfigError, match="shop-9 is not remembered any more"):
        shop.restore("stable", "shop-9")


# Drain


DRAINED = "/api/v1/namespaces/shop/pods/shop-stable-pod-{}:8080/proxy/drain"


def test_pods_say_how_many_connections_they_still_have(kube: FakeControllers) -> None:
    shop = workload(kube, drain={"http": {"path": "drain", "port": 8080}})
    live(kube)
    kube.answers.update({DRAINED.format(0): Answer(200, {}, b'{"connections": 3}'), DRAINED.format(1): Answer(202, {}, b"draining")})
    assert dict(shop.ask_to_finish("stable", 4.2)) == {
        "shop-stable-pod-0": Asked(3), "shop-stable-pod-1": Asked(), "shop-stable-pod-2": Asked(error="POST /drain is answered with 404")}
    for body in (b"[]", b'{"connections": "many"}', b'{"connections": true}', b'{"connections": -1}'):
        kube.answers[DRAINED.format(0)] = Answer(200, {}, body)
        assert dict(shop.ask_to_finish("stable", 0))["shop-stable-pod-0"] == Asked()


def test_nobody_is_asked_where_nothing_runs_or_nothing_says_how(kube: FakeControllers) -> None:
    shop = workload(kube, drain={"http": {"path": "/drain"}})
    live(kube)
    assert shop.retire("stable")
    live(kube)
    assert list(shop.ask_to_finish("stable", 1)) == []
    assert not workload(kube).drains and list(workload(kube).ask_to_finish("stable", 1)) == []


# The other kinds


@pytest.mark.parametrize("how", ["way back", "rollback", "revision"])
def test_a_pod_that_hangs_in_a_bad_version_is_deleted_on_the_way_back(kube: FakeControllers, how: str) -> None:
    kube.put(STATEFULSETS, manifest("statefulset", "db"))
    db = workload(kube, kind="statefulset", stable="db", canary=None)
    live(kube, "db", STATEFULSETS)
    kube.broken.add("registry.test/shop:2")
    assert db.deploy("stable", "2") and db.progress("stable").failed
    kube.still = True
    back = workload(kube, "1", kind="statefulset", stable="db", canary=None, back=True)
    assert {"way back": lambda: db.deploy("stable", "1"), "rollback": lambda: back.deploy("stable", "1"),
            "revision": lambda: back.restore("stable", back.former("stable", 1).name)}[how]()
    assert [name for verb, _plural, name, _body in kube.writes if verb == "delete"] == ["db-pod-0", "db-pod-1"]


@pytest.mark.parametrize("kind", ["statefulset", "daemonset"])
def test_what_has_no_recreate_says_so(kube: FakeControllers, kind: str) -> None:
    shop = workload(kube, kind=kind, update=Update(recreate=True))
    with pytest.raises(Unsupported, match="Use rolling"):
        shop.strategy(Update(recreate=True), {})


@pytest.mark.parametrize("away, extra, expected", [("25%", "25%", ("25%", 0)), ("0", "1", (0, 1)), (1, 0, (1, 0))])
def test_a_daemonset_takes_one_bound(kube: FakeControllers, away: Any, extra: Any, expected: Any) -> None:
    found = workload(kube, kind="daemonset").strategy(Update(max_unavailable=away, max_surge=extra), {})["updateStrategy"]["rollingUpdate"]
    assert (found["maxUnavailable"], found["maxSurge"]) == expected


def test_a_daemonset_has_no_number(kube: FakeControllers) -> None:
    agent = workload(kube, kind="daemonset")
    for call in (lambda: agent.scale("stable", 1), lambda: agent.retire("stable"), lambda: agent.foresee(plan(Step("retire", Kind.RETIRE, track="canary")))):
        with pytest.raises(Unsupported, match="no number of replicas"):
            call()


def test_a_partition_is_said(kube: FakeControllers) -> None:
    made = manifest("statefulset", "db", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})
    kube.put(STATEFULSETS, made)
    assert "its partition is 1" in "".join(workload(kube, kind="statefulset", stable="db", canary=None).foresee(plan(deploys())))


def test_the_note_of_the_version_is_on_the_template(kube: FakeControllers) -> None:
    workload(kube, image="registry.test/shop:sha-1").deploy("stable", "2")
    assert template_of(live(kube))["metadata"]["annotations"][VERSION] == "2"
