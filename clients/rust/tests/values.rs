//! K11, K12, K16, K17: counters, values, transactional memory, and work that is done once.

use conclave_client::recipes::{Counter, Once, Value, stm};
use conclave_client::{Error, ErrorKind, txn};

use crate::server::Server;
use crate::wait::soon;

#[tokio::test]
async fn nothing_is_lost_when_many_count() {
    let server = Server::start().await;
    let client = server.client().await;
    let counter = Counter::new(&client, "c");
    assert_eq!(counter.get().await.unwrap(), 0);
    let mut adders = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let counter = counter.clone();
        adders.spawn(async move {
            for _ in 0..10 {
                counter.add(2).await.unwrap();
            }
        });
    }
    adders.join_all().await;
    assert_eq!(counter.add(-1).await.unwrap(), 99);
    assert!(!counter.compare_and_set(1, 5).await.unwrap());
    assert!(counter.compare_and_set(99, i64::MAX).await.unwrap());
    assert_eq!(counter.add(1).await.unwrap_err().kind(), ErrorKind::Invalid);
    client.put("c", "many").await.unwrap();
    assert_eq!(counter.get().await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_value_is_swapped_and_listened_to() {
    let server = Server::start().await;
    let client = server.client().await;
    let value = Value::new(&client, "v");
    assert_eq!(value.get().await.unwrap(), None);
    let mut listener = value.listen();
    assert_eq!(soon("a value", listener.next()).await.unwrap(), None);
    let first = value.compare_and_set(0, "one").await.unwrap().unwrap();
    assert!(value.compare_and_set(0, "two").await.unwrap().is_none());
    let second = value.compare_and_set(first, "two").await.unwrap().unwrap();
    let found = value.get().await.unwrap().unwrap();
    assert_eq!((&found.value[..], found.revision), (&b"two"[..], second));
    client.delete("v").await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let next = soon("a value", listener.next()).await.unwrap();
        seen.push(next.map(|next| next.value));
    }
    assert_eq!(seen, [Some("one".into()), Some("two".into()), None]);
}

#[tokio::test]
async fn transfers_keep_the_sum() {
    let server = Server::start().await;
    let client = server.client().await;
    client.put("a", "100").await.unwrap();
    let mut movers = tokio::task::JoinSet::new();
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "c"), ("c", "b")] {
        let client = client.clone();
        movers.spawn(async move {
            for _ in 0..10 {
                stm(&client, |tx| async move {
                    let read = async |key| {
                        let value = tx.get(key).await?.unwrap_or_else(|| "0".into());
                        let text = std::str::from_utf8(&value).unwrap().to_owned();
                        Ok::<i64, Error>(text.parse().unwrap())
                    };
                    let source = read(from).await?;
                    tx.put(from, (source - 1).to_string());
                    let target = read(to).await?;
                    tx.put(to, (target + 1).to_string());
                    // The body reads its own writes.
                    assert_eq!(read(to).await?, target + 1);
                    Ok(())
                })
                .await
                .unwrap();
            }
        });
    }
    movers.join_all().await;
    let mut sum = 0;
    for key in ["a", "b", "c"] {
        let kv = client.get(key).await.unwrap().unwrap();
        sum += std::str::from_utf8(&kv.value)
            .unwrap()
            .parse::<i64>()
            .unwrap();
    }
    assert_eq!(sum, 100);
    // A body that fails writes nothing.
    let failed = stm(&client, |tx| async move {
        tx.put("a", "0");
        Err::<(), _>(Error::Invalid("no".into()))
    });
    assert!(failed.await.is_err());
    assert_ne!(client.get("a").await.unwrap().unwrap().value, "0");
}

/// As often both keys are read, while both are written together.
const READS: usize = 300;

#[tokio::test]
async fn concurrent_reads_are_of_one_revision() {
    let server = Server::start().await;
    let (client, other) = (server.client().await, server.client().await);
    let writer = tokio::spawn(async move {
        for number in 0_u64.. {
            let puts = ["a", "b"].map(|key| txn::put(key, number.to_string()));
            other.txn(txn::when([], puts)).await.unwrap();
        }
    });
    for _ in 0..READS {
        let read = stm(&client, async |tx| {
            tokio::try_join!(tx.get("a"), tx.get("b"))
        });
        let (one, other) = read.await.unwrap();
        assert_eq!(one, other);
    }
    writer.abort();
}

#[tokio::test]
async fn work_is_done_once_by_one() {
    let server = Server::start().await;
    let client = server.client().await;
    let failing = client.session(10).await.unwrap();
    let failing = Once::new(&failing, "o");
    let failed = failing.run(async || Err(Error::Invalid("no".into()))).await;
    assert!(failed.is_err());
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..5 {
        let once = Once::new(&client.session(10).await.unwrap(), "o");
        runs.spawn(async move { once.run(async || Ok(format!("{number}").into())).await });
    }
    let done = soon("the results", runs.join_all()).await;
    let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
    assert_eq!(done.iter().filter(|done| done.ran).count(), 1);
    assert!(done.iter().all(|one| one.result == done[0].result));
}
