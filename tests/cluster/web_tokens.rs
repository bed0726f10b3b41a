//! JSON Web Tokens in a cluster whose members have different keys.

use std::time::Duration;

use conclave_proto::ApiError;
use harness::jwt::{self, claims, claims_in, key_file, sign};
use harness::login::{CHEAP_HASHES, PASSWORD, log_in};
use harness::{Cluster, fails, refused};
use tonic::Code;

use crate::logins::{enabled, read, write};
use crate::not_on_etcd;

/// One member has the private key. The others have the public key alone: they accept tokens and
/// give none.
#[test]
fn members_with_the_public_key_accept_and_do_not_sign() {
    harness::run(async {
        let (public, private) = (key_file("p256.pub.pem"), key_file("p256.key.pem"));
        let mut cluster = Cluster::prepare(3, &[CHEAP_HASHES], "a-test");
        let signs = jwt::flag("ES256", Some(&public), Some(&private));
        let verifies = jwt::flag("ES256", Some(&public), None);
        cluster.member(0).set_own_flags(&[signs]);
        for number in [1, 2] {
            cluster.member(number).set_own_flags(&[&verifies]);
        }
        cluster.start_all().await;
        if not_on_etcd(&cluster, "3.4 has no such method") {
            return;
        }
        // Root logs in to the first member.
        let root = enabled(&cluster).await;
        let given = log_in(cluster.channel(0), "alice", PASSWORD).await.unwrap();
        let revision = claims_in(&given)["revision"].as_u64().unwrap();
        let minute = Duration::from_secs(60);
        let made = sign("ES256", &private, &claims("alice", revision, minute));
        for number in cluster.numbers() {
            for token in [&given, &made] {
                write(&cluster, number, token).await.unwrap();
                read(&cluster, number, token).await.unwrap();
            }
        }
        for number in [1, 2] {
            let login = log_in(cluster.channel(number), "alice", PASSWORD).await;
            let reason = "auth: token signing attempted with verify-only key";
            fails(login, Code::Unknown, reason);
            // The password counts all the same.
            let login = log_in(cluster.channel(number), "alice", "wrong").await;
            refused(login, ApiError::AuthFailed);
        }
        // Users and roles change on all members at once, and with them which tokens are good.
        root.revoke("alice", "app").await;
        for number in cluster.numbers() {
            let outcome = write(&cluster, number, &given).await;
            refused(outcome, ApiError::AuthOldRevision);
        }
        // A token outlives every member's restart, since no member remembers it.
        let later = log_in(cluster.channel(0), "root", PASSWORD).await.unwrap();
        for number in cluster.numbers() {
            cluster.kill(number);
            cluster.restart(number);
            write(&cluster, number, &later).await.unwrap();
        }
    });
}
