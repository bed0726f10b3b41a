//! K10: queues.

use std::time::{Duration, Instant};

use conclave_client::Keys;
use conclave_client::recipes::{Queue, within};

use crate::server::Server;
use crate::wait::{soon, until};

#[tokio::test]
async fn items_come_by_priority_and_age_and_not_before_they_are_due() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(10).await.unwrap();
    let queue = Queue::new(&client, "q");
    let begun = Instant::now();
    let delay = Duration::from_secs(1);
    queue.put_with("late", 0, delay).await.unwrap();
    queue
        .put_with("unimportant", 9, Duration::ZERO)
        .await
        .unwrap();
    for number in 0..8 {
        let value = format!("{number}");
        queue.put_with(value, 5, Duration::ZERO).await.unwrap();
    }
    let mut taken = Vec::new();
    for _ in 0..10 {
        let item = soon("an item", queue.take(&session)).await.unwrap();
        taken.push(String::from_utf8(item.value().to_vec()).unwrap());
        assert!(item.ack().await.unwrap());
    }
    assert!(begun.elapsed() >= delay);
    let late = taken.iter().position(|value| value == "late").unwrap();
    taken.remove(late);
    assert_eq!(
        taken,
        ["0", "1", "2", "3", "4", "5", "6", "7", "unimportant"]
    );
    let nothing = within(Duration::from_millis(100), queue.take(&session)).await;
    assert!(nothing.is_err());
    assert_eq!(client.range(Keys::prefix("q/")).await.unwrap().count, 0);
    assert!(queue.put_with("x", 100_000, Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn an_item_of_a_lost_session_is_taken_again() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let queue = Queue::new(&client, "q");
    queue.put("job").await.unwrap();
    let first = queue.take(&one).await.unwrap();
    let (waiting, session) = (queue.clone(), two.clone());
    let waiter = tokio::spawn(async move { waiting.take(&session).await });
    tokio::task::yield_now().await;
    client.revoke(one.id()).await.unwrap();
    let second = soon("the item", waiter).await.unwrap().unwrap();
    assert_eq!(second.value(), first.value());
    // The first one has lost it.
    assert!(!first.ack().await.unwrap());
    assert!(second.release().await.unwrap());
    drop(soon("the item", queue.take(&two)).await.unwrap());
    let third = soon("the item", queue.take(&two)).await.unwrap();
    assert!(third.ack().await.unwrap());
}

#[tokio::test]
async fn each_item_is_taken_by_one() {
    let server = Server::start().await;
    let client = server.client().await;
    let queue = Queue::new(&client, "q");
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (queue, session) = (queue.clone(), client.session(10).await.unwrap());
        takers.spawn(async move {
            let mut taken = Vec::new();
            let limit = Duration::from_secs(2);
            while let Ok(item) = within(limit, queue.take(&session)).await {
                taken.push(item.value().clone());
                assert!(item.ack().await.unwrap());
            }
            taken
        });
    }
    for number in 0..40 {
        queue.put(format!("{number:02}")).await.unwrap();
    }
    until("an empty queue", async || {
        client.range(Keys::prefix("q/")).await.unwrap().count == 0
    })
    .await;
    let mut taken: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
    taken.sort();
    let expected: Vec<_> = (0..40).map(|number| format!("{number:02}")).collect();
    assert_eq!(taken, expected);
}
