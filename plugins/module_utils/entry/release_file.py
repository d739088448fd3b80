# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release file: every ``rollout_*`` variable a user may set, with its checks. One table, so that a typo is caught before anything changes."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..clients.gate_awx import OPTIONS as AWX_GATE
from ..clients.gate_config_map import OPTIONS as CONFIG_MAP_GATE
from ..clients.gate_gitlab import OPTIONS as GITLAB_GATE
from ..clients.gate_http import OPTIONS as HTTP_GATE
from ..clients.kube import KUBE_OPTIONS
from ..core.errors import ConfigError, unknown
from ..core.experiment import options as experiment
from ..core.health import HEALTH_OPTIONS, parse
from ..core.metric import analysis_options
from ..core.options import NAME, Option, Options, check, one_key
from ..core.strategies.compile import HOOK_POINTS, STRATEGIES
from ..core.target import targets_from
from ..core.units import duration, show_duration, shown
from . import notifying
from .assignment import assignment_options
from .catalog import PROVIDERS, ROUTERS, STORES, WORKLOADS, family
from .shared import completed

HOOK: Options = {
    "name": Option("str", "What to call it in the plan and the report.", required=True),
    "tasks": Option("str", "Path of a tasks file of yours."),
    "role": Option("str", "Name of a role of yours, instead of a tasks file."),
    "failure": Option("str", "What a failing hook means.", default="abort", choices=("abort", "pause", "ignore")),
    "timeout": Option("duration", "The longest it may take: others find the release busy until then.", default="15m"),
    "idempotent": Option("bool", "Whether it may run again when nobody knows if it ran.", default=False),
}

GATE: Options = {
    "name": Option("name", "Name of the gate, for whoever decides it.", required=True),
    "timeout": Option("duration", "How long it stays open. Without it: for ever."),
    "on_timeout": Option("str", "What happens then.", default="abort", choices=("abort", "promote", "hold")),
    "file": Option("path", "File on the coordinator whose first line, written after the gate opened, is promote or abort."),
    "config_map": Option("dict", "Key of a Kubernetes ConfigMap that decides once it changes to promote or abort.", options=CONFIG_MAP_GATE),
    "http": Option("dict", "URL that answers whether it is decided.", options=HTTP_GATE),
    "gitlab_job": Option("dict", "Manual job of a GitLab pipeline: played is promote, canceled is abort.", options=GITLAB_GATE),
    "awx_approval": Option("dict", "Approval node of an AWX workflow.", options=AWX_GATE),
    "require_other": Option("bool", "Refuse a decision by the one who started the release.", default=False),
}

MATCH_VALUE: Options = {
    "exact": Option("str", "The value itself."),
    "prefix": Option("str", "How the value begins."),
    "regex": Option("str", "A regular expression that the whole value matches."),
}

MATCH_ITEM: Options = {
    "header_name": Option("str", "Name of a request header."),
    "header_value": Option("dict", "What the header holds.", options=MATCH_VALUE),
    "cookie_name": Option("str", "Name of a cookie."),
    "cookie_value": Option("dict", "What the cookie holds.", options=MATCH_VALUE),
    "query_name": Option("str", "Name of a query parameter."),
    "query_value": Option("dict", "What the parameter holds.", options=MATCH_VALUE),
    "path_value": Option("dict", "What the path is.", options=MATCH_VALUE),
}

STEP: Options = {
    "set_weight": Option("percent", "Percent of the requests that go to the new version. Never falls within a release."),
    "bake": Option("dict", "Wait and watch: metrics are measured and judged all the time, and a bad verdict ends it at once.", options={
        "duration": Option("duration", "How long.", required=True),
        "interval": Option("duration", "Time between two looks; default is that of the analysis."),
    }),
    "pause": Option("dict", "Wait without watching, or, without a duration, until somebody promotes.", options={
        "duration": Option("duration", "How long. Without it: until promoted."),
        "timeout": Option("duration", "How long to wait for somebody."),
        "on_timeout": Option("str", "What happens then.", default="abort", choices=("abort", "promote", "hold")),
    }),
    "gate": Option("dict", "Wait for a decision of a person or a system.", options=GATE),
    "analysis": Option("dict", "One look at all metrics, as soon as they can be judged.", options={
        "duration": Option("duration", "How long to look instead.", default="0s"),
    }),
    "hook": Option("dict", "Run tasks of yours at this point.", options=HOOK),
    "set_header_route": Option("dict", "Requests that match go to the new version, whatever the weights. Without match: remove the rule.", options={
        "name": Option("name", "Name of the rule.", required=True),
        "match": Option("list", "Any of these; within one item all must hold.", elements="dict", options=MATCH_ITEM),
    }),
    "set_canary_scale": Option("dict", "How many replicas the new version has. Exactly one key.", one_of=True, options={
        "replicas": Option("int", "So many, whatever the weight.", minimum=1),
        "weight": Option("percent", "As many as carry this share, whatever the weight."),
        "match_traffic_weight": Option("bool", "As many as the weight needs; the default."),
    }),
    "set_mirror_route": Option("dict", "Copy requests to the new version and throw its answers away. Percentage 0 ends it.", options={
        "percentage": Option("percent", "Percent of the requests that are copied.", required=True),
    }),
}

