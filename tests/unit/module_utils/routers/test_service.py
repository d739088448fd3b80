# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, ENDPOINTSLICES, PODS, SERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Condition, MatchRoute, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.routers.service import ServiceRouter, edit
from ansible_collections.progressive.delivery.tests.contract.harness_kube import FakeCluster, deployment, service

SELECTORS = {"stable": {"color": "blue"}, "canary": {"color": "green"}}
BLUE, GREEN = Routes({"stable": Fraction(100), "canary": Fraction(0)}), Routes({"stable": Fraction(0), "canary": Fraction(100)})


@pytest.fixture
def kube():
    cluster = FakeCluster()
    for slot in SELECTORS:
        cluster.put(DEPLOYMENTS, deployment(slot, 2))
    cluster.put(SERVICES, service("shop", color="blue"))
    return cluster


def made(kube, **options):
    raw = {"name": "shop", **({} if "workload" in options else {"selectors": SELECTORS}), **options}
    return ServiceRouter.from_options(validate(raw, ServiceRouter.OPTIONS, "service"), {}, kube)


def test_a_switch_is_one_read_and_one_write(kube):
    made(kube).write(GREEN)
    assert kube.reads == [("get", "services", "shop")]
    [(verb, plural, name, body)] = kube.writes
    assert (verb, plural, name) == ("patch", "services", "shop")
    assert body["spec"] == {"selector": {"color": "green"}}
    assert body["metadata"]["resourceVersion"]
    assert kube.get(SERVICES, "shop")["spec"]["selector"] == {"app": "shop", "color": "green"}


def test_the_labels_come_from_the_two_workloads(kube):
    router = made(kube, workload={"deployment": {"stable": "shop-stable", "canary": "shop-canary"}})
    assert router.selectors() == SELECTORS
    assert router.read() == BLUE


@pytest.mark.parametrize("slot", ["stable", "canary"])
def test_a_workload_that_the_release_will_make_counts_as_what_it_will_be(kube, slot):
    kube.delete(DEPLOYMENTS, f"shop-{slot}")
    router = made(kube, workload={"deployment": {"stable": "shop-stable", "canary": "shop-canary"}})
    assert router.selectors() == SELECTORS


def test_workloads_that_match_the_same_pods_are_refused(kube):
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: body["spec"]["selector"]["matchLabels"].update(color="blue"))
    with pytest.raises(ConfigError, match="no label tells the slots apart: both workloads match app=shop,color=blue"):
        made(kube, workload={"deployment": {"stable": "shop-stable", "canary": "shop-canary"}}).read()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"selectors": {"stable": {"app": "shop"}, "canary": {"app": "shop", "track": "canary"}}}, "may find the same Pods"),
        ({"selectors": {"stable": {"color": "blue"}, "canary": {"color": "blue"}}}, "may find the same Pods"),
        ({"selectors": {"stable": {"version": 1}, "canary": {"version": 2}}}, "Put it in quotes"),
        ({"selectors": {"stable": {"color": True}, "canary": {"color": "green"}}}, "service.selectors.stable.color"),
        ({"selectors": {"stable": {}, "canary": {"color": "green"}}}, "no label is named"),
        ({"selectors": {"stable": {"color": "blue"}}}, "canary is missing"),
        ({"preview": "shop"}, "is the Service itself"),
        ({"workload": {}}, "the workload of the slots is not known"),
        ({"workload": {"deploiment": {}}}, "Did you mean deployment"),
        ({"workload": {"deployment": {"stable": "shop", "canary": "shop"}}}, "two workloads are wanted"),
    ],
)
def test_options_that_cannot_be(kube, options, said):
    with pytest.raises(ConfigError) as caught:
        made(kube, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(("labels", "said"), [({"color": "red"}, "means neither slot"), ({}, "finds the Pods of both slots")])
def test_a_selector_that_means_no_slot_is_named_with_the_way_out(kube, labels, said):
    kube.put(SERVICES, service("shop", **labels))
    with pytest.raises(ConfigError) as caught:
        made(kube).read()
    assert said in str(caught.value)
    assert "kubectl -n shop patch service shop -p '{\"spec\":{\"selector\":{\"color\":\"blue\"}}}'" in str(caught.value)


def test_a_service_without_a_selector_is_refused(kube):
    kube.put(SERVICES, {"metadata": {"name": "shop"}, "spec": {"type": "ExternalName", "externalName": "example.com"}})
    with pytest.raises(ConfigError, match=r"Service shop/shop: has no selector"):
        made(kube).read()


def test_a_service_that_is_not_there_is_named(kube):
    with pytest.raises(ConfigError, match="there is no Service shap in namespace shop"):
        made(kube, name="shap").read()


def test_the_preview_leads_where_no_traffic_is(kube):
    kube.put(SERVICES, service("shop-preview", color="blue"))
    router = made(kube, preview="shop-preview")
    assert router.capabilities == {Capability.PREVIEW}
    assert "Service shop-preview is app=shop,color=blue" in router.observe(BLUE).why
    router.write(BLUE)
    assert kube.get(SERVICES, "shop-preview")["spec"]["selector"]["color"] == "green"
    assert router.observe(BLUE).applied
    kube.writes.clear()
    router.write(GREEN)
    assert [name for _verb, _plural, name, _body in kube.writes] == ["shop", "shop-preview"]
    assert kube.get(SERVICES, "shop-preview")["spec"]["selector"]["color"] == "blue"


def test_a_switch_is_applied_when_the_endpoints_have_followed(kube):
    router = made(kube)
    before = kube.list
    stale = kube.list(ENDPOINTSLICES)
    router.write(GREEN)
    kube.list = lambda resource, *args, **more: stale if resource == ENDPOINTSLICES else before(resource, *args, **more)
    assert router.observe(GREEN).why == "2 endpoints of stable still there in Service shop"
    del stale[0]["endpoints"][:]
    assert router.observe(GREEN).why == "2 of 2 ready Pods of canary not yet among the endpoints of Service shop"
    stale[0]["endpoints"] = [{"conditions": {}, "addresses": ["10.0.0.9"]}]
    assert router.observe(GREEN).why == "1 endpoint of others (10.0.0.9) still there in Service shop"
    kube.list = before
    assert router.observe(GREEN).applied


def test_a_slot_without_ready_pods_is_not_applied(kube):
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: body["spec"].update(replicas=0))
    router = made(kube)
    router.write(GREEN)
    assert router.observe(GREEN).why == "Service shop has no ready endpoint of canary"


