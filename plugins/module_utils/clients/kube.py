# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API as raw JSON over one keep-alive connection.

The ``kubernetes`` package is not used: importing it takes longer than a whole step. Objects are plain dicts, as ``kubectl get -o json``
shows them. Every exchange is bounded; what may be repeated without harm is tried again, with growing pauses, for :data:`BUDGET`.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..core.errors import Away, ConfigError, DeliveryError, Unavailable
from ..core.options import Option, Options
from ..core.ports import Clock
from ..core.units import iso
from .clock import SystemClock
from .kube_errors import NoSuchResource, Request, refusal
from .kube_link import Broken, Link
from .kube_login import Proof, token_end
from .kube_resources import ACCESS_REVIEWS, Resource
from .kubeconfig import Login, login

MANAGER = "progressive.delivery"
"""The field manager of every write, by which ``kubectl get --show-managed-fields`` tells our fields from others'."""
READ_TIMEOUT = 10.0
BUDGET = 15.0
"""Seconds after which nothing is tried again: with the last try's own limits a call takes at most 30."""
TRIES = 6
PAUSES = (0.1, 3.0)
"""The first pause between two tries and the longest, in seconds."""
CALM = 0.25
"""The shortest pause for a server that has too much to do, whatever it asks for."""
PAGE = 500
MAX_BYTES = 64 * 1024 * 1024
LONGEST_WATCH = 10.0

KUBE_OPTIONS: Options = {
    "kubeconfig": Option(
        "raw",
        "Path of a kubeconfig file, several with C(:) between them, or its content as a mapping. Default is E(K8S_AUTH_KUBECONFIG), then E(KUBECONFIG),"
        " then C(~/.kube/config), then the ServiceAccount of the Pod this runs in.",
    ),
    "context": Option("str", "Context of the kubeconfig. Default is E(K8S_AUTH_CONTEXT), then its current context."),
    "namespace": Option("str", "Namespace of every object named here. Default is the context's, then V(default)."),
    "host": Option("str", "URL of the API server, instead of the kubeconfig's. Default is E(K8S_AUTH_HOST)."),
    "api_key": Option("str", "Bearer token, instead of the kubeconfig's user. Default is E(K8S_AUTH_API_KEY).", secret=True),
    "username": Option("str", "User for basic authentication, which only a proxy before the API server may offer. Default is E(K8S_AUTH_USERNAME)."),
    "password": Option("str", "Password for basic authentication. Default is E(K8S_AUTH_PASSWORD).", secret=True),
    "client_cert": Option("path", "File with a client certificate in PEM form; may hold its key. Default is E(K8S_AUTH_CERT_FILE).", aliases=("cert_file",)),
    "client_key": Option("path", "File with the key of the client certificate. Default is E(K8S_AUTH_KEY_FILE).", aliases=("key_file",)),
    "ca_cert": Option("path", "File with the certificates to trust the API server by. Default is E(K8S_AUTH_SSL_CA_CERT).", aliases=("ssl_ca_cert",)),
    "validate_certs": Option(
        "bool", "Whether the API server's certificate is verified. Default is E(K8S_AUTH_VERIFY_SSL), then what the kubeconfig says.", aliases=("verify_ssl",)
    ),
    "proxy": Option("str", "URL of the HTTP proxy to the API server. Default is E(K8S_AUTH_PROXY), then the kubeconfig's, then E(HTTPS_PROXY).", secret=True),
    "impersonate_user": Option("str", "User to act as. Default is E(K8S_AUTH_IMPERSONATE_USER)."),
    "impersonate_groups": Option("list", "Groups to act as a member of. Default is E(K8S_AUTH_IMPERSONATE_GROUPS), separated by commas.", elements="str"),
}
"""How a cluster is reached: the names of the collection kubernetes.core."""

PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}
BUSY = 429
PASSING = (500, 502, 503, 504)


