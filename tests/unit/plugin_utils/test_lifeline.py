# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker whose parent was killed ends, however much it still has to tell; one that is told to end while it tells, tells it whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

WORKER = """
import os, time
from ansible_collections.progressive.delivery.plugins.plugin_utils.lifeline import Lifeline

read, write = os.pipe()  # a worker of Ansible's has both ends of the pipe for its results, so it never learns that nobody reads
worker = os.fork()
if worker:
    os.waitpid(worker, 0)
else:
    with Lifeline().held() as lifeline:
        print(os.getpid(), flush=True)
        while not lifeline.cancelled:
            time.sleep(0.01)
        print("asked to end", flush=True)
    os.write(write, bytes(1 << 20))
    print("told", flush=True)
"""


def test_a_worker_whose_parent_was_killed_does_not_wait_for_ever_to_tell_its_result() -> None:
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True, env={**os.environ, **paths})
    assert parent.stdout
    worker = int(parent.stdout.readline())
    try:
        parent.kill()
        assert parent.communicate(timeout=120)[0] == "asked to end\n"  # returns when the worker is gone, too: it has this pipe
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


TELLING = """
import multiprocessing, os, signal, sys, time
from ansible_collections.progressive.delivery.plugins.plugin_utils import lifeline

def leave(number, frame):  # as a worker of Ansible's does
    os._exit(1)

def worker(results, begun):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    with lifeline.Lifeline().held():
        pass
    begun.set()
    results.put(bytes(1 << 20))  # more than the pipe holds: nobody else can put anything in until somebody has read

if sys.argv[1] == "leave":
    lifeline.LONGEST = 1
context = multiprocessing.get_context("fork")
results, begun = context.SimpleQueue(), context.Event()
telling = context.Process(target=worker, args=(results, begun))
telling.start()
begun.wait()
while not results._reader.poll():
    time.sleep(0.01)
for number in (signal.SIGINT, signal.SIGTERM):
    os.kill(telling.pid, number)
if sys.argv[1] == "read":
    print(len(results.get()), flush=True)
    results.put("the end")
    print(results.get(), flush=True)
telling.join()
print("gone", flush=True)
"""


@pytest.mark.parametrize("parent, said", [("read", "1048576\nthe end\ngone\n"), ("leave", "gone\n")])
def test_a_worker_that_is_told_to_end_while_it_tells_its_result(parent: str, said: str) -> None:
    """Its parent would wait for the rest of it for ever, and for the lock on the queue. If the parent does not read, it ends all the same."""
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    running = subprocess.Popen([sys.executable, "-c", TELLING, parent], stdout=subprocess.PIPE, text=True, env={**os.environ, **paths}, start_new_session=True)
    try:
        assert running.communicate(timeout=120)[0] == said
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


LOOP = """
import multiprocessing, os, signal
from ansible_collections.progressive.delivery.plugins.plugin_utils.lifeline import Lifeline

def worker():
    with Lifeline().held() as first:
        print(first.cancelled, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    with Lifeline().held() as second:
        print(second.cancelled, flush=True)

running = multiprocessing.get_context("fork").Process(target=worker)
running.start()
running.join()
"""


def test_told_to_end_between_two_items_of_a_loop() -> None:
    """Both run in one worker: the next one must not begin as if nobody had said anything."""
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True, env={**os.environ, **paths}, timeout=120, check=False)
    assert done.stdout == "False\nTrue\n"
