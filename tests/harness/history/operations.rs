//! Checks each operation against the truth and against real time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Effect, Moment, Operation, Outcome, Truth, Violation};

/// Checks all operations on keys with this prefix; no other client may have written there.
pub fn check(operations: &[Operation], truth: &Truth, prefix: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for operation in operations {
        if let Outcome::Done(revision, effect) = &operation.outcome
            && let Some(rule) = misfit(operation, *revision, effect, truth)
        {
            violations.push(violation(rule, operation));
        }
    }
    check_real_time(operations, truth, &mut violations);
    check_origins(operations, truth, prefix, &mut violations);
    violations
}

fn violation(rule: &'static str, operation: &Operation) -> Violation {
    Violation::new(rule, format!("{operation:?}"))
}

/// Which rule the answer violates, given the truth.
fn misfit(
    operation: &Operation,
    revision: i64,
    effect: &Effect,
    truth: &Truth,
) -> Option<&'static str> {
    let key = &operation.key;
    if revision > truth.last() {
        return Some("an answer from an unknown revision");
    }
    let now = truth.at(key, revision);
    let change = truth.change(key, revision);
    let fits = match (&operation.call, effect) {
        (Call::Put(value), Effect::Written) => {
            return (change.flatten().map(|put| &put.value) != Some(value))
                .then_some("a lost write");
        }
        (Call::Delete, Effect::Written) => {
            return (change != Some(None)).then_some("a lost removal");
        }
        (Call::Delete, Effect::Nothing) => now.is_none(),
        (Call::Swap(expected, value), Effect::Written) => {
            if change.flatten().map(|put| &put.value) != Some(value) {
                return Some("a lost swap");
            }
            modified(truth, key, revision - 1) == *expected
        }
        (Call::Swap(expected, _), Effect::Nothing) => modified(truth, key, revision) != *expected,
        (Call::Get | Call::GetLocal, Effect::Read(found)) => found.as_ref() == now,
        _ => false,
    };
    (!fits).then_some("an answer that its revision contradicts")
}

/// The revision of the key's last change, which a swap compares; 0 if the key does not exist.
fn modified(truth: &Truth, key: &str, revision: i64) -> i64 {
    truth
        .at(key, revision)
        .map_or(0, |version| version.modified)
}

/// The highest revision returned to any client by each logical time.
struct Told(Vec<(Moment, i64)>);

impl Told {
    fn new(operations: &[Operation]) -> Self {
        let mut told: Vec<_> = operations
            .iter()
            .filter_map(|operation| match operation.outcome {
                Outcome::Done(revision, _) => Some((operation.returned, revision)),
                Outcome::Refused | Outcome::Unknown => None,
            })
            .collect();
        told.sort_unstable();
        let mut highest = 0;
        for (_, revision) in &mut told {
            highest = highest.max(*revision);
            *revision = highest;
        }
        Self(told)
    }

    fn by(&self, moment: Moment) -> i64 {
        let count = self.0.partition_point(|(returned, _)| *returned < moment);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// Checks that the order of revisions is compatible with real time.
fn check_real_time(operations: &[Operation], truth: &Truth, violations: &mut Vec<Violation>) {
    let told = Told::new(operations);
    let found = revisions_of_values(truth);
    for operation in operations {
        let known = told.by(operation.invoked);
        let rule = match (&operation.outcome, &operation.call) {
            // A serializable read may be stale, as long as its header has the revision it read at.
            (Outcome::Done(..), Call::GetLocal) => None,
            (Outcome::Done(revision, Effect::Written), _) => {
                (*revision <= known).then_some("a write ordered before an earlier answer")
            }
            (Outcome::Done(revision, _), _) => (*revision < known).then_some("a stale read"),
            (Outcome::Unknown, Call::Put(value) | Call::Swap(_, value)) => {
                let early = found
                    .get(value.as_str())
                    .is_some_and(|at| at.iter().any(|r| *r <= known));
                early.then_some("a write ordered before an earlier answer")
            }
            (Outcome::Unknown | Outcome::Refused, _) => None,
        };
        violations.extend(rule.map(|rule| {
            Violation::new(
                rule,
                format!("{operation:?}, when {known} had been answered"),
            )
        }));
    }
}

/// Checks that every event has exactly one request, and that no event stems from a refused request.
fn check_origins(
    operations: &[Operation],
    truth: &Truth,
    prefix: &str,
    violations: &mut Vec<Violation>,
) {
    let mut writers: BTreeMap<&str, &Operation> = BTreeMap::new();
    let mut removals: BTreeSet<(&str, i64)> = BTreeSet::new();
    let mut unknown_removals: BTreeMap<&str, usize> = BTreeMap::new();
    for operation in operations {
        match (&operation.call, &operation.outcome) {
            (Call::Put(value) | Call::Swap(_, value), _) => {
                writers.insert(value, operation);
            }
            (Call::Delete, Outcome::Done(revision, Effect::Written)) => {
                removals.insert((&operation.key, *revision));
            }
            (Call::Delete, Outcome::Unknown) => {
                *unknown_removals.entry(&operation.key).or_default() += 1;
            }
            _ => {}
        }
    }
    for (value, revisions) in revisions_of_values(truth) {
        let details = || format!("{value:?} at {revisions:?}, by {:?}", writers.get(value));
        if revisions.len() > 1 && writers.contains_key(value) {
            violations.push(Violation::new("a write done twice", details()));
        }
        let undone = writers.get(value).is_some_and(|writer| {
            matches!(
                writer.outcome,
                Outcome::Refused | Outcome::Done(_, Effect::Nothing)
            )
        });
        if undone {
            violations.push(Violation::new("a refused write was done", details()));
        }
    }
    for event in truth
        .events()
        .iter()
        .filter(|event| event.key.starts_with(prefix))
    {
        let known = match &event.put {
            Some(put) => writers
                .get(put.value.as_str())
                .is_some_and(|w| w.key == event.key),
            None if removals.contains(&(&event.key, event.revision)) => true,
            // A request without an answer may have caused the event; each explains one event at
            // most.
            None => unknown_removals
                .get_mut(event.key.as_str())
                .and_then(|left| left.checked_sub(1).map(|fewer| *left = fewer))
                .is_some(),
        };
        if !known {
            violations.push(Violation::new(
                "a write that no client requested",
                format!("{event:?}"),
            ));
        }
    }
}

fn revisions_of_values(truth: &Truth) -> BTreeMap<&str, Vec<i64>> {
    let mut found: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for event in truth.events() {
        if let Some(put) = &event.put {
            found.entry(&put.value).or_default().push(event.revision);
        }
    }
    found
}
