# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that die, meet another one, or meet somebody who writes the same field, where record and traffic are in Kubernetes.

Rows X001 to X024 of tests/faults/README.md. A run is killed at a request of its own: before the server hears of it, or when it has done it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock, SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.core import bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import Busy, Session, acquire
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.core.requests import ask, pending
from ansible_collections.progressive.delivery.plugins.module_utils.entry import guard
from ansible_collections.progressive.delivery.plugins.module_utils.stores.kubernetes import KubernetesStore
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace
from ansible_collections.progressive.delivery.tests.faults import kube_proxy as faults
from ansible_collections.progressive.delivery.tests.faults.kube_proxy import Exchange, KubeProxy, doing, when
from ansible_collections.progressive.delivery.tests.kubernetes.release_rig import LASTS, Other, Shop, fork
from ansible_collections.progressive.delivery.tests.waiting import wait_until

ROUNDS = int(os.environ.get("PD_RACE_ROUNDS", "200")) // 10
PROCESSES = 8


@pytest.fixture
def proxy(namespace: Namespace) -> Iterator[KubeProxy]:
    with KubeProxy(namespace.cluster.kubeconfig) as found:
        yield found


@pytest.fixture
def shop(namespace: Namespace, proxy: KubeProxy) -> Shop:
    """One whose runs in processes of their own go through the proxy, as those of this process do."""
    return Shop(namespace, proxy.kubeconfig(namespace.folder))


def killed_at(shop: Shop, proxy: KubeProxy, fits: Callable[[Exchange], bool], *, after: bool, **file: Any) -> None:
    """Start a release, and kill its process at the first request that fits."""
    runs: list[Other] = []

    def kill() -> None:
        runs[0].kill()

    proxy.rules = [when(fits, doing(kill, after=after), times=1)]
    runs.append(shop.started("rollout", "2", **file))
    assert runs[0].end() == {}, "it was not killed"
    proxy.rules = []


def touches(name: str) -> Callable[[Exchange], bool]:
    return lambda entry: entry.writes and entry.object == name


def nth_save(number: int) -> Callable[[Exchange], bool]:
    """The save of the record with this number, the first one being the one that begins the release."""
    count = 0

    def fits(entry: Exchange) -> bool:
        nonlocal count
        count += entry.method in ("POST", "PUT") and "configmaps" in entry.path
        return count > number

    return fits


POINTS = {
    "the record is begun": nth_save(0), "the deploy": touches("shop-green"), "a step is done": nth_save(1), "the switch": touches("shop"),
    "the switch is noted": nth_save(3), "the promotion": nth_save(4), "the old colour goes": touches("shop-blue"), "the end": nth_save(5),
}  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_any_write_leaves_a_release_that_goes_on(shop: Shop, proxy: KubeProxy, point: str, after: bool) -> None:
    killed_at(shop, proxy, POINTS[point], after=after)
    killed_with = len(proxy.log)
    done = shop.run("rollout", "2")
    assert done["outcome"] in ("promoted", "unchanged"), done
    assert (shop.color, shop.holds("green"), shop.holds("blue"), shop.holder) == ("green", ("2", 1), ("1", 0), "")
    assert shop.record.outcome is Outcome.PROMOTED and [good.version for good in shop.record.good] == ["1", "2"]
    switches = [entry for entry in proxy.seen("PATCH", object="shop", status=200) if entry.writes and "selector" in entry.json.get("spec", {})]
    lost = 1 if point == "the switch" and after else 0  # that one's answer had nobody left to hear it
    assert len(switches) + lost in (1, 2) and len([entry for entry in switches if entry.reached]) <= 1 + lost
    assert killed_with < len(proxy.log)


def test_a_killed_run_is_taken_back_by_abort(shop: Shop, proxy: KubeProxy) -> None:
    killed_at(shop, proxy, touches("shop"), after=True)
    assert shop.color == "green"
    assert shop.run("abort")["outcome"] == "aborted"
    assert (shop.color, shop.holds("blue"), shop.holds("green"), shop.holder) == ("blue", ("1", 1), ("2", 0), "")


