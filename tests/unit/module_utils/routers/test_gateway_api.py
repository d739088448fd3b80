# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import NoSuchResource
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS, ENDPOINTSLICES, GATEWAYS, HTTPROUTES, SERVICES
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Condition, MatchRoute, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import Addressed, Heedful, Holding, Reaching, Rehearsing
from ansible_collections.progressive.delivery.plugins.module_utils.routers.gateway_api import GatewayApiRouter
from ansible_collections.progressive.delivery.tests.contract.harness_kube import COLORS, FakeCluster, deployment, http_route, service, taken
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

TESTERS = (MatchRoute("testers", ((Condition("header", "canary", "exact", "true"),),)),)


def split(canary, **more):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


@pytest.fixture
def kube():
    return peopled(FakeCluster())


def peopled(cluster):
    """The cluster with two slots, their Services, a route and its Gateway."""
    for slot, color in COLORS.items():
        cluster.put(DEPLOYMENTS, deployment(slot, 2))
        cluster.put(SERVICES, service(f"shop-{slot}", color=color))
    cluster.put(HTTPROUTES, http_route())
    cluster.put(GATEWAYS, {"metadata": {"name": "public"}, "spec": {}})
    return cluster


def made(kube, **options):
    raw = {"http_route": "shop", "workload": {"deployment": {"stable": "shop-stable", "canary": "shop-canary"}}, **options}
    return GatewayApiRouter.from_options(validate(raw, GatewayApiRouter.OPTIONS, "gateway_api"), {}, kube)


def weights(kube, name="shop"):
    return [ref["weight"] for ref in kube.get(HTTPROUTES, name)["spec"]["rules"][-1]["backendRefs"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"http_route": None}, "no HTTPRoute is named"),
        ({"http_routes": ["shop"]}, "named twice"),
        ({"preview": "shop"}, "named twice"),
        ({"stable": "shop-canary"}, "stable and canary are the same Service"),
        ({"workload": {}}, "the workload of the slots is not known"),
        ({"total": 99}, "99"),
        ({"envoys": [{"admin": "http://127.0.0.1:1"}, {"admin": "http://127.0.0.1:1/"}]}, "the same admin interface"),
        ({"envoys": [{"admin": "http://127.0.0.1:1"}], "clusters": {"stable": "S"}}, "a cluster for each slot"),
        ({"affinity": {"cookie": {"name": "a", "path": "/"}}}, "the Gateway API does not let one say a path"),
        ({"http_rute": "x"}, "Did you mean http_route"),
    ],
)
def test_options_that_cannot_be(kube, options, said):
    with pytest.raises(ConfigError) as caught:
        made(kube, **options)
    assert said in str(caught.value)


def test_services_are_called_like_the_workloads_or_as_said(kube):
    assert made(kube).layout.backends == {"stable": "shop-stable", "canary": "shop-canary"}
    assert made(kube, stable="a", canary="b", workload={}).layout.backends == {"stable": "a", "canary": "b"}


def test_what_it_can_do_depends_on_what_it_is_told(kube):
    assert Capability.MEASURE not in made(kube).capabilities
    assert Capability.MEASURE in made(kube, envoys=[{"admin": "http://127.0.0.1:1"}]).capabilities
    assert Capability.PREVIEW not in made(kube).capabilities
    assert Capability.PREVIEW in made(kube, preview="other").capabilities
    assert made(kube, total=1000).resolution == 1000
    router = made(kube, preview="other")
    assert isinstance(router, Addressed) and isinstance(router, Heedful) and isinstance(router, Rehearsing)
    assert router.objects == ("httproute/shop", "httproute/other")


def test_a_write_after_a_read_is_one_patch_of_the_rules(kube):
    router = made(kube)
    router.read()
    kube.reads.clear()
    router.write(split(5))
    assert [read for read in kube.reads if read[1] == "httproutes"] == []
    [(verb, plural, name, body)] = kube.writes
    assert (verb, plural, name, list(body["spec"])) == ("patch", "httproutes", "shop", ["rules"])
    assert body["metadata"]["resourceVersion"]
    assert weights(kube) == [95, 5]


def test_somebody_elses_write_in_between_is_kept(kube):
    router = made(kube)
    router.read()
    kube.edit(HTTPROUTES, "shop", lambda body: body["spec"].update(hostnames=["shop.example"]))
    router.write(split(5))
    assert kube.get(HTTPROUTES, "shop")["spec"]["hostnames"] == ["shop.example"]
    assert weights(kube) == [95, 5]


