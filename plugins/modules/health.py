#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: health
short_description: Wait until many targets are healthy
version_added: 0.1.0
description:
  - Asks all targets at the same time, by HTTP, TCP or a command, until they are healthy or the looks are used up.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.health
"""

EXAMPLES = r"""
- name: Wait for the hosts
  progressive.delivery.health:
    targets:
      web1: 10.0.0.1:8080
      web2: 10.0.0.2:8080
    checks:
      http:
        url: "http://${address}/health"
      interval: 2s
"""

RETURN = r"""
healthy:
  description: Whether enough targets are healthy.
  returned: success
  type: bool
summary:
  description: One sentence that names the unhealthy ones and what was last seen of each.
  returned: success
  type: str
targets:
  description: Per target attempts, last error and latencies.
  returned: success
  type: dict
seen:
  description: What became of the step, for the checkpoint.
  returned: with O(release)
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import health

if __name__ == "__main__":
    main(health)
