# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router over files in a temporary directory and an Envoy that takes them when it is told to."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import ClusterStatus, Counters, EnvoyAdmin, HostStatus, RouteState
from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy_files import DiscoveryFile
from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy_routes import Layout
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Condition, MatchRoute, Member, MemberView, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import argument_spec, documentation, validate
from ansible_collections.progressive.delivery.plugins.module_utils.routers.envoy import EnvoyRouter

ADDRESSES = {"blue1": "10.0.0.1:80", "blue2": "10.0.0.2:80", "green1": "10.0.0.3:80"}
VIP = MatchRoute("vip", ((Condition("header", "x-user", "exact", "vip"),),))


class FakeEnvoy(EnvoyAdmin):
    """Shows the files it was pointed at, once :meth:`take` was called."""

    def __init__(self, files: dict[str, Path]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.files = files
        self.alive = True
        self.refusals = 0
        self.served = {"s": Counters(0, 0, {}), "c": Counters(0, 0, {})}
        self.take()

    def take(self) -> None:
        self.shown = {name: json.loads(path.read_text()) for name, path in self.files.items()}

    def ready(self) -> None:
        if not self.alive:
            raise Unavailable("no answer")

    def epoch(self) -> str:
        return "2026"

    def routes(self, name: str) -> list[RouteState]:
        document = copy.deepcopy(self.shown["rds"])
        return [RouteState(document["version_info"], config) for config in document["resources"] if config["name"] == name]

    def refused(self, name: str) -> int:
        return self.refusals

    def counters(self, stat_names: Any, *, latency: bool = False) -> dict[str, Counters]:
        return {name: self.served[name] for name in stat_names}

    def clusters(self, names: Any) -> dict[str, ClusterStatus]:
        self.ready()
        result = {}
        for name in names:
            hosts = []
            for entry in self.shown.get(name, {"resources": [{"endpoints": [{"lb_endpoints": []}]}]})["resources"][0]["endpoints"][0]["lb_endpoints"]:
                address = entry["endpoint"]["address"]["socket_address"]
                state = "drain" if entry.get("health_status") == "DRAINING" else "up"
                hosts.append(HostStatus(f"{address['address']}:{address['port_value']}", state, 1, 5))
            result[name] = ClusterStatus(name, name, tuple(hosts))
        return result


def endpoints(cluster: str, *addresses: str) -> dict[str, Any]:
    pairs = [address.split(":") for address in addresses]
    entries = [{"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}} for host, port in pairs]
    return {"version_info": "1", "resources": [{"cluster_name": cluster, "endpoints": [{"lb_endpoints": entries}]}]}


class Bed:
    """A router, its files and its Envoy."""

    def __init__(self, folder: Path, eds: bool) -> None:
        clusters = [{"name": "s", "weight": 100}, {"name": "c", "weight": 0}]
        routes = [{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}}]
        documents = {"rds": {"version_info": "1", "resources": [{"name": "shop", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]}]}}
        if eds:
            documents["s"] = endpoints("s", ADDRESSES["blue1"], ADDRESSES["blue2"])
            documents["c"] = endpoints("c", ADDRESSES["green1"])
        self.files = {name: folder / f"{name}.json" for name in documents}
        for name, path in self.files.items():
            path.write_text(json.dumps(documents[name]))
        self.envoy = FakeEnvoy(self.files)
        layout = Layout({"stable": "s", "canary": "c"}, mirrors={"canary": "m"})
        tracks = {"stable": DiscoveryFile(str(self.files["s"])), "canary": DiscoveryFile(str(self.files["c"]))} if eds else None
        self.router = EnvoyRouter(self.envoy, DiscoveryFile(str(self.files["rds"])), layout, eds=tracks, addresses=ADDRESSES if eds else {})

    def inodes(self) -> dict[str, int]:
        return {name: path.stat().st_ino for name, path in self.files.items()}


@pytest.fixture
def plain(tmp_path: Path) -> Bed:
    return Bed(tmp_path, eds=False)


@pytest.fixture
def pool(tmp_path: Path) -> Bed:
    return Bed(tmp_path, eds=True)


def want(canary: int, **more: Any) -> Routes:
    return Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)}, **more)


