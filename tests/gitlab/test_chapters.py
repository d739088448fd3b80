# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipelines of examples/gitlab that have more than a load balancer around them: a real PostgreSQL, a real Prometheus, visitors who buy, a webhook."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import sticky
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.gitlab.pipeline_rig import Project, release
from ansible_collections.progressive.delivery.tests.integration import pool_rig
from ansible_collections.progressive.delivery.tests.integration.pool_rig import EnvoyShop, HaproxyShop, Shop, settled
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import PASSWORD, Postgres
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Exporter, Prometheus, Traffic
from ansible_collections.progressive.delivery.tests.integration.visitors_rig import Visitors
from ansible_collections.progressive.delivery.tests.waiting import wait_until

KEYS = [f"user-{number}" for number in range(60)]


@pytest.fixture(autouse=True)
def few_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at here are jobs; that many users lose nothing is seen elsewhere."""
    monkeypatch.setattr(pool_rig, "RATE", 40.0)


# ------------------------------------------------------------------------------------------------------------------------------------- A/B test


def variants(shop: Shop, **headers: str) -> list[str]:
    """The version that each user sees."""
    return [shop.answer(f"{shop.urls[0]}/", Cookie=f"user_id={key}", **headers)["version"] for key in KEYS]


def test_an_ab_test_goes_on_from_job_to_job_until_one_variant_wins(tmp_path: Path) -> None:
    with EnvoyShop(tmp_path / "shop", {"blue": ("web1", "web2"), "green": ("web3", "web4")}) as shop:
        visitors = Visitors(f"{shop.urls[0]}/", cookie="user_id", names=("page_views", "conversion_events"))
        (tmp_path / "prometheus").mkdir()
        scraped: Any = SimpleNamespace(tracks={"metrics": None}, port=visitors.server.server_port)
        prometheus = Prometheus(tmp_path / "prometheus", scraped)
        try:
            counters = {"envoy": {"endpoints": [{"admin": shop.facts["admin"]}], "clusters": shop.facts["clusters"], "timeout": "60s"}}
            guardrail = {"name": "error-rate", "builtin": "error_rate", "failure_condition": "result > 0.05", "min_requests": 1}
            given = release("gitlab/ab-test/ab-test.yml", shop, rollout_analysis={"interval": "1s", "provider": counters, "metrics": [guardrail]})
            given["rollout_workload"]["pool"].update(stable="blue", canary="green")
            test = given["rollout_ab_test"]
            test["conversion"].update(provider={"prometheus": {"url": prometheus.url, "scrape_interval": "1s", "timeout": "60s"}}, interval="1s")
            test.update(mde=0.15, alpha=0.000001, run_duration="5s")
            project = Project(tmp_path / "project", shop, "ab-test", given)
            project.commit()
            first = project.run()
            assert first.status == 0 and "this run has looked for" in first.text, first.text
            assert shop.stored("record")["outcome"] == "paused" and project.docker() == ["build", "push"]
            assert json.loads(project.newest("*.ab_test_report.json"))["verdict"] == "continue"
            assert variants(shop) == ["2" if sticky.is_candidate(key, "shop", Fraction(40)) else "1" for key in KEYS]
            assert set(variants(shop, user_tier="vip")) == {"1"} and set(variants(shop, user_type="new")) == {"2"}

            # From here on the test has had its week.
            test.update(min_duration="1s", run_duration="10m")
            project.write(project.file, json.dumps(given))
            seen = shop.stored("record")["trial"]
            look = project.run("--variable", "CI_PIPELINE_SOURCE=schedule")
            settled()
            assert look.status == 0 and "win: converts more" in look.text, look.text
            assert project.docker() == ["build", "push"], "a schedule's pipeline only looks"
            assert shop.stored("record")["outcome"] == "promoted" and set(variants(shop, user_tier="vip")) == {"2"}
            found = json.loads(project.newest("*.ab_test_report.json"))
            assert found["verdict"] == "win" and found["version_a"]["version"] == "1" and found["version_b"]["version"] == "2"
            assert found["version_b"]["conversion_rate"] > found["version_a"]["conversion_rate"] and found["version_b"]["error_rate"] == 0
            assert min(found["version_a"]["visitors"], found["version_b"]["visitors"]) >= 100
            assert shop.stored("record")["trial"]["began"] == seen["began"], "one test, whoever looks"
            assert "A/B test" in project.newest("*.html")
            assert ("shop.experiment", "conversion") in {(case.attrib["classname"], case.attrib["name"]) for case in project.junit()}
            assert shop.failures() == []
        finally:
            prometheus.close()
            visitors.close()


# ------------------------------------------------------------------------------------------------------------------------------- zero downtime


@pytest.fixture
def database() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.execute("CREATE TABLE users (id bigint PRIMARY KEY, old_field text)", "INSERT INTO users SELECT n, 'x' FROM generate_series(1, 1000) n")
        yield server
    finally:
        server.close()


def columns(server: Postgres) -> set[str]:
    with psycopg.connect(**server.admin) as link:
        return {str(name) for (name,) in link.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'users'")}


def test_the_database_grows_first_and_shrinks_when_nobody_goes_back(tmp_path: Path, database: Postgres) -> None:
    with HaproxyShop(tmp_path / "shop", {"shop": ("web1", "web2", "web3")}) as shop:
        verify = {"checks": {"http": {"url": "http://${address}/health"}, "timeout": "30s"}, "targets": {"shop": shop.urls[0].removeprefix("http://")}}
        steps = {"preset": "conservative", "ramp": [50, 100], "monitor": "1s"}
        given = release("gitlab/zero-downtime/zero-downtime.yml", shop, rollout_rolling=steps, rollout_verify=verify)
        project = Project(tmp_path / "project", shop, "zero-downtime", given)
        project.secrets["SHOP_DATABASE"] = f"host=127.0.0.1 port={database.port} user=admin password='{PASSWORD}' dbname=postgres"
        project.commit()
        done = project.run()
        settled()
        assert done.status == 0 and shop.versions == dict.fromkeys(shop.hosts, "2"), done.text
        assert shop.failures() == [] and project.junit() and project.docker() == ["build", "push"]
        assert all(deploy["seen"] == [["DRAIN", 0]] or deploy["seen"] == [["MAINT", 0]] for deploy in shop.deploys), shop.deploys
        assert columns(database) == {"id", "old_field", "new_field"}

        early = project.run("contract")
        assert early.status != 0 and "somebody may still go back until" in early.text, early.text
        assert "old_field" in columns(database)
        given["database_migration_rollback_window"] = "0s"
        project.write(project.file, json.dumps(given))
        late = project.run("contract")
        assert late.status == 0 and columns(database) == {"id", "new_field"}, late.text
        assert all(PASSWORD not in run.text for run in (done, early, late))
        settled()
        assert shop.failures() == []


# ------------------------------------------------------------------------------------------------------------------------------------ rollback


SERIES = 'track="stable"'
"""What the made-up exporter counts of the shop, whichever version serves."""


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def prometheus(tmp_path: Path, exporter: Exporter) -> Iterator[Prometheus]:
    (tmp_path / "prometheus").mkdir()
    made = Prometheus(tmp_path / "prometheus", exporter)
    try:
        yield made
    finally:
        made.close()


def knows(prometheus: Prometheus) -> bool:
    """Whether it has seen enough to say what was before a release that begins now."""
    asked = urllib.parse.urlencode({"query": f"min(count_over_time(http_requests_total{{{SERIES}}}[1m])) >= 6"})
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/query?{asked}", timeout=120) as answer:
        return bool(json.loads(answer.read())["data"]["result"])


def rollback(folder: Path, shop: HaproxyShop, slack: ScriptedServer, prometheus: Prometheus | None = None) -> Project:
    """The pipeline of rollback, at this shop."""
    verify = {
        "checks": {"http": {"url": "http://${address}/shop/test"}, "interval": "1s", "timeout": "30s"},
        "targets": {"shop": shop.urls[0].removeprefix("http://")},
    }
    given = release("gitlab/rollback/rollback.yml", shop, rollout_rolling={"batches": [1, "100%"]}, rollout_watch={"duration": "8s"}, rollout_verify=verify)
    if prometheus:
        provider = {"url": prometheus.url, "scrape_interval": "1s", "timeout": "60s", "selectors": {"stable": SERIES, "canary": SERIES}}
        given["rollout_analysis"].update(provider={"prometheus": provider}, interval="1s")
    else:
        given["rollout_analysis"] = "none"
    project = Project(folder, shop, "rollback", given)
    project.secrets["SLACK_WEBHOOK"] = f"{slack.url}/hook"
    project.commit()
    return project


def told(slack: ScriptedServer) -> list[str]:
    """The headlines, in their order."""
    return [json.loads(request.body)["text"] for request in slack.requests]


def test_what_is_not_well_goes_back_by_itself_during_the_release_and_after_it(tmp_path: Path, exporter: Exporter, prometheus: Prometheus) -> None:
    with HaproxyShop(tmp_path / "shop", {"shop": ("web1", "web2")}) as shop, ScriptedServer(reply("ok")) as slack:
        project = rollback(tmp_path / "project", shop, slack, prometheus)
        sick = project.run(version="sick")
        settled()
        assert sick.status != 0 and shop.versions == dict.fromkeys(shop.hosts, "1"), sick.text
        assert told(slack)[-1] == "shop sick rolled back", told(slack)
        assert "watching" not in sick.text, "there is nothing new to watch"
        assert "shop: verified: " in sick.text, sick.text

        wait_until(lambda: knows(prometheus), 120)
        good = project.run()
        settled()
        assert good.status == 0 and "2 is well" in good.text, good.text
        assert shop.versions == dict.fromkeys(shop.hosts, "2") and told(slack)[-1] == "shop 2 promoted"

        exporter.tracks["stable"] = Traffic(failing=0.3)
        project.write(project.file, (project.folder / project.file).read_text(encoding="utf-8").replace("duration: 8s", "duration: 10m"))
        bad = project.run("watch")
        settled()
        assert bad.status != 0 and "2 is not well: error-rate" in bad.text, bad.text
        assert shop.versions == dict.fromkeys(shop.hosts, "1") and shop.failures() == []
        assert told(slack)[-1] == "shop 1 rolled back", told(slack)
        assert project.junit() and project.docker() == ["build", "push"] * 2


def test_a_person_looks_before_going_back_and_goes_back_to_a_version(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path / "shop", {"shop": ("web1", "web2")}) as shop, ScriptedServer(reply("ok")) as slack:
        project = rollback(tmp_path / "project", shop, slack)
        for version in ("2", "3"):
            shipped = project.run("rollout", version=version)
            assert shipped.status == 0, shipped.text
        looked = project.run("safe-rollback", version="3")
        assert looked.status == 0 and shop.stored("record")["outcome"] == "paused", looked.text
        assert shop.versions == dict.fromkeys(shop.hosts, "3"), "nothing has changed yet"
        back = project.run("promote", version="3")
        assert back.status == 0 and shop.versions == dict.fromkeys(shop.hosts, "2"), back.text

        nowhere = project.run("rollback-to-version", version="3")
        assert nowhere.status != 0 and "Start this job with the variable ROLLBACK_VERSION" in nowhere.text, nowhere.text
        unknown = project.run("rollback-to-version", "--variable", "ROLLBACK_VERSION=0", version="3")
        assert unknown.status != 0 and "0 is not known to be good" in unknown.text, unknown.text
        first = project.run("rollback-to-version", "--variable", "ROLLBACK_VERSION=1", version="3")
        settled()
        assert first.status == 0 and shop.versions == dict.fromkeys(shop.hosts, "1"), first.text
        assert told(slack)[-1] == "shop 1 rolled back" and shop.failures() == []
        verified = project.run("verify", version="3")
        assert verified.status == 0, verified.text