CANARY: Options = {
    "step_weight": Option("percent", "Generate steps: this much more each time."),
    "promotion": Option("str", "For workloads with replicas. V(stable): at the end the stable slot gets the new version. V(swap): the slots change roles.",
                        default="stable", choices=("stable", "swap")),
    "max_weight": Option("percent", "Generate steps up to this weight.", default="50"),
    "step_weights": Option("list", "Generate these weights instead.", elements="percent"),
    "bake": Option("duration", "Bake after each generated weight.", default="5m"),
}

BLUE_GREEN: Options = {
    "auto_promotion_enabled": Option("bool", "Switch without asking.", default=True),
    "auto_promotion_seconds": Option("duration", "Wait this long before the switch; with a gate, the longest wait for a decision."),
    "preview_replica_count": Option("int", "Replicas while the preview is tested; the full number comes before the switch.", minimum=1),
    "post_promotion_bake": Option("duration", "Watch this long after the switch, ready to switch back.", default="0s"),
}

ROLLING: Options = {
    "preset": Option("str", "How many hosts at once: conservative one, balanced 25 %, fast 50 %.", default="balanced",
                     choices=("conservative", "balanced", "fast")),
    "max_unavailable": Option("count_or_percent", "The most hosts away at once, instead of the preset's."),
    "max_surge": Option("count_or_percent", "Extra copies at once, where the workload can have them."),
    "batches": Option("list", "Sizes of the batches, as Ansible's serial reads them: the last one repeats.", elements="count_or_percent"),
    "zones": Option("list", "Inventory groups, one after the other: a batch never spans two. Every host of the pool is in one of them.", elements="str"),
    "min_healthy": Option("count_or_percent", "Never fewer healthy hosts than this."),
    "max_failed": Option("int", "Hosts that may fail over the whole run before it is taken back.", default=0, minimum=0),
    "ramp": Option("list", "Shares a host takes one after the other when it comes back, such as [25, 100].", elements="percent"),
    "bake_first": Option("duration", "Bake after the first batch; with zones, after the first zone.", default="0s"),
    "bake_between": Option("duration", "Bake after each other batch.", default="0s"),
    "monitor": Option("duration", "Watch this long after the last batch.", default="0s"),
    "on_failure": Option("str", "After a failed batch: take all changed hosts back, only the failed ones, or hold.", default="rollback_all",
                         choices=("rollback_all", "rollback_failed", "hold")),
}

AB_TEST: Options = {
    "share": Option("percent", "Percent for the new variant: of the users where a hash splits them, else of the requests.", default="50"),
    **assignment_options(MATCH_ITEM),
    **experiment.OPTIONS,
    "run_duration": Option("duration", "How long one run looks at the test. Then it ends as paused, the share stays, and C(resume) goes on with all that"
                                       " came meanwhile. Default: until the test is over."),
    "conversion": Option("dict", "What the variants are compared by. Without it the test says nothing, and a person decides at the gate V(winner).",
                         options=experiment.conversion_options(family(PROVIDERS))),
    "promote": Option("str", "V(winner): a new variant that wins gets all requests. V(manual): somebody decides at the gate V(winner) first. Default:"
                             " V(winner) with C(conversion), else V(manual).", choices=("manual", "winner")),
    "on_no_difference": Option("str", "What becomes of a new variant that is neither better nor worse.", default="keep_stable",
                               choices=("keep_stable", "pause", "promote")),
}

FORMATS = ("html", "json", "junit", "markdown")

