//! Flags and variables of traces and metrics that are sent to a collector.

use super::*;

const ON: &str = "--enable-distributed-tracing";

fn telemetry(arguments: &str, environment: &str) -> Telemetry {
    let (config, notices) = run(arguments, environment);
    assert_eq!(notices, []);
    config.telemetry.expect("something is sent")
}

fn sampler(parent_based: bool, per_billion: u32) -> Sampler {
    Sampler {
        parent_based,
        per_billion,
    }
}

#[test]
fn etcds_flags_have_etcds_defaults() {
    assert_eq!(config("--name=a --otel-metrics=false").telemetry, None);
    let expected = Telemetry {
        traces: Some("http://localhost:4317".to_owned()),
        metrics: None,
        service_name: "etcd".to_owned(),
        instance_id: "a".to_owned(),
        sampler: sampler(true, 0),
        timeout: Duration::from_secs(10),
    };
    assert_eq!(telemetry(&format!("{ON} --name=a"), ""), expected);
    let given = telemetry(
        "--enable-distributed-tracing=true --distributed-tracing-address=h:1 \
         --distributed-tracing-service-name=s --distributed-tracing-instance-id=i \
         --distributed-tracing-sampling-rate=2500",
        "",
    );
    let expected = Telemetry {
        traces: Some("http://h:1".to_owned()),
        metrics: None,
        service_name: "s".to_owned(),
        instance_id: "i".to_owned(),
        sampler: sampler(true, 2_500_000),
        timeout: Duration::from_secs(10),
    };
    assert_eq!(given, expected);
}

/// Their names until etcd 3.5, and as variables.
#[test]
fn the_flags_have_their_other_spellings() {
    let (config, notices) = run(
        "--experimental-enable-distributed-tracing \
         --experimental-distributed-tracing-address=h:1",
        "ETCD_DISTRIBUTED_TRACING_SERVICE_NAME=s",
    );
    let telemetry = config.telemetry.expect("traces are sent");
    assert_eq!(telemetry.traces.as_deref(), Some("http://h:1"));
    assert_eq!(telemetry.service_name, "s");
    assert_eq!(notices.len(), 2, "{notices:?}");
}

#[test]
fn variables_count_where_a_flag_is_not_given() {
    let variables = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317/ OTEL_SERVICE_NAME=v \
         OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.25";
    assert_eq!(run("", variables).0.telemetry, None, "no flag turns it on");
    let read = telemetry(ON, variables);
    assert_eq!(read.traces.as_deref(), Some("http://c:4317/"));
    assert_eq!(read.service_name, "v");
    assert_eq!(read.sampler, sampler(false, 250_000_000));
    let flags = "--distributed-tracing-address=h:1 --distributed-tracing-service-name=s \
         --distributed-tracing-sampling-rate=1000000";
    let read = telemetry(&format!("{ON} {flags}"), variables);
    assert_eq!(read.traces.as_deref(), Some("http://h:1"));
    assert_eq!(read.service_name, "s");
    assert_eq!(read.sampler, sampler(true, 1_000_000_000));
    let read = telemetry(
        "--otel-metrics",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=m:2 OTEL_METRIC_EXPORT_INTERVAL=5000",
    );
    let metrics = Some(("http://m:2".to_owned(), Duration::from_secs(5)));
    assert_eq!((read.traces, read.metrics), (None, metrics));
    for (name, expected) in [
        ("always_on", sampler(false, 1_000_000_000)),
        ("always_off", sampler(false, 0)),
        ("parentbased_always_on", sampler(true, 1_000_000_000)),
        ("parentbased_always_off", sampler(true, 0)),
        ("parentbased_traceidratio", sampler(true, 1_000_000_000)),
    ] {
        let read = telemetry(ON, &format!("OTEL_TRACES_SAMPLER={name}"));
        assert_eq!(read.sampler, expected, "{name}");
    }
}

#[test]
fn otel_sdk_disabled_turns_everything_off() {
    for flag in [ON, "--otel-metrics"] {
        let (config, notices) = run(flag, "OTEL_SDK_DISABLED=True");
        assert_eq!(config.telemetry, None);
        assert!(notices[0].text.contains("OTEL_SDK_DISABLED"), "{notices:?}");
    }
    let (config, _) = run(ON, "OTEL_SDK_DISABLED=false");
    assert!(config.telemetry.is_some());
}

#[test]
fn what_cannot_be_used_is_refused() {
    for (flags, variables, expected) in [
        ("--distributed-tracing-sampling-rate=1000001", "", "1000000"),
        ("--distributed-tracing-address=nowhere", "", "host:port"),
        ("--distributed-tracing-address=https://a:1", "", "TLS"),
        ("", "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://a:1", "OTLP_ENDPOINT"),
        ("", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "4317"),
        ("", "OTEL_TRACES_SAMPLER=jaeger_remote", "always_on"),
        (
            "",
            "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=2",
            "from 0 to 1",
        ),
        (
            "--otel-metrics",
            "OTEL_METRIC_EXPORT_INTERVAL=0",
            "from 1 to",
        ),
        ("", "OTEL_BSP_MAX_QUEUE_SIZE=99999999999", "1 to 100000"),
        ("", "OTEL_BSP_MAX_QUEUE_SIZE=0", "1 to 100000"),
        ("", "OTEL_BSP_SCHEDULE_DELAY=0", "10 to 3600000"),
        (
            "--distributed-tracing-address=user:secret@a:1",
            "",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
    ] {
        let (text, code) = error(&format!("{ON} {flags}"), variables);
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(code, 1);
    }
}
