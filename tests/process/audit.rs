//! The audit log: what is in it, and what happens to calls when it cannot be written.

use std::fs;
use std::path::{Path, PathBuf};

use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3electionpb::election_client::ElectionClient;
use conclave_proto::v3electionpb::{CampaignRequest, LeaderRequest};
use conclave_proto::v3lockpb::LockRequest;
use conclave_proto::v3lockpb::lock_client::LockClient;
use etcd_client::{Client, ConnectOptions, Identity, TlsOptions};
use harness::api::{all, get, op, put, put_leased, txn, value_is, watch_range};
use harness::certificates::{Authority, Validity};
use harness::child::Child;
use harness::disk::Disk;
use harness::login::{Administrator, CHEAP_HASHES, PASSWORD, log_in, with_token};
use harness::node::connect;
use harness::process::{READY, binary, endpoint_in, own_place, run_binary};
use harness::{Process, eventually, http1, raw, within};
use pb::auth_client::AuthClient;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::transport::Channel;

/// A member with an audit log.
struct Member {
    process: Process,
    file: PathBuf,
    channel: Channel,
    _dir: tempfile::TempDir,
}

impl Member {
    fn start(level: &str) -> Self {
        Self::start_with(level, &[])
    }

    fn start_with(level: &str, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("audit.log");
        let log = format!("--audit-log={}", file.display());
        let level = format!("--audit-level={level}");
        let process = Process::start(&[&[&*log, &*level, CHEAP_HASHES], more].concat());
        Self {
            channel: connect(process.endpoint()),
            process,
            file,
            _dir: dir,
        }
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    async fn put(&self, key: &str) {
        self.kv().put(put(key.to_owned(), "v")).await.unwrap();
    }

    /// Ends the member. Returns all lines.
    fn end(mut self) -> Vec<Value> {
        self.process.child().terminate();
        assert!(self.process.child().wait().success());
        lines(&self.file)
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
    text.lines().map(line).collect()
}

/// Waits for a line with this key.
async fn line_about(file: &Path, key: &str) -> Value {
    eventually("a line", || async {
        let is_it = |line: &Value| line["keys"][0]["key"] == key;
        lines(file).into_iter().find(is_it)
    })
    .await
}

async fn lost(endpoint: &str, reason: &str) -> f64 {
    let address = endpoint.trim_start_matches("http://");
    let metrics = http1::get(address, "/metrics").await;
    let series = format!("conclave_audit_lines_lost_total{{reason=\"{reason}\"}}");
    metrics.metric(&series).unwrap()
}

/// The fields of a line that do not depend on the run.
fn stable(line: &Value) -> Value {
    let mut line = line.clone();
    let fields = line.as_object_mut().unwrap();
    for field in ["ts", "member", "remote"] {
        let text = fields.remove(field);
        assert!(
            text.is_some_and(|text| !text.as_str().unwrap().is_empty()),
            "{field}"
        );
    }
    line
}

/// The calls of these methods, in short: `KV/Put OK`.
fn calls(lines: &[Value]) -> Vec<String> {
    let call = |line: &Value| {
        let method = line["method"].as_str().unwrap();
        let (_, method) = method.split_once('.').unwrap();
        format!("{method} {}", line["code"].as_str().unwrap())
    };
    lines.iter().map(call).collect()
}

#[test]
fn a_line_says_who_did_what() {
    harness::run(async {
        let member = Member::start("all");
        let (channel, mut kv) = (member.channel.clone(), member.kv());
        let mut root = Administrator::new(channel.clone());
        root.add_role("reader", Type::Read, "a", "b").await;
        root.add_user("alice", &["reader"]).await;
        root.enable().await;
        let alice = log_in(channel.clone(), "alice", PASSWORD).await.unwrap();
        kv.range(with_token(&alice, get("a"))).await.unwrap();
        kv.put(with_token(&alice, put("a\u{0}", "v")))
            .await
            .unwrap_err();
        kv.put(with_token("wrong.1", put("a", "v")))
            .await
            .unwrap_err();
        kv.put(put("a", "v")).await.unwrap_err();
        kv.put(with_token(root.token(), put_leased("a", "v", 77)))
            .await
            .unwrap_err();
        log_in(channel.clone(), "alice", "wrong").await.unwrap_err();
        let change = txn([value_is("a", "1")], [], [op(put("b", "2")), op(get("c"))]);
        kv.txn(with_token(root.token(), change)).await.unwrap();
        let local = within("a line", line_about(&member.file, "a")).await["remote"].clone();
        assert!(local.as_str().unwrap().starts_with("127.0.0.1:"), "{local}");
        let lines = member.end();
        let is_login = |line: &Value| line["method"] == "etcdserverpb.Auth/Authenticate";
        let login_of_alice = |line: &Value| is_login(line) && line["details"]["user"] == "alice";
        let begun = lines.iter().position(login_of_alice).unwrap() + 1;
        let found: Vec<Value> = lines[begun..].iter().map(stable).collect();
        let denied = "etcdserver: permission denied";
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        let put = "etcdserverpb.KV/Put";
        let expected = [
            json!({"user": "alice", "auth": "simple", "method": "etcdserverpb.KV/Range",
                "keys": [{"key": "a"}], "code": "OK", "revision": 1}),
            json!({"user": "alice", "auth": "simple", "method": put, "keys": [{"key": "a\\x00"}],
                "code": "PermissionDenied", "reason": denied}),
            json!({"auth": "none", "method": put, "keys": [{"key": "a"}],
                "code": "Unauthenticated", "reason": "etcdserver: invalid auth token"}),
            json!({"auth": "none", "method": put, "keys": [{"key": "a"}],
                "code": "InvalidArgument", "reason": "etcdserver: user name is empty"}),
            json!({"user": "root", "auth": "simple", "method": put, "keys": [{"key": "a"}],
                "lease": "000000000000004d", "code": "NotFound",
                "reason": "etcdserver: requested lease not found"}),
            json!({"auth": "none", "method": "etcdserverpb.Auth/Authenticate",
                "details": {"user": "alice"}, "code": "InvalidArgument", "reason": wrong}),
            json!({"user": "root", "auth": "simple", "method": "etcdserverpb.KV/Txn", "keys": [
                {"op": "put", "branch": "failure", "key": "b"},
                {"op": "range", "branch": "failure", "key": "c"},
                {"op": "compare", "key": "a"},
            ], "details": {"succeeded": false}, "code": "OK", "revision": 2}),
        ];
        assert_eq!(found, expected);
    });
}

/// The same calls at each level.
async fn calls_at(level: &str) -> Vec<String> {
    let member = Member::start(level);
    let (channel, mut kv) = (member.channel.clone(), member.kv());
    member.put("k").await;
    kv.range(get("k")).await.unwrap();
    kv.txn(all([op(get("k"))])).await.unwrap();
    let mut leases = LeaseClient::new(channel.clone());
    let grant = pb::LeaseGrantRequest { ttl: 60, id: 7 };
    leases.lease_grant(grant).await.unwrap();
    let alive = tokio_stream::iter([pb::LeaseKeepAliveRequest { id: 7 }; 2]);
    let mut alive = leases.lease_keep_alive(alive).await.unwrap().into_inner();
    while alive.message().await.unwrap().is_some() {}
    let mut root = Administrator::new(channel.clone());
    root.enable().await;
    kv.range(get("k")).await.unwrap_err();
    let status = pb::AuthStatusRequest {};
    AuthClient::new(channel).auth_status(status).await.unwrap();
    calls(&member.end())
}

#[test]
fn a_level_chooses_what_is_recorded() {
    harness::run(async {
        let of_auth = [
            "Auth/UserAdd OK",
            "Auth/UserGrantRole OK",
            "Auth/AuthEnable OK",
            "Auth/Authenticate OK",
            "KV/Range InvalidArgument",
        ];
        assert_eq!(calls_at("metadata").await, of_auth);
        let writes = [&["KV/Put OK", "Lease/LeaseGrant OK"], &of_auth[..]].concat();
        assert_eq!(calls_at("writes").await, writes);
        let keep_alive = "Lease/LeaseKeepAlive OK";
        let keys = [
            "KV/Put OK",
            "KV/Range OK",
            "KV/Txn OK",
            "Lease/LeaseGrant OK",
        ];
        let rest = [keep_alive, keep_alive];
        let everything = [&keys, &rest[..], &of_auth, &["Auth/AuthStatus OK"]].concat();
        assert_eq!(calls_at("all").await, everything);
    });
}

#[test]
fn streams_and_long_waits_are_recorded() {
    harness::run(async {
        let member = Member::start("all");
        let channel = member.channel.clone();
        let create = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(watch_range("w", "x"))),
        };
        let requests = tokio_stream::iter([create]).chain(tokio_stream::pending());
        let mut stub = WatchClient::new(channel.clone());
        let mut watcher = stub.watch(requests).await.unwrap().into_inner();
        within("a watcher", watcher.message()).await.unwrap();
        // The watcher and the observer have not ended when they are recorded.
        let line = line_about(&member.file, "w").await;
        assert_eq!(line["method"], "etcdserverpb.Watch/Watch");
        assert_eq!(line["keys"], json!([{"key": "w", "end": "x"}]));
        let name = || LeaderRequest { name: "o".into() };
        let mut elections = ElectionClient::new(channel.clone());
        let campaign = CampaignRequest {
            name: "o".into(),
            lease: 0,
            value: "v".into(),
        };
        elections.campaign(campaign).await.unwrap();
        let mut observer = elections.observe(name()).await.unwrap().into_inner();
        within("a leader", observer.message()).await.unwrap();
        let observed = |line: &Value| line["method"] == "v3electionpb.Election/Observe";
        eventually("a line", || async {
            lines(&member.file).iter().any(observed).then_some(())
        })
        .await;
        let lock = LockRequest {
            name: "l".into(),
            lease: 0,
        };
        let mut locks = LockClient::new(channel.clone());
        locks.lock(lock.clone()).await.unwrap();
        // A client that gives up.
        let waiting = tokio::spawn(async move { locks.lock(lock).await });
        let queued = harness::api::range("l/", "l0");
        eventually("a second contender", || async {
            let range = member.kv().range(queued.clone()).await.unwrap();
            (range.into_inner().count == 2).then_some(())
        })
        .await;
        waiting.abort();
        eventually("the end of the wait", || async {
            let canceled = |line: &Value| line["code"] == "Canceled";
            lines(&member.file).iter().any(canceled).then_some(())
        })
        .await;
        drop((watcher, observer));
        let lines = member.end();
        let others = lines
            .into_iter()
            .filter(|line| line["method"] != "etcdserverpb.KV/Range");
        let expected = [
            "Watch/Watch OK",
            "Election/Campaign OK",
            "Election/Observe OK",
            "Lock/Lock OK",
            "Lock/Lock Canceled",
        ];
        assert_eq!(calls(&others.collect::<Vec<_>>()), expected);
    });
}

