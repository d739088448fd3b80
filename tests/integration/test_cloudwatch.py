# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics from CloudWatch: through boto3 against moto's server, and against one that answers what no server should."""

from __future__ import annotations

import datetime
import email.utils
import json
import math
import pathlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler

from ansible_collections.progressive.delivery.plugins.module_utils.clients import aws
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import (
    ConfigError,
    DeliveryError,
    MissingDependency,
    NoData,
    Stale,
    Unavailable,
    Unsupported,
)
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.cloudwatch import PAGES, CloudwatchProvider, prepared
from ansible_collections.progressive.delivery.tests.contract.scripted_server import Request, ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.contract.verdict_machine import never_passes
from ansible_collections.progressive.delivery.tests.ports import closed_port

SECRET = "wJalrXUtnFEMI-hush"
ACCESS = {"region": "eu-central-1", "access_key": "AKIDEXAMPLE", "secret_key": SECRET}
LABELS = {"version": "2.4.1", "workload": "shop", "namespace": "prod"}
MINUTE = math.floor(time.time() / 60) * 60
"""The newest minute that was over when the tests began; all windows are about the ten before it."""
WINDOW = Window("canary", MINUTE - 600.0, float(MINUTE), LABELS)


def made(url: str, **options: Any) -> CloudwatchProvider:
    given = {**ACCESS, "endpoint_url": url, "delay": "0s", "timeout": "60s", **options}
    provider = CloudwatchProvider.from_options(validate(given, CloudwatchProvider.OPTIONS, "cloudwatch"), {})
    provider._clock = lambda: MINUTE + 1.0
    return provider


