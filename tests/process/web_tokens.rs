//! JSON Web Tokens of one member: every method, forged and expired tokens, and keys that are
//! replaced. `cluster/web_tokens.rs` has members with different keys.

use std::fs;
use std::path::Path;
use std::time::Duration;

use conclave_proto::ApiError;
use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use harness::api::{get, put};
use harness::jwt::{self, METHODS, claims, claims_in, key_file, sign, sign_as};
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD, log_in, with_token};
use harness::node::connect;
use harness::{Process, eventually, refused};
use pb::kv_client::KvClient;
use serde_json::{Value, json};
use tonic::Status;
use tonic::transport::Channel;

const MINUTE: Duration = Duration::from_secs(60);

/// A member with authentication enabled, and alice, who may do everything below `app/`.
async fn enabled(auth_token: &str) -> (Process, Administrator) {
    let process = Process::start(&[CHEAP_HASHES, auth_token]);
    let mut root = Administrator::new(connect(process.endpoint()));
    root.add_role("app", Type::Readwrite, "app/", "app0").await;
    root.add_user("alice", &["app"]).await;
    root.enable().await;
    (process, root)
}

async fn write(channel: &Channel, token: &str, key: &'static str) -> Result<(), Status> {
    let mut kv = KvClient::new(channel.clone());
    kv.put(with_token(token, put(key, "1"))).await.map(drop)
}

async fn read(channel: &Channel, token: &str, key: &'static str) -> Result<(), Status> {
    let mut kv = KvClient::new(channel.clone());
    kv.range(with_token(token, get(key))).await.map(drop)
}

#[test]
fn tokens_of_every_method_are_given_and_accepted() {
    harness::run(async {
        for &(method, public, private) in METHODS {
            let (public, private) = (key_file(public), key_file(private));
            // A secret is only a private key.
            let public = public.is_file().then_some(&*public);
            let (process, _root) = enabled(&jwt::flag(method, public, Some(&private))).await;
            let channel = connect(process.endpoint());
            let given = log_in(channel.clone(), "alice", PASSWORD).await.unwrap();
            let found = claims_in(&given);
            assert_eq!(found["username"], "alice", "{method}");
            let revision = found["revision"].as_u64().unwrap();
            let made = sign(method, &private, &claims("alice", revision, MINUTE));
            for token in [&given, &made] {
                write(&channel, token, "app/a").await.unwrap();
                read(&channel, token, "app/a").await.unwrap();
                let denied = write(&channel, token, "secret").await;
                refused(denied, ApiError::PermissionDenied);
            }
            // The last letter has bits that belong to no byte; the first of the signature has not.
            let (message, signature) = given.rsplit_once('.').unwrap();
            let first = if signature.starts_with('A') { "B" } else { "A" };
            let changed = format!("{message}.{first}{}", &signature[1..]);
            refused(
                read(&channel, &changed, "app/a").await,
                ApiError::InvalidAuthToken,
            );
        }
    });
}

/// Every one of them would be root's, if it were accepted.
#[test]
fn forged_and_expired_tokens_are_refused() {
    harness::run(async {
        let (public, private) = (key_file("rsa.pub.pem"), key_file("rsa.key.pem"));
        let flag = jwt::flag("RS256", Some(&public), Some(&private));
        let (process, root) = enabled(&flag).await;
        let channel = connect(process.endpoint());
        let revision = claims_in(root.token())["revision"].as_u64().unwrap();
        let good = claims("root", revision, MINUTE);
        let forged = forged(&public, &private, &good);
        for (what, token) in &forged {
            for outcome in [
                write(&channel, token, "app/a").await,
                read(&channel, token, "app/a").await,
            ] {
                let status = outcome.expect_err(what);
                assert_eq!(
                    (status.code(), status.message()),
                    (
                        tonic::Code::Unauthenticated,
                        ApiError::InvalidAuthToken.text()
                    ),
                    "{what}"
                );
            }
        }
        write(&channel, &sign("RS256", &private, &good), "app/a")
            .await
            .unwrap();
        // A token of before the last change of users or roles has to be renewed.
        let old = claims("root", revision - 1, MINUTE);
        let old = sign("RS256", &private, &old);
        refused(
            write(&channel, &old, "app/a").await,
            ApiError::AuthOldRevision,
        );
        root.add_user("bob", &[]).await;
        let former = sign("RS256", &private, &good);
        refused(
            write(&channel, &former, "app/a").await,
            ApiError::AuthOldRevision,
        );
    });
}

