//! The audit log of a member that has lost the others.

use std::time::Duration;

use conclave_proto::etcdserverpb as pb;
use harness::api::put;
use harness::{Cluster, eventually, raw};
use serde_json::Value;
use tonic::Code;

use crate::not_on_etcd;

/// A client's deadline, shorter than the time in which a leader without the others steps down.
const DEADLINE: Duration = Duration::from_millis(300);

#[test]
fn a_change_whose_outcome_is_not_known_is_recorded_as_proposed() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::prepare(3, &[], "audited");
        if not_on_etcd(&cluster, "it has no audit log") {
            return;
        }
        let file = |number: usize| dir.path().join(format!("{number}.log"));
        for number in cluster.numbers() {
            let log = format!("--audit-log={}", file(number).display());
            let flags = [log, "--audit-level=writes".to_owned()];
            cluster.member(number).set_own_flags(&flags);
        }
        cluster.start_all().await;
        let leader = cluster.leader().await;
        cluster.put(leader, "a", "1").await;
        for other in cluster.others(leader) {
            cluster.pause(other);
        }
        let address = cluster
            .endpoint(leader)
            .trim_start_matches("http://")
            .to_owned();
        let timeout = format!("{}m", DEADLINE.as_millis());
        let headers = [("grpc-timeout", &*timeout)];
        let request: pb::PutRequest = put("b", "1");
        let status = raw::status_of(&address, "/etcdserverpb.KV/Put", &headers, &request).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        for other in cluster.others(leader) {
            cluster.resume(other);
        }
        let line = eventually("its line", || async {
            let text = std::fs::read_to_string(file(leader)).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            lines
                .into_iter()
                .find(|line: &Value| line["keys"][0]["key"] == "b")
        })
        .await;
        assert_eq!(line["code"], "DeadlineExceeded");
        assert_eq!(line["proposed"], true);
        assert_eq!(line.get("revision"), None);
    });
}
