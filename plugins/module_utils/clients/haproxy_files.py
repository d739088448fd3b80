# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two files that make HAProxy's run-time state outlive a reload: map files and the server-state file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from ..core.errors import Unavailable


def entries(text: str) -> dict[str, str]:
    """A map file's entries; of a key that stands there twice the first counts, as in HAProxy."""
    result: dict[str, str] = {}
    for line in text.splitlines():
        fields = line.split(None, 1)
        if len(fields) == 2 and not fields[0].startswith("#"):
            result.setdefault(fields[0], fields[1].strip())
    return result


def edit(text: str, key: str, value: str) -> str:
    """A map file with ``key`` set; comments, order and all other lines stay."""
    lines = text.splitlines()
    at = [index for index, line in enumerate(lines) if line.split(None, 1)[:1] == [key]]
    for index in at:
        lines[index] = f"{key} {value}"
    if not at:
        lines.append(f"{key} {value}")
    return "\n".join(lines) + "\n"


def without(text: str, key: str) -> str:
    """A map file without ``key``; comments, order and all other lines stay."""
    return "".join(line for line in text.splitlines(keepends=True) if line.split(None, 1)[:1] != [key])


def read(path: str) -> str:
    """The text of ``path``. Raises Unavailable."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as source:
            return source.read()
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror}", where=path) from None


def read_if_there(path: str) -> str:
    """The text of ``path``, empty where there is no such file yet. Raises Unavailable."""
    return read(path) if os.path.exists(path) else ""


def kept(state: str) -> list[tuple[str, ...]]:
    """What of `show servers state`, or of a file with it, was set by somebody: all else changes by itself. Empty for what is none."""
    lines = [line.split() for line in state.splitlines()]
    header = next((fields[1:] for fields in lines if fields[:1] == ["#"]), [])
    rows = (dict(zip(header, fields)) for fields in lines if header and fields[0:1] != ["#"] and len(fields) >= len(header))
    return [tuple(row.get(column, "") for column in ("be_name", "srv_name", "srv_admin_state", "srv_uweight")) for row in rows]


def check_writable(path: str) -> None:
    """Raise Unavailable when ``path`` could not be replaced: before the change, not after it."""
    try:
        with _beside(path, b""):
            pass
    except OSError as error:
        raise Unavailable(f"cannot be written ({error.strerror}): the change would not outlive a reload", where=path) from None


def replace(path: str, text: str) -> None:
    """Write and rename, durably; mode and owner stay. Raises Unavailable."""
    try:
        with _beside(path, text.encode("utf-8", "surrogateescape")) as temporary:
            os.replace(temporary, path)
            folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise Unavailable(f"cannot be written ({error.strerror}): the change is in force but does not outlive a reload", where=path) from None


@contextlib.contextmanager
def _beside(path: str, data: bytes) -> Iterator[str]:
    """A synced file with ``data`` in the same folder, gone afterwards unless it was renamed."""
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(target.fileno())
        try:
            old = os.stat(path)
            os.chmod(temporary, old.st_mode & 0o7777)
            os.chown(temporary, old.st_uid, old.st_gid)
        except FileNotFoundError:
            os.chmod(temporary, 0o644)
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
