#!/usr/bin/env bash
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The guide's chapter 3: rolling.sh JOB. Both jobs are of one stage, which a runner starts together: rolling.sh stage. The limits are 40 s, not 600 s and 30 s.
# shellcheck disable=all  # the guide's own lines, as they are
set -eo pipefail
case "$1" in
stage)
  bash "$0" rolling-deploy & deploy=$!
  bash "$0" monitor-rollout & monitor=$!
  code=0
  wait $deploy || code=1
  wait $monitor || code=1
  exit $code
  ;;
rolling-deploy)
  kubectl patch deployment myapp -p '{
    "spec": {
      "strategy": {
        "type": "RollingUpdate",
        "rollingUpdate": {
          "maxUnavailable": 1,
          "maxSurge": 1
        }
      }
    }
  }'
  kubectl set image deployment/myapp app=$DOCKER_IMAGE
  kubectl rollout status deployment/myapp --timeout=40s
  ;;
monitor-rollout)
  while true; do
    STATUS=$(kubectl rollout status deployment/myapp --timeout=40s)
    if [[ $STATUS == *"successfully rolled out"* ]]; then
      echo "✅ 滚动更新成功完成"
      break
    elif [[ $STATUS == *"failed"* ]]; then
      echo "❌ 滚动更新失败"
      kubectl rollout undo deployment/myapp
      exit 1
    fi
    echo "⏳ 更新进行中..."
    sleep 0.2
  done
  ;;
esac
