# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents are, and a release file of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from ..errors import ConfigError
from . import argo, flagger, kayenta
from .source import Converted, Left, Source

ARGO, FLAGGER = "argoproj.io", "flagger.app"
TEMPLATES = {(ARGO, "AnalysisTemplate"), (ARGO, "ClusterAnalysisTemplate"), (FLAGGER, "MetricTemplate")}
RELEASES = {(ARGO, "Rollout"), (FLAGGER, "Canary")}
KNOWN = "a Rollout, AnalysisTemplates (Argo Rollouts), a Canary, MetricTemplates (Flagger), or a canary config (Kayenta)"


def convert(documents: Sequence[Any]) -> Converted:
    """A release file of one tool's documents. Raises ConfigError where there is nothing to read, or more than one release in it."""
    into = Converted()
    releases: list[tuple[str, Source]] = []
    templates: dict[str, dict[str, Source]] = {ARGO: {}, FLAGGER: {}}
    configs: list[Source] = []
    for number, document in enumerate(_flat(documents), 1):
        if not isinstance(document, dict):
            raise ConfigError("that is no mapping", where=f"document {number}", do=f"Give {KNOWN}.")
        group, kind = str(document.get("apiVersion", "")).partition("/")[0], str(document.get("kind", ""))
        name = str((document.get("metadata") or {}).get("name", "")) if isinstance(document.get("metadata"), dict) else ""
        if (group, kind) in RELEASES:
            releases.append((group, Source(document, f"{kind}/{name}", into.left)))
        elif (group, kind) in TEMPLATES:
            templates[group][name] = Source(document, f"{kind}/{name}", into.left)
        elif "metrics" in document and ("judge" in document or "classifier" in document):
            configs.append(Source(document, str(document.get("name") or "config"), into.left))
        else:
            into.left.append(Left(f"{kind or f'document {number}'}/{name}".rstrip("/"), "not read: it stays as it is"))
    if len(releases) + len(configs) > 1:
        found = ", ".join(source.path for source in [*(source for _group, source in releases), *configs])
        raise ConfigError(f"more than one release: {found}", do="Convert them one by one.")
    groups = {group for group, _source in releases} | {group for group, some in templates.items() if some}
    if not (releases or configs or groups):
        raise ConfigError("there is nothing to convert", do=f"Give {KNOWN}.")
    if len(groups) > 1 or (configs and groups):
        raise ConfigError("the documents belong to different tools", do="Convert them one by one.")
    for config in configs:
        kayenta.convert(config, into)
    for group in groups:
        release = next((source for _group, source in releases), None)
        how: Callable[..., None] = argo.convert if group == ARGO else flagger.convert
        how(release, templates[group], into)
        if release is None:
            into.to_do.append("rollout_name, rollout_version, rollout_workload, rollout_router: the documents do not say what is released. Add them.")
    for source in [*(source for _group, source in releases), *templates[ARGO].values(), *templates[FLAGGER].values(), *configs]:
        source.end()
    return into


def _flat(documents: Sequence[Any]) -> list[Any]:
    """The documents without empty ones, and the items of a List in its place."""
    found: list[Any] = []
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
            found += document["items"]
        elif document is not None:
            found.append(document)
    return found
