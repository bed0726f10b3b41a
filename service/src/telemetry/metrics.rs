//! The metrics, sent to a collector: what a scrape would return, under the same names.
//!
//! OpenTelemetry's SDK sends what its own instruments measured. Ours are Prometheus', so their
//! families are written as OTLP's messages here: counters as sums that only rise, histograms with
//! their buckets, all cumulative since the member's start.

use std::sync::Arc;
use std::time::Duration;

use conclave_core::clock::{Clock as _, SystemClock};
use conclave_core::handle::Handle;
use conclave_core::log_once::LogOnce;
use opentelemetry_proto::tonic::collector::metrics::v1 as service;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{self, MetricFamily, MetricType};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;

use super::SHUTDOWN_MAX;
use crate::metrics::Metrics;

type Client = service::metrics_service_client::MetricsServiceClient<Channel>;

/// Sends the metrics at intervals.
pub(super) struct Reporter {
    client: Client,
    url: String,
    resource: Resource,
    clock: SystemClock,
    /// When the member began to count.
    begun: u64,
    logged: LogOnce,
}

/// Times of a report, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    begun: u64,
    now: u64,
}

impl Reporter {
    pub(super) fn new(
        channel: Channel,
        url: &str,
        resource: &opentelemetry_sdk::Resource,
    ) -> Reporter {
        let attributes = resource.iter();
        let attributes = attributes.map(|(key, value)| attribute(key.as_str(), &value.as_str()));
        let clock = SystemClock::new();
        Reporter {
            client: Client::new(channel),
            url: url.to_owned(),
            resource: Resource {
                attributes: attributes.collect(),
                ..Resource::default()
            },
            begun: nanos(&clock),
            clock,
            logged: LogOnce::default(),
        }
    }

    /// Sends the metrics until the member stops, and then once more.
    pub(super) async fn run(mut self, metrics: Arc<Metrics>, handle: Handle, every: Duration) {
        let mut ticks = interval(every);
        // A collector that was slow is not sent several reports at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = handle.stopping().cancelled() => break,
                _ = ticks.tick() => {}
            }
            let report = self.report(&metrics, &handle);
            tokio::select! {
                biased;
                () = handle.stopping().cancelled() => break,
                () = report => {}
            }
        }
        let _ = timeout(SHUTDOWN_MAX, self.report(&metrics, &handle)).await;
    }

    async fn report(&mut self, metrics: &Arc<Metrics>, handle: &Handle) {
        let Some(families) = metrics.families(handle).await else {
            return;
        };
        let times = Times {
            begun: self.begun,
            now: nanos(&self.clock),
        };
        let request = service::ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(InstrumentationScope {
                        name: "conclave".to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    metrics: families
                        .iter()
                        .filter_map(|one| metric(one, times))
                        .collect(),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        };
        let url = &self.url;
        match self.client.export(request).await {
            Ok(_) => self.logged.forget("report"),
            Err(status) if self.logged.is_new("report", self.clock.now()) => {
                let code = status.code().to_string();
                tracing::warn!(url, code, "metrics cannot be sent to the collector");
            }
            Err(_) => {}
        }
    }
}

fn nanos(clock: &SystemClock) -> u64 {
    u64::try_from(clock.wall_ms()).unwrap_or_default() * 1_000_000
}

/// Returns a family as OTLP has it. There are no summaries here.
fn metric(family: &MetricFamily, times: Times) -> Option<Metric> {
    let series = family.get_metric().iter();
    let cumulative = AggregationTemporality::Cumulative as i32;
    let numbers = |value: fn(&proto::Metric) -> f64| {
        let points = family.get_metric().iter();
        let point = |one| number(one, value(one), times);
        points.map(point).collect()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: numbers(|one| one.get_counter().get_value()),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::GAUGE => Data::Gauge(Gauge {
            data_points: numbers(|one| one.get_gauge().get_value()),
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: series.map(|one| histogram(one, times)).collect(),
            aggregation_temporality: cumulative,
        }),
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn number(series: &proto::Metric, value: f64, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: times.begun,
        time_unix_nano: times.now,
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn histogram(series: &proto::Metric, times: Times) -> HistogramDataPoint {
    let histogram = series.get_histogram();
    let (mut explicit_bounds, mut bucket_counts, mut before) = (Vec::new(), Vec::new(), 0);
    // Prometheus counts in each bucket what is in the smaller ones, too, and OTLP does not.
    for bucket in histogram.get_bucket() {
        let upper_bound = bucket.upper_bound();
        if upper_bound.is_finite() {
            explicit_bounds.push(upper_bound);
            bucket_counts.push(bucket.cumulative_count().saturating_sub(before));
            before = bucket.cumulative_count();
        }
    }
    let count = histogram.get_sample_count();
    bucket_counts.push(count.saturating_sub(before));
    HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: times.begun,
        time_unix_nano: times.now,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}

fn attributes(series: &proto::Metric) -> Vec<KeyValue> {
    let labels = series.get_label().iter();
    labels
        .map(|label| attribute(label.name(), label.value()))
        .collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector as _;
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

    use super::*;

    const TIMES: Times = Times { begun: 1, now: 2 };

    #[test]
    fn a_counter_is_a_sum_that_only_rises() {
        let counter = IntCounterVec::new(Opts::new("a_total", "How many."), &["who"]);
        let counter = counter.expect("a fresh name");
        counter.with_label_values(&["me"]).inc_by(3);
        let metric = metric(&counter.collect()[0], TIMES).expect("it has a form");
        assert_eq!(
            (&*metric.name, &*metric.description),
            ("a_total", "How many.")
        );
        let Some(Data::Sum(sum)) = metric.data else {
            panic!("{metric:?}");
        };
        assert!(sum.is_monotonic);
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(Value::AsDouble(3.0)));
        assert_eq!(point.attributes, [attribute("who", "me")]);
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
    }

    #[test]
    fn a_histograms_buckets_do_not_overlap() {
        let options = HistogramOpts::new("a_seconds", "How long.").buckets(vec![1.0, 2.0]);
        let histogram = HistogramVec::new(options, &[]).expect("a fresh name");
        let times: &[f64] = &[0.5, 0.6, 1.5, 9.0];
        for time in times {
            histogram.with_label_values::<&str>(&[]).observe(*time);
        }
        let metric = metric(&histogram.collect()[0], TIMES).expect("it has a form");
        let Some(Data::Histogram(histogram)) = metric.data else {
            panic!("{metric:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.explicit_bounds, [1.0, 2.0]);
        assert_eq!(point.bucket_counts, [2, 1, 1]);
        assert_eq!((point.count, point.sum), (4, Some(11.6)));
    }
}
