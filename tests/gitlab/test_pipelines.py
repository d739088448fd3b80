# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipelines of examples/gitlab, run by gitlab-ci-local against real HAProxies with users in front."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.tests.gitlab.pipeline_rig import CHECKOUT, Project, refused, release
from ansible_collections.progressive.delivery.tests.integration.pool_rig import HaproxyShop, settled

HOSTILE = "{{lookup('pipe','id>ran')}}"
"""A name that git takes for a tag."""

EXAMPLES = sorted(path.parent.name for path in (CHECKOUT / "examples" / "gitlab").glob("*/.gitlab-ci.yml"))


def analysis(shop: HaproxyShop, **where: Any) -> dict[str, Any]:
    metric = {"name": "error-rate", "builtin": "error_rate", "failure_condition": "result > 0.05", "min_requests": 3}
    return {"provider": {"haproxy": {"endpoints": [plane.socket for plane in shop.planes], **where}}, "interval": "1s", "metrics": [metric]}


def rolling(folder: Path, shop: HaproxyShop) -> Project:
    steps = {"batches": [1, "25%", "100%"], "min_healthy": 2}
    return Project(folder, shop, "rolling", release("pool/haproxy-rolling.yml", shop, rollout_rolling=steps))


def test_rolling_ships_and_rolls_back(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path / "shop", {"shop": ("web1", "web2", "web3", "web4")}) as shop:
        project = rolling(tmp_path / "project", shop)
        project.commit()
        done = project.run()
        settled()
        assert done.status == 0 and "section_start:" in done.text, done.text
        assert shop.versions == dict.fromkeys(shop.hosts, "2"), done.text
        assert shop.failures() == []
        assert project.junit()
        back = project.run("rollback")
        settled()
        assert back.status == 0, back.text
        assert shop.versions == dict.fromkeys(shop.hosts, "1") and shop.failures() == []
        assert project.docker() == ["build", "push"]


def test_blue_green_waits_for_tests_and_for_a_person_and_goes_back(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path / "shop", {"blue": ("web1", "web2"), "green": ("web3", "web4")}, by_map=True) as shop:
        live = Path(shop.router["haproxy"]["map"]["path"])
        given = release("pool/blue-green.yml", shop, rollout_blue_green={"auto_promotion_enabled": False, "post_promotion_bake": "3s"})
        given["rollout_workload"]["pool"].update(stable="blue", canary="green")
        given["rollout_analysis"] = analysis(shop, backends={"stable": "blue", "canary": "green"})
        project = Project(tmp_path / "project", shop, "blue-green", given)
        preview = f"http://127.0.0.1:{shop.ports['web3']}/"
        project.write("tests/integration/test_preview.py", TESTS.format(url=preview))
        project.commit()
        done = project.run()
        assert done.status == 0 and "paused" in done.text, done.text
        assert live.read_text() == "shop blue\n" and shop.versions == {"web1": "1", "web2": "1", "web3": "2", "web4": "2"}
        assert any(case.attrib["name"] == "test_the_new_version_answers" for case in project.junit()), "the tests' own report"

        promoted = project.run("promote")
        settled()
        assert promoted.status == 0 and "promoted" in promoted.text, promoted.text
        assert live.read_text() == "shop green\n"
        assert {shop.answer(shop.urls[0])["version"] for _request in range(8)} == {"2"}
        back = project.run("rollback")
        settled()
        assert back.status == 0 and live.read_text() == "shop blue\n", back.text
        assert shop.failures() == [] and len(shop.deploys) == 2


def test_canary_stops_at_each_gate_and_each_press_goes_on(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path / "shop", {"shop": ("web1", "web2", "web3", "web4")}) as shop:
        given = release("gitlab/canary/canary.yml", shop, rollout_analysis=analysis(shop, backend="shop"))
        for step in given["rollout_steps"]:
            if "bake" in step:
                step["bake"]["duration"] = "3s"
        project = Project(tmp_path / "project", shop, "canary", given)
        project.commit()
        done = project.run()
        assert done.status == 0 and "half" in done.text, done.text
        assert shop.stored("record")["outcome"] == "paused" and sorted(shop.versions.values()) == ["1", "1", "1", "2"]
        first = project.run("promote")
        assert first.status == 0 and shop.stored("record")["outcome"] == "paused", first.text
        assert sorted(shop.versions.values()) == ["1", "1", "2", "2"]
        last = project.run("promote")
        settled()
        assert last.status == 0 and shop.stored("record")["outcome"] == "promoted", last.text
        assert shop.versions == dict.fromkeys(shop.hosts, "2")
        assert project.junit() and shop.failures() == []


