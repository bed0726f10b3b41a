//! C1 to C3, R1 to R4: which endpoint gets a call, and what its error says.

use std::time::{Duration, Instant};

use conclave_client::{Client, ErrorKind, Options};

use crate::proxy::{Mode, Proxy};
use crate::server::{Server, client_of};
use crate::wait::{soon, until};

#[tokio::test]
async fn with_one_of_three_members_down_every_call_succeeds() {
    let mut servers = Server::cluster(3).await;
    let client = client_of(&servers).await;
    client.put("k", "0").await.unwrap();
    servers[1].kill();
    // Until the others have elected a leader, and the client has noticed the broken connection.
    until("a put in each turn", async || {
        for _ in &servers {
            if client.put("k", "0").await.is_err() {
                return false;
            }
        }
        true
    })
    .await;
    for round in 0..60 {
        client.put("k", round.to_string()).await.unwrap();
        let found = client.get("k").await.unwrap().unwrap();
        assert_eq!(found.value, round.to_string());
    }
}

#[tokio::test]
async fn a_silent_member_costs_a_read_two_seconds_and_later_ones_nothing() {
    let servers = Server::cluster(3).await;
    let client = client_of(&servers).await;
    for _ in 0..6 {
        client.put("k", "1").await.unwrap();
    }
    servers[2].freeze();
    until("reads that are not slow", async || {
        let begun = Instant::now();
        for _ in 0..6 {
            client.get("k").await.unwrap();
        }
        begun.elapsed() < Duration::from_secs(1)
    })
    .await;
    servers[2].thaw();
}

#[tokio::test]
async fn an_endpoint_comes_back_after_a_restart() {
    let mut server = Server::start().await;
    let client = server.client().await;
    client.put("k", "1").await.unwrap();
    server.kill();
    // Until the client has noticed that the connection is broken.
    let quick = client.with_deadline(Duration::from_millis(300));
    until("an error", async || {
        let error = quick.put("k", "2").await.unwrap_err();
        error.kind() == ErrorKind::Unavailable && !error.may_have_happened()
    })
    .await;
    server.restart().await;
    client.put("k", "3").await.unwrap();
    assert_eq!(client.get("k").await.unwrap().unwrap().version, 2);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_may_have_happened_and_is_not_repeated() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let (client, direct) = (
        Client::connect([&proxy.endpoint]).await.unwrap(),
        server.client().await,
    );
    client.put("k", "1").await.unwrap();
    proxy.set(Mode::SwallowAnswers);
    let quick = client.with_deadline(Duration::from_secs(1));
    let begun = Instant::now();
    let error = quick.put("k", "2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Maybe, "{error}");
    assert!(error.may_have_happened());
    assert!(begun.elapsed() < Duration::from_secs(3));
    let error = quick.get("k").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Unavailable),
        "{error}"
    );
    assert!(!error.may_have_happened());
    // A put that is sent before the client notices the break may have happened.
    proxy.set(Mode::Break);
    until("a put that is not sent", async || {
        let error = quick.put("k", "3").await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Maybe | ErrorKind::Unavailable),
            "{error}"
        );
        error.kind() == ErrorKind::Unavailable
    })
    .await;
    proxy.set(Mode::Pass);
    soon("a read", async { while client.get("k").await.is_err() {} }).await;
    let found = direct.get("k").await.unwrap().unwrap();
    assert_eq!((&found.value[..], found.version), (&b"2"[..], 2));
}

#[tokio::test]
async fn a_write_that_breaks_off_fails_at_once() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let client = Client::connect([&proxy.endpoint]).await.unwrap();
    client.put("k", "1").await.unwrap();
    server.freeze();
    let put = tokio::spawn({
        let client = client.clone();
        async move { client.put("k", "2").await }
    });
    tokio::task::yield_now().await;
    until("the put to be sent", async || {
        proxy.set(Mode::Break);
        put.is_finished()
    })
    .await;
    let error = put.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Maybe | ErrorKind::Unavailable),
        "{error}"
    );
    server.thaw();
}

#[tokio::test]
async fn a_write_that_is_under_way_at_the_close_may_have_happened() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let client = Client::connect([&proxy.endpoint]).await.unwrap();
    let direct = server.client().await;
    client.put("k", "1").await.unwrap();
    proxy.set(Mode::SwallowAnswers);
    let put = tokio::spawn({
        let client = client.clone();
        async move { client.put("k", "2").await }
    });
    let stub = tokio::spawn({
        let mut kv = client.kv();
        let put = conclave_client::api::PutRequest {
            key: "stub".into(),
            ..Default::default()
        };
        async move { kv.put(put).await }
    });
    until("the puts", async || {
        direct.get("k").await.unwrap().unwrap().value == "2"
            && direct.get("stub").await.unwrap().is_some()
    })
    .await;
    let get = tokio::spawn({
        let client = client.clone();
        async move { client.get("k").await }
    });
    tokio::task::yield_now().await;
    soon("the end", client.close()).await;
    let error = put.await.unwrap().unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Closed);
    let error = conclave_client::Error::from(stub.await.unwrap().unwrap_err());
    assert!(error.may_have_happened(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Closed);
    let error = get.await.unwrap().unwrap_err();
    assert!(!error.may_have_happened(), "{error}");
    // Nothing of this one was sent.
    let error = client.put("k", "3").await.unwrap_err();
    assert!(!error.may_have_happened(), "{error}");
}

#[tokio::test]
async fn a_deadline_may_be_as_long_as_one_likes() {
    let server = Server::start().await;
    let patient = server.client().await.with_deadline(Duration::MAX);
    patient.put("k", "1").await.unwrap();
    let options = Options::new().deadline(Duration::MAX);
    let client = options.connect([&server.endpoint]).await.unwrap();
    client.put("k", "2").await.unwrap();
    client
        .kv()
        .range(conclave_client::api::RangeRequest {
            key: "k".into(),
            ..Default::default()
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn close_ends_calls_and_can_be_repeated() {
    let server = Server::start().await;
    let client = server.client().await;
    client.put("k", "1").await.unwrap();
    server.freeze();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.get("k").await }
    });
    tokio::task::yield_now().await;
    soon("the end", client.close()).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let error = client.put("k", "2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    client.close().await;
    server.thaw();
}

#[tokio::test]
async fn endpoints_of_other_forms_are_refused_at_creation() {
    for endpoint in ["htp://127.0.0.1:1", "127.0.0.1", "https://127.0.0.1:1", ""] {
        let error = Client::connect([endpoint]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains(&format!("{endpoint:?}")),
            "{error}"
        );
    }
    let none: [&str; 0] = [];
    assert!(Options::new().connect(none).await.is_err());
    // No scheme: plain.
    let server = Server::start().await;
    let endpoint = server.endpoint.trim_start_matches("http://");
    let client = Client::connect([endpoint]).await.unwrap();
    client.put("k", "1").await.unwrap();
}
