# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C is heard by ansible-playbook, and ends it, whenever it comes.

Two moments are bad ones. While a worker is forked, Python runs hooks of its own, and what is raised in one of them is printed and forgotten: the
release would go on. And a worker that is told to end while it hands over a result ends with the lock on the queue of results: ansible-playbook
would wait for it for ever. Between two tasks, on a busy machine, that is one time in ten. So the first is waited out, and so is the second.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.popen_fork
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Optional

AGAIN = 0.02
"""Seconds until it is tried again, where a worker is being forked."""
LONGEST = 5.0
"""Seconds to wait for workers that hand over a result. They take milliseconds."""

_LAUNCH = vars(multiprocessing.popen_fork.Popen)["_launch"].__code__


class CtrlC:
    """Stands before the handler that was there: ansible-core's own, which tells the workers, or Python's."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._before: Any = None

    def install(self) -> None:
        if multiprocessing.parent_process() is not None or threading.current_thread() is not threading.main_thread():
            return
        self._before = signal.getsignal(signal.SIGINT)
        if callable(self._before):  # and not where INT is ignored, as in the background of a script
            signal.signal(signal.SIGINT, self.on_int)

    def on_int(self, number: int, frame: Optional[FrameType]) -> None:
        """Hand it on as soon as that is safe. ``number`` is ALRM where it was put off."""
        if os.getpid() != self._process:
            os._exit(1)  # a worker that has not begun; its parent hears of it itself
        if _forks(frame):
            signal.signal(signal.SIGALRM, self.on_int)
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            return
        if number == signal.SIGALRM:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, self._before)  # the next one need not wait
        with _nobody_tells(getattr(self._before, "__self__", None)):
            self._before(signal.SIGINT, frame)


def _forks(frame: Optional[FrameType]) -> bool:
    """Whether ``frame`` is within the start of a worker."""
    while frame is not None:
        if frame.f_code is _LAUNCH:
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def _nobody_tells(manager: Any) -> Iterator[None]:
    """No worker is in the middle of a result; ``manager`` is ansible-core's, with the queue of results, where its handler is a method of it."""
    lock: Any = getattr(getattr(manager, "_final_q", None), "_wlock", None)
    held = lock is not None and lock.acquire(timeout=LONGEST)
    try:
        yield
    finally:
        if held:
            lock.release()
