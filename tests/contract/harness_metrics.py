# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric providers with a world each that can be told what to answer. See ``test_metric_contract.py``."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Optional

from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import MetricProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.command import CommandProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.memory import MemoryProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.web import WebProvider
from ansible_collections.progressive.delivery.tests.contract.scripted_server import Request, ScriptedServer, free_port, reply


class MetricHarness:
    """One provider. ``query`` is a query that its world answers with what :meth:`tell` said last."""

    query: str

    def __init__(self, folder: pathlib.Path) -> None:
        raise NotImplementedError

    def provider(self) -> MetricProvider:
        raise NotImplementedError

    def dead(self) -> MetricProvider:
        """A provider whose world does not answer."""
        raise NotImplementedError

    def tell(self, values: Optional[list[float]]) -> None:
        """Answer with these series from now on; with nothing when None."""
        raise NotImplementedError

    def babble(self) -> None:
        """Answer with something that is not an answer."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what was started."""


def vector(values: list[float], now: float = 1_700_000_000.0) -> bytes:
    result = [{"metric": {"i": str(index)}, "value": [now, repr(value)]} for index, value in enumerate(values)]
    return reply(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}), content_type="application/json")


class PrometheusHarness(MetricHarness):
    query = "shop_errors"

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer()
        self._server.__enter__()

    def provider(self) -> MetricProvider:
        return PrometheusProvider.from_options(validate({"url": self._server.url, "timeout": "2s"}, PrometheusProvider.OPTIONS, "prometheus"), {})

    def dead(self) -> MetricProvider:
        return PrometheusProvider.from_options(validate({"url": f"http://127.0.0.1:{free_port()}"}, PrometheusProvider.OPTIONS, "prometheus"), {})

    def tell(self, values: Optional[list[float]]) -> None:
        def answer(request: Request) -> bytes:
            if "timestamp" in request.target:
                return vector([1_700_000_000.0])
            return vector([1.0] if "vector" in request.target else values or [])

        self._server.reply = answer

    def babble(self) -> None:
        self._server.reply = reply("<html>please log in</html>", content_type="text/html")

    def close(self) -> None:
        self._server.__exit__()


class WebHarness(MetricHarness):
    query = "{$.rates}"

    def __init__(self, folder: pathlib.Path) -> None:
        self._server = ScriptedServer()
        self._server.__enter__()

    def provider(self) -> MetricProvider:
        return WebProvider.from_options(validate({"url": self._server.url + "/${track}", "timeout": "2s"}, WebProvider.OPTIONS, "web"), {})

    def dead(self) -> MetricProvider:
        return WebProvider.from_options(validate({"url": f"http://127.0.0.1:{free_port()}"}, WebProvider.OPTIONS, "web"), {})

    def tell(self, values: Optional[list[float]]) -> None:
        self._server.reply = reply(json.dumps({"rates": values}))

    def babble(self) -> None:
        self._server.reply = reply("<html>please log in</html>", content_type="text/html")

    def close(self) -> None:
        self._server.__exit__()


class CommandHarness(MetricHarness):
    query = "{$.rates}"

    def __init__(self, folder: pathlib.Path) -> None:
        self._file = folder / "answer"

    def _made(self, program: str) -> MetricProvider:
        code = "import sys; sys.stdout.write(open(sys.argv[1]).read())"
        options = {"argv": [program, "-S", "-c", code, str(self._file)], "json_path": "{$.rates}"}
        return CommandProvider.from_options(validate(options, CommandProvider.OPTIONS, "command"), {})

    def provider(self) -> MetricProvider:
        return self._made(sys.executable)

    def dead(self) -> MetricProvider:
        return self._made("/nowhere/python")

    def tell(self, values: Optional[list[float]]) -> None:
        self._file.write_text(json.dumps({"rates": values}))

    def babble(self) -> None:
        self._file.write_text("command not found\n")


class MemoryHarness(MetricHarness):
    query = "errors"

    def __init__(self, folder: pathlib.Path) -> None:
        self._file = folder / "script.json"

    def provider(self) -> MetricProvider:
        return MemoryProvider.from_options(validate({"file": str(self._file)}, MemoryProvider.OPTIONS, "memory"), {})

    def dead(self) -> MetricProvider:
        return MemoryProvider.from_options(validate({"file": str(self._file) + ".gone"}, MemoryProvider.OPTIONS, "memory"), {})

    def tell(self, values: Optional[list[float]]) -> None:
        self._file.write_text(json.dumps({"errors": [values]}))

    def babble(self) -> None:
        self._file.write_text("{")


HARNESSES: dict[str, Callable[[pathlib.Path], MetricHarness]] = {
    "command": CommandHarness,
    "memory": MemoryHarness,
    "prometheus": PrometheusHarness,
    "web": WebHarness,
}
