#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: analysis
short_description: Measure, judge and watch
version_added: 0.1.0
description:
  - Measures metrics while it waits, judges each measurement, and stops early when the verdict is clear.
  - No data is never good data.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.analysis
"""

EXAMPLES = r"""
- name: Watch the canary for two minutes
  progressive.delivery.analysis:
    duration: 2m
    analysis:
      interval: 10s
      provider:
        prometheus:
          url: "http://prometheus:9090"
          selectors:
            stable: 'job="shop",track="stable"'
            canary: 'job="shop",track="canary"'
      metrics:
        - name: error-rate
          builtin: error_rate
          failure_condition: "result > 0.01"
"""

RETURN = r"""
phase:
  description: The verdict, one of successful, running, pending, inconclusive, error and failed.
  returned: success
  type: str
reason:
  description: One sentence.
  returned: success
  type: str
looks:
  description: Every look, or with O(release) their number.
  returned: success
  type: raw
seen:
  description: What became of the step, for the checkpoint.
  returned: with O(release)
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import analysis

if __name__ == "__main__":
    main(analysis)
