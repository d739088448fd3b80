# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes client on the wire: what it sends, what it tries again, what it makes of refusals."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import kube as module
from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import KUBE_OPTIONS, Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import Forbidden, NoSuchResource
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    HTTPROUTES,
    NODES,
    PODS,
    SERVICES,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Away, ConfigError, Conflict, Interrupted, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import argument_spec, validate
from ansible_collections.progressive.delivery.tests.ports import closed_port
from ansible_collections.progressive.delivery.tests.unit.kube_server import HANG_UP, ApiServer, Reply, status

TOKEN = "s3cret-token-nobody-may-see"
POD = {"kind": "Pod", "metadata": {"name": "a", "resourceVersion": "7"}}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def serve(clock):
    """A function that starts a server with a script, or a list of replies the last of which stays, and gives (server, client)."""
    running = []

    def start(script, **options):
        replies = script if callable(script) else _in_turn(script)
        server = ApiServer(replies).__enter__()
        running.append(server)
        kube = Kube.from_options({"host": server.url, "api_key": TOKEN, "namespace": "shop", **options}, clock)
        return server, kube

    yield start
    for server in running:
        server.__exit__()


def _in_turn(replies):
    left = list(replies)
    return lambda seen: left.pop(0) if len(left) > 1 else left[0]


# What is sent


