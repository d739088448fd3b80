# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine over measurements, walked exhaustively."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.assess import Tally, assess, close, reopen, worst
from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode, encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Verdict

LETTERS = {"s": Phase.SUCCESSFUL, "f": Phase.FAILED, "i": Phase.INCONCLUSIVE, "e": Phase.ERROR, "p": Phase.PENDING, "r": Phase.RUNNING}
NAMES = {phase: letter for letter, phase in LETTERS.items()}


def metric(**fields: Any) -> Metric:
    return Metric("m", query="q", success_condition="result < 1", **{"interval": 1.0, **fields})


def walk(one: Metric, letters: str) -> Tally:
    tally = Tally()
    for letter in letters:
        tally = assess(one, tally, Verdict(LETTERS[letter], letter))
    return tally


@pytest.mark.parametrize(
    ("fields", "letters", "phase"),
    [
        ({}, "", "p"),
        ({}, "p", "p"),
        ({}, "e", "p"),
        ({}, "s", "r"),
        ({"interval": None}, "s", "s"),
        ({"interval": None}, "es", "s"),
        ({"count": 3}, "ss", "r"),
        ({"count": 3}, "sss", "s"),
        ({"count": 3}, "sees", "r"),
        ({"count": 3}, "spps", "r"),
        ({"count": 0}, "ssssss", "r"),
        ({}, "f", "f"),
        ({"failure_limit": 2}, "ff", "r"),
        ({"failure_limit": 2}, "fsff", "f"),
        ({"failure_limit": -1}, "ffffff", "r"),
        ({"failure_limit": -1, "count": 3}, "ffs", "s"),
        ({"failure_limit": -1, "count": 3}, "fff", "f"),
        ({}, "i", "i"),
        ({"inconclusive_limit": 1}, "is", "r"),
        ({"inconclusive_limit": 1}, "isi", "i"),
        ({"inconclusive_limit": 5, "count": 3}, "iii", "i"),
        ({"consecutive_error_limit": 1}, "ee", "e"),
        ({"consecutive_error_limit": 1}, "esee", "e"),
        ({"consecutive_error_limit": 1}, "epe", "p"),
        ({"consecutive_error_limit": 1, "failure_limit": 5}, "efe", "r"),
        ({"consecutive_error_limit": 0}, "e", "e"),
        ({}, "eeee", "p"),
        ({}, "eeeee", "e"),
        ({"consecutive_failure_limit": 2, "failure_limit": -1}, "fsf", "r"),
        ({"consecutive_failure_limit": 2, "failure_limit": -1}, "ff", "f"),
        ({"consecutive_failure_limit": 2, "failure_limit": -1}, "fef", "f"),
        ({"consecutive_failure_limit": 2, "failure_limit": -1, "inconclusive_limit": 1}, "fif", "r"),
        ({"consecutive_success_limit": 2}, "ss", "s"),
        ({"consecutive_success_limit": 2, "count": 5}, "ss", "s"),
        ({"consecutive_success_limit": 2}, "ses", "r"),
        ({"consecutive_success_limit": 3, "count": 2}, "ss", "i"),
        ({"consecutive_success_limit": 3, "count": 2, "failure_limit": -1}, "ss", "f"),
        ({"consecutive_success_limit": 3, "count": 2, "failure_limit": -1, "consecutive_failure_limit": 2}, "sf", "i"),
        # completed is not assessed again
        ({"count": 1}, "sf", "s"),
        ({}, "fs", "f"),
    ],
)
def test_verdict_of_a_metric(fields: dict[str, Any], letters: str, phase: str) -> None:
    assert NAMES[walk(metric(**fields), letters).phase] == phase


def test_the_highest_limit_decides_and_all_are_listed() -> None:
    # both failure limits fall with the same measurement
    one = metric(failure_limit=1, consecutive_failure_limit=2)
    tally = walk(one, "ff")
    assert (tally.phase, tally.broken) == (Phase.FAILED, ("2 failed, 1 allowed", "2 failures in a row"))
    # an older run of inconclusives, then the failure that decides: seen together when the state comes from elsewhere
    tally = assess(metric(), Tally(inconclusive=1, errors_in_row=0), Verdict(Phase.FAILED, "f"))
    assert (tally.phase, tally.broken) == (Phase.FAILED, ("1 inconclusive, 0 allowed", "1 failed, 0 allowed"))


