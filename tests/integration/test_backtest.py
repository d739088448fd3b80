# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The analysis of a release file over the past of a real Prometheus: false alarms, and regressions that are put in."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import given
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import iso
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import backtest
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Prometheus

SCRAPE = 15
HOURS = 3
BEGIN = SCRAPE * (int(time.time() - 8 * 3600) // SCRAPE)
END = BEGIN + HOURS * 3600
BROKEN = (BEGIN + 3600, BEGIN + 4200)
"""When the canary of the past really was worse: ten minutes of the three hours."""


def history() -> str:
    """Two tracks with the same share of failures, 1 %, and a queue of the same length; the canary fails in BROKEN."""
    dice = random.Random(7)
    lines, queue = ["# TYPE http_requests counter"], ["# TYPE queue gauge"]
    for track, rate in (("stable", 90), ("canary", 30)):
        good = bad = 0
        series: dict[str, list[str]] = {"200": [], "503": []}
        for at in range(BEGIN - 1800, END + 60, SCRAPE):
            share = 0.2 if track == "canary" and BROKEN[0] < at <= BROKEN[1] else 0.01
            failed = sum(dice.random() < share for _request in range(rate * SCRAPE))
            good, bad = good + rate * SCRAPE - failed, bad + failed
            series["200"].append(f'http_requests_total{{track="{track}",code="200"}} {good} {at}')
            series["503"].append(f'http_requests_total{{track="{track}",code="503"}} {bad} {at}')
            queue.append(f'queue{{track="{track}"}} {dice.gauss(10, 1):.3f} {at}')
        lines += [*series["200"], *series["503"]]
    return "\n".join([*lines, *queue, ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), history=history())
    yield running
    running.close()


def release(url: str, *metrics: dict[str, Any], **analysis: Any) -> dict[str, Any]:
    selectors = {track: f'track="{track}"' for track in ("stable", "canary")}
    return {
        "rollout_name": "shop", "rollout_strategy": "canary",
        "rollout_workload": {"pool": {"stable": "blue", "canary": "green", "deploy": {"tasks": "deploy.yml"}}},
        "rollout_router": {"haproxy": {"endpoints": ["127.0.0.1:1"], "backend": "shop"}},
        "rollout_analysis": {"provider": {"prometheus": {"url": url, "scrape_interval": "15s", "timeout": "2m", "selectors": selectors}}, "interval": "30s",
                             "metrics": list(metrics), **analysis},
    }  # fmt: skip


ERRORS = {"name": "errors", "builtin": "error_rate", "judge": {"sequential": {"mde": 0.01}}}
QUEUE = {"name": "queue", "query": 'queue{track="${track}"}', "resolution": "15s", "judge": {"mann_whitney": {"tolerance": 0.5, "points": 12}}}


def replayed(variables: dict[str, Any], **options: Any) -> dict[str, Any]:
    said: list[str] = []
    params = {"variables": variables, "from": iso(BEGIN), "to": iso(END), "steps": ["5m", "5m"], **options}
    result = backtest.run({**dict.fromkeys(backtest.OPTIONS), **defaults(), **given(params)}, Context(clock=SystemClock(), say=said.append))
    return {**result, "said": said}


def defaults() -> dict[str, Any]:
    return {name: option.default for name, option in backtest.OPTIONS.items() if option.default is not None}


def test_false_alarms_and_the_smallest_regression(server: Prometheus) -> None:
    result = replayed(release(server.url, ERRORS), windows=18, regressions=["+0.002", "+0.02", "+0.1"])
    # the one window in which the past was really bad, and no other: the windows are the hours in tens of minutes
    assert result["outcomes"] == {"good": 17, "alarm": 1, "undecided": 0, "no_data": 0, "error": 0}
    assert result["false_alarms"]["count"] == 1 and result["false_alarms"]["low"] < 1 / 18 < result["false_alarms"]["high"]
    assert [window["start"] for window in result["windows"] if window["outcome"] == "alarm"] == [iso(BROKEN[0])]
    small, middle, large = result["regressions"]
    assert small["caught"]["count"] < 9 and middle["caught"]["count"] == large["caught"]["count"] == 18
    assert result["smallest"]["errors"]["regression"] == "+0.02"
    assert 0 < large["delay_median"] <= middle["delay_median"] <= 600
    assert any("+0.02" in line and "18 of 18" in line for line in result["said"])


def test_regressions_of_values(server: Prometheus) -> None:
    result = replayed(release(server.url, QUEUE), windows=6, regressions=["x1.1", "x2", "x5"])
    assert result["outcomes"]["good"] == 6
    assert [each["caught"]["count"] for each in result["regressions"]] == [0, 6, 6]
    assert result["smallest"]["queue"]["regression"] == "x2"


def test_stable_against_its_own_half_hour_before(server: Prometheus) -> None:
    before = {**QUEUE, "baseline": "before"}
    result = replayed(release(server.url, before), windows=4, candidate="stable", regressions=["+8"])
    assert result["outcomes"]["good"] == 4 and result["regressions"][0]["caught"]["count"] == 4


def test_conditions_are_run_as_well(server: Prometheus) -> None:
    limit = {"name": "limit", "builtin": "error_rate", "failure_condition": "result > 0.05"}
    result = replayed(release(server.url, limit), windows=18, regressions=["+0.01", "+0.1"])
    assert result["outcomes"]["alarm"] == 1
    assert [each["caught"]["count"] for each in result["regressions"]] == [1, 18]


def test_a_past_without_data_is_said(server: Prometheus) -> None:
    with pytest.raises(NoData, match="none of the windows can be judged"):
        replayed(release(server.url, ERRORS), **{"from": iso(BEGIN - 86400), "to": iso(BEGIN - 80000), "windows": 2, "regressions": ["+0.1"]})
    part = replayed(release(server.url, ERRORS), **{"from": iso(BEGIN - 6000), "to": iso(BEGIN + 3000), "windows": 6, "regressions": ["+0.1"]})
    assert part["outcomes"]["no_data"] >= 2 and part["false_alarms"]["of"] == 6 - part["outcomes"]["no_data"]


@pytest.mark.parametrize(("options", "message"), [
    ({"from": "yesterday"}, "is not a time"),
    ({"from": "2026-01-01T00:00:00"}, "time zone"),
    ({"to": None}, "either to or duration"),
    ({"duration": "1h"}, "either to or duration"),
    ({"to": iso(time.time() + 30 * 86400)}, "is not past yet"),
    ({"windows": 19}, "19 windows of 10:00 do not fit"),
    ({"steps": ["4h"]}, "do not fit"),
    ({"steps": ["20s"]}, "first measured after"),
    ({"regressions": ["1.5"]}, "is no regression"),
    ({"regressions": ["x0.5"]}, "is no regression"),
    ({"regressions": ["+0"]}, "is no regression"),
    ({"metrics": ["latency"]}, "latency"),
    ({"candidate": "stable"}, "compare stable with itself"),
])  # fmt: skip
def test_what_cannot_be_tested(server: Prometheus, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replayed(release(server.url, {**ERRORS, "interval": "30s"}), **options)


def test_counters_of_a_load_balancer_have_no_past(server: Prometheus) -> None:
    variables = release(server.url, {**ERRORS, "provider": {"haproxy": {"endpoints": ["127.0.0.1:1"], "backend": "shop"}}})
    with pytest.raises(ConfigError, match="measured by haproxy, which knows no past"):
        replayed(variables)


def test_the_playbook(server: Prometheus, tmp_path: Path) -> None:
    (tmp_path / "release.yml").write_text(json.dumps(release(server.url, ERRORS)))
    settings = {"backtest_from": iso(BEGIN), "backtest_duration": "1h", "backtest_windows": 3, "backtest_steps": ["5m"], "backtest_regressions": ["+0.1"],
                "backtest_report": str(tmp_path / "out" / "result.json")}
    tool = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert tool
    command = [tool, "-i", "localhost,", "-c", "local", "progressive.delivery.backtest", "-e", f"@{tmp_path}/release.yml", "-e", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "false alarms: 0 of 3" in done.stdout, done.stdout
    assert "errors: +0.1 is caught in 80 % of the windows" in done.stdout
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["outcomes"]["good"] == 3 and written["smallest"]["errors"]["regression"] == "+0.1"
    del settings["backtest_from"]
    done = subprocess.run([*command[:-1], json.dumps(settings)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode != 0 and "say where the past begins" in done.stdout + done.stderr
