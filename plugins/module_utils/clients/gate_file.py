# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate decided by a file: its first line is ``promote`` or ``abort``, and after that the name of who decided."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from typing import Optional

from ..core.errors import ConfigError, Unavailable
from ..core.gate import Decision, Gate, spoken
from ..core.units import from_iso, iso

LONGEST_LINE = 256


class FileGate:
    """Implements the port ``GateSource``. The digest is that of the open gate: the file was written after it was opened."""

    every = 0.0

    def __init__(self, path: str) -> None:
        self._path = os.path.expanduser(path)
        if not os.path.isabs(self._path):
            raise ConfigError(f"{path!r} is not an absolute path", where="file")
        self.hint = f"write promote or abort into {self._path}"

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
        said = spoken(line, self._path)
        return Decision(said[0], said[1] or _owner(found.st_uid), iso(found.st_mtime), "file", gate.digest) if said else None


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
