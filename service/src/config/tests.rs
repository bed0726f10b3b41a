//! Tests of command lines and environments: the configuration or the exact error text.

use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_storage::Index;

use super::*;
use crate::net::tls::{TlsFiles, TlsIdentity, TlsVersion};

mod client_tls;
mod documents;
mod manifests;
mod spellings;
mod telemetry;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `NAME=value NAME=value`.
fn variables(text: &str) -> Vec<(String, String)> {
    words(text)
        .iter()
        .map(|word| word.split_once('=').expect("NAME=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn run(arguments: &str, environment: &str) -> (Config, Vec<Notice>) {
    match parse(words(arguments), variables(environment)) {
        Ok(Invocation::Run(config, notices)) => (*config, notices),
        other => panic!("{arguments} {environment} gave {other:?}"),
    }
}

fn config(arguments: &str) -> Config {
    run(arguments, "").0
}

fn error(arguments: &str, environment: &str) -> (String, u8) {
    match parse(words(arguments), variables(environment)) {
        Err(error) => (error.to_string(), error.exit_code()),
        other => panic!("{arguments} {environment} gave {other:?}"),
    }
}

fn texts(urls: &[MemberUrl]) -> Vec<&str> {
    urls.iter().map(MemberUrl::as_str).collect()
}

/// The initial cluster: names and peer URLs.
fn listed(config: &Config) -> Vec<(&str, Vec<&str>)> {
    let members = config.initial_members().iter();
    members
        .map(|member| (member.name.as_str(), texts(&member.peer_urls)))
        .collect()
}

#[test]
fn an_empty_command_line_gives_etcds_defaults() {
    let config = config("");
    assert_eq!(config, Config::default());
    assert_eq!(config.name, "default");
    assert_eq!(config.data_dir, PathBuf::from("default.conclave"));
    assert_eq!(
        config.log_dir(),
        PathBuf::from("default.conclave/member/log")
    );
    assert_eq!(texts(&config.listen_client_urls), ["http://localhost:2379"]);
    assert_eq!(
        texts(&config.advertise_client_urls),
        ["http://localhost:2379"]
    );
    assert_eq!(texts(&config.listen_peer_urls), ["http://localhost:2380"]);
    assert_eq!(
        texts(&config.initial_advertise_peer_urls),
        ["http://localhost:2380"]
    );
    assert_eq!(config.own_entry().name, "default");
    assert_eq!(
        texts(&config.own_entry().peer_urls),
        ["http://localhost:2380"]
    );
    assert_eq!(config.initial_cluster_state, InitialClusterState::New);
    assert_eq!(config.initial_cluster_token, "etcd-cluster");
    assert_eq!(
        (config.snapshot_count, config.snapshot_catchup_entries),
        (10_000, 5_000)
    );
    assert_eq!(
        (config.heartbeat_interval_ms, config.election_timeout_ms),
        (100, 1_000)
    );
    assert_eq!(config.quota_backend_bytes, Some(2 << 30));
    assert_eq!(config.state_cache_bytes, 256 << 20);
    assert_eq!(
        (config.max_txn_ops, config.max_request_bytes),
        (128, 1_572_864)
    );
    assert_eq!(config.max_concurrent_streams, u32::MAX);
    assert_eq!(
        config.grpc_keepalive_interval,
        Some(Duration::from_secs(7_200))
    );
    assert_eq!(config.grpc_keepalive_timeout, Duration::from_secs(20));
    assert!(config.pre_vote && config.strict_reconfig_check);
    assert_eq!(
        config.watch_progress_notify_interval,
        Duration::from_secs(600)
    );
    assert_eq!(config.compaction_batch_limit, 1_000);
    assert!(!config.unsafe_no_fsync && !config.force_new_cluster);
    assert_eq!(config.max_learners, 1);
    assert!(!config.auto_promote_learners && !config.lease_checkpoint);
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.log_format, None);
    assert_eq!(config.log_outputs, [LogOutput::Stderr]);
    assert_eq!(config.auto_compaction, None);
    assert_eq!(config.listen_metrics_urls, []);
    assert!(!config.extensive_metrics);
}

/// A typical command line of a test harness.
#[test]
fn a_harness_command_line_is_understood() {
    let config = config(
        "--name m0 --listen-client-urls http://localhost:20000 \
         --advertise-client-urls http://localhost:20000 --listen-peer-urls=http://localhost:20001 \
         --initial-advertise-peer-urls http://localhost:20001 --initial-cluster-token new \
         --data-dir /tmp/m0 --wal-dir /tmp/wal --snapshot-count 10 \
         --initial-cluster=m0=http://localhost:20001 --initial-cluster-state new \
         --quota-backend-bytes=-1 --log-format=json --log-level=panic --log-outputs=stdout",
    );
    assert_eq!(config.name, "m0");
    assert_eq!(config.data_dir, PathBuf::from("/tmp/m0"));
    assert_eq!(config.log_dir(), PathBuf::from("/tmp/wal"));
    assert_eq!(config.snapshot_count, 10);
    assert_eq!(
        texts(&config.own_entry().peer_urls),
        ["http://localhost:20001"]
    );
    assert_eq!(config.quota_backend_bytes, None);
    assert_eq!(config.log_format, Some(LogFormat::Json));
    assert_eq!(config.log_level, LogLevel::Off);
    assert_eq!(config.log_outputs, [LogOutput::Stdout]);
}

#[test]
fn a_cluster_of_several_members_is_named() {
    let config = config(
        "--name b --initial-advertise-peer-urls http://b:2,http://b:1 --initial-cluster-state \
         existing --initial-cluster-token t --initial-cluster \
         c=http://c:1,b=http://b:1,a=http://a:1,b=http://b:2 --max-learners 3 \
         --auto-promote-learners --force-new-cluster=true --strict-reconfig-check=false",
    );
    assert_eq!(
        listed(&config),
        [
            ("a", vec!["http://a:1"]),
            ("b", vec!["http://b:1", "http://b:2"]),
            ("c", vec!["http://c:1"]),
        ]
    );
    assert_eq!(config.own_entry().name, "b");
    assert_eq!(config.initial_cluster_state, InitialClusterState::Existing);
    assert_eq!(config.initial_cluster_token, "t");
    assert_eq!(config.max_learners, 3);
    assert!(config.auto_promote_learners && config.force_new_cluster);
    assert!(!config.strict_reconfig_check);
}

#[test]
fn clients_may_come_through_a_file() {
    let config = config(
        "--listen-client-urls=unix:///run/c.sock,http://localhost:1 \
         --advertise-client-urls=unix:///run/c.sock",
    );
    let sockets: Vec<_> = config
        .listen_client_urls
        .iter()
        .map(MemberUrl::socket_path)
        .collect();
    assert_eq!(sockets, [Some(Path::new("/run/c.sock")), None]);
}

/// etcd's rule: the first of the sorted URLs whose host is an address that others can reach.
#[test]
fn a_gate_sets_the_address_to_connect_from() {
    let gate = "--feature-gates=SetMemberLocalAddr=true";
    let advertising = |urls: &str, gate: &str| {
        let cluster = urls.replace(',', ",m=");
        run(
            &format!(
                "{gate} --name=m --initial-cluster=m={cluster} \
                 --initial-advertise-peer-urls={urls}"
            ),
            "",
        )
    };
    for (urls, expected) in [
        ("http://192.0.2.9:1", Some("192.0.2.9")),
        ("http://192.0.2.9:1,http://192.0.2.10:1", Some("192.0.2.10")),
        ("http://localhost:1,http://127.0.0.7:1", None),
        (
            "http://127.0.0.7:1,http://m.example:1,http://192.0.2.9:1",
            Some("192.0.2.9"),
        ),
        ("http://[::1]:1,http://[2001:db8::1]:1", Some("2001:db8::1")),
        ("http://0.0.0.0:1", None),
    ] {
        let (config, notices) = advertising(urls, gate);
        let expected = expected.map(|text| text.parse().expect("an address"));
        assert_eq!(config.peer_local_address, expected, "{urls}");
        let last = notices.last().expect("it is said");
        assert_eq!(
            last.level == NoticeLevel::Warn,
            expected.is_none(),
            "{urls}"
        );
    }
    let (off, _) = advertising(
        "http://192.0.2.9:1",
        "--feature-gates=SetMemberLocalAddr=false",
    );
    assert_eq!(off.peer_local_address, None);
    assert_eq!(
        advertising("http://192.0.2.9:1", "").0.peer_local_address,
        None
    );
}

#[test]
fn log_entries_to_skip_are_named_by_index_and_hash() {
    assert_eq!(config("").skip_log_entries, []);
    let entries = "812:0a1b2c3d,900:ffffffff";
    let skipped = config(&format!("--skip-log-entry={entries}")).skip_log_entries;
    let expected = [(812, 0x0a1b_2c3d), (900, u32::MAX)];
    assert_eq!(
        skipped,
        expected.map(|(index, hash)| SkippedEntry {
            index: Index(index),
            hash,
        })
    );
    let printed: Vec<_> = skipped.iter().map(ToString::to_string).collect();
    assert_eq!(printed.join(","), entries);
    for wrong in [
        "812",
        "812:",
        "812:a1b2c3d",
        "x:0a1b2c3d",
        "-1:0a1b2c3d",
        "812:+a1b2c3d",
    ] {
        let (text, code) = error(&format!("--skip-log-entry={wrong}"), "");
        assert!(text.contains("write INDEX:HASH"), "{text}");
        assert_eq!(code, 1);
    }
}

#[test]
fn gates_are_known_by_name() {
    let (first, notices) = run("--feature-gates=LeaseCheckpoint=true", "");
    assert!(first.lease_checkpoint);
    assert_eq!(notices, []);
    let (both, notices) = run(
        "",
        "ETCD_FEATURE_GATES=LeaseCheckpointPersist=true,LeaseCheckpoint=true,\
         FastLeaseKeepAlive=false",
    );
    assert!(both.lease_checkpoint);
    assert_eq!(
        notices,
        [Notice {
            level: NoticeLevel::Info,
            text: "--feature-gates has FastLeaseKeepAlive, which is ignored: a renewal never \
                   waits for the disk"
                .to_owned(),
        }]
    );
    let off = config("--feature-gates=LeaseCheckpoint=true,LeaseCheckpoint=false");
    assert!(!off.lease_checkpoint);
    for (gates, reason) in [
        (
            "LeaseCheckpoint",
            "write \"LeaseCheckpoint\" as LeaseCheckpoint=true or LeaseCheckpoint=false",
        ),
        (
            "LeaseCheckpoint=on",
            "LeaseCheckpoint is \"on\": write true or false",
        ),
        (
            "LeaseCheckpointPersist=true",
            "LeaseCheckpointPersist needs LeaseCheckpoint=true as well",
        ),
        (
            "LeasCheckpoint=true",
            "\"LeasCheckpoint\" is none of CompactHashCheck, FastLeaseKeepAlive, \
             InitialCorruptCheck, LeaseCheckpoint, LeaseCheckpointPersist, PriorityRequest, \
             SetMemberLocalAddr, StopGRPCServiceOnDefrag, TxnModeWriteWithSharedBuffer",
        ),
    ] {
        let text = format!("--feature-gates is {gates:?}: {reason}");
        assert_eq!(error(&format!("--feature-gates={gates}"), ""), (text, 1));
    }
}

#[test]
fn flags_are_read_as_go_reads_them() {
    for (arguments, name) in [
        ("--name a", "a"),
        ("--name=a", "a"),
        ("-name a", "a"),
        ("-name=a", "a"),
        ("--name a --name b", "b"),
        // A value may begin with a dash, or be the name of a flag.
        ("--name -a", "-a"),
        ("--name --data-dir", "--data-dir"),
    ] {
        assert_eq!(config(arguments).name, name, "{arguments}");
    }
    for (arguments, value) in [
        ("--pre-vote", true),
        ("-pre-vote", true),
        ("--pre-vote=true", true),
        ("--pre-vote=F", false),
        ("-pre-vote=0", false),
    ] {
        assert_eq!(config(arguments).pre_vote, value, "{arguments}");
    }
    assert!(config("--unsafe-no-fsync").unsafe_no_fsync);
    assert_eq!(
        config("--grpc-keepalive-interval=0s").grpc_keepalive_interval,
        None
    );
    assert_eq!(config("--quota-backend-bytes -5").quota_backend_bytes, None);
    assert_eq!(config("--name x").data_dir, PathBuf::from("x.conclave"));
    assert_eq!(config("--name x").own_entry().name, "x");
}

#[test]
fn the_environment_stands_in_for_flags() {
    let environment = "ETCD_NAME=e ETCD_UNSAFE_NO_FSYNC=true ETCD_DATA_DIR= ETCD_VERIFY=all \
                       PATH=/bin ETCDCTL_API=3";
    let (config, notices) = run("", environment);
    assert_eq!(config.name, "e");
    assert!(config.unsafe_no_fsync);
    assert_eq!(config.data_dir, PathBuf::from("e.conclave"));
    assert_eq!(notices, []);
    let (_, notices) = run(
        "",
        "ETCD_PORT_2379_TCP=tcp://10.0.0.1:2379 ETCD_VERSION=v3.5.0",
    );
    let unknown = |name: &str| Notice {
        level: NoticeLevel::Warn,
        text: format!("the environment variable {name} is unknown and is ignored"),
    };
    assert_eq!(
        notices,
        [unknown("ETCD_PORT_2379_TCP"), unknown("ETCD_VERSION")]
    );
}

#[test]
fn what_has_no_meaning_here_is_accepted_and_said() {
    let (_, notices) = run(
        "--max-wals 5 -memory-mlock --logger=zap",
        "ETCD_MAX_SNAPSHOTS=3",
    );
    let texts: Vec<&str> = notices.iter().map(|notice| notice.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "--max-wals is ignored: the log removes its files by itself",
            "--memory-mlock is ignored: the store is RocksDB",
            "--logger is ignored: there is one logger",
            "--max-snapshots is ignored: snapshots are not kept as files",
        ]
    );
    assert!(
        notices
            .iter()
            .all(|notice| notice.level == NoticeLevel::Info)
    );
    // Unsupported features, turned off.
    let (_, notices) = run(
        "--client-cert-auth=false --enable-log-rotation=false --cors=*",
        "",
    );
    assert_eq!(notices, []);
}

