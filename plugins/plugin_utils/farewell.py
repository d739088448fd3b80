# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last words of an ansible-playbook that ends with a release left open: what to type next.

Workers cannot say it: nobody may listen any more. So each of our tasks leaves a note where the parent finds it, and the parent, in whose
process this file is loaded first, prints what is noted when it ends or is told to end. After KILL nobody says anything; ``status`` does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from ansible import constants as C

PREFIX = "progressive-delivery-"
PROGRESS = "progressive.delivery.progress"
"""A callback that says the same, in more words."""


def remember(noted: Mapping[str, Any] | None) -> None:
    """Note a release that is under way, from the ``progressive_delivery`` part of a result; forget one that has its outcome."""
    release = (noted or {}).get("release") or {}
    if not release.get("resume_command"):
        return
    place = os.path.join(C.DEFAULT_LOCAL_TMP, PREFIX + str(release["id"]))
    with contextlib.suppress(OSError):  # a note is a courtesy: the record holds the truth
        if (noted or {}).get("outcome"):
            os.unlink(place)
        else:
            with open(place, "w", encoding="utf-8") as note:
                json.dump(dict(release), note)


def lines() -> list[str]:
    """What to say of every release that is noted."""
    result: list[str] = []
    with contextlib.suppress(OSError, ValueError, KeyError):
        for name in sorted(os.listdir(C.DEFAULT_LOCAL_TMP)):
            if name.startswith(PREFIX):
                with open(os.path.join(C.DEFAULT_LOCAL_TMP, name), encoding="utf-8") as note:
                    release = json.load(note)
                result += [f"{release['name']}: this run ended before its release did; the weights stay as they are. To go on or to go back, type:",
                           f"  {release['resume_command']}", f"  {release['abort_command']}"]
    return result


class Farewell:
    """Says :func:`lines` once, from the process that loaded this file first."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._said = False
        self._before: Any = signal.SIG_DFL

    def install(self) -> None:
        if multiprocessing.parent_process() is not None or threading.current_thread() is not threading.main_thread():
            return
        atexit.register(self.at_exit)
        self._before = signal.signal(signal.SIGTERM, self.on_term)

    def at_exit(self) -> None:
        if os.getpid() == self._process and PROGRESS not in (C.DEFAULT_STDOUT_CALLBACK, *(C.CALLBACKS_ENABLED or ())):
            self.say()

    def on_term(self, number: int, frame: Any) -> None:
        """Say it, then do what would have been done without us: ansible-core's own handler, or the end."""
        if os.getpid() == self._process:
            self.say()
        if callable(self._before):
            self._before(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def say(self) -> None:
        if self._said:
            return
        self._said = True
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            for line in lines():
                print(line, file=sys.stderr, flush=True)  # noqa: T201  Display may be locked by whoever was interrupted


FAREWELL = Farewell()
FAREWELL.install()
