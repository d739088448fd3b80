# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drain leaves in flight, what is waited for, and the calls that another host makes of a router."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, TimedOut
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Member, MemberView, Observation, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import traffic
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter

TRACKS = {"stable": ("web1", "web2"), "canary": ()}
OUT = Routes({"stable": Fraction(100), "canary": Fraction(0)}, {"stable": (Member("web1", Fraction(0)), Member("web2")), "canary": ()})
LIMITS = traffic.Limits(drain=30.0)


@pytest.mark.parametrize("capabilities, sessions, cut, words", [
    (frozenset(Capability), 0, 0, "nothing in flight"),
    (frozenset(Capability), 3, 3, "3 still in flight after 30 s, 3 cut"),
    (frozenset(Capability) - {Capability.CUT}, 3, 0, "3 still in flight after 30 s: this router cannot cut them, what comes next ends them"),
])
def test_what_outlives_the_drain_is_cut_where_that_can_be_and_said(capabilities, sessions, cut, words):
    router, clock, said, events = MemoryRouter(TRACKS, capabilities=capabilities), FakeClock(), [], []
    router.write(OUT)
    router.world["in_flight"]["web1"] = sessions
    current: Any = SimpleNamespace(doing=SimpleNamespace(hosts=("web1",)), index=2, label="shop drain web1", record=SimpleNamespace(back=False),
                                   session=SimpleNamespace(renew_if_due=lambda: None), event=lambda kind, **fields: events.append((kind, fields)))
    traffic._drain_for_release(router, OUT, LIMITS, current, Context(clock, say=said.append))
    [(kind, fields)] = events
    assert (kind, fields["in_flight"], fields["cut"], fields["members"]) == ("drain", sessions, cut, ["web1"])
    assert fields["seconds"] >= (30 if sessions else 0), "nothing is cut early"
    assert said == [f"shop drain web1: {words}"]
    assert router.observe(OUT).members["web1"].in_flight == sessions - cut


class Held(MemoryRouter):
    """A cookie leads to its drained servers."""

    gone: tuple[str, ...] = ()

    def let_go(self, servers: Iterable[str]) -> None:
        self.gone = tuple(servers)

    def sessions(self) -> list[str]:
        return ["by the cookie SRV"]


@pytest.mark.parametrize("back", [False, True])
def test_on_the_way_back_no_cookie_is_waited_for(back):
    router, clock = Held(TRACKS), FakeClock()
    router.write(OUT)
    current: Any = SimpleNamespace(doing=SimpleNamespace(hosts=("web1",)), index=2, record=SimpleNamespace(back=back), label="shop",
                                   session=SimpleNamespace(renew_if_due=lambda: None), event=lambda kind, **fields: None)
    traffic._drain_for_release(router, OUT, LIMITS, current, Context(clock, say=lambda _line: None))
    assert router.gone == (("web1",) if back else ())


def test_a_server_that_rests_with_its_track_at_0_percent_is_not_waited_for():
    class Resting(MemoryRouter):
        state = "maint"

        def observe(self, want: Routes) -> Observation:
            return Observation(True, members={name: MemberView(self.state) for name in ("web1", "web3")})

    def wait(router: Resting, canary: int, only: str) -> None:
        want = Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)}, {"stable": (Member("web1"),), "canary": (Member("web3"),)})
        clock = FakeClock()
        current: Any = SimpleNamespace(label="shop", session=SimpleNamespace(renew_if_due=lambda: None))
        traffic._receivers_up(router, want, want, LIMITS, current, Context(clock), only={only})

    router = Resting(TRACKS)
    wait(router, 0, "web3")
    for canary, only in ((20, "web3"), (0, "web1")):
        with pytest.raises(TimedOut, match=f"{only} not up"):
            wait(router, canary, only)
    router.state = "down"
    with pytest.raises(TimedOut, match="web3 not up"):
        wait(router, 0, "web3")


