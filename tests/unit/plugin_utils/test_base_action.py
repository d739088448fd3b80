# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action leaves behind when its run is told to end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import read as read_lease
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import release
from ansible_collections.progressive.delivery.plugins.plugin_utils import base_action
from ansible_collections.progressive.delivery.plugins.plugin_utils.base_action import DeliveryAction
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


class Told:
    """A lifeline of a run that is told to end while this very task works, without a wait in which it would notice."""

    cancelled, orphan = True, True  # and whose parent is gone, so that nothing is said

    @contextlib.contextmanager
    def held(self) -> Iterator[Told]:
        yield self


def test_a_run_that_is_told_to_end_while_it_begins_leaves_an_interrupted_release_and_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(tmp_path)
    arguments = {"operation": "begin", "purpose": "rollout", "release": service.plan("rollout", "2")["release"]}
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    monkeypatch.setattr(base_action, "Lifeline", Told)
    monkeypatch.setattr(base_action, "remember", lambda noted, heard=True: None)
    action: Any = object.__new__(DeliveryAction)
    action.verb = release
    action.validate_argument_spec = lambda spec: (None, arguments)
    action.context = lambda task_vars, lifeline: service.context()
    action._task = SimpleNamespace(args=arguments, check_mode=False)
    assert action.run(task_vars={})["outcome"] == ""
    assert service.record.outcome is Outcome.INTERRUPTED and read_lease(service.store).holder == ""
