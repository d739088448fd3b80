#!/bin/sh
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A blue-green switch as a pipeline does it by hand. switch.sh NAMESPACE NEW OLD; kubectl finds its kubeconfig in the environment.
set -eu
namespace=$1 new=$2 old=$3
kubectl --namespace "$namespace" rollout status "deployment/shop-$new" --timeout=120s
kubectl --namespace "$namespace" patch service shop --patch '{"spec": {"selector": {"color": "'"$new"'"}}}'
kubectl --namespace "$namespace" scale "deployment/shop-$old" --replicas=0
