# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Argo Rollouts, Flagger and Kayenta are given becomes a release file that passes our own checks, and nothing is lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.importers.argo import untagged
from ansible_collections.progressive.delivery.plugins.module_utils.core.importers.detect import convert
from ansible_collections.progressive.delivery.plugins.module_utils.core.importers.source import Converted
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build, release_file
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import import_release
from ansible_collections.progressive.delivery.tests.cluster import pki
from ansible_collections.progressive.delivery.tests.unit.docs.releases import compiled, variables

CANARY = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop, namespace: prod, uid: 1-2, labels: {app: shop}}
spec:
  replicas: 5
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: shop}}
  rollbackWindow: {revisions: 2}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: app, image: "registry.test:5000/team/shop:1.2"}]}
  strategy:
    canary:
      stableService: shop-stable
      canaryService: shop-canary
      maxSurge: 25%
      scaleDownDelaySeconds: 45
      trafficRouting: {plugins: {argoproj-labs/gatewayAPI: {httpRoute: shop, namespace: prod}}}
      analysis:
        templates: [{templateName: errors}]
        startingStep: 2
        args: [{name: service, value: shop-canary}]
      steps:
        - setHeaderRoute: {name: testers, match: [{headerName: x-test, headerValue: {exact: "yes"}}]}
        - setWeight: 5
        - pause: {duration: 10m}
        - setCanaryScale: {weight: 25}
        - setWeight: 40
        - pause: {duration: 90}
        - analysis: {templates: [{templateName: slow}]}
        - experiment: {duration: 5m}
        - pause: {}
        - setCanaryScale: {matchTrafficWeight: true}
        - setWeight: 80
        - setMirrorRoute: {name: copies, percentage: 10}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: service}, {name: limit, value: "0.95"}]
  metrics:
    - name: success rate
      interval: 5m
      initialDelay: 1m
      successCondition: result[0] >= {{args.limit}}
      failureLimit: 3
      provider:
        prometheus:
          address: http://prometheus.example.com:9090
          query: |
            sum(irate(requests_total{service="{{args.service}}",code!~"5.*"}[5m])) / sum(irate(requests_total{service="{{ args.service }}"}[5m]))
    - name: kept
      provider: {job: {spec: {template: {}}}}
  dryRun: [{metricName: kept.*}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: slow}
spec:
  args: [{name: token, valueFrom: {secretKeyRef: {name: s, key: t}}}, {name: hash}]
  metrics:
    - name: checked
      count: 4
      interval: 30s
      successCondition: result == "ok"
      provider: {web: {url: "http://checks.test/{{args.hash}}", jsonPath: "{$.data.state}", headers: [{key: Authorization, value: "Bearer {{args.token}}"}]}}
"""

BLUE_GREEN = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop, namespace: prod}
spec:
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: shop-web}
  strategy:
    blueGreen:
      activeService: shop
      previewService: shop-preview
      autoPromotionEnabled: false
      previewReplicaCount: 1
      scaleDownDelaySeconds: 600
      antiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}
      prePromotionAnalysis: {templates: [{templateName: errors}], args: [{name: service, value: shop-preview}]}
      postPromotionAnalysis: {templates: [{templateName: missing}]}
""" + CANARY[CANARY.index("---"):]

FLAGGER = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: test}
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  progressDeadlineSeconds: 60
  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: podinfo}
  service:
    port: 9898
    gatewayRefs: [{name: gateway, namespace: infra}]
    retries: {attempts: 3}
  analysis:
    interval: 1m
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
      - {name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}
      - {name: request-duration, thresholdRange: {max: 500}, interval: 30s}
      - {name: "404s percentage", templateRef: {name: not-found, namespace: istio-system}, thresholdRange: {max: 5}, templateVariables: {code: "404"}}
    webhooks:
      - {name: load-test, type: rollout, url: "http://load.test/", metadata: {cmd: "hey -z 1m"}}
      - {name: gate, type: confirm-promotion, url: "http://gate.test/"}
    alerts: [{name: slack, severity: error, providerRef: {name: on-call}}]
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: not-found, namespace: istio-system}
spec:
  provider: {type: prometheus, address: "http://prometheus.istio-system:9090", secretRef: {name: creds}}
  query: 100 * sum(rate(requests{app="{{ target }}",ns="{{ namespace }}",code="{{ variables.code }}"}[{{ interval }}]))
