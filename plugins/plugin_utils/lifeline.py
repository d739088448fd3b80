# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a worker honest when its parent is told to stop, or dies.

A killed ansible-playbook leaves its workers behind, and a worker would go on with the rollout. So each of ours asks the kernel for a TERM
when its parent dies, and takes TERM and INT as a request to end: the operation in flight finishes, the next wait ends. An orphan is gone then.

What a worker tells its parent goes through a pipe with one lock for all. One that ends in the middle of a result leaves the parent waiting for
the rest of it and for the lock, and ansible-playbook hangs. So a worker of ours that is told to end after its task tells its result first.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator

PR_SET_PDEATHSIG = 1
ORPHANED = 1
"""The exit status of a worker without a parent; nobody is there to see it."""
LONGEST = 20
"""Seconds that a worker which was told to end may take to tell its result. Who should read it may have stopped reading."""


class Lifeline:
    """Tells whether this process was asked to end, and whether anybody still listens to what it says."""

    told = False
    """Whether this worker was told to end, whatever it did then. The items of a loop run in one worker, one after the other."""

    def __init__(self) -> None:
        self.cancelled = Lifeline.told
        self._parent = os.getppid()

    @property
    def orphan(self) -> bool:
        """Whether the parent is gone. Printing would then block on a pipe that nobody reads."""
        return os.getppid() != self._parent

    @contextlib.contextmanager
    def held(self) -> Iterator[Lifeline]:
        """Take TERM and INT for the length of one task, and ask for TERM when the parent dies."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        if sys.platform == "linux":
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if Lifeline.told:
            signal.alarm(0)
        before = {number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            if self.orphan:
                os._exit(ORPHANED)  # it has both ends of the pipe for results: more than fits there, and it would wait for ever for somebody to read
            if multiprocessing.parent_process() is None:
                for number, handler in before.items():
                    signal.signal(number, handler)
            else:
                for number in before:
                    signal.signal(number, _tell_first)
                if Lifeline.told:
                    _tell_first()

    def _end(self, number: int, frame: object) -> None:
        self.cancelled = True
        Lifeline.told = multiprocessing.parent_process() is not None


def _tell_first(number: int = 0, frame: object = None) -> None:
    """End when the result is told, and soon where nobody reads it."""
    Lifeline.told = True
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST)
