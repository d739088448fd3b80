# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release as JUnit XML: one test case per step and per metric, so that a merge request shows what failed and why.

done and successful pass; failed is a failure, error an error, both with the sentence of reason; what was skipped, not reached or could not
be told is skipped. A release that ended badly has at least one failure: where no step and no metric failed, a case named after the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from xml.sax.saxutils import escape, quoteattr

from ..experiment.options import CONVERSION
from ..units import iso
from . import ab_test, wording
from . import journal as j
from .metric_chart import metrics, standing
from .view import View, view


@dataclass(frozen=True)
class Case:
    """One test case. ``result``: empty when it passed, else failure, error or skipped."""

    group: str
    name: str
    seconds: float = 0.0
    result: str = ""
    kind: str = ""
    message: str = ""


def render(journal: j.Journal) -> str:
    """The XML document."""
    seen = view(journal)
    every = cases(seen)
    name = " ".join(filter(None, [seen.release.name or "release", seen.release.version]))
    total = sum(case.seconds for case in every)
    counts = " ".join(f'{plural}="{sum(case.result == kind for case in every)}"' for kind, plural in _COUNTED)
    head = f'tests="{len(every)}" {counts} time="{total:.3f}"'
    stamp = f' timestamp="{iso(journal.started)[:19]}"' if journal.events else ""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {head}>", f"  <testsuite name={quoteattr(name)} {head}{stamp}>"]
    lines += [_case(case, seen.release.name or "release") for case in every]
    return "\n".join([*lines, "  </testsuite>", "</testsuites>", ""])


_COUNTED = (("failure", "failures"), ("error", "errors"), ("skipped", "skipped"))


def cases(seen: View) -> list[Case]:
    """The cases of steps, then those of metrics, then that of the outcome where it is needed."""
    trials = ab_test.results(seen.journal)
    found = _steps(seen) + [_metric(seen, name, looks) for name, looks in metrics(seen).items() if not (trials and name == CONVERSION)]
    found += [_trial(trials[-1])] if trials else []
    outcome = seen.outcome
    bad = outcome is not None and seen.standing[1] == wording.BAD
    if outcome is not None and bad and not any(case.result in ("failure", "error") for case in found):
        found.append(Case("release", outcome.outcome, 0.0, "failure", outcome.outcome, seen.sentence))
    if not found:
        message = seen.sentence if seen.journal.events else "the journal is empty: nothing was started"
        passed = outcome is not None and not bad
        found.append(Case("release", outcome.outcome if outcome else "release", 0.0, "" if passed else "skipped", "", message))
    return _apart(found)


def _apart(every: list[Case]) -> list[Case]:
    """Numbered where several are named alike, of which who reads the report may keep only one."""
    taken = {(case.group, case.name) for case in every}
    seen: set[tuple[str, str]] = set()
    found = []
    for case in every:
        if (case.group, case.name) in seen:
            names = (f"{case.name} ({number})" for number in count(2))
            case = replace(case, name=next(name for name in names if (case.group, name) not in taken | seen))
        seen.add((case.group, case.name))
        found.append(case)
    return found


def _steps(seen: View) -> list[Case]:
    found = []
    for row in seen.rows:
        seconds = row.seconds or 0.0
        if row.state == "failed":
            sentence = seen.sentence if seen.outcome else row.reason or (seen.fault.reason if seen.fault else "failed")
            found.append(Case("steps", row.label, seconds, "failure", seen.outcome.outcome if seen.outcome else "failed", sentence))
        elif row.state == "done":
            found.append(Case("steps", row.label, seconds))
        else:
            why = {"todo": "not reached", "current": seen.sentence}.get(row.state, row.reason or "skipped")
            found.append(Case("steps", row.label, seconds, "skipped", "", why))
    return found


def _metric(seen: View, name: str, looks: list[j.Look]) -> Case:
    phase, reason = standing(seen, name, looks)
    seconds = max(look.at for look in looks) - min(look.at for look in looks)
    if phase == "failed":
        return Case("metrics", name, seconds, "failure", phase, reason)
    if phase == "error":
        return Case("metrics", name, seconds, "error", phase, reason)
    if phase == "successful":
        return Case("metrics", name, seconds)
    return Case("metrics", name, seconds, "skipped", "", f"{phase or 'not judged'}: {reason}")


def _trial(last: j.Trial) -> Case:
    """The A/B test. One that the new variant does not win is no failure; that it was not shipped must be seen all the same."""
    if last.says == "win":
        return Case("experiment", CONVERSION, last.seconds)
    return Case("experiment", CONVERSION, last.seconds, "skipped", "", f"{last.says.replace('_', ' ')}: {last.reason}")


def _case(case: Case, release: str) -> str:
    start = f'    <testcase classname={quoteattr(f"{release}.{case.group}")} name={quoteattr(case.name)} time="{case.seconds:.3f}"'
    if not case.result:
        return f"{start}/>"
    message = f" message={quoteattr(case.message)}"
    if case.result == "skipped":
        return f"{start}><skipped{message}/></testcase>"
    return f"{start}><{case.result}{message} type={quoteattr(case.kind)}>{escape(case.message)}</{case.result}></testcase>"