/// Arguments, environment, and the error.
const ERRORS: &[(&str, &str, &str)] = &[
    (
        "--enable-grpc-gateway",
        "",
        "--enable-grpc-gateway is not available in this version: remove it: only gRPC is \
             served, and JSON under /v3/ is not",
    ),
    (
        "",
        "ETCD_AUTO_COMPACTION_RETENTION=1d",
        "ETCD_AUTO_COMPACTION_RETENTION is \"1d\": give a number of hours, or a duration such \
             as 30m",
    ),
    (
        "--auto-compaction-mode=revision --auto-compaction-retention=1h",
        "",
        "--auto-compaction-retention is \"1h\": give the number of revisions to keep",
    ),
    (
        "--auto-compaction-mode=hourly",
        "",
        "--auto-compaction-mode is \"hourly\": write periodic or revision",
    ),
    (
        "--auto-compaction-retention=1ms",
        "",
        "--auto-compaction-retention is \"1ms\": give at least 100 ms",
    ),
    (
        "--metrics=all",
        "",
        "--metrics is \"all\": write basic or extensive",
    ),
    (
        "--log-outputs=systemd/journal",
        "",
        "--log-outputs is \"systemd/journal\": write stderr, which systemd puts into the \
             journal",
    ),
    (
        "--log-outputs=stderr,",
        "",
        "--log-outputs is \"stderr,\": write stderr, stdout or the path of a file",
    ),
    (
        "--enable-log-rotation",
        "",
        "--enable-log-rotation is not available in this version: remove it and rotate the \
             file of --log-outputs with logrotate's copytruncate",
    ),
    (
        "--enable-v2=true",
        "",
        "--enable-v2 is not available in this version: remove it and let clients use the v3 \
             API",
    ),
    (
        "--experimental-enable-lease-checkpoint=maybe",
        "",
        "--experimental-enable-lease-checkpoint is \"maybe\": write true or false",
    ),
    (
        "--experimental-compaction-batch-limit=none",
        "",
        "--compaction-batch-limit is \"none\": give a whole number from 1 to \
             18446744073709551615",
    ),
    (
        "--name a",
        "ETCD_NAME=a",
        "--name is given and ETCD_NAME is set in the environment: remove one of them",
    ),
    (
        "--election-timeout=499",
        "",
        "--election-timeout is 499 ms and --heartbeat-interval 100 ms: give at least 5 \
             heartbeats, 500 ms",
    ),
    (
        "--election-timeout=50001",
        "",
        "--election-timeout is \"50001\": give a whole number from 1 to 50000",
    ),
    (
        "--heartbeat-interval=0",
        "",
        "--heartbeat-interval is \"0\": give a whole number from 1 to 50000",
    ),
    (
        "",
        "ETCD_SNAPSHOT_COUNT=many",
        "ETCD_SNAPSHOT_COUNT is \"many\": give a whole number from 1 to 18446744073709551615",
    ),
    (
        "--watch-progress-notify-interval=10",
        "",
        "--watch-progress-notify-interval is \"10\": give a duration with its unit, such as \
             300ms, 5s or 1h30m",
    ),
    (
        "--log-level=loud",
        "",
        "--log-level is \"loud\": write debug, info, warn, error, panic or fatal",
    ),
    (
        "--name=a,b",
        "",
        "--name is \"a,b\": give a name without `,`, `=` and `/`",
    ),
    (
        "--max-learners=0",
        "",
        "--max-learners is \"0\": give a whole number from 1 to 18446744073709551615",
    ),
    ("--data-dir=", "", "--data-dir is \"\": name a directory"),
];

