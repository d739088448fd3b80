#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: zero_downtime
short_description: Look whether a workload loses requests, and add what it lacks
version_added: 0.1.0
description:
  - Looks at the probes, the preStop hook, the grace period and the disruption budget of a Deployment, StatefulSet or DaemonSet.
  - With O(apply) it adds what was asked for and is not there. What is there already stays as it is, except for a grace period that is too short.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.zero_downtime
"""

EXAMPLES = r"""
- name: See what the shop lacks
  progressive.delivery.zero_downtime:
    namespace: shop
    name: shop

- name: Add it
  progressive.delivery.zero_downtime:
    namespace: shop
    name: shop
    readiness: {path: /ready, port: 8080}
    liveness: {path: /health, port: 8080}
    pre_stop: {sleep: 15}
    pdb: {max_unavailable: 1}
    apply: true
"""

RETURN = r"""
findings:
  description: What the workload lacks as it is, each with the fix.
  returned: success
  type: list
  elements: str
remaining:
  description: What it lacks with what was asked for.
  returned: success
  type: list
  elements: str
before:
  description: Probes, hooks, grace period as they are.
  returned: success
  type: dict
after:
  description: The same with what was asked for.
  returned: success
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import zero_downtime

if __name__ == "__main__":
    main(zero_downtime)