SPEC: Options = {
    "rollout_name": Option("name", "One name for the service; the record is kept under it.", required=True),
    "rollout_version": Option("str", "The version to ship.", required=True),
    "rollout_previous_version": Option("str", "The version that runs now, where neither the record nor version_from knows it."),
    "rollout_strategy": Option("str", "How to ship it.", default="canary", choices=tuple(sorted(STRATEGIES))),
    "rollout_workload": Option("dict", "What runs the service.", required=True, options=family(WORKLOADS), one_of=True),
    "rollout_kubernetes": Option("dict", "What the Kubernetes adapters of this file have in common.", default={}, options=KUBE_OPTIONS),
    "rollout_router": Option("dict", "What splits its traffic.", options=family(ROUTERS), one_of=True),
    "rollout_steps": Option("list", "The steps of a canary, or the tests before a blue-green switch.", elements="dict"),
    "rollout_canary": Option("dict", "Options of the canary strategy.", options=CANARY, default={}),
    "rollout_blue_green": Option("dict", "Options of the blue-green strategy.", options=BLUE_GREEN, default={}),
    "rollout_rolling": Option("dict", "Options of the rolling strategy.", options=ROLLING, default={}),
    "rollout_ab_test": Option("dict", "Options of the A/B strategy.", options=AB_TEST, default={}),
    "rollout_analysis": Option("any", "Metrics and how they are judged, or none.", default="none"),
    "rollout_health": Option("any", "How a host is asked whether it is well, or none.", default="none"),
    "rollout_hooks": Option("dict", "Work of yours at fixed points of the release.", default={}, options={
        point: Option("list", f"At {point.replace('_', ' ')}.", elements="dict", options=HOOK) for point in (*HOOK_POINTS, "on_abort", "on_pause")
    }),
    "rollout_notify": Option("list", "Who is told what the release does. Each item has exactly one key, the kind of receiver.", elements="dict"),
    "rollout_store": Option("dict", "Where the record is kept.", options=family(STORES), one_of=True, default={"file": {}}),
    "rollout_coordinator": Option("str", "The host that coordinates.", default="localhost"),
    "rollout_wait": Option("str", "At a gate: wait here, end as paused, or wait only with a terminal.", default="auto", choices=("auto", "inline", "exit")),
    "rollout_deployment_id": Option("str", "The same id and plan again continue or return the same release."),
    "rollout_sequence": Option("int", "Rising number of the deployment; an older one is refused."),
    "rollout_allow_older": Option("bool", "Ship an older sequence all the same.", default=False),
    "rollout_on_new_revision": Option("str", "A new version while a release runs.", default="refuse", choices=("refuse", "supersede")),
    "rollout_on_interrupt": Option("str", "Ctrl-C, TERM or a cancelled job: stay where it is, or restore stable.", default="hold", choices=("hold", "abort")),
    "rollout_abort": Option("str", "Way back: stable capacity first, or all traffic at once.", default="safe", choices=("safe", "immediate")),
    "rollout_allow_overload": Option("bool", "Allow weights beyond what the hosts behind them carry.", default=False),
    "rollout_allow_few_requests": Option("bool", "Begin even where too few requests come now to judge by.", default=False),
    "rollout_force": Option("bool", "With abort: break the lease of a run in its deploy or hook phase. With rollback: go back behind a contracted"
                            " database.", default=False),
    "rollout_promote_full": Option("bool", "With promote: skip the remaining steps.", default=False),
    "rollout_paused_fails": Option("bool", "End non-zero when the outcome is paused.", default=False),
    "rollout_reason": Option("str", "Why, for the record, with abort and rollback."),
    "rollout_deploy_timeout": Option("duration", "The longest a deploy of one batch may take.", default="15m"),
    "rollout_scale_down_delay": Option("duration", "How long a track with replicas keeps running after it lost its traffic.", default="30s"),
    "rollout_drain_timeout": Option("duration", "The longest wait for requests in flight.", default="30s"),
    "rollout_propagation_timeout": Option("duration", "The longest wait until the data plane does what it was told.", default="60s"),
    "rollout_measure": Option("dict", "When a measured share counts as the asked one.", default={}, options={
        "tolerance": Option("percent", "Points it may be off, beyond chance.", default="2"),
        "min_requests": Option("int", "Requests below which the read-back alone decides.", default=200, minimum=1),
    }),
    "rollout_lease": Option("dict", "Timing of the lease.", default={}, options={
        "ttl": Option("duration", "A lease unchanged for so long is up for grabs.", default="90s"),
    }),
    "rollout_report": Option("dict", "What is written at the end.", default={}, options={
        "directory": Option("path", "Where to.", default="reports"),
        "formats": Option("list", "Which.", elements="str", default=list(FORMATS)),
    }),
    "rollout_verify": Option("dict", "What must answer before a release is called done.", default={}, options={
        "checks": Option("any", "Health options like rollout_health, asked of the users' own entry point."),
        "targets": Option("dict", "Name and address of each thing asked.", default={}, open=True),
    }),
    "rollout_watch": Option("dict", "How the playbook watch looks after what is stable.", default={}, options={
        "duration": Option("duration", "How long.", default="10m"),
        "interval": Option("duration", "Time between two looks; default is that of the analysis."),
        "dry_run": Option("bool", "Only look: nothing is taken back, and a version that is not well fails the run.", default=False),
    }),
    "rollout_url_allow": Option("list", "Host patterns that health checks and metrics over HTTP are limited to.", elements="str"),
    "rollout_to_version": Option("str", "With rollback: the good version to go back to."),
    "rollout_to_revision": Option("int", "With rollback of a workload of Kubernetes: the revision to go back to, as kubectl rollout undo numbers them; 0 is the"
                                         " one before. Needs no record of ours."),
    "rollout_rollback_safe": Option("bool", "With rollback: show what would change, and wait for a decision before anything does.", default=False),
    "rollout_rollback_window": Option("dict", "A version that was good so recently is shipped at once: steps and analysis are skipped.", options={
        "revisions": Option("int", "It is one of so many good versions before the current.", minimum=1),
        "duration": Option("duration", "It was promoted so recently."),
    }),
}

