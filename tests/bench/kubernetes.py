# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kubernetes costs: one switch of a Service as a task, and whole releases, beside kubernetes.core and kubectl, on the real node."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.progressive.delivery.tests.bench import peer, plays
from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, deployment, service
from ansible_collections.progressive.delivery.tests.kubernetes.gateway_rig import http_route
from ansible_collections.progressive.delivery.tests.kubernetes.mesh_rig import mesh

ROUNDS = 5
SWITCHES = 6
"""Switches in a playbook; each way of switching does one a turn."""
FLOWS = 3
SLOTS = {"stable": "blue", "canary": "green"}
WEIGHTS = (5, 20, 50, 100)
LABELS = {
    "ours": "this collection: planned, recorded, verified, reported", "peer": "the same steps as a kubernetes.core playbook",
    "bash": "the same steps as a bash script with kubectl", "empty": "ansible-playbook with nothing to do",
}


@contextmanager
def shop(folder: Path) -> Iterator[Namespace]:
    """Blue runs version 1 and green version 2, both ready; the Service leads to blue."""
    with fixtures.connect() as cluster, cluster.namespace(folder, "bench") as space:
        for version, color in enumerate(SLOTS.values(), 1):
            space.apply(deployment(f"shop-{color}", str(version), 1, {"shop": "yes", "color": color}))
        for color in SLOTS.values():
            space.available(f"shop-{color}")
        space.service("shop", {"shop": "yes", "color": "blue"})
        yield space


def connection(space: Namespace) -> dict[str, str]:
    return {"kubeconfig": str(space.cluster.kubeconfig), "namespace": space.name}


def patch(color: str) -> dict[str, Any]:
    return {"spec": {"selector": {"color": color}}}


def kubectl(space: Namespace, *words: str) -> list[str]:
    cluster = space.cluster
    return [cluster.kubectl_path, f"--cache-dir={cluster.kubectl_cache}", "--kubeconfig", str(cluster.kubeconfig), "--namespace", space.name, *words]


def one_patch(space: Namespace, color: str) -> list[str]:
    return kubectl(space, "patch", "service", "shop", "--patch", yaml.safe_dump(patch(color)))


def ours(space: Namespace, color: str, **more: Any) -> dict[str, Any]:
    router = {"service": {"name": "shop", "selectors": {slot: {"color": each} for slot, each in SLOTS.items()}, **connection(space)}}
    shares = {slot: 100 if each == color else 0 for slot, each in SLOTS.items()}
    return {"progressive.delivery.traffic": {"router": router, "weights": shares, **more}}


def theirs(space: Namespace, color: str) -> dict[str, Any]:
    wanted = {"api_version": "v1", "kind": "Service", "name": "shop", "definition": patch(color), "state": "patched"}
    return {"kubernetes.core.k8s": {**wanted, **connection(space)}}


def tasks(folder: Path) -> None:
    """One switch of a Service, done in every way, interleaved; the bare process between the playbooks."""
    program, found, versions = peer.playbook()
    library = str(program.with_name("python"))
    spent: dict[str, list[float]] = {}
    with shop(folder) as space:
        for _round in range(ROUNDS):
            listed: list[dict[str, Any]] = []
            for number in range(SWITCHES):
                there, back = ("green", "blue") if number % 2 == 0 else ("blue", "green")
                here = [{"name": "no-op", "ansible.builtin.assert": {"that": "true", "quiet": True}}, {"name": "ours", **ours(space, there)},
                        {"name": "command", "ansible.builtin.command": {"argv": one_patch(space, back)}}]
                listed.append({"hosts": "localhost", "gather_facts": False, "tasks": here})
                if found:
                    listed.append({"hosts": "peer", "gather_facts": False, "tasks": [{"name": "peer", **theirs(space, there)}]})
            playbook = plays.write(folder, listed, {"peer": {"ansible_python_interpreter": library}})
            for task in plays.run(program, folder, playbook):
                spent.setdefault(task.task, []).append(task.ms)
            for number in range(SWITCHES):
                began = time.perf_counter()
                subprocess.run(one_patch(space, ("green", "blue")[number % 2]), check=True, stdout=subprocess.DEVNULL)
                spent.setdefault("bare", []).append((time.perf_counter() - began) * 1000)
    mine = min(spent["ours"])
    labels = {"no-op": "a task that does nothing (assert)", "ours": "this collection: switched, read back, and the endpoints have followed",
              "bare": "kubectl patch, the bare process: only written", "command": "command: kubectl patch, as a task: only written",
              "peer": "kubernetes.core.k8s, state patched: only written"}
    rows = [(label, *plays.spread(spent[name]), f"{min(spent[name]) / mine:.1f}") for name, label in labels.items() if name in spent]
    plays.table(f"A Service switched as a task, ms ({ROUNDS * SWITCHES} switches, {versions})", ("", "min", "median", "times ours"), rows)


