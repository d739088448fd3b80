# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file store: what lies on disk, and what it refuses or survives there."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.stores import file as module
from ansible_collections.progressive.delivery.plugins.module_utils.stores.file import FileStore


@pytest.fixture
def base(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def store(base):
    return FileStore("shop", str(base), clock=FakeClock())


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_layout_modes_and_document(store, base):
    token = store.save("record", {"n": 1}, None)
    path = base / "shop" / "record.json"
    assert (mode(base), mode(base / "shop"), mode(path), mode(base / "shop" / "lock")) == (0o700, 0o700, 0o600, 0o600)
    assert json.loads(path.read_text()) == {"schema": 1, "token": token, "value": {"n": 1}}
    assert token.startswith("1-")
    assert sorted(entry.name for entry in (base / "shop").iterdir()) == ["lock", "record.json"]


def test_a_look_makes_nothing(store, base):
    assert store.load("record") is None
    assert not base.exists()


def test_options_and_defaults(monkeypatch, base):
    options = validate({"directory": str(base), "host": "lb1"}, FileStore.OPTIONS, "rollout_state.file")
    FileStore.from_options(options, "shop").save("record", {}, None)
    assert (base / "shop" / "record.json").exists()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert FileStore("shop")._path == "/var/lib/progressive-delivery/shop"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ann")
    assert FileStore("shop")._path == "/home/ann/.local/state/progressive-delivery/shop"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a..b", "/etc", "shop\n", "a\x00b", " shop", "a;b", ".hidden", "x" * 254, "sh\u043ep"])
def test_a_name_that_could_leave_the_directory_is_refused(name, base, store):
    with pytest.raises(ConfigError, match="cannot be the name"):
        FileStore(name, str(base))
    with pytest.raises(ConfigError, match="cannot be the key"):
        store.load(name)
    with pytest.raises(ConfigError, match="cannot be the key"):
        store.save(name, {}, None)


def test_a_relative_directory_is_refused():
    with pytest.raises(ConfigError, match="absolute"):
        FileStore("shop", "state")


@pytest.mark.parametrize("where", ["base", "name", "record.json", "lock"])
@pytest.mark.parametrize("bits", [0o002, 0o020])
def test_what_others_may_write_is_refused(store, base, where, bits):
    token = store.save("record", {}, None)
    path = {"base": base, "name": base / "shop"}.get(where, base / "shop" / where)
    path.chmod(mode(path) | bits)
    with pytest.raises(ConfigError, match=f"{path}: others may write here.*chmod go-w"):
        store.save("record", {}, token)


def test_what_belongs_to_another_user_is_refused(store, base, monkeypatch):
    store.save("record", {}, None)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(ConfigError, match=f"belongs to uid .* runs as uid {other}"):
        store.load("record")


@pytest.mark.parametrize("where", ["base", "name", "record.json", "lock"])
def test_a_symbolic_link_is_never_followed(store, base, tmp_path, where):
    store.save("record", {"n": 1}, None)
    path = {"base": base, "name": base / "shop"}.get(where, base / "shop" / where)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="symbolic link"):
        store.save("record", {"n": 2}, None)
    if where != "lock":
        with pytest.raises(ConfigError, match="symbolic link"):
            store.load("record")


def test_a_planted_temporary_file_is_not_written_through(store, base, tmp_path):
    token = store.save("record", {"n": 1}, None)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (base / "shop" / ".record.json.tmp").symlink_to(victim)
    store.save("record", {"n": 2}, token)
    assert victim.read_text() == "precious"
    assert store.load("record").value == {"n": 2}


def test_a_fifo_in_the_place_of_the_record_does_not_hang(store, base):
    store.save("lease", {}, None)
    os.mkfifo(base / "shop" / "record.json", 0o600)
    with pytest.raises(ConfigError, match="neither a file nor a directory"):
        store.load("record")


