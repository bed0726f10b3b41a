use std::net::IpAddr;

use prometheus::Opts;

use super::accounts::ACCOUNTS_MAX;
use super::*;

fn limit(limit: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(limit)
}

struct Member {
    fair_use: FairUse,
    refusals: IntCounterVec,
}

fn member(per_user: Limits, per_address: Limits) -> Member {
    let opts = Opts::new("refusals", "by limit");
    let refusals = IntCounterVec::new(opts, &["limit"]).expect("a valid name");
    let settings = Settings {
        per_user,
        per_address,
    };
    Member {
        fair_use: FairUse::new(&settings, &refusals).expect("there are limits"),
        refusals,
    }
}

fn address(text: &str) -> Origin {
    Origin::of(Some(text.parse::<IpAddr>().expect("an address")))
}

impl Member {
    fn begin(&self, method: Method, from: &str, now: u64) -> Result<Ticket, String> {
        let begun = self
            .fair_use
            .begin(method, address(from), None, Moment(now));
        begun.map_err(|refused| refused.to_string())
    }

    fn begin_as(&self, user: &str, from: &str, now: u64) -> Result<Ticket, String> {
        let user = Arc::from(user);
        let begun = self
            .fair_use
            .begin(Method::Put, address(from), Some(&user), Moment(now));
        begun.map_err(|refused| refused.to_string())
    }

    fn refusals(&self, flag: &str) -> u64 {
        self.refusals.with_label_values(&[flag]).get()
    }

    fn accounts(&self) -> usize {
        self.fair_use.addresses.known.lock().accounts.len()
    }
}

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

#[test]
fn without_limits_there_is_nothing_to_do() {
    let refusals = IntCounterVec::new(Opts::new("refusals", "by limit"), &["limit"]);
    let refusals = refusals.expect("a valid name");
    assert!(FairUse::new(&Settings::default(), &refusals).is_none());
}

