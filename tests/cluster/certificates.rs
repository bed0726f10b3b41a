//! Members that authenticate to each other by certificates. A member whose certificate becomes
//! invalid is refused, and both sides log the reason; the others go on, and a valid certificate in
//! the same files is enough for it to return.

use harness::certificates::{Authority, Certificate, Validity};
use harness::{Cluster, eventually};

use crate::not_on_etcd;

/// The member whose certificate is replaced.
const VICTIM: usize = 2;

#[test]
fn an_expired_certificate_is_refused_until_it_is_renewed() {
    let authority = Authority::new("the authority");
    let ended = authority.issue("ended", Validity::Ended);
    refused_until_renewed(
        &authority,
        &ended,
        ["certificate expired", "CertificateExpired"],
    );
}

#[test]
fn a_certificate_of_another_authority_is_refused_until_it_is_replaced() {
    let (authority, another) = (Authority::new("the authority"), Authority::new("another"));
    let strange = another.issue("strange", Validity::Good);
    refused_until_renewed(&authority, &strange, ["UnknownIssuer", "UnknownCA"]);
}

/// `seen` is what a member logs that is shown the bad certificate, `told` what the owner of the bad
/// certificate logs.
fn refused_until_renewed(authority: &Authority, bad: &Certificate, [seen, told]: [&str; 2]) {
    harness::run(async {
        let issued = ["m0", "m1", "m2"].map(|name| authority.issue(name, Validity::Good));
        let renewed = authority.issue("renewed", Validity::Good);
        let mut cluster = Cluster::prepare(3, &[], "a-test");
        cluster.secure(&issued);
        cluster.start_all().await;
        if not_on_etcd(&cluster, "its log lines have other texts") {
            return;
        }
        let others = cluster.others(VICTIM);
        cluster.put(VICTIM, "k", "before").await;
        let id = format!("{:x}", cluster.id(0, VICTIM).await);
        let url = cluster.member(VICTIM).peer_url();
        cluster.kill(VICTIM);
        issued[VICTIM].replace_by(bad);
        cluster.respawn(VICTIM);
        for &number in &others {
            let dialled = ["cannot connect to a member", &id, &url, seen];
            expect_line(&mut cluster, number, &dialled).await;
            let was_dialled = ["rejected connection on peer endpoint", seen];
            expect_line(&mut cluster, number, &was_dialled).await;
            let url = cluster.member(number).peer_url();
            let heard = ["cannot connect to a member", &url, told];
            expect_line(&mut cluster, VICTIM, &heard).await;
        }
        for &number in &others {
            cluster.put(number, "k", "meanwhile").await;
        }
        let ready = |line: &String| line.contains("ready to serve client requests");
        let lines = cluster.child(VICTIM).lines();
        assert!(!lines.iter().any(ready), "it serves: {lines:#?}");
        // No process is signalled or restarted.
        issued[VICTIM].replace_by(&renewed);
        cluster.member(VICTIM).expect_ready();
        cluster.wait_writable(&[VICTIM]).await;
        let found = cluster.get(VICTIM, "k").await.unwrap();
        assert_eq!(found.as_deref(), Some("meanwhile"));
        cluster.expect_same_history().await;
    });
}

/// Waits until a member has logged one line with all these parts.
async fn expect_line(cluster: &mut Cluster, number: usize, parts: &[&str]) {
    let child = cluster.child(number);
    let has_all = |line: &String| parts.iter().all(|part| line.contains(part));
    let what = format!("member {number} to log {parts:?}");
    eventually(&what, || {
        let found = child.lines().iter().any(has_all);
        async move { found.then_some(()) }
    })
    .await;
}
