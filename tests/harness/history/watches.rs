//! Whether a watcher was told the truth, the whole truth and nothing but the truth.

use std::collections::BTreeSet;

use super::{Event, Truth, Violation};

/// Compares what was told to a watcher of keys beginning with `prefix`, from revision `from` on,
/// with the truth up to `last`.
pub fn check(
    watcher: &str,
    told: &[Event],
    truth: &Truth,
    prefix: &str,
    (from, last): (i64, i64),
) -> Vec<Violation> {
    let concerns =
        |event: &&Event| event.key.starts_with(prefix) && (from..=last).contains(&event.revision);
    let expected: Vec<&Event> = truth.events().iter().filter(concerns).collect();
    let mut violations = order(watcher, told);
    let told_set: BTreeSet<_> = told
        .iter()
        .map(|event| (event.revision, &event.key))
        .collect();
    for event in &expected {
        if !told_set.contains(&(event.revision, &event.key)) {
            violations.push(Violation::new(
                "an event was lost",
                format!("{watcher}: {event:?}"),
            ));
        }
    }
    for event in told.iter().filter(|event| event.revision <= last) {
        let right = truth.change(&event.key, event.revision) == Some(event.put.as_ref());
        if !right || !concerns(&event) {
            let rule = "an event that never was";
            violations.push(Violation::new(rule, format!("{watcher}: {event:?}")));
        }
    }
    // Where no rule above says what it is, it is different all the same.
    let same = told
        .iter()
        .filter(|event| event.revision <= last)
        .eq(expected.iter().copied());
    if violations.is_empty() && !same {
        let rule = "events in another order";
        violations.push(Violation::new(rule, watcher));
    }
    violations
}

/// Revisions go up, and a key occurs in each once.
fn order(watcher: &str, told: &[Event]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen = BTreeSet::new();
    let mut highest = 0;
    for event in told {
        if !seen.insert((event.revision, &event.key)) {
            let details = format!("{watcher}: {event:?}");
            violations.push(Violation::new("an event was repeated", details));
        } else if event.revision < highest {
            let details = format!("{watcher}: {event:?} after {highest}");
            violations.push(Violation::new("a watch went back in time", details));
        }
        highest = highest.max(event.revision);
    }
    violations
}
