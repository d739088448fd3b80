# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service without hosts and without Ansible: its verbs over a store, a router and a clock of this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Step
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan, release
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.plugins.module_utils.stores.memory import MemoryStore

GROUPS = {"blue": ["s1", "s2"], "green": ["c1", "c2"]}


class Service:
    """What the playbooks do with the verbs, step by step; ``file`` is the release file."""

    def __init__(self, folder: Path, **file: Any) -> None:
        self.folder, self.clock, self.said = folder, FakeClock(), list[str]()
        self.store, self.world = MemoryStore(), dict[str, Any]()
        (folder / "deploy.yml").touch()
        self.file: dict[str, Any] = {
            "rollout_name": "shop", "rollout_previous_version": "1", "rollout_router": {"memory": {}}, "rollout_canary": {"bake": "0s"},
            "rollout_workload": {"pool": {"stable": "blue", "canary": "green", "deploy": {"tasks": str(folder / "deploy.yml")}}},
            "rollout_report": {"directory": str(folder / "reports")}, **file}

    def context(self, **more: Any) -> Context:
        return Context(self.clock, self.said.append, who="ann", stores=lambda options, name: self.store,
                       routers=lambda options, tracks: MemoryRouter(tracks, self.world), **more)

    @property
    def record(self) -> Record:
        found = stored_record(self.store)
        assert found is not None
        return found

    def plan(self, purpose: str, version: str = "", **file: Any) -> dict[str, Any]:
        asked = purpose if purpose in ("abort", "rollback") else "rollout"
        planned = purpose if purpose in ("rollout", "rollback") else "resume"
        variables = {**self.file, **file, **({"rollout_version": version} if version else {})}
        return plan.run({"variables": variables, "groups": GROUPS, "purpose": planned, "asked": asked, "probe": True, "show": False}, self.context())

    def begin(self, purpose: str, version: str = "", check_mode: bool = False, **file: Any) -> dict[str, Any]:
        spec = self.plan(purpose, version, **file)["release"]
        return release.run({"operation": "begin", "purpose": purpose, "release": spec}, self.context(check_mode=check_mode))

    @property
    def next(self) -> Optional[Step]:
        """The step that the record says is next; None when the run has ended."""
        record = self.record
        return record.steps[record.position] if record.outcome is None else None

    def step(self, begun: Mapping[str, Any], seen: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Carry out the next step: it is done, except that ``seen`` says otherwise, by the step's name."""
        assert self.next is not None
        report = {"step": self.record.position, "back": self.record.back, "result": "done", **(seen or {}).get(self.next.name, {})}
        release.run({"operation": "checkpoint", "release": begun["release"], "seen": report, "deployed": None}, self.context())

    def run(self, purpose: str, version: str = "", *, seen: Mapping[str, Mapping[str, Any]] | None = None, **file: Any) -> dict[str, Any]:
        """Begin and walk to the end, as :meth:`step` does."""
        begun = self.begin(purpose, version, **file)
        if not begun.get("session", True):
            return begun
        while self.next is not None:
            self.step(begun, seen)
        return {**begun, **release.run({"operation": "finish", "release": begun["release"], "verified": True}, self.context())}
