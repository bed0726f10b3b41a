//! K7 to K9: barriers, double barriers and latches.

use conclave_client::ErrorKind;
use conclave_client::recipes::{Barrier, DoubleBarrier, Latch};

use crate::server::Server;
use crate::wait::{soon, until};

#[tokio::test]
async fn a_barrier_holds_until_it_is_released() {
    let server = Server::start().await;
    let client = server.client().await;
    let barrier = Barrier::new(&client, "b");
    soon("no barrier", barrier.wait()).await.unwrap();
    barrier.hold().await.unwrap();
    barrier.hold().await.unwrap();
    let waiting = barrier.clone();
    let waiter = tokio::spawn(async move { waiting.wait().await });
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    barrier.release().await.unwrap();
    soon("the release", waiter).await.unwrap().unwrap();
    barrier.release().await.unwrap();
}

#[tokio::test]
async fn a_group_enters_and_leaves_together_and_again() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let double = |session| DoubleBarrier::new(session, "d", 2).unwrap();
    for _ in 0..3 {
        let early = double(&one);
        let early = tokio::spawn(async move { early.enter().await });
        until("the first", async || {
            let prefix = conclave_client::Keys::prefix("d/waiters/");
            client.range(prefix).await.unwrap().count == 1
        })
        .await;
        assert!(!early.is_finished());
        let late = soon("the second", double(&two).enter()).await.unwrap();
        let early = soon("the first", early).await.unwrap().unwrap();
        let again = double(&two).enter().await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Invalid);
        let leaving = tokio::spawn(early.leave());
        tokio::task::yield_now().await;
        assert!(!leaving.is_finished());
        soon("the second to leave", late.leave()).await.unwrap();
        soon("the first to leave", leaving).await.unwrap().unwrap();
    }
    assert!(client.get("d/ready").await.unwrap().is_none());
}

#[tokio::test]
async fn a_latch_counts_down_to_zero() {
    let server = Server::start().await;
    let client = server.client().await;
    let latch = Latch::new(&client, "l");
    assert_eq!(
        latch.count_down().await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let waiting = latch.clone();
    let waiter = tokio::spawn(async move { waiting.wait().await });
    assert!(latch.create(2).await.unwrap());
    assert!(!latch.create(5).await.unwrap());
    assert_eq!(latch.count_down().await.unwrap(), 1);
    assert!(!waiter.is_finished());
    assert_eq!(latch.count_down().await.unwrap(), 0);
    soon("zero", waiter).await.unwrap().unwrap();
    assert_eq!(latch.count_down().await.unwrap(), 0);
    assert!(latch.create(-1).await.is_err());
    client.put("l", "x").await.unwrap();
    assert_eq!(latch.wait().await.unwrap_err().kind(), ErrorKind::Invalid);
}
