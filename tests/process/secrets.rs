//! What is secret gets out nowhere: not into log lines, metrics, traces, texts of errors or the
//! audit log, however a member is used, misused or configured.
//!
//! Each secret is a canary: a text that nothing else contains, with the way it took in its name.
//! They are sent through a real process with everything switched on that writes something. What the
//! process writes is gathered in [`Outputs`] and searched for each of them, as text and in the
//! other forms that bytes are printed in. Keys are no secrets to the audit log, and to all other
//! outputs they are.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use conclave_proto::authpb::UserAddOptions;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3electionpb::election_client::ElectionClient;
use conclave_proto::v3electionpb::{CampaignRequest, LeaderKey, ProclaimRequest};
use conclave_proto::v3lockpb::LockRequest;
use conclave_proto::v3lockpb::lock_client::LockClient;
use harness::api::{all, delete, get, op, put, put_leased, range, txn, value_is, watch};
use harness::certificates::{Authority, Validity};
use harness::child::Child;
use harness::collector::Collector;
use harness::login::{CHEAP_HASHES, log_in, with_token};
use harness::node::connect;
use harness::process::{READY, own_place, run_binary};
use harness::{Process, http1, raw, within};
use pb::auth_client::AuthClient;
use pb::cluster_client::ClusterClient;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A bcrypt hash of the cost 4, and its base64, the form in which clients bring hashes.
const HASH: &str = "$2b$04$cAnArYhAsHcAnArYhAsHcuUuQoTQUTvkxLVyQYJ7rxWYbEGCYuIbq";

/// A text to look for.
struct Canary {
    name: &'static str,
    text: String,
}

/// The canaries of a test.
#[derive(Default)]
struct Canaries(Vec<Canary>);

impl Canaries {
    /// A new secret for this way.
    fn draw(&mut self, name: &'static str) -> String {
        let text = format!("cAnArY{}{name}.", self.0.len());
        self.add(name, text.clone());
        text
    }

    /// Something that must be as secret.
    fn add(&mut self, name: &'static str, text: String) {
        assert!(
            text.len() >= 8,
            "{name} is {text:?}, which anything contains"
        );
        self.0.push(Canary { name, text });
    }
}

