# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Name a strategy for a service by a few answers, with reasons and a release file to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...core.advice import QUESTIONS, UNKNOWN, advise, lines, starter
from ...core.errors import ConfigError, Unavailable, unknown
from ...core.options import Option, Options
from ..context import Context

PLATFORMS = ("kubernetes", "pool")
OPTIONS: Options = {
    **{name: Option("str", f"{text} Not given: asked at a terminal, else V({UNKNOWN}).", choices=(*choices, UNKNOWN))
       for name, (text, choices) in QUESTIONS.items()},
    "name": Option("name", "The service, for the release file.", default="shop"),
    "platform": Option("str", "What runs it.", default="kubernetes", choices=PLATFORMS),
    "dest": Option("path", "Where to write the release file. Without it nothing is written: it is in the result."),
    "force": Option("bool", "Replace a file that is there and holds something else.", default=False),
}

ASK = 120.0
"""Seconds that a person has for each question. Nothing said is an answer, too."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``strategy``, ``reasons``, ``price``, ``others``, and the release file as ``text`` and ``release``."""
    answers = {name: params.get(name) or _asked(name, context) for name in QUESTIONS}
    advice = advise(answers)
    release = starter(advice.strategy, params["name"], params["platform"])
    text = written(release, advice.reasons)
    told = lines(advice)
    for line in told:
        context.say(line)
    result: dict[str, Any] = {
        "changed": False, "strategy": advice.strategy, "reasons": list(advice.reasons), "price": advice.price, "answers": answers, "lines": told,
        "others": [{"strategy": item.strategy, "points": item.points, "reasons": list(item.reasons), "against": list(item.against)} for item in advice.others],
        "release": release, "text": text,
    }  # fmt: skip
    dest = os.path.expanduser(params.get("dest") or "")
    return {**result, **_write(dest, text, params["force"], context)} if dest else result


def _asked(name: str, context: Context) -> str:
    text, choices = QUESTIONS[name]
    if context.ask is None:
        return UNKNOWN
    while True:
        answer = (context.ask(f"{text} ({', '.join(choices)}, or nothing) ", ASK) or UNKNOWN).strip().lower()
        full = [choice for choice in (*choices, UNKNOWN) if choice.startswith(answer)]
        if len(full) == 1:
            return full[0]
        context.say(str(unknown("answer", answer[:40], choices, where=name)))


def written(release: Mapping[str, Any], reasons: tuple[str, ...]) -> str:
    """The release file as YAML, with the reasons above it."""
    import yaml  # as ansible-core has it

    said = (f"{release['rollout_strategy']}: {reasons[0]}.", "Put in your own names, then look at the plan: it changes nothing.")
    head = "".join(f"# {line}\n" for line in said)
    body: str = yaml.safe_dump(dict(release), sort_keys=False, allow_unicode=True, width=150)
    return f"{head}---\n{body}"


def _write(dest: str, text: str, force: bool, context: Context) -> dict[str, Any]:
    try:
        before = None
        if os.path.exists(dest):
            with open(dest, encoding="utf-8") as file:
                before = file.read()
        if before is not None and before != text and not force:
            raise ConfigError("there is a file already, and it holds something else", where=dest, do="Move it away, or set force.")
        if before != text and not context.check_mode:
            with open(dest, "w", encoding="utf-8") as file:
                file.write(text)
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"it cannot be written: {getattr(error, 'strerror', None) or 'what is there is not UTF-8'}", where=dest) from None
    return {"changed": before != text, "dest": dest, "diff": {"before": before or "", "after": text, "before_header": dest, "after_header": dest}}
