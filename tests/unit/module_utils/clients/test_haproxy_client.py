# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import threading

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import haproxy, haproxy_files
from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient, Server
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported

HEADER = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port new_column"


class FakeSocket:
    """A stats socket that answers from a table: ``answer(command) -> text``; None closes the connection."""

    def __init__(self, answer):
        self.lines: list[str] = []
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with self._server:
            link, _peer = self._server.accept()
        with link, link.makefile("rb") as lines:
            for line in lines:
                self.lines.append(line.decode().strip())
                for command in self.lines[-1].split("; "):
                    answer = "" if command == "prompt" else self._answer(command)
                    if answer is None:
                        return
                    link.sendall(f"{answer}\n> ".encode())

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        self._thread.join(120)


def test_answers_belong_to_their_commands_and_lines_stay_short():
    commands = [f"set weight shop/server-with-a-rather-long-name-{index} {index % 257}" for index in range(2000)]
    with FakeSocket(lambda command: f"no {command}\n" if command.endswith(" 7") else "") as plane:
        answers = HaproxyClient(plane.endpoint, 10).run(commands)
    assert len(answers) == len(commands)
    assert {command for command, answer in zip(commands, answers) if answer} == {command for command in commands if command.endswith(" 7")}
    assert all(answer in ("", f"no {command}") for command, answer in zip(commands, answers))
    assert max(len(line) for line in plane.lines) <= haproxy.LINE
    assert len(plane.lines) < 12


@pytest.mark.parametrize("answer, error, text", [
    ("No such server.\n", ConfigError, "No such server"),
    ("Permission denied\n", ConfigError, "level admin"),
    ("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n", Unsupported, "balance roundrobin"),
    ("Something new\n", Unavailable, "Something new"),
])
def test_a_refused_set_command_is_an_error_in_haproxys_words(answer, error, text):
    with FakeSocket(lambda command: answer if "web2" in command else "") as plane, pytest.raises(error, match=text) as caught:
        HaproxyClient(plane.endpoint, 10).change(["set weight shop/web1 1", "set weight shop/web2 2"])
    assert "set weight shop/web2 2" in str(caught.value)
    assert plane.endpoint in str(caught.value)


def test_done_is_a_good_answer():
    with FakeSocket(lambda command: "Done.\n") as plane:
        HaproxyClient(plane.endpoint, 10).change(["set map /live.map shop blue"])


def test_a_connection_that_is_cut_is_no_answer():
    with FakeSocket(lambda command: None if "web2" in command else "") as plane, pytest.raises(Unavailable, match="closed after 1 of 2"):
        HaproxyClient(plane.endpoint, 10).change(["set weight shop/web1 1", "set weight shop/web2 2"])


@pytest.mark.parametrize("command", ["show info; quit", "show info\n", "set weight a/b 1\rx", "", "show \x00", "add map x <<"])
def test_one_command_is_one_command(command):
    with pytest.raises(ConfigError):
        HaproxyClient("127.0.0.1:9").run([command])


@pytest.mark.parametrize("endpoint", ["", "admin.sock", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "http://x:1", "a b:1"])
def test_an_endpoint_is_a_path_or_host_and_port(endpoint):
    with pytest.raises(ConfigError):
        HaproxyClient(endpoint)


def test_endpoints():
    assert HaproxyClient("unix@/run/haproxy.sock").path == "/run/haproxy.sock"
    assert HaproxyClient("ipv4@10.0.0.1:9999").address == ("10.0.0.1", 9999)
    assert HaproxyClient("[::1]:9999").address == ("::1", 9999)


@pytest.mark.parametrize("operation, admin, state", [
    (2, 0, "up"), (1, 0, "up"), (0, 0, "down"), (3, 0, "down"),
    (2, 4, "up"), (2, 64, "up"), (2, 1, "maint"), (2, 2, "maint"), (2, 0x20, "maint"), (0, 5, "maint"),
    (2, 8, "drain"), (2, 0x10, "drain"), (0, 8, "down"), (2, 9, "maint"), (2, 0x48, "drain"),
])
def test_the_admin_state_is_a_bit_mask(operation, admin, state):
    assert Server("web1", operation, admin, 1, 1).state == state


def test_columns_go_by_name_and_unknown_ones_are_skipped():
    text = f"{HEADER}\n3 shop 1 web1 10.0.0.1 2 8 10 100 80 - more\n3 shop 2 web2 10.0.0.2 0 0 0 50 80 -\n"
    assert haproxy.parse_servers(text, "lb") == {"web1": Server("web1", 2, 8, 10, 100), "web2": Server("web2", 0, 0, 0, 50)}


@pytest.mark.parametrize("text", [
    f"{HEADER}\n3 shop 1 web1 10.0.0.1 2 8 10",
    f"{HEADER}\n3 shop 1 web1 10.0.0.1 2 x 10 100 80 -",
    "1\n",
    "# be_id srv_name\n3 web1",
])
def test_a_cut_line_is_refused(text):
    with pytest.raises(Unavailable):
        haproxy.parse_servers(text, "lb")


def test_stats_are_real_csv():
    text = '# pxname,svname,last_chk,scur,\nshop,web1,"HTTP, status: ""503""\nagain",3,\n'
    assert haproxy.parse_stats(text, "lb") == [{"pxname": "shop", "svname": "web1", "last_chk": 'HTTP, status: "503"\nagain', "scur": "3"}]


@pytest.mark.parametrize("text", ["# a,b,\n1,\n", "a,b\n1,2\n", '# a,b\n"1,2\n'])
def test_a_cut_table_is_refused(text):
    with pytest.raises(Unavailable):
        haproxy.parse_stats(text, "lb")


def test_a_map_answers_with_its_first_entry():
    assert haproxy.parse_map("0x55 shop blue\n0x56 shop green\n0x57 other a b\n", "lb") == {"shop": "blue", "other": "a b"}
    with pytest.raises(Unavailable):
        haproxy.parse_map("0x55 shop", "lb")


@pytest.mark.parametrize("value", ["/etc/x;y", "/etc/../passwd", "/etc/a b", "#1", "", "/etc/\n"])
def test_the_path_of_a_map_is_allow_listed(value):
    with pytest.raises(ConfigError):
        haproxy.map_path(value)


def test_editing_a_map_file_keeps_everything_else():
    text = "# colours\nother\tblue\nshop   blue # old\n\nlast green"
    assert haproxy_files.edit(text, "shop", "green") == "# colours\nother\tblue\nshop green\n\nlast green\n"
    assert haproxy_files.edit("", "shop", "green") == "shop green\n"
    assert haproxy_files.entries(text)["other"] == "blue"


def test_replacing_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "live.map"
    path.write_text("shop blue\n")
    path.chmod(0o640)
    haproxy_files.replace(str(path), "shop green\n")
    assert path.read_text() == "shop green\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["live.map"]


def test_a_file_that_cannot_be_written_is_known_before(tmp_path):
    with pytest.raises(Unavailable, match="outlive"):
        haproxy_files.check_writable(str(tmp_path / "missing" / "live.map"))