def stat(name: str, query_id: str = "", how: str = "Sum", **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "Shop", "MetricName": name, "Dimensions": [{"Name": "Version", "Value": "${version}"}]}
    return {"Id": query_id or name.lower(), "MetricStat": {"Metric": metric, "Stat": how}, **more}


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Nothing of this machine's own AWS configuration."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A CloudWatch with three minutes of errors and requests of two versions. Its clock stands still: the provider goes by it, and a suite takes minutes."""
    clock = pytest.MonkeyPatch()
    clock.setattr(WSGIRequestHandler, "date_time_string", lambda _self, _timestamp=None: email.utils.formatdate(MINUTE + 1, usegmt=True))
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    cloudwatch = boto3.client("cloudwatch", endpoint_url=f"http://{host}:{port}", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y")
    for version, errors in (("2.4.1", (30, 10, 2)), ("2.4.0", (1, 1, 1))):
        for back, count in zip((3, 2, 1), errors):
            at = datetime.datetime.fromtimestamp(MINUTE - back * 60 + 5, datetime.timezone.utc)
            told = {"Errors": count, "Requests": back * 100, "Share": count / (back * 100)}
            cloudwatch.put_metric_data(Namespace="Shop", MetricData=[
                {"MetricName": name, "Dimensions": [{"Name": "Version", "Value": version}], "Timestamp": at, "Value": value} for name, value in told.items()
            ])  # fmt: skip
    yield f"http://{host}:{port}"
    server.stop()
    clock.undo()


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr(aws, "TRIES", 1)
    with ScriptedServer() as running:
        yield running


@pytest.mark.parametrize(("how", "value"), [("last", 2.0), ("sum", 42.0), ("min", 2.0), ("max", 30.0), ("average", 14.0)])
def test_periods_become_one_value(moto: str, how: str, value: float) -> None:
    provider = made(moto, consolidate=how)
    provider.probe()
    [sample] = provider.query(json.dumps([stat("Errors")]), WINDOW).samples
    assert [(point.time, point.value, point.n) for point in sample.points] == [(MINUTE, value, None)]
    assert sample.labels["id"] == "errors"


def test_the_query_of_the_page_is_asked(liar: ScriptedServer) -> None:
    page = (pathlib.Path(__file__).parents[2] / "docs" / "metrics" / "cloudwatch.md").read_text()
    [given] = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["rollout_analysis"]["metrics"]
    metric = Metric.from_options(given, "m")
    liar.reply = told(result((0.004,), "share"), result((500,), "requests"))
    found = made(liar.url).query(metric.query, Window("canary", WINDOW.start, WINDOW.end, {**LABELS, "track": "canary"}))
    assert judge(metric, found).phase is Phase.SUCCESSFUL and found.samples[0].points[0].n == 500
    sent = json.loads(liar.requests[-1].body)["MetricDataQueries"]
    assert [(each["Id"], each.get("ReturnData", True)) for each in sent] == [("share", True), ("errors", False), ("requests", True)]
    assert sent[1]["MetricStat"]["Metric"]["Dimensions"][0]["Value"] == "targetgroup/shop-canary/73e2d6bc24d8a067"


@pytest.mark.parametrize(("how", "value", "n"), [("last", 0.02, 100), ("average", 42 / 600, 600), ("max", 0.1, 600)])
def test_requests_are_counted_and_weigh(moto: str, how: str, value: float, n: int) -> None:
    query = json.dumps([stat("Share", how="Average"), stat("Requests")])
    found = made(moto, consolidate=how).query(query, WINDOW)
    assert found.samples[0].points[0].value == pytest.approx(value) and found.samples[0].points[0].n == n
    metric = Metric.from_options({"name": "errors", "query": query, "failure_condition": "result > 0.2", "min_requests": 100}, "m")
    assert judge(metric, found).phase is Phase.SUCCESSFUL


def test_expressions_and_the_spelling_of_others(moto: str) -> None:
    queries = [{"id": "e1", "expression": "m1", "label": "errors"}, {**stat("Errors", "m1"), "ReturnData": False}]
    queries[1] = {name[:1].lower() + name[1:]: value for name, value in queries[1].items()}
    [sample] = made(moto).query(json.dumps(queries), WINDOW).samples
    assert sample.points[0].value == 2.0 and sample.labels == {"id": "e1", "label": "errors"}


def test_several_series_stay_several(moto: str) -> None:
    found = made(moto).query(json.dumps([stat("Errors"), stat("Share")]), WINDOW)
    assert {sample.labels["id"]: sample.points[0].value for sample in found.samples} == {"errors": 2.0, "share": 0.02}
    assert judge(Metric.from_options({"name": "e", "query": "q", "failure_condition": "result > 9"}, "m"), found).phase is Phase.ERROR


def test_another_version_has_no_data(moto: str) -> None:
    with pytest.raises(NoData):
        made(moto).query(json.dumps([stat("Errors")]), Window("canary", WINDOW.start, WINDOW.end, {**LABELS, "version": "9"}))


def test_only_whole_periods_of_the_window_count(moto: str) -> None:
    query = json.dumps([stat("Errors")])
    for start, end, value in ((-190, -1, 40.0), (-179, -1, 10.0), (-120, 0, 12.0), (-119, 0, 2.0)):
        window = Window("canary", MINUTE + start, MINUTE + end, LABELS)
        assert made(moto, consolidate="sum").query(query, window).samples[0].points[0].value == value
    assert made(moto, consolidate="sum", delay="1m").query(query, WINDOW).samples[0].points[0].value == 40.0, "the newest is not in yet"
    for start, end in ((-59, 0), (-60, -1), (0, 0), (-30, -20)):
        with pytest.raises(NoData, match="no whole period of 1:00 is over"):
            made(moto).query(query, Window("canary", MINUTE + start, MINUTE + end, LABELS))


def test_a_role_is_assumed_and_assumed_again(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    provider = made(moto, role_arn="arn:aws:iam::123456789012:role/metrics", external_id="shop")
    provider.probe()
    first, until = provider._aws._client, provider._aws._until
    assert first._request_signer._credentials.access_key.startswith("ASIA") and until < math.inf
    provider.probe()
    assert provider._aws._client is first
    provider._aws._clock = lambda: until - 60
    assert provider.query(json.dumps([stat("Errors")]), WINDOW).samples[0].points[0].value == 2.0
    assert provider._aws._client is not first


def test_profile_and_region_of_the_configuration(moto: str, tmp_path: Any) -> None:
    (tmp_path / "config").write_text("[profile shop]\nregion = eu-central-1\naws_access_key_id = x\naws_secret_access_key = y\n")
    provider = made(moto, profile="shop", region=None, access_key=None, secret_key=None)
    assert provider.query(json.dumps([stat("Errors")]), WINDOW).samples[0].points[0].value == 2.0
    with pytest.raises(NoData):
        made(moto, region="us-east-1").query(json.dumps([stat("Errors")]), WINDOW)


def result(values: Any = (0.001,), name: str = "value", status: Any = "Complete", times: Any = None, **more: Any) -> dict[str, Any]:
    newest = [MINUTE - 60 * back for back in range(len(values), 0, -1)] if times is None else times
    return {"Id": name, "Label": name, "Timestamps": newest, "Values": list(values), "StatusCode": status, **more}


def told(*results: Any, status: str = "200 OK", **more: Any) -> bytes:
    return reply(json.dumps({"MetricDataResults": list(results), **more}), status, content_type="application/x-amz-json-1.0", connection="close")


def refused(code: str, message: str = "no", status: str = "400 Bad Request") -> bytes:
    body = {"__type": f"com.amazon.coral.service#{code}", "message": message}
    return reply(json.dumps(body), status, content_type="application/x-amz-json-1.0", connection="close")


def ask(server: ScriptedServer, answer: Any, query: str = "errors/requests", **options: Any) -> Series:
    server.reply = answer
    return made(server.url, **options).query(query, WINDOW)


def test_a_true_answer_passes(liar: ScriptedServer) -> None:
    """What the table below is held against."""
    assert ask(liar, told(result())).samples[0].points[0].value == 0.001
    with pytest.raises(AssertionError, match="successful"):
        never_passes(lambda _metric, _window: ask(liar, told(result())))
    sent = json.loads(liar.requests[0].body)
    assert sent["MetricDataQueries"] == [{"Id": "value", "Expression": "errors/requests", "Period": 60}]
    assert (sent["StartTime"], sent["EndTime"]) == (WINDOW.start, WINDOW.end)
    assert liar.requests[0].headers["x-amz-target"].endswith(".GetMetricData") and SECRET not in str(liar.requests)


BAD: dict[str, tuple[bytes, type[DeliveryError], str]] = {
    "nothing": (told(), Unavailable, "no answer to 'value'"),
    "no values": (told(result(())), NoData, "no data"),
    "no values and why": (told(result((), Messages=[{"Code": "ArithmeticError", "Value": "division by zero"}])), NoData, "ArithmeticError: division"),
    "part of the data": (told(result(status="PartialData"), status="500 no"), Unavailable, "."),
    "internal error in a result": (told(result(status="InternalError")), Unavailable, "an internal error"),
    "forbidden result": (told(result(status="Forbidden")), Unavailable, "not allowed"),
    "status unknown": (told(result(status="Fine")), Unavailable, "no status"),
    "status missing": (told(result(status=None)), Unavailable, "no status"),
    "more times than values": (told(result(times=[MINUTE - 120, MINUTE - 60])), Unavailable, "1 values and 2 times"),
    "more values than times": (told(result((0.1, 0.2), times=[MINUTE - 60])), Unavailable, "2 values and 1 times"),
    "a time twice": (told(result((0.1, 0.2), times=[MINUTE - 60] * 2)), Unavailable, "twice"),
    "a time after the window": (told(result(times=[MINUTE])), Unavailable, "outside of the window"),
    "a time before the window": (told(result(times=[MINUTE - 660])), Unavailable, "outside of the window"),
    "milliseconds": (told(result(times=[(MINUTE - 60) * 1000])), Unavailable, "."),
    "an old value": (told(result(times=[MINUTE - 300])), Stale, "older than it should be"),
    "text": (told(result(("0.001",))), Unavailable, "not a value"),
    "true": (told(result((True,))), Unavailable, "."),
    "null": (told(result((None,))), Unavailable, "."),
    "a list": (told(result(([0.001],))), Unavailable, "."),
    "another Id": (told(result(name="other")), Unavailable, "nobody asked for"),
    "another Id beside it": (told(result(), result(name="other")), Unavailable, "nobody asked for"),
    "results are a mapping": (reply('{"MetricDataResults": {}}'), Unavailable, "."),
    "results are text": (reply('{"MetricDataResults": "fine"}'), Unavailable, "."),
    "a result is a number": (reply('{"MetricDataResults": [1]}'), Unavailable, "."),
    "no results": (reply("{}"), Unavailable, "without results"),
    "a list as answer": (reply("[]"), Unavailable, "."),
    "empty body": (reply(""), Unavailable, "."),
    "login page": (reply("<html>please log in</html>", content_type="text/html"), Unavailable, "."),
    "half an answer": (reply('{"MetricDataResults": [{"Id": "value", "Values": [0.0'), Unavailable, "."),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", Unavailable, "."),
    "hung up": (b"", Unavailable, "."),
    "redirect": (reply("", "302 Found", location="http://169.254.169.254/"), Unavailable, "."),
    "500": (reply("", "500 Internal Server Error"), Unavailable, "."),
    "503 with a good body": (told(result(), status="503 Service Unavailable"), Unavailable, "."),
    "throttled": (refused("Throttling", "Rate exceeded"), Unavailable, "Throttling: Rate exceeded"),
    "limit": (refused("LimitExceededException", "too many"), Unavailable, "Measure less often"),
    "denied": (refused("AccessDenied", "not authorized to perform: cloudwatch:GetMetricData", "403 Forbidden"), Unavailable, "Allow the user or role"),
    "unknown key": (refused("InvalidClientTokenId", "invalid", "403 Forbidden"), Unavailable, "credentials right"),
    "expired": (refused("ExpiredToken", "expired", "403 Forbidden"), Unavailable, "not over"),
    "a wrong clock": (refused("SignatureDoesNotMatch", "Signature expired", "403 Forbidden"), Unavailable, "the clock"),
    "a bad query": (refused("ValidationError", "Error in expression 'value': Syntax Error"), ConfigError, "Syntax Error"),
    "internal": (refused("InternalServiceFault", "oops", "500 Internal Server Error"), Unavailable, "InternalServiceFault"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_value_is_never_good(liar: ScriptedServer, what: str) -> None:
    answer, kind, message = BAD[what]
    with pytest.raises(kind, match=message) as caught:
        ask(liar, answer)
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)
    never_passes(lambda _metric, _window: ask(liar, answer))


@pytest.mark.parametrize("answer", [
    told(result(status="PartialData")), told(result(), Messages=[{"Code": "MaxMetricsExceeded", "Value": "500 of 900"}]),
    told(result(Messages=[{"Code": "ArithmeticError", "Value": "one period divides by zero"}])), told(result(("NaN",))),
], ids=["a part", "some metrics left out", "a period left out", "NaN in words"])  # fmt: skip
def test_half_an_answer_is_no_pass_either(liar: ScriptedServer, answer: bytes) -> None:
    never_passes(lambda _metric, _window: ask(liar, answer))


def test_a_partial_answer_may_be_allowed(liar: ScriptedServer) -> None:
    found = ask(liar, told(result(status="PartialData")))
    assert "only a part of the data" in found.partial
    allowed = Metric.from_options({"name": "e", "query": "q", "failure_condition": "result > 1", "allow_partial": True}, "m")
    assert judge(allowed, found).phase is Phase.SUCCESSFUL


@pytest.mark.parametrize("count", [(-1.0,), (float("1e300"),), (0.0,), ()])
def test_counts_that_are_none(liar: ScriptedServer, count: tuple[float, ...]) -> None:
    query = json.dumps([stat("Share", "value"), stat("Requests")])
    with pytest.raises((NoData, Unavailable)):
        ask(liar, told(result(), result(count, "requests")), query)
    never_passes(lambda _metric, _window: ask(liar, told(result(), result(count, "requests")), query))


def test_pages_are_followed_and_the_last_status_counts(liar: ScriptedServer) -> None:
    pages = [told(result((5.0,), times=[MINUTE - 180], status="PartialData"), NextToken="a"), told(NextToken="b"), told(result((3.0, 1.0)))]
    found = ask(liar, lambda _request: pages[len(liar.requests) - 1], consolidate="sum")
    assert (found.samples[0].points[0].value, found.partial) == (9.0, "")
    assert [json.loads(request.body).get("NextToken") for request in liar.requests] == [None, "a", "b"]


def test_pages_without_end_are_no_answer(liar: ScriptedServer) -> None:
    with pytest.raises(Unavailable, match="same one"):
        ask(liar, told(result(()), NextToken="a"))
    liar.requests.clear()
    with pytest.raises(Unavailable, match=f"more than {PAGES} pages"):
        ask(liar, lambda _request: told(result(()), NextToken=f"t{len(liar.requests)}"))
    assert len(liar.requests) == PAGES


def test_throttling_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer() as server:
        found = ask(server, lambda _request: told(result()) if len(server.requests) == aws.TRIES else refused("Throttling", "Rate exceeded"))
        assert found.samples[0].points[0].value == 0.001 and len(server.requests) == aws.TRIES


def test_the_time_is_that_of_aws(liar: ScriptedServer) -> None:
    hour = 3600

    def answer(request: Request) -> bytes:
        sent = json.loads(request.body)
        date = email.utils.formatdate(MINUTE + hour + 1, usegmt=True)
        [asked] = sent["MetricDataQueries"]
        body = {"MetricDataResults": [result(times=[sent["EndTime"] - 60], name=asked["Id"])]}
        return reply(json.dumps(body), content_type="application/x-amz-json-1.0", connection="close", date=date)

    liar.reply = answer
    provider = made(liar.url)
    provider.probe()
    assert provider.query("a/b", WINDOW).samples[0].points[0].time == MINUTE + hour
    assert json.loads(liar.requests[-1].body)["StartTime"] == WINDOW.start + hour


@pytest.mark.parametrize(
    ("expression", "error"), [("SELECT AVG(x) FROM SCHEMA(Shop, Version)", NoData), ("SEARCH('{Shop} x', 'Sum')", NoData), ("a/b", Unavailable)]
)  # fmt: skip
def test_a_search_may_find_nothing(liar: ScriptedServer, expression: str, error: type[DeliveryError]) -> None:
    with pytest.raises(error):
        ask(liar, told(), expression)


def test_series_of_a_search_are_told_apart(liar: ScriptedServer) -> None:
    found = ask(liar, told({**result((1.0,)), "Label": "a"}, {**result((2.0,)), "Label": "b"}), "SEARCH('{Shop} x', 'Sum')")
    assert [(sample.labels["label"], sample.points[0].value) for sample in found.samples] == [("a", 1.0), ("b", 2.0)]
    with pytest.raises(NoData):
        ask(liar, told({**result((1.0,)), "Label": "a"}, {**result(()), "Label": "b"}), "SEARCH('{Shop} x', 'Sum')")


def test_placeholders_are_values_never_syntax() -> None:
    evil = '"}, {"Id": "x'
    [query] = prepared(json.dumps([stat("Errors")]), {**LABELS, "version": evil}, 60)
    assert query["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "Version", "Value": evil}]
    with pytest.raises(Unavailable, match="cannot stand in an expression"):
        prepared("SELECT AVG(x) FROM Shop WHERE Version = '${version}'", {**LABELS, "version": "' OR 1"}, 60)
    with pytest.raises(Unavailable, match="no value"):
        prepared(json.dumps([stat("Errors")]), {}, 60)


@pytest.mark.parametrize(("query", "message"), [
    ("[", "no JSON"), ("[1]", "mapping"), ("[]", "Id of its own"), ('[{"Id": "a"}]', "exactly one"), ('[{"Expression": "a"}]', "Id of its own"),
    ('[{"Id": "a", "Expression": "x"}, {"Id": "a", "Expression": "x"}]', "Id of its own"), ('[{"Id": "a", "Expresion": "x"}]', "unknown key"),
    ('[{"Id": "a", "Expression": "x", "ReturnData": false}]', "no query returns"), ('[{"Id": "requests", "Expression": "x"}]', "no query returns"),
    ('[{"Id": "a", "Expression": "x", "ReturnData": "no"}]', "is no bool"), ('[{"Id": "a", "Expression": "x", "Period": 300}]', "Period of 300"),
    ('[{"Id": "a", "MetricStat": {"Stat": "Sum"}}]', "Metric and Stat"),
    ('[{"Id": "a", "MetricStat": {"Metric": {}, "Stat": "Sum", "Period": 5}}]', "Period of 5"),
    ('[{"Id": "a", "MetricStat": {"Metric": {"Dimensions": {"a": "b"}}, "Stat": "Sum"}}]', "is no list"),
    ('[{"Id": "a", "MetricStat": {"Metric": {"Dimensions": [{"Key": "b"}]}, "Stat": "Sum"}}]', "unknown key 'Key'"),
    ("a/${start}", "placeholder"), ('[{"Id": "a", "Expression": "${trak}"}]', "Did you mean"),
])  # fmt: skip
def test_queries_that_cannot_be_meant(query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepared(query, {**LABELS, "track": "canary"}, 60)


@pytest.mark.parametrize(("options", "message"), [
    ({"period": "45s"}, "no metric has periods of 45 s"), ({"period": "0"}, "no metric"), ({"timeout": "0"}, "waits for ever"),
    ({"secret_key": None}, "belong together"), ({"external_id": "x"}, "without a role"),
    ({"endpoint_url": "file:///etc/passwd"}, "."),
])  # fmt: skip
def test_options_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        made("http://127.0.0.1:1", **options)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"region": None}, ConfigError, "which AWS region"), ({"access_key": None, "secret_key": None}, ConfigError, "no AWS credentials"),
    ({"endpoint_url": "http://169.254.169.254/"}, ConfigError, "never made"), ({"endpoint_url": "http://[fd00:ec2::254]/"}, ConfigError, "never made"),
    ({"profile": "nobody"}, ConfigError, "nobody"), ({"region": "not a region"}, ConfigError, "region"),
    ({"endpoint_url": f"http://127.0.0.1:{closed_port()}"}, Unavailable, "Could not connect"),
])  # fmt: skip
def test_who_and_where_have_to_be_known(liar: ScriptedServer, options: dict[str, Any], kind: type[DeliveryError], message: str) -> None:
    liar.reply = told(result())
    for attempt in (lambda: made(liar.url, **options).probe(), lambda: made(liar.url, **options).query("a/b", WINDOW)):
        with pytest.raises(kind, match=message):
            attempt()


def test_a_server_that_says_nothing(liar: ScriptedServer) -> None:
    over = threading.Event()
    liar.reply = lambda _request: b"" if over.wait(600) else b""
    try:
        with pytest.raises(Unavailable, match="timeout"):
            made(liar.url, timeout="1s").probe()
    finally:
        over.set()


def test_a_builtin_is_not_there(liar: ScriptedServer) -> None:
    with pytest.raises(Unsupported, match="no built-in"):
        made(liar.url).query("", Window("canary", 0, 60, LABELS, builtin="latency"))


def test_without_boto3_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    with pytest.raises(MissingDependency, match="pip install boto3"):
        made("http://127.0.0.1:1").probe()