@pytest.mark.parametrize(
    ("fields", "letters", "early", "phase"),
    [
        ({}, "", "", "i"),
        ({}, "pp", "", "i"),
        ({}, "ee", "", "i"),
        ({}, "s", "", "s"),
        ({"failure_limit": 1}, "sf", "", "s"),
        ({"failure_limit": 1}, "f", "", "f"),
        ({"inconclusive_limit": 1}, "i", "", "i"),
        ({"count": 3}, "ss", "", "i"),
        ({"consecutive_success_limit": 3}, "ss", "", "i"),
        ({"consecutive_success_limit": 3, "failure_limit": -1}, "ss", "", "f"),
        ({}, "sss", "abort", "i"),
        ({}, "f", "abort", "f"),
        ({"count": 1}, "s", "abort", "s"),
    ],
)
def test_end_of_the_step(fields: dict[str, Any], letters: str, early: str, phase: str) -> None:
    tally = close(metric(**fields), walk(metric(**fields), letters), early=early)
    assert NAMES[tally.phase] == phase
    if early and phase == "i":
        assert tally.reason == "ended early: abort"


def test_run() -> None:
    order = [Phase.SUCCESSFUL, Phase.RUNNING, Phase.PENDING, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED]
    for low, high in itertools.combinations(order, 2):
        assert worst([low, high, low]) is high
    assert worst([]) is Phase.SUCCESSFUL


def test_reopened_after_errors() -> None:
    one = metric(consecutive_error_limit=1)
    tally = reopen(walk(one, "see"))
    assert (tally.phase, tally.broken, tally.finished) == (Phase.RUNNING, (), 1)
    assert assess(one, tally, Verdict(Phase.SUCCESSFUL, "")).successful == 2


def test_state_survives_json() -> None:
    tally = walk(metric(failure_limit=0), "sef")
    assert decode(Tally, encode(tally)) == tally


LIMITS = [
    dict(zip(("count", "failure_limit", "inconclusive_limit", "consecutive_error_limit", "consecutive_success_limit", "consecutive_failure_limit"), values))
    for values in itertools.product((None, 1, 3), (-1, 0, 2), (0, 2), (0, 2), (0, 2), (0, 2))
]


def expected_before_end(fields: dict[str, Any], letters: str) -> str:
    """The rules once more, written as counts over the whole sequence instead of a state machine."""
    for end in range(1, len(letters) + 1):
        seen = letters[:end]
        errors = len(seen) - len(seen.rstrip("e"))
        answers = seen.replace("e", "")
        failures = len(answers) - len(answers.rstrip("f"))
        successes = len(seen) - len(seen.rstrip("s"))
        if fields["consecutive_failure_limit"] and failures >= fields["consecutive_failure_limit"]:
            return "f"
        if fields["failure_limit"] >= 0 and seen.count("f") > fields["failure_limit"]:
            return "f"
        if errors > fields["consecutive_error_limit"]:
            return "e"
        if seen.count("i") > fields["inconclusive_limit"]:
            return "i"
        if fields["consecutive_success_limit"] and successes >= fields["consecutive_success_limit"]:
            return "s"
        if fields["count"] and len(answers) >= fields["count"]:
            if fields["consecutive_success_limit"]:
                return "i" if fields["failure_limit"] >= 0 or fields["consecutive_failure_limit"] else "f"
            return "s" if "s" in answers else "f" if "f" in answers else "i"
    return "open"


def test_every_sequence_of_six() -> None:
    """All sequences of up to six measurements under 144 sets of limits: as the rules say, and never a pass without a success."""
    passed = 0
    for fields in LIMITS:
        one = metric(**fields)
        level = {"": Tally()}
        for _length in range(6):
            longer = {}
            for letters, tally in level.items():
                for letter in "sfie":
                    after = assess(one, tally, Verdict(LETTERS[letter], letter))
                    word = letters + letter
                    wanted = expected_before_end(fields, word)
                    assert (NAMES[after.phase] if after.completed else "open") == wanted, (fields, word)
                    ended, cut = close(one, after), close(one, after, early="cut")
                    for result in (after, ended, cut):
                        if result.phase is Phase.SUCCESSFUL:
                            passed += 1
                            assert result.successful > 0, (fields, word)
                            assert not result.broken, (fields, word)
                    assert ended.completed
                    assert cut.completed
                    if not after.completed:
                        assert cut.phase is Phase.INCONCLUSIVE
                        longer[word] = after
            level = longer
    assert passed > 1000
