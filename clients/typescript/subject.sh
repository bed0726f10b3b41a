#!/bin/sh
# Runs the subject of the conformance tests. build.sh makes it.
exec node "$(dirname "$0")/build/all/subject/main.js" "$@"