#[test]
fn errors_name_the_flag_and_what_to_do() {
    for &(arguments, environment, text) in ERRORS {
        assert_eq!(error(arguments, environment), (text.to_owned(), 1));
    }
}

#[test]
fn urls_must_fit_together() {
    for (arguments, text) in [
        (
            "--listen-client-urls=http://127.0.0.1:1",
            "--listen-client-urls is \"http://127.0.0.1:1\" and --advertise-client-urls is not \
             given: give the URLs that clients use to reach this member",
        ),
        (
            "--listen-peer-urls=http://node:1",
            "--listen-peer-urls is \"http://node:1\": \"node\" is a name; listen on an address of \
             this machine, on localhost, or on 0.0.0.0 for all addresses",
        ),
        (
            "--advertise-client-urls=http://:1",
            "--advertise-client-urls is \"http://:1\": name the host to connect to",
        ),
        (
            "--initial-cluster=default=http://localhost:2380,b=http://localhost:2380",
            "--initial-cluster is \"default=http://localhost:2380,b=http://localhost:2380\": \
             \"b\" and \"default\" both have http://localhost:2380",
        ),
        (
            "--initial-cluster=default=http://localhost:2380,default=http://localhost:2380",
            "--initial-cluster is \
             \"default=http://localhost:2380,default=http://localhost:2380\": \"default\" has \
             http://localhost:2380 twice",
        ),
        (
            "--initial-cluster=default=unix://a",
            "--initial-cluster is \"default=unix://a\": unix://a: Unix sockets are for clients; \
             give members http:// or https:// URLs",
        ),
        (
            "--listen-peer-urls=unix://a",
            "--listen-peer-urls is \"unix://a\": Unix sockets are for clients; give members \
             http:// or https:// URLs",
        ),
        (
            "--listen-client-urls=unixs://a --advertise-client-urls=unix://a",
            "unixs://a begins with unixs:// and there is no certificate: give --cert-file and \
             --key-file, or --auto-tls",
        ),
        (
            "--initial-cluster=b=http://b:2380",
            "--initial-cluster is \"b=http://b:2380\": it does not have this member, whose --name \
             is \"default\"",
        ),
        (
            "--initial-cluster=default=http://b:2380",
            "--initial-cluster is \"default=http://b:2380\": --initial-advertise-peer-urls has \
             \"http://localhost:2380\" for the same member: make them equal",
        ),
        (
            "--initial-cluster=http://b:2380",
            "--initial-cluster is \"http://b:2380\": write \"http://b:2380\" as \
             name=http://host:port",
        ),
    ] {
        assert_eq!(error(arguments, ""), (text.to_owned(), 1));
    }
    let (_, notices) = run("--advertise-client-urls=http://0.0.0.0:1", "");
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].level, NoticeLevel::Warn);
}

