# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb workload on the release folders of a host."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import workload


def test_an_old_release_that_cannot_be_removed_fails_no_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3, 4):
        (tmp_path / "releases" / str(number)).mkdir(parents=True)
        os.utime(tmp_path / "releases" / str(number), (number, number))
    really = shutil.rmtree

    def rmtree(path: str) -> None:
        if path.endswith("1"):
            raise OSError(errno.EBUSY, "Device or resource busy")
        really(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    context = Context(FakeClock(), lambda line: None, who="ann")
    result = workload.run({"base": str(tmp_path), "version": "4", "keep_releases": 2}, context)
    assert os.readlink(tmp_path / "current") == "releases/4"
    assert (result["changed"], result["removed"]) == (True, ["2"])
    assert [("releases/1" in line, "busy" in line) for line in result["warnings"]] == [(True, True)]
    assert workload.run({"base": str(tmp_path), "version": "4", "keep_releases": 2}, context)["changed"] is False
