# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pod templates, their history and their selectors, on plain dicts."""

from __future__ import annotations

import copy
from typing import Any, Optional

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import kube_config, kube_history, kube_lint, kube_selector
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_merge import covers, strategic
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_quota import demand, quantity, shortage
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import NICE, OPTION, WORKLOAD, needed
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_template import (
    IMAGE,
    MANIFEST,
    VERSION,
    Recipe,
    fresh,
    release,
    replaced_template,
    same_template,
    tag,
    template_of,
    version_of,
)


def workload(image: str = "registry:5000/shop:1", name: str = "shop", **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": image, "env": [{"name": "A", "value": "1"}]}, {"name": "proxy", "image": "envoy:9"}]},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "uid": f"uid-{name}"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}}


def image_of(manifest: dict[str, Any], index: int = 0) -> str:
    return str(template_of(manifest)["spec"]["containers"][index]["image"])


@pytest.mark.parametrize("image, expected", [
    ("shop:1", "1"), ("registry:5000/shop:1.2", "1.2"), ("registry:5000/shop", "latest"), ("shop", "latest"),
    ("shop@sha256:ab", "sha256:ab"), ("registry:5000/shop:1@sha256:ab", "1"), ("", "latest"),
])  # fmt: skip
def test_tags(image: str, expected: str) -> None:
    assert tag(image) == expected


def test_a_version_is_the_tag_or_what_we_noted_of_this_very_image() -> None:
    template = template_of(workload("shop:abc"))
    assert version_of(template) == "abc"
    template["metadata"]["annotations"] = {VERSION: "2.4.1", IMAGE: "shop:abc"}
    assert version_of(template) == "2.4.1"
    template["spec"]["containers"][0]["image"] = "shop:hotfix"
    assert version_of(template) == "hotfix"
    assert version_of(template, "proxy") == "9"
    assert version_of(template, "was-called-so-once") == "hotfix"
    assert version_of({}) == ""


def test_the_default_container_of_kubectl_is_the_main_one() -> None:
    template = template_of(workload())
    template["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "proxy"}
    assert version_of(template) == "9"


def test_an_image_gets_its_version_and_the_template_a_note() -> None:
    before = workload()
    untouched = copy.deepcopy(before)
    after = release(before, Recipe(image="registry:5000/shop:${version}"), "2")
    assert before == untouched
    assert image_of(after) == "registry:5000/shop:2" and image_of(after, 1) == "envoy:9"
    assert template_of(after)["metadata"]["annotations"] == {VERSION: "2", IMAGE: "registry:5000/shop:2"}
    assert release(after, Recipe(image="registry:5000/shop:${version}"), "2") == after
    assert after["spec"]["replicas"] == 3


def test_what_holds_the_version_already_is_left_without_our_note() -> None:
    before = workload()
    assert release(before, Recipe(image="registry:5000/shop:${version}"), "1") == before


def test_a_version_that_is_not_the_tag_is_noted() -> None:
    after = release(workload(), Recipe(image="registry:5000/shop:1"), "release-7")
    assert version_of(template_of(after)) == "release-7"


def test_images_by_container_and_one_that_is_not_there() -> None:
    after = release(workload(), Recipe(images={"app": "a:${version}", "proxy": "p:${version}"}), "2")
    assert (image_of(after), image_of(after, 1)) == ("a:2", "p:2")
    with pytest.raises(ConfigError, match=r"unknown container 'prox'. Did you mean proxy\?"):
        release(workload(), Recipe(images={"prox": "p:1"}), "2")
    with pytest.raises(ConfigError, match="Did you mean app"):
        release(workload(), Recipe(container="ap", image="p:1"), "2")


def test_a_patch_is_merged_and_never_touches_replicas_or_selector() -> None:
    patch = {"spec": {"replicas": 1, "selector": {"matchLabels": {"x": "y"}}, "minReadySeconds": 5, "template": {"spec": {"containers": [
        {"name": "app", "image": "shop:${version}", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "${version}"}]},
        {"name": "proxy", "$patch": "delete"}]}}}}  # fmt: skip
    after = release(workload(), Recipe(patch=patch), "2")
    assert after["spec"]["replicas"] == 3 and after["spec"]["selector"] == {"matchLabels": {"app": "shop"}} and after["spec"]["minReadySeconds"] == 5
    [container] = template_of(after)["spec"]["containers"]
    assert container == {"name": "app", "image": "shop:2", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "2"}]}


