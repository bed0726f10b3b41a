//! Parcels and questions: order, breaks, restarts, members that do not read.

use super::*;

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
    let (sent, received) = (a.network.traffic()[0], b.network.traffic()[0]);
    assert_eq!((sent.member_id, received.member_id), (2, 1));
    assert_eq!(sent.sent_bytes, received.received_bytes);
    assert!(sent.sent_bytes > 8 << 20);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_question_is_answered_by_who_is_connected() {
    let (a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    a.connected(2).await;
    let answer = a.network.ask(2, question::Question::KeepAlive(6)).await;
    assert_eq!(answer, Ok(answer::Answer::KeepAlive(7)));
    let nobody = a.network.ask(3, question::Question::KeepAlive(6)).await;
    assert_eq!(nobody, Err(Unreachable));
    let url = crate::config::MemberUrl::parse(&b.url).expect("a URL");
    let introduction = introduce(&[url], None, PATIENCE).await.expect("answered");
    assert_eq!(
        (introduction.cluster_id, introduction.member_id),
        (CLUSTER, 2)
    );
    a.stop().await;
    b.stop().await;
}

/// Both sides of a process that ends hear of it, and a new one at the same place is found.
#[tokio::test]
async fn an_end_is_told_and_a_restart_is_found() {
    let (mut a, b) = (Party::start(1).await, Party::start(2).await);
    a.meet(&[&b]);
    b.meet(&[&a]);
    a.connected(2).await;
    b.connected(1).await;
    // The stream from B must stand before it can break.
    b.send(1, "here");
    assert_eq!(a.hears_from(2).await, "here");
    let (address, boot_id) = (b.address(), 1);
    b.stop().await;
    a.hears(|c| matches!(c, Control::PeerClosed(2)).then_some(()))
        .await;
    a.hears(|c| matches!(c, Control::PeerUnreachable(2)).then_some(()))
        .await;
    assert_eq!(a.network.connected_since(2), None);
    let odd = Odd {
        boot_id,
        ..Odd::default()
    };
    let mut b = Party::odd(2, &address, odd).await;
    a.connected(2).await;
    a.send(2, "again");
    assert_eq!(b.hears_from(1).await, "again");
    a.stop().await;
    b.stop().await;
}

/// A loss is told once, not once for each parcel.
#[tokio::test]
async fn a_member_that_is_not_there_is_unreachable() {
    let mut a = Party::start(1).await;
    let nowhere = member(2, "http://127.0.0.1:1");
    a.network.set_members(&[a.member(), nowhere], &[]);
    for _ in 0..10 {
        a.send(2, "lost");
    }
    a.hears(|c| matches!(c, Control::PeerUnreachable(2)).then_some(()))
        .await;
    assert!(a.heard.is_empty(), "{:?}", a.heard);
    a.stop().await;
}

/// One member that takes connections and never answers, and one that is given more than its queue
/// holds, cost the third nothing.
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
    a.hears(|c| matches!(c, Control::PeerUnreachable(3)).then_some(()))
        .await;
    a.hears(|c| matches!(c, Control::PeerUnreachable(4)).then_some(()))
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
    assert_eq!(a.network.connected_since(2), None);
    a.connected(2).await;
    a.send(2, "there");
    assert_eq!(moved.hears_from(1).await, "there");
    a.meet(&[]);
    assert_eq!(a.network.connected_since(2), None);
    a.stop().await;
    b.stop().await;
    moved.stop().await;
}
