# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes node of tests/cluster, for the stages: what it needs is installed and built before a suite starts it."""

from __future__ import annotations

import os
import sys

import system
from environments import CHECKOUT
from run import Run

BUILD_SECONDS = 3000.0
MODULE = "ansible_collections.progressive.delivery.tests.cluster.node"
BUILDER = "ansible_collections.progressive.delivery.tests.cluster.build"


def require(run: Run) -> None:
    """Have the node's packages and programs here. Nothing to do where another cluster is named. Raises Failed."""
    if not os.environ.get("PROGRESSIVE_DELIVERY_KUBECONFIG"):
        system.require(run, "cluster")
        run.command(sys.executable, "-m", MODULE, "build", timeout=BUILD_SECONDS)


def require_mesh(run: Run) -> None:
    """Besides, Istio's control plane, which runs on this host whatever the cluster is. Raises Failed."""
    require(run)
    run.command(sys.executable, "-m", BUILDER, timeout=BUILD_SECONDS)


def stage(run: Run) -> None:
    """The node is what the other suites take it for."""
    require(run)
    run.pytest(sys.executable, CHECKOUT / "tests" / "cluster")
