//! Conformance of the clients in all languages: `clients/conformance/README.md` describes the
//! scenarios, and `tests/README.md` how to run them. Each test is one scenario in one language,
//! `go::a_mutex_is_fair`, or one with subjects of several languages, `mixed::…`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod background;
mod coverage;
mod direct;
mod ending;
mod failure;
mod languages;
mod operations;
mod reply;
mod run;
mod script;
mod subject;
mod succession;
mod values;
mod world;

use std::path::PathBuf;

use harness::Backend;
use run::Runner;
use script::Script;
use world::World;

/// Makes a test of each scenario in each language, and the list of all.
macro_rules! scenarios {
    (in each language: $($name:ident)+; with mixed languages: $($mixed:ident)+;) => {
        /// The scenarios that are run in each language, and those with several.
        pub(crate) const LISTED: [&[&str]; 2] =
            [&[$(stringify!($name)),+], &[$(stringify!($mixed)),+]];

        scenarios!(@language go: $($name)+);
        scenarios!(@language java: $($name)+);
        scenarios!(@language python: $($name)+);
        scenarios!(@language rust: $($name)+);
        scenarios!(@language typescript: $($name)+);

        mod mixed {
            $(#[test] fn $mixed() { crate::run_mixed(stringify!($mixed)); })+
        }
    };
    (@language $language:ident: $($name:ident)+) => {
        mod $language {
            $(#[test] fn $name() { crate::run(stringify!($name), stringify!($language)); })+
        }
    };
}

scenarios! {
    in each language:
        a_barrier_holds_who_waits
        a_barrier_is_not_held_twice
        a_broken_endpoint_is_not_dialled_in_a_loop
        a_cache_follows
        a_cache_has_no_gap_over_a_compaction
        a_cache_has_no_gap_over_a_cut
        a_cancelled_watch_ends
        a_certificate_is_replaced
        a_closed_client_refuses_calls
        a_counter_is_exact
        a_cut_suspends_a_session_and_no_more
        a_double_barrier_begins_and_ends_together
        a_group_has_members
        a_job_is_run_once
        a_key_that_is_left_is_put_once_more
        a_latch_counts_down
        a_leader_whose_process_dies_is_followed
        a_lost_session_loses_its_locks
        a_mutex_can_be_asked_for
        a_mutex_can_be_tried
        a_mutex_is_fair
        a_mutex_is_reentrant
        a_mutex_outlives_leaders
        a_paused_process_learns_first_that_its_session_is_lost
        a_queue_delays_items
        a_queue_gives_a_lost_item_to_another
        a_queue_has_an_order
        a_read_write_lock_is_shared_by_readers
        a_refused_endpoint_is_passed_over
        a_revoked_lease_is_lost_at_once
        a_semaphore_has_a_number_of_permits
        a_session_is_lost_before_its_lease
        a_session_outlives_a_paused_leader
        a_session_outlives_members
        a_session_that_gets_no_answers_is_lost_in_time
        a_session_that_is_closed_frees_its_keys
        a_short_deadline_is_enough_to_leave_a_silent_member
        a_token_guards_writes
        a_value_is_set_by_one
        a_watch_behind_a_compaction_ends
        a_watch_delivers_every_event_in_order
        a_watch_ends_when_its_permission_is_revoked
        a_watch_leaves_a_member_without_a_majority
        a_watch_leaves_a_silent_member
        a_watch_misses_nothing_when_connections_break
        a_watch_resumes_when_members_are_killed
        a_write_whose_answer_is_lost
        a_wrong_scheme_is_an_error
        all_members_down_and_up_again
        an_election_has_one_leader
        an_election_is_observed_while_leaders_change
        an_endpoint_comes_back
        an_unknown_authority_is_not_trusted
        bad_arguments_are_refused
        calls_are_spread_over_the_endpoints
        calls_can_be_cancelled
        close_does_not_wait_for_silent_members
        elections_are_shared_with_the_api
        every_call_has_a_deadline
        late_copies_of_a_lock_are_deleted
        late_copies_of_claims_are_deleted
        late_copies_undo_nothing
        locks_are_shared_with_the_api
        members_ask_for_a_certificate
        no_acknowledged_write_is_lost
        no_endpoint_is_there
        one_member_is_down
        puts_gets_and_transactions
        reads_leave_a_silent_member
        reads_outlive_leaders
        services_are_found
        transfers_keep_the_sum
        unix_sockets
        users_log_in
        waiting_for_a_mutex_can_be_given_up
        writes_to_a_silent_member_may_have_happened
    ;
    with mixed languages:
        mixed_election
        mixed_locks_and_barriers
        mixed_mutex
        mixed_queue_and_counter
    ;
}

/// The file of a scenario.
fn file(name: &str) -> PathBuf {
    let folder = languages::folder().join("conformance/scenarios");
    folder.join(format!("{name}.txt"))
}

fn read(name: &str) -> Script {
    let path = file(name);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let short = format!("clients/conformance/scenarios/{name}.txt");
    script::parse(&short, &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a scenario in one language.
fn run(name: &str, language: &str) {
    harness::run(async {
        match languages::find(language).await {
            Err(reason) => eprintln!("skipped: {reason}"),
            Ok(program) => execute(name, &[(language.to_owned(), program)]).await,
        }
    });
}

/// Runs a scenario whose subjects speak all languages that are there, in turn.
fn run_mixed(name: &str) {
    harness::run(async {
        let found = languages::find_all().await;
        match found.is_empty() {
            true => eprintln!("skipped: no language's subject is there"),
            false => execute(name, &found).await,
        }
    });
}

async fn execute(name: &str, languages: &[(String, PathBuf)]) {
    let script = read(name);
    if script.only_conclave && Backend::Process.or_as_asked() == Backend::Etcd {
        eprintln!("skipped on etcd 3.4: its members do not do this");
        return;
    }
    let world = World::start(&script, languages).await;
    let world = world.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    let mut runner = Runner::new(world);
    let ran = runner.run(&script).await;
    let transcripts = runner.world.transcripts();
    // Members end first: in a panic they would print their logs, which rarely matter here.
    drop(runner);
    let file = file(name);
    ran.unwrap_or_else(|failure| panic!("{}, {failure}\n{transcripts}", file.display()));
}
