# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what happened, for a person, a machine and a CI."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ...clients.journal import JournalFile
from ...core.errors import ConfigError, Unavailable
from ...core.options import Option, Options
from ...core.report import ab_test, html, junit, markdown
from ...core.report.journal import Journal
from ..context import Context

OPTIONS: Options = {
    "journal": Option("path", "The journal of the release.", required=True),
    "directory": Option("path", "Where the report goes; default is beside the journal."),
    "formats": Option("list", "What to write.", elements="str", default=["html", "json", "junit", "markdown"]),
}


def _as_json(journal: Journal) -> str:
    events = [{"at": event.at, "kind": event.kind, **dict(event.raw)} for event in journal.events]
    return json.dumps({"schema": 1, "events": events}, indent=1, sort_keys=True) + "\n"


WRITERS = {"html": (html.render, "html"), "json": (_as_json, "json"), "junit": (junit.render, "xml"), "markdown": (markdown.render, "md")}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``files`` by format; of an A/B test its own report besides, where JSON is wanted."""
    unknown = [name for name in params["formats"] if name not in WRITERS]
    if unknown:
        raise ConfigError(f"unknown format {unknown[0]!r}", where="formats", do=f"Known: {', '.join(sorted(WRITERS))}.")
    path = os.path.expanduser(params["journal"])
    if not os.path.exists(path):
        raise ConfigError("there is no such journal", where=path, do="It is written where the release ran.")
    journal = JournalFile(path).read()
    folder = os.path.expanduser(params.get("directory") or os.path.dirname(path) or ".")
    stem = os.path.splitext(os.path.basename(path))[0]
    files: dict[str, str] = {}
    changed = False
    for name in params["formats"]:
        render, ending = WRITERS[name]
        files[name] = os.path.join(folder, f"{stem}.{ending}")
        changed = _write(files[name], render(journal), context) or changed
    tested = ab_test.render(journal) if "json" in files else ""
    if tested:
        files["ab_test"] = os.path.join(folder, f"{stem}.ab_test_report.json")
        changed = _write(files["ab_test"], tested, context) or changed
    if "html" in files:
        context.say(f"report: {files['html']}")
    return {"changed": changed, "files": files}


def _write(path: str, text: str, context: Context) -> bool:
    """Write ``text`` if that changes the file."""
    try:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as handle:
                if handle.read() == text:
                    return False
        if not context.check_mode:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(text)
        return True
    except OSError as error:
        raise Unavailable(f"the report cannot be written: {error.strerror}", where=path, do="Set rollout_report.directory to a folder you may write.") from None
