//! Flags from manifests and units written for etcd.

use super::*;

#[test]
fn auto_compaction_is_read_by_etcds_rules() {
    use AutoCompaction::{Periodic, Revision};
    let hours = |hours: u64| Some(Periodic(Duration::from_secs(3_600 * hours)));
    for (arguments, expected) in [
        ("--auto-compaction-retention=8", hours(8)),
        ("--auto-compaction-retention=1h", hours(1)),
        (
            "--auto-compaction-retention 30m --auto-compaction-mode periodic",
            Some(Periodic(Duration::from_secs(1_800))),
        ),
        (
            "--auto-compaction-mode=revision --auto-compaction-retention=1000",
            Some(Revision(1_000)),
        ),
        ("--auto-compaction-retention=0", None),
        ("--auto-compaction-retention=0s", None),
        ("--auto-compaction-mode=revision", None),
    ] {
        assert_eq!(config(arguments).auto_compaction, expected, "{arguments}");
    }
    for retention in ["-1", "-1h", "1x", "99999999999999999999", "9999999999"] {
        let argument = format!("--auto-compaction-retention={retention}");
        let (text, _) = error(&argument, "");
        assert!(text.contains("auto-compaction-retention is"), "{text}");
    }
}

#[test]
fn log_lines_may_go_to_several_places() {
    let outputs = |text: &str| config(&format!("--log-outputs={text}")).log_outputs;
    let file = |path: &str| LogOutput::File(path.into());
    assert_eq!(outputs("/var/log/c.log"), [file("/var/log/c.log")]);
    assert_eq!(
        outputs("stderr,c.log,default,stdout,c.log"),
        [LogOutput::Stderr, file("c.log"), LogOutput::Stdout]
    );
}

#[test]
fn metrics_may_have_ports_of_their_own() {
    let config = config(
        "--listen-metrics-urls=http://127.0.0.1:2381,unix:///run/metrics.sock --metrics extensive",
    );
    assert_eq!(
        texts(&config.listen_metrics_urls),
        ["http://127.0.0.1:2381", "unix:///run/metrics.sock"]
    );
    assert!(config.extensive_metrics);
}

/// Flags of etcd 3.5 and 3.6.
#[test]
fn flags_of_before_are_taken_for_what_they_are_now() {
    let (config, notices) = run(
        "--experimental-watch-progress-notify-interval=5s --experimental-initial-corrupt-check \
         --experimental-compaction-batch-limit 7 --enable-v2=false --proxy off \
         --experimental-enable-lease-checkpoint --name a",
        "ETCD_EXPERIMENTAL_SNAPSHOT_CATCHUP_ENTRIES=9 ETCD_ENABLE_V2=true ETCD_PROXY=on \
         ETCD_FEATURE_GATES=InitialCorruptCheck=false",
    );
    assert_eq!(
        config.watch_progress_notify_interval,
        Duration::from_secs(5)
    );
    assert_eq!(config.compaction_batch_limit, 7);
    assert_eq!(config.snapshot_catchup_entries, 9);
    assert!(config.lease_checkpoint);
    assert_eq!(config.name, "a");
    let texts: Vec<&str> = notices.iter().map(|notice| notice.text.as_str()).collect();
    for text in [
        "--experimental-watch-progress-notify-interval is called \
         --watch-progress-notify-interval since etcd 3.6",
        "--experimental-enable-lease-checkpoint is written \
         --feature-gates=LeaseCheckpoint=true since etcd 3.6",
        "the environment variable ETCD_ENABLE_V2 is unknown and is ignored",
        "the environment variable ETCD_PROXY is unknown and is ignored",
    ] {
        assert!(texts.contains(&text), "{text} is not in {texts:#?}");
    }
    // The new form overrides the old one.
    let off = "--experimental-enable-lease-checkpoint --feature-gates=LeaseCheckpoint=false";
    assert!(!run(off, "").0.lease_checkpoint);
    let (text, _) = error(
        "--watch-progress-notify-interval=1s",
        "ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL=1s",
    );
    assert!(
        text.starts_with("--watch-progress-notify-interval is given and"),
        "{text}"
    );
}

#[test]
fn members_without_tls_are_warned_of() {
    let warned = |arguments: &str| {
        let (_, notices) = run(arguments, "");
        let about = |notice: &&Notice| notice.text.contains("without TLS at");
        let texts: Vec<String> = notices
            .iter()
            .filter(about)
            .map(|n| n.text.clone())
            .collect();
        assert!(texts.len() <= 1, "{texts:#?}");
        texts.into_iter().next()
    };
    assert_eq!(warned(""), None);
    assert_eq!(
        warned("--listen-peer-urls=http://[::1]:1,http://127.0.0.2:1"),
        None
    );
    let text = warned(
        "--listen-peer-urls=http://0.0.0.0:1,http://localhost:1 \
         --initial-advertise-peer-urls=http://node1:1",
    );
    let text = text.expect("a warning");
    assert!(
        text.contains("at http://0.0.0.0:1, http://node1:1: anyone who can"),
        "{text}"
    );
    let secure =
        format!("{SECURE_URLS} --peer-cert-file=c --peer-key-file=k --peer-trusted-ca-file=ca");
    assert_eq!(warned(&secure), None);
}