def manifest_of(image: str = "shop:${version}") -> dict[str, Any]:
    given = workload(image, "anything", replicas=1, minReadySeconds=7)
    given["metadata"]["labels"] = {"team": "shop"}
    return given


def test_a_manifest_takes_the_place_of_the_template_and_keeps_name_selector_and_replicas() -> None:
    before = workload()
    template_of(before)["spec"]["nodeSelector"] = {"old": "yes"}
    after = release(before, Recipe(manifest=manifest_of()), "2")
    assert after["metadata"]["name"] == "shop" and after["metadata"]["labels"] == {"team": "shop"}
    assert after["spec"]["replicas"] == 3 and after["spec"]["minReadySeconds"] == 7
    assert "nodeSelector" not in template_of(after)["spec"] and image_of(after) == "shop:2"
    assert template_of(after)["metadata"]["labels"] == {"app": "shop"}
    assert template_of(after)["metadata"]["annotations"][MANIFEST]


def test_what_the_server_fills_in_is_no_difference_to_a_manifest_and_what_somebody_took_away_is() -> None:
    recipe = Recipe(manifest=manifest_of())
    live = release(workload(), recipe, "2")
    template_of(live)["spec"]["restartPolicy"] = "Always"
    assert release(live, recipe, "2") == live
    shorter = manifest_of()
    del template_of(shorter)["spec"]["containers"][0]["env"]
    assert "env" not in template_of(release(live, Recipe(manifest=shorter), "2"))["spec"]["containers"][0]
    template_of(live)["spec"]["containers"][0]["env"] = []
    assert template_of(release(live, recipe, "2"))["spec"]["containers"][0]["env"]


def test_a_new_object_is_made_of_the_manifest_or_like_another() -> None:
    made = fresh({}, "shop-canary", Recipe(manifest=manifest_of()), "2", 2)
    assert (made["metadata"]["name"], made["spec"]["replicas"], image_of(made), version_of(template_of(made))) == ("shop-canary", 2, "shop:2", "2")
    made = fresh(workload(), "shop-canary", Recipe(image="shop:${version}"), "3", 0)
    assert (image_of(made), "uid" in made["metadata"]) == ("shop:3", False)


# Strategic merge


@pytest.mark.parametrize("target, patch, expected", [
    ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}, "a": None}, {"b": {"c": 2, "d": 3}}),
    ({"volumes": [{"name": "v", "emptyDir": {}}]}, {"volumes": [{"name": "w"}]}, {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w"}]}),
    ({"args": ["a"]}, {"args": ["b"]}, {"args": ["b"]}),
    ({"b": {"c": 2}}, {"b": {"$patch": "replace", "d": 1}}, {"b": {"d": 1}}),
    ({"env": [{"name": "A"}]}, {"env": [{"$patch": "replace"}, {"name": "B"}]}, {"env": [{"name": "B"}]}),
    ({"ports": [{"containerPort": 1}]}, {"ports": [{"containerPort": 1, "name": "x"}]}, {"ports": [{"containerPort": 1, "name": "x"}]}),
    ({}, {"env": [{"name": "A", "$patch": "delete"}]}, {"env": []}),
])  # fmt: skip
def test_strategic_merge(target: Any, patch: Any, expected: Any) -> None:
    untouched = copy.deepcopy((target, patch))
    assert strategic(target, patch) == expected
    assert (target, patch) == untouched


