#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: watch
short_description: Watch the version that is stable now
version_added: 0.1.0
description:
  - Watches the health and the metrics of what is stable, for as long as C(rollout_watch.duration) says, and tells whether to go back.
  - Changes nothing and holds no lease. The playbook C(progressive.delivery.watch) goes back when this says so.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.watch
"""

EXAMPLES = r"""
- name: Read the release
  progressive.delivery.plan:
    purpose: status
    asked: watch
    probe: false
  register: planned

- name: Watch
  progressive.delivery.watch:
    release: "{{ planned.release }}"
  register: watched
"""

RETURN = r"""
back:
  description: Whether the version is not well, so that a rollback is due.
  returned: success
  type: bool
reason:
  description: Why, in one sentence.
  returned: success
  type: str
outcome:
  description: How it ended where nothing is taken back. C(unchanged) is well, C(held) is that nobody can tell, C(busy) that a release is under way,
    C(failed) that it is not well and only looked at.
  returned: when nothing is taken back
  type: str
code:
  description: The number of that outcome.
  returned: when nothing is taken back
  type: int
phase:
  description: The verdict of the whole watch.
  returned: when it watched
  type: str
looks:
  description: Every look, with value, baseline and reason.
  returned: when it watched
  type: list
  elements: dict
watched:
  description: The release that was watched and its outcome, so that no other one is taken back in its place.
  returned: success
  type: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import watch

if __name__ == "__main__":
    main(watch)
