# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a release ended or stands, and what first went wrong: from the journal alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from . import journal as j
from . import wording


@dataclass(frozen=True)
class Fault:
    """What first went wrong, when, and at which step."""

    at: float
    reason: str
    step: Optional[int] = None
    metric: str = ""


def as_asked(journal: j.Journal) -> bool:
    """Whether a rollback that somebody asked for got where it should. One that failed went back itself, to what it should have left."""
    return bool(journal.outcome and journal.outcome.outcome == "rolled_back" and journal.begin.release.purpose == "rollback" and not _failed(journal))


def going_back(journal: j.Journal) -> bool:
    """Whether the way back is being walked: its steps are counted on from the plan's."""
    plan = journal.begin.steps
    return bool(plan) and journal.outcome is None and any(step.step is not None and step.step >= len(plan) for step in journal.all(j.Step))


def standing(journal: j.Journal) -> tuple[str, str]:
    """How it ended, or that it goes on or back, in words, and the tone of that."""
    if as_asked(journal):
        return "rolled back, as asked", wording.GOOD
    if going_back(journal):
        return "going back", wording.WARN
    return wording.outcome_words(journal.outcome.outcome if journal.outcome else "")


def _failed(journal: j.Journal) -> Fault | None:
    """The first failed verdict or step."""
    for item in journal.current:
        known = item.known
        if isinstance(known, j.Decided) and known.phase == "failed":
            return Fault(known.at, known.reason, known.step, known.metric)
        if isinstance(known, j.Step) and known.status == "failed":
            return Fault(known.at, known.reason, known.step)
    return None


def fault(journal: j.Journal) -> Fault | None:
    """What failed first. An errored or inconclusive verdict is it when nothing failed and the release did not go on."""
    failed = _failed(journal)
    if failed is not None:
        return failed
    if standing(journal)[1] == wording.BAD:
        for verdict in reversed(journal.all(j.Decided)):
            if verdict.phase in ("error", "inconclusive"):
                return Fault(verdict.at, verdict.reason, verdict.step, verdict.metric)
    return None
