#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Wait for a decision of a person or a system
version_added: 0.1.0
description:
  - Opens the gate of the current step and sees whether, how and by whom it was decided.
  - Waits in this process only where a person sits at a terminal, or when told to; else the release ends as paused.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.gate
"""

EXAMPLES = r"""
- name: See whether the gate is decided
  progressive.delivery.gate:
    release: "{{ _rollout_release }}"
    wait: exit
"""

RETURN = r"""
decision:
  description: What was decided, promote or abort; empty while the gate is open.
  returned: success
  type: str
who:
  description: Who decided.
  returned: when it is decided
  type: str
channel:
  description: How the decision came.
  returned: when it is decided
  type: str
seen:
  description: What became of the step, for the checkpoint.
  returned: success
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import gate

if __name__ == "__main__":
    main(gate)
