# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy's discovery files: read, and replaced by rename.

Envoy notices a discovery file only when another one is *moved* over it; a file that is written in place may be read half-written or
not at all. So: a temporary file in the same directory, fsync, rename, fsync of the directory.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from typing import Any

from ..core.errors import ConfigError, Conflict, Unavailable

Document = dict[str, Any]


class DiscoveryFile:
    """One discovery response on disk, as JSON. ``read`` remembers what it saw; ``write`` refuses when that has changed since."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> Document:
        """The document. Raises ConfigError when it is not a discovery file that can be kept in order."""
        try:
            with open(self.path, encoding="utf-8") as handle:
                status = os.fstat(handle.fileno())
                document = json.load(handle, object_pairs_hook=_no_duplicates)
        except FileNotFoundError:
            raise ConfigError("there is no such file", where=self.path, do="It is the discovery file that Envoy reads.") from None
        except OSError as error:
            raise Unavailable(f"cannot be read ({error.strerror})", where=self.path) from None
        except ValueError as error:
            raise ConfigError(f"not a JSON document ({error})", where=self.path, do="Envoy reads JSON as well as YAML: keep it as JSON.") from None
        if os.path.islink(self.path):
            raise ConfigError("this is a symbolic link, which a rename would replace", where=self.path, do="Name the file itself.")
        if not isinstance(document, dict) or not isinstance(document.get("resources"), list):
            raise ConfigError("not a discovery file", where=self.path, do='It looks like {"version_info": "1", "resources": [...]}.')
        self._seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        return document

    def write(self, document: Document) -> Document:
        """Replace the file by ``document``, its version raised by one; durable when it returns. Returns what was written.

        Raises Conflict, Unavailable.
        """
        key = "versionInfo" if "versionInfo" in document else "version_info"
        written = {**document, key: following(version(document))}
        content = json.dumps(written, indent=2, ensure_ascii=False) + "\n"
        folder = os.path.dirname(os.path.abspath(self.path))
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(self.path)}.", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(content)
                out.flush()
                before = os.stat(self.path)
                if self._seen != (before.st_ino, before.st_mtime_ns, before.st_size):
                    raise Conflict("somebody else changed it meanwhile", where=self.path, do="Nothing was written; the next try reads it anew.")
                os.fchmod(out.fileno(), stat.S_IMODE(before.st_mode))
                if os.geteuid() == 0:
                    os.fchown(out.fileno(), before.st_uid, before.st_gid)
                os.fsync(out.fileno())
                after = os.fstat(out.fileno())
            os.rename(temporary, self.path)
            temporary = ""
            self._seen = (after.st_ino, after.st_mtime_ns, after.st_size)
            directory = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise Unavailable(f"cannot be replaced ({error.strerror})", where=self.path, do=f"This user must be able to write in {folder}.") from None
        finally:
            if temporary:
                os.unlink(temporary)
        return written


def version(document: Document) -> str:
    return str(document.get("version_info", document.get("versionInfo", "")))


def following(text: str) -> str:
    """The next version: ``7`` -> ``8``, ``v1.9`` -> ``v1.10``, ``blue`` -> ``blue.1``, nothing -> ``1``."""
    digits = re.search(r"\d+$", text, re.ASCII)
    if digits:
        return f"{text[: digits.start()]}{int(digits[0]) + 1}"
    return f"{text}.1" if text else "1"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> Document:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _value in pairs]
        raise ValueError(f"duplicate key {next(name for name in names if names.count(name) > 1)!r}")
    return result
