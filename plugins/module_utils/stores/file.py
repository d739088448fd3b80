# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release state as small JSON files on one host: ``<directory>/<release name>/<key>.json``.

A file holds ``{"schema": 1, "token": "<counter>-<random>", "value": {...}}``. It is only ever replaced whole: written beside, fsynced,
renamed, and the directory fsynced, so that a power cut leaves the old document or the new one. A lock file guards the
read-compare-write of one save and nothing longer; who owns the release is data (``core/lease.py``).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Optional

from ..clients.clock import SystemClock
from ..core.errors import ConfigError, Conflict, Unavailable
from ..core.options import NAME, Option, Options
from ..core.ports import Clock, Stored

SCHEMA = 1
MAX_BYTES = 64 * 1024
"""The largest document, as written."""
LOCK_TIMEOUT = 10.0
"""Seconds to wait for another save. One takes milliseconds: a longer wait means a stopped process or a dead disk."""
LOCK = "lock"
SYSTEM_DIRECTORY = "/var/lib/progressive-delivery"
USER_DIRECTORY = "~/.local/state/progressive-delivery"

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class FileStore:
    """Implements the port ``StateStore`` for one release name. Nothing is made on disk before the first save."""

    SUMMARY: ClassVar[str] = "JSON files in a private directory of one host."
    on_one_host: ClassVar[bool] = True
    OPTIONS: ClassVar[Options] = {
        "directory": Option(
            "path",
            f"Absolute path of the directory that holds the state, made with mode 0700 when missing."
            f" Default C({SYSTEM_DIRECTORY}) for root, C({USER_DIRECTORY}) for anybody else.",
        ),
        "host": Option("name", "Inventory host whose disk holds the state. Default is the coordinator."),
    }

    def __init__(self, name: str, directory: str = "", *, clock: Optional[Clock] = None) -> None:
        self._name = _safe(name, "name of a release", 253)
        chosen = os.path.expanduser(directory or (SYSTEM_DIRECTORY if os.geteuid() == 0 else USER_DIRECTORY))
        if not os.path.isabs(chosen):
            raise ConfigError(f"{directory!r} is not an absolute path", where="directory")
        self._base = os.path.normpath(chosen)
        self._path = os.path.join(self._base, self._name)
        self._clock = clock or SystemClock()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], name: str) -> FileStore:
        """``name`` is the release's (``rollout_name``)."""
        return cls(name, options.get("directory") or "")

    def load(self, key: str) -> Optional[Stored]:
        """The document. Raises ConfigError when a file or directory is not ours, not private, or not readable JSON; Unavailable."""
        file_name = _file_name(key)
        with self._explained("read", file_name), contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(self._folder())
                return self._read(folder, file_name)
            except FileNotFoundError:
                return None

    def save(self, key: str, value: Mapping[str, Any], expect: Optional[str]) -> str:
        """Compare and swap. Raises Conflict, ConfigError (too large, not private), Unavailable (disk full, read-only, locked for too long)."""
        file_name = _file_name(key)
        with self._explained("write", file_name):
            self._create()
            with self._folder() as folder, self._locked(folder):
                stored = self._read(folder, file_name)
                token = stored.token if stored else None
                if token != expect:
                    raise Conflict("somebody else changed it meanwhile", where=self._shown(file_name))
                count = int(token.partition("-")[0]) if token else 0
                token = f"{count + 1}-{secrets.token_hex(4)}"
                self._replace(folder, file_name, _serialised(value, token, self._shown(file_name)))
                return token

    def _create(self) -> None:
        """Make the directories that are missing. A new entry is fsynced into its parent, or a power cut could take the release's state."""
        if os.path.isdir(self._path):
            return
        os.makedirs(os.path.dirname(self._base), exist_ok=True)
        for path in (self._base, self._path):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
                parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(parent)
                finally:
                    os.close(parent)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[int]:
        """The release's directory as a descriptor: checked once, and everything after is relative to it, so nobody can swap it under us."""
        base = os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        try:
            self._private(base, self._base, owners=(0, os.geteuid()))
            folder = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=base)
        finally:
            os.close(base)
        try:
            self._private(folder, self._path, owners=(os.geteuid(),))
            yield folder
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _locked(self, folder: int) -> Iterator[None]:
        """Hold the lock. Polled rather than awaited in the kernel, so that a stopped holder cannot stop us for ever."""
        deadline = self._clock.now() + LOCK_TIMEOUT
        lock = self._try_lock(folder)
        while lock is None:
            if self._clock.now() >= deadline:
                shown = self._shown(LOCK)
                raise Unavailable(f"another process has held the lock for {LOCK_TIMEOUT:g} s", where=shown, do=f"See which: fuser {shown}")
            self._clock.sleep(0.005)
            lock = self._try_lock(folder)
        try:
            yield
        finally:
            os.close(lock)

    def _try_lock(self, folder: int) -> Optional[int]:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600, dir_fd=folder)
        try:
            self._private(lock, self._shown(LOCK), owners=(os.geteuid(),))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A lock file that was deleted or replaced is no lock: others take the new one.
            if os.path.samestat(os.fstat(lock), os.stat(LOCK, dir_fd=folder, follow_symlinks=False)):
                held, lock = lock, -1
                return held
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            if lock >= 0:
                os.close(lock)
        return None

    def _read(self, folder: int, file_name: str) -> Optional[Stored]:
        shown = self._shown(file_name)
        try:
            # O_NONBLOCK: opening a FIFO in the file's place must not hang.
            source = os.open(file_name, os.O_RDONLY | os.O_NONBLOCK | _FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return None
        with open(source, "rb") as stream:
            self._private(source, shown, owners=(os.geteuid(),))
            return _parsed(stream.read(MAX_BYTES + 1), shown)

    def _replace(self, folder: int, file_name: str, content: bytes) -> None:
        beside = f".{file_name}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=folder)  # left by a process that died; we hold the lock, so nobody is writing it
        target = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=folder)
        try:
            with open(target, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(target)
            os.rename(beside, file_name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=folder)
            raise
        os.fsync(folder)

    def _private(self, opened: int, shown: str, *, owners: tuple[int, ...]) -> None:
        """Refuse what others could have written. Checked on the descriptor, so that what was checked is what is used."""
        found = os.fstat(opened)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise ConfigError("is neither a file nor a directory", where=shown, do="Move it aside.")
        if found.st_uid not in owners:
            raise ConfigError(
                f"belongs to uid {found.st_uid}, and this runs as uid {os.geteuid()}",
                where=shown,
                do="Run every part of a release as the same user, or choose another directory.",
            )
        if found.st_mode & _OTHERS_WRITE:
            raise ConfigError(
                f"others may write here (mode {stat.S_IMODE(found.st_mode):04o}), so its content cannot be trusted",
                where=shown,
                do=f"Look whether it was changed, then: chmod go-w {shown}",
            )

    def _shown(self, file_name: str) -> str:
        return os.path.join(self._path, file_name)

    @contextlib.contextmanager
    def _explained(self, verb: str, file_name: str) -> Iterator[None]:
        """Foreign errors as ours."""
        try:
            yield
        except OSError as error:
            shown = self._shown(file_name)
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise ConfigError(
                    "a symbolic link, or a file where a directory should be, is in the way",
                    where=shown,
                    do="Give the real path as directory.",
                ) from error
            do = {
                errno.ENOSPC: "Free some space on that disk.",
                errno.EDQUOT: "Free some space: the quota is used up.",
                errno.EROFS: "Mount it read-write, or choose another directory.",
                errno.EACCES: "Run as the user who owns it, or choose another directory.",
            }.get(error.errno or 0, "")
            raise Unavailable(f"cannot {verb} it: {os.strerror(error.errno or 0)}", where=shown, do=do) from error


def _safe(name: str, kind: str, longest: int) -> str:
    if len(name) > longest or ".." in name or not NAME.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} cannot be the {kind}", do=f"Letters, digits, '.', '_', ':' and '-', up to {longest}.")
    return name


