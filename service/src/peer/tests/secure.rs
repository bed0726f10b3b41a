//! TLS between members: which certificates are accepted, and what both ends log or return.

use rcgen::{CertificateParams, SanType, date_time_ymd};

use conclave_proto::peer::{
    Hello, IntroduceRequest, Question, SnapshotChunk, SnapshotStart, snapshot_chunk,
};

use super::super::dial::Dialling;
use super::super::hello::PROTOCOL_VERSION;
use super::super::queue::tests::closed;
use super::*;
use crate::net::tls::tests::{Authority, open};
use crate::net::tls::{TlsIdentity, TlsSettings};

/// A member with a certificate of `ca` and some changed settings.
async fn secured(id: u64, ca: &Authority, change: impl FnOnce(&mut TlsSettings)) -> Party {
    let mut config = ca.settings(ca.issue(&format!("member{id}"), |_| {}));
    change(&mut config);
    let odd = Odd {
        tls: Some(open(config).expect("good files")),
        ..Odd::default()
    };
    Party::odd(id, "127.0.0.1:0", odd).await
}

/// Requests a member's id, with these certificates. Returns the error as text.
async fn knock(party: &Party, tls: Option<Arc<Tls>>) -> Result<u64, String> {
    let url = crate::config::MemberUrl::parse(&party.url).expect("a URL");
    let introduced = introduce(&[url], tls, None, PATIENCE).await;
    introduced
        .map(|introduction| introduction.member_id)
        .map_err(|error| error.to_string())
}

fn shown(ca: &Authority, shape: impl FnOnce(&mut CertificateParams)) -> Option<Arc<Tls>> {
    Some(open(ca.settings(ca.issue("knocks", shape))).expect("good files"))
}

#[tokio::test]
async fn members_of_one_authority_talk() {
    let ca = Authority::new();
    let mut a = secured(1, &ca, |_| {}).await;
    let mut b = secured(2, &ca, |_| {}).await;
    a.meet(&[&b]);
    b.meet(&[&a]);
    a.connected(2).await;
    b.connected(1).await;
    let large = "x".repeat(3 << 20);
    a.send(2, &large);
    b.send(1, "small");
    assert_eq!(b.hears_from(1).await, large);
    assert_eq!(a.hears_from(2).await, "small");
    a.stop().await;
    b.stop().await;
}

/// An unlisted member is dialled at its `https://` URLs only.
#[tokio::test]
async fn an_unlisted_member_is_answered_with_tls_alone() {
    let ca = Authority::new();
    let mut a = secured(1, &ca, |_| {}).await;
    let (b, c) = (secured(2, &ca, |_| {}).await, secured(3, &ca, |_| {}).await);
    a.meet(&[&b]);
    b.connected(1).await;
    b.send(1, "an answer");
    assert_eq!(a.hears_from(2).await, "an answer");
    c.network
        .set_members(&[b.member(), member(3, "http://127.0.0.1:9")], &[]);
    c.connected(2).await;
    assert!(b.network.link(MemberId(3)).is_none());
    for party in [a, b, c] {
        party.stop().await;
    }
}

#[tokio::test]
async fn others_are_turned_away_with_the_reason() {
    let (ca, other) = (Authority::new(), Authority::new());
    let b = secured(2, &ca, |_| {}).await;
    assert_eq!(knock(&b, shown(&ca, |_| {})).await, Ok(2));
    // Neither end trusts the CA of the other one.
    let error = knock(&b, shown(&other, |_| {})).await.expect_err("refused");
    assert!(error.contains("UnknownIssuer"), "{error}");
    let mut config = ca.settings(other.issue("stranger", |_| {}));
    let stranger = open(config.clone()).expect("good files");
    let error = knock(&b, Some(stranger)).await.expect_err("refused");
    assert!(error.contains("UnknownCA"), "{error}");
    // An expired certificate is refused by the end that receives it.
    let ended = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let error = knock(&b, shown(&ca, ended)).await.expect_err("refused");
    assert!(error.contains("CertificateExpired"), "{error}");
    config = ca.settings(ca.issue("ended", ended));
    let odd = Odd {
        tls: Some(open(config).expect("only a warning")),
        ..Odd::default()
    };
    let c = Party::odd(3, "127.0.0.1:0", odd).await;
    let error = knock(&c, shown(&ca, |_| {})).await.expect_err("refused");
    assert!(error.contains("certificate expired"), "{error}");
    b.stop().await;
    c.stop().await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let ca = Authority::new();
    let list = ca.revoke(66);
    let b = secured(2, &ca, |tls| tls.crl_file = Some(list)).await;
    let with_serial = |serial: u64| shown(&ca, |params| params.serial_number = Some(serial.into()));
    assert_eq!(knock(&b, with_serial(65)).await, Ok(2));
    let error = knock(&b, with_serial(66)).await.expect_err("refused");
    assert!(error.contains("CertificateRevoked"), "{error}");
    b.stop().await;
}

