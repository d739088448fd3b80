# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy itself: what only the real one can show."""

from __future__ import annotations

import concurrent.futures
import pathlib
import re
import socket
import tempfile
import time
from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Member, Routes, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import drained, settle
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.haproxy import HaproxyProvider
from ansible_collections.progressive.delivery.plugins.module_utils.routers.haproxy import HaproxyRouter
from ansible_collections.progressive.delivery.tests.integration import haproxy_rig as rig

TRACKS = {"stable": ("web1", "web2"), "canary": ("web3", "web4")}
NAMES = ["web1", "web2", "web3", "web4"]
CHECKED = "weight 100 check inter 100ms fall 3 rise 2"


def split(canary, **ramps):
    members = {track: tuple(Member(host, Fraction(ramps.get(host, 100))) for host in hosts) for track, hosts in TRACKS.items()} if ramps else {}
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, members)


@pytest.fixture
def farm():
    made = rig.Farm()
    yield made
    made.close()


@pytest.fixture
def start(tmp_path):
    planes = []

    def begin(body, **more):
        planes.append(rig.Haproxy(tmp_path / f"lb{len(planes)}", body, **more))
        return planes[-1]

    yield begin
    for plane in planes:
        plane.stop()


def router(plane, tracks=None, **options):
    given = {"endpoints": [plane.socket], "backend": "shop", "timeout": "10s", **options}
    if "map" in options:
        del given["backend"]
    return HaproxyRouter.from_options(validate(given, HaproxyRouter.OPTIONS, "haproxy"), TRACKS if tracks is None else tracks)


def weights(plane):
    return {host: server.weight for host, server in HaproxyClient(plane.socket).servers("shop").items()}


def test_no_request_fails_while_weights_and_drains_move(farm, start):
    plane = start(rig.pool(farm, NAMES, options=CHECKED))
    lb = router(plane)
    lb.write(split(0))
    with farm.load(plane.port, 200) as load:
        for canary in (5, 20, 50, 100, 50, 0):
            want = split(canary, web1=0 if canary == 50 else 100)
            lb.write(want)
            before = lb.observe(want)
            assert before.applied, before.why
            rig.until(lambda before=before, want=want: settle(want, before, lb.observe(want), min_requests=150).requests >= 150)
            found = settle(want, before, lb.observe(want), min_requests=150)
            assert found.settled, found.why
    assert len(load.hits) > 500
    assert load.failed == []


def test_a_drained_server_finishes_what_it_has(farm, start):
    plane = start(rig.pool(farm, NAMES))
    lb = router(plane)
    lb.write(split(0))
    farm.servers["web1"].held = farm.servers["web2"].held = True
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(farm.get, plane.port) for _request in range(4)]
        rig.until(lambda: lb.observe(split(0)).members["web1"].in_flight == 2)
        farm.servers["web2"].held = False
        want = split(0, web1=0)
        lb.write(want)
        assert drained(lb.observe(want), ["web1"]) == (False, 2)
        assert {hit.server for hit in farm.get(plane.port, 4)} == {"web2"}
        farm.servers["web1"].held = False
        rig.until(lambda: drained(lb.observe(want), ["web1"])[0])
        assert [hit.status for request in slow for hit in request.result()] == [200] * 4


def test_cookies_survive_a_drain_and_end_with_the_cut(farm, start):
    servers = "\n".join(f"  server {name} 127.0.0.1:{farm.add(name).port} cookie {name}" for name in NAMES)
    plane = start(f"frontend front\n  bind 127.0.0.1:{{port}}\n  default_backend shop\nbackend shop\n  cookie SRV insert\n  option redispatch\n{servers}\n")
    lb = router(plane)
    want = split(0, web1=0)
    lb.write(want)
    assert farm.get(plane.port, headers="Cookie: SRV=web1\r\n")[0].server == "web1"
    farm.servers["web1"].held = True
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(farm.get, plane.port, 1, "Cookie: SRV=web1\r\n")
        rig.until(lambda: lb.observe(want).members["web1"].in_flight == 1)
        assert lb.cut(["web1"]) == 1
        assert held.result()[0].status != 200
    farm.servers["web1"].held = False
    assert farm.get(plane.port, headers="Cookie: SRV=web1\r\n")[0].server == "web2"
    assert lb.observe(want).applied
    assert lb.observe(want).members["web1"].state == "maint"
    lb.write(split(0, web2=100))
    assert farm.get(plane.port, headers="Cookie: SRV=web1\r\n")[0].server == "web1"
    assert lb.observe(split(0)).members["web1"].state == "up"


