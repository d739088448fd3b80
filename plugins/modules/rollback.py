#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Name the good version to go back to
version_added: 0.1.0
description:
  - Reads the record and names the last version that was promoted and healthy, or checks that the version asked for was.
  - Changes nothing by itself; the rollback playbook ships what it names.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.rollback
"""

EXAMPLES = r"""
- name: Read the release file
  progressive.delivery.plan:
    purpose: status
  register: planned

- name: Where would a rollback go
  progressive.delivery.rollback:
    release: "{{ planned.release }}"
"""

RETURN = r"""
version:
  description: The version to go back to.
  returned: success
  type: str
slot:
  description: The slot that held it.
  returned: success
  type: str
before:
  description: The version that is stable now.
  returned: success
  type: dict
after:
  description: The version that would be stable.
  returned: success
  type: dict
good:
  description: Every version known to be good, oldest first.
  returned: success
  type: list
  elements: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import rollback

if __name__ == "__main__":
    main(rollback)
