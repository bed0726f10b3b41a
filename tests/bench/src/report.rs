//! Reports: tables for people, JSON for programs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::compare::Comparison;
use crate::compare::restart::Restarted;
use crate::compare::verdict::{Row, Target};
use crate::stats::{Latency, Measured};
use crate::wire::Failure;

/// Figures are marked if other processes used more than this share of processor time.
const OTHERS_MUCH: f64 = 0.1;

/// Prints a note about the course of a run to standard error.
pub(crate) fn note(text: &str) {
    // Nothing can be done about a closed standard error.
    drop(writeln!(io::stderr(), "{text}"));
}

/// Prints the result of one workload.
pub(crate) fn measured(measured: &Measured, json: Option<&Path>) -> Result<(), Failure> {
    publish(&measured_text(measured), measured, json)
}

/// Prints the result of a comparison.
pub(crate) fn comparison(comparison: &Comparison, json: Option<&Path>) -> Result<(), Failure> {
    publish(&comparison_text(comparison), comparison, json)
}

/// Prints the result of `restart`.
pub(crate) fn restarted(restarted: &Restarted, json: Option<&Path>) -> Result<(), Failure> {
    publish(&(restart_line(restarted) + "\n"), restarted, json)
}

/// Prints the result of `failover`, `catch-up` or `large-reads`: lines of text, and the full JSON.
pub(crate) fn lines(
    lines: &[String],
    value: &impl Serialize,
    json: Option<&Path>,
) -> Result<(), Failure> {
    publish(&(lines.join("\n") + "\n"), value, json)
}

/// With `-` prints the JSON instead of the text; with any other path prints the text and writes the
/// JSON to the file.
fn publish(text: &str, value: &impl Serialize, json: Option<&Path>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let encode =
        || serde_json::to_string_pretty(value).map_err(|error| Failure(format!("json: {error}")));
    match json {
        Some(path) if path == Path::new("-") => writeln!(stdout, "{}", encode()?)?,
        Some(path) => {
            fs::write(path, encode()? + "\n")?;
            write!(stdout, "{text}")?;
        }
        None => write!(stdout, "{text}")?,
    }
    Ok(())
}

/// One line about a workload.
pub(crate) fn line(measured: &Measured) -> String {
    let cpu = measured
        .server
        .map(|used| format!(", server {:.1} ms CPU per 1,000", used.cpu_ms_per_1000))
        .unwrap_or_default();
    let errors = match measured.error_count() {
        0 => String::new(),
        count => format!(", {count} ERRORS"),
    };
    let others = if measured.other_cpu_share > OTHERS_MUCH {
        format!(
            " (others used {:.0} % of the machine)",
            measured.other_cpu_share * 100.0
        )
    } else {
        String::new()
    };
    format!(
        "{}: {} in {:.1} s, {:.0}/s, p50 {:.2} ms, p99 {:.2} ms{cpu}{errors}{others}",
        measured.workload,
        measured.requests,
        measured.seconds,
        measured.per_second,
        measured.latency_us.p50 / 1e3,
        measured.latency_us.p99 / 1e3,
    )
}

/// One line about a restart.
pub(crate) fn restart_line(restarted: &Restarted) -> String {
    format!(
        "restart with {} keys: first read {:.2} s after kill, {:.2} s after stop \
         (stopped in {:.2} s), {:.2} s CPU until quiet, RSS {:.0} MiB",
        restarted.keys,
        restarted.seconds_after_kill,
        restarted.seconds_after_stop,
        restarted.seconds_to_stop,
        restarted.cpu_seconds,
        mebibytes(restarted.rss_bytes),
    )
}

fn measured_text(measured: &Measured) -> String {
    let mut cells = vec![
        vec!["workload".into(), measured.workload.clone()],
        vec!["requests".into(), measured.requests.to_string()],
        vec!["errors".into(), measured.error_count().to_string()],
        vec!["seconds".into(), format!("{:.2}", measured.seconds)],
        vec!["per second".into(), format!("{:.0}", measured.per_second)],
    ];
    for (text, count) in &measured.errors {
        cells.push(vec!["  error".into(), format!("{count} x {text}")]);
    }
    cells.push(vec!["latency".into(), latency(&measured.latency_us)]);
    cells.push(vec![
        format!("  {}", measured.second_latency_is),
        latency(&measured.second_latency_us),
    ]);
    if let Some(used) = measured.server {
        cells.push(vec![
            "server CPU".into(),
            format!(
                "{:.2} s, {:.2} s after the run; {:.2} ms per 1,000",
                used.cpu_seconds, used.cpu_seconds_after, used.cpu_ms_per_1000
            ),
        ]);
        cells.push(vec![
            "server memory".into(),
            format!(
                "RSS {:.1} MiB ({:.1} anonymous), peak {:.1} MiB",
                mebibytes(used.rss_bytes),
                mebibytes(used.anonymous_bytes),
                mebibytes(used.peak_rss_bytes)
            ),
        ]);
    }
    cells.push(vec![
        "generator CPU".into(),
        format!("{:.2} s", measured.client_cpu_seconds),
    ]);
    cells.push(vec![
        "others' CPU".into(),
        format!("{:.0} %", measured.other_cpu_share * 100.0),
    ]);
    for (name, value) in &measured.extra {
        cells.push(vec![name.clone(), number(*value)]);
    }
    table(&cells, &[])
}

