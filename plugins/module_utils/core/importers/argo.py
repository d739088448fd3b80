# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argo Rollouts: a Rollout with its AnalysisTemplates becomes a release file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Optional

from ..conditions import Condition
from ..errors import ConfigError
from ..units import duration
from .source import Converted, Source, analysis, filled, spelled, tidy, unique

SERVER_SIDE = ("annotations", "creationTimestamp", "finalizers", "generation", "labels", "managedFields", "resourceVersion", "uid")
CONDITIONS = {"successCondition": "success_condition", "failureCondition": "failure_condition"}
LIMITS = {
    "failureLimit": "failure_limit", "inconclusiveLimit": "inconclusive_limit", "consecutiveErrorLimit": "consecutive_error_limit",
    "consecutiveSuccessLimit": "consecutive_success_limit",
}  # fmt: skip
BY_HAND = "is set in the Deployment itself"
OTHER_PROVIDER = "this provider's queries have to be written anew for one of ours, or as a web metric"
Arguments = Mapping[str, Optional[str]]
"""Name of an argument to its value; None: only a run of Argo's knows it."""


def convert(rollout: Optional[Source], templates: Mapping[str, Source], into: Converted) -> None:
    """Fill ``into`` from at most one Rollout and the templates, by name. Without a Rollout it becomes an analysis alone."""
    if rollout is None:
        metrics = Analysis(templates, into)
        for name in templates:
            metrics.use(name, {}, "")
        _put(into, "rollout_analysis", metrics.section())
        return
    meta, spec = rollout.child("metadata"), rollout.child("spec")
    rollout.ignore("apiVersion", "kind", "status")
    meta.ignore(*SERVER_SIDE)
    name = meta.text("name", "service")
    release = into.release
    release["rollout_name"] = name
    release["rollout_version"] = "{{ lookup('env', 'VERSION') }}"
    _put(into, "rollout_kubernetes", tidy({"namespace": meta.text("namespace")}))
    strategy = spec.child("strategy")
    blue_green = "blueGreen" in strategy
    release["rollout_strategy"] = "blue_green" if blue_green else "canary"
    _workload(spec, name, into)
    metrics = Analysis(templates, into)
    if blue_green:
        _blue_green(strategy.child("blueGreen"), metrics, into)
    else:
        _canary(strategy.child("canary"), metrics, into)
    window = spec.child("rollbackWindow")
    _put(into, "rollout_rollback_window", tidy({"revisions": window.number("revisions")}))
    _put(into, "rollout_deploy_timeout", spec.seconds("progressDeadlineSeconds"))
    if spec.take("progressDeadlineAbort") is False:
        into.to_do.append("A deploy that misses its time is taken back here; in the Rollout (progressDeadlineAbort: false) it was only reported.")
    section = metrics.section()
    release["rollout_analysis"] = section or "none"


def _put(into: Converted, name: str, value: Any) -> None:
    if value:
        into.release[name] = value


def _workload(spec: Source, name: str, into: Converted) -> None:
    spec.leave("replicas", BY_HAND)
    spec.leave("selector", BY_HAND)
    spec.leave("minReadySeconds", BY_HAND)
    spec.leave("revisionHistoryLimit", BY_HAND)
    image = "registry.example.org/" + name
    template = spec.take("template")
    containers = ((template or {}).get("spec") or {}).get("containers") if isinstance(template, Mapping) else None
    if containers and isinstance(containers[0], Mapping) and containers[0].get("image"):
        image = untagged(str(containers[0]["image"]))
    else:
        into.to_do.append(f"rollout_workload.deployment.image: put your image in place of {image}.")
    reference = spec.child("workloadRef")
    stable = reference.text("name", name)
    reference.ignore("apiVersion")
    kind = reference.text("kind", "Deployment")
    reference.leave("scaleDown", "the Deployment stays the workload of stable")
    if kind != "Deployment":
        into.to_do.append(f"The Rollout refers to a {kind}; this file names Deployments. Change rollout_workload if it is another kind here.")
    into.release["rollout_workload"] = {
        "deployment": {"stable": stable, "canary": f"{stable}-canary", "image": f"{image}:${{version}}", "create_missing": True}
    }
    if template is not None:
        into.to_do.append(f"Make Deployment {stable} of the Rollout's spec.template and selector; {stable}-canary is made like it by the first release.")


def untagged(image: str) -> str:
    """An image's name without tag and digest."""
    name = image.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


# Strategies