def test_sessions_of_the_canary_go_back_at_once_and_those_of_stable_stay(farm, start):
    servers = "\n".join(f"  server {name} 127.0.0.1:{farm.add(name).port} cookie {name}" for name in NAMES)
    plane = start(f"frontend front\n  bind 127.0.0.1:{{port}}\n  default_backend shop\nbackend shop\n  cookie SRV insert indirect nocache\n{servers}\n")
    affinity = {"cookie": {"name": "SRV", "ttl": "1h"}}
    lb = router(plane, affinity=affinity)
    assert "backend shop holds sessions by the cookie SRV" in lb.sessions()[0]
    with pytest.raises(ConfigError, match="holds sessions by the cookie SRV, not JSESSIONID.*cookie JSESSIONID insert indirect nocache maxlife 3600s"):
        router(plane, affinity={"cookie": {"name": "JSESSIONID"}}).sessions()
    lb.write(split(50, web1=100))
    users = {name: f"Cookie: SRV={name}\r\n" for name in NAMES}

    def answering(name):
        return {hit.server for hit in farm.get(plane.port, 4, users[name])}

    lb.write(split(1, web1=100))
    assert {name: answering(name) for name in NAMES} == {name: {name} for name in NAMES}, "the cookie outranks every weight but one"
    farm.servers["web3"].held = True
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        last = threads.submit(farm.get, plane.port, 1, users["web3"])
        rig.until(lambda: lb.observe(split(1, web1=100)).members["web3"].in_flight == 1)
        lb.write(split(0, web1=100))
        farm.servers["web3"].held = False
        assert [(hit.status, hit.server) for hit in last.result()] == [(200, "web3")], "what is under way ends well"
    assert lb.observe(split(0, web1=100)).applied
    assert {name: answering(name) for name in NAMES[:2]} == {name: {name} for name in NAMES[:2]}
    for name in NAMES[2:]:
        assert answering(name) <= {"web1", "web2"}, "at 0 % no cookie leads to the canary"
    lb.write(split(10, web1=100))
    assert {name: answering(name) for name in NAMES} == {name: {name} for name in NAMES}
    lb.write(split(10, web3=0))
    assert answering("web3") == {"web3"}, "a drain lets sessions finish"
    lb.let_go(["web3"])
    assert answering("web3") <= {"web1", "web2", "web4"}
    assert lb.observe(split(10, web3=0)).applied


def test_a_stick_table_is_outranked_at_0_percent_too(farm, start):
    lines = "stick-table type string len 32 size 1k expire 1h\n  stick on req.cook(uid)"
    plane = start(rig.pool(farm, NAMES, options="weight 100", lines=lines))
    lb = router(plane)
    lb.write(split(100))
    assert farm.get(plane.port, headers="Cookie: uid=me\r\n")[0].server in ("web3", "web4")
    lb.write(split(50))
    stuck = {hit.server for hit in farm.get(plane.port, 6, "Cookie: uid=me\r\n")}
    assert len(stuck) == 1 and stuck <= {"web3", "web4"}
    lb.write(split(0))
    assert {hit.server for hit in farm.get(plane.port, 6, "Cookie: uid=me\r\n")} <= {"web1", "web2"}


def test_the_load_balancers_own_checks_are_seen(farm, start):
    body = rig.pool(farm, NAMES, options="weight 100 check inter 50ms fall 100000 rise 2", lines="option httpchk GET /health")
    plane = start(body)
    lb = router(plane)
    lb.write(split(50))

    def web3():
        return next(row for row in HaproxyClient(plane.socket).stats("shop") if row["svname"] == "web3")

    rig.until(lambda: web3()["check_status"] == "L7OK")  # before its first check a server is up on trust
    farm.servers["web3"].status = 503
    rig.until(lambda: re.fullmatch(r"UP \d+/\d+", web3()["status"]))
    assert lb.observe(split(50)).members["web3"].state == "up"
    assert lb.observe(split(50)).applied


