#!/usr/bin/env bash
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The guide's chapter 6: zero-downtime.sh JOB. The delays of probes are a fifth or less, the preStop is 6 s. Mended, or the API
# server would refuse it: selector and labels. Changed because the test image has no shell: the preStop sleeps by itself.
# shellcheck disable=all  # the guide's own lines, as they are
set -eo pipefail
case "$1" in
health-check-config)
  kubectl apply -f - <<END
apiVersion: v1
kind: Service
metadata:
  name: myapp-service
spec:
  ports:
  - port: 80
    targetPort: 8080
  selector:
    app: myapp
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: myapp
spec:
  replicas: 3
  selector:
    matchLabels:
      app: myapp
  template:
    metadata:
      labels:
        app: myapp
    spec:
      containers:
      - name: app
        image: $DOCKER_IMAGE
        ports:
        - containerPort: 8080
        livenessProbe:
          httpGet:
            path: /health
            port: 8080
          initialDelaySeconds: 2
          periodSeconds: 2
          timeoutSeconds: 5
          failureThreshold: 3
        readinessProbe:
          httpGet:
            path: /ready
            port: 8080
          initialDelaySeconds: 1
          periodSeconds: 1
          timeoutSeconds: 3
          failureThreshold: 2
        lifecycle:
          preStop:
            sleep:
              seconds: 6
END
  ;;
database-migration)
  psql -d $DATABASE_URL -c "
    ALTER TABLE users
    ADD COLUMN new_field VARCHAR(255) DEFAULT 'default_value';
  "
  psql -d $DATABASE_URL -c "
    CREATE INDEX CONCURRENTLY idx_users_new_field
    ON users(new_field);
  "
  echo "✅ 数据库迁移完成，新旧版本都兼容"
  ;;
esac
