# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate decided by a manual job of a GitLab pipeline: whoever plays it promotes, whoever cancels it aborts. By the API of jobs of a pipeline."""

from __future__ import annotations

import os
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Optional

from ..core.errors import ConfigError, Unavailable
from ..core.gate import ABORT, PROMOTE, Decision, Gate, named
from ..core.moment import moment
from ..core.options import Option, Options
from ..core.units import from_iso, iso, shown
from .gate_reply import asked, mapping
from .web import CONNECTION, connection, parse

OPTIONS: Options = {
    "job": Option("str", "Name of the manual job.", required=True),
    "url": Option("str", "Where GitLab is. Default is E(CI_SERVER_URL)."),
    "project": Option("str", "The project's id or path. Default is E(CI_PROJECT_ID)."),
    "pipeline": Option("str", "The pipeline's id. Default is E(CI_PIPELINE_ID)."),
    **{name: option for name, option in CONNECTION.items() if name not in ("username", "password", "oauth2")},
}
DEFAULTS = {"url": "CI_SERVER_URL", "project": "CI_PROJECT_ID", "pipeline": "CI_PIPELINE_ID"}
WAITING = ("created", "manual", "pending", "preparing", "running", "scheduled", "waiting_for_callback", "waiting_for_resource")
DECIDED = {"success": PROMOTE, "failed": ABORT, "canceled": ABORT, "canceling": ABORT, "skipped": ABORT}
PAGE, PAGES = 100, 20


class GitlabGate:
    """Implements the port ``GateSource``. Only a job that ended after the gate opened decides. ``clock``: seconds since the epoch."""

    every: ClassVar[float] = 5.0

    def __init__(self, url: str, project: str, pipeline: str, job: str, access: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self._where = parse(url, access["allow"], access["within"]).origin
        self._jobs = f"{url.rstrip('/')}/api/v4/projects/{urllib.parse.quote(project, safe='')}/pipelines/{urllib.parse.quote(pipeline, safe='')}/jobs"
        self._job = job
        self._access = dict(access)
        self._clock = clock
        self.hint = f"play the job {job} of pipeline {pipeline} at {self._where}, or cancel it"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> GitlabGate:
        """``options``: validated ones, and ``within``, the release's own limit of hosts. Raises ConfigError. Nothing is asked yet."""
        told = {name: str(options.get(name) or os.environ.get(variable, "")) for name, variable in DEFAULTS.items()}
        for name, value in told.items():
            if not value:
                raise ConfigError(f"no {name} is given, and {DEFAULTS[name]} is not set", where=f"gitlab_job.{name}", do="Give it, or run this in a pipeline.")
        return cls(told["url"], told["project"], told["pipeline"], options["job"], connection(options))

    def poll(self, gate: Gate) -> Optional[Decision]:
        """What became of the job; None while nobody played it, and while it runs. Raises Unavailable, ConfigError (no such job)."""
        job = self._find()
        status = job.get("status")
        if status in WAITING:
            return None
        if status not in DECIDED:
            raise Unavailable(f"the job {self._job} is {shown(status)[:40]}, which is neither waiting nor decided", where=self._where)
        ended = moment(job.get("finished_at"), self._where) if job.get("finished_at") else None
        if ended is None and DECIDED[status] == PROMOTE:
            raise Unavailable(f"the job {self._job} does not say when it ended", where=self._where)
        if ended is not None and ended < from_iso(gate.opened):
            return None  # it decided something else: this gate opened later
        user = job.get("user")
        who = named(user.get("username") or "") if isinstance(user, dict) and isinstance(user.get("username"), str) else ""
        return Decision(DECIDED[status], who or ("" if gate.require_other else self._where), iso(self._clock()), "gitlab", gate.digest)

    def _find(self) -> Mapping[str, Any]:
        """The newest job of that name."""
        found: list[Mapping[str, Any]] = []
        for page in range(1, PAGES + 1):
            jobs = asked(f"{self._jobs}?per_page={PAGE}&page={page}", self._where, self._access)
            if not isinstance(jobs, list):
                raise Unavailable("the answer is no list of jobs", where=self._where)
            found += [mapping(job, self._where) for job in jobs if mapping(job, self._where).get("name") == self._job]
            if len(jobs) < PAGE:
                break
        if not found:
            raise ConfigError(f"the pipeline has no job {self._job}", where="gitlab_job.job", do="It is a job with when: manual in the same pipeline.")
        return max(found, key=lambda job: job["id"] if isinstance(job.get("id"), int) else -1)