/// Given with every command line of these tests: URLs that need a certificate.
const SECURE_URLS: &str = "--listen-peer-urls=https://127.0.0.1:1 \
                           --initial-advertise-peer-urls=https://a:1";

#[test]
fn tls_between_members_is_read() {
    let config = config(&format!(
        "{SECURE_URLS} --peer-cert-file=c --peer-key-file=k --peer-trusted-ca-file=ca \
         --peer-client-cert-auth --peer-cert-allowed-cn=a,b --peer-skip-client-san-verification \
         --tls-min-version=TLS1.3"
    ));
    let tls = config.peer_tls.expect("configured");
    let files = TlsFiles {
        cert: "c".into(),
        key: "k".into(),
    };
    assert_eq!(tls.identity, TlsIdentity::Files(files));
    assert_eq!(tls.client_identity, None);
    assert_eq!(tls.trusted_ca_file, Some("ca".into()));
    assert_eq!(tls.allowed_cns, ["a", "b"]);
    assert!(tls.skip_client_san_verification && tls.allowed_hostnames.is_empty());
    assert_eq!(
        (tls.min_version, tls.max_version),
        (TlsVersion::Tls13, TlsVersion::Tls13)
    );
    let (config, notices) = run(
        &format!("{SECURE_URLS} --peer-auto-tls --self-signed-cert-validity=3"),
        "",
    );
    let identity = config.peer_tls.map(|tls| tls.identity);
    assert_eq!(
        identity,
        Some(TlsIdentity::SelfSigned {
            validity_years: 3,
            hosts: vec![]
        })
    );
    assert_eq!(notices, []);
    let (config, notices) = run("--peer-auto-tls", "");
    assert!(config.peer_tls.is_some());
    assert_eq!(notices.len(), 1);
    assert!(notices[0].text.contains("begins with https://"));
    assert_eq!(run("--peer-client-cert-auth=false", "").0.peer_tls, None);
}

