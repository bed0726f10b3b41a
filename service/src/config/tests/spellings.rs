//! Values that Go and etcd accept in more than one spelling.

use super::*;

const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];
const FALSE: [&str; 6] = ["0", "f", "F", "FALSE", "false", "False"];

/// Our own switches, refused switches, and one that etcd has removed.
#[test]
fn booleans_are_spelled_as_go_spells_them() {
    for (spellings, expected) in [(TRUE, true), (FALSE, false)] {
        for value in spellings {
            let flag = format!("--strict-reconfig-check={value}");
            assert_eq!(config(&flag).strict_reconfig_check, expected, "{flag}");
            let variable = format!("ETCD_STRICT_RECONFIG_CHECK={value}");
            let (config, _) = run("", &variable);
            assert_eq!(config.strict_reconfig_check, expected, "{variable}");
        }
    }
    for name in [
        "enable-pprof",
        "socket-reuse-port",
        "enable-grpc-gateway",
        "enable-log-rotation",
        "discovery-insecure-skip-tls-verify",
        "discovery-insecure-transport",
        "enable-v2",
    ] {
        let variable = arguments::environment_name(name);
        for value in FALSE {
            config(&format!("--{name}={value}"));
            run("", &format!("{variable}={value}"));
        }
        if name == "discovery-insecure-transport" {
            continue;
        }
        for value in TRUE.iter().chain(&["no", "off", "FaLsE", "00"]) {
            let (text, _) = error(&format!("--{name}={value}"), "");
            assert!(text.contains(name), "{text}");
        }
    }
}

#[test]
fn an_empty_retention_is_none() {
    for mode in ["periodic", "revision"] {
        let flags = format!("--auto-compaction-mode={mode} --auto-compaction-retention=");
        assert_eq!(config(&flags).auto_compaction, None, "{mode}");
    }
    let (text, _) = error(
        "--auto-compaction-mode=hourly --auto-compaction-retention=",
        "",
    );
    assert!(text.contains("--auto-compaction-mode"), "{text}");
}

#[test]
fn a_socket_may_be_written_with_one_slash() {
    let config = config(
        "--listen-client-urls=unix:/run/a.sock --advertise-client-urls=http://a:1 \
         --listen-metrics-urls=unix:/run/b.sock",
    );
    assert_eq!(texts(&config.listen_client_urls), ["unix:///run/a.sock"]);
    assert_eq!(texts(&config.listen_metrics_urls), ["unix:///run/b.sock"]);
    let (text, _) = error("--listen-peer-urls=unix:/run/a.sock", "");
    assert!(text.contains("Unix sockets are for clients"), "{text}");
}