def _canary(canary: Source, metrics: Analysis, into: Converted) -> None:
    stable, preview = canary.text("stableService"), canary.text("canaryService")
    _router(canary.child("trafficRouting"), stable, preview, into)
    _put(into, "rollout_scale_down_delay", canary.seconds("scaleDownDelaySeconds"))
    canary.leave("abortScaleDownDelaySeconds", "after an abort rollout_scale_down_delay holds as well")
    for name in ("maxSurge", "maxUnavailable"):
        canary.leave(name, BY_HAND)
    if "analysis" in canary:
        background = canary.child("analysis")
        starting = background.number("startingStep")
        if starting:
            into.to_do.append(f"The background analysis began at step {starting}; here its metrics watch from the first bake on.")
        metrics.uses(background, "")
    steps: list[dict[str, Any]] = []
    for step in canary.children("steps"):
        steps += _step(step, metrics, into)
    if not steps:
        into.to_do.append("The Rollout has no steps; the generated ones of rollout_canary hold (10, 20, ... 50 %, five minutes each).")
    _put(into, "rollout_steps", watched(steps, bool(metrics.metrics)))


def watched(steps: list[dict[str, Any]], measured: bool) -> list[dict[str, Any]]:
    """Timed pauses as bakes where there is something to watch: a background analysis goes on during Argo's pauses."""
    if not measured:
        return steps
    return [{"bake": {"duration": step["pause"]["duration"]}} if (step.get("pause") or {}).get("duration") else step for step in steps]


def _step(step: Source, metrics: Analysis, into: Converted) -> list[dict[str, Any]]:
    if "setWeight" in step:
        return [{"set_weight": step.number("setWeight")}]
    if "pause" in step:
        pause = step.child("pause")
        length = pause.seconds("duration")
        return [{"pause": {"duration": length}}] if length else [{"pause": {}}]
    if "analysis" in step:
        lengths = metrics.uses(step.child("analysis"), step.path)
        return [{"analysis": {"duration": spelled(max(lengths))}}] if lengths and max(lengths) > 0 else [{"analysis": {}}]
    if "setCanaryScale" in step:
        scale = step.child("setCanaryScale")
        found = tidy({"replicas": scale.number("replicas"), "weight": scale.number("weight"), "match_traffic_weight": scale.take("matchTrafficWeight")})
        return [{"set_canary_scale": found}] if found else []
    if "setHeaderRoute" in step:
        route = step.child("setHeaderRoute")
        match = [tidy({"header_name": item.text("headerName"), "header_value": dict(item.take("headerValue", {}))}) for item in route.children("match")]
        return [{"set_header_route": tidy({"name": route.text("name"), "match": match})}]
    if "setMirrorRoute" in step:
        route = step.child("setMirrorRoute")
        route.leave("name", "there is one mirror at a time")
        route.leave("match", "all requests are copied by percentage, not by what they hold")
        return [{"set_mirror_route": {"percentage": route.number("percentage") or 0}}]
    step.leave("experiment", "twins of both versions are not started; measure against stable (baseline: stable)")
    step.leave("plugin", "there are no step plugins; write a hook")
    return []


def _router(routing: Source, stable: str, canary: str, into: Converted) -> None:
    services = tidy({"stable": stable, "canary": canary})
    if "istio" in routing:
        into.release["rollout_router"] = {"istio": _istio(routing.child("istio"), services)}
        routing.leave("managedRoutes", "routes that steps add need no list here")
        routing.leave("maxTrafficWeight", "weights are of 100; for tenths there is rollout_router.istio.total")
        return
    plugins = routing.child("plugins")
    gateway = plugins.child("argoproj-labs/gatewayAPI")
    routes = [gateway.text("httpRoute")] if "httpRoute" in gateway else [route.text("name") for route in gateway.children("httpRoutes")]
    gateway.ignore("namespace")
    routing.leave("managedRoutes", "routes that steps add need no list here")
    routing.leave("maxTrafficWeight", "weights are of 100; for tenths there is rollout_router.gateway_api.total")
    if routes:
        named_routes: dict[str, Any] = {"http_route": routes[0]} if len(routes) == 1 else {"http_routes": routes}
        into.release["rollout_router"] = {"gateway_api": {**named_routes, **services}}
        return
    into.release["rollout_router"] = {"replica_ratio": tidy({"service": stable})}
    for name in routing.names():
        if name not in ("plugins", "managedRoutes", "maxTrafficWeight"):
            routing.leave(name, "this router is not one of ours: the file splits by replicas instead")
    if not stable:
        into.to_do.append("rollout_router.replica_ratio.service: name the Service in front of both Deployments, so that its endpoints are waited for.")


