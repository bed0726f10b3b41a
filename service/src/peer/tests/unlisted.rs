//! Members that contact one whose membership does not list them.

use conclave_proto::peer::Hello;

use super::super::hello::PROTOCOL_VERSION;
use super::super::unlisted::UNLISTED_MAX;
use super::strangers::greet;
use super::*;

fn hello(member_id: u64, to_member_id: u64, url: &str) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        cluster_id: CLUSTER,
        member_id,
        boot_id: 7,
        to_member_id,
        peer_urls: vec![url.to_owned()],
    }
}

/// They have a link for as long as their stream is open, and no longer.
#[tokio::test]
async fn an_unlisted_member_is_answered() {
    let (mut a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.connected(1).await;
    b.send(1, "an answer");
    assert_eq!(a.hears_from(2).await, "an answer");
    a.stop().await;
    until(|| b.network.link(MemberId(1)).is_none() && b.network.stats(MemberId(1)).is_none()).await;
    b.stop().await;
}

/// When the membership catches up with the member's announcement, the connection stays; when the
/// membership says that the member was removed, the link ends.
#[tokio::test]
async fn an_unlisted_member_is_listed_later_or_removed() {
    let (a, b, c) = (
        Party::start(1).await,
        Party::start(2).await,
        Party::start(3).await,
    );
    a.meet(&[&b]);
    c.meet(&[&b]);
    b.connected(1).await;
    b.connected(3).await;
    let before = b.network.link(MemberId(1)).expect("connected");
    b.network
        .set_members(&[a.member(), b.member()], &[MemberId(3)]);
    let after = b.network.link(MemberId(1)).expect("a member");
    assert!(Arc::ptr_eq(&before, &after));
    assert!(b.network.link(MemberId(3)).is_none());
    until(|| matches!(c.fatal.reported(), Some(conclave_core::FatalError::Removed))).await;
    // A listed member keeps its link without a stream.
    a.stop().await;
    assert!(b.network.link(MemberId(1)).is_some());
    b.stop().await;
    c.stop().await;
}

/// Of two processes that claim to be the same member only one is accepted, whether it is listed or
/// not.
#[tokio::test]
async fn of_two_processes_that_are_one_unlisted_member_one_is_heard() {
    let (a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.connected(1).await;
    let copy = hello(1, 2, &a.url);
    let status = greet(&b, copy).await.expect_err("refused");
    assert!(status.message().contains("another process"), "{status}");
    a.stop().await;
    b.stop().await;
}

/// The member may have moved while this one was down.
#[tokio::test]
async fn a_listed_member_is_reached_where_it_says_it_is() {
    let (mut a, b) = (Party::start(1).await, Party::start(2).await);
    // No process listens there.
    let outdated = member(1, "http://127.0.0.1:9");
    b.network.set_members(&[outdated, b.member()], &[]);
    a.meet(&[&b]);
    b.connected(1).await;
    b.send(1, "an answer");
    assert_eq!(a.hears_from(2).await, "an answer");
    a.stop().await;
    b.stop().await;
}

/// However many members strangers invent, members with a connection keep their links.
#[tokio::test]
async fn there_are_only_so_many_unlisted_members() {
    let (a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.connected(1).await;
    let count = UNLISTED_MAX as u64 * 3;
    for (number, id) in (0_u64..count).zip(100_u64..) {
        let stream = 1_000 + number;
        b.network
            .learn_urls(&hello(id, 2, "http://127.0.0.1:9"), stream);
    }
    assert_eq!(b.network.members.lock().links.len(), UNLISTED_MAX);
    assert!(b.network.connected_since(MemberId(1)).is_some());
    assert!(b.network.link(MemberId(100 + count - 1)).is_some());
    assert!(b.network.link(MemberId(100)).is_none());
    a.stop().await;
    b.stop().await;
}

/// A member that was removed and added again under another id, and is started on its old data,
/// knows none of the present members. A caller that means the other id tells it about the removal.
#[tokio::test]
async fn a_removed_member_learns_it_from_one_that_means_another() {
    let knows = Odd {
        removed: vec![2],
        ..Odd::default()
    };
    let (a, b) = (
        Party::odd(1, "127.0.0.1:0", knows).await,
        Party::start(2).await,
    );
    a.network.set_members(&[member(3, &b.url)], &[MemberId(2)]);
    until(|| matches!(b.fatal.reported(), Some(conclave_core::FatalError::Removed))).await;
    a.stop().await;
    b.stop().await;
}
