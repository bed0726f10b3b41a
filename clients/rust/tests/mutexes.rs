//! K1 to K3: mutexes.

use std::time::Duration;

use conclave_client::recipes::{Mutex, OwnerEvent, within};
use conclave_client::{Client, ErrorKind, Keys, txn};

use crate::server::Server;
use crate::wait::{soon, until};

async fn waiting(client: &Client, name: &str, count: i64) {
    let prefix = format!("{name}/");
    until("the contenders", async || {
        client
            .range(Keys::prefix(prefix.clone()))
            .await
            .unwrap()
            .count
            == count
    })
    .await;
}

#[tokio::test]
async fn a_mutex_goes_to_the_one_who_waits_longest() {
    let server = Server::start().await;
    let client = server.client().await;
    let mut tokens = Vec::new();
    let first = client.session(10).await.unwrap();
    let held = Mutex::new(&first, "m").lock().await.unwrap();
    tokens.push(held.token());
    let mut waiters = Vec::new();
    for count in 0..3 {
        let session = client.session(10).await.unwrap();
        let mutex = Mutex::new(&session, "m");
        assert!(mutex.try_lock().await.unwrap().is_none());
        waiting(&client, "m", count + 1).await;
        waiters.push(tokio::spawn(async move { mutex.lock().await }));
        waiting(&client, "m", count + 2).await;
    }
    assert_eq!(Mutex::contenders(&client, "m").await.unwrap().len(), 4);
    held.release().await.unwrap();
    for waiter in waiters {
        let held = soon("the mutex", waiter).await.unwrap().unwrap();
        tokens.push(held.token());
        held.release().await.unwrap();
    }
    assert!(tokens.is_sorted() && tokens.len() == 4, "{tokens:?}");
    waiting(&client, "m", 0).await;
}

#[tokio::test]
async fn a_mutex_is_released_as_often_as_it_was_locked() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(10).await.unwrap();
    let mutex = Mutex::new(&session, "m");
    let (once, twice) = (mutex.lock().await.unwrap(), mutex.lock().await.unwrap());
    assert_eq!(once.token(), twice.token());
    once.release().await.unwrap();
    waiting(&client, "m", 1).await;
    drop(twice);
    waiting(&client, "m", 0).await;
}

#[tokio::test]
async fn a_session_of_many_mutexes_knows_each() {
    let server = Server::start().await;
    let client = server.client().await;
    let session = client.session(10).await.unwrap();
    let mut held = Vec::new();
    for number in 0..100 {
        let mutex = Mutex::new(&session, format!("m{number}"));
        held.push(mutex.lock().await.unwrap());
    }
    let again = Mutex::new(&session, "m0").lock().await.unwrap();
    again.release().await.unwrap();
    waiting(&client, "m0", 1).await;
    held.swap_remove(0).release().await.unwrap();
    waiting(&client, "m0", 0).await;
}

#[tokio::test]
async fn a_mutex_whose_key_was_deleted_is_waited_for_again() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let mutex = Mutex::new(&one, "m");
    let stolen = mutex.lock().await.unwrap();
    client.delete(Keys::prefix("m/")).await.unwrap();
    let held = Mutex::new(&two, "m").lock().await.unwrap();
    assert!(mutex.try_lock().await.unwrap().is_none());
    let waiter = tokio::spawn(async move { mutex.lock().await });
    waiting(&client, "m", 2).await;
    held.release().await.unwrap();
    let again = soon("the mutex", waiter).await.unwrap().unwrap();
    assert!(again.token() > stolen.token());
    // Releasing the stolen mutex deletes nothing.
    stolen.release().await.unwrap();
    waiting(&client, "m", 1).await;
    again.release().await.unwrap();
    waiting(&client, "m", 0).await;
}

