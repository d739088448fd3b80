#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: workload_info
short_description: Ask a host which version it runs
version_added: 0.1.0
description:
  - Reads the version from an address, a command, a file or a link.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.workload_info
"""

EXAMPLES = r"""
- name: Which version is live
  progressive.delivery.workload_info:
    version_from:
      symlink: /opt/shop/current
"""

RETURN = r"""
version:
  description: The version; empty where a file or link does not exist yet.
  returned: success
  type: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import workload_info

if __name__ == "__main__":
    main(workload_info)