def test_requests_share_one_connection_and_name_us(serve):
    server, kube = serve([Reply(POD)])
    assert kube.get(PODS, "a") == POD
    kube.list(PODS)
    kube.get(NODES, "n1")
    assert [seen.connection for seen in server.seen] == [0, 0, 0]
    assert [seen.path for seen in server.seen] == ["/api/v1/namespaces/shop/pods/a", "/api/v1/namespaces/shop/pods?limit=500", "/api/v1/nodes/n1"]
    assert server.seen[0].header("authorization") == [f"Bearer {TOKEN}"]
    assert server.seen[0].header("host") == [f"127.0.0.1:{server.port}"]
    assert server.seen[0].header("user-agent") == ["progressive.delivery"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_writes_name_their_field_manager(serve, dry_run):
    server, kube = serve([Reply(POD)])
    tail = "fieldManager=progressive.delivery" + ("&dryRun=All" if dry_run else "")
    body = {"metadata": {"name": "a"}}
    kube.create(DEPLOYMENTS, body, dry_run=dry_run)
    kube.replace(DEPLOYMENTS, body, "prod", dry_run=dry_run)
    kube.patch(DEPLOYMENTS, "a", body, how="strategic", dry_run=dry_run, subresource="scale")
    kube.patch(DEPLOYMENTS, "a", [{"op": "remove", "path": "/spec"}], how="json", dry_run=dry_run)
    assert [(seen.method, seen.path, seen.header("content-type")) for seen in server.seen] == [
        ("POST", f"/apis/apps/v1/namespaces/shop/deployments?{tail}", ["application/json"]),
        ("PUT", f"/apis/apps/v1/namespaces/prod/deployments/a?{tail}", ["application/json"]),
        ("PATCH", f"/apis/apps/v1/namespaces/shop/deployments/a/scale?{tail}", ["application/strategic-merge-patch+json"]),
        ("PATCH", f"/apis/apps/v1/namespaces/shop/deployments/a?{tail}", ["application/json-patch+json"]),
    ]
    assert server.seen[0].json == {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}


def test_impersonation_names_every_group(serve):
    server, kube = serve([Reply(POD)], impersonate_user="anna", impersonate_groups=["dev", "ops"])
    kube.get(PODS, "a")
    assert server.seen[0].header("impersonate-user") == ["anna"]
    assert server.seen[0].header("impersonate-group") == ["dev", "ops"]


def test_a_server_below_a_path(serve):
    server, _kube = serve([Reply(POD)])
    Kube.from_options({"host": f"{server.url}/k8s/clusters/c-1/", "api_key": TOKEN}).get(PODS, "a")
    assert server.seen[0].path == "/k8s/clusters/c-1/api/v1/namespaces/default/pods/a"


@pytest.mark.parametrize("name", ["../secrets/x", "a/b", "", ".", "..", "a?b", "a b", "a%2fb", "x" * 254])
def test_a_name_that_is_none_never_gets_into_a_path(serve, name):
    server, kube = serve([Reply(POD)])
    with pytest.raises(ConfigError, match="cannot be"):
        kube.get(PODS, name)
    with pytest.raises(ConfigError, match="cannot be"):
        kube.get(PODS, "a", name or "..")
    assert server.seen == []


def test_pages_are_followed_and_items_have_their_kind(serve):
    server, kube = serve(
        [Reply({"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "x=/1"}}), Reply({"items": [{"metadata": {"name": "b"}}], "metadata": {}})]
    )
    found = kube.list(DEPLOYMENTS, labels="app=shop,track in (a,b)", fields="metadata.name=a")
    assert [(item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in found] == [("apps/v1", "Deployment", "a"), ("apps/v1", "Deployment", "b")]
    assert server.seen[1].path.endswith("limit=500&labelSelector=app%3Dshop%2Ctrack+in+%28a%2Cb%29&fieldSelector=metadata.name%3Da&continue=x%3D%2F1")


def test_pages_that_grew_too_old_are_read_at_once(serve):
    page = {"items": [{"metadata": {"name": "a"}}]}
    server, kube = serve([Reply({**page, "metadata": {"continue": "x"}}), status(410, "Expired", "too old"), Reply({**page, "metadata": {}})])
    assert [item["metadata"]["name"] for item in kube.list(PODS)] == ["a"]
    assert server.seen[-1].path == "/api/v1/namespaces/shop/pods"


def test_allowed_asks_the_server(serve):
    server, kube = serve([Reply({"status": {"allowed": True}}), Reply({"status": {"allowed": False}})])
    assert kube.allowed(DEPLOYMENTS, "patch", subresource="scale")
    assert not kube.allowed(NODES, "get")
    wanted = {"verb": "patch", "group": "apps", "resource": "deployments", "subresource": "scale", "name": "", "namespace": "shop"}
    assert server.seen[0].json["spec"]["resourceAttributes"] == wanted
    assert "namespace" not in server.seen[1].json["spec"]["resourceAttributes"]


def test_raw_gives_any_status_as_an_answer_once(serve):
    server, kube = serve([Reply(b"down", 503)])
    answer = kube.raw("GET", "/api/v1/namespaces/shop/pods/a:8080/proxy/ready", query={"deep": "1"}, headers={"X-Test": "1"})
    assert (answer.status, answer.body) == (503, b"down")
    assert [(seen.path, seen.header("x-test")) for seen in server.seen] == [("/api/v1/namespaces/shop/pods/a:8080/proxy/ready?deep=1", ["1"])]


# What is tried again


def test_a_connection_closed_while_idle_costs_nothing(serve):
    server, kube = serve([Reply(POD, close=True)])
    for _number in range(3):
        kube.patch(PODS, "a", {})  # unsafe to repeat, and not repeated
        while not kube._link._stale(kube._link._wire.sock):
            time.sleep(0.005)
    assert [seen.connection for seen in server.seen] == [0, 1, 2]


@pytest.mark.parametrize("failure", [HANG_UP, Reply(b"", 503), Reply(b"", 500), Reply(b"", 504), Reply(POD, headers={"Content-Length": "9999"}, close=True)])
def test_reads_and_swaps_are_tried_again(serve, clock, failure):
    server, kube = serve([failure, failure, Reply(POD)])
    assert kube.get(PODS, "a") == POD
    assert len(server.seen) == 3
    assert len(clock.slept) >= 2 and sum(clock.slept) < 10
    server.script = _in_turn([failure, Reply(POD)])
    kube.patch(PODS, "a", {"metadata": {"resourceVersion": "7"}})
    server.script = _in_turn([failure, Reply(POD)])
    kube.replace(PODS, {"metadata": {"name": "a", "resourceVersion": "7"}})
    server.script = _in_turn([failure, Reply(POD)])
    kube.create(PODS, {"metadata": {"name": "a"}})


@pytest.mark.parametrize("failure", [HANG_UP, Reply(b"", 503), Reply(b"", 500)])
def test_a_write_that_is_no_swap_is_sent_once(serve, failure):
    server, kube = serve([failure])
    for write in (lambda: kube.patch(PODS, "a", {"spec": {}}), lambda: kube.replace(PODS, {"metadata": {"name": "a"}})):
        server.seen.clear()
        with pytest.raises(Unavailable):
            write()
        assert len(server.seen) == 1


def test_what_fails_for_good_is_given_up(serve, clock):
    server, kube = serve([status(500, "InternalError", 'failed calling webhook "check.example.com": timeout')])
    with pytest.raises(Unavailable, match=r'failed calling webhook "check.example.com": timeout. Look at the webhook'):
        kube.get(PODS, "a")
    assert len(server.seen) == module.TRIES
    assert sum(clock.slept) <= module.BUDGET


def test_a_busy_server_is_waited_for_as_long_as_it_says(serve, clock):
    server, kube = serve([Reply(b"", 429, {"Retry-After": "7"}), Reply(POD)])
    kube.patch(PODS, "a", {})  # was not looked at, so it may be repeated
    assert max(clock.slept) == 7.0
    assert len(server.seen) == 2


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "soon"}])
def test_a_busy_server_that_does_not_say_how_long_gets_few_requests(serve, clock, headers):
    server, kube = serve([Reply(b"", 429, headers)])
    for _call in range(5):
        with pytest.raises(Away, match="too much to do"):
            kube.get(PODS, "a")
    assert len(server.seen) == 5 * module.TRIES
    assert min(clock.slept) >= 0.2, "more than five a second"


def test_a_wait_that_does_not_fit_ends_at_once(serve, clock):
    server, kube = serve([Reply(b"", 429, {"Retry-After": "30"})])
    with pytest.raises(Unavailable, match="too much to do and asks to wait 30 s"):
        kube.get(PODS, "a")
    assert (len(server.seen), clock.slept) == (1, [])


def test_a_token_that_was_replaced_is_read_again(serve, tmp_path):
    path = tmp_path / "token"
    path.write_text("old\n")
    config = {
        "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "users": [{"name": "u", "user": {"tokenFile": str(path)}}],
    }  # fmt: skip
    server, _kube = serve(lambda seen: Reply(POD) if seen.header("authorization") == ["Bearer new"] else status(401, "Unauthorized", "Unauthorized"))
    config["clusters"] = [{"name": "k", "cluster": {"server": server.url}}]
    kube = Kube.from_options({"kubeconfig": config})
    with pytest.raises(Unavailable, match="does not accept the token"):
        kube.get(PODS, "a")
    path.write_text("new\n")
    assert kube.get(PODS, "a") == POD
    assert kube.get(PODS, "a") == POD
    assert [seen.header("authorization")[0] for seen in server.seen[2:]] == ["Bearer old", "Bearer new", "Bearer new"]
    path.write_text("newer")
    server.script = lambda seen: (
        Reply([json.dumps({"type": "MODIFIED", "object": POD}).encode() + b"\n"]) if "newer" in seen.header("authorization")[0] else Reply(b"", 401)
    )
    assert list(kube.watch(PODS, "a", "1", 5)) == [POD]


def test_a_token_that_ended_says_when(serve):
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 1_700_000_000}).encode()).decode().rstrip("=")
    _server, kube = serve([Reply(b"", 401)], api_key=f"eyJh.{payload}.c2ln")
    with pytest.raises(Unavailable, match=r"the token ended at 2023-11-14T22:13:20.000Z \(401\)"):
        kube.get(PODS, "a")