def test_a_truncated_temporary_file_of_a_dead_process_hurts_nobody(store, base):
    token = store.save("record", {"n": 1}, None)
    (base / "shop" / ".record.json.tmp").write_text('{"schema": 1, "tok')
    assert store.load("record").value == {"n": 1}
    store.save("record", {"n": 2}, token)
    assert store.load("record").value == {"n": 2}


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "not readable JSON"),
        (b'{"schema": 1, "tok', "not readable JSON"),
        (b"\xff\xfe", "not readable JSON"),
        (b"[]", "no document"),
        (b'{"schema": 1, "token": "x", "value": {}}', "no document"),
        (b'{"schema": 1, "token": "1-a", "value": []}', "no document"),
        (b'{"schema": 2, "token": "1-a", "value": {}}', "newer version"),
        (b" " * 70_000, "larger than"),
    ],
)
def test_a_broken_record_is_named_with_what_to_do(store, base, content, said):
    store.save("record", {}, None)
    path = base / "shop" / "record.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        store.load("record")
    assert caught.value.where == str(path)
    assert caught.value.do
    with pytest.raises(ConfigError):
        store.save("record", {}, None)


def test_a_record_has_a_largest_size(store):
    with pytest.raises(ConfigError, match="more than 65536"):
        store.save("record", {"text": "x" * 65_536}, None)
    store.save("record", {"text": "x" * 65_000}, None)
    assert len(store.load("record").value["text"]) == 65_000


@pytest.mark.parametrize("number, hint", [(errno.ENOSPC, "Free some space"), (errno.EROFS, "read-write"), (errno.EDQUOT, "quota"), (errno.EIO, "")])
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_disk_that_does_not_take_it_is_unavailable_and_the_old_record_stays(store, base, monkeypatch, number, hint, call):
    token = store.save("record", {"n": 1}, None)

    def broken(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, broken)
        with pytest.raises(Unavailable, match=os.strerror(number)) as caught:
            store.save("record", {"n": 2}, token)
    assert hint in caught.value.do
    assert store.load("record").value == {"n": 1}
    assert not (base / "shop" / ".record.json.tmp").exists()


def test_the_file_is_on_disk_before_it_gets_its_name_and_the_directory_after(store, monkeypatch):
    token = store.save("record", {}, None)
    trace = []
    fsync, rename = os.fsync, os.rename

    def traced_fsync(opened):
        trace.append("fsync directory" if stat.S_ISDIR(os.fstat(opened).st_mode) else "fsync file")
        fsync(opened)

    def traced_rename(*args, **kwargs):
        trace.append("rename")
        rename(*args, **kwargs)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced_rename)
    store.save("record", {"n": 2}, token)
    assert trace == ["fsync file", "rename", "fsync directory"]


def test_a_lock_that_is_never_given_back_ends_the_wait(store, base):
    token = store.save("record", {}, None)
    with (base / "shop" / "lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="held the lock for 10 s"):
            store.save("record", {}, token)
        assert store.load("record") is not None  # looking needs no lock
    store.save("record", {}, token)


def test_a_lock_file_that_was_replaced_is_not_trusted(base):
    clock = FakeClock()
    store = FileStore("shop", str(base), clock=clock)
    token = store.save("record", {}, None)
    path = base / "shop" / "lock"
    other = path.open("r+")
    fcntl.flock(other, fcntl.LOCK_EX)
    path.unlink()
    store.save("record", {"n": 2}, token)  # nobody holds the new lock file
    assert path.stat().st_ino != os.fstat(other.fileno()).st_ino
    other.close()


def test_a_process_that_is_killed_frees_the_lock(base, store):
    token = store.save("record", {}, None)
    code = f"import fcntl, os, signal\nlock = open({str(base / 'shop' / 'lock')!r}, 'r+')\nfcntl.flock(lock, 2)\nos.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    store.save("record", {"n": 2}, token)


def test_constants_say_what_the_documentation_says():
    text = FileStore.OPTIONS["directory"].description
    assert module.SYSTEM_DIRECTORY in text
    assert module.USER_DIRECTORY in text
