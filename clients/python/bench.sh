#!/usr/bin/env bash
# Runs the client's benchmark: bench.sh WORKLOAD LIBRARY ENDPOINT. See bench/bench.py.
set -euo pipefail
cd "$(dirname "$0")"

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients"
readonly VENV="$CACHE/python-bench"

# The environment is made again if the tools or the package's own data have changed.
wanted="$(cat bench/requirements.txt pyproject.toml; pwd)"
if [[ "$(cat "$VENV/built-for" 2>/dev/null)" != "$wanted" ]]; then
	python3 -m venv --clear "$VENV" ||
		{ echo 'bench.sh: venv is missing: install python3-venv' >&2; exit 1; }
	{
		# First what builds the packages that have no wheel.
		"$VENV/bin/pip" install --quiet --requirement <(grep -E '^(setuptools|wheel)==' bench/requirements.txt)
		"$VENV/bin/pip" install --quiet --no-deps --no-build-isolation --requirement bench/requirements.txt
		"$VENV/bin/pip" install --quiet --no-deps --no-build-isolation --editable .
	} >&2
	echo "$wanted" > "$VENV/built-for"
fi

export PYTHONPYCACHEPREFIX="$CACHE/python-pycache"
exec "$VENV/bin/python" bench/bench.py "$@"
