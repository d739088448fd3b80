# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every router must do, whatever it drives. How a harness looks: README.md."""

from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, Fenced, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import Marker, Marking
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Assignment, Capability, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import Cutting
from ansible_collections.progressive.delivery.plugins.module_utils.core.settle import difference, drained, settle
from ansible_collections.progressive.delivery.tests.contract.harness_envoy import EnvoyFleetHarness, EnvoyHarness, EnvoyStaticHarness
from ansible_collections.progressive.delivery.tests.contract.harness_haproxy import (
    HaproxyFleetHarness,
    HaproxyHarness,
    HaproxySplitFleetHarness,
    HaproxySplitHarness,
    HaproxyTcpHarness,
)
from ansible_collections.progressive.delivery.tests.contract.harness_kube import (
    GatewayApiHarness,
    IstioHarness,
    IstioSubsetHarness,
    ReplicaRatioHarness,
    ServiceHarness,
)
from ansible_collections.progressive.delivery.tests.contract.harness_memory import TRACKS, MemoryHarness

HARNESSES = {
    "memory": MemoryHarness,
    "haproxy-socket": HaproxyHarness,
    "haproxy-tcp": HaproxyTcpHarness,
    "haproxy-fleet": HaproxyFleetHarness,
    "haproxy-split": HaproxySplitHarness,
    "haproxy-split-fleet": HaproxySplitFleetHarness,
    "envoy": EnvoyHarness,
    "envoy-static": EnvoyStaticHarness,
    "envoy-fleet": EnvoyFleetHarness,
    "gateway_api": GatewayApiHarness,
    "istio": IstioHarness,
    "istio-subsets": IstioSubsetHarness,
    "replica_ratio": ReplicaRatioHarness,
    "service": ServiceHarness,
}
SPLITS = [Fraction(text) for text in ("0", "1", "5", "33.3", "50", "66.7", "95", "99", "100", "20", "10", "80", "0")]
HOSTILE = ["web1; show info", "web1\nshow info", "web1\n", "web 1", "web1\x00", "../web1", "{{ web1 }}", "$(id)", "w" * 300, "web\u0131", "", "#1", "web1 <<"]


@pytest.fixture(params=HARNESSES)
def harness(request, tmp_path):
    plane = HARNESSES[request.param](tmp_path)
    yield plane
    plane.close()


def split(canary) -> Routes:
    return Routes({"stable": 100 - Fraction(canary), "canary": Fraction(canary)})


def with_members(canary, **ramps) -> Routes:
    members = {track: tuple(Member(host, Fraction(ramps.get(host, 100))) for host in hosts) for track, hosts in TRACKS.items()}
    return Routes(split(canary).weights, members)


def lacks(name: str) -> frozenset:
    """What the harness says that its router cannot do."""
    return getattr(HARNESSES[name], "LACKS", frozenset())


def needs(*capabilities):
    """The test runs against every router whose harness does not say that it lacks one of these."""
    return pytest.mark.parametrize("harness", [name for name in HARNESSES if lacks(name).isdisjoint(capabilities)], indirect=True)


def test_a_router_lacks_what_its_harness_says(harness):
    assert getattr(harness, "LACKS", frozenset()).isdisjoint(harness.router().capabilities)


def test_reads_where_the_plane_begins(harness):
    routes = harness.router().read()
    assert routes.weights == {"stable": 100, "canary": 0}
    assert harness.writes() == 0


@needs(Capability.WEIGHT)
def test_every_split_is_read_back_by_another_process(harness):
    router = harness.router()
    for canary in SPLITS:
        router.write(split(canary))
        assert difference(split(canary), harness.router().read()) == ""
        seen = harness.router().observe(split(canary))
        assert seen.applied, seen.why


def test_the_same_write_again_writes_nothing(harness):
    router = harness.router()
    for canary in (0, 100, 0) if Capability.WEIGHT not in router.capabilities else (0, 5, 33, 100, 50, 0):
        router.write(split(canary))
        before = harness.writes()
        router.write(split(canary))
        harness.router().write(split(canary))
        assert harness.writes() == before


def test_weights_never_sum_to_zero_in_between(harness):
    router = harness.router()
    with harness.totals() as totals:
        for canary in (0, 100) * 10:
            router.write(split(canary))
    assert totals
    assert min(totals) > 0


def test_another_split_is_not_applied(harness):
    harness.router().write(split(0))
    seen = harness.router().observe(split(100))
    assert not seen.applied
    assert seen.why


@needs(Capability.WEIGHT, Capability.MEASURE)
def test_real_requests_follow_the_weights_and_are_counted(harness):
    router = harness.router()
    want = split(20)
    router.write(want)
    before = router.observe(want)
    by_track = harness.requests(400)
    if by_track is None:
        return
    after = router.observe(want)
    measured = settle(want, before, after, tolerance=Fraction(5), min_requests=100)
    assert measured.settled, measured.why
    assert measured.measured
    assert by_track["failed"] == 0
    assert by_track["canary"] == pytest.approx(80, abs=45), "Envoy throws dice: more than five standard deviations"