fn latency(latency: &Latency) -> String {
    let ms = |us: f64| number(us / 1e3);
    format!(
        "mean {}  p50 {}  p90 {}  p99 {}  p99.9 {}  max {} ms",
        ms(latency.mean),
        ms(latency.p50),
        ms(latency.p90),
        ms(latency.p99),
        ms(latency.p99_9),
        ms(latency.max)
    )
}

fn comparison_text(comparison: &Comparison) -> String {
    let host = &comparison.host;
    let mut text = format!(
        "{} x {}, {:.1} GiB, Linux {}, {} on {}\n\
         load {:.2} before the run; one synced 1.3 KB append: p50 {:.0} us, p99 {:.0} us\n\
         {} to a cluster, {} connections, {} clients, keys of {} B, values of {} B\n",
        host.processors,
        host.processor,
        mebibytes(host.memory_bytes) / 1024.0,
        host.kernel,
        host.file_system,
        host.device,
        host.load_average,
        host.sync_p50_us,
        host.sync_p99_us,
        comparison.members,
        comparison.connections,
        comparison.clients,
        comparison.key_size,
        comparison.value_size,
    );
    if let Some(percent) = comparison.cpu_percent {
        text += &format!("each member limited to {percent} % of a processor\n");
    }
    if comparison.tls {
        text += "TLS 1.3 for clients and peers, with certificates on both sides\n";
    }
    if comparison.auth {
        text += "authentication enabled, requests with a simple token of root\n";
    }
    for contender in &comparison.contenders {
        text += &format!("{}: {}\n", contender.name, contender.version);
    }
    text.push('\n');
    let head = ["", "unit", "conclave", "etcd", "ratio", "target", ""];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    cells.extend(comparison.rows.iter().map(row));
    text += &table(&cells, &[2, 3, 4]);
    for contender in &comparison.contenders {
        for (scenario, measured) in &contender.results {
            for (error, count) in &measured.errors {
                text += &format!(
                    "ERRORS {} {scenario:?}: {count} x {error}\n",
                    contender.name
                );
            }
            if measured.other_cpu_share > OTHERS_MUCH {
                text += &format!(
                    "note: {} {scenario:?}: others used {:.0} % of the machine\n",
                    contender.name,
                    measured.other_cpu_share * 100.0
                );
            }
        }
    }
    text
}

fn row(row: &Row) -> Vec<String> {
    let cell = |value: Option<f64>| value.map_or_else(|| "-".into(), number);
    let target = match row.target {
        Some(Target::RatioAtMost(bound)) => format!("ratio <= {bound}"),
        Some(Target::RatioAtLeast(bound)) => format!("ratio >= {bound}"),
        Some(Target::AtMost(bound)) => format!("<= {bound} {}", row.unit),
        Some(Target::AtLeast(bound)) => format!(">= {bound} {}", row.unit),
        None => String::new(),
    };
    let verdict = match row.met {
        Some(true) => "PASS",
        Some(false) => "MISS",
        None => "",
    };
    vec![
        row.figure.into(),
        row.unit.into(),
        cell(row.conclave),
        cell(row.etcd),
        row.ratio
            .map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
        target,
        verdict.into(),
    ]
}

/// Formats a number with about three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == value.trunc() => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Formats columns as wide as their widest cell; those in `right` are right-aligned.
fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if right.contains(&column) {
                line += &format!("{cell:>width$}  ");
            } else {
                line += &format!("{cell:<width$}  ");
            }
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "22".to_owned()],
        ];
        assert_eq!(table(&rows, &[1]), "a      1\nlong  22\n");
    }

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let shown = [0.1234, 1.234, 12.34, 123.4, 7.0].map(number);
        assert_eq!(shown, ["0.123", "1.23", "12.3", "123", "7"]);
    }
}
