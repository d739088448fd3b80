#!/usr/bin/env bash
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The guide's chapter 5, as far as it moves traffic: ab-test.sh JOB. Mended, or no request would ever reach it: the VirtualService names its gateway.
# shellcheck disable=all  # the guide's own lines, as they are
set -eo pipefail
case "$1" in
deploy-ab-test)
  kubectl apply -f k8s/version-a.yaml
  kubectl apply -f k8s/version-b.yaml
  kubectl apply -f - <<END
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: myapp-ab-test
spec:
  gateways: ["$GATEWAY"]
  hosts:
  - "*"
  http:
  - match:
    - headers:
        ab-test-group:
          exact: "A"
    route:
    - destination:
        host: myapp-version-a
  - match:
    - headers:
        ab-test-group:
          exact: "B"
    route:
    - destination:
        host: myapp-version-b
  - route:
    - destination:
        host: myapp-version-a
      weight: 50
    - destination:
        host: myapp-version-b
      weight: 50
END
  ;;
configure-user-assignment)
  kubectl create configmap ab-test-config --from-literal=assignment-rule="
  function assignGroup(userId) {
    const hash = simpleHash(userId);
    return hash % 2 === 0 ? 'A' : 'B';
  }"
  ;;
esac
