# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each part needs to be allowed in a cluster. The one table: plans are checked against it, and Roles are made of it. Pure.

A right is (resource, verb); the resource with its subresource and group, as RBAC messages name it: ``deployments.apps``, ``pods/log``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Right = tuple[str, str]
Rights = tuple[Right, ...]

WORKLOAD: Mapping[str, Rights] = {
    "deployment": (("deployments.apps", "get"), ("deployments.apps", "watch"), ("deployments.apps", "patch"), ("replicasets.apps", "list"), ("pods", "list")),
    "statefulset": (
        ("statefulsets.apps", "get"), ("statefulsets.apps", "watch"), ("statefulsets.apps", "patch"),
        ("controllerrevisions.apps", "list"), ("pods", "list"),
    ),
    "daemonset": (
        ("daemonsets.apps", "get"), ("daemonsets.apps", "watch"), ("daemonsets.apps", "patch"),
        ("controllerrevisions.apps", "list"), ("pods", "list"),
    ),
}  # fmt: skip
"""Without these a release cannot be carried out. (watch is the exception: without it changes are noticed a little later.)"""

STORE: Rights = tuple((resource, verb) for resource in ("configmaps", "leases.coordination.k8s.io") for verb in ("get", "create", "update"))
"""The record, the lease and what people say to a release."""

SLICES: Right = ("endpointslices.discovery.k8s.io", "list")

ROUTER: Mapping[str, Rights] = {
    "service": (("services", "get"), ("services", "patch"), SLICES, ("pods", "list")),
    "replica_ratio": (("services", "get"), SLICES, ("pods", "list")),
    "istio": (("virtualservices.networking.istio.io", "get"), ("virtualservices.networking.istio.io", "patch"), SLICES),
    "gateway_api": (("httproutes.gateway.networking.k8s.io", "get"), ("httproutes.gateway.networking.k8s.io", "patch"), SLICES),
}
"""What a router needs beside the workload's own rights."""

HOLDING: Rights = tuple(("destinationrules.networking.istio.io", verb) for verb in ("get", "list", "create", "patch"))
"""Sessions of two Services are held by a DestinationRule of each, found by its host, made where there is none."""

OPTION: Mapping[str, Rights] = {
    "config_maps": (("configmaps", "list"), ("configmaps", "get"), ("configmaps", "create"), ("configmaps", "delete")),
    "drain": (("pods/proxy", "get"), ("pods/proxy", "create")),
    "create_missing": (("{workload}", "create"),),
    "hpa": tuple(("horizontalpodautoscalers.autoscaling", verb) for verb in ("get", "list", "patch")),
}
"""Needed when the option is used; ``{workload}`` is the kind at hand."""

NICE: Mapping[Right, str] = {
    ("pods/log", "get"): "a crash is reported without its last lines",
    ("events", "list"): "Pods that are never made, and failing probes, are reported without the reason",
    ("horizontalpodautoscalers.autoscaling", "list"): "an autoscaler is not noticed: name it with hpa",
    ("horizontalpodautoscalers.autoscaling", "get"): "an autoscaler's minimum is not held while traffic moves",
    ("horizontalpodautoscalers.autoscaling", "patch"): "an autoscaler's minimum is not held while traffic moves",
    ("resourcequotas", "list"): "room in a quota is not checked beforehand",
    ("poddisruptionbudgets.policy", "list"): "PodDisruptionBudgets are not checked beforehand",
    ("pods", "delete"): "a StatefulSet's Pod that hangs in a bad version has to be deleted by hand to go back",
}
"""What is done without, and what is lost then."""

TOLERATED = frozenset({"watch"})
"""Verbs that nobody is refused for."""


@dataclass(frozen=True)
class Row:
    """One file of examples/rbac. ``names``: the only objects of its resources that are meant, where a Role can say so."""

    about: str
    rights: Rights
    names: tuple[str, ...] = ()


CORE: Mapping[str, Row] = {
    "recreate": Row("Old down, new up, of one Deployment.", (*WORKLOAD["deployment"], *STORE)),
    "rolling": Row("Pods of one Deployment replaced a few at a time.", (*WORKLOAD["deployment"], *STORE)),
    "blue-green": Row("Two Deployments behind a Service whose selector is switched.",
                      tuple(dict.fromkeys((*WORKLOAD["deployment"], *STORE, *ROUTER["service"])))),
    "canary": Row("Two Deployments behind one Service, shares by the number of Pods.",
                  tuple(dict.fromkeys((*WORKLOAD["deployment"], *STORE, *ROUTER["replica_ratio"])))),
}  # fmt: skip
"""A strategy with all that it needs."""

