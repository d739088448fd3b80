# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook import through real ansible-playbook runs: a release file is written once, and what has no place in it is named."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.progressive.delivery.tests.matrix.rig import Site

ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop, namespace: web}
spec:
  replicas: 4
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  strategy:
    canary:
      stableService: shop
      shinyNewField: 7
      analysis: {templates: [{templateName: errors}], args: [{name: service, value: shop}]}
      steps: [{setWeight: 20}, {pause: {duration: 5m}}, {setWeight: 60}, {pause: {}}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: service}]
  metrics:
    - name: errors
      interval: 1m
      failureLimit: 2
      successCondition: result[0] < 0.01
      provider: {prometheus: {address: "http://prometheus:9090", query: 'errors{service="{{args.service}}"}'}}
"""


def test_a_release_file_is_written_once_and_says_what_is_left_out(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "argo.yaml").write_text(ROLLOUT)
    given = ("-e", "import_from=argo.yaml", "-e", "import_to=imported.yml")
    made = site.run("import", "2", *given)
    assert made.status == 0 and made.changed == 1, made.text
    assert "spec.strategy.canary.shinyNewField" in made.text, "what this version has never heard of is named"
    text = (tmp_path / "imported.yml").read_text()
    release = yaml.safe_load(text)
    assert "# left out: " in text and "shinyNewField" in text.partition("---")[0]
    assert [step.get("set_weight") for step in release["rollout_steps"] if "set_weight" in step] == [20, 60]
    [metric] = release["rollout_analysis"]["metrics"]
    assert metric["query"] == 'errors{service="shop"}' and metric["failure_limit"] == 2 and metric["success_condition"] == "result[0] < 0.01"

    again = site.run("import", "2", *given)
    assert (again.status, again.changed) == (0, 0), again.text
    (tmp_path / "imported.yml").write_text("mine: true\n")
    refused = site.run("import", "2", *given)
    assert refused.status == 2 and "there is a file already, and it holds something else" in refused.text
    assert (tmp_path / "imported.yml").read_text() == "mine: true\n"
    assert site.run("import", "2", *given, "-e", "import_force=true").changed == 1

    nowhere = site.run("import", "2")
    assert nowhere.status == 2 and "-e import_from=rollout.yaml" in nowhere.text
    printed = site.run("import", "2", "-e", "import_from=argo.yaml")
    assert printed.status == 0 and "rollout_steps:" in printed.text and printed.changed == 0
