//! Commands that run until they are stopped: watch, lock, elect, keep-alive.

use harness::child::Child;
use harness::{Backend, Node};

use super::{Pair, etcdctl, start};

#[test]
fn watch_prints_what_happens() {
    each(|node| {
        etcdctl(node, "put a 0", "");
        let watch = start(node, "watch --rev=2 --prev-kv a z");
        watch.line("PUT").unwrap();
        etcdctl(node, "put a 1", "");
        etcdctl(node, "put m x", "");
        etcdctl(node, "put zz not-watched", "");
        etcdctl(node, "del a", "");
        etcdctl(node, "put a the-end", "");
        watch.line("the-end").unwrap();
        vec![watch]
    });
}

#[test]
fn watch_runs_a_command_for_each_event() {
    each(|node| {
        let watch = start(node, "watch a --rev=1 -- printenv ETCD_WATCH_VALUE");
        etcdctl(node, "put a first", "");
        watch.line("\"first\"").unwrap();
        etcdctl(node, "put a second", "");
        watch.line("\"second\"").unwrap();
        etcdctl(node, "put a the-end", "");
        watch.line("\"the-end\"").unwrap();
        vec![watch]
    });
}

#[test]
fn watch_of_compacted_history_says_so() {
    each(|node| {
        for value in 1..=4 {
            etcdctl(node, &format!("put a {value}"), "");
        }
        etcdctl(node, "compaction 4", "");
        let mut watch = start(node, "watch a --rev=2");
        watch.wait();
        vec![watch]
    });
}

#[test]
fn watch_survives_being_killed_by_its_user() {
    each(|node| {
        let mut watch = start(node, "watch a --rev=1");
        etcdctl(node, "put a told", "");
        watch.line("told").unwrap();
        watch.kill();
        let again = start(node, "watch a --rev=2");
        again.line("told").unwrap();
        vec![watch, again]
    });
}

#[test]
fn lock_runs_a_command_while_it_is_held() {
    harness::run(async {
        let both = Pair::start().await;
        for _ in 0..2 {
            assert_eq!(both.same("lock l echo held").out, "held");
        }
        both.same("get l --prefix");
    });
}

#[test]
fn lock_passes_to_the_next_when_its_holder_ends() {
    each(|node| {
        let holder = start(node, "lock l");
        holder.line("l/").unwrap();
        let mut next = start(node, "lock l echo now-mine");
        holder.terminate();
        next.line("now-mine").unwrap();
        assert!(next.wait().success());
        Vec::new()
    });
}

#[test]
fn elect_leads_and_is_observed() {
    each(|node| {
        let leader = start(node, "elect e one");
        leader.line("one").unwrap();
        let observer = start(node, "elect -l e");
        observer.line("one").unwrap();
        let next = start(node, "elect e two");
        leader.terminate();
        next.line("two").unwrap();
        observer.line("two").unwrap();
        Vec::new()
    });
}

#[test]
fn keep_alive_goes_on() {
    each(|node| {
        let said = etcdctl(node, "lease grant 2", "");
        let id = said.out.split(' ').nth(1).unwrap();
        let keeper = start(node, &format!("lease keep-alive {id}"));
        keeper.line("keepalived with TTL(2)").unwrap();
        etcdctl(node, &format!("lease revoke {id}"), "");
        keeper.line("expired or revoked").unwrap();
        Vec::new()
    });
}

/// Runs the scene against both servers and compares the output of the commands it returns.
fn each(scene: impl Fn(&Node) -> Vec<Child>) {
    harness::run(async {
        let mut printed = Vec::new();
        for backend in [Backend::Process, Backend::Etcd] {
            let node = Node::start(backend).await;
            let commands = scene(&node);
            printed.push(commands.iter().map(Child::lines).collect::<Vec<_>>());
        }
        assert_eq!(printed[0], printed[1], "Conclave's first, etcd's second");
    });
}
