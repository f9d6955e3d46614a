#!/usr/bin/env bash
# Creates .venv and installs commonspace in it with the named extras: ./setup.sh [extras]
set -euo pipefail
cd "$(dirname "$0")"
extras="${1:-dev}"
py=.venv/bin/python
[ -x "$py" ] || python3 -m venv .venv
"$py" -m pip install -q --disable-pip-version-check uv
args=(-c constraints.txt)
for d in ${PIP_FIND_LINKS:-}; do args+=(--find-links "$d"); done # uv does not read pip's settings
"$py" -m uv pip install -q --compile-bytecode --python "$py" "${args[@]}" -e ".[${extras}]"
