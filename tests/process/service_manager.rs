//! Notifications to the service manager that started the process.

use std::path::Path;

use conclave_client::{Client, Options};
use etcd_client::MemberAddOptions;
use harness::child::Child;
use harness::process::{READY, endpoint_in, own_place, run_binary};
use harness::syncs::HeldSyncs;
use harness::wait::DEADLINE;
use harness::{ServiceManager, eventually, within};

/// The manager's watchdog waits for two seconds, in which a member looks at its owners four times.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "2000000");
const ALIVE: &str = "WATCHDOG=1";

/// Starts a member under the manager, with these additional flags.
fn start(manager: &ServiceManager, dir: &Path, flags: &[&str]) -> Child {
    let place = own_place(dir, "http://127.0.0.1:0");
    let arguments: Vec<&str> = place.iter().map(String::as_str).collect();
    let environment = [&manager.environment()[..], &[WATCHDOG]].concat();
    run_binary(&[&arguments, flags].concat(), &environment)
}

#[test]
fn a_member_says_when_it_is_ready_and_when_it_stops() {
    let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
    let mut child = start(&manager, dir.path(), &[]);
    manager.hears_of("READY=1");
    assert!(child.line("ready to serve client requests").is_some());
    child.terminate();
    manager.hears_of("STOPPING=1");
    assert!(child.wait().success());
}

/// The manager must not end a member because the other members are late.
#[test]
fn a_member_that_waits_for_others_asks_for_time() {
    let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
    let others = "--initial-cluster=default=http://127.0.0.1:2380,b=http://b.invalid:1";
    let child = start(&manager, dir.path(), &[others]);
    let first = manager.hears_of("EXTEND_TIMEOUT_USEC=60000000");
    assert!(first.contains("STATUS=waiting for a leader"), "{first}");
    child.terminate();
    manager.hears_of("STOPPING=1");
}

/// A restart would not bring the other members up.
#[test]
fn a_member_without_a_leader_is_alive() {
    let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
    let others = "--initial-cluster=default=http://127.0.0.1:2380,b=http://b.invalid:1";
    let _child = start(&manager, dir.path(), &[others]);
    // Twice as long as the watchdog waits.
    for _ in 0..8 {
        manager.hears_of(ALIVE);
    }
}

#[test]
fn a_driver_that_hangs_is_not_alive() {
    harness::run(async {
        let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
        let child = start(&manager, dir.path(), &[]);
        let client = connect(&child).await;
        // The only voter syncs its log in the driver's thread.
        let Some(held) = HeldSyncs::of(child.pid(), "driver") else {
            return;
        };
        let put = tokio::spawn(async move { client.put("k", "v").await });
        expect_no_life(&manager, &child, "driver").await;
        drop(held);
        manager.hears_of(ALIVE);
        within("the put", put).await.unwrap().unwrap();
    });
}

#[test]
fn an_applier_that_hangs_is_not_alive() {
    harness::run(async {
        let (manager, dir) = (ServiceManager::new(), tempfile::tempdir().unwrap());
        let child = start(&manager, dir.path(), &[]);
        connect(&child).await;
        let url = endpoint_in(&child.line(READY).unwrap());
        // The applier flushes the state after a change of the members, and waits for it.
        let Some(held) = HeldSyncs::of(child.pid(), "rocksdb:high") else {
            return;
        };
        let add = tokio::spawn(async move {
            let mut client = etcd_client::Client::connect([url], None).await?;
            let learner = MemberAddOptions::new().with_is_learner();
            client
                .member_add(["http://127.0.0.1:1"], Some(learner))
                .await
        });
        expect_no_life(&manager, &child, "applier").await;
        drop(held);
        manager.hears_of(ALIVE);
        add.abort();
    });
}

/// Waits until the member sees that its owner hangs, and expects no sign of life from then on.
async fn expect_no_life(manager: &ServiceManager, child: &Child, owner: &str) {
    let owner = format!("\"owner\":\"{owner}\"");
    let looks = || {
        let lines = child.lines().into_iter();
        lines.filter(|line| line.contains(&owner)).count()
    };
    // A slow disk may have been seen at one look before.
    let seen = looks() + 2;
    eventually("it is seen", || async { (looks() >= seen).then_some(()) }).await;
    manager.heard();
    // Longer than the watchdog waits.
    eventually("more looks", || async {
        (looks() >= seen + 5).then_some(())
    })
    .await;
    assert_eq!(manager.heard(), [""; 0]);
}

async fn connect(child: &Child) -> Client {
    let url = endpoint_in(&child.line(READY).unwrap());
    // A call waits for as long as the member hangs.
    let options = Options::new().deadline(DEADLINE);
    options.connect([url.as_str()]).await.unwrap()
}
