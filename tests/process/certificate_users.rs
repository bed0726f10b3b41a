//! Users by their certificates: with `--client-cert-auth` the common name of a client's certificate
//! is its user, unless the client shows a token.

use conclave_client::{Client, Error, Options, TlsFiles};
use conclave_proto::ApiError;
use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use harness::api::{get, put};
use harness::certificates::{Authority, Certificate, Validity};
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD, with_token};
use harness::node::connect;
use harness::process::READY;
use harness::{Process, refused};

use crate::tls::two_endpoints;

/// A member that serves clients with and without TLS.
struct Member {
    _process: Process,
    authority: Authority,
    secure: String,
    plain: String,
}

impl Member {
    /// Starts it, with alice, who may do everything below `app/` and has no password, and bob, who
    /// may do everything below `other/`.
    async fn start() -> (Member, Administrator) {
        Member::start_without(&[]).await
    }

    /// Starts it without these flags.
    async fn start_without(left_out: &[&str]) -> (Member, Administrator) {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let mut flags = server.client_flags();
        flags.retain(|flag| !left_out.contains(&flag.as_str()));
        flags.push("--listen-client-urls=https://127.0.0.1:0,http://127.0.0.1:0".to_owned());
        flags.push(CHEAP_HASHES.to_owned());
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut process = Process::start(&flags);
        let [secure, plain] = two_endpoints(process.child(), READY).await;
        let mut root = Administrator::new(connect(&plain));
        root.add_role("app", Type::Readwrite, "app/", "app0").await;
        let other = ("other/", "other0");
        root.add_role("other", Type::Readwrite, other.0, other.1)
            .await;
        root.add_user_without_password("alice", &["app"]).await;
        root.add_user("bob", &["other"]).await;
        root.enable().await;
        let member = Member {
            _process: process,
            authority,
            secure,
            plain,
        };
        (member, root)
    }

    fn files(&self, own: &Certificate) -> TlsFiles {
        TlsFiles::trusting(own.trusted()).presenting(own.cert(), own.key())
    }

    /// A client whose certificate has this common name.
    async fn client(&self, common_name: &str) -> Client {
        let own = self.authority.issue_for("client", common_name);
        let options = Options::new().tls(self.files(&own));
        options.connect([&self.secure]).await.unwrap()
    }
}

#[track_caller]
fn expect_error<T: std::fmt::Debug>(outcome: Result<T, Error>, expected: ApiError) {
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, Error::Api(found) if found == expected),
        "{error:?}"
    );
}

#[test]
fn a_user_has_exactly_its_permissions() {
    harness::run(async {
        let (member, root) = Member::start().await;
        let alice = member.client("alice").await;
        alice.put("app/a", "1").await.unwrap();
        assert!(alice.get("app/a").await.unwrap().is_some());
        for key in ["other/a", "app", "app0", "secret"] {
            expect_error(alice.put(key, "1").await, ApiError::PermissionDenied);
            expect_error(alice.get(key).await, ApiError::PermissionDenied);
        }
        let list = alice.auth().user_list(pb::AuthUserListRequest {}).await;
        refused(list, ApiError::PermissionDenied);
        root.revoke("alice", "app").await;
        expect_error(alice.get("app/a").await, ApiError::PermissionDenied);
        // Without TLS there is no certificate.
        let anyone = Client::connect([&member.plain]).await.unwrap();
        expect_error(anyone.get("app/a").await, ApiError::UserEmpty);
    });
}

/// As in etcd, certificates may be for encryption alone.
#[test]
fn a_trusted_ca_alone_makes_no_users() {
    harness::run(async {
        let (member, _root) = Member::start_without(&["--client-cert-auth"]).await;
        for name in ["alice", "root"] {
            let client = member.client(name).await;
            expect_error(client.put("app/a", "1").await, ApiError::UserEmpty);
        }
    });
}

/// The name of a certificate may be that of no user, empty, or longer than any name should be.
#[test]
fn a_strange_name_is_no_user() {
    harness::run(async {
        let (member, root) = Member::start().await;
        let long = "a".repeat(50_000);
        let cases = [
            ("mallory", ApiError::PermissionDenied),
            ("Alice", ApiError::PermissionDenied),
            ("alice ", ApiError::PermissionDenied),
            ("alice\0root", ApiError::PermissionDenied),
            (&*long, ApiError::PermissionDenied),
            ("", ApiError::UserEmpty),
        ];
        for (name, expected) in cases {
            let client = member.client(name).await;
            expect_error(client.put("app/a", "1").await, expected);
            expect_error(client.get("app/a").await, expected);
        }
        // A user of a long name is a user like any other.
        root.add_user_without_password(&long, &["app"]).await;
        let client = member.client(&long).await;
        client.put("app/a", "1").await.unwrap();
    });
}

#[test]
fn a_token_has_precedence() {
    harness::run(async {
        let (member, _root) = Member::start().await;
        let own = member.authority.issue_for("client", "alice");
        let options = Options::new().tls(member.files(&own)).user("bob", PASSWORD);
        let bob = options.connect([&member.secure]).await.unwrap();
        bob.put("other/a", "1").await.unwrap();
        expect_error(bob.put("app/a", "1").await, ApiError::PermissionDenied);
        // A bad token is not replaced by the certificate.
        let alice = member.client("alice").await;
        for token in ["abcdefghijklmnop.2", "x", " "] {
            let put = alice.kv().put(with_token(token, put("app/a", "1"))).await;
            refused(put, ApiError::InvalidAuthToken);
        }
        alice.put("app/a", "1").await.unwrap();
    });
}

/// Anyone may log in as anyone with the password; the certificate replaces no password.
#[test]
fn a_login_needs_the_password_of_its_user() {
    harness::run(async {
        let (member, _root) = Member::start().await;
        let alice = member.client("alice").await;
        let log_in = async |name: &str, password: &str| {
            let request = pb::AuthenticateRequest {
                name: name.to_owned(),
                password: password.to_owned(),
            };
            let login = alice.auth().authenticate(request).await;
            login.map(|login| login.into_inner().token)
        };
        for (name, password) in [
            ("alice", ""),
            ("alice", PASSWORD),
            ("bob", "wrong"),
            ("", ""),
        ] {
            refused(log_in(name, password).await, ApiError::AuthFailed);
        }
        let token = log_in("bob", PASSWORD).await.unwrap();
        let read = alice.kv().range(with_token(&token, get("other/a"))).await;
        read.unwrap();
        let read = alice.kv().range(with_token(&token, get("app/a"))).await;
        refused(read, ApiError::PermissionDenied);
    });
}