def test_a_write_that_always_comes_too_late_is_a_conflict(kube):
    def race(verb, resource, name):
        if verb == "patch" and resource == HTTPROUTES:
            kube.edit(HTTPROUTES, "shop", lambda body: body)

    kube.before = race
    with pytest.raises(Conflict):
        made(kube).write(split(5))
    assert weights(kube) == [100, 0]


@pytest.mark.parametrize("want", [split(5), split(0, matches=TESTERS), split(0, mirror=Mirror(Fraction(5)))], ids=["weight", "match", "mirror"])
def test_a_service_without_ready_endpoints_gets_nothing_more(kube, want):
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: body["spec"].update(replicas=0))
    router = made(kube)
    with pytest.raises(
        Unavailable, match=r"HTTPRoute shop/shop: Service shop-canary \(canary\) has no ready endpoint. It gets requests when its Pods are ready"
    ):
        router.write(want)
    assert kube.writes == []
    assert router.unready(want) == "Service shop-canary (canary) has no ready endpoint"
    assert router.unready(split(0)) == ""
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: body["spec"].update(replicas=1))
    assert router.unready(want) == ""
    router.write(want)


def test_the_way_back_asks_for_stable_alone(kube):
    router = made(kube)
    router.write(split(50, matches=TESTERS))
    kube.edit(DEPLOYMENTS, "shop-canary", lambda body: body["spec"].update(replicas=0))
    assert "Service shop-canary (canary) has no ready endpoint" in router.observe(split(50, matches=TESTERS)).why
    router.write(split(0))
    assert router.observe(split(0)).applied
    router.write(split(0))


def test_stable_without_pods_is_not_gone_back_to(kube):
    router = made(kube)
    router.write(split(100))
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: body["spec"].update(replicas=0))
    with pytest.raises(Unavailable, match=r"Service shop-stable \(stable\)"):
        router.write(split(0))
    assert weights(kube) == [0, 100]


def test_what_its_controller_has_not_taken_is_not_applied(kube):
    router = made(kube)
    kube.edit(HTTPROUTES, "shop", lambda body: body.update(status=taken(body)))
    router.write(split(5))
    assert router.observe(split(5)).why == (
        "HTTPRoute shop at Gateway public: its controller has not seen the last change yet (Accepted is about generation 1 of 2)")  # fmt: skip
    kube.edit(HTTPROUTES, "shop", lambda body: body.update(status=taken(body)))
    assert router.observe(split(5)).applied


def test_a_gateway_that_is_not_programmed_or_not_there_is_said(kube):
    router = made(kube)
    router.write(split(5))
    kube.edit(GATEWAYS, "public", lambda body: body.update(status={"conditions": [
        {"type": "Programmed", "status": "False", "reason": "Invalid", "message": "no certificate", "observedGeneration": 1}]}))  # fmt: skip
    assert router.observe(split(5)).why == "Gateway shop/public: Programmed is False: Invalid: no certificate"
    kube.remove(GATEWAYS, "public")
    assert router.observe(split(5)).why == "there is no Gateway shop/public"


def test_a_gateway_that_may_not_be_read_is_left_out_and_said_once(kube):
    kube.forbid("get", "gateways")
    router = made(kube)
    router.write(split(5))
    assert router.observe(split(5)).applied
    assert router.warnings() == ["may not get Gateway shop/public: whether it is programmed is not looked at"]


def test_services_with_the_same_pods_are_no_two(kube):
    kube.edit(SERVICES, "shop-canary", lambda body: body["spec"].update(selector={"app": "shop"}))
    [line] = made(kube).warnings()
    assert line.startswith("Services shop-stable and shop-canary lead to the same Pods (shop-stable-0, shop-stable-1)")