#[test]
fn tls_between_members_must_be_whole() {
    for (arguments, text) in [
        (
            "",
            "https://127.0.0.1:1 begins with https:// and there is no certificate: give \
             --peer-cert-file, --peer-key-file and --peer-trusted-ca-file, or --peer-auto-tls",
        ),
        (
            "--peer-cert-file=c",
            "--peer-cert-file is given and --peer-key-file is not: give both",
        ),
        (
            "--peer-cert-file=c --peer-key-file=k",
            "--peer-cert-file is given and --peer-trusted-ca-file is not: give the CA that signs \
             the members' certificates",
        ),
        (
            "--peer-auto-tls --peer-client-cert-auth",
            "--peer-client-cert-auth is given and --peer-auto-tls makes certificates that \
             other members cannot check: give --peer-cert-file and --peer-key-file instead",
        ),
        (
            "--tls-min-version=TLS1.1",
            "--tls-min-version is \"TLS1.1\": write TLS1.2 or TLS1.3",
        ),
        (
            "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2",
            "--tls-min-version is TLS1.3 and --tls-max-version TLS1.2: no version is left",
        ),
        (
            "--self-signed-cert-validity=0",
            "--self-signed-cert-validity is \"0\": give a number of years from 1 to 100",
        ),
    ] {
        let arguments = format!("{SECURE_URLS} {arguments}");
        assert_eq!(error(&arguments, ""), (text.to_owned(), 1));
    }
    let (text, _) = error("--peer-trusted-ca-file=ca", "");
    assert!(text.starts_with("--peer-trusted-ca-file is given and --peer-cert-file is not"));
}

