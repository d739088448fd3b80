# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes examples/rbac from the table of rights. A unit test holds the files against it.

    rbac.py      write them
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import CORE, EXTRA, ROWS, Row, rules

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "rbac"
LICENCE = "# SPDX-FileCopyrightText: 2026, the progressive.delivery authors\n# SPDX-License-Identifier: GPL-3.0-or-later\n"
READING = frozenset({"get", "list", "watch"})


def writing(row: Row) -> int:
    """How many of its rights change something."""
    return sum(verb not in READING for _resource, verb in row.rights)


def manifest(name: str, row: Row) -> str:
    """The Role as YAML."""
    listed = "".join(_rule(rule) for rule in rules(row.rights, row.names))
    head = f"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: progressive-delivery-{name}\nrules:\n"
    return f"{LICENCE}---\n# {row.about} Made of plugins/module_utils/core/kube_rights.py by `make rbac`.\n{head}{listed}"


def _rule(rule: Mapping[str, list[str]]) -> str:
    fields = [f"{key}: [{', '.join(json.dumps(value) if value in ('', '*') else value for value in values)}]" for key, values in rule.items()]
    return f"  - {fields[0]}\n" + "".join(f"    {field}\n" for field in fields[1:])


def table(rows: Mapping[str, Row]) -> str:
    """As Markdown: what each is for and how much it allows."""
    lines = ["| Role | for | rights | of them writing |", "|---|---|---:|---:|"]
    lines += [f"| [{name}]({name}.yaml) | {row.about} | {len(row.rights)} | {writing(row)} |" for name, row in rows.items()]
    return "\n".join(lines)


def readme() -> str:
    return f"""# Roles for releases on Kubernetes

A release needs a Role in the namespace of its service, and nothing else: no ClusterRole, no controller, no secrets. A right is one verb on one resource.

One for the strategy:

{table(CORE)}

And what is used besides, each by itself:

{table(EXTRA)}

    kubectl -n shop apply -f blue-green.yaml -f drain.yaml
    kubectl -n shop create rolebinding deployer --role progressive-delivery-blue-green --serviceaccount ci:deployer
    kubectl -n shop create rolebinding deployer-drain --role progressive-delivery-drain --serviceaccount ci:deployer

`progressive.delivery.plan` names every right that lacks, and the file here that brings it. What only a report or a check would use is done without: the
plan says what is lost.

`approver` is for people who decide gates (`gate: {{config_map: {{name: decisions, key: half}}}}`) and may do nothing else: with it neither `promote`
nor `abort` of this collection runs.

These files are made of one table, `plugins/module_utils/core/kube_rights.py`, which `plan` asks by: `make rbac` writes them.
"""


def files() -> dict[str, str]:
    """What examples/rbac holds, by file name."""
    return {"README.md": readme(), **{f"{name}.yaml": manifest(name, row) for name, row in ROWS.items()}}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in files().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