def test_written_routes_are_read_back_and_applied_once_envoy_shows_them(plain: Bed) -> None:
    wanted = want(5, matches=(VIP,), mirror=Mirror(Fraction(10)))
    plain.router.write(wanted)
    assert plain.router.read() == wanted
    look = plain.router.observe(wanted)
    assert not look.applied and "is at version 1 of shop, the file at 2" in look.why
    plain.envoy.refusals = 1
    assert "refused 1 updates" in plain.router.observe(wanted).why
    plain.envoy.take()
    assert plain.router.observe(wanted).applied
    assert "does not hold the wanted routes" in plain.router.observe(want(50)).why


def test_nothing_is_written_when_nothing_differs(plain: Bed) -> None:
    before = plain.inodes()
    plain.router.write(want(0))
    plain.router.release()
    assert plain.inodes() == before


def test_a_change_behind_the_version_is_seen(plain: Bed) -> None:
    plain.router.write(want(5))
    plain.envoy.take()
    entry = plain.envoy.shown["rds"]["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"]["clusters"][1]
    entry["weight"] = 7
    assert "cluster c has weight 7, not 500" in plain.router.observe(want(5)).why


def test_routes_that_do_not_come_from_discovery(plain: Bed) -> None:
    plain.envoy.shown["rds"]["resources"][0]["name"] = "other"
    assert "has no route configuration 'shop'" in plain.router.observe(want(0)).why


def test_release_takes_out_our_routes_and_leaves_weights(plain: Bed) -> None:
    plain.router.write(want(20, matches=(VIP,)))
    plain.router.release()
    assert plain.router.read() == want(20)


def test_counters_by_track(plain: Bed) -> None:
    plain.envoy.served = {"s": Counters(90, 1, {}), "c": Counters(10, 2, {})}
    look = plain.router.observe(want(0))
    assert (look.requests, look.failed, look.epoch) == ({"stable": 90, "canary": 10}, {"stable": 1, "canary": 2}, "2026")


def test_an_envoy_that_does_not_answer(plain: Bed) -> None:
    plain.envoy.alive = False
    for act in (plain.router.read, lambda: plain.router.write(want(5)), lambda: plain.router.observe(want(0))):
        with pytest.raises(Unavailable):
            act()


def test_capabilities_follow_the_options(plain: Bed, tmp_path: Path) -> None:
    assert Capability.MIRROR in plain.router.capabilities and not {Capability.MEMBERS, Capability.DRAIN} & plain.router.capabilities
    bare = EnvoyRouter(plain.envoy, plain.router.rds, Layout({"stable": "s", "canary": "c"}))
    assert Capability.MIRROR not in bare.capabilities and Capability.WEIGHT in bare.capabilities
    with pytest.raises(Unsupported, match="endpoint files"):
        bare.write(want(0, members={"stable": (Member("blue1"),)}))


def test_members_are_read_drained_and_moved(pool: Bed) -> None:
    assert Capability.DRAIN in pool.router.capabilities
    members = {"stable": (Member("blue1"), Member("blue2")), "canary": (Member("green1"),)}
    assert pool.router.read().members == members
    drained = want(0, members={**members, "stable": (Member("blue1"), Member("blue2", Fraction(0)))})
    pool.router.write(drained)
    assert "sees blue2 as up" in pool.router.observe(drained).why
    pool.envoy.take()
    look = pool.router.observe(drained)
    assert look.applied and look.members["blue2"] == MemberView("drain", 1, 5) and look.members["blue1"].state == "up"
    moved = want(50, members={"stable": (Member("blue1"),), "canary": (Member("green1"), Member("blue2"))})
    pool.router.write(moved)
    pool.envoy.shown["rds"] = json.loads(pool.files["rds"].read_text())
    assert "does not have blue2 in c yet" in pool.router.observe(moved).why
    pool.envoy.take()
    assert pool.router.observe(moved).applied and pool.router.read() == moved
    before = pool.inodes()
    pool.router.write(moved)
    assert pool.inodes() == before


