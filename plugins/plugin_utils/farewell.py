# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last words of an ansible-playbook that ends before its release has said how it ended: where it stands, and what to type next.

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
import time
from collections.abc import Mapping
from typing import Any

from ansible import constants as C

PREFIX = "progressive-delivery-"
PROGRESS = "progressive.delivery.progress"
"""A callback that shows how a release ended, and at the end says of one that is still open what to type."""
LONGEST = 25.0
"""Seconds to wait for a worker that gives stable its traffic back."""


def tree_is_shown() -> bool:
    """Whether :data:`PROGRESS` is in use."""
    return PROGRESS in (C.DEFAULT_STDOUT_CALLBACK, *(C.CALLBACKS_ENABLED or ()))


def remember(noted: Mapping[str, Any] | None, heard: bool = True) -> None:
    """Keep the last words of the ``progressive_delivery`` part of a result, or forget them where they were said and ``heard``."""
    words = (noted or {}).get("last_words")
    if not noted or not words:
        return
    place = os.path.join(C.DEFAULT_LOCAL_TMP, PREFIX + str(noted["release"]["id"]))
    with contextlib.suppress(OSError):  # a note is a courtesy: the record holds the truth
        if words["said"] and heard:
            os.unlink(place)
            return
        new = os.path.join(C.DEFAULT_LOCAL_TMP, f"new-{os.getpid()}")
        with open(new, "w", encoding="utf-8") as note:
            json.dump(dict(words), note)
        os.replace(new, place)


def correct(name: str, words: Mapping[str, Any]) -> None:
    """Say ``words`` instead of what is noted of the release called ``name``, whatever its id."""
    with contextlib.suppress(OSError, ValueError):
        for note in sorted(os.listdir(C.DEFAULT_LOCAL_TMP)):
            if note.startswith(PREFIX) and _of(note, name):
                remember({"release": {"id": note[len(PREFIX) :]}, "last_words": words})


def _of(note: str, name: str) -> bool:
    with open(os.path.join(C.DEFAULT_LOCAL_TMP, note), encoding="utf-8") as text:
        return any(line.startswith(f"{name} ") for line in json.load(text)["lines"][:1])


def notes() -> list[dict[str, Any]]:
    """The last words of every release of this run that were not said yet."""
    result = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(C.DEFAULT_LOCAL_TMP)):
            if name.startswith(PREFIX):
                with open(os.path.join(C.DEFAULT_LOCAL_TMP, name), encoding="utf-8") as note:
                    result.append(json.load(note))
    return result


class Farewell:
    """Says what is noted once, from the process that loaded this file first."""

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
        """What the progress callback will not say: it knows of the release what it has seen itself."""
        if os.getpid() == self._process:
            self.say(but_open=tree_is_shown())

    def on_term(self, number: int, frame: Any) -> None:
        """Say it, then do what would have been done without us: ansible-core's own handler, or the end."""
        if os.getpid() == self._process:
            self.say()
        if callable(self._before):
            self._before(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def say(self, but_open: bool = False) -> None:
        """Print the notes, those of releases that wait for somebody only if not ``but_open``."""
        if self._said:
            return
        self._said = True
        settle()
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            for words in notes():
                for line in words["lines"] if not (but_open and words["open"]) else ():
                    print(line, file=sys.stderr, flush=True)  # noqa: T201  Display may be locked by whoever was interrupted


def settle() -> None:
    """Where a run that is told to end goes back, tell the workers and let them: what they note then is how it ended."""
    if not any(words["settling"] for words in notes()):
        return
    end = time.monotonic() + LONGEST
    for worker in multiprocessing.active_children():
        with contextlib.suppress(OSError):
            worker.terminate()
    while time.monotonic() < end and multiprocessing.active_children() and any(words["settling"] for words in notes()):
        time.sleep(0.05)


FAREWELL = Farewell()
FAREWELL.install()