def test_directives_that_are_not_understood_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\$retainKeys"):
        strategic({}, {"strategy": {"$retainKeys": ["type"]}})
    with pytest.raises(ConfigError, match=r"containers\[0\]: it has no name"):
        strategic({}, {"containers": [{"image": "x"}]})


def test_covers() -> None:
    assert covers({"a": 1, "b": [{"c": 1, "d": 2}]}, {"b": [{"c": 1}], "gone": None})
    assert not covers({"b": [{"c": 1}, {"c": 2}]}, {"b": [{"c": 1}]})
    assert not covers({}, {"a": {}})


# History


def replicaset(number: int, image: str, owner: str = "uid-shop", **annotations: str) -> dict[str, Any]:
    template = copy.deepcopy(template_of(workload(image)))
    template["metadata"]["labels"]["pod-template-hash"] = f"h{number}"
    return {"metadata": {"name": f"shop-{number}", "annotations": {kube_history.REVISION: str(number), **annotations},
                         "ownerReferences": [{"uid": owner, "controller": True}]}, "spec": {"template": template}}


def history(*items: dict[str, Any]) -> list[kube_history.Revision]:
    return kube_history.of_replicasets(workload(), items)


def test_revisions_are_numbers_of_our_own_replicasets() -> None:
    found = history(replicaset(10, "shop:3"), replicaset(9, "shop:2"), replicaset(2, "shop:1"), replicaset(11, "x:9", owner="uid-other"))
    assert [item.number for item in found] == [2, 9, 10]
    assert kube_history.chosen(found, 0).number == 9 and kube_history.chosen(found, 2).number == 2
    assert kube_history.of_version(found, "2").number == 9  # type: ignore[union-attr]
    assert kube_history.of_version(found, "9") is None


@pytest.mark.parametrize("numbers, to, message", [
    ((1,), 0, "no revision before"), ((), 0, "no revision before"), ((1, 2), 7, "Known: 1, 2"), ((1, 2), -1, "-1 is no"),
])  # fmt: skip
def test_revisions_that_are_not_there(numbers: tuple[int, ...], to: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kube_history.chosen(history(*(replicaset(number, f"shop:{number}") for number in numbers)), to)


def test_an_old_template_comes_back_without_the_hash_and_whole() -> None:
    now = workload("shop:2")
    template_of(now)["spec"]["nodeSelector"] = {"new": "yes"}
    old = history(replicaset(1, "shop:1"))[0]
    back = replaced_template(now, old.template)
    assert template_of(back)["metadata"]["labels"] == {"app": "shop"} and "nodeSelector" not in template_of(back)["spec"]
    assert back["spec"]["replicas"] == 3
    assert same_template(template_of(back), old.template) and not same_template(template_of(now), old.template)


def test_annotations_after_an_undo_are_those_of_the_revision_but_for_kubectls_own() -> None:
    now = workload()
    now["metadata"]["annotations"] = {kube_history.REVISION: "3", "kubectl.kubernetes.io/last-applied-configuration": "{}", "cause": "new", "extra": "x"}
    [old] = history(replicaset(1, "shop:1", cause="old"))
    assert kube_history.undone_annotations(now, old) == {
        kube_history.REVISION: "3", "kubectl.kubernetes.io/last-applied-configuration": "{}", "cause": "old"}  # fmt: skip


def test_controller_revisions_hold_a_template() -> None:
    template = {**template_of(workload("shop:1")), "$patch": "replace"}
    meta = {"name": "shop-abc", "ownerReferences": [{"uid": "uid-shop", "controller": True}]}
    item = {"metadata": meta, "revision": 4, "data": {"spec": {"template": template}}}
    [found] = kube_history.of_controller_revisions(workload(), [item])
    assert (found.number, version_of(found.template), "$patch" in found.template) == (4, "1", False)


# Selectors


@pytest.mark.parametrize("selector, labels, expected", [
    ({}, {}, True), ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True), ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
    ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
    ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
    ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
    ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
])  # fmt: skip
def test_selects(selector: Any, labels: dict[str, str], expected: bool) -> None:
    assert kube_selector.selects(selector, labels) is expected


