# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a host which version it runs: over HTTP, by a command, from a file, or from a link. '' where a file or link does not exist yet."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from ..core.errors import ConfigError, Unavailable
from .web import fetch

TIMEOUT = 5.0
"""Longest wait for an answer, in seconds."""


def over_http(url: str) -> str:
    reply = fetch(url, connect_timeout=TIMEOUT, read_timeout=TIMEOUT)
    text = reply.body.decode("utf-8", "replace").strip()
    if not 200 <= reply.status < 300:
        raise Unavailable(f"the version was asked for and the answer is {reply.status}", where=url)
    if text.startswith("{"):
        try:
            return str(json.loads(text)["version"])
        except (KeyError, ValueError):
            raise Unavailable("the answer holds no version", where=url, do='It is {"version": ...} or plain text.') from None
    return text


def _command(argv: list[str]) -> str:
    try:
        done = subprocess.run([str(item) for item in argv], capture_output=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the version command failed: {error}", where=" ".join(argv)) from None
    if done.returncode != 0:
        raise Unavailable(f"the version command ended with {done.returncode}", where=" ".join(argv))
    return done.stdout.decode("utf-8", "replace")


def _file(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as handle:
            return handle.read(4096)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Unavailable(f"the version cannot be read: {error.strerror}", where=path) from None


def _symlink(path: str) -> str:
    try:
        return os.path.basename(os.readlink(os.path.expanduser(path)).rstrip("/"))
    except FileNotFoundError:
        return ""
    except OSError:
        raise ConfigError("that is not a link", where=path) from None


READERS: dict[str, Callable[[Any], str]] = {"http": over_http, "command": _command, "file": _file, "symlink": _symlink}
