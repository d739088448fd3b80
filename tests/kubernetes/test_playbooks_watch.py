# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""watch on the real node, by ansible-playbook, under the documented Roles: Pods that crash again and again after the promotion are taken back."""

from __future__ import annotations

import contextlib
import threading

from ansible_collections.progressive.delivery.tests.cluster.cluster import PORT, KubectlFailed, Namespace, fetch
from ansible_collections.progressive.delivery.tests.kubernetes.test_playbooks_examples import example, image, serves


class Crashing:
    """Every Pod of a version crashes as soon as it answers, for as long as this is open."""

    def __init__(self, space: Namespace, version: str) -> None:
        self._space, self._version, self._over = space, version, threading.Event()
        self._thread = threading.Thread(target=self._crash)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_reason: object) -> None:
        self._over.set()
        self._thread.join()

    def _crash(self) -> None:
        while not self._over.wait(0.2):
            with contextlib.suppress(OSError, KubectlFailed):  # a server that is busy answers the next time
                for pod in self._space.list("pods", "app=shop"):
                    address = (pod.get("status") or {}).get("podIP")
                    if address and pod["spec"]["containers"][0]["image"].endswith(f":{self._version}"):
                        fetch(f"http://{address}:{PORT}/admin?crash=now", b"")


def test_pods_that_crash_again_and_again_after_the_promotion_are_taken_back(namespace: Namespace) -> None:
    namespace.app("shop", "1", 2)
    target = namespace.service("shop", {"app": "shop"}).removeprefix("http://")
    checks = {"http": {"url": "http://${address}/health"}, "interval": "10s", "retries": 10}
    site = example(namespace, "watch-rollback", rollout_verify={"checks": checks, "targets": {"shop": target}},
                   rollout_watch={"duration": "4s", "interval": "1s"})  # fmt: skip
    assert site.run("rolling", "2").outcome == "promoted"

    before = site.writes()
    well = site.run("watch", "2")
    assert (well.status, well.outcome) == (0, "unchanged") and "2 is well: its health was good" in well.text, well.text
    assert site.writes() == before, "it writes nothing"

    site.release["rollout_watch"] = {"duration": "10m", "interval": "1s"}
    running = site.start("watch", "2")
    site.until(lambda: "watching 2 for" in running.text, running, "the beginning of the watch")
    with Crashing(namespace, "2"):
        site.until(lambda: "2 is not well" in running.text, running, "that the crashes are seen")
    done = running.end()
    assert (done.status, done.outcome, done.code) == (2, "rolled_back", 10), done.text
    assert image(namespace, "shop") == "1" and site.record["stable"]["version"] == "1", done.text
    serves(f"http://{target}/", "1")

    nothing = site.run("watch", "2")
    assert nothing.outcome == "invalid" and "there is nothing to go back to" in nothing.message(), nothing.text
