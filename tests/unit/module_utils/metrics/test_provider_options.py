# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is particular to each provider: options refused at plan time, and how placeholders reach the world."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, NoData, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import argument_spec, documentation, validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics import command
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.command import CommandProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.memory import MemoryProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import CONVENTIONS, PrometheusProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.web import WebProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.matrix.rig import alive
from ansible_collections.progressive.delivery.tests.waiting import wait_until

PROVIDERS = {"command": CommandProvider, "memory": MemoryProvider, "prometheus": PrometheusProvider, "web": WebProvider}
HOSTILE = "a b'\";$(id)`id`\n--x &?/../${track}"
WINDOW = Window("canary", 0.0, 60.0, {"version": HOSTILE, "workload": "shop"})


def make(name: str, **options: Any) -> Any:
    return PROVIDERS[name].from_options(validate(options, PROVIDERS[name].OPTIONS, name), {})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(reply('{"rate": 0.5, "n": 12}')) as running:
        yield running


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_tables(name: str) -> None:
    assert PROVIDERS[name].SUMMARY.endswith(".")
    spec = argument_spec(PROVIDERS[name].OPTIONS)
    assert set(spec) == set(documentation(PROVIDERS[name].OPTIONS))
    for secret in {"password", "token", "headers", "environment"} & set(spec):
        assert spec[secret]["no_log"] is True


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("prometheus", {}),
        ("prometheus", {"url": "file:///etc/passwd"}),
        ("prometheus", {"url": "http://user:pw@x/"}),
        ("prometheus", {"url": "http://x/?a=b"}),
        ("prometheus", {"url": "http://x", "convention": "isto"}),
        ("prometheus", {"url": "http://x", "scrape_interval": "often"}),
        ("prometheus", {"url": "http://x", "username": "ann"}),
        ("web", {"url": "gopher://x"}),
        ("web", {"url": "http://x/${trak}"}),
        ("web", {"url": "http://x", "json_path": "rate"}),
        ("web", {"url": "http://x", "count_path": "$..n"}),
        ("web", {"url": "http://x", "time_path": "time"}),
        ("web", {"url": "http://x", "max_age": "old"}),
        ("web", {"url": "http://x", "body": {"deep": [{"q": "${trak}"}]}}),
        ("web", {"url": "http://x", "expect": [{"value": 0}]}),
        ("web", {"url": "http://x", "expect": [{"path": "{$.a}"}]}),
        ("web", {"url": "http://x", "expect": [{"path": "{$.a}", "absent": False}]}),
        ("web", {"url": "http://x", "expect": [{"path": "{$.a}", "any_of": []}]}),
        ("web", {"url": "http://x", "expect": [{"path": "a", "absent": True}]}),
        ("web", {"url": "http://x", "expect": [{"path": "{$.a}", "value": False, "absent": True}]}),
        ("web", {"url": "http://x", "expect": [{"path": "{$.a}", "value": 0, "any_of": [0]}]}),
        ("web", {"url": "http://x", "expect": [{"path": "{$.a}", "vaule": 0}]}),
        ("web", {"url": "http://x", "token": "t", "oauth2": {"token_url": "http://x", "client_id": "a", "client_secret": "b"}}),
        ("web", {"url": "http://x", "oauth2": {"token_url": "http://x", "client_id": "a"}}),
        ("command", {"argv": []}),
        ("command", {"argv": ["${query}"]}),
        ("command", {"argv": ["check", "${trak}"]}),
        ("command", {"argv": ["check"], "json_path": "x"}),
        ("memory", {}),
        ("memory", {"values": {"q": [1]}, "file": "x"}),
    ],
)
def test_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make(name, **options)


@pytest.mark.parametrize("name", ["command", "web"])
def test_no_builtins(name: str) -> None:
    provider = make(name, **{"command": {"argv": ["true"]}, "web": {"url": "http://127.0.0.1:1/"}}[name])
    with pytest.raises(Unsupported):
        provider.query("", Window("canary", 0.0, 60.0, builtin="latency"))


def test_web_fills_the_url_percent_encoded(server: ScriptedServer) -> None:
    provider = make("web", url=server.url + "/rate/${version}?track=${track}&w=${window}", count_path="{$.n}")
    series = provider.query("{$.rate}", WINDOW)
    assert (series.samples[0].points[0].value, series.samples[0].points[0].n) == (0.5, 12)
    target = server.requests[0].target
    assert target.startswith("/rate/a%20b%27%22%3B%24%28id%29%60id%60%0A--x%20%26%3F%2F..%2F%24%7Btrack%7D?")
    assert target.endswith("?track=canary&w=60s")


def test_web_body_and_query(server: ScriptedServer) -> None:
    provider = make("web", url=server.url, method="POST", body={"q": "${query}", "list": ["${version}", 1]}, json_path="{$.rate}")
    provider.query("errors of ${track}", WINDOW)
    assert json.loads(server.requests[0].body) == {"q": "errors of canary", "list": [HOSTILE, 1]}
    assert server.requests[0].headers["content-type"] == "application/json"


def test_web_messages_hold_no_secret(server: ScriptedServer) -> None:
    server.reply = reply("{}")
    with pytest.raises(Unavailable) as caught:
        make("web", url=server.url + "/pl4nted?key=pl4nted", token="pl4nted").query("{$.rate}", WINDOW)
    assert "pl4nted" not in str(caught.value)


