//! The rows of the comparison: a figure of each server, their ratio, and the target if there is
//! one.

use serde::Serialize;

use crate::compare::restart::Restarted;
use crate::compare::scenario::{Contender, Scenario};
use crate::stats::{Measured, ServerUse};

/// A target of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Conclave's figure divided by etcd's.
    RatioAtMost(f64),
    /// Conclave's figure divided by etcd's.
    RatioAtLeast(f64),
    /// Conclave's figure alone.
    AtMost(f64),
    /// Conclave's figure alone.
    AtLeast(f64),
}

impl Target {
    /// Returns true if the target is met; `None` if that is unknown.
    fn met(self, ours: Option<f64>, ratio: Option<f64>) -> Option<bool> {
        match self {
            Target::RatioAtMost(bound) => ratio.map(|ratio| ratio <= bound),
            Target::RatioAtLeast(bound) => ratio.map(|ratio| ratio >= bound),
            Target::AtMost(bound) => ours.map(|ours| ours <= bound),
            Target::AtLeast(bound) => ours.map(|ours| ours >= bound),
        }
    }
}

/// One figure of both servers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) figure: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) conclave: Option<f64>,
    pub(crate) etcd: Option<f64>,
    /// Conclave's figure divided by etcd's.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Option<Target>,
    /// True if the target is met.
    pub(crate) met: Option<bool>,
}

impl Row {
    pub(crate) fn missed(&self) -> bool {
        self.met == Some(false)
    }
}

/// Reads a figure of a contender; `None` if the contender does not have it.
type Reading = Box<dyn Fn(&Contender) -> Option<f64>>;
/// Its name, its unit, how it is read, and the target.
type Figure = (&'static str, &'static str, Reading, Option<Target>);

/// The rows that have a figure.
pub(crate) fn rows(contenders: &[Contender]) -> Vec<Row> {
    let by_name = |name| contenders.iter().find(|contender| contender.name == name);
    let (conclave, etcd) = (by_name("conclave"), by_name("etcd"));
    figures()
        .into_iter()
        .map(|(figure, unit, of, target)| {
            row(
                figure,
                unit,
                conclave.and_then(&of),
                etcd.and_then(&of),
                target,
            )
        })
        .filter(|row| row.conclave.is_some() || row.etcd.is_some())
        .collect()
}

fn row(
    figure: &'static str,
    unit: &'static str,
    conclave: Option<f64>,
    etcd: Option<f64>,
    target: Option<Target>,
) -> Row {
    let ratio = conclave
        .zip(etcd)
        .filter(|(_, etcd)| *etcd > 0.0)
        .map(|(ours, etcd)| ours / etcd);
    let met = target.and_then(|target| target.met(conclave, ratio));
    Row {
        figure,
        unit,
        conclave,
        etcd,
        ratio,
        target,
        met,
    }
}

fn measured(scenario: Scenario, of: fn(&Measured) -> f64) -> Reading {
    Box::new(move |contender| contender.results.get(&scenario).map(of))
}

fn server(scenario: Scenario, of: fn(&ServerUse) -> f64) -> Reading {
    Box::new(move |contender| {
        contender
            .results
            .get(&scenario)?
            .server
            .as_ref()
            .filter(|used| used.processes > 0)
            .map(of)
    })
}

