# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told to type, and which outcomes are what the playbook's name says."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.entry.following import as_asked, commands, next_lines

SPEC: dict[str, Any] = {"arguments": ["-i", "my hosts.yml", "-e", "@shop.resume.yml"], "left_out": ["rollout_version", "region"]}


def at(back: bool = False, stuck: bool = False, promoted: bool = False, testing: bool = False) -> Any:
    """As much of a record as the words need."""
    return SimpleNamespace(back=back, stuck=stuck, promoted=promoted, testing=testing)


def test_commands_bring_the_arguments_quoted_for_a_shell() -> None:
    typed = commands(SPEC)
    assert typed["resume_command"] == "ansible-playbook progressive.delivery.resume -i 'my hosts.yml' -e @shop.resume.yml"
    assert shlex.split(typed["abort_command"]) == ["ansible-playbook", "progressive.delivery.abort", *SPEC["arguments"]]


@pytest.mark.parametrize("outcome, more, playbooks", [
    (Outcome.PAUSED, {}, ["promote", "abort"]), (Outcome.PAUSED, {"testing": True}, ["resume", "promote", "abort"]),
    (Outcome.HELD, {}, ["resume", "abort"]), (Outcome.INTERRUPTED, {}, ["resume", "abort"]),
    (Outcome.INTERRUPTED, {"back": True}, ["resume"]), (Outcome.INTERRUPTED, {"promoted": True}, ["resume"]), (Outcome.SUPERSEDED, {}, ["rollout"]),
    (Outcome.ABORTED, {}, ["status"]), (Outcome.PARTIAL, {}, ["status"]), (Outcome.PARTIAL, {"back": True, "stuck": True}, ["abort"]),
    (Outcome.PROMOTED, {}, []),
])
def test_each_outcome_has_its_playbooks(outcome: Outcome, more: dict[str, bool], playbooks: list[str]) -> None:
    lines = [line for line in next_lines(outcome, at(**more), SPEC) if "ansible-playbook" in line]
    assert [line.split("progressive.delivery.")[1].split()[0] for line in lines] == playbooks
    assert all(line.endswith(" -i 'my hosts.yml' -e @shop.resume.yml") for line in lines)


def test_what_was_given_as_a_value_is_named_where_it_is_needed() -> None:
    assert next_lines(Outcome.PAUSED, at(), SPEC)[-1] == "with the -e values of this run: region", "the record knows the version"
    assert next_lines(Outcome.SUPERSEDED, at(), SPEC)[-1] == "with the -e values of this run: rollout_version, region", "the newer version it does not"
    assert next_lines(Outcome.PROMOTED, at(), SPEC) == []
    assert len(next_lines(Outcome.PAUSED, at(), {**SPEC, "left_out": ["rollout_version"]})) == 2


@pytest.mark.parametrize("asked, good", [
    ("rollout", {Outcome.PROMOTED, Outcome.UNCHANGED, Outcome.PAUSED, Outcome.KEPT}), ("abort", {Outcome.ABORTED, Outcome.UNCHANGED}),
    ("rollback", {Outcome.ROLLED_BACK, Outcome.UNCHANGED}),
])
def test_a_playbook_succeeds_with_what_its_name_says(asked: str, good: set[Outcome]) -> None:
    assert {outcome for outcome in Outcome if as_asked(outcome, {"asked": asked})} == good
    assert {outcome for outcome in Outcome if as_asked(outcome, {"asked": asked, "paused_fails": True})} == good - {Outcome.PAUSED}
