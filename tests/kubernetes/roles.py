# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who ships in the tests: an account with the Roles of examples/rbac and no other right."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import ROWS, Right, rules
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace


def deployer(space: Namespace, *roles: str, without: tuple[Right, ...] = (), account: str = "deployer") -> Path:
    """A kubeconfig of an account with these Roles, such as ``deployer(namespace, "blue-green", "drain")``. ``without``: rights they do not bring after all."""
    rights = dict.fromkeys(right for role in roles for right in ROWS[role].rights if right not in without)
    return space.kubeconfig(account, rules(rights, ROWS[roles[0]].names))
