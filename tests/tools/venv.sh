#!/bin/sh
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes or refreshes .venv, the virtual environment of the tests, the checks and the demo. Says nothing when there is nothing to do.
set -eu
cd "$(dirname "$0")/../.."
found=$(sh tests/tools/pythons.sh)
python=$(printf '%s\n' "$found" | awk '$1 ~ /^3\.1[1-4]$/ && $2 == "venv" { print $3; exit }')
if [ -z "$python" ]; then
    bare=$(printf '%s\n' "$found" | awk '$1 ~ /^3\.1[1-4]$/ { print $1; exit }')
    if [ -n "$bare" ]; then
        echo "Python $bare is here, its venv and ensurepip are not: install the package python3-venv (Debian: python$bare-venv)." >&2
    else
        echo "No Python between 3.11 and 3.14 is here: install the packages python3 and python3-venv." >&2
    fi
    exit 1
fi
exec "$python" tests/tools/environments.py "$@"
