#!/usr/bin/env bash
# Runs the conformance subject, which `build.sh` has made runnable.
set -euo pipefail
cd "$(dirname "$0")"
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients"
# Several subjects start at the same time: compiled modules are kept, outside of the tree.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$CACHE/python-pycache"
exec "$CACHE/python-venv/bin/python" subject/main.py
