# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the stages of ``make test``, two at a time, and says what came of each.

    run.py [STAGE ...]      without a name: every stage

Standard library only. A stage is a function in ``stages``; its whole output goes to ``.cache/test/<stage>.log``, its outcome is one
line here. A part that is missing is named, and is a failure when CI is set. The last line is ``<n> passed, <m> failed``: tests of
pytest, and one failure for each stage that failed in any other way.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Optional
from xml.etree import ElementTree

CHECKOUT = Path(__file__).resolve().parents[2]
LOGS = CHECKOUT / ".cache" / "test"
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
SHOWN = 40
"""Lines of a failed stage's log that are printed, at most: those that say what is wrong, else the last ones."""
WIDEST = 1000
"""Letters of such a line that are printed."""
TELLING = (re.compile(r"^(ERROR|FATAL|FAILED|fatal:)"), re.compile(r"^E  |error[:\[]|\[ERROR\]"))
"""What such a line looks like, the most telling kind first."""


class Failed(Exception):
    """The stage failed; the text says why in one line."""


class Missing(Exception):
    """A part the stage needs is not here; the text names it. ``fatal``: it fails the run, as it does in CI unless said otherwise."""

    def __init__(self, text: str, *, fatal: bool = IN_CI) -> None:
        super().__init__(text)
        self.fatal = fatal


@dataclass
class Run:
    """One run of one stage: where it writes, what it counted."""

    name: str
    log: IO[str]
    environment: Mapping[str, str]
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    def command(self, *words: object, cwd: Path = CHECKOUT, extra: Optional[Mapping[str, str]] = None, timeout: float = 1800, ok: Sequence[int] = (0,)) -> int:
        """Run a command into the log and return its exit status. Raises Failed for one not in ``ok``, and after ``timeout`` seconds."""
        line = [str(word) for word in words]
        self.log.write(f"\n$ {' '.join(line)}\n")
        self.log.flush()
        process = Running.start(line, cwd=cwd, env={**self.environment, **(extra or {})}, stdout=self.log)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{line[0]} was still running after {timeout:.0f} s") from None
        finally:
            Running.end(process)
        if status not in ok:
            raise Failed(f"{Path(line[0]).name} {' '.join(line[1:3])} ended with {status}")
        return status

    def pytest(self, python: Path, *arguments: object, extra: Optional[Mapping[str, str]] = None) -> None:
        """Run pytest and count what it counted. No tests at all is a missing part."""
        results = LOGS / f"{self.name}.xml"
        results.unlink(missing_ok=True)
        command = [python, "-m", "pytest", "-q", "-ra", "--durations=10", f"--junit-xml={results}", "-o", f"junit_suite_name={self.name}", *arguments]
        status = self.command(*command, extra=extra, timeout=3600, ok=(0, 1, 2, 3, 4, 5))
        if status == 5:
            raise Missing(f"no tests in {' '.join(map(str, arguments))}")
        if not results.exists():
            raise Failed(f"pytest ended with {status} before any test")
        for suite in ElementTree.parse(results).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            self.failed += bad
            self.skipped += int(suite.get("skipped", 0))
            self.passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
        if status:
            raise Failed(f"pytest: {self.failed} failed" if self.failed else f"pytest ended with {status}")
        if self.skipped:
            raise Missing(f"{self.skipped} tests were skipped")


class Running:
    """The processes of this run, each the head of its own group, so that none outlives an interrupt."""

    processes: set[subprocess.Popen[bytes]] = set()
    lock = threading.Lock()
    stopped = False

    @classmethod
    def start(cls, line: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: IO[str]) -> subprocess.Popen[bytes]:
        with cls.lock:
            if cls.stopped:
                raise Failed("interrupted")
            try:
                process = subprocess.Popen(
                    line, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT, start_new_session=True
                )
            except FileNotFoundError as error:
                raise Missing(f"{error.filename} is not here") from None
            cls.processes.add(process)
            return process

    @classmethod
    def end(cls, process: subprocess.Popen[bytes]) -> None:
        """End what is left of the process's group, and forget it."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the usual case: the group ended with its head
        process.wait()
        with cls.lock:
            cls.processes.discard(process)

    @classmethod
    def stop(cls) -> None:
        """Start no more, and ask what runs to end."""
        with cls.lock:
            cls.stopped = True
            for process in cls.processes:
                try:
                    os.killpg(process.pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass  # ended meanwhile


@dataclass(frozen=True)
class Outcome:
    """What came of a stage. ``word`` is PASS, FAIL or MISSING."""

    name: str
    word: str
    seconds: float
    passed: int
    failed: int
    text: str

    def __str__(self) -> str:
        return f"{self.word:<8}{self.name:<22}{self.seconds:7.1f} s  {self.text}".rstrip()


def perform(name: str, stage: Callable[[Run], None], environment: Mapping[str, str]) -> Outcome:
    """Run one stage to its outcome."""
    started = time.monotonic()
    with open(LOGS / f"{name}.log", "w", encoding="utf-8") as log:
        run = Run(name, log, environment)
        word, text = "PASS", ""
        try:
            stage(run)
        except Missing as missing:
            word, text = ("FAIL" if missing.fatal else "MISSING"), f"missing: {missing}"
        except Failed as failure:
            word, text = "FAIL", str(failure)
    counted = f"{run.passed} passed" if run.passed else ""
    text = "; ".join(part for part in (counted, text, *run.notes) if part)
    failed = run.failed or int(word == "FAIL")
    return Outcome(name, word, time.monotonic() - started, run.passed, failed, text)


def show(outcome: Outcome) -> None:
    """One line for a stage, and what its log says when it failed."""
    print(outcome, flush=True)
    if outcome.word == "FAIL":
        lines = (LOGS / f"{outcome.name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        for line in telling(lines):
            print(f"    | {line[:WIDEST]}", flush=True)


def telling(lines: Sequence[str]) -> list[str]:
    """The lines of a failed stage's log that say what is wrong, :data:`SHOWN` at most."""
    told: list[str] = []
    for pattern in TELLING:
        found = [line for line in lines if pattern.search(line)]
        told += found[-(SHOWN - len(told)) :] if len(told) < SHOWN else []
    return told or list(lines[-SHOWN:])


def main(names: Sequence[str]) -> int:
    """Run the named stages; 0 when none failed."""
    from stages import STAGES, environment, refuse_stale_copies  # here: stages imports this module

    chosen = list(names) or list(STAGES)
    wrong = [name for name in chosen if name not in STAGES]
    if wrong:
        print(f"unknown stage {', '.join(wrong)}; known: {', '.join(STAGES)}", file=sys.stderr)
        return 2
    refuse_stale_copies()
    LOGS.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: list[Outcome] = []
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=int(os.environ.get("TEST_JOBS", "2"))) as pool:
        futures = [pool.submit(perform, name, STAGES[name], environment()) for name in chosen]
        try:
            for future in as_completed(futures):
                outcomes.append(future.result())
                show(outcomes[-1])
        except KeyboardInterrupt:
            Running.stop()
            pool.shutdown(cancel_futures=True)
            print("interrupted", file=sys.stderr)
            return 130
    failed = sum(outcome.failed for outcome in outcomes)
    if len(chosen) > 1:
        print(f"\n{len(outcomes)} stages in {time.monotonic() - started:.0f} s; logs: {LOGS.relative_to(CHECKOUT)}")
        for outcome in sorted(outcomes, key=lambda outcome: chosen.index(outcome.name)):
            print(outcome)
    print(f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.modules["run"] = sys.modules["__main__"]  # one module, whether it was started or imported
    sys.exit(main(sys.argv[1:]))
