#!/bin/sh
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Lists the Python interpreters of this machine, one line each: VERSION venv|no-venv PATH.
# On PATH first, then in the folders of version managers. The path is the real interpreter's: a version manager's shim on PATH
# breaks ansible-test, and a virtual environment's Python is not one to build others from.
set -u
ASK='
import importlib.util, os, sys
usable = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
print("%d.%d" % sys.version_info[:2], "venv" if usable else "no-venv", base)
'
folders() {
    printf '%s\n' "$PATH" | tr ':' '\n' | grep -v '/shims/*$'
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}"/*/bin \
        "${ASDF_DATA_DIR:-$HOME/.asdf}"/installs/python/*/bin /usr/local/bin /opt/python/*/bin
}
folders | while IFS= read -r folder; do
    for name in python3.9 python3.10 python3.11 python3.12 python3.13 python3.14; do
        if [ -x "$folder/$name" ]; then
            "$folder/$name" -c "$ASK" 2>/dev/null
        fi
    done
done | awk '!seen[$0]++'
