# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release file, or a part of one, read and compiled as ``plan`` would, without a load balancer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind, Plan
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build, release_file
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import WORKLOADS
from ansible_collections.progressive.delivery.tests.cluster import pki

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)


KUBERNETES = ("daemonset", "deployment", "statefulset")


def groups() -> dict[str, list[str]]:
    """Hosts by group, of the examples' inventory."""
    inventory = yaml.safe_load((EXAMPLES / "pool" / "inventory.yml").read_text(encoding="utf-8"))
    return {name: list(group["hosts"]) for name, group in inventory["all"]["children"].items()}


def variables(text: str) -> Any:
    """A YAML text with every template replaced, as if it were templated already."""
    return yaml.safe_load(TEMPLATE.sub(lambda found: "http://127.0.0.1:241" if re.search("prometheus|envoy", found[0]) else "241", text))


def compiled(given: Mapping[str, Any], folders: list[Path], kubeconfig: Path) -> tuple[Plan, list[Metric]]:
    """Plan and metrics of a release file, as the module ``plan`` makes them."""
    if "rollout_kubernetes" in given:
        where = {name: value for name, value in given["rollout_kubernetes"].items() if name == "namespace"}
        given = {**given, "rollout_kubernetes": {**where, "kubeconfig": str(kubeconfig)}}
    spec = release_file.located(release_file.read(given), [str(folder) for folder in folders])
    [(kind, options)] = spec["workload"].items()
    hosts = WORKLOADS[kind].slots(options, groups())
    capabilities = build.local_router(spec["router"], hosts).capabilities if spec.get("router") else frozenset()
    metrics = build.metrics(spec.get("analysis"))
    if metrics:
        build.provider(spec["analysis"]["provider"], hosts)
    by_hosts = build.by_hosts(spec)
    previous = spec.get("previous_version") or ("" if by_hosts else "240")
    first = previous == "none"
    made = build.brief(
        spec,
        hosts,
        live="stable",
        previous="" if first else previous,
        first=first,
        by_hosts=by_hosts,
        replicas=None if by_hosts else {"stable": 2, "canary": 0},
        capabilities=capabilities,
    )
    return compile_plan(made), metrics


def nobody(folder: Path) -> Path:
    """The kubeconfig of a cluster that nobody asks anything."""
    return pki.kubeconfig(folder / "kubeconfig", "https://127.0.0.1:1", {}, {"token": "none"})


def check_release(given: Mapping[str, Any], place: str, kubeconfig: Path) -> None:
    """Compile a whole release file, and see that each of its bakes is long enough for its metrics."""
    plan, metrics = compiled(given, [EXAMPLES / "pool", EXAMPLES / "releases"], kubeconfig)
    assert plan.steps[-1].kind is not Kind.DEPLOY
    for metric in metrics:
        for step in plan.steps:
            if step.kind is Kind.BAKE and step.watch and step.duration:
                metric.check_fits(step.duration, place)


def check_part(found: Mapping[str, Any], kubeconfig: Path) -> None:
    """Read some variables of a release file on top of a complete one, and make of them what is made of them before anything is asked."""
    router = next(iter(found.get("rollout_router") or {}), "haproxy")
    cluster = router in ("service", "replica_ratio", "gateway_api", "istio") or set(found.get("rollout_workload") or {}) & set(KUBERNETES)
    base = variables((EXAMPLES / ("releases/kubernetes-canary-gateway.yml" if cluster else "pool/haproxy.yml")).read_text(encoding="utf-8"))
    given = {**base, **found}
    where = {name: value for name, value in (given.get("rollout_kubernetes") or {"namespace": "shop"}).items() if name != "context"}
    spec = release_file.located(release_file.read({**given, "rollout_kubernetes": {**where, "kubeconfig": str(kubeconfig)}}), [str(EXAMPLES / "pool")])
    hosts = {"stable": ["web1", "web2"], "canary": ["web3"]}
    if "rollout_router" in found:
        build.local_router(spec["router"], hosts)
    if build.metrics(spec.get("analysis")):
        build.provider(spec["analysis"]["provider"], hosts)