def test_a_server_that_is_not_there_is_named(clock):
    port = closed_port()
    kube = Kube.from_options({"host": f"http://127.0.0.1:{port}", "api_key": TOKEN}, clock)
    with pytest.raises(Unavailable, match=f"http://127.0.0.1:{port}: the API server does not answer: Connection refused. Is it up"):
        kube.patch(PODS, "a", {})
    assert len(clock.slept) == module.TRIES - 1  # it saw nothing of the write, so that was tried again


def test_a_server_that_says_nothing_does_not_hold_us(serve):
    server, kube = serve(lambda seen: (server.stop.wait(10), HANG_UP)[1])
    with pytest.raises(Unavailable, match="no answer in time"):
        kube.raw("POST", "/x", timeout=0.3)


def test_a_slow_drip_does_not_hold_us(serve):
    def drip():
        while not server.stop.wait(0.05):
            yield b"x"

    server, kube = serve(lambda seen: Reply(drip()))
    with pytest.raises(Unavailable, match="no answer in time"):
        kube.raw("POST", "/x", timeout=0.5)


def test_a_request_to_end_is_noticed_while_nothing_comes(serve, clock):
    server, kube = serve(lambda seen: (clock.interrupt(), server.stop.wait(10), HANG_UP)[2])
    with pytest.raises(Interrupted):
        kube.get(PODS, "a")
    server.script = lambda seen: Reply(POD)
    kube._clock = FakeClock()
    assert kube.get(PODS, "a") == POD


