# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A health check by HTTP: its options, and what an answer means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlsplit

from .errors import ConfigError, unknown
from .options import Option, Options
from .poll import Attempt
from .target import PLACEHOLDER, known_places
from .units import duration, show_duration

HTTP_OPTIONS: Options = {
    "url": Option(
        "str",
        "Address to GET, C(http) or C(https). C(${host}), C(${address}) and C(${port}) stand for the target. Redirects are not followed.",
        required=True,
    ),
    "status": Option("any", "Status, or list of statuses, of a healthy answer.", default=200),
    "body_contains": Option("str", "Text that the body must contain."),
    "json": Option(
        "dict",
        "A value that the JSON body must hold.",
        options={
            "path": Option("str", "Where it stands, such as C(status) or C(checks[0].state).", required=True),
            "equals": Option("any", "What it must be, of the same JSON type.", required=True),
        },
    ),
    "max_latency": Option("duration", "Longest time from the start of the connection to the end of the answer."),
    "headers": Option("dict", "Request headers. C(Host) also names the server for TLS.", open=True),
    "secret_headers": Option("dict", "Request headers whose values must not appear in any output.", open=True, secret=True),
    "validate_certs": Option("bool", "Whether the certificate of the server must be valid.", default=True),
    "ca_path": Option("path", "File of the authorities to trust instead of the system's."),
}

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True)
class HttpCheck:
    """``statuses`` are accepted ones. ``json_path`` is empty when the body is not looked into. ``max_latency`` in seconds."""

    url: str
    statuses: tuple[int, ...] = (200,)
    body_contains: str = ""
    json_path: str = ""
    json_equals: Any = None
    max_latency: Optional[float] = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    validate_certs: bool = True
    ca_path: str = ""


def http_check(options: Mapping[str, Any], where: str) -> HttpCheck:
    """From options that :data:`HTTP_OPTIONS` has checked. Raises ConfigError for what the table cannot say."""
    known_places(options["url"], f"{where}.url")
    _split(PLACEHOLDER.sub("1", options["url"]), f"{where}.url")
    given = options.get("status", 200)
    statuses = given if isinstance(given, (list, tuple)) else [given]
    if not statuses or not all(re.fullmatch(r"[1-5]\d\d", str(status)) for status in statuses):
        raise ConfigError(f"{given!r} is neither a status nor a list of statuses", where=f"{where}.status", do="Write 200 or [200, 204].")
    headers = {str(name): str(value) for name, value in {**(options.get("headers") or {}), **(options.get("secret_headers") or {})}.items()}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise ConfigError(f"{name[:80]!r} cannot be sent as a header", where=f"{where}.headers", do="Names and values are plain ASCII in one line.")
        known_places(value, f"{where}.headers.{name}")
    wanted = options.get("json") or {}
    if wanted and not _steps(wanted["path"]):
        raise ConfigError(f"{wanted['path']!r} is not a path", where=f"{where}.json.path", do="Write status or checks[0].state.")
    latency = options.get("max_latency")
    return HttpCheck(
        options["url"],
        tuple(int(status) for status in statuses),
        options.get("body_contains", ""),
        wanted.get("path", ""),
        wanted.get("equals"),
        None if latency is None else duration(latency, f"{where}.max_latency"),
        headers,
        options.get("validate_certs", True),
        options.get("ca_path", ""),
    )


def _split(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address: {error}", where=where) from None
    if parts.scheme not in ("http", "https"):
        raise unknown("scheme", parts.scheme, ("http", "https"), where=where)
    if parts.username is not None or parts.password is not None:
        raise ConfigError("an address must not carry a user or password", where=where, do="Put Authorization into secret_headers.")
    if not parts.hostname or port == 0 or not url.isprintable():
        raise ConfigError(f"{url!r} names no host and port to ask", where=where)


def judge_http(check: HttpCheck, status: int, phrase: str, body: bytes, seconds: float) -> Attempt:
    """What a complete HTTP answer says. ``seconds``: from the start of the connection to the end of the answer."""
    seen = f"{status} {phrase}".strip()
    text = body.decode("utf-8", "replace")
    wrong = ""
    if status not in check.statuses:
        return Attempt(False, f"{seen}{': ' + _excerpt(text) if text.strip() else ''}", seconds)
    if check.body_contains and check.body_contains not in text:
        wrong = f"the body does not contain {check.body_contains!r}: {_excerpt(text)}"
    elif check.json_path:
        wrong = _json_wrong(check, body)
    if not wrong and check.max_latency is not None and seconds > check.max_latency:
        wrong = f"it took {show_duration(seconds)}, more than {show_duration(check.max_latency)}"
    return Attempt(not wrong, f"{seen}, but {wrong}" if wrong else seen, seconds)


def _json_wrong(check: HttpCheck, body: bytes) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return f"the body is not JSON: {_excerpt(body.decode('utf-8', 'replace'))}"
    for step in _steps(check.json_path):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            return f"there is no {check.json_path} in it"
    # JSON tells true from 1; Python's == does not.
    if json.dumps(value, sort_keys=True) == json.dumps(check.json_equals, sort_keys=True):
        return ""
    return f"{check.json_path} is {_excerpt(json.dumps(value))}, not {json.dumps(check.json_equals)}"


def _steps(path: str) -> list[str]:
    """``checks[0].state`` as its steps; empty when it is not a path."""
    rest = path[1:] if path.startswith("$") else path
    return [name or index for name, index in _STEP.findall(rest)] if _STEP.sub("", rest) == "" else []


def _excerpt(text: str, longest: int = 80) -> str:
    """The beginning of foreign text in one printable line."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: longest * 4])
    line = " ".join(line.split())
    return repr(line if len(line) <= longest else line[:longest] + "...")
