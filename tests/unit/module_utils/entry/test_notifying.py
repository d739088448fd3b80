# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers that listen, refuse, hang or are not there: what arrives, what is said, and how little a release cares."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.notify.notice import Notice
from ansible_collections.progressive.delivery.plugins.module_utils.core.notify.payloads import signature
from ansible_collections.progressive.delivery.plugins.module_utils.entry import notifying
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import notify
from ansible_collections.progressive.delivery.tests.contract.mail_server import MailServer
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.ports import closed_port
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service

NOTICE = Notice("failed", "shop", "2", "2026-11-27T12:00:00.000Z", reason="boom")
SECRET = "T0/B0/hushhush"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(reply("ok")) as found:
        yield found


def target(kind: str, **options: Any) -> dict[str, Any]:
    [made] = notifying.read([{kind: {"timeout": "10s", **options}}], "rollout_notify")
    return made


def mail(server: MailServer, **options: Any) -> dict[str, Any]:
    return target("email", **{"host": "127.0.0.1", "port": server.port, "security": "none", "sender": "cd@example.com", "to": ["ops@example.com"], **options})


@pytest.mark.parametrize("kind", ["slack", "teams", "mattermost", "discord", "pagerduty", "webhook"])
def test_each_arrives_as_it_was_made(kind: str, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", f"{server.url}/{SECRET}")
    monkeypatch.setenv("KEY", "R0")
    options: dict[str, Any] = {"url": f"{server.url}/enqueue", "routing_key_env": "KEY"} if kind == "pagerduty" else {"url_env": "HOOK"}
    if kind == "webhook":
        options.update(secret="hush", headers={"X-Team": "shop"})
    [delivery] = notifying.send([target(kind, **options)], NOTICE, stamp=7)
    assert delivery == notifying.Delivery(f"{kind} {server.url}", True)
    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/enqueue" if kind == "pagerduty" else f"/{SECRET}")
    assert request.headers["content-type"] == "application/json"
    body = json.loads(request.body)
    marks = {"slack": "blocks", "teams": "attachments", "mattermost": "attachments", "discord": "embeds", "pagerduty": "routing_key", "webhook": "schema"}
    assert marks[kind] in body
    if kind == "pagerduty":
        assert body["routing_key"] == "R0"
    if kind == "webhook":
        assert request.headers["x-progressive-delivery-signature"] == signature("hush", 7, request.body)
        assert request.headers["x-team"] == "shop"


def test_mail_arrives() -> None:
    with MailServer() as server:
        [delivery] = notifying.send([mail(server, to=["ops@example.com", "dev@example.com"])], NOTICE, stamp=1)
    assert delivery == notifying.Delivery(f"email 127.0.0.1:{server.port}", True)
    assert server.recipients == ["ops@example.com", "dev@example.com"]
    [message] = server.mails
    assert message["Subject"] == "[shop] shop 2 failed"
    assert message.get_content().splitlines() == ["shop 2 failed", "boom"]


def test_mail_by_starttls_with_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    monkeypatch.setenv("MAIL_PASSWORD", "hush")
    monkeypatch.setenv("WRONG", "hushhush")
    secured: dict[str, Any] = {"security": "starttls", "ca_path": str(cert), "username": "cd"}
    with MailServer(tls=context, login=("cd", "hush")) as server:
        [taken] = notifying.send([mail(server, **secured, password_env="MAIL_PASSWORD")], NOTICE, stamp=1)
    assert taken.delivered, taken
    assert server.secured
    assert len(server.mails) == 1
    with MailServer(tls=context, login=("cd", "hush")) as server:
        [refused] = notifying.send([mail(server, **secured, password_env="WRONG")], NOTICE, stamp=1)
    assert (refused.delivered, refused.reason) == (False, "refused: SMTP 535")
    with MailServer(tls=context) as server:
        [untrusted] = notifying.send([mail(server, security="starttls")], NOTICE, stamp=1)
    assert not untrusted.delivered
    assert "not trusted" in untrusted.reason
    assert server.mails == []


@pytest.mark.parametrize("verb, answer, reason", [
    ("MAIL", "550 no", "refused: SMTP 550"), ("RCPT", "550 unknown", "the recipients are refused: SMTP 550"), ("DATA", "451 later", "refused: SMTP 451"),
])
def test_mail_that_is_refused(verb: str, answer: str, reason: str) -> None:
    with MailServer(refuses={verb: answer}) as server:
        [delivery] = notifying.send([mail(server)], NOTICE, stamp=1)
    assert (delivery.delivered, delivery.reason) == (False, reason)


def test_receivers_that_fail_say_so_without_their_secret(server: ScriptedServer) -> None:
    server.reply = reply("<h1>hushhush</h1>", "500 Internal Server Error")
    gone = f"http://127.0.0.1:{closed_port()}/{SECRET}"
    targets = [target("slack", url=f"{server.url}/{SECRET}"), target("discord", url=gone), target("teams", url_env="PROGRESSIVE_NOT_SET")]
    deliveries = notifying.send(targets, NOTICE, stamp=1)
    assert [delivery.delivered for delivery in deliveries] == [False, False, False]
    assert deliveries[0].reason == "HTTP 500"
    assert "no connection" in deliveries[1].reason
    assert "PROGRESSIVE_NOT_SET is not set" in deliveries[2].reason
    assert "hushhush" not in str(deliveries)


def test_receivers_that_hang_are_left_behind_all_at_once() -> None:
    """Three of them, each of which would hold a release for a minute, beside one that listens. Ended by the limit, or the test would hang."""
    over = threading.Event()
    with ScriptedServer(lambda request: over.wait(600) and b"" or b"") as slow, ScriptedServer(reply("ok")) as fast:
        slow_ones = [target("slack", url=slow.url, timeout="1m") for _each in range(3)]
        began = time.monotonic()
        deliveries = notifying.send([*slow_ones, target("webhook", url=fast.url)], NOTICE, stamp=1, longest=10.0)
        took = time.monotonic() - began
        over.set()
    assert [delivery.delivered for delivery in deliveries] == [False, False, False, True]
    assert took < 60
    assert all("no answer in time" in delivery.reason for delivery in deliveries[:3])


def test_a_release_tells_what_happens_and_ends_as_it_would_have(tmp_path: Path, server: ScriptedServer) -> None:
    events = ["started", "step_completed", "gate_waiting", "going_back", "rolled_back", "promoted"]
    file: dict[str, Any] = {"rollout_notify": [{"webhook": {"url": server.url, "events": events, "timeout": "10s"}}],
                            "rollout_steps": [{"set_weight": 20}, {"set_weight": 50}]}
    service = Service(tmp_path, **file)
    assert service.run("rollout", "2")["outcome"] == "promoted"
    told = [json.loads(request.body) for request in server.requests]
    kinds = [item["event"] for item in told]
    assert (kinds[0], kinds[-1]) == ("started", "promoted")
    assert set(kinds[1:-1]) == {"step_completed"}
    assert told[-1]["release"]["version"] == "2"
    assert told[-1]["reason"] == "2 serves every request"
    server.requests.clear()
    begun = service.begin("rollout", "3")
    names = [step.name for step in service.record.steps]
    assert service.next is not None
    del begun
    first = next(name for name in names if "20" in name)
    ended = service.run("resume", "3", seen={first: {"result": "failed", "reason": "boom"}})
    assert ended["outcome"] == "rolled_back"
    told = [json.loads(request.body) for request in server.requests]
    assert [item["event"] for item in told if item["event"] != "step_completed"] == ["started", "going_back", "rolled_back"]
    assert all(item["reason"].startswith("boom") for item in told if item["event"] in ("going_back", "rolled_back"))
    assert told[-1]["next"] == ["look: ansible-playbook progressive.delivery.status"]


def test_a_release_does_not_mind_that_nobody_listens(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/{SECRET}"
    service = Service(tmp_path, rollout_notify=[{"slack": {"url": url}}], rollout_steps=[{"set_weight": 50}])
    assert service.run("rollout", "2")["outcome"] == "promoted"
    lines = [line for line in service.said if "not notified" in line]
    assert len(lines) == 2, "once as it starts, once as it ends"
    assert all(line.startswith("shop: not notified: slack http://127.0.0.1:") for line in lines)
    assert "hushhush" not in "\n".join(service.said)


def test_nothing_is_sent_in_check_mode_nor_by_plan(tmp_path: Path, server: ScriptedServer) -> None:
    service = Service(tmp_path, rollout_notify=[{"slack": {"url": server.url}}])
    service.plan("rollout", "2")
    service.begin("rollout", "2", check_mode=True)
    assert server.requests == []


@pytest.mark.parametrize("value, where, what", [
    ({"slack": {}}, "rollout_notify", "a list"),
    ([{"slak": {}}], "rollout_notify[0].slak", "Did you mean slack"),
    ([{"slack": {}}], "rollout_notify[0].slack", "url is missing"),
    ([{"slack": {"url": "http://a", "url_env": "B"}}], "rollout_notify[0].slack", "given twice"),
    ([{"slack": {"url": "http://a", "events": ["promted"]}}], "rollout_notify[0].slack.events", "unknown event"),
    ([{"pagerduty": {}}], "rollout_notify[0].pagerduty", "routing_key is missing"),
    ([{"email": {"host": "mail", "sender": "a@b"}}], "rollout_notify[0].email", "to is missing"),
    ([{"slack": {"url": "http://a"}, "teams": {"url": "http://b"}}], "rollout_notify[0]", "exactly one"),
])
def test_what_is_wrong_is_refused(value: Any, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        notifying.read(value, "rollout_notify")
    assert caught.value.where == where
    assert what in str(caught.value)


@pytest.mark.parametrize("item, where, what", [
    ({"slack": {"url": "ftp://hooks/hushhush"}}, "rollout_notify[0].slack", "begins with ftp"),
    ({"slack": {"url": "https://evil.test/hushhush"}}, "rollout_notify[0].slack", "are not allowed"),
    ({"webhook": {"url_env": "PROGRESSIVE_NOT_SET"}}, "rollout_notify[0].webhook.url_env", "is not set"),
    ({"email": {"host": "mail.evil.test", "sender": "a@b.c", "to": ["d@e.f"]}}, "rollout_notify[0].email", "not allowed"),
    ({"email": {"host": "mail.good.test", "sender": "a", "to": ["d@e.f"]}}, "rollout_notify[0].email.sender", "no address"),
    ({"email": {"host": "mail.good.test", "sender": "a@b.c", "to": ["d@e.f"], "username": "x"}}, "rollout_notify[0].email", "belong together"),
])
def test_plan_refuses_receivers_that_can_never_be_told(item: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        notifying.check(notifying.read([item], "rollout_notify"), ["*.good.test"])
    assert caught.value.where == where
    assert what in str(caught.value)
    assert "hushhush" not in str(caught.value)


def test_by_hand(server: ScriptedServer) -> None:
    params: dict[str, Any] = dict.fromkeys(notify.OPTIONS)
    params.update(targets=[{"webhook": {"url": server.url, "timeout": "10s"}}], name="shop", version="2", event="promoted", headline="shop is back")
    said: list[str] = []
    found = notify.run(params, Context(FakeClock(), said.append, who="ann"))
    assert found == {"changed": True, "deliveries": [{"where": f"webhook {server.url}", "delivered": True, "reason": ""}]}
    assert json.loads(server.requests[0].body)["title"] == "shop is back"
    assert notify.run(params, Context(FakeClock(), check_mode=True)) == {"changed": False, "deliveries": []}
    server.reply = reply("", "503 Away")
    found = notify.run(params, Context(FakeClock(), said.append))
    assert (found["changed"], found["deliveries"][0]["reason"]) == (False, "HTTP 503")
    assert said == [f"shop: not notified: webhook {server.url}: HTTP 503"]
    assert len(server.requests) == 2
