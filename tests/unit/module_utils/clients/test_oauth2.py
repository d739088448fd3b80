# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client credentials against a token endpoint and a resource that demands its tokens, both real HTTP servers."""

from __future__ import annotations

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_http import OPTIONS as GATE_OPTIONS
from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_http import HttpGate
from ansible_collections.progressive.delivery.plugins.module_utils.clients.oauth2 import EARLY, UNSAID, ClientCredentials
from ansible_collections.progressive.delivery.plugins.module_utils.clients.web import CONNECTION, connection, fetch
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.gate import Gate
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import argument_spec, validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import PROVIDERS
from ansible_collections.progressive.delivery.tests.contract.scripted_server import Request, ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.ports import closed_port

SECRET = "pl4nted s3cret&=:%"
CLIENT = "shop:re leases"


class Issuer:
    """A token endpoint that follows RFC 6749, section 4.4, and a resource that takes the newest of its tokens."""

    def __init__(self) -> None:
        self.issued: list[str] = []
        self.forms: list[dict[str, list[str]]] = []
        self.life: Any = 3600
        self.more: dict[str, Any] = {}
        self.answer: bytes | None = None
        self.revoked = False
        self.tokens = ScriptedServer(self._token)
        self.resource = ScriptedServer(self._resource)

    def __enter__(self) -> Issuer:
        self.tokens.__enter__()
        self.resource.__enter__()
        return self

    def __exit__(self, *_error: object) -> None:
        self.tokens.__exit__()
        self.resource.__exit__()

    def _token(self, request: Request) -> bytes:
        if self.answer is not None:
            return self.answer
        form = urllib.parse.parse_qs(request.body.decode(), strict_parsing=True)
        self.forms.append(form)
        if "authorization" in request.headers:
            pair = base64.b64decode(request.headers["authorization"].split(" ", 1)[1]).decode()
            client = tuple(urllib.parse.unquote_plus(part) for part in pair.split(":"))
        else:
            client = (form["client_id"][0], form["client_secret"][0])
        if client != (CLIENT, SECRET):
            return reply(json.dumps({"error": "invalid_client", "error_description": SECRET}), "401 Unauthorized", www_authenticate="Basic")
        assert form["grant_type"] == ["client_credentials"]
        self.issued.append(f"t0ken-{len(self.issued)}")
        self.revoked = False
        life = {} if self.life is None else {"expires_in": self.life}
        return reply(json.dumps({"access_token": self.issued[-1], "token_type": "Bearer", **life, **self.more}), cache_control="no-store")

    def _resource(self, request: Request) -> bytes:
        if self.revoked or not self.issued or request.headers.get("authorization") != f"Bearer {self.issued[-1]}":
            return reply("no", "401 Unauthorized")
        return reply('{"v": 1}')

    def options(self, **oauth2: Any) -> dict[str, Any]:
        return {"timeout": "60s", "oauth2": {"token_url": f"{self.tokens.url}/oauth/token", "client_id": CLIENT, "client_secret": SECRET, **oauth2}}

    def access(self, more: dict[str, Any] | None = None, **oauth2: Any) -> dict[str, Any]:
        return connection(validate({**self.options(**oauth2), **(more or {})}, CONNECTION, "web"))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


def test_a_token_is_asked_for_once(issuer: Issuer) -> None:
    access = issuer.access()
    for _look in range(3):
        assert fetch(issuer.resource.url, **access).status == 200
    assert len(issuer.tokens.requests) == 1
    [request] = issuer.tokens.requests
    assert (request.method, request.target, request.headers["content-type"]) == ("POST", "/oauth/token", "application/x-www-form-urlencoded")
    assert issuer.forms == [{"grant_type": ["client_credentials"]}]


def test_scopes_parameters_and_credentials_in_the_body(issuer: Issuer) -> None:
    access = issuer.access(scopes=["metrics.read", "logs"], parameters={"audience": "https://x/?a=b&c", "n": 1}, credentials_in="body")
    assert fetch(issuer.resource.url, **access).status == 200
    [form] = issuer.forms
    assert (form["scope"], form["audience"], form["n"], form["client_id"]) == (["metrics.read logs"], ["https://x/?a=b&c"], ["1"], [CLIENT])
    assert "authorization" not in issuer.tokens.requests[0].headers


