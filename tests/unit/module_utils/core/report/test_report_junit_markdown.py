# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JUnit XML and Markdown."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.report import journal as j
from ansible_collections.progressive.delivery.plugins.module_utils.core.report import junit, markdown
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report import scenarios


def suite(name: str) -> ET.Element:
    return ET.fromstring(junit.render(j.from_events(scenarios.SCENARIOS[name]())))[0]


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_the_counts_are_those_of_the_cases(name: str) -> None:
    found = suite(name)
    assert found.tag == "testsuite"
    assert int(found.get("tests", "")) == len(found) >= 1
    for kind, counted in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(found.get(counted, "")) == len(found.findall(f"testcase/{kind}"))


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_only_a_bad_end_fails(name: str) -> None:
    assert bool(suite(name).findall("testcase/failure")) is (name in ("rolled_back", "going_back", "failed_rollback", "aborted", "hostile"))


def test_one_case_per_step_and_per_metric_and_the_failure_is_the_sentence() -> None:
    found = suite("rolled_back")
    names = [(case.get("classname"), case.get("name")) for case in found]
    assert names == [*(("shop.steps", name) for name in ("deploy", "5 %", "20 %", "50 %", "promote")), ("shop.metrics", "error-rate"), ("shop.metrics", "p95")]
    assert found[2].findtext("failure") == f"rolled back at 20 %: {scenarios.REASON}"
    assert found[5].findtext("failure") == scenarios.REASON


def test_no_two_cases_are_named_alike() -> None:
    """Of cases of one name GitLab keeps one."""
    names = ["shop-canary is ready", "scale shop-canary to 2", "shop-canary is ready", "shop-canary is ready (2)"]
    story = scenarios.Story([{"index": index, "name": name, "kind": "health", "weight": None} for index, name in enumerate(names)])
    found = ET.fromstring(junit.render(j.from_events(story.events)))[0]
    assert [case.get("name") for case in found] == [
        "shop-canary is ready",
        "scale shop-canary to 2",
        "shop-canary is ready (3)",
        "shop-canary is ready (2)",
    ]


def test_a_bad_end_without_a_failed_step_still_fails() -> None:
    story = scenarios.Story().begun()
    events = story.end("partial", 15, "stable could not be verified")
    story_suite = ET.fromstring(junit.render(j.from_events([event for event in events if event["kind"] != "step"])))
    assert story_suite.find(".//failure") is not None


def test_nothing_done_is_skipped_not_passed() -> None:
    assert suite("empty").find("testcase/skipped") is not None


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_the_summary_is_short_and_holds_no_markup_of_the_journal(name: str) -> None:
    text = markdown.render(j.from_events(scenarios.SCENARIOS[name]()))
    assert len(text.splitlines()) <= 20
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(", text)


def test_a_wanted_rollback_passes_and_one_that_failed_does_not() -> None:
    assert [case for case in suite("wanted_rollback").iter("testcase") if len(case)] == []
    assert suite("failed_rollback").find("testcase/failure") is not None
    assert markdown.render(j.from_events(scenarios.wanted_rollback())).startswith("### \u2714 shop 2.4.1 \u2192 2.4.0: rolled back, as asked\n")


@pytest.mark.parametrize("written, shown", [
    ("look: ansible-playbook x.status -e @examples/shop.yml", "look: `ansible-playbook x.status -e @examples/shop.yml`"),
    ("run `status` of a_b, then @ann", "run `status` of a_b, then @ann"),
])
def test_what_is_next_is_code_where_it_is_a_command(written: str, shown: str) -> None:
    text = markdown.render(j.from_events(scenarios.Story().end("paused", 12, "", next=[written])))
    assert text.splitlines()[-1] == f"Next: {shown}"


@pytest.mark.parametrize("reason", ["5 % < 10 % & 3 > 2!", "my_service: $5 #7, user@host ~ no", "web1, web2 (2 of 3) = 66.7 %"])
def test_what_markdown_leaves_alone_is_not_escaped(reason: str) -> None:
    lines = markdown.render(j.from_events(scenarios.Story().end("failed", 18, reason))).splitlines()
    assert lines[2] == reason.replace("~", "\\~")


@pytest.mark.parametrize("reason", ["# big", "> quoted", "- item", "1. item", "*bold*", "_slanted_", "[x](y)", "<b>", "&lt;", "`code`", "a|b", "---", "~~no~~"])
def test_what_markdown_would_read_is_escaped(reason: str) -> None:
    line = markdown.render(j.from_events(scenarios.Story().end("failed", 18, reason))).splitlines()[2]
    assert line != reason and line.replace("\\", "").replace("&lt;", "<").replace("&amp;", "&") in (reason, "<")


def test_the_summary_of_a_rollback() -> None:
    lines = markdown.render(j.from_events(scenarios.rolled_back())).splitlines()
    assert lines[0] == "### \u2718 shop 2.4.0 \u2192 2.4.1: rolled back at 20 %"
    assert lines[2] == scenarios.REASON
    steps = [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:]
    assert steps == ["\u2714 deploy", "\u2714 5 %", "\u2718 20 %", "\u25cb 50 %", "\u25cb promote"]
    assert "21 users' requests failed, 0.2 % of all" in lines[-2]


def test_of_many_steps_the_table_shows_few_and_always_the_failed_one() -> None:
    steps = [{"index": index, "name": f"batch {index + 1}", "kind": "batch", "weight": None} for index in range(40)]
    story = scenarios.Story(steps=steps)
    for index in range(20):
        story.done(index, f"batch {index + 1}", 3)
    story.add("step", step=20, name="batch 21", status="failed", reason="web21 is down")
    text = markdown.render(j.from_events(story.end("failed", 18, "web21 is down")))
    assert "batch 21 " in text
    assert text.count("batch") <= 10
