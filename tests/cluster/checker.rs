//! Bad histories, each a small change of a good one, in which the checker must find the violation.
//! Without these tests a checker that finds nothing would pass.

use std::time::{Duration, Instant};

use harness::history::{
    Call, Effect, Event, Hold, Life, Operation, Outcome, Truth, Version, Violation, operations,
    sessions, watches,
};

/// `a=1@2, a=2@3, -a@4, b=3@5`, each by its own client, one after the other.
fn good() -> (Vec<Operation>, Vec<Event>) {
    let written = |revision| Outcome::Done(revision, Effect::Written);
    let operations = vec![
        done(0, "a", Call::Put("1".into()), written(2)),
        done(1, "a", Call::Swap(2, "2".into()), written(3)),
        done(2, "a", Call::Delete, written(4)),
        done(3, "b", Call::Put("3".into()), written(5)),
        done(
            4,
            "b",
            Call::Get,
            Outcome::Done(5, Effect::Read(Some(version("3", 5, 5, 1)))),
        ),
        done(
            5,
            "a",
            Call::GetLocal,
            Outcome::Done(3, Effect::Read(Some(version("2", 2, 3, 2)))),
        ),
        done(
            6,
            "a",
            Call::Swap(3, "4".into()),
            Outcome::Done(5, Effect::Nothing),
        ),
        done(7, "a", Call::Put("5".into()), Outcome::Unknown),
        done(8, "a", Call::Put("6".into()), Outcome::Refused),
    ];
    let events = vec![
        event(2, "a", Some(version("1", 2, 2, 1))),
        event(3, "a", Some(version("2", 2, 3, 2))),
        event(4, "a", None),
        event(5, "b", Some(version("3", 5, 5, 1))),
    ];
    (operations, events)
}

/// The operation at this position: each is invoked after the previous one has returned.
fn done(place: usize, key: &str, call: Call, outcome: Outcome) -> Operation {
    let invoked = 10 * place as u64;
    let key = key.to_owned();
    Operation {
        client: place,
        key,
        call,
        invoked,
        returned: invoked + 5,
        outcome,
    }
}

fn event(revision: i64, key: &str, put: Option<Version>) -> Event {
    Event {
        revision,
        key: key.to_owned(),
        put,
    }
}

fn version(value: &str, created: i64, modified: i64, version: i64) -> Version {
    Version {
        value: value.to_owned(),
        created,
        modified,
        version,
        lease: 0,
    }
}

/// The rules violated by a change of the good history.
fn broken(change: impl FnOnce(&mut Vec<Operation>, &mut Vec<Event>)) -> Vec<&'static str> {
    let (mut operations, mut events) = good();
    change(&mut operations, &mut events);
    let (truth, mut violations) = Truth::replay(events);
    violations.extend(operations::check(&operations, &truth, ""));
    rules(&violations)
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(|violation| violation.rule).collect()
}

#[test]
fn a_good_history_is_good() {
    assert_eq!(broken(|_, _| ()), Vec::<&str>::new());
}

#[test]
fn a_write_without_an_answer_may_have_been_done() {
    let broken = broken(|_, events| events.push(event(6, "a", Some(version("5", 6, 6, 1)))));
    assert_eq!(broken, Vec::<&str>::new());
}

#[test]
fn a_lost_write() {
    let broken = broken(|_, events| drop(events.pop()));
    assert!(
        broken.contains(&"an answer from an unknown revision"),
        "{broken:?}"
    );
    let broken = self::broken(|_, events| {
        events[3].put = Some(version("5", 5, 5, 1));
        events[3].key = "a".to_owned();
    });
    assert!(broken.contains(&"a lost write"), "{broken:?}");
}

#[test]
fn a_lost_removal() {
    let broken = broken(|_, events| events[2].put = Some(version("5", 2, 4, 3)));
    assert!(broken.contains(&"a lost removal"), "{broken:?}");
}

#[test]
fn a_write_done_twice() {
    let broken = broken(|_, events| {
        events.push(event(6, "a", Some(version("5", 6, 6, 1))));
        events.push(event(7, "a", Some(version("5", 6, 7, 2))));
    });
    assert_eq!(broken, ["a write done twice"]);
}

#[test]
fn a_refused_write_that_was_done() {
    let broken = broken(|_, events| events.push(event(6, "a", Some(version("6", 6, 6, 1)))));
    assert_eq!(broken, ["a refused write was done"]);
}

#[test]
fn a_write_nobody_asked_for() {
    let broken = broken(|_, events| events.push(event(6, "c", Some(version("x", 6, 6, 1)))));
    assert_eq!(broken, ["a write that no client requested"]);
    let broken = self::broken(|_, events| events.push(event(6, "b", None)));
    assert_eq!(broken, ["a write that no client requested"]);
}