def test_web_probe(server: ScriptedServer) -> None:
    make("web", url=server.url).probe()
    make("web", url=server.url + "/${track}").probe()
    assert len(server.requests) == 1


def python(code: str, *arguments: str, **options: Any) -> CommandProvider:
    return make("command", argv=[sys.executable, "-S", "-c", code, *arguments], **{"timeout": "60s", **options})


def test_command_arguments_are_inert(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = f"import json, sys; json.dump(sys.argv[1:], open({str(seen)!r}, 'w')); print(7)"
    python(code, "--version=${version}", "${track}", "$(id)", "${query}").query("q; rm -rf /", WINDOW)
    assert json.loads(seen.read_text()) == [f"--version={HOSTILE}", "canary", "$(id)", "q; rm -rf /"]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("", NoData, "printed nothing"),
        ("print('  ')", NoData, "printed nothing"),
        ("print('x')", Unavailable, "not a number"),
        ("print('0x10')", Unavailable, "not a number"),
        ("print('1_0')", Unavailable, "not a number"),
        ("print('1e400')", Unavailable, "not a number"),
        ("print('inf')", Unavailable, "not a number"),
        ("print(1); print(2)", Unavailable, "not a number"),
        ("print(1); raise SystemExit(3)", Unavailable, "ended with status 3"),
        ("import sys; print(1); sys.exit('no route\\nto host')", Unavailable, "to host"),
        ("import os, signal; print(1, flush=True); os.kill(os.getpid(), signal.SIGKILL)", Unavailable, "status -9"),
        ("import sys; [sys.stdout.write('1' * 65536) for _ in range(200)]", Unavailable, "printed more than"),
    ],
)
def test_command_is_not_believed(code: str, error: type[DeliveryError], message: str) -> None:
    with pytest.raises(error, match=message):
        python(code).query("q", WINDOW)


def test_command_numbers() -> None:
    assert python("print('  0.25 ')").query("q", WINDOW).samples[0].points[0].value == 0.25
    assert math.isnan(python("print('NaN')").query("q", WINDOW).samples[0].points[0].value)
    got = python("print('{\"a\": [1, 2]}')", json_path="{$.a}").query("q", WINDOW)
    assert [sample.points[0].value for sample in got.samples] == [1.0, 2.0]
    assert python("import os; print(os.environ['LIMIT'])", environment={"LIMIT": 5}).query("q", WINDOW).samples[0].points[0].value == 5.0


def test_command_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note, collect = tmp_path / "pid", command._collect

    def once_it_has_a_child(*given: Any) -> Any:
        wait_until(lambda: note.exists() and note.read_text())
        return collect(*given)

    monkeypatch.setattr(command, "_collect", once_it_has_a_child)
    code = f"import os, time; child = os.fork(); child and open({str(note)!r}, 'w').write(str(child)); time.sleep(600)"
    with pytest.raises(Unavailable, match="did not end within"):
        python(code, timeout="1s").query("q", WINDOW)
    child = int(note.read_text())
    wait_until(lambda: not alive(child), says=lambda: "the child outlived its parent")


def test_memory_script(tmp_path: Path) -> None:
    provider = make("memory", values={"q": [1, "NaN", None, {"value": 2, "n": 30}, {"error": "down"}, [3, 4]], "stable/q": 0.5, "latency": [41]})

    def ask(track: str = "canary", **fields: Any) -> list[tuple[float, int | None]]:
        return [(sample.points[0].value, sample.points[0].n) for sample in provider.query("q", Window(track, 0, 1, **fields)).samples]

    assert ask() == [(1.0, None)]
    assert ask("stable") == ask("stable") == [(0.5, None)]
    assert math.isnan(ask()[0][0])
    with pytest.raises(NoData):
        ask()
    assert ask() == [(2.0, 30)]
    with pytest.raises(Unavailable, match="down"):
        ask()
    assert ask() == ask() == [(3.0, None), (4.0, None)]
    assert ask(builtin="latency") == [(41.0, None)]
    assert len(provider.asked) == 10
    with pytest.raises(NoData):
        provider.query("other", WINDOW)


def test_prometheus_builtins(server: ScriptedServer) -> None:
    server.reply = reply(json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}}))
    for convention in CONVENTIONS:
        by_track = {"selectors": {"canary": 'app="${workload}"'}, "container_selectors": {"canary": 'pod=~"x"'}}
        provider = make("prometheus", url=server.url, convention=convention, **by_track)
        for builtin in ("error_rate", "success_rate", "request_rate", "memory", "restarts", "cpu_throttling"):
            query = provider.query("", Window("canary", 0.0, 4e9, {"workload": "shop"}, builtin)).query
            assert ('app="shop"' in query) is (builtin in ("error_rate", "success_rate", "request_rate"))
        with pytest.raises(ConfigError, match="unknown track 'other'"):
            provider.query("", Window("other", 0.0, 4e9, {"workload": "shop"}, "error_rate"))
        with pytest.raises(Unsupported):
            provider.query("", Window("canary", 0.0, 4e9, {"workload": "shop"}, "conversion"))
    with pytest.raises(Unsupported):
        make("prometheus", url=server.url, convention="haproxy", selectors={"canary": 'a="b"'}).query("", Window("canary", 0.0, 4e9, {}, "latency"))
    custom = make("prometheus", url=server.url, selectors={"canary": 'a="b"'}, errors='status=~"5.."')
    assert 'status=~"5.."' in custom.query("", Window("canary", 0.0, 4e9, {}, "error_rate")).query
