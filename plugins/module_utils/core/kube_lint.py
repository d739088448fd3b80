# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workload lacks for releases that nobody notices, each with the fix, as notes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from .kube_selector import labels_of, selects
from .kube_template import containers, main_container, tag, template_of

Manifest = Mapping[str, Any]

GRACE = 30


def lint(manifest: Manifest, container: str, pdbs: Optional[Iterable[Manifest]]) -> Iterator[str]:
    """``pdbs``: the PodDisruptionBudgets of the namespace; None where they may not be read."""
    template = template_of(manifest)
    name = manifest["metadata"]["name"]
    main = main_container(template, container)
    if not main.get("readinessProbe"):
        yield f"{name}: container {main['name']} has no readinessProbe, so it gets traffic before it can serve. Add one"
    if not (main.get("lifecycle") or {}).get("preStop"):
        yield f"{name}: no preStop hook, so requests that arrive while a Pod ends may fail. Add lifecycle.preStop: {{sleep: {{seconds: 5}}}}"
    grace = int(template["spec"].get("terminationGracePeriodSeconds", GRACE))
    sleep = int((((main.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}).get("seconds", 0))
    if sleep >= grace:
        yield f"{name}: preStop sleeps {sleep} s, and the Pod is killed after {grace} s. Raise terminationGracePeriodSeconds"
    if manifest["spec"].get("revisionHistoryLimit") == 0:
        yield f"{name}: revisionHistoryLimit is 0, so the cluster forgets what ran before and nothing can be rolled back to. Remove it"
    for item in containers(template):
        if tag(str(item.get("image", ""))) == "latest":
            yield f"{name}: container {item['name']} runs {item['image']}, which may be another image tomorrow. Use a tag of its own per version"
    if pdbs is not None and manifest["kind"] != "DaemonSet":
        yield from _budgets(manifest, name, pdbs)


def kept_connections(manifest: Manifest, container: str, drain_path: str, where: str, *, retired: bool) -> Iterator[str]:
    """What becomes of connections that clients keep open. ``drain_path``: where its Pods are asked to finish, '' when nothing says; ``retired``: this
    release scales it away."""
    name = manifest["metadata"]["name"]
    stop = (main_container(template_of(manifest), container).get("lifecycle") or {}).get("preStop") or {}
    if not drain_path and retired:
        yield (f"{name}: its Pods are not asked to finish before they go, so requests on connections that clients keep open through a Service fail then, as"
               f" with kubectl scale. Set {where}.drain")
    elif drain_path and not str((stop.get("httpGet") or {}).get("path", "")).startswith(drain_path) and "exec" not in stop:
        yield (f"{name}: preStop does not call {drain_path}, so Pods that end otherwise (rolling update, shares by Pods, eviction) may break connections that"
               f" clients keep open. Set lifecycle.preStop.httpGet")


def _budgets(manifest: Manifest, name: str, pdbs: Iterable[Manifest]) -> Iterator[str]:
    replicas = int(manifest["spec"].get("replicas", 1))
    mine = [pdb for pdb in pdbs if selects(pdb["spec"].get("selector") or {}, labels_of(manifest))]
    if not mine and replicas > 1:
        yield f"{name}: no PodDisruptionBudget, so a drained node may take all its Pods at once. Make one: kubectl create pdb"
    for pdb in mine:
        if str(pdb["spec"].get("maxUnavailable", "")) in ("0", "0%") or str(pdb["spec"].get("minAvailable", "")) in ("100%", str(replicas)):
            yield f"{name}: PodDisruptionBudget {pdb['metadata']['name']} lets no Pod go, so no node can ever be drained. Allow one"
