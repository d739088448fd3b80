# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kayenta: a canary config becomes metrics with the judge of the same name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .argo import OTHER_PROVIDER
from .source import Converted, Source, tidy, unique

DIRECTIONS = {"increase": "increase", "decrease": "decrease", "either": "either"}
EFFECTS = {
    "allowedIncrease": "allowed_increase", "allowedDecrease": "allowed_decrease", "criticalIncrease": "critical_increase",
    "criticalDecrease": "critical_decrease",
}  # fmt: skip
MEASURES = {"meanRatio": "mean_ratio", "cles": "cles"}


def convert(config: Source, into: Converted) -> None:
    """Fill ``into`` with ``rollout_analysis``: a canary config says what is judged, not what is released."""
    name = config.text("name") or "the canary config"
    config.ignore("id", "description", "configVersion", "createdTimestamp", "createdTimestampIso", "updatedTimestamp", "updatedTimestampIso", "applications")
    judge = config.child("judge")
    kind = judge.text("name", "NetflixACAJudge-v1.0")
    judge.leave("judgeConfigurations", "options of the judge stand in each metric here")
    if not kind.startswith("NetflixACAJudge"):
        into.to_do.append(f"{name} asked for the judge {kind}; here it is judged as NetflixACAJudge judges.")
    classifier = config.child("classifier")
    weights = classifier.take("groupWeights", {})
    thresholds = classifier.child("scoreThresholds")
    scores = tidy({"pass": thresholds.number("pass"), "marginal": thresholds.number("marginal")})
    if not scores:
        into.to_do.append("Kayenta's runs were given the thresholds of the score: here they are 95 and 75, unless pass and marginal of every judge say more.")
    templates = config.take("templates", {})
    made: dict[str, dict[str, Any]] = {}
    for metric in config.children("metrics"):
        found = _metric(metric, templates if isinstance(templates, Mapping) else {}, scores, into)
        if not found:
            continue
        found["name"] = unique(found["name"], made)
        group = found.get("group", "default")
        if isinstance(weights, Mapping) and weights.get(group) is not None:
            found["weight"] = weights[group]
        made[found["name"]] = found
    if made:
        provider = {"prometheus": {"url": "http://prometheus:9090"}}
        into.release["rollout_analysis"] = {"interval": "1m", "provider": provider, "metrics": list(made.values())}
        into.to_do.append(
            "rollout_analysis.provider: name your Prometheus. Kayenta's runs were given lifetime and interval: here a bake and interval say them."
        )
    into.to_do.append("rollout_name, rollout_version, rollout_workload, rollout_router: a canary config does not say what is released. Add them.")


def _metric(metric: Source, templates: Mapping[str, Any], scores: Mapping[str, Any], into: Converted) -> dict[str, Any]:
    name = metric.text("name", "metric")
    groups = metric.take("groups", [])
    metric.ignore("scopeName")
    query = _query(metric.child("query"), name, templates, into)
    options = metric.child("analysisConfigurations").child("canary")
    outliers, effect = options.child("outliers"), options.child("effectSize")
    judge = tidy({
        "nan_strategy": options.text("nanStrategy"), "outliers": outliers.text("strategy"), "outlier_factor": outliers.number("outlierFactor"),
        "must_have_data": options.take("mustHaveData"), "muted": options.take("muted"), "effect_size": MEASURES.get(effect.text("measure"), ""),
        **{ours: effect.number(theirs) for theirs, ours in EFFECTS.items()}, **scores,
    })  # fmt: skip
    if not query:
        return {}
    if isinstance(groups, list) and len(groups) > 1:
        metric.lost("groups[1:]", "a metric belongs to one group")
    return tidy({
        "name": name, "query": query, "direction": DIRECTIONS.get(options.text("direction", "either"), "either"), "critical": options.take("critical"),
        "group": unique(str(groups[0]), {}) if isinstance(groups, list) and groups else None, "judge": {"kayenta": judge} if judge else "kayenta",
    })  # fmt: skip


def _query(query: Source, name: str, templates: Mapping[str, Any], into: Converted) -> str:
    kind = query.text("type") or query.text("serviceType", "prometheus")
    query.ignore("serviceType", "crossSeriesReducer", "perSeriesAligner", "resourceType")
    if kind != "prometheus":
        for field in query.names():
            query.ignore(field)
        into.to_do.append(f"Metric {name} asks {kind}: {OTHER_PROVIDER}.")
        return ""
    text = query.text("customInlineTemplate")
    template = query.text("customFilterTemplate")
    if not text and template:
        if template not in templates:
            into.to_do.append(f"Metric {name} uses the template {template}, which the config lacks: write its query.")
            return ""
        text = str(templates[template])
    labels, grouped = query.take("labelBindings", []), query.take("groupByFields", [])
    series = query.text("metricName")
    if text.startswith("PromQL:"):
        return _scoped(text[len("PromQL:") :].strip())
    if not series:
        into.to_do.append(f"Metric {name} has neither a query nor the name of a series: write its query.")
        return ""
    inner = ",".join([text.strip().strip("{}")] if text else [str(label) for label in labels if label])
    by = f" by ({', '.join(map(str, grouped))})" if grouped else ""
    if not text:
        into.to_do.append(f'Metric {name}: Kayenta added labels of the scope to {series}; add yours to the query, such as pod=~"${{workload}}-.*".')
    if by:
        into.to_do.append(f"Metric {name} was grouped by {', '.join(map(str, grouped))}: several series need reduce, or no grouping.")
    return _scoped(f"avg({series}{{{inner}}}){by}" if inner else f"avg({series}){by}")


def _scoped(text: str) -> str:
    """Kayenta's variables as ours."""
    ours = {"scope": "${workload}", "location": "${namespace}"}
    return re.sub(r"\$\{(scope|location)\}", lambda found: ours[found.group(1)], text)
