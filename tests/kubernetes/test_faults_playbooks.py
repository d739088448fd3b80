# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that are killed, or lose the API server, on their way (rows X001, X003, X011 and X028 of tests/faults/README.md)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace
from ansible_collections.progressive.delivery.tests.faults import kube_proxy as faults
from ansible_collections.progressive.delivery.tests.faults.kube_proxy import Exchange, KubeProxy, doing, when
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site
from ansible_collections.progressive.delivery.tests.kubernetes.release_rig import Shop
from ansible_collections.progressive.delivery.tests.matrix.rig import Running, alive, descendants, ended
from ansible_collections.progressive.delivery.tests.waiting import wait_until


@pytest.fixture
def proxy(namespace: Namespace) -> Iterator[KubeProxy]:
    with KubeProxy(namespace.cluster.kubeconfig) as found:
        yield found


def made(namespace: Namespace, proxy: KubeProxy, bake: str) -> tuple[Shop, Site]:
    """A release with two colours, watched for so long after the switch."""
    shop = Shop(namespace, proxy.kubeconfig(namespace.folder), rollout_blue_green={"post_promotion_bake": bake})
    return shop, Site(namespace, shop.file)


def at_the_switch(entry: Exchange) -> bool:
    return entry.writes and entry.object == "shop"


def power_cut(run: Running) -> None:
    """Every process of the run at once: the workers first, which would notice the end of their parent."""
    for number in (*descendants(run.process.pid), run.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def test_another_machine_goes_on_with_a_run_that_was_killed_at_the_switch(namespace: Namespace, proxy: KubeProxy) -> None:
    """Nothing is needed from the first one's disk: the second has an empty home and an empty folder for temporary files."""
    shop, site = made(namespace, proxy, "0s")
    runs: list[Running] = []
    proxy.rules = [when(at_the_switch, doing(lambda: power_cut(runs[0])), times=1)]
    runs.append(site.start("rollout", "2"))
    with ended(*runs):
        runs[0].end()
    assert shop.record.outcome is None and shop.next == "switch"
    elsewhere = Site(namespace, shop.file, "elsewhere")
    empty = {name: str(elsewhere.folder / name.lower()) for name in ("HOME", "TMPDIR")}
    for folder in empty.values():
        Path(folder).mkdir()
    done = elsewhere.run("resume", "2", **empty)
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert shop.color == "green" and shop.holds("blue")[1] == 0 and shop.holder == ""


def test_a_worker_whose_parent_is_killed_ends_with_the_step_it_is_at(namespace: Namespace, proxy: KubeProxy) -> None:
    """Its loop has further steps that it could do in no time. Nobody asked for those any more."""
    shop, site = made(namespace, proxy, "0s")
    runs: list[Running] = []
    proxy.rules = [when(at_the_switch, doing(lambda: runs[0].send(signal.SIGKILL)), times=1)]
    runs.append(site.start("rollout", "2"))
    with ended(*runs):
        runs[0].end()
        wait_until(lambda: shop.holder == "")
    assert shop.record.outcome is Outcome.INTERRUPTED and not shop.record.promoted
    assert shop.color == "green" and shop.holds("blue") == ("1", 1), "the step was finished, and nothing after it begun"
    assert shop.run("resume")["outcome"] == "promoted"


def test_a_playbook_whose_parent_alone_is_killed_leaves_nothing_running(namespace: Namespace, proxy: KubeProxy) -> None:
    shop, site = made(namespace, proxy, "10m")
    run = site.start("rollout", "2")
    with ended(run):
        wait_until(lambda: "bake" in shop.next)
        time.sleep(0.5)  # into the bake: whatever moment it is, the end must be the same
        below = descendants(run.process.pid)
        run.send(signal.SIGKILL)
        run.end()
        wait_until(lambda: not [number for number in below if alive(number)], says=lambda: below)
    assert shop.record.outcome is Outcome.INTERRUPTED and shop.holder == "" and shop.color == "green"
    done = site.run("abort", "2")
    assert (done.status, done.outcome) == (0, "aborted"), done.text
    assert shop.color == "blue" and shop.holds("green")[1] == 0


def test_a_playbook_outlives_an_api_server_that_is_gone_for_a_while(namespace: Namespace, proxy: KubeProxy) -> None:
    """Longer than the lease may go without a renewal; in the second half it answers, but only that it cannot."""
    shop, site = made(namespace, proxy, "3s")
    fits = shop.at_the_bake()
    proxy.rules = [when(fits, faults.cut_before)]
    run = site.start("rollout", "2")
    with ended(run):
        for fault, name in ((faults.cut_before, "cut before"), (faults.answered(503), "503")):
            proxy.rules = [when(fits, fault)]
            wait_until(lambda name=name: len(proxy.seen(fault=name)) > 3, 120, lambda: run.text)
        proxy.rules = []
        done = run.end()
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert "Traceback" not in done.text and done.failures == []
    assert shop.color == "green" and shop.holds("green") == ("2", 1) and shop.holds("blue")[1] == 0
