#!/usr/bin/env bash
# Three Conclave members and two application servers on this machine, until Ctrl-C: `make glassfish`.
#
# CONCLAVE_BIN is the path of the binary. Logs and data are in a temporary folder, which is removed at the end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

conclave=${CONCLAVE_BIN:-${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/conclave/target}/release/conclave}
if [[ ! -x $conclave ]]; then
    echo "run.sh: $conclave is not there: run \`make build\`, or set CONCLAVE_BIN" >&2
    exit 1
fi
for command in java mvn curl; do
    if ! command -v "$command" >/dev/null; then
        echo "run.sh: $command is missing; on Debian: apt-get install openjdk-17-jdk-headless maven curl" >&2
        exit 1
    fi
done

echo 'Building the client and the application...'
mvn --quiet --file="$here/reactor.xml" -Dmaven.test.skip=true -Dmaven.javadoc.skip=true -Dmaven.source.skip=true package

dir=$(mktemp -d "${TMPDIR:-/tmp}/conclave-glassfish.XXXXXX")
declare -A pids=()
# Ctrl-C reaches every process of the terminal, so each is started in a session of its own and stopped from here: the
# application servers first, because they revoke their leases.
stop() {
    trap '' INT TERM
    echo 'Stopping...'
    end n1 n2
    end infra1 infra2 infra3
    rm -rf "$dir"
}
# Ends processes and waits for them. One that was stopped with SIGSTOP must wake for that.
end() {
    local name
    for name in "$@"; do
        if [[ -n ${pids[$name]:-} ]]; then
            kill -TERM "${pids[$name]}" 2>/dev/null || true
            kill -CONT "${pids[$name]}" 2>/dev/null || true
        fi
    done
    for name in "$@"; do
        [[ -z ${pids[$name]:-} ]] || wait "${pids[$name]}" 2>/dev/null || true
    done
}
trap stop EXIT
trap 'exit 130' INT TERM

# Ports that are free now. All are held open together, so that they differ.
cat > "$dir/FreePorts.java" <<'JAVA'
class FreePorts {
    public static void main(String[] count) throws java.io.IOException {
        var sockets = new java.util.ArrayList<java.net.ServerSocket>();
        for (int i = 0; i < Integer.parseInt(count[0]); i++) {
            sockets.add(new java.net.ServerSocket(0));
            System.out.println(sockets.get(i).getLocalPort());
        }
    }
}
JAVA
mapfile -t ports < <(java "$dir/FreePorts.java" 8)

members=(infra1 infra2 infra3)
cluster=
endpoints=
for i in 0 1 2; do
    cluster+=${cluster:+,}${members[i]}=http://127.0.0.1:${ports[i + 3]}
    endpoints+=${endpoints:+,}http://127.0.0.1:${ports[i]}
done
for i in 0 1 2; do
    setsid "$conclave" --name="${members[i]}" --data-dir="$dir/${members[i]}" --initial-cluster="$cluster" \
        --listen-client-urls="http://127.0.0.1:${ports[i]}" --advertise-client-urls="http://127.0.0.1:${ports[i]}" \
        --listen-peer-urls="http://127.0.0.1:${ports[i + 3]}" \
        --initial-advertise-peer-urls="http://127.0.0.1:${ports[i + 3]}" >"$dir/${members[i]}.log" 2>&1 &
    pids[${members[i]}]=$!
done

# The first three options make GlassFish start sooner and need less memory. A server that is killed leaves unpacked files
# in its temporary folder.
for i in 1 2; do
    NODE_NAME=n$i ETCDCTL_ENDPOINTS=$endpoints setsid java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m -Djava.io.tmpdir="$dir" \
        -jar "$here/target/glassfish.jar" --httpPort="${ports[i + 5]}" "$here/target/app.war" >"$dir/n$i.log" 2>&1 &
    pids[n$i]=$!
done

echo 'Waiting for GlassFish, which takes half a minute...'
for i in 1 2; do
    deadline=$((SECONDS + 300))
    until curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:${ports[i + 5]}/health"; do
        if ! kill -0 "${pids[n$i]}" 2>/dev/null || ((SECONDS > deadline)); then
            echo "run.sh: n$i has not started; the end of its log:" >&2
            tail --lines=30 "$dir/n$i.log" >&2
            exit 1
        fi
        sleep 0.5
    done
done

cat <<END

  Two application servers. Open both pages side by side:

    n1      http://127.0.0.1:${ports[6]}/   pid ${pids[n1]}
    n2      http://127.0.0.1:${ports[7]}/   pid ${pids[n2]}

  Three Conclave members:

    infra1  http://127.0.0.1:${ports[0]}   pid ${pids[infra1]}
    infra2  http://127.0.0.1:${ports[1]}   pid ${pids[infra2]}
    infra3  http://127.0.0.1:${ports[2]}   pid ${pids[infra3]}

  Try, in another terminal, with the server that leads:

    kill -9 PID       its keys go after 10 s; then the other one leads, with a higher token, and does its tasks
    kill PID          it revokes its lease, and the other one leads at once
    kill -STOP PID    wait until the other one leads, then kill -CONT PID: it knows at once that it was replaced

  Kill any member: nothing changes. Kill two: both servers show SUSPENDED, then LOST, and no task is handed out.

  Logs are in $dir. Ctrl-C stops everything.

END
# Ends by Ctrl-C, or when everything has been killed.
wait
