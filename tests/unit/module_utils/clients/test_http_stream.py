# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of a server that means no good."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.probe import Prober
from ansible_collections.progressive.delivery.plugins.module_utils.core.http_check import HttpCheck
from ansible_collections.progressive.delivery.plugins.module_utils.core.target import Target
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer


@pytest.mark.parametrize("length", [b"9" * 5000, b"-1", b"\xb2", b"1 2"])
def test_a_length_that_is_none_is_an_ill_target_and_no_traceback(length: bytes) -> None:
    with ScriptedServer() as server:
        server.reply = b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\nok"
        attempt = Prober(HttpCheck(f"{server.url}/health"), 60.0)([Target("web1", "127.0.0.1")])["web1"]
    assert not attempt.ok
    assert attempt.detail.startswith("the length of the body is")
