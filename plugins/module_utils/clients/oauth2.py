# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAuth 2.0 client credentials (RFC 6749, section 4.4): a bearer token from a token endpoint, kept until shortly before it expires.

The request for the token goes through the same bounded HTTP as everything else. Neither the secret nor a token stands in a message, and
nothing that the endpoint says does, but for an error code that the standard knows.
"""

from __future__ import annotations

import base64
import json
import math
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..core.errors import ConfigError, Unavailable
from ..core.options import Option, Options

MAX_BYTES = 64 * 1024
"""Size of an answer of the token endpoint. A token is a few kilobytes at most."""
EARLY = 30.0
"""A token is renewed this many seconds before it expires, or after half of its life when that is shorter."""
UNSAID = 300.0
"""How long a token is kept whose life the endpoint does not say."""
CODES = ("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "temporarily_unavailable")

OAUTH2: Options = {
    "token_url": Option("str", "The token endpoint. C(url_allow) and C(rollout_url_allow) hold for it too.", required=True),
    "client_id": Option("str", "Who asks.", required=True),
    "client_secret": Option("str", "The secret of the client.", required=True, secret=True),
    "scopes": Option("list", "What the token shall allow.", elements="str"),
    "parameters": Option("dict", "Further parameters of the token request, such as V(audience) or V(resource).", open=True),
    "credentials_in": Option(
        "str", "Where the client's id and secret stand in the token request: basic authentication, or its body.", default="header", choices=("header", "body")
    ),
}


class ClientCredentials:
    """The header ``Authorization`` with a token that is asked for when it is needed. ``ask``: :func:`.web.fetch`; ``clock``: monotonic seconds."""

    def __init__(
        self, token_url: str, client_id: str, client_secret: str, ask: Callable[..., Any], *, scopes: tuple[str, ...] = (),
        parameters: Optional[Mapping[str, str]] = None, in_body: bool = False, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = token_url
        self._client = (client_id, client_secret)
        self._ask = ask
        self._scopes = scopes
        self._parameters = dict(parameters or {})
        self._in_body = in_body
        self._clock = clock
        self._token = ""
        self._until = -math.inf
        self._lock = threading.Lock()
        # a path or query may hold a secret: messages name the host alone
        self._where = urllib.parse.urlsplit(token_url)._replace(path="", query="", fragment="").geturl()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], ask: Callable[..., Any]) -> ClientCredentials:
        """``options``: validated ones of :data:`OAUTH2`; the URL is checked by who calls. Raises ConfigError."""
        parameters = {str(name): str(value) for name, value in (options.get("parameters") or {}).items()}
        ours = sorted({"grant_type", "client_id", "client_secret", "scope"} & set(parameters))
        if ours:
            raise ConfigError(f"{ours[0]} is no further parameter", where="oauth2.parameters", do="It has an option of its own, or is set here.")
        for name in ("token_url", "client_id", "client_secret"):
            if not options[name]:
                raise ConfigError(f"{name} is empty", where="oauth2", do="Is the variable that it comes from set?")
        return cls(
            options["token_url"], options["client_id"], options["client_secret"], ask, scopes=tuple(options.get("scopes") or ()),
            parameters=parameters, in_body=options.get("credentials_in", "header") == "body",
        )  # fmt: skip

    def header(self) -> str:
        """Raises Unavailable when no token can be had."""
        with self._lock:
            if self._clock() >= self._until:
                self._renew()
            return f"Bearer {self._token}"

    def refused(self, header: str) -> bool:
        """Forget the token of ``header``, which a server did not take. True: ask again, with another one."""
        with self._lock:
            if header == f"Bearer {self._token}":
                self._until = -math.inf
        return True

    def _renew(self) -> None:
        form = {"grant_type": "client_credentials", **({"scope": " ".join(self._scopes)} if self._scopes else {}), **self._parameters}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        client_id, secret = self._client
        if self._in_body:
            form.update(client_id=client_id, client_secret=secret)
        else:  # each part is encoded first, as the standard has it
            pair = f"{urllib.parse.quote_plus(client_id)}:{urllib.parse.quote_plus(secret)}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        started = self._clock()
        response = self._ask(self._url, method="POST", headers=headers, body=urllib.parse.urlencode(form).encode(), max_bytes=MAX_BYTES)
        reply = self._read(response.status, response.body)
        token, life = reply.get("access_token"), _seconds(reply.get("expires_in"))
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Unavailable("the token endpoint answered without a token", where=self._where)
        if str(reply.get("token_type", "bearer")).lower() != "bearer":
            raise Unavailable("the token endpoint gives another kind of token than bearer", where=self._where)
        self._token = token
        self._until = started + life - min(EARLY, life / 2)

    def _read(self, status: int, body: bytes) -> Mapping[str, Any]:
        try:
            reply = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            reply = None
        if isinstance(reply, dict) and status == 200 and "error" not in reply:
            return reply
        code = str(reply.get("error")) if isinstance(reply, dict) else ""
        said = f": {code}" if code in CODES else "" if isinstance(reply, dict) else " and no JSON"
        do = "Check client_id and client_secret." if code in ("invalid_client", "unauthorized_client") or status == 401 else ""
        raise Unavailable(f"no token: the token endpoint answered HTTP {status}{said}", where=self._where, do=do)


def _seconds(value: Any) -> float:
    """``expires_in``, which some endpoints write as a string. What cannot be read is no time at all: the token serves once."""
    if value is None:
        return UNSAID
    try:
        seconds = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), 86400.0) if math.isfinite(seconds) else 0.0
