# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GitLab would read is valid by GitLab's own schema of it: the pipelines of the examples, the component, and what the guides show of pipelines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.progressive.delivery.tests.gitlab.pipeline_rig import CHECKOUT, refused

EXAMPLES = sorted((CHECKOUT / "examples" / "gitlab").glob("*/.gitlab-ci.yml"))
PAGES = ("tutorial-gitlab.md", "awx-and-gitlab.md")


def fences() -> Iterator[tuple[str, str]]:
    """(place, text) of each part of a pipeline in the guides."""
    for name in PAGES:
        text = (CHECKOUT / "docs" / name).read_text(encoding="utf-8")
        for match in re.finditer(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if re.search(r"^(include|variables|stages|\S+:\n  (stage|extends|script|resource_group|rules|when)):", match[1], re.MULTILINE):
                yield f"{name.removesuffix('.md')}-{match.start()}.yml", match[1]


def test_pipelines_of_the_examples_are_valid() -> None:
    assert EXAMPLES
    assert refused(*EXAMPLES) == ""


def test_both_documents_of_the_component_are_valid(tmp_path: Path) -> None:
    header, jobs = (CHECKOUT / "templates" / "release.yml").read_text(encoding="utf-8").split("\n---\n")
    (tmp_path / "header.yml").write_text(header, encoding="utf-8")
    (tmp_path / "jobs.yml").write_text(jobs, encoding="utf-8")
    assert refused(tmp_path / "header.yml", tmp_path / "jobs.yml") == ""


def test_what_the_guides_show_is_valid(tmp_path: Path) -> None:
    found = dict(fences())
    assert len(found) >= 5, found
    for name, text in found.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert refused(*(tmp_path / name for name in found)) == ""


def test_a_broken_pipeline_is_not(tmp_path: Path) -> None:
    text = (CHECKOUT / "examples" / "gitlab" / "zero-downtime" / ".gitlab-ci.yml").read_text(encoding="utf-8")
    changes = {"when: manual": "when: by-hand", "needs: [rollout]": "needs: rollout", "  stage: build": "  stages: build"}
    for number, (given, broken) in enumerate(changes.items()):
        assert given in text
        (tmp_path / f"broken{number}.yml").write_text(text.replace(given, broken, 1), encoding="utf-8")
    told = refused(*tmp_path.iterdir())
    assert all(f"broken{number}.yml" in told for number in range(len(changes))), told
