# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Races for one lease between real processes on a real file store (rows X013, X023, X024 and X093 of the fault list).

``PD_RACE_ROUNDS`` raises the number of rounds; 200 take a few seconds.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock, SystemClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Conflict, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import Busy, Session, acquire, read
from ansible_collections.progressive.delivery.plugins.module_utils.core.requests import ask, pending
from ansible_collections.progressive.delivery.plugins.module_utils.core.swap import swap
from ansible_collections.progressive.delivery.plugins.module_utils.stores import file
from ansible_collections.progressive.delivery.plugins.module_utils.stores.file import FileStore

ROUNDS = int(os.environ.get("PD_RACE_ROUNDS", "200"))
PROCESSES = 8
fork = multiprocessing.get_context("fork")


@pytest.fixture
def patient(monkeypatch):
    """Eight processes that each sync a file in turn may keep the last one waiting, on a slow disk."""
    monkeypatch.setattr(file, "LOCK_TIMEOUT", 600.0)


def run_together(work, directory):
    """``work(number, barrier, store, tell)`` in eight processes at once; what each told, in order. A process that fails fails the test."""
    barrier, answers = fork.Barrier(PROCESSES), fork.SimpleQueue()

    def body(number):
        told = []
        try:
            with contextlib.ExitStack() as failed:
                failed.callback(barrier.abort)  # the others must not wait for one that failed
                work(number, barrier, FileStore("shop", directory), told.append)
                failed.pop_all()
        finally:
            answers.put((number, told))

    processes = [fork.Process(target=body, args=(number,), daemon=True) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    results = sorted(answers.get() for _process in processes)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES, "a racing process failed; its traceback is above"
    return [told for _number, told in results]


@pytest.mark.usefixtures("patient")
def test_every_round_has_exactly_one_holder(tmp_path):
    def work(number, barrier, store, tell):
        clock = SystemClock()
        for _round in range(ROUNDS):
            barrier.wait()
            try:
                lease = acquire(store, clock, f"run-{number}", who=f"person-{number}")
            except Busy:
                lease = None
            tell(lease.fence if lease else None)
            barrier.wait()
            if lease:
                Session(store, clock, lease.holder, lease.fence).release()

    told = run_together(work, str(tmp_path / "state"))
    for number, fences in enumerate(zip(*told)):
        assert [fence for fence in fences if fence is not None] == [number + 1]


@pytest.mark.usefixtures("patient")
def test_a_dead_holder_has_exactly_one_heir(tmp_path):
    """All have watched the same silent lease for its whole term when they reach for it together."""

    def work(number, barrier, store, tell):
        for turn in range(ROUNDS // 4):
            if number == 0:
                stored = store.load("lease")
                store.save("lease", {"holder": f"dead-{turn}", "fence": turn * 2 + 1, "beat": turn}, stored.token if stored else None)
            barrier.wait()
            clock = FakeClock()
            clock.at(88, barrier.wait)
            try:
                tell(acquire(store, clock, f"run-{number}", who="x", wait=91).fence)
            except Busy:
                tell(None)
            barrier.wait()

    told = run_together(work, str(tmp_path / "state"))
    for turn, fences in enumerate(zip(*told)):
        assert [fence for fence in fences if fence is not None] == [turn * 2 + 2]


@pytest.mark.usefixtures("patient")
def test_no_update_is_lost(tmp_path):
    def work(number, barrier, store, tell):
        clock = SystemClock()
        barrier.wait()
        for _turn in range(25):
            swap(store, clock, "gates", lambda value: {"count": value.get("count", 0) + 1})

    run_together(work, str(tmp_path / "state"))
    stored = FileStore("shop", str(tmp_path / "state")).load("gates")
    assert stored.value == {"count": PROCESSES * 25}
    assert stored.token.startswith(f"{PROCESSES * 25}-")


@pytest.mark.usefixtures("patient")
def test_abort_and_promote_at_the_same_moment_have_one_winner(tmp_path):
    def work(number, barrier, store, tell):
        clock = SystemClock()
        for turn in range(ROUNDS // 4):
            barrier.wait()
            try:
                ask(store, clock, id=f"{turn}-{number}", kind="abort" if number % 2 else "promote", release=f"r{turn}", who=f"person-{number}")
            except Conflict:
                pass
            barrier.wait()
            tell(pending(store, f"r{turn}").kind)
            barrier.wait()

    told = run_together(work, str(tmp_path / "state"))
    assert {kind for kinds in told for kind in kinds} == {"abort"}


def test_a_stopped_process_that_holds_the_file_lock_stops_nobody_for_ever(tmp_path, monkeypatch):
    """SIGSTOP between taking the lock and giving it back: savers get an error in bounded time, readers do not notice."""
    directory = str(tmp_path / "state")
    store = FileStore("shop", directory, clock=FakeClock())
    token = store.save("record", {"n": 1}, None)
    locked = fork.Event()

    def hold():
        sleeper = FileStore("shop", directory)
        with sleeper._folder() as folder, sleeper._locked(folder):
            locked.set()
            os.kill(os.getpid(), signal.SIGSTOP)

    process = fork.Process(target=hold, daemon=True)
    process.start()
    try:
        locked.wait()
        os.waitpid(process.pid, os.WUNTRACED)
        assert store.load("record").value == {"n": 1}
        with pytest.raises(Unavailable, match="held the lock"):
            store.save("record", {"n": 2}, token)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
    store.save("record", {"n": 2}, token)


def test_a_writer_killed_at_any_moment_leaves_a_readable_record(tmp_path):
    """SIGKILL lands at whatever point of a save it happens to hit; the record is whole, and the next writer goes on."""
    directory = str(tmp_path / "state")
    store = FileStore("shop", directory)

    def write_for_ever(started):
        mine = FileStore("shop", directory)
        while True:
            swap(mine, SystemClock(), "record", lambda value: {"n": value.get("n", 0) + 1, "text": "x" * 20_000})
            started.send(True)

    last = 0
    for _turn in range(20):
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=write_for_ever, args=(sender,), daemon=True)
        process.start()
        receiver.recv()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        value = store.load("record").value
        assert len(value["text"]) == 20_000
        assert value["n"] > last
        last = value["n"]
    assert read(store).holder == ""
