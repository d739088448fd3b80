# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of an A/B test: a JSON file with the guide's fields, JUnit that a CI takes, and a section of the page."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.report import ab_test, html, junit, markdown
from ansible_collections.progressive.delivery.plugins.module_utils.core.report import journal as j
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report import scenarios
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report.test_report_html import Page


def journal(name: str) -> j.Journal:
    return j.from_events(scenarios.SCENARIOS[name]())


def document(name: str) -> dict[str, Any]:
    return dict(json.loads(ab_test.render(journal(name)), parse_constant=pytest.fail))


def test_the_report_has_the_guides_fields_and_more() -> None:
    found = document("won")
    assert found["test_duration"] == "24h" and (found["verdict"], found["decision"], found["outcome"]) == ("win", "promote", "promoted")
    a, b = found["version_a"], found["version_b"]
    assert (a["version"], b["version"]) == ("2.4.0", "2.4.1")
    for variant in (a, b):
        assert {"conversion_rate", "error_rate", "avg_response_time", "visitors", "conversions"} <= {*variant}
        assert variant["conversion_rate_low"] < variant["conversion_rate"] < variant["conversion_rate_high"]
    assert (a["error_rate"], b["error_rate"], a["avg_response_time"], b["avg_response_time"], b["p95_response_time"]) == (0.0011, 0.0009, 18.0, None, 41.0)
    assert found["difference"]["low"] < found["difference"]["value"] < found["difference"]["high"]
    assert found["design"] == {"mde": 0.01, "alpha": 0.05, "power": 0.8, "visitors_planned": 55_758}
    assert found["sample_ratio"]["seen"] == pytest.approx(0.5, abs=0.01)
    assert document("kept")["decision"] == "keep_stable"


@pytest.mark.parametrize("name", [name for name in scenarios.SCENARIOS if name not in ("won", "kept", "hostile")])
def test_a_release_without_a_test_has_no_such_report(name: str) -> None:
    assert ab_test.render(journal(name)) == ""
    assert "A/B test" not in html.render(journal(name))


def test_of_a_hostile_journal_the_report_is_still_json() -> None:
    assert document("hostile")["version_a"]["conversion_rate_low"] is None


SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"tests", "failures", "errors"}, {"time", "skipped", "name"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"time", "skipped", "timestamp", "hostname", "id"}, {"testcase", "properties", "system-out"}),
    "testcase": ({"name", "classname"}, {"time", "status"}, {"failure", "error", "skipped", "system-out"}),
    "failure": (set(), {"message", "type"}, set()), "error": (set(), {"message", "type"}, set()), "skipped": (set(), {"message", "type"}, set()),
}
"""Of each element of JUnit's XML, as Jenkins' and GitLab's schemas have it: attributes it must have, may have besides, and elements within it."""


def check(element: ET.Element) -> None:
    must, may, inner = SCHEMA[element.tag]
    assert must <= {*element.attrib} <= must | may, (element.tag, element.attrib)
    for name in {"tests", "failures", "errors", "skipped"} & {*element.attrib}:
        assert re.fullmatch(r"\d+", element.attrib[name])
    if "time" in element.attrib:
        assert re.fullmatch(r"\d+(\.\d+)?", element.attrib["time"])
    if "timestamp" in element.attrib:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", element.attrib["timestamp"])
    if element.tag == "testcase":
        assert len([child for child in element if child.tag in ("failure", "error", "skipped")]) <= 1
    if element.tag in ("testsuite", "testsuites"):
        cases = list(element.iter("testcase"))
        assert int(element.attrib["tests"]) == len(cases)
        assert int(element.attrib["failures"]) == len(list(element.iter("failure"))) and int(element.attrib["errors"]) == len(list(element.iter("error")))
    for child in element:
        assert child.tag in inner, (element.tag, child.tag)
        check(child)


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_junit_is_what_its_schema_says(name: str) -> None:
    root = ET.fromstring(junit.render(journal(name)))
    assert root.tag == "testsuites"
    check(root)


def test_junit_has_one_case_for_the_test_and_the_loser_fails_nothing() -> None:
    for name, skipped in (("won", False), ("kept", True)):
        root = ET.fromstring(junit.render(journal(name)))
        [case] = root.findall(".//testcase[@classname='shop.experiment']")
        assert case.get("name") == "conversion" and (case.find("skipped") is not None) is skipped
        assert root.findall(".//failure") == root.findall(".//error") == []
        assert root.findall(".//testcase[@classname='shop.metrics']") == []
    assert "lose: converts less" in str(case.find("skipped").get("message"))


def test_the_page_draws_the_difference_with_its_interval() -> None:
    text = html.render(journal("won"))
    found = Page(text)
    assert "A/B test" in found.text and "2.4.1 wins" in found.text and "converts more, by 0.6" in found.text
    assert "A: 2.4.0" in found.text and "B: 2.4.1" in found.text
    figure = text[text.index('aria-labelledby="abt abd"'):]
    figure = figure[: figure.index("</svg>")]
    assert 'class="band"' in figure and 'class="candidate"' in figure and figure.count('class="limit"') == 2
    assert "2.4.1 loses" in Page(html.render(journal("kept"))).text
    assert "stable kept" in Page(html.render(journal("kept"))).text


def test_the_lines_of_a_figure_stay_within_it() -> None:
    text = html.render(journal("kept"))
    figure = text[text.index('aria-labelledby="abt abd"'):]
    heights = [float(value) for value in re.findall(r"[ML]-?[\d.]+,(-?[\d.]+)", figure[: figure.index("</svg>")])]
    assert heights and min(heights) >= ab_test.TOP and max(heights) <= ab_test.BOTTOM


def test_the_summary_says_that_stable_was_kept() -> None:
    text = markdown.render(journal("kept"))
    assert text.startswith("### \u2714 shop 2.4.0 \u2192 2.4.1: stable kept\n") and "lose: converts less" in text
