# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient
from ansible_collections.progressive.delivery.plugins.module_utils.core.affinity import Cookie
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Condition, MatchRoute, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import Holding
from ansible_collections.progressive.delivery.plugins.module_utils.routers.haproxy import HaproxyMapRouter, HaproxyRouter

TRACKS = {"stable": ("web1",), "canary": ("web2",)}
COLOURS = {"path": "/etc/haproxy/live.map", "key": "shop", "backends": {"stable": "blue", "canary": "green"}}


def split(canary, **more):
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)}, **more)


def made(tracks=None, **options):
    given = {"endpoints": ["/run/haproxy.sock"], **options}
    return HaproxyRouter.from_options(validate(given, HaproxyRouter.OPTIONS, "haproxy"), TRACKS if tracks is None else tracks)


class FakeClient(HaproxyClient):
    """HAProxy's servers as a dictionary of [operation, admin, weight]. ``fault`` sees each set command and may return an error.
    ``cookies``: by server, and by BACKEND the name; ``tables``: what `show table` says."""

    def __init__(self, fault=lambda _command: None):
        super().__init__("/run/haproxy.sock")
        self.found = {"web1": [2, 0, 100], "web2": [2, 0, 100]}
        self.cookies: dict[str, str] = {}
        self.tables = ""
        self.sent: list[str] = []
        self._fault = fault

    def run(self, commands):
        return [self._answer(command) for command in commands]

    def _answer(self, command):
        if command.startswith("show servers state"):
            rows = [f"{name} {operation} {admin} {weight} 100" for name, (operation, admin, weight) in self.found.items()]
            return "\n".join(["1", "# srv_name srv_op_state srv_admin_state srv_uweight srv_iweight", *rows])
        if command == "show table":
            return self.tables
        if command.startswith("show stat"):
            return "\n".join(["# pxname,svname,cookie,", *(f"shop,{name},{self.cookies.get(name, '')}," for name in (*self.found, "BACKEND"))])
        self.sent.append(command)
        fault = self._fault(command)
        if fault is None:
            if command.startswith("shutdown sessions"):
                return ""
            verb, path, *words = command.split()[1:]
            server = self.found[path.partition("/")[2]]
            if verb == "weight":
                server[2] = int(words[0])
            else:
                server[1] = {"ready": 0, "drain": 8, "maint": 1}[words[1]]
        return fault or ""


def test_one_endpoint_is_a_router_and_several_are_a_fleet():
    assert isinstance(made(backend="shop"), HaproxyRouter)
    assert isinstance(made(backend="shop", endpoints=["/run/a.sock", "10.0.0.1:9999"]), Fleet)
    switch = made(map=COLOURS)
    assert isinstance(switch, HaproxyMapRouter)
    assert Capability.WEIGHT not in switch.capabilities


@pytest.mark.parametrize("options, text", [
    ({}, "exactly one of backend, map and split"),
    ({"backend": "shop", "map": COLOURS}, "exactly one of backend, map and split"),
    ({"backend": "shop", "endpoints": []}, "at least one"),
    ({"backend": "shop", "endpoints": ["/a", "/a"]}, "each once"),
    ({"backend": "shop; quit"}, "not a name"),
    ({"backend": "shop", "server_names": {"web1": "a;b"}}, "not the name of a server"),
    ({"backend": "shop", "min_up": 0}, "out of range"),
    ({"backend": "shop", "endpoints": ["10.0.0.1:9999"], "state_file": "/var/lib/haproxy/state"}, "same host"),
    ({"map": {**COLOURS, "key": "a b"}}, "not a map key"),
    ({"map": COLOURS, "split": COLOURS}, "exactly one of backend, map and split"),
    ({"split": {**COLOURS, "users": "uid"}}, "Write header:NAME"),
    ({"map": {**COLOURS, "path": "/etc/x;y"}}, "not the path of a map"),
    ({"map": {**COLOURS, "backends": {"stable": "blue"}}}, "at least two backends"),
    ({"map": {**COLOURS, "backends": {"stable": "blue", "canary": "blue"}}}, "at least two backends"),
])
def test_wrong_options_are_said(options, text):
    with pytest.raises(ConfigError, match=text):
        made(**options)


