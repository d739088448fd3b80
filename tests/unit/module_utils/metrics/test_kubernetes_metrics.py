# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster says of Pods, over the wire: restarts, readiness, and the metrics API; and what it may say without being believed."""

from __future__ import annotations

import copy
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.assess import Tally, assess, close
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, NoData, Stale, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Verdict, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.kubernetes import KubernetesProvider
from ansible_collections.progressive.delivery.tests.unit.kube_server import HANG_UP, ApiServer, Reply, Seen, status

NOW = 1_800_000_000.0
LABELS = {"track": "canary", "workload": "shop-canary", "namespace": "shop", "kind": "deployment", "container": "", "version": "2"}
WINDOW = Window("canary", NOW - 60, NOW, LABELS)
RECORDED = Path(__file__).parent / "recorded" / "metrics-server.json"
"""``kubectl get --raw /apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=app=shop-canary`` in the form of metrics-server, with quantities in
nanocores, millicores and Ki as it writes them."""


def stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def pod(
    name: str, restarts: int = 0, *, age: float = 3600, ended: float | None = None, ready: bool = True, phase: str = "Running", uid: str = ""
) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "finishedAt": stamp(NOW - ended)}} if ended is not None else {}
    container = {"name": "app", "restartCount": restarts, "lastState": last, "state": {"running": {}}, "ready": ready}
    return {
        "metadata": {"name": name, "uid": uid or f"uid-{name}", "creationTimestamp": stamp(NOW - age)},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}], "containerStatuses": [container]},
    }  # fmt: skip


