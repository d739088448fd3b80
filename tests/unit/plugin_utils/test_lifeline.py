# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker whose parent was killed ends, however much it still has to tell."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

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