EXTRA: Mapping[str, Row] = {
    "router-gateway-api": Row("For the router gateway_api, beside any strategy.", (*ROUTER["gateway_api"], ("gateways.gateway.networking.k8s.io", "get"))),
    "router-istio": Row("For the router istio, beside any strategy.", ROUTER["istio"]),
    "router-istio-subsets": Row("For the router istio with host: the slots are subsets of one Service.",
                                (*ROUTER["istio"], ("destinationrules.networking.istio.io", "get"), ("destinationrules.networking.istio.io", "patch"),
                                 ("pods", "list"))),
    "router-istio-affinity": Row("For affinity of the router istio with two Services: their DestinationRules hold sessions.", HOLDING),
    "router-service": Row("For the router service, beside another strategy than blue-green.", ROUTER["service"]),
    "workload-statefulset": Row("For StatefulSets.", (*WORKLOAD["statefulset"], ("statefulsets.apps", "create"), ("pods", "delete"))),
    "workload-daemonset": Row("For DaemonSets.", WORKLOAD["daemonset"]),
    "create-missing": Row("For create_missing: a slot that is not there is made.", (("deployments.apps", "create"),)),
    "config-maps": Row("For config_maps: ConfigMaps that belong to a version.", OPTION["config_maps"]),
    "drain": Row("For drain: Pods are asked to finish, through the API server.", OPTION["drain"]),
    "hpa": Row("Where a HorizontalPodAutoscaler scales the workload: its minimum is held while traffic moves.", OPTION["hpa"]),
    "pod-metrics": Row("For memory and cpu by the metric provider kubernetes, from the metrics API.", (("pods.metrics.k8s.io", "list"),)),
    "pod-logs": Row("A crash is reported with its last lines.", (("pods/log", "get"),)),
    "events": Row("Pods that are never made, and failing probes, are reported with the reason.", (("events", "list"),)),
    "quota": Row("Room in the quotas is checked beforehand.", (("resourcequotas", "list"),)),
    "pdb": Row("PodDisruptionBudgets are checked beforehand.", (("poddisruptionbudgets.policy", "list"),)),
    "approver": Row("For people who decide gates and may do nothing else; name the ConfigMap of your gates.", (("configmaps", "get"), ("configmaps", "patch")),
                    ("decisions",)),
}  # fmt: skip
"""Each of its own, off unless it is used."""

ROWS: Mapping[str, Row] = {**CORE, **EXTRA}


def needed(kind: str, uses: tuple[str, ...]) -> Rights:
    """Every right for a workload of this kind with these options, none twice, the tolerated verbs left out."""
    own = WORKLOAD[kind][0][0]
    pairs = [*WORKLOAD[kind], *((resource.replace("{workload}", own), verb) for use in uses for resource, verb in OPTION[use])]
    return tuple(dict.fromkeys(pair for pair in pairs if pair[1] not in TOLERATED))


def files(rights: Iterable[Right]) -> list[str]:
    """The fewest files of examples/rbac that bring these rights; nothing for a right that no file has. Extras come before whole strategies."""
    left, found = list(dict.fromkeys(rights)), []
    while left:
        best = max(ROWS, key=lambda name: len(set(ROWS[name].rights) & set(left)) - len(ROWS[name].rights) / 100)
        if not set(ROWS[best].rights) & set(left):
            break
        found.append(f"examples/rbac/{best}.yaml")
        left = [right for right in left if right not in ROWS[best].rights]
    return found


def rules(rights: Iterable[Right], names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """PolicyRules of a Role that allow this and nothing else: one for each resource, those of a group with the same verbs together."""
    verbs: dict[str, list[str]] = {}
    for resource, verb in dict.fromkeys(rights):
        verbs.setdefault(resource, []).append(verb)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for resource, given in verbs.items():
        name, _dot, group = resource.partition(".")
        together.setdefault((group, tuple(given)), []).append(name)
    only = {"resourceNames": list(names)} if names else {}
    return [{"apiGroups": [group], "resources": resources, **only, "verbs": list(given)} for (group, given), resources in together.items()]
