#!/usr/bin/env bash
# A cluster of three members on this machine, in one terminal, for experiments: `make cluster`.
#
#   deploy/cluster.sh [--flag=value]...                  all three, until Ctrl-C
#   deploy/cluster.sh --member NAME [--flag=value]...    one of them, to restart it after it was killed
#
# Their data is in infra1.conclave and so on, below the working directory, and is used again by the next start. BIN is the
# path of the binary; etcd's works, too.
set -euo pipefail

bin=${BIN:-${CARGO_TARGET_DIR:-$HOME/.cache/conclave/target}/release/conclave}
names=(infra1 infra2 infra3)
declare -A client=([infra1]=2379 [infra2]=22379 [infra3]=32379)
declare -A peer=([infra1]=2380 [infra2]=22380 [infra3]=32380)
declare -A color=([infra1]=36 [infra2]=33 [infra3]=35)
host=127.0.0.1

initial_cluster=
for name in "${names[@]}"; do
    initial_cluster+=${initial_cluster:+,}$name=http://$host:${peer[$name]}
done

# Sets `flags` to the flags of a member.
flags_of() {
    local name=$1
    flags=(
        "--name=$name"
        "--data-dir=$name.conclave"
        "--listen-client-urls=http://$host:${client[$name]}"
        "--advertise-client-urls=http://$host:${client[$name]}"
        "--listen-peer-urls=http://$host:${peer[$name]}"
        "--initial-advertise-peer-urls=http://$host:${peer[$name]}"
        "--initial-cluster=$initial_cluster"
        "--initial-cluster-token=conclave-local"
        "--initial-cluster-state=new"
    )
}

# A log format for people. Set as a variable, because an etcd that does not know the flag would not start with it.
export ETCD_LOG_FORMAT=${ETCD_LOG_FORMAT:-console}

if [[ ! -x $(command -v "$bin") ]]; then
    echo "deploy/cluster.sh: $bin is not there: run \`make cluster\`, which builds it, or set BIN" >&2
    exit 1
fi

if [[ ${1:-} == --member ]]; then
    name=${2:-}
    if [[ -z $name || -z ${client[$name]:-} ]]; then
        echo "deploy/cluster.sh: give one of ${names[*]} as NAME" >&2
        exit 1
    fi
    shift 2
    flags_of "$name"
    exec "$bin" "${flags[@]}" "$@"
fi

# Events of members arrive here, one per line, so that nothing has to be polled.
fifo=$(mktemp -u)
mkfifo "$fifo"
exec {events}<>"$fifo"
rm "$fifo"

# Puts a member's name before each of its lines, and reports when it is ready.
label() {
    local name=$1 prefix=$1 line
    if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
        prefix=$'\e['${color[$name]}m$name$'\e[0m'
    fi
    while IFS= read -r line; do
        printf '%s | %s\n' "$prefix" "$line"
        if [[ $line == *"ready to serve client requests"* ]]; then
            echo "$name ready" >&"$events"
        fi
    done
}

# Runs a member and reports its start and its end.
run() {
    local name=$1 flags lines labeller pid code=0
    shift
    # Ctrl-C reaches every process of the terminal, but only the script stops members.
    trap '' INT TERM
    flags_of "$name"
    exec {lines}> >(label "$name")
    labeller=$!
    (
        trap - TERM
        exec "$bin" "${flags[@]}" "$@" >&"$lines" 2>&1 {lines}>&- {events}>&-
    ) &
    pid=$!
    exec {lines}>&-
    echo "$name started $pid" >&"$events"
    # Hides the shell's message about a killed process; a clearer one is printed below.
    wait "$pid" 2>/dev/null || code=$?
    wait "$labeller" || true
    echo "$name ended $code" >&"$events"
}

declare -A pids=()
stopping=
stop() {
    stopping=yes
    echo
    if ((${#pids[@]})); then
        kill -TERM "${pids[@]}" 2>/dev/null || true
    fi
}
trap stop INT TERM

ready_text() {
    local name endpoints=
    echo
    echo "  Three members, one cluster:"
    echo
    for name in "${names[@]}"; do
        endpoints+=${endpoints:+,}$host:${client[$name]}
        printf '    %s  http://%s:%-5s  pid %s\n' "$name" "$host" "${client[$name]}" "${pids[$name]:-none}"
    done
    cat <<END

  Try, in another terminal:

    export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$endpoints
    etcdctl endpoint status -w table      shows the leader
    etcdctl watch --prefix ''             prints events; leave it running
    $(printf '%-37s %s' "kill -9 ${pids[${names[0]}]:-PID}" "ends ${names[0]}, as a power cut would")

  Puts go on, after a few tenths of a second if the killed member was the leader; the watch misses nothing. With two of
  three members down no put is acknowledged, and nothing is lost. Restart a member with

    make cluster-member NAME=${names[0]}

  Ctrl-C stops all members; the data stays in $(printf '%s.conclave ' "${names[@]}")
END
}

for name in "${names[@]}"; do
    run "$name" "$@" &
done

running=${#names[@]}
ready=0
failed=
while ((running)); do
    # A signal interrupts the read, after its trap.
    read -r name what detail <&"$events" || continue
    case $what in
        started)
            pids[$name]=$detail
            # Ctrl-C came before the process id was known.
            [[ -z $stopping ]] || kill -TERM "$detail" 2>/dev/null || true
            ;;
        ready)
            ready=$((ready + 1))
            # In one piece, since the members log concurrently.
            if ((ready == ${#names[@]})); then printf '%s\n\n' "$(ready_text)"; fi
            ;;
        ended)
            running=$((running - 1))
            unset "pids[$name]"
            if [[ -z $stopping ]]; then
                failed=yes
                echo
                echo "  $name has ended with status $detail. Restart it: make cluster-member NAME=$name"
                echo
            fi
            ;;
    esac
done
wait
[[ -n $stopping || -z $failed ]]