"""

KAYENTA = """
name: shop canary
applications: [shop]
judge: {name: NetflixACAJudge-v1.0, judgeConfigurations: {}}
metrics:
  - name: errors
    query:
      type: prometheus
      serviceType: prometheus
      customInlineTemplate: 'PromQL:sum(rate(errors_total{pod=~"${scope}-.*",namespace="${location}"}[1m]))'
    groups: [quality]
    analysisConfigurations:
      canary: {direction: increase, nanStrategy: replace, critical: true, mustHaveData: true, effectSize: {allowedIncrease: 1.2, criticalIncrease: 2},
               outliers: {strategy: remove, outlierFactor: 2.5}}
  - name: cpu
    query: {type: prometheus, metricName: container_cpu, labelBindings: ['job="a"'], groupByFields: [pod]}
    groups: [load, extra]
    analysisConfigurations: {canary: {direction: either}}
  - {name: other, query: {type: datadog, metricName: x}, groups: [load]}
classifier: {groupWeights: {quality: 60, load: 40}, scoreThresholds: {pass: 90, marginal: 70}}
"""


def made(text: str) -> Converted:
    return convert(list(yaml.safe_load_all(text)))


def dumped(release: dict[str, Any]) -> str:
    return yaml.safe_dump(release, width=10**6)


def plan(found: Converted, folder: Path) -> tuple[Any, Any]:
    """What ``plan`` makes of it; raises what it would refuse."""
    config = pki.kubeconfig(folder / "kubeconfig", "https://127.0.0.1:1", {}, {"token": "none"})
    return compiled(variables(dumped(found.release)), [folder], config)


def test_a_canary_of_argo(tmp_path: Path) -> None:
    found = made(CANARY)
    release = found.release
    assert release["rollout_workload"] == {"deployment": {"stable": "shop", "canary": "shop-canary", "image": "registry.test:5000/team/shop:${version}",
                                                          "create_missing": True}}
    assert release["rollout_router"] == {"gateway_api": {"http_route": "shop", "stable": "shop-stable", "canary": "shop-canary"}}
    assert release["rollout_steps"] == [
        {"set_header_route": {"name": "testers", "match": [{"header_name": "x-test", "header_value": {"exact": "yes"}}]}},
        {"set_weight": 5}, {"bake": {"duration": "10m"}}, {"set_canary_scale": {"weight": 25}}, {"set_weight": 40}, {"bake": {"duration": "90s"}},
        {"analysis": {"duration": "90s"}}, {"pause": {}}, {"set_canary_scale": {"match_traffic_weight": True}},
        {"set_weight": 80}, {"set_mirror_route": {"percentage": 10}},
    ]  # fmt: skip
    assert (release["rollout_scale_down_delay"], release["rollout_deploy_timeout"], release["rollout_rollback_window"]) == ("45s", "600s", {"revisions": 2})
    rate, checked = release["rollout_analysis"]["metrics"]
    assert rate["success_condition"] == "result[0] >= 0.95" and rate["failure_limit"] == 3 and rate["initial_delay"] == "1m"
    assert 'service="shop-canary",code' in rate["query"] and "args." not in rate["query"]
    assert checked["provider"]["web"]["url"] == "http://checks.test/{{ argo_hash }}" and checked["query"] == "$.data.state" and checked["count"] == 4
    assert checked["dry_run"] and any('(result == "ok")' in line for line in found.to_do), "a text is no number"
    left = {each.path for each in found.left}
    assert {"Rollout/shop.spec.replicas", "Rollout/shop.spec.selector", "Rollout/shop.spec.strategy.canary.maxSurge",
            "Rollout/shop.spec.strategy.canary.steps[7].experiment", "AnalysisTemplate/errors.spec.metrics[1].provider.job"} <= left
    assert any("argo_token" in line for line in found.to_do) and any("step 2" in line for line in found.to_do)
    plan(found, tmp_path)


ISTIO: dict[str, dict[str, Any]] = {
    "{virtualService: {name: shop, routes: [primary]}}":
        {"virtual_service": "shop", "stable": "shop-stable", "canary": "shop-canary", "routes": ["http/primary"]},
    "{virtualServices: [{name: a}, {name: b, tlsRoutes: [{port: 443, sniHosts: [shop.test]}], tcpRoutes: [{port: 3306}]}]}":
        {"virtual_services": ["a", "b"], "stable": "shop-stable", "canary": "shop-canary", "routes": ["tls/shop.test", "tcp/0"]},
    "{virtualService: {name: shop}, destinationRule: {name: dr, canarySubsetName: new, stableSubsetName: old}}":
        {"virtual_service": "shop", "host": "shop-stable", "stable": "old", "canary": "new", "destination_rule": {"name": "dr"}},
}  # fmt: skip


@pytest.mark.parametrize("routing", ISTIO)
def test_a_canary_of_argo_on_istio(routing: str) -> None:
    documents = list(yaml.safe_load_all(CANARY))
    canary = documents[0]["spec"]["strategy"]["canary"]
    canary["trafficRouting"] = {"istio": yaml.safe_load(routing)}
    found = convert(documents)
    assert found.release["rollout_router"] == {"istio": ISTIO[routing]}
    release_file.read(variables(dumped(found.release)))


def test_a_canary_of_flagger_on_istio() -> None:
    found = made(FLAGGER.replace("provider: gatewayapi:v1", "provider: istio").replace("gatewayRefs: [{name: gateway, namespace: infra}]", "gateways: [mesh]"))
    assert found.release["rollout_router"] == {"istio": {"virtual_service": "podinfo", "stable": "podinfo-primary", "canary": "podinfo-canary"}}


def test_a_blue_green_rollout_of_argo(tmp_path: Path) -> None:
    found = made(BLUE_GREEN)
    release = found.release
    assert release["rollout_strategy"] == "blue_green" and release["rollout_workload"]["deployment"]["stable"] == "shop-web"
    assert release["rollout_router"] == {"service": {"name": "shop", "preview": "shop-preview"}}
    assert release["rollout_blue_green"] == {"auto_promotion_enabled": False, "preview_replica_count": 1, "post_promotion_bake": "1m"}
    assert release["rollout_scale_down_delay"] == "600s" and "analysis" in release["rollout_steps"][0]
    assert "Rollout/shop.spec.strategy.blueGreen.antiAffinity" in {each.path for each in found.left}
    assert any("AnalysisTemplate missing is not among the documents" in line for line in found.to_do)
    plan(found, tmp_path)


def test_a_canary_of_flagger(tmp_path: Path) -> None:
    found = made(FLAGGER)
    release = found.release
    assert release["rollout_workload"]["deployment"]["stable"] == "podinfo-primary" and release["rollout_workload"]["deployment"]["canary"] == "podinfo"
    assert release["rollout_router"] == {"gateway_api": {"http_route": "podinfo", "stable": "podinfo-primary", "canary": "podinfo-canary"}}
    assert release["rollout_canary"] == {"step_weight": 10, "max_weight": 50, "bake": "1m"}
    good, slow, lost = release["rollout_analysis"]["metrics"]
    assert good == {"name": "request-success-rate", "builtin": "success_rate", "threshold_range": {"min": 0.99}, "failure_limit": 4}
    assert slow["builtin"] == "latency" and slow["quantile"] == 0.99 and slow["threshold_range"] == {"max": 500}
    assert lost["query"] == '100 * sum(rate(requests{app="${workload}",ns="${namespace}",code="404"}[${window}]))' and lost["name"] == "404s-percentage"
    reasons = {each.path: each.why for each in found.left}
    assert "Canary/podinfo.spec.service.retries" in reasons and "Canary/podinfo.spec.autoscalerRef" in reasons
    assert "gate before 100 %" in reasons["Canary/podinfo.spec.analysis.webhooks (gate)"]
    assert "MetricTemplate/not-found.spec.provider.secretRef" in reasons
    plan(found, tmp_path)


INSIDERS = [{"header_name": "x-canary", "header_value": {"exact": "insider"}}, {"cookie_name": "canary", "cookie_value": {"exact": "always"}}]


@pytest.mark.parametrize(("analysis", "strategy", "steps"), [
    ("{interval: 1m, threshold: 2, iterations: 10}", "blue_green", [{"bake": {"duration": "10m"}}]),
    ('{interval: 1m, iterations: 10, match: [{headers: {x-canary: {exact: insider}}}, {headers: {cookie: {regex: "^(.*?;)?(canary=always)(;.*)?$"}}}]}',
     "canary", [{"set_header_route": {"name": "testers", "match": INSIDERS}}, {"bake": {"duration": "10m"}}, {"set_weight": 100}]),
    ("{interval: 30s, stepWeights: [1, 50], mirror: true, mirrorWeight: 20}", "canary",
     [{"set_mirror_route": {"percentage": 20}}, {"bake": {"duration": "30s"}}, {"set_mirror_route": {"percentage": 0}},
      {"set_weight": 1}, {"bake": {"duration": "30s"}}, {"set_weight": 50}, {"bake": {"duration": "30s"}}]),
])  # fmt: skip
def test_shapes_of_flagger(analysis: str, strategy: str, steps: list[Any]) -> None:
    [canary, _template] = yaml.safe_load_all(FLAGGER)
    canary["spec"]["analysis"] = yaml.safe_load(analysis)
    found = convert([canary])
    assert found.release["rollout_strategy"] == strategy and found.release["rollout_steps"] == steps
    release_file.read(variables(dumped(found.release)))


def test_a_config_of_kayenta(tmp_path: Path) -> None:
    found = made(KAYENTA)
    errors, cpu = found.release["rollout_analysis"]["metrics"]
    assert errors["query"] == 'sum(rate(errors_total{pod=~"${workload}-.*",namespace="${namespace}"}[1m]))' and errors["critical"] and errors["weight"] == 60
    assert errors["judge"] == {"kayenta": {"nan_strategy": "replace", "outliers": "remove", "outlier_factor": 2.5, "must_have_data": True,
                                           "allowed_increase": 1.2, "critical_increase": 2, "pass": 90, "marginal": 70}}
    assert cpu["query"] == 'avg(container_cpu{job="a"}) by (pod)' and cpu["group"] == "load" and cpu["direction"] == "either"
    assert any("asks datadog" in line for line in found.to_do) and any("not say what is released" in line for line in found.to_do)
    whole = {**found.release, "rollout_name": "shop", "rollout_version": "2", "rollout_workload": {"memory": {}}, "rollout_router": {"memory": {}}}
    build.metrics(release_file.read(variables(dumped(whole)))["analysis"])
    deployed = {"deployment": {"stable": "shop", "canary": "shop-canary", "image": "r.example/shop:${version}", "create_missing": True}}
    found.release.update(rollout_name="shop", rollout_version="2", rollout_kubernetes={"namespace": "shop"}, rollout_workload=deployed,
                         rollout_router={"replica_ratio": {"service": "shop"}})  # fmt: skip
    plan(found, tmp_path)


def test_templates_alone_are_an_analysis() -> None:
    found = made(CANARY[CANARY.index("---") + 4:])
    assert list(found.release) == ["rollout_analysis"] and len(found.release["rollout_analysis"]["metrics"]) == 2
    found = convert([list(yaml.safe_load_all(FLAGGER))[1]])
    assert found.release["rollout_analysis"]["metrics"][0]["dry_run"] is True


def test_what_has_no_condition_is_a_dry_run() -> None:
    documents = list(yaml.safe_load_all(CANARY))
    del documents[1]["spec"]["metrics"][0]["successCondition"]
    metric = convert(documents).release["rollout_analysis"]["metrics"][0]
    assert metric["dry_run"] is True


def test_every_field_that_is_not_carried_over_is_named() -> None:
    """A field that no version of those tools has, put at every place of the documents, is always found again."""
    for text in (CANARY, BLUE_GREEN, FLAGGER, KAYENTA):
        places = [place for document in yaml.safe_load_all(text) for place in mappings(document)]
        for number in range(len(places)):
            documents = list(yaml.safe_load_all(text))
            place, target = [one for document in documents for one in mappings(document)][number]
            if whole(place):
                continue
            target["fieldOfTomorrow"] = {"a": 1}
            found = convert(documents)
            assert any("fieldOfTomorrow" in left.path or left.path.split(".")[-1] in place for left in found.left), place


def whole(place: tuple[str, ...]) -> bool:
    """Whether the place lies in something that is taken, or left, as a whole."""
    kept = ("labels", "template", "headerValue", "selector", "metadata", "templates", "templateVariables", "groupWeights", "query", "effectSize", "judge")
    left = ("job", "providerRef", "experiment", "retries", "gatewayRefs", "autoscalerRef", "alerts", "antiAffinity", "judgeConfigurations", "secretKeyRef")
    return any(part in (*kept, *left) for part in place)


def mappings(value: Any, place: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(value, dict):
        return [(place, value), *(found for name, item in value.items() for found in mappings(item, (*place, name)))]
    return [found for item in value for found in mappings(item, place)] if isinstance(value, list) else []


@pytest.mark.parametrize(("text", "message"), [
    ("{}", "nothing to convert"), ("kind: Deployment\nmetadata: {name: x}", "nothing to convert"), ("- 1", "no mapping"),
    (CANARY + "---\n" + BLUE_GREEN, "more than one release"), (FLAGGER + "---\n" + CANARY, "more than one release"),
    (FLAGGER + "---" + CANARY[CANARY.index("---") + 3:], "different tools"),
    (CANARY.replace("setWeight: 5\n", "setWeight: many\n"), r"steps\[1\].setWeight: expected a number"),
    (CANARY.replace("steps:\n", "steps: 3\n      x:\n"), "expected a list"), (CANARY.replace("interval: 5m", "interval: soon"), "interval"),
    (FLAGGER.replace("maxWeight: 50", "maxWeight: [1]"), "expected a number"),
])  # fmt: skip
def test_what_cannot_be_read_is_said(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(text)


def test_an_image_without_its_tag() -> None:
    for text in ("host:5000/a/b", "host:5000/a/b:1", "host:5000/a/b@sha256:00", "host:5000/a/b:1@sha256:00"):
        assert untagged(text) == "host:5000/a/b"


# The verb


def run(folder: Path, text: str, check_mode: bool = False, **params: Any) -> dict[str, Any]:
    (folder / "in.yaml").write_text(text, encoding="utf-8")
    said: list[str] = []
    context = Context(FakeClock(), said.append, check_mode=check_mode)
    return {**import_release.run({"src": [str(folder / "in.yaml")], "dest": None, "force": False, **params}, context), "said": said}


@pytest.mark.parametrize("text", [
    CANARY.replace("template:", "template: {spec: 5}\n  other:", 1), KAYENTA.replace("groupByFields: [pod]", "groupByFields: true"),
    KAYENTA.replace("labelBindings: ['job=\"a\"']", "labelBindings: 5"), FLAGGER.replace("threshold: 5", "threshold: .nan"),
])  # fmt: skip
def test_a_field_of_another_form_is_no_traceback(tmp_path: Path, text: str) -> None:
    assert text not in (CANARY, KAYENTA, FLAGGER)
    with pytest.raises(ConfigError, match="in.yaml"):
        run(tmp_path, text)


def test_the_file_says_what_is_left_and_is_a_release_file(tmp_path: Path) -> None:
    done = run(tmp_path, FLAGGER, dest=str(tmp_path / "shop.yml"))
    text = (tmp_path / "shop.yml").read_text(encoding="utf-8")
    assert done["changed"] and text == done["text"] and yaml.safe_load(text) == done["release"]
    for left in done["left"]:
        assert f"# left out: {left['path']}: {left['why']}\n" in text and f"left out: {left['path']}: {left['why']}" in done["said"]
    assert all(f"# to do: {line}\n" in text for line in done["to_do"])


def test_a_file_of_yours_is_not_overwritten(tmp_path: Path) -> None:
    dest = tmp_path / "shop.yml"
    assert run(tmp_path, FLAGGER, check_mode=True, dest=str(dest))["changed"] and not dest.exists()
    assert run(tmp_path, FLAGGER, dest=str(dest))["changed"] and not run(tmp_path, FLAGGER, dest=str(dest))["changed"]
    with pytest.raises(ConfigError, match="holds something else. Move it away, or set force"):
        run(tmp_path, CANARY, dest=str(dest))
    assert run(tmp_path, CANARY, dest=str(dest), force=True)["changed"]


@pytest.mark.parametrize(("text", "message"), [
    ("a: [", r"in.yaml:\d+: that is neither YAML nor JSON"), ("a: \x01", "neither YAML"), ("", "nothing to convert"),
])  # fmt: skip
def test_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, text)
