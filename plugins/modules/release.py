#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Begin, checkpoint, finish and look at a release
version_added: 0.1.0
description:
  - Keeps the record of a release with a lease and a fence, and decides in one place what comes next.
  - Used by the playbooks and the role rollout; O(operation=status) is useful by itself.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.release
"""

EXAMPLES = r"""
- name: Read the release file
  progressive.delivery.plan:
    purpose: status
  register: planned

- name: How far is it
  progressive.delivery.release:
    operation: status
    release: "{{ planned.release }}"
"""

RETURN = r"""
outcome:
  description: How the run ended; empty while it goes on.
  returned: success
  type: str
code:
  description: The outcome as a number.
  returned: success
  type: int
reason:
  description: One sentence.
  returned: success
  type: str
before:
  description: Position and outcome before.
  returned: with O(operation=checkpoint)
  type: dict
after:
  description: Position and outcome after.
  returned: with O(operation=checkpoint)
  type: dict
steps:
  description: The steps to do now, up to the next deploy.
  returned: success
  type: list
  elements: dict
batch:
  description: The next deploy, with its hosts and version.
  returned: success
  type: dict
release:
  description: The release with its session; what later tasks take as O(release).
  returned: success
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import release

if __name__ == "__main__":
    main(release)
