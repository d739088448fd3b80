#!/usr/bin/env bash
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The guide's chapter 4: canary.sh JOB. Sleeps and windows are a fiftieth; labels are those of the app. Mended, or no run would pass the first job:
# --type merge, without which kubectl patches no VirtualService; curl -g, without which it takes the query's braces for its own; prometheus_query, which the
# guide never defines.
# shellcheck disable=all  # the guide's own lines, as they are
set -eo pipefail
prometheus_query() {
  curl -sg "$PROMETHEUS/api/v1/query" --data-urlencode "query=$1" | jq -r '.data.result[0].value[1]'
}
case "$1" in
deploy-canary)
  kubectl apply -f k8s/canary-deployment.yaml
  kubectl patch virtualservice myapp-vs --type merge -p '{
    "spec": {
      "http": [{
        "match": [{"headers": {"canary": {"exact": "true"}}}],
        "route": [{"destination": {"host": "myapp-canary"}}]
      }, {
        "route": [
          {"destination": {"host": "myapp-stable"}, "weight": 95},
          {"destination": {"host": "myapp-canary"}, "weight": 5}
        ]
      }]
    }
  }'
  ;;
monitor-canary)
  ERROR_RATE=$(curl -sg "$PROMETHEUS/api/v1/query?query=rate(http_requests_total{pod=~\"myapp-canary.*\",code=~\"5..\"}[6s])" | jq '.data.result[0].value[1]')
  if (( $(echo "$ERROR_RATE > 0.01" | bc -l) )); then
    echo "❌ 金丝雀版本错误率过高: $ERROR_RATE"
    exit 1
  fi
  echo "✅ 金丝雀版本表现良好"
  ;;
canary-5-percent)
  kubectl apply -f k8s/canary-5percent.yaml
  sleep 6
  ;;
canary-20-percent)
  kubectl apply -f k8s/canary-20percent.yaml
  sleep 6
  ;;
canary-50-percent)
  kubectl apply -f k8s/canary-50percent.yaml
  sleep 6
  ;;
promote-to-stable)
  kubectl apply -f k8s/stable-deployment.yaml
  kubectl delete -f k8s/canary-deployment.yaml
  ;;
canary-health-check)
  ERROR_RATE=$(prometheus_query "rate(http_requests_total{pod=~\"myapp-canary.*\",code=~\"5..\"}[6s])")
  echo "错误率: $ERROR_RATE"
  RESPONSE_TIME=$(prometheus_query "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket{pod=~\"myapp-canary.*\"}[6s]))")
  echo "95%响应时间: $RESPONSE_TIME"
  MEMORY_USAGE=$(prometheus_query "container_memory_usage_bytes{pod=~\".*canary.*\"}")
  echo "内存使用: $MEMORY_USAGE"
  if [[ $(echo "$ERROR_RATE > 0.01" | bc -l) -eq 1 ]]; then
    echo "❌ 金丝雀版本错误率过高，停止发布"
    exit 1
  fi
  echo "✅ 金丝雀版本指标正常"
  ;;
esac
