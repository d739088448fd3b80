# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTML report: complete, self-contained, small, and proof against what stands in the journal."""

from __future__ import annotations

import base64
import gzip
import html.parser
import json
import re

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.report import journal as j
from ansible_collections.progressive.delivery.plugins.module_utils.core.report import metric_chart, svg
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.html import LARGEST, render
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.view import view
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report import scenarios

VOID = {"meta", "link", "br"}


class Page(html.parser.HTMLParser):
    """Elements, attributes and text of a page; fails on elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(name: str) -> Page:
    return Page(render(j.from_events(scenarios.SCENARIOS[name]())))


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_every_release_gives_a_closed_page_without_script_and_without_anything_to_load(name: str) -> None:
    found = page(name)
    assert not {tag for tag, _attrs in found.elements} & {"script", "img", "iframe", "object", "base", "form", "input"}
    for tag, attrs in found.elements:
        assert not [key for key in attrs if key.startswith("on") or key in ("style", "src")]
        if "href" in attrs:
            assert str(attrs["href"]).startswith(("data:application/", "data:,")), (tag, attrs)
    ids = [attrs["id"] for _tag, attrs in found.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_every_figure_has_a_text_alternative(name: str) -> None:
    found = page(name)
    ids = {attrs.get("id") for _tag, attrs in found.elements}
    for tag, attrs in found.elements:
        if tag == "svg" and attrs.get("aria-hidden") != "true":
            assert attrs["role"] == "img"
            assert set(str(attrs["aria-labelledby"]).split()) <= ids


def test_the_policy_allows_this_style_sheet_and_nothing_else() -> None:
    text = render(j.from_events([]))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)  # type: ignore[union-attr]
    assert policy.startswith("default-src &#x27;none&#x27;; style-src &#x27;sha256-")
    assert "unsafe" not in policy


def test_hostile_text_is_shown_and_is_never_markup() -> None:
    text = render(j.from_events(scenarios.hostile()))
    assert "<script" not in text
    assert "<img" not in text
    assert "javascript:alert(1)" in page("hostile").text
    assert not re.search("[\x00-\x08\x1b\u202e\ud800-\udfff]", text)


def test_a_rollback_tells_outcome_reason_hurt_and_what_to_do_first() -> None:
    text = page("rolled_back").text
    told = ["Rolled back at 20 %: error-rate of the canary 6.3 %", "0.2 % of 10,412", "after 1.4 s", "ansible-playbook progressive.delivery.status", "Timeline"]
    places = [text.index(words) for words in told]
    assert places == sorted(places)


def test_the_hover_of_a_change_names_the_write_behind_it() -> None:
    text = render(j.from_events(scenarios.rolled_back())).replace("\u00a0", " ")
    assert "haproxy lb1 backend shop: canary 5 %, stable 95 % \u2192 canary 20 %, stable 80 % (fence 7, 12 ms)" in text


def test_the_threshold_is_drawn_as_given_and_as_read_from_its_text() -> None:
    text = page("promoted").text
    assert "limit 1 %" in text
    assert "limit 57 ms" in text


def test_decisions_say_who() -> None:
    text = page("promoted").text
    assert "anna (gitlab)" in text
    assert "for digest 9f86d081" in text


def test_empty_first_deploy_and_running_are_told_as_what_they_are() -> None:
    assert "nothing was started, nothing was written" in page("empty").text
    assert "first deploy" in page("first_deploy").text
    assert "in progress" in page("running").text
    assert scenarios.RESUME in page("running").text


def download(text: str) -> list[dict[str, object]]:
    kind, data = re.search(r'href="data:application/(json|gzip);base64,([^"]+)"', text).groups()  # type: ignore[union-attr]
    raw = base64.b64decode(data)
    return json.loads(gzip.decompress(raw) if kind == "gzip" else raw)


@pytest.mark.parametrize("events", [scenarios.rolled_back(), scenarios.long()], ids=["small", "large"])
def test_the_data_to_download_is_the_whole_journal(events: list[dict[str, object]]) -> None:
    assert download(render(j.from_events(events))) == events


@pytest.mark.parametrize("metrics", [2, 40])
def test_a_report_never_grows_beyond_its_bound(metrics: int) -> None:
    events = scenarios.long()
    for index, item in enumerate(events):
        if item["kind"] == "look":
            item.update(metric=f"{item['metric']}-{index % metrics}", reason=f"{index} " * 40)
    events += [{**event, "fence": index} for index, event in enumerate([event for event in events if event["kind"] == "write"] * 600)]
    text = render(j.from_events(events))
    assert len(text.encode()) <= LARGEST
    Page(text)


def test_a_long_path_is_drawn_to_its_end() -> None:
    looks = [j.event("look", scenarios.START + index, step=0, metric="p95", value=index % 7, n=5) for index in range(600)]
    paths = [str(attrs["d"]) for tag, attrs in Page(render(j.from_events(looks))).elements if tag == "path"]
    assert max(map(len, paths)) > 5000
    assert all(path[-1].isdigit() or path[-1] == "z" for path in paths)


def test_thinning_keeps_first_last_and_extremes() -> None:
    looks = [j.Look(float(i), value=100.0 if i == 777 else -5.0 if i == 1234 else 1.0 + i % 3) for i in range(5000)]
    kept = metric_chart.thinned(looks, 60)
    assert len(kept) <= 90
    assert {looks[0], looks[777], looks[1234], looks[-1]} <= set(kept)


def test_a_long_wait_is_folded_and_the_axis_stays_in_order() -> None:
    axis = svg.axis([0.0, 10.0, 20.0, 7220.0, 7230.0])
    xs = [axis.x(at) for at in (0, 10, 20, 3600, 7220, 7230)]
    assert xs == sorted(xs)
    assert axis.x(7220) - axis.x(20) == pytest.approx(svg.FOLD)
    assert (xs[0], xs[-1]) == pytest.approx((svg.LEFT, svg.WIDTH - svg.RIGHT))


def test_a_metric_whose_step_ended_early_is_inconclusive_not_successful() -> None:
    seen = view(j.from_events(scenarios.aborted()))
    phase, reason = metric_chart.standing(seen, "p95", metric_chart.metrics(seen)["p95"])
    assert phase == "inconclusive"
    assert reason.startswith("ended early")


def test_a_slot_is_named_with_the_version_in_it() -> None:
    page = render(j.from_events(scenarios.wanted_rollback()))
    assert "of the requests to 2.4.0 (slot stable)" in page
    assert '<span class="badge big good">rolled back, as asked</span>' in page


@pytest.mark.parametrize("looks, told", [(0, "3 events<"), (1, "3 events, besides 1 look<"), (2, "3 events, besides 2 looks<")])
def test_events_are_counted_in_words(looks: int, told: str) -> None:
    story = scenarios.Story()
    story.start(0, "5 %")
    for _index in range(looks):
        story.add("look", step=0, metric="p95", value=1.0)
    assert told in render(j.from_events(story.end("failed", 18)))


def test_a_release_that_goes_back_can_be_resumed_and_not_aborted() -> None:
    page = render(j.from_events(scenarios.going_back()))
    assert scenarios.RESUME in page and f"<code>{scenarios.ABORT}</code>" not in page
    assert '<span class="badge big warn">going back</span>' in page
