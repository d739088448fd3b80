# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases of examples/releases/kubernetes-*.yml on the real node, by ansible-playbook, under the documented Roles: as they are written,
but with seconds for their minutes.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.tests.cluster.cluster import PORT, Namespace, deployment, fetch
from ansible_collections.progressive.delivery.tests.guide.overlay import overlaid
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site
from ansible_collections.progressive.delivery.tests.kubernetes.roles import deployer_of
from ansible_collections.progressive.delivery.tests.waiting import wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "releases"


def example(space: Namespace, name: str, **file: Any) -> Site:
    """The example beside the files it names, told where the cluster is. ``file`` may say where more is, or how long something takes."""
    release = overlaid(f"releases/kubernetes-{name}.yml", **file)
    connection = {"kubeconfig": str(deployer_of(space, release)), "namespace": space.name}
    site = Site(space, {**release, "rollout_kubernetes": connection}, name)
    for helper in ("preview-tests.yml", "zero-downtime-deployment.yaml"):
        shutil.copy(EXAMPLES / helper, site.folder)
    return site


def image(space: Namespace, name: str) -> str:
    found = space.get("deployment", name)
    assert found
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])


def replicas(space: Namespace, name: str) -> int:
    found = space.get("deployment", name)
    assert found
    return int(found["spec"]["replicas"])


def serves(url: str, version: str) -> None:
    """Wait until kube-proxy has heard of where the Service leads."""
    wait_until(lambda: fetch(url).headers.get("X-App-Version") == version, says=lambda: fetch(url))


def colours(space: Namespace, count: int = 2) -> None:
    for color in ("blue", "green"):
        space.apply(deployment(f"shop-{color}", "1", count if color == "blue" else 0, {"shop": "yes", "color": color}))
    space.available("shop-blue")


def test_blue_green_is_tested_behind_the_preview_decided_by_hand_and_switched_back(namespace: Namespace) -> None:
    colours(namespace)
    url = namespace.service("shop", {"shop": "yes", "color": "blue"})
    preview = namespace.service("shop-preview", {"shop": "yes", "color": "green"})
    site = example(namespace, "blue-green")
    before = site.writes()
    done = site.run("blue_green", "2", "--check", "--diff")
    assert done.status == 0 and site.writes() == before, done.text

    done = site.run("blue_green", "2", PREVIEW_URL=preview)
    assert (done.status, done.outcome) == (0, "paused"), done.text
    serves(url, "1")
    serves(preview, "2")
    done = site.run("promote", "2")
    assert done.outcome == "promoted", done.text
    assert replicas(namespace, "shop-blue") == 0
    serves(url, "2")
    assert site.run("blue_green", "2").outcome == "unchanged"

    done = site.run("blue_green", "3", PREVIEW_URL=url)  # the tests look at what serves, which is 2
    assert done.outcome == "rolled_back" and "hook preview" in done.failures[-1], done.text
    assert replicas(namespace, "shop-blue") == 0
    serves(url, "2")

    done = site.run("rollback", "", "-e", "rollout_to_version=1")
    assert (done.status, done.outcome) == (0, "rolled_back"), done.text
    serves(url, "1")


def test_a_rolling_update_is_watched_and_undone_at_once(namespace: Namespace) -> None:
    namespace.app("shop", "1", 2)
    site = example(namespace, "rolling")
    assert site.run("rolling", "2").outcome == "promoted"
    [limits] = [found["spec"]["strategy"]["rollingUpdate"] for found in namespace.list("deployments")]
    assert limits == {"maxUnavailable": 1, "maxSurge": 1}
    for version, reason in (("crash", "crash at start"), ("none", "cannot have the image")):
        done = site.run("rolling", version)
        assert done.outcome == "rolled_back" and reason in done.message(), done.text
        assert image(namespace, "shop") == "2"