def test_an_answer_that_is_too_large_is_refused(serve, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    _server, kube = serve([Reply(b"x" * 1001)])
    with pytest.raises(Unavailable, match="larger than 1000 bytes"):
        kube.get(PODS, "a")


@pytest.mark.parametrize("answer", [Reply(b"<html>"), Reply(b"[]"), Reply(b"", 302, {"Location": "/login"}), Reply(b"")])
def test_an_answer_that_is_no_object_is_not_believed(serve, answer):
    _server, kube = serve([answer])
    with pytest.raises(Unavailable, match="no Kubernetes object"):
        kube.get(PODS, "a")


def test_threads_may_share_a_client(serve):
    server, kube = serve(lambda seen: Reply({"kind": "Pod", "metadata": {"name": seen.path.rsplit("/", 1)[-1]}}))
    wrong = []

    def many(number):
        for count in range(20):
            name = f"p{number}-{count}"
            if kube.get(PODS, name)["metadata"]["name"] != name:
                wrong.append(name)

    threads = [threading.Thread(target=many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, len(server.seen)) == ([], 80)


# Watch


def _event(kind, version):
    return json.dumps({"type": kind, "object": {"metadata": {"name": "a", "resourceVersion": version}}}).encode() + b"\n"


def _versions(events):
    return [event["metadata"]["resourceVersion"] for event in events]


def test_a_watch_gives_objects_as_they_change(serve):
    pieces = [_event("ADDED", "8"), _event("MODIFIED", "9")[:20], _event("MODIFIED", "9")[20:] + _event("DELETED", "10")]
    server, kube = serve([Reply(pieces)])
    assert _versions(kube.watch(PODS, "a", "7", 2.5)) == ["8", "9", "10"]
    assert server.seen[0].path == "/api/v1/namespaces/shop/pods?watch=1&fieldSelector=metadata.name%3Da&resourceVersion=7&timeoutSeconds=3"


def test_a_watch_ends_in_time_though_the_server_goes_on(serve):
    def quiet():
        yield _event("ADDED", "8")
        server.stop.wait(10)

    server, kube = serve(lambda seen: Reply(quiet()))
    assert _versions(kube.watch(PODS, "a", "7", 0.5)) == ["8"]


def test_a_watch_may_be_left_and_others_asked_meanwhile(serve):
    def endless():
        for number in range(1000):
            yield _event("MODIFIED", str(number))
            if server.stop.wait(0.01):
                return

    server, kube = serve(lambda seen: Reply(endless()) if "watch" in seen.path else Reply(POD))
    for event in kube.watch(PODS, "a", "7", 10):
        assert kube.get(PODS, "a") == POD
        if event["metadata"]["resourceVersion"] == "2":
            break
    assert kube.get(PODS, "a") == POD


@pytest.mark.parametrize(
    "answer",
    [
        Reply([_event("ADDED", "8"), b'{"type":"MODIFIED","object":{"met'], close=True),
        Reply([_event("ADDED", "8"), b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n', _event("ADDED", "9")]),
        Reply([_event("ADDED", "8")]),
    ],
    ids=["cut", "gone", "ended"],
)  # fmt: skip
def test_a_watch_ends_with_its_connection_or_its_history(serve, answer):
    _server, kube = serve([answer])
    assert _versions(kube.watch(PODS, "a", "7", 5)) == ["8"]


def test_a_watch_that_is_gone_at_once_gives_nothing(serve):
    _server, kube = serve([status(410, "Expired", "too old resource version")])
    assert list(kube.watch(PODS, "a", "1", 5)) == []


def test_a_watch_that_is_forbidden_says_so(serve):
    _server, kube = serve([status(403, "Forbidden", 'pods is forbidden: User "ci" cannot watch resource "pods" in API group "" in the namespace "shop"')])
    with pytest.raises(Forbidden, match="may not watch pods in shop as ci"):
        list(kube.watch(PODS, "a", "1", 5))


# What is refused


def test_what_is_not_there(serve):
    server, kube = serve([status(404, "NotFound", 'deployments.apps "a" not found', name="a", group="apps", kind="deployments")])
    assert kube.get(DEPLOYMENTS, "a") is None
    assert kube.delete(DEPLOYMENTS, "a") is False
    with pytest.raises(ConfigError, match="there is no Deployment shop/a"):
        kube.patch(DEPLOYMENTS, "a", {})
    with pytest.raises(Conflict, match="deleted meanwhile"):
        kube.replace(DEPLOYMENTS, {"metadata": {"name": "a", "resourceVersion": "1"}})
    server.script = _in_turn([status(404, "NotFound", 'namespaces "shop" not found', name="shop", kind="namespaces")])
    with pytest.raises(ConfigError, match="there is no namespace shop. Make it: kubectl create namespace shop"):
        kube.create(CONFIGMAPS, {"metadata": {"name": "a"}})


@pytest.mark.parametrize("answer", [Reply(b"404 page not found\n", 404), status(404, "NotFound", "the server could not find the requested resource")])
def test_an_api_that_is_not_served_is_never_taken_for_a_missing_object(serve, answer):
    _server, kube = serve([answer])
    for ask in (
        lambda: kube.get(HTTPROUTES, "a"),
        lambda: kube.list(HTTPROUTES),
        lambda: kube.patch(HTTPROUTES, "a", {}),
        lambda: kube.delete(HTTPROUTES, "a"),
    ):
        with pytest.raises(NoSuchResource, match="does not serve httproutes.gateway.networking.k8s.io in version v1. Install its CustomResourceDefinition"):
            ask()


def test_what_rbac_forbids_names_the_missing_rule(serve):
    message = 'deployments.apps "a" is forbidden: User "system:serviceaccount:ci:deployer" cannot patch resource "deployments/scale" in API group "apps"'
    _server, kube = serve([status(403, "Forbidden", message)])
    with pytest.raises(Forbidden) as caught:
        kube.patch(DEPLOYMENTS, "a", {}, subresource="scale")
    assert "may not patch deployments/scale.apps in shop as system:serviceaccount:ci:deployer" in str(caught.value)
    assert 'Add it to the Role: apiGroups: ["apps"], resources: [deployments/scale], verbs: [patch]' in str(caught.value)


@pytest.mark.parametrize(
    "answer, error, said",
    [
        (status(403, "Forbidden", 'pods "a" is forbidden: exceeded quota: q, requested: pods=1'), ConfigError, "exceeded quota: q, requested: pods=1"),
        (status(400, "BadRequest", 'admission webhook "w.example.com" denied the request: no'), ConfigError, 'admission webhook "w.example.com" denied'),
        (status(422, "Invalid", 'Deployment "a" is invalid: spec.replicas: Invalid value: -1'), ConfigError, "spec.replicas: Invalid value: -1"),
        (status(409, "Conflict", "the object has been modified"), Conflict, "Pod shop/a: somebody else changed it meanwhile"),
        (status(409, "AlreadyExists", 'pods "a" already exists'), Conflict, 'pods "a" already exists'),
        (Reply(b"<html>nginx</html>", 413), ConfigError, "was refused (413): without a message"),
    ],
)
def test_refusals_come_with_the_servers_words(serve, answer, error, said):
    _server, kube = serve([answer])
    with pytest.raises(error) as caught:
        kube.create(PODS, {"metadata": {"name": "a"}})
    assert said in str(caught.value)
    assert not isinstance(caught.value, Forbidden)


def test_a_message_that_quotes_the_whole_object_is_cut(serve):
    whole = json.dumps(json.dumps({"spec": {"env": [{"value": "hunter2"}]}}))
    _server, kube = serve([status(422, "Invalid", f' "" is invalid: patch: Invalid value: {whole}: cannot unmarshal number\n' + "x" * 5000)])
    with pytest.raises(ConfigError) as caught:
        kube.patch(SERVICES, "a", {"spec": 3})
    assert "hunter2" not in str(caught.value)
    assert "Invalid value: cannot unmarshal number" in str(caught.value)
    assert len(str(caught.value)) < 900


def test_what_json_cannot_say_is_not_sent(serve):
    server, kube = serve([Reply(POD)])
    for value in (float("nan"), object()):
        with pytest.raises(ConfigError, match="JSON"):
            kube.patch(PODS, "a", {"spec": value})
    assert server.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        status(401, "Unauthorized", f"bad token {TOKEN}"), status(403, "Forbidden", f"x {TOKEN}"), status(404, "NotFound", f"x {TOKEN}"),
        status(422, "Invalid", f"x {TOKEN}"), status(500, "InternalError", f"x {TOKEN}"), status(429, "", f"x {TOKEN}"), Reply(TOKEN.encode(), 418),
        Reply(TOKEN.encode()), HANG_UP, status(410, "Expired", TOKEN), status(409, "AlreadyExists", TOKEN),
        Reply([f'{{"type":"ERROR","object":{{"code":500,"message":"{TOKEN}"}}}}\n'.encode()]),
    ],
)  # fmt: skip
def test_no_error_tells_a_secret(serve, answer):
    _server, kube = serve([answer])
    asks = (
        lambda: kube.get(PODS, "a"), lambda: kube.list(PODS), lambda: kube.create(PODS, {"metadata": {"name": "a"}}), lambda: kube.patch(PODS, "a", {}),
        lambda: kube.delete(PODS, "a"), lambda: list(kube.watch(PODS, "a", "1", 1)), lambda: kube.allowed(PODS, "get"),
    )  # fmt: skip
    told = []
    for ask in asks:
        try:
            ask()
        except (ConfigError, Unavailable, Conflict) as error:
            told.append(f"{error}{error!r}{vars(error)}")
    assert told
    assert not any(TOKEN in text for text in told)
    assert TOKEN not in repr(kube._login)


# What it costs


def test_the_kubernetes_package_is_never_imported(serve):
    server, _kube = serve([Reply(POD)])
    code = f"""
import sys
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import PODS
assert Kube.from_options({{"host": {server.url!r}, "api_key": "t"}}).get(PODS, "a")
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"kubernetes", "yaml", "urllib3", "requests", "ansible", "asyncio"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_options_are_a_valid_argument_spec():
    spec = argument_spec(KUBE_OPTIONS)
    assert {name for name, entry in spec.items() if entry.get("no_log")} == {"api_key", "password", "proxy"}
    assert validate({"verify_ssl": "no", "kubeconfig": {"a": 1}, "impersonate_groups": ["a"]}, KUBE_OPTIONS, "x") == {
        "validate_certs": False, "kubeconfig": {"a": 1}, "impersonate_groups": ["a"],
    }  # fmt: skip
