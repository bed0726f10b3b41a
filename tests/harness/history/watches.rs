//! Checks that a watcher received exactly its part of the truth.

use std::collections::BTreeSet;

use super::{Event, Truth, Violation};

/// Compares the events received by a watcher of this prefix, from revision `from` on, with the
/// truth up to `last`.
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
            let rule = "an event outside the history";
            violations.push(Violation::new(rule, format!("{watcher}: {event:?}")));
        }
    }
    // A difference that none of the rules above describes is a violation, too.
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

/// Checks that revisions ascend, and that a key occurs once in each.
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
