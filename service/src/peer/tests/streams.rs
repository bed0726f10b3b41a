//! Parcels and queries: order, broken connections, restarts, members that do not read.

use prost::Message as _;

use super::*;
use conclave_core::peers::Unreachable;

#[tokio::test]
async fn two_members_talk_both_ways_and_in_order() {
    let (mut a, mut b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.meet(&[&a]);
    a.connected(2).await;
    b.connected(1).await;
    for number in 0..1_000 {
        a.send(2, &format!("a{number}"));
        b.send(1, &format!("b{number}"));
    }
    for number in 0..1_000 {
        assert_eq!(b.hears_from(1).await, format!("a{number}"));
        assert_eq!(a.hears_from(2).await, format!("b{number}"));
    }
    let large = "x".repeat(8 << 20);
    a.send(2, &large);
    assert_eq!(b.hears_from(1).await, large);
    let (sent, received) = (a.stats(2), b.stats(1));
    assert_eq!(sent.sent_bytes.get(), received.received_bytes.get());
    assert!(sent.sent_bytes.get() > 8 << 20);
    assert_eq!(
        sent.send_failures.get() + received.receive_failures.get(),
        0
    );
    until(|| sent.round_trips.get_sample_count() > 0).await;
    assert!(sent.round_trips.get_sample_sum() > 0.0);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_question_is_answered_by_who_is_connected() {
    let (a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    a.connected(2).await;
    let answer = a
        .network
        .ask(MemberId(2), question::Question::KeepAlive(6))
        .await;
    assert_eq!(answer, Ok(answer::Answer::KeepAlive(7)));
    let nobody = a
        .network
        .ask(MemberId(3), question::Question::KeepAlive(6))
        .await;
    assert_eq!(nobody, Err(Unreachable));
    let url = crate::config::MemberUrl::parse(&b.url).expect("a URL");
    let introduction = introduce(&[url], None, None, PATIENCE)
        .await
        .expect("answered");
    assert_eq!(
        (introduction.cluster_id, introduction.member_id),
        (CLUSTER, 2)
    );
    a.stop().await;
    b.stop().await;
}

/// Both ends of a process that ends are notified, and a new process at the same address is found.
#[tokio::test]
async fn an_end_is_told_and_a_restart_is_found() {
    let (mut a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.meet(&[&a]);
    a.connected(2).await;
    b.connected(1).await;
    let stats = a.stats(2);
    until(|| stats.active.get() == 1).await;
    // The stream from B must exist before it can break.
    b.send(1, "here");
    assert_eq!(a.hears_from(2).await, "here");
    let (address, boot_id) = (b.address(), 1);
    b.stop().await;
    a.hears(|c| matches!(c, PeerEvent::Closed(MemberId(2))).then_some(()))
        .await;
    a.hears(|c| matches!(c, PeerEvent::Unreachable(MemberId(2))).then_some(()))
        .await;
    assert_eq!(a.network.connected_since(MemberId(2)), None);
    assert_eq!((stats.active.get(), stats.disconnected.get()), (0, 1));
    let odd = Odd {
        boot_id,
        ..Odd::default()
    };
    let mut b = Party::odd(2, &address, odd).await;
    a.connected(2).await;
    a.send(2, "again");
    assert_eq!(b.hears_from(1).await, "again");
    assert_eq!((stats.active.get(), stats.disconnected.get()), (1, 1));
    a.stop().await;
    b.stop().await;
}

/// A loss is reported once, not once for each parcel.
#[tokio::test]
async fn a_member_that_is_not_there_is_unreachable() {
    let mut a = Party::start(1).await;
    let nowhere = member(2, "http://127.0.0.1:1");
    a.network.set_members(&[a.member(), nowhere], &[]);
    for _ in 0..10 {
        a.send(2, "lost");
    }
    a.hears(|c| matches!(c, PeerEvent::Unreachable(MemberId(2))).then_some(()))
        .await;
    assert!(a.heard.is_empty(), "{:?}", a.heard);
    assert_eq!(a.stats(2).send_failures.get(), 10);
    a.stop().await;
}

/// Both ends count lost messages.
#[tokio::test]
async fn what_a_busy_member_drops_is_counted() {
    let (a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.meet(&[&a]);
    a.connected(2).await;
    let (sent, received) = (a.stats(2), b.stats(1));
    // B's driver consumes nothing.
    for _ in 0..limits::PEER_MESSAGES_MAX {
        a.send(2, "one");
    }
    let all = limits::PEER_MESSAGES_MAX * parcel("one").encoded_len();
    until(|| received.received_bytes.get() == all as u64).await;
    assert_eq!(received.receive_failures.get(), 0);
    a.send(2, "one");
    until(|| received.receive_failures.get() == 1).await;
    assert_eq!(sent.send_failures.get(), 0);
    a.stop().await;
    b.stop().await;
}

/// A member that accepts connections and never answers, and one whose queue is full, do not affect
/// the third.
#[tokio::test]
async fn a_member_that_stalls_slows_nobody_else() {
    let (mut a, mut b) = (Party::start(1).await, Party::start(2).await);
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mute_url = format!("http://{}", mute.local_addr().expect("bound"));
    let c = Party::start(4).await;
    a.network.set_members(
        &[a.member(), b.member(), member(3, &mute_url), c.member()],
        &[],
    );
    a.connected(2).await;
    a.connected(4).await;
    let large = "x".repeat(1 << 20);
    for number in 0..200 {
        a.send(3, &large);
        a.send(4, &large);
        a.send(2, &format!("{number}"));
    }
    for number in 0..200 {
        assert_eq!(b.hears_from(1).await, format!("{number}"));
    }
    a.hears(|c| matches!(c, PeerEvent::Unreachable(MemberId(3))).then_some(()))
        .await;
    a.hears(|c| matches!(c, PeerEvent::Unreachable(MemberId(4))).then_some(()))
        .await;
    a.stop().await;
    b.stop().await;
    c.stop().await;
}

#[tokio::test]
async fn a_member_that_leaves_or_moves_is_dropped() {
    let (a, b, mut moved) = (
        Party::start(1).await,
        Party::start(2).await,
        Party::start(2).await,
    );
    a.meet(&[&b]);
    a.connected(2).await;
    a.meet(&[&moved]);
    assert_eq!(a.network.connected_since(MemberId(2)), None);
    a.connected(2).await;
    a.send(2, "there");
    assert_eq!(moved.hears_from(1).await, "there");
    let stats = a.stats(2);
    a.meet(&[]);
    assert_eq!(a.network.connected_since(MemberId(2)), None);
    assert!(a.network.stats(MemberId(2)).is_none());
    // Neither connection was closed.
    until(|| stats.active.get() == 0).await;
    assert_eq!(stats.disconnected.get(), 0);
    a.stop().await;
    b.stop().await;
    moved.stop().await;
}
