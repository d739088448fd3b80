# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C in the two moments in which ansible-playbook would lose it, or hang. Each in a process of its own, since it is about signals and forks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

from ansible.executor.task_queue_manager import FinalQueue

HEAD = """
import multiprocessing, os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
forked = multiprocessing.get_context("fork")
"""
INSTALL = """
from ansible_collections.progressive.delivery.plugins.plugin_utils import ctrl_c
ctrl_c.CtrlC().install()
"""

WHILE_FORKING = (
    HEAD
    + INSTALL
    + """
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGINT))
try:
    worker = forked.Process(target=time.sleep, args=(0,))
    worker.start()
    time.sleep(60)
    print("never heard")
except KeyboardInterrupt:
    print("heard", worker.pid is not None)
"""
)

WHILE_A_WORKER_TELLS = (
    HEAD
    + """
class Manager:
    def __init__(self):
        self._final_q, self.holds = forked.SimpleQueue(), forked.Event()
        self.worker = forked.Process(target=self.work)

    def work(self):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with self._final_q._wlock:  # as in the middle of a result
            self.holds.set()
            time.sleep(0.5)
        time.sleep(60)

    def _signal_handler(self, number, frame):
        os.kill(self.worker.pid, number)
        raise KeyboardInterrupt

manager = Manager()
signal.signal(signal.SIGINT, manager._signal_handler)
"""
    + INSTALL
    + """
manager.worker.start()
manager.holds.wait()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    manager.worker.join()
    manager._final_q.put("the end")
    print(manager._final_q.get(), manager.worker.exitcode)
"""
)

IN_A_WORKER = (
    HEAD
    + INSTALL
    + """
worker = forked.Process(target=signal.raise_signal, args=(signal.SIGINT,))
worker.start()
worker.join()
print(worker.exitcode)
"""
)

IGNORED = (
    """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
"""
    + INSTALL
    + """
print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
"""
)


def printed(script: str) -> str:
    """What ``script`` says before it ends. It is ended with all its workers."""
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    running = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **paths},
                               start_new_session=True)  # fmt: skip
    try:
        return running.communicate(timeout=120)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


def test_while_a_worker_is_forked_it_is_heard_a_moment_later():
    assert printed(WHILE_FORKING) == "heard True\n"


def test_a_worker_hands_over_its_result_before_it_hears_of_it():
    assert printed(WHILE_A_WORKER_TELLS) == "the end -2\n"


def test_a_worker_that_has_not_begun_ends_without_a_word():
    assert printed(IN_A_WORKER) == "1\n"


def test_where_it_is_ignored_it_stays_so():
    assert printed(IGNORED) == "True\n"


def test_the_queue_of_this_ansible_has_the_lock():
    assert FinalQueue()._wlock.acquire(timeout=1)
