# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Envoy router and metrics against a real Envoy under load."""

from __future__ import annotations

import http.client
import json
import math
import pathlib
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import exposition
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Member, Mirror, Routes, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import TRAFFIC, Kind, Plan, Step, apply, routes_at
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import settle
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import Brief
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan, way_back
from ansible_collections.progressive.delivery.tests.integration.envoy_rig import Plane, until
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm, Server

TRACKS = {"stable": ("blue1", "blue2"), "canary": ("green1", "green2")}


@pytest.fixture
def farm() -> Iterator[Farm]:
    result = Farm()
    yield result
    result.close()


@pytest.fixture
def plane(farm: Farm, tmp_path: pathlib.Path) -> Iterator[Plane]:
    result = Plane(tmp_path / "envoy", farm, TRACKS)
    yield result
    result.stop()


@pytest.fixture
def pool(farm: Farm, tmp_path: pathlib.Path) -> Iterator[Plane]:
    result = Plane(tmp_path / "envoy", farm, TRACKS, eds=True)
    yield result
    result.stop()


def want(canary: object, **more: object) -> Routes:
    share = Fraction(str(canary))
    return Routes({"stable": 100 - share, "canary": share}, **more)  # type: ignore[arg-type]


def shares(plane: Plane, count: int, headers: str = "") -> dict[str, int]:
    """Requests by track, and ``failed``."""
    track = {name: track for track, names in TRACKS.items() for name in names}
    result = dict.fromkeys([*TRACKS, "failed"], 0)
    for hit in plane.farm.get(plane.port, count, headers):
        result[track[hit.server] if hit.status == 200 else "failed"] += 1
    return result


def test_the_measured_share_follows_the_asked_one(plane: Plane) -> None:
    router = plane.router()
    for canary in (5, 50, 100):
        plane.put(router, want(canary))
        before, seen = router.observe(want(canary)), dict.fromkeys([*TRACKS, "failed"], 0)
        for _more in range(6):  # as a release does it: what chance made of the first requests, more of them put right
            seen = {name: count + more for (name, count), more in zip(seen.items(), shares(plane, 600).values())}
            measured = settle(want(canary), before, router.observe(want(canary)), tolerance=Fraction(0))
            if measured.settled:
                break
        requests = seen["stable"] + seen["canary"]
        assert measured.settled and measured.requests == requests and seen["failed"] == 0
        # Envoy splits at random: six standard deviations of a binomial share.
        assert abs(seen["canary"] - requests * canary / 100) <= 6 * math.sqrt(requests * canary / 100 * (1 - canary / 100))
        assert measured.measured == {track: Fraction(100 * seen[track], requests) for track in ("stable", "canary")}


