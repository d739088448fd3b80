# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A number printed by a program of the user's: plain, or inside JSON.

The program is started without a shell, each placeholder filled inside its own argument, so that no value can become a second argument or a
command. The metric's ``query`` fills ``${query}``. Exit status 0 and one number (or JSON with ``json_path``) on standard output is an answer;
nothing at all on standard output is no data.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ..core.errors import ConfigError, NoData, Unavailable, Unsupported
from ..core.jsonpath import numbers, steps
from ..core.metric import PLACEHOLDERS, fill, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options
from ..core.units import duration, show_duration

MAX_BYTES = 4 * 1024 * 1024


class CommandProvider:
    """The MetricProvider port over one program on this host. ``clock``: seconds since the epoch, for the time of a point."""

    SUMMARY: ClassVar[str] = "A number printed by a program on the host that measures."
    OPTIONS: ClassVar[Options] = {
        "argv": Option(
            "list", "The program and its arguments. V(${query}), V(${track}), V(${window}) and the like are filled in; there is no shell.",
            required=True, elements="str",
        ),
        "json_path": Option("str", "Where the value is when the program prints JSON, such as V({$.rate}). Default: it prints one number."),
        "timeout": Option("duration", "Longest run of the program; it is killed then, and its children with it.", default="10s"),
        "environment": Option("dict", "Further environment variables for the program.", open=True, secret=True),
    }  # fmt: skip

    def __init__(
        self, argv: Sequence[str], *, json_path: str = "", timeout: float = 10.0, environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.argv = tuple(argv)
        self._path = json_path
        self._timeout = timeout
        self._environment = dict(environment or {})
        self._clock = clock

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> CommandProvider:
        """``tracks`` does not matter here: the arguments name what is measured. Raises ConfigError."""
        argv = [str(part) for part in options["argv"]]
        if not argv or not argv[0] or "${" in argv[0]:
            raise ConfigError("argv begins with the program to run", where="command.argv")
        for index, part in enumerate(argv):
            fill(part, dict.fromkeys(PLACEHOLDERS, "x"), str, f"command.argv[{index}]")
        if options.get("json_path"):
            steps(options["json_path"], "command.json_path")
        environment = {str(name): str(value) for name, value in (options.get("environment") or {}).items()}
        return cls(argv, json_path=options.get("json_path", ""), timeout=duration(options.get("timeout", "10s")), environment=environment)

    def probe(self) -> None:
        """Raise Unavailable when the program is not there."""
        if not shutil.which(self.argv[0], path=self._environment.get("PATH")):
            raise Unavailable(f"{self.argv[0]!r} is not a program on this host", where="command.argv")

    def query(self, query: str, window: Window) -> Series:
        """What the program prints for this window. Raises NoData, Unavailable, Unsupported."""
        if window.builtin:
            raise Unsupported("a command has no built-in metrics", where="command", do="Write a query; it fills ${query}.")
        labels = {**window_labels(window), "query": query}
        argv = [self.argv[0], *(fill(part, labels, str, f"command.argv[{index}]") for index, part in enumerate(self.argv[1:], 1))]
        if any("\x00" in part for part in argv):
            raise Unavailable("an argument would hold a NUL byte", where="command.argv")
        values = self._values(self._run(argv))
        now = self._clock()
        return Series(tuple(Sample((Point(now, value),)) for value in values), query=query)

    def _run(self, argv: list[str]) -> str:
        """Standard output of a run that ended well. The program gets a process group of its own, so that its children end with it."""
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **self._environment}, start_new_session=True
            )
        except OSError as error:
            raise Unavailable(f"{argv[0]!r} cannot be started: {error.strerror}", where="command.argv") from None
        try:
            output, errors = _collect(process, argv[0], self._timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
            raise
        finally:
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        if process.returncode != 0:
            said = errors.decode("utf-8", "replace").strip().splitlines()
            raise Unavailable(f"{argv[0]!r} ended with status {process.returncode}: {said[-1][:200] if said else 'nothing on stderr'}", where="command.argv")
        return output.decode("utf-8", "replace")

    def _values(self, output: str) -> list[float]:
        text = output.strip()
        if not text:
            raise NoData("the program printed nothing", where="command.argv")
        if not self._path:
            return numbers(text, "$", "command.argv")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise Unavailable("the program did not print JSON", where="command.argv") from None
        return numbers(document, self._path, "command.json_path")


def _collect(process: subprocess.Popen[bytes], program: str, timeout: float) -> tuple[bytes, bytes]:
    """Both outputs until they end, bounded in time and size; of standard error the last part. Raises Unavailable."""
    deadline = time.monotonic() + timeout
    texts: dict[Any, bytes] = {process.stdout: b"", process.stderr: b""}
    with selectors.DefaultSelector() as waiting:
        for pipe in texts:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready or time.monotonic() > deadline:
                raise Unavailable(f"{program!r} did not end within {show_duration(timeout)}", where="command.argv")
            for key, _events in ready:
                part = os.read(key.fd, 65536)
                if not part:
                    waiting.unregister(key.fileobj)
                texts[key.fileobj] += part
            texts[process.stderr] = texts[process.stderr][-4096:]
            if len(texts[process.stdout]) > MAX_BYTES:
                raise Unavailable(f"{program!r} printed more than {MAX_BYTES} bytes", where="command.argv")
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{program!r} did not end within {show_duration(timeout)}", where="command.argv") from None
    return texts[process.stdout], texts[process.stderr]
