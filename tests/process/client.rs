//! Our own client with users and TLS: when tokens end, when users change, and when certificates are
//! renewed.

use std::fs;

use conclave_client::{Client, Error, Keys, Options, TlsFiles};
use conclave_proto::ApiError;
use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use harness::certificates::{Authority, Certificate, Validity};
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD, with_token};
use harness::node::connect;
use harness::{Process, eventually, http1, within};
use pb::auth_client::AuthClient;

/// Calls at the same time: more than may wait for a connection. Those that wait for a login must
/// not keep the login from being sent.
const CROWD: usize = 1_500;

/// A member with authentication enabled, and alice, who may do everything below `app/`.
async fn enabled(flags: &[&str]) -> (Process, Administrator) {
    let all: Vec<_> = [CHEAP_HASHES].iter().chain(flags).copied().collect();
    let process = Process::start(&all);
    let mut root = Administrator::new(connect(process.endpoint()));
    root.add_role("app", Type::Readwrite, "app/", "app0").await;
    root.add_user("alice", &["app"]).await;
    root.enable().await;
    (process, root)
}

async fn alice(endpoint: &str) -> Client {
    let options = Options::new().user("alice", PASSWORD);
    options.connect([endpoint]).await.unwrap()
}

/// Ends all tokens of alice, who keeps her password.
async fn end_tokens(process: &Process, root: &Administrator) {
    let change = pb::AuthUserChangePasswordRequest {
        name: "alice".to_owned(),
        password: PASSWORD.to_owned(),
        ..pb::AuthUserChangePasswordRequest::default()
    };
    let mut stub = AuthClient::new(connect(process.endpoint()));
    let request = with_token(root.token(), change);
    stub.user_change_password(request).await.unwrap();
}

/// The number of logins that were begun.
async fn logins(process: &Process) -> f64 {
    let address = process.endpoint().trim_start_matches("http://");
    let answer = http1::get(address, "/metrics").await;
    let is_login = |line: &&str| {
        line.starts_with("grpc_server_started_total{")
            && line.contains(r#"grpc_method="Authenticate""#)
    };
    let line = answer.body.lines().find(is_login);
    let count = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    count.expect("a counter for each method")
}

/// Puts a key for each of a crowd, all at once. Returns the outcomes.
async fn put_at_once(client: &Client, name: &str) -> Vec<Result<i64, Error>> {
    let puts = (0..CROWD).map(|number| {
        let (client, key) = (client.clone(), format!("app/{name}{number}"));
        tokio::spawn(async move {
            let put = client.put(key, "1").await?;
            Ok(put.header.unwrap().revision)
        })
    });
    let puts: Vec<_> = puts.collect();
    let mut outcomes = Vec::new();
    for put in puts {
        outcomes.push(within("an answer", put).await.unwrap());
    }
    outcomes
}

/// A call that was refused for its token is sent again, and done once.
#[test]
fn calls_that_are_refused_together_share_one_login() {
    harness::run(async {
        let (process, root) = enabled(&[]).await;
        let before = logins(&process).await;
        let client = alice(process.endpoint()).await;
        // The first calls of a client share a login, too.
        for outcome in put_at_once(&client, "first/").await {
            outcome.unwrap();
        }
        assert_eq!(logins(&process).await, before + 1.0);
        for round in 2..5 {
            end_tokens(&process, &root).await;
            let name = format!("{round}/");
            let outcomes = put_at_once(&client, &name).await;
            let mut revisions: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
            revisions.sort_unstable();
            assert_eq!(logins(&process).await, before + f64::from(round));
            // No write of anyone else is between them, so none was done twice.
            let (first, last) = (revisions[0], *revisions.last().unwrap());
            assert_eq!(last - first, CROWD as i64 - 1, "{revisions:?}");
            let found = client.range(Keys::prefix(format!("app/{name}"))).await;
            let found = found.unwrap().kvs;
            assert!(found.len() == CROWD && found.iter().all(|kv| kv.version == 1));
        }
    });
}

/// Each change of a user makes JSON Web Tokens old.
#[test]
fn a_token_of_an_old_revision_is_replaced() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let flag = secret_tokens(dir.path(), "10m");
        let (process, root) = enabled(&[&flag]).await;
        let client = alice(process.endpoint()).await;
        client.put("app/a", "1").await.unwrap();
        root.add_user("bob", &[]).await;
        let before = logins(&process).await;
        client.put("app/a", "2").await.unwrap();
        assert_eq!(logins(&process).await, before + 1.0);
        let found = client.get("app/a").await.unwrap().unwrap();
        assert_eq!((&found.value[..], found.version), (&b"2"[..], 2));
        // Not every refusal is for the token.
        let denied = client.put("other", "1").await.unwrap_err();
        assert!(matches!(denied, Error::Api(ApiError::PermissionDenied)));
        assert_eq!(logins(&process).await, before + 1.0);
    });
}