#[test]
fn a_stale_read() {
    let stale = Outcome::Done(4, Effect::Read(None));
    let broken = broken(|operations, _| operations[4].outcome = stale);
    assert_eq!(broken, ["a stale read"]);
}

#[test]
fn a_read_of_another_value() {
    let wrong = Outcome::Done(5, Effect::Read(Some(version("1", 5, 5, 1))));
    let broken = broken(|operations, _| operations[4].outcome = wrong);
    assert_eq!(broken, ["an answer that its revision contradicts"]);
    let wrong = Outcome::Done(2, Effect::Read(Some(version("2", 2, 3, 2))));
    let broken = self::broken(|operations, _| operations[5].outcome = wrong);
    assert_eq!(
        broken,
        ["an answer that its revision contradicts"],
        "also by a local read"
    );
}

#[test]
fn a_swap_that_should_have_failed() {
    let broken = broken(|operations, _| operations[1].call = Call::Swap(0, "2".into()));
    assert_eq!(broken, ["an answer that its revision contradicts"]);
}

#[test]
fn a_swap_that_should_have_succeeded() {
    let broken = broken(|operations, _| operations[6].call = Call::Swap(0, "4".into()));
    assert_eq!(broken, ["an answer that its revision contradicts"]);
}

#[test]
fn revisions_against_time() {
    let broken = broken(|operations, _| {
        operations[3].invoked = 0;
        operations[3].returned = 1;
        operations[2].invoked = 2;
    });
    assert!(
        broken.contains(&"a write ordered before an earlier answer"),
        "{broken:?}"
    );
}

#[test]
fn a_gap_and_a_store_like_no_other() {
    let broken = broken(|_, events| drop(events.remove(1)));
    assert!(broken.contains(&"a gap in the revisions"), "{broken:?}");
    let broken = self::broken(|_, events| events[1].put = Some(version("2", 3, 3, 1)));
    assert!(broken.contains(&"an impossible change"), "{broken:?}");
}

/// The rules violated by a change of the events that a watcher of `a` received.
fn told(change: impl FnOnce(&mut Vec<Event>)) -> Vec<&'static str> {
    let (_, events) = good();
    let (truth, _) = Truth::replay(events.clone());
    let mut told = events;
    told.retain(|event| event.key == "a");
    change(&mut told);
    rules(&watches::check("w", &told, &truth, "a", (1, 5)))
}

#[test]
fn a_watcher_that_was_told_all() {
    assert_eq!(told(|_| ()), Vec::<&str>::new());
}

#[test]
fn a_lost_event() {
    assert_eq!(told(|events| drop(events.remove(1))), ["an event was lost"]);
    assert_eq!(told(|events| drop(events.pop())), ["an event was lost"]);
}

#[test]
fn a_repeated_event() {
    assert_eq!(
        told(|events| events.push(events[2].clone())),
        ["an event was repeated"]
    );
}

#[test]
fn events_out_of_order() {
    assert_eq!(
        told(|events| events.swap(0, 1)),
        ["a watch went back in time"]
    );
}

#[test]
fn an_event_that_never_was() {
    let other = Some(version("9", 2, 3, 2));
    assert_eq!(
        told(|events| events[1].put = other),
        ["an event outside the history"]
    );
    assert_eq!(
        told(|events| events.push(event(5, "b", None))),
        ["an event outside the history"]
    );
}

#[test]
fn a_lock_with_two_holders() {
    let hold = |key: &str, fence, from, until| {
        let (lock, key) = ("l".to_owned(), key.to_owned());
        Hold {
            lock,
            key,
            fence,
            from,
            until,
        }
    };
    let one_after_the_other = [hold("x", 2, 10, 20), hold("y", 3, 20, 30)];
    assert_eq!(sessions::check_locks(&one_after_the_other), []);
    let at_once = [hold("y", 3, 19, 30), hold("x", 2, 10, 20)];
    assert_eq!(
        rules(&sessions::check_locks(&at_once)),
        ["a lock with two holders"]
    );
    let backwards = [hold("x", 3, 10, 20), hold("y", 2, 20, 30)];
    assert_eq!(
        rules(&sessions::check_locks(&backwards)),
        ["a lock's fence went back"]
    );
}

#[test]
fn a_lease_that_ended_early() {
    let (ttl, renewed) = (Duration::from_secs(2), Instant::now());
    let life = |revoked| {
        [Life {
            key: "k".to_owned(),
            ttl,
            renewed,
            revoked,
        }]
    };
    let after = |milliseconds| {
        [(
            "k".to_owned(),
            renewed + Duration::from_millis(milliseconds),
        )]
    };
    assert_eq!(sessions::check_leases(&life(false), &after(2000)), []);
    let early = sessions::check_leases(&life(false), &after(1999));
    assert_eq!(rules(&early), ["a lease ended early"]);
    assert_eq!(
        sessions::check_leases(&life(true), &after(1)),
        [],
        "its client ended it"
    );
}
