#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: import_release
short_description: Make a release file of documents of Argo Rollouts, Flagger or Kayenta
version_added: 0.1.0
description:
  - Reads a Rollout with its AnalysisTemplates, a Canary with its MetricTemplates, or a canary config, and makes a release file of it.
  - Names every field that could not be carried over, and what a person has to do before the file can be used. Asks no cluster.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.import_release
"""

EXAMPLES = r"""
- name: Make a release file of a Rollout
  progressive.delivery.import_release:
    src: [rollout.yaml, analysis-templates.yaml]
    dest: shop.yml
"""

RETURN = r"""
text:
  description: The release file, with what is to be done and what was left out as comments above it.
  returned: success
  type: str
release:
  description: The variables of the release file.
  returned: success
  type: dict
to_do:
  description: What a person has to do before the file can be used, a sentence each.
  returned: success
  type: list
  elements: str
left:
  description: Every field that was not carried over, with C(path) and C(why).
  returned: success
  type: list
  elements: dict
dest:
  description: The file that was written.
  returned: when O(dest) is given
  type: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import import_release

if __name__ == "__main__":
    main(import_release)
