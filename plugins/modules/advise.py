#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: advise
short_description: Name a strategy for a service, with reasons
version_added: 0.1.0
description:
  - Weighs a few answers about a service, and says which strategy fits, why, what it costs, and why the others fit less.
  - Makes a release file to begin with.
  - At a terminal, what is not given is asked.
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.advise
"""

EXAMPLES = r"""
- name: Which strategy
  progressive.delivery.advise:
    downtime: "no"
    risk: high
    name: shop
    dest: shop.yml
"""

RETURN = r"""
strategy:
  description: The strategy.
  returned: success
  type: str
reasons:
  description: What speaks for it, the weightiest first.
  returned: success
  type: list
  elements: str
price:
  description: What it costs.
  returned: success
  type: str
answers:
  description: What was given, asked or left open.
  returned: success
  type: dict
lines:
  description: The advice as text.
  returned: success
  type: list
  elements: str
others:
  description: The other strategies, the best first.
  returned: success
  type: list
  elements: dict
release:
  description: A release file to begin with.
  returned: success
  type: dict
text:
  description: The same as YAML.
  returned: success
  type: str
dest:
  description: Where it was written.
  returned: when dest is given
  type: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import advise

if __name__ == "__main__":
    main(advise)
