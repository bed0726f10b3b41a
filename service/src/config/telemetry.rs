//! Traces and metrics for a collector of OpenTelemetry: etcd's flags, and OpenTelemetry's variables
//! where a flag is not given.
//!
//! Only a flag turns sending on. Platforms put `OTEL_*` variables into every process, and a member
//! must not open connections because of them. `OTEL_SDK_DISABLED` turns it off all the same.
//!
//! The exporter of traces reads more variables by itself: the headers that it sends
//! (`OTEL_EXPORTER_OTLP_HEADERS`), and the sizes of its queue (`OTEL_BSP_*`).

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;

use super::check::number;
use super::raw::Raw;
use super::url::url_without_userinfo;
use super::{ConfigError, Notice};

const PREFIX: &str = "OTEL_";

/// Where collectors listen for OTLP over gRPC.
const DEFAULT_ADDRESS: &str = "localhost:4317";

/// etcd's: dashboards that select its service find a member that takes its place.
const DEFAULT_SERVICE: &str = "etcd";

/// OpenTelemetry's.
const DEFAULT_METRICS_INTERVAL_MS: &str = "60000";
const DEFAULT_TIMEOUT_MS: &str = "10000";

/// The longest time in a variable: a day.
const MILLIS_MAX: u64 = 86_400_000;

/// Spans of a million that `--distributed-tracing-sampling-rate` may choose.
const MILLION: u32 = 1_000_000;

/// OpenTelemetry's environment variables that are not empty, by name.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

/// Traces and metrics for a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// URL of the collector for traces; `None` if none are sent.
    pub traces: Option<String>,
    /// URL of the collector for metrics, and the time between two reports; `None` if none are sent.
    pub metrics: Option<(String, Duration)>,
    /// Name of the service, the same on all members.
    pub service_name: String,
    /// Name of this member.
    pub instance_id: String,
    /// Decides which requests have spans.
    pub sampler: Sampler,
    /// The longest wait for an answer of the collector.
    pub timeout: Duration,
}

/// Decides which requests have spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// True if a client's own decision about a trace counts.
    pub parent_based: bool,
    /// Of a billion other requests, how many have spans.
    pub per_billion: u32,
}

impl Sampler {
    /// [`Sampler::per_billion`] if all requests have spans.
    pub const ALL: u32 = 1_000_000_000;
}

