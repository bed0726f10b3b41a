//! K6: elections.

use conclave_client::recipes::Election;
use conclave_client::{Client, ErrorKind, Keys};

use crate::proxy::{Mode, Proxy};
use crate::server::Server;
use crate::wait::{soon, until};

#[tokio::test]
async fn leaders_follow_each_other_and_are_observed() {
    let server = Server::start().await;
    let proxy = Proxy::before(&server.endpoint).await;
    let client = server.client().await;
    let through = Client::connect([&proxy.endpoint]).await.unwrap();
    assert_eq!(Election::leader(&client, "e").await.unwrap(), None);
    let mut observer = Election::observe(&through, "e");
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let first = Election::new(&one, "e").campaign("one").await.unwrap();
    let seen = soon("a leader", observer.next()).await.unwrap();
    assert_eq!(
        (&seen.value[..], seen.token),
        (&b"one"[..], first.held().token())
    );
    let again = Election::new(&one, "e")
        .campaign("again")
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Invalid);
    let candidate = Election::new(&two, "e");
    let candidate = tokio::spawn(async move { candidate.campaign("two").await });
    until("the candidate", async || {
        client.range(Keys::prefix("e/")).await.unwrap().count == 2
    })
    .await;
    assert_eq!(
        Election::contenders(&client, "e").await.unwrap(),
        ["one", "two"]
    );
    first.proclaim("uno").await.unwrap();
    assert_eq!(soon("a value", observer.next()).await.unwrap().value, "uno");
    // The observer's connection breaks while the leader changes.
    proxy.set(Mode::Break);
    first.resign().await.unwrap();
    let second = soon("the second", candidate).await.unwrap().unwrap();
    proxy.set(Mode::Pass);
    assert_eq!(
        soon("a leader", observer.next()).await.unwrap().value,
        "two"
    );
    client.revoke(two.id()).await.unwrap();
    let error = second.proclaim("dos").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
    soon("the loss", second.lost()).await;
}

#[tokio::test]
async fn work_of_a_leader_ends_with_the_leadership() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(3).await.unwrap();
    let election = Election::new(&session, "e");
    let done = election
        .lead("me", async |leadership| Ok(leadership.held().token()))
        .await;
    assert!(done.unwrap() > 0);
    assert_eq!(Election::leader(&client, "e").await.unwrap(), None);
    let id = session.id();
    let work = election.lead("me", async |_| {
        client.revoke(id).await?;
        std::future::pending::<Result<(), _>>().await
    });
    let error = soon("the end", work).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
}

#[tokio::test]
async fn an_observer_sees_the_leader_and_not_the_former_one_that_waits() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let candidates = async |count| {
        until("the candidates", async || {
            client.range(Keys::prefix("e/")).await.unwrap().count == count
        })
        .await;
    };
    let first = Election::new(&one, "e").campaign("one").await.unwrap();
    let candidate = Election::new(&two, "e");
    let candidate = tokio::spawn(async move { candidate.campaign("two").await });
    candidates(2).await;
    let mut observer = Election::observe(&client, "e");
    assert_eq!(
        soon("a leader", observer.next()).await.unwrap().value,
        "one"
    );
    // All of this is in the first batch of the observer's watch, which opens afterwards.
    first.resign().await.unwrap();
    let second = soon("the second", candidate).await.unwrap().unwrap();
    let again = Election::new(&one, "e");
    let again = tokio::spawn(async move { again.campaign("again").await });
    candidates(2).await;
    assert_eq!(
        soon("a leader", observer.next()).await.unwrap().value,
        "two"
    );
    second.resign().await.unwrap();
    assert_eq!(
        soon("a leader", observer.next()).await.unwrap().value,
        "again"
    );
    soon("the third", again).await.unwrap().unwrap();
}
