# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks: what the options mean, what an answer means, and the sentence at the end."""

from __future__ import annotations

import json

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.health import (
    HEALTH_OPTIONS,
    CommandCheck,
    Health,
    TcpCheck,
    parse,
    run,
    summary,
    to_json,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.http_check import HttpCheck, judge_http
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.poll import Attempt
from ansible_collections.progressive.delivery.plugins.module_utils.core.target import Target, fill, targets_from


def made(**options):
    return parse(validate(options, HEALTH_OPTIONS, "rollout_health"), "rollout_health")


def http(**options):
    return made(http={"url": "http://${address}:8080/health", **options})


# --- options ---------------------------------------------------------------------------------------------------------


def test_defaults():
    assert http() == Health(HttpCheck("http://${address}:8080/health"), 10, 30, 5, 1, 0, "0")
    assert made(tcp={"port": 5432}).check == TcpCheck(5432, "${address}")
    assert made(tcp={}).check == TcpCheck()
    assert made(command={"argv": ["/usr/bin/check", "${host}"]}).check == CommandCheck(("/usr/bin/check", "${host}"))


def test_everything():
    health = made(
        http={
            "url": "https://${address}/health",
            "status": [200, 204],
            "json": {"path": "checks[0].state", "equals": "up"},
            "max_latency": "500ms",
            "headers": {"Host": "shop.example"},
            "secret_headers": {"Authorization": "Bearer x"},
            "validate_certs": False,
            "ca_path": "/etc/ca.pem",
        },
        interval="2s", retries=5, timeout="1s", success_threshold=3, hold="5m", max_failed="10%",
    )  # fmt: skip
    headers = {"Host": "shop.example", "Authorization": "Bearer x"}
    check = HttpCheck("https://${address}/health", (200, 204), "", "checks[0].state", "up", 0.5, headers, False, "/etc/ca.pem")
    assert health == Health(check, 2, 5, 1, 3, 300, "10%")
    assert "Bearer" not in repr(health)


@pytest.mark.parametrize(
    "options, said",
    [
        ({}, "rollout_health: exactly one of http, tcp and command is wanted, found none"),
        ({"http": {"url": "http://x/"}, "tcp": {"port": 1}}, "found http, tcp"),
        ({"http": {"url": "ftp://x/"}}, "rollout_health.http.url: unknown scheme 'ftp'"),
        ({"http": {"url": "file:///etc/passwd"}}, "unknown scheme"),
        ({"http": {"url": "http://ann:secret@x/"}}, "must not carry a user"),
        ({"http": {"url": "http:///health"}}, "names no host"),
        ({"http": {"url": "http://x:99999/"}}, "is no address"),
        ({"http": {"url": "http://x/\r\nX: y"}}, "names no host"),
        ({"http": {"url": "http://${addres}/"}}, "unknown placeholder 'addres'. Did you mean address"),
        ({"http": {"url": "http://x/", "status": "ok"}}, "http.status: 'ok' is neither"),
        ({"http": {"url": "http://x/", "status": []}}, "http.status"),
        ({"http": {"url": "http://x/", "status": [200, 2000]}}, "http.status"),
        ({"http": {"url": "http://x/", "headers": {"X": "a\r\nY: b"}}}, "cannot be sent as a header"),
        ({"http": {"url": "http://x/", "headers": {"X Y": "a"}}}, "cannot be sent as a header"),
        ({"http": {"url": "http://x/", "json": {"path": "a..b]", "equals": 1}}}, "is not a path"),
        ({"http": {"url": "http://x/", "json": {"path": "a"}}}, "equals is missing"),
        ({"http": {"url": "http://x/", "metod": "GET"}}, "unknown option 'metod'"),
        ({"tcp": {"port": 0}}, "out of range"),
        ({"tcp": {"port": 1, "host": "${x}"}}, "unknown placeholder"),
        ({"command": {"argv": []}}, "the command is empty"),
        ({"tcp": {"port": 1}, "interval": 0}, "longer than 0"),
        ({"tcp": {"port": 1}, "timeout": "-1s"}, "rollout_health.timeout"),
        ({"tcp": {"port": 1}, "retries": 0}, "out of range"),
        ({"tcp": {"port": 1}, "success_threshold": 31}, "31 successes do not fit into 30 looks"),
        ({"tcp": {"port": 1}, "max_failed": "some"}, "max_failed: 'some'"),
    ],
)  # fmt: skip
def test_what_is_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        made(**options)
    assert said in str(caught.value)


def test_targets_and_their_places():
    targets = targets_from({"web1": "10.0.0.1", "web2": None, "web3": "fd00::3", "::1": "", "web4": "127.0.0.1:9001", "web5": "[::1]:9002"})
    assert targets == (
        Target("web1", "10.0.0.1"), Target("web2", "web2"), Target("web3", "fd00::3"), Target("::1", "::1"),
        Target("web4", "127.0.0.1", "9001"), Target("web5", "::1", "9002"),
    )  # fmt: skip
    assert fill("http://${address}:8080/${host}", targets[2], url=True) == "http://[fd00::3]:8080/web3"
    assert fill("${host}=${address}", targets[2]) == "web3=fd00::3"
    assert fill("${host}=${address}:${port}", targets[5]) == "web5=::1:9002"


@pytest.mark.parametrize(
    "url, filled",
    [
        ("http://${address}/health", "http://[::1]:9002/health"),
        ("http://${address}:${port}/health", "http://[::1]:9002/health"),
        ("http://${address}:80/health", "http://[::1]:80/health"),
        ("http://${host}/health", "http://web5/health"),
        ("http://${address}", "http://[::1]:9002"),
    ],
)
def test_a_port_of_the_target_is_used_unless_the_url_names_one(url, filled):
    assert fill(url, Target("web5", "::1", "9002"), url=True) == filled
    assert made(http={"url": url})


@pytest.mark.parametrize("address", ["a b", "x@y", "x/y", "x?y", "x#y", "a:b:c", "fe80::1%eth0", "[fe80::1%eth0]:8", "x\n", "x:8\n", "${host}", "-x", "a\x00"])
def test_an_address_that_is_more_than_that_is_refused(address):
    for given in ({"web1": address}, {address: "10.0.0.1"}):
        with pytest.raises(ConfigError, match="neither a host name nor an IP address"):
            targets_from(given)


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(ConfigError, match="is not a port"):
        targets_from({"web1": f"10.0.0.1:{port}"})


# --- answers ---------------------------------------------------------------------------------------------------------


def judged(check, body=b"", status=200, phrase="OK", seconds=0.02):
    return judge_http(check, status, phrase, body, seconds)


def test_a_good_answer():
    assert judged(HttpCheck("http://x/")) == Attempt(True, "200 OK", 0.02)
    assert judged(HttpCheck("http://x/", (204,)), status=204, phrase="") == Attempt(True, "204", 0.02)


@pytest.mark.parametrize(
    "check, body, status, said",
    [
        (HttpCheck("http://x/"), b"warming\nup \x1b[31m", 503, "503 OK: 'warming up [31m'"),
        (HttpCheck("http://x/"), b"", 302, "302 OK"),
        (HttpCheck("http://x/", body_contains="ok"), b"starting", 200, "200 OK, but the body does not contain 'ok': 'starting'"),
        (HttpCheck("http://x/", body_contains="ok"), b"x" * 500, 200, "x" * 80 + "...'"),
        (HttpCheck("http://x/", json_path="status", json_equals="UP"), b'{"status": "DOWN"}', 200, '200 OK, but status is \'"DOWN"\', not "UP"'),
        (HttpCheck("http://x/", json_path="status", json_equals="UP"), b"<html>", 200, "the body is not JSON: '<html>'"),
        (HttpCheck("http://x/", json_path="a[1].b", json_equals=1), b'{"a": [{}]}', 200, "there is no a[1].b in it"),
        (HttpCheck("http://x/", json_path="a.b", json_equals=1), b'{"a": "text"}', 200, "there is no a.b in it"),
        (HttpCheck("http://x/", json_path="ready", json_equals=True), b'{"ready": 1}', 200, "ready is '1', not true"),
        (HttpCheck("http://x/", json_path="ready", json_equals=None), b"{}", 200, "there is no ready"),
        (HttpCheck("http://x/", json_path="a", json_equals=1), b"[" * 100_000, 200, "not JSON"),
        (HttpCheck("http://x/", max_latency=0.01), b"", 200, "200 OK, but it took 20 ms, more than 10 ms"),
    ],
)
def test_a_bad_answer_says_what_was_seen(check, body, status, said):
    attempt = judged(check, body, status)
    assert not attempt.ok
    assert said in attempt.detail
    assert attempt.detail.isprintable()


@pytest.mark.parametrize(
    "path, value",
    [("status", "UP"), ("$.status", "UP"), ("db.up", True), ("list[1].n", 2), ("list[0]", {"n": 1}), ("nothing", None)],
)
def test_a_json_value_that_is_as_wanted(path, value):
    body = json.dumps({"status": "UP", "db": {"up": True}, "list": [{"n": 1}, {"n": 2}], "nothing": None}).encode()
    assert judged(HttpCheck("http://x/", json_path=path, json_equals=value), body).ok


# --- waiting ---------------------------------------------------------------------------------------------------------


def waited(health, *looks):
    """``looks``: what each target said, one dict a look; the last one stays. None is a success."""
    clock, asked = FakeClock(), []

    def probe(targets):
        answers = looks[min(len(asked), len(looks) - 1)]
        asked.append(targets)
        return {name: Attempt(said is None, said or "200 OK", 0.02) for name, said in answers.items()}

    result = run(health, targets_from(dict.fromkeys(looks[0])), probe, clock)
    return summary(health, result), result


def test_summary_of_success():
    assert waited(made(tcp={"port": 1}), {"web1": None, "web2": None})[0] == "2 of 2 healthy after 1 look in 0 ms"
    assert waited(made(tcp={"port": 1}), {"web1": "x"}, {"web1": None})[0] == "1 of 1 healthy after 2 looks in 10 s"
    assert waited(made(tcp={"port": 1}, hold="25s"), {"web1": None})[0] == "1 of 1 healthy after 4 looks in 25 s, held for 25 s"


def test_summary_of_failure_names_who_and_what_was_seen_last():
    line, result = waited(made(tcp={"port": 1}, retries=3), {"web1": None, "web2": "503"}, {"web1": None, "web2": "connection refused"})
    assert line == "1 of 2 unhealthy after 3 looks of 3 in 20 s: web2 (connection refused)"
    assert result.unhealthy == ("web2",)


def test_summary_of_many_failures_stays_short():
    answers = {f"web{number}": "connection refused" for number in range(1, 9)}
    answers.update({"db1": "503", "db2": "504", "db3": "505", "db4": "506"})
    line, _result = waited(made(tcp={"port": 1}, retries=1), answers)
    assert line == "12 of 12 unhealthy after 1 look of 1 in 0 ms: web1, web2, web3 and 5 more (connection refused); db1 (503); db2 (504); 2 other answers"


def test_summary_of_a_broken_hold():
    line, _result = waited(made(tcp={"port": 1}, hold="5m"), *[{"web1": None, "web2": None}] * 8, {"web1": None, "web2": "no connection within 5 s"})
    assert line == "1 of 2 healthy, 1:20 into a hold of 5:00: web2 (no connection within 5 s)"


def test_summary_of_what_was_tolerated_and_of_a_streak_that_was_too_short():
    answers = {"web1": None, "web2": "503"}
    assert waited(made(tcp={"port": 1}, retries=2, max_failed="50%"), answers)[0] == "1 of 2 healthy after 2 looks in 10 s: web2 (503)"
    line, _result = waited(made(tcp={"port": 1}, retries=3, success_threshold=3), {"web1": "503"}, {"web1": None})
    assert line == "1 of 1 unhealthy after 3 looks of 3 in 20 s: web1 (200 OK, 2 in a row so far)"


def test_nobody_to_ask_is_not_healthy():
    with pytest.raises(ConfigError, match="nobody to ask"):
        run(made(tcp={"port": 1}), (), lambda targets: {}, FakeClock())


def test_the_result_of_a_module():
    health = made(tcp={"port": 1}, retries=2)
    _line, result = waited(health, {"web1": None, "web2": "503"})
    value = to_json(health, result)
    assert json.loads(json.dumps(value)) == value
    assert (value["healthy"], value["looks"], value["seconds"], value["unhealthy"]) == (False, 2, 10, ["web2"])
    assert value["targets"]["web1"] == {
        "healthy": True, "attempts": 2, "last": "200 OK", "last_error": "", "latency_ms": 20.0, "latency_median_ms": 20.0, "latency_max_ms": 20.0,
    }  # fmt: skip
