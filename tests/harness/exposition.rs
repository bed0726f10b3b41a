//! Metric families by name, with their types, labels and buckets: those of a member and those of
//! etcd.

use std::collections::{BTreeMap, BTreeSet};

use crate::http1::Answer;

/// The families etcd 3.7.3 exports, one per line; the head of the file says how it was made.
const ETCD: &str = include_str!("etcd-3.7.3-metrics.tsv");

/// One family of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// counter, gauge or histogram.
    pub kind: String,
    /// Label names.
    pub labels: BTreeSet<String>,
    /// Upper bounds of the buckets, without `+Inf`.
    pub buckets: Vec<String>,
}

/// The families that etcd 3.7.3 exports under these conditions: `always`, `extensive`, `several`.
pub fn of_etcd(conditions: &[&str]) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::new();
    for line in ETCD.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, kind, labels, condition, buckets] = columns[..] else {
            panic!("not five columns: {line}")
        };
        if conditions.contains(&condition) {
            let family = Family {
                kind: kind.to_owned(),
                labels: list(labels, ',').collect(),
                buckets: list(buckets, ' ').collect(),
            };
            families.insert(name.to_owned(), family);
        }
    }
    families
}

fn list(text: &str, between: char) -> impl Iterator<Item = String> {
    let parts = text.split(between).filter(|part| *part != "-");
    parts.map(str::to_owned)
}

/// Parses the families of an exposition.
pub fn families(answer: &Answer) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in answer.body.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').expect("a name and a type");
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            add_series(&mut families, line);
        }
    }
    families
}

fn add_series(families: &mut BTreeMap<String, Family>, line: &str) {
    let (series, _) = line.rsplit_once(' ').expect("a series and a value");
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.trim_end_matches('}')),
        None => (series, ""),
    };
    let parts = ["_bucket", "_sum", "_count"];
    let mut whole = parts.iter().filter_map(|part| name.strip_suffix(part));
    let whole = whole.find(|whole| families.contains_key(*whole));
    let name = whole.unwrap_or(name).to_owned();
    let family = families.get_mut(&name).expect("declared before");
    // None of our label values has a comma or an equals sign.
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (label, value) = label.split_once('=').expect("a name and a value");
        let value = value.trim_matches('"');
        if label != "le" {
            family.labels.insert(label.to_owned());
        } else if value != "+Inf" && !family.buckets.iter().any(|bucket| bucket == value) {
            family.buckets.push(value.to_owned());
        }
    }
}
