//! Refused callers, and the errors they get.

use conclave_proto::peer::Hello;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::super::dial::Dialling;
use super::super::hello::PROTOCOL_VERSION;
use super::super::queue::tests::closed;
use conclave_core::fatal::REMOVED;

use super::*;

/// Opens a stream with this Hello and returns the answer.
pub(super) async fn greet(party: &Party, hello: Hello) -> Result<Hello, Status> {
    let dialling = Dialling::new(None, PATIENCE, MESSAGE_BYTES_MAX);
    let connection = dialling.dial(&party.url).await.expect("it listens");
    let frames = closed().start(hello);
    let mut hellos = connection.client().stream(frames).await?.into_inner();
    Ok(hellos.message().await?.expect("a Hello"))
}

fn hello() -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        cluster_id: CLUSTER,
        member_id: 1,
        boot_id: 7,
        to_member_id: 2,
        peer_urls: Vec::new(),
    }
}

#[tokio::test]
async fn a_hello_is_checked_before_anything_else() {
    let b = Party::start(2).await;
    let answer = greet(&b, hello()).await.expect("welcome");
    assert_eq!((answer.member_id, answer.cluster_id), (2, CLUSTER));
    b.network.set_members(&[b.member()], &[MemberId(9)]);
    for (hello, text) in [
        (
            Hello {
                cluster_id: 0xbad,
                ..hello()
            },
            "member 1 of cluster bad called member 2 of cluster c1: check \
             --initial-cluster-token and --initial-cluster of both, and --data-dir if either has \
             run before",
        ),
        (
            Hello {
                to_member_id: 3,
                ..hello()
            },
            "member 1 called member 3 and reached member 2: check the peer URLs of both",
        ),
        (
            Hello {
                member_id: 9,
                ..hello()
            },
            REMOVED,
        ),
    ] {
        let status = greet(&b, hello).await.expect_err("refused");
        assert_eq!(
            (status.code(), status.message()),
            (Code::FailedPrecondition, text)
        );
    }
    b.stop().await;
}

/// Two processes with one member id, for example on copies of one directory. The process at the URL
/// is the member, whichever came first.
#[tokio::test]
async fn of_two_processes_that_are_one_member_the_one_at_its_url_is_heard() {
    let (a, mut b) = (Party::start(1).await, Party::start(2).await);
    let copy = Hello {
        boot_id: 0xc0,
        ..hello()
    };
    greet(&b, copy.clone())
        .await
        .expect("no other process exists yet");
    a.meet(&[&b]);
    b.meet(&[&a]);
    b.connected(1).await;
    let status = greet(&b, copy.clone()).await.expect_err("refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("another process"), "{status}");
    a.connected(2).await;
    a.send(2, "a word");
    assert_eq!(b.hears_from(1).await, "a word");
    a.stop().await;
    greet(&b, copy).await.expect("it is the only one now");
    b.stop().await;
}

#[tokio::test]
async fn a_member_of_another_cluster_does_not_get_in() {
    let odd = Odd {
        cluster_id: Some(0xc2),
        ..Odd::default()
    };
    let (a, mut b) = (
        Party::odd(1, "127.0.0.1:0", odd).await,
        Party::start(2).await,
    );
    let c = Party::start(3).await;
    a.meet(&[&b, &c]);
    c.meet(&[&b]);
    c.connected(2).await;
    a.send(2, "poison");
    c.send(2, "well");
    assert_eq!(b.hears_from(3).await, "well");
    assert_eq!(a.network.connected_since(MemberId(2)), None);
    assert!(b.heard.is_empty() && c.heard.is_empty());
    a.stop().await;
    b.stop().await;
    c.stop().await;
}

/// The removed member learns of it from any member it dials, and from the stream it had.
#[tokio::test]
async fn a_removed_member_learns_that_it_is() {
    let (a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    a.connected(2).await;
    b.network.set_members(&[b.member()], &[MemberId(1)]);
    until(|| matches!(a.fatal.reported(), Some(conclave_core::FatalError::Removed))).await;
    assert_eq!(a.network.connected_since(MemberId(2)), None);
    a.stop().await;
    b.stop().await;
}

/// A learner that knows of the removal refuses the member, and leaves it to the voters to end it.
#[tokio::test]
async fn only_a_voter_confirms_a_removal() {
    let b = Party::start(2).await;
    let learner = Member {
        is_learner: true,
        ..b.member()
    };
    let removed = MemberId(1);
    assert_eq!(b.network.refusal(removed), None);
    b.network.set_members(&[learner], &[removed]);
    let refusal = b.network.refusal(removed).expect("it was removed");
    assert_ne!(refusal, REMOVED);
    b.network.set_members(&[b.member()], &[removed]);
    assert_eq!(b.network.refusal(removed).as_deref(), Some(REMOVED));
    b.stop().await;
}

const INTRODUCE: &str = "/conclave.peer.Peer/Introduce";

/// A request that a web page can make a browser send is not executed.
#[tokio::test]
async fn only_grpc_calls_reach_the_service() {
    let a = Party::start(1).await;
    let address = a.url.strip_prefix("http://").expect("no TLS");
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "POST {INTRODUCE} {version}\r\nHost: a\r\nConnection: close\r\n\
             Content-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0"
        );
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("it reads");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        read.expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(" 404 Not Found\r\n"), "{answer}");
    }
    let stream = TcpStream::connect(address).await.expect("it listens");
    let connecting = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut requests, connection) = connecting.await.expect("HTTP/2");
    let driven = tokio::spawn(connection);
    for (method, content_type, expected) in [
        ("POST", "application/grpc", 200),
        ("POST", "text/plain", 415),
        ("GET", "application/grpc", 405),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://a{INTRODUCE}"))
            .header("content-type", content_type)
            .body("\0\0\0\0\0".to_owned());
        let response = requests.send_request(request.expect("a request")).await;
        assert_eq!(response.expect("an answer").status(), expected);
    }
    drop(requests);
    a.stop().await;
    let _ = driven.await;
}
