#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: workload
short_description: Switch the release folder of a host and prune old ones
version_added: 0.1.0
description:
  - Points the link C(current) at a release in one atomic rename, and removes the oldest releases.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.workload
"""

EXAMPLES = r"""
- name: Serve 2.4.1 from now on
  progressive.delivery.workload:
    base: /opt/shop
    version: "2.4.1"
    keep_releases: 3
"""

RETURN = r"""
before:
  description: The version before.
  returned: success
  type: dict
after:
  description: The version after.
  returned: success
  type: dict
removed:
  description: Releases that were removed.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import workload

if __name__ == "__main__":
    main(workload)