@pytest.mark.parametrize("more", [{"mirror": Mirror(Fraction(5))}, {"matches": (MatchRoute("beta", ((Condition("header", "x", "exact", "1"),),)),)}])
def test_what_haproxy_cannot_do_over_its_socket_is_refused(more):
    for router in (made(backend="shop"), made(map=COLOURS)):
        with pytest.raises(Unsupported):
            router.write(split(100, **more))


def test_the_receiver_is_raised_before_the_giver_is_lowered():
    client = FakeClient()
    router = HaproxyRouter(client, "shop", TRACKS)
    router.write(split(0))
    client.sent.clear()
    router.write(split(100))
    assert client.sent == ["set weight shop/web2 100", "set weight shop/web1 0"]


STICKY = {"BACKEND": "SRV", "web1": "web1", "web2": "web2"}
EVERYBODY = {"stable": (Member("web1"),), "canary": (Member("web2"),)}


def asked(**cookie):
    return Cookie.from_option({"cookie": {"name": "SRV", "ttl": "1h", **cookie}}, "haproxy")


@pytest.mark.parametrize(("cookies", "tables"), [(STICKY, ""), ({}, "# table: shop, type: ip, used:3"), ({"web2": "w2"}, "# table: shops, type: ip")])
@pytest.mark.parametrize("members", [{}, EVERYBODY], ids=["", "members"])
def test_servers_that_a_cookie_leads_to_go_to_maintenance_with_their_track(cookies, tables, members):
    client = FakeClient()
    client.cookies, client.tables = cookies, tables
    router = HaproxyRouter(client, "shop", TRACKS)
    router.write(split(20, members=members))
    assert [name for name, (_operation, admin, _weight) in client.found.items() if admin] == []
    router.write(split(0, members=members))
    assert client.found == {"web1": [2, 0, 100], "web2": [2, 1, 0]}
    assert router.read() == split(0, members=EVERYBODY), "it is out of the way, not out of the track"
    client.sent.clear()
    router.write(split(0, members=members))
    assert client.sent == []
    router.write(split(20, members=members))
    assert client.found["web2"][1] == 0 and router.read().weight("canary") == 20


def test_without_a_cookie_nothing_goes_to_maintenance():
    client = FakeClient()
    HaproxyRouter(client, "shop", TRACKS).write(split(0))
    assert client.found["web2"] == [2, 0, 0]


def test_a_server_in_maintenance_that_somebody_put_there_stays_out():
    client = FakeClient()
    client.cookies = STICKY
    client.found["web2"][1] = 1
    router = HaproxyRouter(client, "shop", TRACKS)
    assert router.read().members["canary"] == (Member("web2", Fraction(0)),)
    with pytest.raises(ConfigError, match="canary shall have 20 % and all its servers are out of rotation"):
        router.write(split(20))


def test_drained_servers_are_let_go_where_something_leads_to_them():
    client = FakeClient()
    client.cookies = {"BACKEND": "SRV", "web2": "w2"}
    router = HaproxyRouter(client, "shop", {"stable": ("one",), "canary": ("two",)}, {"one": "web1", "two": "web2"})
    router.let_go(["one", "two"])
    assert client.sent == ["set server shop/web2 state maint"]


@pytest.mark.parametrize(("cookies", "cookie", "said"), [
    ({}, {}, r"it holds no sessions by a cookie.*cookie SRV insert indirect nocache maxlife 3600s. And at the end of each server line"),
    ({}, {"ttl": "0s"}, r"insert indirect nocache\. And"),
    ({**STICKY, "BACKEND": "JSESSIONID"}, {}, "holds sessions by the cookie JSESSIONID, not SRV"),
    ({**STICKY, "web2": ""}, {}, "web2 has no value for the cookie SRV.*cookie web2"),
    (STICKY, {"path": "/shop"}, "HAProxy sets its cookies for the path /"),
])
def test_lines_that_lack_are_named(cookies, cookie, said):
    client = FakeClient()
    client.cookies = cookies
    with pytest.raises(ConfigError, match=said):
        HaproxyRouter(client, "shop", TRACKS, cookie=asked(**cookie)).sessions()
    assert client.sent == []


