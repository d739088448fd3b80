# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates that a job of a GitLab pipeline or an approval of an AWX workflow decides, on replies in the form that their APIs document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import gate_awx, gate_gitlab
from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_awx import AwxGate
from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_gitlab import GitlabGate
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.gate import Gate
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.tests.contract.scripted_server import Request, ScriptedServer, reply

GATE = Gate("half", "r1", "a" * 64, "2027-01-15T08:00:00.000Z")
LATER, EARLIER = "2027-01-15T08:05:00.123Z", "2027-01-15T07:59:59.000Z"


class Api:
    """A server whose answers are told by path; what is not told is 404."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.server = ScriptedServer(self._answer)

    def _answer(self, request: Request) -> bytes:
        found = self.told.get(request.target)
        if found is None:
            return reply("{}", "404 Not Found")
        return found if isinstance(found, bytes) else reply(json.dumps(found), content_type="application/json")

    @property
    def asked(self) -> list[str]:
        return [request.target for request in self.server.requests]


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    with made.server:
        yield made


# GitLab

JOBS = "/api/v4/projects/team%2Fshop/pipelines/77/jobs?per_page=100&page="


def job(status: str, name: str = "half", number: int = 5, **more: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "stage": "release", "status": status, "finished_at": None, "user": {"username": "ann", "name": "Ann"}, **more}


def gitlab(api: Api, **options: Any) -> GitlabGate:
    given = {"url": api.server.url, "project": "team/shop", "pipeline": "77", "job": "half", "headers": {"PRIVATE-TOKEN": "s3cret"}, **options}
    return GitlabGate.from_options({**validate(given, gate_gitlab.OPTIONS, "gate.gitlab_job"), "within": ()})


@pytest.mark.parametrize(("status", "what"), [("success", "promote"), ("failed", "abort"), ("canceled", "abort"), ("skipped", "abort")])
def test_a_job_that_ended_decides(api: Api, status: str, what: str) -> None:
    api.told[JOBS + "1"] = [job("success", "build", 1, finished_at=EARLIER), job(status, finished_at=LATER)]
    decision = gitlab(api).poll(GATE)
    assert decision is not None and (decision.what, decision.who, decision.channel, decision.digest) == (what, "ann", "gitlab", GATE.digest)
    assert {name.lower(): value for name, value in api.server.requests[0].headers.items()}["private-token"] == "s3cret"


@pytest.mark.parametrize("status", gate_gitlab.WAITING)
def test_a_job_that_nobody_played_or_that_runs_decides_nothing(api: Api, status: str) -> None:
    api.told[JOBS + "1"] = [job(status)]
    assert gitlab(api).poll(GATE) is None


def test_what_ended_before_the_gate_opened_decided_something_else(api: Api) -> None:
    api.told[JOBS + "1"] = [job("success", finished_at=EARLIER)]
    assert gitlab(api).poll(GATE) is None


def test_of_a_job_that_was_retried_the_newest_counts_and_pages_are_followed(api: Api) -> None:
    api.told[JOBS + "1"] = [job("failed", number=3, finished_at=LATER), *(job("success", f"other{n}", 100 + n, finished_at=LATER) for n in range(99))]
    api.told[JOBS + "2"] = [job("manual", number=9)]
    assert gitlab(api).poll(GATE) is None and api.asked == [JOBS + "1", JOBS + "2"]


def test_nobody_is_named_where_another_is_wanted(api: Api) -> None:
    api.told[JOBS + "1"] = [job("success", finished_at=LATER, user=None)]
    found = gitlab(api).poll(replace(GATE, require_other=True))
    assert found is not None and found.who == ""


def test_the_pipeline_itself_is_the_default(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no project is given, and CI_PROJECT_ID is not set"):
        gitlab(api, project=None)
    monkeypatch.setenv("CI_PROJECT_ID", "team/shop")
    monkeypatch.setenv("CI_PIPELINE_ID", "77")
    monkeypatch.setenv("CI_SERVER_URL", api.server.url)
    api.told[JOBS + "1"] = [job("manual")]
    assert gitlab(api, url=None, project=None, pipeline=None).poll(GATE) is None


def test_a_job_that_is_not_there(api: Api) -> None:
    api.told[JOBS + "1"] = [job("manual", "quarter")]
    with pytest.raises(ConfigError, match="the pipeline has no job half"):
        gitlab(api).poll(GATE)


# AWX

NODES = "/api/v2/workflow_jobs/12/workflow_nodes/?page_size=200"


def node(number: int, name: str = "Half", kind: str = "workflow_approval") -> dict[str, Any]:
    return {"id": 100 + number, "summary_fields": {"job": {"id": number, "name": name, "type": kind, "status": "pending"}}}


def approval(status: str, by: Any = None) -> dict[str, Any]:
    return {"id": 31, "type": "workflow_approval", "status": status, "summary_fields": {"approved_or_denied_by": by or {"id": 2, "username": "bob"}}}


def awx(api: Api, **options: Any) -> AwxGate:
    given = {"url": api.server.url, "name": "Half", "workflow_job": "12", "token": "s3cret", **options}
    return AwxGate.from_options({**validate(given, gate_awx.OPTIONS, "gate.awx_approval"), "within": ()})


@pytest.mark.parametrize(("status", "what"), [("successful", "promote"), ("failed", "abort"), ("canceled", "abort")])
def test_an_approval_decides(api: Api, status: str, what: str) -> None:
    api.told[NODES] = {"next": "/api/v2/workflow_jobs/12/workflow_nodes/?page=2", "results": [node(30, "Half", "job"), {"id": 9, "summary_fields": {}}]}
    api.told["/api/v2/workflow_jobs/12/workflow_nodes/?page=2"] = {"next": None, "results": [node(32, "Other"), node(31)]}
    api.told["/api/v2/workflow_approvals/31/"] = approval(status)
    decision = awx(api).poll(GATE)
    assert decision is not None and (decision.what, decision.who, decision.channel) == (what, "bob", "awx")


@pytest.mark.parametrize("status", gate_awx.WAITING)
def test_an_approval_that_waits_decides_nothing(api: Api, status: str) -> None:
    api.told[NODES] = {"next": None, "results": [node(31)]}
    api.told["/api/v2/workflow_approvals/31/"] = approval(status)
    assert awx(api).poll(GATE) is None


def test_a_workflow_that_has_not_come_to_it_decides_nothing(api: Api) -> None:
    api.told[NODES] = {"next": None, "results": [node(32, "Other")]}
    assert awx(api).poll(GATE) is None


# Both

BROKEN: Mapping[str, Any] = {
    "unauthorized": reply("{}", "401 Unauthorized"), "forbidden": reply("{}", "403 Forbidden"), "not found": reply("{}", "404 Not Found"),
    "an error": reply("{}", "502 Bad Gateway"), "a login page": reply("<html>sign in</html>", content_type="text/html"), "empty": reply(""),
    "hung up": b"", "a text": "promote", "a number": 1, "null": reply("null"), "a list of texts": ["promote"],
    "elsewhere": reply("", "302 Found", location="http://127.0.0.9/"),
    "another status": [job("approved", finished_at=LATER)], "no status": [{"id": 1, "name": "half"}], "no end": [job("success")],
    "no time": [job("success", finished_at="yesterday")], "no results": {"count": 0}, "results that are none": {"results": "x"},
    "a node that is none": {"results": [1]},
    "an approval without id": {"results": [node(31)], "next": None}, "a page elsewhere": {"results": [], "next": "http://127.0.0.9/"},
}  # fmt: skip


def outcome(source: GitlabGate | AwxGate) -> str:
    try:
        found = source.poll(GATE)
    except DeliveryError as error:
        return "the token is shown" if "s3cret" in str(error) else "an error without the token"
    return "nothing" if found is None else "decided"


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_broken_is_a_decision(api: Api, name: str) -> None:
    answer = BROKEN[name]
    if name == "an approval without id":
        answer["results"][0]["summary_fields"]["job"]["id"] = None
    for source, path in ((gitlab(api), JOBS + "1"), (awx(api), NODES)):
        api.told = {path: answer}
        assert outcome(source) in ("nothing", "an error without the token")


def test_what_is_wrong_is_said(api: Api) -> None:
    with pytest.raises(Unavailable, match="HTTP 404: there is no such thing there, or the token may not see it"):
        gitlab(api).poll(GATE)
    api.told[NODES] = reply("{}", "401 Unauthorized")
    with pytest.raises(Unavailable, match="HTTP 401: it does not know the token"):
        awx(api).poll(GATE)
    given = validate({"url": api.server.url, "project": "p", "pipeline": "1", "job": "j"}, gate_gitlab.OPTIONS, "g")
    with pytest.raises(ConfigError):
        GitlabGate.from_options({**given, "within": ("*.other",)})