impl Variables {
    /// Takes OpenTelemetry's variables out of an environment. An empty one counts as not given.
    pub(super) fn of(environment: &[(String, String)]) -> Variables {
        let is_given = |(name, value): &&(String, String)| {
            name.starts_with(PREFIX) && !value.trim().is_empty()
        };
        let given = environment.iter().filter(is_given);
        Variables(
            given
                .map(|(name, value)| (name.clone(), value.trim().to_owned()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Returns what is to be sent; `None` for nothing.
pub(super) fn check_telemetry(
    raw: &Raw,
    notices: &mut Vec<Notice>,
) -> Result<Option<Telemetry>, ConfigError> {
    let (flags, otel) = (&raw.telemetry, &raw.otel);
    // Checked even if unused, like every flag.
    let sampler = check_sampling_rate(flags.distributed_tracing_sampling_rate.as_deref())?;
    let given = flags.distributed_tracing_address.as_deref();
    let given = given.map(|address| endpoint("--distributed-tracing-address", address));
    let given = given.transpose()?;
    if !flags.enable_distributed_tracing && !flags.otel_metrics {
        return Ok(None);
    }
    let is_disabled = |value: &str| value.eq_ignore_ascii_case("true");
    if otel.get("OTEL_SDK_DISABLED").is_some_and(is_disabled) {
        let text = "neither traces nor metrics are sent: OTEL_SDK_DISABLED is true";
        notices.push(Notice::warning(text.to_owned()));
        return Ok(None);
    }
    let address = |signal| given.clone().map_or_else(|| endpoint_of(otel, signal), Ok);
    let (mut traces, mut metrics) = (None, None);
    if flags.enable_distributed_tracing {
        traces = Some(address("TRACES")?);
        check_queue(otel)?;
    }
    if flags.otel_metrics {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        let interval = millis(otel, name, DEFAULT_METRICS_INTERVAL_MS)?;
        metrics = Some((address("METRICS")?, interval));
    }
    let service_name = flags.distributed_tracing_service_name.as_deref();
    let service_name = service_name.filter(|name| !name.is_empty());
    let service_name = service_name.or(otel.get("OTEL_SERVICE_NAME"));
    let instance_id = flags.distributed_tracing_instance_id.as_deref();
    let instance_id = instance_id.filter(|id| !id.is_empty());
    Ok(Some(Telemetry {
        traces,
        metrics,
        service_name: service_name.unwrap_or(DEFAULT_SERVICE).to_owned(),
        instance_id: instance_id.unwrap_or(&raw.member.name).to_owned(),
        sampler: sampler.map_or_else(|| sampler_of(otel), Ok)?,
        timeout: millis(otel, "OTEL_EXPORTER_OTLP_TIMEOUT", DEFAULT_TIMEOUT_MS)?,
    }))
}

/// Returns etcd's sampler: as the client decided, else by this rate.
fn check_sampling_rate(rate: Option<&str>) -> Result<Option<Sampler>, ConfigError> {
    let Some(rate) = rate else {
        return Ok(None);
    };
    let rate = number("distributed-tracing-sampling-rate", rate, 0..=MILLION)?;
    Ok(Some(Sampler {
        parent_based: true,
        per_billion: rate * (Sampler::ALL / MILLION),
    }))
}

/// Returns the sampler of OpenTelemetry's variables. Without them only requests of clients that
/// trace are traced, as in etcd: OpenTelemetry's default would trace every one.
fn sampler_of(otel: &Variables) -> Result<Sampler, ConfigError> {
    let sampler = |parent_based, per_billion| Sampler {
        parent_based,
        per_billion,
    };
    let name = otel.get("OTEL_TRACES_SAMPLER");
    Ok(match name {
        None | Some("parentbased_always_off") => sampler(true, 0),
        Some("parentbased_always_on") => sampler(true, Sampler::ALL),
        Some("parentbased_traceidratio") => sampler(true, ratio(otel)?),
        Some("always_off") => sampler(false, 0),
        Some("always_on") => sampler(false, Sampler::ALL),
        Some("traceidratio") => sampler(false, ratio(otel)?),
        Some(other) => {
            return Err(ConfigError::Conflict(format!(
                "OTEL_TRACES_SAMPLER is {other:?}: write always_on, always_off or traceidratio, \
                 each also after parentbased_"
            )));
        }
    })
}

/// Checks the variables that the exporter of traces reads by itself. It reserves memory for the
/// whole queue, and takes any number.
fn check_queue(otel: &Variables) -> Result<(), ConfigError> {
    let spans = 1..=100_000;
    let millis = 10..=3_600_000;
    for (name, range) in [
        ("OTEL_BSP_MAX_QUEUE_SIZE", spans.clone()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", spans),
        ("OTEL_BSP_SCHEDULE_DELAY", millis.clone()),
        ("OTEL_BSP_EXPORT_TIMEOUT", millis),
    ] {
        let Some(text) = otel.get(name) else {
            continue;
        };
        if !text
            .parse()
            .is_ok_and(|number: u64| range.contains(&number))
        {
            return Err(ConfigError::Conflict(format!(
                "{name} is {text:?}: give a whole number from {} to {}",
                range.start(),
                range.end()
            )));
        }
    }
    Ok(())
}

fn ratio(otel: &Variables) -> Result<u32, ConfigError> {
    let text = otel.get("OTEL_TRACES_SAMPLER_ARG").unwrap_or("1");
    let ratio = text
        .parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio));
    let ratio: f64 = ratio.ok_or_else(|| {
        ConfigError::Conflict(format!(
            "OTEL_TRACES_SAMPLER_ARG is {text:?}: give a number from 0 to 1"
        ))
    })?;
    Ok((ratio * f64::from(Sampler::ALL)).round() as u32)
}

fn millis(otel: &Variables, name: &str, default: &str) -> Result<Duration, ConfigError> {
    let text = otel.get(name).unwrap_or(default);
    match text.parse() {
        Ok(millis @ 1..=MILLIS_MAX) => Ok(Duration::from_millis(millis)),
        Ok(_) | Err(_) => Err(ConfigError::Conflict(format!(
            "{name} is {text:?}: give milliseconds from 1 to {MILLIS_MAX}"
        ))),
    }
}

/// Returns the URL of the collector for a signal, by OpenTelemetry's variables.
fn endpoint_of(otel: &Variables, signal: &str) -> Result<String, ConfigError> {
    let names = |what: &str| {
        [
            format!("OTEL_EXPORTER_OTLP_{signal}_{what}"),
            format!("OTEL_EXPORTER_OTLP_{what}"),
        ]
    };
    let find = |names: [String; 2]| {
        names
            .into_iter()
            .find_map(|name| Some((otel.get(&name)?, name)))
    };
    if let Some((protocol, name)) = find(names("PROTOCOL"))
        && protocol != "grpc"
    {
        return Err(ConfigError::Conflict(format!(
            "{name} is {protocol:?}: only grpc is available, for which most collectors listen on \
             port 4317"
        )));
    }
    match find(names("ENDPOINT")) {
        Some((address, name)) => endpoint(&name, address),
        None => endpoint("", DEFAULT_ADDRESS),
    }
}

/// Returns the URL of an address, which may be without a scheme as etcd's are.
fn endpoint(name: &str, address: &str) -> Result<String, ConfigError> {
    let refuse = |reason: &str| {
        let text = format!("{name} is {:?}: {reason}", url_without_userinfo(address));
        Err(ConfigError::Conflict(text))
    };
    if address.contains('@') {
        return refuse("a user and a password are not sent: use OTEL_EXPORTER_OTLP_HEADERS");
    }
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let Ok(parsed) = url.parse::<Uri>() else {
        return refuse("give host:port, such as localhost:4317");
    };
    match (parsed.scheme_str(), parsed.port_u16()) {
        (Some("http"), Some(_)) => Ok(url),
        (Some("https"), _) => refuse(
            "TLS to a collector is not available: give the address of a collector on this machine \
             that passes everything on, such as http://localhost:4317",
        ),
        (_, _) => refuse("give host:port, such as localhost:4317"),
    }
}