def test_headers_for_the_server_do_not_reach_the_token_endpoint(issuer: Issuer) -> None:
    fetch(issuer.resource.url, **issuer.access({"headers": {"X-Scope-OrgID": "tenant"}}))
    assert issuer.resource.requests[0].headers["x-scope-orgid"] == "tenant"
    assert "x-scope-orgid" not in issuer.tokens.requests[0].headers


def test_a_refused_token_is_renewed_once(issuer: Issuer) -> None:
    access = issuer.access()
    fetch(issuer.resource.url, **access)
    issuer.revoked = True
    assert fetch(issuer.resource.url, **access).status == 200
    assert (len(issuer.issued), len(issuer.resource.requests)) == (2, 3)
    issuer.resource.reply = reply("never", "401 Unauthorized")
    assert fetch(issuer.resource.url, **access).status == 401
    assert (len(issuer.issued), len(issuer.resource.requests)) == (3, 5)


def test_a_request_with_a_body_is_repeated_whole(issuer: Issuer) -> None:
    access = issuer.access()
    fetch(issuer.resource.url, **access)
    issuer.revoked = True
    assert fetch(issuer.resource.url, method="POST", body=b"question", **access).status == 200
    assert [(request.method, request.body) for request in issuer.resource.requests[1:]] == [("POST", b"question")] * 2


def test_403_is_no_reason_to_ask_again(issuer: Issuer) -> None:
    issuer.resource.reply = reply("no", "403 Forbidden")
    assert fetch(issuer.resource.url, **issuer.access()).status == 403
    assert (len(issuer.issued), len(issuer.resource.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("life", "kept"),
    [
        (3600, 3600 - EARLY),
        (20, 10),
        ("120", 120 - EARLY),
        (None, UNSAID - EARLY),
        (0, 0),
        (-5, 0),
        ("soon", 0),
        (True, 0),
        (1e400, 0),
        ({}, 0),
        (10**9, 86400 - EARLY),
    ],
)
def test_a_token_is_kept_until_shortly_before_it_expires(issuer: Issuer, life: Any, kept: float) -> None:
    now = 1000.0
    issuer.life = life
    client = ClientCredentials(issuer.tokens.url, CLIENT, SECRET, fetch, clock=lambda: now)
    assert client.header() == "Bearer t0ken-0"
    if kept:
        now += kept - 0.1
        assert client.header() == "Bearer t0ken-0"
        now += 0.2
    assert client.header() == "Bearer t0ken-1"


def test_many_threads_ask_for_one_token(issuer: Issuer) -> None:
    access = issuer.access()
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(fetch(issuer.resource.url, **access).status)) for _index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (got, len(issuer.issued)) == ([200] * 6, 1)


PAGE = "<html>pl4nted please log in</html>"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "POST failed"),
        (reply(json.dumps({"error": "invalid_client", "error_description": SECRET}), "401 Unauthorized"), "HTTP 401: invalid_client. Check client_id"),
        (reply(json.dumps({"error": "invalid_scope", "error_description": SECRET}), "400 Bad Request"), "HTTP 400: invalid_scope"),
        (reply(json.dumps({"error": SECRET}), "400 Bad Request"), "answered HTTP 400"),
        (reply(json.dumps({"error": "invalid_grant", "access_token": SECRET})), "HTTP 200: invalid_grant"),
        (reply(PAGE, content_type="text/html"), "HTTP 200 and no JSON"),
        (reply(PAGE, "503 Service Unavailable"), "HTTP 503 and no JSON"),
        (reply("[]"), "HTTP 200 and no JSON"),
        (reply("[" * 50_000), "HTTP 200 and no JSON"),
        (reply("{}"), "without a token"),
        (reply(json.dumps({"access_token": ""})), "without a token"),
        (reply(json.dumps({"access_token": None})), "without a token"),
        (reply(json.dumps({"access_token": "a\r\nX-Evil: pl4nted"})), "without a token"),
        (reply(json.dumps({"access_token": "pl4nted", "token_type": "mac"})), "another kind"),
        (reply(json.dumps({"access_token": "a" * 70_000, "token_type": "bearer"})), "larger than 65536 bytes"),
        (reply("", "302 Found", location="http://169.254.169.254/pl4nted"), "redirected"),
        (reply("", "307 Temporary Redirect", location="/pl4nted"), "redirected"),
    ],
)
def test_what_a_token_endpoint_may_say(issuer: Issuer, answer: bytes, message: str) -> None:
    issuer.answer = answer
    with pytest.raises(Unavailable, match=message) as caught:
        fetch(issuer.resource.url, **issuer.access())
    assert "pl4nted" not in f"{caught.value}{caught.value!r}"
    assert issuer.resource.requests == []


