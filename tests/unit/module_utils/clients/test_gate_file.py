# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate in a file: what counts as a decision, and what is refused."""

from __future__ import annotations

import os
import pwd

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.gate_file import FileGate
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.gate import Gate

GATE = Gate("half", "r1", "a" * 64, "2027-01-15T08:00:00.000Z")
OPENED = 1_800_000_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "decision"


def written(path, content, at=OPENED + 60, mode=0o644):
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, (at, at))
    return FileGate(str(path)).poll(GATE)


@pytest.mark.parametrize(
    "content, what, who",
    [
        (b"promote\n", "promote", None),
        (b"promote ann\n", "promote", "ann"),
        (b"  Abort   Ann  Lee \nbecause of the pager\n", "abort", "Ann Lee"),
        (b"abort ann\x07\x1b[31m\n", "abort", "ann[31m"),
        (b"promote \xff\n", "promote", "\ufffd"),
        (b"promote " + b"x" * 10_000, "promote", "x" * 248),
    ],
)
def test_a_decision(path, content, what, who):
    decision = written(path, content)
    assert (decision.what, decision.who) == (what, who or pwd.getpwuid(os.getuid()).pw_name)
    assert (decision.channel, decision.digest, decision.when) == ("file", "a" * 64, "2027-01-15T08:01:00.000Z")


@pytest.mark.parametrize("content", [b"", b"\n", b"   \n"])
def test_an_empty_file_decides_nothing_yet(path, content):
    assert written(path, content) is None


def test_no_file_and_an_old_file_decide_nothing(path):
    assert FileGate(str(path)).poll(GATE) is None
    assert written(path, b"promote ann\n", at=OPENED) is None
    assert written(path, b"promote ann\n", at=OPENED - 86_400) is None


@pytest.mark.parametrize("content", [b"yes\n", b"prom", b"promoted\n", b"{}\n", b"\x00\n"])
def test_anything_else_is_said(path, content):
    with pytest.raises(ConfigError, match="Write promote or abort"):
        written(path, content)


def test_a_file_that_anybody_may_write_is_refused(path):
    with pytest.raises(ConfigError, match="anybody may write it"):
        written(path, b"promote ann\n", mode=0o646)


def test_links_directories_and_fifos_are_refused(path, tmp_path):
    (tmp_path / "real").write_text("promote\n")
    path.symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="symbolic link"):
        FileGate(str(path)).poll(GATE)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="no plain file"):
        FileGate(str(path)).poll(GATE)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        FileGate(str(tmp_path / "file" / "below")).poll(GATE)


def test_its_path_is_absolute():
    with pytest.raises(ConfigError, match="absolute"):
        FileGate("decision")
