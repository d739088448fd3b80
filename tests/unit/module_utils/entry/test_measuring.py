# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fills the placeholders of a query: the release's name for a pool, the object and its namespace on Kubernetes."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Point, Window
from ansible_collections.progressive.delivery.plugins.module_utils.entry.measuring import Measuring, labels_of

POOL = {"name": "shop", "workload": {"pool": {"stable": "blue", "canary": "green"}}}


def on_kubernetes(folder: pathlib.Path, kind: str = "deployment", namespace: str = "", **more: str):
    path = folder / "kubeconfig"
    path.write_text(json.dumps({
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "of-the-context"}}], "current-context": "x",
    }))
    options = {"kubeconfig": str(path), "stable": "shop-stable", **({"namespace": namespace} if namespace else {}), **more}
    return {"name": "shop", "workload": {kind: options}}


def test_a_pool_is_called_by_the_name_of_its_release() -> None:
    assert labels_of(POOL, "canary", "2") == {"track": "canary", "workload": "shop", "version": "2"}
    assert labels_of(POOL, "stable", "")["version"] == "unknown"


def test_on_kubernetes_the_workload_is_the_object_of_the_slot(tmp_path: pathlib.Path) -> None:
    labels = labels_of(on_kubernetes(tmp_path, namespace="shop", canary="shop-canary", container="app"), "canary", "2")
    assert labels == {"track": "canary", "workload": "shop-canary", "namespace": "shop", "version": "2", "kind": "deployment", "container": "app"}


def test_without_a_second_object_all_tracks_are_the_one(tmp_path: pathlib.Path) -> None:
    assert labels_of(on_kubernetes(tmp_path, "statefulset"), "canary", "2")["workload"] == "shop-stable"


def test_a_namespace_that_is_not_given_is_that_of_the_context(tmp_path: pathlib.Path) -> None:
    assert labels_of(on_kubernetes(tmp_path), "stable", "1")["namespace"] == "of-the-context"


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        labels_of({"name": "shop", "workload": {"deployment": {"stable": "shop", "kubeconfig": str(tmp_path / "nowhere")}}}, "stable", "1")


# ------------------------------------------------------------------------------------------------------------------------- shares of two queries


def share(**more: Any) -> Metric:
    return Metric.from_options({"name": "sold", "query": "bought", "total_query": "came", "dry_run": True, **more}, "m")


def measuring(**answers: list[Any]) -> Measuring:
    return Measuring({"provider": {"memory": {"values": answers}}}, {})


def window(end: float = 60.0, start: float = 0.0, track: str = "canary") -> Window:
    return Window(track, start, end)


def test_a_share_is_the_part_of_the_whole_and_knows_how_many_it_was_made_from() -> None:
    found = measuring(bought=[3], came=[40]).measure(share(), window())
    assert found.samples[0].points == (Point(60.0, 0.075, 40),) and found.query == "bought / came"


def test_what_never_happened_has_no_series_and_is_none_beside_a_whole() -> None:
    assert measuring(bought=[None], came=[40]).measure(share(), window()).samples[0].points[0].value == 0.0
    with pytest.raises(NoData):
        measuring(bought=[3], came=[None]).measure(share(), window())
    with pytest.raises(NoData):
        measuring(bought=[0], came=[0.2]).measure(share(), window())


@pytest.mark.parametrize("bought, came", [
    ([50], [40]), ([[1, 2]], [40]), ([3], [[1, 2]]), (["+Inf"], [40]), ([-1], [40]), ([3], ["+Inf"]), ([{"error": "away"}], [40]), ([3], [{"error": "away"}]),
])
def test_what_is_no_share_is_an_error_never_a_number(bought: list[Any], came: list[Any]) -> None:
    with pytest.raises(Unavailable):
        measuring(bought=bought, came=came).measure(share(), window())


def test_not_a_number_is_no_data() -> None:
    with pytest.raises(NoData):
        measuring(bought=[3], came=["NaN"]).measure(share(), window())
    assert measuring(bought=["NaN"], came=[40]).measure(share(), window()).samples[0].points[0].value == 0.0


def test_an_extrapolated_part_a_little_above_its_whole_is_all_of_it() -> None:
    assert measuring(bought=[40.4], came=[40]).measure(share(), window()).samples[0].points[0] == Point(60.0, 1.0, 40)


def test_of_totals_what_came_within_the_window_counts() -> None:
    found = measuring(bought=[100, 103, 110], came=[1000, 1040, 1100])
    with pytest.raises(NoData, match="where counting begins"):
        found.measure(share(cumulative=True), window(0.0))
    assert found.measure(share(cumulative=True), window(60.0)).samples[0].points[0] == Point(60.0, 3 / 40, 40)
    assert found.measure(share(cumulative=True), window(120.0, start=60.0)).samples[0].points[0] == Point(120.0, 7 / 60, 60)


def test_totals_that_begin_again_go_on_and_such_that_fall_a_little_are_none() -> None:
    found = measuring(bought=[100, 110, 2], came=[1000, 1100, 20])
    metric = share(cumulative=True)
    with pytest.raises(NoData):
        found.measure(metric, window(0.0))
    found.measure(metric, window(60.0))
    assert found.measure(metric, window(120.0)).samples[0].points[0] == Point(120.0, 12 / 120, 120), "since the beginning, the restart in it"
    other = measuring(bought=[100, 100], came=[1000, 990])
    with pytest.raises(NoData):
        other.measure(metric, window(0.0))
    with pytest.raises(Unavailable, match="fell from"):
        other.measure(metric, window(60.0))


def test_counting_begins_for_all_tracks_at_once_and_each_has_its_own() -> None:
    found = measuring(**{"stable/bought": [5, 9], "stable/came": [100, 120], "canary/bought": [0, 3], "canary/came": [0, 30]})
    metric = share(cumulative=True)
    found.begin([metric, share()], ["canary", "stable"], lambda track: window(0.0, track=track))
    assert found.measure(metric, window(60.0, track="canary")).samples[0].points[0].n == 30
    assert found.measure(metric, window(60.0, track="stable")).samples[0].points[0].n == 20


@pytest.mark.parametrize("options, words", [
    ({"builtin": "error_rate", "total_query": "x", "judge": "sequential"}, "knows its whole"),
    ({"query": "x", "cumulative": True, "dry_run": True}, "need total_query"), ({"query": "x", "total_query": "${nothing}", "dry_run": True}, "total_query"),
])
def test_a_share_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Metric.from_options({"name": "m", **options}, "m")