def test_a_server_that_is_down_is_not_counted_and_named(farm, start):
    plane = start(rig.pool(farm, NAMES, options=CHECKED))
    lb = router(plane)
    lb.write(split(50))
    farm.stop("web4")
    rig.until(lambda: lb.observe(split(50)).members["web4"].state == "down")
    seen = lb.observe(split(50))
    assert not seen.applied
    assert lb.read().weights["canary"] < 34
    lb.write(split(50))
    assert lb.observe(split(50)).applied
    assert lb.read().weights["canary"] == 50


def test_it_never_goes_below_min_up(farm, start):
    plane = start(rig.pool(farm, NAMES, options=CHECKED))
    lb = router(plane, min_up=2)
    lb.write(split(0))
    for name in ("web3", "web4"):
        farm.stop(name)
    rig.until(lambda: {lb.observe(split(0)).members[name].state for name in ("web3", "web4")} == {"down"})
    before = weights(plane)
    with pytest.raises(Unavailable, match="would be left in service"):
        lb.write(split(100))
    with pytest.raises(Unavailable, match="would be left in service"):
        lb.write(split(0, web1=0))
    assert weights(plane) == before
    assert {hit.status for hit in farm.get(plane.port, 10)} == {200}


def test_state_outlives_a_restart_through_the_state_file(farm, start, tmp_path):
    state = tmp_path / "state"
    plane = start(rig.pool(farm, NAMES, lines="load-server-state-from-file global"), extra_global=f"server-state-file {state}")
    lb = router(plane, state_file=str(state))
    want = split(20, web1=0)
    lb.write(want)
    epoch = lb.observe(want).epoch
    plane.restart()
    seen = router(plane).observe(want)
    assert seen.applied, seen.why
    assert seen.epoch != epoch
    assert seen.members["web1"].state == "drain"


def test_one_state_file_keeps_the_shares_of_every_service(farm, start, tmp_path):
    """HAProxy reads one file for all backends: whoever writes it last must not forget what the others did."""
    state = tmp_path / "state"
    cart = "\n".join(f"  server {name} 127.0.0.1:{farm.add(name).port} weight 100" for name in ("cart1", "cart2"))
    body = rig.pool(farm, NAMES, lines="load-server-state-from-file global")
    plane = start(f"{body}backend cart\n  load-server-state-from-file global\n{cart}\n", extra_global=f"server-state-file {state}")
    other = router(plane, {"stable": ("cart1",), "canary": ("cart2",)}, backend="cart", state_file=str(state))
    lb = router(plane, state_file=str(state))
    other.write(split(0))
    lb.write(split(20))
    lb.write(split(20))
    plane.restart()
    assert lb.read().weight("canary") == 20
    assert other.read().weight("canary") == 0, "its canary was taken back, and stays so"


def test_what_a_restart_lost_is_seen_and_put_back(farm, start):
    plane = start(rig.pool(farm, NAMES))
    lb = router(plane)
    lb.write(split(20))
    before = lb.observe(split(20))
    plane.kill()
    with pytest.raises(Unavailable, match="Is HAProxy running"):
        lb.read()
    plane.start()
    after = lb.observe(split(20))
    assert not after.applied
    assert not settle(split(20), before, after).settled
    lb.write(split(20))
    assert lb.observe(split(20)).applied


def test_a_state_file_that_cannot_be_written_is_refused_before_the_change(farm, start, tmp_path):
    plane = start(rig.pool(farm, NAMES))
    before = weights(plane)
    with pytest.raises(Unavailable, match="outlive a reload"):
        router(plane, state_file=str(tmp_path / "missing" / "state")).write(split(20))
    assert weights(plane) == before


def test_a_static_algorithm_takes_all_or_nothing(farm, start):
    plane = start(rig.pool(farm, NAMES, balance="static-rr"))
    lb = router(plane)
    lb.write(split(100))
    assert lb.observe(split(100)).applied
    before = weights(plane)
    with pytest.raises(Unsupported, match="static LB algorithm.*roundrobin"):
        lb.write(split(20))
    assert weights(plane) == before


