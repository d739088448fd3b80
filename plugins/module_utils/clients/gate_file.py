# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate decided by a file: its first line is ``promote`` or ``abort``, and after that the name of who decided."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Mapping
from typing import Any, Optional

from ..core.errors import ConfigError, Unavailable
from ..core.gate import ABORT, PROMOTE, Decision, Gate
from ..core.options import Option, Options
from ..core.units import from_iso, iso

OPTIONS: Options = {
    "path": Option(
        "path",
        "Absolute path of the file, on the coordinator. Its first line is C(promote) or C(abort), and the name of who decided after that."
        " A file older than the gate is ignored; one that anybody may write, and a symbolic link, are refused.",
        required=True,
    ),
}

LONGEST_LINE = 256


class FileGate:
    """Implements the port ``GateSource``. The digest is that of the open gate: the file was written after it was opened."""

    def __init__(self, path: str) -> None:
        if not os.path.isabs(path):
            raise ConfigError(f"{path!r} is not an absolute path", where="path")
        self._path = path

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> FileGate:
        return cls(os.path.expanduser(options["path"]))

    def poll(self, gate: Gate) -> Optional[Decision]:
        """The decision in the file; None while there is no file, or an older or empty one. Raises Unavailable, ConfigError."""
        try:
            source = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ConfigError("is a symbolic link", where=self._path, do="Write the decision into a file of this name.") from None
            raise Unavailable(f"cannot be read: {error.strerror}", where=self._path) from error
        with open(source, "rb") as stream:
            found = os.fstat(source)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError("is no plain file", where=self._path)
            if found.st_mode & stat.S_IWOTH:
                raise ConfigError("anybody may write it, so nobody knows who decided", where=self._path, do=f"chmod o-w {self._path}")
            if found.st_mtime <= from_iso(gate.opened):
                return None
            line = stream.readline(LONGEST_LINE).decode("utf-8", "replace")
        words = line.split()
        if not words:
            return None
        what = words[0].lower()
        if what not in (PROMOTE, ABORT):
            raise ConfigError(f"its first line is {line.strip()[:40]!r}", where=self._path, do="Write promote or abort, and a name.")
        who = "".join(letter for letter in " ".join(words[1:]) if letter.isprintable())
        return Decision(what, who or _owner(found.st_uid), iso(found.st_mtime), "file", gate.digest)


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
