# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.release_dir import ReleaseDir
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable


@pytest.fixture
def folder(tmp_path):
    for number in range(1, 6):
        (tmp_path / "releases" / str(number)).mkdir(parents=True)
        os.utime(tmp_path / "releases" / str(number), (number, number))
    return ReleaseDir(str(tmp_path))


def test_the_link_is_switched_and_read_back(folder):
    assert folder.current() == ""
    folder.switch("1")
    folder.switch("2")
    assert folder.current() == "2" and os.readlink(folder.link) == os.path.join("releases", "2")
    assert sorted(os.listdir(folder.base)) == ["current", "releases"]


@pytest.mark.parametrize("version", ["", "..", "../1", "a/b", "1\n", ".", "a b", "-x", "9"])
def test_what_is_no_release_is_refused(folder, version):
    folder.switch("1")
    with pytest.raises(ConfigError):
        folder.switch(version)
    assert folder.current() == "1"


@pytest.mark.parametrize(
    "version, keep, gone", [("5", 5, []), ("5", 3, ["2", "3"]), ("5", 1, ["2", "3", "4"]), ("1", 1, ["2", "3", "4", "5"]), ("6", 2, ["2", "3", "4"])]
)
def test_the_oldest_go_but_never_one_in_use(folder, version, keep, gone):
    folder.switch("1")
    assert folder.unwanted(version, keep) == gone
    folder.remove(gone)
    assert folder.unwanted(version, keep) == []


def test_nothing_there_is_nothing_to_remove(tmp_path):
    assert ReleaseDir(str(tmp_path)).unwanted("1", 1) == []


def test_a_folder_in_the_place_of_the_link_is_left_alone(folder):
    os.mkdir(folder.link)
    with pytest.raises(ConfigError, match="current is not a link"):
        folder.current()
    with pytest.raises(Unavailable, match="cannot be switched"):
        folder.switch("1")
    assert sorted(os.listdir(folder.base)) == ["current", "releases"]


def test_what_the_disk_refuses_is_unavailable(tmp_path):
    (tmp_path / "releases").write_text("a file")
    with pytest.raises(Unavailable):
        ReleaseDir(str(tmp_path)).unwanted("1", 1)
    with pytest.raises(Unavailable):
        ReleaseDir(str(tmp_path)).remove(["1"])
