//! Tests of this layer with their own endpoint and sockets.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::endpoint::Stream;
use super::listener::{Accept, Listener, Socket, bind_tcp};
use super::preface::Protocol;
use super::serve::ACCEPT_PAUSE;
use super::tls::tests::{Authority, open};
use super::tls::{Offer, Tls};
use super::*;
use conclave_core::clock::Stopwatch;

/// Time limit, far longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(20);

impl Socket for DuplexStream {
    type Reading = ReadHalf<DuplexStream>;
    type Writing = WriteHalf<DuplexStream>;

    fn prepare(&self, _unacknowledged_max: Option<Duration>) {}

    fn divide(self) -> (Self::Reading, Self::Writing) {
        tokio::io::split(self)
    }
}

/// Connections and errors to accept, in order; then none.
struct Arrivals(Mutex<VecDeque<io::Result<DuplexStream>>>);

impl Accept for Arrivals {
    type Socket = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
        let next = self.0.lock().expect("no panics").pop_front();
        match next {
            Some(arrived) => arrived.map(|socket| (socket, None)),
            None => std::future::pending().await,
        }
    }
}

/// Answers each connection with its protocol, and records events.
struct Echo {
    opening: Opening,
    places: Arc<Semaphore>,
    revoke: Notify,
    events: Mutex<Vec<String>>,
    served: Mutex<Vec<ConnectionInfo>>,
}

impl Echo {
    fn new(tls: Option<Arc<Tls>>, places: usize) -> Arc<Echo> {
        Echo::with_timeout(PATIENCE, tls, places)
    }

    fn with_timeout(timeout: Duration, tls: Option<Arc<Tls>>, places: usize) -> Arc<Echo> {
        Arc::new(Echo {
            opening: Opening {
                tls,
                offer: Offer::Both,
                timeout,
                unacknowledged_max: None,
            },
            places: Arc::new(Semaphore::new(places)),
            revoke: Notify::new(),
            events: Mutex::default(),
            served: Mutex::default(),
        })
    }

    fn note(&self, event: impl ToString) {
        self.events
            .lock()
            .expect("no panics")
            .push(event.to_string());
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().expect("no panics").clone()
    }
}

impl Endpoint for Echo {
    type Place = tokio::sync::OwnedSemaphorePermit;

    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn admit(&self, _remote: Option<SocketAddr>) -> Option<Self::Place> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    async fn revoked(&self, _place: &Self::Place) {
        self.revoke.notified().await;
        self.note("revoked");
    }

    fn accept_failed(&self, error: &io::Error) {
        self.note(error);
    }

    fn opening_failed(&self, _: &Self::Place, _: Option<SocketAddr>, error: &OpeningError) {
        match error {
            OpeningError::Tls(_) => self.note("no TLS"),
            OpeningError::FirstBytes(_) | OpeningError::Timeout => self.note(error),
        }
    }

    /// Sends `1` or `2`, and then waits for the other end or for the end of the listener.
    async fn serve<S: Stream>(
        &self,
        mut connection: Connection<S>,
        _place: &Self::Place,
        ending: &CancellationToken,
    ) {
        self.served
            .lock()
            .expect("no panics")
            .push(connection.info.clone());
        let answer = match connection.protocol {
            Protocol::Http1 => b"1",
            Protocol::Http2 => b"2",
        };
        let answered = connection.stream.write_all(answer).await;
        answered.expect("the client reads");
        connection.stream.flush().await.expect("the client reads");
        let mut rest = Vec::new();
        tokio::select! {
            read = connection.stream.read_to_end(&mut rest) => drop(read),
            () = ending.cancelled() => self.note("drained"),
        }
    }
}

/// Serves these arrivals; returns the task and the token that stops it.
fn serving(
    arrivals: impl IntoIterator<Item = io::Result<DuplexStream>>,
    endpoint: &Arc<Echo>,
) -> (JoinHandle<()>, CancellationToken) {
    let listener = Arrivals(Mutex::new(arrivals.into_iter().collect()));
    let shutdown = CancellationToken::new();
    let served = serve(listener, Arc::clone(endpoint), shutdown.clone());
    (tokio::spawn(served), shutdown)
}

/// The bytes that arrive until the other end closes the connection.
async fn rest(client: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset ends the connection, too.
    let _ = client.read_to_end(&mut bytes).await;
    bytes
}

#[tokio::test]
async fn the_first_bytes_decide_what_is_spoken() {
    let echo = Echo::new(None, 2);
    let ((mut old, first), (mut new, second)) = (tokio::io::duplex(64), tokio::io::duplex(64));
    let (task, shutdown) = serving([Ok(first), Ok(second)], &echo);
    old.write_all(b"GET").await.expect("it reads");
    new.write_all(preface::HTTP2).await.expect("it reads");
    assert_eq!(old.read_u8().await.expect("an answer"), b'1');
    assert_eq!(new.read_u8().await.expect("an answer"), b'2');
    drop((old, new));
    shutdown.cancel();
    task.await.expect("no panics");
    let info = ConnectionInfo {
        remote: None,
        certificate: None,
    };
    assert_eq!(
        *echo.served.lock().expect("no panics"),
        [info.clone(), info]
    );
}