def test_a_socket_below_level_admin_is_said(farm, start):
    extra = rig.free_port()
    plane = start(rig.pool(farm, NAMES), extra_global=f"stats socket ipv4@127.0.0.1:{extra} level operator")
    lb = HaproxyRouter(HaproxyClient(f"127.0.0.1:{extra}"), "shop", TRACKS)
    assert lb.read().weights["stable"] == 50
    with pytest.raises(ConfigError, match="level admin"):
        lb.write(split(20))
    assert set(weights(plane).values()) == {100}


def test_a_server_of_no_track_is_refused_unless_it_is_a_backup(farm, start):
    body = rig.pool(farm, NAMES) + f"  server sorry 127.0.0.1:{farm.add('sorry').port} backup\n"
    plane = start(body)
    router(plane).write(split(20))
    with pytest.raises(ConfigError, match="web4 takes traffic and belongs to no track"):
        router(plane, {"stable": ("web1", "web2"), "canary": ("web3",)}).read()
    assert "web4" in router(plane, {"stable": ("web1", "web2"), "canary": ("web3",)}).observe(split(20)).why


def test_hosts_may_have_other_names_in_haproxy(farm, start):
    plane = start(rig.pool(farm, NAMES))
    tracks = {"stable": ("vm-a", "vm-b"), "canary": ("web3", "web4")}
    lb = router(plane, tracks, server_names={"vm-a": "web1", "vm-b": "web2"})
    lb.write(split(20))
    assert lb.read().members["stable"] == (Member("vm-a"), Member("vm-b"))


def test_hosts_that_the_backend_lacks_are_named_with_the_line_to_add(farm, start):
    plane = start(rig.pool(farm, NAMES))
    lb = router(plane, {"stable": ("web1", "web2", "web5"), "canary": ("web3", "web4", "web6")})
    with pytest.raises(ConfigError, match=r"no server web5, web6") as caught:
        lb.read()
    assert "server web5 ADDRESS:PORT check" in str(caught.value) and "server_names" in str(caught.value)
    assert plane.socket in str(caught.value) and "web1, web2, web3, web4" in str(caught.value)


def test_disabled_servers_join(farm, start):
    body = rig.pool(farm, NAMES[:2]) + "".join(f"  server {name} 127.0.0.1:{farm.add(name).port} weight 100 disabled\n" for name in NAMES[2:])
    plane = start(body)
    lb = router(plane)
    assert lb.read().members["canary"] == (Member("web3", Fraction(0)), Member("web4", Fraction(0)))
    want = split(20, web1=100)
    lb.write(want)
    assert lb.observe(want).applied
    assert {hit.server for hit in farm.get(plane.port, 40)} == set(NAMES)