def test_servers_join_before_weights_move_and_leave_after(pool: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    write = DiscoveryFile.write
    monkeypatch.setattr(DiscoveryFile, "write", lambda self, document: (order.append(Path(self.path).stem), write(self, document))[1])
    pool.router.write(want(50, members={"stable": (Member("blue1"),), "canary": (Member("green1"), Member("blue2"))}))
    assert order == ["c", "rds", "s"]


def test_a_track_that_takes_requests_keeps_a_server(pool: Bed) -> None:
    before = pool.inodes()
    for members in ({"stable": (Member("blue1", Fraction(0)),)}, {"stable": ()}, {"blue": ()}):
        with pytest.raises(ConfigError):
            pool.router.write(want(0, members=members))
    assert pool.inodes() == before


def test_a_member_in_two_clusters_counts_as_up_when_one_has_it_up(pool: Bed) -> None:
    pool.envoy.shown["c"] = endpoints("c", ADDRESSES["green1"], ADDRESSES["blue2"])
    pool.envoy.shown["s"]["resources"][0]["endpoints"][0]["lb_endpoints"][1]["health_status"] = "DRAINING"
    look = pool.router.observe(want(0, members={"stable": (Member("blue1"),)}))
    assert look.applied and look.members["blue2"] == MemberView("up", 2, 10)
    assert "still has 10.0.0.3:80 in c" in pool.router.observe(want(0, members={"canary": (Member("blue2"),)})).why


OPTIONS: dict[str, Any] = {"endpoints": [{"admin": "http://127.0.0.1:1", "rds": "/x/rds.json"}], "clusters": {"stable": "s", "canary": "c"}}


def build(**changes: Any) -> Any:
    options = validate({**OPTIONS, **changes}, EnvoyRouter.OPTIONS, "rollout_router.envoy")
    return EnvoyRouter.from_options(options, {"stable": ("blue1",), "canary": ("green1",)})


def test_options() -> None:
    one = build()
    assert isinstance(one, EnvoyRouter) and one.layout.clusters == {"stable": "s", "canary": "c"} and one.admin.timeout == 5
    two = build(endpoints=[{"admin": f"http://127.0.0.1:{port}", "rds": "/x/rds.json"} for port in (1, 2)])
    assert isinstance(two, Fleet) and Capability.HEADER in two.capabilities and two.resolution == 10000
    eds = [{**OPTIONS["endpoints"][0], "eds": {"stable": "/x/s.json", "canary": "/x/c.json"}}]
    assert Capability.DRAIN in build(endpoints=eds, addresses=ADDRESSES).capabilities
    assert set(argument_spec(EnvoyRouter.OPTIONS)) == set(documentation(EnvoyRouter.OPTIONS))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"clusters": {"stable": "s"}}, "at least two tracks"),
        ({"clusters": {"stable": "s", "canary": "s"}}, "at least two tracks"),
        ({"clusters": {"stable": "s", "blue": "c"}}, "no cluster for the track 'canary'"),
        ({"mirror_clusters": {"green": "m"}}, "no cluster for the track 'green'"),
        ({"endpoints": []}, "no endpoint"),
        ({"endpoints": OPTIONS["endpoints"] * 2}, "same admin"),
        ({"endpoints": [{**OPTIONS["endpoints"][0], "eds": {"stable": "/x"}}]}, "some tracks only"),
        ({"endpoints": [{**OPTIONS["endpoints"][0], "eds": {"stable": "/x", "canary": "/y"}}]}, "no address for blue1, green1"),
        ({"addresses": {"blue1": "10.0.0.1"}}, "not an address with a port"),
        ({"addresses": {"blue1": "h:0"}}, "not an address with a port"),
        ({"endpoints": [{"admin": "http://h/stats", "rds": "/x"}]}, "has no path /stats"),
        ({"endpoint": []}, "Did you mean endpoints"),
    ],
)
def test_refused_options(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**changes)
