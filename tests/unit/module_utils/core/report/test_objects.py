# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of objects whose Pods share by their number: called by their names, from nothing up, and done when it is promoted."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.core.report import html, journal, timeline, view

CALLED = {"stable": "shop-stable", "canary": "shop-canary"}
STEPS = [{"index": 0, "name": "20 %", "kind": "weight", "weight": 20}, {"index": 1, "name": "promote", "kind": "promote"},
         {"index": 2, "name": "clean up", "kind": "clean"}]  # fmt: skip


def routes(canary: int, stable_pods: int, canary_pods: int) -> dict[str, Any]:
    return {"weights": {"stable": 100 - canary, "canary": canary}, "pods": {"stable": stable_pods, "canary": canary_pods}}


def events(**begin: Any) -> list[dict[str, Any]]:
    """The Pods moved before the write, and at the end all of them go back to the object that is stable."""
    release = {"id": "r", "name": "shop", "version": "2", "previous": "1", "strategy": "canary"}
    return [
        journal.event("begin", 0.0, release=release, steps=STEPS, candidate="canary", router="replica_ratio", **begin),
        journal.event("ready", 1.0, step=0, name="shop-canary", ready=1, wanted=1, seconds=1.0),
        journal.event("write", 2.0, step=0, target="replica_ratio", before=routes(20, 4, 1), after=routes(20, 4, 1)),
        journal.event("step", 3.0, step=0, name="20 %", status="done"),
        journal.event("step", 4.0, step=1, name="promote", status="done"),
        journal.event("write", 5.0, step=2, target="replica_ratio", before=routes(100, 0, 4), after=routes(0, 4, 0)),
        journal.event("step", 6.0, step=2, name="clean up", status="done"),
        journal.event("outcome", 7.0, outcome="promoted", code=0),
    ]


def text_of(page: str) -> str:
    return page.replace("\u00a0", " ")


def test_what_follows_a_promotion_is_no_way_back() -> None:
    moves = [percent for _at, percent, _words in timeline.changes(journal.from_events(events()), "canary")]
    assert moves == [20]
    unpromoted = [item for item in events() if item.get("name") != "promote"]
    assert [percent for _at, percent, _words in timeline.changes(journal.from_events(unpromoted), "canary")] == [20, 0]


def test_pods_that_have_moved_before_the_write_began_at_nothing() -> None:
    of_pods = timeline.timeline(view.from_events(events()), 100)
    of_weights = [{**item, "before": {"weights": item["before"]["weights"]}} if item["kind"] == "write" else item for item in events()]
    with_weights = timeline.timeline(view.from_events(of_weights), 100)
    [bottom, above] = [re.findall(r'd="M[\d.]+,([\d.]+)[^"]*" class="asked', drawn) for drawn in (of_pods, with_weights)]
    assert bottom == [f"{timeline.BOTTOM}"] and float(above[0]) < timeline.BOTTOM


def test_objects_are_called_by_their_names() -> None:
    page = text_of(html.render(journal.from_events(events(called=CALLED, workload="deployment shop-stable, shop-canary in namespace shop"))))
    assert "in namespace shop" in page and "2 (shop-canary)" in page and "shop-canary 20 %, shop-stable 80 %" in page
    assert "Pods: shop-canary 1, shop-stable 4" in page and "slot canary" not in page
    assert "<h2>Pods</h2>" in page and "1 of 1 Pod" in page


def test_the_wait_for_pods_stands_in_the_line_of_what_it_follows() -> None:
    steps = [{"index": 0, "name": "scale shop-canary to 2", "kind": "scale"}, {"index": 1, "name": "shop-canary is ready", "kind": "health"}]
    story = [journal.event("begin", 0.0, release={"name": "shop", "version": "2"}, steps=steps, called=CALLED),
             journal.event("step", 1.0, step=0, status="started"), journal.event("step", 1.5, step=0, status="done")]  # fmt: skip
    [row] = view.from_events(story).rows
    assert (row.label, row.state, row.facts) == ("scale shop-canary to 2", "current", ())
    story += [journal.event("step", 2.0, step=1, status="started"), journal.event("ready", 4.0, step=1, name="shop-canary", ready=2, wanted=2, seconds=2.0),
              journal.event("step", 4.0, step=1, status="done")]  # fmt: skip
    [row] = view.from_events(story).rows
    assert (row.state, [fact.text for fact in row.facts]) == ("done", ["2 of 2 Pods in 2 s"])


def test_slots_without_objects_are_slots() -> None:
    assert view.from_events(events()).slot("canary") == "2 (slot canary)"


def test_what_a_drain_could_not_ask_or_had_to_cut_makes_its_step_worth_reading() -> None:
    why = "shop-canary-1: POST /drain is answered with 404"

    def seen(**drain: Any) -> view.View:
        return view.from_events([*events()[:-1], journal.event("drain", 5.5, step=2, members=["shop-canary-1"], seconds=0.0, **drain), events()[-1]])

    assert [row.label for row in seen(in_flight=0, cut=0).rows] == ["20 %", "promote"]
    assert [fact.text for fact in seen(in_flight=0, cut=0, why=why).rows[-1].facts] == [why]
    assert [fact.text for fact in seen(in_flight=3, cut=3).rows[-1].facts] == ["3 connections cut at the drain's end"]
    page = text_of(html.render(seen(in_flight=0, cut=0, why=why).journal))
    assert page.count(why) >= 2 and "no connection left" not in page
