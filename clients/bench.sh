#!/usr/bin/env bash
# Measures the clients beside established libraries, and prints a table: `make bench-clients`. README.md describes what
# is measured. All of them use one member, and take turns.
#
#   clients/bench.sh [LANGUAGE...]
#
# ROUNDS is how often each is measured (3): the table has the medians. WORKLOADS is a part of `puts handovers watches`.
# CONCLAVE_BIN is the path of the binary of the server; etcd's works, too. The member uses port PORT (12379) and the
# next, and its data is in TMPDIR.
set -euo pipefail
cd "$(dirname "$0")"

languages=("$@")
((${#languages[@]})) || languages=(rust go java python typescript)
read -ra workloads <<<"${WORKLOADS:-puts handovers watches}"
conclave=${CONCLAVE_BIN:-${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/conclave/target}/release/conclave}
port=${PORT:-12379}
client=http://127.0.0.1:$port
peer=http://127.0.0.1:$((port + 1))

dir=$(mktemp -d "${TMPDIR:-/tmp}/conclave-bench.XXXXXX")
server=
stop() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    [[ -z $server ]] || wait "$server" 2>/dev/null || true
    server=
    rm -rf "$dir/data"
}
trap 'stop; rm -rf "$dir"' EXIT

# A member with nothing in it.
start() {
    "$conclave" --name=bench --data-dir="$dir/data" --listen-client-urls="$client" --advertise-client-urls="$client" \
        --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="bench=$peer" \
        2>"$dir/server.log" >&2 &
    server=$!
    for ((attempt = 0; attempt < 100; attempt++)); do
        kill -0 "$server" 2>/dev/null || break
        ! curl --silent --fail --output /dev/null "$client/health" || return 0
        sleep 0.1
    done
    tail -5 "$dir/server.log" >&2
    echo "bench.sh: $conclave does not serve at $client" >&2
    exit 1
}

for ((round = 0; round < ${ROUNDS:-3}; round++)); do
    for language in "${languages[@]}"; do
        libraries=(ours other)
        # Python has two that are in use.
        [[ $language != python ]] || libraries+=(aetcd)
        for workload in "${workloads[@]}"; do
            for library in "${libraries[@]}"; do
                start
                status=0
                line=$("$language/bench.sh" "$workload" "$library" "$client" 2>"$dir/log") || status=$?
                stop
                if ((status != 0)); then
                    echo "$language, $library, $workload: $(tail -1 "$dir/log")" >&2
                    ((status == 3)) || sed 's/^/    /' "$dir/log" >&2
                    continue
                fi
                printf '%s\t%s\t%s\t%s\n' "$language" "$library" "$workload" "$line" | tee -a "$dir/measured" >&2
            done
        done
    done
done

echo '| language | library | puts/s | client CPU of a put | hand-overs/s | memory of a watch |'
echo '|---|---|---|---|---|---|'
awk -F'\t' '
    function median(key,    n, sorted, i, j, t) {
        n = split(values[key], sorted, " ")
        if (n == 0) return "-"
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && sorted[j] + 0 < sorted[j - 1] + 0; j--) {
                t = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = t
            }
        return sorted[int((n + 1) / 2)]
    }
    {
        row = $1 FS $2
        if (!(row in name)) order[++rows] = row
        name[row] = $8
        if ($3 == "watches") values[row, "watch"] = values[row, "watch"] " " $7 / $4 / 1024
        else values[row, $3] = values[row, $3] " " $4 / $5
        if ($3 == "puts") values[row, "cpu"] = values[row, "cpu"] " " $6 / $4 * 1e6
    }
    function shown(value, format) { return value == "-" ? "-" : sprintf(format, value) }
    END {
        for (i = 1; i <= rows; i++) {
            row = order[i]; split(row, part, FS)
            printf "| %s | %s | %s | %s | %s | %s |\n", part[1], name[row], shown(median(row SUBSEP "puts"), "%d"),
                shown(median(row SUBSEP "cpu"), "%d us"), shown(median(row SUBSEP "handovers"), "%d"),
                shown(median(row SUBSEP "watch"), "%.1f KiB")
        }
    }' "$dir/measured"