def test_what_was_promoted_before_the_kill_is_not_aborted(shop: Shop, proxy: KubeProxy) -> None:
    killed_at(shop, proxy, touches("shop-blue"), after=False)
    assert shop.record.promoted
    with pytest.raises(ConfigError, match="is promoted already. Use the rollback playbook"):
        shop.run("abort")
    assert shop.run("resume")["outcome"] == "promoted" and shop.holds("blue") == ("1", 0)


def test_a_run_that_is_told_to_end_keeps_the_share_and_gives_the_lease_back(namespace: Namespace) -> None:
    shop = Shop(namespace, ratio=True, rollout_canary={"step_weights": [50, 100], "bake": "10m"})
    run = shop.started("rollout", "2")
    wait_until(lambda: "bake" in shop.next)
    run.kill(signal.SIGTERM)
    run.end()
    assert shop.record.outcome is Outcome.INTERRUPTED and shop.holder == "" and (shop.holds("blue")[1], shop.holds("green")[1]) == (1, 1)
    assert shop.run("abort")["outcome"] == "aborted" and shop.holds("blue") == ("1", 1) and shop.holds("green")[1] == 0


# Two at once


def test_two_runs_started_together_ship_once(shop: Shop, proxy: KubeProxy) -> None:
    runs = [shop.started("rollout", "2", rollout_deployment_id="pipeline-7", rollout_lease=LASTS) for _each in range(2)]
    outcomes = sorted(run.end()["outcome"] for run in runs)
    assert outcomes in (["busy", "promoted"], ["promoted", "unchanged"])
    assert len([entry for entry in proxy.seen("PATCH", object="shop-green", status=200) if entry.writes]) == 1
    assert shop.color == "green" and shop.holder == ""