def _istio(given: Source, services: Mapping[str, Any]) -> dict[str, Any]:
    """VirtualServices by host, or by the subsets of a DestinationRule."""
    named = [given.child("virtualService")] if "virtualService" in given else given.children("virtualServices")
    names = [one.text("name") for one in named]
    routes: list[str] = []
    for one in named:
        routes += [f"http/{name}" for name in one.take("routes", [])]
        for kind, key in (("tlsRoutes", "tls"), ("tcpRoutes", "tcp")):
            for number, route in enumerate(one.children(kind)):
                hosts = route.take("sniHosts", [])
                route.leave("port", "a rule is named by its SNI host, or by its number")
                routes.append(f"{key}/{hosts[0] if hosts else number}")
    which = {"virtual_service": names[0]} if len(names) == 1 else {"virtual_services": names}
    rule = given.child("destinationRule")
    if not rule:
        return {**which, **services, **tidy({"routes": routes})}
    subsets = tidy({"stable": rule.text("stableSubsetName"), "canary": rule.text("canarySubsetName")})
    return {**which, "host": services.get("stable") or names[0], **subsets, "destination_rule": tidy({"name": rule.text("name")}), **tidy({"routes": routes})}


def _blue_green(given: Source, metrics: Analysis, into: Converted) -> None:
    active, preview = given.text("activeService"), given.text("previewService")
    into.release["rollout_router"] = {"service": tidy({"name": active, "preview": preview})}
    into.to_do.append(f"Service {active} is switched by the labels in which the two Deployments differ: give each one of its own in selector and template.")
    options: dict[str, Any] = {}
    if given.take("autoPromotionEnabled", True) is False:
        options["auto_promotion_enabled"] = False
    options["auto_promotion_seconds"] = given.seconds("autoPromotionSeconds")
    options["preview_replica_count"] = given.number("previewReplicaCount")
    _put(into, "rollout_scale_down_delay", given.seconds("scaleDownDelaySeconds") or "30s")
    given.leave("abortScaleDownDelaySeconds", "after an abort rollout_scale_down_delay holds as well")
    given.leave("scaleDownDelayRevisionLimit", "one old version is kept, for rollout_scale_down_delay")
    if "prePromotionAnalysis" in given:
        lengths = metrics.uses(given.child("prePromotionAnalysis"), given.path)
        into.release["rollout_steps"] = [{"analysis": {"duration": spelled(max(lengths, default=0.0))}}]
    if "postPromotionAnalysis" in given:
        lengths = metrics.uses(given.child("postPromotionAnalysis"), given.path)
        options["post_promotion_bake"] = spelled(max((60.0, *lengths)))
    _put(into, "rollout_blue_green", tidy(options))


# Analysis