#[test]
fn a_command_line_that_cannot_be_read_names_the_nearest_flag() {
    for (arguments, parts) in [
        ("--nam=x", ["unexpected argument '--nam'", "'--name'"]),
        (
            "-snapshot-cout 5",
            [
                "unexpected argument '--snapshot-cout'",
                "'--snapshot-count'",
            ],
        ),
        (
            "--name",
            ["a value is required for '--name <NAME>'", "--help"],
        ),
        ("stray", ["unexpected argument 'stray'", "--help"]),
        (
            "--pre-vote=maybe",
            ["'maybe' for '--pre-vote[=<BOOL>]'", "write true or false"],
        ),
    ] {
        let (text, exit_code) = error(arguments, "");
        assert_eq!(exit_code, 2, "{arguments}");
        for part in parts {
            assert!(text.contains(part), "{arguments}: {text}");
        }
    }
}

#[test]
fn help_and_version_are_texts() {
    let printed = |arguments: &str| match parse(words(arguments), []) {
        Ok(Invocation::Print(text)) => text,
        other => panic!("{arguments} gave {other:?}"),
    };
    let version = printed("--version");
    let own = format!("Conclave Version: {}", env!("CARGO_PKG_VERSION"));
    let lines: Vec<&str> = version.lines().collect();
    assert_eq!(lines[..2], ["etcd Version: 3.7.1", own.as_str()]);
    for arguments in ["--help", "-h", "-help"] {
        let help = printed(arguments);
        let headings = [
            "Member:",
            "Clustering:",
            "Security:",
            "Monitoring:",
            "Logging:",
            "Features:",
            "Unsafe:",
            "Other:",
        ];
        for heading in headings {
            assert!(
                help.lines().any(|line| line == heading),
                "{heading} in {help}"
            );
        }
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
    }
}

