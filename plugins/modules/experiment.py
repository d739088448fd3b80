#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: experiment
short_description: Look at an A/B test
version_added: 0.1.0
description:
  - Says of two variants whether the new one converts more or fewer of its visitors, or whether that cannot be told yet.
  - It may be asked as often as one likes. Give each look the RV(state) that the one before returned, and the chance of a wrong verdict stays O(alpha)
    over all of them.
  - It changes nothing, so check mode looks as well.
  - With O(release) it is the A/B test of that release, as the role P(progressive.delivery.ab_test#role) runs it.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.experiment
"""

EXAMPLES = r"""
- name: One look at what somebody else has counted
  progressive.delivery.experiment:
    stable: {conversions: 1012, visitors: 10120}
    candidate: {conversions: 1204, visitors: 10044}
    mde: 0.01
  register: first

- name: Another one, a day later
  progressive.delivery.experiment:
    stable: {conversions: 2055, visitors: 20311}
    candidate: {conversions: 2371, visitors: 20198}
    mde: 0.01
    state: "{{ first.state }}"
  register: second
  failed_when: second.verdict == 'lose'

- name: The last 24 hours, as Prometheus has counted them
  progressive.delivery.experiment:
    window: 24h
    conversion:
      provider:
        prometheus: {url: "http://prometheus:9090"}
      query: 'sum(increase(conversion_events_total{track="${track}"}[${window}]))'
      total_query: 'sum(increase(page_views_total{track="${track}"}[${window}]))'
"""

RETURN = r"""
verdict:
  description:
    - V(win) or V(lose), of the new variant; V(no_difference), when none of O(mde) or more is left to find or the time is over; V(continue).
    - V(mismatch), when visitors were not split as O(share) says, and V(undecided), when the time is over and too little was seen, say nothing of the variants.
  returned: success
  type: str
reason:
  description: One sentence with both shares, the difference and its interval.
  returned: success
  type: str
difference:
  description: The new variant's share less that of stable.
  returned: without O(release), when both have visitors
  type: float
low:
  description: Lower bound of the difference, at confidence 1 - O(alpha) for all looks together.
  returned: without O(release), when both have visitors
  type: float
high:
  description: Upper bound of the difference.
  returned: without O(release), when both have visitors
  type: float
p:
  description: The two-sided p-value of no difference, valid at any number of looks.
  returned: without O(release)
  type: float
p_split:
  description: The chi-square p-value of the split of visitors.
  returned: without O(release), when both have visitors
  type: float
needed:
  description: Visitors of both variants, in all, that finding a difference of O(mde) takes at most.
  returned: without O(release), when both have visitors
  type: int
state:
  description: What the next look wants as O(state).
  returned: without O(release)
  type: dict
seen:
  description: What became of the step, for the checkpoint.
  returned: with O(release)
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import experiment

if __name__ == "__main__":
    main(experiment)
