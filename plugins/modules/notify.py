#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Tell people and systems what a release does
version_added: 0.1.0
description:
  - Tells Slack, Microsoft Teams, Mattermost, Discord, PagerDuty, a webhook of yours or a mailbox, all at once and for ten seconds at most.
  - A release does this by itself for the receivers of C(rollout_notify). This module is for what is told by hand.
  - A receiver that is down, slow or refuses fails nothing; the result says so.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.notify
"""

EXAMPLES = r"""
- name: Say that the rollback was verified
  progressive.delivery.notify:
    name: shop
    version: "2.4.0"
    event: rolled_back
    headline: shop is back at 2.4.0 and answers
    targets:
      - slack: {url_env: SLACK_WEBHOOK}
      - webhook: {url: https://hooks.example.com/releases, secret_env: HOOK_SECRET}
"""

RETURN = r"""
deliveries:
  description: One for each receiver that wanted to know.
  returned: success
  type: list
  elements: dict
  contains:
    where:
      description: Kind and host of the receiver, without path or secrets.
      type: str
    delivered:
      description: Whether it took the message.
      type: bool
    reason:
      description: Why not.
      type: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import notify

if __name__ == "__main__":
    main(notify)