class Analysis:
    """The metrics of all templates that a Rollout uses, as one ``rollout_analysis``."""

    def __init__(self, templates: Mapping[str, Source], into: Converted) -> None:
        self._templates = templates
        self._into = into
        self.metrics: dict[str, dict[str, Any]] = {}
        self._used: set[str] = set()

    def section(self) -> dict[str, Any]:
        return analysis(list(self.metrics.values())) if self.metrics else {}

    def uses(self, run: Source, where: str) -> list[float]:
        """The templates that a run names; how long each of its metrics takes, in seconds."""
        given = {item.text("name"): _value(item, self._into) for item in run.children("args")}
        for unimportant in ("measurementRetention", "analysisRunMetadata"):
            run.leave(unimportant, "every measurement is in the report")
        dry = [item.text("metricName") for item in run.children("dryRun")]
        before = set(self.metrics)
        lengths: list[float] = []
        for item in run.children("templates"):
            item.ignore("clusterScope")
            lengths += self.use(item.text("templateName"), given, where)
        for name in set(self.metrics) - before:
            if any(re.fullmatch(pattern, name) for pattern in dry if pattern):
                self.metrics[name]["dry_run"] = True
        return lengths

    def use(self, name: str, given: Arguments, where: str) -> list[float]:
        template = self._templates.get(name)
        if template is None:
            self._into.to_do.append(f"AnalysisTemplate {name} is not among the documents: add it, or write its metrics into rollout_analysis.")
            return []
        if name in self._used:
            return []
        self._used.add(name)
        if where:
            self._into.to_do.append(f"The metrics of {name} belong to one step ({where}); here they are judged in every bake and analysis.")
        template.ignore("apiVersion", "kind")
        template.child("metadata").ignore("name", "namespace", *SERVER_SIDE)
        spec = template.child("spec")
        told = {item.text("name"): _value(item, self._into) for item in spec.children("args")}
        arguments = {**told, **{key: value for key, value in given.items() if value is not None or key not in told}}
        dry = [item.text("metricName") for item in spec.children("dryRun")]
        spec.leave("measurementRetention", "every measurement is in the report")
        lengths = [self.use(item.text("templateName"), arguments, where) for item in spec.children("templates")]
        seconds = [length for some in lengths for length in some]
        for metric in spec.children("metrics"):
            made = self._metric(metric, arguments)
            if made:
                if any(re.fullmatch(pattern, made["name"]) for pattern in dry if pattern):
                    made["dry_run"] = True
                made["name"] = unique(made["name"], self.metrics)
                self.metrics[made["name"]] = made
                seconds.append(_length(made))
        return seconds

    def _metric(self, metric: Source, arguments: Arguments) -> dict[str, Any]:
        provider = metric.child("provider")
        made: dict[str, Any] = {"name": unique(metric.text("name"), {})}
        for place in ("interval", "initialDelay"):
            made[{"interval": "interval", "initialDelay": "initial_delay"}[place]] = metric.seconds(place)
        made["count"] = metric.number("count")
        for theirs, ours in CONDITIONS.items():
            made[ours] = self._condition(self._fill(metric.text(theirs), arguments), f"{metric.path}.{theirs}")
        for theirs, ours in LIMITS.items():
            made[ours] = metric.number(theirs)
        if "prometheus" in provider:
            made.update(self._prometheus(provider.child("prometheus"), arguments))
        elif "web" in provider:
            made.update(self._web(provider.child("web"), arguments))
        else:
            for name in provider.names():
                provider.leave(name, OTHER_PROVIDER)
            return {}
        if not (made["success_condition"] or made["failure_condition"]):
            made["dry_run"] = True
            self._into.to_do.append(f"Metric {made['name']} has no condition; here it is a dry run until it gets one.")
        return tidy(made)

    def _condition(self, text: str, where: str) -> str:
        """The condition if it is one of ours: of numbers, without texts and fields."""
        try:
            return Condition.parse(text).text if text else ""
        except ConfigError:
            self._into.to_do.append(f"{where} compares more than numbers ({text}): write a condition of numbers, such as of a json_path that leads to one.")
            return ""

    def _prometheus(self, given: Source, arguments: Arguments) -> dict[str, Any]:
        options: dict[str, Any] = {"url": self._fill(given.text("address", "http://prometheus:9090"), arguments)}
        if given.take("insecure"):
            options["validate_certs"] = False
        headers = {item.text("key"): self._fill(item.text("value"), arguments) for item in given.children("headers")}
        given.leave("authentication", "put the credentials into the provider's options, from a vault or the environment")
        options["headers"] = headers
        timeout = given.number("timeout")
        options["timeout"] = f"{timeout}s" if timeout else ""
        given.leave("rangeQuery", "queries are instant; a condition may look back with a range such as [5m]")
        return {"provider": {"prometheus": tidy(options)}, "query": self._fill(given.text("query").strip(), arguments)}

    def _web(self, given: Source, arguments: Arguments) -> dict[str, Any]:
        options: dict[str, Any] = {"url": self._fill(given.text("url"), arguments), "method": given.text("method")}
        body = given.take("jsonBody")
        raw = given.text("body")
        if raw:
            try:
                body = json.loads(raw)
            except ValueError:
                self._into.to_do.append(f"{given.path}.body is not JSON: only JSON can be sent.")
        if isinstance(body, Mapping):
            options["body"] = json.loads(self._fill(json.dumps(body), arguments))
        options["headers"] = {item.text("key"): self._fill(item.text("value"), arguments) for item in given.children("headers")}
        given.leave("authentication", "put the credentials into the provider's options, from a vault or the environment")
        if given.take("insecure"):
            options["validate_certs"] = False
        timeout = given.number("timeoutSeconds")
        options["timeout"] = f"{timeout}s" if timeout else ""
        path = given.text("jsonPath", "$").strip()
        return {"provider": {"web": tidy(options)}, "query": path[1:-1] if path.startswith("{") and path.endswith("}") else path}

    def _fill(self, text: str, arguments: Arguments) -> str:
        """The text with Argo's ``{{args.x}}`` replaced by values, or by an Ansible variable that somebody has to set."""

        def told(name: str) -> Optional[str]:
            if not name.startswith("args."):
                return None
            name = name[len("args.") :]
            value = arguments.get(name)
            if value is not None:
                return value
            variable = "argo_" + re.sub(r"\W", "_", name)
            line = f"Set the variable {variable}: Argo gave the argument {name} at run time."
            if line not in self._into.to_do:
                self._into.to_do.append(line)
            return "{{ " + variable + " }}"

        return filled(text, told)


def _value(argument: Source, into: Converted) -> Optional[str]:
    """An argument's value, where the document says it."""
    source = argument.child("valueFrom")
    field = source.child("fieldRef").text("fieldPath")
    if source.text("podTemplateHashValue"):
        return None
    if field == "metadata.namespace":
        return "${namespace}"
    source.leave("secretKeyRef", "secrets are not read from the cluster: give it as a variable, from a vault or the environment")
    return argument.text("value") if "value" in argument else None


def _length(metric: Mapping[str, Any]) -> float:
    """Seconds that all counted measurements of a metric take."""
    count, interval = metric.get("count") or 1, metric.get("interval")
    wait = duration(metric["initial_delay"], "initial_delay") if metric.get("initial_delay") else 0.0
    return wait + ((count - 1) * duration(interval, "interval") if interval else 0.0)