def test_a_canary_by_replicas_keeps_its_capacity_all_the_time(namespace: Namespace) -> None:
    for slot in ("stable", "canary"):
        namespace.apply(deployment(f"shop-{slot}", "1", 4 if slot == "stable" else 0, {"shop": "yes", "slot": slot}))
    namespace.available("shop-stable")
    namespace.service("shop", {"shop": "yes"})
    site = example(namespace, "canary-replicas", rollout_scale_down_delay="1s")
    least: list[int] = []

    def available() -> int:
        return sum((found.get("status") or {}).get("availableReplicas", 0) for found in namespace.list("deployments"))

    done = site.run("canary", "2")
    assert done.outcome == "paused" and 'gate "half"' in done.text, done.text
    assert (replicas(namespace, "shop-stable"), replicas(namespace, "shop-canary")) == (4, 1), "one of five is 20 %"
    done = site.run("promote", "2")
    assert done.outcome == "paused" and available() >= 4, done.text
    running = site.start("promote", "2")
    while running.process.poll() is None:
        least.append(available())
    done = running.end()
    assert done.outcome == "promoted", done.text
    assert least and min(least) >= 4, least
    assert (image(namespace, "shop-stable"), replicas(namespace, "shop-stable"), replicas(namespace, "shop-canary")) == ("2", 4, 0)


def test_zero_downtime_from_nothing_but_a_manifest(namespace: Namespace) -> None:
    site = example(namespace, "zero-downtime")
    manifest = site.folder / "zero-downtime-deployment.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("wait=15s", "wait=3s"), encoding="utf-8")
    done = site.run("rolling", "1")
    assert done.outcome == "invalid" and "there is no Deployment shop" in done.message(), done.text
    site.release["rollout_workload"]["deployment"]["create_missing"] = True
    site.release["rollout_kubernetes"]["kubeconfig"] = str(deployer_of(namespace, site.release))
    done = site.run("rolling", "1")
    assert done.outcome == "promoted", done.text
    done = site.run("rolling", "2")
    assert done.outcome == "promoted", done.text
    assert "no preStop hook" not in done.text
    [made] = namespace.list("deployments")
    assert made["spec"]["replicas"] == 3 and image(namespace, "shop") == "2"
    assert made["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_watched_taken_back_and_gone_back_from_in_every_way(namespace: Namespace) -> None:
    namespace.app("shop", "1", 2)
    target = namespace.service("shop", {"app": "shop"}).removeprefix("http://")
    checks = {"http": {"url": "http://${address}/health"}, "interval": "10s", "retries": 10}
    site = example(namespace, "watch-rollback", rollout_verify={"checks": checks, "targets": {"shop": target}})
    assert site.run("rolling", "2").outcome == "promoted"

    site.release["rollout_rolling"] = {"monitor": "2m"}
    running = site.start("rolling", "3")
    site.until(lambda: site.record["release"]["version"] == "3" and any(event.get("name") == "monitor" for event in site.events("step")), running)
    for pod in namespace.list("pods", "app=shop"):
        if not pod["metadata"].get("deletionTimestamp"):
            assert fetch(f"http://{pod['status']['podIP']}:{PORT}/admin?healthy=false", b"").status == 200
    done = running.end()
    assert done.outcome == "rolled_back" and "unhealthy" in done.message(), done.text
    assert image(namespace, "shop") == "2"

    refused = site.run("rollback", "", "-e", "rollout_to_revision=99")
    assert (refused.status, refused.outcome) == (2, "invalid") and "there is no revision 99" in refused.message(), refused.text
    assert site.run("rollback", "", "-e", "rollout_to_revision=-1").outcome == "invalid"

    before = json.dumps(namespace.get("deployment", "shop")["spec"])  # type: ignore[index]
    done = site.run("rollback", "", "-e", "rollout_to_revision=1", "-e", "rollout_rollback_safe=true")
    assert (done.status, done.outcome) == (0, "paused"), done.text
    assert re.search(r'^ +-.*registry.test/app:2"', done.text, re.MULTILINE) and re.search(r'^ +\+.*registry.test/app:1"', done.text, re.MULTILINE)
    assert json.dumps(namespace.get("deployment", "shop")["spec"]) == before  # type: ignore[index]
    done = site.run("promote")
    assert (done.status, done.outcome) == (0, "rolled_back"), done.text
    assert image(namespace, "shop") == "1" and "verified" in done.text

    namespace.kubectl("delete", "configmap", "pd-shop")
    done = site.run("rollback")  # without a record the cluster's own history is all there is
    assert (done.status, done.outcome) == (0, "rolled_back"), done.text
    assert image(namespace, "shop") == "2"
    wait_until(lambda: len(namespace.list("pods", "app=shop")) == 2)