def blue_green(folder: Path) -> None:
    """A whole blue-green release whose Pods run already: what is left is what each tool costs."""
    with shop(folder) as space:
        router = {"service": {"name": "shop", "selectors": {slot: {"color": each} for slot, each in SLOTS.items()}}}
        slices = {"api_version": "discovery.k8s.io/v1", "kind": "EndpointSlice", "label_selectors": ["kubernetes.io/service-name=shop"]}

        def moves(new: str, old: str) -> list[dict[str, Any]]:
            live = {"api_version": "v1", "kind": "Service", "name": "shop", **connection(space)}
            return [
                {"name": "Live", "kubernetes.core.k8s_info": live, "register": "live",
                 "failed_when": f"live.resources[0].spec.selector.color != '{old}'"},
                {"name": "Switch", **theirs(space, new)},
                {"name": "Endpoints", "kubernetes.core.k8s_info": {**slices, **connection(space)}},
            ]  # fmt: skip

        run = " ".join(kubectl(space))
        lines = f"""test "$({run} get service shop --output 'jsonpath={{.spec.selector.color}}')" = "$old"
{run} patch service shop --patch "{{\\"spec\\":{{\\"selector\\":{{\\"color\\":\\"$new\\"}}}}}}"
{run} get endpointslices --selector kubernetes.io/service-name=shop"""

        def ready(live: str, _other: str) -> None:
            subprocess.run(one_patch(space, live), check=True, stdout=subprocess.DEVNULL)

        compared(folder, space, "blue_green", router, moves, lines, ready)


def canary(folder: Path) -> None:
    """A canary of four weights in an HTTPRoute, without bakes and with its Pods running already, behind a real control plane of Istio."""
    with shop(folder) as space, mesh(space.cluster, folder) as plane:
        plane.take_in(space)
        entry = plane.entry(space.name)
        space.apply(*(service(f"shop-{color}", {"color": color}) for color in SLOTS.values()))
        router = {"gateway_api": {"http_route": "shop", "stable": "shop-blue", "canary": "shop-green"}}

        def rules(new: str, old: str, weight: int) -> dict[str, Any]:
            names = ("shop-blue", "shop-green")
            refs = [{"name": name, "port": 80, "weight": weight if name == f"shop-{new}" else 100 - weight} for name in names]
            return {"spec": {"rules": [{"backendRefs": refs, "timeouts": {"request": "10s"}}]}}

        def moves(new: str, old: str) -> list[dict[str, Any]]:
            route = {"api_version": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "shop", **connection(space)}
            made = []
            for weight in WEIGHTS:
                patched = {**route, "definition": rules(new, old, weight), "state": "patched", "merge_type": "merge"}
                made += [{"name": f"{weight} %", "kubernetes.core.k8s": patched}, {"name": "Look", "kubernetes.core.k8s_info": route}]
            return made

        run = " ".join(kubectl(space))
        patches = "\n".join(
            f"{run} patch httproute shop --type merge --patch '{json.dumps(rules('green', 'blue', weight))}'\n{run} get httproute shop --output yaml"
            for weight in WEIGHTS)
        lines = f"""if test "$new" = green; then
{patches}
else
{patches.replace('"shop-blue"', '"shop-x"').replace('"shop-green"', '"shop-blue"').replace('"shop-x"', '"shop-green"')}
fi"""

        def ready(live: str, _other: str) -> None:
            services = ("shop-blue", "shop-green")
            space.apply(http_route("shop", entry.parent, services=services if live == "blue" else services[::-1]))

        more = {"rollout_canary": {"step_weights": list(WEIGHTS), "bake": "0s", "promotion": "swap"}}
        compared(folder, space, "canary", router, moves, lines, ready, **more)