def test_selectors_as_text() -> None:
    terms = [{"key": "t", "operator": "In", "values": ["a", "b"]}, {"key": "x", "operator": "Exists"}, {"key": "y", "operator": "DoesNotExist"}]
    assert kube_selector.text({"matchLabels": {"app": "shop"}, "matchExpressions": terms}) == "app=shop,t in (a,b),x,!y"


def test_overlap() -> None:
    stable, canary = workload(name="shop-stable"), workload(name="shop-canary")
    assert not kube_selector.overlap(stable, canary)
    template_of(canary)["metadata"]["labels"] = {"app": "shop-stable", "track": "canary"}
    assert kube_selector.overlap(stable, canary)


def test_a_sibling_has_the_labels_of_the_other_side_and_none_of_our_notes() -> None:
    stable = workload(name="shop-stable")
    stable["spec"]["selector"]["matchLabels"] = {"app": "shop", "color": "blue"}
    template_of(stable)["metadata"] = {"labels": {"app": "shop", "color": "blue"}, "annotations": {VERSION: "1", "mine": "x"}}
    made = kube_selector.sibling(stable, "shop-canary", "shop-canary")
    assert made is not None
    assert made["spec"]["selector"]["matchLabels"] == {"app": "shop", "color": "green"} == template_of(made)["metadata"]["labels"]
    assert template_of(made)["metadata"]["annotations"] == {"mine": "x"} and "uid" not in made["metadata"]
    assert not kube_selector.overlap(stable, made)
    stable["spec"]["selector"]["matchLabels"] = {"app": "shop"}
    assert kube_selector.sibling(stable, "shop-canary", "shop-canary") is None


# ConfigMaps