@pytest.mark.parametrize(("down", "back", "goes"), [
    ({"web1"}, True, True), ({"web1"}, False, False), ({"web1", "web2"}, True, False), ({"web1", "web2"}, False, False),
])
def test_on_the_way_back_one_dead_server_of_stable_does_not_leave_everybody_on_the_canary(down: set[str], back: bool, goes: bool) -> None:
    """A load balancer sends nothing to it; those that are up get the requests."""
    class Partly(MemoryRouter):
        def observe(self, want: Routes) -> Observation:
            return Observation(True, members={name: MemberView("down" if name in down else "up") for name in ("web1", "web2", "web3")})

    def shared(canary: int) -> Routes:
        return Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)},
                      {"stable": (Member("web1"), Member("web2")), "canary": (Member("web3"),)})

    clock, said = FakeClock(), list[str]()
    current: Any = SimpleNamespace(label="shop", session=SimpleNamespace(renew_if_due=lambda: None), record=SimpleNamespace(back=back))

    def wait() -> None:
        traffic._receivers_up(Partly(TRACKS), shared(50), shared(0), traffic.Limits(propagation=60), current, Context(clock, say=said.append))

    if goes:
        wait()
        assert said == ["shop: web1 not up in the load balancer's own view after 1:00: the others of stable take over"]
    else:
        with pytest.raises(TimedOut, match="web1"):
            wait()
    assert clock.now() >= 60, "it is waited for in any case"


@pytest.mark.parametrize("capabilities, waits", [(frozenset(Capability), True), (frozenset(Capability) - {Capability.MEASURE}, False)])
def test_nobody_waits_for_a_share_that_is_not_counted(capabilities, waits):
    router, clock = MemoryRouter(TRACKS, capabilities=capabilities), FakeClock()
    params = {"release": None, "router": {}, "weights": {"stable": 50, "canary": 50}, "propagation_timeout": "60s", "drain_timeout": "30s", "measure": True}
    router.write(Routes({"stable": Fraction(100), "canary": Fraction(0)}))
    begun = clock.now()
    result = traffic.run(params, Context(clock, routers=lambda _options, _tracks: router))
    assert result["settled"] and result["changed"]
    assert (clock.now() > begun) is waits


class Careful(MemoryRouter):
    """Nobody of canary can answer before ``ready``; it refuses to write until then."""

    clock, ready = FakeClock(), 0.0

    def unready(self, want: Routes) -> str:
        return "Service canary has no ready endpoint" if want.weight("canary") and self.clock.now() < self.ready else ""

    def write(self, want: Routes) -> None:
        assert not self.unready(want)
        super().write(want)


@pytest.mark.parametrize("seconds, there", [(0, True), (20, True), (61, False)])
def test_who_gets_more_is_waited_for_where_the_router_can_tell(seconds, there):
    router = Careful(TRACKS)
    router.write(Routes({"stable": Fraction(100), "canary": Fraction(0)}))
    router.clock = FakeClock()
    router.ready = router.clock.now() + seconds
    params = {"release": None, "router": {}, "weights": {"stable": 50, "canary": 50}, "propagation_timeout": "60s", "drain_timeout": "30s", "measure": False}
    context = Context(router.clock, routers=lambda _options, _tracks: router)
    if there:
        assert traffic.run(params, context)["settled"]
        return
    with pytest.raises(TimedOut, match="Service canary has no ready endpoint after 1:00"):
        traffic.run(params, context)
    assert router.read().weight("canary") == 0


def test_another_host_asks_for_a_cut_and_for_warnings(tmp_path: pathlib.Path) -> None:
    world = tmp_path / "world.json"
    world.write_text(json.dumps({"in_flight": {"web1": 2, "web2": 5}}))

    def ask(check_mode: bool = False, **port: Any) -> Any:
        params = {"release": None, "router": {"memory": {"path": str(world)}}, "tracks": {"stable": ["web1", "web2"]}, "port": port}
        return traffic.run(params, Context(FakeClock(), check_mode=check_mode))["answer"]

    assert ask(check_mode=True, method="cut", servers=["web1"]) is None
    assert ask(method="cut", servers=["web1"]) == 2
    assert json.loads(world.read_text())["in_flight"] == {"web2": 5}
    assert ask(method="warnings") == []
    assert ask(method="sessions") == []
    assert ask(method="let_go", servers=["web1"]) is None


