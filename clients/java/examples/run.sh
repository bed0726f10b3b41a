#!/bin/bash
# usage: run.sh NAME   (session, mutex, rwlock, semaphore, election, barrier, double_barrier, latch, queue, counter, value, group,
# discovery, cache, stm, once, watch), after build.sh. Takes the endpoints from ETCDCTL_ENDPOINTS, like etcdctl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case ${1:?usage: run.sh NAME} in
  rwlock) class=RwLockExample ;;
  tour) class=Tour ;;
  *) class=$(sed -E 's/(^|_)(.)/\U\2/g' <<<"$1")Example ;;
esac
exec java -cp "$here/target/examples.jar:$here/../subject/target/lib/*" "dev.conclave.examples.$class"
