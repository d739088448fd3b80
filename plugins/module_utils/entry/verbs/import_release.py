# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a release file of what Argo Rollouts, Flagger or Kayenta are given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...core.errors import ConfigError, Unavailable
from ...core.importers.detect import convert
from ...core.importers.source import Converted
from ...core.options import Option, Options
from ..context import Context

OPTIONS: Options = {
    "src": Option(
        "list", "Files with the documents (YAML or JSON): one Rollout, Canary or canary config, and the templates that it uses.", elements="path", required=True
    ),
    "dest": Option("path", "Where to write the release file. Without it nothing is written: it is in the result."),
    "force": Option("bool", "Replace a file that is there and holds something else.", default=False),
}

LARGEST = 4 * 1024 * 1024
"""Bytes of one file."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``text`` of the release file, ``release``, ``left`` (path and why of all that was not carried over) and ``to_do``."""
    documents = [document for path in params["src"] for document in _documents(os.path.expanduser(path))]
    try:
        found = convert(documents)
    except (AttributeError, LookupError, TypeError, ValueError):
        # The tools' own schemas have hundreds of fields: a form that none of them would take is not looked for at each.
        raise ConfigError("a field in it has a form that its tool does not take", where=", ".join(params["src"]),
                          do="Have the tool check it first, such as with kubectl apply --dry-run=server.") from None
    text = written(found)
    result: dict[str, Any] = {
        "changed": False, "text": text, "release": found.release, "to_do": list(dict.fromkeys(found.to_do)),
        "left": [{"path": left.path, "why": left.why} for left in found.left],
    }  # fmt: skip
    dest = os.path.expanduser(params.get("dest") or "")
    if dest:
        before = _read(dest) if os.path.exists(dest) else None
        if before is not None and before != text and not params["force"]:
            raise ConfigError("there is a file already, and it holds something else", where=dest, do="Move it away, or set force.")
        result.update(changed=before != text, dest=dest, diff={"before": before or "", "after": text, "before_header": dest, "after_header": dest})
        if before != text and not context.check_mode:
            _write(dest, text)
    for line in result["to_do"]:
        context.say(f"to do: {line}")
    for left in found.left:
        context.say(f"left out: {left.path}: {left.why}")
    return result


def written(found: Converted) -> str:
    """The release file as YAML; what is to be done, and what was left out, above it as comments."""
    import yaml  # as ansible-core has it

    notes = [*(f"to do: {line}" for line in dict.fromkeys(found.to_do)), *(f"left out: {left.path}: {left.why}" for left in found.left)]
    head = "".join(f"# {' '.join(note.split())}\n" for note in notes)
    body: str = yaml.safe_dump(found.release, sort_keys=False, allow_unicode=True, width=150)
    return f"{head}---\n{body}"


def _documents(path: str) -> list[Any]:
    import yaml

    text = _read(path)
    try:
        return list(yaml.safe_load_all(text))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else path
        raise ConfigError(f"that is neither YAML nor JSON ({getattr(error, 'problem', None) or 'nested too deeply'})", where=place) from None


def _read(path: str) -> str:
    try:
        if os.path.getsize(path) > LARGEST:
            raise ConfigError(f"more than {LARGEST // 1024**2} MiB", where=path, do="Give the documents of one release.")
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"it cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}", where=path) from None


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Unavailable(f"it cannot be written: {error.strerror}", where=path) from None
