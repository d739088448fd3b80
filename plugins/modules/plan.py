#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Check a release file against the world and compile its plan
version_added: 0.1.0
description:
  - Reads the release file, which is every variable that begins with C(rollout_), the inventory, the live routes and the record.
  - Compiles from that the plan of the rollout.
  - Refuses what cannot work with one line that says what, where and what to do, before anything changes. Writes nothing.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.plan
"""

EXAMPLES = r"""
- name: Show what a rollout would do
  progressive.delivery.plan:
    show: true
  vars:
    rollout_name: shop
    rollout_version: "2.4.1"
    rollout_workload:
      pool: {stable: blue, canary: green, deploy: {tasks: deploy.yml}}
    rollout_router:
      envoy:
        endpoints: [{admin: "http://127.0.0.1:9901", rds: /etc/envoy/rds.json}]
        clusters: {stable: shop-blue, canary: shop-green}
"""

RETURN = r"""
release:
  description: The checked, complete release; what the other modules take as O(progressive.delivery.release#module:release).
  returned: success
  type: dict
rows:
  description: One row per step, with its name, kind, weight, hosts and seconds of waiting.
  returned: success
  type: list
  elements: dict
notes:
  description: What the operator should know beforehand.
  returned: success
  type: list
  elements: str
text:
  description: The plan as lines for a terminal.
  returned: success
  type: list
  elements: str
plan_digest:
  description: Identifies the plan; the same steps for the same version have the same digest.
  returned: success
  type: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan

if __name__ == "__main__":
    main(plan)
