//! S1 to S7: sessions over faults.

use std::time::{Duration, Instant};

use conclave_client::{Client, ErrorKind, SessionState, SessionStates};

use crate::proxy::{Mode, Proxy};
use crate::server::{Server, client_of};
use crate::wait::{soon, until};

async fn next(states: &mut SessionStates) -> Option<SessionState> {
    soon("a state", states.next()).await
}

/// A lease of 2 s that nobody keeps is the clock.
#[tokio::test]
async fn a_session_outlives_its_ttl_and_ends_at_its_close() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(2).await.unwrap();
    for _ in 0..2 {
        let clock = client.grant(2).await.unwrap().id;
        until("a lease to expire", async || {
            client.time_to_live(clock, false).await.unwrap().ttl < 0
        })
        .await;
    }
    assert_eq!(session.state(), SessionState::Connected);
    assert!(client.time_to_live(session.id(), false).await.unwrap().ttl > 0);
    session.close().await;
    assert_eq!(
        client.time_to_live(session.id(), false).await.unwrap().ttl,
        -1
    );
    assert!(!session.is_alive());
    session.close().await;
}

#[tokio::test]
async fn a_dropped_session_is_revoked() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(60).await.unwrap();
    let id = session.id();
    drop(session);
    until("the end of the lease", async || {
        client.time_to_live(id, false).await.unwrap().ttl == -1
    })
    .await;
}

#[tokio::test]
async fn a_revoked_session_is_lost_at_the_next_answer() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(3).await.unwrap();
    let mut states = session.states();
    assert_eq!(next(&mut states).await, Some(SessionState::Connected));
    client.revoke(session.id()).await.unwrap();
    assert_eq!(next(&mut states).await, Some(SessionState::Lost));
    assert_eq!(next(&mut states).await, None);
    soon("the loss", session.lost()).await;
}

#[tokio::test]
async fn a_session_is_suspended_and_reconnected_over_a_short_silence() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let client = Client::connect([&proxy.endpoint]).await.unwrap();
    let session = client.session(9).await.unwrap();
    let mut states = session.states();
    assert_eq!(next(&mut states).await, Some(SessionState::Connected));
    proxy.set(Mode::Break);
    assert_eq!(next(&mut states).await, Some(SessionState::Suspended));
    assert!(session.is_alive());
    proxy.set(Mode::Pass);
    assert_eq!(next(&mut states).await, Some(SessionState::Reconnected));
    assert_eq!(session.state(), SessionState::Reconnected);
}

/// The client says so before the server's lease can have expired.
#[tokio::test]
async fn a_session_without_answers_is_lost_before_its_ttl() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let client = Client::connect([&proxy.endpoint]).await.unwrap();
    let session = client.session(4).await.unwrap();
    let mut states = session.states();
    proxy.set(Mode::SwallowAnswers);
    let begun = Instant::now();
    let mut seen = Vec::new();
    while let Some(state) = next(&mut states).await {
        seen.push(state);
    }
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(
        seen,
        [
            SessionState::Connected,
            SessionState::Suspended,
            SessionState::Lost
        ]
    );
}

#[tokio::test]
async fn a_session_moves_from_a_silent_member() {
    let servers = Server::cluster(3).await;
    let client = client_of(&servers).await;
    let session = client.session(6).await.unwrap();
    servers[0].freeze();
    // Three TTLs of two seconds.
    for _ in 0..3 {
        let clock = client.grant(2).await.unwrap().id;
        until("a lease to expire", async || {
            let left = client.time_to_live(clock, false).await;
            left.is_ok_and(|left| left.ttl < 0)
        })
        .await;
    }
    assert!(session.is_alive());
    servers[0].thaw();
}

#[tokio::test]
async fn closing_the_client_closes_its_sessions() {
    let server = Server::start().await;
    let (client, other) = (server.client().await, server.client().await);
    let session = client.session(60).await.unwrap();
    client.close().await;
    assert!(!session.is_alive());
    assert_eq!(
        other.time_to_live(session.id(), false).await.unwrap().ttl,
        -1
    );
    let error = client.session(5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}
