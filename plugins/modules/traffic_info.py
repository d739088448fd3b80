#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_info
short_description: See where requests go now
version_added: 0.1.0
description:
  - Reads the live routes and what the data plane counts. Changes nothing.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.traffic_info
"""

EXAMPLES = r"""
- name: Who serves the shop
  progressive.delivery.traffic_info:
    router:
      envoy:
        endpoints: [{admin: "http://127.0.0.1:9901", rds: /etc/envoy/rds.json}]
        clusters: {stable: shop-blue, canary: shop-green}
"""

RETURN = r"""
routes:
  description: Weights per track, members, match routes and mirror.
  returned: success
  type: dict
observation:
  description: Counters per track and the state of each server in the load balancer's own view.
  returned: success
  type: dict
capabilities:
  description: What this router can do.
  returned: success
  type: list
  elements: str
resolution:
  description: Parts a whole is split into.
  returned: success
  type: int
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import traffic_info

if __name__ == "__main__":
    main(traffic_info)
