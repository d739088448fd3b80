# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are to an API server: fixed credentials, a token in a file that is replaced, an exec plugin, a provider of the kubernetes package."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Protocol

from ..core.errors import ConfigError, MissingDependency, Unavailable, Unsupported

EXEC_TIMEOUT = 20.0
"""Seconds a plugin may take. It has nobody to ask: its standard input is empty."""
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
EARLY = 10.0
"""Seconds before its end at which a credential is no longer used."""
_LIKE_A_SECRET = re.compile(r"[A-Za-z0-9+_=.-]{32,}")


@dataclass(frozen=True)
class Proof:
    """What is shown to the server. ``cert`` and ``key`` are PEM text, both or neither."""

    authorization: str = field(default="", repr=False)
    cert: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)

    @property
    def kind(self) -> str:
        """In words, for messages."""
        if self.authorization:
            return "user name and password" if self.authorization.startswith("Basic ") else "token"
        return "client certificate" if self.cert else "no credentials"

    def hide(self, text: str) -> str:
        """``text`` without what is secret in this."""
        scheme, _space, secret = self.authorization.partition(" ")
        secrets = [secret] if secret else []
        if scheme == "Basic":
            secrets.append(base64.b64decode(secret).decode("utf-8", "replace").partition(":")[2])
        for one in secrets:
            if len(one) >= 4:
                text = text.replace(one, "[hidden]")
        return text


class Credentials(Protocol):
    def proof(self, renew: bool = False) -> Proof:
        """What to show now; ``renew`` after the server refused the last one. Raises ConfigError, Unavailable, MissingDependency."""