def together(namespace: Namespace, work: Callable[[int, Any, KubernetesStore, Callable[[Any], None]], None]) -> list[list[Any]]:
    """``work(number, barrier, store, tell)`` in eight processes at once; what each told, in order. A process that fails fails the test."""
    barrier, answers = fork.Barrier(PROCESSES), fork.SimpleQueue()

    def body(number: int) -> None:
        told: list[Any] = []
        try:
            with contextlib.ExitStack() as failed:
                failed.callback(barrier.abort)  # the others must not wait for one that failed
                store = KubernetesStore("race", Kube.from_options({"kubeconfig": str(namespace.cluster.kubeconfig), "namespace": namespace.name}))
                work(number, barrier, store, told.append)
                failed.pop_all()
        finally:
            answers.put((number, told))

    processes = [fork.Process(target=body, args=(number,), daemon=True) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    results = sorted(answers.get() for _process in processes)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES, "a racing process failed; its traceback is above"
    return [told for _number, told in results]


def test_every_round_has_exactly_one_holder(namespace: Namespace) -> None:
    def work(number: int, barrier: Any, store: KubernetesStore, tell: Callable[[Any], None]) -> None:
        clock = SystemClock()
        for _round in range(ROUNDS):
            barrier.wait()
            try:
                lease = acquire(store, clock, f"run-{number}", who=f"person-{number}")
            except Busy:
                lease = None
            tell(lease.fence if lease else None)
            barrier.wait()
            if lease:
                Session(store, clock, lease.holder, lease.fence).release()

    for number, fences in enumerate(zip(*together(namespace, work))):
        assert [fence for fence in fences if fence is not None] == [number + 1]


def test_a_dead_holder_has_exactly_one_heir(namespace: Namespace) -> None:
    def work(number: int, barrier: Any, store: KubernetesStore, tell: Callable[[Any], None]) -> None:
        for turn in range(ROUNDS // 4):
            if number == 0:
                stored = store.load("lease")
                store.save("lease", {"holder": f"dead-{turn}", "fence": turn * 2 + 1, "beat": turn}, stored.token if stored else None)
            barrier.wait()
            clock = FakeClock()
            clock.at(88, barrier.wait)
            try:
                tell(acquire(store, clock, f"run-{number}", who="x", wait=91).fence)
            except Busy:
                tell(None)
            barrier.wait()

    for turn, fences in enumerate(zip(*together(namespace, work))):
        assert [fence for fence in fences if fence is not None] == [turn * 2 + 2]


def test_abort_and_promote_at_the_same_moment_have_one_winner(namespace: Namespace) -> None:
    def work(number: int, barrier: Any, store: KubernetesStore, tell: Callable[[Any], None]) -> None:
        for turn in range(ROUNDS // 4):
            barrier.wait()
            with contextlib.suppress(Conflict):
                ask(store, SystemClock(), id=f"{turn}-{number}", kind="abort" if number % 2 else "promote", release=f"r{turn}", who=f"person-{number}")
            barrier.wait()
            found = pending(store, f"r{turn}")
            tell(found.kind if found else None)
            barrier.wait()

    assert {kind for kinds in together(namespace, work) for kind in kinds} == {"abort"}


# Fenced off


def test_a_write_that_arrives_after_the_takeover_changes_nothing(shop: Shop, proxy: KubeProxy) -> None:
    """The switch of a run that died is on its way while another run takes the release back."""
    late = threading.Event()
    proxy.rules = [when(touches("shop"), faults.held(late), times=1)]
    run = shop.started("rollout", "2")
    wait_until(lambda: proxy.seen(fault="held"))
    run.kill()
    run.end()
    assert shop.run("abort")["outcome"] == "aborted"
    [switch] = proxy.seen(fault="held")
    late.set()
    wait_until(lambda: switch.status)
    assert switch.status == 409 and switch.json["spec"]["selector"] == {"color": "green"}
    assert shop.color == "blue" and shop.holds("green")[1] == 0


def test_a_run_that_cannot_renew_writes_nothing_until_it_has_proved_its_lease(shop: Shop, proxy: KubeProxy) -> None:
    baking = shop.at_the_bake()
    proxy.rules = [when(lambda entry: entry.writes and baking(entry), faults.cut_before)]
    run = shop.started("rollout", "2", rollout_steps=None, rollout_blue_green={"post_promotion_bake": "4s"})
    wait_until(lambda: len([entry for entry in proxy.seen(fault="cut before") if "leases" in entry.path]) > 8)
    blocked = proxy.seen(fault="cut before")
    assert blocked and all("leases" in entry.path for entry in blocked), "only the lease is tried"
    proxy.rules = []
    assert run.end()["outcome"] == "promoted"
    after = [entry for entry in proxy.log[proxy.log.index(blocked[-1]) + 1 :] if entry.writes]
    assert "leases" in after[0].path


def test_a_run_whose_release_was_taken_meanwhile_writes_nothing_more(shop: Shop, proxy: KubeProxy) -> None:
    run = shop.started("rollout", "2", rollout_blue_green={"post_promotion_bake": "60s"})
    wait_until(lambda: "bake" in shop.next)
    proxy.rules = [when(lambda entry: True, faults.cut_before)]
    other = Shop.of_namespace(shop)
    assert other.run("abort")["outcome"] == "aborted"
    proxy.rules = []
    begun = len(proxy.log)
    done = run.end()
    heard = ("is gone", "a later run wrote the record")  # by its lease's beat, or by the record: whichever comes first
    assert done["error"] == "Fenced" and any(words in done["reason"] for words in heard), done
    assert [entry for entry in proxy.log[begun:] if entry.writes and entry.status != 409] == [], "the server took nothing of it"
    assert shop.color == "blue" and shop.record.outcome is Outcome.ABORTED


# Somebody else writes the same field


class Meddler:
    """Leads the Service to the other colour wherever the release finds or sets one that it is against: before it reads, and after it wrote.

    ``times``: so often at most. Its own look and its write go straight to the server.
    """

    def __init__(self, shop: Shop, proxy: KubeProxy, against: Callable[[Shop], bool], times: int = 1000) -> None:
        self._shop, self._proxy, self._against, self._left = Shop.of_namespace(shop), proxy, against, times
        self.done = 0

    def _meddle(self) -> None:
        if self.done < self._left and self._against(self._shop):
            self.done += 1
            color = "blue" if self._shop.color == "green" else "green"
            self._shop.space.kubectl("patch", "service", "shop", "--field-manager=argocd", "-p", json.dumps({"spec": {"selector": {"color": color}}}))

    def __enter__(self) -> Meddler:
        def of_the_service(entry: Exchange) -> bool:
            return entry.path.endswith("/services/shop") or entry.path.endswith("/services")

        read = when(lambda entry: of_the_service(entry) and not entry.writes, doing(self._meddle))
        written = when(lambda entry: of_the_service(entry) and entry.writes, doing(self._meddle, after=True))
        self._proxy.rules = [read, written]
        self._meddle()
        return self

    def __exit__(self, *_error: object) -> None:
        self._proxy.rules = []


@pytest.fixture
def quick_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "EVERY", 0.3)
    monkeypatch.setattr(bake, "TICK", 0.2)


def switched(shop: Shop, bake: str = "3s", **then: str) -> dict[str, Any]:
    """A release whose Service leads to the new version, about to be watched for so long. ``then``: options that are others from here on."""
    begun = shop.begin("rollout", "2", rollout_blue_green={"post_promotion_bake": bake})
    shop.walk(begun, until="bake")
    assert shop.color == "green"
    assert then.keys() <= begun["release"].keys()
    begun["release"].update(then)
    return begun


@pytest.mark.usefixtures("quick_guard")
def test_what_somebody_puts_back_once_is_set_again(shop: Shop, proxy: KubeProxy) -> None:
    begun = switched(shop)
    with Meddler(shop, proxy, lambda shop: shop.color == "green", 1) as meddler:
        assert shop.walk(begun)["outcome"] == "promoted"
    assert meddler.done == 1 and shop.color == "green"
    assert any("last changed by argocd" in line and "put back" in line for line in shop.said), shop.said


@pytest.mark.usefixtures("quick_guard")
def test_who_puts_it_back_again_and_again_gets_stable(shop: Shop, proxy: KubeProxy) -> None:
    begun = switched(shop, "10m")
    with Meddler(shop, proxy, lambda shop: shop.color == "green"):
        done = shop.walk(begun)
    assert done["outcome"] == "rolled_back" and "argocd" in done["reason"], done["reason"]
    assert shop.color == "blue" and shop.holds("blue") == ("1", 1) and shop.holds("green")[1] == 0


@pytest.mark.usefixtures("quick_guard")
def test_where_stable_does_not_stick_either_the_release_is_held(shop: Shop, proxy: KubeProxy) -> None:
    begun = switched(shop, "10m", propagation_timeout="3s")
    with Meddler(shop, proxy, lambda shop: shop.color == ("blue" if shop.record.back else "green")):
        done = shop.walk(begun)
    assert done["outcome"] == "held" and "argocd" in done["reason"], done["reason"]
    assert shop.holds("green") == ("2", 1) and shop.holds("blue") == ("1", 1), "nothing is scaled down while both may be needed"
    assert shop.run("abort")["outcome"] == "rolled_back" and shop.color == "blue" and shop.holds("green")[1] == 0


@pytest.mark.usefixtures("quick_guard")
def test_a_selector_that_means_neither_slot_is_led_to_stable(namespace: Namespace) -> None:
    shop = Shop(namespace)
    begun = switched(shop)
    namespace.kubectl("patch", "service", "shop", "--field-manager=somebody", "-p", '{"spec":{"selector":{"color":"red"}}}')
    done = shop.walk(begun)
    assert done["outcome"] in ("promoted", "rolled_back"), done
    assert shop.color == {"promoted": "green", "rolled_back": "blue"}[done["outcome"]]
    assert any("somebody" in line for line in shop.said)


def test_who_goes_back_during_the_delay_finds_the_old_colour_up(namespace: Namespace) -> None:
    shop = Shop(namespace, rollout_lease=LASTS)
    running = shop.started("rollout", "2", rollout_scale_down_delay="10m")
    try:
        wait_until(lambda: shop.next.startswith("retire"), says=lambda: shop.next)
        assert shop.color == "green"
        with shop.watched("blue") as states:
            assert shop.run("rollback")["outcome"] == "rolled_back"
        assert running.end()["outcome"] == "promoted"
    finally:
        running.process.kill()  # if it is still there
    assert {state["spec"]["replicas"] for state in states} == {1}, "it was never scaled down"
    assert shop.color == "blue" and shop.holds("blue") == ("1", 1) and shop.holds("green")[1] == 0