/// The value of `--auth-token` for tokens that are signed with a secret.
fn secret_tokens(dir: &std::path::Path, ttl: &str) -> String {
    let secret = dir.join("secret");
    fs::write(&secret, "a secret of more than thirty-two bytes").unwrap();
    let secret = secret.display();
    format!("--auth-token=jwt,sign-method=HS256,priv-key={secret},ttl={ttl}")
}

/// A client that fails at every call does not get its address refused for too many guesses.
#[test]
fn a_wrong_password_is_tried_seldom() {
    harness::run(async {
        let (process, _root) = enabled(&[]).await;
        let before = logins(&process).await;
        let options = Options::new().user("alice", "a wrong one");
        let client = options.connect([process.endpoint()]).await.unwrap();
        for round in 0..3 {
            for outcome in put_at_once(&client, &format!("{round}/")).await {
                let error = outcome.unwrap_err();
                assert!(matches!(error, Error::Api(ApiError::AuthFailed)), "{error}");
            }
        }
        let tried = logins(&process).await - before;
        assert!(tried < 10.0, "{tried} logins for {} calls", 3 * CROWD);
        alice(process.endpoint())
            .await
            .put("app/a", "1")
            .await
            .expect("the address is not refused");
        // The password is in no log, neither the right one nor the wrong one.
        let (mut process, shown) = (process, format!("{client:?}"));
        let lines = process.child().lines().join("\n");
        for text in [lines, shown] {
            assert!(
                !text.contains("a wrong one") && !text.contains(PASSWORD),
                "{text}"
            );
        }
    });
}

#[test]
fn a_client_with_a_user_logs_in_once_authentication_is_enabled() {
    harness::run(async {
        let process = Process::start(&[CHEAP_HASHES]);
        let client = alice(process.endpoint()).await;
        client.put("app/a", "before").await.unwrap();
        let mut root = Administrator::new(connect(process.endpoint()));
        root.add_role("app", Type::Readwrite, "app/", "app0").await;
        root.add_user("alice", &["app"]).await;
        root.enable().await;
        client.put("app/a", "after").await.unwrap();
        let denied = client.put("other", "1").await.unwrap_err();
        assert!(matches!(denied, Error::Api(ApiError::PermissionDenied)));
        root.disable().await;
        client.put("other", "1").await.unwrap();
    });
}

/// The watch is broken by a restart after its token has ended.
#[test]
fn a_watch_goes_on_with_a_new_token() {
    harness::run(async {
        let (mut process, root) = enabled(&[]).await;
        let client = alice(process.endpoint()).await;
        let mut watch = client.watch(Keys::prefix("app/")).open().await.unwrap();
        let mut written = Vec::new();
        let mut seen = Vec::new();
        for round in 0..3 {
            let put = client.put("app/a", format!("{round}")).await.unwrap();
            written.push(put.header.unwrap().revision);
            let batch = within("a change", watch.next()).await.unwrap().unwrap();
            seen.push(batch.revision);
            if round == 0 {
                end_tokens(&process, &root).await;
            }
            process.kill_and_restart();
            // Another client, which knows no token, writes before the watch is open again.
            let other = alice(process.endpoint()).await;
            let put = other.put("app/b", format!("{round}")).await.unwrap();
            written.push(put.header.unwrap().revision);
            let batch = within("a change", watch.next()).await.unwrap().unwrap();
            seen.push(batch.revision);
        }
        assert_eq!(seen, written);
        let consecutive = seen.windows(2).all(|two| two[1] == two[0] + 1);
        assert!(consecutive, "{seen:?}");
    });
}

/// A token is good for a second, and the lease for two. Leases of two seconds that nobody keeps are
/// the clock.
#[test]
fn a_lease_is_kept_while_tokens_end() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let flag = secret_tokens(dir.path(), "1s");
        let (process, _root) = enabled(&[&flag]).await;
        let client = alice(process.endpoint()).await;
        let kept = client.session(2).await.unwrap();
        let put = pb::PutRequest {
            lease: kept.id(),
            ..harness::api::put("app/kept", "1")
        };
        client.put_with(put).await.unwrap();
        for id in 1..4 {
            eventually("a lease for a clock", || async {
                let grant = pb::LeaseGrantRequest { id, ttl: 2 };
                client.leases().lease_grant(grant).await.ok()
            })
            .await;
            eventually("an unkept lease to end", || async {
                (client.time_to_live(id, false).await.unwrap().ttl < 0).then_some(())
            })
            .await;
        }
        assert!(client.time_to_live(kept.id(), false).await.unwrap().ttl > 0);
        assert!(client.get("app/kept").await.unwrap().is_some());
    });
}

