//! The way of spans to the collector.
//!
//! Two parts are OpenTelemetry's own: the batch processor, with its bounded queue and its thread,
//! and the exporter. [`Reported`] lies between them and logs what goes wrong, since the SDK would
//! log each failure, every five seconds for as long as a collector is away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    SpanExporter as OtlpExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tonic::transport::{Channel, Endpoint};

use super::spans;
use crate::config::Telemetry;
use conclave_core::clock::{Clock as _, SystemClock};
use conclave_core::log_once::LogOnce;

/// The longest wait for a connection, without which a machine that does not answer would hold up
/// the exporter for minutes.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A member cannot send to its collector.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The URL is none of gRPC's.
    #[error("cannot send to the collector {url}: {error}")]
    Url {
        /// The URL.
        url: String,
        /// The reason.
        error: tonic::transport::Error,
    },
    /// An environment variable of OpenTelemetry has a value that cannot be used.
    #[error(
        "cannot send to a collector: {0}; check the environment variables that begin with OTEL_"
    )]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Makes the SDK's part: sampler, queue, thread and exporter.
pub(super) fn provider(telemetry: &Telemetry, url: &str) -> Result<SdkTracerProvider, ExportError> {
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .with_channel(channel(url, telemetry.timeout)?)
        .with_timeout(telemetry.timeout)
        .build()?;
    let reported = Reported {
        exporter,
        url: url.to_owned(),
        failure_logged: AtomicBool::new(false),
        logged: LogOnce::default(),
        clock: SystemClock::new(),
    };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(reported)
        .with_sampler(spans::sampler(telemetry.sampler))
        .with_resource(resource(telemetry))
        .build())
}

/// Returns a connection that is made when it is needed first, and again when it was lost.
pub(super) fn channel(url: &str, timeout: Duration) -> Result<Channel, ExportError> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| ExportError::Url {
        url: url.to_owned(),
        error,
    })?;
    let endpoint = endpoint.timeout(timeout);
    Ok(endpoint
        .connect_timeout(timeout.min(CONNECT_MAX))
        .connect_lazy())
}

/// Returns who sends: `service.name`, `service.instance.id` and `service.version`, and what
/// `OTEL_RESOURCE_ATTRIBUTES` adds.
pub(super) fn resource(telemetry: &Telemetry) -> Resource {
    Resource::builder()
        .with_service_name(telemetry.service_name.clone())
        .with_attributes([
            KeyValue::new("service.instance.id", telemetry.instance_id.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build()
}

/// An exporter whose failures are logged once, until it works again.
#[derive(Debug)]
struct Reported {
    exporter: OtlpExporter,
    url: String,
    failure_logged: AtomicBool,
    /// A collector may fail every other time.
    logged: LogOnce,
    clock: SystemClock,
}

impl SpanExporter for Reported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        let url = &self.url;
        match &result {
            Err(error) if self.logged.is_new("export", self.clock.now()) => {
                self.failure_logged.store(true, Ordering::Relaxed);
                tracing::warn!(
                    url,
                    %error,
                    "traces cannot be sent to the collector: spans are dropped"
                );
            }
            Ok(()) if self.failure_logged.swap(false, Ordering::Relaxed) => {
                tracing::info!(url, "traces reach the collector again");
            }
            Ok(()) | Err(_) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