@pytest.fixture
def everybodys_folder():
    """Private as it begins, in a place that everybody may pass."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield pathlib.Path(folder)


def test_admin_sockets_that_stand_open_are_named(farm, start, everybodys_folder):
    everybodys, port = everybodys_folder / "open.sock", rig.free_port()
    more = f"stats socket {everybodys} mode 666 level admin\n  stats socket {everybodys_folder}/look mode 666 level user\n"
    more += f"  stats socket ipv4@0.0.0.0:{port} level admin"
    shut, opened = start(rig.pool(farm, NAMES)), start(rig.pool(farm, NAMES), extra_global=more)
    assert router(shut).warnings() == []
    [by_tcp] = router(opened).warnings()
    assert f"admin socket 0.0.0.0:{port} " in by_tcp, "its folder keeps others from the UNIX socket"
    everybodys_folder.chmod(0o755)
    by_mode, _by_tcp = router(opened).warnings()
    assert str(everybodys) in by_mode and "`mode 660`" in by_mode
    assert router(opened, endpoints=[f"127.0.0.1:{opened.admin}"]).warnings() == [by_tcp.replace(opened.socket, f"127.0.0.1:{opened.admin}")]
    assert router(shut, endpoints=[shut.socket, opened.socket]).warnings() == [by_mode, by_tcp]


def test_a_socket_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match="no answer within"):
        HaproxyClient(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.3).run(["show info"])


def test_several_load_balancers_all_or_none(farm, start):
    planes = [start(rig.pool(farm, NAMES)) for _index in range(2)]
    given = {"endpoints": [plane.socket for plane in planes], "backend": "shop", "timeout": "10s"}
    fleet = HaproxyRouter.from_options(validate(given, HaproxyRouter.OPTIONS, "haproxy"), TRACKS)
    fleet.write(split(20))
    assert weights(planes[0]) == weights(planes[1])
    planes[1].kill()
    before = weights(planes[0])
    with pytest.raises(Unavailable, match="no load balancer was changed"):
        fleet.write(split(50))
    assert weights(planes[0]) == before
    assert list(fleet.write_reachable(split(0))) == [planes[1].socket]


# -- a map that chooses the backend


@pytest.fixture
def colours(farm, start, tmp_path):
    path = tmp_path / "live.map"
    path.write_text("# who serves\nother green\nshop blue\n")
    blocks = [rig.pool(farm, [f"{colour}1", f"{colour}2"], backend=colour, options=CHECKED).split("backend " + colour, 2)[2] for colour in ("blue", "green")]
    plane = start(
        f"frontend front\n  bind 127.0.0.1:{{port}}\n  use_backend %[str(shop),map({path})]\n"
        f"backend blue{blocks[0]}backend green{blocks[1]}"
    )
    tracks = {"stable": ("blue1", "blue2"), "canary": ("green1", "green2")}
    options = {"map": {"path": str(path), "key": "shop", "backends": {"stable": "blue", "canary": "green"}}}
    return plane, router(plane, tracks, **options), path


def test_a_map_switches_whole_backends_without_a_failed_request(farm, colours):
    plane, lb, path = colours
    assert lb.capabilities == {Capability.MEASURE}
    assert lb.read().weights == {"stable": 100, "canary": 0}
    with farm.load(plane.port, 200) as load:
        for canary in (100, 0, 100):
            lb.write(split(canary))
            before = lb.observe(split(canary))
            assert before.applied
            rig.until(lambda before=before, canary=canary: settle(split(canary), before, lb.observe(split(canary)), min_requests=50).requests >= 50)
    assert load.failed == []
    assert lb.read().weights == {"stable": 0, "canary": 100}
    assert path.read_text() == "# who serves\nother green\nshop green\n"
    plane.restart()
    assert lb.read().weights["canary"] == 100
    assert {hit.server for hit in farm.get(plane.port, 6)} == {"green1", "green2"}


def test_a_map_gives_all_or_nothing(colours):
    _plane, lb, _path = colours
    with pytest.raises(Unsupported, match="all or nothing"):
        lb.write(split(20))
    assert lb.read().weights["stable"] == 100


def test_a_backend_without_servers_is_not_switched_to(farm, colours):
    _plane, lb, path = colours
    farm.stop("green1")
    farm.stop("green2")
    rig.until(lambda: {lb.observe(split(0)).members[name].state for name in ("green1", "green2")} == {"down"})
    with pytest.raises(Unavailable, match="green has 0 servers in service"):
        lb.write(split(100))
    assert lb.read().weights["stable"] == 100
    assert "shop blue" in path.read_text()


def test_a_map_without_the_key_is_said_and_filled(colours):
    plane, lb, path = colours
    HaproxyClient(plane.socket).change([f"del map {path} shop"])
    with pytest.raises(ConfigError, match="Add the line: shop blue"):
        lb.read()
    lb.write(split(100))
    assert lb.read().weights["canary"] == 100


# -- the counters as metrics


def test_the_counters_are_what_the_clients_saw(farm, start):
    plane = start(rig.pool(farm, NAMES))
    given = {"endpoints": [plane.socket], "backend": "shop", "timeout": "10s"}
    provider = HaproxyProvider.from_options(validate(given, HaproxyProvider.OPTIONS, "haproxy"), TRACKS)
    provider.probe()
    began = time.time()
    farm.servers["web3"].status = 500
    farm.servers["web4"].delay = 0.05
    farm.stop("web2")
    hits = farm.get(plane.port, 40)
    window = Window("canary", began, time.time(), builtin="error_rate")
    [sample] = provider.query("", window).samples
    assert (sample.points[0].value, sample.points[0].n) == (0.5, 20)
    [sample] = provider.query("", Window("stable", began, time.time(), builtin="error_rate")).samples
    assert (sample.points[0].value, sample.points[0].n) == (0.5, 20)
    assert sorted(hit.status for hit in hits) == [200] * 20 + [500] * 10 + [503] * 10
    [sample] = provider.query("latency_mean", Window("canary", began, time.time())).samples
    assert 20 < sample.points[0].value < 30_000, "milliseconds"
