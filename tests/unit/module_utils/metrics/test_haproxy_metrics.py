# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.haproxy import WHOLE, HaproxyProvider

COLUMNS = ("svname", "mode", "lbtot", "scur", "econ", "eresp", "rtime", "status", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")


class FakeClient:
    endpoint = "lb"

    def __init__(self):
        self.pid = 1
        self.rows = {name: {"svname": name, "mode": "http", "status": "UP"} for name in ("web1", "web2", WHOLE)}

    def add(self, server, **counters):
        row = self.rows[server]
        for column, number in counters.items():
            row[column] = row.get(column, 0) + number

    def ask(self, commands):
        table = "\n".join(",".join(str(row.get(column, "0")) for column in COLUMNS) for row in self.rows.values())
        return [f"Pid: {self.pid}\nStart_time_sec: 5" if command == "show info" else f"# {','.join(COLUMNS)}\n{table}\n" for command in commands]


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def provider(client, clock):
    return HaproxyProvider([client], {"stable": [("shop", "web1")], "canary": [("shop", "web2")]}, clock=lambda: clock[0])


def ask(provider, clock, builtin="", query="", track="canary", seconds=10.0):
    [sample] = provider.query(query, Window(track, clock[0] - seconds, clock[0], builtin=builtin)).samples
    return sample.points[0]


def test_shares_and_rates_of_the_window(provider, client, clock):
    client.add("web2", hrsp_2xx=1000)
    provider.probe()
    clock[0] += 10
    client.add("web2", hrsp_2xx=80, hrsp_4xx=10, hrsp_5xx=5, econ=3, eresp=2)
    point = ask(provider, clock, "error_rate")
    assert (point.value, point.n, point.time) == (0.1, 100, 1010.0)
    assert ask(provider, clock, "success_rate").value == 0.9
    assert ask(provider, clock, "request_rate").value == 10.0


def test_the_first_look_and_silence_are_no_data(provider, client, clock):
    with pytest.raises(NoData, match="first look"):
        ask(provider, clock, "error_rate")
    clock[0] += 10
    with pytest.raises(NoData, match="no request"):
        ask(provider, clock, "error_rate")
    assert ask(provider, clock, "request_rate").value == 0


def test_a_look_that_took_longer_than_the_interval_still_counts(provider, client, clock):
    """A provider lives for one bake, so its last look is never from another step; without this, slow looks would never have data."""
    provider.probe()
    clock[0] += 60
    client.add("web2", hrsp_2xx=100)
    assert ask(provider, clock, "error_rate", seconds=10).value == 0


@pytest.mark.parametrize("restart", [{"pid": 2}, {"fall": True}])
def test_a_restart_in_the_window_is_no_data_once(provider, client, clock, restart):
    client.add("web2", hrsp_2xx=100)
    provider.probe()
    clock[0] += 10
    client.pid = restart.get("pid", 1)
    if restart.get("fall"):
        client.rows["web2"]["hrsp_2xx"] = 10
    with pytest.raises(NoData, match="restarted"):
        ask(provider, clock, "error_rate")
    clock[0] += 10
    client.add("web2", hrsp_2xx=50)
    assert ask(provider, clock, "error_rate").n == 50


def test_the_mean_latency_is_in_milliseconds_and_by_query(provider, client, clock):
    provider.probe()
    clock[0] += 10
    client.add("web2", hrsp_2xx=10, rtime=250)
    assert ask(provider, clock, query="latency_mean").value == 250
    with pytest.raises(Unsupported, match="latency_mean"):
        ask(provider, clock, "latency")


def test_a_column_is_as_it_is_now(provider, client, clock):
    client.add("web2", scur=7)
    assert ask(provider, clock, query="scur").value == 7
    with pytest.raises(ConfigError, match="Did you mean scur"):
        ask(provider, clock, query="scurr")
    with pytest.raises(NoData, match="no number"):
        ask(provider, clock, query="status")


def test_tcp_counts_connections(provider, client, clock):
    client.rows["web2"]["mode"] = "tcp"
    provider.probe()
    clock[0] += 10
    client.add("web2", lbtot=20, econ=5)
    assert ask(provider, clock, "error_rate").value == 0.25


def test_whole_backends(client, clock):
    provider = HaproxyProvider([client], {"canary": [("green", WHOLE)]}, clock=lambda: clock[0])
    provider.probe()
    clock[0] += 10
    client.add(WHOLE, hrsp_2xx=90, hrsp_5xx=10, econ=10)
    assert ask(provider, clock, "error_rate").value == 0.1


def test_several_load_balancers_are_added_up(client, clock):
    other = FakeClient()
    other.endpoint = "lb2"
    provider = HaproxyProvider([client, other], {"canary": [("shop", "web2")]}, clock=lambda: clock[0])
    provider.probe()
    clock[0] += 10
    client.add("web2", hrsp_2xx=90)
    other.add("web2", hrsp_5xx=10)
    assert ask(provider, clock, "error_rate").value == 0.1


def test_what_does_not_exist_is_named(client, clock):
    with pytest.raises(ConfigError, match="Did you mean web1"):
        HaproxyProvider([client], {"canary": [("shop", "web11")]}).probe()
    with pytest.raises(ConfigError, match="unknown track"):
        ask(HaproxyProvider([client], {"canary": [("shop", "web1")]}), clock, "error_rate", track="stable")


def test_options():
    given = {"endpoints": ["/run/haproxy.sock"], "backend": "shop", "server_names": {"host1": "web1"}}
    assert HaproxyProvider.from_options(validate(given, HaproxyProvider.OPTIONS, ""), {"stable": ("host1",)})._places == {"stable": (("shop", "web1"),)}
    with pytest.raises(ConfigError, match="exactly one"):
        HaproxyProvider.from_options({"endpoints": ["/x"]}, {})
