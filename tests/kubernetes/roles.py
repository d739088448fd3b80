# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who ships in the tests: an account with the Roles of examples/rbac and no other right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import ROWS, Right, rules
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace


def deployer(space: Namespace, *roles: str, without: tuple[Right, ...] = (), account: str = "deployer") -> Path:
    """A kubeconfig of an account with these Roles, such as ``deployer(namespace, "blue-green", "drain")``. ``without``: rights they do not bring after all."""
    rights = dict.fromkeys(right for role in roles for right in ROWS[role].rights if right not in without)
    return space.kubeconfig(account, rules(rights, ROWS[roles[0]].names))


TO_REPORT = ("pod-logs", "events", "quota", "pdb", "hpa")
"""Extras that plans and reports use where they have them."""


def roles_of(release: Mapping[str, Any]) -> tuple[str, ...]:
    """The Roles that a release file needs: its strategy's, and one for each extra that it uses."""
    [(kind, options)] = release["rollout_workload"].items()
    router = next(iter(release.get("rollout_router") or {}), "")
    core = str(release.get("rollout_strategy", "canary")).replace("_", "-")
    used = {"create-missing": options.get("create_missing"), "config-maps": options.get("config_maps"), "drain": options.get("drain"),
            f"workload-{kind}": kind != "deployment", "router-gateway-api": router == "gateway_api",
            "router-istio": router == "istio" and "host" not in release["rollout_router"]["istio"],
            "router-istio-subsets": router == "istio" and "host" in release["rollout_router"]["istio"],
            "router-istio-affinity": router == "istio" and "affinity" in release["rollout_router"]["istio"],
            "router-service": router == "service" and core != "blue-green"}
    return (core, *(name for name, given in used.items() if given))


def deployer_of(space: Namespace, release: Mapping[str, Any]) -> Path:
    """A kubeconfig of an account with the Roles that this release file needs, and those for its reports."""
    return deployer(space, *roles_of(release), *TO_REPORT)
