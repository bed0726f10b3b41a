#!/usr/bin/env bash
# Runs the conformance subject, which build.sh has built.
exec "${XDG_CACHE_HOME:-$HOME/.cache}/conclave/clients/go/bin/subject"