def test_it_takes_every_share_that_a_plan_makes_while_hosts_move(farm: Farm, tmp_path: pathlib.Path) -> None:
    thirds = {"stable": ("blue1", "blue2", "blue3"), "canary": ("green1",)}
    plane = Plane(tmp_path / "envoy", farm, thirds, eds=True)
    router = plane.router()

    def carry_out(plan: Plan, routes: Routes, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.kind in TRAFFIC:
                routes = apply(routes, step, plan)
                plane.put(router, routes)

    try:
        plan = compile_plan(Brief("canary", "2", thirds, previous="1", capabilities=router.capabilities, resolution=router.resolution))
        carry_out(plan, plan.start, plan.steps)
        middle = next(index for index, step in enumerate(plan.steps) if step.kind is Kind.WEIGHT and step.weight == 50)
        carry_out(plan, routes_at(plan, middle), way_back(plan, middle))
    finally:
        plane.stop()


@pytest.mark.parametrize(
    "condition, hits, misses",
    [
        (Condition("header", "x-user", "exact", "vip"), "X-User: vip\r\n", "X-User: vip2\r\n"),
        (Condition("header", "x-user", "prefix", "vi"), "X-User: vip\r\n", "X-User: avip\r\n"),
        (Condition("header", "x-user", "regex", "v.p|king"), "X-User: king\r\n", "X-User: kings\r\n"),
        (Condition("cookie", "beta", "exact", "a.b"), "Cookie: x=1; beta=a.b; y=2\r\n", "Cookie: xbeta=a.b; beta=aXb\r\n"),
        (Condition("cookie", "beta", "prefix", "on"), "Cookie: beta=online; y=2\r\n", "Cookie: beta=no; y=on\r\n"),
        (Condition("cookie", "beta", "regex", "1|2"), "Cookie: beta=2\r\n", "Cookie: beta=21\r\n"),
    ],
)
def test_matched_requests_go_to_the_canary_and_no_others(plane: Plane, condition: Condition, hits: str, misses: str) -> None:
    router = plane.router()
    plane.put(router, want(0, matches=(MatchRoute("vip", ((condition,),)),)))
    assert shares(plane, 20, hits)["canary"] == 20
    assert shares(plane, 20, misses)["stable"] == 20
    assert shares(plane, 20)["stable"] == 20


@pytest.mark.parametrize(
    "condition, hits, misses",
    [
        (Condition("query", "beta", "exact", "1"), "/?a=0&beta=1", "/?beta=12"),
        (Condition("query", "beta", "regex", "1+"), "/?beta=111", "/?beta=2"),
        (Condition("path", "", "exact", "/new"), "/new?x=1", "/newer"),
        (Condition("path", "", "prefix", "/new"), "/newer/x", "/old/new"),
        (Condition("path", "", "regex", "/[ab]/.*"), "/b/x?y", "/c/x"),
    ],
)
def test_query_and_path_conditions(plane: Plane, condition: Condition, hits: str, misses: str) -> None:
    plane.put(plane.router(), want(0, matches=(MatchRoute("new", ((condition,),)),)))
    assert [_server(plane.port, path)[:4] for path in (hits, misses, "/")] == ["gree", "blue", "blue"]


def _server(port: int, path: str, method: str = "GET") -> str:
    with socket.create_connection(("127.0.0.1", port), 120) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    return answer.rsplit(b"\r\n\r\n", 1)[1].decode()


def test_alternatives_are_any_of_and_conditions_all_of(plane: Plane) -> None:
    vip, beta = Condition("header", "x-user", "exact", "vip"), Condition("cookie", "beta", "exact", "1")
    plane.put(plane.router(), want(0, matches=(MatchRoute("vip", ((vip, beta), (Condition("header", "x-qa", "exact", "1"),))),)))
    assert shares(plane, 5, "X-User: vip\r\nCookie: beta=1\r\n")["canary"] == 5
    assert shares(plane, 5, "X-User: vip\r\n")["stable"] == 5
    assert shares(plane, 5, "X-QA: 1\r\n")["canary"] == 5


def test_copies_are_mirrored_and_counted_apart(plane: Plane) -> None:
    router = plane.router()
    plane.put(router, want(0, mirror=Mirror(Fraction(100))))
    before = router.observe(want(0))
    assert shares(plane, 50)["stable"] == 50
    assert _server(plane.port, "/", "POST")[:4] == "blue"
    mirror = plane.facts["mirror_cluster"]
    until(lambda: plane.admin.counters([mirror])[mirror].requests == 50, lambda: plane.admin.counters([mirror])[mirror])
    after = router.observe(want(0))
    assert after.requests["canary"] == before.requests["canary"] and after.requests["stable"] == before.requests["stable"] + 51


def test_a_session_keeps_its_server_of_each_version_and_nobody_stays_with_the_canary(plane: Plane) -> None:
    affinity = {"cookie": {"name": "shop-session", "path": "/", "ttl": "1h"}}
    holding = plane.router(affinity=affinity)
    with pytest.raises(ConfigError, match='cluster shop-(stable|canary) balances by ROUND_ROBIN.*"lb_policy": "RING_HASH"'):
        holding.sessions()  # type: ignore[attr-defined]
    plane.stop()
    bootstrap = plane.proxy.folder / "bootstrap.json"
    given = json.loads(bootstrap.read_text())
    for cluster in given["static_resources"]["clusters"]:
        cluster["lb_policy"] = "RING_HASH"
    bootstrap.write_text(json.dumps(given))
    plane.proxy.start()
    assert holding.sessions()[0].endswith("holds sessions by the cookie shop-session from the first weight on, and stays so")  # type: ignore[attr-defined]
    plane.put(holding, want(0))
    [first] = _cookies(plane.port)
    assert re.fullmatch(r'shop-session="[0-9a-f]+"; Max-Age=3600; Path=/; HttpOnly', first)
    users = [f"Cookie: shop-session=user-{number}\r\n" for number in range(24)]

    def met(user: str) -> dict[str, set[str]]:
        servers = {hit.server for hit in plane.farm.get(plane.port, 8, user)}
        return {track: servers & set(names) for track, names in TRACKS.items()}

    home = [met(user) for user in users]
    assert {len(each["stable"]) for each in home} == {1} and len({next(iter(each["stable"])) for each in home}) == 2
    canary: dict[str, set[str]] = {user: set() for user in users}
    for share in (20, 60, 40):
        plane.put(holding, want(share))
        for user, before in zip(users, home):
            now = met(user)
            assert now["stable"] <= before["stable"], "no weight moves it to another server of a version"
            canary[user] |= now["canary"]
    assert {len(seen) for seen in canary.values()} <= {0, 1} and any(canary.values())
    plane.put(holding, want(0))
    assert [met(user) for user in users] == home, "and the way back is the way home, whatever the cookie says"
    assert holding.sessions()[0].endswith("already")  # type: ignore[attr-defined]


def _cookies(port: int) -> list[str]:
    """What one request without any is told to keep."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", "/")
        return connection.getresponse().headers.get_all("set-cookie") or []
    finally:
        connection.close()


def test_what_others_wrote_survives(plane: Plane) -> None:
    before = json.loads(plane.proxy.rds.read_text())
    router = plane.router()
    plane.put(router, want(20, matches=(MatchRoute("vip", ((Condition("header", "x-user", "exact", "vip"),),)),), mirror=Mirror(Fraction(10))))
    assert _server(plane.port, "/ping") == "pong\n"
    plane.put(router, want(0))
    router.release()
    after = json.loads(plane.proxy.rds.read_text())
    assert after.pop("version_info") != before.pop("version_info")
    for document in (before, after):
        clusters = document["resources"][0]["virtual_hosts"][0]["routes"][1]["route"]["weighted_clusters"].pop("clusters")
        assert clusters[1]["weight"] == 0
    assert after == before


def test_a_refused_file_is_not_applied_and_said_so(plane: Plane) -> None:
    router = plane.router()
    broken = want(5, matches=(MatchRoute("vip", ((Condition("header", "x-user", "regex", "(unclosed"),),)),))
    router.write(broken)
    until(lambda: "has refused 1 updates" in router.observe(broken).why, lambda: router.observe(broken).why)
    assert shares(plane, 20)["stable"] == 20
    plane.put(router, want(5))


def test_an_envoy_that_is_gone_is_unavailable_and_another_epoch_when_back(plane: Plane) -> None:
    router, metrics = plane.router(), plane.metrics()
    epoch = router.observe(want(0)).epoch
    assert router.observe(want(0)).epoch == epoch
    metrics.probe()
    plane.proxy.stop(signal.SIGKILL)
    for call in (router.read, lambda: router.write(want(5)), lambda: router.observe(want(0)), metrics.probe):
        with pytest.raises(Unavailable):
            call()
    plane.proxy.start()
    look = router.observe(want(0))
    assert look.applied and look.epoch != epoch
    with pytest.raises(NoData, match="restarted"):
        metrics.query("", Window("stable", time.time() - 5, time.time(), builtin="error_rate"))


def test_servers_as_envoy_sees_them(plane: Plane) -> None:
    router = plane.router()
    plane.farm.servers["green1"].status = 500

    def states() -> dict[str, str]:
        return {name: view.state for name, view in router.observe(want(0)).members.items()}

    until(lambda: states() == {"blue1": "up", "blue2": "up", "green1": "down", "green2": "up"}, states)


def test_a_cluster_without_servers_counts_its_requests_as_failed(plane: Plane) -> None:
    router = plane.router()
    for name in TRACKS["stable"]:
        plane.farm.servers[name].status = 500
    until(lambda: {router.observe(want(0)).members[name].state for name in TRACKS["stable"]} == {"down"})
    before = router.observe(want(0))
    assert shares(plane, 10)["failed"] == 10
    after = router.observe(want(0))
    assert (after.requests["stable"] - before.requests["stable"], after.failed["stable"] - before.failed["stable"]) == (10, 10)


def test_a_server_that_hangs_up_counts_as_failed(farm: Farm, tmp_path: pathlib.Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return  # the test is over
            with connection:
                if b"/health" in connection.recv(4096):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    for name in TRACKS["stable"]:
        farm.servers[name] = Server(name, listener.getsockname()[1])
    plane = Plane(tmp_path / "envoy", farm, TRACKS)
    try:
        assert shares(plane, 10)["failed"] == 10
        look = plane.router().observe(want(0))
        assert (look.requests["stable"], look.failed["stable"]) == (10, 10)
    finally:
        plane.stop()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)


def test_fifty_weight_changes_lose_nothing(plane: Plane) -> None:
    router = plane.router()
    with plane.farm.load(plane.port, 200) as load:
        for number in range(50):
            plane.put(router, want((5, 50, 100, 33.3, 0)[number % 5]))
            time.sleep(0.02)
    assert len(load.hits) > 50 and load.failed == []


def test_builtins_are_measured(plane: Plane) -> None:
    metrics, router = plane.metrics(), plane.router()
    plane.put(router, want(50))
    for name in TRACKS["canary"]:
        plane.farm.servers[name].delay = 0.3
    start = time.time()
    metrics.probe()
    # One after the other: a moment in which this machine does nothing makes one of them slow, and no median.
    seen = shares(plane, 40)

    def ask(track: str, builtin: str) -> tuple[float, int]:
        window = Window(track, start, time.time(), builtin=builtin, quantile=0.5)
        point = metrics.query("", window).samples[0].points[0]
        return point.value, point.n or 0

    # Latencies are merged when Envoy flushes its statistics, every second here.
    until(lambda: ask("canary", "latency")[0] >= 250, lambda: ask("canary", "latency"))
    assert ask("stable", "latency")[0] < 250 <= ask("canary", "latency")[0] < 5000
    assert ask("canary", "error_rate")[0] == 0 and ask("canary", "success_rate")[0] == 1
    value, requests = ask("canary", "request_rate")
    assert seen["canary"] == requests > 1 and 0 < value < 1 / 0.3


def test_error_rates_are_shares_of_requests(plane: Plane) -> None:
    metrics = plane.metrics()
    metrics.probe()
    start = time.time()
    plane.farm.servers["blue1"].status = 500
    failed = shares(plane, 3)["failed"]
    point = metrics.query("", Window("stable", start, time.time(), builtin="error_rate")).samples[0].points[0]
    assert (point.value, point.n) == (failed / 3, 3)


def test_the_whole_exposition_is_read(plane: Plane) -> None:
    assert shares(plane, 20)["stable"] == 20
    labels = {"envoy_cluster_name": plane.facts["clusters"]["stable"]}
    until(lambda: sum(_latencies(plane, labels).values()) == 20)
    metrics = exposition.parse(plane.admin.get("/stats/prometheus"))
    assert len(metrics) > 200 and exposition.total(metrics, "envoy_cluster_upstream_rq_completed", labels) == 20


def _latencies(plane: Plane, labels: dict[str, str]) -> dict[tuple[float, float], float]:
    return exposition.buckets(exposition.parse(plane.admin.get("/stats/prometheus")), "envoy_cluster_upstream_rq_time", labels)


def test_an_admin_interface_that_stands_open_is_named(plane: Plane) -> None:
    assert (plane.admin.bound_to(), plane.router().warnings()) == ("127.0.0.1", [])  # type: ignore[attr-defined]
    bootstrap = plane.proxy.folder / "bootstrap.json"
    found = json.loads(bootstrap.read_text())
    found["admin"]["address"]["socket_address"]["address"] = "0.0.0.0"
    bootstrap.write_text(json.dumps(found))
    plane.stop()
    plane.proxy.start()
    [line] = plane.router().warnings()  # type: ignore[attr-defined]
    assert plane.admin.name in line and "listens on 0.0.0.0" in line


def test_a_drained_server_finishes_what_it_has_and_comes_back(pool: Plane) -> None:
    router = pool.router()
    members = router.read().members
    pool.farm.servers["blue1"].held = pool.farm.servers["blue2"].held = True
    slow: list[int] = []
    threads = [threading.Thread(target=lambda: slow.extend(hit.status for hit in pool.farm.get(pool.port))) for _number in range(4)]
    for thread in threads:
        thread.start()
    out = want(0, members={**members, "stable": (Member("blue1", Fraction(0)), Member("blue2"))})
    until(lambda: router.observe(want(0)).members["blue1"].in_flight > 0)
    pool.put(router, out)
    assert router.observe(out).members["blue1"].state == "drain"
    pool.farm.servers["blue1"].held = pool.farm.servers["blue2"].held = False
    for thread in threads:
        thread.join()
    assert slow == [200] * 4
    until(lambda: router.observe(out).members["blue1"].in_flight == 0)
    assert {hit.server for hit in pool.farm.get(pool.port, 20)} == {"blue2"}
    pool.put(router, want(0, members=members))
    assert {hit.server for hit in pool.farm.get(pool.port, 20)} == {"blue1", "blue2"}


def test_a_ramped_server_takes_its_part(pool: Plane) -> None:
    router = pool.router()
    members = router.read().members
    pool.put(router, want(0, members={**members, "stable": (Member("blue1", Fraction(25)), Member("blue2"))}))
    until(lambda: sum(hit.server == "blue1" for hit in pool.farm.get(pool.port, 100)) <= 30)


def test_a_server_that_moves_loses_nothing(pool: Plane) -> None:
    router = pool.router()
    members = router.read().members
    alone = want(0, members={"stable": (Member("blue1"),), "canary": (*members["canary"], Member("blue2"))})
    with pool.farm.load(pool.port, 200) as load:
        for _number in range(5):
            for routes in (alone, want(0, members=members)):
                pool.put(router, routes)
                time.sleep(0.05)
    assert len(load.hits) > 50 and load.failed == []
