# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release state beside the service it is about: ConfigMaps ``pd-<name>`` (the record) and ``pd-<name>-<key>``, and the Lease ``pd-<name>``.

The server compares and swaps by ``resourceVersion``, which is the token. The Lease holds the whole document in an annotation; its
fields say the same to people and to ``kubectl get lease``.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from ..clients.kube import KUBE_OPTIONS, Kube
from ..clients.kube_resources import CONFIGMAPS, LEASES, Resource
from ..core.errors import ConfigError, Conflict
from ..core.kube_rights import STORE, Rights
from ..core.lease import KEY as LEASE
from ..core.lease import RECORD, TTL
from ..core.options import Options
from ..core.ports import Stored

SCHEMA = "1"
MAX_BYTES = 200 * 1024
"""The largest document, as written: an annotation holds 256 KiB."""
DATA = "data.json"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "progressive.delivery"
OURS = "progressive.delivery/"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,198}[a-z0-9])?\Z")
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?\Z")


class KubernetesStore:
    """Implements the port ``StateStore`` for one release name, in one namespace."""

    SUMMARY: ClassVar[str] = "ConfigMaps and a Lease in the namespace of the service."
    on_one_host: ClassVar[bool] = False
    OPTIONS: ClassVar[Options] = KUBE_OPTIONS

    def __init__(self, name: str, kube: Kube) -> None:
        if not _NAME.match(name) or ".." in name:
            do = "Lower-case letters, digits, '-' and '.', up to 200: Kubernetes takes no other names."
            raise ConfigError(f"{name[:80]!r} cannot be the name of a release whose state is in Kubernetes", where="rollout_name", do=do)
        self._name = name
        self.kube = kube
        self._loaded: dict[str, dict[str, Any]] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], name: str, kube: Optional[Kube] = None) -> KubernetesStore:
        """``name`` is the release's (``rollout_name``)."""
        return cls(name, kube or Kube.from_options(options))

    def load(self, key: str) -> Optional[Stored]:
        """The document. Raises ConfigError when an object of that name is not ours or not readable; Unavailable."""
        resource, name = self._place(key)
        found = self.kube.get(resource, name)
        if found is None:
            return None
        self._loaded[key] = found
        return Stored(self._parsed(key, found), str(found["metadata"]["resourceVersion"]))

    def save(self, key: str, value: Mapping[str, Any], expect: Optional[str]) -> str:
        """Compare and swap. Raises Conflict, ConfigError (too large, not ours, may not), Unavailable."""
        resource, name = self._place(key)
        text = self._serialised(key, value)
        mark = secrets.token_hex(8)
        current: dict[str, Any] = {}
        if expect is not None:
            current = self._loaded.pop(key, {})  # the server compares: an object that is another by now is refused
            if not current or current["metadata"]["resourceVersion"] != expect:
                current = self.kube.get(resource, name) or {}
            if not current or current["metadata"]["resourceVersion"] != expect:
                raise Conflict("somebody else changed it meanwhile", where=self._shown(key))
            self._parsed(key, current)
        wanted = self._document(key, value, text, mark, current)
        try:
            written = self.kube.replace(resource, wanted) if current else self.kube.create(resource, wanted)
        except Conflict:
            written = self.kube.get(resource, name) or {}
            if self._annotations(written).get(f"{OURS}saved") != mark:  # equal: our own save, whose first answer was lost
                raise
        return str(written["metadata"]["resourceVersion"])

    def rights(self) -> Rights:
        return STORE

    def _place(self, key: str) -> tuple[Resource, str]:
        """Where a document is: its kind of object and the object's name."""
        if not _KEY.match(key):
            raise ConfigError(f"{key[:80]!r} cannot be the key of a document", do="Lower-case letters, digits, '-' and '.', up to 40.")
        if key == LEASE:
            return LEASES, f"pd-{self._name}"
        return CONFIGMAPS, f"pd-{self._name}" if key == RECORD else f"pd-{self._name}-{key}"

    def _shown(self, key: str) -> str:
        resource, name = self._place(key)
        return f"{resource.kind} {self.kube.namespace}/{name}"

    @staticmethod
    def _annotations(found: Mapping[str, Any]) -> Mapping[str, Any]:
        annotations: Mapping[str, Any] = (found.get("metadata") or {}).get("annotations") or {}
        return annotations

    def _document(self, key: str, value: Mapping[str, Any], text: str, mark: str, current: Mapping[str, Any]) -> dict[str, Any]:
        """The object to write: ``current`` with what is ours in it replaced. ``mark`` makes every save a change, and tells ours from others'."""
        _resource, name = self._place(key)
        wanted = dict(current)
        meta = dict(wanted.get("metadata") or {"name": name})
        meta["labels"] = {**(meta.get("labels") or {}), MANAGED_BY: MANAGER}
        ours = {f"{OURS}document": f"{self._name}/{key}", f"{OURS}schema": SCHEMA, f"{OURS}saved": mark}
        meta["annotations"] = {**(meta.get("annotations") or {}), **ours}
        wanted["metadata"] = meta
        if key == LEASE:
            meta["annotations"][f"{OURS}lease"] = text
            wanted["spec"] = {**(wanted.get("spec") or {}), **_spec(value)}
        else:
            wanted["data"] = {DATA: text}
        return wanted

    def _parsed(self, key: str, found: Mapping[str, Any]) -> dict[str, Any]:
        resource, name = self._place(key)
        annotations, shown = self._annotations(found), self._shown(key)
        aside = f"Look at it; to forget this state and start from what is live: kubectl -n {self.kube.namespace} delete {resource.plural} {name}"
        whose = annotations.get(f"{OURS}document")
        if whose is None:
            raise ConfigError("was not made by this collection", where=shown, do="Choose another rollout_name, or move that object away.")
        if whose != f"{self._name}/{key}":
            raise ConfigError(f"belongs to another release name, {str(whose)[:200]}", where=shown, do="Choose a rollout_name that does not end so.")
        schema = str(annotations.get(f"{OURS}schema"))
        if schema != SCHEMA:
            raise ConfigError(f"was written by another version of this collection (schema {schema[:20]})", where=shown, do="Use that version, or a later one.")
        text = annotations.get(f"{OURS}lease") if key == LEASE else (found.get("data") or {}).get(DATA)
        try:
            value = json.loads(text or "")
        except ValueError as error:
            raise ConfigError(f"holds no readable JSON ({error})", where=shown, do=aside) from None
        if not isinstance(value, dict):
            raise ConfigError("holds JSON, but no document of this collection", where=shown, do=aside)
        return value

    def _serialised(self, key: str, value: Mapping[str, Any]) -> str:
        try:
            text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the document holds something that JSON cannot say: {error}", where=self._shown(key)) from None
        if len(text) > MAX_BYTES:
            do = "Split the release into smaller ones."
            raise ConfigError(f"the document would be {len(text)} bytes, more than {MAX_BYTES}", where=self._shown(key), do=do)
        return text


def _spec(lease: Mapping[str, Any]) -> dict[str, Any]:
    """What people and other tools read in a Lease. Nothing here is ever read back: the document in the annotation counts."""
    holder = " ".join(str(lease.get(part) or "") for part in ("who", "holder")).strip()
    seconds = max(float(value) for value in (lease.get("ttl", TTL), lease.get("stretch"), 1) if isinstance(value, (int, float)))
    renewed = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z", str(lease.get("renewed") or ""))
    fence = lease.get("fence")
    return {
        "holderIdentity": holder[:500] if lease.get("holder") else None,
        "leaseDurationSeconds": min(2**31 - 1, max(1, math.ceil(seconds))),
        "renewTime": f"{renewed.group(1)}.{(renewed.group(2) or '').ljust(6, '0')}Z" if renewed else None,
        "leaseTransitions": fence if isinstance(fence, int) and 0 <= fence < 2**31 else None,
    }