def test_whoever_changed_the_rules_is_named(kube):
    theirs = {"manager": "kubectl-edit", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:rules": {}}}}
    kube.edit(HTTPROUTES, "shop", lambda body: body["metadata"].update(managedFields=[theirs]))
    seen = made(kube).observe(split(5))
    assert seen.why == "HTTPRoute shop: stable has 100 % instead of 95 % (last changed by kubectl-edit at 2026-01-02T00:00:00Z)"
    assert (seen.applied, seen.standing, seen.by) == (False, False, "kubectl-edit")


def test_what_only_has_to_follow_is_not_written_again(kube):
    router = made(kube)
    kube.edit(HTTPROUTES, "shop", lambda body: body.update(status=taken(body)))
    router.write(split(5))
    seen = router.observe(split(5))
    assert (seen.applied, seen.standing, seen.by) == (False, True, "")


def test_a_plan_for_a_route_that_its_controller_refuses_is_refused(kube):
    def refuse(body):
        body["status"] = taken(body)
        body["status"]["parents"][0]["conditions"][0] = {
            "type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "observedGeneration": 1}  # fmt: skip

    kube.edit(HTTPROUTES, "shop", refuse)
    with pytest.raises(ConfigError, match=r"not in force now, so no change of it would be: .*Accepted is False: NotAllowedByListeners"):
        made(kube).rehearse(split(5))


def test_several_routes_are_one_router_and_all_are_worked_out_first(kube):
    kube.put(HTTPROUTES, http_route("inside"))
    router = made(kube, http_route=None, http_routes=["shop", "inside"])
    router.write(split(5))
    assert weights(kube) == weights(kube, "inside") == [95, 5]
    kube.edit(HTTPROUTES, "inside", lambda body: body["spec"].update(rules=[]))
    with pytest.raises(ConfigError, match="no rule holds"):
        router.write(split(50))
    assert weights(kube) == [95, 5]


def test_the_preview_is_turned(kube):
    kube.put(HTTPROUTES, http_route("preview"))
    router = made(kube, preview="preview")
    for canary, there in ((0, [0, 100]), (50, [0, 100]), (100, [100, 0])):
        router.write(split(canary))
        assert weights(kube, "preview") == there
        assert router.observe(split(canary)).applied
    assert router.read() == split(100)


def test_release_removes_our_rules_and_keeps_the_weights(kube):
    router = made(kube)
    router.write(split(20, matches=TESTERS, mirror=Mirror(Fraction(5))))
    assert len(kube.get(HTTPROUTES, "shop")["spec"]["rules"]) == 3
    router.release()
    assert len(kube.get(HTTPROUTES, "shop")["spec"]["rules"]) == 1
    assert router.read() == split(20)
    kube.writes.clear()
    router.release()
    assert kube.writes == []


def test_a_rehearsal_writes_nothing_and_hears_what_the_write_would(kube):
    router = made(kube)
    router.rehearse(split(5))
    assert kube.writes == []
    kube.forbid("patch", "httproutes")
    with pytest.raises(ConfigError, match=r"may not patch httproutes.gateway.networking.k8s.io in shop as tester"):
        router.rehearse(split(5))


def test_single_servers_have_no_weights_here(kube):
    with pytest.raises(Unsupported, match="no weights of single servers"):
        made(kube).write(Routes(split(5).weights, {"canary": (Member("web1"),)}))
    assert kube.writes == []


def test_a_cluster_without_the_gateway_api_says_so():
    with pytest.raises(NoSuchResource, match=r"does not serve httproutes.gateway.networking.k8s.io in version v1\. Install its CustomResourceDefinition"):
        made(FakeKube(absent=(HTTPROUTES,))).read()


def test_a_route_that_is_not_there_is_named(kube):
    with pytest.raises(ConfigError, match="there is no HTTPRoute shap in namespace shop"):
        made(kube, http_route="shap").read()


def test_endpoints_that_are_not_ready_do_not_count(kube):
    router = made(kube)
    before = kube.list

    def slices(resource, *args, **more):
        found = before(resource, *args, **more)
        if resource == ENDPOINTSLICES:
            for endpoint in (endpoint for piece in found for endpoint in piece["endpoints"]):
                endpoint["conditions"]["ready"] = False
        return found

    kube.list = slices
    assert router.unready(split(5)) == "Service shop-canary (canary) has no ready endpoint"


AFFINITY = {"affinity": {"cookie": {"name": "shop-session"}}}


class Standard(FakeCluster):
    """A cluster with the API's standard channel: what its schema does not know is dropped without a word."""

    def patch(self, resource, name, body, *args, **more):
        if resource == HTTPROUTES and "spec" in body:
            kept = [{field: value for field, value in rule.items() if field != "sessionPersistence"} for rule in body["spec"]["rules"]]
            body = {**body, "spec": {**body["spec"], "rules": kept}}
        return super().patch(resource, name, body, *args, **more)


def name_of(kube):
    return (kube.get(HTTPROUTES, "shop")["spec"]["rules"][-1].get("sessionPersistence") or {}).get("sessionName")


def test_sessions_are_held_with_the_first_weight_and_end_with_the_last(kube):
    router = made(kube, **AFFINITY)
    first, interplay = router.sessions()
    assert isinstance(router, Holding) and "from the first weight on" in first and "at 0 % sessions begin anew" in interplay
    router.rehearse(split(5))
    assert kube.writes == []
    router.write(split(5))
    assert (name_of(kube), weights(kube)) == ("shop-session", [95, 5])
    assert router.observe(split(5)).applied and "already" in router.sessions()[0]
    assert len(kube.writes) == 1
    kube.edit(HTTPROUTES, "shop", lambda body: body["spec"]["rules"][0].pop("sessionPersistence"))
    assert not router.observe(split(5)).applied
    router.write(split(5))
    router.write(split(0))
    assert (name_of(kube), weights(kube)) == ("shop-session-2", [100, 0])
    assert router.observe(split(0)).applied and router.read() == split(0)


def test_shares_of_sessions_are_not_measured(kube):
    envoys = {"envoys": [{"admin": "http://127.0.0.1:1"}]}
    assert Capability.MEASURE in made(kube, **envoys).capabilities
    assert Capability.MEASURE not in made(kube, **envoys, **AFFINITY).capabilities


def test_a_cluster_without_the_field_is_told_beforehand_and_loses_no_way_back():
    cluster = peopled(Standard())
    router = made(cluster, **AFFINITY)
    with pytest.raises(Unsupported, match="HTTPRoutes of this cluster have no sessionPersistence.*experimental channel"):
        router.sessions()
    assert cluster.writes == []
    router.write(split(0))
    assert router.observe(split(0)).applied


def test_a_server_that_refuses_to_hold_sessions_loses_no_way_back(kube):
    made(kube).write(split(50))

    def picky(verb, resource, name):
        if verb == "patch" and resource == HTTPROUTES and not tried:
            tried.append(name)
            raise ConfigError("denied by a policy")

    for canary in (60, 0):
        tried: list[str] = []
        kube.before = picky
        if canary:
            with pytest.raises(ConfigError, match="denied"):
                made(kube, **AFFINITY).write(split(canary))
        else:
            made(kube, **AFFINITY).write(split(canary))
    assert weights(kube) == [100, 0] and name_of(kube) is None


def test_the_preview_holds_nobody(kube):
    kube.put(HTTPROUTES, http_route("preview"))
    made(kube, preview="preview", **AFFINITY).write(split(5))
    assert "sessionPersistence" not in kube.get(HTTPROUTES, "preview")["spec"]["rules"][0]


def test_sessions_that_a_rule_holds_by_itself_are_warned_of(kube):
    kube.edit(HTTPROUTES, "shop", lambda body: body["spec"]["rules"][0].update(sessionPersistence={"sessionName": "mine", "type": "Cookie"}))
    [line] = made(kube).warnings()
    assert "HTTPRoute shop holds sessions (sessionPersistence), by the API's rules even at 0 %" in line and "Say affinity" in line
    with pytest.raises(ConfigError, match="held by the cookie mine already"):
        made(kube, **AFFINITY).sessions()


@pytest.mark.parametrize("options", [{"http_routes": ["shop", "api"], "http_route": None}, {"preview": "api"}], ids=["one of two", "preview"])
@pytest.mark.parametrize("how", ["deleted", "without its rule", "both"])
def test_on_the_way_back_a_route_that_went_keeps_nobody_else_from_stable(kube, options, how):
    kube.put(HTTPROUTES, http_route("api"))
    router = made(kube, **options)
    router.write(split(100))
    if how == "deleted":
        kube.remove(HTTPROUTES, "api")
    else:
        for name in ("api", "shop") if how == "both" else ("api",):
            kube.edit(HTTPROUTES, name, lambda body: body["spec"].update(rules=[]))
    with pytest.raises(ConfigError):
        router.write(split(0))
    assert isinstance(router, Reaching)
    if how == "both":
        with pytest.raises(ConfigError, match="no rule holds"):
            router.write_reachable(split(0))
        return
    assert list(router.write_reachable(split(0))) == ["api"]
    assert weights(kube) == [100, 0]


def test_on_the_way_back_nobody_is_led_to_a_stable_that_does_not_answer(kube):
    router = made(kube)
    router.write(split(100))
    kube.edit(DEPLOYMENTS, "shop-stable", lambda body: body["spec"].update(replicas=0))
    with pytest.raises(Unavailable, match="has no ready endpoint"):
        router.write_reachable(split(0))
    assert weights(kube) == [0, 100]