class Fixed:
    """They never change."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof

    def proof(self, renew: bool = False) -> Proof:
        return self._proof


class TokenFile:
    """A token in a file that somebody replaces before it ends, as the kubelet does for a ServiceAccount."""

    def __init__(self, path: str, others: Proof) -> None:
        self._path = path
        self._others = others
        self._proof: Optional[Proof] = None

    def proof(self, renew: bool = False) -> Proof:
        if self._proof is None or renew:
            try:
                with open(self._path, encoding="ascii") as stream:
                    token = stream.read(64 * 1024).strip()
            except (OSError, ValueError) as error:
                raise ConfigError(f"the token file cannot be read: {getattr(error, 'strerror', '') or 'not text'}", where=self._path) from None
            self._proof = replace(self._others, authorization=bearer(token, self._path))
        return self._proof


def bearer(token: str, where: str) -> str:
    """The header for a token. Raises ConfigError, without repeating it, when it is none."""
    if not token or not token.isascii() or re.search(r"[\x00-\x20\x7f]", token):
        raise ConfigError("the token is empty, or holds a space or a line end", where=where)
    return f"Bearer {token}"


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


class ExecPlugin:
    """A program that prints an ExecCredential. ``spec`` is the ``exec`` of a user; ``folder`` that of its kubeconfig."""

    issued: dict[str, tuple[Proof, float]] = {}
    """(credential, its end in seconds since the epoch) by plugin: several adapters of one process ask once."""

    def __init__(self, spec: Mapping[str, Any], cluster: Mapping[str, Any], folder: str, where: str) -> None:
        self._where = f"{where}, exec plugin {spec.get('command')}"
        self._version = str(spec.get("apiVersion") or "")
        if self._version not in EXEC_VERSIONS:
            do = "Write the kubeconfig anew with the tool it comes from; " + f"known: {', '.join(EXEC_VERSIONS)}."
            raise Unsupported(f"the plugin speaks {self._version or 'no version'}", where=self._where, do=do)
        if spec.get("interactiveMode") == "Always":
            do = "Use credentials that work without a person, such as a ServiceAccount's."
            raise Unsupported("the plugin wants to ask somebody", where=self._where, do=do)
        command = str(spec.get("command") or "")
        self._command = [os.path.join(folder, command) if os.sep in command else command, *(str(item) for item in _items(spec.get("args")))]
        self._hint = " ".join(str(spec.get("installHint") or "").split())[:400]
        info: dict[str, Any] = {"interactive": False, **({"cluster": dict(cluster)} if spec.get("provideClusterInfo") else {})}
        about = {"apiVersion": self._version, "kind": "ExecCredential", "spec": info}
        self._env = {str(item.get("name")): str(item.get("value")) for item in _items(spec.get("env")) if isinstance(item, Mapping)}
        self._env["KUBERNETES_EXEC_INFO"] = json.dumps(about)
        self._id = json.dumps([self._command, self._env], sort_keys=True)

    def proof(self, renew: bool = False) -> Proof:
        known = self.issued.get(self._id)
        if known is None or renew or time.time() > known[1] - EARLY:
            known = self.issued[self._id] = self._parsed(self._run())
        return known[0]

    def _run(self) -> bytes:
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, **self._env}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            do = self._hint or "Install it, or give its whole path: the PATH of a CI job is often shorter than yours."
            raise ConfigError(f"the program cannot be started: {error.strerror}", where=self._where, do=do) from None
        try:
            output, errors = process.communicate(timeout=EXEC_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"no credential within {EXEC_TIMEOUT:g} s", where=self._where, do="Run it by hand: does it wait for a login?") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode:
            raise Unavailable(f"the plugin ended with {process.returncode}: {self._last_words(errors)}", where=self._where)
        return output

    def _last_words(self, errors: bytes) -> str:
        """The end of what the plugin complained about, without anything that may be secret."""
        text = " ".join(errors.decode("utf-8", "replace").split())
        for value in self._env.values():
            text = text.replace(value, "[hidden]") if len(value) >= 4 else text
        return _LIKE_A_SECRET.sub("[hidden]", text)[-300:] or "it said nothing"

    def _parsed(self, output: bytes) -> tuple[Proof, float]:
        try:
            said = json.loads(output)
            status = said["status"]
            version, token = said["apiVersion"], str(status.get("token") or "")
            cert, key = (str(status.get(name) or "").encode() for name in ("clientCertificateData", "clientKeyData"))
            until = _timestamp(status["expirationTimestamp"]) if status.get("expirationTimestamp") else float("inf")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unavailable("the plugin printed no ExecCredential", where=self._where, do="Run it by hand and look.") from None
        if version != self._version:
            raise Unavailable(f"the plugin answers in {str(version)[:60]}, and {self._version} was asked for", where=self._where)
        if bool(cert) != bool(key) or not (token or cert):
            raise Unavailable("the plugin gave neither a token nor a certificate with its key", where=self._where)
        return Proof(bearer(token, self._where) if token else "", cert, key), until


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _timestamp(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time, whatever its fraction."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text.strip().upper())
    if not match:
        raise ValueError("not a time")
    zone = "+00:00" if match.group(2) == "Z" else match.group(2)
    return datetime.datetime.fromisoformat(match.group(1) + zone).timestamp()


class LegacyProvider:
    """A user with ``auth-provider`` (oidc, gcp, azure), which kubectl dropped: the kubernetes package still knows some."""

    def __init__(self, config: Mapping[str, Any], name: str, where: str) -> None:
        self._config = config
        self._name = name
        self._where = where
        self._proof: Optional[Proof] = None

    def proof(self, renew: bool = False) -> Proof:
        if self._proof is None or renew:
            self._proof = self._asked()
        return self._proof

    def _asked(self) -> Proof:
        try:
            from kubernetes import client, config
        except ImportError:
            raise MissingDependency("kubernetes", needed_for=f"the auth-provider {self._name} of {self._where}") from None
        configuration = client.Configuration()
        try:
            config.load_kube_config_from_dict(dict(self._config), client_configuration=configuration, persist_config=False)
        except (config.ConfigException, OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the auth-provider {self._name} gave no token ({type(error).__name__})", where=self._where) from None
        token = str((configuration.api_key or {}).get("authorization") or "").partition(" ")[2]
        if not token:
            raise Unsupported(
                f"the kubernetes package gets no token from the auth-provider {self._name}",
                where=self._where,
                do="Use an exec plugin, as kubectl wants since 1.26: gke-gcloud-auth-plugin, kubelogin.",
            )
        return Proof(bearer(token, self._where))


def token_end(authorization: str) -> float:
    """When a JSON web token ends, in seconds since the epoch; 0 when it does not say. Nothing is verified: this is for a message."""
    parts = authorization.partition(" ")[2].split(".")
    if len(parts) != 3:
        return 0.0
    try:
        return float(json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))["exp"])
    except (ValueError, KeyError, TypeError):
        return 0.0