def compared(
    folder: Path, space: Namespace, strategy: str, router: dict[str, Any], moves: Callable[[str, str], Sequence[dict[str, Any]]], lines: str,
    ready: Callable[[str, str], None], **more: Any,
) -> None:  # fmt: skip
    """The release there and back again by each way, interleaved. ``moves`` and ``lines``: what moves the traffic, as tasks and as shell."""
    program, found, versions = peer.playbook()
    spent: dict[str, list[float]] = {}
    (folder / "release.yml").write_text(yaml.safe_dump({
        "rollout_name": "shop", "rollout_version": "{{ lookup('env', 'VERSION') }}", "rollout_kubernetes": connection(space), "rollout_router": router,
        "rollout_workload": {"deployment": {"stable": "shop-blue", "canary": "shop-green", "image": "registry.test/app:${version}"}},
        "rollout_scale_down_delay": "0s", **more}))  # fmt: skip
    (folder / "script.sh").write_text(script(space, lines))
    for number in range(FLOWS * 2):
        new, old = ("green", "blue") if number % 2 == 0 else ("blue", "green")
        for way in ("ours", "bash", *(["peer"] if found else [])):
            restore(space, ready, old, new)
            plays.write(folder, [play(space, new, old, moves(new, old), program)], {})
            began = time.perf_counter()
            if way == "bash":
                subprocess.run(["bash", str(folder / "script.sh"), new, old], check=True, stdout=subprocess.DEVNULL)
            elif way == "ours":
                plays.run(program, folder, f"progressive.delivery.{strategy}", ["-e", "@release.yml"], VERSION=version(new))
            else:
                plays.run(program, folder, "play.yml")
            spent.setdefault(way, []).append(time.perf_counter() - began)
        plays.write(folder, [{"hosts": "localhost", "gather_facts": False, "tasks": []}], {})
        began = time.perf_counter()
        plays.run(program, folder, "play.yml")
        spent.setdefault("empty", []).append(time.perf_counter() - began)
    rows = [(label, *plays.spread(spent[name], 2)) for name, label in LABELS.items() if name in spent]
    plays.table(f"{strategy} whose Pods run already, s ({FLOWS * 2} releases, {versions})", ("", "min", "median"), rows)


def version(color: str) -> str:
    return "1" if color == "blue" else "2"


def restore(space: Namespace, ready: Callable[[str, str], None], live: str, other: str) -> None:
    """All traffic on ``live``, both there, and no record of a release before."""
    space.kubectl("delete", "configmap,lease", "--selector", "app.kubernetes.io/managed-by=progressive.delivery")
    for color in (live, other):
        space.apply(deployment(f"shop-{color}", version(color), 1, {"shop": "yes", "color": color}))
        space.available(f"shop-{color}")
    ready(live, other)


def script(space: Namespace, lines: str) -> str:
    """What a pipeline does by hand: image, rollout status, the traffic, scale down."""
    run = " ".join(kubectl(space))
    return f"""set -euo pipefail
new=$1 old=$2
version=1; test "$new" = blue || version=2
{run} set image "deployment/shop-$new" "app=registry.test/app:$version"
{run} scale "deployment/shop-$new" --replicas=1
{run} rollout status "deployment/shop-$new" --timeout=300s
{lines}
{run} scale "deployment/shop-$old" --replicas=0
"""


def play(space: Namespace, new: str, old: str, moves: Sequence[dict[str, Any]], program: Path) -> dict[str, Any]:
    """The script's steps as tasks of kubernetes.core."""
    image = {"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "app", "image": f"registry.test/app:{version(new)}"}]}}}}
    one = {"api_version": "apps/v1", "kind": "Deployment", **connection(space)}
    steps = [
        {"name": "Deploy", "kubernetes.core.k8s": {**one, "state": "patched", "name": f"shop-{new}", "definition": image, "wait": True, "wait_timeout": 300}},
        {"name": "Ready", "kubernetes.core.k8s_info": {**one, "name": f"shop-{new}"}, "register": "found",
         "until": "found.resources[0].status.readyReplicas | default(0) == 1", "retries": 60, "delay": 5},
        *moves,
        {"name": "Scale down", "kubernetes.core.k8s_scale": {**one, "name": f"shop-{old}", "replicas": 0, "wait": False}},
    ]
    return {"hosts": "localhost", "gather_facts": False, "vars": {"ansible_python_interpreter": str(program.with_name("python"))}, "tasks": steps}