@dataclass(frozen=True)
class Answer:
    """An answer of the server, or of a Pod behind it. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Call:
    """One HTTP request. ``safe``: sent twice it does what it does once. ``plain``: any status is an answer, none is tried again."""

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    kind: str = "application/json"
    safe: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = field(default_factory=lambda: READ_TIMEOUT)
    plain: bool = False


class Kube:
    """A cluster, as one user, with a namespace for objects that name none.

    Raises everywhere: Forbidden (a ConfigError that names the missing rule), NoSuchResource (a ConfigError: an API that is not there),
    ConfigError (refused by validation or admission, with the server's message), Unavailable.
    """

    def __init__(self, to: Login, clock: Optional[Clock] = None) -> None:
        self.namespace = to.namespace
        self.where = to.server.where
        """Server, kubeconfig and context, for messages."""
        self._login = to
        self._clock = clock or SystemClock()
        self._link = Link(to.server, self._poll)
        self._lock = threading.Lock()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], clock: Optional[Clock] = None) -> Kube:
        """``options``: validated ones of :data:`KUBE_OPTIONS`. Nothing is sent yet. Raises ConfigError, Unsupported."""
        return cls(login(options), clock)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Optional[dict[str, Any]]:
        """The object, read from the quorum, never from a cache; None when it is not there."""
        asked = self._asked("get", resource, namespace, name)
        answer = self._send(_Call("GET", resource.path(asked.namespace, name)))
        return None if self._missing(asked, answer) else self._object(asked, answer)

    def list(self, resource: Resource, namespace: str = "", labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        """Every object that fits the selectors; pages are followed. Each has its kind, as if it had been read alone."""
        asked = self._asked("list", resource, namespace)
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields, "continue": ""}
        found: list[dict[str, Any]] = []
        while True:
            answer = self._send(_Call("GET", resource.path(asked.namespace) + _query(query)))
            if answer.status == 410 and query["continue"]:  # the pages grew too old while we read them: all at once, then
                found, query = [], {**query, "limit": "", "continue": ""}
                continue
            page = self._object(asked, answer)
            items = page.get("items") or []
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise Unavailable(f"the answer is no list of {resource}", where=self.where)
            found += [{"apiVersion": resource.api, "kind": resource.kind, **item} for item in items]
            query["continue"] = str((page.get("metadata") or {}).get("continue") or "")
            if not query["continue"]:
                return found

    def create(self, resource: Resource, body: Mapping[str, Any], namespace: str = "", dry_run: bool = False) -> dict[str, Any]:
        """The object as the server made it. Raises Conflict when there is one already."""
        asked = self._asked("create", resource, namespace, body["metadata"]["name"])
        path = resource.path(asked.namespace) + _query(_writing(dry_run))
        return self._object(asked, self._send(_Call("POST", path, _json({"apiVersion": resource.api, "kind": resource.kind, **body}, asked))))

    def replace(self, resource: Resource, body: Mapping[str, Any], namespace: str = "", dry_run: bool = False) -> dict[str, Any]:
        """A ``metadata.resourceVersion`` in the body makes it a compare-and-swap: Conflict when the object has another one."""
        meta = body["metadata"]
        asked = self._asked("update", resource, namespace, meta["name"])
        path = resource.path(asked.namespace, asked.name) + _query(_writing(dry_run))
        content = _json({"apiVersion": resource.api, "kind": resource.kind, **body}, asked)
        return self._object(asked, self._send(_Call("PUT", path, content, safe=dry_run or bool(meta.get("resourceVersion")))))

    def patch(
        self, resource: Resource, name: str, body: Any, namespace: str = "", how: str = "merge", dry_run: bool = False, subresource: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """``how``: merge, strategic or json. A ``metadata.resourceVersion`` in the first two makes it a compare-and-swap: Conflict."""
        asked = self._asked("patch", resource, namespace, name, subresource)
        path = resource.path(asked.namespace, name, subresource) + _query(_writing(dry_run))
        compared = isinstance(body, Mapping) and bool((body.get("metadata") or {}).get("resourceVersion"))
        return self._object(asked, self._send(_Call("PATCH", path, _json(body, asked), PATCHES[how], safe=dry_run or compared)))

    def delete(self, resource: Resource, name: str, namespace: str = "", body: Optional[Mapping[str, Any]] = None) -> bool:
        """Whether it was there. ``body`` holds DeleteOptions, such as preconditions and propagationPolicy."""
        asked = self._asked("delete", resource, namespace, name)
        answer = self._send(_Call("DELETE", resource.path(asked.namespace, name), _json(body, asked) if body else b""))
        return not self._missing(asked, answer) and bool(self._object(asked, answer))

    def watch(self, resource: Resource, name: str, since: str, seconds: float, namespace: str = "") -> Iterator[dict[str, Any]]:
        """The object each time it changes after the resourceVersion ``since``, also when it is deleted.

        Ends after ``seconds`` (at most 10), when ``since`` is too old for the server, or with the connection: look with :meth:`get` then.
        A connection of its own, so that other requests may be made meanwhile.
        """
        asked = self._asked("watch", resource, namespace, name)
        seconds = max(0.0, min(seconds, LONGEST_WATCH))
        query = {
            "watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": since, "timeoutSeconds": str(int(seconds) + 1),
        }  # fmt: skip
        resource.path(asked.namespace, name)  # refuses what is no name
        call = _Call("GET", resource.path(asked.namespace) + _query(query))
        link = Link(self._login.server, self._poll)
        try:
            head = self._begin(link, call)
            if head.status == 410:
                return
            if head.status >= 400:
                raise self._refused(asked, self._whole(link, head))
            for line in link.lines(head, seconds):
                event = _event(line)
                if event is None or (event["type"] == "ERROR" and event["object"].get("code") in (404, 410)):
                    return
                if event["type"] == "ERROR":
                    raise self._refused(asked, Answer(int(event["object"].get("code") or 500), {}, _json(event["object"], asked)))
                yield event["object"]
        finally:
            link.close()

    def allowed(self, resource: Resource, verb: str, namespace: str = "", name: str = "", subresource: str = "") -> bool:
        """Whether RBAC lets us, as the server sees it."""
        asked = self._asked(verb, resource, namespace, name, subresource)
        attributes = {"verb": verb, "group": resource.group, "resource": resource.plural, "subresource": subresource, "name": name}
        if resource.namespaced:
            attributes["namespace"] = asked.namespace
        review = {"apiVersion": ACCESS_REVIEWS.api, "kind": ACCESS_REVIEWS.kind, "spec": {"resourceAttributes": attributes}}
        request = Request("create", ACCESS_REVIEWS)
        answer = self._object(request, self._send(_Call("POST", ACCESS_REVIEWS.path(), _json(review, request))))
        return bool((answer.get("status") or {}).get("allowed"))

    def raw(
        self, method: str, path: str, *, query: Optional[Mapping[str, str]] = None, body: Optional[bytes] = None,
        headers: Optional[Mapping[str, str]] = None, timeout: float = READ_TIMEOUT,
    ) -> Answer:  # fmt: skip
        """Any path of the server: a Pod's log, or the Pod itself behind its proxy. Any status is an answer; only a GET is tried again."""
        call = _Call(method, path + _query(query or {}), body or b"", "", method == "GET", tuple((headers or {}).items()), timeout, plain=True)
        return self._send(call)

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        self._link.close()

    def _asked(self, verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = "") -> Request:
        return Request(verb, resource, (namespace or self.namespace) if resource.namespaced else "", name, subresource)

    def _poll(self) -> None:
        self._clock.sleep(0)  # raises when this process was asked to end

    def _send(self, call: _Call) -> Answer:
        """The answer, after all that may be repeated was. Raises Unavailable when there is none."""
        until, pause, renewed = self._clock.now() + BUDGET, PAUSES[0], False
        proof = self._login.credentials.proof()
        for tries in range(1, TRIES + 2):
            answer: Optional[Answer] = None
            failure: Optional[DeliveryError] = None
            try:
                with self._lock:
                    answer = self._whole(self._link, self._link.send(call.method, call.path, self._headers(call), call.body, proof, call.timeout))
            except Broken as error:
                failure, again = self._unreachable(error), call.safe or not error.sent
            else:
                if answer.status == 401 and not renewed:
                    proof, renewed = self._login.credentials.proof(renew=True), True
                    continue
                again = not call.plain and (answer.status == BUSY or (answer.status in PASSING and call.safe))
            pause = min(PAUSES[1], random.uniform(PAUSES[0], pause * 3))
            wait = max(pause, _retry_after(answer), CALM if answer is not None and answer.status == BUSY else 0.0)
            if not again or tries >= TRIES or self._clock.now() + wait > until:
                break
            self._clock.sleep(wait)
        if answer is None:
            raise failure or Broken("nothing was tried", sent=False)
        return answer

    def _begin(self, link: Link, call: _Call) -> http.client.HTTPResponse:
        """The head of an answer that is read in pieces; nothing but a 401 is tried again."""
        try:
            head = link.send(call.method, call.path, self._headers(call), b"", self._login.credentials.proof(), call.timeout)
            if head.status == 401:
                link.close()
                head = link.send(call.method, call.path, self._headers(call), b"", self._login.credentials.proof(renew=True), call.timeout)
        except Broken as error:
            raise self._unreachable(error) from None
        return head

    @staticmethod
    def _whole(link: Link, head: http.client.HTTPResponse) -> Answer:
        body = link.read(head, MAX_BYTES)
        return Answer(head.status, {name.lower(): value for name, value in head.getheaders()}, body)

    def _headers(self, call: _Call) -> Sequence[tuple[str, str]]:
        own = [("Accept", "application/json"), ("User-Agent", MANAGER), ("Content-Type", call.kind if call.body else "")]
        return [*own, *self._login.impersonate, *call.headers]

    def _object(self, asked: Request, answer: Answer) -> dict[str, Any]:
        if answer.status >= 400:
            raise self._refused(asked, answer)
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if answer.status >= 300 or not isinstance(found, dict):
            do = "Look at host: is this the API server, or a login page before it?"
            raise Unavailable(f"the answer ({answer.status}) is no Kubernetes object", where=self.where, do=do)
        return found

    def _missing(self, asked: Request, answer: Answer) -> bool:
        """Whether the object is not there. Raises NoSuchResource when its whole API is not."""
        if answer.status != 404:
            return False
        refused = self._refused(asked, answer)
        if isinstance(refused, NoSuchResource):
            raise refused
        return True

    def _refused(self, asked: Request, answer: Answer) -> DeliveryError:
        proof = self._login.credentials.proof()
        if answer.status == 401:
            return self._unknown(proof)
        if answer.status == BUSY:
            wait = _retry_after(answer)
            later = f" and asks to wait {wait:g} s" if wait else ""
            return Away(f"the API server has too much to do{later}", where=self.where, do="Others may be flooding it.", wait=wait)
        body = proof.hide(answer.body.decode("utf-8", "replace"))  # whatever of it is quoted, our secrets are not in it
        return refusal(asked, answer.status, body, self.where)

    def _unknown(self, proof: Proof) -> Unavailable:
        """The server does not know us. It may be its own passing trouble with a token's issuer, so this is no ConfigError."""
        end, now = token_end(proof.authorization), self._clock.time()
        if not proof.authorization and not proof.cert:
            return Unavailable("the API server wants credentials, and there are none (401)", where=self.where, do="Give api_key, or a kubeconfig with a user.")
        if 0 < end < now:
            return Unavailable(f"the token ended at {iso(end)} (401)", where=self.where, do="Get a new one, or use credentials that renew themselves.")
        do = "Has it ended? openssl x509 -noout -enddate reads that." if proof.kind == "client certificate" else "Has it ended, or was it withdrawn?"
        return Unavailable(f"the API server does not accept the {proof.kind} (401)", where=self.where, do=do)

    def _unreachable(self, error: Broken) -> Away:
        do = "Is it up, and may this machine reach it? kubectl get --raw /readyz"
        return Away(f"the API server does not answer: {error}", where=self.where, do=do)


def _event(line: bytes) -> Optional[dict[str, Any]]:
    """An event of a watch; None when it was cut off with the connection."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("object"), dict) and event.get("type") else None


def _retry_after(answer: Optional[Answer]) -> float:
    """Seconds the server asks us to wait; 0 when it does not say."""
    text = answer.headers.get("retry-after", "").strip() if answer else ""
    return float(text) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else 0.0


def _writing(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}


def _query(parameters: Mapping[str, str]) -> str:
    given = {name: value for name, value in parameters.items() if value}
    return f"?{urllib.parse.urlencode(given)}" if given else ""


def _json(value: Any, asked: Request) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"it holds something that JSON cannot say: {error}", where=asked.object) from None