#[tokio::test]
async fn a_silent_connection_is_closed_in_time() {
    let timeout = Duration::from_millis(20);
    let echo = Echo::with_timeout(timeout, None, 1);
    let (mut silent, socket) = tokio::io::duplex(64);
    let since = Stopwatch::start();
    let (task, shutdown) = serving([Ok(socket)], &echo);
    // The beginning of HTTP/2's preface is not enough to recognize it.
    silent.write_all(b"PRI").await.expect("it reads");
    assert!(rest(&mut silent).await.is_empty());
    assert!(since.elapsed() >= timeout);
    assert_eq!(echo.events(), ["it did not open in time"]);
    shutdown.cancel();
    task.await.expect("no panics");
    assert_eq!(echo.places.available_permits(), 1);
}

#[tokio::test]
async fn a_connection_without_a_place_is_closed() {
    let echo = Echo::new(None, 1);
    let ((mut first, one), (mut second, two)) = (tokio::io::duplex(64), tokio::io::duplex(64));
    let (task, shutdown) = serving([Ok(one), Ok(two)], &echo);
    assert!(rest(&mut second).await.is_empty());
    first.write_all(b"GET").await.expect("it has a place");
    assert_eq!(first.read_u8().await.expect("an answer"), b'1');
    drop(first);
    shutdown.cancel();
    task.await.expect("no panics");
    assert_eq!(echo.places.available_permits(), 1);
}

#[tokio::test]
async fn a_failed_accept_is_followed_by_a_pause() {
    let echo = Echo::new(None, 1);
    let (mut client, socket) = tokio::io::duplex(64);
    let failed = |text: &str| Err(io::Error::other(text.to_owned()));
    let gone = Err(ErrorKind::ConnectionAborted.into());
    let since = Stopwatch::start();
    let (task, shutdown) = serving([failed("one"), gone, failed("two"), Ok(socket)], &echo);
    client.write_all(b"GET").await.expect("it reads");
    assert_eq!(client.read_u8().await.expect("an answer"), b'1');
    // The connection that had ended before it was accepted is not recorded.
    assert!(since.elapsed() >= 2 * ACCEPT_PAUSE);
    assert_eq!(echo.events(), ["one", "two"]);
    drop(client);
    shutdown.cancel();
    task.await.expect("no panics");
}

#[tokio::test]
async fn shutdown_drains_what_has_begun_and_closes_the_rest() {
    let echo = Echo::new(None, 2);
    let ((mut begun, one), (mut silent, two)) = (tokio::io::duplex(64), tokio::io::duplex(64));
    let (task, shutdown) = serving([Ok(one), Ok(two)], &echo);
    begun.write_all(b"GET").await.expect("it reads");
    assert_eq!(begun.read_u8().await.expect("an answer"), b'1');
    let since = Stopwatch::start();
    shutdown.cancel();
    task.await.expect("no panics");
    assert!(rest(&mut begun).await.is_empty() && rest(&mut silent).await.is_empty());
    assert!(since.elapsed() < PATIENCE);
    assert_eq!(echo.events(), ["drained"]);
}

#[tokio::test]
async fn a_revoked_place_ends_its_connection() {
    let echo = Echo::new(None, 1);
    let (mut client, socket) = tokio::io::duplex(64);
    let (task, shutdown) = serving([Ok(socket)], &echo);
    client.write_all(b"GET").await.expect("it reads");
    assert_eq!(client.read_u8().await.expect("an answer"), b'1');
    echo.revoke.notify_waiters();
    assert!(rest(&mut client).await.is_empty());
    shutdown.cancel();
    task.await.expect("no panics");
    assert_eq!(echo.events(), ["revoked"]);
}

#[tokio::test]
async fn the_certificate_of_the_other_end_is_known() {
    let ca = Authority::new();
    let ours = ca.settings(ca.issue("server", |_| {}));
    let echo = Echo::new(Some(open(ours).expect("good files")), 2);
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = bind_tcp(&[address]).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, Arc::clone(&echo), shutdown.clone()));

    let theirs = open(ca.settings(ca.issue("client", |_| {}))).expect("good files");
    let stream = TcpStream::connect(address).await.expect("it listens");
    let from = stream.local_addr().expect("connected");
    let mut client = theirs.connect("localhost", stream).await.expect("good");
    client.write_all(b"GET").await.expect("it reads");
    assert_eq!(client.read_u8().await.expect("an answer"), b'1');
    let info = echo.served.lock().expect("no panics")[0].clone();
    assert_eq!(info.remote, Some(from));
    let certificate = info.certificate.expect("it was shown");
    assert!(
        certificate.windows(6).any(|bytes| bytes == b"client"),
        "its common name is in there"
    );

    let mut plain = TcpStream::connect(address).await.expect("it listens");
    plain
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("it reads");
    rest(&mut plain).await;
    assert_eq!(echo.events(), ["no TLS"]);
    drop((client, plain));
    shutdown.cancel();
    task.await.expect("no panics");
}

#[tokio::test]
async fn a_unix_socket_has_no_address() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let Ok(Listener::Unix(listener)) = Listener::bind_unix(&path).await else {
        panic!("a Unix socket is bound");
    };
    let echo = Echo::new(None, 1);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, Arc::clone(&echo), shutdown.clone()));
    let mut client = tokio::net::UnixStream::connect(&path)
        .await
        .expect("it listens");
    client.write_all(b"GET").await.expect("it reads");
    assert_eq!(client.read_u8().await.expect("an answer"), b'1');
    assert_eq!(echo.served.lock().expect("no panics")[0].remote, None);
    shutdown.cancel();
    task.await.expect("no panics");
    assert!(!path.exists());
}
