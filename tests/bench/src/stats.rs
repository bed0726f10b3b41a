//! Measurements of a run: latencies, errors by text, and the figures derived from them.
//!
//! Times are recorded in nanoseconds, in histograms of three significant digits, and shown in
//! microseconds.
//!
//! Two times are recorded for each request. *Service* time starts when it was sent. *Response* time
//! starts when it was due. Under an open loop they differ when the server falls behind, and
//! response time is the correct one: a request that was delayed behind a stalled one has waited.
//! Under a closed loop a stalled server also stops the clients from sending, and the requests they
//! would have sent are missing from the service times (coordinated omission);
//! [`Recorder::corrected`] adds an estimate of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::wire::Failure;

/// Number of distinct error texts; further ones are counted under one text.
const ERROR_TEXTS_MAX: usize = 32;

/// Measurements of one thread of clients.
pub(crate) struct Recorder {
    service: Histogram<u64>,
    response: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

impl Recorder {
    pub(crate) fn new() -> Recorder {
        Recorder {
            service: histogram(),
            response: histogram(),
            errors: BTreeMap::new(),
        }
    }

    /// Records a successful request.
    pub(crate) fn success(&mut self, service: Duration, response: Duration) {
        self.service.saturating_record(nanoseconds(service));
        self.response.saturating_record(nanoseconds(response));
    }

    /// Records a failed request.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.count_errors(&failure.0, 1);
    }

    fn count_errors(&mut self, text: &str, count: u64) {
        let known = self.errors.contains_key(text) || self.errors.len() < ERROR_TEXTS_MAX;
        let text = if known { text } else { "other" };
        *self.errors.entry(text.to_owned()).or_default() += count;
    }

    /// Adds the measurements of another thread.
    pub(crate) fn merge(&mut self, other: &Recorder) {
        let same = "all histograms here have the same bounds";
        self.service.add(&other.service).expect(same);
        self.response.add(&other.response).expect(same);
        for (text, count) in &other.errors {
            self.count_errors(text, *count);
        }
    }

    /// The number of successful requests.
    pub(crate) fn successes(&self) -> u64 {
        self.service.len()
    }

    pub(crate) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Times from sent to answered.
    pub(crate) fn service(&self) -> Latency {
        Latency::of(&self.service)
    }

    /// Times from due to answered.
    pub(crate) fn response(&self) -> Latency {
        Latency::of(&self.response)
    }

    /// Service times of a closed loop, with the requests added that were not sent while an answer
    /// was late. A client is assumed to send at the mean interval of the run, so an answer late by
    /// several intervals counts as that many requests, each waiting one interval less.
    pub(crate) fn corrected(&self, interval: Duration) -> Latency {
        let interval = nanoseconds(interval);
        if interval == 0 {
            return self.service();
        }
        Latency::of(&self.service.clone_correct(interval))
    }
}

/// Percentiles, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

/// Resources that the server's processes used for a workload, all members together.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ServerUse {
    pub(crate) processes: usize,
    /// Processor seconds from the first request to the last answer.
    pub(crate) cpu_seconds: f64,
    /// Processor seconds from then until the process was idle: deferred work counts, too.
    pub(crate) cpu_seconds_after: f64,
    /// Sum of both, in milliseconds per 1,000 requests answered (events, for a watch), which is the
    /// same number as microseconds per request.
    pub(crate) cpu_ms_per_1000: f64,
    /// Memory at the end.
    pub(crate) rss_bytes: u64,
    /// The part of it that is not backed by a file.
    pub(crate) anonymous_bytes: u64,
    /// Peak memory of the process.
    pub(crate) peak_rss_bytes: u64,
}

/// The result of one workload.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) workload: String,
    /// Successful requests; for a watch, events delivered.
    pub(crate) requests: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Open loop: response time. Closed loop: service time.
    pub(crate) latency_us: Latency,
    /// Closed loop: service time corrected for coordinated omission. Open loop: service time.
    pub(crate) second_latency_us: Latency,
    pub(crate) second_latency_is: &'static str,
    pub(crate) server: Option<ServerUse>,
    /// The generator's own processor seconds. If they are close to `seconds` per thread, the run
    /// measured the generator.
    pub(crate) client_cpu_seconds: f64,
    /// Share of the machine's processor time used by neither server nor generator, including time
    /// stolen by the hypervisor. Above a tenth or so, wall clock figures mean little.
    pub(crate) other_cpu_share: f64,
    /// Figures specific to this workload.
    pub(crate) extra: BTreeMap<String, f64>,
}

impl Measured {
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// A histogram of nanoseconds up to an hour, with three significant digits. Longer times count as
/// an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    let hour = Duration::from_secs(3600);
    Histogram::new_with_max(nanoseconds(hour), 3).expect("an hour and three digits are in range")
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn near(actual: f64, expected: f64) -> bool {
        (actual - expected).abs() <= expected * 0.002
    }

    #[test]
    fn percentiles_of_a_known_series() {
        let mut recorder = Recorder::new();
        for n in 1..=1000 {
            recorder.success(MS * n, MS * n * 2);
        }
        let service = recorder.service();
        assert!(near(service.p50, 500_000.0), "{service:?}");
        assert!(near(service.p99, 990_000.0), "{service:?}");
        assert!(near(service.p99_9, 999_000.0), "{service:?}");
        assert!(near(service.max, 1_000_000.0), "{service:?}");
        assert!(near(service.mean, 500_500.0), "{service:?}");
        assert!(near(recorder.response().p50, 1_000_000.0));
        assert_eq!(recorder.successes(), 1000);
    }

    /// One client sends a request each millisecond, and the server stalls once for a second: plain
    /// service times show one slow answer in a thousand, although no request was served in half of
    /// the time.
    #[test]
    fn a_stall_is_put_back_into_a_closed_loop() {
        let mut recorder = Recorder::new();
        for _ in 0..999 {
            recorder.success(MS, MS);
        }
        recorder.success(MS * 1000, MS * 1000);
        assert!(near(recorder.service().p99, 1_000.0));
        let corrected = recorder.corrected(MS);
        assert!(corrected.p90 > 700_000.0, "{corrected:?}");
        assert!(near(recorder.corrected(Duration::ZERO).p99, 1_000.0));
    }

    #[test]
    fn threads_add_up_and_error_texts_are_bounded() {
        let mut all = Recorder::new();
        let mut one = Recorder::new();
        one.success(MS, MS);
        one.failure(&Failure::new("grpc 14: unavailable"));
        all.merge(&one);
        all.merge(&one);
        assert_eq!(all.successes(), 2);
        assert_eq!(all.errors().get("grpc 14: unavailable"), Some(&2));
        for n in 0..100 {
            all.failure(&Failure(format!("text {n}")));
        }
        assert_eq!(all.errors().len(), ERROR_TEXTS_MAX + 1);
        assert_eq!(all.errors().values().sum::<u64>(), 102);
    }
}