def test_whoever_changed_the_selector_is_named(kube):
    ours = {"manager": "progressive.delivery", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:selector": {}}}}
    theirs = {"manager": "kubectl-edit", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:selector": {"f:color": {}}}}}
    other = {"manager": "cloud", "time": "2026-01-03T00:00:00Z", "fieldsV1": {"f:status": {}}}
    kube.edit(SERVICES, "shop", lambda body: body["metadata"].update(managedFields=[ours, theirs, other]))
    assert made(kube).observe(GREEN).why.endswith("is app=shop,color=blue (last changed by kubectl-edit at 2026-01-02T00:00:00Z)")
    kube.edit(SERVICES, "shop", lambda body: body["metadata"].update(managedFields=[ours, other]))
    assert made(kube).observe(GREEN).why.endswith("is app=shop,color=blue")


def test_somebody_elses_write_in_between_is_kept_and_ours_is_tried_again(kube):
    raced = []

    def race(verb, _resource, name):
        if verb == "patch" and len(raced) < 2:
            raced.append(name)
            kube.edit(SERVICES, "shop", lambda body: body["spec"].update(sessionAffinity=f"try {len(raced)}"))

    kube.before = race
    made(kube).write(GREEN)
    live = kube.get(SERVICES, "shop")["spec"]
    assert (live["selector"]["color"], live["sessionAffinity"]) == ("green", "try 2")


def test_a_write_that_always_comes_too_late_is_a_conflict(kube):
    kube.before = lambda verb, _resource, _name: verb == "patch" and kube.edit(SERVICES, "shop", lambda body: None)
    with pytest.raises(Conflict):
        made(kube).write(GREEN)
    assert kube.writes == []


@pytest.mark.parametrize(
    "want",
    [
        Routes({"stable": Fraction(95), "canary": Fraction(5)}),
        Routes(BLUE.weights, mirror=Mirror(Fraction(10))),
        Routes(BLUE.weights, matches=(MatchRoute("beta", ((Condition("header", "x", "exact", "1"),),)),)),
        Routes(BLUE.weights, {"stable": (Member("web1"),)}),
    ],
)
def test_what_no_selector_can_do_is_refused(kube, want):
    with pytest.raises(Unsupported):
        made(kube).write(want)
    assert kube.writes == []


def test_every_other_field_survives_an_edit():
    spec = {"selector": {"app": "shop", "color": "blue"}, "ports": [{"port": 1}], "type": "NodePort"}
    manifest = {"metadata": {"name": "shop", "annotations": {"a": "b"}}, "spec": spec, "status": {}}
    there = edit(manifest, GREEN, SELECTORS)
    assert edit(there, BLUE, SELECTORS) == manifest
    assert {**there, "spec": {**there["spec"], "selector": manifest["spec"]["selector"]}} == manifest


def test_pods_of_others_with_the_same_label_do_not_count(kube):
    stranger = deployment("canary", 1)
    stranger["metadata"]["name"] = "other"
    stranger["spec"]["template"]["metadata"]["labels"] = {"app": "other", "color": "green"}
    kube.put(DEPLOYMENTS, stranger)
    router = made(kube)
    router.write(GREEN)
    assert router.observe(GREEN).applied
    assert len(kube.list(PODS)) == 5


@pytest.mark.parametrize("gone", [True, False])
def test_a_candidate_that_somebody_deletes_keeps_nobody_from_stable(kube, gone):
    """Its labels are nobody's guess: all that is left of them is where the Service leads."""
    for slot, version in (("stable", "v1"), ("canary", "v2")):
        labels = {"app": "shop", "release": version}
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
        kube.edit(DEPLOYMENTS, f"shop-{slot}", lambda body, spec=spec: body["spec"].update(spec))
    kube.edit(SERVICES, "shop", lambda body: body["spec"].update(selector={"release": "v1"}))
    workload = {"deployment": {"stable": "shop-stable", "canary": "shop-canary"}}
    made(kube, workload=workload).write(GREEN)
    assert kube.get(SERVICES, "shop")["spec"]["selector"]["release"] == "v2"
    if gone:
        kube.delete(DEPLOYMENTS, "shop-canary")
    router = made(kube, workload=workload)
    router.write(BLUE)
    assert router.observe(BLUE).applied
    assert kube.get(SERVICES, "shop")["spec"]["selector"] == {"release": "v1"}
