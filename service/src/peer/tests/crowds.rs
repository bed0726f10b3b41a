//! Crowds of strangers, and a member's connections among them.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// More than there are places.
const STRANGERS: usize = 700;
/// Interval between two connections of one stranger, which shares the processors with the members
/// here.
const PACE: Duration = Duration::from_millis(500);

/// Time limit of a connection. Longer ones may exist only on the stranger's side: the kernel drops
/// the last step of the handshake when the listener's queue is full, and a client that sends
/// nothing never learns of it. That happened here in 1 of 6 crowds.
const STAY: Duration = Duration::from_secs(1);

/// A stranger that sends some bytes, waits for the end of the connection, and reconnects.
async fn stranger(address: String, says: &'static [u8], goes: CancellationToken) {
    let coming = async {
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            let Ok(mut stream) = TcpStream::connect(&address).await else {
                continue;
            };
            let _ = stream.write_all(says).await;
            let _ = tokio::time::timeout(STAY, stream.read_to_end(&mut Vec::new())).await;
        }
    };
    tokio::select! {
        () = coming => {}
        () = goes.cancelled() => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_in_any_number_keep_no_member_out() {
    // Both ends of all connections are in this process.
    crate::descriptors::raise().expect("allowed");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for says in [&b""[..], b"P", b"GET /vers", preface] {
        let (a, mut b) = (Party::start(1).await, Party::start(2).await);
        let goes = CancellationToken::new();
        let mut crowd = JoinSet::new();
        for _ in 0..STRANGERS {
            crowd.spawn(stranger(b.address(), says, goes.clone()));
        }
        let refused = || b.network.common.stats.refused.get();
        until(|| refused() > 100).await;
        a.meet(&[&b]);
        a.connected(2).await;
        // Nor is the member's connection evicted.
        let before = refused();
        until(|| refused() > before + 2 * STRANGERS as u64).await;
        a.send(2, "a word");
        assert_eq!(b.hears_from(1).await, "a word");
        assert_eq!(a.stats(2).disconnected.get(), 0, "{says:?}");
        goes.cancel();
        while crowd.join_next().await.is_some() {}
        a.stop().await;
        b.stop().await;
    }
}