/// Output of a process, by destination.
#[derive(Default)]
struct Outputs(Vec<(&'static str, String)>);

impl Outputs {
    fn add(&mut self, place: &'static str, text: impl Into<String>) {
        self.0.push((place, text.into()));
    }

    fn add_lines(&mut self, child: &Child) {
        self.add("log", child.lines().join("\n"));
    }

    fn of(&self, place: &str) -> String {
        let texts = self.0.iter().filter(|(of, _)| *of == place);
        texts
            .map(|(_, text)| text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// No canary is in any output.
    #[track_caller]
    fn have_none_of(&self, canaries: &Canaries) {
        self.have_none_but_in("", canaries);
    }

    /// No canary is in any output but this one.
    #[track_caller]
    fn have_none_but_in(&self, known: &str, canaries: &Canaries) {
        let mut found = Vec::new();
        for (place, text) in self.0.iter().filter(|(place, _)| *place != known) {
            for Canary { name, text: secret } in &canaries.0 {
                let forms = forms(secret);
                let form = forms.iter().find(|form| text.contains(form.as_str()));
                let line = form.and_then(|form| text.lines().find(|line| line.contains(form)));
                found.extend(line.map(|line| format!("{name} is in {place}: {line}")));
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// The forms in which bytes are printed: as text, in base64 at each of its three offsets, in hex,
/// and as a list of numbers.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut forms = vec![
        secret.to_owned(),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        numbers.join(", "),
    ];
    forms.extend((0..3).map(|offset| base64(&bytes[offset..])));
    forms
}

/// Base64 of the whole groups of three bytes: without what depends on the bytes around them.
fn base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes.as_chunks::<3>().0.as_flattened())
}

#[test]
fn a_form_is_found_wherever_it_begins() {
    let secret = "cAnArY";
    for before in ["", "x", "xy"] {
        let text = base64(format!("{before}{secret}xxx").as_bytes());
        assert!(
            forms(secret).iter().any(|form| text.contains(form)),
            "{text}"
        );
    }
}

/// Ways into a member, and the errors that came back.
struct Way {
    channel: Channel,
    token: String,
    errors: Vec<Status>,
}

impl Way {
    fn new(endpoint: &str) -> Self {
        Self {
            channel: connect(endpoint),
            token: String::new(),
            errors: Vec::new(),
        }
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        with_token(&self.token, message)
    }

    /// Keeps the error of a call that must fail.
    #[track_caller]
    fn fails<T>(&mut self, outcome: Result<T, Status>) {
        let error = outcome.err().expect("an error");
        self.errors.push(error);
    }

    /// Keeps the error of a call, if it fails.
    fn keep<T>(&mut self, outcome: Result<T, Status>) {
        self.errors.extend(outcome.err());
    }

    /// Everything that clients got to read of errors.
    fn texts(&self) -> String {
        let texts = self
            .errors
            .iter()
            .map(|error| format!("{error:?} {} {:?}", error.message(), error.details()));
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Values, in every request that has one.
    async fn send_values(&mut self, canaries: &mut Canaries) {
        let mut kv = self.kv();
        kv.put(put("k", canaries.draw("put"))).await.unwrap();
        let large = canaries.draw("large-put").repeat(100_000);
        self.fails(kv.put(put("k", large)).await);
        let leased = put_leased("k", canaries.draw("leased-put"), 12345);
        self.fails(kv.put(leased).await);
        let compared = value_is("k", canaries.draw("compare"));
        let inside = op(put("k", canaries.draw("txn-put")));
        let nested = op(all([op(put("n", canaries.draw("nested-put")))]));
        kv.txn(txn([compared], [], [inside, nested])).await.unwrap();
        let twice = [canaries.draw("twice"), canaries.draw("twice-again")];
        let twice = twice.map(|value| op(put("k", value)));
        self.fails(kv.txn(all(twice)).await);
        let lease = LeaseClient::new(self.channel.clone())
            .lease_grant(pb::LeaseGrantRequest { ttl: 60, id: 7 })
            .await
            .unwrap()
            .into_inner()
            .id;
        let mut elections = ElectionClient::new(self.channel.clone());
        let campaign = CampaignRequest {
            name: "e".into(),
            lease,
            value: canaries.draw("campaign").into(),
        };
        let leader = elections
            .campaign(campaign)
            .await
            .unwrap()
            .into_inner()
            .leader;
        let proclaim = |value: String, leader| ProclaimRequest {
            leader,
            value: value.into(),
        };
        let request = proclaim(canaries.draw("proclaim"), leader);
        elections.proclaim(request).await.unwrap();
        let nobody = LeaderKey {
            key: "nobody".into(),
            ..LeaderKey::default()
        };
        let request = proclaim(canaries.draw("wrong-proclaim"), Some(nobody));
        self.fails(elections.proclaim(request).await);
    }

    /// Keys, in requests that succeed and in those that fail.
    async fn send_keys(&mut self, keys: &mut Canaries) {
        let mut kv = self.kv();
        kv.put(put(keys.draw("put-key"), "v")).await.unwrap();
        let end = keys.draw("range-end");
        kv.range(range(keys.draw("range-key"), end)).await.unwrap();
        kv.delete_range(delete(keys.draw("deleted-key")))
            .await
            .unwrap();
        let future = pb::RangeRequest {
            revision: 1 << 40,
            ..get(keys.draw("future-key"))
        };
        self.fails(kv.range(future).await);
        let mut ignoring = put(keys.draw("missing-key"), "");
        ignoring.ignore_value = true;
        self.fails(kv.put(ignoring).await);
        let twice = keys.draw("key-twice");
        let twice = [op(put(twice.clone(), "1")), op(put(twice, "2"))];
        self.fails(kv.txn(all(twice)).await);
        let lock = LockRequest {
            name: keys.draw("lock-name").into(),
            lease: 999,
        };
        self.fails(LockClient::new(self.channel.clone()).lock(lock).await);
        let create = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(watch(keys.draw("watched-key")))),
        };
        let requests = tokio_stream::iter([create]).chain(tokio_stream::pending());
        let mut stub = WatchClient::new(self.channel.clone());
        let mut responses = stub.watch(requests).await.unwrap().into_inner();
        let created = within("a watcher", responses.message()).await;
        assert!(created.unwrap().unwrap().created);
    }

    /// Messages that cannot be decoded.
    async fn send_nonsense(&mut self, canaries: &mut Canaries) {
        for (path, name) in [
            ("/etcdserverpb.KV/Put", "torn-put"),
            ("/etcdserverpb.KV/Txn", "torn-txn"),
            ("/etcdserverpb.Auth/Authenticate", "torn-login"),
            ("/etcdserverpb.Auth/UserAdd", "torn-user"),
            ("/etcdserverpb.Auth/NoSuchMethod", "unknown-method"),
        ] {
            let secret = canaries.draw(name);
            // The second field claims to be longer than what follows.
            let torn = [b"\x0a\x01k\x12\x7f", secret.as_bytes()].concat();
            let sent = raw::call(self.channel.clone(), path, Bytes::from(torn)).await;
            self.fails(sent);
            // No UTF-8, and no field.
            let odd = [b"\xff\xfe", secret.as_bytes(), b"\xff"].concat();
            let sent = raw::call(self.channel.clone(), path, Bytes::from(odd)).await;
            self.fails(sent);
        }
        let urls = vec![format!("http://u:{}@h:2380", canaries.draw("peer-url"))];
        let add = pb::MemberAddRequest {
            peer_urls: urls,
            is_learner: true,
        };
        let mut cluster = ClusterClient::new(self.channel.clone());
        self.fails(cluster.member_add(add).await);
    }

    async fn add_user(&mut self, name: &str, password: &str, hash: &str) -> Result<(), Status> {
        let request = pb::AuthUserAddRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            hashed_password: hash.to_owned(),
            options: Some(UserAddOptions { no_password: false }),
        };
        let request = self.request(request);
        self.auth().user_add(request).await.map(drop)
    }

    /// Passwords and hashes. Leaves authentication enabled and root logged in.
    async fn send_passwords(&mut self, canaries: &mut Canaries) {
        let root = canaries.draw("root-password");
        self.add_user("root", &root, "").await.unwrap();
        canaries.add("hash", HASH.to_owned());
        self.add_user("hashed", "", &padded_base64(HASH))
            .await
            .unwrap();
        let no_hash = canaries.draw("no-hash");
        let outcome = self.add_user("u", "", &no_hash).await;
        self.fails(outcome);
        let again = canaries.draw("user-that-exists");
        let outcome = self.add_user("root", &again, "").await;
        self.fails(outcome);
        let long = canaries.draw("long-password").repeat(10);
        let outcome = self.add_user("u", &long, "").await;
        self.fails(outcome);
        let change = pb::AuthUserChangePasswordRequest {
            name: "nobody".to_owned(),
            password: canaries.draw("change-of-nobody"),
            ..Default::default()
        };
        self.fails(self.auth().user_change_password(change).await);
        let grant = pb::AuthUserGrantRoleRequest {
            user: "root".to_owned(),
            role: "root".to_owned(),
        };
        self.auth().user_grant_role(grant).await.unwrap();
        self.auth()
            .auth_enable(pb::AuthEnableRequest {})
            .await
            .unwrap();
        let wrong = canaries.draw("wrong-password");
        let outcome = log_in(self.channel.clone(), "root", &wrong).await;
        self.fails(outcome);
        let outcome = log_in(self.channel.clone(), "nobody", &wrong).await;
        self.fails(outcome);
        self.token = log_in(self.channel.clone(), "root", &root).await.unwrap();
        let user = canaries.draw("user-password");
        self.add_user("user", &user, "").await.unwrap();
        // A signed token ends with every change of users.
        self.token = log_in(self.channel.clone(), "root", &root).await.unwrap();
        let new = canaries.draw("new-password");
        let change = self.request(pb::AuthUserChangePasswordRequest {
            name: "root".to_owned(),
            password: new.clone(),
            ..Default::default()
        });
        self.auth().user_change_password(change).await.unwrap();
        self.token = log_in(self.channel.clone(), "root", &new).await.unwrap();
    }

    /// Tokens, right and wrong, and other metadata.
    async fn send_metadata(&mut self, canaries: &mut Canaries) {
        let token = self.token.clone();
        canaries.add("token", token.clone());
        if let Some((secret, _)) = token.split_once('.') {
            canaries.add("start-of-token", secret.to_owned());
        }
        if let Some((_, signature)) = token.rsplit_once('.').filter(|(_, end)| end.len() > 20) {
            canaries.add("signature-of-token", signature.to_owned());
        }
        let odd = canaries.draw("odd-metadata");
        let binary = canaries.draw("binary-metadata");
        let mut kv = self.kv();
        for (field, value) in [
            ("token", token.clone()),
            ("authorization", token.clone()),
            ("authorization", format!("Bearer {token}")),
        ] {
            let mut request = Request::new(get("k"));
            let metadata = request.metadata_mut();
            metadata.insert(field, value.parse().unwrap());
            metadata.insert("x-odd", odd.parse().unwrap());
            let bytes = MetadataValue::from_bytes(binary.as_bytes());
            metadata.insert_bin("x-odd-bin", bytes);
            kv.range(request).await.unwrap();
        }
        for (field, value) in [
            ("token", canaries.draw("wrong-token")),
            ("token", format!("{}.17", canaries.draw("simple-token"))),
            ("token", format!("a.{}.c", canaries.draw("token-of-three"))),
            (
                "authorization",
                format!("Bearer {}", canaries.draw("bearer")),
            ),
            ("authorization", format!("Basic {}", canaries.draw("basic"))),
            ("grpc-timeout", canaries.draw("timeout")),
        ] {
            let mut request = Request::new(put("k", canaries.draw("refused-value")));
            let metadata = request.metadata_mut();
            metadata.insert(field, value.parse().unwrap());
            self.keep(kv.put(request).await);
        }
        self.fails(kv.put(put("k", canaries.draw("anonymous-value"))).await);
    }
}

fn padded_base64(text: &str) -> String {
    assert_eq!(text.len() % 3, 0, "there is no need to pad");
    base64(text.as_bytes())
}

/// What speaks plain HTTP to the client port.
async fn send_http(process: &Process, canaries: &mut Canaries) {
    let address = process.endpoint().trim_start_matches("http://");
    let body = format!("{{\"value\":\"{}\"}}", canaries.draw("gateway"));
    http1::request(address, "POST", "/v3/kv/put", &body).await;
    let head = format!("authorization: Bearer {}", canaries.draw("http-token"));
    let text = format!("GET /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{head}\r\n\r\n");
    http1::send(address, &text).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let text = format!("{}\r\n\r\n", canaries.draw("no-http"));
    connection.write_all(text.as_bytes()).await.unwrap();
}

/// Flags that have everything written that a member can write.
fn talkative(audit: &Path) -> Vec<String> {
    vec![
        "--log-level=debug".to_owned(),
        "--metrics=extensive".to_owned(),
        format!("--audit-log={}", audit.display()),
        "--audit-level=all".to_owned(),
        CHEAP_HASHES.to_owned(),
    ]
}

/// Ends the process and gathers what it has written and sent.
async fn outputs(mut process: Process, way: &Way, audit: &Path, collector: &Collector) -> Outputs {
    let mut outputs = Outputs::default();
    let address = process.endpoint().trim_start_matches("http://").to_owned();
    outputs.add("metrics", http1::get(&address, "/metrics").await.body);
    process.child().terminate();
    process.child().wait();
    outputs.add_lines(process.child());
    outputs.add("errors", way.texts());
    outputs.add("audit log", fs::read_to_string(audit).unwrap());
    let spans = collector.spans(|_| true, |spans| !spans.is_empty()).await;
    outputs.add("traces", format!("{spans:#?}"));
    outputs
}

fn start(dir: &Path, collector: &Collector, more: &[String]) -> Process {
    let mut flags = talkative(&dir.join("audit.log"));
    flags.push("--enable-distributed-tracing".to_owned());
    flags.push("--distributed-tracing-sampling-rate=1000000".to_owned());
    flags.push(format!(
        "--distributed-tracing-address={}",
        collector.address()
    ));
    flags.extend_from_slice(more);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Process::start(&flags)
}

#[test]
fn what_clients_send_gets_out_nowhere() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit.log");
        let collector = Collector::start().await;
        let process = start(dir.path(), &collector, &[]);
        let (mut canaries, mut keys) = (Canaries::default(), Canaries::default());
        let mut way = Way::new(process.endpoint());
        way.send_values(&mut canaries).await;
        way.send_keys(&mut keys).await;
        way.send_nonsense(&mut canaries).await;
        send_http(&process, &mut canaries).await;
        way.send_passwords(&mut canaries).await;
        way.send_metadata(&mut canaries).await;
        let outputs = outputs(process, &way, &audit, &collector).await;
        outputs.have_none_of(&canaries);
        outputs.have_none_but_in("audit log", &keys);
        // The search finds what is there.
        let audit = outputs.of("audit log");
        for Canary { name, text } in &keys.0 {
            assert!(
                audit.contains(text.as_str()),
                "{name} is not in the audit log"
            );
        }
        assert!(outputs.of("log").contains("\"level\":\"debug\""));
        assert!(outputs.of("errors").lines().count() > 20);
        assert!(
            outputs
                .of("metrics")
                .contains("grpc_server_handling_seconds")
        );
    });
}