class World:
    """An API server with one Deployment. Whatever is set here is what it answers."""

    def __init__(self) -> None:
        self.manifest: Any = {"metadata": {"name": "shop-canary"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop-canary"}}}, "status": {}}
        self.pods: Any = [pod("a"), pod("b")]
        self.metrics: Any = None
        self.lies: dict[str, Reply] = {}  # by the end of a path
        self.seen: list[str] = []

    def __call__(self, request: Seen) -> Reply:
        path, _mark, query = request.path.partition("?")
        self.seen.append(urllib.parse.unquote(request.path))
        for end, lie in self.lies.items():
            if path.endswith(end) and "fieldSelector" not in query:
                return lie
        if path.endswith("/deployments/shop-canary"):
            return Reply(self.manifest)
        if path.startswith("/apis/metrics.k8s.io/"):
            return status(404, "NotFound", "404 page not found") if self.metrics is None else Reply(self.metrics)
        return Reply({"items": self.pods})


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def provider(world: World) -> Iterator[KubernetesProvider]:
    with ApiServer(world) as server:
        given = {"host": server.url, "api_key": "hush-hush", "namespace": "elsewhere"}
        made = KubernetesProvider.from_options(validate(given, KubernetesProvider.OPTIONS, "kubernetes"), {})
        made._clock = lambda: NOW
        yield made
        made.kube.close()


def value(provider: KubernetesProvider, query: str, window: Window = WINDOW) -> float:
    [sample] = provider.query(query, window).samples
    [point] = sample.points
    assert point.n is None
    return point.value


def at(start: float, end: float) -> Window:
    return Window("canary", NOW + start, NOW + end, LABELS)


def test_ready_is_a_share_of_those_that_should_be(provider: KubernetesProvider, world: World) -> None:
    provider.probe()
    assert value(provider, "ready") == 1.0
    world.pods = [pod("a"), pod("b", ready=False)]
    assert value(provider, "ready") == 0.5
    world.pods = [pod("a")]
    assert value(provider, "ready") == 0.5, "one is missing"
    world.pods = []
    assert value(provider, "ready") == 0.0
    world.pods = [pod("a"), pod("b"), pod("c", ready=False), pod("d", ready=False)]
    assert value(provider, "ready") == 0.5, "those beyond the number count as well: a rolling update hides behind the old ones else"
    gone = pod("c", ready=False)
    gone["metadata"]["deletionTimestamp"] = stamp(NOW)
    world.pods = [pod("a"), pod("b"), gone, pod("d", ready=False, phase="Failed")]
    assert value(provider, "ready") == 1.0
    world.manifest["spec"]["replicas"], world.pods = 0, []
    with pytest.raises(NoData, match="scaled to 0"):
        provider.query("ready", WINDOW)
    assert any("/namespaces/shop/pods?" in path and "labelSelector=app=shop-canary" in path for path in world.seen)


@pytest.mark.parametrize(
    ("pods", "restarts"),
    [
        ([pod("a"), pod("b")], 0),
        ([pod("a", 7), pod("b", 3)], 0),  # long ago
        ([pod("a", 7, ended=3000)], 0),
        ([pod("a", 7, ended=30)], 1),  # at least that one
        ([pod("a", 7, age=30)], 7),  # younger than the window: all of them
        ([pod("a", 1, ended=10), pod("b", 2, age=5)], 3),
        ([pod("a", 0, ended=10)], 0),
    ],
)
def test_restarts_at_the_first_look(provider: KubernetesProvider, world: World, pods: list[Any], restarts: int) -> None:
    world.pods = pods
    assert value(provider, "restarts") == restarts
    assert provider.query("", Window("canary", NOW - 60, NOW, LABELS, builtin="restarts")).samples[0].points[0].value == restarts


def test_restarts_since_an_earlier_look(provider: KubernetesProvider, world: World) -> None:
    clock = [NOW]
    provider._clock = lambda: clock[0]
    world.pods = [pod("a", 5)]
    assert value(provider, "restarts", at(-10, 0)) == 0
    clock[0], world.pods = NOW + 60, [pod("a", 8)]
    assert value(provider, "restarts", at(0, 60)) == 3
    clock[0], world.pods = NOW + 120, [pod("a", 9)]
    assert value(provider, "restarts", at(60, 120)) == 1
    assert value(provider, "restarts", at(10, 120)) == 1, "the look that lies within the window is what is left to compare with"
    world.pods = [pod("a", 2, uid="another", age=30)]
    clock[0] = NOW + 180
    assert value(provider, "restarts", at(120, 180)) == 0, "made before the window, at rest since"
    assert value(provider, "restarts", at(-60, 180)) == 2


def test_restarts_of_one_container_and_of_those_that_begin(provider: KubernetesProvider, world: World) -> None:
    two = pod("a", 2, age=5)
    two["status"]["containerStatuses"].append({"name": "proxy", "restartCount": 40})
    two["status"]["initContainerStatuses"] = [{"name": "migrate", "restartCount": 3}]
    world.pods = [two]
    assert value(provider, "restarts") == 45
    assert value(provider, "restarts", Window("canary", NOW - 60, NOW, {**LABELS, "container": "app"})) == 2


def test_memory_and_cpu_of_an_answer_as_metrics_server_writes_it(provider: KubernetesProvider, world: World) -> None:
    world.metrics = json.loads(RECORDED.read_text())
    names = [each["metadata"]["name"] for each in world.metrics["items"]]
    world.pods = [pod(name) for name in names]
    for each in world.metrics["items"]:
        each["timestamp"] = stamp(NOW - 20)
    assert value(provider, "memory") == 61284 * 1024
    assert value(provider, "cpu") == pytest.approx(0.212_408_127)
    only = Window("canary", NOW - 60, NOW, {**LABELS, "container": "app"})
    assert value(provider, "memory", only) == 48 * 1024 * 1024
    assert provider.query("", Window("canary", NOW - 60, NOW, LABELS, builtin="memory")).samples[0].points[0].value == 61284 * 1024
    world.pods.append(pod("fresh", phase="Pending"))
    assert value(provider, "memory") == 61284 * 1024
    world.pods.append(pod("unmeasured"))
    with pytest.raises(Unavailable, match="1 of 3 running Pods are not measured, such as unmeasured"):
        provider.query("memory", WINDOW)
    world.pods = [pod("unmeasured")]
    with pytest.raises(NoData, match="none of its Pods has been measured"):
        provider.query("cpu", WINDOW)


def test_without_a_metrics_api(provider: KubernetesProvider) -> None:
    with pytest.raises(Unsupported, match="no metrics API, so memory is not known"):
        provider.query("memory", WINDOW)


def test_a_missing_right_is_named(provider: KubernetesProvider, world: World) -> None:
    denied = 'pods.metrics.k8s.io is forbidden: User "system:serviceaccount:ci:deployer" cannot list resource "pods" in API group "metrics.k8s.io"'
    world.lies["v1beta1/namespaces/shop/pods"] = status(403, "Forbidden", denied)
    with pytest.raises(ConfigError, match=r"may not list pods.metrics.k8s.io in shop as system:serviceaccount:ci:deployer.*examples/rbac"):
        provider.query("memory", WINDOW)


def each_metric(**fields: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        for item in world.metrics["items"]:
            item.update(copy.deepcopy(fields))

    return change


def container(**fields: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.pods[0]["status"]["containerStatuses"][0].update(fields)

    return change


def lie(path: str, reply: Reply) -> Callable[[World], None]:
    return lambda world: world.lies.update({path: reply})


PODS, OBJECT, METRICS = "v1/namespaces/shop/pods", "/deployments/shop-canary", "v1beta1/namespaces/shop/pods"
HTML = Reply(b"<html>please log in</html>", headers={"content-type": "text/html"})
BAD: dict[str, tuple[str, Callable[[World], Any], type[DeliveryError]]] = {
    "no workload": ("ready", lie(OBJECT, status(404, "NotFound", "not found", name="shop-canary", kind="deployments")), Unavailable),
    "a login page for the workload": ("ready", lie(OBJECT, HTML), Unavailable),
    "a login page for the Pods": ("restarts", lie(PODS, HTML), Unavailable),
    "a list for the workload": ("ready", lie(OBJECT, Reply(b"[]")), Unavailable),
    "a list for the Pods": ("ready", lie(PODS, Reply(b"[]")), Unavailable),
    "half a list": ("restarts", lie(PODS, Reply(b'{"items": [{"metadata": {"name"')), Unavailable),
    "text for items": ("restarts", lie(PODS, Reply(b'{"items": "none"}')), Unavailable),
    "a mapping for items": ("ready", lie(PODS, Reply(b'{"items": {"a": 1}}')), Unavailable),
    "numbers for Pods": ("ready", lie(PODS, Reply(b'{"items": [1]}')), Unavailable),
    "a Pod without metadata": ("ready", lie(PODS, Reply(b'{"items": [{}]}')), Unavailable),
    "a Pod without a name": ("restarts", lie(PODS, Reply(b'{"items": [{"metadata": {}}]}')), Unavailable),
    "a Pod whose status is text": ("ready", lie(PODS, Reply(b'{"items": [{"metadata": {"name": "a"}, "status": "fine"}]}')), Unavailable),
    "a page after which the server hangs up": ("ready", lie(PODS, HANG_UP), Unavailable),
    "an error of the server": ("restarts", lie(PODS, status(500, "InternalError", "etcd leader changed")), Unavailable),
    "too busy": ("restarts", lie(PODS, status(429, "TooManyRequests", "slow down")), DeliveryError),
    "the token is over": ("ready", lie(PODS, status(401, "Unauthorized", "Unauthorized")), DeliveryError),
    "not allowed": ("ready", lie(PODS, status(403, "Forbidden", 'User "x" cannot list resource "pods"')), ConfigError),
    "no selector": ("ready", lambda world: world.manifest["spec"].update(selector={}), Unavailable),
    "no spec": ("restarts", lambda world: world.manifest.pop("spec"), Unavailable),
    "replicas in words": ("ready", lambda world: world.manifest["spec"].update(replicas="two"), Unavailable),
    "replicas below nothing": ("ready", lambda world: world.manifest["spec"].update(replicas=-2), Unavailable),
    "replicas true": ("ready", lambda world: world.manifest["spec"].update(replicas=True), Unavailable),
    "scaled to 0": ("ready", lambda world: (world.manifest["spec"].update(replicas=0), world.pods.clear()), NoData),
    "no Pods": ("restarts", lambda world: world.pods.clear(), NoData),
    "no Pods that run": ("memory", lambda world: world.pods.clear(), NoData),
    "restarts in words": ("restarts", container(restartCount="0"), Unavailable),
    "restarts missing": ("restarts", container(restartCount=None), Unavailable),
    "restarts below nothing": ("restarts", container(restartCount=-1), Unavailable),
    "restarts true": ("restarts", container(restartCount=True), Unavailable),
    "half a restart": ("restarts", container(restartCount=0.5), Unavailable),
    "a container without a name": ("restarts", container(name=""), Unavailable),
    "a Pod that runs no container": ("restarts", lambda world: world.pods[0]["status"].pop("containerStatuses"), Unavailable),
    "containers that are text": ("restarts", lambda world: world.pods[0]["status"].update(containerStatuses=["app"]), Unavailable),
    "usage missing": ("memory", each_metric(containers=[{"name": "app"}]), Unavailable),
    "usage null": ("memory", each_metric(containers=[{"name": "app", "usage": {"memory": None}}]), Unavailable),
    "usage in words": ("memory", each_metric(containers=[{"name": "app", "usage": {"memory": "lots"}}]), Unavailable),
    "usage below nothing": ("cpu", each_metric(containers=[{"name": "app", "usage": {"cpu": "-5m"}}]), Unavailable),
    "usage NaN": ("cpu", each_metric(containers=[{"name": "app", "usage": {"cpu": "NaN"}}]), Unavailable),
    "usage beyond all floats": ("memory", each_metric(containers=[{"name": "app", "usage": {"memory": "1e400"}}]), Unavailable),
    "one container of two is not measured": ("memory", each_metric(containers=[{"name": "app", "usage": {"memory": "5Mi"}}, {"name": "proxy"}]), Unavailable),
    "no containers": ("memory", each_metric(containers=[]), Unavailable),
    "containers null": ("memory", each_metric(containers=None), Unavailable),
    "containers of text": ("memory", each_metric(containers=["app"]), Unavailable),
    "measured an hour ago": ("memory", each_metric(timestamp=stamp(NOW - 3600)), Stale),
    "measured in an hour": ("memory", each_metric(timestamp=stamp(NOW + 3600)), Stale),
    "measured at no time": ("memory", each_metric(timestamp="soon"), Unavailable),
    "measured, not said when": ("cpu", each_metric(timestamp=None), Unavailable),
    "one of two is not measured": ("memory", lambda world: world.metrics["items"].pop(), Unavailable),
    "none is measured": ("memory", lambda world: world.metrics["items"].clear(), NoData),
    "the metrics API is down": ("memory", lie(METRICS, status(503, "ServiceUnavailable", "the server is currently unable to handle the request")), Unavailable),
    "the metrics API is not there": ("memory", lie(METRICS, status(404, "NotFound", "404 page not found")), Unsupported),
    "metrics of a login page": ("cpu", lie(METRICS, HTML), Unavailable),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_value_is_never_good(provider: KubernetesProvider, world: World, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.progressive.delivery.plugins.module_utils.clients.kube.TRIES", 1)
    query, change, kind = BAD[what]
    world.metrics = json.loads(RECORDED.read_text())
    for each, name in zip(world.metrics["items"], "ab"):
        each["metadata"]["name"], each["timestamp"] = name, stamp(NOW - 20)
    assert provider.query(query, WINDOW).samples, "the truth is believed"
    change(world)
    with pytest.raises(kind) as caught:
        provider.query(query, WINDOW)
    assert "hush" not in str(caught.value) and "\n" not in str(caught.value)
    metric = Metric.from_options({"name": "m", "query": query, "success_condition": "result >= 0", "interval": "10s", "consecutive_error_limit": 9}, "m")
    tally = Tally()
    for _look in range(3):
        tally = assess(metric, tally, _verdict(metric, provider))
    assert tally.successful == 0 and close(metric, tally).phase is not Phase.SUCCESSFUL


def _verdict(metric: Metric, provider: KubernetesProvider) -> Verdict:
    """As a bake has it: no data is pending, any other error of ours an error."""
    try:
        answer: Series = provider.query(metric.query, WINDOW)
    except NoData as error:
        return Verdict(Phase.PENDING, str(error))
    except DeliveryError as error:
        return Verdict(Phase.ERROR, str(error))
    return judge(metric, answer)


@pytest.mark.parametrize(("query", "window", "kind", "message"), [
    ("redy", WINDOW, ConfigError, "Did you mean ready"), ("", Window("canary", NOW - 60, NOW, LABELS, builtin="latency"), Unsupported, "does not know latency"),
    ("ready", Window("canary", NOW - 60, NOW, {"track": "canary", "workload": "shop"}), Unsupported, "only workloads of Kubernetes"),
    ("restarts", Window("stable", NOW - 3600, NOW - 1800, LABELS), NoData, "only knows how it is now"),
])  # fmt: skip
def test_questions_that_have_no_answer(provider: KubernetesProvider, query: str, window: Window, kind: type[DeliveryError], message: str) -> None:
    with pytest.raises(kind, match=message):
        provider.query(query, window)