#[test]
fn a_request_that_cannot_be_read_is_recorded() {
    harness::run(async {
        let member = Member::start("all");
        let torn = bytes::Bytes::from_static(b"\x0a\x7fk");
        let sent = raw::call(member.channel.clone(), "/etcdserverpb.KV/Put", torn).await;
        let code = format!("{:?}", sent.unwrap_err().code());
        let lines = member.end();
        assert_eq!((lines.len(), lines[0]["code"].as_str()), (1, Some(&*code)));
        assert!(lines[0].get("keys").is_none());
    });
}

/// A message that can be decoded comes before it: the line is not about its key or lease.
#[test]
fn a_message_of_a_stream_that_cannot_be_read_is_recorded_with_its_user() {
    harness::run(async {
        let member = Member::start("all");
        let mut root = Administrator::new(member.channel.clone());
        root.add_user("alice", &["root"]).await;
        root.enable().await;
        let alice = log_in(member.channel.clone(), "alice", PASSWORD).await;
        let alice = alice.unwrap();
        let watch = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(watch_range("k", ""))),
        };
        let keep_alive = pb::LeaseKeepAliveRequest { id: 7 };
        let torn = bytes::Bytes::from_static(b"\x0a\x7fk");
        let mut codes = Vec::new();
        for (path, good) in [
            ("/etcdserverpb.Watch/Watch", watch.encode_to_vec()),
            (
                "/etcdserverpb.Lease/LeaseKeepAlive",
                keep_alive.encode_to_vec(),
            ),
        ] {
            let messages = tokio_stream::iter([good.into(), torn.clone()]);
            let messages = with_token(&alice, messages);
            let mut grpc = tonic::client::Grpc::new(member.channel.clone());
            grpc.ready().await.unwrap();
            let path = http::uri::PathAndQuery::from_static(path);
            let replies = grpc.streaming(messages, path, raw::Unchanged).await;
            let mut replies = replies.unwrap().into_inner();
            let failed = loop {
                match within("the end", replies.message()).await {
                    Ok(reply) => assert!(reply.is_some(), "an error comes first"),
                    Err(status) => break status,
                }
            };
            codes.push(format!("{:?}", failed.code()));
        }
        let lines = member.end();
        let of_streams = |line: &&Value| {
            let method = line["method"].as_str().unwrap();
            method.ends_with("/Watch") || method.ends_with("/LeaseKeepAlive")
        };
        let found: Vec<Value> = lines.iter().filter(of_streams).map(stable).collect();
        let line = |method: &str, more: Value| {
            let mut line = json!({"user": "alice", "auth": "simple", "method": method});
            let fields = more.as_object().unwrap().clone();
            line.as_object_mut().unwrap().extend(fields);
            line
        };
        let (watch, keep_alive) = (
            "etcdserverpb.Watch/Watch",
            "etcdserverpb.Lease/LeaseKeepAlive",
        );
        let expected = [
            line(watch, json!({"keys": [{"key": "k"}], "code": "OK"})),
            line(watch, json!({"code": codes[0]})),
            line(
                keep_alive,
                json!({"lease": "0000000000000007", "code": "OK", "revision": 1}),
            ),
            line(keep_alive, json!({"code": codes[1]})),
        ];
        assert_eq!(found, expected);
    });
}

