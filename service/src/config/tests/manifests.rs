//! What manifests and units written for etcd give.

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
    for retention in ["-1", "-1h", "1x", "", "99999999999999999999", "9999999999"] {
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

