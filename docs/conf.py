# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx makes the documentation site: the guides in this folder, and the reference that antsibull-docs writes. `make docs`."""

from __future__ import annotations

from typing import Any

from pygments.lexers.special import TextLexer

project = "progressive.delivery"
author = "the progressive.delivery authors"
copyright = f"2026, {author}"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "Ship a little at a time, watch, take it back", "page_width": "70rem"}
html_title = project
highlight_language = "yaml+jinja"
nitpicky = False
suppress_warnings = [
    "ref.envvar",  # nothing is fetched, so references to Ansible's own pages cannot be checked
    "ref.ref",  # the same
]


def setup(app: Any) -> None:
    """Pygments knows no HAProxy; the tests know these files by the name of their language."""
    app.add_lexer("haproxy", TextLexer)
