//! What a run measured: latencies, errors by text, and the numbers made of them.
//!
//! Times are recorded in nanoseconds, in histograms of three significant digits, and shown in
//! microseconds.
//!
//! Two clocks run for each request. *Service* time is from the moment it was sent. *Response* time
//! is from the moment it was meant to be sent. Under an open loop they differ when the server
//! falls behind, and response time is the truth: a request that waited for its turn behind a
//! stalled one has waited. Under a closed loop a stalled server also stops the clients from
//! asking, and the requests they would have sent are missing from the service times (coordinated
//! omission); [`Recorder::corrected`] puts back an estimate of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::wire::Failure;

/// Texts of errors kept apart; what comes after them is counted under one text.
const ERROR_TEXTS_MAX: usize = 32;

/// What one thread of clients has seen.
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

    /// One request that succeeded.
    pub(crate) fn success(&mut self, service: Duration, response: Duration) {
        self.service.saturating_record(nanoseconds(service));
        self.response.saturating_record(nanoseconds(response));
    }

    /// One request that did not.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.count_errors(&failure.0, 1);
    }

    fn count_errors(&mut self, text: &str, count: u64) {
        let known = self.errors.contains_key(text) || self.errors.len() < ERROR_TEXTS_MAX;
        let text = if known { text } else { "other" };
        *self.errors.entry(text.to_owned()).or_default() += count;
    }

    /// Adds what another thread has seen.
    pub(crate) fn merge(&mut self, other: &Recorder) {
        let same = "all histograms here have the same bounds";
        self.service.add(&other.service).expect(same);
        self.response.add(&other.response).expect(same);
        for (text, count) in &other.errors {
            self.count_errors(text, *count);
        }
    }

    /// Requests that succeeded.
    pub(crate) fn successes(&self) -> u64 {
        self.service.len()
    }

    pub(crate) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// From sent to answered.
    pub(crate) fn service(&self) -> Latency {
        Latency::of(&self.service)
    }

    /// From meant to be sent to answered.
    pub(crate) fn response(&self) -> Latency {
        Latency::of(&self.response)
    }

    /// Service times of a closed loop with the requests put back that were not sent while an
    /// answer was late: a client is taken to ask at the mean interval of the run, so an answer
    /// late by several intervals stands for as many requests, each waiting one interval less.
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

/// What the server's processes used for a workload, all of a cluster together.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ServerUse {
    pub(crate) processes: usize,
    /// Processor seconds from the first request to the last answer.
    pub(crate) cpu_seconds: f64,
    /// Processor seconds from there until the process was quiet: work put off is work all the
    /// same.
    pub(crate) cpu_seconds_after: f64,
    /// Both of the above, in milliseconds, for 1,000 requests answered (events, for a watch):
    /// the same number as microseconds for one.
    pub(crate) cpu_ms_per_1000: f64,
    /// Memory at the end.
    pub(crate) rss_bytes: u64,
    /// Of that, what is not backed by a file.
    pub(crate) anonymous_bytes: u64,
    /// Most memory ever held by the process.
    pub(crate) peak_rss_bytes: u64,
}

/// The result of one workload.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) workload: String,
    /// Requests that succeeded; for a watch, events delivered.
    pub(crate) requests: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    /// First request to last answer.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Open loop: from the intended start. Closed loop: service time.
    pub(crate) latency_us: Latency,
    /// Closed loop: service time corrected for coordinated omission. Open loop: service time.
    pub(crate) second_latency_us: Latency,
    pub(crate) second_latency_is: &'static str,
    pub(crate) server: Option<ServerUse>,
    /// The generator's own processor seconds: near `seconds` for each of its threads, it was the
    /// generator that was measured.
    pub(crate) client_cpu_seconds: f64,
    /// Share of the machine's processor time that went to neither server nor generator, the
    /// hypervisor's theft included. Above a tenth or so, wall clock figures mean little.
    pub(crate) other_cpu_share: f64,
    /// What only this workload has to say.
    pub(crate) extra: BTreeMap<String, f64>,
}

impl Measured {
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Of nanoseconds, up to an hour; three digits. What is longer counts as an hour.
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

    /// One client asks each millisecond, and the server stalls once for a second: plain service
    /// times show one slow answer of a thousand, though half of the time nobody was served.
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