/// Tonic refuses it, and no handler sees it.
#[test]
fn a_request_that_cannot_be_decoded_is_recorded_with_its_user() {
    harness::run(async {
        let member = Member::start("metadata");
        let mut root = Administrator::new(member.channel.clone());
        root.enable().await;
        // An integer where the name should be.
        let message = pb::LeaseGrantRequest { ttl: 5, id: 0 };
        let address = member.process.endpoint().replace("http://", "");
        for token in [root.token(), "wrong.1"] {
            let headers = [("token", token)];
            let path = "/etcdserverpb.Auth/UserAdd";
            let called = raw::status_of(&address, path, &headers, &message);
            let status = within("a status", called).await;
            assert_eq!(status.code(), Code::Internal, "{status:?}");
        }
        let lines = member.end();
        let is_of_call = |line: &&Value| line["method"] == "etcdserverpb.Auth/UserAdd";
        let found: Vec<Value> = lines.iter().filter(is_of_call).map(stable).collect();
        let found = found.iter().rev().take(2).rev();
        let expected = [
            json!({"user": "root", "auth": "simple", "method": "etcdserverpb.Auth/UserAdd",
                "code": "Internal"}),
            json!({"auth": "none", "method": "etcdserverpb.Auth/UserAdd", "code": "Internal"}),
        ];
        assert!(found.eq(&expected), "{lines:?}");
    });
}