#[test]
fn keys_and_tokens_of_jwt_get_out_nowhere() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut canaries = Canaries::default();
        let key = dir.path().join("key");
        fs::write(&key, canaries.draw("jwt-key").repeat(4)).unwrap();
        let jwt = format!(
            "--auth-token=jwt,sign-method=HS256,priv-key={}",
            key.display()
        );
        let collector = Collector::start().await;
        let process = start(dir.path(), &collector, &[jwt]);
        let mut way = Way::new(process.endpoint());
        way.send_passwords(&mut canaries).await;
        way.send_metadata(&mut canaries).await;
        // A token whose claims are readable, and whose signature is wrong.
        let forged = format!("{}x", way.token);
        let outcome = way.kv().put(with_token(&forged, put("k", "v"))).await;
        way.fails(outcome);
        let audit = dir.path().join("audit.log");
        let mut outputs = outputs(process, &way, &audit, &collector).await;
        // A file that is no key.
        fs::write(&key, canaries.draw("no-jwt-key")).unwrap();
        let jwt = format!(
            "--auth-token=jwt,sign-method=RS256,priv-key={}",
            key.display()
        );
        outputs.add_lines(&fails_to_start(&[jwt]));
        outputs.have_none_of(&canaries);
        assert!(outputs.of("audit log").contains("\"auth\":\"jwt\""));
    });
}

