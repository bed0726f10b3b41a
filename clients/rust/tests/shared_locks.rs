//! K4, K5: read-write locks and semaphores.

use std::time::Duration;

use conclave_client::recipes::{Held, Mutex, RwLock, Semaphore, within};
use conclave_client::{Client, Error, ErrorKind, Keys, Session};
use tokio::task::JoinHandle;

use crate::server::Server;
use crate::wait::{soon, until};

async fn sessions<const N: usize>(client: &Client) -> [Session; N] {
    let mut sessions = Vec::new();
    for _ in 0..N {
        sessions.push(client.session(10).await.unwrap());
    }
    sessions.try_into().unwrap()
}

async fn contenders(client: &Client, prefix: &str, count: i64) {
    until("the contenders", async || {
        client
            .range(Keys::prefix(prefix.to_owned()))
            .await
            .unwrap()
            .count
            == count
    })
    .await;
}

async fn got(waiter: JoinHandle<Result<Held, Error>>) -> Held {
    soon("the lock", waiter).await.unwrap().unwrap()
}

#[tokio::test]
async fn readers_share_and_writers_do_not() {
    let server = Server::start().await;
    let client = server.client().await;
    let [one, two, three, four] = sessions(&client).await;
    let first = RwLock::new(&one, "l").read().await.unwrap();
    let second = RwLock::new(&two, "l").read().await.unwrap();
    let writer = RwLock::new(&three, "l");
    assert!(writer.try_write().await.unwrap().is_none());
    let writer = tokio::spawn(async move { writer.write().await });
    contenders(&client, "l/", 3).await;
    // A reader that comes after a writer waits for it.
    let late = RwLock::new(&four, "l");
    assert!(late.try_read().await.unwrap().is_none());
    let late = tokio::spawn(async move { late.read().await });
    contenders(&client, "l/", 4).await;
    first.release().await.unwrap();
    assert!(!writer.is_finished());
    second.release().await.unwrap();
    let writing = got(writer).await;
    assert!(!late.is_finished());
    writing.release().await.unwrap();
    got(late).await.release().await.unwrap();
    contenders(&client, "l/", 0).await;
}

#[tokio::test]
async fn a_writer_becomes_a_reader_and_not_the_other_way_round() {
    let server = Server::start().await;
    let client = server.client().await;
    let [one, two] = sessions(&client).await;
    let lock = RwLock::new(&one, "l");
    let writing = lock.write().await.unwrap();
    let reading = soon("a downgrade", lock.read()).await.unwrap();
    assert!(RwLock::new(&two, "l").try_read().await.unwrap().is_none());
    writing.release().await.unwrap();
    let other = RwLock::new(&two, "l").read().await.unwrap();
    let error = lock.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    reading.release().await.unwrap();
    other.release().await.unwrap();
    soon("the lock", lock.write())
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

/// Number of places from which on a session forgets those it does not use.
const MANY_PLACES: usize = 70;

#[tokio::test]
async fn a_downgrade_passes_a_writer_that_waits_and_keeps_it_out() {
    let server = Server::start().await;
    let client = server.client().await;
    let [one, two] = sessions(&client).await;
    let lock = RwLock::new(&one, "l");
    let writing = lock.write().await.unwrap();
    let other = RwLock::new(&two, "l");
    let writer = tokio::spawn(async move { other.write().await });
    contenders(&client, "l/", 2).await;
    let tried = soon("a downgrade", lock.try_read()).await.unwrap();
    tried.expect("a writer can read").release().await.unwrap();
    let reading = soon("a downgrade", lock.read()).await.unwrap();
    writing.release().await.unwrap();
    for number in 0..MANY_PLACES {
        let mutex = Mutex::new(&one, format!("m{number}"));
        mutex.lock().await.unwrap().release().await.unwrap();
    }
    // The writer's key, the reader's, and the other writer's.
    let error = lock.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let again = lock.read().await.unwrap();
    again.release().await.unwrap();
    contenders(&client, "l/", 3).await;
    assert!(!writer.is_finished());
    reading.release().await.unwrap();
    let written = got(writer).await;
    contenders(&client, "l/", 1).await;
    written.release().await.unwrap();
    let writing = soon("the lock", lock.write()).await.unwrap();
    writing.release().await.unwrap();
    contenders(&client, "l/", 0).await;
}

#[tokio::test]
async fn a_reader_that_waits_comes_in_with_the_writer_of_its_session() {
    let server = Server::start().await;
    let client = server.client().await;
    let [one, two, three] = sessions(&client).await;
    let held = RwLock::new(&three, "l").read().await.unwrap();
    let lock = RwLock::new(&one, "l");
    let waiting = lock.clone();
    let writer = tokio::spawn(async move { waiting.write().await });
    contenders(&client, "l/", 2).await;
    let other = RwLock::new(&two, "l");
    let other = tokio::spawn(async move { other.write().await });
    contenders(&client, "l/", 3).await;
    // It is behind the other writer, until its own session writes.
    let reader = tokio::spawn(async move { lock.read().await });
    contenders(&client, "l/", 4).await;
    held.release().await.unwrap();
    let writing = got(writer).await;
    let reading = got(reader).await;
    drop(writing);
    reading.release().await.unwrap();
    got(other).await.release().await.unwrap();
    contenders(&client, "l/", 0).await;
}

#[tokio::test]
async fn permits_come_back_in_any_order() {
    let server = Server::start().await;
    let client = server.client().await;
    let [one, two] = sessions(&client).await;
    let semaphore = |session| Semaphore::new(session, "s", 2).unwrap();
    let first = semaphore(&one).acquire().await.unwrap();
    let second = semaphore(&one).acquire().await.unwrap();
    assert!(semaphore(&two).try_acquire().await.unwrap().is_none());
    for held in [first, second] {
        let waiting = semaphore(&two);
        let waiter = tokio::spawn(async move { waiting.acquire().await });
        contenders(&client, "s/", 3).await;
        held.release().await.unwrap();
        // It stays a holder for the second round.
        std::mem::forget(got(waiter).await);
    }
    let error = within(Duration::from_millis(200), semaphore(&one).acquire()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Deadline);
    contenders(&client, "s/", 2).await;
    let other = Semaphore::new(&one, "s", 3).unwrap().acquire().await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Invalid);
    contenders(&client, "s/", 2).await;
    assert!(Semaphore::new(&one, "s", 0).is_err());
}
