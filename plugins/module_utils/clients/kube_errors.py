# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Kubernetes API server refuses, as errors of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import Away, ConfigError, Conflict, DeliveryError, Unavailable
from .kube_resources import Resource

LONGEST = 600
"""Characters of a server's message that are repeated."""

_WHO = re.compile(r'User "([^"]*)" cannot ')
_WHOLE_OBJECT = re.compile(r'(Invalid value): "\{(?:[^"\\]|\\.)*"')


class Forbidden(ConfigError):
    """RBAC does not allow it. What is only nice to have is left out then, with a note."""


class NoSuchResource(ConfigError):
    """The server has no such API: a CustomResourceDefinition that is not installed, or only in another version."""


@dataclass(frozen=True)
class Request:
    """What was asked, in the words of RBAC. ``name`` is empty for a collection."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def plural(self) -> str:
        """As a Role names it: ``pods/log``."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural

    @property
    def object(self) -> str:
        """``Deployment shop/app``."""
        place = f"{self.namespace}/" if self.namespace and self.resource.namespaced else ""
        return f"{self.resource.kind} {place}{self.name}" if self.name else f"{self.resource}{f' in {self.namespace}' if place else ''}"


def forbidden(asked: Request, *, user: str = "", where: str = "") -> Forbidden:
    """``may not patch deployments.apps in shop as system:serviceaccount:ci:deployer``."""
    group = asked.resource.group
    place = f" in {asked.namespace}" if asked.resource.namespaced and asked.namespace else ""
    who = f" as {user}" if user else ""
    rule = f'apiGroups: ["{group}"], resources: [{asked.plural}], verbs: [{asked.verb}]'
    return Forbidden(
        f"may not {asked.verb} {asked.plural}{f'.{group}' if group else ''}{place}{who}",
        where=where,
        do=f"Add it to the {'Role' if asked.resource.namespaced else 'ClusterRole'}: {rule} (see examples/rbac).",
    )


def no_such_resource(asked: Request, where: str = "") -> NoSuchResource:
    resource = asked.resource
    do = f"Install its CustomResourceDefinition, or see what there is: kubectl api-resources --api-group={resource.group}"
    return NoSuchResource(f"this cluster does not serve {resource} in version {resource.version}", where=where, do=do if resource.group else "")


def absent(asked: Request, where: str = "") -> ConfigError:
    """The object that a write needs is not there."""
    return ConfigError(f"there is no {asked.object}", where=where, do="Look at its name and namespace.")


def changed(asked: Request, message: str = "") -> Conflict:
    return Conflict(message or "somebody else changed it meanwhile", where=asked.object)


def refusal(asked: Request, status: int, body: str, where: str) -> DeliveryError:
    """The error for an answer of 400 and more, but 401 and those that are tried again."""
    said = _status(body)
    message, reason = _text(said.get("message")), str(said.get("reason") or "")
    if status == 403:
        who = _WHO.search(message)
        return forbidden(asked, user=who.group(1), where=where) if who else ConfigError(f"{asked.verb} {asked.object} was refused: {message}", where=where)
    if status == 404:
        return _missing(asked, said, where)
    if status == 409:
        return changed(asked, message if reason == "AlreadyExists" else "")
    if status in (500, 502, 503, 504) or (status == 410 and asked.verb == "list"):
        failed = f"{asked.verb} {asked.object} failed ({status}): {message or 'without a message'}"
        if "webhook" in message:  # its owner's business, and it may never come back
            return Unavailable(failed, where=where, do="Look at the webhook that the message names.")
        return Away(failed, where=where)
    return ConfigError(f"{asked.verb} {asked.object} was refused ({status}): {message or 'without a message'}", where=where)


def _missing(asked: Request, said: Mapping[str, Any], where: str) -> DeliveryError:
    details = said.get("details")
    kind = details.get("kind") if isinstance(details, Mapping) else ""
    if kind and asked.verb == "update":
        return changed(asked, "it was deleted meanwhile")
    if kind == "namespaces" and asked.resource.plural != "namespaces":
        return ConfigError(f"there is no namespace {asked.namespace}", where=where, do=f"Make it: kubectl create namespace {asked.namespace}")
    return absent(asked, where) if kind else no_such_resource(asked, where)


def _status(body: str) -> Mapping[str, Any]:
    """The Status object of an answer; empty when it has none."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _text(message: object) -> str:
    """A server's message on one line, of bounded length, without the whole object that some of them quote."""
    text = " ".join(_WHOLE_OBJECT.sub(r"\1", str(message or "")).split())
    text = "".join(letter for letter in text if letter.isprintable())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
