#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backtest
short_description: Run the analysis of a release file over the past
version_added: 0.1.0
description:
  - Replays made-up releases over the past that a metrics server has, with the judges, the waits and the clock's pace of a live one.
  - Tells how often a version that was good would have been taken back, and, with regressions put into the candidate's past, which of them would have been
    caught and how soon.
  - Writes nothing but O(report).
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.backtest
"""

EXAMPLES = r"""
- name: Would last week have been quiet, and what would have been seen?
  progressive.delivery.backtest:
    from: "2026-11-16T00:00:00Z"
    to: "2026-11-23T00:00:00Z"
    windows: 50
    steps: [5m, 10m]
    report: backtest.json
  register: tested
"""

RETURN = r"""
false_alarms:
  description: How many of the windows that could be judged ended with the version taken back, the rate, and its 95 percent interval.
  returned: success
  type: dict
outcomes:
  description: How many windows ended how. C(undecided) would have paused, C(no_data) had nothing to judge, C(error) could not be measured.
  returned: success
  type: dict
windows:
  description: How each window ended as it was, after how many seconds, and why.
  returned: success
  type: list
  elements: dict
regressions:
  description: For each metric and regression, in how many windows it was caught, and after how many seconds.
  returned: success
  type: list
  elements: dict
smallest:
  description: For each metric the smallest regression from which on each is caught in the share O(power) of the windows; null where none is.
  returned: success
  type: dict
text:
  description: The same as lines for a terminal.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import backtest

if __name__ == "__main__":
    main(backtest)