SHORTEST_LEASE = 5.0
"""Seconds. A lease that ends while its holder is between two tasks invites a second run in."""

VERSIONS = ("version", "previous_version", "to_version")
LONGEST_VERSION = 253
DEEPEST, MOST_PARTS = 20, 20_000
"""Levels of nesting, and values in all, that one variable may have."""

GIVEN_TO_USERS = frozenset({"rollout_target_version", "rollout_track", "rollout_action", "rollout_outcome", "rollout_code"})
"""Variables that we set for the user's tasks, and stats for workflows, which AWX gives back to every later job of one; they are not input."""


def read(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The checked, complete release file from all ``rollout_*`` variables; keys without the prefix.

    Raises ConfigError naming the path, such as ``rollout_steps[2].set_weight``.
    """
    given = {name: value for name, value in variables.items()
             if isinstance(name, str) and name.startswith("rollout_") and name not in GIVEN_TO_USERS and value is not None}
    for name in given:
        if name not in SPEC:
            raise unknown("variable", name[:80], SPEC, where=name[:80])
        _bounded(given[name], name)
    result: dict[str, Any] = {}
    for name, option in SPEC.items():
        value = given.get(name, option.default)
        if value is None:
            if option.required:
                raise ConfigError(f"{name} is missing", where="the release file", do=option.description)
            continue
        key = name[len("rollout_"):]
        if key in VERSIONS and isinstance(value, (float, datetime.datetime)):
            raise ConfigError(f"it came as {value}, which may not be what was written: 1.10 is the number 1.1", where=name,
                              do="Put it in quotes; a template, under jinja2_native, ends with | string.")
        if name == "rollout_steps":
            result[key] = [_step(item, f"{name}[{index}]") for index, item in enumerate(_list(value, name))]
        elif name == "rollout_notify":
            result[key] = notifying.read(value, name)
        elif name in ("rollout_analysis", "rollout_health"):
            result[key] = _section(key, value, name)
        elif option.one_of:
            kind, inner = one_key(value, option.options or {}, name, key)
            result[key] = {kind: inner}
        else:
            result[key] = check(value, option, name)
    if result["verify"].get("checks") is not None:
        result["verify"]["checks"] = _section("health", result["verify"]["checks"], "rollout_verify.checks")
    asked = targets_from(result["verify"].get("targets") or {}, "rollout_verify.targets")
    if bool(asked) != bool(result["verify"].get("checks")):
        lacking, do = ("checks", "such as {http: {url: 'https://${address}/health'}}") if asked else ("targets", "such as {shop: shop.example.com}")
        raise ConfigError("nobody is asked anything", where=f"rollout_verify.{lacking}", do=f"Give it too, {do}.")
    if not result["version"].strip():
        raise ConfigError("rollout_version is empty", where="rollout_version", do="Say what to ship.")
    pool = result["workload"].get("pool") or {}
    in_folders = any("release_dir" in (pool.get(name) or {}) for name in ("deploy", "rollback"))
    for key in VERSIONS:
        if len(result.get(key, "")) > LONGEST_VERSION or not result.get(key, "").isprintable():
            raise ConfigError(f"{shown(result[key])} is no version", where=f"rollout_{key}", do="One short line without control characters.")
        if result.get(key) and in_folders and not NAME.fullmatch(result[key]):
            raise ConfigError(f"{shown(result[key])} cannot be the name of a release folder", where=f"rollout_{key}",
                              do="Letters, digits, '.', '_', ':' and '-'.")
    if duration(result["lease"].get("ttl", "90s")) < SHORTEST_LEASE:
        raise ConfigError(f"{result['lease']['ttl']} is shorter than a task may take", where="rollout_lease.ttl",
                          do=f"Use {show_duration(SHORTEST_LEASE)} or more.")
    for index, name in enumerate(result["report"].get("formats", ())):
        if name not in FORMATS:
            raise unknown("format", name, FORMATS, where=f"rollout_report.formats[{index}]")
    return completed(result, store_given="rollout_store" in given)


def _bounded(value: Any, where: str) -> None:
    """Refuse what no person wrote: aliases that explode or bite their own tail, and nesting without end."""
    level, count = [value], 0
    for _depth in range(DEEPEST):
        groups = [list(item.values()) if isinstance(item, Mapping) else item for item in level if isinstance(item, (Mapping, list, tuple))]
        count += sum(map(len, groups))
        if not groups:
            return
        if count > MOST_PARTS:
            break
        level = [item for group in groups for item in group]
    raise ConfigError("that is nested too deeply, or holds too much", where=where, do="Look for a YAML alias that repeats itself.")


def located(spec: dict[str, Any], folders: Iterable[str]) -> dict[str, Any]:
    """The release file with the absolute path of every tasks file and manifest. Raises ConfigError naming all places looked in."""
    folders = list(folders)

    def find(path: str, where: str, what: str = "tasks file") -> str:
        places = [path] if os.path.isabs(os.path.expanduser(path)) else [os.path.join(folder, path) for folder in folders]
        for place in places:
            if os.path.isfile(os.path.expanduser(place)):
                return os.path.abspath(os.path.expanduser(place))
        raise ConfigError(f"there is no {what} {path}", where=where, do=f"Looked for {', '.join(places) or 'nothing'}.")

    [(kind, about)] = spec["workload"].items()
    if isinstance(about.get("manifest"), str):
        about["manifest"] = find(about["manifest"], f"rollout_workload.{kind}.manifest", "manifest")
    pool = spec["workload"].get("pool") or {}
    for name in ("deploy", "rollback"):
        if (pool.get(name) or {}).get("tasks"):
            pool[name]["tasks"] = find(pool[name]["tasks"], f"rollout_workload.pool.{name}.tasks")
    for point, hooks in (spec.get("hooks") or {}).items():
        for index, hook in enumerate(hooks):
            if hook.get("tasks"):
                hook["tasks"] = find(hook["tasks"], f"rollout_hooks.{point}[{index}].tasks")
    for index, step in enumerate(spec.get("steps") or []):
        if (step.get("hook") or {}).get("tasks"):
            step["hook"]["tasks"] = find(step["hook"]["tasks"], f"rollout_steps[{index}].hook.tasks")
    return spec


def _section(key: str, value: Any, where: str) -> dict[str, Any] | None:
    if value in ("none", None, False):
        return None
    options = ANALYSIS if key == "analysis" else HEALTH_OPTIONS
    if key == "analysis" and isinstance(value, Mapping):
        metrics = [_snake_keys(item, f"{where}.metrics[{index}]") for index, item in enumerate(_list(value.get("metrics") or [], f"{where}.metrics"))]
        value = {**value, "metrics": metrics}
    found: dict[str, Any] = check(value, Option("dict", "", options=options), where)
    if key == "health":
        parse(found, where)
    return found


def _step(item: Any, where: str) -> dict[str, Any]:
    kind, inner = "", {}
    if isinstance(item, Mapping):
        item = _snake_keys(item, where)
        if len(item) == 1 and next(iter(item)) in STEP:
            [(kind, raw)] = item.items()
            option = STEP[kind]
            inner = check({} if raw is None and option.type == "dict" else raw, option, f"{where}.{kind}")
            return {kind: inner}
    kind, inner = one_key(item, STEP, where, "step")
    return {kind: inner}


def _snake_keys(value: Any, where: str) -> Any:
    """camelCase keys as snake_case, so that steps and metrics of Argo Rollouts or Flagger can be pasted."""
    if not isinstance(value, Mapping):
        return value
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found.group(1).lower(), key) if isinstance(key, str) else shown(key)
        if name in result:
            raise ConfigError(f"{name} is given twice", where=where, do="Keep one of its spellings.")
        result[name] = [_snake_keys(entry, f"{where}.{name}") for entry in item] if isinstance(item, list) else _snake_keys(item, f"{where}.{name}")
    return result


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"expected a list, got {shown(value)}", where=where)
    return list(value)


ANALYSIS = analysis_options(family(PROVIDERS))