def test_a_config_map_is_named_by_its_content_and_references_follow() -> None:
    name = kube_config.named("settings", {"a": "1"}, "deployment/shop")
    assert name.startswith("settings-") and name != kube_config.named("settings", {"a": "2"}, "deployment/shop")
    assert name != kube_config.named("settings", {"a": "1"}, "deployment/pay"), "who tidies up asks nobody else"
    template = template_of(workload())
    template["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "settings"}}]
    other = {"name": "w", "configMap": {"name": "other-0123456789"}}
    template["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "settings-0123456789", "optional": True}}, other]
    after = kube_config.renamed(template, {"settings": name})
    assert after["spec"]["containers"][0]["envFrom"] == [{"configMapRef": {"name": name}}, {"secretRef": {"name": "settings"}}]
    assert after["spec"]["volumes"] == [{"name": "v", "configMap": {"name": name, "optional": True}}, other]
    assert kube_config.references(after) == {name, "other-0123456789"}
    assert kube_config.config_map("settings", {"a": "1"}, "deployment/shop")["immutable"] is True


def test_a_release_leads_its_template_to_its_own_config_maps() -> None:
    before = workload("shop:1")
    template_of(before)["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    after = release(before, Recipe(image="shop:${version}", configs={"settings": "settings-aaaaaaaaaa"}), "1")
    assert kube_config.references(template_of(after)) == {"settings-aaaaaaaaaa"}
    assert version_of(template_of(after)) == "1"


def test_old_config_maps_that_nobody_refers_to_are_unwanted() -> None:
    meta = {"labels": {kube_config.LABEL: "s"}, "annotations": {kube_config.OWNER: "deployment/shop"}}
    items = [{"metadata": {"name": f"s-{day}", "creationTimestamp": f"2026-01-0{day}T00:00:00Z", **meta}} for day in range(1, 9)]
    assert kube_config.unwanted(items, {"s-1"}, "deployment/shop") == ["s-2", "s-3"]
    assert kube_config.unwanted(items, (), "deployment/pay") == []


# Quotas


@pytest.mark.parametrize("text, expected", [("100m", "1/10"), ("1", "1"), ("1Gi", str(2**30)), ("1.5k", "1500"), ("2e3", "2000"), ("5M", "5000000")])
def test_quantities(text: str, expected: str) -> None:
    assert str(quantity(text)) == expected


def test_what_is_no_quantity_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not a quantity"):
        quantity("1 GB")


def test_room_in_a_quota() -> None:
    template = template_of(workload())
    template["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "200m", "memory": "1Gi"}, "requests": {"cpu": "100m"}}
    assert demand(template)["requests.cpu"] * 10 == 1 and demand(template)["requests.memory"] == 2**30
    quota = {"metadata": {"name": "q"}, "status": {"hard": {"pods": "5", "requests.cpu": "1"}, "used": {"pods": "3", "requests.cpu": "800m"}}}
    assert shortage([quota], template, 2) == ""
    assert shortage([quota], template, 3) == "quota q has 5 pods, 3 used, and 3 more Pods are needed"
    assert shortage([{**quota, "spec": {"scopes": ["BestEffort"]}}], template, 9) == ""


# Lint


def good() -> dict[str, Any]:
    manifest = workload()
    template_of(manifest)["spec"]["containers"][0].update(readinessProbe={"httpGet": {"port": 80}}, lifecycle={"preStop": {"sleep": {"seconds": 5}}})
    return manifest


def test_lint_is_quiet_where_nothing_lacks_and_names_the_fix_where_something_does() -> None:
    pdb = {"metadata": {"name": "shop"}, "spec": {"selector": {"matchLabels": {"app": "shop"}}, "maxUnavailable": 1}}
    assert list(kube_lint.lint(good(), "", [pdb])) == []
    found = "\n".join(kube_lint.lint(workload("shop", revisionHistoryLimit=0), "", []))
    for word in ("readinessProbe", "preStop", "revisionHistoryLimit", "another image tomorrow", "PodDisruptionBudget"):
        assert word in found
    assert list(kube_lint.lint(good(), "", None)) == []
    assert "no node can ever be drained" in "".join(kube_lint.lint(good(), "", [{**pdb, "spec": {**pdb["spec"], "maxUnavailable": 0}}]))
    slow = good()
    template_of(slow)["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] = 30
    assert "killed after 30 s" in "".join(kube_lint.lint(slow, "", [pdb]))


def test_what_breaks_kept_connections_is_said_with_the_option_that_helps() -> None:
    def notes(path: str, *, retired: bool, stop: Optional[dict[str, Any]] = None) -> str:
        manifest = good()
        if stop:
            template_of(manifest)["spec"]["containers"][0]["lifecycle"] = {"preStop": stop}
        return "\n".join(kube_lint.kept_connections(manifest, "", path, "rollout_workload.deployment", retired=retired))

    assert "Set rollout_workload.deployment.drain" in notes("", retired=True)
    assert notes("", retired=False) == ""
    assert "preStop does not call /drain" in notes("/drain", retired=True)
    assert notes("/drain", retired=True, stop={"httpGet": {"path": "/drain?wait=8s", "port": 8080}}) == ""
    assert notes("/drain", retired=False, stop={"exec": {"command": ["/bin/drain"]}}) == ""


# Rights


def test_the_core_rights_are_few_and_every_option_adds_its_own() -> None:
    for kind, pairs in WORKLOAD.items():
        assert len(pairs) <= 5 and set(needed(kind, ())) < set(pairs)
        assert ("pods/proxy", "create") in needed(kind, ("drain",))
        assert (pairs[0][0], "create") in needed(kind, ("create_missing",))
    assert set(OPTION) == {"config_maps", "create_missing", "drain", "hpa"}
    assert not set(NICE) & {pair for pairs in WORKLOAD.values() for pair in pairs}
