# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, places and addresses of the node."""

from __future__ import annotations

from pathlib import Path

INIT = Path(__file__).resolve().parent / "init.py"
STATE = Path("/tmp/progressive-delivery-node")
"""Everything of the running node. One a machine: the route into it is one, too."""
KUBECONFIG = STATE / "admin.kubeconfig"
NODE_NAME = "node1"
CGROUP = "progressive-delivery-node"
LINK = "pdnode0"
NETWORK = "10.213.0.0/16"
HOST_ADDRESS = "10.213.0.1"
"""The host as Pods and the API server see it: what runs on the host for them (a webhook, a proxy) listens here."""
NODE_ADDRESS = "10.213.0.2"
PODS = "10.213.64.0/18"
BRIDGE_ADDRESS = "10.213.64.1"
SERVICES = "10.213.128.0/18"
API_SERVICE_ADDRESS = "10.213.128.1"
SERVER = f"https://{NODE_ADDRESS}:6443"
CNI = Path("/usr/lib/cni")
"""Where Debian puts the network plugins."""