#[test]
fn keys_of_certificates_get_out_nowhere() {
    let (dir, authority) = (
        tempfile::tempdir().unwrap(),
        Authority::new("the authority"),
    );
    let certificate = authority.issue("server", Validity::Good);
    let mut canaries = Canaries::default();
    let pem = fs::read_to_string(certificate.key()).unwrap();
    let lines = pem
        .lines()
        .filter(|line| !line.starts_with('-') && line.len() > 40);
    lines.for_each(|line| canaries.add("tls-key", line.to_owned()));
    assert!(!canaries.0.is_empty());
    let flags = [
        format!("--cert-file={}", certificate.cert().display()),
        format!("--key-file={}", certificate.key().display()),
        "--log-level=debug".to_owned(),
    ];
    let mut arguments = own_place(&dir.path().join("data"), "https://127.0.0.1:0");
    arguments.extend_from_slice(&flags);
    let mut child = Child::spawn(harness::process::binary(), &arguments, &[]);
    assert!(child.line(READY).is_some(), "{:#?}", child.lines());
    // While the member runs, what is no key takes the place of the key.
    let body = padded_base64(&canaries.draw("no-tls-key").repeat(3));
    let text = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    fs::write(certificate.key(), text).unwrap();
    assert!(child.line("the former ones stay").is_some());
    child.terminate();
    child.wait();
    let mut outputs = Outputs::default();
    outputs.add_lines(&child);
    outputs.add_lines(&fails_to_start(&flags[..2]));
    outputs.have_none_of(&canaries);
}

