# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to tell about a release: one event, in words and in fields, before anybody's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..report.journal import clean

EVENTS: Mapping[str, tuple[str, str, str]] = {
    "started": ("info", "started", "a release began"),
    "resumed": ("info", "goes on", "a release that had stopped was taken up again"),
    "step_completed": ("info", "step done", "a step of the plan is done"),
    "gate_waiting": ("warning", "waits for a decision", "a gate, or a pause without end, waits for somebody"),
    "paused": ("warning", "paused", "it stopped for another reason, such as metrics that cannot tell"),
    "going_back": ("error", "is going back", "something was wrong, so that stable gets its traffic back"),
    "promoted": ("info", "promoted", "the new version serves every request"),
    "kept": ("info", "stable kept", "an A/B test ended with the stable variant"),
    "rolled_back": ("error", "rolled back", "stable carries everything again"),
    "aborted": ("warning", "aborted", "somebody had it taken back"),
    "superseded": ("warning", "superseded", "a newer version takes its place"),
    "interrupted": ("warning", "interrupted", "the run was told to end; the weights stay"),
    "held": ("error", "held", "nothing can be moved either way"),
    "partial": ("error", "partial", "it ended, and cannot be verified"),
    "failed": ("error", "failed", "it ended without a way back"),
}
"""By event: severity, headline, and what it means."""

UNASKED = ("resumed", "step_completed")
"""Events that are told only to whoever asks for them."""
SEVERITIES = ("info", "warning", "error")
LONGEST = 1000
"""Characters of one sentence. Receivers cut longer messages, or refuse them."""


@dataclass(frozen=True)
class Notice:
    """One event of one release. ``at``: UTC ISO; ``weight``: percent that the new version takes, where that is known; ``next``: what to type."""

    event: str
    name: str
    version: str
    at: str
    previous: str = ""
    strategy: str = ""
    release: str = ""
    reason: str = ""
    weight: str = ""
    who: str = ""
    step: str = ""
    next: tuple[str, ...] = ()
    message: str = ""

    @property
    def severity(self) -> str:
        return EVENTS[self.event][0]

    @property
    def title(self) -> str:
        """``shop 2.4.1 rolled back``; a message of the user's takes its place."""
        return shortened(self.message or f"{self.name} {self.version} {EVENTS[self.event][1]}", 250)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is known, as pairs for a table."""
        known = (("Step", self.step), ("New version takes", self.weight and f"{self.weight} %"), ("Before", self.previous), ("Strategy", self.strategy),
                 ("Started by", self.who))
        return tuple((label, shortened(text, 250)) for label, text in known if text)

    @property
    def sentence(self) -> str:
        return shortened(self.reason, LONGEST)

    @property
    def commands(self) -> tuple[str, ...]:
        return tuple(shortened(line, LONGEST) for line in self.next)

    @property
    def text(self) -> str:
        """Everything as plain text."""
        lines = [self.title, *([self.sentence] if self.sentence else []), *(f"{label}: {text}" for label, text in self.facts), *self.commands]
        return "\n".join(lines)


def wants(notice: Notice, events: tuple[str, ...], severity: str) -> bool:
    """Whether a target that asked for these events (none: the usual ones) of this severity or worse is told."""
    asked = notice.event in events if events else notice.event not in UNASKED
    return asked and SEVERITIES.index(notice.severity) >= SEVERITIES.index(severity)


def shortened(text: str, longest: int) -> str:
    """One line that no control character and no length can spoil."""
    text = " ".join(clean(text).split())
    return text if len(text) <= longest else text[: longest - 1] + "\u2026"
