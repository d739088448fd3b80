# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flagger: a Canary with its MetricTemplates becomes a release file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

from ..units import duration
from .argo import OTHER_PROVIDER, SERVER_SIDE
from .source import Converted, Source, filled, spelled, tidy, unique
from .source import analysis as common

KINDS = {"Deployment": "deployment", "DaemonSet": "daemonset"}
SUCCESS, DURATION = "request-success-rate", "request-duration"
"""Flagger's built-in metrics: percent of requests without a 5xx, and the 99th percentile in milliseconds."""
DONE_BY = {
    "confirm-rollout": "a gate before the first weight asks a person (rollout_steps: gate)",
    "confirm-traffic-increase": "a gate before each weight asks a person (rollout_steps: gate)",
    "confirm-promotion": "a gate before 100 % asks a person, or a URL (gate: http)",
    "pre-rollout": "run it as a hook at before_traffic (rollout_hooks), as tasks of yours",
    "rollout": "run it as a hook after each weight (rollout_hooks), as tasks of yours; load belongs to a test environment",
    "post-rollout": "run it as a hook at after_promote (rollout_hooks), as tasks of yours",
    "rollback": "anybody may run the playbook abort or rollback at any time",
    "event": "notifications are the job's own, or hooks",
}


def convert(canary: Optional[Source], templates: Mapping[str, Source], into: Converted) -> None:
    """Fill ``into`` from at most one Canary and the MetricTemplates, by name. Without a Canary it becomes an analysis alone."""
    if canary is None:
        found = [templated(template, each, {}, into) for each, template in templates.items()]
        if any(found):
            into.release["rollout_analysis"] = {"metrics": [{**metric, "dry_run": True} for metric in found if metric]}
            into.to_do.append("A MetricTemplate holds no threshold: give each metric a threshold_range, and take dry_run away.")
        return
    meta, spec = canary.child("metadata"), canary.child("spec")
    canary.ignore("apiVersion", "kind", "status")
    meta.ignore(*SERVER_SIDE)
    release = into.release
    release["rollout_name"] = name = meta.text("name", "service")
    release["rollout_version"] = "{{ lookup('env', 'VERSION') }}"
    if "namespace" in meta:
        release["rollout_kubernetes"] = {"namespace": meta.text("namespace")}
    target = _target(spec, name, into)
    analysis = spec.child("analysis" if "analysis" in spec else "canaryAnalysis")
    interval = analysis.seconds("interval") or "60s"
    _shape(analysis, interval, into)
    _router(spec, target, into)
    deadline = spec.seconds("progressDeadlineSeconds")
    if deadline:
        release["rollout_deploy_timeout"] = deadline
    told = {"target": "${workload}", "name": name, "namespace": "${namespace}", "interval": "${window}", "service": target, "route": target, "ingress": target}
    metrics = _metrics(analysis, templates, told, into)
    skipped = bool(spec.take("skipAnalysis", False))
    release["rollout_analysis"] = common(metrics, interval=interval) if metrics and not skipped else "none"
    if skipped:
        into.to_do.append("skipAnalysis was set: nothing is judged. The metrics of the Canary are not in the file.")
    builtin = [metric["name"] for metric in metrics if "builtin" in metric]
    if builtin and not skipped:
        release["rollout_analysis"].setdefault("provider", {"prometheus": {"url": "http://prometheus:9090"}})
        into.to_do.append(f"rollout_analysis.provider: name your Prometheus and, for {' and '.join(builtin)}, the convention of what serves the requests.")
    for source in analysis.children("webhooks"):
        kind = source.text("type", "rollout")
        source.ignore("name", "url", "timeout", "metadata", "muteAlert", "retries", "disableTLS")
        analysis.lost(f"webhooks ({source.text('name') or kind})", DONE_BY.get(kind, "calls to other systems are hooks of yours"))
    analysis.leave("alerts", "notifications are the job's own, or hooks")


def _target(spec: Source, name: str, into: Converted) -> str:
    reference = spec.child("targetRef")
    reference.ignore("apiVersion")
    kind, target = reference.text("kind", "Deployment"), reference.text("name", name)
    if kind not in KINDS:
        into.to_do.append(f"The Canary is about a {kind}; this file names Deployments. Change rollout_workload.")
    image = f"registry.example.org/{target}:${{version}}"
    into.release["rollout_workload"] = {KINDS.get(kind, "deployment"): {"stable": f"{target}-primary", "canary": target, "image": image}}
    into.to_do.append(
        f"rollout_workload: put your image in place of {image}. Stable is {target}-primary, which Flagger made; it stays when the Canary goes"
        " (remove the Canary with --cascade=orphan, or Flagger takes it along)."
    )
    spec.leave("autoscalerRef", "autoscalers are found and respected as they are")
    spec.leave("ingressRef", "this router is not one of ours")
    spec.leave("revertOnDeletion", "nothing is left running that could be deleted")
    spec.leave("suspend", "a release runs when it is started")
    return target


