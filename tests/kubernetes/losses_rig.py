# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop whose users never pause, shipped by the verbs, by ansible-playbook and by hand; tests and bench count what each of these loses."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import traffic
from ansible_collections.progressive.delivery.tests.cluster.cluster import PORT, Namespace, deployment, fetch
from ansible_collections.progressive.delivery.tests.kubernetes import load
from ansible_collections.progressive.delivery.tests.kubernetes.release_rig import COLORS, Shop
from ansible_collections.progressive.delivery.tests.matrix.rig import PLAYBOOK, Finished
from ansible_collections.progressive.delivery.tests.waiting import wait_until

BY_HAND = Path(__file__).parents[1] / "bench" / "switch.sh"
DRAIN = {"http": {"path": "/drain", "port": PORT}}
PRE_STOP = {"httpGet": {"path": "/drain?wait=5s", "port": PORT}}
DRAIN_TIMEOUT = 8.0
"""Seconds: longer than a slow answer, and than the time in which each kept connection is used."""
MARGIN = 8.0
"""Seconds that the scale-down delay is longer than what was measured of the propagation."""
REPLICAS = 2
GRACE = 60
"""Seconds until a Pod that was told to end is killed, and what it still answers lost without a word: more than it needs on a busy machine."""


class BusyShop(Shop):
    """``drains``: its Pods are asked to finish, by the release and, with ``pre_stop``, by the kubelet; ``environment`` turns the app's knobs."""

    def __init__(self, space: Namespace, *, ratio: bool = False, drains: bool = True, pre_stop: bool = True, environment: dict[str, str] | None = None,
                 **file: Any) -> None:
        self.pre_stop, self.environment = pre_stop, environment or {}
        workload = {"stable": "shop-blue", "canary": "shop-green", "image": "registry.test/app:${version}", **({"drain": DRAIN} if drains else {})}
        super().__init__(space, ratio=ratio, rollout_workload={"deployment": workload}, rollout_drain_timeout=f"{DRAIN_TIMEOUT:g}s", rollout_lease={}, **file)
        self.file["rollout_report"] = {**self.file["rollout_report"], "formats": ["json"]}
        for color in COLORS.values():
            self.has(color, "1", REPLICAS if color == "blue" else 0)
        self.propagation = 0.0
        self.log = Path(space.folder) / "load.jsonl"

    def has(self, color: str, version: str, replicas: int) -> None:
        """Have this version run, as its owner would."""
        made = deployment(f"shop-{color}", version, replicas, {"shop": "yes", "color": color}, **self.environment)
        made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = GRACE
        if self.pre_stop:
            made["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = {"preStop": PRE_STOP}
        self.space.apply(made)
        self.space.available(f"shop-{color}")

    def at_rest(self) -> bool:
        """Whether no Pod is about to go, and kube-proxy has heard of the last that went: a connection to one that is gone hangs."""
        leaving = [pod for pod in self.space.list("pods") if pod["metadata"].get("deletionTimestamp")]
        return not leaving and all(fetch(self.url, seconds=1).status == 200 for _each in range(20))

    @contextlib.contextmanager
    def users(self) -> Iterator[load.Load]:
        """Users who are there already when this begins."""
        wait_until(self.at_rest)
        with load.users(self.url, self.log) as users:
            wait_until(lambda: users.felt().counts["slow"] > 2 * load.SLOW)
            yield users

    def switch(self, color: str, users: load.Load) -> None:
        """Lead the Service to a colour by the verb, and measure how long it took until every new connection was led there."""
        version, begun = self.holds(color)[0], time.time()
        router = self.file["rollout_router"]["service"]
        weights = {slot: 100 if each == color else 0 for slot, each in COLORS.items()}
        given = {"router": {"service": {**router, **self.file["rollout_kubernetes"]}}, "weights": weights}
        done = traffic.run(validate(given, traffic.OPTIONS, "traffic"), self.context())
        assert done["settled"] and self.color == color, done
        written = time.time()
        wait_until(lambda: users.felt(written + 0.3).counts["new"] >= 5)
        self.propagation = max(self.propagation, users.propagation(begun, version))

    @property
    def delay(self) -> str:
        """A scale-down delay as short as is safe here."""
        return f"{self.propagation + MARGIN:.1f}s"

    def playbook(self, name: str, version: str = "", *, outcome: str, **file: Any) -> None:
        """Run ansible-playbook to the end that is expected."""
        release = {**self.file, **({"rollout_version": version} if version else {}), **file}
        (self.folder / "shop.yml").write_text(yaml.safe_dump(release))
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_") or key == "ANSIBLE_COLLECTIONS_PATH"}
        settings = {"ANSIBLE_HOME": str(self.folder / "ansible"), "ANSIBLE_LOCALHOST_WARNING": "False", "ANSIBLE_SHOW_CUSTOM_STATS": "True",
                    "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}  # fmt: skip
        done = subprocess.run([str(PLAYBOOK), f"progressive.delivery.{name}", "-e", "@shop.yml"], cwd=self.folder, env={**kept, **settings},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False)
        assert Finished(done.returncode, done.stdout).outcome == outcome, done.stdout

    def by_hand(self, new: str, old: str) -> None:
        """The switch of a pipeline, old side away at once."""
        command = ["sh", str(BY_HAND), self.space.name, new, old]
        subprocess.run(command, env=self.space.cluster.environment(), check=True, stdout=subprocess.DEVNULL, timeout=600)

    def drained(self) -> list[dict[str, Any]]:
        """Every drain that the journals of its releases tell of."""
        lines = [line for path in sorted((self.folder / "reports").rglob("*.jsonl")) for line in path.read_text().splitlines()]
        return [event for event in map(json.loads, lines) if event["kind"] == "drain"]