def test_limits_of_hosts_hold_for_the_token_endpoint(issuer: Issuer) -> None:
    refused = (
        {"url_allow": ["shop.example.com"]}, {"within": ["shop.example.com"]}, {"url_allow": ["127.0.0.1"], "within": [f"127.0.0.1:{issuer.resource.port}"]},
    )  # fmt: skip
    for limits in refused:
        with pytest.raises(ConfigError, match=r"^oauth2\.token_url: requests to 127\.0\.0\.1"):
            connection({**issuer.options(), **limits})
    assert fetch(issuer.resource.url, **connection({**issuer.options(), "url_allow": ["127.0.0.1:*"], "within": ["127.0.0.1"]})).status == 200
    for url in ("file:///etc/passwd", "http://user:pw@x/", "token"):
        with pytest.raises(ConfigError):
            issuer.access(token_url=url)


def test_metadata_addresses_are_refused(issuer: Issuer) -> None:
    with pytest.raises(ConfigError, match="metadata"):
        fetch(issuer.resource.url, **issuer.access(token_url="http://169.254.169.254/latest/token"))


def test_a_token_endpoint_that_is_away(issuer: Issuer) -> None:
    with pytest.raises(Unavailable, match="no connection"):
        fetch(issuer.resource.url, **issuer.access(token_url=f"http://127.0.0.1:{closed_port()}/pl4nted"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_secret": ""},
        {"client_id": ""},
        {"parameters": {"scope": "x"}},
        {"parameters": {"client_secret": "x"}},
        {"credentials_in": "cookie"},
        {"scope": "x"},
    ],
)
def test_options_refused(issuer: Issuer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        issuer.access(**wrong)
    assert SECRET not in str(caught.value)


def test_one_way_to_prove_who_asks(issuer: Issuer) -> None:
    for other in ({"token": "t"}, {"username": "ann", "password": "pw"}):
        with pytest.raises(ConfigError, match="give one of token, oauth2"):
            issuer.access(other)


def test_nothing_of_it_is_shown(issuer: Issuer) -> None:
    access = issuer.access()
    fetch(issuer.resource.url, **access)
    assert SECRET not in repr(access) and issuer.issued[0] not in repr(access)
    spec = argument_spec(CONNECTION)["oauth2"]["options"]
    assert spec["client_secret"]["no_log"] is True
    assert spec["token_url"]["no_log"] is False


def test_the_http_gate_has_it(issuer: Issuer) -> None:
    gate = HttpGate.from_options(validate({"url": issuer.resource.url + "/${gate}", **issuer.options()}, GATE_OPTIONS, "gate.http"))
    with pytest.raises(Unavailable, match="its decision is"):
        gate.poll(Gate("half", "r1", "a" * 64, "2027-01-15T08:00:00.000Z"))
    assert [request.headers["authorization"] for request in issuer.resource.requests] == ["Bearer t0ken-0"]


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "influxdb": ({"database": "shop"}, "SELECT v FROM m WHERE time > now() - ${window}"),
    "nginx": ({"upstreams": {"canary": "shop"}, "counters": "vts"}, ""),
    "traefik": ({"services": {"canary": "shop@file"}}, ""),
}
"""What a provider needs besides its URL before it asks anything, and a query of its language."""


@pytest.mark.parametrize("name", sorted(name for name, adapter in PROVIDERS.items() if "url_allow" in adapter.OPTIONS))
def test_every_provider_over_http_has_it(issuer: Issuer, name: str) -> None:
    """Whatever the answer means to it, the request came with a token."""
    options, query = ASKED.get(name, ({}, "shop"))
    place = {"url": issuer.resource.url} if "url" in PROVIDERS[name].OPTIONS else {"endpoints": [issuer.resource.url]}
    given = validate({**place, **options, **issuer.options()}, PROVIDERS[name].OPTIONS, name)
    provider = PROVIDERS[name].from_options(given, {"canary": ()})
    with pytest.raises(DeliveryError):
        provider.query(query, Window("canary", 0.0, 4e9, {"workload": "shop"}, "" if query else "error_rate"))
    assert [request.headers["authorization"] for request in issuer.resource.requests][:1] == ["Bearer t0ken-0"]