/// The log names it as well.
#[test]
fn a_call_beyond_a_limit_is_recorded_with_its_user() {
    harness::run(async {
        let limit = "--max-requests-per-second-per-user=5";
        let mut member = Member::start_with("writes", &[limit]);
        let mut root = Administrator::new(member.channel.clone());
        root.add_user("alice", &["root"]).await;
        root.enable().await;
        let channel = member.channel.clone();
        let alice = log_in(channel, "alice", PASSWORD).await.unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            let (mut kv, put) = (member.kv(), with_token(&alice, put("a", "v")));
            calls.spawn(async move { kv.put(put).await.map(drop) });
        }
        within("answers", calls.join_all()).await;
        let line = member.process.child().line("a client has reached a limit");
        let line = line.unwrap();
        assert!(
            line.contains("the user") && line.contains("alice"),
            "{line}"
        );
        assert!(
            line.contains("--max-requests-per-second-per-user"),
            "{line}"
        );
        let lines = member.end();
        let is_refused = |line: &&Value| line["code"] == "ResourceExhausted";
        let refused: Vec<_> = lines.iter().filter(is_refused).collect();
        assert!(!refused.is_empty());
        for line in refused {
            let caller = (&line["user"], &line["auth"]);
            assert_eq!(caller, (&json!("alice"), &json!("simple")), "{line}");
        }
    });
}

