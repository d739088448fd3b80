# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each part needs to be allowed in a cluster. The one table: plans are checked against it, and Roles are made of it. Pure.

A right is (resource, verb); the resource with its subresource and group, as RBAC messages name it: ``deployments.apps``, ``pods/log``.
"""

from __future__ import annotations

from collections.abc import Mapping

WORKLOAD: Mapping[str, tuple[tuple[str, str], ...]] = {
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

OPTION: Mapping[str, tuple[tuple[str, str], ...]] = {
    "config_maps": (("configmaps", "list"), ("configmaps", "get"), ("configmaps", "create"), ("configmaps", "delete")),
    "drain": (("pods/proxy", "get"), ("pods/proxy", "create")),
    "create_missing": (("{workload}", "create"),),
    "hpa": (("horizontalpodautoscalers.autoscaling", "list"), ("horizontalpodautoscalers.autoscaling", "patch")),
}
"""Needed when the option is used; ``{workload}`` is the kind at hand."""

NICE: Mapping[tuple[str, str], str] = {
    ("pods/log", "get"): "a crash is reported without its last lines",
    ("events", "list"): "Pods that are never made, and failing probes, are reported without the reason",
    ("horizontalpodautoscalers.autoscaling", "list"): "an autoscaler is not noticed: name it with hpa",
    ("horizontalpodautoscalers.autoscaling", "patch"): "an autoscaler's minimum is not held while traffic moves",
    ("resourcequotas", "list"): "room in a quota is not checked beforehand",
    ("poddisruptionbudgets.policy", "list"): "PodDisruptionBudgets are not checked beforehand",
    ("pods", "delete"): "a StatefulSet's Pod that hangs in a bad version has to be deleted by hand to go back",
}
"""What is done without, and what is lost then."""

TOLERATED = frozenset({"watch"})


def needed(kind: str, uses: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Every right for a workload of this kind with these options, none twice, the tolerated verbs left out."""
    own = WORKLOAD[kind][0][0]
    pairs = [*WORKLOAD[kind], *((resource.replace("{workload}", own), verb) for use in uses for resource, verb in OPTION[use])]
    return tuple(dict.fromkeys(pair for pair in pairs if pair[1] not in TOLERATED))