def test_what_holds_sessions_is_told_before_anything_changes():
    client = FakeClient()
    router = HaproxyRouter(client, "shop", TRACKS)
    assert router.sessions() == []
    client.cookies = STICKY
    assert "backend shop holds sessions by the cookie SRV" in router.sessions()[0]
    line, interplay = HaproxyRouter(client, "shop", TRACKS, cookie=asked(path="/")).sessions()
    assert "maxlife 3600s" in line and "at 0 % the servers of a version go to maintenance" in interplay
    switch = HaproxyMapRouter(client, COLOURS["path"], "shop", COLOURS["backends"], TRACKS, cookie=asked())
    assert len(switch.sessions()) == 3 and "backend green" in switch.sessions()[1]
    both = Fleet({"a": router, "b": router})
    assert isinstance(router, Holding) and both.sessions() == router.sessions()
    both.let_go(["web2"])
    assert client.sent == ["set server shop/web2 state maint"] * 2


def test_a_refusal_on_the_way_puts_everything_back():
    refusals = ["Something went wrong"]
    client = FakeClient(lambda command: refusals.pop() if command.startswith("set server shop/web1") and refusals else None)
    before = {name: list(values) for name, values in client.found.items()}
    with pytest.raises(Unavailable, match="Something went wrong"):
        HaproxyRouter(client, "shop", TRACKS).write(split(100, members={"stable": (Member("web1", Fraction(0)),), "canary": (Member("web2"),)}))
    assert client.found == before


def test_what_cannot_be_put_back_is_said():
    client = FakeClient(lambda command: "No more" if "web1" in command or command.endswith("web2 10") else None)
    client.found["web2"][2] = 10
    with pytest.raises(DeliveryError, match=r"web1 .*: No more.*could not be put back: .*web2 10.*: No more"):
        HaproxyRouter(client, "shop", TRACKS).write(split(80))


def test_a_weight_that_does_not_stick_is_an_error():
    client = FakeClient(lambda command: "" if "web2" in command else None)
    with pytest.raises(Unavailable, match="web2 did not keep the change"):
        HaproxyRouter(client, "shop", TRACKS).write(split(80))


def test_receivers_that_fall_down_on_the_way_stop_it():
    client = FakeClient()
    client.found["web2"] = [2, 8, 0]

    def fall(command):
        if command.endswith("ready"):
            client.found["web2"][0] = 0

    client._fault = fall
    want = split(100, members={"stable": (Member("web1"),), "canary": (Member("web2"),)})
    with pytest.raises(Unavailable, match=r"only 0 servers are up to take over \(web2 down\)"):
        HaproxyRouter(client, "shop", TRACKS).write(want)
    assert client.found["web1"] == [2, 0, 100]


def test_a_run_that_was_killed_before_the_state_file_writes_it_the_next_time(tmp_path):
    """Else a reload after the last step would bring back the share of the step before."""
    client, file = FakeClient(), tmp_path / "state"
    router = HaproxyRouter(client, "shop", TRACKS, state_file=str(file))
    router.write(split(50))
    before = file.read_text(encoding="utf-8")
    HaproxyRouter(client, "shop", TRACKS).write(split(0))  # all that a killed run did
    assert file.read_text(encoding="utf-8") == before
    client.sent.clear()
    router.write(split(0))
    assert client.sent == [], "HAProxy itself is as wanted"
    assert "web2 2 0 0 100" in file.read_text(encoding="utf-8")
    kept = file.stat()
    router.write(split(0))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns), "and nothing is written twice"
    file.write_text("rubbish", encoding="utf-8")
    router.write(split(0))
    assert "web2 2 0 0 100" in file.read_text(encoding="utf-8")


def test_servers_that_were_let_go_or_cut_stay_out_over_a_reload(tmp_path):
    client, file = FakeClient(), tmp_path / "state"
    client.cookies = STICKY
    router = HaproxyRouter(client, "shop", TRACKS, state_file=str(file))
    router.let_go(["web2"])
    assert "web2 2 1 100 100" in file.read_text(encoding="utf-8")
    router.cut(["web1"])
    assert "web1 2 1 100 100" in file.read_text(encoding="utf-8")


def test_a_server_that_a_colleague_added_does_not_keep_the_canary_in_service():
    """A share cannot be made with it; everything to one side can, and what it takes is said afterwards."""
    client = FakeClient()
    router = HaproxyRouter(client, "shop", TRACKS)
    router.write(split(50))
    client.found["web9"] = [2, 0, 100]
    with pytest.raises(ConfigError, match="web9 takes traffic and belongs to no track"):
        router.write(split(20))
    router.write(split(0))
    assert client.found == {"web1": [2, 0, 100], "web2": [2, 0, 0], "web9": [2, 0, 100]}