fn start_secure(server: &Certificate) -> Process {
    let flags = server.client_flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Process::start_at("https://127.0.0.1:0", &flags)
}

async fn with_files(endpoint: &str, files: TlsFiles) -> Result<Client, Error> {
    Options::new().tls(files).connect([endpoint]).await
}

#[test]
fn a_client_presents_its_certificate_and_checks_the_servers() {
    harness::run(async {
        let (authority, another) = (Authority::new("the authority"), Authority::new("another"));
        let server = authority.issue("server", Validity::Good);
        let own = authority.issue("client", Validity::Good);
        let strange = another.issue("strange", Validity::Good);
        let process = start_secure(&server);
        let endpoint = process.endpoint();
        let trusting = || TlsFiles::trusting(own.trusted());
        let good = trusting().presenting(own.cert(), own.key());
        let client = with_files(endpoint, good.clone()).await.unwrap();
        client.put("a", "1").await.unwrap();
        let mut watch = client.watch("a").from(1).open().await.unwrap();
        assert_eq!(
            within("a change", watch.next())
                .await
                .unwrap()
                .unwrap()
                .revision,
            2
        );
        // Over several connections as well.
        let options = Options::new().tls(good.clone());
        let several = options.connect([endpoint, endpoint]).await.unwrap();
        assert!(several.get("a").await.unwrap().is_some());
        let named = good.clone().expecting("127.0.0.1");
        let named = with_files(endpoint, named).await.unwrap();
        assert!(named.get("a").await.unwrap().is_some());
        let refused = [
            ("no certificate", trusting()),
            (
                "of another CA",
                trusting().presenting(strange.cert(), strange.key()),
            ),
            ("another name", good.clone().expecting("other.example")),
            (
                "another CA of the server",
                TlsFiles::trusting(strange.trusted()).presenting(own.cert(), own.key()),
            ),
        ];
        for (what, files) in refused {
            let client = with_files(endpoint, files).await.unwrap();
            let error = within("an error", client.get("a")).await.expect_err(what);
            assert!(error.is_unavailable(), "{what}: {error:?}");
        }
        let plain = Client::connect([endpoint]).await.unwrap_err();
        assert!(
            plain.to_string().contains("needs the CA to trust"),
            "{plain}"
        );
    });
}

/// The error names the file, and comes before any connection.
#[test]
fn a_file_that_cannot_be_used_is_named() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let (one, other) = (
            authority.issue("one", Validity::Good),
            authority.issue("other", Validity::Good),
        );
        let trusting = || TlsFiles::trusting(one.trusted());
        let missing = one.cert().with_file_name("missing.pem");
        let cases = [
            (TlsFiles::trusting(&missing), &*missing, "No such file"),
            (TlsFiles::trusting(one.key()), one.key(), "no certificate"),
            (
                trusting().presenting(one.key(), one.key()),
                one.key(),
                "no certificate",
            ),
            (
                trusting().presenting(one.cert(), one.cert()),
                one.cert(),
                "",
            ),
            (
                trusting().presenting(one.cert(), other.key()),
                other.key(),
                "",
            ),
        ];
        for (files, file, problem) in cases {
            let error = with_files("https://127.0.0.1:1", files).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::Tls { .. }), "{text}");
            assert!(text.contains(&*file.to_string_lossy()), "{text}");
            assert!(text.contains(problem), "{text}");
        }
    });
}

/// Files that do not fit together, as when one of two has been copied, change nothing.
#[test]
fn a_renewed_certificate_is_used_for_new_connections() {
    harness::run(async {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let server = old.issue("server", Validity::Good);
        let own = old.issue("client", Validity::Good);
        let renewed = new.issue("client", Validity::Good);
        let trusted = tempfile::NamedTempFile::new().unwrap();
        fs::copy(server.trusted(), trusted.path()).unwrap();
        let mut process = start_secure(&server);
        let files = TlsFiles::trusting(trusted.path()).presenting(own.cert(), own.key());
        let client = with_files(process.endpoint(), files).await.unwrap();
        client.put("a", "1").await.unwrap();
        let expect_served = async |when: &str| {
            eventually(when, || async { client.put("a", "2").await.ok() }).await;
        };
        fs::copy(renewed.cert(), own.cert()).unwrap();
        process.kill_and_restart();
        expect_served("a put with the former certificate").await;
        fs::copy(renewed.key(), own.key()).unwrap();
        // From now on the member accepts certificates of the new authority only.
        fs::copy(renewed.trusted(), server.trusted()).unwrap();
        process.kill_and_restart();
        expect_served("a put with the new certificate").await;
    });
}