def _file_name(key: str) -> str:
    return _safe(key, "key of a document", 64) + ".json"


def _serialised(value: Mapping[str, Any], token: str, shown: str) -> bytes:
    try:
        text = json.dumps({"schema": SCHEMA, "token": token, "value": value}, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the document holds something that JSON cannot say: {error}", where=shown) from None
    content = text.encode() + b"\n"
    if len(content) > MAX_BYTES:
        raise ConfigError(f"the document would be {len(content)} bytes, more than {MAX_BYTES}", where=shown, do="Split the release into smaller ones.")
    return content


def _parsed(content: bytes, shown: str) -> Stored:
    aside = f"Look at it; to forget this state and start from what is live: mv {shown} {shown}.broken"
    if len(content) > MAX_BYTES:
        raise ConfigError(f"is larger than {MAX_BYTES} bytes: not written by this collection", where=shown, do=aside)
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"is not readable JSON ({error})", where=shown, do=aside) from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise ConfigError(f"was written by a newer version of this collection (schema {schema})", where=shown, do="Use that version, or a later one.")
    token = document.get("token") if schema == SCHEMA else None
    if not isinstance(token, str) or not token.partition("-")[0].isdecimal() or not isinstance(document.get("value"), dict):
        raise ConfigError("is JSON, but no document of this collection", where=shown, do=aside)
    return Stored(document["value"], token)
