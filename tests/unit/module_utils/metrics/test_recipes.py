# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipes of docs/metrics/recipes.md as they stand there, against answers as the vendors document them (``recorded/``).

Nothing of a recipe is changed but the host, and the lookups of keys. Only the good answer, and the partial one where the metric allows it, passes.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.assess import Tally, assess
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge, overdue
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Verdict, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import ANALYSIS
from ansible_collections.progressive.delivery.tests.contract.scripted_server import Request, ScriptedServer, reply

PAGE = (Path(__file__).parents[4] / "docs" / "metrics" / "recipes.md").read_text(encoding="utf-8")
RECORDED = Path(__file__).parent / "recorded"
KEY = "pl4nted-key"
NOW = 1710003600.0
WINDOW = Window("canary", NOW - 180, NOW, {"version": "2.4.1", "workload": "shop", "namespace": "prod"})


def recipes() -> dict[str, str]:
    found = re.findall(r"^## (.+?)\n.*?^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return {title.lower().replace(" ", "-"): text for title, text in found}


RECIPES = recipes()
REPLIES = {vendor: json.loads((RECORDED / f"{vendor}.json").read_text(encoding="utf-8")) for vendor in sorted(RECIPES)}
CASES = [(vendor, name) for vendor, replies in REPLIES.items() for name in replies]
WANTED = {"good", "partial", "empty", "error", "stale", "rate limited"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def analysis(vendor: str, server: ScriptedServer) -> dict[str, Any]:
    """The analysis of a recipe as a release file has it, keys looked up, with another host."""
    text = re.sub(r"\{\{ lookup\('ansible\.builtin\.env', '\w+'\) \}\}", KEY, RECIPES[vendor])
    read = yaml.safe_load(text)["rollout_analysis"]
    assert not re.search(r"\{[{%#]", json.dumps(read)), "Ansible would take this for a template"
    web = read["provider"]["web"]
    web["url"] = re.sub(r"^https://[^/]+", server.url, web["url"])
    return validate(read, ANALYSIS, "rollout_analysis")


def look(found: dict[str, Any], metric: Metric) -> tuple[Verdict, float | None]:
    """One measurement, judged as a bake judges it."""
    provider = build.provider(found["provider"], {})
    try:
        series = provider.query(metric.query, WINDOW)
    except NoData as error:
        return Verdict(Phase.PENDING, str(error)), None
    except DeliveryError as error:
        return Verdict(Phase.ERROR, str(error)), None
    return judge(metric, series), series.samples[0].points[0].value


def test_every_recipe_has_its_answers() -> None:
    assert set(RECIPES) == {"datadog", "dynatrace", "elasticsearch", "new-relic"}
    for vendor, replies in REPLIES.items():
        assert set(replies) >= WANTED, vendor


@pytest.mark.parametrize(("vendor", "name"), CASES, ids=[f"{vendor} {name}" for vendor, name in CASES])
def test_recipe(server: ScriptedServer, vendor: str, name: str) -> None:
    case = REPLIES[vendor][name]
    told = case["reply"]
    server.reply = reply(json.dumps(told["body"]), told["status"], **told["headers"])
    found = analysis(vendor, server)
    [metric] = build.metrics(found)
    verdict, value = look(found, metric)
    if "value" in case:
        assert (verdict.phase, value) == (Phase.SUCCESSFUL, case["value"]), verdict.reason
    else:
        assert verdict.phase is (Phase.PENDING if case.get("no_data") else Phase.ERROR), verdict.reason
        assert case["says"] in verdict.reason
        late = overdue(metric, verdict) if verdict.phase is Phase.PENDING else verdict
        for each in (verdict, late):
            assert assess(metric, Tally(), each).phase is not Phase.SUCCESSFUL
    assert KEY not in verdict.reason
    allowing, _value = look(found, replace(metric, allow_partial=True))
    assert (allowing.phase is Phase.SUCCESSFUL) is ("value" in case or "allowed" in case), allowing.reason


@pytest.mark.parametrize("vendor", sorted(REPLIES))
def test_a_bad_value_fails(server: ScriptedServer, vendor: str) -> None:
    """So that a pass above is one of the number."""
    told = REPLIES[vendor]["good"]
    body = json.dumps(told["reply"]["body"]).replace(json.dumps(told["value"]), "5.5")
    server.reply = reply(body, **told["reply"]["headers"])
    found = analysis(vendor, server)
    [metric] = build.metrics(found)
    assert look(found, metric)[0].phase is Phase.FAILED


def sent(server: ScriptedServer, vendor: str) -> Request:
    server.reply = reply(json.dumps(REPLIES[vendor]["good"]["reply"]["body"]))
    found = analysis(vendor, server)
    [metric] = build.metrics(found)
    look(found, metric)
    [request] = server.requests
    return request


def test_what_datadog_is_asked(server: ScriptedServer) -> None:
    request = sent(server, "datadog")
    assert request.target.startswith("/api/v1/query?from=1710003420&to=1710003600&query=sum%3Atrace.http.request.errors%7Bservice%3Ashop%2Cversion%3A2.4.1%7D")
    assert (request.headers["dd-api-key"], request.headers["dd-application-key"]) == (KEY, KEY)


def test_what_new_relic_is_asked(server: ScriptedServer) -> None:
    request = sent(server, "new-relic")
    assert (request.method, request.target, request.headers["api-key"]) == ("POST", "/graphql", KEY)
    body = json.loads(request.body)
    assert body["query"].count("{") == body["query"].count("}")
    assert body["variables"]["id"] == 1234567
    assert body["variables"]["nrql"].endswith("tags.version = '2.4.1' SINCE 1710003420000 UNTIL 1710003600000")


def test_what_dynatrace_is_asked(server: ScriptedServer) -> None:
    request = sent(server, "dynatrace")
    assert request.headers["authorization"] == f"Api-Token {KEY}"
    assert "tag%28shop-canary%29" in request.target
    assert request.target.endswith("&from=1710003420000&to=1710003600000&resolution=1m")


def test_what_elasticsearch_is_asked(server: ScriptedServer) -> None:
    request = sent(server, "elasticsearch")
    assert (request.method, request.target, request.headers["authorization"]) == ("POST", "/access-*/_search", f"ApiKey {KEY}")
    words, times = json.loads(request.body)["query"]["bool"]["filter"]
    assert words == {"query_string": {"query": 'service.name:shop AND service.version:"2.4.1"'}}
    assert times == {"range": {"@timestamp": {"gte": "1710003420000", "lt": "1710003600000", "format": "epoch_millis"}}}


def pages() -> list[tuple[str, str]]:
    """Every analysis with a provider on the pages of providers, by page and line."""
    found = []
    for page in sorted((Path(__file__).parents[4] / "docs" / "metrics").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for fence in re.finditer(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if re.search(r"^rollout_analysis:\n  provider:\n    (web|graphite|influxdb):", fence[1], re.MULTILINE):
                found.append((f"{page.name}:{text.count(chr(10), 0, fence.start()) + 1}", fence[1]))
    return found


PAGES = pages()


def test_there_are_examples_on_the_pages() -> None:
    assert {place.partition(":")[0] for place, _text in PAGES} == {"graphite.md", "influxdb.md", "recipes.md", "web.md"}


@pytest.mark.parametrize(("place", "text"), PAGES, ids=[place for place, _text in PAGES])
def test_examples_of_the_pages_are_asked(server: ScriptedServer, place: str, text: str) -> None:
    """Options and queries are accepted, all that is to be filled in is, and the question gets as far as the server, who is busy."""
    read = yaml.safe_load(re.sub(r"\{\{ lookup\('ansible\.builtin\.env', '\w+'\) \}\}", KEY, text))["rollout_analysis"]
    [options] = read["provider"].values()
    for holder, key in ((options, "url"), (options.get("oauth2") or {}, "token_url")):
        if key in holder:
            holder[key] = re.sub(r"^https?://[^/]+", server.url, holder[key])
    server.reply = reply("busy", "503 Service Unavailable")
    found = validate(read, ANALYSIS, "rollout_analysis")
    for metric in build.metrics(found):
        provider = build.provider(found["provider"], {})
        with pytest.raises(Unavailable, match="HTTP 503"):
            provider.query(metric.query, replace(WINDOW, start=time.time() - 60, end=time.time()))
        assert "$%7B" not in server.requests[-1].target and b"${" not in server.requests[-1].body