#[tokio::test]
async fn trying_does_not_wait_for_the_own_session() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let held = Mutex::new(&one, "m").lock().await.unwrap();
    let mutex = Mutex::new(&two, "m");
    let waiter = tokio::spawn({
        let mutex = mutex.clone();
        async move { mutex.lock().await }
    });
    waiting(&client, "m", 2).await;
    assert!(soon("an answer", mutex.try_lock()).await.unwrap().is_none());
    held.release().await.unwrap();
    let held = soon("the mutex", waiter).await.unwrap().unwrap();
    let again = mutex.try_lock().await.unwrap().expect("it has it");
    assert_eq!(again.token(), held.token());
}

#[tokio::test]
async fn giving_up_deletes_the_key() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(10).await.unwrap(),
        client.session(10).await.unwrap(),
    );
    let held = Mutex::new(&one, "m").lock().await.unwrap();
    let mutex = Mutex::new(&two, "m");
    let error = within(Duration::from_millis(200), mutex.lock())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    waiting(&client, "m", 1).await;
    // Cancelled while its key is put, or at any other time.
    for _ in 0..20 {
        let attempt = tokio::spawn({
            let mutex = mutex.clone();
            async move { mutex.lock().await }
        });
        tokio::task::yield_now().await;
        attempt.abort();
    }
    waiting(&client, "m", 1).await;
    held.release().await.unwrap();
    let held = soon("the mutex", mutex.lock()).await.unwrap();
    held.release().await.unwrap();
}

#[tokio::test]
async fn a_lost_session_loses_the_mutex_and_its_writes() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(3).await.unwrap(),
        client.session(3).await.unwrap(),
    );
    let held = Mutex::new(&one, "m").lock().await.unwrap();
    let mut events = held.events();
    let put = || txn::when([held.guard()], [txn::put("guarded", "1")]);
    assert!(client.txn(put()).await.unwrap().succeeded);
    let mutex = Mutex::new(&two, "m");
    let waiter = tokio::spawn(async move { mutex.lock().await });
    waiting(&client, "m", 2).await;
    client.revoke(one.id()).await.unwrap();
    assert_eq!(
        soon("the loss", events.next()).await,
        Some(OwnerEvent::Lost)
    );
    assert_eq!(events.next().await, None);
    assert!(!client.txn(put()).await.unwrap().succeeded);
    let next = soon("the mutex", waiter).await.unwrap().unwrap();
    assert!(next.token() > held.token());
    soon("the session", one.lost()).await;
    assert!(!held.is_held() && next.is_held());
    let error = Mutex::new(&one, "m").lock().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost);
}

#[tokio::test]
async fn a_waiter_whose_session_is_lost_fails_at_once() {
    let server = Server::start().await;
    let client = server.client().await;
    let (one, two) = (
        client.session(60).await.unwrap(),
        client.session(3).await.unwrap(),
    );
    let _held = Mutex::new(&one, "m").lock().await.unwrap();
    let mutex = Mutex::new(&two, "m");
    let waiter = tokio::spawn(async move { mutex.lock().await });
    waiting(&client, "m", 2).await;
    client.revoke(two.id()).await.unwrap();
    let error = soon("the error", waiter).await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::SessionLost | ErrorKind::Closed),
        "{error}"
    );
}

#[tokio::test]
async fn an_owner_is_asked_and_keeps_the_mutex() {
    let server = Server::start().await;
    let client = server.client().await;
    assert!(!Mutex::revoke(&client, "m").await.unwrap());
    let session = client.session(10).await.unwrap();
    let held = Mutex::new(&session, "m").lock().await.unwrap();
    let mut events = held.events();
    assert!(Mutex::revoke(&client, "m").await.unwrap());
    assert_eq!(
        soon("the demand", events.next()).await,
        Some(OwnerEvent::Revoke)
    );
    // A listener that comes later is notified, too.
    let mut late = held.events();
    assert_eq!(
        soon("the demand", late.next()).await,
        Some(OwnerEvent::Revoke)
    );
    assert!(client.get(held.key().clone()).await.unwrap().unwrap().lease == session.id());
    held.release().await.unwrap();
    assert_eq!(soon("the end", events.next()).await, None);
}
