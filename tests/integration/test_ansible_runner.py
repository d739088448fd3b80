# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases started as AWX starts them: ansible-runner, answers of a survey as extra variables, and what set_stats hands to the workflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import SPEC
from ansible_collections.progressive.delivery.tests.matrix.rig import Site

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "awx"
SURVEY = json.loads((EXAMPLES / "survey.json").read_text(encoding="utf-8"))["spec"]


class Controller:
    """A project with the one-line playbooks, the release file as variables of its inventory, and ansible-runner."""

    def __init__(self, folder: Path, **release: Any) -> None:
        self.site = Site(folder / "site", release=release)
        self.site.release["rollout_workload"]["pool"]["deploy"] = {"tasks": str(folder / "site" / "deploy.yml")}
        self.data = folder / "data"
        project, inventory = self.data / "project", self.data / "inventory"
        project.mkdir(parents=True)
        for playbook in EXAMPLES.glob("*.yml"):
            shutil.copy(playbook, project)
        shutil.copytree(folder / "site", inventory, ignore=lambda _folder, names: [name for name in names if name != "inventory.yml"])
        (inventory / "group_vars").mkdir()
        variables = {name: value for name, value in self.site.release.items() if name != "rollout_version"}
        (inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(variables))
        self.launched = 0

    def launch(self, template: str, **answers: Any) -> tuple[int, dict[str, Any], str]:
        """(status, what set_stats left, the output). Texts, such as answers of a survey, are unsafe, as AWX writes them: they are not templated."""
        self.launched += 1
        asked = {question["variable"]: question.get("default", "") for question in SURVEY if question["required"] or question.get("default")}
        told = {**asked, **answers} if template == "rollout" else answers
        (self.data / "env").mkdir(exist_ok=True)
        lines = [f"{name}: {'!unsafe ' if isinstance(value, str) else ''}{json.dumps(value)}\n" for name, value in told.items()]
        (self.data / "env" / "extravars").write_text("".join(lines) or "{}\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_COLLECTIONS_PATH"}
        beside = Path(sys.executable).parent
        done = subprocess.run(
            [str(beside / "ansible-runner"), "run", str(self.data), "--playbook", f"{template}.yml", "--ident", str(self.launched)],
            env={**kept, "PATH": os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)]), "ANSIBLE_HOME": str(self.data / "ansible"),
                 "HOME": str(self.data), "LC_ALL": "C.UTF-8", "AWX_ISOLATED_DATA_DIR": str(self.data)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200, check=False)  # fmt: skip
        stats: dict[str, Any] = {}
        for event in (self.data / "artifacts" / str(self.launched) / "job_events").glob("*.json"):
            told_event = json.loads(event.read_text(encoding="utf-8"))
            if told_event["event"] == "playbook_on_stats":
                stats = dict(told_event["event_data"].get("artifact_data") or {})
        assert "Traceback (most recent call last)" not in done.stdout, done.stdout
        return done.returncode, stats, done.stdout


def test_a_survey_ships_a_version_and_the_workflow_reads_how_it_ended(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    status, stats, said = controller.launch("rollout", rollout_version="2")
    assert (status, stats) == (0, {"rollout_outcome": "promoted", "rollout_code": 0}), said
    assert controller.site.weights == {"stable": 0, "canary": 100} and set(controller.site.versions.values()) == {"1", "2"}
    assert controller.launch("rollout", rollout_version="2")[1]["rollout_outcome"] == "unchanged"
    assert controller.launch("status")[0] == 0


@pytest.mark.parametrize(("template", "outcome", "weight"), [("promote", "promoted", 100), ("abort", "aborted", 0)])
def test_a_gate_ends_the_job_and_an_approval_goes_on(tmp_path: Path, template: str, outcome: str, weight: int) -> None:
    """A workflow gives every later job the answers of its survey, and the stats of the jobs before it."""
    controller = Controller(tmp_path, rollout_steps=[{"set_weight": 20}, {"gate": {"name": "half"}}, {"set_weight": 100}])
    status, stats, said = controller.launch("rollout", rollout_version="2")
    assert (status, stats) == (0, {"rollout_outcome": "paused", "rollout_code": 12}), said
    assert controller.site.weights == {"stable": 80, "canary": 20}
    status, stats, said = controller.launch(template, rollout_version="2", rollout_strategy="canary", **stats)
    assert (status, stats["rollout_outcome"]) == (0, outcome), said
    assert controller.site.weights["canary"] == weight


def test_an_answer_with_braces_runs_nothing(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    status, _stats, said = controller.launch("rollout", rollout_version="{{ lookup('pipe', 'touch " + str(tmp_path / "ran") + "') }}")
    assert status != 0 or controller.site.record, said
    assert not (tmp_path / "ran").exists()


def test_the_survey_asks_for_variables_that_there_are() -> None:
    assert {question["variable"] for question in SURVEY} <= set(SPEC)
    choices = next(question["choices"] for question in SURVEY if question["variable"] == "rollout_strategy")
    assert set(choices) <= set(SPEC["rollout_strategy"].choices)
    assert all({"question_name", "variable", "type", "required"} <= set(question) for question in SURVEY)
