#!/usr/bin/env bash
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The guide's chapter 7: rollback.sh JOB. Sleeps are a fiftieth, windows too (the 30 minutes are 12 s); labels are those of the app. Mended, or the second job
# would end at its first line: prometheus_query, which the guide never defines, and a step for the subquery.
# shellcheck disable=all  # the guide's own lines, as they are
set -eo pipefail
prometheus_query() {
  curl -sg "$PROMETHEUS/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1]'
}
case "$1" in
deploy-with-auto-rollback)
  kubectl set image deployment/myapp app=$DOCKER_IMAGE
  if ! kubectl rollout status deployment/myapp --timeout=300s; then
    echo "❌ 部署超时，执行自动回滚"
    kubectl rollout undo deployment/myapp
    exit 1
  fi
  for i in {1..30}; do
    sleep 0.2
    FAILED_PODS=$(kubectl get pods -l app=myapp --field-selector=status.phase!=Running | wc -l)
    if [ $FAILED_PODS -gt 1 ]; then
      echo "❌ 发现失败的Pod，执行自动回滚"
      kubectl rollout undo deployment/myapp
      exit 1
    fi
    if ! curl -f $MYAPP_URL/health; then
      echo "❌ 健康检查失败，执行自动回滚"
      kubectl rollout undo deployment/myapp
      exit 1
    fi
    echo "⏳ 健康监控中... ($i/30)"
  done
  echo "✅ 部署成功且稳定运行"
  ;;
intelligent-rollback)
  BASELINE_ERROR_RATE=$(prometheus_query "avg_over_time(rate(http_requests_total{code=~\"5..\"}[12s])[12s:1s])")
  BASELINE_RESPONSE_TIME=$(prometheus_query "avg_over_time(histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[6s]))[12s:1s])")
  echo "基线错误率: $BASELINE_ERROR_RATE"
  echo "基线响应时间: $BASELINE_RESPONSE_TIME"
  for i in {1..60}; do
    sleep 0.2
    CURRENT_ERROR_RATE=$(prometheus_query "rate(http_requests_total{code=~\"5..\"}[6s])")
    CURRENT_RESPONSE_TIME=$(prometheus_query "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[6s]))")
    echo "当前错误率: $CURRENT_ERROR_RATE"
    echo "当前响应时间: $CURRENT_RESPONSE_TIME"
    if (( $(echo "$CURRENT_ERROR_RATE > $BASELINE_ERROR_RATE * 2" | bc -l) )); then
      echo "❌ 错误率比基线高2倍，触发自动回滚"
      kubectl rollout undo deployment/myapp
      exit 1
    fi
    if (( $(echo "$CURRENT_RESPONSE_TIME > $BASELINE_RESPONSE_TIME * 1.5" | bc -l) )); then
      echo "❌ 响应时间比基线慢50%，触发自动回滚"
      kubectl rollout undo deployment/myapp
      exit 1
    fi
    echo "⏳ 指标正常，继续监控... ($i/60)"
  done
  echo "✅ 新版本指标稳定，部署成功"
  ;;
esac