@needs(Capability.MEMBERS, Capability.DRAIN)
def test_a_server_is_drained_and_taken_back(harness):
    router = harness.router()
    out = with_members(50, web1=0)
    router.write(out)
    seen = router.observe(out)
    assert seen.applied, seen.why
    assert seen.members["web1"].state == "drain"
    assert drained(seen, ["web1"]) == (True, 0)
    assert not drained(seen, ["web2"])[0]
    live = harness.router().read()
    assert difference(out, live) == ""
    assert live.weights["stable"] == 50
    router.write(with_members(50))
    assert router.observe(with_members(50)).members["web1"].state == "up"


@needs(Capability.CUT)
def test_a_cut_leaves_a_drained_server_out_and_it_can_come_back(harness):
    router = harness.router()
    out = with_members(50, web1=0)
    router.write(out)
    assert isinstance(router, Cutting)
    assert router.cut(["web1"]) == 0, "nothing was in flight"
    seen = harness.router().observe(out)
    assert seen.applied, seen.why
    assert drained(seen, ["web1"]) == (True, 0)
    assert difference(out, harness.router().read()) == ""
    router.write(with_members(50))
    assert router.observe(with_members(50)).members["web1"].state == "up"


@needs(Capability.MEMBERS)
def test_a_ramp_leaves_the_tracks_share_alone(harness):
    router = harness.router()
    for ramp in (10, 25, 50, 100):
        want = with_members(50, web3=ramp)
        router.write(want)
        seen = router.observe(want)
        assert seen.applied, seen.why
        live = harness.router().read()
        assert difference(want, live) == ""
        found = {member.name: member.ramp for member in live.members["canary"]}
        assert abs(found["web3"] - ramp) <= 2
        assert found["web4"] == 100


@needs(Capability.MEMBERS)
def test_a_server_moves_between_tracks(harness):
    router = harness.router()
    moved = Routes({"stable": Fraction(25), "canary": Fraction(75)}, {"stable": (Member("web1"),), "canary": (Member("web2"), Member("web3"), Member("web4"))})
    router.write(moved)
    assert router.observe(moved).applied
    assert difference(moved, router.read()) == ""


@needs(Capability.MEMBERS)
def test_an_unknown_server_is_refused_before_anything_is_written(harness):
    router = harness.router()
    with pytest.raises(ConfigError, match="web"):
        router.write(Routes({"stable": Fraction(0), "canary": Fraction(100)}, {"canary": (Member("wab3"),)}))
    assert harness.writes() == 0
    assert harness.router().read().weights["stable"] == 100


@needs(Capability.MEMBERS)
def test_traffic_for_a_track_without_servers_is_refused(harness):
    router = harness.router()
    with pytest.raises(ConfigError):
        router.write(with_members(50, web3=0, web4=0))
    assert harness.writes() == 0


@needs(Capability.MEMBERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_before_anything_is_sent(harness, name):
    router = harness.router()
    with pytest.raises(ConfigError):
        router.write(Routes({"stable": Fraction(0), "canary": Fraction(100)}, {"canary": (Member(name),)}))
    assert harness.writes() == 0


def test_what_it_cannot_do_is_refused(harness):
    router = harness.router()
    if Capability.MIRROR in router.capabilities:
        return
    with pytest.raises(Unsupported):
        router.write(Routes(split(0).weights, mirror=Mirror(Fraction(10))))
    assert harness.writes() == 0


def test_users_are_not_split_by_chance_where_a_hash_is_asked_for(harness):
    router = harness.router()
    if Capability.STICKY in router.capabilities:
        return
    with pytest.raises(Unsupported):
        router.write(Routes(split(100).weights, assignment=Assignment("cookie", "uid", "shop")))
    assert harness.writes() == 0


def test_a_plane_that_does_not_answer_is_unavailable(harness):
    for call in (lambda: harness.dead().read(), lambda: harness.dead().write(split(5)), lambda: harness.dead().observe(split(5))):
        with pytest.raises(Unavailable) as caught:
            call()
        assert isinstance(caught.value, DeliveryError)
        assert str(caught.value)


def test_a_router_marks_its_objects_if_its_harness_says_so(harness):
    assert isinstance(harness.router(), Marking) is getattr(harness, "MARKS", False)


@pytest.mark.parametrize("harness", [name for name, made in HARNESSES.items() if getattr(made, "MARKS", False)], indirect=True)
def test_a_write_of_an_earlier_run_that_comes_late_is_refused(harness):
    late, now = harness.router(), harness.router()
    late.mark(Marker("first", 1, 3))
    late.write(split(0))
    assert harness.router().highest_fence() == 3
    now.mark(Marker("second", 0, 4))
    now.write(split(0))  # nothing but the marker differs, and that is what shuts the other out
    assert harness.router().highest_fence() == 4
    writes = harness.writes()
    with pytest.raises(Fenced, match="fence 4, ours is 3"):
        late.write(split(100))
    now.mark(Marker("second", 5, 4))
    now.write(split(0))
    assert harness.writes() == writes
    assert harness.router().read().weights == split(0).weights


def test_release_keeps_the_weights(harness):
    router = harness.router()
    router.write(split(100))
    router.release()
    assert difference(split(100), harness.router().read()) == ""