#[test]
fn a_certificate_is_recorded() {
    harness::run(async {
        let (dir, authority) = (
            tempfile::tempdir().unwrap(),
            Authority::new("the authority"),
        );
        let file = dir.path().join("audit.log");
        let server = authority.issue("server", Validity::Good);
        let mut flags = server.client_flags();
        flags.push(format!("--audit-log={}", file.display()));
        flags.push("--audit-level=writes".to_owned());
        flags.push("--listen-client-urls=https://127.0.0.1:0".to_owned());
        flags.push("--advertise-client-urls=https://127.0.0.1:0".to_owned());
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let process = Process::start(&flags);
        let own = authority.issue("root", Validity::Good);
        let [cert, key, ca] = [own.cert(), own.key(), own.trusted()].map(|f| fs::read(f).unwrap());
        let tls = TlsOptions::new()
            .ca_certificate(etcd_client::Certificate::from_pem(ca))
            .identity(Identity::from_pem(cert, key));
        let options = ConnectOptions::new().with_tls(tls);
        let client = Client::connect([process.endpoint()], Some(options)).await;
        let mut client = client.unwrap();
        client.put("before", "v", None).await.unwrap();
        client.user_add("root", "p", None).await.unwrap();
        client.user_grant_role("root", "root").await.unwrap();
        client.auth_enable().await.unwrap();
        client.put("after", "v", None).await.unwrap();
        let line = line_about(&file, "before").await;
        assert_eq!(
            (&line["certificate"], &line["auth"]),
            (&json!("root"), &json!("none"))
        );
        assert!(line.get("user").is_none());
        let line = line_about(&file, "after").await;
        assert_eq!(
            (&line["user"], &line["auth"]),
            (&json!("root"), &json!("certificate"))
        );
    });
}

#[test]
fn a_file_goes_on_after_a_crash() {
    harness::run(async {
        let mut member = Member::start("writes");
        member.put("before").await;
        line_about(&member.file, "before").await;
        member.process.child().kill();
        let text = fs::read_to_string(&member.file).unwrap();
        fs::write(&member.file, format!("{text}{{\"ts\":\"20")).unwrap();
        member.process.restart();
        member.put("after").await;
        let file = member.file.clone();
        member.process.child().terminate();
        member.process.child().wait();
        let text = fs::read_to_string(&file).unwrap();
        let [before, torn, after] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}");
        };
        assert!(
            before.contains("\"before\"") && after.contains("\"after\""),
            "{text}"
        );
        assert_eq!(torn, "{\"ts\":\"20");
    });
}

#[test]
fn a_file_is_rotated_by_its_size() {
    harness::run(async {
        let flags = ["--audit-log-max-bytes=65536", "--audit-log-keep=2"];
        let member = Member::start_with("writes", &flags);
        // A line has more than 200 bytes.
        for number in 0..1500 {
            member
                .put(&format!("key-{number}-{}", "x".repeat(50)))
                .await;
        }
        let numbered = |number| PathBuf::from(format!("{}.{number}", member.file.display()));
        let files = [numbered(2), numbered(1), member.file.clone()];
        let none = numbered(3);
        let dir = member._dir.path().to_owned();
        let metrics = member.process.endpoint().to_owned();
        assert_eq!(lost(&metrics, "queue_full").await, 0.0);
        // Without removing the directory of the files.
        let Member {
            mut process, _dir, ..
        } = member;
        process.child().terminate();
        process.child().wait();
        let kept: Vec<Value> = files.iter().flat_map(|file| lines(file)).collect();
        for file in &files {
            assert!(fs::metadata(file).unwrap().len() <= 65536);
        }
        assert!(!none.exists(), "{dir:?}");
        // What is left are the last lines, without a gap.
        let first = 1500 - kept.len();
        for (at, line) in kept.iter().enumerate() {
            let key = line["keys"][0]["key"].as_str().unwrap();
            assert!(key.starts_with(&format!("key-{}-", first + at)), "{key}");
        }
    });
}

#[test]
fn a_hangup_opens_the_file_anew() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("audit.log");
        let mut words = vec![binary().to_str().unwrap().to_owned()];
        words.extend(own_place(&dir.path().join("data"), "http://127.0.0.1:0"));
        words.push(format!("--audit-log={}", file.display()));
        words.push("--audit-level=writes".to_owned());
        let mut child = Child::spawn("setsid", &words, &[]);
        let endpoint = endpoint_in(&child.line(READY).unwrap());
        let mut kv = KvClient::new(connect(&endpoint));
        kv.put(put("before", "v")).await.unwrap();
        line_about(&file, "before").await;
        let moved = dir.path().join("moved");
        fs::rename(&file, &moved).unwrap();
        child.signal("HUP");
        eventually("a new file", || async { file.exists().then_some(()) }).await;
        kv.put(put("after", "v")).await.unwrap();
        line_about(&file, "after").await;
        assert_eq!(lines(&moved).len(), 1);
        child.terminate();
        assert!(child.wait().success());
    });
}

