#!/usr/bin/env bash
# Installs, checks, tests and packs the client, and makes the conformance subject runnable.
# CONCLAVE_BIN names the server for the tests.
set -euo pipefail
cd "$(dirname "$0")"

readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients"
readonly VENV="$CACHE/python-venv"
: "${CONCLAVE_BIN:?names the conclave binary that the tests run}"
export CONCLAVE_BIN

# The environment is made again if the tools or the package's own data have changed.
wanted="$(cat requirements-dev.txt pyproject.toml; pwd)"
if [[ "$(cat "$VENV/built-for" 2>/dev/null)" != "$wanted" ]]; then
	python3 -m venv --clear "$VENV" ||
		{ echo 'build.sh: venv is missing: install python3-venv' >&2; exit 1; }
	"$VENV/bin/pip" install --quiet --requirement requirements-dev.txt
	"$VENV/bin/pip" install --quiet --no-build-isolation --no-deps --editable .
	echo "$wanted" > "$VENV/built-for"
fi
export PATH="$VENV/bin:$PATH" PYTHONPYCACHEPREFIX="$CACHE/python-pycache"
unset PYTHONDONTWRITEBYTECODE

# Whatever was checked with success is not checked again until it changes.
state="$(find . ../../proto -type f -not -path '*/.*' -not -path '*.egg-info/*' -not -path '*/__pycache__/*' -print0 |
	sort --zero-terminated | xargs --null sha256sum; sha256sum "$CONCLAVE_BIN"; echo "$wanted")"
if [[ "$(cat "$VENV/checked" 2>/dev/null)" == "$state" ]]; then
	exit
fi

ruff format --quiet --check .
ruff check --quiet .
mypy --cache-dir="$CACHE/python-mypy"
(cd subject && MYPYPATH=../src mypy --strict --python-version=3.10 --config-file= --cache-dir="$CACHE/python-mypy" main.py)
vermin --quiet --no-tips --target=3.9- --violations --eval-annotations src
pytest --quiet -p no:cacheprovider

# Packs from a copy, since setuptools writes beside the source, and tries the wheel where only it and
# what it asks for is installed.
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
readonly PACKED="$CACHE/python-packed"
cp -r pyproject.toml README.md src "$scratch"
rm -rf "$scratch"/src/*.egg-info "$CACHE/python-dist"
(cd "$scratch" && python -m build --no-isolation --outdir "$CACHE/python-dist" . > "$scratch/log" 2>&1) ||
	{ cat "$scratch/log" >&2; exit 1; }
[[ -x "$PACKED/bin/pip" ]] || python3 -m venv "$PACKED"
"$PACKED/bin/pip" install --quiet "$CACHE"/python-dist/*.whl
"$PACKED/bin/pip" install --quiet --force-reinstall --no-deps "$CACHE"/python-dist/*.whl
CONCLAVE_PYTHON="$PACKED/bin/python" pytest --quiet -p no:cacheprovider tests/test_documents.py -k readme

python -m compileall -q src subject
echo "$state" > "$VENV/checked"
