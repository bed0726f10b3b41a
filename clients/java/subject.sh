#!/bin/bash
# Runs the conformance subject, which build.sh has made. The archive counts only for the class path that it was made with,
# and what the JVM says about it must not get among the replies.
cd "$(dirname "$0")"
exec java -XX:SharedArchiveFile=subject/target/subject.jsa -Xshare:auto -XX:TieredStopAtLevel=1 \
  -Xlog:disable -Xlog:all=error:stderr -cp "subject/target/subject.jar:subject/target/lib/*" dev.conclave.subject.Main
