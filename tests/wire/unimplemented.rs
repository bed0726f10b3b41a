//! Methods this version does not serve, and their error.

use conclave_proto::etcdserverpb as pb;
use harness::{Node, fails};
use tonic::{Code, Status};

suite![
    auth_status_says_it_is_off => "came with 3.5",
    the_rest_of_maintenance => "3.4 serves it",
];

async fn auth_status_says_it_is_off(node: Node) {
    let reply = node
        .auth()
        .auth_status(pb::AuthStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(!reply.enabled && reply.header.is_some());
}

async fn the_rest_of_maintenance(node: Node) {
    let mut stub = node.maintenance();
    is_named(
        stub.downgrade(pb::DowngradeRequest::default()).await,
        "Maintenance/Downgrade",
    );
    is_named(
        stub.snapshot(pb::SnapshotRequest {}).await.map(drop),
        "Maintenance/Snapshot",
    );
}

/// Expects an error that names the method and says that this version lacks it.
#[track_caller]
fn is_named<T: std::fmt::Debug>(outcome: Result<T, Status>, method: &str) {
    let text = format!("etcdserverpb.{method} is not available in this version");
    fails(outcome, Code::Unimplemented, &text);
}
