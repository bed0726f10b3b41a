//! Clients that do not read their replies: they harm only themselves.

use conclave_client::{Client, Keys};
use conclave_proto::etcdserverpb::watch_client::WatchClient;
use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::etcdserverpb::{WatchRequest, WatchResponse};
use harness::Process;
use harness::api::{all, op, put, watch_range};
use harness::node::connect;
use tonic::Streaming;

const STREAMS: usize = 20;
const REVISIONS: usize = 60;
const PUTS: usize = 20;
const VALUE_BYTES: usize = 32 << 10;
/// If each stream kept its own events, they would take 770 MB; one shared copy takes 39 MB.
const GROWTH_MAX_KIB: u64 = 400 << 10;

#[test]
fn streams_that_are_never_read_hurt_nobody() {
    harness::run(async {
        let mut process = Process::start(&[]);
        let mut stalled = Vec::new();
        for _ in 0..STREAMS {
            stalled.push(stalled_watch(process.endpoint()).await);
        }
        let client = Client::connect([process.endpoint()]).await.unwrap();
        let mut lively = client.watch(Keys::prefix("k")).open().await.unwrap();
        let before = process.child().memory_kib();
        for _ in 0..REVISIONS {
            let puts = (0..PUTS).map(|index| op(put(format!("k{index}"), vec![7; VALUE_BYTES])));
            let revision = client
                .txn(all(puts))
                .await
                .unwrap()
                .header
                .unwrap()
                .revision;
            let told = harness::within("the event", lively.next())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(told.revision, revision, "others are not held up");
        }
        let growth = process.child().memory_kib().saturating_sub(before);
        assert!(growth < GROWTH_MAX_KIB, "grew by {growth} KiB");
        process.child().terminate();
        let status = process
            .child()
            .wait_at_most(std::time::Duration::from_millis(1_500));
        assert!(
            status.success(),
            "stalled streams do not keep it from stopping"
        );
        drop(stalled);
    });
}

/// A watcher on its own connection that does not consume its events.
async fn stalled_watch(endpoint: &str) -> Streaming<WatchResponse> {
    let create = RequestUnion::CreateRequest(watch_range("k", "l"));
    let requests = tokio_stream::StreamExt::chain(
        tokio_stream::iter([WatchRequest {
            request_union: Some(create),
        }]),
        tokio_stream::pending(),
    );
    let mut responses = WatchClient::new(connect(endpoint))
        .watch(requests)
        .await
        .unwrap()
        .into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    responses
}