/// A member that has a raft log ignores wrong flags about the cluster's start.
#[test]
fn whoever_has_run_is_not_asked_for_the_beginning() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = |more: &str| {
        let dir = dir.path().display();
        format!("--data-dir {dir} --name a --initial-cluster b=http://b:2380{more}")
    };
    let fresh = error(&flags(""), "").0;
    assert!(fresh.contains("it does not have this member"), "{fresh}");
    std::fs::create_dir_all(dir.path().join("member/log")).expect("a folder");
    let config = config(&flags(""));
    assert_eq!(config.initial_cluster, Err(fresh));
    assert_eq!(config.initial_members(), []);
    // There is no raft log in another directory.
    let elsewhere = dir.path().join("elsewhere");
    let fresh = error(&flags(&format!(" --wal-dir {}", elsewhere.display())), "").0;
    assert!(fresh.contains("it does not have this member"), "{fresh}");
}

/// The line that `etcdctl member add` prints while another added member has not started.
#[test]
fn members_that_have_not_started_have_no_name() {
    let config = config(
        "--name c --initial-advertise-peer-urls http://c:1 --initial-cluster-state existing \
         --initial-cluster a=http://a:1,=http://b:1,c=http://c:1,=http://d:1",
    );
    assert_eq!(
        listed(&config),
        [
            ("", vec!["http://b:1"]),
            ("", vec!["http://d:1"]),
            ("a", vec!["http://a:1"]),
            ("c", vec!["http://c:1"]),
        ]
    );
}
