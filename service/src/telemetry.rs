//! Traces and metrics for a collector of OpenTelemetry, over OTLP.
//!
//! ```text
//! a call ─▶ Tracer::call ─▶ Span ─▶ core ─▶ its children        each ends ─▶ queue ─▶ thread ─▶
//!   traceparent of its client                                    bounded      collector
//! ```
//!
//! [`Tracer`] decides which calls are traced, and makes the spans that the core passes along
//! ([`conclave_core::trace`]). OpenTelemetry's SDK keeps what has ended in a bounded queue and
//! sends it from a thread of its own ([`export`]), so a collector that is slow or away costs spans,
//! and nothing else. Metrics are what a scrape returns, sent at intervals ([`metrics`]).
//!
//! # A trace across members
//!
//! A client's place in its trace comes with its call, in the headers `traceparent` and `tracestate`
//! of W3C's Trace Context. A member that is not the leader sends its own place along with a command
//! that it forwards, and the leader continues there. Raft's own messages carry no traces: a
//! follower does not know which commands an entry has before it applies them.
//!
//! # Cost
//!
//! Without `--enable-distributed-tracing` there is no tracer, and a call costs a check of an
//! `Option`. With it, a call that is not traced costs a lookup of `traceparent`. The SDK's macros
//! for its own log lines are compiled out.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinHandle};

use crate::config::Telemetry;
use crate::metrics::Metrics;
use conclave_core::handle::Handle;
use conclave_core::observe::{Observation, Observer};
use conclave_core::trace::Span;
use conclave_proto::peer::TraceContext;

mod export;
mod metrics;
mod spans;

pub use export::ExportError;
pub(crate) use spans::Tracer;

use metrics::Reporter;

/// The longest wait at the end of a member for what was not sent yet.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// The connections to the collector.
pub(crate) struct Exporting {
    tracer: Option<Arc<Tracer>>,
    /// Sends metrics; `None` once it was started.
    reporter: Option<(Reporter, Duration)>,
    reporting: Option<JoinHandle<()>>,
}

impl Exporting {
    /// Starts to send what is configured. Does not wait for the collector. Must be called in the
    /// runtime that is to carry the connections.
    pub(crate) fn start(telemetry: Option<&Telemetry>) -> Result<Exporting, ExportError> {
        let (mut tracer, mut reporter) = (None, None);
        if let Some(telemetry) = telemetry {
            if let Some(url) = &telemetry.traces {
                let provider = export::provider(telemetry, url)?;
                tracing::info!(url, "traces are sent to a collector");
                tracer = Some(Arc::new(Tracer::new(provider, telemetry.sampler)));
            }
            if let Some((url, every)) = &telemetry.metrics {
                let channel = export::channel(url, telemetry.timeout)?;
                tracing::info!(url, "metrics are sent to a collector");
                let resource = export::resource(telemetry);
                reporter = Some((Reporter::new(channel, url, &resource), *every));
            }
        }
        Ok(Exporting {
            tracer,
            reporter,
            reporting: None,
        })
    }

    /// Starts to send these metrics, if they are to be sent.
    pub(crate) fn report(&mut self, metrics: &Arc<Metrics>, handle: &Handle) {
        if let Some((reporter, every)) = self.reporter.take() {
            let reporting = reporter.run(Arc::clone(metrics), handle.clone(), every);
            self.reporting = Some(tokio::spawn(reporting));
        }
    }

    /// Returns an observer that reports to this one, and that traces the core's own actions.
    pub(crate) fn observer(&self, counting: Arc<dyn Observer>) -> Arc<dyn Observer> {
        match &self.tracer {
            None => counting,
            Some(tracer) => Arc::new(Tracing {
                counting,
                tracer: Arc::clone(tracer),
            }),
        }
    }

    /// Returns the tracer, if there are traces.
    pub(crate) fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }

    /// Sends what has ended, if the collector takes it in time, and ends the connections.
    pub(crate) async fn stop(self) {
        if let Some(reporting) = self.reporting {
            // A panic in it is logged where it happens, and does not concern the member.
            let _ = reporting.await;
        }
        let Some(tracer) = self.tracer else {
            return;
        };
        // On a thread that may block: the SDK waits for its own thread.
        let stopped = task::spawn_blocking(move || tracer.shutdown(SHUTDOWN_MAX));
        if let Ok(Err(error)) = stopped.await {
            tracing::warn!(%error, "the last spans may not have been sent");
        }
    }
}

/// The core's observer while there are traces.
struct Tracing {
    counting: Arc<dyn Observer>,
    tracer: Arc<Tracer>,
}

impl Observer for Tracing {
    fn observe(&self, observation: Observation<'_>) {
        self.counting.observe(observation);
    }

    fn begin(&self, action: &'static str) -> Span {
        self.tracer.action(action)
    }

    fn resume(&self, action: &'static str, context: &TraceContext) -> Span {
        self.tracer.resume(action, context)
    }
}
