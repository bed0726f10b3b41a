//! Automatic compaction.

use conclave_client::Client;
use conclave_client::api::RangeRequest;
use harness::{Process, eventually};
use tonic::Code;

#[test]
fn history_goes_by_itself_when_its_time_has_passed() {
    harness::run(async {
        let mut process = Process::start(&["--auto-compaction-retention=200ms"]);
        let client = Client::connect([process.endpoint()]).await.unwrap();
        client.put("a", "1").await.unwrap();
        client.put("a", "2").await.unwrap();
        eventually("the first revision to be compacted", || async {
            let request = RangeRequest {
                key: "a".into(),
                revision: 2,
                ..RangeRequest::default()
            };
            let read = client.kv().range(request).await;
            read.is_err_and(|status| status.code() == Code::OutOfRange)
                .then_some(())
        })
        .await;
        // The current version stays.
        let read = client.get("a").await.unwrap().unwrap();
        assert_eq!(&read.value[..], b"2");
        let line = process.child().line("compacted automatically");
        line.expect("the log says so");
    });
}
