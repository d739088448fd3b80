#!/usr/bin/env bash
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The guide's chapter 2, job by job: blue-green.sh JOB. A runner ends a job at its first command that fails. Sleeps are a fiftieth.
# shellcheck disable=all  # the guide's own lines, as they are
set -eo pipefail
case "$1" in
deploy-to-blue)
  kubectl set image deployment/app-blue app=$DOCKER_IMAGE
  kubectl rollout status deployment/app-blue
  ;;
test-blue-environment)
  curl -f $BLUE_URL/health
  pytest tests/integration/
  ;;
health-check)
  for i in {1..30}; do
    if curl -f $BLUE_URL/health; then
      echo "✅ 健康检查通过"
      break
    fi
    echo "⏳ 等待中... ($i/30)"
    sleep 0.2
  done
  ;;
switch-to-blue)
  kubectl patch service app-service -p '{"spec":{"selector":{"version":"blue"}}}'
  echo "✅ 流量切换完成"
  ;;
cleanup-green)
  kubectl scale deployment app-green --replicas=0
  ;;
esac
