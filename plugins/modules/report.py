#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write the report of a release
version_added: 0.1.0
description:
  - Writes what happened as one HTML file with charts, as JSON, as JUnit XML and as Markdown, from the journal of the release.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.report
"""

EXAMPLES = r"""
- name: Report
  progressive.delivery.report:
    journal: reports/shop-1f2e3d4c5b6a.jsonl
    formats: [html, junit]
"""

RETURN = r"""
files:
  description: The files by format.
  returned: success
  type: dict
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import report

if __name__ == "__main__":
    main(report)
