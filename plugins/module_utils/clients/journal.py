# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's file: one event a line, appended by every task of a run, on the controller."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

from ..core.errors import Unavailable
from ..core.report.journal import Journal, line, parse


class JournalFile:
    """Appends events to ``path``; nothing at all when ``path`` is empty. One write a line, so that lines of several processes do not mix."""

    def __init__(self, path: str) -> None:
        self.path = path

    def append(self, event: Mapping[str, Any]) -> None:
        if not self.path:
            return
        try:
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                content = (line(event).rstrip("\n") + "\n").encode("utf-8", "replace")
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    content = b"\n" + content  # a disk was full, or a writer was killed: its line is lost, and not this one too
                if os.write(handle, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
        except OSError as error:
            raise Unavailable(f"the journal cannot be written: {error.strerror}", where=self.path,
                              do="Set rollout_report.directory to a folder you may write.") from None

    def read(self) -> Journal:
        """Everything written so far; empty when there is no file yet."""
        try:
            with open(self.path, encoding="utf-8", errors="replace") as handle:
                return parse(handle.read())
        except FileNotFoundError:
            return parse("")
        except OSError as error:
            raise Unavailable(f"the journal cannot be read: {error.strerror}", where=self.path) from None
