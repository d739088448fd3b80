# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's file on a disk that fills up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.journal import JournalFile
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import event


def test_a_line_for_which_there_was_no_room_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = JournalFile(str(tmp_path / "journal"))
    journal.append(event("step", 1.0, name="first"))
    really = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: really(handle, content[:10]))  # as the kernel does with the rest of a disk
    with pytest.raises(Unavailable, match="No space left"):
        journal.append(event("step", 2.0, name="second"))
    monkeypatch.undo()
    journal.append(event("step", 3.0, name="third"))
    found = journal.read()
    assert [item.raw["name"] for item in found.events] == ["first", "third"]
    assert found.unreadable == 1