#[test]
fn on_a_full_disk_lines_are_lost_and_calls_go_on() {
    harness::run(async {
        let Some(disk) = Disk::mount("size=256k") else {
            return;
        };
        let file = disk.path().join("audit.log");
        let log = format!("--audit-log={}", file.display());
        let mut process = Process::start(&[&log, "--audit-level=writes"]);
        let mut kv = KvClient::new(connect(process.endpoint()));
        kv.put(put("first", "v")).await.unwrap();
        line_about(&file, "first").await;
        let filler = disk.path().join("filler");
        fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
        // More than the rest of the last page.
        for number in 0..200 {
            kv.put(put(format!("k{number}"), "v")).await.unwrap();
        }
        let endpoint = process.endpoint().to_owned();
        let lines_lost = eventually("lost lines", || async {
            let lines = lost(&endpoint, "write_failed").await;
            (lines > 0.0).then_some(lines)
        })
        .await;
        assert!(
            process
                .child()
                .line("lines of the audit log cannot be written")
                .is_some()
        );
        fs::remove_file(&filler).unwrap();
        kv.put(put("last", "v")).await.unwrap();
        eventually("the last line", || async {
            let text = fs::read_to_string(&file).unwrap();
            text.contains("\"last\"").then_some(())
        })
        .await;
        let text = fs::read_to_string(&file).unwrap();
        let whole = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let said = whole.filter_map(|line| line["lost_lines"].as_f64());
        assert_eq!(said.sum::<f64>(), lost(&endpoint, "write_failed").await);
        assert!(lines_lost <= 200.0);
    });
}

#[test]
fn a_folder_that_vanishes_loses_lines_until_it_is_back() {
    harness::run(async {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("logs"), dir.path().join("logs/audit.log"));
        fs::create_dir(&folder).unwrap();
        let log = format!("--audit-log={}", file.display());
        let process = Process::start(&[&log, "--audit-level=writes"]);
        let mut kv = KvClient::new(connect(process.endpoint()));
        fs::remove_dir_all(&folder).unwrap();
        let endpoint = process.endpoint().to_owned();
        eventually("lost lines", || {
            let (mut kv, endpoint) = (kv.clone(), endpoint.clone());
            async move {
                kv.put(put("during", "v")).await.unwrap();
                (lost(&endpoint, "write_failed").await > 0.0).then_some(())
            }
        })
        .await;
        fs::create_dir(&folder).unwrap();
        kv.put(put("after", "v")).await.unwrap();
        line_about(&file, "after").await;
        let lost_lines = &lines(&file)[0]["lost_lines"];
        assert!(lost_lines.as_u64().unwrap() > 0, "{lost_lines}");
    });
}

#[test]
fn an_audit_log_may_go_to_standard_error() {
    harness::run(async {
        let mut process = Process::start(&["--audit-log=stderr", "--audit-level=writes"]);
        let mut kv = KvClient::new(connect(process.endpoint()));
        kv.put(put("to-stderr", "v")).await.unwrap();
        let line = process.child().line("to-stderr").unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["method"], "etcdserverpb.KV/Put");
    });
}

#[test]
fn a_member_does_not_start_without_the_audit_log_it_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let place = own_place(&dir.path().join("data"), "http://127.0.0.1:0");
    for (log, reason) in [
        (
            dir.path().join("nowhere/audit.log"),
            "No such file or directory",
        ),
        (
            dir.path().to_owned(),
            "it is a directory: give a regular file",
        ),
        ("/dev/full".into(), "it is a device: give a regular file"),
    ] {
        let mut arguments: Vec<&str> = place.iter().map(String::as_str).collect();
        let flag = format!("--audit-log={}", log.display());
        arguments.push(&flag);
        let mut child = run_binary(&arguments, &[]);
        assert_eq!(child.wait().code(), Some(1));
        let lines = child.lines();
        let expected = format!(
            "conclave: cannot write the audit log to {}: ",
            log.display()
        );
        let last = lines.last().unwrap();
        assert!(
            last.starts_with(&expected) && last.contains(reason),
            "{lines:#?}"
        );
    }
}