def test_abort_takes_a_paused_canary_back(tmp_path: Path) -> None:
    """And the tag's name, which would be a command if anything of it were templated or read by a shell, is a name."""
    shop = HaproxyShop(tmp_path / "shop", {"shop": ("web1", "web2", "web3", "web4")})
    for host in shop.hosts:
        shop.releases[host][HOSTILE] = {"version": HOSTILE, "delay_ms": 2}
    with shop:
        given = release(
            "gitlab/canary/canary.yml", shop, rollout_steps=[{"set_weight": 25}, {"gate": {"name": "half"}}], rollout_analysis=analysis(shop, backend="shop")
        )
        project = Project(tmp_path / "project", shop, "canary", given)
        project.commit()
        done = project.run(version=HOSTILE)
        assert list(tmp_path.rglob("ran")) == [], done.text
        assert HOSTILE in done.text and "paused" in done.text, done.text
        aborted = project.run("abort", version=HOSTILE)
        settled()
        assert "aborted at 25 %: ann aborted it" in aborted.text and shop.versions == dict.fromkeys(shop.hosts, "1"), aborted.text
        assert list(tmp_path.rglob("ran")) == [] and shop.failures() == []


TESTS = """
import json
import urllib.request


def test_the_new_version_answers():
    assert json.loads(urllib.request.urlopen({url!r}, timeout=120).read())["version"] == "2"
"""


COMPONENT = {"rollout", "promote", "resume", "abort", "rollback"}
BESIDES = {"ab-test": {"look"}, "rollback": {"watch", "verify", "rollback-to-version", "safe-rollback"}, "zero-downtime": {"expand", "contract"}}
"""Jobs of an example that call Ansible, beside those of the component."""
AUTOMATIC = {"rollout", "look", "watch", "verify", "expand"}
UNQUEUED = {"abort", "watch", "verify"}
"""What would stop a release, and what only looks: neither waits for the end of what it is about."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_jobs_are_safe_to_queue_and_to_read(tmp_path: Path, example: str) -> None:
    shop = HaproxyShop(tmp_path / "shop", {"shop": ("web1",)})
    project = Project(tmp_path / "project", shop, example, {})
    project.commit()
    jobs = project.jobs()
    if "schedule" in (project.folder / ".gitlab-ci.yml").read_text(encoding="utf-8"):
        jobs |= project.jobs("--variable", "CI_PIPELINE_SOURCE=schedule")
    assert refused(project.write("merged.yml", yaml.safe_dump(jobs))) == ""
    ours = {name: job for name, job in jobs.items() if any("ansible-playbook" in line for line in job["script"])}
    assert set(ours) == COMPONENT | BESIDES.get(example, set())
    for name, job in ours.items():
        assert job["interruptible"] is False
        assert job.get("resource_group") == (None if name in UNQUEUED else "shop"), name
        assert job["environment"]["url"].startswith("https://")
        if "ROLLOUT_RELEASE_FILE" in job["variables"]:
            assert job["artifacts"]["when"] == "always" and job["artifacts"]["reports"]["junit"] == "reports/*.xml"
        assert (job.get("when") == "manual") is (name not in AUTOMATIC), name
        for line in [*job["script"], *job.get("after_script", ())]:
            assert set(re.findall(r"\$\{?(\w+)", line)) <= {"ROLLOUT_INVENTORY", "ROLLOUT_PLAYBOOK", "ROLLOUT_RELEASE_FILE"}, (
                "nothing of the pipeline in a command"
            )
            assert re.sub(r'"[^"]*"', "", line).count("$") == 0, "variables in quotes only"
