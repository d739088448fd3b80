# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate behind a URL, against a real HTTP server: what counts as a decision, and what is said and asked again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_http import OPTIONS, HttpGate
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.gate import Gate
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.ports import closed_port

GATE = Gate("half", "r1", "a" * 64, "2027-01-15T08:00:00.000Z")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def source(url: str, within: tuple[str, ...] = (), **options: Any) -> HttpGate:
    return HttpGate.from_options({**validate({"url": url, **options}, OPTIONS, "gate.http"), "within": within})


def answered(server: ScriptedServer, **answer: Any) -> Any:
    server.reply = reply(json.dumps(answer), content_type="application/json")
    return source(server.url).poll(GATE)


@pytest.mark.parametrize("what", ["promote", "abort"])
def test_a_decision(server: ScriptedServer, what: str) -> None:
    decision = answered(server, decision=what, who="ann\x07", more={"of": "this"})
    assert (decision.what, decision.who, decision.channel, decision.digest) == (what, "ann", "http", GATE.digest)


def test_pending_decides_nothing(server: ScriptedServer) -> None:
    assert answered(server, decision="pending", who=None) is None


def test_without_a_name_the_place_decided_and_where_another_is_wanted_nobody(server: ScriptedServer) -> None:
    assert answered(server, decision="promote").who == server.url
    assert source(server.url).poll(replace(GATE, require_other=True)).who == ""


def test_a_digest_in_the_answer_is_what_was_decided(server: ScriptedServer) -> None:
    assert answered(server, decision="promote", digest="b" * 64).digest == "b" * 64


def test_the_request_names_the_candidate_and_who_asks(server: ScriptedServer) -> None:
    server.reply = reply('{"decision": "pending"}')
    source(server.url + "/a/${gate}?r=${release}&d=${digest}", token="s3cret").poll(replace(GATE, release="r 1&x"))
    [request] = server.requests
    assert (request.method, request.target) == ("GET", f"/a/half?r=r%201%26x&d={'a' * 64}")
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("answer, words", [
    (reply("{}", "404 Not Found"), "HTTP 404"),
    (reply('{"decision": "promote"}', "500 Internal Server Error"), "HTTP 500"),
    (reply('{"decision": "promote"}', "302 Found", location="http://127.0.0.2/"), "another origin"),
    (reply("", "204 No Content"), "not JSON"),
    (reply("<html>", content_type="text/html"), r"not JSON \(text/html\)"),
    (reply("promote"), "not JSON"),
    (reply('["promote"]'), "not promote, abort or pending"),
    (reply('{"decision": "Promote"}'), "'Promote', not"),
    (reply('{"decision": true}'), "True, not"),
    (reply('{"decision": "promote", "who": {"name": "ann"}}'), "not both text"),
    (reply('{"decision": "promote", "digest": 5}'), "not both text"),
    (reply('{"decision": ["promote"]}'), "not promote, abort or pending"),
    (reply("{}"), "'', not"),
    (reply("[" * 100_000), "."),
    (b"", "."),
])
def test_everything_else_is_no_decision(server: ScriptedServer, answer: bytes, words: str) -> None:
    server.reply = answer
    with pytest.raises(Unavailable, match=words) as raised:
        source(server.url + "/s3cret").poll(GATE)
    assert "s3cret" not in str(raised.value)


def test_nobody_there(server: ScriptedServer) -> None:
    with pytest.raises(Unavailable, match="no connection"):
        source(f"http://127.0.0.1:{closed_port()}").poll(GATE)


@pytest.mark.parametrize("url, words", [
    ("ftp://x/", "http"), ("http://ann:pw@x/", "credentials"), ("http://x/${version}", "unknown placeholder"), ("http://other/", "rollout_url_allow"),
])
def test_a_url_that_cannot_be_is_refused_before_anything_is_asked(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        source(url, within=("approvals.example.com", "x"))