fn restart(of: fn(&Restarted) -> f64) -> Reading {
    Box::new(move |contender| contender.restart.as_ref().map(of))
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// All figures, in the order shown.
fn figures() -> Vec<Figure> {
    [
        of_puts(),
        of_gets(),
        of_ranges(),
        at_a_rate(),
        of_restarts(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn cpu(scenario: Scenario) -> Reading {
    server(scenario, |used| used.cpu_ms_per_1000)
}

fn rate(scenario: Scenario) -> Reading {
    measured(scenario, |measured| measured.per_second)
}

fn p50(scenario: Scenario) -> Reading {
    measured(scenario, |measured| measured.latency_us.p50 / 1e3)
}

fn p99(scenario: Scenario) -> Reading {
    measured(scenario, |measured| measured.latency_us.p99 / 1e3)
}

fn slowest(scenario: Scenario) -> Reading {
    measured(scenario, |measured| measured.latency_us.max / 1e3)
}

/// Figures of puts, and of the server after them.
fn of_puts() -> Vec<Figure> {
    use Scenario::*;
    use Target::*;
    let disk: Reading = Box::new(|contender| contender.disk_bytes_after_put.map(mebibytes));
    vec![
        (
            "put: server CPU per 1,000",
            "ms",
            cpu(Put),
            Some(RatioAtMost(0.4)),
        ),
        ("put: throughput", "/s", rate(Put), Some(RatioAtLeast(1.5))),
        ("put: latency p50", "ms", p50(Put), None),
        ("put: latency p99", "ms", p99(Put), None),
        ("put: slowest", "ms", slowest(Put), None),
        (
            "after the puts: RSS",
            "MiB",
            server(Put, |used| mebibytes(used.rss_bytes)),
            Some(RatioAtMost(0.25)),
        ),
        (
            "after the puts: peak RSS",
            "MiB",
            server(Put, |used| mebibytes(used.peak_rss_bytes)),
            Some(RatioAtMost(0.25)),
        ),
        (
            "after the puts: RSS, anonymous",
            "MiB",
            server(Put, |used| mebibytes(used.anonymous_bytes)),
            None,
        ),
        ("after the puts: data directory", "MiB", disk, None),
    ]
}

/// Figures of gets.
fn of_gets() -> Vec<Figure> {
    use Scenario::*;
    use Target::*;
    let of_all_to_leader: Reading = Box::new(|contender| {
        let rate = |scenario| contender.results.get(scenario).map(|of| of.per_second);
        Some(rate(&Get)? / rate(&GetOfLeader)?)
    });
    vec![
        (
            "get: server CPU per 1,000",
            "ms",
            cpu(Get),
            Some(RatioAtMost(0.33)),
        ),
        ("get: throughput", "/s", rate(Get), None),
        ("get: latency p99", "ms", p99(Get), None),
        (
            "get of the leader alone: throughput",
            "/s",
            rate(GetOfLeader),
            None,
        ),
        ("get of the leader alone: p99", "ms", p99(GetOfLeader), None),
        (
            "get: all members to the leader alone",
            "x",
            of_all_to_leader,
            Some(AtLeast(1.0)),
        ),
        (
            "get after the puts: server CPU per 1,000",
            "ms",
            cpu(GetAfterPut),
            None,
        ),
        (
            "get after the puts: throughput",
            "/s",
            rate(GetAfterPut),
            None,
        ),
        (
            "get serializable: server CPU per 1,000",
            "ms",
            cpu(GetSerializable),
            Some(RatioAtMost(0.33)),
        ),
        (
            "get serializable: throughput",
            "/s",
            rate(GetSerializable),
            None,
        ),
    ]
}

/// Figures of ranges, counts and transactions.
fn of_ranges() -> Vec<Figure> {
    use Scenario::*;
    use Target::*;
    vec![
        (
            "range of 100: server CPU per 1,000",
            "ms",
            cpu(Range),
            Some(RatioAtMost(0.35)),
        ),
        ("range of 100: throughput", "/s", rate(Range), None),
        (
            "range of 10,000: server CPU per 1,000",
            "ms",
            cpu(RangeLong),
            Some(RatioAtMost(0.4)),
        ),
        ("range of 10,000: throughput", "/s", rate(RangeLong), None),
        (
            "after the long ranges: peak RSS",
            "MiB",
            server(RangeLong, |used| mebibytes(used.peak_rss_bytes)),
            None,
        ),
        ("count of all: server CPU per 1,000", "ms", cpu(Count), None),
        ("count of all: throughput", "/s", rate(Count), None),
        (
            "page of 100, with the count: server CPU per 1,000",
            "ms",
            cpu(Page),
            None,
        ),
        (
            "page of 100, with the count: throughput",
            "/s",
            rate(Page),
            None,
        ),
        ("txn: server CPU per 1,000", "ms", cpu(Txn), None),
        ("txn: throughput", "/s", rate(Txn), None),
    ]
}

/// Figures of puts at a rate, watches and keep-alives.
fn at_a_rate() -> Vec<Figure> {
    use Scenario::*;
    use Target::*;
    let last = measured(WatchFanout, |measured| measured.second_latency_us.p50 / 1e3);
    vec![
        (
            "put, 500/s: server CPU per 1,000",
            "ms",
            cpu(PutOpen),
            Some(RatioAtMost(0.4)),
        ),
        ("put, 500/s: latency p50", "ms", p50(PutOpen), None),
        ("put, 500/s: latency p99", "ms", p99(PutOpen), None),
        (
            "fan-out: server CPU per 1,000 delivered",
            "ms",
            cpu(WatchFanout),
            Some(RatioAtMost(0.5)),
        ),
        ("fan-out: put to last of 1,000, p50", "ms", last, None),
        (
            "fan-out, stream each: CPU per 1,000",
            "ms",
            cpu(WatchFanoutStreams),
            None,
        ),
        ("watch, 100/s: latency p50", "ms", p50(WatchLatency), None),
        ("watch, 100/s: latency p99", "ms", p99(WatchLatency), None),
        (
            "keep-alive: server CPU per 1,000",
            "ms",
            cpu(KeepAlive),
            None,
        ),
        ("keep-alive: throughput", "/s", rate(KeepAlive), None),
    ]
}

/// Figures of restarts.
fn of_restarts() -> Vec<Figure> {
    use Target::*;
    vec![
        (
            "restart after stop: first read",
            "s",
            restart(|r| r.seconds_after_stop),
            Some(AtMost(2.0)),
        ),
        (
            "restart after kill: first read",
            "s",
            restart(|r| r.seconds_after_kill),
            Some(AtMost(2.0)),
        ),
        (
            "restart: CPU until quiet",
            "s",
            restart(|r| r.cpu_seconds),
            None,
        ),
        (
            "restart: RSS",
            "MiB",
            restart(|r| mebibytes(r.rss_bytes)),
            None,
        ),
        (
            "restart: data directory",
            "MiB",
            restart(|r| mebibytes(r.disk_bytes)),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_met_at_their_bound_and_not_beyond() {
        let met = |ours, etcd, target| row("x", "ms", ours, etcd, Some(target)).met;
        assert_eq!(
            met(Some(5.0), Some(10.0), Target::RatioAtMost(0.5)),
            Some(true)
        );
        assert_eq!(
            met(Some(5.1), Some(10.0), Target::RatioAtMost(0.5)),
            Some(false)
        );
        assert_eq!(
            met(Some(14.0), Some(10.0), Target::RatioAtLeast(1.5)),
            Some(false)
        );
        assert_eq!(met(Some(2.0), None, Target::AtMost(2.0)), Some(true));
        assert_eq!(met(Some(0.9), None, Target::AtLeast(1.0)), Some(false));
        assert_eq!(met(None, Some(10.0), Target::RatioAtMost(0.5)), None);
        assert_eq!(met(Some(1.0), Some(0.0), Target::RatioAtMost(0.5)), None);
    }
}