/// Tokens that no member with this key may accept, and what is wrong with each.
fn forged(public: &Path, private: &Path, good: &Value) -> Vec<(&'static str, String)> {
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    let without = |name: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(name);
        changed
    };
    let unsigned = sign("RS256", private, good);
    let (header, rest) = unsigned.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let end = good["exp"].as_u64().unwrap();
    vec![
        (
            "expired",
            sign("RS256", private, &with("exp", json!(end - 61))),
        ),
        ("no exp", sign("RS256", private, &without("exp"))),
        (
            "exp as text",
            sign("RS256", private, &with("exp", json!(end.to_string()))),
        ),
        (
            "not valid yet",
            sign("RS256", private, &with("nbf", json!(end))),
        ),
        ("no user", sign("RS256", private, &without("username"))),
        (
            "an empty user",
            sign("RS256", private, &with("username", json!(""))),
        ),
        ("no revision", sign("RS256", private, &without("revision"))),
        ("none", format!("{none}.{body}.")),
        ("none, signed", format!("{none}.{body}.{signature}")),
        ("no signature", format!("{header}.{body}.")),
        (
            "another key",
            sign("RS256", &key_file("other-rsa.key.pem"), good),
        ),
        ("another hash", sign("RS384", private, good)),
        (
            "another hash, called right",
            sign_as("RS256", "RS384", private, good),
        ),
        ("other padding", sign("PS256", private, good)),
        (
            "other padding, called right",
            sign_as("RS256", "PS256", private, good),
        ),
        ("the public key as a secret", sign("HS256", public, good)),
        (
            "the same, called right",
            sign_as("RS256", "HS256", public, good),
        ),
        (
            "another kind of key",
            sign("ES256", &key_file("p256.key.pem"), good),
        ),
        ("a simple token", "abcdefghijklmnop.2".to_owned()),
    ]
}

/// A token counts from its login to its end, however often it is used.
#[test]
fn a_token_ends_with_its_time() {
    harness::run(async {
        let secret = key_file("secret");
        let flag = jwt::flag("HS256", None, Some(&secret)).replace("ttl=10m", "ttl=2s");
        let (process, _root) = enabled(&flag).await;
        let channel = connect(process.endpoint());
        let token = log_in(channel.clone(), "alice", PASSWORD).await.unwrap();
        let status = eventually("the end of the token", || async {
            read(&channel, &token, "app/a").await.err()
        })
        .await;
        assert_eq!(status.message(), ApiError::InvalidAuthToken.text());
        let token = log_in(channel.clone(), "alice", PASSWORD).await.unwrap();
        read(&channel, &token, "app/a").await.unwrap();
    });
}

/// Files that cannot be used leave the former key in use.
#[test]
fn keys_are_replaced_while_it_runs() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let (public, private) = (dir.path().join("public"), dir.path().join("private"));
        let copy = |from: &str, to: &Path| {
            // As a whole: another process reads it at any time.
            let new = dir.path().join("new");
            fs::copy(key_file(from), &new).unwrap();
            fs::rename(&new, to).unwrap();
        };
        copy("rsa.pub.pem", &public);
        copy("rsa.key.pem", &private);
        let flag = jwt::flag("RS256", Some(&public), Some(&private));
        let (mut process, root) = enabled(&flag).await;
        let channel = connect(process.endpoint());
        let revision = claims_in(root.token())["revision"].as_u64().unwrap();
        let made = |key: &str| sign("RS256", &key_file(key), &claims("alice", revision, MINUTE));
        let (former, renewed) = (made("rsa.key.pem"), made("other-rsa.key.pem"));
        write(&channel, &former, "app/a").await.unwrap();
        refused(
            write(&channel, &renewed, "app/a").await,
            ApiError::InvalidAuthToken,
        );

        // One of two: the keys do not belong together.
        copy("other-rsa.key.pem", &private);
        let stays = "the former ones stay";
        let said = eventually("a warning", || {
            let lines = process.child().lines();
            let found = lines.iter().any(|line| line.contains(stays));
            let (channel, former) = (channel.clone(), former.clone());
            async move {
                write(&channel, &former, "app/a").await.unwrap();
                found.then_some(())
            }
        });
        said.await;
        copy("other-rsa.pub.pem", &public);
        eventually("the new key", || async {
            write(&channel, &renewed, "app/a").await.ok()
        })
        .await;
        refused(
            write(&channel, &former, "app/a").await,
            ApiError::InvalidAuthToken,
        );
        let given = log_in(channel.clone(), "alice", PASSWORD).await.unwrap();
        write(&channel, &given, "app/a").await.unwrap();
        fs::write(&private, "no key").unwrap();
        fs::write(&public, "no key").unwrap();
        for _ in 0..10 {
            write(&channel, &given, "app/a").await.unwrap();
        }
    });
}
