#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: traffic
short_description: Move traffic between tracks and see that it moved
version_added: 0.1.0
description:
  - Writes the wanted weights, reads them back, measures the share in the data plane, and drains what was taken out of rotation.
  - Absolute and idempotent. The receiver is raised before the giver is lowered, and the sum of weights is never 0 in between.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.traffic
"""

EXAMPLES = r"""
- name: Give the canary 5 per cent
  progressive.delivery.traffic:
    router:
      haproxy:
        endpoints: [/run/haproxy/admin.sock]
        backend: shop
    tracks:
      stable: [web1, web2]
      canary: [web3]
    weights:
      stable: 95
      canary: 5
"""

RETURN = r"""
before:
  description: The routes that were found.
  returned: success
  type: dict
after:
  description: The routes that were asked for.
  returned: success
  type: dict
measured:
  description: Percent of the requests per track, as counted by the data plane.
  returned: when it was measured
  type: dict
requests:
  description: How many requests were counted for that.
  returned: when it was measured
  type: int
settled:
  description: Whether the data plane does what it was told.
  returned: when something changed
  type: bool
in_flight:
  description: How many requests servers in O(drained) still had when the wait was over.
  returned: when something changed, and with O(drained)
  type: int
seen:
  description: What became of the step, for the checkpoint.
  returned: with O(release)
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import traffic

if __name__ == "__main__":
    main(traffic)
