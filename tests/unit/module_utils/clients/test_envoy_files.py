# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery files: replaced whole, by rename, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy_files import DiscoveryFile, following
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict, Unavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    result = tmp_path / "rds.json"
    result.write_text('{"version_info": "9", "resources": [], "float": 1.50, "text": "\\u00e9"}')
    result.chmod(0o640)
    return result


def test_written_by_rename_with_the_next_version(path: Path) -> None:
    file, inode = DiscoveryFile(str(path)), path.stat().st_ino
    document = file.read()
    file.write({**document, "resources": [{"name": "x"}]})
    assert json.loads(path.read_text()) == {"version_info": "10", "resources": [{"name": "x"}], "float": 1.5, "text": "\u00e9"}
    assert path.stat().st_ino != inode and path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(path.parent) == ["rds.json"]


def test_a_change_by_somebody_else_is_a_conflict(path: Path) -> None:
    file = DiscoveryFile(str(path))
    document = file.read()
    path.write_text('{"resources": [], "theirs": true}')
    with pytest.raises(Conflict):
        file.write(document)
    assert json.loads(path.read_text())["theirs"] is True and os.listdir(path.parent) == ["rds.json"]


def test_nothing_is_left_behind_when_the_disk_says_no(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = DiscoveryFile(str(path))
    document, before = file.read(), path.read_text()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        file.write(document)
    assert path.read_text() == before and os.listdir(path.parent) == ["rds.json"]


def test_file_is_synced_before_the_rename_and_the_directory_after(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace: list[str] = []
    sync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda descriptor: (trace.append("dir" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"), sync(descriptor))[1])
    monkeypatch.setattr(os, "rename", lambda *names: (trace.append("rename"), rename(*names))[1])
    file = DiscoveryFile(str(path))
    file.write(file.read())
    assert trace == ["file", "rename", "dir"]


@pytest.mark.parametrize("content", ["", "resources: []", "[]", '{"resources": {}}', '{"resources": [], "resources": []}', "\x00"])
def test_what_is_no_discovery_file(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigError, match="rds.json"):
        DiscoveryFile(str(path)).read()


def test_missing_and_linked_files_are_refused(path: Path) -> None:
    link = path.parent / "link.json"
    link.symlink_to(path)
    for name, message in ((link, "symbolic link"), (path.parent / "none.json", "no such file")):
        with pytest.raises(ConfigError, match=message):
            DiscoveryFile(str(name)).read()


@pytest.mark.parametrize("version, after", [("", "1"), ("7", "8"), ("v1.9", "v1.10"), ("blue", "blue.1"), ("2026-01-09", "2026-01-10")])
def test_following(version: str, after: str) -> None:
    assert following(version) == after