def _shape(analysis: Source, interval: str, into: Converted) -> None:
    """Weights, iterations and match rules as a strategy and its steps."""
    release = into.release
    iterations, weights = analysis.number("iterations"), analysis.take("stepWeights") or []
    match = [_match(item) for item in analysis.children("match")]
    match = [item for item in match if item]
    mirror = analysis.take("mirror", False)
    mirror_weight = analysis.number("mirrorWeight")
    promotion = analysis.number("stepWeightPromotion")
    if promotion and promotion < 100:
        analysis.lost("stepWeightPromotion", "when the new version is good it takes everything at once, and stays where it runs")
    rules = [{"set_header_route": {"name": "testers", "match": match}}] if match else []
    if iterations:
        bake = f"{int(iterations)} * {interval}"
        seconds = _times(interval, int(iterations))
        if match:
            release["rollout_strategy"] = "canary"
            release["rollout_steps"] = [*rules, {"bake": {"duration": seconds}}, {"set_weight": 100}]
        else:
            release["rollout_strategy"] = "blue_green"
            mirrored = [{"set_mirror_route": {"percentage": mirror_weight or 100}}] if mirror else []
            if mirrored:
                analysis.lost("mirror", "a blue-green release copies no requests; use a canary with set_mirror_route")
            release["rollout_steps"] = [{"bake": {"duration": seconds}}]
            into.to_do.append(f"The tests before the switch take {bake}; without requests of its own the new colour has nothing to judge by.")
        return
    release["rollout_strategy"] = "canary"
    first = [
        *rules,
        *(
            [{"set_mirror_route": {"percentage": mirror_weight or 100}}, {"bake": {"duration": interval}}, {"set_mirror_route": {"percentage": 0}}]
            if mirror
            else []
        ),
    ]
    step, most = analysis.number("stepWeight"), analysis.number("maxWeight")
    if first:
        listed = weights or list(range(int(step or 10), int(most or 50) + 1, int(step or 10)))
        release["rollout_steps"] = [*first, *(part for weight in listed for part in ({"set_weight": weight}, {"bake": {"duration": interval}}))]
    else:
        options = {"step_weights": weights} if weights else tidy({"step_weight": step, "max_weight": most})
        release["rollout_canary"] = {**options, "bake": interval}


def _match(item: Source) -> dict[str, Any]:
    """The first header or cookie of a match rule of Istio."""
    headers = item.take("headers", {})
    item.leave("sourceLabels", "whose requests they are is not known to a release")
    if not isinstance(headers, Mapping) or not headers:
        return {}
    [(name, rule), *others] = headers.items()
    for other, _rule in others:
        item.lost(f"headers.{other}", "one header of a rule is carried over: add the others as rules of your router")
    rule = rule if isinstance(rule, Mapping) else {}
    value = tidy({"exact": rule.get("exact"), "prefix": rule.get("prefix"), "regex": rule.get("regex")})
    cookie = re.fullmatch(r"\^\(\.\*\?;\)\?\(?([\w-]+)=([^;)]+)\)?\(;\.\*\)\?\$", str(value.get("regex", "")))
    if name.lower() == "cookie" and cookie:
        return {"cookie_name": cookie.group(1), "cookie_value": {"exact": cookie.group(2)}}
    return {"header_name": name, "header_value": value}


def _router(spec: Source, target: str, into: Converted) -> None:
    service = spec.child("service")
    name = service.text("name", target)
    provider = spec.text("provider")
    gateway = "gatewayRefs" in service or provider.startswith("gatewayapi")
    service.ignore("port", "targetPort", "portName", "portDiscovery", "appProtocol")
    for field in (
        "gateways",
        "gatewayRefs",
        "hosts",
        "match",
        "rewrite",
        "headers",
        "corsPolicy",
        "timeout",
        "retries",
        "trafficPolicy",
        "backends",
        "meshName",
        "apex",
        "primary",
        "canary",
        "delegation",
        "mirror",
    ):
        service.leave(field, "your route object keeps it: a release writes weights, and nothing else")
    if into.release["rollout_strategy"] == "blue_green":
        into.release["rollout_router"] = {"service": {"name": name}}
    elif gateway:
        into.release["rollout_router"] = {"gateway_api": {"http_route": name, "stable": f"{name}-primary", "canary": f"{name}-canary"}}
        into.to_do.append(f"HTTPRoute {name} and the Services {name}-primary and {name}-canary were made by Flagger: keep them, or make your own.")
    elif provider == "istio" or (not provider and "gateways" in service):
        into.release["rollout_router"] = {"istio": {"virtual_service": name, "stable": f"{name}-primary", "canary": f"{name}-canary"}}
        into.to_do.append(f"VirtualService {name} and the Services {name}-primary and {name}-canary were made by Flagger: keep them, or make your own.")
    else:
        into.release["rollout_router"] = {"replica_ratio": {"service": name}}
        if provider:
            into.to_do.append(f"The Canary used {provider}; the file splits by replicas. Look at docs/routers for one that fits.")