@pytest.mark.parametrize(("more", "said"), [
    ({"tracks": {"stable": ["s1", "s2"], "canary": ["c1"]}, "drained": ["s1", "s22"]}, "s22 is in none of the tracks"),
    ({"drained": ["s1"]}, "s1 is in none of the tracks"),
])
def test_a_server_that_is_to_be_drained_and_nobody_knows_is_refused(more: dict[str, Any], said: str) -> None:
    """It would be called out of rotation, and still be in it."""
    world: dict[str, Any] = {}
    context = Context(FakeClock(), lambda line: None, routers=lambda options, tracks: MemoryRouter(tracks or {"stable": ("s1",), "canary": ()}, world))
    params = {**dict.fromkeys(traffic.OPTIONS), "router": {"memory": {}}, "propagation_timeout": "1s", "drain_timeout": "1s", "measure": False, **more}
    with pytest.raises(ConfigError, match=rf"drained: {said}"):
        traffic.run(params, context)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_drain_that_was_killed_is_waited_for_again(check_mode: bool) -> None:
    """Whoever asks once more wants to stop the server, and it still answers requests."""
    world: dict[str, Any] = {"in_flight": {"web1": 4}}
    router, clock = MemoryRouter(TRACKS, world), FakeClock()
    router.write(OUT)
    params = {**dict.fromkeys(traffic.OPTIONS), "router": {"memory": {}}, "tracks": {"stable": ["web1", "web2"], "canary": []}, "drained": ["web1"],
              "propagation_timeout": "1s", "drain_timeout": "30s", "measure": False}
    begun = clock.now()
    result = traffic.run(params, Context(clock, check_mode=check_mode, routers=lambda _options, _tracks: router))
    assert not result["changed"]
    assert clock.now() - begun == (0 if check_mode else pytest.approx(30, abs=1))
    assert result.get("in_flight") == (None if check_mode else 4)


class Counting(MemoryRouter):
    """A plane that counts requests when they are answered: so many a second of each track, and, in the first ten seconds, ``late`` of canary."""

    def __init__(self, clock: FakeClock, late: int, rates: dict[str, int]) -> None:
        super().__init__(TRACKS)
        self.clock, self.late, self.rates, self.begun = clock, late, rates, clock.now()

    def observe(self, want: Routes) -> Observation:
        seconds = self.clock.now() - self.begun
        counts = {track: round(rate * seconds) for track, rate in self.rates.items()}
        return Observation(True, requests={**counts, "canary": counts["canary"] + round(self.late * min(1.0, seconds / 10))})


@pytest.mark.parametrize("late, rates, settled, said", [
    (100, {"stable": 20, "canary": 0}, True, "measured stable 100 %, canary 0 % of 200 requests"),
    (100, {"stable": 4, "canary": 0}, False, "stable has 50 % of 200 requests instead of 100 %"),  # too few came afterwards to say that it was only that
    (0, {"stable": 60, "canary": 40}, False, "requests instead of "),
    (0, {"stable": 2, "canary": 0}, True, "read back; only "),
])  # fmt: skip
def test_what_was_under_way_when_the_share_changed_is_not_held_against_it(late: int, rates: dict[str, int], settled: bool, said: str) -> None:
    clock = FakeClock()
    want = Routes({"stable": Fraction(100), "canary": Fraction(0)})
    done = traffic._settled(Counting(clock, late, rates), want, traffic.Limits(propagation=60), Context(clock), measure=True)
    assert done.settled is settled and said in done.why, done