/// The certificate files of a running member are replaced.
#[tokio::test]
async fn a_renewal_needs_no_restart() {
    let ca = Authority::new();
    let files = ca.issue("renewed", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let identity = TlsIdentity::Files(files.clone());
    let b = secured(2, &ca, |tls| tls.identity = identity).await;
    assert!(knock(&b, shown(&ca, |_| {})).await.is_err());
    let good = ca.issue("good", |_| {});
    std::fs::copy(&good.cert, &files.cert).expect("copied");
    std::fs::copy(&good.key, &files.key).expect("copied");
    let noticed = async { while knock(&b, shown(&ca, |_| {})).await != Ok(2) {} };
    let noticed = tokio::time::timeout(PATIENCE, noticed).await;
    noticed.expect("the files are read again");
    b.stop().await;
}

#[tokio::test]
async fn without_tls_there_is_no_way_in() {
    let ca = Authority::new();
    let b = secured(2, &ca, |_| {}).await;
    let plain = b.url.replace("https", "http");
    let dialling = Dialling::new(None, PATIENCE, MESSAGE_BYTES_MAX);
    if let Ok(connection) = dialling.dial(&plain).await {
        let request = conclave_proto::peer::IntroduceRequest {};
        assert!(connection.client().introduce(request).await.is_err());
    }
    let error = knock(&b, None).await.expect_err("no certificate");
    assert!(error.contains("https://"), "{error}");
    b.stop().await;
}

/// A stranger who knows the cluster's id, the members' ids and the CA, which are no secrets, has
/// none of the calls: it becomes no member, no message of its gets to raft, and no snapshot.
#[tokio::test]
async fn a_stranger_reaches_no_call() {
    let (ca, other) = (Authority::new(), Authority::new());
    let b = secured(2, &ca, |_| {}).await;
    let impostor = open(ca.settings(other.issue("member1", |_| {}))).expect("good files");
    let plain = b.url.replace("https", "http");
    let hello = Hello {
        protocol_version: PROTOCOL_VERSION,
        cluster_id: CLUSTER,
        member_id: 1,
        boot_id: 7,
        to_member_id: 2,
        peer_urls: vec!["https://127.0.0.1:9".to_owned()],
    };
    for (url, tls) in [(plain, None), (b.url.clone(), Some(impostor))] {
        let dialling = Dialling::new(tls, PATIENCE, MESSAGE_BYTES_MAX);
        // With TLS 1.3 the end that dials has opened the connection before the other one refuses.
        let Ok(connection) = dialling.dial(&url).await else {
            continue;
        };
        let frames = closed().start(hello.clone());
        let greeted = async {
            let answers = connection.client().stream(frames).await?;
            answers.into_inner().message().await
        };
        assert!(!matches!(greeted.await, Ok(Some(_))));
        let mut client = connection.client();
        let start = SnapshotStart {
            hello: Some(hello.clone()),
            ..SnapshotStart::default()
        };
        let chunk = SnapshotChunk {
            chunk: Some(snapshot_chunk::Chunk::Start(start)),
        };
        let chunks = tokio_stream::iter([chunk]);
        assert!(client.snapshot(chunks).await.is_err());
        assert!(client.ask(Question::default()).await.is_err());
        assert!(client.introduce(IntroduceRequest {}).await.is_err());
    }
    assert!(b.heard.is_empty());
    assert!(b.network.link(MemberId(1)).is_none());
    b.stop().await;
}

#[tokio::test]
async fn names_can_be_demanded() {
    let ca = Authority::new();
    let b = secured(2, &ca, |tls| tls.allowed_cns = vec!["member1".to_owned()]).await;
    let error = knock(&b, shown(&ca, |_| {})).await.expect_err("refused");
    assert!(error.contains("alert"), "{error}");
    let member1 = open(ca.settings(ca.issue("member1", |_| {}))).expect("good files");
    assert_eq!(knock(&b, Some(member1)).await, Ok(2));
    let hosts = |tls: &mut TlsSettings| tls.allowed_hostnames = vec!["members.example".to_owned()];
    let c = secured(3, &ca, hosts).await;
    assert!(knock(&c, shown(&ca, |_| {})).await.is_err());
    let named = |params: &mut CertificateParams| {
        let name = "members.example".try_into().expect("a name");
        params.subject_alt_names.push(SanType::DnsName(name));
    };
    assert_eq!(knock(&c, shown(&ca, named)).await, Ok(3));
    b.stop().await;
    c.stop().await;
}

/// A certificate for other addresses is accepted only if addresses are not checked.
#[tokio::test]
async fn a_certificate_is_good_from_where_it_says() {
    let ca = Authority::new();
    let b = secured(2, &ca, |_| {}).await;
    let c = secured(3, &ca, |tls| tls.skip_client_san_verification = true).await;
    let elsewhere = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 1].into())];
    };
    let nowhere = |params: &mut CertificateParams| params.subject_alt_names.clear();
    let by_host = |params: &mut CertificateParams| {
        let is_host = |name: &SanType| matches!(name, SanType::DnsName(_));
        params.subject_alt_names.retain(is_host);
    };
    assert!(knock(&b, shown(&ca, elsewhere)).await.is_err());
    assert_eq!(knock(&c, shown(&ca, elsewhere)).await, Ok(3));
    assert_eq!(knock(&b, shown(&ca, nowhere)).await, Ok(2));
    assert_eq!(knock(&b, shown(&ca, by_host)).await, Ok(2));
    b.stop().await;
    c.stop().await;
}