def _metrics(analysis: Source, templates: Mapping[str, Source], told: Mapping[str, str], into: Converted) -> list[dict[str, Any]]:
    tolerated = analysis.number("threshold")
    made: dict[str, dict[str, Any]] = {}
    for metric in analysis.children("metrics"):
        name = unique(metric.text("name"), made)
        bounds = metric.child("thresholdRange")
        low, high = bounds.number("min"), bounds.number("max")
        old = metric.number("threshold")
        reference = metric.child("templateRef")
        reference.ignore("namespace")
        template = reference.text("name")
        variables = metric.take("templateVariables", {})
        found: dict[str, Any]
        metric.leave("interval", "the window of a measurement is the time between two looks, or the range that a query names")
        if template:
            if template not in templates:
                into.to_do.append(f"MetricTemplate {template} is not among the documents: add it, or write the query of metric {name}.")
                continue
            known = {**told, **{f"variables.{key}": str(value) for key, value in (variables if isinstance(variables, Mapping) else {}).items()}}
            found = templated(templates[template], name, known, into)
            if not found:
                continue
        elif "query" in metric:
            found = {"name": name, "query": _filled(metric.text("query"), told), "provider": {"prometheus": {"url": "http://prometheus:9090"}}}
        elif name == SUCCESS:
            found = {"name": name, "builtin": "success_rate"}
            low = (low if low is not None else old if old is not None else 99) / 100
            high = None
        elif name == DURATION:
            found = {"name": name, "builtin": "latency", "quantile": 0.99}
            high = high if high is not None else old
        else:
            into.to_do.append(f"Metric {name} has neither a template nor a query: write one.")
            continue
        limits = tidy({"min": low, "max": high if high is not None or name == SUCCESS else old})
        found["threshold_range"] = limits
        if not limits:
            found["dry_run"] = True
            into.to_do.append(f"Metric {name} has no thresholdRange: it is a dry run until it gets one.")
        if tolerated:
            found["failure_limit"] = max(0, int(tolerated) - 1)
        made[name] = tidy(found)
    if tolerated and len(made) > 1:
        into.to_do.append(f"threshold: {int(tolerated)} counted failed checks of all metrics together; here each metric may fail {int(tolerated) - 1} times.")
    return list(made.values())


def templated(template: Source, name: str, told: Mapping[str, str], into: Converted) -> dict[str, Any]:
    """A metric of a MetricTemplate, without its bounds; nothing where its provider is not one of ours."""
    template.ignore("apiVersion", "kind", "status")
    template.child("metadata").ignore("name", "namespace", *SERVER_SIDE)
    spec = template.child("spec")
    provider = spec.child("provider")
    kind = provider.text("type", "prometheus")
    query = _filled(spec.text("query").strip(), told)
    if kind != "prometheus":
        provider.ignore("address", "region", "secretRef", "insecureSkipVerify", "headers")
        into.to_do.append(f"Metric {name} asks {kind}: {OTHER_PROVIDER}. Its query was: {' '.join(query.split())[:200]}")
        return {}
    options = tidy({"url": provider.text("address", "http://prometheus:9090"), "validate_certs": False if provider.take("insecureSkipVerify") else None})
    if "{{" in query:
        into.to_do.append(f"Metric {name}: put values in place of what is left in braces in its query.")
    provider.leave("secretRef", "secrets are not read from the cluster: put the credentials into the provider's options, from a vault or the environment")
    provider.leave("headers", "put them into the provider's options")
    return {"name": name, "query": query, "provider": {"prometheus": options}}


def _filled(query: str, told: Mapping[str, str]) -> str:
    return filled(query, told.get)


def _times(interval: str, number: int) -> str:
    """So many intervals, as one duration."""
    return spelled(number * duration(interval, "analysis.interval"))