#[test]
fn requests_have_a_mean_and_a_burst() {
    let limits = Limits {
        requests_per_second: limit(10),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let begun = |from, now| {
        let calls = (0..100).filter(|_| member.begin(Method::Put, from, now).is_ok());
        calls.count()
    };
    assert_eq!(begun(A, 5_000), 10);
    assert_eq!(begun(B, 5_000), 10, "addresses are counted apart");
    assert_eq!(begun(A, 5_099), 0);
    assert_eq!(begun(A, 5_100), 1);
    assert_eq!(begun(A, 5_550), 4);
    assert_eq!(begun(A, 60_000), 10, "idle time is not saved up");
    let refused = member.begin(Method::Range, A, 60_000).expect_err("refused");
    assert_eq!(
        refused,
        "conclave: the address 10.0.0.1 may make 10 requests per second \
         (--max-requests-per-second-per-address)"
    );
    assert!(member.refusals("max-requests-per-second-per-address") > 500);
    assert_eq!(member.refusals("max-requests-per-second-per-user"), 0);
}

#[test]
fn keep_alives_are_exempt() {
    let limits = Limits {
        requests_per_second: limit(1),
        bytes_per_second: limit(1_000),
        streams: limit(1),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let watch = member.begin(Method::Watch, A, 0).expect("the first");
    assert!(member.begin(Method::Put, A, 0).is_err());
    watch.reserve(Amount::Bytes(100_000), Moment(0));
    for _ in 0..100 {
        let keeping = member.begin(Method::LeaseKeepAlive, A, 0).expect("exempt");
        let wait = keeping.reserve(Amount::Bytes(10), Moment(0));
        assert_eq!(wait, Duration::ZERO, "events do not slow them down");
    }
    let keeping = member.begin(Method::LeaseKeepAlive, A, 0).expect("exempt");
    let wait = keeping.reserve(Amount::Bytes(100), Moment(0));
    assert_eq!(wait, Duration::from_millis(100), "their own bytes do");
}

#[test]
fn releases_have_a_pace_of_their_own() {
    let limits = Limits {
        requests_per_second: limit(3),
        bytes_per_second: limit(1_000),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let call = member.begin(Method::Put, A, 0).expect("the first");
    call.moved(100_000, Moment(0));
    assert!(member.begin(Method::Put, A, 0).is_err());
    for method in [Method::LeaseRevoke, Method::Unlock, Method::Resign] {
        assert!(member.begin(method, A, 0).is_ok(), "{method:?}");
    }
    let refused = member.begin(Method::LeaseRevoke, A, 0);
    assert_eq!(
        refused.expect_err("refused"),
        "conclave: the address 10.0.0.1 may make 3 releases per second \
         (--max-requests-per-second-per-address)"
    );
    assert!(member.begin(Method::Unlock, A, 334).is_ok());
}

#[test]
fn bytes_may_exceed_the_limit_once_and_are_paid_before_the_next_call() {
    let limits = Limits {
        bytes_per_second: limit(1_000),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let call = member.begin(Method::Range, A, 0).expect("nothing used");
    call.moved(500, Moment(0));
    assert!(member.begin(Method::Put, A, 0).is_ok());
    call.moved(4_500, Moment(0));
    let refused = member.begin(Method::Put, A, 3_999).expect_err("refused");
    assert_eq!(
        refused,
        "conclave: the address 10.0.0.1 may move 1000 bytes per second \
         (--max-bytes-per-second-per-address)"
    );
    assert!(member.begin(Method::LeaseRevoke, A, 3_999).is_ok());
    assert!(member.begin(Method::Put, A, 4_001).is_ok());
}

#[test]
fn the_debt_of_a_call_is_bounded() {
    let limits = Limits {
        bytes_per_second: limit(1_000),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let call = member.begin(Method::Range, A, 0).expect("nothing used");
    for _ in 0..3 {
        call.moved(1_000_000_000, Moment(0));
    }
    assert!(member.begin(Method::Range, A, 9_000).is_err());
    assert!(member.begin(Method::Range, A, 9_001).is_ok());
}

#[test]
fn streams_wait_in_turn_and_refuse_no_calls() {
    let limits = Limits {
        bytes_per_second: limit(1_000),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let one = member.begin(Method::Watch, A, 0).expect("a stream");
    let other = member.begin(Method::Snapshot, A, 0).expect("a stream");
    let wait = |stream: &Ticket, bytes, now| {
        let wait = stream.reserve(Amount::Bytes(bytes), Moment(now));
        wait.as_millis()
    };
    assert!(one.reserves_bytes() && other.reserves_bytes());
    assert_eq!(wait(&one, 1_000, 0), 0, "a second's worth");
    assert_eq!(wait(&one, 500, 0), 500);
    assert_eq!(wait(&other, 500, 0), 1_000, "after the other stream");
    other.give_back(Amount::Bytes(500));
    assert_eq!(wait(&other, 500, 100), 900);
    // More than a second's worth goes when all before it is paid, and is paid before the next.
    assert_eq!(wait(&one, 5_000, 100), 1_900);
    assert_eq!(wait(&one, 1, 100), 5_901);
    assert_eq!(wait(&one, 1, 10_000), 0);
    let call = member.begin(Method::Put, A, 100).expect("not refused");
    assert!(!call.reserves_bytes());
    assert!(member.begin(Method::Watch, A, 100).is_ok());
}

#[test]
fn messages_on_streams_wait_in_turn_and_refuse_no_calls() {
    let limits = Limits {
        requests_per_second: limit(10),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let stream = member.begin(Method::Watch, A, 0).expect("a stream");
    let waits = |now| {
        let waits = (0..12).map(|_| stream.reserve(Amount::Message, Moment(now)));
        waits.map(|wait| wait.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(waits(0), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200]);
    assert_eq!(waits(200)[..2], [100, 200]);
    let calls = (0..100).filter(|_| member.begin(Method::Put, A, 0).is_ok());
    assert_eq!(calls.count(), 9);
}

#[test]
fn waits_for_locks_and_elections_count_as_streams() {
    let limits = Limits {
        streams: limit(2),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let lock = member.begin(Method::Lock, A, 0).expect("the first");
    let _campaign = member.begin(Method::Campaign, A, 0).expect("the second");
    for method in [Method::Lock, Method::Campaign, Method::Watch] {
        assert!(member.begin(method, A, 0).is_err(), "{method:?}");
    }
    assert!(member.begin(Method::Unlock, A, 0).is_ok());
    assert!(member.begin(Method::Leader, A, 0).is_ok());
    drop(lock);
    assert!(member.begin(Method::Campaign, A, 0).is_ok());
}

#[test]
fn a_stream_counts_until_it_is_closed() {
    let limits = Limits {
        streams: limit(2),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let first = member.begin(Method::Watch, A, 0).expect("the first");
    let _second = member.begin(Method::RangeStream, A, 0).expect("the second");
    let refused = member.begin(Method::Observe, A, 0).expect_err("refused");
    let text = "conclave: the address 10.0.0.1 may have 2 open streams (--max-streams-per-address)";
    assert_eq!(refused, text);
    assert!(member.begin(Method::Put, A, 0).is_ok(), "it is no stream");
    drop(first);
    let third = member.begin(Method::Watch, A, 0);
    assert!(third.is_ok());
    assert!(member.begin(Method::Watch, A, 0).is_err());
}

#[test]
fn watchers_of_all_streams_count() {
    let limits = Limits {
        watches: limit(3),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let [mut one, mut other] = [(); 2].map(|()| {
        let stream = member.begin(Method::Watch, A, 0).expect("no limit");
        stream.watches()
    });
    assert!(
        one.add(Moment(0)).is_ok() && one.add(Moment(0)).is_ok() && other.add(Moment(0)).is_ok()
    );
    let refused = other.add(Moment(0)).expect_err("refused").to_string();
    let text = "conclave: the address 10.0.0.1 may have 3 watches (--max-watches-per-address)";
    assert_eq!(refused, text);
    assert_eq!(member.refusals("max-watches-per-address"), 1);
    // One was cancelled.
    one.keep(1);
    assert!(other.add(Moment(0)).is_ok());
    assert!(other.add(Moment(0)).is_err());
    drop(other);
    assert!(one.add(Moment(0)).is_ok() && one.add(Moment(0)).is_ok());
    assert!(one.add(Moment(0)).is_err());
}

#[test]
fn a_user_is_limited_at_all_addresses_together() {
    let requests = |most| Limits {
        requests_per_second: limit(most),
        ..Limits::default()
    };
    let member = member(requests(3), requests(100));
    for from in [A, B, A] {
        assert!(member.begin_as("alice", from, 0).is_ok());
    }
    let refused = member.begin_as("alice", B, 0).expect_err("refused");
    assert_eq!(
        refused,
        "conclave: the user \"alice\" may make 3 requests per second \
         (--max-requests-per-second-per-user)"
    );
    assert!(member.begin_as("bob", A, 0).is_ok());
    assert!(
        member.begin(Method::Put, A, 0).is_ok(),
        "nobody in particular"
    );
}

#[test]
fn a_refusal_by_the_second_limit_keeps_no_place_of_the_first() {
    let streams = |most| Limits {
        streams: limit(most),
        ..Limits::default()
    };
    let member = member(streams(1), streams(2));
    let alice = Arc::from("alice");
    let watch = || {
        let begun = member
            .fair_use
            .begin(Method::Watch, address(A), Some(&alice), Moment(0));
        begun.map_err(|refused| refused.scope)
    };
    let _first = watch().expect("the first");
    for _ in 0..5 {
        assert_eq!(watch().expect_err("refused"), Scope::User);
    }
}

#[test]
fn idle_accounts_are_forgotten_and_newcomers_share_one_when_there_are_too_many() {
    let limits = Limits {
        requests_per_second: limit(1),
        streams: limit(1),
        ..Limits::default()
    };
    let member = member(Limits::default(), limits);
    let nth = |n: usize| format!("10.{}.{}.{}", n >> 16, n >> 8 & 0xff, n & 0xff);
    // This one stays open.
    let _open = member.begin(Method::Watch, "192.0.2.1", 0).expect("begun");
    for n in 0..ACCOUNTS_MAX + 10 {
        // The address is not too greedy, but not alone among the last.
        let _ = member.begin(Method::Put, &nth(n), 5_000);
        assert!(member.accounts() <= ACCOUNTS_MAX);
    }
    let refused = member
        .begin(Method::Put, "192.0.2.2", 5_000)
        .expect_err("shared");
    assert!(
        refused.contains("all newcomers together may make 1"),
        "{refused}"
    );
    assert!(member.begin(Method::Put, "192.0.2.2", 6_001).is_ok());
    assert_eq!(member.accounts(), 2);
    assert!(member.begin(Method::Watch, "192.0.2.1", 7_000).is_err());
}
