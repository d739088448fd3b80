# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate decided by an approval node of an AWX workflow: approved promotes, denied and timed out abort."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Optional

from ..core.errors import Unavailable
from ..core.gate import ABORT, PROMOTE, Decision, Gate, named
from ..core.options import Option, Options
from ..core.units import iso, shown
from .gate_reply import asked, mapping
from .web import CONNECTION, connection, parse

OPTIONS: Options = {
    "url": Option("str", "Where AWX is, such as https://awx.example.com.", required=True),
    "name": Option("str", "Name of the approval node.", required=True),
    "workflow_job": Option("str", "Id of the workflow job: C({{ awx_workflow_job_id }}) in a job that AWX runs for a workflow.", required=True),
    **CONNECTION,
}
WAITING = ("new", "pending", "running", "waiting")
DECIDED = {"successful": PROMOTE, "failed": ABORT, "canceled": ABORT, "error": ABORT}
PAGES = 20


class AwxGate:
    """Implements the port ``GateSource``. ``clock``: seconds since the epoch."""

    every: ClassVar[float] = 5.0

    def __init__(self, url: str, name: str, workflow_job: str, access: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self._where = parse(url, access["allow"], access["within"]).origin
        self._api = f"{url.rstrip('/')}/api/v2"
        self._nodes = f"/workflow_jobs/{urllib.parse.quote(workflow_job, safe='')}/workflow_nodes/?page_size=200"
        self._name = name
        self._access = dict(access)
        self._clock = clock
        self.hint = f"approve or deny {name} of workflow job {workflow_job} at {self._where}"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> AwxGate:
        """``options``: validated ones, and ``within``, the release's own limit of hosts. Raises ConfigError. Nothing is asked yet."""
        return cls(options["url"], options["name"], str(options["workflow_job"]), connection(options))

    def poll(self, gate: Gate) -> Optional[Decision]:
        """What became of the approval; None until somebody decided, and until the workflow has come to it. Raises Unavailable."""
        number = self._approval()
        if number is None:
            return None
        approval = mapping(asked(f"{self._api}/workflow_approvals/{number}/", self._where, self._access), self._where)
        status = approval.get("status")
        if status in WAITING:
            return None
        if status not in DECIDED:
            raise Unavailable(f"the approval {self._name} is {shown(status)[:40]}, which is neither waiting nor decided", where=self._where)
        by = mapping(approval.get("summary_fields") or {}, self._where).get("approved_or_denied_by")
        who = named(by.get("username") or "") if isinstance(by, dict) and isinstance(by.get("username"), str) else ""
        return Decision(DECIDED[status], who or ("" if gate.require_other else self._where), iso(self._clock()), "awx", gate.digest)

    def _approval(self) -> Optional[int]:
        """The id of the approval, once the workflow has come to its node."""
        path: Any = self._nodes
        for _page in range(PAGES):
            nodes = mapping(asked(f"{self._api}{path}", self._where, self._access), self._where)
            if not isinstance(nodes.get("results"), list):
                raise Unavailable("the answer is no list of a workflow's nodes", where=self._where)
            for node in nodes["results"]:
                job = mapping(mapping(node, self._where).get("summary_fields") or {}, self._where).get("job")
                if isinstance(job, dict) and job.get("type") == "workflow_approval" and job.get("name") == self._name:
                    if not isinstance(job.get("id"), int):
                        raise Unavailable("an approval has no id", where=self._where)
                    return int(job["id"])
            path = nodes.get("next")
            if not path:
                return None
            if not isinstance(path, str) or not path.startswith("/api/v2/"):
                raise Unavailable("the next page is somewhere else", where=self._where)
            path = path[len("/api/v2") :]
        raise Unavailable("the workflow has too many nodes", where=self._where)
