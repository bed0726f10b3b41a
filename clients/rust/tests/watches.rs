//! W1 to W5: watches over faults.

use conclave_client::{Client, Error, ErrorKind, Keys};

use crate::proxy::{Mode, Proxy};
use crate::server::{Server, client_of};
use crate::wait::{soon, until};

/// Reads until it has this many events, and checks that their revisions grow.
async fn values(watch: &mut conclave_client::watch::Watch, count: usize) -> Vec<String> {
    let (mut values, mut last) = (Vec::new(), 0);
    while values.len() < count {
        let batch = soon("a change", watch.next()).await.unwrap().unwrap();
        for kv in batch.events.into_iter().filter_map(|event| event.kv) {
            assert!(kv.mod_revision > last);
            last = kv.mod_revision;
            values.push(String::from_utf8(kv.value.to_vec()).unwrap());
        }
    }
    values
}

#[tokio::test]
async fn a_watch_misses_nothing_while_its_connection_breaks() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let (client, direct) = (
        Client::connect([&proxy.endpoint]).await.unwrap(),
        server.client().await,
    );
    let mut watch = client.watch(Keys::prefix("k/")).open().await.unwrap();
    let mut expected = Vec::new();
    for round in 0..20 {
        if round % 4 == 2 {
            proxy.set(Mode::Break);
        }
        direct.put("k/a", round.to_string()).await.unwrap();
        proxy.set(Mode::Pass);
        expected.push(round.to_string());
    }
    assert_eq!(values(&mut watch, 20).await, expected);
}

#[tokio::test]
async fn a_watch_leaves_a_silent_member() {
    let servers = Server::cluster(3).await;
    let proxy = Proxy::before(&servers[0].endpoint).await;
    let endpoints = [&proxy.endpoint, &servers[1].endpoint];
    let direct = client_of(&servers).await;
    // One of these comes through the proxy.
    let mut watches = Vec::new();
    for _ in 0..2 {
        let client = Client::connect(endpoints).await.unwrap();
        for _ in 0..2 {
            watches.push(client.watch("k").open().await.unwrap());
        }
    }
    proxy.set(Mode::SwallowAnswers);
    direct.put("k", "1").await.unwrap();
    for watch in &mut watches {
        assert_eq!(values(watch, 1).await, ["1"]);
    }
}

#[tokio::test]
async fn a_watch_leaves_a_member_without_a_majority() {
    let mut servers = Server::cluster(3).await;
    let client = Client::connect([&servers[0].endpoint]).await.unwrap();
    let mut watch = client.watch("k").open().await.unwrap();
    servers[1].kill();
    servers[2].kill();
    // Until the member knows that it is alone.
    until("a refusal", async || {
        let opened = client.watch("other").open().await;
        opened.is_err_and(|error| error.is_unavailable())
    })
    .await;
    servers[1].restart().await;
    until("a put", async || client.put("k", "1").await.is_ok()).await;
    assert!(!values(&mut watch, 1).await.is_empty());
}

#[tokio::test]
async fn a_watch_that_comes_too_late_says_from_where_it_can_begin() {
    let server = Server::start().await;
    let client = server.client().await;
    for value in ["1", "2", "3"] {
        client.put("k", value).await.unwrap();
    }
    client.compact(4, true).await.unwrap();
    let mut watch = client.watch("k").from(2).open().await.unwrap();
    let error = soon("the end", watch.next()).await.unwrap_err();
    assert!(
        matches!(error, Error::Compacted { revision: 4 }),
        "{error:?}"
    );
    assert!(watch.next().await.unwrap().is_none());
}

#[tokio::test]
async fn watches_that_nobody_reads_do_not_stop_the_others() {
    let server = Server::start().await;
    let client = server.client().await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(client.watch("big").open().await.unwrap());
    }
    let value = vec![b'x'; 1 << 20];
    for _ in 0..8 {
        client.put("big", value.clone()).await.unwrap();
    }
    let mut watch = client.watch("small").open().await.unwrap();
    client.put("small", "1").await.unwrap();
    assert_eq!(values(&mut watch, 1).await, ["1"]);
}

#[tokio::test]
async fn a_closed_client_ends_its_watches() {
    let server = Server::start().await;
    let client = server.client().await;
    let mut watch = client.watch("k").open().await.unwrap();
    let waiting = tokio::spawn(async move { watch.next().await });
    tokio::task::yield_now().await;
    client.close().await;
    let error = soon("the end", waiting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}