#[test]
fn passwords_in_urls_of_flags_get_out_nowhere() {
    let mut canaries = Canaries::default();
    let mut outputs = Outputs::default();
    let secret = canaries.draw("url");
    for flag in [
        "listen-client-urls",
        "advertise-client-urls",
        "listen-peer-urls",
        "initial-advertise-peer-urls",
        "listen-metrics-urls",
        "initial-cluster",
        "no-such-flag",
    ] {
        let name = if flag == "initial-cluster" {
            "default="
        } else {
            ""
        };
        for user in [format!("user:{secret}"), secret.clone()] {
            let flag = format!("--{flag}={name}http://{user}@127.0.0.1:1");
            outputs.add_lines(&fails_to_start(&[flag]));
        }
    }
    assert!(outputs.of("log").contains("(hidden)@127.0.0.1:1"));
    outputs.have_none_of(&canaries);
}

fn fails_to_start(flags: &[String]) -> Child {
    let dir = tempfile::tempdir().unwrap();
    let client = "--listen-client-urls=";
    let has_own = flags.iter().any(|flag| flag.starts_with(client));
    let place = own_place(&dir.path().join("data"), "http://127.0.0.1:0");
    let place = place
        .into_iter()
        .filter(|flag| !(has_own && flag.starts_with(client)));
    let arguments: Vec<String> = place.chain(flags.iter().cloned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = run_binary(&arguments, &[]);
    assert!(!child.wait().success(), "{flags:?}");
    child
}
