# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases by ansible-playbook on app processes behind real HAProxies, under load without retries."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.examples.demo import load
from ansible_collections.progressive.delivery.tests.integration.pool_rig import STRAYS, TASKS, HaproxyShop, settled

FOUR = {"web": ("web1", "web2", "web3", "web4")}


def rolling(shop: HaproxyShop, **changes: Any) -> None:
    """Rolling over one group in batches of one, two and one."""
    shop.release["rollout_workload"]["pool"]["hosts"] = "web"
    shop.release.update(rollout_router=shop.router, rollout_strategy="rolling", rollout_rolling={"batches": [1, "50%", "100%"]}, **changes)


def test_rolling_over_two_haproxies_loses_no_request(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, FOUR, balancers=2) as shop:
        rolling(shop)
        done = shop.run("rolling", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        assert shop.failures() == []
        assert shop.versions == dict.fromkeys(shop.hosts, "2")
        assert [deploy["host"] for deploy in shop.deploys][0] == "web1"
        assert sorted(deploy["host"] for deploy in shop.deploys) == shop.hosts, "each host once"
        for deploy in shop.deploys:
            assert deploy["seen"] == [["DRAIN", 0], ["DRAIN", 0]], "out of rotation on both, with nothing in flight, before it was touched"
        for number in range(2):
            assert shop.states(number) == dict.fromkeys(shop.hosts, "up")
            assert len(set(shop.weights(number).values())) == 1
        assert shop.users().total > 100


def test_rolling_by_zones_changes_one_zone_after_the_other(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, FOUR) as shop:
        rolling(shop)
        shop.groups.update(rack_b=("web3", "web1"), rack_a=("web2",))
        shop.release["rollout_rolling"] = {"zones": ["rack_b", "rack_a"], "batches": [1, "50%"]}
        refused = shop.run("rolling", "2")
        assert refused.status == 2 and "web4 is in none of the zones" in refused.message() and not shop.deploys, refused.text
        shop.groups["rack_a"] = ("web2", "web4")
        done = shop.run("rolling", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        deployed = [deploy["host"] for deploy in shop.deploys]
        assert deployed[:2] == ["web1", "web3"] and sorted(deployed[2:]) == ["web2", "web4"]
        assert shop.failures() == []


def test_what_outlives_the_drain_is_cut_counted_and_fails_no_other_request(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, FOUR) as shop, contextlib.ExitStack() as held:
        rolling(shop)
        shop.release.update(rollout_drain_timeout="5s")
        began = settled()
        uploads = [held.enter_context(socket.create_connection(("127.0.0.1", shop.planes[0].port))) for _host in range(3)]
        for upload in uploads:
            upload.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\n")  # and the body never comes
        done = shop.run("rolling", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        drains = shop.events("drain")
        # Round robin among the load's own requests: two uploads may be on one host, and one that is cut is tried on no other.
        assert sum(drain["cut"] for drain in drains) == sum(drain["in_flight"] for drain in drains) == 3
        assert all(not deploy["seen"][0][1] for deploy in shop.deploys), shop.deploys
        assert " still in flight after 5 s, " in done.text, done.text
        for upload in uploads:
            upload.settimeout(60)
            assert b" 200 " not in upload.recv(1000)
        assert shop.failures(began) == [] and shop.states() == dict.fromkeys(shop.hosts, "up")


def test_rolling_with_a_sick_second_batch_takes_every_host_back_and_loses_no_request(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, FOUR, balancers=2, knobs={"web2": {"2": {"healthy": False}}}) as shop:
        rolling(shop)
        shop.release["rollout_health"]["retries"] = 4
        done = shop.run("rolling", "2")
        settled()
        assert done.status == 2 and (done.outcome, done.code) == ("rolled_back", 10), done.text
        assert "web2" in done.message() and "503" in done.message()
        assert shop.failures() == []
        assert shop.versions == dict.fromkeys(shop.hosts, "1")
        assert [deploy["host"] for deploy in shop.deploys if deploy["action"] == "deploy"][0] == "web1"
        assert sorted(deploy["host"] for deploy in shop.deploys if deploy["action"] == "rollback") == ["web1", "web2", "web3"]
        for deploy in shop.deploys:
            assert all(status in ("DRAIN", "DOWN") and not sessions for status, sessions in deploy["seen"]), deploy
        for number in range(2):
            assert shop.states(number) == dict.fromkeys(shop.hosts, "up"), "nobody is left drained"


SMALL = {"blue": ("web1", "web2", "web3"), "green": ("web4",)}


BY_CONDITION = {"failure_condition": "result > 0.05", "min_requests": 20}


def canary(shop: HaproxyShop, steps: list[dict[str, Any]], **rule: Any) -> None:
    """A canary judged from HAProxy's own counters."""
    shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
    provider = {"haproxy": {"endpoints": shop.sockets, "backend": "shop"}}
    metric = {"name": "error-rate", "builtin": "error_rate", **(rule or BY_CONDITION)}
    shop.release.update(rollout_router=shop.router, rollout_steps=steps, rollout_analysis={"provider": provider, "interval": "1s", "metrics": [metric]})


def test_a_small_canary_group_takes_hosts_over_and_every_share_is_measured(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, SMALL) as shop:
        canary(shop, [{"set_weight": 20}, {"bake": {"duration": "3s"}}, {"set_weight": 50}])
        done = shop.run("canary", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        assert shop.failures() == []
        assert shop.versions == dict.fromkeys(shop.hosts, "2")
        assert sorted(deploy["host"] for deploy in shop.deploys) == shop.hosts, "each host once"
        asked = [share for share, _measured, _requests in shop.shares()]
        rise = asked[: asked.index(100) + 1]
        assert rise == sorted(rise) and {20, 50, 100} <= set(rise)
        for share, measured, requests in shop.shares():
            assert requests >= 60 and abs(share - measured) <= STRAYS, (share, measured, requests)
        assert shop.states() == dict.fromkeys(shop.hosts, "up")
        assert shop.weights() == {"web1": 100, "web2": 100, "web3": 100, "web4": 0}, "home again, as configured"
        assert shop.events("look"), "the metric was measured"


@pytest.mark.parametrize(("rule", "cookie"), [(BY_CONDITION, "SRV"), ({"judge": "sequential"}, "")], ids=["condition, cookies", "sequential"])
def test_a_bad_canary_is_taken_back_by_haproxys_own_counters(tmp_path: Path, rule: dict[str, Any], cookie: str) -> None:
    with HaproxyShop(tmp_path, SMALL, cookie=cookie) as shop:
        canary(shop, [{"set_weight": 20}, {"bake": {"duration": "10m"}}], **rule)
        done = shop.run("canary", "failing")
        ended = settled()
        assert done.status == 2 and (done.outcome, done.code) == ("rolled_back", 10), done.text
        assert "error-rate" in done.message()
        assert shop.weights() == {"web1": 100, "web2": 100, "web3": 100, "web4": 0}
        hurt = shop.failures()
        assert hurt and all(failure["v"] == "failing" for failure in hurt), "stable failed nobody"
        assert max(float(str(failure["t"])) for failure in hurt) < ended - 0.3
        # A fifth of the users met it, of whom three in ten were hurt: however long that took, six in a hundred.
        assert len(hurt) < 0.15 * shop.users().total
        shop.until_users(ended, {"1"})
        assert shop.failures(ended) == []
        assert {shop.answer(shop.urls[0], Cookie=f"{cookie}=web4")["version"] for _request in range(4)} == {"1"}, "nor whoever has met the canary"
        assert shop.states()["web4"] == ("maint" if cookie else "up")
        assert {host: shop.versions[host] for host in ("web1", "web2", "web3")} == dict.fromkeys(("web1", "web2", "web3"), "1")


def test_blue_green_by_a_map_and_back(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, {"blue": ("web1", "web2"), "green": ("web3", "web4")}, by_map=True) as shop:
        shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
        shop.release.update(rollout_router=shop.router)
        live = shop.planes[0].folder / "live.map"
        done = shop.run("blue_green", "2")
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        assert live.read_text() == "shop green\n"
        assert shop.versions == {"web1": "1", "web2": "1", "web3": "2", "web4": "2"}
        assert {shop.answer(shop.urls[0])["version"] for _request in range(8)} == {"2"}

        back = shop.run("rollback", "2")
        settled()
        assert (back.status, back.outcome, back.code) == (0, "rolled_back", 10), back.text
        assert live.read_text() == "shop blue\n"
        assert {shop.answer(shop.urls[0])["version"] for _request in range(8)} == {"1"}
        assert len(shop.deploys) == 2, "the way back is a switch, not a deploy"
        assert shop.failures() == []


UNTIL_LOOKED_AT = """
- name: Wait until the test has looked
  ansible.builtin.wait_for:
    path: "{{ shop }}/looked"
    timeout: 900
"""


def test_a_dead_haproxy_is_named_before_anything_changes_and_in_the_middle(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, FOUR, balancers=2) as shop:
        rolling(shop)
        shop.planes[1].stop()
        refused = shop.run("rolling", "2")
        assert refused.status == 2 and len(refused.failures) == 1, refused.text
        assert shop.planes[1].socket in refused.message() and "\n" not in refused.message()
        assert not shop.deploys and shop.states() == dict.fromkeys(shop.hosts, "up") and not shop.stored("record")

        shop.planes[1].start()
        (tmp_path / "deploy.yml").write_text(TASKS + UNTIL_LOOKED_AT)
        began = settled()
        running = shop.begin("rolling", "2")
        shop.until(lambda: shop.deploys, running, "the first deploy")
        shop.planes[1].kill()
        (tmp_path / "looked").touch()
        done = running.end()
        settled()
        assert "Traceback" not in done.text
        assert done.status == 2 and (done.outcome, done.code) == ("partial", 15), done.text
        assert "\n" not in done.message().strip()
        assert shop.planes[1].socket in done.message() and done.message().count(shop.planes[1].socket) <= 2
        assert {version for host, version in shop.versions.items() if shop.states()[host] == "up"} == {"1"}, "only stable serves"
        felt = [entry for entry in load.entries(shop.log(0)) if float(str(entry["t"])) > began]
        assert {(entry["s"], entry.get("v")) for entry in felt} == {(200, "1")}, "the one that answers lost nothing, and nobody met a half release"


def test_a_socket_on_another_host_is_spoken_to_there_with_that_hosts_python(tmp_path: Path) -> None:
    python = another_python()
    with HaproxyShop(tmp_path, {"blue": ("web1", "web2"), "green": ("web3", "web4")}) as shop:
        shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
        shop.release.update(rollout_router={"haproxy": {**shop.router["haproxy"], "hosts": ["lb1"]}})
        shop.inventory["lb1"] = {"ansible_connection": "local", "ansible_python_interpreter": python}
        done = shop.run("blue_green", "2", "-vvv")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        assert f"{python} " in done.text, "no module ran there"
        assert shop.weights() == {"web1": 0, "web2": 0, "web3": 100, "web4": 100}
        assert shop.failures() == []


def another_python() -> str:
    """An interpreter of another version than the tests': the oldest one that modules run on, as far as the machine has it."""
    script = Path(__file__).parents[1] / "tools" / "pythons.sh"
    listed = [line.split(" ", 2) for line in subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True).stdout.splitlines()]
    own = ".".join(map(str, sys.version_info[:2]))
    others = sorted((tuple(map(int, version.split("."))), path) for version, _venv, path in listed if version != own)
    assert others, f"this machine has no Python but {own}: install another one, 3.9 or later"
    return str(others[0][1])
